//! Where clients come in, and the lines to them.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

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

impl Line {
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

/// Where a socket's file is, to be removed by the one who made it.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

/// Listens at `path`, with mode 0600 from birth. A socket at which nobody listens any more is replaced; anything else that is there is left
/// and is an error.
pub(crate) fn listen(path: &Path) -> io::Result<(UnixListener, Place)> {
    let about = |path| std::fs::symlink_metadata(path);
    let listener = match eudaemon_sys::socket::listen_private(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let is_socket = about(path).is_ok_and(|about| about.file_type().is_socket());
            let knock = eudaemon_sys::socket::connect(path);
            let is_stale = knock
                .as_ref()
                .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
            if !is_socket || !is_stale {
                return Err(error);
            }
            std::fs::remove_file(path)?;
            eudaemon_sys::socket::listen_private(path)?
        }
        other => other?,
    };
    let identity = about(path).ok().map(|about| (about.dev(), about.ino()));
    let place = Place {
        path: path.to_owned(),
        identity,
    };
    Ok((listener, place))
}

impl Drop for Place {
    fn drop(&mut self) {
        let now = std::fs::symlink_metadata(&self.path);
        let identity = now.ok().map(|about| (about.dev(), about.ino()));
        // After a change of root or user it cannot be; the next start replaces it.
        if identity.is_some() && identity == self.identity {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
