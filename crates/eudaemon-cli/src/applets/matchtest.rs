//! `matchtest`: says whether a pattern of `multilog` matches a text. Source: specification §9.

use super::{Applet, Call};
use crate::report::Report;
use eudaemon_core::exit::Exit;
use eudaemon_core::log::matches;
use std::io::{self, Write};

const REPORT: Report = Report("matchtest");

/// `matchtest` in the table.
pub const MATCHTEST: Applet = Applet {
    name: "matchtest",
    main,
    synopsis: "PATTERN TEXT",
    purpose: "says whether a pattern of multilog matches a text",
    options: &[],
    exits: &[
        ("0", "said"),
        ("100", "there are not two words"),
        ("111", "the output cannot be written"),
    ],
};

fn main(call: &Call) -> u8 {
    let [pattern, text] = call.words.as_slice() else {
        return REPORT.usage("matchtest PATTERN TEXT");
    };
    let (pattern, text) = (pattern.as_encoded_bytes(), text.as_encoded_bytes());
    let mark: &[u8] = if matches(pattern, text) { b"+" } else { b"-" };
    let line = [mark, pattern, b" (", text, b")\n"].concat();
    match io::stdout().write_all(&line) {
        Ok(()) => Exit::Done.code(),
        Err(_) => Exit::Temporary.code(),
    }
}
