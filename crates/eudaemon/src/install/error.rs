//! Why a service cannot be made known to a manager.

use super::target::NAMES;
use crate::Exit;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// What stands in the way of installing a service, or of asking its manager something.
#[derive(Debug)]
#[non_exhaustive]
pub enum InstallError {
    /// None of the managers we know was found on this machine.
    NoManager,
    /// No manager has this name.
    UnknownTarget(String),
    /// No action has this name.
    UnknownAction(String),
    /// The manifest's name cannot be that of a service: letters, digits, `-` and `_` can.
    Name(String),
    /// The program cannot be started by a manager.
    Program {
        /// Its path, as far as it is known.
        path: PathBuf,
        /// Why not.
        why: &'static str,
    },
    /// This manager's files cannot say it.
    Inexpressible {
        /// What was to be said.
        what: String,
        /// Why it cannot be.
        why: &'static str,
    },
    /// These files are not as they were generated: somebody edited them, or they never were ours. Forcing it replaces them.
    Changed(Vec<PathBuf>),
    /// The manager is that of another system; its files can only be written below another root.
    Elsewhere(&'static str),
    /// A file could not be read, written or removed.
    File {
        /// What was attempted, as `write`.
        verb: &'static str,
        /// On which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A program of the manager is not in the search path, or could not be started.
    Start {
        /// Its name.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program of the manager failed.
    Command {
        /// The command line.
        line: String,
        /// Its exit code; `None`: a signal ended it.
        code: Option<i32>,
        /// What it said.
        said: String,
    },
    /// The supervisor was told, and has not done it in time.
    Late {
        /// What is not as it should be, as `it still runs`.
        what: &'static str,
        /// After how long.
        after: Duration,
        /// What its manager says of it.
        said: String,
    },
    /// It failed, and then not everything could be put back as it was.
    HalfDone {
        /// Why it failed.
        because: Box<InstallError>,
        /// What could not be put back.
        left: Box<InstallError>,
    },
}

impl InstallError {
    /// The class, which is the exit code of a program that ends because of it.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            InstallError::UnknownTarget(_) | InstallError::UnknownAction(_) => Exit::Usage,
            InstallError::NoManager
            | InstallError::Name(_)
            | InstallError::Program { .. }
            | InstallError::Inexpressible { .. }
            | InstallError::Changed(_)
            | InstallError::Elsewhere(_) => Exit::Config,
            InstallError::File { source, .. } => {
                match source.kind() == io::ErrorKind::PermissionDenied {
                    true => Exit::NoPermission,
                    false => Exit::CannotCreate,
                }
            }
            InstallError::Start { .. } => Exit::Unavailable,
            InstallError::Command { .. } | InstallError::Late { .. } => Exit::Failed,
            InstallError::HalfDone { because, .. } => because.exit(),
        }
    }

    pub(super) fn file(
        verb: &'static str,
        path: impl Into<PathBuf>,
        source: io::Error,
    ) -> InstallError {
        InstallError::File {
            verb,
            path: path.into(),
            source,
        }
    }
}

impl fmt::Display for InstallError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InstallError::NoManager => write!(
                to,
                "no service manager was found on this machine; name one with --service.target: {}",
                NAMES.join(", ")
            ),
            InstallError::UnknownTarget(name) => write!(
                to,
                "{name:?} is none of the service managers: {}",
                NAMES.join(", ")
            ),
            InstallError::UnknownAction(name) => write!(
                to,
                "{name:?} is none of the actions: {}",
                super::action::NAMES.join(", ")
            ),
            InstallError::Name(name) => write!(
                to,
                "{name:?} cannot name a service: letters, digits, '-' and '_' can"
            ),
            InstallError::Program { path, why } => write!(to, "{}: {why}", path.display()),
            InstallError::Inexpressible { what, why } => write!(to, "{what}: {why}"),
            InstallError::Changed(paths) => {
                to.write_str("not as it was generated, so it is left alone unless forced:")?;
                for path in paths {
                    write!(to, " {}", path.display())?;
                }
                Ok(())
            }
            InstallError::Elsewhere(system) => write!(
                to,
                "this machine does not run {system}: only its files can be written, below another root"
            ),
            InstallError::File { verb, path, .. } => {
                write!(to, "unable to {verb} {}", path.display())
            }
            InstallError::Start { program, .. } => write!(to, "unable to start {program}"),
            InstallError::Command { line, code, said } => {
                match code {
                    Some(code) => write!(to, "{line} ended with {code}")?,
                    None => write!(to, "{line} was ended by a signal")?,
                }
                match said.trim() {
                    "" => Ok(()),
                    said => write!(to, ": {}", said.replace('\n', "; ")),
                }
            }
            InstallError::Late { what, after, said } => {
                write!(to, "{what} after {after:?}: {}", said.trim())
            }
            InstallError::HalfDone { because, left } => {
                write!(
                    to,
                    "{because}; and what was done could not all be put back: {left}"
                )
            }
        }
    }
}

impl StdError for InstallError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            InstallError::File { source, .. } | InstallError::Start { source, .. } => Some(source),
            InstallError::HalfDone { because, .. } => because.source(),
            InstallError::NoManager
            | InstallError::UnknownTarget(_)
            | InstallError::UnknownAction(_)
            | InstallError::Name(_)
            | InstallError::Program { .. }
            | InstallError::Inexpressible { .. }
            | InstallError::Changed(_)
            | InstallError::Elsewhere(_)
            | InstallError::Command { .. }
            | InstallError::Late { .. } => None,
        }
    }
}
