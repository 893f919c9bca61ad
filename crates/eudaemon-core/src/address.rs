//! The address of a socket as people write it: `tcp:[::]:80`, `unix:/run/web.sock`.
//!
//! `tcp:IP:PORT` and `udp:IP:PORT`, where a port alone, or with `*`, means every address of both families; `unix:`,
//! `unix-dgram:` and `seqpacket:` with an absolute path or `@NAME`, an abstract name; `vsock:CID:PORT`, where no CID means any.
//! What has no such word before it is a path if it begins with `/`, and else one of TCP. Names are not looked up: what they
//! lead to may change between two starts, and need a network that is not there yet.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

/// How what is sent arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As a stream, over connections.
    Stream,
    /// As datagrams.
    Datagram,
    /// As messages in order, over connections.
    Sequential,
}

/// Where a socket is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An address of IP. Port 0 is any free one.
    Ip(SocketAddr),
    /// An absolute path of a unix socket.
    Path(String),
    /// An abstract name of a unix socket, without the `@`.
    Abstract(String),
    /// A virtual machine and its host. Source: `vsock(7)`.
    Vsock {
        /// Which of them; any, if none is given.
        cid: Option<u32>,
        /// The port.
        port: u32,
    },
}

/// The address of one socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// How what is sent arrives.
    pub kind: Kind,
    /// Where it is bound.
    pub place: Place,
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wrong {
    /// There is no IP address with a port.
    Ip,
    /// It is neither an absolute path nor an abstract name, or has a NUL in it.
    Path,
    /// An abstract name does not fit: it has at most 107 bytes. Source: `unix(7)`.
    Long,
    /// It is no `CID:PORT`.
    Vsock,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// [`Wrong`].
    pub fn parse(text: &str) -> Result<Address, Wrong> {
        match text.split_once(':') {
            Some(("tcp", rest)) => ip(Kind::Stream, rest),
            Some(("udp", rest)) => ip(Kind::Datagram, rest),
            Some(("vsock", rest)) => vsock(rest).ok_or(Wrong::Vsock),
            Some(("unix", rest)) => unix(Kind::Stream, rest),
            Some(("unix-dgram", rest)) => unix(Kind::Datagram, rest),
            Some(("seqpacket", rest)) => unix(Kind::Sequential, rest),
            _ if text.starts_with('/') => unix(Kind::Stream, text),
            _ => ip(Kind::Stream, text),
        }
    }

    /// The address and port, if it is one of IP.
    #[must_use]
    pub fn ip(&self) -> Option<SocketAddr> {
        match &self.place {
            Place::Ip(at) => Some(*at),
            Place::Path(_) | Place::Abstract(_) | Place::Vsock { .. } => None,
        }
    }
}

fn unix(kind: Kind, text: &str) -> Result<Address, Wrong> {
    let place = match text.strip_prefix('@') {
        Some("") => return Err(Wrong::Path),
        // A NUL stands before it, in 108 bytes.
        Some(name) if name.len() > 107 => return Err(Wrong::Long),
        Some(name) => Place::Abstract(name.to_owned()),
        None if text.starts_with('/') && !text.ends_with('/') => Place::Path(text.to_owned()),
        None => return Err(Wrong::Path),
    };
    match text.contains('\0') {
        true => Err(Wrong::Path),
        false => Ok(Address { kind, place }),
    }
}

/// An IP address with a port; a port alone, or with `*`, is any address of both families.
fn ip(kind: Kind, text: &str) -> Result<Address, Wrong> {
    let any = text
        .strip_prefix("*:")
        .or(text.strip_prefix(':'))
        .unwrap_or(text);
    let at = match any.parse::<u16>() {
        Ok(port) => SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port),
        Err(_) => text.parse().map_err(|_| Wrong::Ip)?,
    };
    Ok(Address {
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

impl fmt::Display for Address {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match (self.kind, &self.place) {
            (_, Place::Vsock { cid: None, port }) => return write!(to, "vsock::{port}"),
            (
                _,
                Place::Vsock {
                    cid: Some(cid),
                    port,
                },
            ) => return write!(to, "vsock:{cid}:{port}"),
            (Kind::Datagram, Place::Ip(_)) => "udp",
            (_, Place::Ip(_)) => "tcp",
            (Kind::Stream, _) => "unix",
            (Kind::Datagram, _) => "unix-dgram",
            (Kind::Sequential, _) => "seqpacket",
        };
        match &self.place {
            Place::Ip(at) => write!(to, "{word}:{at}"),
            Place::Path(path) => write!(to, "{word}:{path}"),
            Place::Abstract(name) => write!(to, "{word}:@{name}"),
            Place::Vsock { .. } => Ok(()),
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Wrong::Ip => {
                "no address: tcp:IP:PORT, udp:IP:PORT, unix:/PATH, unix:@NAME, unix-dgram:…, seqpacket:…, vsock:CID:PORT"
            }
            Wrong::Path => "neither an absolute path of a file nor @NAME",
            Wrong::Long => "an abstract name has at most 107 bytes",
            Wrong::Vsock => "no CID:PORT",
        })
    }
}

impl core::error::Error for Wrong {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn what_is_written_is_read_and_written_again() {
        for (text, again) in [
            ("tcp:[::]:80", "tcp:[::]:80"),
            ("0.0.0.0:80", "tcp:0.0.0.0:80"),
            ("80", "tcp:[::]:80"),
            ("0", "tcp:[::]:0"),
            (":80", "tcp:[::]:80"),
            ("*:80", "tcp:[::]:80"),
            ("udp:127.0.0.1:53", "udp:127.0.0.1:53"),
            ("/run/x", "unix:/run/x"),
            ("unix:/run/a b", "unix:/run/a b"),
            ("unix:@x", "unix:@x"),
            ("unix-dgram:/run/x", "unix-dgram:/run/x"),
            ("seqpacket:@x", "seqpacket:@x"),
            ("vsock::80", "vsock::80"),
            ("vsock:3:80", "vsock:3:80"),
        ] {
            let address = Address::parse(text).expect(text);
            assert_eq!(address.to_string(), again, "{text}");
            assert_eq!(Address::parse(again), Ok(address));
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for (text, wrong) in [
            ("", Wrong::Ip),
            ("tcp:", Wrong::Ip),
            ("tcp:80x", Wrong::Ip),
            ("tcp:localhost:80", Wrong::Ip),
            ("tcp:[::]", Wrong::Ip),
            ("65536", Wrong::Ip),
            ("fd:7", Wrong::Ip),
            ("inherit:web", Wrong::Ip),
            ("fifo:/run/x", Wrong::Ip),
            ("unix:", Wrong::Path),
            ("unix:x", Wrong::Path),
            ("unix:@", Wrong::Path),
            ("unix:/", Wrong::Path),
            ("unix:/run/", Wrong::Path),
            ("unix:/a\0b", Wrong::Path),
            ("vsock:80", Wrong::Vsock),
            ("vsock:x:80", Wrong::Vsock),
        ] {
            assert_eq!(Address::parse(text), Err(wrong), "{text}");
        }
        let named = |length| Address::parse(&alloc::format!("unix:@{}", "x".repeat(length)));
        assert!(named(107).is_ok());
        assert_eq!(named(108), Err(Wrong::Long));
    }
}
