//! `argv0`: runs a program under another name.
//!
//! Source: `argv0(1)` of ucspi-tcp 0.88, and that program observed.

use super::super::{Applet, Call};
use super::{USAGE_IS_100, unable_to_run};
use crate::report::Report;
use eudaemon_sys::program::{Program, Variables};

/// `argv0` in the table.
pub const ARGV0: Applet = Applet {
    name: "argv0",
    main,
    synopsis: "PROGRAM NAME [ARGUMENT...]",
    purpose: "runs a program that finds NAME as its argument 0",
    options: &[],
    exits: USAGE_IS_100,
};

/// Runs `argv0`.
pub fn main(call: &Call) -> u8 {
    let report = Report(call.name);
    let [name, zero, arguments @ ..] = call.words.as_slice() else {
        return report.usage("argv0 realname program [ arg ... ]");
    };
    let arguments = arguments.iter().map(AsRef::as_ref);
    let error = match Program::new(name, zero, arguments, Variables::inherited()) {
        Ok(program) => program.start(),
        Err(error) => error,
    };
    unable_to_run(report, name, &error)
}
