//! A socket, its copy in the set, and the file it made.

use super::set::Export;
use super::{SocketError, Unlink};
use eudaemon_core::address::Kind;
use eudaemon_sys::bind::{self, Access};
use eudaemon_sys::file::{Folder, Identity, lock};
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Most clients that may wait to be let in by the library's own servers.
const DOOR_BACKLOG: u32 = 64;

/// A socket of the set, and its file if it was bound at a path by this program.
///
/// Dropped, the socket is closed, and then the set's copy of it: who connects from then on is refused, and does not wait in a queue
/// that nobody reads. With the last of the generations that share it, the file is removed: if it is still the file of this
/// socket, if nobody else receives from it, and if this is the process that has it and not a fork of it. What cannot be removed
/// stays, behind a privilege drop or in a chroot say, and is replaced at the next start.
#[derive(Debug)]
pub struct Bound<T> {
    // Dropped in this order: while one of these is open, somebody receives.
    pub(super) socket: T,
    pub(super) export: Option<Export>,
    pub(super) file: Option<Arc<Made>>,
}

/// What is neither removed nor unlocked while the process lives: a static is not dropped.
static KEPT: Mutex<Vec<Arc<Made>>> = Mutex::new(Vec::new());

/// A file that was made for a socket, by this process or by one it follows. The last holder removes it.
#[derive(Debug)]
pub(crate) struct Made {
    path: PathBuf,
    kind: Kind,
    identity: Identity,
    by: u32,
    /// Whether it is to be removed in the end.
    is_armed: AtomicBool,
    /// Whether somebody keeps the socket when this process is gone.
    is_stored: AtomicBool,
    /// Held until the file is gone.
    lock: Option<File>,
}

impl<T> Bound<T> {
    /// The same as another type.
    pub(super) fn map<U>(self, to: impl FnOnce(T) -> U) -> Bound<U> {
        Bound {
            socket: to(self.socket),
            export: self.export,
            file: self.file,
        }
    }

    /// Whether it is bound at a path by this program, which is removed in the end unless the policy is [`Unlink::Never`].
    #[must_use]
    pub fn has_made_a_file(&self) -> bool {
        self.file.is_some()
    }

    /// The socket alone, which the set forgets: a successor does not get it. Its file stays, and the lock of the path is held
    /// until the process ends.
    #[must_use]
    pub fn keep(self) -> T {
        drop(self.export);
        if let Some(file) = self.file {
            KEPT.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(file);
        }
        self.socket
    }

    /// The socket, for those who want the type itself, and what else dropping this would have done, to be dropped after it.
    /// Until then a successor gets the socket.
    #[must_use]
    pub fn split(self) -> (T, Bound<()>) {
        let rest = Bound {
            socket: (),
            export: self.export,
            file: self.file,
        };
        (self.socket, rest)
    }
}

#[cfg(feature = "tokio")]
macro_rules! into_tokio {
    ($($std:ty => $tokio:ty),* $(,)?) => {$(
        impl Bound<$std> {
            /// The same for tokio. That wants `O_NONBLOCK`, which is set first, for everyone who has a copy of the socket.
            /// Within a runtime.
            ///
            /// # Errors
            /// The system's word. The socket is closed then.
            ///
            /// # Panics
            /// No runtime of tokio that has I/O runs here.
            pub fn into_tokio(self) -> io::Result<Bound<$tokio>> {
                let (socket, rest) = self.split();
                socket.set_nonblocking(true)?;
                let socket = <$tokio>::from_std(socket)?;
                Ok(rest.map(|()| socket))
            }
        }
    )*};
}

#[cfg(feature = "tokio")]
into_tokio!(
    std::net::TcpListener => tokio::net::TcpListener,
    std::net::UdpSocket => tokio::net::UdpSocket,
    std::os::unix::net::UnixListener => tokio::net::UnixListener,
    std::os::unix::net::UnixDatagram => tokio::net::UnixDatagram,
);

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
    /// One that another process made and hands over with its socket. It is still that one's, until [`Made::arm`].
    pub(crate) fn adopted(
        path: PathBuf,
        kind: Kind,
        identity: Identity,
        lock: Option<OwnedFd>,
    ) -> Made {
        Made {
            path,
            kind,
            identity,
            by: std::process::id(),
            is_armed: AtomicBool::new(false),
            is_stored: AtomicBool::new(false),
            lock: lock.map(File::from),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// The lock of the path, if its policy has one. A copy of it is the same lock: it is held until the last is closed.
    pub(crate) fn lock(&self) -> Option<BorrowedFd<'_>> {
        self.lock.as_ref().map(AsFd::as_fd)
    }

    /// Whether it is to be removed in the end.
    pub(crate) fn is_armed(&self) -> bool {
        self.is_armed.load(Ordering::Relaxed)
    }

    /// From here on it is this process's to remove.
    pub(crate) fn arm(&self) {
        self.is_armed.store(true, Ordering::Relaxed);
    }

    /// From here on it is somebody else's to remove.
    pub(crate) fn disarm(&self) {
        self.is_armed.store(false, Ordering::Relaxed);
    }

    /// Whether somebody keeps the socket: its file stays then, for the next process.
    pub(crate) fn set_stored(&self, is_stored: bool) {
        self.is_stored.store(is_stored, Ordering::Relaxed);
    }

    fn remove(&self) -> io::Result<()> {
        let is_kept = self.is_stored.load(Ordering::Relaxed);
        let is_ours = self.is_armed() && !is_kept && self.by == std::process::id();
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
) -> Result<(OwnedFd, Made), SocketError> {
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
    let made = Made {
        path: path.into(),
        kind,
        identity,
        by: std::process::id(),
        is_armed: AtomicBool::new(policy != Unlink::Never),
        is_stored: AtomicBool::new(false),
        lock,
    };
    Ok((socket, made))
}

/// Listens at a path for the library itself, with mode 0600: what is there goes by [`Unlink::ProbeThenFlock`], but that the lock is
/// held no longer than this takes. Whoever listens by then is found, whichever process that is after a handover.
///
/// # Errors
/// `AddrInUse`: somebody listens there, or begins to, or it is something else than a socket.
pub(crate) fn door(path: &Path) -> io::Result<UnixListener> {
    let path = std::path::absolute(path)?;
    let access = Access {
        mode: 0o600,
        owner: None,
    };
    let system = |error| SocketError::Look(error);
    let bound = at(Kind::Stream, &path, Unlink::ProbeThenFlock, access, system);
    let (socket, made) = bound.map_err(|error| {
        if let SocketError::Look(error) | SocketError::Lock { error, .. } = error {
            error
        } else {
            io::Error::new(io::ErrorKind::AddrInUse, error)
        }
    })?;
    bind::listen(&socket, DOOR_BACKLOG)?;
    // Whose the file is from here on is the caller's to say.
    made.disarm();
    let listener = UnixListener::from(socket);
    listener.set_nonblocking(true)?;
    Ok(listener)
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
