//! The addresses at which a manager listens for the service.

use super::InstallError;
use crate::Manifest;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// What kind of socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Stream,
    Datagram,
    Sequential,
}

/// Where it is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Ip(SocketAddr),
    /// An absolute path.
    Path(String),
    Abstract(String),
    Vsock {
        cid: Option<u32>,
        port: u32,
    },
}

/// One socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) kind: Kind,
    pub(super) place: Place,
}

/// The sockets of one name, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) addresses: Vec<Address>,
}

/// The manifest's sockets by name.
pub(super) fn groups(manifest: &Manifest) -> Result<Vec<Group>, InstallError> {
    let mut groups: Vec<Group> = Vec::new();
    for (name, text) in &manifest.sockets {
        // Source: systemd.socket(5), FileDescriptorName=: ASCII, no control characters, no ':', at most 255.
        let good = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b':';
        if name.is_empty() || name.len() > 100 || !name.bytes().all(good) {
            return Err(InstallError::Inexpressible {
                what: format!("{name:?}"),
                why: "printable ASCII without ':' names a socket",
            });
        }
        let address = address(text).ok_or_else(|| InstallError::Inexpressible {
            what: format!("{text:?}"),
            why: "no address at which a manager can listen: tcp:IP:PORT, udp:IP:PORT, unix:/PATH, unix:@NAME, unix-dgram:…, seqpacket:…, vsock:CID:PORT",
        })?;
        match groups.iter_mut().find(|group| group.name == *name) {
            Some(group) => group.addresses.push(address),
            None => groups.push(Group {
                name: name.clone(),
                addresses: vec![address],
            }),
        }
    }
    Ok(groups)
}

fn address(text: &str) -> Option<Address> {
    let (kind, rest) = match text.split_once(':') {
        Some(("tcp", rest)) => return ip(Kind::Stream, rest),
        Some(("udp", rest)) => return ip(Kind::Datagram, rest),
        Some(("vsock", rest)) => return vsock(rest),
        Some(("unix", rest)) => (Kind::Stream, rest),
        Some(("unix-dgram", rest)) => (Kind::Datagram, rest),
        Some(("seqpacket", rest)) => (Kind::Sequential, rest),
        _ if text.starts_with('/') => (Kind::Stream, text),
        _ => return ip(Kind::Stream, text),
    };
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    // Source: unix(7): 108 bytes, with the NUL before an abstract name or behind a path.
    let fits = rest.len() <= 107 && rest.len() > 1 && plain(rest);
    let place = match rest.strip_prefix('@') {
        Some(name) => Place::Abstract(name.to_owned()),
        None if rest.starts_with('/') => Place::Path(rest.to_owned()),
        None => return None,
    };
    fits.then_some(Address { kind, place })
}

/// An IP address with a port; a port alone, or with `*`, is any address of both families.
fn ip(kind: Kind, text: &str) -> Option<Address> {
    let any = text
        .strip_prefix("*:")
        .or(text.strip_prefix(':'))
        .unwrap_or(text);
    let at = match any.parse::<u16>() {
        Ok(port) => SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port),
        Err(_) => text.parse().ok()?,
    };
    // A manager that picks a port tells nobody which.
    (at.port() > 0).then_some(Address {
        kind,
        place: Place::Ip(at),
    })
}

fn vsock(text: &str) -> Option<Address> {
    let (cid, port) = text.rsplit_once(':')?;
    let cid = match cid {
        "" => None,
        cid => Some(cid.parse().ok()?),
    };
    Some(Address {
        kind: Kind::Stream,
        place: Place::Vsock {
            cid,
            port: port.parse().ok()?,
        },
    })
}

impl Address {
    /// The port and whether only this machine reaches it, if it is one of IP.
    pub(super) fn ip(&self) -> Option<SocketAddr> {
        match &self.place {
            Place::Ip(at) => Some(*at),
            Place::Path(_) | Place::Abstract(_) | Place::Vsock { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_or_is_refused() {
        for good in [
            "tcp:[::]:80",
            "0.0.0.0:80",
            "80",
            ":80",
            "*:80",
            "udp:127.0.0.1:53",
            "unix:/run/x",
            "/run/x",
            "unix:@x",
            "seqpacket:/run/x",
            "unix-dgram:/run/x",
            "vsock::80",
            "vsock:3:80",
        ] {
            assert!(address(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "0",
            "tcp:",
            "tcp:80x",
            "localhost:80",
            "tcp:[::]",
            "127.0.0.1:0",
            "unix:",
            "unix:x",
            "unix:@",
            "unix:/a b",
            "unix:/a\nb",
            "fd:7",
            "inherit:web",
            "vsock:80",
            "vsock:x:80",
            "65536",
        ] {
            assert_eq!(address(bad), None, "{bad}");
        }
        assert!(address(&format!("unix:/{}", "x".repeat(106))).is_some());
        assert!(address(&format!("unix:/{}", "x".repeat(107))).is_none());
    }
}
