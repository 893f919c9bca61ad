//! Sockets bound to an address: what is set before it, and whose file it is after it.

mod files;
mod options;
pub mod queue;
mod vsock;

pub use files::{Found, find, make_fifo};
pub use options::{Options, buffers, kept_options};
pub use vsock::{Vsock, vsock};

use crate::file::Identity;
use crate::socket::address;
use eudaemon_core::address::Kind;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, RawMode, Stat, Uid};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

/// Whose file it is, and who may connect, or open it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The permission bits, whatever the umask.
    pub mode: u32,
    /// User and group.
    pub owner: Option<(u32, u32)>,
}

/// A socket at an address of IP, which does not listen yet. One of streams can be bound again while old connections linger
/// (`SO_REUSEADDR`).
///
/// # Errors
/// The system's word, and `InvalidInput` for messages in order, which IP has none of.
pub fn ip(kind: Kind, at: SocketAddr, options: &Options) -> io::Result<OwnedFd> {
    let family = match at {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    if kind == Kind::Sequential {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let socket = open(family, kind, SocketFlags::CLOEXEC)?;
    if kind == Kind::Stream {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    options.set_of_ip(&socket, family)?;
    rustix::net::bind(&socket, &at)?;
    Ok(socket)
}

/// A unix socket of an abstract name, which does not listen yet.
pub fn abstract_name(kind: Kind, name: &[u8]) -> io::Result<OwnedFd> {
    let socket = open(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new_abstract_name(name)?)?;
    Ok(socket)
}

/// A unix socket at a path, which must not exist, and which file that is. It does not listen yet.
///
/// It is born with no permissions at all, then gets its owner and then its mode: at no time may somebody connect who may not
/// later. The mode of the socket before `bind` is that of the file (see [`crate::socket::listen_private`]), but for the umask.
///
/// # Errors
/// EADDRINUSE if there is a file; ESTALE if it was exchanged while its owner and mode were set. No file is left behind.
pub fn path(kind: Kind, path: &Path, access: Access) -> io::Result<(OwnedFd, Identity)> {
    let socket = open(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC)?;
    rustix::fs::fchmod(&socket, Mode::empty())?;
    let (address, _parent) = address(path)?;
    rustix::net::bind(&socket, &address)?;
    let (file, stat) = born(path, FileType::Socket)?;
    let identity = identity(&stat);
    if let Err(error) = admit(&file, access) {
        remove_if(path, identity)?;
        return Err(error);
    }
    Ok((socket, identity))
}

/// The file that was made at this path a moment ago, with no permissions: ESTALE if it is another by now.
fn born(path: &Path, kind: FileType) -> io::Result<(OwnedFd, Stat)> {
    // No symbolic link is followed, and what is changed is what was looked at.
    let how = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, how, Mode::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    let own = rustix::process::geteuid().as_raw();
    let is_it = FileType::from_raw_mode(stat.st_mode) == kind && stat.st_mode & 0o7777 == 0;
    match is_it && stat.st_uid == own && stat.st_nlink == 1 {
        true => Ok((file, stat)),
        false => Err(Errno::STALE.into()),
    }
}

/// Gives the file of a socket, which this path must be, another owner and mode, if it has not these.
///
/// # Errors
/// ESTALE if the path is another file; EPERM.
pub fn admit_again(path: &Path, wanted: Identity, access: Access) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    if identity(&stat) != wanted {
        return Err(Errno::STALE.into());
    }
    let has_owner = access
        .owner
        .is_none_or(|owner| owner == (stat.st_uid, stat.st_gid));
    if has_owner && stat.st_mode & 0o7777 == access.mode as RawMode {
        return Ok(());
    }
    admit(&file, access)
}

fn admit(file: impl AsFd, access: Access) -> io::Result<()> {
    if let Some((user, group)) = access.owner {
        let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
        rustix::fs::chownat(&file, "", Some(user), Some(group), AtFlags::EMPTY_PATH)?;
    }
    // fchmod(2) does not take a descriptor of O_PATH; its name in /proc is the file itself. Source: proc_pid_fd(5).
    let name = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    let mode = Mode::from_raw_mode(access.mode as RawMode);
    Ok(rustix::fs::chmodat(CWD, name, mode, AtFlags::empty())?)
}

/// Listens, with room for so many that wait to be accepted. Source: `listen(2)`: at most `net.core.somaxconn` do.
pub fn listen(socket: impl AsFd, backlog: u32) -> io::Result<()> {
    Ok(rustix::net::listen(
        socket,
        i32::try_from(backlog).unwrap_or(i32::MAX),
    )?)
}

/// Which file a path is, and whether it is a socket; `None` if there is none. A symbolic link is not followed.
pub fn look(path: &Path) -> io::Result<Option<(Identity, bool)>> {
    match rustix::fs::lstat(path) {
        Ok(stat) => Ok(Some((identity(&stat), is_socket(&stat)))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes a file; one that is not there is no error.
pub fn remove(path: &Path) -> io::Result<()> {
    match rustix::fs::unlink(path) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes a file if it is this one; whether it was.
pub fn remove_if(path: &Path, wanted: Identity) -> io::Result<bool> {
    match look(path)? {
        Some((found, _)) if found == wanted => remove(path).map(|()| true),
        _ => Ok(false),
    }
}

/// Whether some process has this path open as a socket and receives: a connection is tried, and closed again.
///
/// # Errors
/// It could not be found out: permission denied, say.
pub fn is_answered(kind: Kind, path: &Path) -> io::Result<bool> {
    let socket = open(
        AddressFamily::UNIX,
        kind,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
    )?;
    let (address, _parent) = address(path)?;
    match rustix::net::connect(&socket, &address) {
        // AGAIN: so many wait there that there is no room. PROTOTYPE: it is one of another kind. Source: connect(2), unix(7).
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => Ok(true),
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn open(family: AddressFamily, kind: Kind, flags: SocketFlags) -> io::Result<OwnedFd> {
    let kind = match kind {
        Kind::Stream => SocketType::STREAM,
        Kind::Datagram => SocketType::DGRAM,
        Kind::Sequential => SocketType::SEQPACKET,
    };
    Ok(rustix::net::socket_with(family, kind, flags, None)?)
}

fn is_socket(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Socket
}

#[allow(
    clippy::unnecessary_cast,
    clippy::cast_sign_loss,
    reason = "the widths differ by system"
)]
fn identity(stat: &Stat) -> Identity {
    Identity {
        device: stat.st_dev as u64,
        inode: stat.st_ino as u64,
    }
}
