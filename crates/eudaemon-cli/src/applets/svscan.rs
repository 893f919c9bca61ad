//! `svscan`: a directory of services.

use super::{Applet, Call};
use crate::report::Report;
use eudaemon_engine::{Mode, Options};

/// `svscan` in the table.
pub const SVSCAN: Applet = Applet {
    name: "svscan",
    main,
    synopsis: "[DIR]",
    purpose: "starts and watches a supervisor for each service of a directory",
    options: &[],
    exits: &[
        ("0", "told to end, and all is down"),
        ("100", "EUDAEMON_DIALECT names no dialect"),
        ("111", "could not start"),
    ],
};

pub fn main(call: &Call) -> u8 {
    let report = Report("svscan");
    let dialect = match super::dialect(report) {
        Ok(dialect) => dialect,
        Err(code) => return code,
    };
    // 0.76 does not look at a second argument; to encore it is a log service, which we do not have.
    if let Some(service) = call.words.get(1)
        && call
            .words
            .first()
            .is_some_and(|dir| std::path::Path::new(dir).is_dir())
    {
        report.warn(
            &[
                "log services are not supported, going on without ".as_ref(),
                service,
            ],
            None,
        );
    }
    let dir = call.words.first().map_or_else(|| ".".into(), Into::into);
    eudaemon_engine::run(&Options {
        program: "svscan",
        dir,
        mode: Mode::Scan,
        dialect,
        sessions: false,
        companion: None,
    })
}
