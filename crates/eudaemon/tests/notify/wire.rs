//! Every message as bytes, and what becomes of it when it is large, strange or everywhere at once.

use super::Ear;
use eudaemon::Activation;
use eudaemon::notify::{Message, Notify, NotifyAccess, NotifyError, Sent, Unsendable};
use eudaemon_core::notify::{Heard, MainProcess, Notice, Refused, State, read};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Command;
use std::time::Duration;

#[test]
fn every_word_has_its_bytes() {
    for ear in [Ear::at_a_path(), Ear::abstract_one()] {
        let notify = Notify::to(&ear.address).unwrap();
        assert!(notify.is_connected());
        type Say = fn(&Notify) -> io::Result<Sent>;
        let words: [(Say, &str); 13] = [
            (|to| to.ready(), "READY=1"),
            (|to| to.status("two\twörds"), "STATUS=two wörds"),
            (|to| to.stopping(), "STOPPING=1"),
            (|to| to.errno(2), "ERRNO=2"),
            // More than 32 bits of microseconds: 71 minutes and a half.
            (
                |to| to.extend(Duration::from_secs(7200)),
                "EXTEND_TIMEOUT_USEC=7200000000",
            ),
            (|to| to.watchdog(), "WATCHDOG=1"),
            (|to| to.trigger_watchdog(), "WATCHDOG=trigger"),
            (
                |to| to.watchdog_interval(Duration::from_secs(1)),
                "WATCHDOG_USEC=1000000",
            ),
            (|to| to.main_pid(7, None), "MAINPID=7"),
            (|to| to.main_pid(7, Some(9)), "MAINPID=7\nMAINPIDFDID=9"),
            (|to| to.restart_reset(), "RESTART_RESET=1"),
            (|to| to.access(NotifyAccess::Main), "NOTIFYACCESS=main"),
            (|to| to.unstore("db"), "FDSTOREREMOVE=1\nFDNAME=db"),
        ];
        for (say, want) in words {
            let sent = say(&notify);
            assert_eq!(sent.unwrap(), Sent::Sent);
            let (bytes, datagram) = ear.next().unwrap();
            assert_eq!(String::from_utf8(bytes).unwrap(), want);
            let speaker = datagram.speaker.expect("credentials");
            assert_eq!(speaker.pid.get(), std::process::id());
            assert!(datagram.fds.is_empty() && !datagram.truncated);
        }
    }
}

#[test]
fn nobody_to_talk_to_is_no_error() {
    let notify = Notify::connect(&Activation::made(1, [("A", "B")])).unwrap();
    assert!(!notify.is_connected());
    assert_eq!(notify.ready().unwrap(), Sent::NoManager);
    assert_eq!(notify.status("x").unwrap(), Sent::NoManager);
    assert_eq!(notify.barrier(Duration::ZERO).unwrap(), Sent::NoManager);
    assert_eq!(notify.store("x", &[], true).unwrap(), Sent::NoManager);
    let guard = notify.reloading();
    assert_eq!(guard.began().unwrap(), Sent::NoManager);
    assert_eq!(guard.done().unwrap(), Sent::NoManager);
    // Mistakes are the same everywhere, or they would be found in production.
    assert!(notify.store("a:b", &[], true).is_err());
}

#[test]
fn an_address_that_is_none_is_an_error() {
    for (address, words) in [
        ("run/notify", "neither a path"),
        ("/nowhere/at/all", "No such file"),
        ("@nobody is here", "Connection refused"),
        ("vsock:2", "context identifier"),
    ] {
        let activation = Activation::made(1, [("NOTIFY_SOCKET", address)]);
        let error = Notify::connect(&activation).unwrap_err();
        let is_address = matches!(error, NotifyError::Address { .. });
        assert_eq!(is_address, address.starts_with(['r', 'v']));
        let line = eudaemon::Error::from(error).to_string();
        assert!(line.contains(words) && line.contains(address), "{line}");
    }
}

#[test]
fn a_status_injects_nothing_and_always_fits() {
    let ear = Ear::abstract_one();
    let notify = Notify::to(&ear.address).unwrap();
    notify.status("x\nREADY=1\nSTOPPING=1\0MAINPID=1").unwrap();
    let (bytes, _) = ear.next().unwrap();
    let want = Notice {
        status: Some("x READY=1 STOPPING=1 MAINPID=1"),
        ..Notice::default()
    };
    assert_eq!(read(&bytes, false, 0), Ok(Heard::Notice(want)));
    for length in [4088, 4089, 4090, 100_000] {
        notify.status(&"s".repeat(length)).unwrap();
        let (bytes, datagram) = ear.next().unwrap();
        assert!(!datagram.truncated);
        assert_eq!(bytes.len(), (length + "STATUS=".len()).min(4096));
    }
}

#[test]
fn the_receiver_sees_what_was_cut_off() {
    let ear = Ear::at_a_path();
    let stranger = std::os::unix::net::UnixDatagram::unbound().unwrap();
    let path = std::str::from_utf8(&ear.address).unwrap();
    for (length, heard) in [(4095, true), (4096, true), (4097, false)] {
        let mut bytes = b"READY=1\nX_A=".to_vec();
        bytes.resize(length, b'x');
        stranger.send_to(&bytes, path).unwrap();
        let (bytes, datagram) = ear.next().unwrap();
        match read(&bytes, datagram.truncated, 0) {
            Ok(Heard::Notice(notice)) => assert!(heard && notice.state == Some(State::Ready)),
            other => assert!(
                !heard && other == Err(Refused::Truncated),
                "{length}: {other:?}"
            ),
        }
    }
    let long = Message::new().private("X_A", &"x".repeat(4093)).unwrap();
    let error = Notify::to(&ear.address).unwrap().send(&long).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let inside = error.get_ref().and_then(|inside| inside.downcast_ref());
    assert_eq!(inside, Some(&Unsendable::TooLong { bytes: 4097 }));
}

fn files(count: usize) -> Vec<OwnedFd> {
    let open = || OwnedFd::from(File::open("/dev/null").unwrap());
    (0..count).map(|_| open()).collect()
}

#[test]
fn many_descriptors_go_in_several_messages() {
    let ear = Ear::at_a_path();
    let notify = Notify::to(&ear.address).unwrap();
    let files = files(254);
    let all: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
    notify.store("a b", &all[..253], true).unwrap();
    let (bytes, datagram) = ear.next().unwrap();
    assert_eq!(bytes, b"FDSTORE=1\nFDNAME=a b");
    assert_eq!(
        (datagram.fds.len(), datagram.descriptors_lost),
        (253, false)
    );
    assert!(ear.next().is_none());
    notify.store("a b", &all, false).unwrap();
    for want in [253, 1] {
        let (bytes, datagram) = ear.next().unwrap();
        assert_eq!(bytes, b"FDSTORE=1\nFDNAME=a b\nFDPOLL=0");
        assert_eq!(datagram.fds.len(), want);
    }
    // One message of 254 is not sent, nor descriptors that no one would know what to do with, nor a promise of some.
    let store = Message::new().store("a", true).unwrap();
    assert!(notify.send_with(&store, &all).is_err());
    assert!(
        notify
            .send_with(&Message::new().ready(), &all[..1])
            .is_err()
    );
    assert!(notify.send(&store).is_err());
    for name in ["a:b", "a\nb", "é", &"n".repeat(256)] {
        let error = notify.store(name, &all[..1], true).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
    assert!(ear.next().is_none());
}

#[test]
fn a_main_process_is_named_by_its_descriptor() {
    let ear = Ear::at_a_path();
    let notify = Notify::to(&ear.address).unwrap();
    let file = File::open("/dev/null").unwrap();
    let message = Message::new().main_pidfd().ready();
    notify.send_with(&message, &[file.as_fd()]).unwrap();
    let (bytes, datagram) = ear.next().unwrap();
    let Ok(Heard::Notice(notice)) = read(&bytes, datagram.truncated, datagram.fds.len()) else {
        panic!("{bytes:?}");
    };
    assert_eq!(notice.main, Some(MainProcess::Descriptor));
    assert_eq!(notice.state, Some(State::Ready));
}

#[test]
fn a_reload_has_one_beginning_and_one_end() {
    let ear = Ear::at_a_path();
    let notify = Notify::to(&ear.address).unwrap();
    let before = eudaemon_sys::clock::mono().0 / 1000;
    let began = |text: String| {
        let at = text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        let at: u64 = at.parse().unwrap();
        assert!(at >= before && at <= eudaemon_sys::clock::mono().0 / 1000);
    };
    drop(notify.reloading());
    began(ear.text());
    assert_eq!(ear.text(), "READY=1");
    notify.reloading().done().unwrap();
    began(ear.text());
    assert_eq!(ear.text(), "READY=1");
    notify.reloading().done_with("3 sites").unwrap();
    began(ear.text());
    assert_eq!(ear.text(), "READY=1\nSTATUS=3 sites");
    notify.reloading().failed(&"line 3:\nbad").unwrap();
    began(ear.text());
    assert_eq!(ear.text(), "READY=1\nSTATUS=reload failed: line 3: bad");
    assert!(ear.next().is_none());
}

#[test]
fn a_barrier_waits_for_the_manager() {
    let ear = Ear::at_a_path();
    let notify = Notify::to(&ear.address).unwrap();
    let error = notify.barrier(Duration::from_millis(1)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    let (bytes, datagram) = ear.next().unwrap();
    assert_eq!(read(&bytes, false, datagram.fds.len()), Ok(Heard::Barrier));
    drop(datagram);
    std::thread::scope(|scope| {
        notify.status("first").unwrap();
        let waiting = scope.spawn(|| notify.barrier(Duration::from_secs(60)).unwrap());
        assert_eq!(ear.text(), "STATUS=first");
        let barrier = loop {
            if let Some(came) = ear.next() {
                break came;
            }
            std::thread::yield_now();
        };
        assert!(!waiting.is_finished());
        drop(barrier);
        assert_eq!(waiting.join().unwrap(), Sent::Sent);
    });
}

#[test]
fn messages_of_many_threads_stay_whole() {
    const EACH: usize = 200;
    let ear = Ear::abstract_one();
    let notify = Notify::to(&ear.address).unwrap();
    let mut heard = std::collections::BTreeMap::new();
    std::thread::scope(|scope| {
        for who in 0..8 {
            let notify = notify.clone();
            scope.spawn(move || {
                for at in 0..EACH {
                    notify.status(&format!("{who} {at}")).unwrap();
                    notify.watchdog().unwrap();
                }
            });
        }
        while heard.values().sum::<usize>() < 8 * EACH * 2 {
            match ear.next() {
                Some((bytes, _)) => *heard.entry(bytes).or_default() += 1,
                None => std::thread::yield_now(),
            }
        }
    });
    assert_eq!(heard.remove(&b"WATCHDOG=1"[..]), Some(8 * EACH));
    assert_eq!(heard.len(), 8 * EACH);
}

#[test]
fn a_manager_that_was_started_again_is_found() {
    let ear = Ear::at_a_path();
    let notify = Notify::to(&ear.address).unwrap();
    let path = std::path::PathBuf::from(std::str::from_utf8(&ear.address).unwrap());
    let again = Ear::at_a_path();
    let other = std::path::PathBuf::from(std::str::from_utf8(&again.address).unwrap());
    notify.ready().unwrap();
    // Another socket under the old path, and the old one closed.
    std::fs::rename(&other, &path).unwrap();
    let folder = {
        let mut ear = ear;
        ear.folder.take()
    };
    // A child another test is about to start holds the old one open until it has its program: what is sent meanwhile is lost.
    loop {
        assert_eq!(notify.ready().unwrap(), Sent::Sent);
        if let Some((bytes, _)) = again.next() {
            break assert_eq!(bytes, b"READY=1");
        }
        std::thread::yield_now();
    }
    let receiver = again.receiver.as_fd().try_clone_to_owned().unwrap();
    drop(again);
    assert_eq!(
        notify.ready().unwrap(),
        Sent::Sent,
        "a duplicate still hears"
    );
    drop(receiver);
    let gone = loop {
        match notify.ready() {
            Ok(_) => std::thread::yield_now(),
            Err(error) => break error,
        }
    };
    assert_eq!(gone.kind(), io::ErrorKind::ConnectionRefused);
    std::fs::remove_dir_all(folder.unwrap()).unwrap();
}

/// What the test below does in a process of its own, where it may lock itself in.
fn speak_from_a_locked_room(empty: &std::ffi::OsStr) {
    let notify = Notify::connect(&Activation::of_this_process()).unwrap();
    std::os::unix::fs::chroot(empty).unwrap();
    std::env::set_current_dir("/").unwrap();
    assert!(Notify::connect(&Activation::of_this_process()).is_err());
    notify.status("from inside").unwrap();
    notify.barrier(Duration::from_secs(30)).unwrap();
}

#[test]
fn it_works_behind_a_chroot() {
    if let Some(empty) = std::env::var_os("EMPTY") {
        return speak_from_a_locked_room(&empty);
    }
    if eudaemon_sys::process::effective_uid() != 0 {
        eprintln!("SKIPPED: only root can lock itself in");
        assert!(std::env::var_os("EUDAEMON_REQUIRE").is_none());
        return;
    }
    let ear = Ear::at_a_path();
    let empty = ear.folder.as_ref().unwrap().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "wire::it_works_behind_a_chroot"])
        .env("EMPTY", &empty)
        .env("NOTIFY_SOCKET", std::str::from_utf8(&ear.address).unwrap())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut heard = Vec::new();
    let ended = loop {
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        match ear.next() {
            Some((bytes, _)) => heard.push(bytes),
            None => std::thread::yield_now(),
        }
    };
    assert!(ended.success());
    assert_eq!(heard, [&b"STATUS=from inside"[..], b"BARRIER=1"]);
}
