//! What becomes the new process's own, and what it no longer wants.

use super::Test;
use super::old::{Ear, LONG, Old, Scratch, Told, bytes, is_locked, pidfile, text, until};
use eudaemon_core::address::Kind;
use eudaemon_core::handover::{Given, Item, SocketFile};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

pub const TESTS: &[Test] = &[
    (
        "a_unix_socket_comes_with_its_file_and_its_lock",
        a_unix_socket_comes_with_its_file_and_its_lock,
    ),
    (
        "what_the_new_configuration_does_not_want_goes",
        what_the_new_configuration_does_not_want_goes,
    ),
    (
        "the_debug_server_keeps_its_port",
        the_debug_server_keeps_its_port,
    ),
    (
        "the_watchdog_is_this_ones_from_the_promotion_on",
        the_watchdog_is_this_ones_from_the_promotion_on,
    ),
    (
        "each_process_has_a_profile_of_its_own",
        each_process_has_a_profile_of_its_own,
    ),
    (
        "a_reload_and_a_stop_that_were_owed_are_passed_on",
        a_reload_and_a_stop_that_were_owed_are_passed_on,
    ),
];

/// The socket of `web`, as the old process made it.
fn listener(scratch: &Scratch, is_locked: bool) -> (UnixListener, Item) {
    let path = scratch.path("web.sock");
    let socket = UnixListener::bind(&path).expect("a new name");
    let about = std::fs::symlink_metadata(&path).expect("it is there");
    let item = Item::Listener {
        name: "web".to_owned(),
        origin: format!("unix:{}", path.display()),
        file: Some(SocketFile {
            path: bytes(&path),
            kind: Kind::Stream,
            device: about.dev(),
            inode: about.ino(),
            is_removed: true,
            is_locked,
        }),
    };
    (socket, item)
}

fn option(name: &str, path: &Path) -> String {
    format!("--service.{name}={}", path.display())
}

fn a_unix_socket_comes_with_its_file_and_its_lock() {
    let scratch = Scratch::new();
    let ear = Ear::new(&scratch.0);
    let (socket, item) = listener(&scratch, true);
    let (path, lock_path) = (scratch.path("web.sock"), scratch.path("web.sock.lock"));
    let lock = pidfile(&lock_path);
    let mut old = Old::start(&scratch.0, "web", &[]);
    // A second one behind it, so that one that takes the lock for a socket is found out.
    let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let second = Item::Listener {
        name: "other".to_owned(),
        origin: "exported".to_owned(),
        file: None,
    };
    old.hand(vec![(item, vec![&socket, &lock]), (second, vec![&other])]);
    drop((socket, lock));
    assert_eq!(old.heard(), Told::Ready);
    assert_eq!(scratch.heard("made"), "true");
    assert_eq!(scratch.heard("names"), "other");
    old.give(&Given::Promoted, &[]);
    ear.wait("READY=1");
    assert!(is_locked(&lock_path));
    let connected = UnixStream::connect(&path);
    assert!(connected.is_ok(), "{connected:?}");
    // Nobody asked for the other: who still holds it is this test alone.
    let at = other.local_addr().expect("it is bound");
    drop(other);
    assert!(TcpStream::connect_timeout(&at, LONG).is_err());
    old.signal("TERM");
    let (status, words) = old.end();
    assert!(status.success(), "{status}: {words}");
    assert!(!path.exists(), "it is the last that had it");
    assert!(!is_locked(&lock_path));
}

fn what_the_new_configuration_does_not_want_goes() {
    let scratch = Scratch::new();
    let ear = Ear::new(&scratch.0);
    let (socket, item) = listener(&scratch, false);
    let [pid, ready, control, debug] =
        ["old.pid", "old.ready", "old.control", "old.debug"].map(|name| scratch.path(name));
    let lock = pidfile(&pid);
    std::fs::write(&ready, "").expect("our own directory");
    let door = UnixListener::bind(&control).expect("a new name");
    let debug_door = UnixListener::bind(&debug).expect("a new name");
    let new = [
        option("pidfile", &scratch.path("new.pid")),
        option("ready-file", &scratch.path("new.ready")),
        option("control", &scratch.path("new.control")),
    ];
    let options: Vec<&str> = new.iter().map(String::as_str).collect();
    let mut old = Old::start(&scratch.0, "other", &options);
    let debug_path = Some(bytes(&debug));
    old.hand(vec![
        (item, vec![&socket]),
        (Item::Pidfile { path: bytes(&pid) }, vec![&lock]),
        (
            Item::ReadyFile {
                path: bytes(&ready),
            },
            vec![],
        ),
        (
            Item::Control {
                path: bytes(&control),
            },
            vec![&door],
        ),
        (Item::Debug { path: debug_path }, vec![&debug_door]),
    ]);
    drop((socket, lock, door, debug_door));
    assert_eq!(old.heard(), Told::Ready);
    let gone = [scratch.path("web.sock"), pid, ready, control, debug];
    assert!(
        gone.iter().all(|path| path.exists()),
        "it is not its turn yet"
    );
    old.give(&Given::Promoted, &[]);
    ear.wait("READY=1");
    until("what was handed over", || {
        gone.iter().all(|path| !path.exists()).then_some(())
    });
    assert!(scratch.path("new.ready").exists() && scratch.path("new.control").exists());
    assert_eq!(text(&scratch.path("new.pid")), format!("{}\n", old.pid()));
    old.signal("TERM");
    assert!(old.end().0.success());
}

fn the_debug_server_keeps_its_port() {
    let scratch = Scratch::new();
    let ear = Ear::new(&scratch.0);
    let door = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = door.local_addr().expect("it is bound");
    // Port 0 is whichever the first process was given.
    let mut old = Old::start(
        &scratch.0,
        "web",
        &["--service.debugserveraddr=tcp:127.0.0.1:0"],
    );
    old.hand(vec![(Item::Debug { path: None }, vec![&door])]);
    drop(door);
    assert_eq!(old.heard(), Told::Ready);
    old.give(&Given::Promoted, &[]);
    ear.wait("READY=1");
    let mut stream = TcpStream::connect(at).expect("it listens");
    let request = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("it listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    old.signal("TERM");
    assert!(old.end().0.success());
}

fn the_watchdog_is_this_ones_from_the_promotion_on() {
    let scratch = Scratch::new();
    let ear = Ear::new(&scratch.0);
    // Told for the old process: this one.
    let own = std::process::id().to_string();
    let told = [("WATCHDOG_USEC", "200000"), ("WATCHDOG_PID", own.as_str())];
    let mut old = Old::start_told(&scratch.0, "web", &[], "1:$$:3", &told);
    old.hand(Vec::new());
    assert_eq!(old.heard(), Told::Ready);
    let (_never, silence) = std::sync::mpsc::channel::<()>();
    let quiet = std::time::Duration::from_millis(400);
    assert!(silence.recv_timeout(quiet).is_err());
    assert_eq!(ear.said(), [""; 0], "the old one is watched still");
    old.give(&Given::Promoted, &[]);
    ear.wait("READY=1");
    ear.wait("WATCHDOG=1");
    ear.wait("WATCHDOG=1");
    old.signal("TERM");
    assert!(old.end().0.success());
}

fn each_process_has_a_profile_of_its_own() {
    let scratch = Scratch::new();
    let ear = Ear::new(&scratch.0);
    let path = scratch.path("cpu.pb.gz");
    std::fs::write(&path, "the old one's").expect("our own directory");
    let mut old = Old::start(&scratch.0, "web", &[&option("cpuprofile", &path)]);
    old.hand(Vec::new());
    assert_eq!(old.heard(), Told::Ready);
    old.give(&Given::Promoted, &[]);
    ear.wait("READY=1");
    old.signal("TERM");
    let (status, words) = old.end();
    assert!(status.success(), "{status}: {words}");
    assert_eq!(text(&path), "the old one's");
    let own = std::fs::read(scratch.path("cpu.pb.gz.1")).expect("it is there");
    assert_eq!(own.get(..2), Some(&[0x1f, 0x8b][..]), "gzip");
}

fn a_reload_and_a_stop_that_were_owed_are_passed_on() {
    let scratch = Scratch::new();
    let ear = Ear::new(&scratch.0);
    let mut old = Old::start(&scratch.0, "web", &[]);
    old.hand(Vec::new());
    assert_eq!(old.heard(), Told::Ready);
    old.give(&Given::Promoted, &[]);
    old.give(&Given::Reload, &[]);
    assert_eq!(scratch.heard("reloads"), "1");
    let said = ear.wait("RELOADING=1");
    assert!(said[0].starts_with("READY=1"), "{said:?}");
    old.give(&Given::Stop, &[]);
    ear.wait("STOPPING=1");
    let (status, words) = old.end();
    assert!(status.success(), "{status}: {words}");
}
