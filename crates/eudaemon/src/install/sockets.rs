//! The addresses at which a manager listens for the service.

use super::InstallError;
use crate::Manifest;
pub(super) use eudaemon_core::address::{Address, Kind, Place};

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
            why: "no address at which a manager can listen: tcp:IP:PORT, udp:IP:PORT, unix:/PATH, unix:@NAME, unix-dgram:…, seqpacket:…, vsock:CID:PORT, fifo:/PATH, special:/PATH, mq:/NAME",
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

/// An address that a manager can be told: one line of a file, and no port that it would pick without telling anybody.
fn address(text: &str) -> Option<Address> {
    let address = Address::parse(text).ok()?;
    // Source: unix(7): 108 bytes, with the NUL behind a path.
    let plain = |path: &str| path.len() <= 107 && path.bytes().all(|byte| byte.is_ascii_graphic());
    let can_be_told = match &address.place {
        Place::Ip(at) => at.port() > 0,
        Place::Path(text) | Place::Abstract(text) => plain(text),
        Place::Fifo(text) | Place::Special(text) | Place::Queue(text) => {
            text.bytes().all(|byte| byte.is_ascii_graphic())
        }
        // Source: systemd.socket(5): messages in order are of unix sockets only, in every version.
        Place::Vsock { .. } => address.kind != Some(Kind::Sequential),
        Place::Inherited(_) | Place::Number(_) => false,
    };
    can_be_told.then_some(address)
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
            "vsock-dgram:3:80",
            "fifo:/run/x",
            "special:/dev/kmsg",
            "mq:/x",
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
            "fifo:/a b",
            "vsock:80",
            "vsock:x:80",
            "vsock-seqpacket::80",
            "65536",
        ] {
            assert_eq!(address(bad), None, "{bad}");
        }
        assert!(address(&format!("unix:/{}", "x".repeat(106))).is_some());
        assert!(address(&format!("unix:/{}", "x".repeat(107))).is_none());
    }
}
