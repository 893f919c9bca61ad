//! What makes `@STAMP.s` of `@STAMP.u`, in the background: it writes `@STAMP.t`, which is renamed when it is complete.

use super::REPORT;
use super::directory::pausing;
use eudaemon_core::time::Mono;
use eudaemon_core::words::{Ended, Pid};
use eudaemon_sys::exec::{self, Helper};
use eudaemon_sys::file::Folder;
use eudaemon_sys::{clock, file};
use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

/// How long a processor that failed rests. Differs: the original starts it again at once, and keeps a processor busy with
/// one that cannot succeed.
const REST: Duration = Duration::from_secs(1);

/// One finished file on its way.
#[derive(Debug)]
pub struct Processor {
    command: CString,
    /// `@` and the digits.
    stamp: String,
    state: State,
}

#[derive(Debug)]
enum State {
    /// To be started, then.
    Resting(Mono),
    Running(Pid),
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Not done yet.
    Under,
    /// `@STAMP.s` is there.
    Done,
}

impl Processor {
    /// For this file, to be started.
    pub fn new(command: &[u8], stamp: String) -> Processor {
        // A NUL cannot be handed on: the command ends there, as it does in C.
        let end = command.iter().position(|&byte| byte == 0);
        let command = command[..end.unwrap_or(command.len())].to_vec();
        Processor {
            command: CString::new(command).unwrap_or_default(),
            stamp,
            state: State::Resting(clock::mono()),
        }
    }

    /// When it is to be started.
    pub fn restart_at(&self) -> Option<Mono> {
        match self.state {
            State::Resting(at) => Some(at),
            State::Running(_) => None,
        }
    }

    /// Starts it; if that fails, this is told and it rests.
    pub fn start(&mut self, folder: &Folder, path: &OsStr, verbose: bool) {
        if verbose {
            self.tell("processing: ", path, ".u");
        }
        self.state = match self.spawn(folder) {
            Ok(pid) => State::Running(pid),
            Err(error) => {
                pausing(path, "unable to run processor", &error);
                State::Resting(clock::mono() + REST)
            }
        };
    }

    /// `/bin/sh -c COMMAND` in the directory: reads 0 and, what it remembers, 4; writes 1 and, what it will remember, 5.
    fn spawn(&self, folder: &Folder) -> io::Result<Pid> {
        let input = folder.read(self.name(".u").as_str())?;
        let output = folder.create(self.name(".t").as_str(), 0o644)?;
        drop(folder.append("state", 0o644)?);
        let state = folder.read("state")?;
        let new_state = folder.create("newstate", 0o644)?;
        let environment = exec::own_environment();
        let environment: Vec<_> = environment.iter().map(CString::as_c_str).collect();
        let helper = Helper {
            file: c"/bin/sh",
            argv: &[c"sh", c"-c", &self.command],
            environment: &environment,
            streams: [Some(input.as_fd()), Some(output.as_fd()), None],
            more: &[(state.as_fd(), 4), (new_state.as_fd(), 5)],
            folder: Some(folder.as_fd()),
        };
        exec::spawn(&helper)
    }

    /// Looks whether it has ended, without waiting for that.
    pub fn look(&mut self, folder: &Folder, path: &OsStr, verbose: bool) -> Standing {
        let State::Running(pid) = self.state else {
            return Standing::Under;
        };
        match exec::has_ended(pid).transpose() {
            Some(ended) => self.ended(ended, folder, path, verbose),
            None => Standing::Under,
        }
    }

    /// Waits until it is done, however often it fails.
    pub fn wait(&mut self, folder: &Folder, path: &OsStr, verbose: bool) {
        loop {
            match self.state {
                State::Running(pid) => {
                    let ended = exec::wait(pid);
                    if self.ended(ended, folder, path, verbose) == Standing::Done {
                        return;
                    }
                }
                State::Resting(at) => {
                    clock::pause(at.since(clock::mono()));
                    self.start(folder, path, verbose);
                }
            }
        }
    }

    fn ended(
        &mut self,
        ended: io::Result<Ended>,
        folder: &Folder,
        path: &OsStr,
        verbose: bool,
    ) -> Standing {
        let done = match ended {
            // Differs: svlogd 2.1.2 takes one that a signal ended for one that succeeded, and loses its input (observed).
            Ok(Ended::Code(0)) => true,
            Ok(Ended::Code(_) | Ended::Signal { .. } | Ended::Unknown) => {
                REPORT.warn(&[OsStr::new("processor failed, restart: "), path], None);
                false
            }
            Err(error) => {
                pausing(path, "error waiting for processor", &error);
                false
            }
        };
        let settled = if done {
            self.settle(folder)
        } else {
            folder.remove(self.name(".t").as_str())
        };
        if let Err(error) = &settled {
            pausing(path, "unable to rename processed", error);
        }
        if done && settled.is_ok() {
            if verbose {
                self.tell("processed: ", path, ".s");
            }
            return Standing::Done;
        }
        self.state = State::Resting(clock::mono() + REST);
        Standing::Under
    }

    /// Puts what was made in the place of what it was made from. Each step may be the last one: the input goes only when
    /// the output is safe.
    fn settle(&self, folder: &Folder) -> io::Result<()> {
        let made = folder.append(self.name(".t").as_str(), 0o644)?;
        made.sync_all()?;
        file::set_mode(&made, 0o744)?;
        folder.rename(self.name(".t").as_str(), self.name(".s").as_str())?;
        folder.rename("newstate", "state")?;
        folder.sync()?;
        folder.remove(self.name(".u").as_str())
    }

    fn name(&self, end: &str) -> String {
        format!("{}{end}", self.stamp)
    }

    fn tell(&self, what: &str, path: &OsStr, end: &str) {
        let name = self.name(end);
        REPORT.info(&[OsStr::new(what), path, OsStr::new("/"), OsStr::new(&name)]);
    }
}
