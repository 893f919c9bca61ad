//! What is listened at and is no socket of IP or of a path: FIFOs, devices, queues, virtual machines.

use crate::{Scratch, none, skip, want};
use eudaemon::Exit;
use eudaemon::inherited::Kind;
use eudaemon::sockets::{SocketError, is};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Barrier;

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn a_fifo_is_made_and_has_no_end() {
    let scratch = Scratch::new();
    let path = scratch.path("orders");
    eudaemon_sys::file::set_umask(0o077);
    let fifo = want("fifo", &path).mode(0o622).fifo().unwrap();
    let about = std::fs::symlink_metadata(&path).unwrap();
    assert!(about.file_type().is_fifo());
    assert_eq!(mode(&path), 0o622);
    let say = |words: &str| {
        let mut writer = File::options().write(true).open(&path).unwrap();
        writer.write_all(words.as_bytes()).unwrap();
    };
    let mut bytes = [0; 16];
    // The writer is gone, and another comes: nothing in between is an end, and a read waits for the next.
    std::thread::scope(|scope| {
        for words in ["one", "two"] {
            scope.spawn(|| say(words));
            assert_eq!((&*fifo).read(&mut bytes).unwrap(), 3);
            assert_eq!(&bytes[..3], words.as_bytes());
        }
    });
    drop(fifo);
    // It stays, and so does what is written to who comes next.
    let quiet = || want("fifo", &path).mode(0o622).nonblocking().fifo();
    let fifo = quiet().unwrap();
    assert_eq!(
        (&*fifo).read(&mut bytes).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    say("three");
    assert_eq!((&*quiet().unwrap()).read(&mut bytes).unwrap(), 5);
}

#[test]
fn what_is_there_is_as_it_would_be_made_or_not_used() {
    let scratch = Scratch::new();
    let path = scratch.path("orders");
    drop(want("fifo", &path).mode(0o600).fifo().unwrap());
    let error = want("fifo", &path).mode(0o622).fifo().unwrap_err();
    assert!(matches!(error, SocketError::Foreign { .. }), "{error}");
    assert_eq!(error.exit(), Exit::Config);
    assert!(
        error.to_string().contains("is there with mode 0600 of "),
        "{error}"
    );
    assert!(error.to_string().contains(", not mode 0622 of "), "{error}");
    assert_eq!(mode(&path), 0o600, "it is not changed");
    // Of somebody who was killed before it had its mode.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o0)).unwrap();
    drop(want("fifo", &path).mode(0o622).fifo().unwrap());
    assert_eq!(mode(&path), 0o622);
    if is_root() {
        let owned = || want("fifo", &path).mode(0o622).owner(1234, 1235).fifo();
        let error = owned().unwrap_err();
        assert!(
            error.to_string().ends_with("not mode 0622 of 1234:1235"),
            "{error}"
        );
        std::fs::remove_file(&path).unwrap();
        drop(owned().unwrap());
        let about = std::fs::metadata(&path).unwrap();
        assert_eq!((about.uid(), about.gid()), (1234, 1235));
        drop(owned().unwrap());
        // It is another's, and nobody said that it should be.
        let error = want("fifo", &path).mode(0o622).fifo().unwrap_err();
        assert!(matches!(error, SocketError::Foreign { .. }), "{error}");
    } else {
        skip("not root: the owner of a FIFO cannot be changed");
    }
}

#[test]
fn what_is_no_fifo_is_neither_opened_nor_removed() {
    let scratch = Scratch::new();
    let (file, link, real) = (
        scratch.path("file"),
        scratch.path("link"),
        scratch.path("real"),
    );
    std::fs::write(&file, "theirs").unwrap();
    drop(want("fifo", &real).fifo().unwrap());
    symlink(&real, &link).unwrap();
    for (path, is) in [(&file, Kind::File), (&link, Kind::Other)] {
        let error = want("fifo", path).fifo().unwrap_err();
        let is_it = matches!(&error, SocketError::WrongFile { is: found, .. } if *found == is);
        assert!(is_it, "{error}");
        assert_eq!(error.exit(), Exit::Config);
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"theirs");
    let error = want("fifo", &scratch.path("no/such")).fifo().unwrap_err();
    assert!(matches!(error, SocketError::Bind { .. }), "{error}");
}

/// Whoever comes second finds it made, or half made, and has it too.
#[test]
fn two_that_make_a_fifo_have_the_same() {
    for _ in 0..50 {
        let scratch = Scratch::new();
        let path = scratch.path("orders");
        let line = Barrier::new(2);
        let start = || {
            line.wait();
            let want = want("fifo", &path).mode(0o620);
            match is_root() {
                true => want.owner(1234, 1235).fifo(),
                false => want.fifo(),
            }
        };
        let (one, two) = std::thread::scope(|scope| {
            let other = scope.spawn(start);
            (start(), other.join().unwrap())
        });
        let inode = |file: &File| file.metadata().unwrap().ino();
        assert_eq!(inode(&one.unwrap()), inode(&two.unwrap()));
        assert_eq!(mode(&path), 0o620);
    }
}

#[test]
fn a_device_or_a_file_is_opened_as_asked() {
    let scratch = Scratch::new();
    let (file, fifo) = (scratch.path("file"), scratch.path("fifo"));
    std::fs::write(&file, "theirs").unwrap();
    let special = |path: &Path| want("special", path);
    let read = special(&file).special().unwrap();
    let mut text = String::new();
    (&*read).read_to_string(&mut text).unwrap();
    assert_eq!(text, "theirs");
    assert!((&*read).write_all(b"ours").is_err(), "it is for reading");
    let both = special(&file).writable(true).special().unwrap();
    (&*both).write_all(b"ours__").unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), b"ours__");
    let null = special("/dev/null".as_ref())
        .writable(true)
        .special()
        .unwrap();
    assert!(is::special_at("/dev/null").admits(&null).unwrap());
    (&*null).write_all(b"x").unwrap();
    special("/proc/self/status".as_ref()).special().unwrap();
    drop(want("fifo", &fifo).fifo().unwrap());
    let link = scratch.path("link");
    symlink("/dev/null", &link).unwrap();
    for wrong in [&fifo, &link, &scratch.0] {
        let error = special(wrong).special().unwrap_err();
        assert!(matches!(error, SocketError::WrongFile { .. }), "{error}");
    }
    let error = special(&scratch.path("none")).special().unwrap_err();
    assert!(matches!(error, SocketError::Bind { .. }), "{error}");
    assert!(!scratch.path("none").exists(), "nothing is made");
}

/// Gone with the test.
struct Name(String);

impl Drop for Name {
    fn drop(&mut self) {
        let _ = eudaemon_sys::bind::queue::unlink(&self.0);
    }
}

#[test]
fn a_message_queue_is_made_of_the_sizes_asked_for() {
    let _scratch = Scratch::new();
    let name = Name(format!("/eud-kinds-{}", std::process::id()));
    let get = || none().get("q").or_bind(format!("mq:{}", name.0));
    eudaemon_sys::file::set_umask(0o077);
    let queue = match get().mode(0o622).messages(3, 64).message_queue() {
        Ok(queue) => queue,
        Err(error) => return skip(&format!("no message queues: {error}")),
    };
    assert!(is::message_queue().admits(&queue).unwrap());
    let about = eudaemon_sys::bind::queue::open(&name.0).unwrap();
    assert_eq!((about.room.messages, about.room.bytes), (3, 64));
    assert_eq!(about.mode, 0o622);
    // There already: as asked for, or without asking for sizes.
    drop(get().mode(0o622).messages(3, 64).message_queue().unwrap());
    drop(get().mode(0o622).message_queue().unwrap());
    let error = get()
        .mode(0o622)
        .messages(3, 65)
        .message_queue()
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("is there with 3 messages of 64 bytes, not 3 messages of 65 bytes"),
        "{error}"
    );
    let error = get().mode(0o600).message_queue().unwrap_err();
    assert!(matches!(error, SocketError::Foreign { .. }), "{error}");
    drop(queue);
    eudaemon_sys::bind::queue::open(&name.0).expect("it stays");
}

/// One of each kind the kernel knows; what its transport has not is an error that says so.
#[test]
fn vsock_is_bound_where_there_is_one() {
    let _scratch = Scratch::new();
    const ANY: u32 = u32::MAX;
    let get = |address: String| none().get("guest").or_bind(address);
    let listener = match get(format!("vsock::{ANY}")).vsock_listener() {
        Ok(listener) => listener,
        Err(error) => return skip(&format!("no vsock: {error}")),
    };
    let filter = is::vsock() & is::stream() & is::listening();
    assert!(filter.admits(&listener).unwrap());
    let at = eudaemon_sys::descriptor::local(&listener).unwrap().unwrap();
    let eudaemon_sys::descriptor::Local::Vsock(at) = at else {
        panic!("{at:?}");
    };
    assert!(at.cid.is_none() && at.port != ANY, "{at:?}");
    assert!(is::vsock_at(at.port).admits(&listener).unwrap());
    assert!(!is::vsock_at(at.port + 1).admits(&listener).unwrap());
    assert_eq!(
        eudaemon_sys::descriptor::kind(&listener).unwrap(),
        Kind::Vsock
    );
    let again = get(format!("vsock::{}", at.port)).vsock_listener();
    assert_eq!(again.unwrap_err().exit(), Exit::Unavailable);
    // Nobody's number: 2 is the host's, and this is no host of itself.
    let error = get(format!("vsock:2:{ANY}")).vsock_listener().unwrap_err();
    assert!(matches!(error, SocketError::Bind { .. }), "{error}");
    let packets = is::vsock() & is::seqpacket() & is::listening();
    match get(format!("vsock-seqpacket::{ANY}")).owned() {
        Ok(socket) => assert!(packets.admits(&socket).unwrap()),
        Err(error) => eprintln!("SKIPPED: messages in order over vsock: {error}"),
    }
    match get(format!("vsock-dgram::{ANY}")).owned() {
        Ok(socket) => assert!((is::vsock() & is::datagram()).admits(&socket).unwrap()),
        // virtio has none.
        Err(error) => assert!(matches!(error, SocketError::Bind { .. }), "{error}"),
    }
    // A machine reaches itself at number 1 only with vsock_loopback.
    match get(format!("vsock:1:{ANY}")).vsock_listener() {
        Ok(loopback) => assert!(loopback.as_fd().try_clone_to_owned().is_ok()),
        Err(error) => {
            eprintln!("SKIPPED: a connection over vsock, without vsock_loopback: {error}")
        }
    }
}
