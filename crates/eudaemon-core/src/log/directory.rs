//! The laws of one log directory: how `current` fills, what a crash left, which old files go.

use crate::time::{Tai64n, Wall};
use alloc::vec::Vec;

/// How near its size `current` may end at a line's end. Source: specification §8.5.
const WINDOW: u64 = 2000;

/// How full `current` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    size_bytes: u64,
    bytes: u64,
    /// Whether the last byte written ended a line.
    line_ended: bool,
}

/// What to do with `current` now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Write as many of the waiting bytes.
    Write(usize),
    /// It is full: finish it and begin another.
    Rotate,
}

impl Fill {
    /// A file that is full at `size_bytes` and holds `bytes` already.
    #[must_use]
    pub const fn new(size_bytes: u64, bytes: u64) -> Fill {
        // Whether the bytes found end a line is not known; saying no costs at most that the file ends one line later.
        Fill {
            size_bytes,
            bytes,
            line_ended: false,
        }
    }

    /// How many bytes it holds.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Says what comes next when `waiting` is to be written; `None` if nothing is to be done.
    ///
    /// A file ends with the first line that ends within the last 2000 bytes of its size. If none does, it ends at exactly its
    /// size. This depends on the bytes alone, not on the pieces they came in.
    ///
    /// Differs: the original decides for each of its writes of at most 512 bytes, and ends the file with the last line of
    /// the write that enters the window (observed with 0.76-8.1: up to 500 bytes later). Both are §8.5's rule.
    #[must_use]
    pub fn next(&self, waiting: &[u8]) -> Option<Next> {
        let window = self.size_bytes.saturating_sub(WINDOW);
        if self.bytes >= self.size_bytes || (self.line_ended && self.bytes >= window) {
            return Some(Next::Rotate);
        }
        if waiting.is_empty() {
            return None;
        }
        let room = usize::try_from(self.size_bytes - self.bytes).unwrap_or(usize::MAX);
        let chunk = &waiting[..waiting.len().min(room)];
        // The first byte that would lie in the window if it ended a line: the file then holds at least `window` bytes.
        let from = window.saturating_sub(self.bytes).saturating_sub(1);
        let inside = usize::try_from(from)
            .ok()
            .and_then(|from| Some((from, chunk.get(from..)?)));
        let cut =
            inside.and_then(|(from, inside)| Some(from + 1 + super::sorter::newline(inside)?));
        Some(Next::Write(cut.unwrap_or(chunk.len())))
    }

    /// Takes note that these bytes were written.
    pub fn wrote(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        if let Some(&last) = bytes.last() {
            self.line_ended = last == b'\n';
        }
    }

    /// Takes note that `current` is new.
    pub fn rotated(&mut self) {
        self.bytes = 0;
        self.line_ended = false;
    }
}

/// The files of a log directory that have a fixed name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// Being written.
    Current,
    /// `current` after its renaming.
    Previous,
    /// What a processor made of `previous`, so far.
    Processed,
    /// What the processor remembers.
    State,
    /// What the processor will remember.
    NewState,
}

impl Name {
    /// The name.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Name::Current => "current",
            Name::Previous => "previous",
            Name::Processed => "processed",
            Name::State => "state",
            Name::NewState => "newstate",
        }
    }
}

/// How a finished file's name ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// `.s`: complete, and safely on the disk.
    Safe,
    /// `.u`: found after a crash; it may be truncated.
    Unfinished,
}

impl Code {
    /// The letter behind the dot.
    #[must_use]
    pub const fn letter(self) -> u8 {
        match self {
            Code::Safe => b's',
            Code::Unfinished => b'u',
        }
    }
}

/// What a file's mode says of it: the owner's execute bit means complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is no such file.
    Absent,
    /// It was being written (0644).
    Open,
    /// It was completed and synced (0744).
    Complete,
}

impl Found {
    /// Reads the permission bits of a file that is there, or its absence.
    #[must_use]
    pub const fn from_mode(mode: Option<u32>) -> Found {
        match mode {
            None => Found::Absent,
            Some(mode) if mode & 0o100 != 0 => Found::Complete,
            Some(_) => Found::Open,
        }
    }
}

/// One step towards a directory that can be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Remove the file, if it is there.
    Remove(Name),
    /// Give the file, if it is there, its final name, and let surplus files go.
    Finish(Name, Code),
    /// Make the file, empty.
    Make(Name),
    /// Open `current` for appending, mode 0644.
    Append,
}

/// What to do at start with what an earlier run left. Each list may be interrupted anywhere and begun anew.
///
/// Source: specification §8.6, verified there with prepared directories.
#[must_use]
pub const fn recover(current: Found, processed: Found) -> &'static [Repair] {
    use Code::{Safe, Unfinished};
    use Name::{Current, NewState, Previous, Processed, State};
    use Repair::{Append, Finish, Make, Remove};
    match (current, processed) {
        // A stale `previous` or `processed` stays as it is.
        (Found::Complete, Found::Absent | Found::Open | Found::Complete) => &[Append],
        (Found::Absent | Found::Open, Found::Complete) => &[
            Remove(State),
            Remove(NewState),
            Remove(Previous),
            Finish(Processed, Safe),
            Finish(Current, Unfinished),
            Make(State),
            Append,
        ],
        (Found::Absent | Found::Open, Found::Absent | Found::Open) => &[
            Remove(State),
            Remove(NewState),
            Remove(Processed),
            Finish(Previous, Unfinished),
            Finish(Current, Unfinished),
            Make(State),
            Append,
        ],
    }
}

/// Length of `@` and a stamp's digits.
pub const STAMP_SIZE: usize = 25;

/// The stamp for the next finished file: now, but later than each file that is there.
///
/// Differs: the original takes the time as it is, and after the clock was set back deletes the newest file as the oldest
/// (reliability page, finding 7: 16 of 3,000 lines kept). A name beyond the labels TAI64 defines is not followed.
/// Source: libtai's tai.h: labels below 2^63.
#[must_use]
pub fn next_stamp<'a>(names: impl Iterator<Item = &'a [u8]>, now: Wall) -> Tai64n {
    let there = names
        .filter_map(Tai64n::parse_external)
        .filter(|stamp| stamp.label < 1 << 63);
    let last = there.max_by_key(|stamp| (stamp.label, stamp.nanos));
    let now = Tai64n::from_wall(now);
    match last {
        Some(last) if (last.label, last.nanos) >= (now.label, now.nanos) => after(last),
        Some(_) | None => now,
    }
}

/// The next label, a nanosecond later.
fn after(stamp: Tai64n) -> Tai64n {
    if stamp.nanos >= 999_999_999 {
        Tai64n {
            label: stamp.label + 1,
            nanos: 0,
        }
    } else {
        Tai64n {
            label: stamp.label,
            nanos: stamp.nanos + 1,
        }
    }
}

/// Which of the names must go so that fewer than `number` finished files remain: the oldest first, never `newest`.
///
/// A finished file is any name of 25 bytes or more that begins with `@`. Source: specification §8.5, *finish*.
#[must_use]
pub fn surplus<'a>(
    names: impl Iterator<Item = &'a [u8]>,
    newest: &[u8],
    number: u64,
) -> Vec<&'a [u8]> {
    let mut old: Vec<&[u8]> = names
        .filter(|name| name.len() >= STAMP_SIZE && name[0] == b'@')
        .collect();
    let count = old.len();
    let keep = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
    old.retain(|name| *name != newest);
    old.sort_unstable_by_key(|name| &name[..STAMP_SIZE]);
    old.truncate(count.saturating_sub(keep));
    old
}
