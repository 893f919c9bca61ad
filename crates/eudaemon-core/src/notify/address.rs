//! Where messages are sent: what `NOTIFY_SOCKET` says.

use super::number;
use core::fmt;

/// An address of a manager. Source: `sd_notify(3)`, `$NOTIFY_SOCKET`; library §4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Address<'a> {
    /// A socket in the file system, by its absolute path.
    Path(&'a [u8]),
    /// A socket of the abstract namespace, by its name without the `@`. Source: `unix(7)`, "Abstract sockets".
    Abstract(&'a [u8]),
    /// A socket of the host, seen from a virtual machine. Source: `vsock(7)`.
    Vsock {
        /// The host's context identifier.
        cid: u32,
        /// Its port.
        port: u32,
        /// How messages travel.
        transport: Transport,
    },
}

/// How messages travel to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// As datagrams where there are any, else in a sequence of packets, else in a stream. `vsock:`
    Any,
    /// As datagrams. `vsock-dgram:`
    Datagram,
    /// In a sequence of packets, a connection each. `vsock-seqpacket:`
    Packets,
    /// In a stream, a connection each. `vsock-stream:`
    Stream,
}

/// Why an address cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BadAddress {
    /// It begins neither with `/` nor with `@` nor with `vsock`.
    Unknown,
    /// It has no name, or one with a zero byte.
    NoName,
    /// It is longer than the 107 bytes an address has room for. Source: `unix(7)`.
    TooLong,
    /// It is `vsock`, and not with a context identifier, which must not be "any", and a port.
    Vsock,
}

/// The context identifier that means any. Source: `vsock(7)`, `VMADDR_CID_ANY`; `VMADDR_PORT_ANY` is the same number.
const ANY: u64 = 0xffff_ffff;
/// Most bytes of a path, or of a name and its leading zero byte. Source: `unix(7)`: 108 with the path's final zero.
const MOST: usize = 107;

impl<'a> Address<'a> {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &'a [u8]) -> Result<Address<'a>, BadAddress> {
        match text {
            [b'/', _, ..] | [b'@', _, ..] if text.contains(&0) => Err(BadAddress::NoName),
            [b'/', _, ..] | [b'@', _, ..] if text.len() > MOST => Err(BadAddress::TooLong),
            [b'/', _, ..] => Ok(Address::Path(text)),
            [b'@', name @ ..] if !name.is_empty() => Ok(Address::Abstract(name)),
            [b'/' | b'@'] => Err(BadAddress::NoName),
            _ => Address::vsock(text),
        }
    }

    fn vsock(text: &[u8]) -> Result<Address<'a>, BadAddress> {
        let mut parts = text.split(|byte| *byte == b':');
        let transport = match parts.next() {
            Some(b"vsock") => Transport::Any,
            Some(b"vsock-dgram") => Transport::Datagram,
            Some(b"vsock-seqpacket") => Transport::Packets,
            Some(b"vsock-stream") => Transport::Stream,
            _ => return Err(BadAddress::Unknown),
        };
        let mut part = || {
            let value = number(parts.next()?).filter(|value| *value < ANY)?;
            u32::try_from(value).ok()
        };
        match (part(), part(), parts.next()) {
            (Some(cid), Some(port), None) => Ok(Address::Vsock {
                cid,
                port,
                transport,
            }),
            _ => Err(BadAddress::Vsock),
        }
    }
}

impl fmt::Display for BadAddress {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            BadAddress::Unknown => "neither a path, nor @ and a name, nor vsock:CID:PORT",
            BadAddress::NoName => "an address without a name",
            BadAddress::TooLong => "an address of more than 107 bytes",
            BadAddress::Vsock => "vsock: without a context identifier and a port",
        })
    }
}

impl core::error::Error for BadAddress {}
