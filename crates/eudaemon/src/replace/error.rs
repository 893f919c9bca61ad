//! Why there is no new process.

use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::time::Duration;

/// Why the process was not replaced. It serves as before, and nothing is left of the other one.
///
/// Where there is a `stderr`, it is the last the new process wrote there: at most 20 lines and 4 KiB.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReplaceError {
    /// The service is at something else: `starting`, `reloading`, `replacing`, `draining` because it was replaced, or `stopping`. Ask again when
    /// that is over, if it still means anything then.
    Busy {
        /// At what.
        doing: &'static str,
    },
    /// The service gave up the rights its start needs, and nobody is there who has them. Its manifest must say
    /// [`replacing`](crate::Manifest::replacing), or the spawner has been killed.
    Confined {
        /// What it gave up.
        why: &'static str,
    },
    /// This process cannot be replaced, whatever the program is. A restart is the way.
    NotReplaceable {
        /// Why not.
        why: &'static str,
    },
    /// Nobody knows where the program is: there was no procfs when it began. Mount it.
    NoProgram,
    /// The program could not be started: it is not there, is not executable, or is no program; or there is no room for a process or a
    /// descriptor. The error below says which.
    Spawn(io::Error),
    /// The new process ended before it was ready, by a signal or with a code.
    Exited {
        /// How.
        status: ExitStatus,
        /// The last it said.
        stderr: String,
    },
    /// The new process said that it cannot serve.
    Failed {
        /// The code it ended with.
        exit: u8,
        /// Its words.
        words: String,
        /// The last it said on standard error.
        stderr: String,
    },
    /// The new process was not ready in time, and was killed. It may need longer: see [`Replace::deadline`](crate::replace::Replace::deadline).
    Timeout {
        /// How long it had.
        after: Duration,
        /// The last it said.
        stderr: String,
    },
    /// The new program does not take over from this one: it is of another age, and speaks another version. A restart is the way.
    Refused {
        /// Its words.
        words: String,
    },
    /// The service could not say what it gives along ([`Handle::on_replace`](crate::Handle::on_replace)).
    State {
        /// Its words.
        words: String,
    },
    /// What there is could not be handed over, or the new process said what nobody understands. If the program at the path is no
    /// program of this library, that is why.
    Handover(io::Error),
    /// The manager could not be told that the main process is another one.
    Manager(io::Error),
}

impl ReplaceError {
    /// All of it in one line: what happened, the error below, and the last line of standard error.
    pub(crate) fn whole(&self) -> String {
        let mut text = self.to_string();
        let mut below = std::error::Error::source(self);
        while let Some(error) = below {
            text = format!("{text}: {error}");
            below = error.source();
        }
        text
    }

    fn stderr(&self) -> Option<&str> {
        match self {
            ReplaceError::Exited { stderr, .. }
            | ReplaceError::Failed { stderr, .. }
            | ReplaceError::Timeout { stderr, .. } => stderr.lines().last(),
            ReplaceError::Busy { .. }
            | ReplaceError::Confined { .. }
            | ReplaceError::NotReplaceable { .. }
            | ReplaceError::NoProgram
            | ReplaceError::Spawn(_)
            | ReplaceError::Refused { .. }
            | ReplaceError::State { .. }
            | ReplaceError::Handover(_)
            | ReplaceError::Manager(_) => None,
        }
    }
}

impl fmt::Display for ReplaceError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplaceError::Busy { doing } => write!(to, "the service is {doing}"),
            ReplaceError::Confined { why } => write!(
                to,
                "the service {why}, and has no spawner to start the program with the rights of its start"
            ),
            ReplaceError::NotReplaceable { why } => to.write_str(why),
            ReplaceError::NoProgram => to.write_str("the program's own path is unknown"),
            ReplaceError::Spawn(_) => to.write_str("unable to start the program"),
            ReplaceError::Exited { status, .. } => {
                write!(to, "the new process ended before it was ready: {status}")
            }
            ReplaceError::Failed { words, .. } => {
                write!(to, "the new process cannot serve: {words}")
            }
            ReplaceError::Timeout { after, .. } => write!(
                to,
                "the new process was not ready after {after:?}, and was killed"
            ),
            ReplaceError::Refused { words } => {
                write!(
                    to,
                    "the new program does not take over from this one: {words}"
                )
            }
            ReplaceError::State { words } => {
                write!(
                    to,
                    "unable to say what the new process is given along: {words}"
                )
            }
            ReplaceError::Handover(_) => to.write_str("unable to hand the service over"),
            ReplaceError::Manager(_) => {
                to.write_str("unable to tell the manager of the new process")
            }
        }?;
        // What a failed one said last is its own words again.
        match self
            .stderr()
            .filter(|_| !matches!(self, ReplaceError::Failed { .. }))
        {
            Some(last) => write!(to, "; its last words: {last}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ReplaceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReplaceError::Spawn(error)
            | ReplaceError::Handover(error)
            | ReplaceError::Manager(error) => Some(error),
            ReplaceError::Busy { .. }
            | ReplaceError::Confined { .. }
            | ReplaceError::NotReplaceable { .. }
            | ReplaceError::NoProgram
            | ReplaceError::Exited { .. }
            | ReplaceError::Failed { .. }
            | ReplaceError::Timeout { .. }
            | ReplaceError::Refused { .. }
            | ReplaceError::State { .. } => None,
        }
    }
}
