//! The list that a service keeps beside the sockets its manager keeps for it: which of them are its own, and what files they made.
//!
//! A manager hands stored descriptors back among those of its `.socket` units, with nothing to tell them apart. What this list has
//! was opened by the service itself: it may be wanted at another address next time, it is removed from the store when it is
//! closed, and its file and its lock are the service's. Source: `sd_listen_fds(3)`, "Notes"; the specification, library T28.
//!
//! It is text: a line of the version, then a line for each socket: which one, the address it was bound at, its file, what becomes
//! of that, the file of the lock, its name. `-` is none.
//!
//! ```text
//! eudaemon.stored 1
//! 8.30123 tcp:[::]:80 - - - web
//! 8.30126 unix:/run/web.sock 26.1201 removed 26.1199 admin
//! ```

use crate::address::Address;
use crate::listen;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// The name the list is stored under.
pub const LIST: &str = "eudaemon.stored";
/// The name of what is stored only to see whether it is kept.
pub const PROBE: &str = "eudaemon.probe";
/// How the names begin under which the locks of paths are stored.
const LOCK: &str = "eudaemon.lock.";
/// How the other of the two names begins that a state has.
const OTHER: &str = "eudaemon.other.";

/// Which file it is, of all that are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Inode {
    /// The file system.
    pub device: u64,
    /// The file within it.
    pub inode: u64,
}

/// A stored socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name it is stored under.
    pub name: String,
    /// The socket itself. Its file is another one.
    pub socket: Inode,
    /// The address the library bound it at. `None`: the service opened it by itself.
    pub address: Option<Address>,
    /// The file it made, at the path of that address.
    pub file: Option<File>,
}

/// A file that a socket made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Which one.
    pub inode: Inode,
    /// Whether it is removed in the end.
    pub is_removed: bool,
    /// The file of its lock, whose descriptor is stored too: see [`lock_name`].
    pub lock: Option<Inode>,
}

/// Why a list cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wrong {
    /// It is none, or of another version.
    Version,
    /// This line, counted from 1, says nothing that is known.
    Line(usize),
}

/// The name under which the lock of a path is stored: one of its own, because what is removed from a store is all of a name.
#[must_use]
pub fn lock_name(lock: Inode) -> String {
    format!("{LOCK}{lock}")
}

/// The other name of a state. A new one is stored under the name that the old one has not, and only then is the old one
/// removed: there is no moment without any. `None`: there is no room for it.
#[must_use]
pub fn other_name(name: &str) -> Option<String> {
    let other = format!("{OTHER}{name}");
    listen::is_good_name(&other).then_some(other)
}

const HEAD: &str = "eudaemon.stored 1";
const NONE: &str = "-";
const REMOVED: &str = "removed";
const LEFT: &str = "left";

/// The text of a list.
#[must_use]
pub fn encode(entries: &[Entry]) -> String {
    let mut text = format!("{HEAD}\n");
    for entry in entries {
        let address = entry.address.as_ref();
        let address = address.map_or(NONE.to_owned(), |address| escaped(&address.to_string()));
        let or_none =
            |inode: Option<Inode>| inode.map_or(NONE.to_owned(), |inode| inode.to_string());
        let file = entry.file;
        let removed = match file.map(|file| file.is_removed) {
            Some(true) => REMOVED,
            Some(false) => LEFT,
            None => NONE,
        };
        text.push_str(&format!(
            "{} {address} {} {removed} {} {}\n",
            entry.socket,
            or_none(file.map(|file| file.inode)),
            or_none(file.and_then(|file| file.lock)),
            entry.name
        ));
    }
    text
}

/// Reads a list.
///
/// # Errors
/// [`Wrong`]: nothing of it counts then.
pub fn decode(bytes: &[u8]) -> Result<Vec<Entry>, Wrong> {
    let text = core::str::from_utf8(bytes).map_err(|_| Wrong::Version)?;
    let body = text
        .strip_prefix(HEAD)
        .and_then(|body| body.strip_prefix('\n'));
    let lines = body.ok_or(Wrong::Version)?.split_terminator('\n');
    let entries = lines.enumerate().map(|(at, line)| {
        // The first line is the version's.
        entry(line).ok_or(Wrong::Line(at + 2))
    });
    entries.collect()
}

fn entry(line: &str) -> Option<Entry> {
    // The name is last, for there may be blanks in it.
    let mut words = line.splitn(6, ' ');
    let socket = inode(words.next()?)?;
    let address = match words.next()? {
        NONE => None,
        address => Some(Address::parse(&unescaped(address)?).ok()?),
    };
    let or_none = |word: &str| match word {
        NONE => Some(None),
        word => inode(word).map(Some),
    };
    let (file, removed, lock) = (words.next()?, words.next()?, words.next()?);
    let file = match (or_none(file)?, removed, or_none(lock)?) {
        (None, NONE, None) => None,
        (Some(inode), REMOVED | LEFT, lock) if address.is_some() => Some(File {
            inode,
            is_removed: removed == REMOVED,
            lock,
        }),
        _ => return None,
    };
    let name = words.next()?;
    listen::is_good_name(name).then(|| Entry {
        name: name.to_owned(),
        socket,
        address,
        file,
    })
}

fn inode(word: &str) -> Option<Inode> {
    let (device, inode) = word.split_once('.')?;
    Some(Inode {
        device: device.parse().ok()?,
        inode: inode.parse().ok()?,
    })
}

/// Without blanks and line ends.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' if byte != b'%' => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02x}")),
        }
    }
    out
}

fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let digit = |digit: &u8| char::from(*digit).to_digit(16);
                bytes.push(u8::try_from(digit(high)? * 16 + digit(low)?).ok()?);
                tail
            }
            (b'%', _) => return None,
            (byte, tail) => {
                bytes.push(*byte);
                tail
            }
        };
    }
    String::from_utf8(bytes).ok()
}

impl fmt::Display for Inode {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}.{}", self.device, self.inode)
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Version => to.write_str("no list of stored sockets of version 1"),
            Wrong::Line(line) => write!(to, "line {line} of the list of stored sockets"),
        }
    }
}

impl core::error::Error for Wrong {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn inode(device: u64, inode: u64) -> Inode {
        Inode { device, inode }
    }

    fn some() -> Vec<Entry> {
        let entry = |name: &str, address: Option<&str>, file| Entry {
            name: name.to_owned(),
            socket: inode(8, u64::MAX),
            address: address.map(|address| Address::parse(address).unwrap()),
            file,
        };
        let made = |is_removed, lock| {
            Some(File {
                inode: inode(26, 1201),
                is_removed,
                lock,
            })
        };
        vec![
            entry("web", Some("tcp:[::]:80"), None),
            entry("", None, None),
            entry(
                " a b ",
                Some("unix:/run/x y%/\nä"),
                made(true, Some(inode(26, 7))),
            ),
            entry("log", Some("unix-dgram:/run/log"), made(false, None)),
            entry("web", Some("seqpacket:@web"), None),
        ]
    }

    #[test]
    fn what_was_written_is_read() {
        for entries in [Vec::new(), some()] {
            assert_eq!(decode(encode(&entries).as_bytes()), Ok(entries));
        }
        assert_eq!(
            encode(&some()[2..3]),
            "eudaemon.stored 1\n8.18446744073709551615 unix:/run/x%20y%25/%0a%c3%a4 26.1201 removed 26.7  a b \n"
        );
    }

    #[test]
    fn what_is_none_is_refused_and_where() {
        for text in ["", "eudaemon.stored 1", "eudaemon.stored 2\n", "\u{ff}"] {
            assert_eq!(decode(text.as_bytes()), Err(Wrong::Version), "{text}");
        }
        assert_eq!(decode(b"eudaemon.stored 1\n\xff"), Err(Wrong::Version));
        for line in [
            "",
            "8.1",
            "8 tcp:80 - - - web",
            "8.-1 tcp:80 - - - web",
            "8.1 http - - - web",
            "8.1 tcp:80 - - web",
            "8.1 tcp:80 - - - a:b",
            "8.1 unix:/a% 1.1 left - web",
            "8.1 unix:/a%0 1.1 left - web",
            "8.1 unix:/a%zz 1.1 left - web",
            "8.1 unix:/a%ff 1.1 left - web",
            "8.1 unix:/a 1.1 - - web",
            "8.1 unix:/a 1.1 perhaps - web",
            "8.1 unix:/a - left - web",
            "8.1 unix:/a - - 1.1 web",
            "8.1 - 1.1 left - web",
        ] {
            let text = encode(&some()[..1]) + line + "\n";
            assert_eq!(decode(text.as_bytes()), Err(Wrong::Line(3)), "{text}");
        }
    }

    /// Whatever bytes come, there is an answer; and what is understood is written the same way again.
    #[test]
    fn no_bytes_are_too_strange() {
        let text = encode(&some()).into_bytes();
        for at in 0..text.len() {
            for byte in [0, b' ', b'\n', b'%', b'0', b'-', 0xff] {
                let mut spoilt = text.clone();
                spoilt[at] = byte;
                if let Ok(entries) = decode(&spoilt) {
                    assert_eq!(decode(encode(&entries).as_bytes()), Ok(entries));
                }
                let _cut = decode(&text[..at]);
            }
        }
    }

    #[test]
    fn the_library_s_names_are_names_and_its_own() {
        let lock = lock_name(inode(u64::MAX, u64::MAX));
        for name in [LIST, PROBE, &lock, &other_name("state").unwrap()] {
            assert!(listen::is_good_name(name) && listen::is_reserved(name));
        }
        assert_ne!(lock_name(inode(1, 23)), lock_name(inode(12, 3)));
        assert_eq!(other_name("a:b"), None);
        assert_eq!(other_name(&"x".repeat(255)), None);
    }
}
