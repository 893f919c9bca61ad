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

/// How bytes 18 and 19 of a status are written where encore and runit contradict each other (specification §12.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// Encore's bytes for a directory that uses encore's features, else runit's, with a mark while it is down.
    #[default]
    Mixed,
    /// Runit's bytes, and `d` for a service that is wanted once.
    Runit,
}

/// What the families' supervisors do differently with the same files and letters. One constant for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manners {
    /// `x` takes the service down first (runit); elsewhere it leaves once the service is down.
    pub exit_stops: bool,
    /// A program `control/C` is asked before the letter `C` is obeyed (runit).
    pub hooks: bool,
    /// The status shows `finish` and its pid (runit).
    pub finish_shown: bool,
    /// `finish` is sent no signal but KILL (runit, observed with 2.1.2).
    pub finish_deaf: bool,
    /// `finish` that exits 125 means: never again (s6).
    pub permanent: bool,
    /// What `run` left in its process group is told to end.
    pub sweep: bool,
    /// The status file's layout.
    pub layout: Layout,
}

impl Manners {
    /// daemontools 0.76, encore and s6.
    pub const FAMILY: Manners = Manners {
        exit_stops: false,
        hooks: false,
        finish_shown: false,
        finish_deaf: false,
        permanent: true,
        sweep: true,
        layout: Layout::Mixed,
    };
    /// The union, for directories of any family.
    pub const AUTO: Manners = Manners {
        hooks: true,
        finish_shown: true,
        ..Manners::FAMILY
    };
    /// runit 2.1.2.
    pub const RUNIT: Manners = Manners {
        exit_stops: true,
        hooks: true,
        finish_shown: true,
        finish_deaf: true,
        permanent: false,
        sweep: false,
        layout: Layout::Runit,
    };
}

impl Default for Manners {
    fn default() -> Manners {
        Manners::FAMILY
    }
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
    /// There is a directory `control` (runit): `control/u` is asked before `run` is started.
    pub hooks: bool,
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
    /// Whose manners.
    pub manners: Manners,
}

impl Default for Definition {
    fn default() -> Definition {
        Definition {
            run: true,
            start: false,
            stop: false,
            finish: false,
            hooks: false,
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
            manners: Manners::FAMILY,
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
