//! A new engine continues what an earlier one began.
//!
//! Everything comes from the table and the vault. If the vault is empty, keeper and engine died together: then directories
//! are found again by their identity, pipes in the hands of the processes that have them, and a process is taken for ours
//! only if its pidfs inode is the one on record, or, where it could not be recorded in time, if it is in our directory.

use super::{Engine, Entry, token};
use crate::service::{self, Files, Service};
use crate::table::{About, Slot, Stop};
use crate::vault::{Kind, Place};
use eudaemon_core::scan::{self, Id, Part, Seen};
use eudaemon_core::supervise::{Effect, Event, Fact, Role, Supervisor};
use eudaemon_core::words::{Ended, Pid};
use eudaemon_sys::dir::{self, Dir};
use eudaemon_sys::poll::Interest;
use eudaemon_sys::process::{self, Held};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// What came of adopting a part.
enum Adoption {
    /// It has its supervisor again.
    Done(After),
    /// It has none to have, and no child lives.
    Idle,
    /// Its child lives, and it could not be adopted now.
    Orphan,
}

/// What is to be done once every part is known again.
struct After {
    record: usize,
    effects: Vec<Effect>,
    ended: Vec<(Role, Ended)>,
}

impl Engine<'_> {
    /// Adopts everything the table knows.
    pub(super) fn adopt(&mut self) {
        let names = self.names_by_id();
        let mut after = Vec::new();
        let abouts: Vec<(usize, About)> = (0..self.table.high_water())
            .filter_map(|record| Some((record, self.table.about(record)?)))
            .collect();
        for (record, about) in &abouts {
            if about.part == Part::Main {
                // Without a log directory the pipe is its own, to its executable `log`.
                let kept = Place::of(*record, Kind::Pipe);
                let pipe = about.logged.then(|| self.store.take(kept.0)).flatten();
                let (main, log) = (*record, None);
                self.entries.insert(about.owner, Entry { main, log, pipe });
            }
        }
        for (record, about) in &abouts {
            if about.part == Part::Log
                && let Some(entry) = self.entries.get_mut(&about.owner)
            {
                entry.log = Some(*record);
            }
        }
        for (record, about) in &abouts {
            match self.adopt_part(*record, *about, &names) {
                Adoption::Done(then) => after.push(then),
                Adoption::Idle => self.table.unsave(*record),
                Adoption::Orphan => self.orphans.push(*record),
            }
        }
        self.drop_the_idle();
        self.find_pipes();
        self.tell_scanner(&names);
        self.finish_adoption(after);
        self.release_leftovers();
        self.look_after_orphans();
        if let Some((record, bytes, done)) = self.table.unfinished_commands() {
            self.obey(record, &bytes, done);
            self.table.empty_inbox();
        }
        let stop = self.table.stop();
        if stop > Stop::No {
            self.stop(stop);
        }
        self.on_signals();
    }

    fn finish_adoption(&mut self, mut after: Vec<After>) {
        for then in &mut after {
            self.perform_all(then.record, &mut then.effects);
        }
        for then in after {
            for (role, ended) in then.ended {
                self.queue
                    .push_back((then.record, Event::Exited(role, ended)));
            }
        }
        self.drain_queue();
    }

    /// What is left in the store belongs to parts that an engine was killed over while it began or left them. A lock is
    /// ended for the keeper's copy too, or the part could never begin again.
    fn release_leftovers(&mut self) {
        let orphaned = |place: usize| {
            self.orphans
                .iter()
                .any(|record| Place(place).is_of(*record))
        };
        let left: Vec<usize> = self
            .store
            .filled()
            .filter(|place| !Place(*place).is_of_tree() && !orphaned(*place))
            .collect();
        for place in left {
            if let Some(fd) = self.store.take(place)
                && Place(place).is_lock()
            {
                // It is about to be closed; unlocking only makes that true for the keeper's copy as well.
                let _ = dir::unlock(&fd);
            }
            self.release(&[Place(place)]);
        }
    }

    /// Parts that could not be adopted though their children live: never started again, and tried again until it works.
    fn look_after_orphans(&mut self) {
        self.orphans_at =
            (!self.orphans.is_empty()).then(|| eudaemon_sys::clock::mono() + super::REPAIR_PAUSE);
    }

    pub(super) fn adopt_orphans(&mut self) {
        self.dying_until = eudaemon_sys::clock::mono();
        let names = self.names_by_id();
        let mut after = Vec::new();
        for record in std::mem::take(&mut self.orphans) {
            let Some(about) = self.table.about(record) else {
                continue;
            };
            match self.adopt_part(record, about, &names) {
                Adoption::Done(then) => after.push(then),
                Adoption::Orphan => self.orphans.push(record),
                Adoption::Idle => {
                    self.table.unsave(record);
                    self.scan(scan::Event::Left(about.owner, about.part));
                }
            }
        }
        self.find_pipes();
        self.finish_adoption(after);
        self.look_after_orphans();
    }

    /// Whether a child of this record lives, whoever its keeper was.
    fn has_living_child(&self, record: usize, supervisor: &Supervisor, dir: Option<&Dir>) -> bool {
        Role::ALL.into_iter().any(|role| {
            let known = supervisor.generation(role) != 0
                && self.table.generation(record, role) == supervisor.generation(role);
            let Some(pid) = self.table.pid(record, role).filter(|_| known) else {
                return false;
            };
            match self.table.slot(record, role) {
                Slot::Free | Slot::Exited(_) => false,
                Slot::Intent if self.table.is_ours(record, role) => true,
                Slot::Intent => self
                    .recognise(record, role, pid, dir)
                    .is_some_and(|held| !held.has_ended()),
            }
        })
    }

    /// Every directory in the scan directory, by identity: needed only when the vault is empty.
    fn names_by_id(&self) -> BTreeMap<Id, Vec<u8>> {
        let mut names = BTreeMap::new();
        if self.table.high_water() == 0 {
            return names;
        }
        let Ok(here) = self.dir.id() else {
            return names;
        };
        if self.is_one_service() {
            names.insert(here, self.options.dir.as_os_str().as_bytes().to_vec());
            return names;
        }
        let mut all: Vec<Vec<u8>> = Vec::new();
        // A directory that cannot be read names nothing; what runs is still found by its processes.
        let _ = self.dir.names(|name| {
            if !name.starts_with(b".") {
                all.push(name.to_vec());
            }
        });
        all.sort();
        for name in all {
            if let Ok((id, dir::Kind::Directory)) = self.dir.look(&OsString::from_vec(name.clone()))
            {
                names.entry(id).or_insert(name);
            }
        }
        names
    }

    fn adopt_part(
        &mut self,
        record: usize,
        about: About,
        names: &BTreeMap<Id, Vec<u8>>,
    ) -> Adoption {
        let Some(mut supervisor) = self.table.restore(record) else {
            return Adoption::Idle;
        };
        let Some((dir, label)) = self.find_dir(record, &about, names, &supervisor) else {
            if !self.has_living_child(record, &supervisor, None) {
                return Adoption::Idle;
            }
            let pid = supervisor.child(Role::Main).map_or(0, Pid::get);
            let told = format!("process {pid} still runs and its directory is not to be found");
            self.warn_told(record, &told);
            return Adoption::Orphan;
        };
        let path = service::supervise_path(&dir, &self.supervise_name);
        let files = match self.files_of(record, &dir, &path) {
            Ok(files) => files,
            Err((verb, file, error)) => {
                let told = file.display();
                let phrase = crate::report::phrase(&error);
                let told = format!("unable to {verb} {}/{told}: {phrase}", label.display());
                self.warn_told(record, &told);
                let living = self.has_living_child(record, &supervisor, Some(&dir));
                self.store.put(Place::of(record, Kind::Dir).0, dir.into());
                return if living {
                    Adoption::Orphan
                } else {
                    Adoption::Idle
                };
            }
        };
        let mut ended = Vec::new();
        let mut held: [Option<Held>; Role::ALL.len()] = [const { None }; Role::ALL.len()];
        let facts = Role::ALL.map(|role| {
            self.fact(
                record,
                role,
                &dir,
                &supervisor,
                &mut held[role as usize],
                &mut ended,
            )
        });
        let mut effects = Vec::new();
        supervisor.adopt(eudaemon_sys::clock::now(), facts, &mut effects);
        self.table.save(record, &supervisor);
        let lacking = files.presence.is_none();
        self.install(record, about, label, dir, files, supervisor);
        if lacking {
            self.open_presence(record);
        }
        // Most often only the engine died, and what it had written is true.
        if self.service(record).is_some_and(Service::status_is_true) {
            effects.retain(|effect| *effect != Effect::Publish);
        }
        let notice = self.store.take(Place::of(record, Kind::Notice).0);
        let own_pipe = self.store.take(Place::of(record, Kind::Pipe).0);
        if let Some(notice) = &notice {
            // A readiness that cannot be heard is not heard; the service is no worse for it.
            let _ = self.poll.add(
                notice,
                token::of(token::NOTICE, record as u64),
                Interest::Read,
            );
        }
        for role in Role::ALL {
            let foreign = !self.table.is_ours(record, role);
            if let (true, Some(held)) = (foreign, &held[role as usize]) {
                let told = token::of(token::HELD + role as u64, record as u64);
                if let Err(error) = self.poll.add(held, told, Interest::Read) {
                    self.warn(&["unable to watch a process".as_ref()], &error);
                }
                self.keep(&[(Place::held(record, role), held.as_fd())]);
            }
        }
        if let Some(service) = self.service_mut(record) {
            service.held = held;
            service.notice = notice;
            service.own_pipe = own_pipe;
        }
        Adoption::Done(After {
            record,
            effects,
            ended,
        })
    }

    /// Says once what stands in the way of adopting a record.
    fn warn_told(&mut self, record: usize, told: &str) {
        let key = format!("adopt {record} {told}");
        if self.warned.insert(key.into_bytes()) {
            self.options.report().warn(&[told.as_ref()], None);
        }
    }

    /// The part's directory and what to call it.
    fn find_dir(
        &mut self,
        record: usize,
        about: &About,
        names: &BTreeMap<Id, Vec<u8>>,
        supervisor: &Supervisor,
    ) -> Option<(Dir, OsString)> {
        let kept = self
            .store
            .take(Place::of(record, Kind::Dir).0)
            .map(Dir::from);
        if self.scanner.is_none() {
            let dir = kept.or_else(|| self.dir.duplicate().ok())?;
            return (dir.id().ok()? == about.dir)
                .then(|| (dir, self.options.dir.as_os_str().to_owned()));
        }
        if let Some(name) = names.get(&about.owner) {
            let label = Engine::part_name(name, about.part);
            let found = kept.or_else(|| match about.part {
                Part::Log if about.builtin => {
                    let (own, _) = crate::tree::own_dir(&self.dir).ok()?;
                    own.open_at("log".as_ref())
                        .ok()?
                        .open_at(&OsString::from_vec(name.clone()))
                        .ok()
                }
                Part::Main | Part::Log => self.open_part(&label, about.part).ok(),
            });
            return found.map(|dir| (dir, label));
        }
        // No longer listed: the directory is known by its descriptor, or by the process that is in it.
        let dir = kept.or_else(|| {
            let pid = supervisor.child(Role::Main)?;
            let dir = Dir::open(&PathBuf::from(format!("/proc/{}/cwd", pid.get()))).ok()?;
            (about.part == Part::Main && dir.id().ok()? == about.dir).then_some(dir)
        })?;
        let path = dir.path();
        let name = path
            .file_name()
            .map(|name| name.as_bytes().to_vec())
            .unwrap_or_default();
        let label = OsString::from_vec(name);
        Some((dir, label))
    }

    fn files_of(
        &mut self,
        record: usize,
        dir: &Dir,
        path: &std::path::Path,
    ) -> Result<Files, (&'static str, PathBuf, std::io::Error)> {
        let mut take = |kind| self.store.take(Place::of(record, kind).0);
        let kept = (take(Kind::Control), take(Kind::Presence), take(Kind::Lock));
        let supervise = dir.open_at(path.as_os_str()).ok();
        match (kept, supervise) {
            ((Some(control), presence @ Some(_), Some(lock)), Some(supervise)) => Ok(Files {
                supervise,
                control,
                presence,
                lock,
            }),
            ((_, _, lock), _) => {
                // A single service's lock is the tree's.
                let lock = lock.or_else(|| {
                    if self.holds_lock_of(record) {
                        self.lock.try_clone().ok()
                    } else {
                        None
                    }
                });
                let kept = lock.as_ref().and_then(|lock| lock.try_clone().ok());
                // Keeper and engine died together, a moment ago perhaps.
                let until = self.dying_until;
                let lock = lock.or_else(|| {
                    let supervise = service::make_supervise(dir, path).ok()?;
                    let lock = || supervise.lock("lock".as_ref());
                    service::until_the_dead_are_gone(until, lock).ok()
                });
                let files = Files::open(dir, path, lock).inspect_err(|_| {
                    if let Some(lock) = kept {
                        self.store.put(Place::of(record, Kind::Lock).0, lock);
                    }
                })?;
                self.keep(&[
                    (Place::of(record, Kind::Dir), dir.as_fd()),
                    (Place::of(record, Kind::Control), files.control.as_fd()),
                    (Place::of(record, Kind::Lock), files.lock.as_fd()),
                ]);
                Ok(files)
            }
        }
    }

    /// What became of the latest launch in a place.
    fn fact(
        &mut self,
        record: usize,
        role: Role,
        dir: &Dir,
        supervisor: &Supervisor,
        held: &mut Option<Held>,
        ended: &mut Vec<(Role, Ended)>,
    ) -> Fact {
        let kept: Option<Held> = self.store.take(Place::held(record, role).0).map(Held::from);
        if supervisor.generation(role) == 0 {
            return Fact::Nothing; // Nothing was ever launched in this place.
        }
        if self.table.generation(record, role) != supervisor.generation(role) {
            self.table.free(record, role);
            return Fact::Nothing;
        }
        let Some(pid) = self.table.pid(record, role) else {
            return Fact::Nothing;
        };
        let at_end = |status: u32, ended: &mut Vec<(Role, Ended)>| {
            ended.push((role, Ended::from_wait(status)));
            Fact::Child(pid)
        };
        match self.table.slot(record, role) {
            Slot::Free => Fact::Nothing,
            Slot::Exited(status) => at_end(status, ended),
            Slot::Intent if self.table.is_ours(record, role) => {
                // Held now, and still not recorded as ended: then it was not reaped when we took hold of it.
                let taken = Held::open(pid).ok();
                if let Slot::Exited(status) = self.table.slot(record, role) {
                    return at_end(status, ended);
                }
                *held = taken;
                Fact::Child(pid)
            }
            Slot::Intent => match kept.or_else(|| self.recognise(record, role, pid, Some(dir))) {
                Some(process) if process.has_ended() => {
                    ended.push((
                        role,
                        process
                            .wait_status(pid)
                            .map_or(Ended::Unknown, Ended::from_wait),
                    ));
                    Fact::Child(pid)
                }
                Some(process) => {
                    *held = Some(process);
                    Fact::Child(pid)
                }
                None => {
                    ended.push((role, Ended::Unknown));
                    Fact::Child(pid)
                }
            },
        }
    }

    /// Records of services none of whose parts has a supervisor.
    fn drop_the_idle(&mut self) {
        let idle: Vec<Id> = self
            .entries
            .iter()
            .filter(|(_, entry)| {
                let idle =
                    |record| self.service(record).is_none() && !self.orphans.contains(&record);
                idle(entry.main) && entry.log.is_none_or(idle)
            })
            .map(|(id, _)| *id)
            .collect();
        for id in idle {
            if let Some(entry) = self.entries.remove(&id) {
                self.release(&[Place::of(entry.main, Kind::Pipe)]);
                self.table.release(entry.main);
                if let Some(log) = entry.log {
                    self.table.release(log);
                }
            }
        }
        // A log whose service's record was lost with it.
        for record in 0..self.table.high_water() {
            if self
                .table
                .about(record)
                .is_some_and(|about| !self.entries.contains_key(&about.owner))
            {
                self.table.release(record);
            }
        }
    }

    /// A pipe that was lost with the vault is still in the hands of those who read and write it.
    fn find_pipes(&mut self) {
        let wanting: Vec<(Id, usize, Option<usize>)> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.pipe.is_none())
            .filter(|(_, entry)| {
                self.table
                    .about(entry.main)
                    .is_some_and(|about| about.logged)
            })
            .map(|(id, entry)| (*id, entry.main, entry.log))
            .collect();
        for (id, main, log) in wanting {
            // A log that is draining has lost its pipe on purpose.
            if self.service(main).is_none() && self.table.stop() > Stop::No {
                continue;
            }
            let pipe = self.living_pipe(main, Some(main), log).or_else(|| {
                let pipe = dir::unbreakable_pipe().ok()?;
                self.table.set_pipe(main, dir::inode(&pipe).ok()?);
                Some(pipe)
            });
            if let Some(pipe) = pipe {
                self.keep(&[(Place::of(main, Kind::Pipe), pipe.as_fd())]);
                if let Some(entry) = self.entries.get_mut(&id) {
                    entry.pipe = Some(pipe);
                }
            }
        }
        for record in 0..self.services.len() {
            let Some(service) = self.service(record) else {
                continue;
            };
            if service.supervisor.definition().log && service.own_pipe.is_none() {
                let found = self.living_pipe(record, Some(record), None);
                if let Some(pipe) = found {
                    self.keep(&[(Place::of(record, Kind::Pipe), pipe.as_fd())]);
                    if let Some(service) = self.service_mut(record) {
                        service.own_pipe = Some(pipe);
                    }
                }
            }
        }
    }

    fn living_pipe(
        &self,
        owner: usize,
        main: Option<usize>,
        log: Option<usize>,
    ) -> Option<OwnedFd> {
        let inode = self.table.pipe(owner);
        let child = |record: Option<usize>, role| {
            record.and_then(|record| self.service(record)?.supervisor.child(role))
        };
        let places = [
            (child(main, Role::Main), 1),
            (child(log, Role::Main), 0),
            (child(main, Role::Log), 0),
        ];
        places
            .into_iter()
            .filter_map(|(pid, number)| dir::pipe_of_process(pid?, number))
            .find(|pipe| dir::inode(pipe).is_ok_and(|found| found == inode))
    }

    fn tell_scanner(&mut self, names: &BTreeMap<Id, Vec<u8>>) {
        let mut parts: Vec<(Seen, Part)> = self
            .services
            .iter()
            .flatten()
            .map(|service| {
                let label = service.label.as_bytes();
                let name = match service.about.part {
                    Part::Main => label,
                    Part::Log => label.strip_suffix(b"/log").unwrap_or(label),
                };
                let logged = self
                    .entries
                    .get(&service.about.owner)
                    .is_some_and(|entry| entry.log.is_some() || entry.pipe.is_some());
                (
                    Seen {
                        name: name.to_vec(),
                        id: service.about.owner,
                        logged,
                    },
                    service.about.part,
                )
            })
            .collect();
        for about in self
            .orphans
            .iter()
            .filter_map(|record| self.table.about(*record))
        {
            let (id, logged) = (about.owner, about.logged);
            let name = names.get(&id).cloned().unwrap_or_default();
            parts.push((Seen { name, id, logged }, about.part));
        }
        for (seen, part) in parts {
            self.scan(scan::Event::Adopted { seen, part });
        }
    }

    /// Takes hold of a process that outlived its keeper, if it is the one on record: by its pidfs inode, else by when it
    /// was started, else, if neither could be recorded in time, by where it is.
    fn recognise(&self, record: usize, role: Role, pid: Pid, dir: Option<&Dir>) -> Option<Held> {
        let held = Held::open(pid).ok()?;
        let identity = self.table.identity(record, role);
        let start = self.table.start(record, role);
        let same = if identity != 0 && process::pidfs_is_unique(&held) {
            held.inode().ok()? == identity
        } else if start != 0 {
            process::start_time(pid)? == start
        } else {
            let cwd = Dir::open(&PathBuf::from(format!("/proc/{}/cwd", pid.get()))).ok()?;
            cwd.id().ok()? == dir?.id().ok()?
        };
        same.then_some(held)
    }
}
