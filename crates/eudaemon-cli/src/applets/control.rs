//! `svc`: sends control bytes.

use super::place::{Home, Place};
use super::{Applet, Call};
use crate::args::{Opt, Options};
use crate::report::{self, Report};
use eudaemon_core::control::{CONTROLS, Origin, Row};
use eudaemon_core::exit::Exit;
use eudaemon_core::status::Dialect;
use eudaemon_sys::{clock, errno, fifo};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::time::Duration;

/// Most bytes for one service: encore's bound. 0.76's is 20, which its eleven letters cannot reach.
const BYTES_MAX: usize = 32;

/// `svc` in the table.
pub const SVC: Applet = Applet {
    name: "svc",
    main: svc,
    synopsis: "[-udopchaitkx...] DIR...",
    purpose: "controls services",
    options: &OPTIONS,
    exits: &[
        ("0", "every directory was tried, whatever came of it"),
        ("100", "usage"),
        (
            "111",
            "the current directory cannot be opened or returned to",
        ),
    ],
};

/// `-` and each letter, for [`OPTIONS`] to point into.
static FLAGS: [[u8; 2]; CONTROLS.len()] = {
    let mut flags = [[b'-'; 2]; CONTROLS.len()];
    let mut at = 0;
    while at < CONTROLS.len() {
        flags[at][1] = CONTROLS[at].byte;
        at += 1;
    }
    flags
};

/// Every letter of [`CONTROLS`] as an option.
const OPTIONS: [(&str, &str); CONTROLS.len()] = {
    let mut options = [("", ""); CONTROLS.len()];
    let mut at = 0;
    while at < CONTROLS.len() {
        options[at] = match str::from_utf8(&FLAGS[at]) {
            Ok(flag) => (flag, CONTROLS[at].words),
            Err(_) => panic!("a control byte is ASCII"),
        };
        at += 1;
    }
    options
};

/// Runs `svc`. SIGPIPE stays ignored, so that a supervisor that ends just now is a message and not our end.
pub fn svc(call: &Call) -> u8 {
    let report = Report(call.name);
    let dialect = match super::dialect(report) {
        Ok(dialect) => dialect,
        Err(code) => return code,
    };
    let mut options = Options::new(&call.words, |letter| row(letter, dialect).is_some());
    let mut letters = Vec::new();
    for option in &mut options {
        match option {
            Opt::Letter(letter) => letters.push(letter),
            Opt::Unknown(letter) => {
                Report::illegal_option(OsStr::new(call.name), letter);
                report::line(&[OsStr::new(&usage(dialect))]);
                return Exit::Permanent.code();
            }
        }
    }
    let bytes = bytes(&letters, dialect);
    if bytes.len() > BYTES_MAX {
        return report.refuse(&[OsStr::new("too many options")], Exit::Permanent);
    }
    send(
        report,
        &bytes,
        &Place::from_environment(dialect),
        options.rest().iter().map(AsRef::as_ref),
    )
}

/// Sends the bytes to each service; what goes wrong with one is told and does not keep the others from theirs.
pub fn send<'a>(
    report: Report,
    bytes: &[u8],
    place: &Place,
    services: impl Iterator<Item = &'a OsStr>,
) -> u8 {
    let home = match Home::remember() {
        Ok(home) => home,
        Err(error) => {
            return report.fatal(&[OsStr::new("unable to open current directory")], &error);
        }
    };
    let mut path = Vec::new();
    for service in services {
        // The usual case needs no change of directory; when anything is wrong, the directory is entered to learn what.
        let beside = place
            .beside(service, "control", &mut path)
            .map(fifo::open_writer);
        if let Some(Ok(control)) = beside {
            deliver(report, service, control, bytes);
            continue;
        }
        match std::env::set_current_dir(service) {
            Err(error) => report.warn(&[OsStr::new("unable to chdir to "), service], Some(&error)),
            Ok(()) => match open_patiently(place) {
                Ok(control) => deliver(report, service, control, bytes),
                Err(error) if error.raw_os_error() == Some(errno::ENXIO) => {
                    cannot(report, service, ": supervise not running");
                }
                Err(error) => {
                    report.warn(&[OsStr::new("unable to control "), service], Some(&error))
                }
            },
        }
        if let Err(error) = home.back() {
            return report.fatal(&[OsStr::new("unable to set directory")], &error);
        }
    }
    Exit::Done.code()
}

/// Opens `control` from within the service directory.
///
/// A FIFO that was deleted is made again within a moment by a supervisor that lives: its command is then not lost. The
/// originals, whose supervisors never make it again, give up at once.
fn open_patiently(place: &Place) -> io::Result<File> {
    const PATIENCE: Duration = Duration::from_secs(1);
    const PAUSE: Duration = Duration::from_millis(10);
    let open = |file| place.within(file).and_then(fifo::open_writer);
    let mut left = PATIENCE;
    loop {
        match open("control") {
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && place.is_remade()
                    && !left.is_zero()
                    && open("ok").is_ok() =>
            {
                clock::pause(PAUSE);
                left = left.saturating_sub(PAUSE);
            }
            opened => return opened,
        }
    }
}

fn cannot(report: Report, service: &OsStr, why: &str) {
    report.warn(
        &[OsStr::new("unable to control "), service, OsStr::new(why)],
        None,
    );
}

fn deliver(report: Report, service: &OsStr, mut control: File, bytes: &[u8]) {
    match fifo::is_fifo(&control) {
        Ok(true) => {}
        // Differs: the original writes its letters into whatever file is there.
        Ok(false) => return cannot(report, service, ": control is not a FIFO"),
        Err(error) => {
            return report.warn(&[OsStr::new("unable to control "), service], Some(&error));
        }
    }
    if bytes.is_empty() {
        return;
    }
    // So few bytes go into a pipe all or not at all (pipe(7), PIPE_BUF); only a full one makes us wait.
    let sent = match control.write(bytes) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            fifo::set_waiting(&control, true).and_then(|()| control.write(bytes))
        }
        other => other,
    };
    if let Err(error) = sent {
        report.warn(
            &[OsStr::new("error writing commands to "), service],
            Some(&error),
        );
    }
}

/// The row of a letter, if the dialect knows it.
fn row(letter: u8, dialect: Dialect) -> Option<&'static Row> {
    CONTROLS
        .iter()
        .find(|row| row.byte == letter && row.origin <= newest(dialect))
}

fn newest(dialect: Dialect) -> Origin {
    match dialect {
        Dialect::Classic => Origin::Classic,
        // Runit's letters are among encore's.
        Dialect::Encore | Dialect::Runit => Origin::Encore,
        Dialect::Auto => Origin::S6,
    }
}

/// The line behind a complaint about a letter: encore's under encore, else 0.76's.
fn usage(dialect: Dialect) -> String {
    let told = match dialect {
        Dialect::Encore => Origin::Encore,
        Dialect::Classic | Dialect::Runit | Dialect::Auto => Origin::Classic,
    };
    let rows = CONTROLS.iter().filter(|row| row.origin <= told);
    let words: Vec<String> = rows
        .map(|row| format!("{} {}", char::from(row.byte), row.words))
        .collect();
    format!("svc options: {}", words.join(", "))
}

/// What goes into the FIFO for these letters.
///
/// 0.76 sends each letter once, where it first stood. Encore begins with `l`, and drops duplicates only since the last `l`
/// or `L`. By default the bytes are 0.76's, unless a letter that selects makes the order of the others mean something.
/// Source: specification §5.1.
fn bytes(letters: &[u8], dialect: Dialect) -> Vec<u8> {
    let selects = |letter: &u8| matches!(letter, b'+' | b'=' | b'l' | b'L');
    let encore = match dialect {
        Dialect::Classic | Dialect::Runit => false,
        Dialect::Encore => true,
        Dialect::Auto => letters.iter().any(selects),
    };
    let mut bytes = if encore { vec![b'l'] } else { Vec::new() };
    // Where the letters begin among which there is no duplicate.
    let mut since = 0;
    for &letter in letters {
        if encore && matches!(letter, b'l' | b'L') {
            bytes.push(letter);
            since = bytes.len();
        } else if !bytes[since..].contains(&letter) {
            bytes.push(letter);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_dialects() {
        assert_eq!(bytes(b"", Dialect::Auto), b"");
        assert_eq!(bytes(b"dudx", Dialect::Auto), b"dux");
        assert_eq!(bytes(b"dudx", Dialect::Classic), b"dux");
        assert_eq!(bytes(b"dud", Dialect::Encore), b"ldu");
        assert_eq!(bytes(b"tLtt", Dialect::Auto), b"ltLt");
        assert_eq!(bytes(b"+t=t", Dialect::Auto), b"l+t=");
    }

    #[test]
    fn each_dialect_knows_its_letters() {
        let known = |dialect| {
            CONTROLS
                .iter()
                .filter(|r| row(r.byte, dialect).is_some())
                .count()
        };
        assert_eq!(known(Dialect::Classic), 11);
        assert_eq!(known(Dialect::Encore), 19);
        assert_eq!(known(Dialect::Auto), CONTROLS.len());
        assert!(row(b'!', Dialect::Auto).is_none());
    }

    #[test]
    fn the_usage_line_is_the_familys() {
        let classic = "svc options: u up, d down, o once, x exit, p pause, c continue, h hup, a alarm, i interrupt, \
                       t term, k kill";
        assert_eq!(usage(Dialect::Auto), classic);
        assert_eq!(usage(Dialect::Classic), classic);
        assert!(
            usage(Dialect::Encore)
                .starts_with("svc options: + kill process group, = kill parent process, L kill")
        );
        assert!(usage(Dialect::Encore).ends_with("q quit, 1 SIGUSR1, 2 SIGUSR2, w SIGWINCH"));
    }
}
