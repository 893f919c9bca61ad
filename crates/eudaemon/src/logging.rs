//! Where a service's log lines go, and how much of them.
//!
//! A [`Log`] is opened once, before the root is changed and privileges are dropped; everything it needs later is open by
//! then. It is cloned to wherever something is logged. It starts no thread and buffers nothing: when [`Log::record`]
//! returns, the record has been handed over or counted as lost ([`Log::lost`]).
//!
//! A record is handed over whole, in one system call, unless it is longer than the 4096 bytes a pipe takes at once. When
//! a reader does not read, a record waits for it up to [`PATIENCE`]; those after it do not wait until one gets through
//! again, and that one is preceded by a warning that tells how many were lost. A log that is full delays a service; it
//! does not stop it.
//!
//! ```
//! use eudaemon::Activation;
//! use eudaemon::logging::{Level, Log, LogTarget};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let log = Log::open(LogTarget::Human, &Activation::of_this_process(), "web", Level::Info)?;
//! log.info("listening");
//! log.record(Level::Warning, "slow answer", &[("client", "::1".into()), ("millis", 731.into())]);
//! log.levels().more();
//! log.debug(format_args!("{} connections", 3));
//! # Ok(()) }
//! ```

mod error;
#[cfg(feature = "log")]
mod facade;
mod handle;
mod journal;
mod outlet;
mod panic;
mod target;
#[cfg(test)]
mod tests;
#[cfg(feature = "tracing")]
mod tracing;
mod value;

pub use error::LogError;
pub use eudaemon_core::level::{LEVELS, Level};
#[cfg(feature = "log")]
pub use facade::install;
pub use handle::LevelHandle;
pub use journal::Journal;
pub use panic::panic_hook;
pub use target::{LogTarget, UnknownTarget};
#[cfg(feature = "tracing")]
pub use tracing::{LogLayer, layer};
pub use value::Value;

use crate::Activation;
use crate::chroot::Root;
use eudaemon_core::logging::Line;
use outlet::{Outlet, Surroundings};
use std::borrow::Cow;
use std::fmt::Display;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::Location;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a record waits for a reader that does not read.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// A service's log: a handle, cheap to clone, to be used from any thread.
#[derive(Clone, Debug)]
pub struct Log(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    identifier: String,
    invocation: Option<String>,
    surroundings: Surroundings,
    levels: LevelHandle,
    sink: Mutex<Sink>,
    lost: AtomicU64,
}

#[derive(Debug)]
struct Sink {
    outlet: Outlet,
    /// The last record did not get through: the next does not wait.
    stuck: bool,
    /// Lost since the last that got through.
    untold: u64,
}

/// One record, ready to be written in any form.
struct Record<'a> {
    line: Line<'a>,
    place: Place<'a>,
    log: &'a Inner,
}

/// Where in the program a record was made; only the journal is told.
#[derive(Clone, Copy, Debug, Default)]
struct Place<'a> {
    /// Empty if nobody knows.
    file: &'a str,
    line: u32,
    module: Option<&'a str>,
    /// The names of the fields were given by somebody who did not think of the journal.
    apart: bool,
}

impl Log {
    /// Opens a log for a service of this name. Records less important than `level` are not written; when the manager
    /// asks for all there is to know ([`Activation::is_debug`]), it starts at [`Level::Debug`].
    ///
    /// [`LogTarget::Auto`] is the journal in its native form if standard error, or standard output, is the stream
    /// `JOURNAL_STREAM` names; else standard error, as [`eudaemon_core::logging::choose`] says it; else, if that is
    /// nobody, or the socket that standard input is, a client's, syslog. [`Log::describes`] tells which it became.
    ///
    /// # Errors
    /// [`LogError`]: the target cannot be opened; for [`LogTarget::Auto`], there is nobody to log to
    /// ([`LogError::Nowhere`]). Nothing is silently logged nowhere.
    pub fn open(
        target: LogTarget,
        activation: &Activation,
        identifier: &str,
        level: Level,
    ) -> Result<Log, LogError> {
        Log::open_for(
            target,
            activation,
            identifier,
            level,
            std::io::stderr().as_fd(),
        )
    }

    /// As [`Log::open`], for a process whose standard error will be this one. Until then what goes there goes where it is.
    pub(crate) fn open_for(
        target: LogTarget,
        activation: &Activation,
        identifier: &str,
        level: Level,
        stderr: BorrowedFd<'_>,
    ) -> Result<Log, LogError> {
        let surroundings = Surroundings::of(activation);
        let outlet = Outlet::open(target, &surroundings, stderr)?;
        Ok(Log::made(
            outlet,
            surroundings,
            activation,
            identifier,
            level,
        ))
    }

    /// A log into this journal, for whoever has one of their own: a test, or a journal at another place.
    #[must_use]
    pub fn to_journal(
        journal: Journal,
        activation: &Activation,
        identifier: &str,
        level: Level,
    ) -> Log {
        let surroundings = Surroundings::of(activation);
        let outlet = Outlet::Journal(journal);
        Log::made(outlet, surroundings, activation, identifier, level)
    }

    fn made(
        outlet: Outlet,
        surroundings: Surroundings,
        activation: &Activation,
        identifier: &str,
        level: Level,
    ) -> Log {
        let level = if activation.is_debug() {
            Level::Debug
        } else {
            level
        };
        Log(Arc::new(Inner {
            identifier: identifier.to_owned(),
            invocation: activation.invocation().map(str::to_owned),
            surroundings,
            levels: LevelHandle::new(level),
            sink: Mutex::new(Sink {
                outlet,
                stuck: false,
                untold: 0,
            }),
            lost: AtomicU64::new(0),
        }))
    }

    /// Goes on at another target, for every clone of this log. What was already written stays where it is.
    ///
    /// To be called when standard error was exchanged: after leaving the shell, [`LogTarget::Auto`] looks again.
    ///
    /// # Errors
    /// As [`Log::open`]; then it goes on where it was.
    pub fn retarget(&self, target: LogTarget) -> Result<(), LogError> {
        let stderr = std::io::stderr();
        let outlet = Outlet::open(target, &self.0.surroundings, stderr.as_fd())?;
        let mut sink = self.sink();
        sink.outlet = outlet;
        sink.stuck = false;
        Ok(())
    }

    /// Opens a log file again under its name, after somebody has moved it away. Other targets need nothing.
    ///
    /// The directory was kept open, so this works where its path is out of reach, unless [`Log::lock_in`] was called; the file
    /// is made with mode 0640 if there is none.
    ///
    /// # Errors
    /// [`LogError::Open`]: then it goes on in the file it has.
    pub fn reopen(&self) -> Result<(), LogError> {
        self.sink().outlet.reopen()
    }

    /// Lets go of the directory that was kept open for [`Log::reopen`], because it would be a way out of this root, which the
    /// process is about to be locked into. A file below it is found again by its path there; one outside is written to as long
    /// as it is open, and not opened again. Nothing happens if the root is the whole tree.
    ///
    /// [`main`](crate::main) does this before privileges are given up.
    pub fn lock_in(&self, root: &Root) {
        if !root.is_whole() {
            self.sink().outlet.lock_in(root);
        }
    }

    /// Where records go, in words for a person.
    #[must_use]
    pub fn describes(&self) -> String {
        self.sink().outlet.describes(&self.0.surroundings)
    }

    /// Whether records go to standard error, where a person may be reading already.
    #[must_use]
    pub fn is_stderr(&self) -> bool {
        matches!(self.sink().outlet, Outlet::Stream(_))
    }

    /// What is logged, to be changed at any time from any thread.
    #[must_use]
    pub fn levels(&self) -> &LevelHandle {
        &self.0.levels
    }

    /// The name records have.
    #[must_use]
    pub fn identifier(&self) -> &str {
        &self.0.identifier
    }

    /// How many records were lost, since the log was opened, because nobody took them.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// Writes a record, with what belongs to it by name.
    ///
    /// In the journal each field is one of its own, by the name in upper case (`ERRNO`, `MESSAGE_ID` and others have a
    /// meaning: `systemd.journal-fields(7)`); names may be repeated. As text they follow the message: `millis=731`.
    #[track_caller]
    pub fn record(&self, level: Level, message: impl Display, fields: &[(&str, Value<'_>)]) {
        if !self.0.levels.get().includes(level) {
            return;
        }
        let caller = Location::caller();
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (*name, value.bytes()))
            .collect();
        let place = Place {
            file: caller.file(),
            line: caller.line(),
            module: None,
            apart: false,
        };
        self.write(level, &message.to_string(), &fields, place);
    }

    /// Nobody can go on.
    #[track_caller]
    pub fn critical(&self, message: impl Display) {
        self.record(Level::Critical, message, &[]);
    }

    /// Something that was asked for failed.
    #[track_caller]
    pub fn error(&self, message: impl Display) {
        self.record(Level::Error, message, &[]);
    }

    /// Something looks wrong, and it goes on.
    #[track_caller]
    pub fn warning(&self, message: impl Display) {
        self.record(Level::Warning, message, &[]);
    }

    /// Normal, and worth knowing.
    #[track_caller]
    pub fn notice(&self, message: impl Display) {
        self.record(Level::Notice, message, &[]);
    }

    /// What the service does.
    #[track_caller]
    pub fn info(&self, message: impl Display) {
        self.record(Level::Info, message, &[]);
    }

    /// How it does it.
    #[track_caller]
    pub fn debug(&self, message: impl Display) {
        self.record(Level::Debug, message, &[]);
    }

    /// Whether a record of this level is written now.
    #[must_use]
    pub fn is_enabled(&self, level: Level) -> bool {
        self.0.levels.get().includes(level)
    }

    fn sink(&self) -> MutexGuard<'_, Sink> {
        // Nothing below panics with the lock held but for want of memory; what it guards is whole at every moment.
        self.0.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a record that was already found important enough.
    fn write(
        &self,
        level: Level,
        message: &str,
        fields: &[(&str, Cow<'_, [u8]>)],
        place: Place<'_>,
    ) {
        let fields: Vec<(&str, &[u8])> = fields.iter().map(|(n, v)| (*n, v.as_ref())).collect();
        self.hand_over(&Record {
            line: Line {
                level,
                at: eudaemon_sys::clock::wall(),
                message,
                fields: &fields,
            },
            place,
            log: &self.0,
        });
    }

    fn hand_over(&self, record: &Record<'_>) {
        let mut sink = self.sink();
        let told = sink.untold == 0 || self.tell_lost(&mut sink);
        if !told || !sink.write(record) {
            sink.untold += 1;
            self.0.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn tell_lost(&self, sink: &mut Sink) -> bool {
        let message = match sink.untold {
            1 => "1 record before this was lost: nobody read the log".to_owned(),
            count => format!("{count} records before this were lost: nobody read the log"),
        };
        let told = sink.write(&Record {
            line: Line {
                level: Level::Warning,
                at: eudaemon_sys::clock::wall(),
                message: &message,
                fields: &[],
            },
            place: Place::default(),
            log: &self.0,
        });
        if told {
            sink.untold = 0;
        }
        told
    }
}

impl Sink {
    /// Whether somebody has it now.
    fn write(&mut self, record: &Record<'_>) -> bool {
        let patience = if self.stuck { Duration::ZERO } else { PATIENCE };
        let written = self.outlet.write(record, patience).is_ok();
        self.stuck = !written;
        written
    }
}

/// A target's path, which must not depend on a directory that is left later.
fn absolute(path: PathBuf, surroundings: &Surroundings) -> PathBuf {
    match &surroundings.directory {
        Some(directory) if path.is_relative() => directory.join(path),
        Some(_) | None => path,
    }
}
