//! Why there is no log.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a log could not be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum LogError {
    /// Nobody takes messages there.
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be opened: among others because it is no regular file, or a symbolic link.
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Standard error is `/dev/null` or closed, and syslog does not answer: a target must be named.
    Nowhere {
        /// What the system said to syslog's socket.
        source: io::Error,
    },
}

impl fmt::Display for LogError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogError::Connect { path, .. } => {
                write!(to, "unable to connect to {}", path.display())
            }
            LogError::Open { path, .. } => write!(to, "unable to open {}", path.display()),
            LogError::Nowhere { .. } => to.write_str(
                "nobody to log to: standard error is not open or /dev/null, and syslog does not answer",
            ),
        }
    }
}

impl std::error::Error for LogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LogError::Connect { source, .. }
            | LogError::Open { source, .. }
            | LogError::Nowhere { source } => Some(source),
        }
    }
}
