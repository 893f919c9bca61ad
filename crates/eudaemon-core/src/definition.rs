//! What a service is, as its directory says it.
//!
//! The text of the files is read by `eudaemon-config`; here is only what it comes to.

use crate::words::Signal;
use alloc::string::String;
use core::time::Duration;

/// How the arguments of `finish` are spelled (specification §12.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FinishStyle {
    /// `finish CODE STATUS`: -1 for a signal, then the low byte of the wait status.
    #[default]
    Runit,
    /// `finish CODE SIGNAL NAME PGID`: 256 for a signal.
    S6,
}

/// One service, as far as its supervisor must know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Definition {
    /// There is something called `run`.
    pub run: bool,
    /// `start` is executable (encore): runs once before `run`.
    pub start: bool,
    /// `stop` is executable (encore): runs once after the last `run`.
    pub stop: bool,
    /// `finish` is executable (runit, s6): runs after every `run`.
    pub finish: bool,
    /// `check` is executable (runit): exit 0 means ready.
    pub check: bool,
    /// `notify` is executable (encore): told of each start and end.
    pub notify: bool,
    /// `log` is an executable file (encore): this supervisor runs it too.
    pub log: bool,
    /// Children lead their own session (encore, s6); not with `no-setsid`, not in `classic`.
    pub session: bool,
    /// The directory uses encore's features, so encore's words and exit code 100 apply.
    pub encore: bool,
    /// Descriptor on which the service writes a newline when ready (s6).
    pub notification_fd: Option<u32>,
    /// Descriptor that holds a lock for the service's life (s6).
    pub lock_fd: Option<u32>,
    /// After the down signal, KILL follows this much later.
    pub timeout_kill: Option<Duration>,
    /// `finish` may run this long.
    pub timeout_finish: Option<Duration>,
    /// The spelling of `finish`'s arguments.
    pub finish_style: FinishStyle,
    /// What `d` sends; TERM unless told otherwise.
    pub down_signal: Signal,
    /// Keep this many deaths in `supervise/death_tally`; `None` keeps none.
    pub max_death_tally: Option<u16>,
}

impl Default for Definition {
    fn default() -> Definition {
        Definition {
            run: true,
            start: false,
            stop: false,
            finish: false,
            check: false,
            notify: false,
            log: false,
            session: true,
            encore: false,
            notification_fd: None,
            lock_fd: None,
            timeout_kill: None,
            timeout_finish: None,
            finish_style: FinishStyle::Runit,
            down_signal: Signal::Term,
            max_death_tally: None,
        }
    }
}

/// What is wrong with a service directory: for a person, with the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, relative to the service directory.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1, in bytes.
    pub column: u32,
    /// The offending line.
    pub source: String,
    /// What was expected there.
    pub message: String,
}
