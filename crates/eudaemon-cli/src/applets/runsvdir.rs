//! `runsvdir`: a directory of services with runit's manners (runsvdir(8)).
//!
//! It is our own scanner: there is no process for each service, no limit to their number, and whoever is killed is replaced
//! while the services live on.

use super::{Applet, Call, runsv};
use crate::report::Report;
use eudaemon_core::exit::Exit;
use eudaemon_core::status::Dialect;
use eudaemon_engine::{Mode, Options};
use eudaemon_sys::exec::{self, Helper, OWN_FILE};
use eudaemon_sys::watch::Watch;
use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// `runsvdir` in the table.
pub const RUNSVDIR: Applet = Applet {
    name: "runsvdir",
    main,
    synopsis: "[-P] DIR [LOG]",
    purpose: "starts and watches the services of a directory",
    options: &[("-P", "each service runs in a session of its own")],
    exits: &[
        ("0", "TERM came: the services are left running"),
        ("1", "usage"),
        ("100", "the log could not be started"),
        ("111", "HUP came and all is down, or it could not start"),
    ],
};

/// Shortest log argument. Source: runsvdir(8).
const LOG_SIZE_MIN: usize = 7;
/// How much of its start stays as it is: `log: `.
const LABEL: usize = 5;
/// Least room that anything can be shown in.
const ROOM_MIN: usize = 5;

/// Pause before a directory that is not there is looked at again. Source: runsvdir 2.1.2, observed.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs `runsvdir`.
pub fn main(call: &Call) -> u8 {
    // Only the first word can be an option, and only its first letters count. Source: runsvdir 2.1.2, observed.
    let first = call.words.first().map(|word| word.as_bytes());
    let sessions = first.is_some_and(|word| word.starts_with(b"-P"));
    let ended = first.is_some_and(|word| word.starts_with(b"--"));
    let words = &call.words[usize::from(sessions || ended)..];
    let Some((dir, rest)) = words.split_first() else {
        return runsv::usage("runsvdir [-P] dir");
    };
    let program: &'static str = format!("runsvdir {}", dir.display()).leak();
    let report = Report(program);
    if let Some(log) = rest.first() {
        if log.len() < LOG_SIZE_MIN {
            for text in [
                "log must have at least seven characters.",
                "log service disabled.",
            ] {
                report.warn(&[text.as_ref()], None);
            }
        } else if let Err(error) = show(dir, log) {
            report.fatal(&["unable to start the log".as_ref()], &error);
            return Exit::Permanent.code();
        }
    }
    match wait_for(report, dir) {
        Err(code) => code,
        Ok(()) => eudaemon_engine::run(&Options {
            program,
            dir: dir.into(),
            mode: Mode::Scan,
            dialect: Dialect::Runit,
            sessions,
            companion: None,
        }),
    }
}

/// Has what goes to stderr from now on, ours and the services', shown in the process list.
///
/// Differs: the original shows it as its own last argument; here a process beside it does, which goes on when we are
/// replaced. Its line has our name in it, so that who looks for `runsvdir` finds it.
fn show(dir: &OsStr, log: &OsStr) -> io::Result<()> {
    let (reader, writer) = io::pipe()?;
    let (word, _) = log.as_bytes().split_at(LABEL);
    let word = CString::new(word.trim_ascii())?;
    let dir = CString::new(dir.as_bytes())?;
    let room = CString::new(vec![b'.'; (log.len() - LABEL).max(ROOM_MIN)])?;
    exec::spawn(&Helper {
        file: OWN_FILE,
        argv: &[c"readproctitle", c"runsvdir", &dir, &word, &room],
        environment: &[],
        streams: [Some(reader.as_fd()), None, None],
        more: &[],
        folder: None,
    })?;
    exec::replace_stderr(writer)
}

/// The original waits for a directory that is not there, and says so each second.
fn wait_for(report: Report, dir: &OsStr) -> Result<(), u8> {
    let mut watch = None;
    loop {
        let looked = std::fs::metadata(dir).map_err(|error| ("unable to stat ", error));
        let found = looked.and_then(|data| {
            if data.is_dir() {
                Ok(())
            } else {
                let error = io::Error::from_raw_os_error(eudaemon_sys::errno::ENOTDIR);
                Err(("unable to change directory to ", error))
            }
        });
        let Err((verb, error)) = found else {
            return Ok(());
        };
        report.warn(&[verb.as_ref(), Path::new(dir).as_os_str()], Some(&error));
        if watch.is_none() {
            let mut new = Watch::new();
            if let Err(error) = new.until_term() {
                return Err(report.fatal(&["unable to wait".as_ref()], &error));
            }
            watch = Some(new);
        }
        if let Some(watch) = &mut watch
            && watch.wait(Some(PAUSE)).is_ok_and(|woken| woken.term)
        {
            return Err(0);
        }
    }
}
