//! It is replaced.

use super::harness::Test;
use super::stage::{LONG, Scratch, children, settled, started, until, wait_gone};
use eudaemon::Signal;
use eudaemon::testing::{Manager, What};

pub const TESTS: &[Test] = &[
    ("a_new_process_serves", a_new_process_serves),
    ("it_can_be_done_again", it_can_be_done_again),
    ("the_new_version_is_what_runs", the_new_version_is_what_runs),
    ("a_signal_asks_for_it", a_signal_asks_for_it),
    (
        "without_a_word_in_the_manifest_a_signal_does_not",
        without_a_word_in_the_manifest_a_signal_does_not,
    ),
    ("both_are_stopped", both_are_stopped),
    (
        "who_stays_connected_is_left_in_the_end",
        who_stays_connected_is_left_in_the_end,
    ),
    ("much_state_arrives", much_state_arrives),
];

/// The new process is what `ask` finds; stopped in the end, for the manager in its box waits for the first alone.
fn end(scratch: &Scratch) {
    let pid: u32 = scratch.ask("who").parse().expect("a process id");
    assert_eq!(scratch.ask("stop"), "stopping");
    wait_gone(pid);
    assert!(!scratch.path("web.sock").exists(), "{:?}", scratch.files());
}

fn a_new_process_serves() {
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "serves", &[]);
    let old = manager.pid();
    assert_eq!(scratch.ask("who"), old.to_string());
    let mut early = scratch.client();
    let told = early.ask("replace-with twelve bytes");
    let new: u32 = (told
        .strip_prefix("replaced ")
        .and_then(|pid| pid.parse().ok()))
    .unwrap_or_else(|| panic!("{told}: {}", scratch.log()));
    // Whoever comes now finds the new one; whoever was there is served by the old one to the end.
    assert_eq!(scratch.ask("who"), new.to_string());
    assert_eq!(scratch.ask("state"), "twelve bytes");
    assert_eq!(scratch.ask("generation"), "1");
    assert_eq!(early.ask("who"), old.to_string());
    drop(early);
    let ended = manager.wait_end(LONG).expect("it has nobody left");
    assert!(ended.success(), "{ended:?}: {}", scratch.log());
    // The manager was told by the one that it listened to, and nobody said that the service stops.
    until("the new one's words", || {
        (manager.status()? == "generation 1").then_some(())
    });
    assert_eq!(manager.main_pid(), new);
    let events = manager.events();
    let is_stop = |what: &What| matches!(what, What::Stopping);
    assert!(
        !events.iter().any(|event| is_stop(&event.what)),
        "{events:?}"
    );
    assert_eq!(manager.violations(), []);
    end(&scratch);
}

fn it_can_be_done_again() {
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "serves", &[]);
    let mut before = manager.pid();
    for generation in 1..=5 {
        let told = scratch.ask("replace 60000");
        let new = told
            .strip_prefix("replaced ")
            .unwrap_or_else(|| panic!("{told}"));
        wait_gone(before);
        assert_eq!(scratch.ask("who"), new);
        assert_eq!(scratch.ask("state"), format!("from {before}"));
        assert_eq!(scratch.ask("generation"), generation.to_string());
        before = new.parse().expect("a process id");
        assert_eq!(started(before), []);
        // A spawner of its own, and not that of the one before.
        assert_eq!(children(before).len(), 1);
    }
    // The fifth has no more than the first one had.
    let fifth = settled(&scratch, before);
    let told = scratch.ask("replace 60000");
    let sixth: u32 = told.trim_start_matches("replaced ").parse().expect("it");
    wait_gone(before);
    let sixth = settled(&scratch, sixth);
    assert_eq!((sixth.fds, sixth.files), (fifth.fds, fifth.files));
    end(&scratch);
}

/// The path is looked at again: what lies there by now is started, and finds its own name.
fn the_new_version_is_what_runs() {
    let scratch = Scratch::new();
    let _manager = scratch.managed(Manager::builder(), "serves", &[]);
    let newer = scratch.path("newer");
    std::fs::copy(std::env::current_exe().expect("procfs"), &newer).expect("there is room");
    scratch.lead_to(&newer);
    let told = scratch.ask("replace 60000");
    let new = told
        .strip_prefix("replaced ")
        .unwrap_or_else(|| panic!("{told}"));
    let runs = std::fs::read_link(format!("/proc/{new}/exe")).expect("it lives");
    assert_eq!(runs, newer);
    end(&scratch);
}

fn a_signal_asks_for_it() {
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "serves", &[]);
    let old = manager.pid();
    manager.signal(Signal::Usr2).expect("it lives");
    wait_gone(old);
    assert_eq!(scratch.ask("state"), format!("from {old}"));
    let log = scratch.log();
    assert!(log.contains("serves now"), "{log}");
    end(&scratch);
}

/// As before there was such a thing: nobody asked for the signal, so nothing happens.
fn without_a_word_in_the_manifest_a_signal_does_not() {
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "serves-alone", &[]);
    manager.signal(Signal::Usr2).expect("it lives");
    assert_eq!(scratch.ask("who"), manager.pid().to_string());
    assert_eq!(started(manager.pid()), []);
    // The service may do it by itself all the same.
    let told = scratch.ask("replace 60000");
    assert!(told.starts_with("replaced "), "{told}");
    end(&scratch);
}

/// As `systemctl stop` does it: every process of the service is told, and both end in order.
fn both_are_stopped() {
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "serves", &[]);
    let mut held = scratch.client();
    let told = held.ask("replace 60000");
    let new: u32 = told.trim_start_matches("replaced ").parse().expect("it");
    manager
        .signal(Signal::Term)
        .expect("the main process lives");
    let old = eudaemon_core::words::Pid::new(manager.pid()).expect("a process id");
    eudaemon_sys::process::signal_pid(old, Signal::Term).expect("it drains");
    let ended = manager.wait_end(LONG).expect("it ends");
    assert!(ended.success(), "{ended:?}");
    wait_gone(new);
    assert!(!scratch.path("web.sock").exists());
}

/// As long as any stop may take, and then it is no failure.
fn who_stays_connected_is_left_in_the_end() {
    let scratch = Scratch::new();
    let options = ["--service.stop-timeout=1s"];
    let manager = scratch.managed(Manager::builder(), "serves", &options);
    let mut held = scratch.client();
    let told = held.ask("replace 60000");
    assert!(told.starts_with("replaced "), "{told}");
    let ended = manager.wait_end(LONG).expect("it leaves");
    assert_eq!(ended.code(), Some(0), "{}", scratch.log());
    assert!(scratch.log().contains("somebody is still connected"));
    assert_eq!(held.hear(), "", "its connection ends");
    // What it left is the new one's.
    assert_eq!(scratch.ask("generation"), "1");
    end(&scratch);
}

/// More than a message, a pipe or a socket takes at once.
fn much_state_arrives() {
    let scratch = Scratch::new();
    let _manager = scratch.managed(Manager::builder(), "serves", &[]);
    let state = "0123456789abcdef".repeat(1 << 17);
    let told = scratch.ask(&format!("replace-with {state}"));
    assert!(told.starts_with("replaced "), "{told}");
    let came = scratch.ask("state");
    assert!(came == state, "{} bytes of {}", came.len(), state.len());
    end(&scratch);
}
