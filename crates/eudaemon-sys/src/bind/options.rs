//! What is set on a socket before it is bound, and before it listens.

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, sockopt};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// What is set on a socket that is bound here. Those of IP are set on no other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Others of this user may bind it too. IP. Source: `socket(7)`, `SO_REUSEPORT`.
    pub reuse_port: bool,
    /// An address of IPv6 is not one of IPv4 as well. Source: `ipv6(7)`, `IPV6_V6ONLY`.
    pub only_v6: bool,
    /// The address need not be this machine's, or not yet. IP. Source: `ip(7)`, `IP_FREEBIND`.
    pub freebind: bool,
    /// The address may be any, of connections that are routed here. IP. Source: `ip(7)`, `IP_TRANSPARENT`.
    pub transparent: bool,
    /// Only what arrives at this interface. IP. Source: `socket(7)`, `SO_BINDTODEVICE`.
    pub device: Option<String>,
    /// The mark of what is sent, for the firewall and for routes. IP. Source: `socket(7)`, `SO_MARK`.
    pub mark: Option<u32>,
    /// Little messages are sent at once. TCP. Source: `tcp(7)`, `TCP_NODELAY`: what is accepted inherits it.
    pub nodelay: bool,
    /// Whether the peer is still there is asked after so long a silence. TCP. Source: `tcp(7)`, `TCP_KEEPIDLE`: what is
    /// accepted inherits it.
    pub keepalive: Option<Duration>,
    /// Bytes. Source: `socket(7)`, `SO_RCVBUF`.
    pub receive_buffer: Option<u32>,
    /// Bytes. Source: `socket(7)`, `SO_SNDBUF`.
    pub send_buffer: Option<u32>,
}

/// What cannot be changed any more when a socket of IP is bound: whether others may bind it too, and, of IPv6 alone, whether
/// it is not one of IPv4 as well.
pub fn kept_options(socket: impl AsFd) -> io::Result<(bool, Option<bool>)> {
    let is_six = sockopt::socket_domain(&socket)? == AddressFamily::INET6;
    let only_v6 = is_six.then(|| sockopt::ipv6_v6only(&socket)).transpose()?;
    Ok((sockopt::socket_reuseport(&socket)?, only_v6))
}

impl Options {
    /// Those of a socket of IP.
    pub(super) fn set_of_ip(
        &self,
        socket: impl AsFd + Copy,
        family: AddressFamily,
    ) -> io::Result<()> {
        let v6 = family == AddressFamily::INET6;
        if v6 {
            sockopt::set_ipv6_v6only(socket, self.only_v6)?;
        }
        if self.reuse_port {
            sockopt::set_socket_reuseport(socket, true)?;
        }
        match (self.freebind, v6) {
            (true, true) => sockopt::set_ipv6_freebind(socket, true)?,
            (true, false) => sockopt::set_ip_freebind(socket, true)?,
            (false, _) => {}
        }
        match (self.transparent, v6) {
            (true, true) => set(
                socket,
                libc::IPPROTO_IPV6,
                libc::IPV6_TRANSPARENT,
                &[1, 0, 0, 0],
            )?,
            (true, false) => set(
                socket,
                libc::IPPROTO_IP,
                libc::IP_TRANSPARENT,
                &[1, 0, 0, 0],
            )?,
            (false, _) => {}
        }
        if let Some(mark) = self.mark {
            set(socket, libc::SOL_SOCKET, libc::SO_MARK, &mark.to_ne_bytes())?;
        }
        if let Some(device) = &self.device {
            // An empty name is "any" to the kernel, and nobody who asks for one means that.
            if device.is_empty() {
                return Err(Errno::NODEV.into());
            }
            set(
                socket,
                libc::SOL_SOCKET,
                libc::SO_BINDTODEVICE,
                device.as_bytes(),
            )?;
        }
        if sockopt::socket_type(socket)? != SocketType::STREAM {
            return Ok(());
        }
        if self.nodelay {
            sockopt::set_tcp_nodelay(socket, true)?;
        }
        if let Some(idle) = self.keepalive {
            sockopt::set_tcp_keepidle(socket, idle)?;
            sockopt::set_socket_keepalive(socket, true)?;
        }
        Ok(())
    }
}

/// Sets how much is held of what comes and of what goes, before the socket listens. Who may administer the network goes beyond
/// `net.core.rmem_max` and `net.core.wmem_max`; of others the kernel takes what is beyond away. Source: `socket(7)`.
pub fn buffers(socket: impl AsFd + Copy, options: &Options) -> io::Result<()> {
    if let Some(bytes) = options.receive_buffer {
        match sockopt::set_socket_recv_buffer_size_force(socket, size(bytes)) {
            Err(Errno::PERM) => sockopt::set_socket_recv_buffer_size(socket, size(bytes))?,
            other => other?,
        }
    }
    if let Some(bytes) = options.send_buffer {
        match sockopt::set_socket_send_buffer_size_force(socket, size(bytes)) {
            Err(Errno::PERM) => sockopt::set_socket_send_buffer_size(socket, size(bytes))?,
            other => other?,
        }
    }
    Ok(())
}

/// The kernel doubles it, as an `int`.
fn size(bytes: u32) -> usize {
    usize::try_from(bytes.min(i32::MAX as u32 / 2)).unwrap_or(usize::MAX)
}

/// One that rustix has not: `setsockopt(2)`.
fn set(socket: impl AsFd, level: i32, option: i32, value: &[u8]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(value.len()).map_err(|_| Errno::INVAL)?;
    let number = socket.as_fd().as_raw_fd();
    // SAFETY: the kernel reads `length` bytes from `value`, which is borrowed for the call and is that long.
    match unsafe { libc::setsockopt(number, level, option, value.as_ptr().cast(), length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
