//! Services come and go: their files are made, repaired and given up.

use super::{Engine, token};
use crate::service::{self, Files, Service};
use crate::table::{About, Stop};
use crate::tree::Mode;
use crate::vault::{Kind, Place};
use eudaemon_core::definition::Manners;
use eudaemon_core::scan::Part;
use eudaemon_core::status::Dialect;
use eudaemon_core::supervise::{Event, Role, Supervisor};
use eudaemon_sys::dir::{self, Dir};
use eudaemon_sys::poll::Interest;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

impl Engine<'_> {
    /// Puts a service part under a supervisor. The error has been said.
    pub(super) fn begin(
        &mut self,
        record: usize,
        about: About,
        label: OsString,
        dir: Dir,
        lock: Option<OwnedFd>,
    ) -> Result<(), ()> {
        let path = service::supervise_path(&dir, &self.supervise_name);
        let now = eudaemon_sys::clock::now();
        let down = match dir.exists("down".as_ref()) {
            Ok(down) => down,
            Err(error) => {
                self.begin_failed(&label, "unable to stat ", "down".as_ref(), &error);
                return Err(());
            }
        };
        let files = match Files::open(&dir, &path, lock) {
            Ok(files) => files,
            Err((verb, file, error)) => {
                self.begin_failed(
                    &label,
                    &format!("unable to {verb} "),
                    file.as_os_str(),
                    &error,
                );
                return Err(());
            }
        };
        let manners = manners_of(self.dialect, about.part);
        let supervisor = Supervisor::new(now, down).with_manners(manners);
        self.keep(&[
            (Place::of(record, Kind::Dir), dir.as_fd()),
            (Place::of(record, Kind::Control), files.control.as_fd()),
            (Place::of(record, Kind::Lock), files.lock.as_fd()),
        ]);
        self.table.save(record, &supervisor);
        self.install(record, about, label, dir, files, supervisor);
        self.mark_dirty(record);
        self.flush();
        // Only now does `svok` say yes: whoever waits for it finds a status. And only then is it started: a `run` may ask its
        // own supervisor for something (`sv once .`).
        self.open_presence(record);
        self.queue.push_back((record, Event::Deadline));
        self.drain_queue();
        self.flush();
        Ok(())
    }

    /// Opens `ok`. Without it `svok` says no, which is then a lie, but nothing else suffers.
    pub(super) fn open_presence(&mut self, record: usize) {
        let Some(service) = self.services.get_mut(record).and_then(Option::as_deref_mut) else {
            return;
        };
        match service.files.supervise.presence_fifo("ok".as_ref()) {
            Ok(presence) => {
                // A keeper that is gone is given everything again by the one that follows.
                let _ = crate::vault::put(
                    &self.channel,
                    &[(Place::of(record, Kind::Presence), presence.as_fd())],
                );
                service.files.presence = Some(presence);
            }
            Err(error) => {
                let label = service.label.clone();
                let path = service::supervise_path(&service.dir, &self.supervise_name).join("ok");
                self.begin_failed(&label, "unable to read ", path.as_os_str(), &error);
                self.broken.insert(record);
                self.repair_at
                    .get_or_insert(eudaemon_sys::clock::mono() + super::REPAIR_PAUSE);
            }
        }
    }

    pub(super) fn begin_failed(
        &mut self,
        label: &OsStr,
        verb: &str,
        file: &OsStr,
        error: &io::Error,
    ) {
        let mut key = label.as_bytes().to_vec();
        key.extend_from_slice(file.as_bytes());
        if self.is_one_service() || self.warned.insert(key) {
            if self.dialect == Dialect::Runit {
                return self.tell_unbegun(label, verb, file, error);
            }
            let told = service::told_path(label, file);
            crate::report::Report("supervise").fatal(&[verb.as_ref(), &told], error);
        }
    }

    /// In runit's words (observed with 2.1.2).
    pub(super) fn tell_unbegun(&self, label: &OsStr, verb: &str, file: &OsStr, error: &io::Error) {
        let label = label.as_bytes();
        let (name, file) = match label.strip_suffix(b"/log") {
            Some(name) => (name, [b"log/", file.as_bytes()].concat()),
            None => (label, file.as_bytes().to_vec()),
        };
        let (name, file) = (OsStr::from_bytes(name), OsStr::from_bytes(&file));
        let verb = match verb {
            "unable to acquire " if error.kind() == io::ErrorKind::WouldBlock => "unable to lock ",
            "unable to acquire " | "unable to read " | "unable to write " => "unable to open ",
            other => other,
        };
        if error.kind() == io::ErrorKind::IsADirectory && file.as_bytes().ends_with(b"/control") {
            let words = [file, " exists but is not a fifo".as_ref()];
            return crate::report::fatal_of(name, &words, None);
        }
        crate::report::fatal_of(name, &[verb.as_ref(), file], Some(error));
    }

    /// Makes a part known to the loop.
    pub(super) fn install(
        &mut self,
        record: usize,
        about: About,
        label: OsString,
        dir: Dir,
        files: Files,
        supervisor: Supervisor,
    ) {
        if let Err(error) = self.poll.add(
            &files.control,
            token::of(token::CONTROL, record as u64),
            Interest::Read,
        ) {
            self.warn_as(
                "supervise",
                &["unable to listen to control of ".as_ref(), &label],
                &error,
            );
        }
        let watch = self
            .inotify
            .as_ref()
            .and_then(|inotify| inotify.watch_deletions(&files.supervise).ok());
        if let Some(watch) = watch {
            self.watches.insert(watch, record);
        }
        if self.services.len() <= record {
            self.services.resize_with(record + 1, || None);
        }
        self.services[record] = Some(Box::new(Service {
            about,
            label,
            dir,
            files,
            watch,
            supervisor,
            held: [const { None }; Role::ALL.len()],
            notice: None,
            own_pipe: None,
            lock_grant: None,
            ended: None,
            deadline: None,
            dirty: false,
            state_dirty: false,
            unwritable: false,
            told: Vec::new(),
        }));
    }

    /// Makes what was removed from `supervise` again, and opens it; tries again later if it cannot.
    pub(super) fn repair(&mut self, record: usize) {
        let Some(service) = self.services.get_mut(record).and_then(Option::as_deref_mut) else {
            return;
        };
        let path = service::supervise_path(&service.dir, &self.supervise_name);
        // The lock in hand goes on counting if its file is still there; a new file needs a new lock.
        let kept = service
            .files
            .supervise
            .exists("lock".as_ref())
            .unwrap_or(false)
            && service
                .dir
                .open_at(path.as_os_str())
                .and_then(|dir| dir.id())
                .ok()
                == service.files.supervise.id().ok();
        let lock = if kept {
            service.files.lock.try_clone().ok()
        } else {
            None
        };
        match Files::open(&service.dir, &path, lock) {
            Ok(files) => {
                let _ = self.poll.remove(&service.files.control);
                let added = self.poll.add(
                    &files.control,
                    token::of(token::CONTROL, record as u64),
                    Interest::Read,
                );
                let places = [
                    (Place::of(record, Kind::Control), files.control.as_fd()),
                    (Place::of(record, Kind::Lock), files.lock.as_fd()),
                ];
                // A keeper that is gone is given everything again by the one that follows.
                let _ = (added, crate::vault::put(&self.channel, &places));
                if service.watch.is_none()
                    && let Some(watch) = self
                        .inotify
                        .as_ref()
                        .and_then(|it| it.watch_deletions(&files.supervise).ok())
                {
                    service.watch = Some(watch);
                    self.watches.insert(watch, record);
                }
                service.files = files;
                self.mark_dirty(record);
                self.open_presence(record);
            }
            Err((verb, file, error)) => {
                let label = service.label.clone();
                let verb = format!("unable to {verb} ");
                let mut key = b"repair ".to_vec();
                key.extend_from_slice(label.as_bytes());
                if self.warned.insert(key) {
                    let told = service::told_path(&label, file.as_os_str());
                    self.warn_as("supervise", &[verb.as_ref(), &told], &error);
                }
                self.broken.insert(record);
                self.repair_at
                    .get_or_insert(eudaemon_sys::clock::mono() + super::REPAIR_PAUSE);
            }
        }
    }

    /// The supervisor of a part is done with it.
    pub(super) fn leave(&mut self, record: usize) {
        let Some(service) = self.services.get_mut(record).and_then(Option::take) else {
            return;
        };
        let words = service.write_words(self.dialect);
        let written = words.and(service.write_status());
        if let Err(error) = written.and_then(|()| service.write_state()) {
            let told = service.told(&self.supervise_name, "status");
            self.warn_as("supervise", &["unable to write ".as_ref(), &told], &error);
        }
        let _ = self.poll.remove(&service.files.control);
        if let Some(notice) = &service.notice {
            let _ = self.poll.remove(notice);
        }
        if let (Some(inotify), Some(watch)) = (&self.inotify, service.watch) {
            inotify.remove(watch);
            self.watches.remove(&watch);
        }
        // The keeper has a copy of the lock; unlocking the file ends it for both, so the next may begin at once. But not
        // while the logger of the same tree still reads.
        if self.options.mode == Mode::Pair && service.about.part == Part::Main {
            self.lingering = service
                .files
                .presence
                .as_ref()
                .and_then(|it| it.try_clone().ok());
        } else {
            let _ = dir::unlock(&service.files.lock);
        }
        self.release(&[
            Place::of(record, Kind::Dir),
            Place::of(record, Kind::Control),
            Place::of(record, Kind::Presence),
            Place::of(record, Kind::Lock),
            Place::of(record, Kind::Notice),
            Place::held(record, Role::Main),
            Place::held(record, Role::Log),
            Place::held(record, Role::Check),
            Place::held(record, Role::Hook),
        ]);
        if service.own_pipe.is_some() {
            self.release(&[Place::of(record, Kind::Pipe)]);
        }
        // Last: an engine that follows one killed before this leaves again.
        self.table.unsave(record);
        let about = service.about;
        self.forget_waiters(record, &service);
        drop(service);
        self.left(about);
    }

    pub(super) fn left(&mut self, about: About) {
        match self.options.mode {
            Mode::Single => self.done = Some(0),
            Mode::Pair => {
                if about.part == Part::Main {
                    self.stop(Stop::Ordered);
                }
                self.scan(eudaemon_core::scan::Event::Left(about.owner, about.part));
            }
            Mode::Scan | Mode::Up => {
                self.scan(eudaemon_core::scan::Event::Left(about.owner, about.part))
            }
        }
    }
}

/// A part's manners: a logger's letters are not customized, and it leaves only with its service (runsv(8)).
pub(super) fn manners_of(dialect: Dialect, part: Part) -> Manners {
    let manners = eudaemon_config::service_dir::manners(dialect);
    match part {
        Part::Main => manners,
        Part::Log => Manners {
            hooks: false,
            exit_stops: false,
            ..manners
        },
    }
}
