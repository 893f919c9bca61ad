//! One service as `sv` sees it, and its sentences.

use super::goal::{Answer, Goal};
use crate::applets::place::{Home, Place};
use crate::report;
use eudaemon_core::status::{Record, Status, Tail, Wanted};
use eudaemon_core::time::Tai64n;
use eudaemon_core::words::Pid;
use eudaemon_sys::exec::{self, Helper};
use eudaemon_sys::watch::{Interest, Watch};
use eudaemon_sys::{clock, errno, fifo, file};
use std::ffi::{CString, OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where services are looked for without `$SVDIR`: upstream's, Debian's and Void's place, the first that is there.
const PLACES: [&str; 3] = ["/service", "/etc/service", "/var/service"];
/// Longest status file that means anything.
const STATUS_SIZE_MAX: usize = 40;

/// What a service does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Down,
    Run,
    Finish,
}

/// What was seen of a service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) record: Record,
    pub(super) state: State,
    /// TERM was sent and has not yet had its effect.
    pub(super) term: bool,
    /// It has a file `down`.
    normally_down: bool,
}

/// Why nothing can be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No supervisor runs.
    Gone,
    /// It is no service.
    Fail(String),
    /// It may be one, and cannot be looked at.
    Warning(String),
}

impl Trouble {
    pub(super) fn sentence(&self, shown: &OsStr) -> Vec<u8> {
        let (word, text) = match self {
            Trouble::Gone => ("fail: ", "runsv not running"),
            Trouble::Fail(text) => ("fail: ", text.as_str()),
            Trouble::Warning(text) => ("warning: ", text.as_str()),
        };
        [word.as_bytes(), shown.as_bytes(), b": ", text.as_bytes()].concat()
    }
}

impl Seen {
    pub(super) fn new(record: Record, normally_down: bool) -> Seen {
        let (state, term) = match record.tail {
            Tail::Run { term } => (State::Run, term),
            Tail::Finish { term } => (State::Finish, term),
            Tail::Down(_) => (State::Down, false),
            // Encore and 0.76 tell it by the pid.
            Tail::Encore(_) | Tail::Absent | Tail::Unknown if record.pid.is_some() => {
                (State::Run, false)
            }
            Tail::Encore(_) | Tail::Absent | Tail::Unknown => (State::Down, false),
        };
        Seen {
            record,
            state,
            term,
            normally_down,
        }
    }

    pub(super) fn runs(&self) -> bool {
        self.state == State::Run && self.record.pid.is_some()
    }

    /// As sv 2.1.2 says it (specification §10.3; observed with records of each kind).
    pub(super) fn sentence(&self, shown: &OsStr) -> Vec<u8> {
        let word: &[u8] = match self.state {
            State::Down => b"down: ",
            State::Run => b"run: ",
            State::Finish => b"finish: ",
        };
        let mut line = [word, shown.as_bytes(), b": "].concat();
        let mut say = |text: &str| line.extend_from_slice(text.as_bytes());
        let pid = self.record.pid;
        if self.state != State::Down {
            say(&format!("(pid {}) ", pid.map_or(0, Pid::get)));
        }
        let now = Tai64n::from_wall(clock::wall()).label;
        say(&format!("{}s", now.saturating_sub(self.record.since.label)));
        match (pid.is_some(), self.normally_down) {
            (true, true) => say(", normally down"),
            (false, false) => say(", normally up"),
            (true, false) | (false, true) => {}
        }
        if self.record.paused {
            say(", paused");
        }
        match (pid.is_some(), self.record.wanted) {
            (false, Some(Wanted::Up)) => say(", want up"),
            (true, Some(Wanted::Down)) => say(", want down"),
            (true, Some(Wanted::Up)) | (false, Some(Wanted::Down)) => {}
            // Where once is told, it is what sv calls wanting down.
            (true, Some(Wanted::Once)) => say(", want down"),
            (false, Some(Wanted::Once)) | (_, None) => {}
        }
        if self.term && pid.is_some() {
            say(", got TERM");
        }
        line
    }
}

/// A service named on the command line.
#[derive(Debug)]
pub(super) struct Service<'a> {
    shown: OsString,
    dir: PathBuf,
    home: &'a Home,
    place: &'a Place,
    /// The pid of `run` before the command.
    before: Option<Pid>,
}

impl<'a> Service<'a> {
    /// The service of this name: a path, or below `$SVDIR` (sv(8)).
    pub(super) fn named(name: &OsStr, home: &'a Home, place: &'a Place) -> Service<'a> {
        let bytes = name.as_bytes();
        let is_path = matches!(bytes.first(), Some(b'.' | b'/')) || bytes.last() == Some(&b'/');
        let dir = if is_path {
            PathBuf::from(name)
        } else {
            let named = std::env::var_os("SVDIR").filter(|dir| !dir.is_empty());
            let found = PLACES.iter().find(|dir| Path::new(dir).is_dir());
            let above = named.unwrap_or_else(|| found.unwrap_or(&PLACES[0]).into());
            Path::new(&above).join(name)
        };
        Service {
            shown: name.to_owned(),
            dir,
            home,
            place,
            before: None,
        }
    }

    pub(super) fn shown(&self) -> &OsStr {
        &self.shown
    }

    /// Does something from within a directory, and comes back.
    fn within<T>(
        &self,
        dir: &Path,
        look: impl FnOnce() -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let entered = std::env::set_current_dir(dir);
        let looked = match entered {
            Ok(()) => look(),
            Err(error) => {
                let told = format!(
                    "unable to change to service directory: {}",
                    report::phrase(&error)
                );
                Err(Trouble::Fail(told))
            }
        };
        self.home.back().map_err(|error| {
            let told = format!("unable to change directory: {}", report::phrase(&error));
            Trouble::Fail(told)
        })?;
        looked
    }

    pub(super) fn look(&self) -> Result<Seen, Trouble> {
        self.within(&self.dir, || look_here(self.place))
    }

    /// The words about its `log/`, if there is something of that name, and whether they are good.
    pub(super) fn log_sentence(&self) -> Option<(Vec<u8>, bool)> {
        let log = self.dir.join("log");
        let word = OsStr::new("log");
        match std::fs::metadata(&log) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Ok(data) if !data.is_dir() => {
                let shown = [self.shown.as_bytes(), b"/log"].concat();
                let told = "unable to change directory: not a directory".to_owned();
                let told = Trouble::Warning(told).sentence(OsStr::from_bytes(&shown));
                Some((told, false))
            }
            Ok(_) | Err(_) => Some(match self.within(&log, || look_here(self.place)) {
                Ok(seen) => (seen.sentence(word), true),
                Err(trouble) => (trouble.sentence(word), false),
            }),
        }
    }

    /// Writes control bytes.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<(), Trouble> {
        self.within(&self.dir, || {
            let open = self.place.within("control").and_then(fifo::open_writer);
            let mut control = open.map_err(|error| self.unable("open", "control", &error))?;
            let sent = match control.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    fifo::set_waiting(&control, true).and_then(|()| control.write(bytes))
                }
                other => other,
            };
            sent.map(drop)
                .map_err(|error| self.unable("write", "control", &error))
        })
    }

    fn unable(&self, verb: &str, name: &str, error: &io::Error) -> Trouble {
        unable(self.place, verb, name, error)
    }

    /// Sends a command. What stands in the way is told: `Err(true)` if that is a failure.
    pub(super) fn send(&mut self, bytes: &[u8], goal: Goal) -> Result<(), bool> {
        let sent = self.look().and_then(|seen| {
            self.before = seen.record.service_pid();
            if bytes.is_empty() {
                Ok(())
            } else {
                self.write(bytes)
            }
        });
        sent.map_err(|trouble| {
            let (line, well) = self.troubled(goal, &trouble);
            super::say(&line);
            !well
        })
    }

    /// What is told of a trouble, and whether it is what was asked for.
    fn troubled(&self, goal: Goal, trouble: &Trouble) -> (Vec<u8>, bool) {
        let line = trouble.sentence(&self.shown);
        if goal == Goal::Gone && *trouble == Trouble::Gone {
            let rest = line.strip_prefix(b"fail: ").unwrap_or(&line);
            return ([b"ok: ", rest].concat(), true);
        }
        (line, false)
    }

    /// The line to be told once the goal is reached or can no longer be, and whether it was reached.
    pub(super) fn reached(&self, goal: Goal) -> Option<(Vec<u8>, bool)> {
        let seen = match self.look() {
            Ok(seen) => seen,
            Err(trouble) => return Some(self.troubled(goal, &trouble)),
        };
        let happened = match goal.answer(&seen, self.before) {
            Answer::No => false,
            Answer::Yes => true,
            Answer::Check => self.check(),
        };
        happened.then(|| {
            (
                [b"ok: ", seen.sentence(&self.shown).as_slice()].concat(),
                true,
            )
        })
    }

    /// Whether `check` says yes; a service without one is what it seems.
    fn check(&self) -> bool {
        let checked = self.within(&self.dir, || {
            let there = std::fs::metadata("check");
            if !there.is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0) {
                return Ok(true);
            }
            // One that cannot be started says nothing good.
            Ok(run_check().is_ok_and(|said_yes| said_yes))
        });
        checked.unwrap_or(false)
    }

    /// Has the watch tell when its status is replaced. Without a watch it is looked at again and again.
    pub(super) fn watch(&self, watch: &mut Watch) {
        let supervise = self.within(&self.dir, || {
            let status = self.place.within("status");
            let path = status
                .ok()
                .map(|path| PathBuf::from(OsString::from_vec(path)));
            let supervise = path.as_deref().and_then(Path::parent);
            Ok(supervise.is_some_and(|dir| watch.add(dir, Interest::Entries).is_some()))
        });
        // Whoever cannot be watched is looked at again and again.
        let _ = supervise;
    }
}

fn unable(place: &Place, verb: &str, name: &str, error: &io::Error) -> Trouble {
    if error.raw_os_error() == Some(errno::ENXIO) {
        return Trouble::Gone;
    }
    let told = place.told(name);
    let told = String::from_utf8_lossy(&told);
    Trouble::Warning(format!(
        "unable to {verb} {told}: {}",
        report::phrase(error)
    ))
}

/// Looks at the service whose directory is the working directory.
fn look_here(place: &Place) -> Result<Seen, Trouble> {
    let unable = |verb: &str, name: &str, error: &io::Error| unable(place, verb, name, error);
    let reached = place.within("ok").and_then(fifo::reach);
    reached.map_err(|error| unable("open", "ok", &error))?;
    let open = place.within("status").and_then(file::open_to_read);
    let mut status = open.map_err(|error| unable("open", "status", &error))?;
    let mut buffer = [0; STATUS_SIZE_MAX];
    let length = status
        .read(&mut buffer)
        .map_err(|error| unable("read", "status", &error))?;
    let Some(status) = Status::decode(&buffer[..length]) else {
        let told = String::from_utf8_lossy(&place.told("status")).into_owned();
        return Err(Trouble::Warning(format!(
            "unable to read {told}: bad format"
        )));
    };
    let down = file::exists(c"down").unwrap_or(false);
    Ok(Seen::new(status.main, down))
}

/// Runs `./check` from here and waits for it. What it prints is for nobody.
fn run_check() -> io::Result<bool> {
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    let environment = exec::own_environment();
    let environment: Vec<&std::ffi::CStr> = environment.iter().map(CString::as_c_str).collect();
    let check = exec::spawn(&Helper {
        file: c"./check",
        argv: &[c"check"],
        environment: &environment,
        streams: [None, Some(null.as_fd()), None],
        more: &[],
        folder: None,
    })?;
    Ok(exec::wait(check)?.is_success())
}
