//! Launching a script: what it is given, and what is said if it cannot be started.

use super::{Engine, token};
use crate::service::finish_arguments;
use crate::vault::{Kind, Place};
use eudaemon_core::scan::Part;
use eudaemon_core::status::Dialect;
use eudaemon_core::supervise::{Event, Script};
use eudaemon_sys::dir::{self};
use eudaemon_sys::poll::Interest;
use eudaemon_sys::process;
use eudaemon_sys::spawn::Child;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

impl Engine<'_> {
    pub(super) fn launch(&mut self, record: usize, script: Script, generation: u32) {
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

    pub(super) fn label(&self, record: usize) -> OsString {
        self.service(record)
            .map(|service| service.label.clone())
            .unwrap_or_default()
    }

    pub(super) fn try_launch(&mut self, record: usize, script: Script) -> io::Result<Event> {
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

    pub(super) fn tell_unstartable(
        &self,
        record: usize,
        script: Script,
        program: &CStr,
        error: &io::Error,
    ) {
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
    pub(super) fn prepare_pipe(&mut self, record: usize) -> io::Result<()> {
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
    pub(super) fn prepare_lock(&mut self, record: usize, script: Script) -> io::Result<()> {
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
    pub(super) fn logger_input(
        &self,
        record: usize,
        script: Script,
    ) -> io::Result<Option<OwnedFd>> {
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

    pub(super) fn prepare_notice(
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
pub(super) fn hook_program(letter: u8) -> Option<&'static CStr> {
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

fn open_null() -> io::Result<OwnedFd> {
    std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map(OwnedFd::from)
}
