//! A file with the daemon's process id, which only one holds.
//!
//! What counts is the lock, not the number: a file that nobody has locked, whatever is in it, means that nothing runs. The
//! lock ends with the process, however it ends, and no process id is ever asked whether it lives: the number may belong to
//! somebody else by now. `flock FILE true` in a shell asks the same.
//!
//! Under a supervisor no such file is needed: it knows its child.

use crate::Exit;
use eudaemon_sys::file::{About, Folder};
use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A PID file that this process holds.
///
/// Dropping it gives up the lock and leaves the file; [`Pidfile::remove`] removes it. The lock is one of `flock(2)`: it is
/// shared by every process that has a copy of the descriptor, so the descriptor is closed when a program is executed.
/// `fcntl(2)` locks would end as soon as any other descriptor of the file is closed, and are not kept through a fork.
///
/// ```
/// use eudaemon::pidfile::{Pidfile, PidfileError};
/// # let path = std::env::temp_dir().join(format!("eudaemon-doc-{}.pid", std::process::id()));
/// let held = Pidfile::acquire(&path)?;
/// match Pidfile::acquire(&path) {
///     Err(PidfileError::AlreadyRunning { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
///     other => panic!("{other:?}"),
/// }
/// held.remove()?;
/// # Ok::<(), PidfileError>(())
/// ```
#[derive(Debug)]
pub struct Pidfile {
    path: PathBuf,
    file: File,
    /// Who wrote it last: a forked child that drops or removes its copy must not take it from its parent.
    writer: u32,
}

/// What [`Pidfile::remove`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Removed {
    /// The file is gone.
    Unlinked,
    /// The file is there and empty: the directory, or a chroot, does not let us remove it.
    Emptied,
    /// It is another process's by now, this one being a child of the one that wrote it: nothing was done.
    NotOurs,
}

/// Why there is no PID file.
#[derive(Debug)]
#[non_exhaustive]
pub enum PidfileError {
    /// Another process holds it.
    AlreadyRunning {
        /// The file.
        path: PathBuf,
        /// The holder, as it wrote it itself; `None` if it has not yet, or wrote something else.
        pid: Option<u32>,
    },
    /// The name is not that of a plain file: a symbolic link, a FIFO, a directory. It is not followed, for root's daemon
    /// could be led to overwrite a file of root's.
    NotAPlainFile {
        /// The name.
        path: PathBuf,
    },
    /// The file belongs to neither us nor root, so its owner could write any number into it.
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// The file has other names, and writing to it could change somebody's other file.
    Linked {
        /// The file.
        path: PathBuf,
        /// How many names.
        names: u64,
    },
    /// The path has no file name, or no directory: it is empty, or ends with `..`.
    NoName {
        /// The path.
        path: PathBuf,
    },
    /// The system refused.
    System {
        /// The file.
        path: PathBuf,
        /// What was attempted: a verb, as in "unable to VERB PATH".
        attempt: &'static str,
        /// Why not.
        error: io::Error,
    },
}

impl PidfileError {
    /// Its class: somebody else runs, the path is not one to write to, or what the system said.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            PidfileError::AlreadyRunning { .. } => Exit::Unavailable,
            PidfileError::NotAPlainFile { .. }
            | PidfileError::Foreign { .. }
            | PidfileError::Linked { .. }
            | PidfileError::NoName { .. } => Exit::Config,
            PidfileError::System { error, .. }
                if error.kind() == io::ErrorKind::PermissionDenied =>
            {
                Exit::NoPermission
            }
            PidfileError::System { .. } => Exit::CannotCreate,
        }
    }
}

impl fmt::Display for PidfileError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PidfileError::AlreadyRunning { path, pid } => {
                to.write_str("already running")?;
                if let Some(pid) = pid {
                    write!(to, " as process {pid}")?;
                }
                write!(to, ", which holds {}", path.display())
            }
            PidfileError::NotAPlainFile { path } => {
                write!(to, "{} is not a plain file", path.display())
            }
            PidfileError::Foreign { path, owner } => write!(
                to,
                "{} belongs to user {owner}, which is neither this one nor root",
                path.display()
            ),
            PidfileError::Linked { path, names } => {
                write!(to, "{} has {names} names, not one", path.display())
            }
            PidfileError::NoName { path } => {
                write!(to, "{:?} does not name a file", path.as_os_str())
            }
            // The error itself is the source, and whoever prints an error prints that behind it.
            PidfileError::System { path, attempt, .. } => {
                write!(to, "unable to {attempt} {}", path.display())
            }
        }
    }
}

impl std::error::Error for PidfileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            PidfileError::System { error, .. } => Some(error),
            PidfileError::AlreadyRunning { .. }
            | PidfileError::NotAPlainFile { .. }
            | PidfileError::Foreign { .. }
            | PidfileError::Linked { .. }
            | PidfileError::NoName { .. } => None,
        }
    }
}

/// How often a file that is exchanged while we lock it is tried again.
const TRIES: u32 = 100;

/// Readable by all, writable by us.
const MODE: u32 = 0o644;

impl Pidfile {
    /// Locks the file, making it if it is not there, and writes this process's id and a newline into it.
    ///
    /// The directory must exist, and should be writable for the daemon alone: `/run/NAME`. The path is made absolute, so
    /// that a later change of directory does not matter. The file has mode 0644, whatever the umask is. It is to be acquired
    /// by the process that stays: after [`detach`](mod@crate::detach), or [`Pidfile::rewrite`] it.
    ///
    /// # Errors
    /// [`PidfileError::AlreadyRunning`] if another process holds it; each other case of [`PidfileError`] refuses a file that
    /// cannot be trusted. Source: the rules are those of `daemon(7)`, "SysV Daemons", and of the kernel's
    /// `fs.protected_symlinks` and `fs.protected_hardlinks` (`proc_sys_fs(5)`), kept where these are off too.
    pub fn acquire(path: impl AsRef<Path>) -> Result<Pidfile, PidfileError> {
        let path = absolute(path.as_ref())?;
        let (folder, name) = place(&path)?;
        for _ in 0..TRIES {
            let file = open(&folder, name, &path)?;
            if let Err(error) = eudaemon_sys::file::lock(&file) {
                if error.kind() != io::ErrorKind::WouldBlock {
                    return Err(system(&path, "lock", error));
                }
                let pid = holder(&file);
                return Err(PidfileError::AlreadyRunning { path, pid });
            }
            // Whoever held it before may have removed it between our open and our lock; then it is nobody's file any more.
            if is_named(&folder, name, &file).map_err(|error| system(&path, "look at", error))? {
                let mut held = Pidfile {
                    path,
                    file,
                    writer: 0,
                };
                held.rewrite()?;
                return Ok(held);
            }
        }
        let again = io::Error::from(io::ErrorKind::ResourceBusy);
        Err(system(&path, "lock", again))
    }

    /// The file of the process whose place this one takes, by the open file with its lock, which both have: nobody else can have it in
    /// between. It says the other one's process id until [`Pidfile::rewrite`], and is not removed before that. `None` if it is not what
    /// it was: the path names another file by now, or the lock is somebody else's.
    pub(crate) fn adopt(path: &Path, lock: OwnedFd) -> Option<Pidfile> {
        let path = absolute(path).ok()?;
        let file = File::from(lock);
        let (folder, name) = place(&path).ok()?;
        let is_it = is_named(&folder, name, &file).unwrap_or(false);
        // Of a lock that came with the open file this is nothing; of one that did not, it fails.
        let is_locked = || eudaemon_sys::file::lock(&file).is_ok();
        (is_it && is_locked()).then_some(Pidfile {
            path,
            file,
            writer: 0,
        })
    }

    /// Writes the id of this process, for the child of a fork which has inherited the lock.
    ///
    /// One write, and then the rest is cut off: whoever reads the first line finds one number, at any moment.
    ///
    /// # Errors
    /// [`PidfileError::System`]: the disk is full.
    pub fn rewrite(&mut self) -> Result<(), PidfileError> {
        let pid = std::process::id();
        let line = format!("{pid}\n");
        self.file
            .write_all_at(line.as_bytes(), 0)
            .and_then(|()| self.file.set_len(line.len() as u64))
            .map_err(|error| system(&self.path, "write to", error))?;
        self.writer = pid;
        Ok(())
    }

    /// Removes the file and gives up the lock, in this order: nobody else can have it meanwhile.
    ///
    /// After a chroot, or a drop of privileges, the file often cannot be removed. It is emptied then: without a lock and
    /// without a number it says that nothing runs. A file that is another one by now under the same name is left alone.
    ///
    /// # Errors
    /// [`PidfileError::System`] if it could not even be emptied.
    pub fn remove(self) -> Result<Removed, PidfileError> {
        if std::process::id() != self.writer {
            return Ok(Removed::NotOurs);
        }
        let unlinked = place(&self.path).is_ok_and(|(folder, name)| {
            is_named(&folder, name, &self.file).unwrap_or(false) && folder.remove(name).is_ok()
        });
        if unlinked {
            return Ok(Removed::Unlinked);
        }
        let emptied = self.file.set_len(0);
        emptied.map_err(|error| system(&self.path, "empty", error))?;
        Ok(Removed::Emptied)
    }

    /// Where it is, as an absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The open file, whose copies share the lock: for handing it to a successor on purpose.
impl AsFd for Pidfile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn system(path: &Path, attempt: &'static str, error: io::Error) -> PidfileError {
    PidfileError::System {
        path: path.into(),
        attempt,
        error,
    }
}

fn absolute(path: &Path) -> Result<PathBuf, PidfileError> {
    if path.as_os_str().is_empty() {
        return Err(PidfileError::NoName { path: path.into() });
    }
    std::path::absolute(path).map_err(|error| system(path, "find", error))
}

/// The open directory and the name in it. The directory is not kept open: after a chroot it would be a way out.
fn place(path: &Path) -> Result<(Folder, &OsStr), PidfileError> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(PidfileError::NoName { path: path.into() });
    };
    let folder = Folder::open(parent).map_err(|error| system(parent, "open", error))?;
    Ok((folder, name))
}

fn open(folder: &Folder, name: &OsStr, path: &Path) -> Result<File, PidfileError> {
    use eudaemon_sys::errno::{EINVAL, EISDIR, ELOOP, ENXIO};
    let file = match folder.in_place(name, MODE) {
        Ok(file) => file,
        Err(error) => {
            return Err(match error.raw_os_error() {
                Some(EINVAL | EISDIR | ELOOP | ENXIO) => {
                    PidfileError::NotAPlainFile { path: path.into() }
                }
                Some(_) | None => system(path, "open", error),
            });
        }
    };
    let about = about(&file, path)?;
    let us = eudaemon_sys::process::effective_uid();
    if about.owner != us && about.owner != 0 {
        return Err(PidfileError::Foreign {
            path: path.into(),
            owner: about.owner,
        });
    }
    // None at all: it was removed while we opened it, which the caller sees once it has the lock.
    if about.links > 1 {
        return Err(PidfileError::Linked {
            path: path.into(),
            names: about.links,
        });
    }
    if about.owner == us && about.mode != MODE {
        let set = eudaemon_sys::file::set_mode(&file, MODE);
        set.map_err(|error| system(path, "set the mode of", error))?;
    }
    Ok(file)
}

fn about(file: &File, path: &Path) -> Result<About, PidfileError> {
    eudaemon_sys::file::about(file).map_err(|error| system(path, "look at", error))
}

/// Whether the name is still that of the open file: same file system, same inode.
fn is_named(folder: &Folder, name: &OsStr, file: &File) -> io::Result<bool> {
    let open = eudaemon_sys::file::about(file)?.identity;
    Ok(folder
        .look(name)?
        .is_some_and(|named| named.identity == open))
}

/// The number in the first line.
fn holder(file: &File) -> Option<u32> {
    let mut text = [0; 32];
    let length = file.read_at(&mut text, 0).ok()?;
    let line = text[..length].split(|&byte| byte == b'\n').next()?;
    let number = str::from_utf8(line).ok()?.parse().ok()?;
    (number > 0).then_some(number)
}

#[cfg(test)]
mod tests;
