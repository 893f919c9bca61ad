//! What becomes of a log line: `multilog` beside the original, and under everything that may befall a logger.
//!
//! **Not tested here:** power cuts (they need a machine that can be switched off); a disk that turns read-only under an open
//! file (the kernel refuses that remount: the errors are injected instead); a machine's clock that is set back under a
//! running logger (see `clock.rs`).

mod actions;
mod bytes;
mod chain;
mod clock;
mod disk;
mod faults;
mod forward;
mod kills;
mod links;
mod processor;
mod random;
mod recovery;
mod signals;
mod startup;

use eudaemon_lab::log::{Logger, Pipe};
use eudaemon_lab::{Running, Stage, Subject, asleep, bins};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// The multilog of a subject, if it is there.
fn logger(subject: Subject) -> Option<Logger> {
    bins(subject).map(Logger::multilog)
}

/// A count from the environment, so that `cargo xtask long` can ask for more.
fn count(name: &str, usual: u32) -> u32 {
    std::env::var(name).map_or(usual, |n| n.parse().expect("a count"))
}

/// The names in a log directory, by age where they have one; stamps are masked.
fn listing(dir: &Path) -> String {
    let mut names: Vec<_> = fs::read_dir(dir)
        .expect("a log directory")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let mut all = String::new();
    for name in names {
        // What ours alone keeps has a leading dot: nobody who reads logs sees it.
        if name.starts_with('.') {
            continue;
        }
        let path = dir.join(&name);
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        // Its text is nobody's: ours keeps there what a kill must not take with it.
        let text = if name == "lock" {
            Vec::new()
        } else {
            fs::read(&path).unwrap_or_default()
        };
        let shown = match name.get(25..) {
            Some(code) if name.starts_with('@') => format!("@STAMP{code}"),
            Some(_) | None => name,
        };
        let mut text = String::from_utf8_lossy(&text).into_owned();
        if text.len() > 400 {
            let sum = text
                .bytes()
                .fold(0_u32, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into()));
            text = format!("{} bytes, sum {sum}", text.len());
        }
        let _infallible = writeln!(all, "{shown} {mode:o} {text:?}");
    }
    all
}

/// The finished files of a log directory, by age.
fn finished(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with('@'))
        .collect();
    names.sort();
    names
}

/// A multilog on a pipe of ours.
struct Log {
    pipe: Pipe,
    running: Running,
}

impl Log {
    fn start(s: &Stage, arguments: &[&str]) -> Log {
        let pipe = Pipe::new();
        let program = s.service.program("multilog".as_ref());
        let running = s.start_on(&program, arguments, pipe.reader());
        Log { pipe, running }
    }

    /// Writes, and waits until it is taken and everything was done that is done with it.
    fn put(&self, s: &Stage, text: &str) {
        self.pipe.put(text.as_bytes());
        s.soon("it to take the bytes", || {
            self.pipe.drained() && asleep(self.running.pid)
        });
    }

    fn end(mut self, s: &Stage) {
        self.pipe.close();
        s.ending("multilog", &self.running);
    }
}
