//! TCP and UDP over a restart.

use super::harness::Test;
use super::stage::{FAIL, LONG, Life, OPEN, PLAIN, client, free_port, line, names, until};
use eudaemon::testing::{Manager, What};
use eudaemon_core::words::Signal;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

pub const TESTS: &[Test] = &[
    (
        "who_waits_is_served_by_the_next",
        who_waits_is_served_by_the_next,
    ),
    (
        "a_killed_service_loses_nothing",
        a_killed_service_loses_nothing,
    ),
    (
        "what_is_closed_is_kept_no_more",
        what_is_closed_is_kept_no_more,
    ),
    (
        "another_address_is_another_socket",
        another_address_is_another_socket,
    ),
    (
        "an_address_keeps_its_socket_under_another_name",
        an_address_keeps_its_socket_under_another_name,
    ),
    ("what_is_in_the_way_gives_way", what_is_in_the_way_gives_way),
    (
        "one_of_several_of_a_name_is_closed",
        one_of_several_of_a_name_is_closed,
    ),
    (
        "a_managers_socket_is_never_stored",
        a_managers_socket_is_never_stored,
    ),
    (
        "nothing_is_removed_before_ready",
        nothing_is_removed_before_ready,
    ),
    (
        "a_service_that_stores_no_more_leaves_nothing",
        a_service_that_stores_no_more_leaves_nothing,
    ),
    (
        "without_a_store_nothing_is_kept_and_that_is_said_once",
        without_a_store_nothing_is_kept,
    ),
    (
        "a_manager_that_does_not_tell_is_tried",
        a_manager_that_does_not_tell_is_tried,
    ),
    (
        "a_store_that_is_too_small_is_told",
        a_store_that_is_too_small_is_told,
    ),
];

fn tcp(port: u16) -> String {
    format!("web=tcp:127.0.0.1:{port}")
}

fn who_waits_is_served_by_the_next() {
    let mut life = Life::new();
    let (port, udp) = (free_port(), free_port());
    let open = format!("{} dns=udp:127.0.0.1:{udp}", tcp(port));
    let first = life.serve(&[(OPEN, &open)]);
    assert_eq!(names(&first), ["dns", "eudaemon.stored", "web"]);
    let waits = client(port).unwrap();
    assert_eq!(life.order(&first, "answer web"), "ok");
    assert_eq!(line(&waits), first.pid().to_string());
    let waits = client(port).unwrap();
    let asks = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    asks.send_to(b"who", (Ipv4Addr::LOCALHOST, udp)).unwrap();
    life.end(first);
    // Nobody is there, and nobody is refused.
    let waits_too = client(port).unwrap();
    let second = life.serve(&[(OPEN, &open)]);
    assert_eq!(names(&second), ["dns", "eudaemon.stored", "web"]);
    for waits in [waits, waits_too] {
        assert_eq!(life.order(&second, "answer web"), "ok");
        assert_eq!(line(&waits), second.pid().to_string());
    }
    life.end(second);
    // As `systemctl stop` does it.
    life.forget();
    assert!(client(port).is_err());
}

fn a_killed_service_loses_nothing() {
    let mut life = Life::new();
    let port = free_port();
    let first = life.serve(&[(OPEN, &tcp(port))]);
    let waits = client(port).unwrap();
    first.signal(Signal::Kill).unwrap();
    life.after(first);
    let second = life.serve(&[(OPEN, &tcp(port))]);
    assert_eq!(life.order(&second, "answer web"), "ok");
    assert_eq!(line(&waits), second.pid().to_string());
    // And what is closed because of a stop is kept.
    second.signal(Signal::Term).unwrap();
    life.after(second);
    assert!(client(port).is_ok());
}

/// No black hole: what nobody serves refuses.
fn what_is_closed_is_kept_no_more() {
    let mut life = Life::new();
    let (port, other) = (free_port(), free_port());
    let first = life.serve(&[(OPEN, &tcp(port))]);
    let order = format!("open more tcp:127.0.0.1:{other}");
    assert_eq!(life.order(&first, &order), "ok");
    until("it is stored", || {
        first.stored_names().contains(&"more".to_owned())
    });
    assert_eq!(life.order(&first, "close web"), "ok");
    until("it is refused", || client(port).is_err());
    assert_eq!(names(&first), ["eudaemon.stored", "more"]);
    life.end(first);
    let open = format!("more=tcp:127.0.0.1:{other}");
    let second = life.serve(&[(OPEN, &open)]);
    assert_eq!(life.order(&second, "close more"), "ok");
    until("all is removed", || second.stored_names().len() < 2);
    assert!(client(other).is_err());
}

fn another_address_is_another_socket() {
    let mut life = Life::new();
    let (old, new) = (free_port(), free_port());
    let first = life.serve(&[(OPEN, &tcp(old))]);
    life.end(first);
    let second = life.serve(&[(OPEN, &tcp(new))]);
    until("the old one is refused", || client(old).is_err());
    assert!(client(new).is_ok());
    assert_eq!(names(&second), ["eudaemon.stored", "web"]);
    life.end(second);
    assert!(client(new).is_ok());
}

fn an_address_keeps_its_socket_under_another_name() {
    let mut life = Life::new();
    let port = free_port();
    let first = life.serve(&[(OPEN, &tcp(port))]);
    let waits = client(port).unwrap();
    life.end(first);
    let open = format!("http=tcp:127.0.0.1:{port}");
    let second = life.serve(&[(OPEN, &open)]);
    assert_eq!(life.order(&second, "answer http"), "ok");
    assert_eq!(line(&waits), second.pid().to_string());
    until("the name is new", || {
        names(&second) == ["eudaemon.stored", "http"]
    });
    life.end(second);
    let third = life.serve(&[(OPEN, &open)]);
    assert!(client(port).is_ok());
    drop(third);
}

/// Every address has the old port too: the old socket must go before the new one can be bound.
fn what_is_in_the_way_gives_way() {
    let mut life = Life::new();
    let port = free_port();
    let first = life.serve(&[(OPEN, &tcp(port))]);
    life.end(first);
    let open = format!("web=tcp:0.0.0.0:{port}");
    let second = life.serve(&[(OPEN, &open)]);
    assert!(client(port).is_ok());
    assert_eq!(names(&second), ["eudaemon.stored", "web"]);
    life.end(second);
    let third = life.serve(&[(OPEN, &tcp(port))]);
    assert_eq!(names(&third), ["eudaemon.stored", "web"]);
}

fn one_of_several_of_a_name_is_closed() {
    let mut life = Life::new();
    let (one, two) = (free_port(), free_port());
    let open = format!("{} {}", tcp(one), tcp(two));
    let first = life.serve(&[(OPEN, &open)]);
    assert_eq!(names(&first), ["eudaemon.stored", "web", "web"]);
    let waits = client(two).unwrap();
    life.end(first);
    let second = life.serve(&[(OPEN, &tcp(two))]);
    until("one is left", || {
        names(&second) == ["eudaemon.stored", "web"]
    });
    assert!(client(one).is_err());
    assert_eq!(life.order(&second, "answer web"), "ok");
    assert_eq!(line(&waits), second.pid().to_string());
    life.end(second);
    assert!(client(two).is_ok());
}

/// The manager has it anyway, and closes it when its unit is stopped.
fn a_managers_socket_is_never_stored() {
    let mut life = Life::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let own = free_port();
    let open = format!("web=tcp:127.0.0.1:1 own=tcp:127.0.0.1:{own}");
    for _ in 0..2 {
        let given = Manager::builder().listen("web", listener.try_clone().unwrap());
        let manager = life.begin_with(given, &[(OPEN, &open)]);
        manager.wait_ready(LONG).unwrap();
        let waits = client(port).unwrap();
        assert_eq!(life.order(&manager, "answer web"), "ok");
        assert_eq!(line(&waits), manager.pid().to_string());
        assert_eq!(names(&manager), ["eudaemon.stored", "own"]);
        life.end(manager);
    }
    drop(listener);
    assert!(client(port).is_err());
}

/// A version that cannot start is followed by the old one, which finds everything.
fn nothing_is_removed_before_ready() {
    let mut life = Life::new();
    let port = free_port();
    let first = life.serve(&[(OPEN, &tcp(port))]);
    let waits = client(port).unwrap();
    life.end(first);
    let failing = life.begin(&[(OPEN, ""), (FAIL, "1")]);
    life.after(failing);
    let third = life.serve(&[(OPEN, &tcp(port))]);
    assert_eq!(life.order(&third, "answer web"), "ok");
    assert_eq!(line(&waits), third.pid().to_string());
}

fn a_service_that_stores_no_more_leaves_nothing() {
    let mut life = Life::new();
    let port = free_port();
    let first = life.serve(&[(OPEN, &tcp(port))]);
    life.end(first);
    let second = life.serve(&[(OPEN, &tcp(port)), (PLAIN, "1")]);
    assert_eq!(second.stored_names(), [] as [&str; 0]);
    assert!(client(port).is_ok());
    life.end(second);
    assert!(client(port).is_err());
}

fn without_a_store_nothing_is_kept() {
    let mut life = Life::new();
    life.capacity = 0;
    let port = free_port();
    let first = life.serve(&[(OPEN, &tcp(port))]);
    assert_eq!(life.order(&first, "capacity"), "None false");
    let order = format!("open more tcp:127.0.0.1:{}", free_port());
    assert_eq!(life.order(&first, &order), "ok");
    assert_eq!(life.order(&first, "put-state a b"), "false");
    life.end(first);
    assert_eq!(life.log().matches("keeps no descriptors").count(), 1);
    assert!(client(port).is_err());
}

/// systemd before 254 has a store and no word about it.
fn a_manager_that_does_not_tell_is_tried() {
    let mut life = Life::new();
    let port = free_port();
    let silent = Manager::builder().without("FDSTORE");
    let first = life.begin_with(silent, &[(OPEN, &tcp(port))]);
    first.wait_ready(LONG).unwrap();
    assert_eq!(life.order(&first, "capacity"), "None true");
    assert_eq!(names(&first), ["eudaemon.stored", "web"]);
    let asked = |event: &&eudaemon::testing::Event| matches!(&event.what, What::Stored { name, .. } if name == "eudaemon.probe");
    assert_eq!(first.events().iter().filter(asked).count(), 1);
    life.end(first);
    assert!(client(port).is_ok());
}

fn a_store_that_is_too_small_is_told() {
    let mut life = Life::new();
    life.capacity = 2;
    let open = format!("{} more=tcp:127.0.0.1:{}", tcp(free_port()), free_port());
    let first = life.serve(&[(OPEN, &open)]);
    assert_eq!(names(&first), ["eudaemon.stored", "web"]);
    assert!(
        life.log().contains("FileDescriptorStoreMax="),
        "{}",
        life.log()
    );
    life.end(first);
}
