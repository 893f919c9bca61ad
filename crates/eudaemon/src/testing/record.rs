//! What happened, as a test sees it.

use super::judge;
use crate::notify::NotifyAccess;
use eudaemon_core::notify::{Fault, Refused};
use eudaemon_core::words::{Pid, Signal};
use eudaemon_sys::process::Held;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitStatus;
use std::time::Duration;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// When, since the start of the program.
    pub at: Duration,
    /// Who said it; the main process for what nobody said.
    pub pid: u32,
    /// What.
    pub what: What,
}

/// What happened. Of a message with several assignments each is one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// The start, or a reload, is finished.
    Ready,
    /// A reload has begun.
    Reloading,
    /// It is about to end.
    Stopping,
    /// What it does.
    Status(String),
    /// The main process is another.
    MainPid(u32),
    /// Whose messages are listened to.
    Access(NotifyAccess),
    /// The error it ends with: a number, or a name.
    Error(String),
    /// It needs more time.
    Extended(Duration),
    /// It is alive.
    Alive,
    /// It wants to be treated as one that is silent.
    Triggered,
    /// How long it may be silent.
    WatchdogInterval(Duration),
    /// It was silent for too long, or said so, and has been sent `ABRT`.
    WatchdogMissed,
    /// Its restarts so far are forgotten.
    RestartReset,
    /// Descriptors are kept.
    Stored {
        /// Under this name.
        name: String,
        /// How many.
        count: usize,
    },
    /// Descriptors are kept no more: it asked, or their other end is closed.
    Dropped {
        /// Under this name.
        name: String,
        /// How many.
        count: usize,
    },
    /// All that was said before has been heard, and it was told.
    Barrier,
    /// An assignment of its own, `X_…`.
    Private {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// The program ended.
    Ended(ExitStatus),
}

/// Something a manager ignores without a word, or that does not mean what it seems to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// A whole message was ignored.
    Refused(Refused),
    /// A part of a message was ignored.
    Ignored {
        /// The name of the assignment.
        name: String,
        /// Why.
        fault: Fault,
    },
    /// A line that no manager knows: a slip, or the rest of a text with a line end in it.
    Unknown {
        /// The line.
        line: String,
    },
    /// An assignment was made twice in a message: the second does not count, and may have come with a text.
    Twice {
        /// Its name.
        name: String,
    },
    /// `STOPPING=1` beside another state: managers differ in which of them counts.
    SeveralStates,
    /// `RELOADING=1` without `MONOTONIC_USEC=`: whoever asked for the reload does not believe it.
    ReloadWithoutMoment,
    /// `RELOADING=1` with a moment before the reload was asked for: it is taken for an earlier one.
    ReloadTooEarly {
        /// The moment it was asked for, in microseconds of `CLOCK_MONOTONIC`.
        asked: u64,
        /// The moment in the message.
        since: u64,
    },
    /// `READY=1` or `RELOADING=1` after `STOPPING=1`, which is final.
    AfterStopping,
    /// A process spoke that is not listened to.
    NotHeard {
        /// Which.
        pid: u32,
    },
    /// Another main process was named that does not live, or is not the one its pidfd's number says.
    NoSuchMain {
        /// Its number.
        pid: u32,
    },
    /// Descriptors came that no assignment spoke of; they were closed.
    UnwantedDescriptors {
        /// How many.
        count: usize,
    },
    /// There is no store, or no room in it, for descriptors; they were closed. `FDSTORE` in the environment tells.
    StoreFull {
        /// The name they were to be kept under.
        name: String,
        /// How many were closed.
        count: usize,
    },
}

/// Why what was waited for did not come.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// Not in time.
    Late {
        /// What was waited for.
        what: String,
        /// What happened instead.
        events: Vec<Event>,
    },
    /// The program ended first.
    Ended {
        /// What was waited for.
        what: String,
        /// How it ended.
        status: ExitStatus,
        /// What happened before.
        events: Vec<Event>,
    },
    /// The system's word.
    System(io::Error),
}

/// A descriptor that was in the store.
#[derive(Debug)]
#[non_exhaustive]
pub struct Stored {
    /// Its name.
    pub name: String,
    /// The descriptor.
    pub fd: OwnedFd,
    /// Whether it is dropped when its other end is closed.
    pub poll: bool,
}

/// A descriptor in the store.
#[derive(Debug)]
pub(super) struct Kept {
    pub name: String,
    pub fd: OwnedFd,
    pub poll: bool,
    /// What it is known as by who waits for its other end to be closed.
    pub token: u64,
}

/// Everything known of the program.
#[derive(Debug)]
pub(super) struct Record {
    pub main: u32,
    /// The main process, held.
    pub held: Option<Held>,
    pub access: NotifyAccess,
    pub events: Vec<Event>,
    pub violations: Vec<Violation>,
    pub status: Option<String>,
    pub store: Vec<Kept>,
    pub store_max: usize,
    pub ready: bool,
    pub stopping: bool,
    /// When a reload was asked for that has not begun, in microseconds.
    pub reload_asked: Option<u64>,
    pub watchdog: judge::Watched,
    pub ended: Option<ExitStatus>,
    /// Nobody wants to know more.
    pub leaving: bool,
}

impl Record {
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match (&self.held, Pid::new(self.main)) {
            (Some(held), _) => held.signal(signal),
            (None, Some(pid)) => eudaemon_sys::process::signal_pid(pid, signal),
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events = match self {
            Failure::System(_) => return to.write_str("unable to ask the program"),
            Failure::Late { what, events } => {
                write!(to, "{what} did not come in time")?;
                events
            }
            Failure::Ended {
                what,
                status,
                events,
            } => {
                write!(to, "the program ended ({status}) before {what}")?;
                events
            }
        };
        for event in events {
            write!(to, "; after {:?}: {:?}", event.at, event.what)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Failure::System(source) => Some(source),
            Failure::Late { .. } | Failure::Ended { .. } => None,
        }
    }
}
