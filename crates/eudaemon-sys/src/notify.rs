//! Datagrams between a service and its manager: a sender that stays connected, a receiver that knows who spoke.
//!
//! Source: `sd_notify(3)`; `unix(7)`; the specification, library §4.1, §4.2 and T35.

mod receive;
mod vsock;

pub use receive::{Datagram, Receiver, Speaker};

use crate::errno;
use eudaemon_core::notify::{Address, BARRIER, MOST_DESCRIPTORS};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, sockopt,
};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// What the sender asks of the kernel's room for messages not yet read, as libsystemd does (library §4.1).
const ROOM: usize = 8 << 20;

/// Where messages go.
#[derive(Debug)]
pub struct Sender(To);

#[derive(Debug)]
enum To {
    /// A datagram socket, connected: it works when the path is out of reach, behind a chroot.
    Local {
        socket: OwnedFd,
        address: SocketAddrUnix,
    },
    /// A host: a connection for each message, unless it takes datagrams.
    Host(vsock::Host),
}

impl Sender {
    /// Connects, now.
    pub fn connect(address: &Address<'_>) -> io::Result<Sender> {
        let address = match *address {
            Address::Path(path) => SocketAddrUnix::new(path)?,
            Address::Abstract(name) => SocketAddrUnix::new_abstract_name(name)?,
            Address::Vsock {
                cid,
                port,
                transport,
            } => return Ok(Sender(To::Host(vsock::Host::find(cid, port, transport)?))),
        };
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        make_room(&socket);
        rustix::net::connect(&socket, &address)?;
        Ok(Sender(To::Local { socket, address }))
    }

    /// Sends one message. Waits while the receiver's queue is full. Bytes that were sent are queued, and no more is known.
    ///
    /// The kernel adds who we are by itself, with the real user and group ids (observed with real, effective and saved ids
    /// apart, Linux 6.18; `current_uid_gid` in `net/unix/af_unix.c`), so nothing is attached here for that.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        match &self.0 {
            To::Local { socket, address } => again(socket, address, || {
                rustix::net::send(socket, bytes, SendFlags::NOSIGNAL)
            }),
            To::Host(host) => host.send(bytes),
        }
    }

    /// Sends one message with descriptors beside it.
    ///
    /// # Errors
    /// `E2BIG` with more than 253; `EOPNOTSUPP` to a host, which cannot be given descriptors.
    pub fn send_with(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        if fds.is_empty() {
            return self.send(bytes);
        }
        let To::Local { socket, address } = &self.0 else {
            return Err(io::Error::from_raw_os_error(errno::EOPNOTSUPP));
        };
        if fds.len() > MOST_DESCRIPTORS {
            return Err(io::Error::from_raw_os_error(errno::E2BIG));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(io::Error::from_raw_os_error(errno::E2BIG));
        }
        again(socket, address, || {
            let bytes = [IoSlice::new(bytes)];
            rustix::net::sendmsg(socket, &bytes, &mut control, SendFlags::NOSIGNAL)
        })
    }

    /// Waits until the manager has dealt with everything sent before: false if it has not after `timeout`. Source:
    /// `sd_notify_barrier(3)`.
    pub fn barrier(&self, timeout: Duration) -> io::Result<bool> {
        let (ours, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        self.send_with(BARRIER, &[theirs.as_fd()])?;
        // Ours too is an end that would keep the pipe open.
        drop(theirs);
        wait_for_end(&ours, timeout)
    }
}

impl Sender {
    /// Whether the manager keeps descriptors at all, which it does not say: `store` is sent with one end of a pipe, and when that
    /// has been dealt with, it is closed or kept; then `remove` is sent. `None`: the manager did not answer in time.
    pub fn keeps(
        &self,
        store: &[u8],
        remove: &[u8],
        timeout: Duration,
    ) -> io::Result<Option<bool>> {
        if let To::Host(_) = &self.0 {
            return Ok(Some(false));
        }
        let (ours, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        self.send_with(store, &[theirs.as_fd()])?;
        drop(theirs);
        if !self.barrier(timeout)? {
            return Ok(None);
        }
        let kept = !wait_for_end(&ours, Duration::ZERO)?;
        self.send(remove)?;
        Ok(Some(kept))
    }
}

/// Whether the other end of a pipe is closed before the time is over.
fn wait_for_end(fd: impl AsFd, timeout: Duration) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, poll};
    let until = crate::clock::mono() + timeout;
    loop {
        // Nothing is asked for: the end is told always (poll(2)).
        let mut fds = [PollFd::new(&fd, PollFlags::empty())];
        let left = until.since(crate::clock::mono());
        let left = rustix::time::Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        match poll(&mut fds, Some(&left)) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends; and once more where a manager that was started again listens at the old address.
fn again(
    socket: &OwnedFd,
    address: &SocketAddrUnix,
    mut send: impl FnMut() -> rustix::io::Result<usize>,
) -> io::Result<()> {
    let mut tried = false;
    loop {
        match send() {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            // The socket we were connected to is gone; the kernel has disconnected us (unix_dgram_sendmsg).
            Err(
                error @ (rustix::io::Errno::CONNREFUSED
                | rustix::io::Errno::NOTCONN
                | rustix::io::Errno::DESTADDRREQ),
            ) => {
                if std::mem::replace(&mut tried, true)
                    || rustix::net::connect(socket, address).is_err()
                {
                    return Err(error.into());
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// More room for what is not read yet: beyond the system's limit where we may, else up to it. That there is less is no
/// error: a sender then waits more often.
fn make_room(socket: &OwnedFd) {
    if sockopt::set_socket_send_buffer_size_force(socket, ROOM).is_err() {
        let _ = sockopt::set_socket_send_buffer_size(socket, ROOM);
    }
}
