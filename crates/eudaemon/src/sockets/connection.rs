//! The one connection a process was started for.

use super::{Filter, SocketError, Sockets, is};
use crate::inherited::Kind;
use eudaemon_core::listen::CONNECTION;
use eudaemon_sys::{descriptor, hand};
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

/// A connection that somebody else accepted, and started this process for. It blocks or not as it was.
///
/// It is nobody else's: it may be shut down, and a successor does not get it.
#[derive(Debug)]
pub struct Connection {
    fd: OwnedFd,
    kind: Kind,
    peer: Option<Peer>,
}

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Peer {
    /// An address of IP.
    Ip(SocketAddr),
    /// A unix socket that is bound at a path, which is the peer's word for it.
    Path(PathBuf),
    /// A unix socket that is bound at an abstract name.
    Abstract(Vec<u8>),
    /// A unix socket without a name, as most clients are.
    Unnamed,
    /// A virtual machine, or its host.
    Vsock {
        /// Which of them.
        cid: u32,
        /// The port.
        port: u32,
    },
    /// Something else.
    Other,
}

impl Sockets {
    /// The connection this process was started for, as by a socket unit with `Accept=yes` or by
    /// `systemd-socket-activate --accept`: what was handed over under the name `connection`, or the only thing that was, if
    /// that is one. `None` if there is none: then the service listens, say. The second time it is gone.
    ///
    /// Source: `sd_listen_fds_with_names(3)`; `systemd.socket(5)`, `Accept=`. The client's address is also in `REMOTE_ADDR`
    /// and `REMOTE_PORT`; see [`Activation::remote`](crate::Activation::remote).
    ///
    /// ```
    /// # use eudaemon::{inherited::Inherited, sockets::Sockets};
    /// # let sockets = Sockets::of(Inherited::default());
    /// if let Some(connection) = sockets.connection()? {
    ///     let client = connection.tcp()?;
    ///     // One client, and then the end.
    /// # drop(client);
    /// }
    /// # Ok::<(), eudaemon::sockets::SocketError>(())
    /// ```
    ///
    /// # Errors
    /// [`SocketError::Unfit`]: what has the name is no connection. It stays where it was. [`SocketError::Look`].
    pub fn connection(&self) -> Result<Option<Connection>, SocketError> {
        let is_only = self.names().len() == 1;
        let named = |name: &str| name == CONNECTION;
        if let Some(found) = self.take_where(|name, fd| Ok(named(name) && is_one(fd)?))? {
            return Connection::of(found).map(Some);
        }
        if let Some(is) = self.look(CONNECTION)? {
            return Err(SocketError::Unfit {
                name: CONNECTION.to_owned(),
                is,
                wanted: "a connection".to_owned(),
            });
        }
        let found = self.take_where(|_, fd| Ok(is_only && is_one(fd)?))?;
        found.map(Connection::of).transpose()
    }

    /// As [`Sockets::connection`]; and if nothing was handed over that way, the connection that standard input is, as inetd,
    /// `tcpserver`, `s6-tcpserver` and `StandardInput=socket` pass one. What merely reads from a socket would be taken for
    /// such a service, so this is asked for.
    ///
    /// Standard input is the null device then, and so are standard output and standard error if they were the same socket: what
    /// is printed by mistake is not sent to the client.
    ///
    /// # Errors
    /// As [`Sockets::connection`]; [`SocketError::Unfit`] if standard input is a socket and no connection: it is closed.
    pub fn connection_or_stdin(&self) -> Result<Option<Connection>, SocketError> {
        if let Some(connection) = self.connection()? {
            return Ok(Some(connection));
        }
        let Some(input) = hand::take_input().map_err(SocketError::Look)? else {
            return Ok(None);
        };
        match is_one(input.as_fd()).map_err(SocketError::Look)? {
            true => Connection::of(input).map(Some),
            false => Err(SocketError::Unfit {
                name: "standard input".to_owned(),
                is: descriptor::kind(&input).map_err(SocketError::Look)?,
                wanted: "a connection".to_owned(),
            }),
        }
    }
}

/// A stream, or one of messages, that does not listen. Whether the client is still there is another question.
fn is_one(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let connects: Filter = is::stream() | is::seqpacket();
    (connects & !is::listening()).admits(fd)
}

impl Connection {
    fn of(fd: OwnedFd) -> Result<Connection, SocketError> {
        let kind = descriptor::kind(&fd).map_err(SocketError::Look)?;
        let peer = descriptor::peer(&fd).map_err(SocketError::Look)?;
        let peer = peer.map(|peer| match peer {
            descriptor::Local::Ip(at) => Peer::Ip(at),
            descriptor::Local::Path(path) => Peer::Path(std::ffi::OsString::from_vec(path).into()),
            descriptor::Local::Abstract(name) => Peer::Abstract(name),
            descriptor::Local::Unnamed => Peer::Unnamed,
            descriptor::Local::Vsock(at) => match at.cid {
                Some(cid) => Peer::Vsock { cid, port: at.port },
                None => Peer::Other,
            },
            descriptor::Local::Other => Peer::Other,
        });
        Ok(Connection { fd, kind, peer })
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Who is at the other end. `None` if the client was gone already. Source: `getpeername(2)`.
    #[must_use]
    pub fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref()
    }

    /// A stream of TCP.
    ///
    /// # Errors
    /// [`SocketError::Unfit`]: it is something else. It is closed.
    pub fn tcp(self) -> Result<TcpStream, SocketError> {
        self.is(&[Kind::Tcp4, Kind::Tcp6], "TCP")
            .map(TcpStream::from)
    }

    /// A unix stream.
    ///
    /// # Errors
    /// [`SocketError::Unfit`]: it is something else. It is closed.
    pub fn unix(self) -> Result<UnixStream, SocketError> {
        self.is(&[Kind::UnixStream], "a unix stream")
            .map(UnixStream::from)
    }

    fn is(self, wanted: &[Kind], words: &str) -> Result<OwnedFd, SocketError> {
        match wanted.contains(&self.kind) {
            true => Ok(self.fd),
            false => Err(SocketError::Unfit {
                name: CONNECTION.to_owned(),
                is: self.kind,
                wanted: words.to_owned(),
            }),
        }
    }
}

#[cfg(feature = "tokio")]
impl Connection {
    /// A stream of TCP for tokio. That wants `O_NONBLOCK`, which is set first. Within a runtime.
    ///
    /// # Errors
    /// As [`Connection::tcp`]; [`SocketError::Look`].
    ///
    /// # Panics
    /// No runtime of tokio that has I/O runs here.
    pub fn tokio_tcp(self) -> Result<tokio::net::TcpStream, SocketError> {
        let stream = self.tcp()?;
        let set = stream.set_nonblocking(true);
        set.and_then(|()| tokio::net::TcpStream::from_std(stream))
            .map_err(SocketError::Look)
    }

    /// A unix stream for tokio. That wants `O_NONBLOCK`, which is set first. Within a runtime.
    ///
    /// # Errors
    /// As [`Connection::unix`]; [`SocketError::Look`].
    ///
    /// # Panics
    /// No runtime of tokio that has I/O runs here.
    pub fn tokio_unix(self) -> Result<tokio::net::UnixStream, SocketError> {
        let stream = self.unix()?;
        let set = stream.set_nonblocking(true);
        set.and_then(|()| tokio::net::UnixStream::from_std(stream))
            .map_err(SocketError::Look)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Connection> for OwnedFd {
    fn from(connection: Connection) -> OwnedFd {
        connection.fd
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Ip(at) => write!(to, "{at}"),
            Peer::Path(path) => write!(to, "{}", path.display()),
            Peer::Abstract(name) => write!(to, "@{}", String::from_utf8_lossy(name)),
            Peer::Unnamed => to.write_str("a unix socket"),
            Peer::Vsock { cid, port } => write!(to, "vsock:{cid}:{port}"),
            Peer::Other => to.write_str("something else"),
        }
    }
}
