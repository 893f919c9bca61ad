//! Why privileges were not given up.

use super::{Difference, Refusal, Step};
use crate::Exit;
use eudaemon_core::privilege::StatusError;
use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a plan cannot be resolved, or a process is not what it was to be. In the second case it must end.
#[derive(Debug)]
#[non_exhaustive]
pub enum PrivError {
    /// No account has this name, or number, or its line cannot be understood.
    NoUser(String),
    /// No group has this name, or its line cannot be understood.
    NoGroup(String),
    /// The number belongs to no account, so it has no group: one must be named.
    NoGroupOfNumber(u32),
    /// The number means "do not change" to the kernel, in 32 bits or in 16.
    NoNumber(String),
    /// The user is root.
    Root0(String),
    /// The group, or one of the account's groups, is root's.
    RootGroup(String),
    /// A group without a user.
    GroupAlone(String),
    /// Supplementary groups without a user.
    SupplementaryAlone,
    /// A file or database of accounts does not answer.
    Accounts {
        /// Which.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The umask has more than nine bits.
    Umask,
    /// A chroot's path is not absolute, or goes up.
    RootPath(PathBuf),
    /// A chroot's directory is not there.
    Root {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A descriptor is an open directory outside of the root that was to be.
    OpenDirectory {
        /// The descriptor.
        number: i32,
        /// The directory.
        path: PathBuf,
    },
    /// The process cannot be made into this.
    Refused(Refusal),
    /// There are so many threads where one must be alone.
    Threads(usize),
    /// The process is not any more what it was when the plan was resolved.
    Changed,
    /// Privileges were given up before in this process, or it was tried.
    Again,
    /// What the kernel says of this process could not be read.
    Proc(io::Error),
    /// What the kernel says of this process could not be understood.
    Status(StatusError),
    /// A step failed.
    Step {
        /// Which.
        step: Step,
        /// Why.
        source: io::Error,
    },
    /// The privileges are gone, and the user has as many processes as its limit allows: no thread and no program would
    /// start. Source: `getrlimit(2)`, RLIMIT_NPROC.
    Processes(io::Error),
    /// Every step was made, and this is not as planned.
    NotProven(Vec<Difference>),
}

impl PrivError {
    /// The class for the exit code: [`Exit::Config`] where the plan must be changed, [`Exit::NoPermission`] where the process
    /// lacks a privilege or kept one, [`Exit::Software`] where the program called too late or twice,
    /// [`Exit::Temporary`] where the user has too many processes, else [`Exit::System`].
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            PrivError::NoUser(_)
            | PrivError::NoGroup(_)
            | PrivError::NoGroupOfNumber(_)
            | PrivError::NoNumber(_)
            | PrivError::Root0(_)
            | PrivError::RootGroup(_)
            | PrivError::GroupAlone(_)
            | PrivError::SupplementaryAlone
            | PrivError::Umask
            | PrivError::RootPath(_)
            | PrivError::Root { .. } => Exit::Config,
            PrivError::Refused(refusal) if refusal.is_missing_privilege() => Exit::NoPermission,
            PrivError::Refused(_) => Exit::Config,
            PrivError::Step { source, .. } if source.kind() != io::ErrorKind::PermissionDenied => {
                Exit::System
            }
            PrivError::Step { .. } | PrivError::NotProven(_) => Exit::NoPermission,
            PrivError::Processes(_) => Exit::Temporary,
            PrivError::Threads(_)
            | PrivError::OpenDirectory { .. }
            | PrivError::Changed
            | PrivError::Again => Exit::Software,
            PrivError::Accounts { .. } | PrivError::Proc(_) | PrivError::Status(_) => Exit::System,
        }
    }
}

impl fmt::Display for PrivError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrivError::NoUser(name) => write!(to, "no account is called {name}"),
            PrivError::NoGroup(name) => write!(to, "no group is called {name}"),
            PrivError::NoGroupOfNumber(uid) => write!(
                to,
                "no account has the number {uid}, so it has no group: name a group too"
            ),
            PrivError::NoNumber(name) => write!(
                to,
                "{name} has the number that means \"do not change\", and is nobody's"
            ),
            PrivError::Root0(name) => {
                write!(to, "user {name} is root (0): name another, or allow root")
            }
            PrivError::RootGroup(name) => write!(
                to,
                "{name} is in root's group (0): name another group, or allow root"
            ),
            PrivError::GroupAlone(name) => write!(
                to,
                "group {name} without a user: name the user too, for who stays root is in every group"
            ),
            PrivError::SupplementaryAlone => {
                to.write_str("supplementary groups without a user: name the user too")
            }
            PrivError::Accounts { what, .. } => write!(to, "unable to read {what}"),
            PrivError::Umask => to.write_str("a umask is from 0000 to 0777"),
            PrivError::RootPath(path) => write!(
                to,
                "unable to change root to {}: not an absolute path without . and ..",
                path.display()
            ),
            PrivError::Root { path, .. } => {
                write!(to, "unable to change root to {}", path.display())
            }
            PrivError::OpenDirectory { number, path } => write!(
                to,
                "descriptor {number} is the directory {}, a way out of the new root: close it before",
                path.display()
            ),
            PrivError::Refused(refusal) => refusal.fmt(to),
            PrivError::Threads(count) => write!(
                to,
                "{count} threads where there must be one: each has privileges of its own, so they go before the second starts"
            ),
            PrivError::Changed => {
                to.write_str("this process is not any more what it was when the plan was resolved")
            }
            PrivError::Again => {
                to.write_str("privileges are given up once, and this process has tried already")
            }
            PrivError::Proc(_) => to.write_str("unable to read /proc/self/task"),
            PrivError::Status(error) => error.fmt(to),
            PrivError::Step { step, .. } => write!(to, "unable to {step}"),
            PrivError::Processes(_) => {
                to.write_str("this user has as many processes as its limit allows")
            }
            PrivError::NotProven(differences) => {
                to.write_str("unable to prove that the privileges are gone")?;
                for (at, difference) in differences.iter().enumerate() {
                    let between = if at == 0 { ": " } else { "; " };
                    write!(to, "{between}{difference}")?;
                }
                Ok(())
            }
        }
    }
}

impl Error for PrivError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            PrivError::Accounts { source, .. }
            | PrivError::Root { source, .. }
            | PrivError::Step { source, .. }
            | PrivError::Processes(source)
            | PrivError::Proc(source) => Some(source),
            PrivError::NoUser(_)
            | PrivError::NoGroup(_)
            | PrivError::NoGroupOfNumber(_)
            | PrivError::NoNumber(_)
            | PrivError::Root0(_)
            | PrivError::RootGroup(_)
            | PrivError::GroupAlone(_)
            | PrivError::SupplementaryAlone
            | PrivError::Umask
            | PrivError::RootPath(_)
            | PrivError::OpenDirectory { .. }
            | PrivError::Refused(_)
            | PrivError::Threads(_)
            | PrivError::Changed
            | PrivError::Again
            | PrivError::Status(_)
            | PrivError::NotProven(_) => None,
        }
    }
}
