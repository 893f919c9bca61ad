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
//! # Another configuration in the same process
//!
//! The set has a copy of what is served. [`Sockets::reset`] hands the copies to a new configuration, which binds what is new before
//! the old one is touched:
//!
//! ```
//! # use eudaemon::inherited::Inherited;
//! # use eudaemon::sockets::{Bound, SocketError, Sockets};
//! # use std::net::{TcpListener, TcpStream};
//! fn open(sockets: &Sockets, names: &[&str]) -> Result<Vec<Bound<TcpListener>>, SocketError> {
//!     let open = |name: &&str| sockets.get(name).or_bind("tcp:127.0.0.1:0").tcp_listener();
//!     names.iter().map(open).collect()
//! }
//!
//! // In a service these are `cx.sockets()`.
//! let sockets = Sockets::of(Inherited::default());
//! let mut serving = open(&sockets, &["web", "old"])?;
//! let (web, old) = (serving[0].local_addr()?, serving[1].local_addr()?);
//!
//! // A reload. Had one of these failed, everything would be as it was.
//! let next = sockets.reset()?;
//! serving = open(&next, &["web", "new"])?;
//! assert_eq!(next.keep(), ["old"]);
//!
//! // It is the same socket, with everyone who waited at it; what was not asked for is closed with the old configuration.
//! assert_eq!(serving[0].local_addr()?, web);
//! assert!(TcpStream::connect(web).is_ok());
//! assert!(TcpStream::connect(old).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The addresses are those of [`Manifest::sockets`](crate::Manifest). Source: the specification, library §8, T25 to T34.

mod bound;
mod connection;
#[cfg(test)]
mod copies;
mod error;
mod filter;
mod generation;
mod kept;
mod kinds;
mod role;
mod set;
mod table;
#[cfg(test)]
mod tests;

pub use bound::Bound;
pub(crate) use bound::Made;
pub(crate) use bound::door;
pub use connection::{Connection, Peer};
pub use error::SocketError;
pub use filter::{Filter, is};
pub use generation::Generation;
pub(crate) use kept::Keeper;
pub use set::{Described, Export, Sockets};
pub(crate) use table::{Active, Origin};

use eudaemon_sys::bind;
use eudaemon_sys::bind::queue::Room;
use kinds::Ways;
use std::time::Duration;

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
    ways: Ways,
    nonblocking: bool,
}

impl Want {
    fn new(sockets: Sockets, name: &str) -> Want {
        Want {
            sockets,
            name: name.to_owned(),
            filter: None,
            address: None,
            ways: Ways {
                backlog: BACKLOG,
                options: bind::Options::default(),
                access: bind::Access {
                    mode: MODE,
                    owner: None,
                },
                unlink: Unlink::default(),
                writes: false,
                room: None,
            },
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
    /// with `unix-dgram:` and `seqpacket:`; `vsock:CID:PORT`, also with `vsock-dgram:` and `vsock-seqpacket:`, where no CID is any;
    /// `fifo:/PATH`, `special:/PATH`, `mq:/NAME`. A port alone, as `tcp:80`, is any address of both families, and so is
    /// `tcp:[::]:80`. It is read when the socket is asked for.
    ///
    /// `inherit:NAME` is what was handed over under another name, and `fd:NUMBER` what was handed over as this descriptor, by
    /// a manager or by a program that merely left it open, from 3 on; `fd:0` is the socket that standard input is, as that of
    /// `s6-tcpserver-socketbinder`. They are never bound: without them there is none, [`SocketError::Missing`].
    pub fn or_bind(mut self, address: impl Into<String>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// How many connections may wait to be accepted, of a socket that is bound here. Default: 4096. The system's own limit is
    /// `net.core.somaxconn`.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.ways.backlog = connections;
        self
    }

    /// Whether another process of this user may bind the same port at the same time, of a socket that is bound here. The kernel
    /// then spreads connections over them, and those that wait are lost with the socket they wait at. Default: no.
    pub fn reuse_port(mut self, yes: bool) -> Self {
        self.ways.options.reuse_port = yes;
        self
    }

    /// Whether an address of IPv6 is one of IPv6 alone, of a socket that is bound here. Default: no, whatever
    /// `net.ipv6.bindv6only` says, so `[::]` is `0.0.0.0` too.
    pub fn only_v6(mut self, yes: bool) -> Self {
        self.ways.options.only_v6 = yes;
        self
    }

    /// Whether an address of IP may be bound that this machine does not have, or not yet. Default: no. Source: `ip(7)`,
    /// `IP_FREEBIND`.
    pub fn freebind(mut self, yes: bool) -> Self {
        self.ways.options.freebind = yes;
        self
    }

    /// Whether a socket of IP that is bound here takes connections for addresses that are not this machine's and are routed here:
    /// a proxy's. It takes [`Capability::NetAdmin`](crate::Capability). Default: no. Source: `ip(7)`, `IP_TRANSPARENT`.
    pub fn transparent(mut self, yes: bool) -> Self {
        self.ways.options.transparent = yes;
        self
    }

    /// A socket of IP that is bound here gets what arrives at this network interface alone, as `eth0`. Source: `socket(7)`,
    /// `SO_BINDTODEVICE`.
    pub fn device(mut self, name: impl Into<String>) -> Self {
        self.ways.options.device = Some(name.into());
        self
    }

    /// The mark of the packets of a socket of IP that is bound here, for the firewall and for routes. It takes
    /// [`Capability::NetAdmin`](crate::Capability). Source: `socket(7)`, `SO_MARK`.
    pub fn mark(mut self, mark: u32) -> Self {
        self.ways.options.mark = Some(mark);
        self
    }

    /// Whether little messages are sent at once, of a TCP socket that is bound here and of what is accepted from it. Default:
    /// no. Source: `tcp(7)`, `TCP_NODELAY`.
    pub fn nodelay(mut self, yes: bool) -> Self {
        self.ways.options.nodelay = yes;
        self
    }

    /// A peer that was silent for so long, in whole seconds, is asked whether it is still there, of a TCP socket that is bound here
    /// and of what is accepted from it. Default: nobody is asked. How often it is asked is `net.ipv4.tcp_keepalive_intvl` and
    /// `net.ipv4.tcp_keepalive_probes`. Source: `tcp(7)`, `TCP_KEEPIDLE`.
    pub fn keepalive(mut self, silence: Duration) -> Self {
        self.ways.options.keepalive = Some(silence);
        self
    }

    /// How many bytes a socket that is bound here holds of what was not read yet. The kernel doubles the number for what it
    /// needs itself. Beyond `net.core.rmem_max` it takes [`Capability::NetAdmin`](crate::Capability); without it, that much it
    /// is. Source: `socket(7)`, `SO_RCVBUF`.
    pub fn receive_buffer(mut self, bytes: u32) -> Self {
        self.ways.options.receive_buffer = Some(bytes);
        self
    }

    /// As [`Want::receive_buffer`], of what was not sent yet: `net.core.wmem_max`, `SO_SNDBUF`.
    pub fn send_buffer(mut self, bytes: u32) -> Self {
        self.ways.options.send_buffer = Some(bytes);
        self
    }

    /// Whether a file or device that is opened here, at a `special:` address, is opened for writing too. Default: no.
    pub fn writable(mut self, yes: bool) -> Self {
        self.ways.writes = yes;
        self
    }

    /// How many messages a queue that is made here holds, and of how many bytes each. One that is there already must be of these
    /// sizes. Default: the system's, in `/proc/sys/fs/mqueue`. Source: `mq_overview(7)`.
    pub fn messages(mut self, count: u32, bytes: u32) -> Self {
        self.ways.room = Some(Room {
            messages: count,
            bytes,
        });
        self
    }

    /// The permission bits of a path or queue that is bound here, whatever the umask: who may write to it may connect. Default:
    /// 0600. There is no moment at which they are wider.
    pub fn mode(mut self, mode: u32) -> Self {
        self.ways.access.mode = mode & 0o777;
        self
    }

    /// User and group of a path or queue that is bound here. Default: those of the process.
    pub fn owner(mut self, uid: u32, gid: u32) -> Self {
        self.ways.access.owner = Some((uid, gid));
        self
    }

    /// What becomes of a file that is in the way of a unix socket that is bound here. Default: [`Unlink::Flock`].
    pub fn unlink(mut self, policy: Unlink) -> Self {
        self.ways.unlink = policy;
        self
    }

    /// Sets `O_NONBLOCK`, which a runtime like tokio's asks for: `tokio::net::TcpListener::from_std`. Without this a socket
    /// that is bound here blocks, and one that was handed over is left as it was: it is shared with who handed it over.
    pub fn nonblocking(mut self) -> Self {
        self.nonblocking = true;
        self
    }
}
