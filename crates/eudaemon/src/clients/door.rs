//! Where clients come in, and the lines to them.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Where clients come in. Non-blocking.
#[derive(Debug)]
pub(crate) enum Door {
    Unix(UnixListener),
    #[cfg_attr(not(feature = "debug-server"), allow(dead_code))]
    Tcp(TcpListener),
}

/// The connection to one. Non-blocking.
#[derive(Debug)]
pub(crate) enum Line {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Door {
    /// The same once more, to be handed on.
    #[cfg_attr(not(feature = "debug-server"), allow(dead_code))]
    pub(crate) fn try_clone(&self) -> io::Result<Door> {
        Ok(match self {
            Door::Unix(door) => Door::Unix(door.try_clone()?),
            Door::Tcp(door) => Door::Tcp(door.try_clone()?),
        })
    }

    pub(super) fn accept(&self) -> io::Result<Line> {
        let line = match self {
            Door::Unix(door) => Line::Unix(door.accept()?.0),
            Door::Tcp(door) => Line::Tcp(door.accept()?.0),
        };
        match &line {
            Line::Unix(line) => line.set_nonblocking(true)?,
            Line::Tcp(line) => line.set_nonblocking(true)?,
        }
        Ok(line)
    }
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Door::Unix(door) => door.as_fd(),
            Door::Tcp(door) => door.as_fd(),
        }
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Line::Unix(line) => line.as_fd(),
            Line::Tcp(line) => line.as_fd(),
        }
    }
}

impl From<Line> for OwnedFd {
    fn from(line: Line) -> OwnedFd {
        match line {
            Line::Unix(line) => line.into(),
            Line::Tcp(line) => line.into(),
        }
    }
}

impl Line {
    /// One of a control socket, from another process.
    pub(crate) fn unix(line: OwnedFd) -> io::Result<Line> {
        let line = UnixStream::from(line);
        line.set_nonblocking(true)?;
        Ok(Line::Unix(line))
    }

    pub(super) fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self {
            Line::Unix(line) => line.read(to),
            Line::Tcp(line) => line.read(to),
        }
    }

    /// Rust ignores SIGPIPE, and where somebody does not, MSG_NOSIGNAL is what std sends with on Linux.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Line::Unix(line) => line.write(bytes),
            Line::Tcp(line) => line.write(bytes),
        }
    }
}

/// Where a socket's file is, to be removed by the one whose it is.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    identity: Option<(u64, u64)>,
    is_ours: AtomicBool,
}

impl Place {
    fn of(path: &Path, is_ours: bool) -> Place {
        Place {
            path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
            identity: identity(path),
            is_ours: AtomicBool::new(is_ours),
        }
    }

    /// Of a socket that was made by another process, which still has it.
    pub(crate) fn adopted(path: &Path) -> Place {
        Place::of(path, false)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// From here on it is this process that removes the file; or it is not.
    pub(crate) fn own(&self, is_ours: bool) {
        self.is_ours.store(is_ours, Ordering::Release);
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let about = std::fs::symlink_metadata(path).ok()?;
    Some((about.dev(), about.ino()))
}

/// Listens at `path`, with mode 0600 from birth. A socket at which nobody listens any more is replaced; anything else that is there is left
/// and is an error. Of two that do this at once one has it: `PATH.lock` is held meanwhile, and stays.
pub(crate) fn listen(path: &Path) -> io::Result<(UnixListener, Place)> {
    let listener = crate::sockets::door(path)?;
    Ok((listener, Place::of(path, true)))
}

impl Drop for Place {
    fn drop(&mut self) {
        // After a change of root or user it cannot be; the next start replaces it.
        if self.is_ours.load(Ordering::Acquire)
            && self.identity.is_some()
            && identity(&self.path) == self.identity
        {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
