//! The peer without systemd: alone, and before a manager that is nothing but a socket of this test.

use eudaemon_lab::{Exit, Running, SOON, Signal, World, example, until};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::Duration;

/// Starts it with these variables, and waits until it listens at `socket`.
fn start(world: &World, variables: &[&str]) -> Running {
    let bind = format!("PEER_BIND={}", world.path("socket").display());
    let program = example("peer");
    let program = program.to_str().expect("UTF-8");
    let words = [&[bind.as_str()], variables, &[program]].concat();
    let null = fs::File::open("/dev/null").expect("/dev/null");
    let peer = world.start_on("/usr/bin/env".as_ref(), &words, null.into());
    let listens = until(SOON, || UnixStream::connect(world.path("socket")).is_ok());
    assert!(listens, "{}", peer.err());
    peer
}

fn ask(world: &World, request: &str) -> String {
    let mut stream = UnixStream::connect(world.path("socket")).expect("a peer that listens");
    stream.set_read_timeout(Some(SOON)).expect("a limit");
    stream
        .write_all(format!("{request}\n").as_bytes())
        .expect("a request");
    let mut line = String::new();
    BufReader::new(stream)
        .read_line(&mut line)
        .expect("an answer");
    line.trim_end().to_owned()
}

/// A barrier is over when it has been heard, so both at once.
fn ask_and_hear<T>(world: &World, request: &str, hear: impl FnOnce() -> T) -> (String, T) {
    std::thread::scope(|scope| {
        let asks = scope.spawn(|| ask(world, request));
        let heard = hear();
        (asks.join().expect("an answer"), heard)
    })
}

/// A manager that hears everything and does nothing.
struct Manager(UnixDatagram);

impl Manager {
    fn new(world: &World) -> (Manager, String) {
        let path = world.path("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(SOON)).expect("a limit");
        (Manager(socket), format!("NOTIFY_SOCKET={}", path.display()))
    }

    fn next(&self) -> String {
        let mut buffer = [0; 8192];
        // What comes with it is closed by not being received, which is all that a barrier waits for.
        let length = self.0.recv(&mut buffer).expect("a message");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    fn is_silent(&self) -> bool {
        self.0.set_nonblocking(true).expect("a flag");
        self.0.recv(&mut [0; 8192]).is_err()
    }
}

#[test]
fn without_a_manager_nothing_is_sent_and_everything_works() {
    let world = World::new("peer-alone");
    // What another process was meant to have.
    let stray = [
        "LISTEN_PID=1",
        "LISTEN_FDS=2",
        "WATCHDOG_PID=1",
        "WATCHDOG_USEC=1",
    ];
    let peer = start(&world, &stray);
    let answers = [
        ("ping", "pong"),
        ("fds", "(none)"),
        ("cloexec", "(none)"),
        ("status x", "not-sent"),
        ("notify X_A=1", "not-sent"),
        ("barrier", "not-sent"),
        ("trigger", "not-sent"),
        ("store a b", "not-sent"),
        ("watchdog", "off"),
        ("reload", "ok"),
        ("generation", "0"),
        ("env LISTEN_PID", "1"),
        ("child-env LISTEN_PID", "(unset)"),
        ("stored a", "(none)"),
        ("nonsense", "error unknown"),
        ("log 4 careful", "ok"),
    ];
    for (request, answer) in answers {
        assert_eq!(ask(&world, request), answer, "{request}");
    }
    assert!(peer.err().contains("<4>careful\n"));
    let new = ask(&world, "replace");
    let new: i32 = new
        .strip_prefix("ok ")
        .expect("a successor")
        .parse()
        .expect("a pid");
    assert_eq!(peer.exit(SOON), Some(Exit::Code(0)));
    assert_eq!(ask(&world, "generation"), "1");
    assert_eq!(ask(&world, "fds"), "bound:unix-stream:1");
    assert!(world.signal(new, Signal::TERM));
    assert!(until(SOON, || world.processes().is_empty()));
}

#[test]
fn a_manager_hears_each_thing_once_and_in_its_order() {
    let world = World::new("peer-told");
    let (manager, variable) = Manager::new(&world);
    let peer = start(&world, &[&variable]);
    assert_eq!(manager.next(), "READY=1\nSTATUS=serving 0");
    assert_eq!(ask(&world, "notify X_A=1\\nX_B=2"), "sent");
    assert_eq!(manager.next(), "X_A=1\nX_B=2");
    assert_eq!(ask(&world, "status a\u{1}b"), "sent");
    assert_eq!(manager.next(), "STATUS=a b");
    for request in ["reload", "signal"] {
        if request == "signal" {
            assert!(world.signal(peer.pid, Signal::HUP));
        } else {
            assert_eq!(ask(&world, request), "ok");
        }
        let began = manager.next();
        let since = began.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        assert!(
            since.is_some_and(|since| since.parse::<u64>().is_ok()),
            "{began}"
        );
        assert_eq!(manager.next(), "READY=1");
    }
    let (answer, heard) = ask_and_hear(&world, "barrier", || [manager.next()]);
    assert_eq!((answer.as_str(), heard), ("ok", ["BARRIER=1".to_owned()]));
    assert_eq!(ask(&world, "store memory text"), "sent");
    assert_eq!(manager.next(), "FDSTORE=1\nFDNAME=memory");
    assert_eq!(ask(&world, "unstore memory"), "sent");
    assert_eq!(manager.next(), "FDSTOREREMOVE=1\nFDNAME=memory");

    // The successor speaks before it is the main process, and nobody listens to that; then the old one hands over.
    let three = || [manager.next(), manager.next(), manager.next()];
    let (new, [ready, main, barrier]) = ask_and_hear(&world, "replace", three);
    let pid = new.strip_prefix("ok ").expect("a successor");
    assert_eq!(peer.exit(SOON), Some(Exit::Code(0)));
    assert_eq!(ready, "READY=1\nSTATUS=serving 1");
    let told = format!("MAINPID={pid}");
    assert_eq!(main.lines().next(), Some(told.as_str()), "{main}");
    assert_eq!(barrier, "BARRIER=1");
    assert_eq!(ask(&world, "ping"), "pong");
    assert!(manager.is_silent(), "the old one has nothing more to say");
    manager.0.set_nonblocking(false).expect("a flag");
    assert!(world.signal(pid.parse().expect("a pid"), Signal::TERM));
    assert_eq!(manager.next(), "STOPPING=1");
    assert!(until(SOON, || world.processes().is_empty()));
}

#[test]
fn a_watchdog_is_fed_before_half_its_time_is_over_twice() {
    let world = World::new("peer-fed");
    let (manager, variable) = Manager::new(&world);
    let _peer = start(&world, &[&variable, "WATCHDOG_USEC=400000"]);
    assert_eq!(manager.next(), "READY=1\nSTATUS=serving 0");
    for _ in 0..4 {
        manager
            .0
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a limit");
        assert_eq!(manager.next(), "WATCHDOG=1");
    }
    assert_eq!(ask(&world, "hang"), "ok");
    assert_eq!(ask(&world, "trigger"), "sent");
    while manager.next() != "WATCHDOG=trigger" {}
}

#[test]
fn a_manager_that_is_gone_is_an_error() {
    let world = World::new("peer-left");
    let (manager, variable) = Manager::new(&world);
    let _peer = start(&world, &[&variable]);
    assert_eq!(manager.next(), "READY=1\nSTATUS=serving 0");
    drop(manager);
    // ECONNREFUSED.
    assert_eq!(ask(&world, "status x"), "error 111");
    assert_eq!(ask(&world, "ping"), "pong");
}
