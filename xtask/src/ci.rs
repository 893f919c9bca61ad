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
            "--all-features",
            "--locked",
            "--",
            "-D",
            "warnings",
        ]),
    )?;
    for feature in features()? {
        // One that compiles only beside another is not additive.
        step(
            &format!("feature {feature:?} alone"),
            cargo().args([
                "check",
                "-p",
                "eudaemon",
                "--all-targets",
                "--locked",
                "--features",
                &feature,
            ]),
        )?;
    }
    step(
        "doc",
        cargo()
            .args([
                "doc",
                "-p",
                "eudaemon",
                "-p",
                "eudaemon-core",
                "-p",
                "eudaemon-sys",
                "--all-features",
                "--no-deps",
                "--locked",
            ])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    let begin = Instant::now();
    let binary = match std::env::var_os("EUDAEMON_BIN") {
        Some(binary) => binary.into(),
        None => release(None)?,
    };
    told("release build", begin);
    eprintln!("xtask: the binary is {}", binary.display());
    // What stands on the C library's own ways, with the other one: credentials, signals, threads, forks.
    let musl = |verb| {
        let mut command = cargo();
        command.args([verb, "-p", "eudaemon", "--all-features", "--locked"]);
        command.args(["--target", "x86_64-unknown-linux-musl"]);
        command
    };
    step("examples, static", musl("build").arg("--examples"))?;
    let tests = ["drop", "life", "sandbox", "whole"].map(|name| format!("--test={name}"));
    step("test, static", musl("test").args(tests))?;
    // The README's own command, last.
    step(
        "test",
        cargo()
            .args(["test", "--workspace", "--all-features", "--locked"])
            .env("EUDAEMON_BIN", binary),
    )
}

/// The library's features, by its own manifest, and none of them.
fn features() -> Result<Vec<String>, String> {
    let path = crate::workspace().join("crates/eudaemon/Cargo.toml");
    let text = std::fs::read_to_string(&path)
        .map_err(|why| format!("unable to read {}: {why}", path.display()))?;
    let section = text.split("[features]").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.split_once(" = "));
    let names: Vec<String> = rows.map(|(name, _)| name.trim().to_owned()).collect();
    match names.first().map(String::as_str) {
        Some("default") => Ok(names),
        _ => Err(format!("{} has no features", path.display())),
    }
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
    fn the_features_are_those_of_the_manifest() {
        let names = features().expect("it has some");
        assert!(names.contains(&"testing".to_owned()), "{names:?}");
        assert!(
            names.iter().all(|name| !name.contains(['#', ' '])),
            "{names:?}"
        );
    }

    #[test]
    fn a_step_that_fails_ends_the_run() {
        assert_eq!(
            step("false", &mut Command::new("/bin/false")),
            Err("false failed: exit status: 1".to_owned())
        );
        assert_eq!(step("true", &mut Command::new("/bin/true")), Ok(()));
    }
}
