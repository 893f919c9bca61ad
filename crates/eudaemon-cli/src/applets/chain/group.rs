//! `pgrphack`: runs a program in a session of its own. `fghack`: keeps a program in the foreground that would leave it.
//!
//! Source: specification §6.

use super::super::{Applet, Call};
use super::{USAGE_IS_100, run};
use crate::report::Report;
use eudaemon_core::exit::Exit;
use eudaemon_core::words::Ended;
use eudaemon_sys::program::{self, Variables};
use eudaemon_sys::{exec, process};
use std::ffi::OsStr;
use std::io::{self, Read};

/// How many copies of the pipe a program is given: it must close all of them to be rid of us.
const COPIES: usize = 30;

/// `pgrphack` in the table.
pub const PGRPHACK: Applet = Applet {
    name: "pgrphack",
    main: pgrphack,
    synopsis: "PROGRAM [ARGUMENT...]",
    purpose: "runs a program in a session and process group of its own",
    options: &[],
    exits: USAGE_IS_100,
};

/// `fghack` in the table.
pub const FGHACK: Applet = Applet {
    name: "fghack",
    main: fghack,
    synopsis: "PROGRAM [ARGUMENT...]",
    purpose: "runs a program that puts itself into the background, and waits until all it started is gone",
    options: &[],
    exits: &[
        ("0-255", "that of the program"),
        ("100", "usage"),
        (
            "111",
            "the program was ended by a signal, or it or the pipe cannot be made",
        ),
    ],
};

/// Runs `pgrphack`. Who leads a group already has what it is for, so failing is no error.
pub fn pgrphack(call: &Call) -> u8 {
    let report = Report(call.name);
    if call.words.is_empty() {
        return report.usage("pgrphack child");
    }
    process::new_session();
    run(report, &call.words, Variables::inherited())
}

/// Runs `fghack`.
pub fn fghack(call: &Call) -> u8 {
    let report = Report(call.name);
    let fatal = |words, error| report.fatal(&[OsStr::new(words)], &error);
    if call.words.is_empty() {
        return report.usage("fghack child");
    }
    let (mut reader, writer) = match io::pipe() {
        Ok(pipe) => pipe,
        Err(error) => return fatal("unable to create pipe", error),
    };
    let child = process::fork(|| {
        // As many as there is room for: one is enough as long as the program does not close it.
        let _copies = program::hand_on(&writer, COPIES);
        run(report, &call.words, Variables::inherited())
    });
    let child = match child {
        Ok(child) => child,
        Err(error) => return fatal("unable to fork", error),
    };
    drop(writer);
    let mut ignored = [0; 512];
    loop {
        match reader.read(&mut ignored) {
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A pipe that cannot be read tells us no more than its end.
            Ok(0) | Err(_) => break,
        }
    }
    match exec::wait(child) {
        Ok(Ended::Code(code)) => code,
        Ok(Ended::Signal { .. } | Ended::Unknown) => {
            report.refuse(&[OsStr::new("child crashed")], Exit::Temporary)
        }
        Err(error) => fatal("wait failed", error),
    }
}
