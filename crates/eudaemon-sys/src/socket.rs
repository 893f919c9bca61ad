//! Unix stream sockets with an address in the file system: private from birth, at any depth, and who is at the other end.

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// Most clients that may wait to be accepted.
const BACKLOG: i32 = 64;

/// The effective user of this process.
#[must_use]
pub fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The user who connected the other end. Source: unix(7), `SO_PEERCRED`: the ids at the time of `connect`.
pub fn peer_uid(stream: &UnixStream) -> io::Result<u32> {
    Ok(rustix::net::sockopt::socket_peercred(stream)?.uid.as_raw())
}

/// Whether programs may not be executed from the file system that holds `path`.
pub fn is_noexec(path: &Path) -> io::Result<bool> {
    let flags = rustix::fs::statvfs(path)?.f_flag;
    Ok(flags.contains(rustix::fs::StatVfsMountFlags::NOEXEC))
}

/// Listens at `path`, which must not exist; only this user may connect. Non-blocking.
///
/// The mode is set on the descriptor *before* `bind`, so the file is never open to others, whatever the umask. Source:
/// Linux `net/unix/af_unix.c`, `unix_bind_bsd`: the file gets the mode of the socket's own inode. `std` binds at once.
pub fn listen_private(path: &Path) -> io::Result<UnixListener> {
    let socket = stream()?;
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    let (address, _parent) = address(path)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    let listener = UnixListener::from(socket);
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Connects to the socket at `path`; blocking.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    let socket = stream()?;
    let (address, _parent) = address(path)?;
    rustix::net::connect(&socket, &address)?;
    Ok(UnixStream::from(socket))
}

fn stream() -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// The address of `path`. One of more than 107 bytes does not fit (unix(7)) and is named through its open directory,
/// which must stay open until the address has been used.
pub(crate) fn address(path: &Path) -> io::Result<(SocketAddrUnix, Option<OwnedFd>)> {
    if path.as_os_str().as_bytes().len() < 108 {
        return Ok((SocketAddrUnix::new(path)?, None));
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let parent = rustix::fs::open(
        parent,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut short = format!("/proc/self/fd/{}/", parent.as_raw_fd()).into_bytes();
    short.extend_from_slice(name.as_bytes());
    Ok((SocketAddrUnix::new(short)?, Some(parent)))
}

/// Where datagrams are sent by a path, which need not be there yet, and may be another socket later: whoever listens may
/// be started after us, and again. Nothing is waited for, and what is not received is lost. Source: `unix(7)`.
#[derive(Debug)]
pub struct Outlet {
    socket: Option<std::os::unix::net::UnixDatagram>,
    path: std::path::PathBuf,
}

impl Outlet {
    /// To the socket of this path.
    #[must_use]
    pub fn new(path: &[u8]) -> Outlet {
        let socket = std::os::unix::net::UnixDatagram::unbound().ok();
        let socket = socket.filter(|socket| socket.set_nonblocking(true).is_ok());
        let path = std::ffi::OsStr::from_bytes(path).into();
        Outlet { socket, path }
    }

    /// Sends one message; whether it was received.
    #[must_use]
    pub fn send(&self, message: &[u8]) -> bool {
        let socket = self.socket.as_ref();
        socket.is_some_and(|socket| socket.send_to(message, &self.path).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn fresh(name: &str) -> std::path::PathBuf {
        let dir = std::env::temp_dir().join(format!("eud-socket-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir(&dir).unwrap();
        dir
    }

    #[test]
    fn the_file_is_private_and_the_peer_is_known() {
        let dir = fresh("private");
        let path = dir.join("control");
        let listener = listen_private(&path).unwrap();
        let mode = std::fs::symlink_metadata(&path)
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let _client = connect(&path).unwrap();
        let (server, _) = listener.accept().unwrap();
        assert_eq!(peer_uid(&server).unwrap(), own_uid());
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_path_longer_than_an_address_is_reached() {
        let dir = fresh("deep");
        let deep = dir.join("d".repeat(100)).join("e".repeat(100));
        std::fs::create_dir_all(&deep).unwrap();
        let path = deep.join("control");
        let listener = listen_private(&path).unwrap();
        assert!(path.exists());
        let _client = connect(&path).unwrap();
        assert!(listener.accept().is_ok());
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn nobody_listening_is_refused() {
        let dir = fresh("stale");
        let path = dir.join("control");
        drop(listen_private(&path).unwrap());
        assert_eq!(
            connect(&path).unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
