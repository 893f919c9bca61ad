//! One command from its start to its end: how long, and how much of a processor.

use super::{compile, compile_with_libc};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What a run took.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// From before the start to the end.
    pub wall: Duration,
    /// User and system time, all threads counted.
    pub cpu: Duration,
}

/// Times commands through `bench/took.c`: std and rustix offer no `wait4(2)`, and a small parent starts a program quickly.
#[derive(Debug)]
pub struct Clock {
    took: PathBuf,
    /// The program that ends at once.
    pub end: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// Compiles what is needed into `out`; figures come through a file in `scratch`.
    pub fn new(out: &Path, scratch: &Path) -> Result<Clock, String> {
        Ok(Clock {
            took: compile_with_libc(out, "took")?,
            end: compile(out, "true")?,
            file: scratch.join("figures"),
        })
    }

    /// A command to be timed.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(&self.took);
        command.arg(&self.file).arg(program);
        command
    }

    /// Runs a command that [`Clock::command`] made; an exit code that is not zero is an error.
    pub fn run(&self, command: &mut Command) -> Result<Took, String> {
        let status = command
            .status()
            .map_err(|why| format!("unable to run {command:?}: {why}"))?;
        if !status.success() {
            return Err(format!("{command:?}: {status}"));
        }
        let told = fs::read_to_string(&self.file).unwrap_or_default();
        let mut times = told.split_ascii_whitespace();
        let mut time = || times.next()?.parse().ok().map(Duration::from_nanos);
        match (time(), time()) {
            (Some(wall), Some(cpu)) => Ok(Took { wall, cpu }),
            _ => Err(format!("{command:?}: not timed: {told:?}")),
        }
    }
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
        let folder = std::env::temp_dir().join(format!("xtask-took-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let clock = Clock::new(&folder, &folder).unwrap();
        let idle = clock.run(&mut clock.command(&clock.end)).unwrap();
        let busy = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done";
        let busy = clock.run(clock.command("sh").args(["-c", busy])).unwrap();
        assert!(
            busy.cpu > idle.cpu && busy.wall > idle.wall,
            "{busy:?} {idle:?}"
        );
        let failed = clock.run(&mut clock.command("false"));
        assert!(failed.unwrap_err().contains("exit status: 1"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
