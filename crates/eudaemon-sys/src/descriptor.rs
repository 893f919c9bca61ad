//! What a descriptor is: asked of the kernel, not of its name.

use crate::bind::Vsock;
use eudaemon_core::address::Kind as Transport;
use rustix::fs::FileType;
use rustix::io::{Errno, FdFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, sockopt};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};

/// What kind of thing a descriptor leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A TCP socket, IPv4.
    Tcp4,
    /// A TCP socket, IPv6.
    Tcp6,
    /// A UDP socket, IPv4.
    Udp4,
    /// A UDP socket, IPv6.
    Udp6,
    /// A unix socket of a stream.
    UnixStream,
    /// A unix socket of datagrams.
    UnixDatagram,
    /// A unix socket of a stream that keeps messages apart.
    UnixSeqpacket,
    /// A socket between a virtual machine and its host.
    Vsock,
    /// A FIFO or a pipe.
    Fifo,
    /// A regular file; a memfd is one.
    File,
    /// A POSIX message queue.
    Queue,
    /// A character device.
    Device,
    /// Something else: a directory, a netlink socket.
    Other,
}

impl Kind {
    /// The name: `tcp4`, `tcp6`, `udp4`, `udp6`, `unix-stream`, `unix-dgram`, `unix-seqpacket`, `vsock`, `fifo`, `file`, `mq`,
    /// `device`, `other`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Tcp4 => "tcp4",
            Kind::Tcp6 => "tcp6",
            Kind::Udp4 => "udp4",
            Kind::Udp6 => "udp6",
            Kind::UnixStream => "unix-stream",
            Kind::UnixDatagram => "unix-dgram",
            Kind::UnixSeqpacket => "unix-seqpacket",
            Kind::Vsock => "vsock",
            Kind::Fifo => "fifo",
            Kind::File => "file",
            Kind::Queue => "mq",
            Kind::Device => "device",
            Kind::Other => "other",
        }
    }
}

/// What a descriptor leads to. Source: `fstat(2)`; `socket(7)`, `SO_DOMAIN`, `SO_TYPE` and `SO_PROTOCOL`.
pub fn kind(fd: impl AsFd) -> io::Result<Kind> {
    let of = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode);
    if of == FileType::Socket {
        socket(fd)
    } else if of == FileType::RegularFile && is_message_queue(&fd)? {
        Ok(Kind::Queue)
    } else {
        Ok(of_file(of))
    }
}

/// What a file that is no socket is.
pub(crate) fn of_file(kind: FileType) -> Kind {
    match kind {
        FileType::Fifo => Kind::Fifo,
        FileType::RegularFile => Kind::File,
        FileType::CharacterDevice => Kind::Device,
        FileType::Directory
        | FileType::Symlink
        | FileType::Socket
        | FileType::BlockDevice
        | FileType::Unknown => Kind::Other,
    }
}

fn socket(fd: impl AsFd) -> io::Result<Kind> {
    let domain = sockopt::socket_domain(&fd)?;
    let kind = sockopt::socket_type(&fd)?;
    let protocol = || sockopt::socket_protocol(&fd);
    let is = |wanted| protocol().map(|protocol| protocol == Some(wanted));
    Ok(match (domain, kind) {
        // A stream may also be SCTP or MPTCP; MPTCP is accepted from and written to as TCP is, and is TCP to a peer without it.
        (AddressFamily::INET, SocketType::STREAM)
            if is(rustix::net::ipproto::TCP)? || is(rustix::net::ipproto::MPTCP)? =>
        {
            Kind::Tcp4
        }
        (AddressFamily::INET6, SocketType::STREAM)
            if is(rustix::net::ipproto::TCP)? || is(rustix::net::ipproto::MPTCP)? =>
        {
            Kind::Tcp6
        }
        (AddressFamily::INET, SocketType::DGRAM) if is(rustix::net::ipproto::UDP)? => Kind::Udp4,
        (AddressFamily::INET6, SocketType::DGRAM) if is(rustix::net::ipproto::UDP)? => Kind::Udp6,
        (AddressFamily::UNIX, SocketType::STREAM) => Kind::UnixStream,
        (AddressFamily::UNIX, SocketType::DGRAM) => Kind::UnixDatagram,
        (AddressFamily::UNIX, SocketType::SEQPACKET) => Kind::UnixSeqpacket,
        (AddressFamily::VSOCK, _) => Kind::Vsock,
        _ => Kind::Other,
    })
}

/// Whether connections are accepted from it; what is no socket is not listening, and nor are datagrams. Source: `socket(7)`,
/// `SO_ACCEPTCONN`.
pub fn is_listening(fd: impl AsFd) -> io::Result<bool> {
    match sockopt::socket_acceptconn(fd) {
        Ok(listening) => Ok(listening),
        Err(Errno::NOTSOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether a program that is executed does not get it.
pub fn is_close_on_exec(fd: impl AsFd) -> io::Result<bool> {
    Ok(rustix::io::fcntl_getfd(fd)?.contains(FdFlags::CLOEXEC))
}

/// Whether two descriptors are copies of one another: the same open file, and not only the same name or the same inode.
///
/// A socket has an inode of its own; of other things the kernel is asked. Source: `fcntl(2)`, `F_DUPFD_QUERY` (Linux 6.10), and
/// `kcmp(2)` where that is not known.
///
/// # Errors
/// The kernel does not say: it is older than 6.10 and was built without `kcmp(2)`, or a filter keeps that from this process.
pub fn is_same(one: impl AsFd, other: impl AsFd) -> io::Result<bool> {
    let (first, second) = (rustix::fs::fstat(&one)?, rustix::fs::fstat(&other)?);
    if (first.st_dev, first.st_ino) != (second.st_dev, second.st_ino) {
        return Ok(false);
    }
    if FileType::from_raw_mode(first.st_mode) == FileType::Socket {
        return Ok(true);
    }
    let (one, other) = (one.as_fd().as_raw_fd(), other.as_fd().as_raw_fd());
    // SAFETY: F_DUPFD_QUERY takes a number and touches no memory; both descriptors are borrowed, so open.
    match unsafe { libc::fcntl(one, F_DUPFD_QUERY, other) } {
        -1 => {}
        answer => return Ok(answer == 1),
    }
    let own = rustix::process::getpid().as_raw_nonzero().get();
    // SAFETY: KCMP_FILE compares two descriptors of two processes, here of this one, and touches no memory.
    match unsafe { libc::syscall(libc::SYS_kcmp, own, own, KCMP_FILE, one, other) } {
        -1 => Err(io::Error::last_os_error()),
        answer => Ok(answer == 0),
    }
}

/// Source: Linux `include/uapi/linux/fcntl.h`.
const F_DUPFD_QUERY: libc::c_int = 1024 + 3;
/// Source: Linux `include/uapi/linux/kcmp.h`.
const KCMP_FILE: libc::c_int = 0;

/// Where a socket is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Local {
    /// At an address of IP.
    Ip(SocketAddr),
    /// At a path.
    Path(Vec<u8>),
    /// At an abstract name, which is here without its NUL.
    Abstract(Vec<u8>),
    /// It is a unix socket, and bound nowhere.
    Unnamed,
    /// It is a socket for a virtual machine and its host.
    Vsock(Vsock),
    /// Something else.
    Other,
}

/// Where a socket is bound; `None` if it is no socket. Source: `getsockname(2)`.
pub fn local(fd: impl AsFd) -> io::Result<Option<Local>> {
    let family = match sockopt::socket_domain(&fd) {
        Ok(family) => family,
        Err(Errno::NOTSOCK) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if family == AddressFamily::VSOCK {
        let at = Vsock::read(&rustix::net::getsockname(&fd)?);
        return Ok(Some(at.map_or(Local::Other, Local::Vsock)));
    }
    let ip = family == AddressFamily::INET || family == AddressFamily::INET6;
    if !ip && family != AddressFamily::UNIX {
        return Ok(Some(Local::Other));
    }
    read(rustix::net::getsockname(&fd)?, ip).map(Some)
}

/// Who is at the other end of a connection; `None` if nobody is, or not any more. Source: `getpeername(2)`.
///
/// # Errors
/// It is no socket.
pub fn peer(fd: impl AsFd) -> io::Result<Option<Local>> {
    let family = sockopt::socket_domain(&fd)?;
    let address = match rustix::net::getpeername(&fd) {
        Ok(address) => address,
        Err(Errno::NOTCONN) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Some(address) = address else {
        return Ok(Some(Local::Unnamed));
    };
    if family == AddressFamily::VSOCK {
        return Ok(Some(
            Vsock::read(&address).map_or(Local::Other, Local::Vsock),
        ));
    }
    let ip = family == AddressFamily::INET || family == AddressFamily::INET6;
    if !ip && family != AddressFamily::UNIX {
        return Ok(Some(Local::Other));
    }
    read(address, ip).map(Some)
}

/// An address of IP, or one of a unix socket.
fn read(address: rustix::net::SocketAddrAny, ip: bool) -> io::Result<Local> {
    if ip {
        return Ok(Local::Ip(SocketAddr::try_from(address)?));
    }
    let address = SocketAddrUnix::try_from(address)?;
    Ok(match (address.abstract_name(), address.path_bytes()) {
        // What has no name at all is told as one of no bytes by some kernels' answers.
        (Some([]), _) => Local::Unnamed,
        (Some(name), _) => Local::Abstract(name.to_vec()),
        (None, Some(path)) => Local::Path(path.strip_suffix(&[0]).unwrap_or(path).to_vec()),
        (None, None) => Local::Unnamed,
    })
}

/// How what is sent arrives; `None` if it is no socket, or one that is none of these. Source: `socket(7)`, `SO_TYPE`.
pub fn transport(fd: impl AsFd) -> io::Result<Option<Transport>> {
    let kinds = [
        (SocketType::STREAM, Transport::Stream),
        (SocketType::DGRAM, Transport::Datagram),
        (SocketType::SEQPACKET, Transport::Sequential),
    ];
    match sockopt::socket_type(fd) {
        Ok(found) => Ok(kinds.iter().find(|(kind, _)| *kind == found).map(|of| of.1)),
        Err(Errno::NOTSOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether others may bind its port too; what is no socket has none. Source: `socket(7)`, `SO_REUSEPORT`.
pub fn is_reuse_port(fd: impl AsFd) -> io::Result<bool> {
    match sockopt::socket_reuseport(fd) {
        Ok(reuse) => Ok(reuse),
        Err(Errno::NOTSOCK | Errno::OPNOTSUPP) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether it is a regular file or a character device. Source: `sd_is_special(3)`.
pub fn is_special(fd: impl AsFd) -> io::Result<bool> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode);
    Ok(kind == FileType::RegularFile || kind == FileType::CharacterDevice)
}

/// Whether it is a POSIX message queue. Source: `mq_overview(7)`: they are the files of a file system of their own;
/// Linux `include/uapi/linux/magic.h`, `ipc/mqueue.c`.
pub fn is_message_queue(fd: impl AsFd) -> io::Result<bool> {
    const MAGIC: u64 = 0x1980_0202;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode);
    #[allow(
        clippy::unnecessary_cast,
        clippy::cast_sign_loss,
        reason = "the width differs by system"
    )]
    let found = rustix::fs::fstatfs(&fd)?.f_type as u64;
    Ok(kind == FileType::RegularFile && found == MAGIC)
}

/// Whether it is the file of this path, or the same character device; a path that is not there is none. Symbolic links are
/// followed.
pub fn is_at(fd: impl AsFd, path: &std::path::Path) -> io::Result<bool> {
    let open = rustix::fs::fstat(fd)?;
    let named = match rustix::fs::stat(path) {
        Ok(named) => named,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let device = |stat: &rustix::fs::Stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
    };
    Ok(match device(&open) && device(&named) {
        true => open.st_rdev == named.st_rdev,
        false => (open.st_dev, open.st_ino) == (named.st_dev, named.st_ino),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    #[test]
    fn each_is_known_for_what_it_is() {
        let of = |fd: &dyn AsFd| (kind(fd.as_fd()).unwrap(), is_listening(fd.as_fd()).unwrap());
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(of(&tcp), (Kind::Tcp4, true));
        let client = std::net::TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
        assert_eq!(of(&client), (Kind::Tcp4, false));
        assert_eq!(
            of(&std::net::UdpSocket::bind("127.0.0.1:0").unwrap()),
            (Kind::Udp4, false)
        );
        let path = std::env::temp_dir().join(format!("eud-kind-{}", std::process::id()));
        let _stale = std::fs::remove_file(&path);
        assert_eq!(
            of(&UnixListener::bind(&path).unwrap()),
            (Kind::UnixStream, true)
        );
        std::fs::remove_file(&path).unwrap();
        let (one, _other) = UnixStream::pair().unwrap();
        assert_eq!(of(&one), (Kind::UnixStream, false));
        assert_eq!(
            of(&UnixDatagram::unbound().unwrap()),
            (Kind::UnixDatagram, false)
        );
        let (reads, _writes) = rustix::pipe::pipe().unwrap();
        assert_eq!(of(&reads), (Kind::Fifo, false));
        assert_eq!(
            of(&std::fs::File::open("/proc/self/exe").unwrap()),
            (Kind::File, false)
        );
        assert_eq!(
            of(&std::fs::File::open("/dev/null").unwrap()),
            (Kind::Device, false)
        );
        assert_eq!(of(&std::fs::File::open("/").unwrap()), (Kind::Other, false));
        assert!(is_close_on_exec(&tcp).unwrap());
        assert!(!is_close_on_exec(&reads).unwrap());
    }

    #[test]
    fn a_copy_is_told_from_what_only_looks_like_it() {
        let (reads, writes) = rustix::pipe::pipe().unwrap();
        assert!(is_same(&reads, reads.try_clone().unwrap()).unwrap());
        // The two ends of a pipe are one inode.
        assert!(!is_same(&reads, &writes).unwrap());
        let file = || std::fs::File::open("/proc/self/exe").unwrap();
        assert!(!is_same(file(), file()).unwrap());
        let (one, other) = UnixStream::pair().unwrap();
        assert!(is_same(&one, one.try_clone().unwrap()).unwrap());
        assert!(!is_same(&one, &other).unwrap());
    }

    #[test]
    fn a_seqpacket_and_six_are_told_apart() {
        let make = |family, kind| rustix::net::socket(family, kind, None).unwrap();
        let of = |fd: rustix::fd::OwnedFd| kind(fd).unwrap();
        assert_eq!(
            of(make(AddressFamily::UNIX, SocketType::SEQPACKET)),
            Kind::UnixSeqpacket
        );
        assert_eq!(
            of(make(AddressFamily::INET6, SocketType::STREAM)),
            Kind::Tcp6
        );
        assert_eq!(
            of(make(AddressFamily::INET6, SocketType::DGRAM)),
            Kind::Udp6
        );
    }
}
