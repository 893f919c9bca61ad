//! A message to the service manager, beside a bare `send(2)` of the same bytes. The example `messages` measures both in one
//! process; here it is run, round by round.

use super::subject::{Kind, Subject};
use super::{Options, Samples};
use crate::build::cargo;
use std::path::PathBuf;

/// What `--only` chooses from, of this file.
pub const SCENES: [&str; 1] = ["messages"];

/// The columns.
pub fn subjects() -> Vec<Subject> {
    columns("kernel")
}

/// Ours, and what it is held against.
pub fn columns(other: &str) -> Vec<Subject> {
    let column = |name: &str, kind| Subject {
        name: name.to_owned(),
        kind,
        dir: PathBuf::new(),
    };
    vec![column("ours", Kind::Ours), column(other, Kind::Bare)]
}

/// Measures; into the rows.
pub fn play(options: &Options, samples: &mut Samples) -> Result<(), String> {
    let words = [
        "run",
        "--release",
        "--quiet",
        "-p",
        "eudaemon",
        "--example",
        "messages",
    ];
    for _ in 0..options.rounds {
        let out = cargo()
            .args(words)
            .stderr(std::process::Stdio::inherit())
            .output()
            .map_err(|why| format!("unable to run cargo: {why}"))?;
        if !out.status.success() {
            return Err(format!("messages: {}", out.status));
        }
        for (row, column, nanos) in told(&String::from_utf8_lossy(&out.stdout))? {
            let key = (row, column.to_owned());
            samples.entry(key).or_default().push(nanos);
        }
    }
    Ok(())
}

/// What the example tells: a way and nanoseconds a line.
fn told(text: &str) -> Result<[(&'static str, &'static str, f64); 4], String> {
    let of = |way: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(way)?.strip_prefix('\t'));
        line.and_then(|nanos| nanos.parse::<f64>().ok())
            .ok_or(format!("messages: nothing of {way:?} in {text:?}"))
    };
    Ok([
        ("message-ready", "ours", of("ready")?),
        ("message-ready", "kernel", of("bare READY=1")?),
        ("message-watchdog", "ours", of("watchdog")?),
        ("message-watchdog", "kernel", of("bare WATCHDOG=1")?),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_has_its_figure() {
        let text = "bare READY=1\t400.5\nready\t410\nbare WATCHDOG=1\t401\nwatchdog\t411\n";
        let figures = told(text).unwrap();
        assert_eq!(figures[0], ("message-ready", "ours", 410.0));
        assert_eq!(figures[3], ("message-watchdog", "kernel", 401.0));
        assert!(told("ready\t1\n").unwrap_err().contains("bare READY=1"));
    }
}
