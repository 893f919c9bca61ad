//! `matchtest`: says whether a pattern of `multilog` matches a text. Source: specification §9.

use super::{Applet, Call};
use crate::report::Report;
use eudaemon_core::exit::Exit;
use eudaemon_core::log::Pattern;
use eudaemon_core::status::Dialect;
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
        (
            "100",
            "there are not two words, or EUDAEMON_DIALECT names no dialect",
        ),
        ("111", "the output cannot be written"),
    ],
};

fn main(call: &Call) -> u8 {
    let [pattern, text] = call.words.as_slice() else {
        return REPORT.usage("matchtest PATTERN TEXT");
    };
    let dialect = match super::dialect(REPORT) {
        Ok(dialect) => dialect,
        Err(exit) => return exit,
    };
    let (word, text) = (pattern.as_encoded_bytes(), text.as_encoded_bytes());
    let pattern = match word {
        [b'F', pattern @ ..] if dialect != Dialect::Classic => Pattern::Glob(pattern.to_vec()),
        [b'S', pattern @ ..] if dialect != Dialect::Classic => Pattern::Simple(pattern.to_vec()),
        pattern => Pattern::Simple(pattern.to_vec()),
    };
    let mark: &[u8] = if pattern.matches(text) { b"+" } else { b"-" };
    // The word as it was given. Source: specification §9, `+PATTERN (TEXT)`.
    let line = [mark, word, b" (", text, b")\n"].concat();
    match io::stdout().write_all(&line) {
        Ok(()) => Exit::Done.code(),
        Err(_) => Exit::Temporary.code(),
    }
}
