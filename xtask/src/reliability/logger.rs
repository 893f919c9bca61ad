//! What happens to a logger, and what it loses: multilog of ours and of daemontools, svlogd, s6-log. The accidents themselves
//! are the lab's (`eudaemon-lab`, program `logs`); here they are started and their figures passed on.

use super::scenes::Play;
use crate::bench::subject::Kind;
use crate::build::cargo;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Builds the program that plays the accidents, and puts it where the workers find it.
pub fn prepare(out: &Path) -> Result<(), String> {
    let target = out.join("lab");
    let built = cargo()
        .args([
            "build",
            "--release",
            "--quiet",
            "--package",
            "eudaemon-lab",
            "--bin",
            "logs",
            "--target-dir",
        ])
        .arg(&target)
        .status()
        .map_err(|why| format!("unable to run cargo: {why}"))?;
    if built.success() {
        Ok(())
    } else {
        Err("unable to build the lab's program `logs`: see above".to_owned())
    }
}

fn program() -> PathBuf {
    crate::workspace().join("target/reliability/lab/release/logs")
}

/// Runs one accident; its figures go where ours go. It leaves with us: whatever it starts dies with its world.
fn accident(play: &Play<'_>, name: &str, count: Option<u32>) -> Result<(), String> {
    let (family, file) = match play.subject.kind {
        Kind::Ours | Kind::Daemontools | Kind::Bare => ("multilog", "multilog"),
        Kind::Runit => ("svlogd", "svlogd"),
        Kind::S6 => ("s6-log", "s6-log"),
    };
    let mut command = Command::new(program());
    command
        .args([name, family])
        .arg(play.subject.dir.join(file));
    if let Some(count) = count {
        command.arg(count.to_string());
    }
    let status = command
        .env("TMPDIR", play.scratch)
        .stdin(Stdio::null())
        .status()
        .map_err(|why| format!("unable to run {}: {why}", program().display()))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("logs {name} {family}: {status}"))
    }
}

/// SIGKILL at full rate: G5.
pub fn kills(play: &Play<'_>) -> Result<(), String> {
    accident(play, "kills", Some(1000))
}

/// SIGKILL at every system call: G6.
pub fn calls(play: &Play<'_>) -> Result<(), String> {
    accident(play, "calls", None)
}

/// TERM at full rate: G7.
pub fn term(play: &Play<'_>) -> Result<(), String> {
    accident(play, "term", Some(50))
}

/// A full disk, alone, with SIGKILL and with TERM: G8 and G9.
pub fn full(play: &Play<'_>) -> Result<(), String> {
    accident(play, "full", None)
}

/// NUL bytes, no final newline, a line of a gibibyte: G10.
pub fn bytes(play: &Play<'_>) -> Result<(), String> {
    accident(play, "bytes", Some(1024))
}

/// A directory with files of tomorrow: G13.
pub fn clock(play: &Play<'_>) -> Result<(), String> {
    accident(play, "clock", None)
}

/// Links in the log directory: G27.
pub fn links(play: &Play<'_>) -> Result<(), String> {
    accident(play, "links", Some(300))
}
