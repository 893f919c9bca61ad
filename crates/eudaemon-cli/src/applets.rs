//! The historic programs: one table, read by `main`, by `eudaemon applets`, by the links and by the manual pages.

mod control;
mod multilog;
mod place;
mod readproctitle;
mod status;
mod supervise;
mod svscan;
mod svscanboot;

use crate::report::Report;
use eudaemon_core::control::Origin;
use eudaemon_core::exit::Exit;
use eudaemon_core::status::Dialect;
use std::ffi::{OsStr, OsString};

/// How a program was called.
#[derive(Debug)]
pub struct Call {
    /// The program's fixed name, which is also the last part of the name it was called by.
    pub name: &'static str,
    /// The words behind the name.
    pub words: Vec<OsString>,
}

/// One historic program.
///
/// `main` is `fn(&Call) -> u8`; what it returns is the exit code. It finds SIGPIPE ignored, as Rust's start-up leaves it,
/// and nothing else changed.
#[derive(Debug)]
#[allow(
    dead_code,
    reason = "the manual pages read every field; the program needs two"
)]
pub struct Applet {
    /// The name it is called by.
    pub name: &'static str,
    /// Runs it.
    pub main: fn(&Call) -> u8,
    /// What goes behind the name.
    pub synopsis: &'static str,
    /// What it is for, in half a sentence.
    pub purpose: &'static str,
    /// The exit codes it can end with, and what each means there.
    pub exits: &'static [(Exit, &'static str)],
    /// Who introduced it.
    pub origin: Origin,
}

/// Every historic program of this binary.
pub const APPLETS: &[Applet] = &[
    Applet {
        name: "svscan",
        main: svscan::main,
        synopsis: "[DIR]",
        purpose: "starts and watches a supervisor for each service of a directory",
        exits: &[
            (Exit::Done, "told to end, and all is down"),
            (Exit::Temporary, "could not start"),
        ],
        origin: Origin::Classic,
    },
    Applet {
        name: "supervise",
        main: supervise::main,
        synopsis: "DIR",
        purpose: "starts and watches one service",
        exits: &[
            (Exit::Done, "told to leave"),
            (Exit::Permanent, "usage"),
            (Exit::Temporary, "could not start"),
        ],
        origin: Origin::Classic,
    },
    Applet {
        name: "svc",
        main: control::svc,
        synopsis: "[-udopchaitkx...] DIR...",
        purpose: "controls services",
        exits: &[
            (Exit::Done, "every directory was tried, whatever came of it"),
            (Exit::Permanent, "usage"),
            (
                Exit::Temporary,
                "the current directory cannot be opened or returned to",
            ),
        ],
        origin: Origin::Classic,
    },
    Applet {
        name: "svok",
        main: status::svok,
        synopsis: "DIR",
        purpose: "says whether a service is supervised",
        exits: &[
            (Exit::Done, "a supervisor is there"),
            (Exit::Permanent, "none is there; or usage"),
            (Exit::Temporary, "it cannot be told"),
        ],
        origin: Origin::Classic,
    },
    Applet {
        name: "svstat",
        main: status::svstat,
        synopsis: "[-L] [-l] DIR...",
        purpose: "prints the state of services",
        exits: &[
            (Exit::Done, "a line was printed for every directory"),
            (Exit::Permanent, "usage"),
            (
                Exit::Temporary,
                "the current directory cannot be opened or returned to",
            ),
        ],
        origin: Origin::Classic,
    },
    Applet {
        name: "svup",
        main: status::svup,
        synopsis: "[-L] [-l] DIR",
        purpose: "says whether a service is up",
        exits: &[
            (Exit::Done, "it is up"),
            (Exit::Permanent, "it is not up; or usage"),
            (Exit::Temporary, "it cannot be told"),
        ],
        origin: Origin::Encore,
    },
    Applet {
        name: "svscanboot",
        main: svscanboot::main,
        synopsis: "[DIR]",
        purpose: "runs svscan with its complaints in the process list",
        exits: &[
            (Exit::Done, "both have ended"),
            (Exit::Temporary, "they could not be started"),
        ],
        origin: Origin::Classic,
    },
    Applet {
        name: "readproctitle",
        main: readproctitle::main,
        synopsis: "ARGUMENT... TITLE",
        purpose: "shows its input in the process list",
        exits: &[
            (Exit::Done, "the input ended"),
            (Exit::Permanent, "there is no room for a title"),
            (Exit::Temporary, "the input cannot be read"),
        ],
        origin: Origin::Classic,
    },
    Applet {
        name: "multilog",
        main: multilog::main,
        synopsis: "ACTION...",
        purpose: "writes its input to log directories that stay small",
        exits: &[
            (Exit::Done, "the input ended, or told to end"),
            (Exit::Temporary, "could not start; no input was read"),
        ],
        origin: Origin::Classic,
    },
];

/// The program of exactly this name.
pub fn find(name: &OsStr) -> Option<&'static Applet> {
    APPLETS.iter().find(|applet| name == applet.name)
}

/// Whose habits to follow; the environment may say. Read by the programs whose dialects differ, and by no other. An
/// unknown dialect is reported and gives the exit code.
pub fn dialect(report: Report) -> Result<Dialect, u8> {
    match std::env::var_os("EUDAEMON_DIALECT") {
        None => Ok(Dialect::Auto),
        Some(value) => Dialect::parse(value.as_encoded_bytes()).ok_or_else(|| {
            let text = [OsStr::new("unknown EUDAEMON_DIALECT: "), &value];
            report.refuse(&text, Exit::Permanent)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_exactly_and_is_there_once() {
        for applet in APPLETS {
            assert_eq!(
                APPLETS
                    .iter()
                    .filter(|other| other.name == applet.name)
                    .count(),
                1
            );
            assert!(find(OsStr::new(applet.name)).is_some());
        }
        assert!(find(OsStr::new("svsca")).is_none());
        assert!(find(OsStr::new("svscanx")).is_none());
    }
}
