//! One record written whole: to a socket of datagrams, in sealed memory when it is too long for one, or to a stream that
//! may be full.

use rustix::event::{PollFd, PollFlags};
use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType,
};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

/// What a writer of datagrams asks the kernel to hold for it: as much as `sd_journal_send(3)` asks for.
const SEND_BYTES: usize = 8 << 20;

/// A socket that is connected to a path once and needs it no more: it goes on after `chroot(2)`.
///
/// Nothing waits in it: what the receiver has no room for is [`io::ErrorKind::WouldBlock`].
#[derive(Debug)]
pub struct Datagrams(OwnedFd);

impl Datagrams {
    /// Connects to the socket at `path`, of at most 107 bytes. Source: `unix(7)`.
    pub fn connect(path: &Path) -> io::Result<Datagrams> {
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
        // The first needs CAP_NET_ADMIN, the second is cut to net.core.wmem_max (socket(7)); without both there is less
        // room, and what does not fit goes by memory.
        if rustix::net::sockopt::set_socket_send_buffer_size_force(&socket, SEND_BYTES).is_err() {
            let _ = rustix::net::sockopt::set_socket_send_buffer_size(&socket, SEND_BYTES);
        }
        Ok(Datagrams(socket))
    }

    /// Sends one.
    ///
    /// `WouldBlock`: the receiver has not read what it has. `EMSGSIZE`: it is too long. `ECONNREFUSED`, `ECONNRESET`,
    /// `ENOTCONN`, `EPIPE`: that receiver is gone for good.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        retry(|| rustix::net::send(&self.0, bytes, SendFlags::NOSIGNAL)).map(drop)
    }

    /// Sends an empty one with a file.
    pub fn send_file(&self, file: impl AsFd) -> io::Result<()> {
        let fds = [file.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // `sendmsg` does not consume `control` when it fails, so it may be called again.
        retry(|| {
            rustix::net::sendmsg(
                &self.0,
                &[IoSlice::new(&[])],
                &mut control,
                SendFlags::NOSIGNAL,
            )
        })
        .map(drop)
    }
}

impl AsFd for Datagrams {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What is at the other end of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A person.
    Terminal,
    /// Nobody: `/dev/null`, or a descriptor that is closed.
    Nowhere,
    /// A pipe.
    Pipe,
    /// A socket.
    Socket,
    /// A regular file.
    File,
    /// Some other device.
    Other,
}

/// What is at the other end of a descriptor, and its device and inode. Source: `fstat(2)`; `null(4)`: it is device 1:3.
#[must_use]
pub fn look(fd: impl AsFd) -> (Kind, u64, u64) {
    let Ok(stat) = rustix::fs::fstat(&fd) else {
        return (Kind::Nowhere, 0, 0);
    };
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo => Kind::Pipe,
        FileType::Socket => Kind::Socket,
        FileType::RegularFile => Kind::File,
        FileType::CharacterDevice if stat.st_rdev == rustix::fs::makedev(1, 3) => Kind::Nowhere,
        FileType::CharacterDevice if rustix::termios::isatty(&fd) => Kind::Terminal,
        FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Directory
        | FileType::Symlink
        | FileType::Unknown => Kind::Other,
    };
    (kind, stat.st_dev, stat.st_ino)
}

/// The number of the calling thread. Source: `gettid(2)`.
#[must_use]
pub fn own_thread() -> u32 {
    rustix::thread::gettid()
        .as_raw_nonzero()
        .get()
        .unsigned_abs()
}

/// Most bytes a pipe takes whole, with no other writer's between. Source: `pipe(7)`, PIPE_BUF.
pub const WHOLE: usize = 4096;

/// Writes all of it, and waits no longer than `patience` for room. Tells how much was written, and why not all.
///
/// The flags of the descriptor are not touched: they belong to everybody who has it. A pipe that says it can be written
/// has room for [`WHOLE`] bytes, so pieces of that size do not wait (`pipe(7)`; another writer that comes between can
/// make one wait). A socket is told not to wait. A file or a terminal gets it in one piece.
pub fn write(fd: impl AsFd, bytes: &[u8], patience: Duration) -> (usize, io::Result<()>) {
    let (kind, ..) = look(&fd);
    let started = crate::clock::mono();
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        let left = patience.saturating_sub(crate::clock::mono().since(started));
        let piece = match kind {
            Kind::Pipe => rest.get(..WHOLE).unwrap_or(rest),
            Kind::Terminal | Kind::Nowhere | Kind::Socket | Kind::File | Kind::Other => rest,
        };
        let wrote = match kind {
            Kind::Socket => {
                rustix::net::send(&fd, piece, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
            }
            Kind::Terminal | Kind::Nowhere | Kind::Pipe | Kind::File | Kind::Other => {
                match has_room(&fd, left) {
                    Ok(true) => rustix::io::write(&fd, piece),
                    Ok(false) => return (written, Err(io::ErrorKind::TimedOut.into())),
                    Err(error) => return (written, Err(error)),
                }
            }
        };
        match wrote {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if !left.is_zero() => {
                if let Err(error) = has_room(&fd, left) {
                    return (written, Err(error));
                }
            }
            Err(error) => return (written, Err(error.into())),
        }
    }
    (written, Ok(()))
}

/// Waits until something can be written to `fd`, but not longer than `patience`. One that is broken can be written: the
/// write says how.
pub fn has_room(fd: impl AsFd, patience: Duration) -> io::Result<bool> {
    let started = crate::clock::mono();
    loop {
        let left = patience.saturating_sub(crate::clock::mono().since(started));
        let timeout = rustix::time::Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        let mut set = [PollFd::new(&fd, PollFlags::OUT)];
        match rustix::event::poll(&mut set, Some(&timeout)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn a_full_pipe_is_waited_for_no_longer_than_told() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let much = vec![b'x'; 1 << 20];
        let (written, end) = write(&writer, &much, Duration::from_millis(20));
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(written, 65_536);
        let mut reader = std::fs::File::from(reader);
        reader.read_exact(&mut [0; WHOLE]).unwrap();
        let (written, _) = write(&writer, &much, Duration::ZERO);
        assert_eq!(written, WHOLE);
        drop(reader);
        let (_, end) = write(&writer, b"x", Duration::ZERO);
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(look(&writer).0, Kind::Pipe);
    }

    #[test]
    fn a_receiver_is_full_or_gone() {
        let path = std::env::temp_dir().join(format!("eud-record-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let receiver = UnixDatagram::bind(&path).unwrap();
        let sender = Datagrams::connect(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        sender.send(b"one").unwrap();
        let full = (0..10_000).find_map(|_| sender.send(b"x").err());
        assert_eq!(full.map(|why| why.kind()), Some(io::ErrorKind::WouldBlock));
        assert!(!has_room(&sender, Duration::ZERO).unwrap());
        let mut bytes = [0; 8];
        assert_eq!(receiver.recv(&mut bytes).unwrap(), 3);
        assert!(has_room(&sender, Duration::ZERO).unwrap());
        drop(receiver);
        let gone = sender.send(b"x").unwrap_err().raw_os_error();
        assert!(matches!(
            gone,
            Some(libc::ECONNREFUSED | libc::ENOTCONN | libc::ECONNRESET)
        ));
    }
}
