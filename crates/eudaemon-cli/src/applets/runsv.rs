//! `runsv`: one service and its `log/` (runit; runsv(8)).

use super::{Applet, Call};
use crate::report;
use eudaemon_core::status::Dialect;
use eudaemon_engine::{Mode, Options};
use std::ffi::OsStr;

/// `runsv` in the table.
pub const RUNSV: Applet = Applet {
    name: "runsv",
    main,
    synopsis: "SERVICE",
    purpose: "starts and watches a service and its logger",
    options: &[],
    exits: &[
        ("0", "told to exit, and both are down"),
        ("1", "usage"),
        ("111", "could not start, or another runs there"),
    ],
};

/// Exit code of a usage error. Source: specification §10.1.
pub(super) const USAGE: u8 = 1;

pub(super) fn usage(text: &str) -> u8 {
    report::line(&["usage: ".as_ref(), text.as_ref()]);
    report::line(&[OsStr::new("")]);
    USAGE
}

/// Runs `runsv`.
pub fn main(call: &Call) -> u8 {
    let [dir] = call.words.as_slice() else {
        return usage("runsv dir");
    };
    eudaemon_engine::run(&Options {
        // Once in a process, and as long as it.
        program: format!("runsv {}", dir.display()).leak(),
        dir: dir.into(),
        mode: Mode::Pair,
        dialect: Dialect::Runit,
        sessions: false,
        companion: None,
    })
}
