//! `setlock`: runs a program that holds a lock.
//!
//! Source: specification §7.

use super::super::{Applet, Call};
use super::{USAGE_IS_100, run};
use crate::args::{Opt, Options};
use crate::report::Report;
use eudaemon_core::exit::Exit;
use eudaemon_sys::file;
use eudaemon_sys::program::Variables;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;

const USAGE: &str = "setlock [ -nNxX ] file program [ arg ... ]";

/// `setlock` in the table.
pub const SETLOCK: Applet = Applet {
    name: "setlock",
    main,
    synopsis: "[-nNxX] FILE PROGRAM [ARGUMENT...]",
    purpose: "runs a program that holds a lock",
    options: &[
        ("-n", "does not wait for a lock that another holds"),
        ("-N", "waits for it; the default"),
        ("-x", "if there is no lock, exits 0 and says nothing"),
        (
            "-X",
            "if there is no lock, says why and exits 111; the default",
        ),
    ],
    exits: USAGE_IS_100,
};

/// Runs `setlock`.
pub fn main(call: &Call) -> u8 {
    let report = Report(call.name);
    let (mut waits, mut tells) = (true, true);
    let mut options = Options::new(&call.words, |letter| b"nNxX".contains(&letter));
    for option in &mut options {
        match option {
            Opt::Letter(b'n') => waits = false,
            Opt::Letter(b'N') => waits = true,
            Opt::Letter(b'x') => tells = false,
            Opt::Letter(_) => tells = true,
            Opt::Unknown(letter) => {
                Report::illegal_option(OsStr::new(call.name), letter);
                return report.usage(USAGE);
            }
        }
    }
    let [file, program @ ..] = options.rest() else {
        return report.usage(USAGE);
    };
    if program.is_empty() {
        return report.usage(USAGE);
    }
    let _held = match hold(file, waits) {
        Ok(held) => held,
        Err(_) if !tells => return Exit::Done.code(),
        Err(Refusal { what, error }) => {
            let text = [what.words(), " "].map(OsStr::new);
            return report.fatal(&[text[0], text[1], file], &error);
        }
    };
    run(report, program, Variables::inherited())
}

/// What could not be done with a lock's file.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// It could not be opened.
    Open,
    /// It could not be locked.
    Lock,
}

impl What {
    fn words(self) -> &'static str {
        match self {
            What::Open => "unable to open",
            What::Lock => "unable to lock",
        }
    }
}

/// Why there is no lock.
#[derive(Debug)]
pub struct Refusal {
    /// What failed.
    pub what: What,
    /// And why.
    pub error: io::Error,
}

/// Takes a file's lock, which whoever inherits the descriptor holds too.
pub fn hold(path: &OsStr, waits: bool) -> Result<OwnedFd, Refusal> {
    let refusal = |what| move |error| Refusal { what, error };
    let held = file::open_to_hold(path).map_err(refusal(What::Open))?;
    let locked = if waits {
        file::lock_waiting(&held)
    } else {
        file::lock(&held)
    };
    locked.map_err(refusal(What::Lock))?;
    Ok(held)
}
