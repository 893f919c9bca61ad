//! Effects of the scanner, carried to the directory.

use super::{Engine, Entry};
use crate::table::About;
use crate::tree::{Mode, OWN_DIR};
use crate::vault::{Kind, Place};
use eudaemon_core::control::{Batch, Control};
use eudaemon_core::exit::Exit;
use eudaemon_core::scan::{Effect, Event, Id, Part, Seen};
use eudaemon_core::status::Dialect;
use eudaemon_core::supervise;
use eudaemon_sys::dir::{self, Dir};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// A new directory that has not changed for this long is taken to be complete, if it has what it needs.
const SETTLING: Duration = Duration::from_millis(20);
/// A new directory is taken as it is after this long.
const PATIENCE: Duration = Duration::from_secs(1);
/// Longest name of a service that gets a logger. Source: daemontools 0.76 svscan(8).
const LONGEST_LOGGED: usize = 255;

impl Engine<'_> {
    /// Lets the scanner decide, and performs its effects; their answers too.
    pub(super) fn scan(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let Some(scanner) = &mut self.scanner else {
                return;
            };
            let mut effects = Vec::new();
            scanner.step(eudaemon_sys::clock::mono(), event, &mut effects);
            for effect in effects {
                match effect {
                    Effect::List => events.push(self.list()),
                    Effect::Supervise(id, part) => {
                        if self.supervise(id, part).is_err() {
                            if self.options.mode == Mode::Pair {
                                self.exit = Exit::Temporary.code();
                                events.push(Event::Stop);
                            }
                            events.push(Event::Left(id, part));
                        }
                    }
                    // With runit's manners `x` takes it down, and hooks are asked once.
                    Effect::Down(id, Part::Main) if self.dialect == Dialect::Runit => {
                        self.command(id, Part::Main, b"x");
                    }
                    Effect::Down(id, part) => self.command(id, part, b"dx"),
                    Effect::Drain(id) => self.drain(id),
                    Effect::Rename(id, name) => self.rename(id, &name),
                    Effect::Forget(id) => self.forget(id),
                    Effect::Finish => self.done = Some(self.exit),
                }
            }
        }
    }

    fn list(&mut self) -> Event {
        if self.options.mode == Mode::Pair {
            return self.list_itself();
        }
        let mut names: Vec<Vec<u8>> = Vec::new();
        if let Err(error) = self.dir.names(|name| {
            if !name.starts_with(b".") {
                names.push(name.to_vec());
            }
        }) {
            self.warn_once(b"list", &["unable to read directory".as_ref()], &error);
            return Event::ListFailed;
        }
        self.warned.remove(b"list".as_slice());
        // What could not be looked at is looked at again, though nothing tells of its change.
        let mut watched = self.scan_watch.is_some();
        let mut seen = Vec::with_capacity(names.len());
        for name in names {
            let told = OsStr::from_bytes(&name);
            let (id, kind) = match self.dir.look(told) {
                Ok(found) => found,
                Err(error) => {
                    watched = false;
                    self.warn_once(&name, &["unable to stat ".as_ref(), told], &error);
                    continue;
                }
            };
            self.warned.remove(&name);
            if kind != dir::Kind::Directory {
                continue;
            }
            if self.is_being_filled(id, told) {
                continue;
            }
            let log = Engine::part_name(&name, Part::Log);
            let logged = match self.dir.look(&log) {
                Ok((_, dir::Kind::Directory)) => true,
                // 0.76 takes anything for a logger; elsewhere a file is encore's, and its supervisor's affair.
                Ok(_) => self.dialect == Dialect::Classic,
                Err(error) if error.kind() == io::ErrorKind::NotFound => false,
                Err(error) => {
                    watched = false;
                    self.warn_once(log.as_bytes(), &["unable to stat ".as_ref(), &log], &error);
                    continue;
                }
            };
            self.warned.remove(log.as_bytes());
            let logged = (logged || self.options.mode == Mode::Up) && name.len() <= LONGEST_LOGGED;
            seen.push(Seen { name, id, logged });
        }
        Event::Listed { seen, watched }
    }

    /// `runsv DIR`: the directory itself is the one service, and nothing will change that.
    fn list_itself(&mut self) -> Event {
        let name = self.options.dir.as_os_str().as_bytes().to_vec();
        let logged = match self.dir.look("log".as_ref()) {
            Ok((_, dir::Kind::Directory)) => true,
            Ok(_) => {
                let told = ["./log: not a directory.".as_ref()];
                self.options.report().warn(&told, None);
                false
            }
            Err(_) => false,
        };
        let watched = true;
        match self.dir.id() {
            Ok(id) => Event::Listed {
                seen: vec![Seen { name, id, logged }],
                watched,
            },
            Err(_) => Event::ListFailed,
        }
    }

    /// Whether the tree is one service, with its `log/` or without.
    pub(super) fn is_one_service(&self) -> bool {
        matches!(self.options.mode, Mode::Single | Mode::Pair)
    }

    /// Whether the tree's lock is this record's as well.
    pub(super) fn holds_lock_of(&self, record: usize) -> bool {
        self.is_one_service()
            && self
                .table
                .about(record)
                .is_some_and(|about| about.part == Part::Main)
    }

    /// The directory of a part, by what it is called.
    pub(super) fn open_part(&self, label: &OsStr, part: Part) -> io::Result<Dir> {
        match (self.options.mode, part) {
            (Mode::Pair, Part::Main) => self.dir.duplicate(),
            (Mode::Pair, Part::Log) => self.dir.open_at("log".as_ref()),
            (Mode::Single | Mode::Scan | Mode::Up, _) => self.dir.open_at(label),
        }
    }

    /// Whether a directory that we have not seen before changed a moment ago, or lacks its `run` still: whoever makes it
    /// is not done, and what it is missing would be missed. The originals look too seldom to notice.
    fn is_being_filled(&mut self, id: Id, name: &OsStr) -> bool {
        let known = self
            .scanner
            .as_ref()
            .is_some_and(|scanner| scanner.name(id).is_some());
        let Ok(modified) = self.dir.modified(name) else {
            return false;
        };
        // A clock that was set back makes it look old or not yet made: then it is taken as it is.
        let Some(age) = eudaemon_sys::clock::wall().0.checked_sub(modified.0) else {
            return false;
        };
        let age = Duration::from_nanos(age);
        if known || age >= PATIENCE || self.arrived.contains(name.as_bytes()) {
            return false;
        }
        let lacks = || {
            let told = Path::new(name);
            ["run", "start", "down"]
                .iter()
                .all(|file| !self.dir.exists(told.join(file).as_os_str()).unwrap_or(true))
        };
        let unsettled = age < SETTLING || lacks();
        if unsettled {
            let again = eudaemon_sys::clock::mono() + SETTLING;
            self.settle_at = Some(self.settle_at.map_or(again, |at| at.min(again)));
        }
        unsettled
    }

    /// The records of a service, and the pipe between its parts.
    fn entry(&mut self, id: Id, part: Part) -> io::Result<usize> {
        if !self.entries.contains_key(&id) {
            let name = self
                .scanner
                .as_ref()
                .and_then(|scanner| scanner.name(id))
                .unwrap_or_default()
                .to_vec();
            let has_log = self.options.mode == Mode::Pair
                || self
                    .dir
                    .look(&Engine::part_name(&name, Part::Log))
                    .is_ok_and(|(_, kind)| kind == dir::Kind::Directory);
            // The scanner asks for the log first, if there is one.
            let logged = part == Part::Log;
            let builtin = logged && !has_log;
            let about = About {
                dir: id,
                owner: id,
                part: Part::Main,
                logged,
                builtin,
            };
            let full = || io::Error::from_raw_os_error(eudaemon_sys::errno::ENFILE);
            let main = self.table.allocate(&about).ok_or_else(full)?;
            let mut entry = Entry {
                main,
                log: None,
                pipe: None,
            };
            if logged {
                let made = dir::unbreakable_pipe().and_then(|pipe| {
                    self.table.set_pipe(main, dir::inode(&pipe)?);
                    Ok(pipe)
                });
                let pipe = match made {
                    Ok(pipe) => pipe,
                    Err(error) => {
                        self.table.release(main);
                        return Err(error);
                    }
                };
                self.keep(&[(Place::of(main, Kind::Pipe), pipe.as_fd())]);
                entry.pipe = Some(pipe);
            }
            self.entries.insert(id, entry);
        }
        let Some(entry) = self.entries.get_mut(&id) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        Ok(match part {
            Part::Main => entry.main,
            Part::Log => match entry.log {
                Some(log) => log,
                None => {
                    let builtin = self
                        .table
                        .about(entry.main)
                        .is_some_and(|about| about.builtin);
                    let about = About {
                        dir: id,
                        owner: id,
                        part: Part::Log,
                        logged: true,
                        builtin,
                    };
                    let full = || io::Error::from_raw_os_error(eudaemon_sys::errno::ENFILE);
                    let log = self.table.allocate(&about).ok_or_else(full)?;
                    entry.log = Some(log);
                    log
                }
            },
        })
    }

    fn supervise(&mut self, id: Id, part: Part) -> Result<(), ()> {
        let name = self
            .scanner
            .as_ref()
            .and_then(|scanner| scanner.name(id))
            .unwrap_or_default()
            .to_vec();
        let label = Engine::part_name(&name, part);
        let refused = [b"start ", label.as_bytes()].concat();
        let opened = self.entry(id, part).and_then(|record| {
            let about = self.table.about(record).ok_or(io::ErrorKind::NotFound)?;
            let dir = match part {
                Part::Log if about.builtin => self.builtin_logger(&name)?,
                Part::Main | Part::Log => self.open_part(&label, part)?,
            };
            // The name may have come to mean another directory since the listing; then the next listing tells.
            if part == Part::Main && dir.id()? != id {
                return Err(io::ErrorKind::NotFound.into());
            }
            Ok((record, about, dir))
        });
        match opened {
            Ok((record, about, dir)) => {
                self.warned.remove(&refused);
                let lock = match self.holds_lock_of(record) {
                    true => self.lock.try_clone().ok(),
                    false => None,
                };
                self.begin(record, about, label, dir, lock)
            }
            Err(error) => {
                let words: [&OsStr; 2] = ["unable to start supervise ".as_ref(), &label];
                self.warn_once(&refused, &words, &error);
                Err(())
            }
        }
    }

    /// A service directory of our own making: `multilog` of this very program, for a service without a logger.
    fn builtin_logger(&mut self, name: &[u8]) -> io::Result<Dir> {
        let (own, path) = crate::tree::own_dir(&self.dir)?;
        own.make_dir("log".as_ref())?;
        let logs = own.open_at("log".as_ref())?;
        let name = OsStr::from_bytes(name);
        logs.make_dir(name)?;
        let service = logs.open_at(name)?;
        let program = std::env::current_exe()?;
        let script = [
            b"#!/bin/sh\nexec ".as_slice(),
            &quoted(program.as_os_str()),
            b" multilog t s1000000 n10 ./main\n",
        ]
        .concat();
        let run = path.join("log").join(name).join("run");
        let fresh = std::fs::read(&run).is_ok_and(|old| old == script);
        if !fresh {
            write_program(&run, &script)?;
        }
        Ok(service)
    }

    /// The directory in which a service's built-in logger keeps its files.
    pub(super) fn builtin_log_dir(&self, name: &[u8]) -> Option<std::path::PathBuf> {
        let (_, path) = crate::tree::own_dir(&self.dir).ok()?;
        Some(path.join("log").join(OsStr::from_bytes(name)).join("main"))
    }

    fn record_of(&self, id: Id, part: Part) -> Option<usize> {
        let entry = self.entries.get(&id)?;
        match part {
            Part::Main => Some(entry.main),
            Part::Log => entry.log,
        }
    }

    fn command(&mut self, id: Id, part: Part, letters: &[u8]) {
        let Some(record) = self.record_of(id, part) else {
            return;
        };
        let mut batch = Batch::default();
        for letter in letters {
            if let Some(command) = batch.next(*letter) {
                self.queue
                    .push_back((record, supervise::Event::Command(command)));
            }
        }
    }

    /// The logger's pipe loses its last writer but for the service's own children; its supervisor leaves when it ends.
    fn drain(&mut self, id: Id) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let main = entry.main;
        let log = entry.log;
        entry.pipe = None;
        self.release(&[Place::of(main, Kind::Pipe)]);
        if let Some(record) = log {
            for control in [Control::NoRestart, Control::Exit] {
                let command = eudaemon_core::control::Command::plain(control);
                self.queue
                    .push_back((record, supervise::Event::Command(command)));
            }
        }
    }

    fn rename(&mut self, id: Id, name: &[u8]) {
        for part in [Part::Main, Part::Log] {
            let label = Engine::part_name(name, part);
            if let Some(record) = self.record_of(id, part)
                && let Some(service) = self.service_mut(record)
            {
                service.label = label;
            }
        }
    }

    fn forget(&mut self, id: Id) {
        let Some(entry) = self.entries.remove(&id) else {
            return;
        };
        self.release(&[Place::of(entry.main, Kind::Pipe)]);
        self.table.release(entry.main);
        if let Some(log) = entry.log {
            self.table.release(log);
        }
    }

    /// `supervise DIR`: the directory itself is the one service. Its lock is the tree's.
    pub(super) fn begin_single(&mut self) {
        let about = self.dir.id().map(|id| About {
            dir: id,
            owner: id,
            part: Part::Main,
            logged: false,
            builtin: false,
        });
        let begun = about.and_then(|about| {
            let record = self
                .table
                .allocate(&about)
                .ok_or(io::ErrorKind::OutOfMemory)?;
            Ok((record, about, self.dir.duplicate()?, self.lock.try_clone()?))
        });
        let label: OsString = self.options.dir.as_os_str().to_owned();
        match begun {
            Ok((record, about, dir, lock)) => {
                if self.begin(record, about, label, dir, Some(lock)).is_err() {
                    self.table.release(record);
                    self.done = Some(Exit::Temporary.code());
                }
            }
            Err(error) => {
                self.options
                    .report()
                    .fatal(&["unable to supervise ".as_ref(), &label], &error);
                self.done = Some(Exit::Temporary.code());
            }
        }
    }
}

/// A word for /bin/sh.
fn quoted(word: &OsStr) -> Vec<u8> {
    let mut out = b"'".to_vec();
    for byte in word.as_bytes() {
        if *byte == b'\'' {
            out.extend_from_slice(b"'\\''");
        } else {
            out.push(*byte);
        }
    }
    out.push(b'\'');
    out
}

/// Writes an executable file in one step, so that nobody ever executes half of it.
fn write_program(path: &Path, text: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let new = path.with_extension("new");
    std::fs::write(&new, text)?;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755))?;
    std::fs::rename(&new, path)
}

/// The name of the tree's own directory starts with a dot, so that it is never taken for a service.
const _: () = assert!(OWN_DIR.as_bytes()[0] == b'.');
