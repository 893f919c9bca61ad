//! The chain loaders: each changes one thing about its process and becomes the program behind it.
//!
//! Between its start and its exec a link does nothing that its change does not need: a service's `run` may be a chain of
//! six. Source: specification §0.5 and §7.

pub mod argv0;
pub mod chpst;
pub mod environment;
pub mod group;
pub mod identity;
pub mod limits;
pub mod lock;

use crate::report::Report;
use eudaemon_sys::program::{Program, Variables};
use std::ffi::{OsStr, OsString};
use std::io;

/// The exit codes of a link that becomes its program, whatever else it does.
const USAGE_IS_100: &[(&str, &str)] = &[
    ("0-255", "that of the program, which takes the link's place"),
    ("100", "usage"),
    (
        "111",
        "the change was refused, or the program cannot be run",
    ),
];

/// As [`USAGE_IS_100`], where usage is 111 too.
const USAGE_IS_111: &[(&str, &str)] = &[
    ("0-255", "that of the program, which takes the link's place"),
    (
        "111",
        "usage; the change was refused, or the program cannot be run",
    ),
];

/// Becomes the program whose name and arguments these words are; returns only to say why not.
fn run(report: Report, words: &[OsString], variables: Variables) -> u8 {
    match prepare(report, words, variables) {
        Ok(program) => start(report, words, program),
        Err(code) => code,
    }
}

/// Gets ready to become the program, so that only [`start`] is left to do.
fn prepare(report: Report, words: &[OsString], variables: Variables) -> Result<Program, u8> {
    let (name, arguments) = match words.split_first() {
        Some((name, arguments)) => (name.as_os_str(), arguments),
        // Every link tells its usage before it gets here without a program.
        None => (OsStr::new(""), words),
    };
    let arguments = arguments.iter().map(AsRef::as_ref);
    Program::new(name, name, arguments, variables)
        .map_err(|error| unable_to_run(report, name, &error))
}

fn start(report: Report, words: &[OsString], program: Program) -> u8 {
    let error = program.start();
    let name = words.first().map_or(OsStr::new(""), AsRef::as_ref);
    unable_to_run(report, name, &error)
}

fn unable_to_run(report: Report, name: &OsStr, error: &io::Error) -> u8 {
    report.fatal(&[OsStr::new("unable to run "), name], error)
}
