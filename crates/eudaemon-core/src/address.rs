//! The address of a socket as people write it: `tcp:[::]:80`, `unix:/run/web.sock`.
//!
//! `tcp:IP:PORT` and `udp:IP:PORT`, where a port alone, or with `*`, means every address of both families; `unix:`,
//! `unix-dgram:` and `seqpacket:` with an absolute path or `@NAME`, an abstract name; `vsock:CID:PORT`, `vsock-dgram:` and
//! `vsock-seqpacket:`, where no CID means any. `fifo:/PATH`, `special:/PATH`, a device or a file, and `mq:/NAME`, a message
//! queue, are no sockets and are listened at all the same. `inherit:NAME` and `fd:NUMBER` are what somebody else has opened.
//! What has no such word before it is a path if it begins with `/`, and else one of TCP. Names are not looked up: what they
//! lead to may change between two starts, and need a network that is not there yet.
//!
//! Source: `systemd.socket(5)`, `ListenStream=` to `ListenMessageQueue=`; the specification, library §8.

use crate::listen::FIRST;
use crate::notify::{is_name, number as digits};
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
    /// The absolute path of a FIFO. Source: `fifo(7)`.
    Fifo(String),
    /// The absolute path of a regular file or a character device.
    Special(String),
    /// A POSIX message queue, with its `/`. Source: `mq_overview(7)`.
    Queue(String),
    /// Nowhere: it is what was handed over under this name, or nothing.
    Inherited(String),
    /// Nowhere: it is the descriptor of this number that was handed over, or nothing.
    Number(u32),
}

/// The address of one socket, or of what is used as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// How what is sent arrives; `None` if it is no socket, or is not bound.
    pub kind: Option<Kind>,
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
    /// It is no absolute path of a file.
    File,
    /// It is no `/NAME` of a message queue: one `/`, and at most 254 bytes behind it. Source: `mq_overview(7)`.
    Queue,
    /// It is no name that can have been handed over, or no number of a descriptor.
    Inherited,
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
            Some(("vsock" | "vsock-stream", rest)) => vsock(Kind::Stream, rest),
            Some(("vsock-dgram", rest)) => vsock(Kind::Datagram, rest),
            Some(("vsock-seqpacket", rest)) => vsock(Kind::Sequential, rest),
            Some(("unix", rest)) => unix(Kind::Stream, rest),
            Some(("unix-dgram", rest)) => unix(Kind::Datagram, rest),
            Some(("seqpacket", rest)) => unix(Kind::Sequential, rest),
            Some(("fifo", rest)) => file(rest).map(Place::Fifo).map(Address::of_no_socket),
            Some(("special", rest)) => file(rest).map(Place::Special).map(Address::of_no_socket),
            Some(("mq", rest)) => queue(rest).map(Address::of_no_socket),
            Some(("inherit", rest)) => inherited(rest).map(Address::of_no_socket),
            Some(("fd", rest)) => number(rest).map(Address::of_no_socket),
            _ if text.starts_with('/') => unix(Kind::Stream, text),
            _ => ip(Kind::Stream, text),
        }
    }

    /// The address and port, if it is one of IP.
    #[must_use]
    pub fn ip(&self) -> Option<SocketAddr> {
        match &self.place {
            Place::Ip(at) => Some(*at),
            Place::Path(_)
            | Place::Abstract(_)
            | Place::Vsock { .. }
            | Place::Fifo(_)
            | Place::Special(_)
            | Place::Queue(_)
            | Place::Inherited(_)
            | Place::Number(_) => None,
        }
    }

    /// Whether it is one of something to be handed over, which cannot be bound.
    #[must_use]
    pub fn is_inherited(&self) -> bool {
        matches!(self.place, Place::Inherited(_) | Place::Number(_))
    }

    fn of_no_socket(place: Place) -> Address {
        Address { kind: None, place }
    }
}

fn is_file(text: &str) -> bool {
    text.starts_with('/') && !text.ends_with('/') && !text.contains('\0')
}

fn file(text: &str) -> Result<String, Wrong> {
    match is_file(text) {
        true => Ok(text.to_owned()),
        false => Err(Wrong::File),
    }
}

fn queue(text: &str) -> Result<Place, Wrong> {
    let name = text.strip_prefix('/').ok_or(Wrong::Queue)?;
    // The two are directories in the file system of queues.
    let is_name = (1..=254).contains(&name.len()) && name != "." && name != "..";
    match is_name && !name.contains(['/', '\0']) {
        true => Ok(Place::Queue(text.to_owned())),
        false => Err(Wrong::Queue),
    }
}

fn inherited(text: &str) -> Result<Place, Wrong> {
    match !text.is_empty() && is_name(text.as_bytes()) {
        true => Ok(Place::Inherited(text.to_owned())),
        false => Err(Wrong::Inherited),
    }
}

/// Of the three before 3, a program's own, only standard input may be something that was handed over. Source:
/// `sd_listen_fds(3)`, `SD_LISTEN_FDS_START`; `inetd(8)`.
fn number(text: &str) -> Result<Place, Wrong> {
    let number = digits(text.as_bytes()).and_then(|number| i32::try_from(number).ok());
    let number = number.and_then(|number| u32::try_from(number).ok());
    let number = number.filter(|number| *number == 0 || *number >= FIRST);
    number.map(Place::Number).ok_or(Wrong::Inherited)
}

fn unix(kind: Kind, text: &str) -> Result<Address, Wrong> {
    let place = match text.strip_prefix('@') {
        Some("") => return Err(Wrong::Path),
        // A NUL stands before it, in 108 bytes.
        Some(name) if name.len() > 107 => return Err(Wrong::Long),
        Some(name) => Place::Abstract(name.to_owned()),
        None if is_file(text) => Place::Path(text.to_owned()),
        None => return Err(Wrong::Path),
    };
    match text.contains('\0') {
        true => Err(Wrong::Path),
        false => Ok(Address {
            kind: Some(kind),
            place,
        }),
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
        kind: Some(kind),
        place: Place::Ip(at),
    })
}

fn vsock(kind: Kind, text: &str) -> Result<Address, Wrong> {
    let (cid, port) = text.rsplit_once(':').ok_or(Wrong::Vsock)?;
    let read = |text: &str| text.parse().map_err(|_| Wrong::Vsock);
    let cid = match cid {
        "" => None,
        cid => Some(read(cid)?),
    };
    let port = read(port)?;
    Ok(Address {
        kind: Some(kind),
        place: Place::Vsock { cid, port },
    })
}

impl fmt::Display for Address {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |stream, datagram, sequential| match self.kind {
            Some(Kind::Datagram) => datagram,
            Some(Kind::Sequential) => sequential,
            Some(Kind::Stream) | None => stream,
        };
        let unix = || of("unix", "unix-dgram", "seqpacket");
        match &self.place {
            Place::Ip(at) => write!(to, "{}:{at}", of("tcp", "udp", "tcp")),
            Place::Path(path) => write!(to, "{}:{path}", unix()),
            Place::Abstract(name) => write!(to, "{}:@{name}", unix()),
            Place::Vsock { cid, port } => {
                write!(to, "{}:", of("vsock", "vsock-dgram", "vsock-seqpacket"))?;
                match cid {
                    Some(cid) => write!(to, "{cid}:{port}"),
                    None => write!(to, ":{port}"),
                }
            }
            Place::Fifo(path) => write!(to, "fifo:{path}"),
            Place::Special(path) => write!(to, "special:{path}"),
            Place::Queue(name) => write!(to, "mq:{name}"),
            Place::Inherited(name) => write!(to, "inherit:{name}"),
            Place::Number(number) => write!(to, "fd:{number}"),
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Wrong::Ip => {
                "no address: tcp:IP:PORT, udp:IP:PORT, unix:/PATH, unix:@NAME, unix-dgram:…, seqpacket:…, vsock:CID:PORT, fifo:/PATH, special:/PATH, mq:/NAME, inherit:NAME, fd:NUMBER"
            }
            Wrong::Path => "neither an absolute path of a file nor @NAME",
            Wrong::Long => "an abstract name has at most 107 bytes",
            Wrong::Vsock => "no CID:PORT",
            Wrong::File => "no absolute path of a file",
            Wrong::Queue => "no /NAME of at most 255 bytes with one / in it",
            Wrong::Inherited => {
                "neither a name of printable ASCII without a colon nor 0 or a number from 3 on"
            }
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
            ("vsock-stream:3:80", "vsock:3:80"),
            ("vsock-dgram::80", "vsock-dgram::80"),
            ("vsock-seqpacket:3:80", "vsock-seqpacket:3:80"),
            ("fifo:/run/x", "fifo:/run/x"),
            ("special:/dev/kmsg", "special:/dev/kmsg"),
            ("mq:/x", "mq:/x"),
            ("inherit:web", "inherit:web"),
            ("fd:7", "fd:7"),
            ("fd:0", "fd:0"),
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
            ("pipe:/run/x", Wrong::Ip),
            ("fd:2", Wrong::Inherited),
            ("fd:x", Wrong::Inherited),
            ("fd:+7", Wrong::Inherited),
            ("fd:-3", Wrong::Inherited),
            ("fd:2147483648", Wrong::Inherited),
            ("inherit:", Wrong::Inherited),
            ("inherit:a:b", Wrong::Inherited),
            ("fifo:x", Wrong::File),
            ("fifo:@x", Wrong::File),
            ("fifo:/run/", Wrong::File),
            ("special:/a\0b", Wrong::File),
            ("mq:x", Wrong::Queue),
            ("mq:/", Wrong::Queue),
            ("mq:/..", Wrong::Queue),
            ("mq:/a/b", Wrong::Queue),
            ("mq:/a\0b", Wrong::Queue),
            ("vsock-dgram:80", Wrong::Vsock),
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
        let queue = |length| Address::parse(&alloc::format!("mq:/{}", "x".repeat(length)));
        assert!(queue(254).is_ok());
        assert_eq!(queue(255), Err(Wrong::Queue));
    }
}
