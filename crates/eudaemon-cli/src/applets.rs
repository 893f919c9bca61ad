//! The historic programs: one table, read by `main`, by `eudaemon applets`, by the links and by the judge of the
//! manual pages. Each program says its own row beside its code.

mod chain;
mod control;
mod filter;
mod logging;
mod matchtest;
mod multilog;
mod place;
mod readproctitle;
mod runsv;
mod runsvdir;
mod status;
mod supervise;
pub mod sv;
mod svlogd;
mod svscan;
mod svscanboot;
mod tai64;

use crate::report::Report;
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
/// `main` is `fn(&Call) -> u8`; what it returns is the exit code. It finds SIGPIPE ignored, as `eudaemon_sys::start` leaves it,
/// and nothing else changed.
#[derive(Clone, Copy, Debug)]
#[allow(
    dead_code,
    reason = "a test holds every field against the manual pages; the program needs two"
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
    /// Its options as they are written, an argument included (`-n`, `-u ACCOUNT`), and what each does, in half a sentence.
    pub options: &'static [(&'static str, &'static str)],
    /// The exit codes it can end with (`111`, `1-99`), and what each means there.
    pub exits: &'static [(&'static str, &'static str)],
}

/// Every historic program of this binary.
pub const APPLETS: &[Applet] = &[
    svscan::SVSCAN,
    supervise::SUPERVISE,
    control::SVC,
    status::SVOK,
    status::SVSTAT,
    status::SVUP,
    svscanboot::SVSCANBOOT,
    readproctitle::READPROCTITLE,
    multilog::MULTILOG,
    tai64::TAI64N,
    tai64::TAI64NLOCAL,
    tai64::TAI64NFRAC,
    matchtest::MATCHTEST,
    chain::identity::SETUIDGID,
    chain::identity::ENVUIDGID,
    chain::identity::SETUSER,
    chain::environment::ENVDIR,
    chain::environment::ENVINI,
    chain::limits::SOFTLIMIT,
    chain::lock::SETLOCK,
    chain::group::PGRPHACK,
    chain::group::FGHACK,
    chain::argv0::ARGV0,
    chain::chpst::CHPST,
    svlogd::SVLOGD,
    sv::SV,
    runsv::RUNSV,
    runsvdir::RUNSVDIR,
];

/// The program of exactly this name.
#[inline]
pub fn find(name: &OsStr) -> Option<&'static Applet> {
    APPLETS.iter().find(|applet| name == applet.name)
}

/// Whose habits to follow; the environment may say. Read by the programs whose dialects differ, and by no other. An
/// unknown dialect is reported and gives the exit code.
pub fn dialect(report: Report) -> Result<Dialect, u8> {
    match eudaemon_sys::program::variable(b"EUDAEMON_DIALECT") {
        None => Ok(Dialect::Auto),
        Some(value) => Dialect::parse(value.as_encoded_bytes()).ok_or_else(|| {
            let text = [OsStr::new("unknown EUDAEMON_DIALECT: "), value];
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
