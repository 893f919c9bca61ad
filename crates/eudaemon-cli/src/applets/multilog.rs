//! `multilog`: writes its input to log directories that stay small.
//!
//! Core decides what is a line, where it goes, when a file is full and what a crash left; this does it, and tries again
//! what does not succeed, for no line may be lost. Source: specification §8.
//!
//! Input is looked at, written, and only then taken, so that a kill at any instruction loses nothing and doubles nothing
//! (core's `intent`). Nothing is held back while waiting for input. Signals are taken while waiting for input or for a
//! disk, so none can interrupt a rotation.

mod aside;
mod directory;
mod logger;
mod settle;
mod works;

use super::logging::Ears;
use super::{Applet, Call};
use crate::report::Report;
use eudaemon_core::exit::Exit;
use eudaemon_core::log::Script;
use eudaemon_sys::file;
use logger::Logger;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

const REPORT: Report = Report("multilog");
/// `multilog` in the table.
pub const MULTILOG: Applet = Applet {
    name: "multilog",
    main,
    synopsis: "ACTION...",
    purpose: "writes its input to log directories that stay small",
    options: &[
        ("t", "first: begin each line with a TAI64N stamp"),
        ("T", "first: begin each line with seconds and microseconds"),
        (
            "%stamp=rfc3339",
            "first: begin each line with date and time in UTC",
        ),
        ("-PATTERN", "deselect the line if it matches"),
        ("+PATTERN", "select the line if it matches"),
        ("F", "patterns from here on are those of fnmatch"),
        ("S", "patterns from here on are simple"),
        ("e", "tell a selected line on stderr, 200 bytes of it"),
        ("=FILE", "overwrite FILE with a selected line"),
        ("%keep=FILE", "replace FILE by one with a selected line"),
        ("%syslog[=SOCKET]", "send a selected line to syslog"),
        ("%journal[=SOCKET]", "send a selected line to the journal"),
        ("sBYTES", "directories from here on: size of a file"),
        ("nNUMBER", "from here on: one more than the old files kept"),
        (
            "!COMMAND",
            "from here on: what finished files are processed by",
        ),
        (
            "wCODE",
            "from here on: what names of finished files end with",
        ),
        ("%gzip", "from here on: compress finished files"),
        (
            "%backlog=N",
            "from here on: how many files may wait for that",
        ),
        ("%total=BYTES[k|m|g]", "from here on: size of all old files"),
        (
            "%age=N[s|m|h|d]",
            "from here on: age at which a file is finished",
        ),
        (
            "%sync=N[ms|s]",
            "from here on: how soon lines are on the disk",
        ),
        (
            "%full=HOW",
            "from here on: whether lines wait for room on the disk",
        ),
        (".DIR, /DIR", "write selected lines to this log directory"),
    ],
    exits: &[
        ("0", "the input ended, or told to end"),
        (
            "100",
            "an action makes no sense, or EUDAEMON_DIALECT names no dialect",
        ),
        ("111", "could not start; no input was read"),
    ],
};

/// Runs `multilog`.
pub fn main(call: &Call) -> u8 {
    file::set_umask(0o022);
    let dialect = match super::dialect(REPORT) {
        Ok(dialect) => dialect,
        Err(code) => return code,
    };
    let words = call.words.iter().map(|word| word.as_bytes());
    let script = match Script::parse(words, dialect) {
        Ok(script) => script,
        Err(refusal) => {
            let text = [
                OsStr::new("action makes no sense: "),
                &call.words[refusal.0],
            ];
            return REPORT.refuse(&text, Exit::Permanent);
        }
    };
    // From here on these end nothing before they are read, and no input has been read.
    let ears = match Ears::open() {
        Ok(ears) => ears,
        Err(error) => return REPORT.fatal(&[OsStr::new("unable to collect signals")], &error),
    };
    match Logger::open(&script, ears) {
        Ok(logger) => logger.run(),
        Err(code) => code,
    }
}
