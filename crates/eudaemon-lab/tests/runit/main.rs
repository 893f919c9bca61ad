//! Differential judges: the same scene with Debian's runit 2.1.2 and with ours, equal to the byte; also crossed, their `sv` on
//! our supervisors and ours on theirs.
//!
//! **Not compared, on purpose:** what the original's sv says of a service within the second in which its runsv naps (it is told
//! of a command late; ours is not); the pids and seconds; `start`, `stop`, `notify` and s6's files, which runit does not know.

mod directories;
mod runsv;
mod runsvdir;
mod sv;
mod svlogd;

use eudaemon_lab::{Running, Stage};

/// Starts runsv and waits until sv finds it.
fn runsv(s: &Stage, dir: &str) -> Running {
    let running = s.begin(&format!("runsv {dir}"));
    s.soon(&format!("sv status ./{dir}"), || {
        s.ask(&format!("sv status ./{dir}")).code == 0
    });
    running
}

/// Waits until sv's words about a service contain `part`.
fn until(s: &Stage, service: &str, part: &str) {
    s.soon(&format!("sv status {service} to say {part:?}"), || {
        s.ask(&format!("sv status {service}")).out.contains(part)
    });
}

/// Waits until a script has come behind its traps so often: up is the fork, not the script's first line.
fn begun(s: &Stage, dir: &str, times: usize) {
    s.soon(&format!("{dir} to begin {times} times"), || {
        s.read(format!("{dir}/begun")).lines().count() == times
    });
}

/// The pid sv names first.
fn pid(s: &Stage, service: &str) -> i32 {
    let line = s.ask(&format!("sv status {service}")).out;
    line.split_once("(pid ")
        .and_then(|(_, rest)| rest.split_once(')'))
        .and_then(|(pid, _)| pid.parse().ok())
        .unwrap_or_else(|| panic!("no pid in {line:?}"))
}
