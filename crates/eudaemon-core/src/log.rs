//! What happens to a log line: the laws of `multilog`.
//!
//! A [`Script`] says what is wanted. The [`Sorter`] takes the input as it comes, in pieces of any size, and hands each
//! line, or the part of it that is known, to a [`Sink`]. For each log directory a [`Fill`] decides how much of what
//! waits may go into `current` and when `current` is full; [`recover`] decides what to do with what an earlier run left;
//! [`surplus`] decides which old files go. Nothing here knows a file: the program does what it is told, and tries again
//! until it worked.
//!
//! Source of the rules: specification §8.

mod directory;
mod pattern;
mod script;
mod sorter;
#[cfg(test)]
mod tests;

pub use directory::{
    Code, Fill, Found, Name, Next, Repair, STAMP_SIZE, next_stamp, recover, surplus,
};
pub use pattern::matches;
pub use script::{Action, Directory, Refusal, Script, Stamp};
pub(crate) use sorter::newline;
pub use sorter::{HEAD_SIZE, Sink, Sorter, TOLD_SIZE};
