//! Effects of a supervisor, carried to the kernel.

use super::Engine;
use super::coming::manners_of;
use super::launch::hook_program;
use crate::service::{self};
use crate::vault::{Kind, Place};
use eudaemon_core::scan::Part;
use eudaemon_core::status::Dialect;
use eudaemon_core::supervise::{Effect, Event, Hold, Role, Script};
use eudaemon_core::words::{Ended, Pid, Signal};
use eudaemon_sys::dir::{self};
use eudaemon_sys::process;
use eudaemon_sys::spawn::Child;
use std::ffi::{CString, OsStr};
use std::os::fd::AsFd;
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
}
