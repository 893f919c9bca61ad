//! Encrypted connections for threads.

use super::Tls;
use crate::Listener;
use crate::serve::sealed::Accept;
use rustls::{ServerConnection, Stream};
use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// A listener whose connections are encrypted: what [`Handle::serve`](crate::Handle::serve) takes.
///
/// Accepting one does not wait for its client. The handshake is [`Accepted::handshake`], for the thread that serves it.
///
/// ```no_run
/// # use eudaemon::{Result, Running, sockets::Bound, tls::Tls};
/// use std::io::Write;
/// # fn run(cx: Running, tls: Tls, listener: Bound<std::net::TcpListener>) -> Result<()> {
/// cx.serve(&tls.listener(listener), |accepted, _peer| {
///     std::thread::spawn(|| accepted.handshake()?.write_all(b"hello\n"));
/// })
/// # }
/// ```
#[derive(Debug)]
pub struct TlsListener<L> {
    tls: Tls,
    listener: L,
}

impl<L> TlsListener<L> {
    pub(super) fn new(tls: Tls, listener: L) -> TlsListener<L> {
        TlsListener { tls, listener }
    }
}

impl<L: Listener<Connection = TcpStream>> TlsListener<L> {
    /// The next connection, for a loop of one's own.
    ///
    /// # Errors
    /// Those of [`std::net::TcpListener::accept`].
    pub fn accept(&self) -> io::Result<(Accepted, L::Peer)> {
        let (stream, peer) = Accept::accept(&self.listener)?;
        let tls = self.tls.clone();
        Ok((Accepted { tls, stream }, peer))
    }
}

impl<L> Deref for TlsListener<L> {
    type Target = L;

    fn deref(&self) -> &L {
        &self.listener
    }
}

impl<L: AsFd> AsFd for TlsListener<L> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl<L: Listener<Connection = TcpStream>> Listener for TlsListener<L> {}

impl<L: Listener<Connection = TcpStream>> Accept for TlsListener<L> {
    type Connection = Accepted;
    type Peer = L::Peer;

    fn set_nonblocking(&self) -> io::Result<()> {
        Accept::set_nonblocking(&self.listener)
    }

    fn accept(&self) -> io::Result<(Accepted, L::Peer)> {
        TlsListener::accept(self)
    }
}

/// A connection on which nothing was said yet.
#[derive(Debug)]
#[must_use = "the client waits for its handshake"]
pub struct Accepted {
    tls: Tls,
    stream: TcpStream,
}

impl Accepted {
    /// Agrees with the client on how to go on, in [`Tls::handshake_timeout`] at most. This waits for the client.
    ///
    /// # Errors
    /// [`TimedOut`](io::ErrorKind::TimedOut); [`InvalidData`](io::ErrorKind::InvalidData) around a [`rustls::Error`] if it is
    /// no TLS or nothing in common is spoken; what the connection itself says.
    pub fn handshake(self) -> io::Result<TlsStream> {
        let end = Instant::now() + self.tls.handshake;
        // Many answers are shorter than a packet, and wait for nothing.
        self.stream.set_nodelay(true)?;
        let mut connection =
            ServerConnection::new(self.tls.server_config()).map_err(io::Error::other)?;
        let mut limited = Until {
            stream: &self.stream,
            end,
        };
        while connection.is_handshaking() {
            connection.complete_io(&mut limited)?;
        }
        self.stream.set_read_timeout(None)?;
        self.stream.set_write_timeout(None)?;
        Ok(TlsStream {
            connection,
            stream: self.stream,
        })
    }

    /// The connection itself, for another protocol.
    #[must_use]
    pub fn into_inner(self) -> TcpStream {
        self.stream
    }
}

/// That the time of a handshake is over.
pub(super) fn silent() -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        "the client did not end its handshake in time",
    )
}

/// A connection with an end, however slowly the other side goes on.
struct Until<'a> {
    stream: &'a TcpStream,
    end: Instant,
}

impl Until<'_> {
    fn rest(&self) -> io::Result<Option<Duration>> {
        match self.end.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(silent()),
            rest => Ok(Some(rest)),
        }
    }
}

/// A timeout of a socket is told as if it did not block. Source: `socket(7)`, `SO_RCVTIMEO`.
fn told(error: io::Error) -> io::Error {
    match error.kind() == io::ErrorKind::WouldBlock {
        true => silent(),
        false => error,
    }
}

impl Read for Until<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.rest()?)?;
        self.stream.read(into).map_err(told)
    }
}

impl Write for Until<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.rest()?)?;
        self.stream.write(bytes).map_err(told)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// An encrypted connection. Dropped, it says its end to the client, as far as that can be said without waiting: a client that
/// hears none cannot know that it has everything. Source: RFC 8446 §6.1.
pub struct TlsStream {
    connection: ServerConnection,
    stream: TcpStream,
}

impl TlsStream {
    /// The TCP connection below, for its addresses and timeouts. What is read from it or written to it breaks this one.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        &self.stream
    }

    /// What rustls knows: the protocol that was agreed on, the name that was asked for.
    #[must_use]
    pub fn connection(&self) -> &ServerConnection {
        &self.connection
    }
}

impl Read for TlsStream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        Stream::new(&mut self.connection, &mut self.stream).read(into)
    }
}

impl Write for TlsStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Stream::new(&mut self.connection, &mut self.stream).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Stream::new(&mut self.connection, &mut self.stream).flush()
    }
}

impl Drop for TlsStream {
    fn drop(&mut self) {
        self.connection.send_close_notify();
        // Nobody is left to be told.
        if self.stream.set_nonblocking(true).is_ok() {
            while self.connection.wants_write() {
                match self.connection.write_tls(&mut self.stream) {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => break,
                }
            }
        }
    }
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_tuple("TlsStream").field(&self.stream).finish()
    }
}
