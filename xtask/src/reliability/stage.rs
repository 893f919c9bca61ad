//! A tree with what happens to it: who supervises is found and killed, commands are given, statuses read, each with a deadline.

use crate::bench::process::{self, Process};
use crate::bench::subject::{Kind, Subject};
use crate::bench::tree::{self, Run, Tree, now_ns};
use crate::bench::{ask, compile};
use crate::workspace;
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// What supervises the services: one process each, or our one engine.
    Supervisors,
    /// What starts those: svscan, runsvdir, s6-svscan, our keeper.
    Scanner,
    /// All of them at once.
    All,
}

/// An act of killing.
pub struct Killed {
    /// When the signal was sent, as the services tell time.
    pub begin: u64,
    /// How long until they were dead.
    pub died: Duration,
    /// Who.
    pub pids: BTreeSet<i32>,
}

/// What a status program says, as far as all of them say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Whether it says that the service is up.
    pub up: bool,
    /// Under which pid.
    pub pid: Option<u64>,
    /// For how many seconds.
    pub seconds: Option<u64>,
    /// Its words.
    pub words: String,
}

/// Reads `web: up (pid 4) 5 seconds`, `run: web: (pid 4) 5s` and `up (pid 4 pgid 4) 5 seconds`.
pub fn said(words: &str) -> Said {
    let number = |text: &str| {
        let end = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        text[..end].parse::<u64>().ok()
    };
    let first = words.lines().next().unwrap_or_default();
    let (pid, after) = match first.split_once("(pid ") {
        Some((_, rest)) => (
            number(rest),
            rest.split_once(')').map_or("", |(_, after)| after),
        ),
        None => (None, ""),
    };
    Said {
        up: pid.is_some() && (first.contains("up (pid ") || first.starts_with("run: ")),
        pid,
        seconds: number(after.trim_start()),
        words: first.to_owned(),
    }
}

/// One tree under one subject, and everything that may befall it.
pub struct Stage<'a> {
    /// Whose programs run.
    pub subject: &'a Subject,
    /// The tree of the bench; it ends what it started when it is dropped.
    pub tree: Tree<'a>,
}

/// The trivial service, compiled by the one who starts the workers.
pub fn pause() -> PathBuf {
    workspace().join("target/reliability/pause")
}

/// Compiles it.
pub fn prepare(out: &Path) -> Result<(), String> {
    compile(out, "pause").map(drop)
}

impl<'a> Stage<'a> {
    /// Plants `services` trivial services; nothing runs yet.
    pub fn plant(
        subject: &'a Subject,
        pause: &'a Path,
        scratch: &Path,
        services: usize,
    ) -> Result<Stage<'a>, String> {
        Ok(Stage {
            subject,
            tree: Tree::plant(subject, pause, scratch, Run::Direct, services)?,
        })
    }

    /// The directory of service `at`.
    pub fn dir(&self, at: usize) -> PathBuf {
        self.tree.scan.join(tree::name(at))
    }

    /// Replaces or adds a script of a service.
    pub fn script(&self, file: &Path, body: &str) -> Result<(), String> {
        let write = || {
            if let Some(dir) = file.parent() {
                fs::create_dir_all(dir)?;
            }
            if file.exists() {
                fs::remove_file(file)?;
            }
            fs::write(file, format!("#!/bin/sh\n{body}\n"))?;
            fs::set_permissions(file, fs::Permissions::from_mode(0o755))
        };
        write().map_err(|why: std::io::Error| format!("unable to write {}: {why}", file.display()))
    }

    /// Lets at most `limit` pass until `done`; looks each millisecond.
    pub fn until(&mut self, limit: Duration, mut done: impl FnMut(&mut Stage<'a>) -> bool) -> bool {
        let end = Instant::now() + limit;
        loop {
            if done(self) {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            self.tree.pump(Duration::from_millis(1));
        }
    }

    /// A program of the subject, ended after five seconds: no peer may hold up the others.
    pub fn program(&self, name: &str, words: &[&str], dir: &Path) -> (i32, String) {
        let mut command = Command::new("timeout");
        command
            .args(["-k", "1", "5"])
            .arg(self.subject.dir.join(name))
            .args(words)
            .arg(dir)
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", self.subject.dir.display()),
            )
            .stdin(Stdio::null());
        match command.output() {
            Ok(out) => {
                let mut text = String::from_utf8_lossy(&out.stdout).into_owned();
                text.push_str(&String::from_utf8_lossy(&out.stderr));
                (out.status.code().unwrap_or(-1), text)
            }
            Err(why) => (-1, why.to_string()),
        }
    }

    /// Gives a command by the subject's own program: `h` is HUP, `d` down, `u` up.
    pub fn command(&self, letter: char, dir: &Path) -> (i32, String) {
        let letters = format!("-{letter}");
        match self.subject.kind {
            Kind::Ours | Kind::Daemontools | Kind::Bare => self.program("svc", &[&letters], dir),
            Kind::S6 => self.program("s6-svc", &[&letters], dir),
            Kind::Runit => {
                // `sv down` would wait; a letter is not waited for.
                let word = letter.to_string();
                self.program("sv", &["-w", "1", &word], dir)
            }
        }
    }

    /// Asks by the subject's own program.
    pub fn status(&self, dir: &Path) -> Said {
        let (_, words) = match self.subject.kind {
            Kind::Ours | Kind::Daemontools | Kind::Bare => self.program("svstat", &[], dir),
            Kind::S6 => self.program("s6-svstat", &[], dir),
            Kind::Runit => self.program("sv", &["status"], dir),
        };
        said(&words)
    }

    /// Whether readiness is known here, and reached; `None` where the subject has no such thing.
    pub fn ready(&self, dir: &Path) -> Option<bool> {
        match self.subject.kind {
            Kind::Ours => {
                let state = fs::read_to_string(dir.join("supervise/state")).unwrap_or_default();
                let state: serde_json::Value = serde_json::from_str(&state).unwrap_or_default();
                Some(state["ready"] == true)
            }
            Kind::S6 => Some(self.status(dir).words.contains(", ready")),
            Kind::Daemontools | Kind::Runit | Kind::Bare => None,
        }
    }

    /// Those who supervise, by their names.
    pub fn supervisors(&self) -> Vec<i32> {
        let name = match self.subject.kind {
            Kind::Ours => "eud-engine",
            Kind::Daemontools => "supervise",
            Kind::Runit => "runsv",
            Kind::S6 => "s6-supervise",
            Kind::Bare => return Vec::new(),
        };
        named(name)
    }

    /// The one who supervises the process `pid`.
    pub fn supervisor_of(&self, pid: i32) -> Option<i32> {
        match self.subject.kind {
            Kind::Ours => self.supervisors().first().copied(),
            Kind::Daemontools | Kind::Runit | Kind::S6 | Kind::Bare => {
                process::look(pid).map(|process| process.parent)
            }
        }
    }

    /// The scanner: our keeper is the engine's parent.
    pub fn scanner(&self) -> Option<i32> {
        match self.subject.kind {
            Kind::Ours => self
                .supervisors()
                .first()
                .and_then(|engine| process::look(*engine))
                .map(|engine| engine.parent),
            Kind::Daemontools | Kind::Runit | Kind::S6 | Kind::Bare => self.tree.root(),
        }
    }

    /// Kills, and waits until the dead are dead: the kernel may need a while to end a process.
    pub fn kill(&mut self, victim: Victim) -> Killed {
        let mut pids = BTreeSet::new();
        if victim != Victim::Scanner {
            pids.extend(self.supervisors());
        }
        if victim != Victim::Supervisors {
            pids.extend(self.scanner());
        }
        if pids.len() > 1 {
            // At once means that none of them sees another die.
            pids.iter()
                .for_each(|pid| process::signal(*pid, Signal::STOP));
        }
        let begin = now_ns();
        pids.iter()
            .for_each(|pid| process::signal(*pid, Signal::KILL));
        let end = Instant::now() + Duration::from_secs(5);
        while pids.iter().any(|pid| process::lives(*pid)) && Instant::now() < end {
            self.tree.pump(Duration::from_micros(100));
        }
        let died = Duration::from_nanos(now_ns().saturating_sub(begin));
        process::reap();
        Killed { begin, died, pids }
    }

    /// Starts the scanner once more, on what is there.
    pub fn again(&mut self) -> Result<(), String> {
        process::reap();
        self.tree.start(0).map(drop)
    }

    /// The pids a service has had that live.
    pub fn alive(&self, at: usize) -> Vec<i32> {
        let service = self.tree.services.get(&tree::name(at));
        let pids = service.map_or(&[][..], |service| &service.pids);
        pids.iter()
            .copied()
            .filter(|pid| process::lives(*pid))
            .collect()
    }

    /// How many HUPs a service has heard, and when the last.
    pub fn heard(&self, at: usize) -> (usize, u64) {
        self.tree
            .services
            .get(&tree::name(at))
            .map_or((0, 0), |service| (service.hups, service.hup_ns))
    }

    /// Writes HUP's letter into the FIFO until the service has heard it; answers with the time since `begin`, or `None`.
    pub fn obeyed(&mut self, at: usize, begin: u64, limit: Duration) -> Option<Duration> {
        let control = self.dir(at).join("supervise/control");
        let before = self.heard(at).0;
        let mut wait_until = Instant::now();
        let heard = self.until(limit, |stage| {
            if stage.heard(at).0 > before {
                return true;
            }
            if Instant::now() >= wait_until && ask(&control) {
                wait_until = Instant::now() + Duration::from_millis(100);
            }
            false
        });
        heard.then(|| Duration::from_nanos(self.heard(at).1.saturating_sub(begin)))
    }
}

/// The processes below us of one name.
pub fn named(name: &str) -> Vec<i32> {
    let named = |process: &Process| process.comm == name;
    process::descendants()
        .iter()
        .filter(|process| named(process))
        .map(|process| process.pid)
        .collect()
}

impl Drop for Stage<'_> {
    /// Ours is asked first: who started the tree may have died, and the one who took its place is not known to the tree.
    fn drop(&mut self) {
        if self.subject.kind == Kind::Ours {
            named("svscan")
                .into_iter()
                .for_each(|pid| process::signal(pid, Signal::TERM));
            self.until(Duration::from_secs(5), |stage| {
                process::reap();
                stage.supervisors().is_empty()
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ones_words_are_understood() {
        let of = |words: &str| {
            let said = said(words);
            (said.up, said.pid, said.seconds)
        };
        assert_eq!(of("s0: up (pid 41) 5 seconds\n"), (true, Some(41), Some(5)));
        assert_eq!(of("s0: down 7 seconds, normally up"), (false, None, None));
        assert_eq!(
            of("run: s0: (pid 41) 5s; run: log: (pid 42) 5s"),
            (true, Some(41), Some(5))
        );
        assert_eq!(of("down: s0: 1s, normally up"), (false, None, None));
        assert_eq!(
            of("up (pid 41 pgid 41) 6 seconds, ready 6 seconds"),
            (true, Some(41), Some(6))
        );
        assert_eq!(
            of("down (signal SIGKILL) 0 seconds, normally up"),
            (false, None, None)
        );
    }
}
