//! Each dialect's files and letters, judged from outside, on our programs alone: Debian's daemontools know none of them.
//!
//! What a rule says is in the name of its test; where the rule comes from is said above it (the specification's section).
//!
//! **Not tested:** encore's own programs beside ours (Debian has no package of them); a kernel without the calls that
//! `EUDAEMON_SPAWN` switches off; s6's default of five seconds for `finish`.

mod chain;
mod classic;
mod clean;
mod encore;
mod kernel;
mod privilege;
mod runit;
mod s6;
mod svscan;
mod trigger;
mod up;

use eudaemon_lab::{Bins, Outcome, Running, SOON, Signal, Subject, World, bins, until};
use std::fs;
use std::ops::Deref;
use std::time::Duration;

/// Longer than the gap between two starts: what has not been started again by then, never is.
const NEVER: Duration = Duration::from_millis(1600);

/// A world with our programs in it, and what all of them have in their environment.
struct House {
    world: World,
    bins: &'static Bins,
    env: Vec<(String, String)>,
}

impl Deref for House {
    type Target = World;
    fn deref(&self) -> &World {
        &self.world
    }
}

impl House {
    fn new(name: &str) -> Option<House> {
        Some(House {
            world: World::new(name),
            bins: bins(Subject::Ours)?,
            env: Vec::new(),
        })
    }

    /// The same with one more variable.
    fn with(mut self, name: &str, value: impl Into<String>) -> House {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    fn env(&self) -> Vec<(&str, &str)> {
        let pairs = self.env.iter();
        pairs.map(|(n, v)| (n.as_str(), v.as_str())).collect()
    }

    fn begin(&self, line: &str) -> Running {
        let argv: Vec<&str> = line.split(' ').collect();
        self.begin_words(&argv)
    }

    fn begin_words(&self, argv: &[&str]) -> Running {
        self.world.start_with(self.bins, argv, "", &self.env(), b"")
    }

    fn ask(&self, line: &str) -> Outcome {
        let argv: Vec<&str> = line.split(' ').collect();
        self.world.run_with(self.bins, &argv, "", &self.env(), b"")
    }

    /// Runs a line of the shell, with our programs first in its PATH.
    fn sh(&self, line: &str) -> Outcome {
        let words = ["/bin/sh", "-c", line];
        self.world.run_with(self.bins, &words, "", &self.env(), b"")
    }

    /// Starts supervise and waits until svok says yes.
    fn supervise(&self, dir: &str) -> Running {
        let running = self.begin(&format!("supervise {dir}"));
        self.soon("svok", || self.ask(&format!("svok {dir}")).code == 0);
        running
    }

    /// Starts svscan on `sv` and waits until svok says yes of each of these services.
    fn svscan(&self, names: &[&str]) -> Running {
        let running = self.begin("svscan sv");
        self.supervised(names);
        running
    }

    fn supervised(&self, names: &[&str]) {
        for name in names {
            let line = format!("svok sv/{name}");
            self.soon(&line, || self.ask(&line).code == 0);
        }
    }

    /// `svc`, which must have nothing to say.
    fn svc(&self, letters: &str, dir: &str) {
        let outcome = self.ask(&format!("svc {letters} {dir}"));
        assert_eq!((outcome.err.as_str(), outcome.code), ("", 0));
    }

    fn svstat(&self, dir: &str) -> String {
        self.ask(&format!("svstat {dir}")).out
    }

    /// Waits until svstat's words about `dir` contain `part`.
    fn until_status(&self, dir: &str, part: &str) {
        self.soon(&format!("svstat {dir} to say {part:?}"), || {
            self.svstat(dir).contains(part)
        });
    }

    fn soon(&self, what: &str, seen: impl FnMut() -> bool) {
        assert!(until(SOON, seen), "waited in vain for: {what}");
    }

    /// Waits until a process executes the program `name`, and is no longer the shell before it.
    fn until_it_is(&self, pid: i32, name: &str) {
        let comm = format!("{name}\n");
        self.soon(name, || {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|told| told == comm)
        });
    }

    /// Waits until a file has exactly these words.
    fn says(&self, path: &str, text: &str) {
        let came = until(SOON, || self.read(path) == text);
        assert!(came, "{path}: {:?}, not {text:?}", self.read(path));
    }

    /// Nothing of the kind happens, though it has the time to.
    fn never(&self, what: &str, seen: impl FnMut() -> bool) {
        assert!(!until(NEVER, seen), "it happened: {what}");
    }

    /// The pid svstat names, once it names one.
    fn pid(&self, dir: &str) -> i32 {
        let mut pid = None;
        self.soon(&format!("a pid of {dir}"), || {
            pid = pid_in(&self.svstat(dir));
            pid.is_some()
        });
        pid.unwrap_or_default()
    }

    fn exists(&self, path: &str) -> bool {
        self.path(path).symlink_metadata().is_ok()
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).expect("a file to remove");
    }

    /// The code of a program that must end now.
    fn code(&self, running: &Running) -> i32 {
        let outcome = running.outcome(SOON).expect("it ends");
        outcome.code
    }

    fn kill(&self, pid: i32, signal: Signal) {
        assert!(self.signal(pid, signal), "{pid} is not there to be killed");
    }
}

/// The first `(pid N)` of a line.
fn pid_in(line: &str) -> Option<i32> {
    let (_, rest) = line.split_once("(pid ")?;
    rest.split_once(')')?.0.parse().ok()
}

/// A field of /proc/PID/stat, counted as proc(5) does, from the third on.
fn stat_field(pid: i32, number: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after = &stat[stat.rfind(')')? + 1..];
    after
        .split_whitespace()
        .nth(number.checked_sub(3)?)
        .map(str::to_owned)
}

fn state(pid: i32) -> String {
    stat_field(pid, 3).unwrap_or_default()
}

fn alive(pid: i32) -> bool {
    !matches!(state(pid).as_str(), "" | "Z" | "X")
}

fn process_group(pid: i32) -> Option<i32> {
    stat_field(pid, 5)?.parse().ok()
}

fn session(pid: i32) -> Option<i32> {
    stat_field(pid, 6)?.parse().ok()
}
