//! A socket and the file it made.

use super::{SocketError, Unlink};
use eudaemon_core::address::Kind;
use eudaemon_sys::bind::{self, Access};
use eudaemon_sys::file::{Folder, Identity, lock};
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A socket, and its file if it was bound at a path by this process.
///
/// Dropped, the socket is closed, and then the file is removed: if it is still the file of this socket, if nobody else receives
/// from it, and if this is the process that made it and not a fork of it. What cannot be removed stays, behind a privilege drop or
/// in a chroot say, and is replaced at the next start.
#[derive(Debug)]
pub struct Bound<T> {
    // Dropped in this order: while our own is open, somebody receives.
    socket: T,
    file: Option<Made>,
}

/// A file that was made here.
#[derive(Debug)]
struct Made {
    path: PathBuf,
    kind: Kind,
    identity: Identity,
    by: u32,
    is_removed: bool,
    /// Held until the file is gone.
    _lock: Option<File>,
}

impl<T> Bound<T> {
    pub(super) fn without_a_file(socket: T) -> Bound<T> {
        Bound { socket, file: None }
    }

    /// The same as another type.
    pub(super) fn map<U>(self, to: impl FnOnce(T) -> U) -> Bound<U> {
        Bound {
            socket: to(self.socket),
            file: self.file,
        }
    }

    /// Whether it is bound at a path by this process, which is removed in the end unless the policy is [`Unlink::Never`].
    #[must_use]
    pub fn has_made_a_file(&self) -> bool {
        self.file.is_some()
    }

    /// The socket alone. Its file stays, and the lock of the path is held until the process ends.
    #[must_use]
    pub fn keep(self) -> T {
        std::mem::forget(self.file);
        self.socket
    }
}

impl<T> Deref for Bound<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.socket
    }
}

impl<T: AsFd> AsFd for Bound<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // Nobody is left to be told, and the next start clears up.
        let _ = self.remove();
    }
}

impl Made {
    fn remove(&self) -> io::Result<()> {
        let is_ours = self.is_removed && self.by == std::process::id();
        if is_ours && !bind::is_answered(self.kind, &self.path)? {
            bind::remove_if(&self.path, self.identity)?;
        }
        Ok(())
    }
}

/// Binds a path by this policy.
pub(super) fn at(
    kind: Kind,
    path: &Path,
    policy: Unlink,
    access: Access,
    system: impl Fn(io::Error) -> SocketError + Copy,
) -> Result<Bound<OwnedFd>, SocketError> {
    let lock = match policy {
        Unlink::Never | Unlink::Always | Unlink::IfSocket => None,
        Unlink::Flock | Unlink::ProbeThenFlock => Some(locked(path)?),
    };
    match (bind::look(path).map_err(system)?, policy) {
        (None, _) | (_, Unlink::Never) => {}
        (Some(_), Unlink::Always) => bind::remove(path).map_err(system)?,
        (Some((_, false)), Unlink::IfSocket | Unlink::Flock | Unlink::ProbeThenFlock) => {
            return Err(SocketError::NotASocket { path: path.into() });
        }
        (Some((found, true)), Unlink::IfSocket | Unlink::Flock | Unlink::ProbeThenFlock) => {
            let is_probed = policy == Unlink::ProbeThenFlock;
            if is_probed && bind::is_answered(kind, path).map_err(system)? {
                return Err(SocketError::Taken { path: path.into() });
            }
            bind::remove_if(path, found).map_err(system)?;
        }
    }
    let (socket, identity) = bind::path(kind, path, access).map_err(system)?;
    Ok(Bound {
        socket,
        file: Some(Made {
            path: path.into(),
            kind,
            identity,
            by: std::process::id(),
            is_removed: policy != Unlink::Never,
            _lock: lock,
        }),
    })
}

/// The lock of a path: that of a file beside it, which is never removed, so whoever has its lock has the path's.
fn locked(path: &Path) -> Result<File, SocketError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = PathBuf::from(name);
    let open = || {
        let (Some(parent), Some(name)) = (file.parent(), file.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        Folder::open(parent)?.in_place(name, 0o600)
    };
    let held = open().and_then(|opened| lock(&opened).map(|()| opened));
    held.map_err(|error| match error.kind() == io::ErrorKind::WouldBlock {
        true => SocketError::Taken { path: path.into() },
        false => SocketError::Lock { path: file, error },
    })
}
