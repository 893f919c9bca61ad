//! `svok`, `svstat` and `svup`: read what a supervisor says of its service.

use super::place::{Home, Place};
use super::{Applet, Call};
use crate::args::Side;
use crate::report::{self, Report};
use eudaemon_core::exit::Exit;
use eudaemon_core::status::{Dialect, Phase, Record, Status, sentence};
use eudaemon_sys::{clock, errno, fifo, file};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;

/// Longest status file that means anything: two of encore's records.
const STATUS_SIZE_MAX: usize = 40;

/// `svok` in the table.
pub const SVOK: Applet = Applet {
    name: "svok",
    main: svok,
    synopsis: "DIR",
    purpose: "says whether a service is supervised",
    options: &[],
    exits: &[
        ("0", "a supervisor is there"),
        ("100", "none is there; or usage"),
        ("111", "it cannot be told"),
    ],
};

/// Runs `svok`.
pub fn svok(call: &Call) -> u8 {
    let report = Report(call.name);
    let Some(service) = call.words.first() else {
        return report.usage("svok dir");
    };
    let place = match place(report) {
        Ok((_, place)) => place,
        Err(code) => return code,
    };
    match enter_supervised(report, service, &place) {
        Ok(true) => Exit::Done.code(),
        Ok(false) => Exit::Permanent.code(),
        Err(code) => code,
    }
}

/// `svup` in the table.
pub const SVUP: Applet = Applet {
    name: "svup",
    main: svup,
    synopsis: "[-L] [-l] DIR",
    purpose: "says whether a service is up",
    options: &[("-L", "only the log"), ("-l", "only the service itself")],
    exits: &[
        ("0", "it is up"),
        ("100", "it is not up; or usage"),
        ("111", "it cannot be told"),
    ],
};

/// Runs `svup`.
pub fn svup(call: &Call) -> u8 {
    const USAGE: &str = "svup [-L] [-l] dir";
    let report = Report(call.name);
    let (side, services) = match Side::read(&call.words) {
        Ok(read) => read,
        Err(letter) => {
            Report::illegal_option(OsStr::new(call.name), letter);
            return report.usage(USAGE);
        }
    };
    let [service, ..] = services else {
        return report.usage(USAGE);
    };
    let place = match place(report) {
        Ok((_, place)) => place,
        Err(code) => return code,
    };
    match enter_supervised(report, service, &place) {
        Ok(true) => {}
        Ok(false) => return Exit::Permanent.code(),
        Err(code) => return code,
    }
    let told = place.told("status");
    let object = [
        service.as_os_str(),
        OsStr::new("/"),
        OsStr::from_bytes(&told),
    ];
    let [a, b, c] = object;
    let mut buffer = [0; STATUS_SIZE_MAX];
    let read = place
        .within("status")
        .and_then(file::open_to_read)
        .and_then(|file| read_up_to(file, &mut buffer));
    let length = match read {
        Ok(length) => length,
        Err(error) => return report.fatal(&[OsStr::new("unable to read "), a, b, c], &error),
    };
    let Some(status) = Status::decode(&buffer[..length]) else {
        let text = [
            OsStr::new("bad data in "),
            a,
            b,
            c,
            OsStr::new(": truncated file"),
        ];
        return report.refuse(&text, Exit::Temporary);
    };
    let up = match side {
        Side::Both => is_up(&status.main) && status.log.as_ref().is_none_or(is_up),
        Side::Main => is_up(&status.main),
        Side::Log => status.log.as_ref().is_some_and(is_up),
    };
    if up {
        Exit::Done.code()
    } else {
        Exit::Permanent.code()
    }
}

fn is_up(record: &Record) -> bool {
    let phase = record.phase();
    record.service_pid().is_some() || matches!(phase, Some(Phase::Started | Phase::Running))
}

fn place(report: Report) -> Result<(Dialect, Place), u8> {
    let dialect = super::dialect(report)?;
    Ok((dialect, Place::from_environment(dialect)))
}

/// Enters the service directory and says whether a supervisor is there; an exit code if that cannot be told.
fn enter_supervised(report: Report, service: &OsStr, place: &Place) -> Result<bool, u8> {
    std::env::set_current_dir(service)
        .map_err(|error| report.fatal(&[OsStr::new("unable to chdir to "), service], &error))?;
    match place.within("ok").and_then(fifo::reach) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(errno::ENXIO | errno::ENOENT)) => {
            Ok(false)
        }
        Err(error) => {
            let told = place.told("ok");
            let text = [
                OsStr::new("unable to open "),
                service,
                OsStr::new("/"),
                OsStr::from_bytes(&told),
            ];
            Err(report.fatal(&text, &error))
        }
    }
}

/// `svstat` in the table.
pub const SVSTAT: Applet = Applet {
    name: "svstat",
    main: svstat,
    synopsis: "[-L] [-l] DIR...",
    purpose: "prints the state of services",
    options: &[("-L", "only the log"), ("-l", "only the service itself")],
    exits: &[
        ("0", "a line was printed for every directory"),
        ("100", "usage"),
        (
            "111",
            "the current directory cannot be opened or returned to",
        ),
    ],
};

/// Runs `svstat`.
pub fn svstat(call: &Call) -> u8 {
    let report = Report(call.name);
    let (dialect, place) = match place(report) {
        Ok(both) => both,
        Err(code) => return code,
    };
    let plain = (Side::Both, call.words.as_slice());
    let (side, services) = match dialect {
        Dialect::Classic | Dialect::Runit => plain,
        // What 0.76 would have taken for a directory still is one.
        Dialect::Auto => match Side::read(&call.words) {
            Ok((side, services)) => {
                let taken = call.words.len() - services.len();
                let last = call.words[..taken].last();
                // Such a word ends the options and is dropped where encore reads it; here only `--` itself does.
                let dropped =
                    last.is_some_and(|word| word.len() > 2 && word.as_bytes().starts_with(b"--"));
                (side, &call.words[taken - usize::from(dropped)..])
            }
            Err(_) => plain,
        },
        Dialect::Encore => match Side::read(&call.words) {
            Ok((side, services)) if !services.is_empty() => (side, services),
            read => {
                if let Err(letter) = read {
                    Report::illegal_option(OsStr::new(call.name), letter);
                }
                return report.usage("svstat [-L] [-l] dir [dir ...]");
            }
        },
    };
    let home = match Home::remember() {
        Ok(home) => home,
        Err(error) => {
            return report.fatal(&[OsStr::new("unable to open current directory")], &error);
        }
    };
    let mut out = Vec::with_capacity(services.len().saturating_mul(64));
    for (service, seen) in services.iter().zip(look_at_all(services, &place)) {
        let seen = match seen {
            Some(seen) => Ok(seen),
            None => {
                let seen = look_within(service, &place);
                if let Err(error) = home.back() {
                    write_all(&out);
                    return report.fatal(&[OsStr::new("unable to set directory")], &error);
                }
                seen
            }
        };
        match seen {
            Ok((status, down)) => tell(&mut out, service, &status, down, side, dialect),
            Err(trouble) => line(&mut out, service, "", &trouble),
        }
    }
    write_all(&out);
    Exit::Done.code()
}

fn write_all(out: &[u8]) {
    // A closed stdout is success, as in the original.
    let _ = io::stdout()
        .write_all(out)
        .and_then(|()| io::stdout().flush());
}

fn line(out: &mut Vec<u8>, service: &OsStr, what: &str, text: &str) {
    for part in [
        service.as_bytes(),
        what.as_bytes(),
        b": ",
        text.as_bytes(),
        b"\n",
    ] {
        out.extend_from_slice(part);
    }
}

fn tell(
    out: &mut Vec<u8>,
    service: &OsStr,
    status: &Status,
    down: bool,
    side: Side,
    dialect: Dialect,
) {
    let now = clock::wall();
    // 0.76 knows one record.
    let log = status.log.filter(|_| dialect != Dialect::Classic);
    if side != Side::Log {
        line(
            out,
            service,
            "",
            &sentence(&status.main, now, down, dialect),
        );
    }
    match (side, log) {
        (Side::Main, _) | (Side::Both, None) => {}
        (Side::Both | Side::Log, Some(log)) => {
            line(out, service, " log", &sentence(&log, now, down, dialect))
        }
        (Side::Log, None) => line(out, service, "", "no log service"),
    }
}

/// What could be learnt of a service without entering its directory: its status, and whether it has a `down`.
type Seen = Option<(Status, bool)>;

/// Looks at all services, with several threads if they are many: each look is little else than waiting for the kernel.
fn look_at_all(services: &[OsString], place: &Place) -> Vec<Seen> {
    /// More threads than this gain nothing measurable for 1,000 services.
    const THREADS: usize = 4;
    /// Fewer services than this cost less than a thread.
    const SHARE_MIN: usize = 64;
    let mut seen: Vec<Seen> = vec![None; services.len()];
    let share = services.len().div_ceil(THREADS).max(SHARE_MIN);
    std::thread::scope(|scope| {
        let mut shares = services.chunks(share).zip(seen.chunks_mut(share));
        let own = shares.next();
        for (services, seen) in shares {
            // A thread that cannot be had leaves its share to `look_within`.
            let _ = std::thread::Builder::new()
                .spawn_scoped(scope, move || look_at_share(services, seen, place));
        }
        if let Some((services, seen)) = own {
            look_at_share(services, seen, place);
        }
    });
    seen
}

fn look_at_share(services: &[OsString], seen: &mut [Seen], place: &Place) {
    let mut path = Vec::new();
    for (service, seen) in services.iter().zip(seen) {
        *seen = look_beside(service, place, &mut path);
    }
}

/// What a service's status says and whether it has a `down`, without entering the directory: six system calls, and the
/// answer in all but troubled cases. `None` if anything was in the way.
fn look_beside(service: &OsStr, place: &Place, path: &mut Vec<u8>) -> Seen {
    fifo::reach(place.beside(service, "ok", path)?).ok()?;
    let mut buffer = [0; STATUS_SIZE_MAX];
    let file = file::open_to_read(place.beside(service, "status", path)?).ok()?;
    let length = read_up_to(file, &mut buffer).ok()?;
    path.clear();
    path.extend_from_slice(service.as_bytes());
    path.extend_from_slice(b"/down");
    let down = file::exists(path.as_slice()).ok()?;
    Some((Status::decode(&buffer[..length])?, down))
}

/// The same from within the directory, in 0.76's order, with its words for what is in the way. Source: §5.3.
fn look_within(service: &OsStr, place: &Place) -> Result<(Status, bool), String> {
    let because = |text: &str, error: &io::Error| format!("{text}: {}", report::phrase(error));
    let unable = |verb: &str, file: &str, error: &io::Error| {
        let told = place.told(file);
        because(
            &format!("unable to {verb} {}", String::from_utf8_lossy(&told)),
            error,
        )
    };
    std::env::set_current_dir(service).map_err(|error| because("unable to chdir", &error))?;
    let down = file::exists(c"down").map_err(|error| because("unable to stat down", &error))?;
    match place.within("ok").and_then(fifo::reach) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(errno::ENXIO) => {
            return Err("supervise not running".into());
        }
        Err(error) => return Err(unable("open", "ok", &error)),
    }
    let open = place.within("status").and_then(file::open_to_read);
    let file = open.map_err(|error| unable("open", "status", &error))?;
    let mut buffer = [0; STATUS_SIZE_MAX];
    let length = read_up_to(file, &mut buffer).map_err(|error| unable("read", "status", &error))?;
    let told = place.told("status");
    let status = Status::decode(&buffer[..length]).ok_or_else(|| {
        format!(
            "unable to read {}: bad format",
            String::from_utf8_lossy(&told)
        )
    })?;
    Ok((status, down))
}

/// Reads the start of a status file in one call: supervisors replace or write it whole.
fn read_up_to(mut file: impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    file.read(buffer)
}
