//! A loop that accepts connections until the service is to stop, and shows by that that it lives.

use crate::sockets::Bound;
use crate::{Context, Handle, Result};
use eudaemon_sys::clock::mono;
use eudaemon_sys::poll::{Interest, Poll, Ready};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

/// How long a loop may be silent when no manager says how long.
const SILENCE: Duration = Duration::from_secs(10);
/// How long nothing is accepted when the process, or the machine, has no descriptor left.
pub(crate) const EXHAUSTED: Duration = Duration::from_millis(100);

const END: u64 = 0;
const LISTENER: u64 = 1;

/// A listening socket of std's.
pub trait Listener: AsFd + sealed::Accept {}

impl Listener for TcpListener {}
impl Listener for UnixListener {}
impl<L: Listener> Listener for Bound<L> {}

pub(crate) mod sealed {
    use std::io;

    pub trait Accept {
        type Connection;
        type Peer;
        fn set_nonblocking(&self) -> io::Result<()>;
        /// The next connection, which blocks, whatever the listener does.
        fn accept(&self) -> io::Result<(Self::Connection, Self::Peer)>;
    }
}

impl sealed::Accept for TcpListener {
    type Connection = TcpStream;
    type Peer = SocketAddr;

    fn set_nonblocking(&self) -> io::Result<()> {
        TcpListener::set_nonblocking(self, true)
    }

    fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (connection, peer) = TcpListener::accept(self)?;
        connection.set_nonblocking(false)?;
        Ok((connection, peer))
    }
}

impl sealed::Accept for UnixListener {
    type Connection = UnixStream;
    type Peer = std::os::unix::net::SocketAddr;

    fn set_nonblocking(&self) -> io::Result<()> {
        UnixListener::set_nonblocking(self, true)
    }

    fn accept(&self) -> io::Result<(UnixStream, std::os::unix::net::SocketAddr)> {
        let (connection, peer) = UnixListener::accept(self)?;
        connection.set_nonblocking(false)?;
        Ok((connection, peer))
    }
}

impl<L: Listener> sealed::Accept for Bound<L> {
    type Connection = L::Connection;
    type Peer = L::Peer;

    fn set_nonblocking(&self) -> io::Result<()> {
        sealed::Accept::set_nonblocking(&**self)
    }

    fn accept(&self) -> io::Result<(L::Connection, L::Peer)> {
        sealed::Accept::accept(&**self)
    }
}

impl Handle {
    /// Accepts connections and hands each to `each`, until the service is to stop. Connections still in the queue then are
    /// left there, for a successor or a manager that keeps the socket.
    ///
    /// The loop holds a critical lease: an `each` that hangs for longer than the manager's watchdog allows, or 10 s where there
    /// is none, is a service that does not live. Work that takes long belongs into a thread. When there are no descriptors left
    /// it waits a tenth of a second between two tries instead of spinning (`accept(2)`, EMFILE).
    ///
    /// # Errors
    /// The socket is not a listening one, or is broken.
    pub fn serve<L: Listener>(
        &self,
        listener: &L,
        each: impl FnMut(L::Connection, L::Peer),
    ) -> Result<()> {
        self.accept(listener, None, each)
    }

    /// As [`Handle::serve`], and returns also once `end` can be read: the reading end of a pipe, say, whose other end was
    /// dropped. A reload that has its new sockets ends the loops of the old ones so; the guide's chapter on sockets shows it.
    ///
    /// # Errors
    /// As there.
    pub fn serve_until<L: Listener>(
        &self,
        listener: &L,
        end: &impl AsFd,
        each: impl FnMut(L::Connection, L::Peer),
    ) -> Result<()> {
        self.accept(listener, Some(end.as_fd()), each)
    }

    fn accept<L: Listener>(
        &self,
        listener: &L,
        end: Option<BorrowedFd<'_>>,
        mut each: impl FnMut(L::Connection, L::Peer),
    ) -> Result<()> {
        let attempt = || "unable to accept connections";
        listener.set_nonblocking().during(attempt)?;
        let mut poll = Poll::new().during(attempt)?;
        poll.add(self.stop(), END, Interest::Read).during(attempt)?;
        if let Some(end) = end {
            poll.add(end, END, Interest::Read).during(attempt)?;
        }
        poll.add(listener, LISTENER, Interest::Read)
            .during(attempt)?;
        let silence = self.activation().watchdog().unwrap_or(SILENCE);
        let lease = self.health().lease("serve", silence);
        let mut ready: Vec<Ready> = Vec::new();
        while !self.stop().is_set() {
            lease.beat();
            ready.clear();
            let until = mono() + silence / 3;
            poll.wait(mono(), Some(until), &mut ready).during(attempt)?;
            if ready.iter().any(|one| one.token == END) {
                break;
            }
            // A few at a time, so that an end is heard between them.
            for _ in 0..if ready.is_empty() { 0 } else { 16 } {
                match listener.accept() {
                    Ok((connection, peer)) => each(connection, peer),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) if is_the_peers(&error) => {}
                    Err(error) if is_exhausted(&error) => {
                        self.log()
                            .warning(format_args!("unable to accept: {error}"));
                        if self.stop().wait_timeout(EXHAUSTED) {
                            return Ok(());
                        }
                    }
                    Err(error) => return Err(error).during(attempt),
                }
                lease.beat();
            }
        }
        Ok(())
    }
}

/// The connection is gone again, or never was one: the next may be better. Source: `accept(2)`, "Error handling".
pub(crate) fn is_the_peers(error: &io::Error) -> bool {
    use eudaemon_sys::errno as number;
    matches!(
        error.raw_os_error(),
        Some(
            number::ECONNABORTED
                | number::EINTR
                | number::EPERM
                | number::EPROTO
                | number::ENETDOWN
                | number::ENETUNREACH
                | number::EHOSTDOWN
                | number::EHOSTUNREACH
                | number::ENOPROTOOPT
                | number::ETIMEDOUT
        )
    )
}

/// There is no room for one more. Source: `accept(2)`.
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    use eudaemon_sys::errno as number;
    matches!(
        error.raw_os_error(),
        Some(number::EMFILE | number::ENFILE | number::ENOBUFS | number::ENOMEM)
    )
}
