//! Effects of a supervisor, carried to the kernel.

use super::{Engine, token};
use crate::service::{self, Files, Service, finish_arguments};
use crate::table::{About, Stop};
use crate::tree::Mode;
use crate::vault::{Kind, Place};
use eudaemon_core::definition::Manners;
use eudaemon_core::scan::Part;
use eudaemon_core::status::Dialect;
use eudaemon_core::supervise::{Effect, Event, Hold, Role, Script, Supervisor};
use eudaemon_core::words::{Ended, Pid, Signal};
use eudaemon_sys::dir::{self, Dir};
use eudaemon_sys::poll::Interest;
use eudaemon_sys::process;
use eudaemon_sys::spawn::Child;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

impl Engine<'_> {
    pub(super) fn perform(&mut self, record: usize, effect: Effect) {
        match effect {
            Effect::Inspect => self.inspect(record),
            Effect::Seek => self.seek(record),
            Effect::Launch { script, generation } => self.launch(record, script, generation),
            Effect::Signal {
                role,
                pid,
                signal,
                group,
            } => self.signal(record, role, pid, signal, group),
            Effect::Publish => self.mark_dirty(record),
            Effect::Notify { script, pid, ended } => self.notify(record, script, pid, ended),
            Effect::Sweep => self.sweep(record),
            Effect::Tally(ended) => self.tally(record, ended),
            Effect::CloseLog => self.close_log(record),
            Effect::DownFile(present) => self.down_file(record, present),
            Effect::Leave => self.leave(record),
        }
    }

    // ---- looking -------------------------------------------------------------------------------------------------

    fn inspect(&mut self, record: usize) {
        let dialect = self.dialect;
        let sessions = self.options.sessions;
        let Some(service) = self.services.get_mut(record).and_then(Option::as_mut) else {
            return;
        };
        let found = match service::inspect(&service.dir, dialect) {
            Err(error) => {
                let label = service.label.clone();
                self.warn_as(
                    "supervise",
                    &["unable to read directory ".as_ref(), &label],
                    &error,
                );
                Err(Hold::Unreadable)
            }
            Ok((Err(problems), _)) => {
                if service.told != problems {
                    for problem in &problems {
                        let told = eudaemon_config::problem::one_line(problem);
                        let words: [&OsStr; 3] = [&service.label, "/".as_ref(), told.as_ref()];
                        crate::report::Report("supervise").warn(&words, None);
                    }
                    service.told = problems;
                }
                Err(Hold::Definition)
            }
            Ok((Ok(_), false)) => Err(Hold::Trigger),
            Ok((Ok(mut definition), true)) => {
                service.told.clear();
                if dialect == Dialect::Runit {
                    definition.session = sessions;
                    // The log service's own is not run (specification §10.1).
                    definition.finish &= service.about.part == Part::Main;
                }
                definition.manners = manners_of(dialect, service.about.part);
                if definition.lock_fd.is_some() && service.lock_grant.is_none() {
                    match service.files.supervise.lock("service-lock".as_ref()) {
                        Ok(lock) => {
                            service.lock_grant = Some(lock);
                            Ok(definition)
                        }
                        Err(_) => Err(Hold::Lock),
                    }
                } else {
                    Ok(definition)
                }
            }
        };
        self.queue.push_back((record, Event::Inspected(found)));
    }

    /// Is there a program for this letter?
    fn seek(&mut self, record: usize) {
        let found = self.service(record).is_some_and(|service| {
            let letter = service.supervisor.hook();
            letter.and_then(hook_program).is_some_and(|program| {
                let name = OsStr::from_bytes(program.to_bytes());
                matches!(
                    service.dir.look(name),
                    Ok((_, dir::Kind::File { executable: true }))
                )
            })
        });
        self.queue.push_back((record, Event::Sought(found)));
    }

    // ---- launching -----------------------------------------------------------------------------------------------

    fn launch(&mut self, record: usize, script: Script, generation: u32) {
        let role = script.role();
        // The slot of an earlier child that ended and was not told of: the supervisor knows of no child there.
        self.table.intend(record, role, generation);
        match self.try_launch(record, script) {
            Ok(event) => self.queue.push_back((record, event)),
            Err(error) => {
                self.table.free(record, role);
                let label = self.label(record);
                self.warn_as(
                    "supervise",
                    &[
                        "unable to fork for ".as_ref(),
                        &label,
                        ", trying again".as_ref(),
                    ],
                    &error,
                );
                self.queue.push_back((record, Event::SpawnFailed(role)));
            }
        }
    }

    fn label(&self, record: usize) -> OsString {
        self.service(record)
            .map(|service| service.label.clone())
            .unwrap_or_default()
    }

    fn try_launch(&mut self, record: usize, script: Script) -> io::Result<Event> {
        self.prepare_pipe(record)?;
        let reading = self.logger_input(record, script)?;
        let notice = self.prepare_notice(record, script)?;
        self.prepare_lock(record, script)?;
        let Some(service) = self.services.get(record).and_then(Option::as_deref) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let definition = service.supervisor.definition();
        let output = match (service.about.part, script) {
            (_, Script::Log | Script::Check | Script::Hook) => None,
            (Part::Main, _) => service
                .own_pipe
                .as_ref()
                .or_else(|| self.entries.get(&service.about.owner)?.pipe.as_ref()),
            (Part::Log, _) => service.own_pipe.as_ref(),
        };
        let null = if script == Script::Check {
            Some(open_null()?)
        } else {
            None
        };
        let output = null.as_ref().or(output).map(AsFd::as_fd);
        // With a built-in logger, complaints are lines of the log like all others.
        let complaints = if service.about.builtin && service.about.part == Part::Main {
            output
        } else {
            None
        };
        let complaints = complaints.or(null.as_ref().map(AsFd::as_fd));
        let mut grants: Vec<(BorrowedFd<'_>, u32)> = Vec::new();
        if let (Some(number), Some((_, write))) = (definition.notification_fd, &notice) {
            grants.push((write.as_fd(), number));
        }
        if script == Script::Run
            && let (Some(number), Some(lock)) = (definition.lock_fd, &service.lock_grant)
        {
            grants.push((lock.as_fd(), number));
        }
        let program = match script {
            Script::Hook => service.supervisor.hook().and_then(hook_program),
            Script::Run
            | Script::Start
            | Script::Stop
            | Script::Finish
            | Script::Log
            | Script::Check => Some(program(script)),
        };
        let Some(program) = program else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let mut words: Vec<CString> = vec![program.to_owned()];
        if script == Script::Finish {
            let name = service.label.clone();
            for word in finish_arguments(definition, &name, service.supervisor.last()) {
                words.push(dir::c_path(&word)?);
            }
        }
        let argv: Vec<&CStr> = words.iter().map(CString::as_c_str).collect();
        let child = Child {
            program,
            argv: &argv,
            environment: &self.environment,
            dir: service.dir.as_fd(),
            stdio: [reading.as_ref().map(AsFd::as_fd), output, complaints],
            grants: &grants,
            session: definition.session,
        };
        let role = script.role();
        let spawned = self
            .spawner
            .spawn(&child, self.table.pid_word(record, role))?;
        match &spawned.held {
            Some(held) if process::pidfs_is_unique(held) => {
                if let Ok(inode) = held.inode() {
                    self.table.set_identity(record, role, inode);
                }
            }
            // Before Linux 6.9.
            Some(_) | None => {
                if let Some(ticks) = process::start_time(spawned.pid) {
                    self.table.set_start(record, role, ticks);
                }
            }
        }
        drop(reading);
        let Some(service) = self.services.get_mut(record).and_then(Option::as_deref_mut) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        service.held[role as usize] = spawned.held;
        if script == Script::Run {
            service.lock_grant = None;
        }
        if let Some((read, _)) = notice {
            // A readiness that cannot be heard is not heard; the service is no worse for it.
            let _ = self.poll.add(
                &read,
                token::of(token::NOTICE, record as u64),
                Interest::Read,
            );
            if let Some(service) = self.service_mut(record) {
                service.notice = Some(read);
            }
        }
        Ok(match spawned.failed {
            None => Event::Spawned(role, spawned.pid),
            Some((_, error)) => {
                self.tell_unstartable(record, script, program, &error);
                Event::ExecFailed(role, spawned.pid)
            }
        })
    }

    fn tell_unstartable(&self, record: usize, script: Script, program: &CStr, error: &io::Error) {
        let Some(service) = self.service(record) else {
            return;
        };
        let verb = OsStr::new("unable to start ");
        if self.dialect == Dialect::Runit {
            let file = OsStr::from_bytes(program.to_bytes());
            let (name, words) = match service.about.part {
                Part::Main => (service.label.as_bytes(), vec![verb, file]),
                Part::Log => {
                    let label = service.label.as_bytes();
                    let name = label.strip_suffix(b"/log").unwrap_or(label);
                    (name, vec![verb, "log/".as_ref(), file])
                }
            };
            return crate::report::fatal_of(OsStr::from_bytes(name), &words, Some(error));
        }
        let words = [verb, &service.label, "/".as_ref(), script.file().as_ref()];
        crate::report::Report("supervise").fatal(&words, error);
    }

    /// A service with an executable `log` gets its pipe when it is first needed, and keeps it.
    fn prepare_pipe(&mut self, record: usize) -> io::Result<()> {
        let Some(service) = self.services.get_mut(record).and_then(Option::as_deref_mut) else {
            return Ok(());
        };
        if !service.supervisor.definition().log || service.own_pipe.is_some() {
            return Ok(());
        }
        let pipe = dir::unbreakable_pipe()?;
        self.table.set_pipe(record, dir::inode(&pipe)?);
        crate::vault::put(
            &self.channel,
            &[(Place::of(record, Kind::Pipe), pipe.as_fd())],
        )?;
        service.own_pipe = Some(pipe);
        Ok(())
    }

    /// The lock of `lock-fd` is taken when the directory is read; an engine that has adopted since has it not.
    fn prepare_lock(&mut self, record: usize, script: Script) -> io::Result<()> {
        let Some(service) = self.services.get_mut(record).and_then(Option::as_deref_mut) else {
            return Ok(());
        };
        let wanted = script == Script::Run && service.supervisor.definition().lock_fd.is_some();
        if wanted && service.lock_grant.is_none() {
            service.lock_grant = Some(service.files.supervise.lock("service-lock".as_ref())?);
        }
        Ok(())
    }

    /// A logger reads what its service writes.
    fn logger_input(&self, record: usize, script: Script) -> io::Result<Option<OwnedFd>> {
        let Some(service) = self.service(record) else {
            return Ok(None);
        };
        let pipe = match (service.about.part, script) {
            (_, Script::Log) => service.own_pipe.as_ref(),
            (Part::Log, Script::Run) => self
                .entries
                .get(&service.about.owner)
                .and_then(|entry| entry.pipe.as_ref()),
            (Part::Main | Part::Log, _) => None,
        };
        pipe.map(dir::reading_side).transpose()
    }

    fn prepare_notice(
        &mut self,
        record: usize,
        script: Script,
    ) -> io::Result<Option<(OwnedFd, OwnedFd)>> {
        let wants = self.service(record).is_some_and(|service| {
            script == Script::Run && service.supervisor.definition().notification_fd.is_some()
        });
        if !wants {
            return Ok(None);
        }
        self.close_notice(record);
        let (read, write) = dir::notice_pipe()?;
        // Kept before there is a service: one that speaks into a pipe nobody reads is killed by SIGPIPE.
        crate::vault::put(
            &self.channel,
            &[(Place::of(record, Kind::Notice), read.as_fd())],
        )?;
        Ok(Some((read, write)))
    }

    // ---- signals and hooks ---------------------------------------------------------------------------------------

    fn signal(&mut self, record: usize, role: Role, pid: Pid, signal: Signal, group: bool) {
        let Some(service) = self.service(record) else {
            return;
        };
        // Not reaped: then the pid, and the group it may lead, are still its own.
        let ours = self.table.is_ours(record, role);
        let unreaped = match self.table.slot(record, role) {
            crate::table::Slot::Intent => true,
            crate::table::Slot::Free | crate::table::Slot::Exited(_) => false,
        };
        let held = service.held[role as usize].as_ref();
        // Nobody tells when a child of an earlier keeper is reaped, but its pidfd tells that it has not ended.
        let unreaped = unreaped && (ours || held.is_some_and(|held| !held.has_ended()));
        let sent = if group && unreaped && process::leads_group(pid) {
            process::signal_group(pid, signal)
        } else if let Some(held) = held {
            held.signal(signal)
        } else if ours && unreaped {
            process::signal_pid(pid, signal)
        } else {
            return;
        };
        // It may have ended a moment ago; its end is on the way.
        let _ = sent;
    }

    /// Runs `./notify SCRIPT EVENT PID CODE` and does not wait for it (encore; specification §3.7).
    fn notify(&mut self, record: usize, script: Script, pid: Pid, ended: Option<Ended>) {
        let Some(service) = self.services.get(record).and_then(Option::as_deref) else {
            return;
        };
        let (event, code) = match ended {
            None => (c"start", 0),
            Some(Ended::Code(code)) => (c"exit", code),
            Some(Ended::Signal { number, .. }) => (c"killed", number),
            Some(Ended::Unknown) => (c"exit", 0),
        };
        let name = CString::new(script.file()).unwrap_or_default();
        let pid = CString::new(pid.get().to_string()).unwrap_or_default();
        let code = CString::new(code.to_string()).unwrap_or_default();
        let child = Child {
            program: c"./notify",
            argv: &[c"./notify", &name, event, &pid, &code],
            environment: &self.environment,
            dir: service.dir.as_fd(),
            stdio: [None; 3],
            grants: &[],
            session: service.supervisor.definition().session,
        };
        // The keeper reaps it as nobody's; its pid is not on record, for nobody waits for it.
        let unrecorded = std::sync::atomic::AtomicU32::new(0);
        if let Err(error) = self.spawner.spawn(&child, &unrecorded) {
            let label = self.label(record);
            self.warn_as(
                "supervise",
                &["unable to run notify for ".as_ref(), &label],
                &error,
            );
        }
    }

    /// TERM and CONT to the group that the ended `run` led. Its pidfd stands for the group as long as anybody is in it, so
    /// nobody else's can be meant; without pidfds, or before Linux 6.9, the rest is left alone as ever.
    fn sweep(&mut self, record: usize) {
        let ended = self
            .service_mut(record)
            .and_then(|service| service.ended.take());
        if let Some(held) = ended {
            for signal in [Signal::Term, Signal::Cont] {
                // Most often nobody is left.
                let _ = held.signal_group(signal);
            }
        }
    }

    fn tally(&mut self, record: usize, ended: Ended) {
        let Some(service) = self.service(record) else {
            return;
        };
        let Some(most) = service.supervisor.definition().max_death_tally else {
            return;
        };
        if let Err(error) = service.write_tally(eudaemon_sys::clock::wall(), ended, most) {
            let label = self.label(record);
            self.warn_as(
                "supervise",
                &["unable to write death_tally of ".as_ref(), &label],
                &error,
            );
        }
    }

    /// Its log reads the end when all writers are gone; we and the keeper are one of them.
    fn close_log(&mut self, record: usize) {
        if let Some(service) = self.service_mut(record)
            && service.own_pipe.take().is_some()
        {
            self.release(&[Place::of(record, Kind::Pipe)]);
        }
    }

    fn down_file(&mut self, record: usize, present: bool) {
        let Some(service) = self.service(record) else {
            return;
        };
        let name = OsStr::new("down");
        let (verb, done) = if present {
            ("unable to create down of ", service.dir.touch(name))
        } else {
            ("unable to remove down of ", service.dir.remove(name))
        };
        if let Err(error) = done {
            let label = self.label(record);
            self.warn_as("supervise", &[verb.as_ref(), &label], &error);
        }
    }

    // ---- coming and going ----------------------------------------------------------------------------------------

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

    fn begin_failed(&mut self, label: &OsStr, verb: &str, file: &OsStr, error: &io::Error) {
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
    fn tell_unbegun(&self, label: &OsStr, verb: &str, file: &OsStr, error: &io::Error) {
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
    fn leave(&mut self, record: usize) {
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

/// What is executed, from within the service directory.
fn program(script: Script) -> &'static CStr {
    match script {
        Script::Run => c"./run",
        Script::Start => c"./start",
        Script::Stop => c"./stop",
        Script::Finish => c"./finish",
        Script::Log => c"./log",
        Script::Check => c"./check",
        Script::Hook => c"./control",
    }
}

/// The program in `control/` for a letter (runsv(8)).
fn hook_program(letter: u8) -> Option<&'static CStr> {
    Some(match letter {
        b'u' => c"control/u",
        b'd' => c"control/d",
        b'x' => c"control/x",
        b't' => c"control/t",
        b'p' => c"control/p",
        b'c' => c"control/c",
        b'h' => c"control/h",
        b'a' => c"control/a",
        b'i' => c"control/i",
        b'q' => c"control/q",
        b'1' => c"control/1",
        b'2' => c"control/2",
        b'k' => c"control/k",
        _ => return None,
    })
}

/// A part's manners: a logger's letters are not customized, and it leaves only with its service (runsv(8)).
fn manners_of(dialect: Dialect, part: Part) -> Manners {
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

fn open_null() -> io::Result<OwnedFd> {
    std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map(OwnedFd::from)
}
