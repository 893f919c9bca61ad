//! `supervise`: one service.

use super::{Applet, Call};
use crate::report::Report;
use eudaemon_engine::{Mode, Options};

/// `supervise` in the table.
pub const SUPERVISE: Applet = Applet {
    name: "supervise",
    main,
    synopsis: "DIR",
    purpose: "starts and watches one service",
    options: &[],
    exits: &[
        ("0", "told to leave"),
        ("100", "usage"),
        ("111", "could not start"),
    ],
};

pub fn main(call: &Call) -> u8 {
    let report = Report("supervise");
    let [dir] = call.words.as_slice() else {
        return report.usage("supervise dir");
    };
    let dialect = match super::dialect(report) {
        Ok(dialect) => dialect,
        Err(code) => return code,
    };
    eudaemon_engine::run(&Options {
        program: "supervise",
        dir: dir.into(),
        mode: Mode::Single,
        dialect,
        sessions: false,
        companion: None,
    })
}
