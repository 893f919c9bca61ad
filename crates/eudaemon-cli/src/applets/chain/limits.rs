//! `softlimit`: runs a program with limits.
//!
//! Source: specification §7.

use super::super::{Applet, Call, dialect};
use super::{USAGE_IS_100, prepare, start};
use crate::args::{Opt, Options};
use crate::report::Report;
use eudaemon_core::exit::Exit;
use eudaemon_core::limits::{self, LIMITS, Resource, Value};
use eudaemon_core::status::Dialect;
use eudaemon_sys::limits::{get, set};
use eudaemon_sys::program::{Variables, variable};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

const USAGE: &str = "softlimit [-a allbytes] [-c corebytes] [-d databytes] [-f filebytes] [-l lockbytes] \
                     [-m membytes] [-o openfiles] [-p processes] [-r residentbytes] [-s stackbytes] [-t cpusecs] child";

/// `softlimit` in the table.
pub const SOFTLIMIT: Applet = Applet {
    name: "softlimit",
    main,
    synopsis: "[-a|-c|-d|-f|-l|-m|-o|-p|-r|-s|-t N]... PROGRAM [ARGUMENT...]",
    purpose: "runs a program with soft limits",
    options: &[
        (
            "-a N",
            "limits the address space to N bytes; for every N, = is the hard limit and - lifts soft and hard limit",
        ),
        ("-c N", "limits a core file to N bytes"),
        ("-d N", "limits the data segment to N bytes"),
        ("-f N", "limits each file written to N bytes"),
        ("-l N", "limits locked memory to N bytes"),
        (
            "-m N",
            "limits data segment, stack, locked memory and address space to N bytes each",
        ),
        ("-o N", "limits the number of open files"),
        ("-p N", "limits the number of the user's processes"),
        ("-r N", "limits the resident set to N bytes"),
        ("-s N", "limits the stack to N bytes"),
        ("-t N", "limits processor time to N seconds"),
    ],
    exits: USAGE_IS_100,
};

/// Runs `softlimit`.
pub fn main(call: &Call) -> u8 {
    let report = Report(call.name);
    let dialect = match dialect(report) {
        Ok(dialect) => dialect,
        Err(code) => return code,
    };
    let mut asked: Vec<(Resource, Value)> = Vec::new();
    if dialect != Dialect::Classic {
        match from_environment(dialect) {
            Ok(values) => asked = values,
            Err(variable) => {
                let text = [
                    OsStr::new(variable),
                    OsStr::new(" is neither a number nor = nor -"),
                ];
                return report.refuse(&text, Exit::Permanent);
            }
        }
    }
    let mut options = Options::new(&call.words, |letter| limits::find(letter).is_some());
    while let Some(option) = options.next() {
        let row = match option {
            Opt::Letter(letter) => limits::find(letter),
            Opt::Unknown(letter) => {
                Report::illegal_option(OsStr::new(call.name), letter);
                None
            }
        };
        let Some(row) = row else {
            return report.usage(USAGE);
        };
        let Some(argument) = options.argument() else {
            Report::missing_argument(OsStr::new(call.name), row.letter);
            return report.usage(USAGE);
        };
        let Some(value) = Value::parse(argument.as_bytes(), dialect) else {
            return report.usage(USAGE);
        };
        asked.extend(row.resources.iter().map(|&resource| (resource, value)));
    }
    let program = options.rest();
    if program.is_empty() {
        return report.usage(USAGE);
    }
    // Last, for what they forbid may be memory.
    let ready = match prepare(report, program, Variables::inherited()) {
        Ok(ready) => ready,
        Err(code) => return code,
    };
    for (resource, value) in asked {
        match impose(resource, value) {
            Ok(()) => {}
            Err(Refusal::Get(error)) => {
                return report.fatal(&[OsStr::new("getrlimit failed")], &error);
            }
            Err(Refusal::Set(error)) => {
                return report.fatal(&[OsStr::new("setrlimit failed")], &error);
            }
        }
    }
    start(report, program, ready)
}

/// Which half of changing a limit failed.
#[derive(Debug)]
pub enum Refusal {
    /// The limit could not be asked for.
    Get(io::Error),
    /// It could not be set.
    Set(io::Error),
}

/// Does to a limit what its value says.
pub fn impose(resource: Resource, value: Value) -> Result<(), Refusal> {
    let now = get(resource).map_err(Refusal::Get)?;
    set(resource, value.applied_to(now)).map_err(Refusal::Set)
}

/// What encore's variables ask for, in the order of the options; or the first that cannot be read.
fn from_environment(dialect: Dialect) -> Result<Vec<(Resource, Value)>, &'static str> {
    let mut asked = Vec::new();
    for row in LIMITS {
        if let Some(text) = variable(row.variable.as_bytes()) {
            let value = Value::parse(text.as_bytes(), dialect).ok_or(row.variable)?;
            asked.extend(row.resources.iter().map(|&resource| (resource, value)));
        }
    }
    Ok(asked)
}
