//! Sockets by name: the one a manager handed over, or one that is bound here.
//!
//! ```
//! use eudaemon::inherited::Inherited;
//! use eudaemon::sockets::{Sockets, is};
//!
//! // In `Service::init` it is `cx.sockets()`.
//! let sockets = Sockets::of(Inherited::default());
//! let http = sockets
//!     .get("http")
//!     .filter(is::ipv6() | is::ipv4())
//!     .or_bind("tcp:127.0.0.1:0")
//!     .backlog(1024)
//!     .tcp_listener()?;
//! # assert!(http.local_addr()?.port() > 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What was handed over is looked for by its name, and then by what it is, never by its number. If there is something of the
//! name and none of it fits, that is an error: another socket in its place would not be the one people connect to.
//!
//! The addresses are those of [`Manifest::sockets`](crate::Manifest). Source: the specification, library §8, T25 to T34.

mod bound;
mod error;
mod filter;
mod generation;
mod set;
#[cfg(test)]
mod tests;

pub use bound::Bound;
pub use error::SocketError;
pub use filter::{Filter, is};
pub use generation::Generation;
pub use set::{Described, Export, Sockets};

use bound::Made;
use eudaemon_core::address::{Address, Kind as Transport, Place};
use eudaemon_sys::bind;
use set::Origin;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};

/// How many connections wait to be accepted, if nobody says: as many as Linux lets wait. Source: `listen(2)`,
/// `net.core.somaxconn`.
const BACKLOG: u32 = 4096;
/// Who may connect, if nobody says.
const MODE: u32 = 0o600;

/// What becomes of a file that is in the way of a unix socket, and of the socket's own at the end.
///
/// Whatever the policy: a socket that was handed over is somebody else's file and is never removed; and one that is bound here is
/// removed only if the path still is that socket and nobody else receives from it, a successor say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unlink {
    /// Nothing is removed, neither before nor after.
    Never,
    /// What is there is removed, whatever it is, even a socket that somebody listens to; a directory is not.
    Always,
    /// A socket that is there is removed, even one that somebody listens to; another file is an error.
    IfSocket,
    /// As [`Unlink::IfSocket`], under the lock of a file beside it, `PATH.lock`. It is held until the socket is closed, so of
    /// those that ask for it only one has the path at a time. The file stays. Source: `flock(2)`.
    #[default]
    Flock,
    /// As [`Unlink::Flock`], and a socket that somebody listens to without the lock is an error too. That is found out by
    /// connecting, when the lock is held: an answer from before would be an old one.
    ProbeThenFlock,
}

/// One socket that is wanted. It ends with what it is to be: [`Want::tcp_listener`] and so on.
#[derive(Debug)]
#[must_use = "it is only a wish until it is told what it is to be"]
pub struct Want {
    sockets: Sockets,
    name: String,
    filter: Option<Filter>,
    address: Option<String>,
    backlog: u32,
    options: bind::Options,
    access: bind::Access,
    unlink: Unlink,
    nonblocking: bool,
}

impl Want {
    fn new(sockets: Sockets, name: &str) -> Want {
        Want {
            sockets,
            name: name.to_owned(),
            filter: None,
            address: None,
            backlog: BACKLOG,
            options: bind::Options::default(),
            access: bind::Access {
                mode: MODE,
                owner: None,
            },
            unlink: Unlink::default(),
            nonblocking: false,
        }
    }

    /// Takes, of what was handed over under the name, only what this admits; called twice, both. What the socket is to be need
    /// not be said here again.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = Some(match self.filter {
            Some(before) => before & filter,
            None => filter,
        });
        self
    }

    /// Binds this address if nothing was handed over: `tcp:IP:PORT`, `udp:IP:PORT`, `unix:/PATH`, `unix:@NAME`, and these two
    /// with `unix-dgram:` and `seqpacket:`. A port alone, as `tcp:80`, is any address of both families, and so is `tcp:[::]:80`.
    /// It is read when the socket is asked for.
    pub fn or_bind(mut self, address: impl Into<String>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// How many connections may wait to be accepted, of a socket that is bound here. Default: 4096. The system's own limit is
    /// `net.core.somaxconn`.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Whether another process of this user may bind the same port at the same time, of a socket that is bound here. The kernel
    /// then spreads connections over them, and those that wait are lost with the socket they wait at. Default: no.
    pub fn reuse_port(mut self, yes: bool) -> Self {
        self.options.reuse_port = yes;
        self
    }

    /// Whether an address of IPv6 is one of IPv6 alone, of a socket that is bound here. Default: no, whatever
    /// `net.ipv6.bindv6only` says, so `[::]` is `0.0.0.0` too.
    pub fn only_v6(mut self, yes: bool) -> Self {
        self.options.only_v6 = yes;
        self
    }

    /// The permission bits of a path that is bound here, whatever the umask: who may write to it may connect. Default: 0600.
    /// There is no moment at which they are wider.
    pub fn mode(mut self, mode: u32) -> Self {
        self.access.mode = mode & 0o777;
        self
    }

    /// User and group of a path that is bound here. Default: those of the process.
    pub fn owner(mut self, uid: u32, gid: u32) -> Self {
        self.access.owner = Some((uid, gid));
        self
    }

    /// What becomes of a file that is in the way of a path that is bound here. Default: [`Unlink::Flock`].
    pub fn unlink(mut self, policy: Unlink) -> Self {
        self.unlink = policy;
        self
    }

    /// Sets `O_NONBLOCK`, which a runtime like tokio's asks for: `tokio::net::TcpListener::from_std`. Without this a socket
    /// that is bound here blocks, and one that was handed over is left as it was: it is shared with who handed it over.
    pub fn nonblocking(mut self) -> Self {
        self.nonblocking = true;
        self
    }

    /// A listening TCP socket.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn tcp_listener(self) -> Result<Bound<TcpListener>, SocketError> {
        let role = Role {
            what: "a listening TCP socket",
            filter: Some(is::tcp() & is::listening()),
            of: |address| (address.kind, address.ip().is_some()) == (Transport::Stream, true),
        };
        Ok(self.take(role)?.map(TcpListener::from))
    }

    /// A UDP socket.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn udp_socket(self) -> Result<Bound<UdpSocket>, SocketError> {
        let role = Role {
            what: "a UDP socket",
            filter: Some(is::udp()),
            of: |address| (address.kind, address.ip().is_some()) == (Transport::Datagram, true),
        };
        Ok(self.take(role)?.map(UdpSocket::from))
    }

    /// A listening unix socket.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn unix_listener(self) -> Result<Bound<UnixListener>, SocketError> {
        let role = Role {
            what: "a listening unix socket",
            filter: Some(is::unix() & is::stream() & is::listening()),
            of: |address| address.kind == Transport::Stream && is_unix(address),
        };
        Ok(self.take(role)?.map(UnixListener::from))
    }

    /// A unix socket of datagrams.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn unix_datagram(self) -> Result<Bound<UnixDatagram>, SocketError> {
        let role = Role {
            what: "a unix socket of datagrams",
            filter: Some(is::unix() & is::datagram()),
            of: |address| address.kind == Transport::Datagram && is_unix(address),
        };
        Ok(self.take(role)?.map(UnixDatagram::from))
    }

    /// A listening unix socket that keeps messages apart, for which std has no type.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn seqpacket(self) -> Result<Bound<OwnedFd>, SocketError> {
        let role = Role {
            what: "a listening unix socket of messages",
            filter: Some(is::unix() & is::seqpacket() & is::listening()),
            of: |address| address.kind == Transport::Sequential && is_unix(address),
        };
        self.take(role)
    }

    /// Whatever it is; the filter says what it may be. This is how a FIFO, a device, a message queue or a socket of vsock is
    /// taken. What is bound here listens, if it is of a kind that can.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn owned(self) -> Result<Bound<OwnedFd>, SocketError> {
        let role = Role {
            what: "any socket",
            filter: None,
            of: |_| true,
        };
        self.take(role)
    }

    fn take(mut self, role: Role) -> Result<Bound<OwnedFd>, SocketError> {
        set::check(&self.name)?;
        // A wrong address is told even if a manager makes it needless today.
        let address = self.address(&role)?;
        let filter = match (role.filter, self.filter.take()) {
            (Some(role), Some(own)) => Some(role & own),
            (role, own) => role.or(own),
        };
        let claimed = self.sockets.claim(&self.name, filter.as_ref(), |bound| {
            address.as_ref().is_none_or(|wanted| wanted == bound)
        })?;
        let taken = match (claimed, address) {
            (Some(claimed), _) => claimed,
            (None, Some(address)) => {
                let (socket, file) = self.bind(&address)?;
                let origin = Origin::Bound(address);
                self.sockets.serve(&self.name, socket, origin, file)?
            }
            (None, None) => return Err(SocketError::Missing { name: self.name }),
        };
        if self.nonblocking {
            eudaemon_sys::fifo::set_waiting(&taken, false).map_err(SocketError::Look)?;
        }
        Ok(taken)
    }

    fn address(&self, role: &Role) -> Result<Option<Address>, SocketError> {
        let Some(text) = &self.address else {
            return Ok(None);
        };
        let address = Address::parse(text).map_err(|wrong| SocketError::Address {
            text: text.clone(),
            wrong,
        })?;
        // To bind one takes a structure std does not have, and a machine to try it on.
        if matches!(address.place, Place::Vsock { .. }) {
            return Err(SocketError::NotBoundHere { text: text.clone() });
        }
        match (role.of)(&address) {
            true => Ok(Some(address)),
            false => Err(SocketError::Unsuited {
                text: text.clone(),
                wanted: role.what,
            }),
        }
    }

    fn bind(&self, address: &Address) -> Result<(OwnedFd, Option<Made>), SocketError> {
        let system = |error| SocketError::Bind {
            address: address.to_string(),
            error,
        };
        let (socket, file) = match &address.place {
            Place::Ip(at) => (
                bind::ip(address.kind, *at, self.options).map_err(system)?,
                None,
            ),
            Place::Abstract(name) => {
                let name = name.as_bytes();
                (
                    bind::abstract_name(address.kind, name).map_err(system)?,
                    None,
                )
            }
            Place::Path(path) => {
                let (path, access) = (path.as_ref(), self.access);
                let (socket, made) = bound::at(address.kind, path, self.unlink, access, system)?;
                (socket, Some(made))
            }
            Place::Vsock { .. } => {
                return Err(SocketError::NotBoundHere {
                    text: address.to_string(),
                });
            }
        };
        if address.kind != Transport::Datagram {
            bind::listen(&socket, self.backlog).map_err(system)?;
        }
        Ok((socket, file))
    }
}

/// What a socket is to be.
struct Role {
    what: &'static str,
    filter: Option<Filter>,
    of: fn(&Address) -> bool,
}

fn is_unix(address: &Address) -> bool {
    matches!(address.place, Place::Path(_) | Place::Abstract(_))
}
