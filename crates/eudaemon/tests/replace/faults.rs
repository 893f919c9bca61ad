//! The new process dies at any of its system calls, from the first to the one by which it says ready: the old one serves on.
//!
//! A sample of them; every one where `EUDAEMON_EVERY_CALL` is set.

use super::harness::Test;
use super::stage::{LONG, Scratch, settled, settles};
use eudaemon::testing::Manager;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

pub const TESTS: &[Test] = &[
    // One test, many deaths.
    ("killed_at_any_call", killed_at_any_call),
];

/// How many of the calls are tried when not all are.
const SAMPLE: usize = 24;

fn is_possible() -> bool {
    let is_there = Command::new("strace").arg("-V").output().is_ok();
    if !is_there {
        eprintln!("SKIPPED: there is no strace");
        assert!(
            std::env::var_os("EUDAEMON_REQUIRE").is_none(),
            "skipped although required"
        );
    }
    is_there
}

/// From here on the program is this one under strace, as the same process.
fn trace(scratch: &Scratch, options: &str) -> PathBuf {
    let (file, log) = (scratch.path("traced"), scratch.path("trace"));
    let own = std::env::current_exe().expect("procfs");
    let text = format!(
        "#!/bin/sh\nexec strace -D -o {} {options} {} \"$@\"\n",
        log.display(),
        own.display()
    );
    // Not the one that is executed just now.
    let _ = std::fs::remove_file(&file);
    std::fs::write(&file, text).expect("our own directory");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&file, mode).expect("our own");
    scratch.lead_to(&file);
    log
}

/// The calls of the main thread, each with which one of its name it is, up to ready.
fn calls(log: &Path) -> Vec<(String, usize)> {
    let text = std::fs::read_to_string(log).expect("strace wrote it");
    let mut all: Vec<(String, usize)> = Vec::new();
    for line in text.lines() {
        let Some((name, _)) = line.split_once('(') else {
            continue;
        };
        let when = 1 + all.iter().filter(|(other, _)| other == name).count();
        all.push((name.to_owned(), when));
        // Version 1, kind 16.
        if name == "sendmsg" && line.contains(r#"iov_base="\1\20""#) {
            return all;
        }
    }
    panic!("it never said ready: {text}");
}

fn killed_at_any_call() {
    if !is_possible() {
        return;
    }
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "serves", &[]);
    let log = trace(&scratch, "");
    let told = scratch.ask("replace 60000");
    assert!(told.starts_with("replaced "), "{told}: {}", scratch.log());
    manager.wait_end(LONG).expect("it was replaced");
    let calls = calls(&log);
    assert!(calls.len() > 50, "{calls:?}");

    let every = std::env::var_os("EUDAEMON_EVERY_CALL").is_some();
    let step = if every {
        1
    } else {
        calls.len().div_ceil(SAMPLE)
    };
    // The one that says ready, and what is around it, are always in.
    let chosen = calls.iter().rev().step_by(step);
    let (mut died, mut lived) = (0, Vec::new());
    let mut service: Option<(Scratch, Manager)> = None;
    for (call, when) in chosen {
        // The first of all is strace's own, by which it becomes the program.
        if call == "execve" {
            continue;
        }
        let (scratch, manager) = service.get_or_insert_with(|| {
            let scratch = Scratch::new();
            let manager = scratch.managed(Manager::builder(), "serves", &[]);
            (scratch, manager)
        });
        let pid = manager.pid();
        let mut before = settled(scratch, pid);
        trace(
            scratch,
            &format!("-e inject={call}:signal=KILL:when={when}"),
        );
        let told = scratch.ask("replace 60000");
        // The same program does not make quite the same calls each time.
        if told.starts_with("replaced ") {
            lived.push((call, when));
            service = None;
            continue;
        }
        let how = "Exited: the new process ended before it was ready: signal: 9 (SIGKILL)";
        assert!(
            told.starts_with(how),
            "{call} {when}: {told}\n{}",
            scratch.log()
        );
        assert_eq!(scratch.ask("who"), pid.to_string(), "{call} {when}");
        // What strace wrote is its own.
        for file in ["trace", "traced"] {
            let _ = std::fs::remove_file(scratch.path(file));
            before.files.remove(file);
        }
        settles(scratch, pid, &before, &format!("{call} {when}"));
        died += 1;
    }
    eprintln!(
        "killed at {died} of {} calls, and not at {lived:?}",
        calls.len()
    );
    assert!(
        died >= SAMPLE / 2 && lived.len() <= died / 4,
        "{died}, {lived:?}"
    );
    // And then it is replaced all the same.
    let (scratch, manager) = service.expect("the last one served on");
    scratch.lead_to(&std::env::current_exe().expect("procfs"));
    let told = scratch.ask("replace 60000");
    assert!(told.starts_with("replaced "), "{told}");
    manager.wait_end(LONG).expect("it was replaced");
}
