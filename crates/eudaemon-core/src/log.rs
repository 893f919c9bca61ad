//! What happens to a log line: the laws of `multilog`.
//!
//! A [`Script`] says what is wanted. The [`Sorter`] takes the input as it comes, in pieces of any size, and puts each
//! line, or the part of it that is known, on the lanes to the log directories. It stops where a [`Fill`] says that a file
//! is full. An [`Intent`] says for each piece what will be done, so that a kill loses nothing; [`recover`] decides what to do
//! with what an earlier run left; the [`Shelf`] knows the old files and which of them go. Nothing here knows a file: the
//! program does what it is told, and tries again until it worked.
//!
//! Source of the rules: specification §8.

mod directory;
mod dropped;
mod fill;
mod glob;
mod intent;
#[cfg(test)]
mod kills;
mod lane;
pub(crate) mod newline;
mod pattern;
mod script;
mod shelf;
mod sorter;
mod stamp;
#[cfg(test)]
mod tests;

pub use directory::{Code, Found, Name, Repair, recover};
pub use dropped::Dropped;
pub use fill::Fill;
pub use glob::glob;
pub use intent::{Evidence, Fate, INTENT_SIZE, Input, Intent, Seen, fate, hash};
pub use lane::Lane;
pub use newline::last as last_newline;
pub use pattern::matches;
pub use script::{Action, Directory, Form, Keep, Pattern, Processor, Receiver, Refusal, Script};
pub use shelf::{STAMP_SIZE, Shelf, Volume, next_stamp};
pub use sorter::{Aside, HEAD_SIZE, Memory, Place, Sorter, TOLD_SIZE};
pub use stamp::Stamp;
