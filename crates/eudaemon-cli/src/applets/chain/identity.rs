//! `setuidgid`, `setuser`: run a program as an account. `envuidgid`: tell it the account's numbers.
//!
//! Source: specification §7.

use super::super::{Applet, Call, dialect};
use super::{USAGE_IS_100, run};
use crate::args::{Opt, Options};
use crate::report::Report;
use eudaemon_core::account::{Identity, Step};
use eudaemon_core::exit::Exit;
use eudaemon_core::status::Dialect;
use eudaemon_sys::accounts::{self, Trouble};
use eudaemon_sys::identity::{self, Refusal};
use eudaemon_sys::program::Variables;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

/// `setuidgid` in the table.
pub const SETUIDGID: Applet = Applet {
    name: "setuidgid",
    main: setuidgid,
    synopsis: "[-s] ACCOUNT PROGRAM [ARGUMENT...]",
    purpose: "runs a program as an account",
    options: &[(
        "-s",
        "also with the supplementary groups that list the account; without it, none but its own",
    )],
    exits: USAGE_IS_100,
};

/// `envuidgid` in the table.
pub const ENVUIDGID: Applet = Applet {
    name: "envuidgid",
    main: envuidgid,
    synopsis: "ACCOUNT PROGRAM [ARGUMENT...]",
    purpose: "runs a program with an account's numbers in UID and GID",
    options: &[],
    exits: USAGE_IS_100,
};

/// `setuser` in the table.
pub const SETUSER: Applet = Applet {
    name: "setuser",
    main: setuser,
    synopsis: "ACCOUNT PROGRAM [ARGUMENT...]",
    purpose: "runs a program as an account, in its home directory, with all its groups, HOME, SHELL, USER, UID and GID",
    options: &[],
    exits: USAGE_IS_100,
};

/// Runs `setuidgid`.
pub fn setuidgid(call: &Call) -> u8 {
    let report = Report(call.name);
    let dialect = match dialect(report) {
        Ok(dialect) => dialect,
        Err(code) => return code,
    };
    let plain = "setuidgid account child";
    let (all_groups, words) = match dialect {
        Dialect::Classic | Dialect::Runit => (false, call.words.as_slice()),
        Dialect::Encore => match options(&call.words) {
            Ok(read) => read,
            Err(letter) => {
                Report::illegal_option(OsStr::new(call.name), letter);
                return report.usage("setuidgid [-s] account child");
            }
        },
        // Whoever does not say `-s` says an account, as in 0.76, whatever it begins with.
        Dialect::Auto => match options(&call.words) {
            Ok((true, words)) => (true, words),
            Ok((false, _)) | Err(_) => (false, call.words.as_slice()),
        },
    };
    let [account, program @ ..] = words else {
        return usage(report, all_groups, dialect, plain);
    };
    if program.is_empty() {
        return usage(report, all_groups, dialect, plain);
    }
    let known = match accounts::find(account.as_bytes()) {
        Ok(known) => known,
        Err(trouble) => return unknown(report, account, trouble),
    };
    let groups = if all_groups {
        match accounts::memberships(account.as_bytes(), known.gid) {
            Ok(groups) => groups,
            Err(trouble) => return unknown(report, account, trouble),
        }
    } else {
        vec![known.gid]
    };
    let who = Identity {
        uid: known.uid,
        gid: known.gid,
        groups,
    };
    if let Err(refusal) = identity::assume(&who) {
        return refused(report, all_groups, &refusal);
    }
    run(report, program, Variables::inherited())
}

/// Whether `-s` is there, and the words behind the options.
fn options(words: &[OsString]) -> Result<(bool, &[OsString]), u8> {
    let mut all_groups = false;
    let mut options = Options::new(words, |letter| letter == b's');
    for option in &mut options {
        match option {
            Opt::Letter(_) => all_groups = true,
            Opt::Unknown(letter) => return Err(letter),
        }
    }
    Ok((all_groups, options.rest()))
}

/// 0.76's line, or encore's where what only encore knows was used.
fn usage(report: Report, all_groups: bool, dialect: Dialect, plain: &str) -> u8 {
    if all_groups || dialect == Dialect::Encore {
        report.usage("setuidgid [-s] account child")
    } else {
        report.usage(plain)
    }
}

/// Runs `envuidgid`. It needs no privilege.
pub fn envuidgid(call: &Call) -> u8 {
    let report = Report(call.name);
    let [account, program @ ..] = call.words.as_slice() else {
        return report.usage("envuidgid account child");
    };
    if program.is_empty() {
        return report.usage("envuidgid account child");
    }
    let known = match accounts::find(account.as_bytes()) {
        Ok(known) => known,
        Err(trouble) => return unknown(report, account, trouble),
    };
    let mut variables = Variables::inherited();
    match set_numbers(&mut variables, known.uid, known.gid) {
        Ok(()) => run(report, program, variables),
        Err(error) => unable_to_set(report, &error),
    }
}

/// Runs `setuser`.
///
/// Differs: encore 1.11 does not hand the variables on (observed); this does what its manual says.
pub fn setuser(call: &Call) -> u8 {
    let report = Report(call.name);
    let [account, program @ ..] = call.words.as_slice() else {
        return report.usage("setuser account child");
    };
    if program.is_empty() {
        return report.usage("setuser account child");
    }
    let found = accounts::find(account.as_bytes()).and_then(|known| {
        let groups = accounts::memberships(account.as_bytes(), known.gid)?;
        Ok((known, groups))
    });
    let (known, groups) = match found {
        Ok(found) => found,
        Err(trouble) => return unknown(report, account, trouble),
    };
    let mut variables = Variables::inherited();
    let set = variables
        .set(b"HOME", &known.home)
        .and_then(|()| variables.set(b"SHELL", &known.shell))
        .and_then(|()| variables.set(b"USER", account.as_bytes()))
        .and_then(|()| set_numbers(&mut variables, known.uid, known.gid));
    if let Err(error) = set {
        return unable_to_set(report, &error);
    }
    let home = OsStr::from_bytes(&known.home);
    if let Err(error) = std::env::set_current_dir(home) {
        return report.fatal(&[OsStr::new("unable to chdir to "), home], &error);
    }
    let who = Identity {
        uid: known.uid,
        gid: known.gid,
        groups,
    };
    match identity::assume(&who) {
        Ok(()) => run(report, program, variables),
        Err(refusal) => refused(report, true, &refusal),
    }
}

/// Sets `GID` and `UID`, in the original's order.
pub fn set_numbers(variables: &mut Variables, uid: u32, gid: u32) -> io::Result<()> {
    variables.set(b"GID", gid.to_string().as_bytes())?;
    variables.set(b"UID", uid.to_string().as_bytes())
}

fn unable_to_set(report: Report, error: &io::Error) -> u8 {
    report.fatal(&[OsStr::new("unable to set the environment")], error)
}

fn unknown(report: Report, account: &OsStr, trouble: Trouble) -> u8 {
    match trouble {
        Trouble::Unknown => {
            report.refuse(&[OsStr::new("unknown account "), account], Exit::Temporary)
        }
        Trouble::Unreadable(path, error) => {
            report.fatal(&[OsStr::new("unable to read "), OsStr::new(path)], &error)
        }
    }
}

fn refused(report: Report, all_groups: bool, refusal: &Refusal) -> u8 {
    let what = match refusal.step {
        Step::Groups if all_groups => "unable to initgroups",
        // The original says this of its one group too (observed with 0.76, setgroups(2) made to fail).
        Step::Groups | Step::Gid => "unable to setgid",
        Step::Uid | Step::Proof => "unable to setuid",
    };
    report.fatal(&[OsStr::new(what)], &refusal.error)
}
