//! Under a manager.

use super::Test;
use super::stage::{LONG, Scratch, until};
use eudaemon::testing::{Manager, What};
use eudaemon_core::words::Signal;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

pub const TESTS: &[Test] = &[
    (
        "ready_is_said_once_with_the_status",
        ready_is_said_once_with_the_status,
    ),
    (
        "a_reload_is_told_from_its_begin_to_its_end",
        a_reload_is_told_from_its_begin_to_its_end,
    ),
    (
        "a_service_that_does_not_reload_lets_nobody_wait",
        a_service_that_does_not_reload_lets_nobody_wait,
    ),
    (
        "reloads_asked_for_meanwhile_are_one_more",
        reloads_asked_for_meanwhile_are_one_more,
    ),
    (
        "a_runnable_and_a_future_live_the_same_life",
        a_runnable_and_a_future_live_the_same_life,
    ),
    (
        "a_hang_is_told_before_the_manager_must_find_out",
        a_hang_is_told_before_the_manager_must_find_out,
    ),
    (
        "progress_extends_the_time_and_no_more_often_than_needed",
        progress_extends_the_time,
    ),
    (
        "a_readiness_descriptor_and_file_hear_it_too",
        a_readiness_descriptor_and_file_hear_it_too,
    ),
    (
        "an_early_term_is_an_orderly_stop",
        an_early_term_is_an_orderly_stop,
    ),
    (
        "the_level_moves_with_ttin_and_ttou",
        the_level_moves_with_ttin_and_ttou,
    ),
];

fn count(manager: &Manager, what: &What) -> usize {
    let events = manager.events();
    events.iter().filter(|event| event.what == *what).count()
}

fn ready_is_said_once_with_the_status() {
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "plain", &[]);
    manager.wait_ready(LONG).expect("it says so");
    assert_eq!(manager.status().as_deref(), Some("at work"));
    let ended = manager.stop(LONG).expect("it stops");
    assert!(ended.success(), "{ended}: {}", scratch.log());
    scratch.heard("stopped");
    assert_eq!(count(&manager, &What::Ready), 1);
    assert_eq!(count(&manager, &What::Stopping), 1);
    assert_eq!(manager.violations(), []);
}

fn a_reload_is_told_from_its_begin_to_its_end() {
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "reload", &[]);
    manager.wait_ready(LONG).expect("it says so");
    manager
        .reload(LONG)
        .expect("by the rules of Type=notify-reload");
    manager.wait_status("reloaded 1", LONG).expect("it did");
    scratch.say("wrong");
    manager.reload(LONG).expect("it is over, if not well");
    manager
        .wait_status("reload failed: line 3: no such thing", LONG)
        .expect("why");
    // And what it was before counts again when one goes well that says nothing.
    std::fs::rename(scratch.path("wrong"), scratch.path("silent")).expect("our own directory");
    manager.reload(LONG).expect("it is over");
    assert_eq!(manager.status().as_deref(), Some("reloaded 1"));
    assert!(manager.stop(LONG).expect("it stops").success());
    assert_eq!(manager.violations(), []);
}

fn a_service_that_does_not_reload_lets_nobody_wait() {
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "plain", &[]);
    manager.wait_ready(LONG).expect("it says so");
    manager.reload(LONG).expect("it is over at once");
    assert!(manager.stop(LONG).expect("it stops").success());
    assert!(
        scratch.log().contains("does not reload"),
        "{}",
        scratch.log()
    );
}

fn reloads_asked_for_meanwhile_are_one_more() {
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "reload-thread", &[]);
    manager.wait_ready(LONG).expect("it says so");
    manager.signal(Signal::Hup).expect("it lives");
    manager
        .wait_for(LONG, |event| event.what == What::Reloading)
        .expect("it begins");
    for _ in 0..5 {
        manager.signal(Signal::Hup).expect("it lives");
    }
    // They came meanwhile, and not when the first reload was over.
    let pid = manager.pid();
    let is_pending = || super::stage::of_threads(pid, "ShdPnd")[0] != "0000000000000000";
    until("the last is taken", || (!is_pending()).then_some(()));
    scratch.say("go");
    until("the second reload's end", || {
        (count(&manager, &What::Ready) == 3).then_some(())
    });
    assert!(manager.stop(LONG).expect("it stops").success());
    assert_eq!(count(&manager, &What::Reloading), 2);
}

fn a_runnable_and_a_future_live_the_same_life() {
    for role in ["runnable", "future"] {
        let scratch = Scratch::new();
        let options = ["--service.stop-timeout", "20s"];
        let manager = scratch.managed(Manager::builder(), role, &options);
        manager.wait_ready(LONG).expect("it says so");
        manager.reload(LONG).expect("it says so");
        assert!(manager.stop(LONG).expect("it stops").success(), "{role}");
        assert_eq!(manager.violations(), [], "{role}");
        if role == "runnable" {
            let rest: u64 = scratch.heard("rest").parse().expect("seconds");
            assert!((10..=20).contains(&rest), "{rest}");
            assert_eq!(manager.status().as_deref(), Some("stopping"));
        }
    }
}

fn a_hang_is_told_before_the_manager_must_find_out() {
    let scratch = Scratch::new();
    let builder = Manager::builder().watchdog(Duration::from_secs(20));
    let manager = scratch.managed(builder, "hangs", &[]);
    manager.wait_ready(LONG).expect("it says so");
    manager
        .wait_for(LONG, |event| event.what == What::Triggered)
        .expect("it says so itself");
    let ended = manager.wait_end(LONG).expect("it is ended");
    assert_eq!(ended.signal(), Some(6), "{ended}");
    assert!(
        manager
            .status()
            .is_some_and(|status| status.contains("work")),
        "{:?}",
        manager.status()
    );
    assert!(count(&manager, &What::Alive) > 0);
}

fn progress_extends_the_time() {
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "progress", &[]);
    manager.wait_ready(LONG).expect("it says so");
    manager.stop(LONG).expect("it stops");
    let events = manager.events();
    let extended: Vec<_> = events
        .iter()
        .filter_map(|event| {
            let What::Extended(by) = event.what else {
                return None;
            };
            Some(by.as_secs())
        })
        .collect();
    assert_eq!(extended.first(), Some(&30), "{extended:?}");
    assert!(
        extended.contains(&40) && extended.len() <= 4,
        "{extended:?}"
    );
}

fn a_readiness_descriptor_and_file_hear_it_too() {
    use std::io::Read;
    let scratch = Scratch::new();
    let file = scratch.path("ready");
    let (mut ours, theirs) = std::io::pipe().expect("a pipe");
    let mut shell = std::process::Command::new("sh");
    let program = std::env::current_exe().expect("procfs");
    let line = format!(
        "exec '{}' --service.notify-fd 3 --service.ready-file {} 3>&1 >/dev/null",
        program.display(),
        file.display()
    );
    let command = shell
        .args(["-c", &line])
        .stdout(theirs)
        .stderr(std::process::Stdio::null());
    let command = command
        .env(super::stage::ROLE, "plain")
        .env(super::stage::FOLDER, &scratch.0);
    let mut child = command
        .env_remove("NOTIFY_SOCKET")
        .spawn()
        .expect("a shell");
    drop(shell);
    let mut said = Vec::new();
    ours.read_to_end(&mut said)
        .expect("a line, and it is closed");
    assert_eq!(said, b"\n");
    until("the file", || file.exists().then_some(()));
    let pid = child.id().to_string();
    let killed = std::process::Command::new("kill").arg(pid).status();
    assert!(killed.expect("kill").success());
    assert!(child.wait().expect("ours").success());
    assert!(!file.exists(), "it goes with the service");
}

fn an_early_term_is_an_orderly_stop() {
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "slow-init", &[]);
    scratch.heard("begun");
    manager.signal(Signal::Term).expect("it lives");
    scratch.say("go");
    let ended = manager.wait_end(LONG).expect("it stops");
    assert!(ended.success(), "{ended}: {}", scratch.log());
    scratch.heard("stopped");
    assert_eq!(scratch.heard("asked"), "true");
    assert_eq!(manager.violations(), []);
}

fn the_level_moves_with_ttin_and_ttou() {
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "plain", &["--service.log-level=notice"]);
    manager.wait_ready(LONG).expect("it says so");
    manager.signal(Signal::Ttin).expect("it lives");
    until("info", || {
        scratch.log().contains("level is info").then_some(())
    });
    manager.signal(Signal::Ttou).expect("it lives");
    until("notice", || {
        scratch.log().contains("level is notice").then_some(())
    });
    assert!(manager.stop(LONG).expect("it stops").success());
}
