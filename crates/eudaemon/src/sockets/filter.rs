//! What a descriptor may be.

use std::fmt;
use std::io;
use std::ops::{BitAnd, BitOr, Not};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

type Test = Arc<dyn Fn(BorrowedFd<'_>) -> io::Result<bool> + Send + Sync>;

/// A question about a descriptor that the kernel answers; those of [`is`], combined with `&`, `|` and `!`. What a filter does not
/// ask about does not matter: [`is::tcp`] alone admits what listens and what does not.
#[derive(Clone)]
pub struct Filter {
    words: String,
    test: Test,
}

impl Filter {
    fn new(
        words: impl Into<String>,
        test: impl Fn(BorrowedFd<'_>) -> io::Result<bool> + Send + Sync + 'static,
    ) -> Filter {
        Filter {
            words: words.into(),
            test: Arc::new(test),
        }
    }

    /// Whether it admits this one.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn admits(&self, fd: impl AsFd) -> io::Result<bool> {
        (self.test)(fd.as_fd())
    }
}

impl BitAnd for Filter {
    type Output = Filter;

    fn bitand(self, other: Filter) -> Filter {
        let words = format!("({} and {})", self.words, other.words);
        Filter::new(words, move |fd| Ok((self.test)(fd)? && (other.test)(fd)?))
    }
}

impl BitOr for Filter {
    type Output = Filter;

    fn bitor(self, other: Filter) -> Filter {
        let words = format!("({} or {})", self.words, other.words);
        Filter::new(words, move |fd| Ok((self.test)(fd)? || (other.test)(fd)?))
    }
}

impl Not for Filter {
    type Output = Filter;

    fn not(self) -> Filter {
        Filter::new(format!("not {}", self.words), move |fd| {
            (self.test)(fd).map(|admits| !admits)
        })
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.words)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "Filter({})", self.words)
    }
}

/// The filters. Each names the call of `libsystemd` that says the same; see `sd_is_socket(3)`. That call's "does not matter" is a
/// filter that is left out.
pub mod is {
    use super::Filter;
    use eudaemon_core::address::Kind as Transport;
    use eudaemon_sys::descriptor::{self, Kind, Local};
    use std::net::{IpAddr, SocketAddr};
    use std::os::fd::BorrowedFd;
    use std::os::unix::ffi::OsStrExt;
    use std::path::PathBuf;

    /// A socket of any kind: `sd_is_socket(fd, AF_UNSPEC, 0, -1)`.
    #[must_use]
    pub fn socket() -> Filter {
        Filter::new("a socket", |fd| Ok(descriptor::local(fd)?.is_some()))
    }

    /// A socket that connections are accepted from: `sd_is_socket(fd, AF_UNSPEC, 0, 1)`. Sockets of datagrams are not, so this
    /// is not asked of them. A socket that is not listening is `is::socket() & !is::listening()`.
    #[must_use]
    pub fn listening() -> Filter {
        Filter::new("listening", |fd| descriptor::is_listening(fd))
    }

    /// A socket of streams: `sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, -1)`.
    #[must_use]
    pub fn stream() -> Filter {
        transport("a stream", Transport::Stream)
    }

    /// A socket of datagrams: `sd_is_socket(fd, AF_UNSPEC, SOCK_DGRAM, -1)`.
    #[must_use]
    pub fn datagram() -> Filter {
        transport("of datagrams", Transport::Datagram)
    }

    /// A socket of messages in order: `sd_is_socket(fd, AF_UNSPEC, SOCK_SEQPACKET, -1)`.
    #[must_use]
    pub fn seqpacket() -> Filter {
        transport("of messages in order", Transport::Sequential)
    }

    /// A socket of TCP, or of MPTCP, of either family: as `sd_is_socket_inet(fd, AF_UNSPEC, SOCK_STREAM, -1, 0)`, but that also
    /// says yes to SCTP.
    #[must_use]
    pub fn tcp() -> Filter {
        kinds("TCP", &[Kind::Tcp4, Kind::Tcp6])
    }

    /// A socket of UDP, of either family: as `sd_is_socket_inet(fd, AF_UNSPEC, SOCK_DGRAM, -1, 0)`, but that also says yes to
    /// UDP-Lite.
    #[must_use]
    pub fn udp() -> Filter {
        kinds("UDP", &[Kind::Udp4, Kind::Udp6])
    }

    /// A socket of IP, of either family: `sd_is_socket_inet(fd, AF_UNSPEC, 0, -1, 0)`.
    #[must_use]
    pub fn inet() -> Filter {
        ip("of IP", |_| true)
    }

    /// A socket of IPv4: `sd_is_socket_inet(fd, AF_INET, 0, -1, 0)`.
    #[must_use]
    pub fn ipv4() -> Filter {
        ip("IPv4", |at| at.is_ipv4())
    }

    /// A socket of IPv6: `sd_is_socket_inet(fd, AF_INET6, 0, -1, 0)`. It may be one of IPv4 too, as `[::]` mostly is.
    #[must_use]
    pub fn ipv6() -> Filter {
        ip("IPv6", |at| at.is_ipv6())
    }

    /// A socket of IP at this port: `sd_is_socket_inet(fd, AF_UNSPEC, 0, -1, port)`, where 0 does not matter.
    #[must_use]
    pub fn port(port: u16) -> Filter {
        ip(format!("port {port}"), move |at| {
            port == 0 || at.port() == port
        })
    }

    /// A socket of IP at this address: `sd_is_socket_sockaddr(fd, 0, address, length, -1)`. Port 0 does not matter, nor does a
    /// flow or a scope of 0. An address that is written differently is another one: `[::]` is not `0.0.0.0`.
    #[must_use]
    pub fn address(wanted: SocketAddr) -> Filter {
        ip(format!("at {wanted}"), move |at| {
            let port = wanted.port() == 0 || wanted.port() == at.port();
            let rest = match (wanted, at) {
                (SocketAddr::V6(wanted), SocketAddr::V6(at)) => {
                    (wanted.flowinfo() == 0 || wanted.flowinfo() == at.flowinfo())
                        && (wanted.scope_id() == 0 || wanted.scope_id() == at.scope_id())
                }
                (SocketAddr::V4(_), _) | (_, SocketAddr::V4(_)) => true,
            };
            port && rest && wanted.ip() == at.ip()
        })
    }

    /// A socket of IP that this machine alone can reach.
    #[must_use]
    pub fn loopback() -> Filter {
        ip("loopback", |at| match at.ip() {
            IpAddr::V4(at) => at.is_loopback(),
            IpAddr::V6(at) => at
                .to_ipv4_mapped()
                .map_or(at.is_loopback(), |at| at.is_loopback()),
        })
    }

    /// A socket whose port others may bind too: `SO_REUSEPORT` of `socket(7)`.
    #[must_use]
    pub fn reuse_port() -> Filter {
        Filter::new("shared by SO_REUSEPORT", |fd| descriptor::is_reuse_port(fd))
    }

    /// A unix socket, wherever it is bound: `sd_is_socket_unix(fd, 0, -1, NULL, 0)`.
    #[must_use]
    pub fn unix() -> Filter {
        local("a unix socket", |at| {
            matches!(at, Local::Path(_) | Local::Abstract(_) | Local::Unnamed)
        })
    }

    /// A unix socket that was bound at this path, written the same way: `sd_is_socket_unix(fd, 0, -1, path, 0)`. `@NAME` is an
    /// abstract name; the call takes it with a NUL for the `@`, and its length. A socket that [`Want`](crate::sockets::Want) bound at a path of
    /// more than 107 bytes is not found by it.
    #[must_use]
    pub fn unix_at(path: impl Into<PathBuf>) -> Filter {
        let path = path.into();
        local(format!("at {}", path.display()), move |at| {
            let wanted = path.as_os_str().as_bytes();
            match (wanted.strip_prefix(b"@"), at) {
                (Some(wanted), Local::Abstract(name)) => name == wanted,
                (None, Local::Path(path)) => path == wanted,
                _ => false,
            }
        })
    }

    /// A socket for a virtual machine and its host: `sd_is_socket(fd, AF_VSOCK, 0, -1)`.
    #[must_use]
    pub fn vsock() -> Filter {
        local("of vsock", |at| matches!(at, Local::Vsock(_)))
    }

    /// A socket for a virtual machine and its host at this port: no call of `libsystemd` asks that.
    #[must_use]
    pub fn vsock_at(port: u32) -> Filter {
        local(
            format!("at vsock port {port}"),
            move |at| matches!(at, Local::Vsock(at) if at.port == port),
        )
    }

    /// A FIFO, or a pipe: `sd_is_fifo(fd, NULL)`.
    #[must_use]
    pub fn fifo() -> Filter {
        kinds("a FIFO", &[Kind::Fifo])
    }

    /// The FIFO of this path: `sd_is_fifo(fd, path)`.
    #[must_use]
    pub fn fifo_at(path: impl Into<PathBuf>) -> Filter {
        fifo() & file_of(path.into())
    }

    /// A regular file or a character device: `sd_is_special(fd, NULL)`.
    #[must_use]
    pub fn special() -> Filter {
        Filter::new("a file or a device", |fd| descriptor::is_special(fd))
    }

    /// The regular file of this path, or the same character device: `sd_is_special(fd, path)`.
    #[must_use]
    pub fn special_at(path: impl Into<PathBuf>) -> Filter {
        special() & file_of(path.into())
    }

    /// A POSIX message queue: `sd_is_mq(fd, NULL)`.
    #[must_use]
    pub fn message_queue() -> Filter {
        Filter::new("a message queue", |fd| descriptor::is_message_queue(fd))
    }

    /// The message queue of this name, `/NAME`: `sd_is_mq(fd, name)`. As that call, it needs the names in `/dev/mqueue`.
    #[must_use]
    pub fn message_queue_at(name: &str) -> Filter {
        let path = format!("/dev/mqueue/{}", name.trim_start_matches('/'));
        message_queue() & file_of(path.into())
    }

    /// What a question of your own says, in these words.
    #[must_use]
    pub fn that(
        words: impl Into<String>,
        test: impl Fn(BorrowedFd<'_>) -> std::io::Result<bool> + Send + Sync + 'static,
    ) -> Filter {
        Filter::new(words, test)
    }

    fn transport(words: &str, wanted: Transport) -> Filter {
        Filter::new(words, move |fd| {
            Ok(descriptor::transport(fd)? == Some(wanted))
        })
    }

    fn kinds(words: &str, wanted: &'static [Kind]) -> Filter {
        Filter::new(words, |fd| Ok(wanted.contains(&descriptor::kind(fd)?)))
    }

    fn local(
        words: impl Into<String>,
        test: impl Fn(&Local) -> bool + Send + Sync + 'static,
    ) -> Filter {
        Filter::new(words, move |fd| {
            Ok(descriptor::local(fd)?.is_some_and(|at| test(&at)))
        })
    }

    fn ip(
        words: impl Into<String>,
        test: impl Fn(SocketAddr) -> bool + Send + Sync + 'static,
    ) -> Filter {
        local(words, move |at| matches!(at, Local::Ip(at) if test(*at)))
    }

    fn file_of(path: PathBuf) -> Filter {
        Filter::new(format!("at {}", path.display()), move |fd| {
            descriptor::is_at(fd, &path)
        })
    }
}
