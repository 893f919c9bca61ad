//! The laws of one log directory: what a crash left, and what its files are called.

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
