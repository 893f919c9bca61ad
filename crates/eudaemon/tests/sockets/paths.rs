//! Whose a path is, who may connect, and what is left of it.

use crate::{Scratch, skip, want};
use eudaemon::Exit;
use eudaemon::sockets::{Bound, SocketError, Unlink};
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

fn listen(path: &Path, policy: Unlink) -> Result<Bound<UnixListener>, SocketError> {
    want("unix", path).unlink(policy).unix_listener()
}

const POLICIES: [Unlink; 5] = [
    Unlink::Never,
    Unlink::Always,
    Unlink::IfSocket,
    Unlink::Flock,
    Unlink::ProbeThenFlock,
];

/// For each policy: whether the path is got, with that in the way.
fn got(in_the_way: impl Fn(&Path) -> Option<UnixListener>) -> [bool; 5] {
    POLICIES.map(|policy| {
        let scratch = Scratch::new();
        let path = scratch.path("web.sock");
        let _theirs = in_the_way(&path);
        let listener = listen(&path, policy);
        let reached = UnixStream::connect(&path).is_ok();
        match listener {
            Ok(listener) => {
                assert!(reached, "{policy:?}");
                listener.accept().unwrap();
                true
            }
            Err(_) => false,
        }
    })
}

#[test]
fn what_is_in_the_way_goes_by_policy() {
    let nothing = got(|_| None);
    assert_eq!(nothing, [true; 5]);
    let stale = got(|path| {
        drop(UnixListener::bind(path).unwrap());
        None
    });
    assert_eq!(stale, [false, true, true, true, true]);
    let listening = got(|path| Some(UnixListener::bind(path).unwrap()));
    assert_eq!(listening, [false, true, true, true, false]);
    let file = got(|path| {
        std::fs::write(path, "theirs").unwrap();
        None
    });
    assert_eq!(file, [false, true, false, false, false]);
    let directory = got(|path| {
        std::fs::create_dir(path).unwrap();
        None
    });
    assert_eq!(directory, [false; 5]);
}

/// A link to a socket is not a socket: it is neither followed nor removed.
#[test]
fn a_link_is_not_followed() {
    let scratch = Scratch::new();
    let (path, theirs) = (scratch.path("web.sock"), scratch.path("theirs"));
    let listener = UnixListener::bind(&theirs).unwrap();
    symlink(&theirs, &path).unwrap();
    for policy in [Unlink::IfSocket, Unlink::Flock, Unlink::ProbeThenFlock] {
        let error = listen(&path, policy).unwrap_err();
        assert!(matches!(error, SocketError::NotASocket { .. }), "{error}");
        assert_eq!(error.exit(), Exit::Config);
    }
    assert!(std::fs::symlink_metadata(&path).unwrap().is_symlink());
    drop(UnixStream::connect(&theirs).unwrap());
    listener.accept().unwrap();
    // Nor is the lock's.
    let (other, plain) = (scratch.path("other.sock"), scratch.path("plain"));
    std::fs::write(&plain, "theirs").unwrap();
    symlink(&plain, scratch.path("other.sock.lock")).unwrap();
    let held = UnixListener::bind(&other).unwrap();
    let error = listen(&other, Unlink::Flock).unwrap_err();
    assert!(matches!(error, SocketError::Lock { .. }), "{error}");
    // A lock that cannot be had is no leave to take the path.
    drop(UnixStream::connect(&other).unwrap());
    held.accept().unwrap();
}

#[test]
fn of_two_starters_one_has_it() {
    for round in 0..50 {
        let scratch = Scratch::new();
        let path = scratch.path("web.sock");
        if round % 2 == 0 {
            // Both find the remains of an earlier life.
            drop(UnixListener::bind(&path).unwrap());
        }
        let line = Barrier::new(2);
        let start = || {
            line.wait();
            listen(&path, Unlink::default())
        };
        let (one, two) = std::thread::scope(|scope| {
            let other = scope.spawn(start);
            (start(), other.join().unwrap())
        });
        let (winner, loser) = match (one, two) {
            (Ok(winner), Err(loser)) | (Err(loser), Ok(winner)) => (winner, loser),
            other => panic!("round {round}: {other:?}"),
        };
        assert!(matches!(loser, SocketError::Taken { .. }), "{loser}");
        assert_eq!(loser.exit(), Exit::Unavailable);
        let _client = UnixStream::connect(&path).unwrap();
        winner.accept().unwrap();
        drop(winner);
        assert!(!path.exists() && scratch.path("web.sock.lock").exists());
        // Now it is free.
        listen(&path, Unlink::default()).unwrap();
    }
}

#[test]
fn it_is_not_removed_while_a_successor_listens() {
    let scratch = Scratch::new();
    let path = scratch.path("web.sock");
    for policy in POLICIES {
        let ours = listen(&path, policy).unwrap();
        // The same socket in another process.
        let successor = ours.try_clone().unwrap();
        drop(ours);
        let client = UnixStream::connect(&path);
        assert!(client.is_ok(), "{policy:?}");
        drop(successor);
        std::fs::remove_file(&path).unwrap();
    }
    let ours = want("unix-dgram", &path).unix_datagram().unwrap();
    let successor = ours.try_clone().unwrap();
    drop(ours);
    let client = UnixDatagram::unbound().unwrap();
    client.send_to(b"x", &path).unwrap();
    drop(successor);
}

#[test]
fn only_its_own_file_is_removed() {
    let scratch = Scratch::new();
    let path = scratch.path("web.sock");
    for policy in POLICIES {
        let ours = listen(&path, policy).unwrap();
        drop(ours);
        assert_eq!(path.exists(), policy == Unlink::Never, "{policy:?}");
        let _ = std::fs::remove_file(&path);
        // Another socket by now, and its owner is gone.
        let ours = listen(&path, policy).unwrap();
        std::fs::rename(&path, scratch.path("elsewhere")).unwrap();
        drop(UnixListener::bind(&path).unwrap());
        drop(ours);
        assert!(path.exists(), "{policy:?}");
        std::fs::remove_file(&path).unwrap();
        // And one whose owner is not.
        let ours = listen(&path, policy).unwrap();
        std::fs::remove_file(&path).unwrap();
        let theirs = UnixListener::bind(&path).unwrap();
        drop(ours);
        drop(UnixStream::connect(&path).unwrap());
        theirs.accept().unwrap();
        std::fs::remove_file(&path).unwrap();
    }
}

/// What is asked for, whatever the umask; and at no moment may somebody connect who may not later.
#[test]
fn mode_and_owner_are_set_without_a_moment_between() {
    let scratch = Scratch::new();
    let path = scratch.path("web.sock");
    let private = listen(&path, Unlink::default()).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    drop(private);
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    if !is_root {
        return skip("not root: the owner of a socket cannot be changed");
    }
    eudaemon_sys::file::set_umask(0o077);
    let (is_over, seen) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                if let Ok(about) = std::fs::symlink_metadata(&path) {
                    let (mode, owner) = (about.mode() & 0o7777, (about.uid(), about.gid()));
                    let is_closed = mode == 0;
                    let is_final = mode == 0o666 && owner == (1234, 1235);
                    assert!(is_closed || is_final, "{mode:o} {owner:?}");
                    seen.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        // What is wrong is told behind the loop: a panic in it would leave the watcher running.
        let (mut rounds, mut last) = (0, None);
        while !watcher.is_finished()
            && rounds < 100_000
            && (rounds < 300 || seen.load(Ordering::Relaxed) < 300)
        {
            rounds += 1;
            let want = want("unix-dgram", &path).mode(0o666);
            let socket = want.owner(1234, 1235).unix_datagram();
            last = std::fs::symlink_metadata(&path).ok();
            drop(socket);
        }
        is_over.store(true, Ordering::Relaxed);
        watcher.join().unwrap();
        let about = last.unwrap();
        assert_eq!(about.mode() & 0o7777, 0o666);
        assert_eq!((about.uid(), about.gid()), (1234, 1235));
    });
}

#[test]
fn a_path_may_be_longer_than_an_address() {
    let scratch = Scratch::new();
    let deep = scratch.path(&"d".repeat(100)).join("e".repeat(100));
    std::fs::create_dir_all(&deep).unwrap();
    let path = deep.join("web.sock");
    let listener = listen(&path, Unlink::default()).unwrap();
    assert!(path.exists());
    let error = listen(&path, Unlink::default()).unwrap_err();
    assert!(matches!(error, SocketError::Taken { .. }), "{error}");
    drop(listener);
    assert!(!path.exists());
}

#[test]
fn a_file_that_is_kept_is_kept_with_its_lock() {
    let scratch = Scratch::new();
    let path = scratch.path("web.sock");
    let listener: UnixListener = listen(&path, Unlink::default()).unwrap().keep();
    drop(listener);
    assert!(path.exists());
    let error = listen(&path, Unlink::default()).unwrap_err();
    assert!(matches!(error, SocketError::Taken { .. }), "{error}");
}
