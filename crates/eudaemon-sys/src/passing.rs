//! Descriptors handed from one process to another, in whole messages.

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

/// Most descriptors in one message. Source: `unix(7)`, SCM_MAX_FD.
pub const MOST: usize = 253;

/// One end of a pair that carries messages with descriptors. Source: `unix(7)`, SOCK_SEQPACKET.
#[derive(Debug)]
pub struct Channel(OwnedFd);

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub enum Came {
    /// A message of this many bytes.
    Message(usize),
    /// Nothing is there.
    Nothing,
    /// The other end is closed.
    Closed,
}

impl Channel {
    /// Two ends.
    pub fn pair() -> io::Result<(Channel, Channel)> {
        let (a, b) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok((Channel(a), Channel(b)))
    }

    /// The process that made the pair. Source: `unix(7)`, SO_PEERCRED: of `socketpair(2)`, who called it.
    pub fn maker(&self) -> io::Result<u32> {
        let peer = rustix::net::sockopt::socket_peercred(&self.0)?;
        Ok(peer.pid.as_raw_nonzero().get().unsigned_abs())
    }

    /// Sends one message; waits while the other end is slow. `EPIPE` when it is closed.
    pub fn send(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.send_with(bytes, fds, SendFlags::NOSIGNAL)
    }

    /// As [`Channel::send`]; `WouldBlock` where that would wait.
    pub fn send_now(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.send_with(bytes, fds, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
    }

    fn send_with(&self, bytes: &[u8], fds: &[BorrowedFd<'_>], how: SendFlags) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        loop {
            match rustix::net::sendmsg(&self.0, &[IoSlice::new(bytes)], &mut control, how) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Receives one message; its descriptors, close-on-exec, are given to `take`. Waits only if `wait`.
    ///
    /// The receiver's room is fixed and on the stack: a keeper must not allocate.
    pub fn receive(
        &self,
        bytes: &mut [u8],
        wait: bool,
        mut take: impl FnMut(OwnedFd),
    ) -> io::Result<Came> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = if wait {
            RecvFlags::CMSG_CLOEXEC
        } else {
            RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT
        };
        let got = loop {
            match rustix::net::recvmsg(&self.0, &mut [IoSliceMut::new(bytes)], &mut control, flags)
            {
                Ok(got) => break got,
                // The other end was closed with something of ours unread: told once, and before what it has said.
                Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNRESET) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(Came::Nothing),
                Err(error) => return Err(error.into()),
            }
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                fds.for_each(&mut take);
            }
        }
        // We send no empty messages, so zero bytes are the end (recv(2)).
        Ok(if got.bytes == 0 {
            Came::Closed
        } else {
            Came::Message(got.bytes)
        })
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Channel {
    fn from(fd: OwnedFd) -> Channel {
        Channel(fd)
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> OwnedFd {
        channel.0
    }
}

/// Rings in another process: a counter that can be waited for. Source: `eventfd(2)`.
#[derive(Debug)]
pub struct Bell(OwnedFd);

impl Bell {
    /// A silent bell.
    pub fn new() -> io::Result<Bell> {
        use rustix::event::{EventfdFlags, eventfd};
        Ok(Bell(eventfd(
            0,
            EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK,
        )?))
    }
    /// Rings it. It cannot fail in a way that matters: a full counter has already been rung.
    pub fn ring(&self) {
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
    /// Silences it; whether it had been rung.
    #[must_use]
    pub fn silence(&self) -> bool {
        rustix::io::read(&self.0, &mut [0u8; 8]).is_ok()
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Bell {
    fn from(fd: OwnedFd) -> Bell {
        Bell(fd)
    }
}

/// Descriptors kept under small numbers of the keeper's own, so that keeping one allocates nothing.
#[derive(Debug)]
pub struct Store {
    /// Descriptor plus one; 0 is an empty place, so that untouched places cost no memory.
    places: Vec<u32>,
}

impl Store {
    /// A store with this many places.
    #[must_use]
    pub fn new(places: usize) -> Store {
        Store {
            places: vec![0; places],
        }
    }

    /// Keeps a descriptor; what was in the place is closed. A place beyond the store closes `fd`.
    pub fn put(&mut self, place: usize, fd: OwnedFd) {
        drop(self.take(place));
        if let Some(kept) = self.places.get_mut(place) {
            *kept = u32::try_from(fd.into_raw_fd()).map_or(0, |number| number + 1);
        }
    }

    /// Takes a descriptor out.
    pub fn take(&mut self, place: usize) -> Option<OwnedFd> {
        let number = std::mem::take(self.places.get_mut(place)?).checked_sub(1)?;
        // SAFETY: only `put` fills a place, with a descriptor it owned; the place is empty now, so this is its only owner.
        Some(unsafe { OwnedFd::from_raw_fd(RawFd::try_from(number).ok()?) })
    }

    /// Looks at a descriptor.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<BorrowedFd<'_>> {
        let number = self.places.get(place)?.checked_sub(1)?;
        // SAFETY: the store owns it and cannot close it while it is borrowed.
        Some(unsafe { BorrowedFd::borrow_raw(RawFd::try_from(number).ok()?) })
    }

    /// Every place that is filled.
    pub fn filled(&self) -> impl Iterator<Item = usize> {
        self.places
            .iter()
            .enumerate()
            .filter(|(_, kept)| **kept != 0)
            .map(|(place, _)| place)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        for place in 0..self.places.len() {
            drop(self.take(place));
        }
    }
}

/// A note to the program this process becomes: bytes in memory, to be found by number. Source: `memfd_create(2)`.
pub fn note(bytes: &[u8]) -> io::Result<OwnedFd> {
    let fd = rustix::fs::memfd_create("eudaemon-note", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let wrote = rustix::io::write(&fd, rest)?;
        rest = rest.get(wrote..).unwrap_or_default();
    }
    Ok(fd)
}

/// Reads such a note from its start.
pub fn read_note(fd: impl AsFd) -> io::Result<Vec<u8>> {
    let size = usize::try_from(rustix::fs::fstat(&fd)?.st_size).unwrap_or(0);
    let mut out = vec![0; size];
    let got = rustix::io::pread(&fd, &mut out, 0)?;
    out.truncate(got);
    Ok(out)
}

/// The number a descriptor has in this process, for such a note.
#[must_use]
pub fn number(fd: impl AsFd) -> i32 {
    fd.as_fd().as_raw_fd()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_arrive_with_their_message() {
        let (a, b) = Channel::pair().expect("pair");
        let (read, write) = rustix::pipe::pipe().expect("pipe");
        a.send(b"take", &[read.as_fd(), write.as_fd()])
            .expect("send");
        let mut fds = Vec::new();
        let mut bytes = [0; 16];
        assert_eq!(
            b.receive(&mut bytes, false, |fd| fds.push(fd))
                .expect("receive"),
            Came::Message(4)
        );
        assert_eq!(fds.len(), 2);
        rustix::io::write(&fds[1], b"x").expect("write");
        assert_eq!(rustix::io::read(&read, &mut [0u8; 4]).expect("read"), 1);
        assert_eq!(
            b.receive(&mut bytes, false, |_| ()).expect("receive"),
            Came::Nothing
        );
        drop(a);
        assert_eq!(
            b.receive(&mut bytes, true, |_| ()).expect("receive"),
            Came::Closed
        );
    }

    /// The kernel tells first that what we said was never read, and then what there is to hear.
    #[test]
    fn last_words_are_heard_of_one_that_did_not_listen() {
        let (a, b) = Channel::pair().expect("pair");
        a.send(b"never read", &[]).expect("send");
        b.send(b"no", &[]).expect("send");
        drop(b);
        let mut bytes = [0; 16];
        let mut next = || a.receive(&mut bytes, false, |_| ()).expect("receive");
        assert_eq!(next(), Came::Message(2));
        assert_eq!(next(), Came::Closed);
    }

    /// Source: `unix(7)`, SCM_RIGHTS. One more than there may be is refused and not cut off, and each that arrives is closed
    /// when a program is executed.
    #[test]
    fn as_many_as_there_may_be_arrive_and_no_program_gets_them() {
        let (a, b) = Channel::pair().expect("pair");
        let (read, _write) = rustix::pipe::pipe().expect("pipe");
        let mut many = vec![read.as_fd(); MOST + 1];
        let refused = a.send(b"too many", &many).expect_err("one too many");
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        many.pop();
        a.send(b"many", &many).expect("as many as there may be");
        let mut fds = Vec::new();
        let came = b.receive(&mut [0; 16], false, |fd| fds.push(fd));
        assert_eq!(came.expect("receive"), Came::Message(4));
        assert_eq!(fds.len(), MOST);
        for fd in &fds {
            let flags = rustix::io::fcntl_getfd(fd).expect("an open descriptor");
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        }
    }
}
