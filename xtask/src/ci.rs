//! What must pass before a change is handed in. `.ci/run` prepares a bare machine and then runs this.

use crate::Outcome;
use crate::build::{cargo, release};
use std::process::Command;
use std::time::Instant;

/// Runs the steps in order and stops at the first that fails. The judges get the release binary in its shipped form.
pub fn run() -> Outcome {
    step("fmt", cargo().args(["fmt", "--all", "--check"]))?;
    step(
        "clippy",
        cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ]),
    )?;
    let begin = Instant::now();
    let binary = match std::env::var_os("EUDAEMON_BIN") {
        Some(binary) => binary.into(),
        None => release(None)?,
    };
    told("release build", begin);
    eprintln!("xtask: the binary is {}", binary.display());
    step(
        "test",
        cargo()
            .args(["test", "--workspace", "--locked"])
            .env("EUDAEMON_BIN", binary),
    )
}

fn step(name: &str, command: &mut Command) -> Outcome {
    let begin = Instant::now();
    let status = command
        .status()
        .map_err(|why| format!("unable to run cargo: {why}"))?;
    told(name, begin);
    if status.success() {
        Ok(())
    } else {
        Err(format!("{name} failed: {status}"))
    }
}

fn told(name: &str, begin: Instant) {
    eprintln!("xtask: {name}: {:.1} s", begin.elapsed().as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_fails_ends_the_run() {
        assert_eq!(
            step("false", &mut Command::new("/bin/false")),
            Err("false failed: exit status: 1".to_owned())
        );
        assert_eq!(step("true", &mut Command::new("/bin/true")), Ok(()));
    }
}
