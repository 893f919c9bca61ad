use super::*;
use eudaemon_core::address::Kind;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

fn fd() -> OwnedFd {
    File::open("/dev/null").expect("/dev/null").into()
}

/// A file that can be told from others.
fn told_apart(bytes: &[u8]) -> OwnedFd {
    eudaemon_sys::sealed::make("told-apart", bytes).expect("a memfd")
}

fn inode(fd: &OwnedFd) -> u64 {
    let file = File::from(fd.try_clone().expect("a copy"));
    file.metadata().expect("what it is").ino()
}

fn everything() -> Contents {
    let file = SocketFile {
        path: b"/run/web.sock".to_vec(),
        kind: Kind::Stream,
        device: 1,
        inode: 2,
        is_removed: true,
        is_locked: true,
    };
    let unlocked = SocketFile {
        is_locked: false,
        ..file.clone()
    };
    let listener = |name: &str, file| Listener {
        name: name.to_owned(),
        fd: told_apart(name.as_bytes()),
        origin: Origin::Manager,
        file,
    };
    Contents {
        generation: 3,
        listeners: vec![
            listener("web", None),
            listener("web", Some((file, Some(told_apart(b"lock"))))),
            listener("db", Some((unlocked, None))),
        ],
        state: Some(told_apart(b"twelve bytes")),
        pidfile: Some(("/run/web.pid".into(), fd())),
        ready_file: Some("/run/web.ready".into()),
        control: Some(("/run/web.control".into(), fd())),
        debug: Some((None, fd())),
        stderr: Some(fd()),
    }
}

#[test]
fn everything_arrives_as_it_was() {
    let (old, new) = Channel::pair().expect("a pair");
    let sent = everything();
    let marks: Vec<u64> = sent.listeners.iter().map(|of| inode(&of.fd)).collect();
    let lock = sent.listeners[1].file.as_ref().and_then(|of| of.1.as_ref());
    let lock = inode(lock.expect("a lock"));
    send(&old, sent).expect("room in the line");
    let came = receive(&new).expect("all of it");
    let names: Vec<&str> = came.listeners.iter().map(|of| of.name.as_str()).collect();
    assert_eq!(names, ["web", "web", "db"]);
    let came_marks: Vec<u64> = came.listeners.iter().map(|of| inode(&of.fd)).collect();
    assert_eq!(came_marks, marks);
    assert!(came.listeners[0].file.is_none());
    let (file, came_lock) = came.listeners[1].file.as_ref().expect("a file");
    assert_eq!(file.path, b"/run/web.sock");
    assert_eq!(inode(came_lock.as_ref().expect("a lock")), lock);
    let (file, none) = came.listeners[2].file.as_ref().expect("a file");
    assert!(!file.is_locked && none.is_none());
    let handover = came.handover().expect("it can be read");
    assert_eq!(handover.generation(), 3);
    assert_eq!(handover.state(), Some(&b"twelve bytes"[..]));
    assert_eq!(came.pidfile.expect("a file").0, Path::new("/run/web.pid"));
    assert_eq!(
        came.ready_file.as_deref(),
        Some(Path::new("/run/web.ready"))
    );
    assert_eq!(came.control.expect("it").0, Path::new("/run/web.control"));
    assert_eq!(came.debug.expect("it").0, None);
    assert!(came.stderr.is_some());
    drop(old);
    assert!(hear(&new).expect("an end").is_none());
}

#[test]
fn half_of_it_is_nothing() {
    let (old, new) = Channel::pair().expect("a pair");
    let mut frames = everything().into_frames();
    frames.truncate(3);
    for (given, fds) in &frames {
        give(&old, given, fds).expect("room");
    }
    drop(old);
    let error = receive(&new).expect_err("there was no end");
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);

    // An end that counts otherwise.
    let (old, new) = Channel::pair().expect("a pair");
    let mut frames = everything().into_frames();
    frames.pop_front();
    for (given, fds) in &frames {
        give(&old, given, fds).expect("room");
    }
    let error = receive(&new).expect_err("one is missing");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[test]
fn a_descriptor_too_few_or_too_many_is_refused_and_closed() {
    let open = || std::fs::read_dir("/proc/self/fd").expect("procfs").count();
    let before = open();
    for fds in [0, 2] {
        let (old, new) = Channel::pair().expect("a pair");
        let fds: Vec<OwnedFd> = (0..fds).map(|_| fd()).collect();
        give(&old, &Given::Item(Item::State), &fds).expect("room");
        let error = receive(&new).expect_err("not one");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(old.as_fd().as_raw_fd() > 2);
    }
    // Other tests of this process open files meanwhile.
    assert!(open() < before + 100);
}

#[test]
fn the_old_side_never_waits() {
    let (old, new) = Channel::pair().expect("a pair");
    assert_eq!(try_hear(&old).expect("a line"), Heard::Nothing);
    let mut given = 0;
    let heard = vec![b'x'; 4096];
    let client = Given::Client { heard, json: false };
    let fds = [fd()];
    while try_give(&old, &client, &fds).expect("a line") {
        given += 1;
    }
    assert!(given > 1);
    say(&new, &Said::Ready).expect("room");
    assert_eq!(try_hear(&old).expect("a line"), Heard::Said(Said::Ready));
    new_gone(&old, new);
}

fn new_gone(old: &Channel, new: Channel) {
    drop(new);
    assert_eq!(try_hear(old).expect("an end"), Heard::Gone);
    let error = try_give(old, &Given::Promoted, &[]).expect_err("nobody hears");
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn an_ordinary_start_has_no_line() {
    let of = |value: Option<&str>| {
        let pairs = value.map(|value| (VARIABLE, value));
        line(&Activation::made(7, pairs))
    };
    assert!(of(None).expect("no variable").is_none());
    // A child that inherited it.
    assert!(of(Some("1:8:3")).expect("not for us").is_none());
    for wrong in ["", "1:7", "1:7:2", "nonsense"] {
        assert!(of(Some(wrong)).is_err(), "{wrong}");
    }
}

/// The old process may be somebody else's by now: what it can still change, or what never ends, is not read.
#[test]
fn a_state_that_may_change_is_not_read() {
    for path in ["/dev/null", "/dev/zero", "/proc/self/exe"] {
        let contents = Contents {
            state: Some(File::open(path).expect("Linux").into()),
            ..Contents::default()
        };
        let error = contents.handover().expect_err(path);
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{path}");
    }
}
