//! When somebody else does not do his part: a manager that does not read, a callback that does too much.

use super::Test;
use super::stage::{LONG, Scratch, until};
use eudaemon::testing::Manager;
use eudaemon_core::words::Signal;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, ExitStatus};

pub const TESTS: &[Test] = &[
    (
        "the_deadline_counts_while_the_manager_does_not_read",
        the_deadline_counts_while_the_manager_does_not_read,
    ),
    (
        "a_second_term_is_heard_while_the_manager_does_not_read",
        a_second_term_is_heard_while_the_manager_does_not_read,
    ),
    (
        "a_service_that_stops_at_once_is_heard_in_order",
        a_service_that_stops_at_once_is_heard_in_order,
    ),
    (
        "a_callback_may_ask_for_more_and_for_the_end",
        a_callback_may_ask_for_more_and_for_the_end,
    ),
    (
        "a_callback_that_panics_ends_the_service",
        a_callback_that_panics_ends_the_service,
    ),
];

/// A service whose manager listens, and whose queue is full.
struct Unread {
    socket: UnixDatagram,
    child: Child,
}

impl Unread {
    fn start(scratch: &Scratch, options: &[&str]) -> Unread {
        let path = scratch.path("notify");
        let socket = UnixDatagram::bind(&path).expect("our own directory");
        let ours = UnixDatagram::unbound().expect("a socket");
        ours.set_nonblocking(true).expect("a socket");
        let full = loop {
            if let Err(error) = ours.send_to(b"STATUS=full", &path) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        let mut command = scratch.command("speaks", options);
        let child = command.env("NOTIFY_SOCKET", path).spawn();
        let child = child.expect("this program");
        scratch.heard("begun");
        Unread { socket, child }
    }

    fn signal(&self) {
        let pid = eudaemon_core::words::Pid::new(self.child.id()).expect("a process");
        eudaemon_sys::process::signal_pid(pid, Signal::Term).expect("it lives");
    }

    fn wait(mut self) -> ExitStatus {
        let ended = until("its end", || self.child.try_wait().expect("our child"));
        drop(self.socket);
        ended
    }
}

fn the_deadline_counts_while_the_manager_does_not_read() {
    let scratch = Scratch::new();
    let pidfile = scratch.path("pid");
    let options = [
        "--service.stop-timeout=300ms",
        &format!("--service.pidfile={}", pidfile.display()),
    ];
    let service = Unread::start(&scratch, &options);
    service.signal();
    assert_eq!(service.wait().code(), Some(75));
    assert!(!pidfile.exists());
}

fn a_second_term_is_heard_while_the_manager_does_not_read() {
    let scratch = Scratch::new();
    let service = Unread::start(&scratch, &["--service.stop-timeout=1h"]);
    service.signal();
    // The service itself hears the first, though nobody else can.
    scratch.heard("stopping");
    super::stage::past_the_echo();
    service.signal();
    assert_eq!(service.wait().code(), Some(75));
}

fn a_service_that_stops_at_once_is_heard_in_order() {
    for _ in 0..20 {
        let scratch = Scratch::new();
        let manager = scratch.managed(Manager::builder(), "last-words", &[]);
        manager.wait_ready(LONG).expect("it says so");
        assert!(manager.stop(LONG).expect("it stops").success());
        let told: Vec<_> = manager.events().into_iter().map(|one| one.what).collect();
        let at = |what| {
            told.iter()
                .position(|one| *one == what)
                .expect("it was said")
        };
        use eudaemon::testing::What;
        let stopping = at(What::Stopping);
        assert!(at(What::Ready) < stopping, "{told:?}");
        assert!(stopping < at(What::Status("drained".into())), "{told:?}");
    }
}

fn a_callback_may_ask_for_more_and_for_the_end() {
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "callbacks", &[]);
    manager.wait_ready(LONG).expect("it says so");
    manager.signal(Signal::Usr1).expect("it lives");
    scratch.heard("asked");
    manager.signal(Signal::Usr2).expect("it lives");
    let ended = manager.wait_end(LONG).expect("it stops");
    assert!(ended.success(), "{ended}: {}", scratch.log());
    assert_eq!(manager.status().as_deref(), Some("stopping"));
}

fn a_callback_that_panics_ends_the_service() {
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "callbacks", &[]);
    manager.wait_ready(LONG).expect("it says so");
    manager.signal(Signal::Winch).expect("it lives");
    let ended = manager.wait_end(LONG).expect("it stops");
    assert_eq!(ended.code(), Some(70), "{}", scratch.log());
    assert!(
        scratch.log().contains("out of columns"),
        "{}",
        scratch.log()
    );
}
