//! One service part in the engine's hands: its directory, its files below `supervise`, and its supervisor.

use crate::table::About;
use eudaemon_config::service_dir::{self, Found, NAMES, VALUE_SIZE};
use eudaemon_core::definition::{Definition, Problem};
use eudaemon_core::status::Dialect;
use eudaemon_core::supervise::{Hold, Role, Supervisor};
use eudaemon_core::time::{Mono, Tai64n, Wall};
use eudaemon_core::words::{Ended, Pid};
use eudaemon_sys::clock;
use eudaemon_sys::dir::{Dir, Kind};
use eudaemon_sys::process::{self, Held};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The files below `supervise` that are open for its whole life.
#[derive(Debug)]
pub struct Files {
    /// `supervise` itself.
    pub supervise: Dir,
    /// `control`, open both ways.
    pub control: OwnedFd,
    /// `ok`, open for reading, once there is a status.
    pub presence: Option<OwnedFd>,
    /// `lock`, locked.
    pub lock: OwnedFd,
}

/// A service part with a supervisor.
#[derive(Debug)]
pub struct Service {
    /// What the table's record says of it.
    pub about: About,
    /// What messages call it: `NAME`, or `NAME/log`.
    pub label: OsString,
    /// Its directory.
    pub dir: Dir,
    /// Its files.
    pub files: Files,
    /// The inotify watch on `supervise`.
    pub watch: Option<i32>,
    /// What it does next.
    pub supervisor: Supervisor,
    /// Hold of its children, by role.
    pub held: [Option<Held>; Role::ALL.len()],
    /// Reading end of the pipe on which it says that it is ready.
    pub notice: Option<OwnedFd>,
    /// The pipe to its executable `log` (encore).
    pub own_pipe: Option<OwnedFd>,
    /// Its `lock-fd` lock, taken and not yet given to it.
    pub lock_grant: Option<OwnedFd>,
    /// Hold of the child whose end is being told.
    pub ended: Option<Held>,
    /// The deadline that is in the heap.
    pub deadline: Option<Mono>,
    /// Its status file is out of date.
    pub dirty: bool,
    /// Its state file is out of date.
    pub state_dirty: bool,
    /// The status could not be written, and that has been said.
    pub unwritable: bool,
    /// The problems that have been said.
    pub told: Vec<Problem>,
}

/// The path of `supervise` from the service directory. An absolute `SUPERVISEDIR` holds one directory for each service,
/// named by its real path with colons for slashes (encore; specification §2.2).
#[must_use]
pub fn supervise_path(dir: &Dir, name: &OsStr) -> PathBuf {
    if !name.as_bytes().starts_with(b"/") {
        return PathBuf::from(name);
    }
    let mut path = name.as_bytes().to_vec();
    let real = dir.path();
    let flat = real.as_os_str().as_bytes().iter().enumerate();
    path.extend(flat.map(|(at, byte)| if at > 0 && *byte == b'/' { b':' } else { *byte }));
    PathBuf::from(OsString::from_vec(path))
}

/// What messages call a file of a service: an absolute path needs no directory before it.
#[must_use]
pub fn told_path(label: &OsStr, file: &OsStr) -> OsString {
    Path::new(label).join(file).into_os_string()
}

/// Opens `supervise`, and makes it (0700) if it is not there; behind a dangling symbolic link, what it points to (Debian's patch).
pub fn make_supervise(dir: &Dir, path: &Path) -> io::Result<Dir> {
    let name = path.as_os_str();
    let made = dir.make_dir(name);
    match (dir.open_at(name), made) {
        (Ok(supervise), _) => Ok(supervise),
        (Err(_), Err(error)) => Err(error),
        (Err(error), Ok(())) => match dir.link_target(name) {
            Some(target) => dir
                .make_dir(target.as_os_str())
                .and_then(|()| dir.open_at(name)),
            None => Err(error),
        },
    }
}

/// How long the lock of somebody who has just been killed may still be held: a dying process closes its descriptors one
/// by one, and some of them take the kernel ten milliseconds.
const DYING: Duration = Duration::from_millis(500);

/// Tries again, for a moment, what somebody who is dying may still hold. Only for a start: nothing waits in the loop.
pub fn after_the_dying<T>(attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    until_the_dead_are_gone(clock::mono() + DYING, attempt)
}

/// The same, until a moment that several attempts share.
pub fn until_the_dead_are_gone<T>(
    end: Mono,
    mut attempt: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    loop {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && clock::mono() < end => {
                clock::pause(Duration::from_millis(2));
            }
            done => return done,
        }
    }
}

/// When those who died just before now are gone.
#[must_use]
pub fn end_of_dying() -> Mono {
    clock::mono() + DYING
}

impl Files {
    /// Makes and opens what is missing, the lock first: nothing is touched before it is ours.
    ///
    /// The error comes with the file's name and what was attempted, in 0.76's words (specification §3.1).
    pub fn open(
        dir: &Dir,
        path: &Path,
        lock: Option<OwnedFd>,
    ) -> Result<Files, (&'static str, PathBuf, io::Error)> {
        let fail = |verb, file: &str, error| (verb, path.join(file), error);
        // 0.76 does not look at what became of mkdir: the lock tells (specification §3.1).
        let supervise =
            make_supervise(dir, path).map_err(|error| fail("acquire", "lock", error))?;
        let lock = match lock {
            Some(lock) => lock,
            None => supervise
                .lock("lock".as_ref())
                .map_err(|error| fail("acquire", "lock", error))?,
        };
        let control = supervise
            .control_fifo("control".as_ref())
            .map_err(|error| {
                // 0.76 opens it for reading first, which a directory allows.
                let is_dir = error.kind() == io::ErrorKind::IsADirectory;
                fail(if is_dir { "write" } else { "read" }, "control", error)
            })?;
        Ok(Files {
            supervise,
            control,
            presence: None,
            lock,
        })
    }
}

/// What the directory says now.
pub fn inspect(
    dir: &Dir,
    dialect: Dialect,
) -> io::Result<(Result<Definition, Vec<Problem>>, bool)> {
    if dialect == Dialect::Classic {
        return Ok((service_dir::read(&[], dialect, |_| Ok(Vec::new())), true));
    }
    let mut names: Vec<&'static str> = Vec::new();
    dir.names(|name| names.extend(NAMES.iter().find(|known| known.as_bytes() == name)))?;
    let mut found = Vec::with_capacity(names.len());
    let mut trigger = true;
    for name in names {
        match dir.look(name.as_ref()) {
            Ok((_, kind)) => {
                let (file, executable) = match kind {
                    Kind::File { executable } => (true, executable),
                    Kind::Directory | Kind::Fifo | Kind::Other => (false, false),
                };
                found.push(Found {
                    name,
                    file,
                    executable,
                });
                if name == "trigger" {
                    trigger = triggered(dir);
                }
            }
            // A trigger that points to nothing is a trigger that does not hold; any other name that is gone is gone.
            Err(_) if name == "trigger" => trigger = false,
            Err(_) => {}
        }
    }
    let definition = service_dir::read(&found, dialect, |name| dir.read(name.as_ref(), VALUE_SIZE));
    Ok((definition, trigger))
}

/// Whether every process that `trigger` names lives (daemontoolsx; specification §3.8).
fn triggered(dir: &Dir) -> bool {
    const LONGEST: usize = 64 * 1024;
    let name = OsStr::new("trigger");
    if let Some(target) = dir.link_target(name) {
        return lives(dir, &target);
    }
    match dir.read(name, LONGEST) {
        Ok(text) => service_dir::trigger_paths(&text)
            .all(|path| lives(dir, Path::new(OsStr::from_bytes(path)))),
        Err(_) => false,
    }
}

/// Whether the process of a `supervise/status` or a pid file lives, as far as a null signal tells.
fn lives(dir: &Dir, path: &Path) -> bool {
    let Ok(bytes) = dir.read(path.as_os_str(), 64) else {
        return false;
    };
    let pid = if path.file_name() == Some(OsStr::new("status")) {
        eudaemon_core::status::Status::decode(&bytes).and_then(|status| status.main.service_pid())
    } else {
        std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .and_then(Pid::new)
    };
    pid.is_some_and(process::exists)
}

impl Service {
    /// What messages call one of its files below `supervise`.
    pub fn told(&self, supervise_name: &OsStr, file: &str) -> OsString {
        let path = supervise_path(&self.dir, supervise_name).join(file);
        told_path(&self.label, path.as_os_str())
    }

    /// Writes `supervise/status`: replaced in one step, or, on a full disk, overwritten in place, so that it is true.
    pub fn write_status(&self) -> io::Result<()> {
        let bytes = self.supervisor.status().encode();
        let supervise = &self.files.supervise;
        supervise
            .replace("status".as_ref(), "status.new".as_ref(), &bytes)
            .or_else(|error| {
                // A half-written status.new must not be left to be mistaken for anything.
                let _ = supervise.remove("status.new".as_ref());
                supervise
                    .overwrite("status".as_ref(), &bytes)
                    .map_err(|_| error)
            })
    }

    /// Writes `supervise/stat` and `supervise/pid`, in words (runsv(8)): runit's supervisor does always, and in `auto` they
    /// are there for the programs in `control/`, which read them.
    pub fn write_words(&self, dialect: Dialect) -> io::Result<()> {
        if dialect != Dialect::Runit && !self.supervisor.definition().hooks {
            return Ok(());
        }
        let supervise = &self.files.supervise;
        let pid = self.supervisor.status().main.pid;
        let pid = pid.map_or(String::new(), |pid| format!("{}\n", pid.get()));
        supervise.replace("pid".as_ref(), "pid.new".as_ref(), pid.as_bytes())?;
        let stat = self.supervisor.stat_line();
        supervise.replace("stat".as_ref(), "stat.new".as_ref(), stat.as_bytes())
    }

    /// Whether the status file already says what it should.
    #[must_use]
    pub fn status_is_true(&self) -> bool {
        self.files
            .supervise
            .read("status".as_ref(), 64)
            .is_ok_and(|bytes| bytes == self.supervisor.status().encode())
    }

    /// Writes `supervise/state`: one line of JSON with everything the status has no room for.
    pub fn write_state(&self) -> io::Result<()> {
        let mut line = serde_json::to_vec(&self.state())?;
        line.push(b'\n');
        self.files
            .supervise
            .replace("state".as_ref(), "state.new".as_ref(), &line)
    }

    fn state(&self) -> State {
        let supervisor = &self.supervisor;
        let child = |role: eudaemon_core::supervise::Role| {
            supervisor.child(role).map(|pid| Child {
                pid: pid.get(),
                pidfs: self.held[role as usize]
                    .as_ref()
                    .and_then(|held| held.inode().ok()),
            })
        };
        State {
            v: 1,
            phase: supervisor.phase().word(),
            ready: supervisor.is_ready(),
            starts: supervisor.starts(),
            last: supervisor.last().map(|(pid, ended)| Last {
                pid: pid.get(),
                ended: ended.to_string(),
            }),
            since: seconds(supervisor.since()),
            held: supervisor.held().map(hold_word),
            main: child(eudaemon_core::supervise::Role::Main),
            log: child(eudaemon_core::supervise::Role::Log),
        }
    }

    /// Appends a death to `supervise/death_tally`, keeping at most `most`: 12 bytes of TAI64N, the exit code, the signal
    /// (s6; specification §2.2).
    pub fn write_tally(&self, at: Wall, ended: Ended, most: u16) -> io::Result<()> {
        const SIZE: usize = 14;
        let name = OsStr::new("death_tally");
        // More than `most` are there when fewer are to be kept than before; the latest stand last.
        let mut bytes = self
            .files
            .supervise
            .read(name, service_dir::MOST_DEATHS * SIZE)
            .unwrap_or_default();
        bytes.truncate(bytes.len() / SIZE * SIZE);
        let keep = (usize::from(most).saturating_sub(1)) * SIZE;
        let drop = bytes.len().saturating_sub(keep);
        bytes.drain(..drop);
        bytes.extend_from_slice(&Tai64n::from_wall(at).pack());
        let (code, signal) = match ended {
            Ended::Code(code) => (code, 0),
            Ended::Signal { number, .. } => (0, number),
            Ended::Unknown => (0, 0),
        };
        bytes.extend_from_slice(&[code, signal]);
        self.files
            .supervise
            .replace(name, "death_tally.new".as_ref(), &bytes)
    }
}

/// Unix seconds, for people's tools.
#[must_use]
pub fn seconds(at: Wall) -> f64 {
    at.secs() as f64 + f64::from(at.subsec_nanos()) / 1e9
}

/// Why a service is held, in a word or two.
#[must_use]
pub fn hold_word(hold: Hold) -> &'static str {
    match hold {
        Hold::Trigger => "its trigger does not live",
        Hold::Definition => "a file of its directory has a mistake",
        Hold::Lock => "its lock is held by another process",
        Hold::Unreadable => "its directory cannot be read",
    }
}

#[derive(serde::Serialize)]
struct State {
    v: u32,
    phase: &'static str,
    ready: bool,
    starts: u32,
    last: Option<Last>,
    since: f64,
    held: Option<&'static str>,
    main: Option<Child>,
    log: Option<Child>,
}

#[derive(serde::Serialize)]
struct Child {
    pid: u32,
    pidfs: Option<u64>,
}

#[derive(serde::Serialize)]
struct Last {
    pid: u32,
    ended: String,
}

/// Arguments of a script, beyond its name. Source: specification §3.7, §10.1, §11.1.
#[must_use]
pub fn finish_arguments(
    definition: &Definition,
    name: &OsStr,
    last: Option<(Pid, Ended)>,
) -> Vec<OsString> {
    use eudaemon_core::definition::FinishStyle;
    let (pid, ended) = match last {
        Some((pid, ended)) => (pid.get(), ended),
        None => (0, Ended::Unknown),
    };
    match definition.finish_style {
        FinishStyle::Runit => {
            let (code, low) = match ended {
                Ended::Code(code) => (i32::from(code), 0),
                Ended::Signal { number, core } => {
                    (-1, i32::from(number) | if core { 0x80 } else { 0 })
                }
                Ended::Unknown => (-1, 0),
            };
            vec![code.to_string().into(), low.to_string().into()]
        }
        FinishStyle::S6 => {
            let (code, signal) = match ended {
                Ended::Code(code) => (u32::from(code), 0),
                Ended::Signal { number, .. } => (256, u32::from(number)),
                Ended::Unknown => (256, 0),
            };
            vec![
                code.to_string().into(),
                signal.to_string().into(),
                name.to_owned(),
                pid.to_string().into(),
            ]
        }
    }
}
