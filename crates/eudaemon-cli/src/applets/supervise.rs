//! `supervise`: one service.

use super::Call;
use crate::report::Report;
use eudaemon_engine::{Mode, Options};

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
        companion: None,
    })
}
