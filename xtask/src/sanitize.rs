//! The code that owns descriptors and memory by hand, watched while its tests run: by AddressSanitizer, which sees memory that is
//! used when it is gone or never given back, and by `strace`, which sees a descriptor that is closed twice.
//!
//! Miri runs none of it: it has no sockets, no `sendmsg(2)` and no fork.

use crate::build::cargo;
use crate::{Outcome, workspace};
use std::path::Path;
use std::process::Command;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The tests, as cargo is told them.
const SUBJECTS: [&[&str]; 3] = [
    &["-p", "eudaemon-sys", "--lib"],
    &["-p", "eudaemon", "--all-features", "--lib"],
    &["-p", "eudaemon", "--all-features", "--test=sockets"],
];

/// Its thread ends by a system call of its own, and so never gives back what the thread had.
const LEAKS: &str = "the_handler_makes_no_system_call";

/// Both, one after the other.
pub fn run() -> Outcome {
    for subject in SUBJECTS {
        eprintln!("xtask: AddressSanitizer: {}", subject.join(" "));
        succeeds(&mut with_asan(subject))?;
    }
    let trace = workspace().join("target/sanitize/closes");
    std::fs::create_dir_all(workspace().join("target/sanitize"))
        .map_err(|why| format!("unable to make target/sanitize: {why}"))?;
    for subject in SUBJECTS {
        eprintln!("xtask: descriptors: {}", subject.join(" "));
        let _ = std::fs::remove_file(&trace);
        succeeds(&mut with_strace(subject, &trace))?;
        no_close_failed(&trace)?;
    }
    Ok(())
}

fn test(subject: &[&str], folder: &str) -> Command {
    let mut command = cargo();
    command.arg("test").args(subject);
    command.args(["--target", TARGET, "--target-dir", folder]);
    command
}

/// The compiler in use has the sanitizer's library, but lets only a nightly one link it; this makes an exception of it for
/// what is built here. Source: the unstable book, "sanitizer"; rustc, `RUSTC_BOOTSTRAP`.
fn with_asan(subject: &[&str]) -> Command {
    let mut command = test(subject, "target/sanitize/asan");
    command.args(["--", "--skip", LEAKS]);
    command.env("RUSTC_BOOTSTRAP", "1");
    command.env("RUSTFLAGS", "-Zsanitizer=address");
    command.env("ASAN_OPTIONS", "detect_stack_use_after_return=1");
    command
}

fn with_strace(subject: &[&str], trace: &Path) -> Command {
    let mut command = test(subject, "target/sanitize/plain");
    let runner = format!(
        "strace --follow-forks --quiet=all --failed-only --output-append-mode --trace=close --output={}",
        trace.display()
    );
    command.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", runner);
    command
}

fn succeeds(command: &mut Command) -> Outcome {
    let status = command
        .status()
        .map_err(|why| format!("unable to start cargo: {why}"))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("sanitize: {status}")),
    }
}

/// A descriptor that is closed and is not open was closed before, by somebody who thought that it was his.
fn no_close_failed(trace: &Path) -> Outcome {
    let text = std::fs::read_to_string(trace)
        .map_err(|why| format!("unable to read {}: {why}", trace.display()))?;
    let wrong: Vec<&str> = text.lines().filter(|line| is_twice(line)).collect();
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "{} descriptors were closed that were not open:\n{}",
            wrong.len(),
            wrong[..wrong.len().min(20)].join("\n")
        )),
    }
}

fn is_twice(line: &str) -> bool {
    line.contains("close(") && line.contains("EBADF")
}

#[cfg(test)]
mod tests {
    use super::is_twice;

    #[test]
    fn a_second_close_is_found() {
        assert!(is_twice("1234  close(7) = -1 EBADF (Bad file descriptor)"));
        assert!(!is_twice("1234  +++ exited with 0 +++"));
    }
}
