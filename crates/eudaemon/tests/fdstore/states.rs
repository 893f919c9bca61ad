//! What a service puts into the store itself.

use super::harness::Test;
use super::stage::{LONG, Life, OPEN, STATE, TAKE, client, free_port, line, names, until};
use eudaemon::testing::{Manager, What};
use eudaemon_core::words::Signal;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

pub const TESTS: &[Test] = &[
    (
        "a_successor_goes_on_with_the_store",
        a_successor_goes_on_with_the_store,
    ),
    (
        "a_state_survives_and_is_replaced",
        a_state_survives_and_is_replaced,
    ),
    ("of_two_states_one_is_left", of_two_states_one_is_left),
    ("what_is_no_state_is_refused", what_is_no_state_is_refused),
    (
        "connections_come_back_until_they_hang_up",
        connections_come_back_until_they_hang_up,
    ),
    (
        "what_nobody_asks_for_is_removed",
        what_nobody_asks_for_is_removed,
    ),
    (
        "names_are_checked_and_room_is_counted",
        names_are_checked_and_room_is_counted,
    ),
];

/// One that takes the place of a running process, and is restarted then.
fn a_successor_goes_on_with_the_store() {
    let mut life = Life::new();
    let (web, more) = (free_port(), free_port());
    let open = format!("web=tcp:127.0.0.1:{web} more=tcp:127.0.0.1:{more}");
    let variables = [(STATE, "count"), (OPEN, &*open)];
    let manager = life.serve(&variables);
    assert_eq!(life.order(&manager, "put-state count one"), "true");
    let stored = ["count", "eudaemon.stored", "more", "web"];
    until("all is stored", || names(&manager) == stored);
    let old = manager.pid();
    let new: u32 = life.order(&manager, "replace").parse().expect("a process");
    until("it is the main process", || manager.main_pid() == new);
    manager.wait_end(LONG).expect("the old one leaves");
    until("it is ready", || said(&manager) == "count:one");
    assert_eq!(names(&manager), stored, "{old} {new} {}", life.log());
    for count in ["two", "three"] {
        assert_eq!(
            life.order_to(new, &format!("put-state count {count}")),
            "true"
        );
    }
    assert_eq!(life.order_to(new, "close more"), "ok");
    let closed = |name: &&String| name.ends_with("count");
    until("one state is left", || {
        let names = manager.stored_names();
        names.len() == 3 && names.iter().filter(closed).count() == 1
    });
    assert!(client(more).is_err());
    let waits = client(web).unwrap();
    manager.signal(Signal::Term).unwrap();
    let gone = format!("/proc/{new}");
    until("it has ended", || !std::path::Path::new(&gone).exists());
    life.after(manager);
    let variables = [
        (STATE, "count"),
        (OPEN, &*format!("web=tcp:127.0.0.1:{web}")),
    ];
    let last = life.serve(&variables);
    assert_eq!(said(&last), "count:three");
    assert_eq!(life.order(&last, "answer web"), "ok");
    assert_eq!(line(&waits), last.pid().to_string());
    life.end(last);
}

fn said(manager: &Manager) -> String {
    manager.status().unwrap_or_default()
}

fn a_state_survives_and_is_replaced() {
    let mut life = Life::new();
    let reads = [(STATE, "counters other")];
    let first = life.serve(&reads);
    assert_eq!(said(&first), "counters:none other:none");
    assert_eq!(life.order(&first, "put-state counters one"), "true");
    assert_eq!(life.order(&first, "state counters"), r#"Some(Ok("one"))"#);
    first.signal(Signal::Kill).unwrap();
    life.after(first);
    for (before, after) in [("one", "two"), ("two", "three"), ("three", "")] {
        let next = life.serve(&reads);
        assert_eq!(said(&next), format!("counters:{before} other:none"));
        // Not yet replaced, it is there for the next as well.
        life.end(next);
        let next = life.serve(&reads);
        assert_eq!(said(&next), format!("counters:{before} other:none"));
        assert_eq!(
            life.order(&next, &format!("put-state counters {after}")),
            "true"
        );
        until("one is left", || next.stored_names().len() == 1);
        life.end(next);
    }
    let last = life.serve(&reads);
    assert_eq!(said(&last), "counters: other:none");
    assert_eq!(life.order(&last, "remove counters"), "true");
    until("it is removed", || last.stored_names().is_empty());
    let stored = last
        .events()
        .into_iter()
        .filter(|event| matches!(event.what, What::Stored { .. }));
    assert_eq!(stored.count(), 0);
    life.end(last);
}

/// A service that is killed between storing the new and removing the old.
fn of_two_states_one_is_left() {
    let mut life = Life::new();
    let first = life.serve(&[]);
    life.order(&first, "put-state a old");
    life.order(&first, "put-state a new");
    until("the old one is gone", || {
        first.stored_names() == ["eudaemon.other.a"]
    });
    let file = first.stored("eudaemon.other.a").unwrap().remove(0);
    life.end(first);
    // Of the same name again: as if the second message had not come.
    let given = Manager::builder().listen("a", eudaemon_sys::sealed::make("x", b"old").unwrap());
    let second = life.begin_with(given, &[(STATE, "a")]);
    second.wait_ready(LONG).unwrap();
    assert!(["a:old", "a:new"].contains(&&*said(&second)));
    life.order(&second, "put-state a newer");
    until("one is left", || second.stored_names().len() == 1);
    drop(file);
    life.end(second);
}

fn what_is_no_state_is_refused() {
    let mut life = Life::new();
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let path = life.folder.join("file");
    std::fs::write(&path, "may change").unwrap();
    let file = OwnedFd::from(std::fs::File::open(&path).unwrap());
    let given = Manager::builder().listen("a", file).listen("b", ours);
    let manager = life.begin_with(given, &[(STATE, "a b")]);
    manager.wait_ready(LONG).unwrap();
    let refused =
        |name: &str| format!("{name}:what was stored as {name} is no state: it may change");
    assert_eq!(said(&manager), format!("{} {}", refused("a"), refused("b")));
}

fn connections_come_back_until_they_hang_up() {
    let mut life = Life::new();
    let takes = [(TAKE, "client other")];
    let first = life.serve(&takes);
    assert_eq!(said(&first), "client:0 other:0");
    assert_eq!(life.order(&first, "put client poll"), "true");
    assert_eq!(life.order(&first, "put client poll"), "true");
    until("both are stored", || {
        first.stored_names() == ["client", "client"]
    });
    assert_eq!(life.order(&first, "hang-up"), "ok");
    until("both are gone", || first.stored_names().is_empty());
    assert_eq!(life.order(&first, "put other stay"), "true");
    assert_eq!(life.order(&first, "hang-up"), "ok");
    life.end(first);
    let second = life.serve(&takes);
    assert_eq!(said(&second), "client:0 other:1");
    assert_eq!(second.stored_names(), ["other"]);
    assert_eq!(life.order(&second, "remove other"), "true");
    until("it is gone", || second.stored_names().is_empty());
    life.end(second);
}

fn what_nobody_asks_for_is_removed() {
    let mut life = Life::new();
    let first = life.serve(&[]);
    assert_eq!(life.order(&first, "put strange stay"), "true");
    assert_eq!(life.order(&first, "put-state stranger x"), "true");
    assert_eq!(life.order(&first, "put kept stay"), "true");
    life.end(first);
    let second = life.serve(&[(TAKE, "kept")]);
    assert_eq!(second.stored_names(), ["kept"]);
    life.end(second);
}

fn names_are_checked_and_room_is_counted() {
    let mut life = Life::new();
    life.capacity = 2;
    let manager = life.serve(&[]);
    assert_eq!(life.order(&manager, "capacity"), "Some(2) true");
    for name in ["a:b", "eudaemon.x", "ä", &"x".repeat(256)] {
        let no_name = format!("{name:?} cannot be the name of something stored");
        assert_eq!(life.order(&manager, &format!("put {name}")), no_name);
        assert_eq!(life.order(&manager, &format!("put-state {name}")), no_name);
        assert_eq!(life.order(&manager, &format!("remove {name}")), no_name);
    }
    let name = "x".repeat(241);
    let no_name = format!("{name:?} cannot be the name of something stored");
    assert_eq!(
        life.order(&manager, &format!("put-state {name} y")),
        no_name
    );
    assert_eq!(life.order(&manager, "put a stay"), "true");
    assert_eq!(life.order(&manager, "put a stay"), "true");
    let full = "the manager keeps no more than 2 descriptors: FileDescriptorStoreMax= in its unit";
    assert_eq!(life.order(&manager, "put a stay"), full);
    assert_eq!(life.order(&manager, "put-state b y"), full);
    assert_eq!(life.order(&manager, "remove a"), "true");
    assert_eq!(life.order(&manager, "put-state b y"), "true");
    life.end(manager);
}
