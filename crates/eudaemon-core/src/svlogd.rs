//! The laws of runit's `svlogd`: what a directory's `config` asks for, which lines go where, when `current` is full, which
//! old file goes.
//!
//! Source: svlogd(8) of runit 2.1.2, and what it leaves open observed with Debian's 2.1.2-54.

mod config;
mod lines;
#[cfg(test)]
mod tests;

pub use config::{Complaint, Config, Receiver, Verdict, matches, number};
pub use lines::{Lines, Replace, Sink};

use crate::log::newline;
use crate::time::{Civil, Tai64n, Wall};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// What each line is given at its start: how often `-t` was said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stamp {
    /// Nothing.
    #[default]
    None,
    /// `-t`: external TAI64N.
    Tai64n,
    /// `-tt`: date, underscore and time, UTC.
    Underscore,
    /// `-ttt` or more: date, `T` and time, UTC.
    Letter,
}

impl Stamp {
    /// One more `-t`.
    #[must_use]
    pub const fn more(self) -> Stamp {
        match self {
            Stamp::None => Stamp::Tai64n,
            Stamp::Tai64n => Stamp::Underscore,
            Stamp::Underscore | Stamp::Letter => Stamp::Letter,
        }
    }

    /// What a line that began at this moment starts with.
    #[must_use]
    pub fn text(self, at: Wall) -> String {
        let between = match self {
            Stamp::None => return String::new(),
            Stamp::Tai64n => return format!("{} ", Tai64n::from_wall(at)),
            Stamp::Underscore => '_',
            Stamp::Letter => 'T',
        };
        let Civil {
            year,
            month,
            day,
            hour,
            minute,
            second,
        } = Civil::from_secs(i64::try_from(at.secs()).unwrap_or(0));
        let fraction = at.subsec_nanos() / 10_000;
        format!(
            "{year:04}-{month:02}-{day:02}{between}{hour:02}:{minute:02}:{second:02}.{fraction:05} "
        )
    }
}

/// How full `current` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    size_bytes: u64,
    /// How near its size the file may end at a line's end.
    near_bytes: u64,
    bytes: u64,
    line_ended: bool,
}

impl Fill {
    /// A file of a directory that is asked to be so, with lines of `-l`, that holds `bytes` already.
    #[must_use]
    pub const fn new(config: &Config, line_bytes: usize, bytes: u64) -> Fill {
        Fill {
            size_bytes: config.size_bytes,
            near_bytes: line_bytes as u64,
            bytes,
            line_ended: false,
        }
    }

    /// How many bytes it holds.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether it is to be finished before more is written: it has its size, or a line ended within the length of a line
    /// before that. If it is smaller than a line, only its size counts (observed: files of exactly 100 bytes for `s100`).
    #[must_use]
    pub const fn is_full(&self) -> bool {
        let near = self.size_bytes > self.near_bytes
            && self.line_ended
            && self.bytes >= self.size_bytes - self.near_bytes;
        self.size_bytes > 0 && (near || self.bytes >= self.size_bytes)
    }

    /// How many of the waiting bytes go into it before this is asked again.
    #[must_use]
    pub fn room(&self, waiting: &[u8]) -> usize {
        if self.size_bytes == 0 {
            return waiting.len();
        }
        let room = usize::try_from(self.size_bytes - self.bytes.min(self.size_bytes));
        let chunk = &waiting[..waiting.len().min(room.unwrap_or(usize::MAX))];
        if self.size_bytes <= self.near_bytes {
            return chunk.len();
        }
        // To the first line end that finishes it.
        let full = self.size_bytes - self.near_bytes;
        let from = usize::try_from(full.saturating_sub(self.bytes).saturating_sub(1));
        let from = from.unwrap_or(usize::MAX);
        match chunk.get(from..).and_then(newline::first) {
            Some(at) => from + at + 1,
            None => chunk.len(),
        }
    }

    /// Takes note that these bytes were written.
    pub fn wrote(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        if let Some(&last) = bytes.last() {
            self.line_ended = last == b'\n';
        }
    }
}

/// The oldest finished file, if there are more than so many; never `newest`. One, however many there are, as svlogd(8) says.
#[must_use]
pub fn oldest<'a>(names: &'a [Vec<u8>], newest: &[u8], most: u64) -> Option<&'a [u8]> {
    let finished = || names.iter().filter(|name| is_finished(name));
    let count = finished().count() as u64;
    let oldest = finished().map(Vec::as_slice).min()?;
    (count > most && oldest != newest).then_some(oldest)
}

/// Whether a name is `@`, a stamp's digits and `.s`.
fn is_finished(name: &[u8]) -> bool {
    name.len() > 25 && name[0] == b'@' && name.ends_with(b".s")
}
