//! What two processes of one daemon say while the second takes the place of the first: the old one hands over what it
//! serves, the new one says whether it serves.
//!
//! The line between them is a pair of sockets that keep messages apart, and each message is one frame: a byte for the version, a
//! byte for the kind, and the fields of the kind. Descriptors travel beside it (`unix(7)`, SCM_RIGHTS); [`Given::descriptors`]
//! says how many. In order:
//!
//! ```text
//! old to new   Item*  End            and once the new one is promoted   Promoted  Reload? Stop?  Client*  Done
//! new to old   Ready  or  Failed     instead of everything, from one that does not speak this version   Unable
//! ```
//!
//! Two programs of different age talk here, so nothing is guessed: an unknown version, an unknown kind, a field that is cut off or a
//! byte too many is an error with words. Two things are the same in every version there will be: the variable of [`Told`], and
//! [`Said::Unable`], which a new program says to an old one whose version it does not know.
//!
//! Numbers are little-endian; a text is its length in two bytes and its bytes; what may be missing begins with a byte that is 1 or 0.

mod read;
#[cfg(test)]
mod tests;

use crate::address::Kind;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use read::Fields;

/// The version that is spoken here.
pub const VERSION: u8 = 1;
/// The variable that tells a new process of its end of the line: `VERSION:PID:FD`. The process id is its own, so a child that
/// inherits the variable is not meant.
pub const VARIABLE: &str = "EUDAEMON_HANDOVER";
/// The number the new process finds its end of the line under.
pub const FD: u32 = 3;
/// The longest text of a frame; [`Given::encode`] and [`Said::encode`] cut what is longer if it is words for people, and
/// refuse it if it is not.
pub const TEXT_MOST: usize = 8 * 1024;
/// Room for every frame.
pub const FRAME_MOST: usize = 2 * TEXT_MOST;

const ITEM: u8 = 1;
const END: u8 = 2;
const PROMOTED: u8 = 3;
const CLIENT: u8 = 4;
const DONE: u8 = 5;
const RELOAD: u8 = 6;
const STOP: u8 = 7;
const READY: u8 = 16;
const FAILED: u8 = 17;
/// In every version.
const UNABLE: u8 = 18;

/// What a new process is told by [`VARIABLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The version the old process speaks. Whoever does not know it says [`Said::Unable`].
    pub version: u8,
    /// The descriptor of the line.
    pub fd: u32,
}

/// What the old process says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// Something that is handed over, with its descriptors.
    Item(Item),
    /// That was all of it.
    End {
        /// The how-manieth process of the daemon the new one is; the first is 0.
        generation: u32,
        /// How many items there were.
        items: u32,
    },
    /// The manager has been told: the new process is the main one, and what belongs to one alone is its own from here on.
    Promoted,
    /// The service is to reload: the old process was asked while it was being replaced, and the new one may have read its
    /// configuration before.
    Reload,
    /// The service is to stop: the old process was asked when it was too late to give up the new one.
    Stop,
    /// Somebody who is connected to the control socket, with the connection.
    Client {
        /// What was heard and not answered yet.
        heard: Vec<u8>,
        /// Whether it wants JSON.
        json: bool,
    },
    /// Nothing follows.
    Done,
}

/// Something that is handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A socket the daemon serves, and the lock of its path if there is one.
    Listener {
        /// The name it is served under.
        name: String,
        /// Where it is from: `manager`, `exported`, or the address the program bound.
        origin: String,
        /// The file it made.
        file: Option<SocketFile>,
    },
    /// What the service gives to its successor: a file in memory.
    State,
    /// The PID file, which is locked.
    Pidfile {
        /// Where it is, as the old process called it.
        path: Vec<u8>,
    },
    /// The file that says ready. No descriptor.
    ReadyFile {
        /// Where it is, as the old process calls it.
        path: Vec<u8>,
    },
    /// The listening control socket.
    Control {
        /// Where it is, as the old process called it.
        path: Vec<u8>,
    },
    /// The listening debug socket.
    Debug {
        /// Where it is, if it is a file.
        path: Option<Vec<u8>>,
    },
    /// The old process's own standard error: the new one's is a pipe to the old one, which ends with it.
    Stderr,
}

/// The file of a unix socket that the daemon made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketFile {
    /// Where it is, as the old process calls it.
    pub path: Vec<u8>,
    /// How it is connected to.
    pub kind: Kind,
    /// The file system it is on.
    pub device: u64,
    /// Which file of it.
    pub inode: u64,
    /// Whether the last one removes it.
    pub is_removed: bool,
    /// Whether the lock of the path follows the socket.
    pub is_locked: bool,
}

/// What the new process says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It serves as soon as it is promoted.
    Ready,
    /// It does not, and ends.
    Failed {
        /// The code it ends with.
        exit: u8,
        /// Why, for people.
        words: String,
    },
    /// It does not speak the version it was told, and ends. Read whatever version it says itself.
    Unable {
        /// Which it speaks, for people.
        words: String,
    },
}

/// Why a frame, or the variable, is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wrong {
    /// It is of another version.
    Version(u8),
    /// It is of a kind that is not known, or that the other side says.
    Kind(u8),
    /// It ends before its fields do.
    Short,
    /// It goes on behind its fields.
    Long,
    /// A field has a value it cannot have.
    Value,
    /// A text does not fit into a frame.
    TooLong,
    /// The variable is not `VERSION:PID:FD`.
    Variable,
}

impl Told {
    /// Reads the variable; `None` if another process is meant.
    ///
    /// # Errors
    /// [`Wrong::Variable`].
    pub fn read(value: &[u8], own_pid: u32) -> Result<Option<Told>, Wrong> {
        let parts = || {
            let mut parts = value.split(|byte| *byte == b':');
            let version = u8::try_from(number(parts.next()?)?).ok()?;
            let (pid, fd) = (number(parts.next()?)?, number(parts.next()?)?);
            parts.next().is_none().then_some((version, pid, fd))
        };
        let (version, pid, fd) = parts().ok_or(Wrong::Variable)?;
        if pid != own_pid {
            return Ok(None);
        }
        match (version, fd) {
            (1.., 3..) => Ok(Some(Told { version, fd })),
            (_, _) => Err(Wrong::Variable),
        }
    }

    /// What stands before the process id and behind it, in the variable as a whole: the process writes its own number.
    #[must_use]
    pub fn around_pid() -> (String, String) {
        let before = alloc::format!("{VARIABLE}={VERSION}:");
        (before, alloc::format!(":{FD}"))
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    plain.then(|| str::from_utf8(digits).ok()?.parse().ok())?
}

impl Given {
    /// How many descriptors travel with it.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        match self {
            Given::Item(item) => item.descriptors(),
            Given::Client { .. } => 1,
            Given::End { .. } | Given::Promoted | Given::Reload | Given::Stop | Given::Done => 0,
        }
    }

    /// The frame.
    ///
    /// # Errors
    /// [`Wrong::TooLong`].
    pub fn encode(&self) -> Result<Vec<u8>, Wrong> {
        let mut out = Vec::from([VERSION]);
        match self {
            Given::Item(item) => {
                out.push(ITEM);
                item.put(&mut out)?;
            }
            Given::End { generation, items } => {
                out.push(END);
                out.extend_from_slice(&generation.to_le_bytes());
                out.extend_from_slice(&items.to_le_bytes());
            }
            Given::Promoted => out.push(PROMOTED),
            Given::Reload => out.push(RELOAD),
            Given::Stop => out.push(STOP),
            Given::Client { heard, json } => {
                out.extend_from_slice(&[CLIENT, u8::from(*json)]);
                put_text(&mut out, heard)?;
            }
            Given::Done => out.push(DONE),
        }
        Ok(out)
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// [`Wrong`].
    pub fn decode(frame: &[u8]) -> Result<Given, Wrong> {
        let mut fields = Fields::of(frame);
        match fields.byte()? {
            VERSION => {}
            other => return Err(Wrong::Version(other)),
        }
        let given = match fields.byte()? {
            ITEM => Given::Item(Item::read(&mut fields)?),
            END => Given::End {
                generation: fields.number()?,
                items: fields.number()?,
            },
            PROMOTED => Given::Promoted,
            RELOAD => Given::Reload,
            STOP => Given::Stop,
            CLIENT => Given::Client {
                json: fields.flag()?,
                heard: fields.bytes()?,
            },
            DONE => Given::Done,
            other => return Err(Wrong::Kind(other)),
        };
        fields.end()?;
        Ok(given)
    }
}

impl Item {
    /// How many descriptors travel with it.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        match self {
            Item::Listener { file, .. } => {
                1 + usize::from(file.as_ref().is_some_and(|file| file.is_locked))
            }
            Item::State
            | Item::Pidfile { .. }
            | Item::Control { .. }
            | Item::Debug { .. }
            | Item::Stderr => 1,
            Item::ReadyFile { .. } => 0,
        }
    }

    fn put(&self, out: &mut Vec<u8>) -> Result<(), Wrong> {
        match self {
            Item::Listener { name, origin, file } => {
                out.push(b'l');
                put_text(out, name.as_bytes())?;
                out.push(u8::from(file.is_some()));
                file.as_ref().map_or(Ok(()), |file| file.put(out))?;
                put_text(out, origin.as_bytes())
            }
            Item::State => {
                out.push(b's');
                Ok(())
            }
            Item::Pidfile { path } => {
                out.push(b'p');
                put_text(out, path)
            }
            Item::ReadyFile { path } => {
                out.push(b'r');
                put_text(out, path)
            }
            Item::Control { path } => {
                out.push(b'c');
                put_text(out, path)
            }
            Item::Debug { path } => {
                out.extend_from_slice(&[b'd', u8::from(path.is_some())]);
                path.as_ref().map_or(Ok(()), |path| put_text(out, path))
            }
            Item::Stderr => {
                out.push(b'e');
                Ok(())
            }
        }
    }

    fn read(fields: &mut Fields<'_>) -> Result<Item, Wrong> {
        Ok(match fields.byte()? {
            b'l' => Item::Listener {
                name: fields.text()?,
                file: match fields.flag()? {
                    true => Some(SocketFile::read(fields)?),
                    false => None,
                },
                origin: fields.text()?,
            },
            b's' => Item::State,
            b'p' => Item::Pidfile {
                path: fields.bytes()?,
            },
            b'r' => Item::ReadyFile {
                path: fields.bytes()?,
            },
            b'c' => Item::Control {
                path: fields.bytes()?,
            },
            b'd' => Item::Debug {
                path: match fields.flag()? {
                    true => Some(fields.bytes()?),
                    false => None,
                },
            },
            b'e' => Item::Stderr,
            _ => return Err(Wrong::Value),
        })
    }
}

impl SocketFile {
    fn put(&self, out: &mut Vec<u8>) -> Result<(), Wrong> {
        let kind = match self.kind {
            Kind::Stream => 0,
            Kind::Datagram => 1,
            Kind::Sequential => 2,
        };
        out.extend_from_slice(&[kind, u8::from(self.is_removed), u8::from(self.is_locked)]);
        out.extend_from_slice(&self.device.to_le_bytes());
        out.extend_from_slice(&self.inode.to_le_bytes());
        put_text(out, &self.path)
    }

    fn read(fields: &mut Fields<'_>) -> Result<SocketFile, Wrong> {
        Ok(SocketFile {
            kind: match fields.byte()? {
                0 => Kind::Stream,
                1 => Kind::Datagram,
                2 => Kind::Sequential,
                _ => return Err(Wrong::Value),
            },
            is_removed: fields.flag()?,
            is_locked: fields.flag()?,
            device: fields.long()?,
            inode: fields.long()?,
            path: fields.bytes()?,
        })
    }
}

impl Said {
    /// The frame. Words that are too long lose their end.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::from([VERSION]);
        match self {
            Said::Ready => out.push(READY),
            Said::Failed { exit, words } => {
                out.extend_from_slice(&[FAILED, *exit]);
                put_words(&mut out, words);
            }
            Said::Unable { words } => {
                out.push(UNABLE);
                put_words(&mut out, words);
            }
        }
        out
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// [`Wrong`].
    pub fn decode(frame: &[u8]) -> Result<Said, Wrong> {
        let mut fields = Fields::of(frame);
        let version = fields.byte()?;
        let kind = fields.byte()?;
        let said = match (version, kind) {
            (_, UNABLE) => Said::Unable {
                words: fields.words()?,
            },
            (VERSION, READY) => Said::Ready,
            (VERSION, FAILED) => Said::Failed {
                exit: fields.byte()?,
                words: fields.words()?,
            },
            (VERSION, other) => return Err(Wrong::Kind(other)),
            (other, _) => return Err(Wrong::Version(other)),
        };
        fields.end()?;
        Ok(said)
    }

    /// What one says that was told a version it does not know.
    #[must_use]
    pub fn unable(told: u8) -> Said {
        let words =
            alloc::format!("it speaks version {VERSION} of the handover, and was told {told}");
        Said::Unable { words }
    }
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) -> Result<(), Wrong> {
    let length = u16::try_from(text.len()).ok();
    let length = length.filter(|length| usize::from(*length) <= TEXT_MOST);
    out.extend_from_slice(&length.ok_or(Wrong::TooLong)?.to_le_bytes());
    out.extend_from_slice(text);
    Ok(())
}

fn put_words(out: &mut Vec<u8>, words: &str) {
    let mut end = words.len().min(TEXT_MOST);
    while !words.is_char_boundary(end) {
        end -= 1;
    }
    // It fits: it was just cut.
    let _ = put_text(out, &words.as_bytes()[..end]);
}

impl fmt::Display for Wrong {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Version(version) => write!(
                to,
                "version {version} of the handover is spoken there, and {VERSION} here"
            ),
            Wrong::Kind(kind) => write!(to, "the handover has no message of kind {kind} here"),
            Wrong::Short => to.write_str("a message of the handover is cut off"),
            Wrong::Long => to.write_str("a message of the handover is longer than its fields"),
            Wrong::Value => to.write_str("a message of the handover has a value it cannot have"),
            Wrong::TooLong => write!(
                to,
                "a text of more than {TEXT_MOST} bytes is not handed over"
            ),
            Wrong::Variable => write!(to, "{VARIABLE} is not VERSION:PID:FD"),
        }
    }
}

impl core::error::Error for Wrong {}
