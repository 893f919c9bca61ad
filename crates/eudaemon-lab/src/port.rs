//! A port that nobody else on this machine takes.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

/// First port that the kernel gives to those who ask for any. Source: ip(7), ip_local_port_range.
const EPHEMERAL: u16 = 32_768;

/// A free TCP port of the loopback, ours while this is held: other judges on this machine take the name first, and clients are
/// given ports above [`EPHEMERAL`] by the kernel.
#[derive(Debug)]
pub struct Port {
    /// The port.
    pub number: u16,
    _name: UnixListener,
}

impl Port {
    /// Finds one.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn free() -> Port {
        let first = u16::try_from(std::process::id() % 20_000).unwrap_or(0) + 10_000;
        for number in (first..EPHEMERAL).chain(10_000..first) {
            // An abstract name is of the network namespace, as a port is, and leaves no file.
            let name = SocketAddr::from_abstract_name(format!("eudaemon-lab-port-{number}"));
            let held = UnixListener::bind_addr(&name.expect("a short name"));
            let free = TcpListener::bind(("127.0.0.1", number)).is_ok();
            if let (Ok(name), true) = (held, free) {
                return Port {
                    number,
                    _name: name,
                };
            }
        }
        panic!("no free port on the loopback");
    }
}
