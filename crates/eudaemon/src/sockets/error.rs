//! Why there is no such socket.

use crate::Exit;
use crate::inherited::Kind;
use eudaemon_core::address::Wrong;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a socket could be neither taken nor bound.
#[derive(Debug)]
#[non_exhaustive]
pub enum SocketError {
    /// The address is none.
    Address {
        /// As it was given.
        text: String,
        /// Why not.
        wrong: Wrong,
    },
    /// The address is one of another kind of socket.
    Unsuited {
        /// As it was given.
        text: String,
        /// What was asked for.
        wanted: &'static str,
    },
    /// What was handed over under the name is something else. It stays where it was.
    Unfit {
        /// The name.
        name: String,
        /// What the first of the name is.
        is: Kind,
        /// What was asked for.
        wanted: String,
    },
    /// Nothing was handed over under the name, and there is no address to bind.
    Missing {
        /// The name.
        name: String,
    },
    /// Nothing can be handed on under the name: it is ASCII without control characters and colons, at most 255 bytes. Source:
    /// `sd_notify(3)`, `FDNAME=`.
    Name {
        /// As it was given.
        name: String,
    },
    /// The name begins with `eudaemon.`: the library keeps those for itself.
    Reserved {
        /// The name.
        name: String,
    },
    /// The set could not have a copy of it.
    Copy(io::Error),
    /// Somebody else has the path: holds its lock, or listens there.
    Taken {
        /// The path.
        path: PathBuf,
    },
    /// There is a file at the path, and it is no socket: it is not removed.
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The file at the path is of another kind than what is opened there.
    WrongFile {
        /// The path.
        path: PathBuf,
        /// What it is.
        is: Kind,
        /// What was to be opened.
        wanted: &'static str,
    },
    /// What is there already is not as it would have been made here: another owner, another mode, other sizes. It is neither used
    /// nor changed.
    Foreign {
        /// The address.
        address: String,
        /// How it is.
        found: String,
        /// How it was to be.
        wanted: String,
    },
    /// The file of the lock could not be opened, or locked.
    Lock {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// What was handed over could not be looked at, or made not to block.
    Look(io::Error),
    /// The address could not be bound.
    Bind {
        /// The address.
        address: String,
        /// Why not.
        error: io::Error,
    },
}

impl SocketError {
    /// Its class: what somebody else has is [`Exit::Unavailable`], what must be written differently [`Exit::Config`], and the
    /// rest what the system said.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            SocketError::Address { .. }
            | SocketError::Unsuited { .. }
            | SocketError::Unfit { .. }
            | SocketError::Missing { .. }
            | SocketError::Name { .. }
            | SocketError::Reserved { .. }
            | SocketError::NotASocket { .. }
            | SocketError::WrongFile { .. }
            | SocketError::Foreign { .. } => Exit::Config,
            SocketError::Taken { .. } => Exit::Unavailable,
            SocketError::Lock { error, .. }
            | SocketError::Bind { error, .. }
            | SocketError::Copy(error)
            | SocketError::Look(error) => crate::error::suggested(error),
        }
    }
}

impl SocketError {
    /// Whether somebody has what was to be bound.
    pub(super) fn is_in_use(&self) -> bool {
        let by_the_kernel = matches!(self, SocketError::Bind { error, .. } if error.kind() == io::ErrorKind::AddrInUse);
        by_the_kernel || matches!(self, SocketError::Taken { .. })
    }
}

impl fmt::Display for SocketError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SocketError::Address { text, .. } => write!(to, "unable to listen at {text:?}"),
            SocketError::Unsuited { text, wanted } => write!(to, "{text} is not {wanted}"),
            SocketError::Unfit { name, is, wanted } => write!(
                to,
                "what was handed over as {name} is {}, not {wanted}",
                is.name()
            ),
            SocketError::Missing { name } => {
                write!(
                    to,
                    "nothing was handed over as {name}, and it has no address"
                )
            }
            SocketError::Name { name } => write!(to, "{name:?} cannot be a socket's name"),
            SocketError::Reserved { name } => {
                write!(to, "{name} is a name the library keeps for itself")
            }
            SocketError::Copy(_) => to.write_str("unable to copy a descriptor"),
            SocketError::Taken { path } => {
                write!(to, "{} is another process's", path.display())
            }
            SocketError::NotASocket { path } => {
                write!(to, "{} is there and no socket", path.display())
            }
            SocketError::WrongFile { path, is, wanted } => {
                let (path, is) = (path.display(), is.name());
                write!(to, "{path} is there and is {is}, not {wanted}")
            }
            SocketError::Foreign {
                address,
                found,
                wanted,
            } => write!(to, "{address} is there with {found}, not {wanted}"),
            SocketError::Lock { path, .. } => write!(to, "unable to lock {}", path.display()),
            SocketError::Look(_) => to.write_str("unable to look at what was handed over"),
            SocketError::Bind { address, .. } => write!(to, "unable to listen at {address}"),
        }
    }
}

impl std::error::Error for SocketError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SocketError::Address { wrong, .. } => Some(wrong),
            SocketError::Lock { error, .. }
            | SocketError::Bind { error, .. }
            | SocketError::Copy(error)
            | SocketError::Look(error) => Some(error),
            SocketError::Unsuited { .. }
            | SocketError::Unfit { .. }
            | SocketError::Missing { .. }
            | SocketError::Name { .. }
            | SocketError::Reserved { .. }
            | SocketError::Taken { .. }
            | SocketError::NotASocket { .. }
            | SocketError::WrongFile { .. }
            | SocketError::Foreign { .. } => None,
        }
    }
}
