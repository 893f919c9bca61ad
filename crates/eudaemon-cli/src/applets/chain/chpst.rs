//! `chpst`: every change of a chain at once.
//!
//! The order of the changes is fixed, whatever that of the options. Source: `chpst(8)` of runit 2.1.2, and that program
//! observed; `-C` is of 2.2.

use super::super::{Applet, Call};
use super::USAGE_IS_100;
use super::environment::{Directories, Style, read_directory};
use super::identity::set_numbers;
use super::limits::{Refusal, impose};
use super::lock::{self, What};
use crate::args::{Opt, Options};
use crate::report::{self, Report};
use eudaemon_core::account::{Identity, Step, User};
use eudaemon_core::exit::Exit;
use eudaemon_core::limits::{CHPST_ORDER, Resource, Value, find};
use eudaemon_sys::accounts::{self, Trouble};
use eudaemon_sys::identity::assume;
use eudaemon_sys::process;
use eudaemon_sys::program::{self, Program, Variables};
use std::env::set_current_dir;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

/// Ends with an empty line, as runit's does.
const USAGE: &str = "usage: chpst [-vVP012] [-u user[:group]] [-U user[:group]] [-b argv0] [-e dir] [-/ root] \
                     [-n nice] [-l|-L lock] [-m n] [-d n] [-o n] [-p n] [-f n] [-c n] [-t n] prog\n";

const REPORT: Report = Report("chpst");

/// `chpst` in the table.
pub const CHPST: Applet = Applet {
    name: "chpst",
    main,
    synopsis: "[-vVP012] [-u USER] [-U USER] [-b ARGV0] [-e DIR] [-/ ROOT] [-C PWD] [-n INC] [-l|-L LOCK] \
               [-m|-d|-o|-p|-f|-c|-r|-t N]... PROGRAM [ARGUMENT...]",
    purpose: "runs a program with a changed process state",
    options: &[
        (
            "-u USER",
            "runs it as USER: user[:group[:group...]], or :uid:gid[:gid...], with no other groups",
        ),
        ("-U USER", "sets UID and GID to USER's numbers"),
        ("-b ARGV0", "gives it this argument 0"),
        (
            "-e DIR",
            "sets a variable from each file of DIR, as envdir does",
        ),
        (
            "-/ ROOT",
            "makes ROOT its root directory, before names are looked up and the program is",
        ),
        ("-C PWD", "makes PWD its working directory, within ROOT"),
        (
            "-n INC",
            "adds INC, which may have a sign, to its nice value",
        ),
        (
            "-l LOCK",
            "has it hold the lock of the file LOCK, and waits for that",
        ),
        (
            "-L LOCK",
            "has it hold the lock of the file LOCK, or fails at once",
        ),
        (
            "-m N",
            "limits data segment, stack, locked memory and address space to N bytes each",
        ),
        ("-d N", "limits the data segment to N bytes"),
        ("-o N", "limits the number of open files"),
        ("-p N", "limits the number of the user's processes"),
        ("-f N", "limits each file written to N bytes"),
        ("-c N", "limits a core file to N bytes"),
        ("-r N", "limits the resident set to N bytes"),
        ("-t N", "limits processor time to N seconds"),
        ("-v", "tells which directories in DIR are passed over"),
        ("-V", "tells the version, and runs nothing"),
        ("-P", "runs it in a session of its own"),
        ("-0", "closes its standard input"),
        ("-1", "closes its standard output"),
        ("-2", "closes its standard error"),
    ],
    exits: USAGE_IS_100,
};

/// What the options ask for.
#[derive(Debug, Default)]
struct Changes<'a> {
    verbose: bool,
    session: bool,
    user: Option<&'a OsStr>,
    user_for_environment: Option<&'a OsStr>,
    zero: Option<&'a OsStr>,
    environment: Option<&'a OsStr>,
    root: Option<&'a OsStr>,
    directory: Option<&'a OsStr>,
    nice: Option<i32>,
    /// The file, and whether to wait.
    lock: Option<(&'a OsStr, bool)>,
    /// In the order of [`CHPST_ORDER`].
    limits: [Option<Value>; CHPST_ORDER.len()],
    closed: [bool; 3],
    words: &'a [OsString],
}

/// Runs `chpst`.
pub fn main(call: &Call) -> u8 {
    match read(call) {
        Some(changes) => change_and_run(&changes).unwrap_or_else(|code| code),
        None => {
            report::line(&[OsStr::new(USAGE)]);
            Exit::Permanent.code()
        }
    }
}

/// Reads the options; `None` if the usage is to be told.
fn read(call: &Call) -> Option<Changes<'_>> {
    let mut changes = Changes::default();
    let mut options = Options::new(&call.words, |letter| {
        b"vVP012uUbe/CnlLmdopfcrt".contains(&letter)
    });
    let name = OsStr::new(call.name);
    while let Some(option) = options.next() {
        let letter = match option {
            Opt::Letter(letter) => letter,
            Opt::Unknown(letter) => {
                Report::illegal_option(name, letter);
                return None;
            }
        };
        match letter {
            b'v' => changes.verbose = true,
            b'V' => {
                report::line(&[
                    OsStr::new("eudaemon "),
                    OsStr::new(env!("CARGO_PKG_VERSION")),
                ]);
                return None;
            }
            b'P' => changes.session = true,
            b'0' => changes.closed[0] = true,
            b'1' => changes.closed[1] = true,
            b'2' => changes.closed[2] = true,
            _ => {
                let Some(argument) = options.argument() else {
                    Report::missing_argument(name, letter);
                    return None;
                };
                changes.take(letter, argument)?;
            }
        }
    }
    changes.words = options.rest();
    (!changes.words.is_empty()).then_some(changes)
}

impl<'a> Changes<'a> {
    /// Takes an option with an argument; `None` if the argument is none.
    fn take(&mut self, letter: u8, argument: &'a OsStr) -> Option<()> {
        match letter {
            b'u' => self.user = Some(argument),
            b'U' => self.user_for_environment = Some(argument),
            b'b' => self.zero = Some(argument),
            b'e' => self.environment = Some(argument),
            b'/' => self.root = Some(argument),
            b'C' => self.directory = Some(argument),
            b'n' => self.nice = Some(increment(argument)?),
            // There is one lock (observed: a second -l or -L gives the usage).
            b'l' | b'L' if self.lock.is_some() => return None,
            b'l' | b'L' => self.lock = Some((argument, letter == b'l')),
            _ => {
                let value = Value::number(argument.as_bytes())?;
                for resource in find(letter)?.resources {
                    let place = CHPST_ORDER.iter().position(|one| one == resource)?;
                    self.limits[place] = Some(value);
                }
            }
        }
        Some(())
    }
}

/// Digits behind at most one sign; too many are as many as the system can take.
///
/// Differs: chpst 2.1.2 takes an empty one, and a sign alone, for 0.
fn increment(text: &OsStr) -> Option<i32> {
    let (sign, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] | digits => (1, digits),
    };
    match Value::number(digits)? {
        Value::Number(number) => Some(sign * i32::try_from(number).unwrap_or(i32::MAX)),
        Value::Hard | Value::Unlimited => None,
    }
}

fn change_and_run(changes: &Changes<'_>) -> Result<u8, u8> {
    let fatal =
        |text: &'static str| move |error: io::Error| REPORT.fatal(&[OsStr::new(text)], &error);
    let about = |text: &'static str, object: &OsStr, error: &io::Error| {
        REPORT.fatal(&[OsStr::new(text), OsStr::new(": "), object], error)
    };
    let mut variables = Variables::inherited();
    if changes.session {
        // Who leads a group already has what it is for.
        process::new_session();
    }
    if let Some(directory) = changes.environment {
        let style = Style {
            report: REPORT,
            separator: ": ",
            names_with_equals: false,
            directories: Directories::Passed {
                told: changes.verbose,
            },
        };
        read_directory(&style, directory, OsStr::new(""), &mut variables)?;
    }
    if let Some(root) = changes.root {
        set_current_dir(root).map_err(|error| about("unable to change directory", root, &error))?;
        program::make_here_the_root().map_err(fatal("unable to change root directory"))?;
    }
    if let Some(directory) = changes.directory {
        set_current_dir(directory)
            .map_err(|error| about("unable to change directory", directory, &error))?;
    }
    if let Some(nice) = changes.nice {
        program::add_niceness(nice).map_err(fatal("unable to set nice level"))?;
    }
    if let Some(user) = changes.user_for_environment {
        let who = look_up(user)?;
        set_numbers(&mut variables, who.uid, who.gid)
            .map_err(fatal("unable to set the environment"))?;
    }
    if let Some(user) = changes.user {
        assume(&look_up(user)?).map_err(|refusal| {
            let text = match refusal.step {
                Step::Groups => "unable to setgroups",
                Step::Gid => "unable to setgid",
                Step::Uid | Step::Proof => "unable to setuid",
            };
            fatal(text)(refusal.error)
        })?;
    }
    let _held = match changes.lock {
        None => None,
        Some((path, waits)) => Some(lock::hold(path, waits).map_err(|refusal| {
            let text = match refusal.what {
                What::Open => "unable to open lock",
                What::Lock => "unable to lock",
            };
            about(text, path, &refusal.error)
        })?),
    };
    let (name, arguments) = changes.words.split_first().ok_or(Exit::Permanent.code())?;
    let zero = changes.zero.unwrap_or(name);
    let arguments = arguments.iter().map(AsRef::as_ref);
    let ready = Program::new(name, zero, arguments, variables)
        .map_err(|error| about("unable to run", name, &error))?;
    for (number, _) in (0..).zip(changes.closed).filter(|(_, closed)| *closed) {
        program::close_stream(number);
    }
    // Last, for what they forbid may be memory.
    for (resource, value) in CHPST_ORDER.into_iter().zip(changes.limits) {
        if let Some(value) = value {
            limit(resource, value)?;
        }
    }
    Ok(about("unable to run", name, &ready.start()))
}

fn limit(resource: Resource, value: Value) -> Result<(), u8> {
    impose(resource, value).map_err(|refusal| {
        let (text, error) = match refusal {
            Refusal::Get(error) => ("unable to getrlimit()", error),
            Refusal::Set(error) => ("unable to setrlimit()", error),
        };
        REPORT.fatal(&[OsStr::new(text)], &error)
    })
}

/// Who a USER is. A name is looked up where this process's root is by now.
fn look_up(user: &OsStr) -> Result<Identity, u8> {
    let refuse = |text: &str, what: &[u8]| {
        let text = [OsStr::new(text), OsStr::from_bytes(what)];
        Err(REPORT.refuse(&text, Exit::Temporary))
    };
    let text = user.as_bytes();
    match User::parse(text) {
        Some(User::Numbers(identity)) => Ok(identity),
        None => refuse("invalid uid/gids: ", &text[1..]),
        Some(User::Names { user: name, groups }) => match accounts::identity(name, &groups) {
            Ok(identity) => Ok(identity),
            Err(Trouble::Unknown) => refuse("unknown user/group: ", text),
            Err(Trouble::Unreadable(path, error)) => {
                Err(REPORT.fatal(&[OsStr::new("unable to read: "), OsStr::new(path)], &error))
            }
        },
    }
}
