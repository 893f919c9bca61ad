//! One command from its start to its end: how long, and how much of a processor.

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// What a run took.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// From before the start to the end.
    pub wall: Duration,
    /// User and system time of the process itself, its children not counted.
    pub cpu: Duration,
}

/// Runs it; an exit code that is not zero is an error.
///
/// The time comes from the dead process before it is reaped, in nanoseconds: first field of `/proc/PID/schedstat`, in the
/// kernel's `Documentation/scheduler/sched-stats.rst`. `getrusage(2)` would do, but std and rustix do not offer it.
pub fn run(command: &mut Command) -> Result<Took, String> {
    let name = format!("{:?}", command.get_program());
    let begin = Instant::now();
    let mut child = command
        .spawn()
        .map_err(|why| format!("unable to run {name}: {why}"))?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| format!("{name} has no pid"))?;
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while matches!(waitid(WaitId::Pid(pid), ended), Err(Errno::INTR)) {}
    let wall = begin.elapsed();
    let stat = fs::read_to_string(format!("/proc/{}/schedstat", child.id())).unwrap_or_default();
    let cpu = stat
        .split_ascii_whitespace()
        .next()
        .and_then(|field| field.parse().ok())
        .map(Duration::from_nanos);
    let status = child
        .wait()
        .map_err(|why| format!("unable to wait for {name}: {why}"))?;
    if !status.success() {
        return Err(format!("{name}: {status}"));
    }
    let cpu = cpu.ok_or("the kernel tells no /proc/PID/schedstat (CONFIG_SCHED_INFO)")?;
    Ok(Took { wall, cpu })
}

/// Puts this process, and so its children, before everything else on the machine, or back. Says so if that is refused.
pub fn before_all_others(yes: bool) {
    let policy: &[&str] = if yes {
        &["--rr", "-p", "1"]
    } else {
        &["--other", "-p", "0"]
    };
    let done = Command::new("chrt")
        .args(policy)
        .arg(std::process::id().to_string())
        .status();
    if !done.is_ok_and(|status| status.success()) {
        eprintln!(
            "xtask: warning: unable to change the scheduling class: what else runs here is in the figures"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_seen_and_failure_too() {
        let idle = run(&mut Command::new("true")).unwrap();
        let busy = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done";
        let busy = run(Command::new("sh").args(["-c", busy])).unwrap();
        assert!(
            busy.cpu > idle.cpu && busy.wall >= busy.cpu / 2,
            "{busy:?} {idle:?}"
        );
        assert!(
            run(&mut Command::new("false"))
                .unwrap_err()
                .contains("exit status")
        );
    }
}
