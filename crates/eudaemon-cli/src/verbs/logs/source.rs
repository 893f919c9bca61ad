//! One log directory, and which of its lines are wanted.

use super::super::{reason, talk};
use super::Trail;
use crate::zone;
use eudaemon_core::time::{Tai64n, leading_stamp};
use jiff::tz::TimeZone;
use regex_lite::Regex;
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

/// Which lines are wanted; all, if it says nothing.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Older ones are not.
    pub since: Option<Tai64n>,
    /// Newer ones are not.
    pub until: Option<Tai64n>,
    /// It is found in those that are.
    pub grep: Option<Regex>,
}

impl Choice {
    /// Whether it says anything.
    pub fn chooses(&self) -> bool {
        self.has_times() || self.grep.is_some()
    }

    /// Whether it looks at stamps.
    pub fn has_times(&self) -> bool {
        self.since.is_some() || self.until.is_some()
    }

    /// The files that may hold such lines.
    pub fn trail(&self, dir: &Path) -> Trail {
        let trail = match self.since {
            Some(since) => Trail::since(dir, since),
            None => Trail::all(dir),
        };
        match self.until {
            Some(until) => trail.until(until),
            None => trail,
        }
    }

    /// Whether it wants a line. Without a stamp, and without a line that has one before it, a line is of any time.
    fn takes(&self, stamp: Option<Tai64n>, text: &[u8]) -> bool {
        let late = stamp.is_none_or(|stamp| self.since.is_none_or(|since| stamp >= since));
        let early = stamp.is_none_or(|stamp| self.until.is_none_or(|until| stamp <= until));
        let grep = || match &self.grep {
            Some(grep) => grep.is_match(&String::from_utf8_lossy(text)),
            None => true,
        };
        late && early && grep()
    }
}

/// One log directory.
#[derive(Debug)]
pub struct Source {
    /// The service.
    pub name: String,
    pub dir: PathBuf,
    trail: Trail,
    /// Something may have come.
    pub woken: bool,
    /// The next line to show.
    pub head: Option<Head>,
    /// Lines to show after it, before any others.
    kept: VecDeque<Head>,
    /// Stamp of the latest line; a line without one belongs to it.
    stamp: Option<Tai64n>,
    pub zone: TimeZone,
    pub choice: Choice,
    /// Lines that are older are not shown.
    pub not_before: Option<Tai64n>,
    /// How many lines may still be shown, if not all.
    pub left: Option<u64>,
    /// A failure was told.
    told: bool,
}

/// A line to show.
#[derive(Debug)]
pub struct Head {
    pub line: Vec<u8>,
    /// Where its text begins, behind its stamp.
    pub text: usize,
    /// Its stamp, or that of the line it belongs to.
    pub stamp: Option<Tai64n>,
}

impl Source {
    /// All lines of this trail.
    pub fn new(name: &str, dir: &Path, trail: Trail) -> Source {
        Source {
            name: name.to_owned(),
            dir: dir.to_owned(),
            trail,
            woken: true,
            head: None,
            kept: VecDeque::new(),
            stamp: None,
            zone: TimeZone::UTC,
            choice: Choice::default(),
            not_before: None,
            left: None,
            told: false,
        }
    }

    /// Reads all there is, and keeps the last wanted lines to show.
    pub fn keep_last(&mut self, count: u64, rest: bool) {
        while let Some(head) = self.read(Vec::new(), rest) {
            self.kept.push_back(head);
            if self.kept.len() as u64 > count {
                self.kept.pop_front();
            }
        }
    }

    /// Takes the next line to show.
    pub fn advance(&mut self, rest: bool) {
        let line = self.head.take().map(|head| head.line).unwrap_or_default();
        if self.left == Some(0) {
            return;
        }
        self.head = self.kept.pop_front().or_else(|| self.read(line, rest));
        if let (Some(_), Some(left)) = (&self.head, &mut self.left) {
            *left -= 1;
        }
    }

    /// The next wanted line, in the place of one that was shown.
    fn read(&mut self, mut line: Vec<u8>, rest: bool) -> Option<Head> {
        loop {
            let there = match self.trail.next(&mut line) {
                Ok(there) => there,
                Err(error) => {
                    if !self.told {
                        let (dir, why) = (self.dir.display(), reason(&error));
                        talk("warning", &format!("unable to read {dir}: {why}"));
                    }
                    self.told = true;
                    false
                }
            };
            for (file, error) in self.trail.torn.drain(..) {
                let (file, why) = (file.display(), torn(&error));
                talk("warning", &format!("unable to read all of {file}: {why}"));
            }
            if !(there || (rest && self.trail.rest(&mut line))) {
                return None;
            }
            let (stamp, text) = split(&line, &self.zone);
            let from = line.len() - text.len();
            if stamp.is_some() {
                self.stamp = stamp;
            }
            // A line without a stamp shares the fate of the one before it.
            let old = self.stamp.is_some() && self.stamp < self.not_before;
            if !old && self.choice.takes(self.stamp, text) {
                return Some(Head {
                    line,
                    text: from,
                    stamp: self.stamp,
                });
            }
        }
    }

    /// Says that there was more.
    pub fn tell_of_foreign(&self) {
        if self.trail.foreign > 0 {
            let (dir, count) = (self.dir.display(), self.trail.foreign);
            let files = if count == 1 { "file" } else { "files" };
            talk(
                "warning",
                &format!("{count} {files} in {dir} passed over: not compressed by gzip"),
            );
        }
    }
}

/// Why a compressed file ended before its end. The decoder's own words are for programmers.
fn torn(error: &io::Error) -> String {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    let kind = error.kind();
    if kind == UnexpectedEof {
        "it is cut short".to_owned()
    } else if kind == InvalidInput || kind == InvalidData {
        "it is damaged".to_owned()
    } else {
        reason(error)
    }
}

/// The stamp of a line, and what follows it.
pub fn split<'a>(line: &'a [u8], zone: &TimeZone) -> (Option<Tai64n>, &'a [u8]) {
    match leading_stamp(line, &|shown| zone::second(zone, shown)) {
        Some((stamp, length)) => (Some(stamp), &line[length..]),
        None => (None, line),
    }
}

/// Whether there are lines, and they have no stamps: nobody can say how old they are.
pub fn is_unstamped(dir: &Path, zone: &TimeZone) -> bool {
    let mut line = Vec::new();
    let Ok(mut trail) = Trail::last(dir, 1) else {
        return false;
    };
    let there = trail.next(&mut line).unwrap_or(false) || trail.rest(&mut line);
    there && split(&line, zone).0.is_none()
}
