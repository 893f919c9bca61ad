//! Where a debug server may be.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// `unix:/PATH`, `tcp:127.0.0.1:PORT` or `tcp:[::1]:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// A socket file, by its absolute path.
    Unix(PathBuf),
    /// An address and a port; no names, which somebody else would resolve.
    Tcp(SocketAddr),
}

/// It is none of the forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressError(String);

impl fmt::Display for AddressError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{:?} is not unix:/PATH or tcp:ADDRESS:PORT", self.0)
    }
}

impl std::error::Error for AddressError {}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        let parsed = match text.split_once(':') {
            Some(("unix", path)) if path.starts_with('/') => Some(Address::Unix(path.into())),
            Some(("tcp", address)) => address.parse().ok().map(Address::Tcp),
            Some(_) | None => None,
        };
        parsed.ok_or_else(|| AddressError(text.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(to, "unix:{}", path.display()),
            Address::Tcp(address) => write!(to, "tcp:{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_and_written() {
        for good in ["unix:/run/x.sock", "tcp:127.0.0.1:80", "tcp:[::1]:0"] {
            assert_eq!(good.parse::<Address>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "unix:x",
            "tcp:localhost:80",
            "tcp::80",
            "127.0.0.1:80",
            "tcp:[::1]",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }
}
