//! One message, in the making.

use super::{Access, MOST_BYTES, MOST_DESCRIPTORS, State, Watchdog, is_error_name, is_name};
use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// A message to a manager: assignments, each at most once, in the order in which they were first made.
///
/// What would let one assignment pass for another, or make the manager ignore the message, cannot be made: a status loses
/// its line ends and what does not fit, names are checked, there is one state.
///
/// ```
/// use eudaemon_core::notify::Message;
/// let message = Message::new().ready().status("serving\nSTOPPING=1");
/// assert_eq!(message.encode().unwrap(), b"READY=1\nSTATUS=serving STOPPING=1");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    assignments: Vec<(Cow<'static, str>, String)>,
}

/// The descriptors a message speaks of, and must be sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// None.
    Nothing,
    /// Exactly one: the new main process's.
    One,
    /// One or more, for the store.
    Some,
}

/// Why a message cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsendable {
    /// The name of a descriptor is not one: see [`is_name`].
    Name,
    /// The name of an error is empty, or has a blank or something else than ASCII in it.
    ErrorName,
    /// A private name does not begin with `X_`, or has something else than `A` to `Z`, digits and `_` in it.
    PrivateName,
    /// A private value has a control character in it.
    PrivateValue,
    /// It says nothing.
    Empty,
    /// Without its status it still is longer than [`MOST_BYTES`].
    TooLong {
        /// How long.
        bytes: usize,
    },
    /// It speaks of descriptors and not as many are beside it, or the other way round, or they are more than
    /// [`MOST_DESCRIPTORS`].
    Descriptors {
        /// How many there are.
        given: usize,
    },
}

const STATUS: &str = "STATUS";
const STATES: [&str; 4] = ["READY", "RELOADING", "STOPPING", "MONOTONIC_USEC"];
const STORE: [&str; 4] = ["FDSTORE", "FDSTOREREMOVE", "FDNAME", "FDPOLL"];
const MAIN: [&str; 3] = ["MAINPID", "MAINPIDFDID", "MAINPIDFD"];

impl Message {
    /// One that says nothing yet.
    #[must_use]
    pub fn new() -> Message {
        Message::default()
    }

    /// The start, or the reload, is finished.
    #[must_use]
    pub fn ready(self) -> Message {
        self.state(State::Ready)
    }

    /// A reload has begun, at this moment of `CLOCK_MONOTONIC` in microseconds.
    #[must_use]
    pub fn reloading(self, since: u64) -> Message {
        self.state(State::Reloading { since: Some(since) })
    }

    /// It is about to end.
    #[must_use]
    pub fn stopping(self) -> Message {
        self.state(State::Stopping)
    }

    /// Where it is in its life, in the place of what was said of that before.
    #[must_use]
    pub fn state(mut self, state: State) -> Message {
        self.forget(&STATES);
        let (ready, since) = match state {
            State::Ready => return self.put("READY", "1"),
            State::Stopping => return self.put("STOPPING", "1"),
            State::Reloading { since } => (false, since),
            State::Reloaded { since } => (true, since),
        };
        self = self.put("RELOADING", "1");
        if ready {
            self = self.put("READY", "1");
        }
        match since {
            Some(since) => self.put("MONOTONIC_USEC", since.to_string()),
            None => self,
        }
    }

    /// What it does, for people. Control characters, line ends among them, become blanks. What does not fit into the message is
    /// cut off.
    #[must_use]
    pub fn status(self, text: &str) -> Message {
        let blank = |letter: char| if letter.is_control() { ' ' } else { letter };
        // More than a message holds would only be cut off later.
        let text: String = text.chars().take(MOST_BYTES).map(blank).collect();
        self.put(STATUS, text)
    }

    /// Whose messages are listened to from now on.
    #[must_use]
    pub fn access(self, access: Access) -> Message {
        self.put("NOTIFYACCESS", access.word())
    }

    /// The error of the system that ended it.
    #[must_use]
    pub fn errno(self, number: i32) -> Message {
        self.put("ERRNO", number.unsigned_abs().to_string())
    }

    /// The D-Bus error that ended it, as `org.freedesktop.DBus.Error.TimedOut`.
    ///
    /// # Errors
    /// [`Unsendable::ErrorName`].
    pub fn bus_error(self, name: &str) -> Result<Message, Unsendable> {
        self.error_name("BUSERROR", name)
    }

    /// The Varlink error that ended it, as `org.varlink.service.InvalidParameter`.
    ///
    /// # Errors
    /// [`Unsendable::ErrorName`].
    pub fn varlink_error(self, name: &str) -> Result<Message, Unsendable> {
        self.error_name("VARLINKERROR", name)
    }

    fn error_name(self, key: &'static str, name: &str) -> Result<Message, Unsendable> {
        if is_error_name(name.as_bytes()) {
            Ok(self.put(key, name))
        } else {
            Err(Unsendable::ErrorName)
        }
    }

    /// The exit code of what was run: from a manager to the one above it.
    #[must_use]
    pub fn exit_status(self, code: u8) -> Message {
        self.put("EXIT_STATUS", code.to_string())
    }

    /// The main process is this one now. With the inode number of its pidfd the number cannot come to mean another process.
    #[must_use]
    pub fn main_pid(mut self, pid: u32, pidfd_inode: Option<u64>) -> Message {
        self.forget(&MAIN);
        self = self.put("MAINPID", pid.to_string());
        match pidfd_inode {
            Some(inode) => self.put("MAINPIDFDID", inode.to_string()),
            None => self,
        }
    }

    /// The main process is the one whose pidfd is sent beside the message.
    #[must_use]
    pub fn main_pidfd(mut self) -> Message {
        self.forget(&MAIN);
        self.forget(&STORE);
        self.put("MAINPIDFD", "1")
    }

    /// It is alive, or wants to be treated as if it were not.
    #[must_use]
    pub fn watchdog(self, watchdog: Watchdog) -> Message {
        let word = match watchdog {
            Watchdog::Alive => "1",
            Watchdog::Trigger => "trigger",
        };
        self.put("WATCHDOG", word)
    }

    /// From now on it may be silent this long.
    #[must_use]
    pub fn watchdog_interval(self, interval: Duration) -> Message {
        self.put("WATCHDOG_USEC", micros(interval))
    }

    /// The present step may take this much longer, counted from now; to be said again before that is over.
    #[must_use]
    pub fn extend_timeout(self, by: Duration) -> Message {
        self.put("EXTEND_TIMEOUT_USEC", micros(by))
    }

    /// Its restarts so far are forgotten.
    #[must_use]
    pub fn restart_reset(self) -> Message {
        self.put("RESTART_RESET", "1")
    }

    /// The descriptors beside the message are kept under this name, until their other end closes them, if `poll`.
    ///
    /// # Errors
    /// [`Unsendable::Name`].
    pub fn store(mut self, name: &str, poll: bool) -> Result<Message, Unsendable> {
        if !is_name(name.as_bytes()) {
            return Err(Unsendable::Name);
        }
        self.forget(&STORE);
        self.forget(&["MAINPIDFD"]);
        self = self.put("FDSTORE", "1").put("FDNAME", name);
        Ok(if poll { self } else { self.put("FDPOLL", "0") })
    }

    /// The descriptors that are kept under this name are dropped.
    ///
    /// # Errors
    /// [`Unsendable::Name`].
    pub fn unstore(mut self, name: &str) -> Result<Message, Unsendable> {
        if !is_name(name.as_bytes()) {
            return Err(Unsendable::Name);
        }
        self.forget(&STORE);
        Ok(self.put("FDSTOREREMOVE", "1").put("FDNAME", name))
    }

    /// Something a manager of its own understands. Others ignore it.
    ///
    /// # Errors
    /// [`Unsendable::PrivateName`] unless the name begins with `X_`; [`Unsendable::PrivateValue`].
    pub fn private(self, name: &str, value: &str) -> Result<Message, Unsendable> {
        let plain = |byte: u8| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_');
        if name.len() < 3 || !name.starts_with("X_") || !name.bytes().all(plain) {
            return Err(Unsendable::PrivateName);
        }
        if value.chars().any(char::is_control) {
            return Err(Unsendable::PrivateValue);
        }
        Ok(self.put(name.to_string(), value))
    }

    /// The descriptors it speaks of.
    #[must_use]
    pub fn carries(&self) -> Carries {
        let has = |wanted: &str| self.assignments.iter().any(|(name, _)| name == wanted);
        if has("MAINPIDFD") {
            Carries::One
        } else if has("FDSTORE") {
            Carries::Some
        } else {
            Carries::Nothing
        }
    }

    /// Whether it may be sent with so many descriptors.
    ///
    /// # Errors
    /// [`Unsendable::Descriptors`].
    pub fn check_descriptors(&self, given: usize) -> Result<(), Unsendable> {
        let fits = match self.carries() {
            Carries::Nothing => given == 0,
            Carries::One => given == 1,
            Carries::Some => (1..=MOST_DESCRIPTORS).contains(&given),
        };
        if fits {
            Ok(())
        } else {
            Err(Unsendable::Descriptors { given })
        }
    }

    /// The datagram: at most [`MOST_BYTES`], no zero byte, no line that was not made by a call.
    ///
    /// # Errors
    /// [`Unsendable::Empty`] or [`Unsendable::TooLong`].
    pub fn encode(&self) -> Result<Vec<u8>, Unsendable> {
        if self.assignments.is_empty() {
            return Err(Unsendable::Empty);
        }
        let all: usize = self
            .assignments
            .iter()
            .map(|(n, v)| n.len() + v.len() + 2)
            .sum();
        // Lines are separated, not ended: one line end less.
        let all = all - 1;
        let status = self.assignments.iter().find(|(name, _)| name == STATUS);
        let status = status.map_or(0, |(_, text)| text.len());
        let Some(room) = MOST_BYTES.checked_sub(all - status) else {
            let bytes = all - status;
            return Err(Unsendable::TooLong { bytes });
        };
        let mut out = Vec::with_capacity(all.min(MOST_BYTES));
        for (name, value) in &self.assignments {
            if !out.is_empty() {
                out.push(b'\n');
            }
            out.extend_from_slice(name.as_bytes());
            out.push(b'=');
            let shown = if name == STATUS {
                cut(value, room)
            } else {
                value
            };
            out.extend_from_slice(shown.as_bytes());
        }
        Ok(out)
    }

    fn put(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Message {
        let (name, value) = (name.into(), value.into());
        match self.assignments.iter_mut().find(|(has, _)| *has == name) {
            Some((_, has)) => *has = value,
            None => self.assignments.push((name, value)),
        }
        self
    }

    fn forget(&mut self, names: &[&str]) {
        self.assignments
            .retain(|(name, _)| !names.contains(&&**name));
    }
}

/// As much of the text as there is room for, and no half of a letter.
fn cut(text: &str, room: usize) -> &str {
    let mut end = room.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

fn micros(length: Duration) -> String {
    u64::try_from(length.as_micros())
        .unwrap_or(u64::MAX)
        .to_string()
}

impl fmt::Display for Unsendable {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unsendable::Name => to.write_str(
                "a descriptor's name is at most 255 ASCII characters without control characters and colons",
            ),
            Unsendable::ErrorName => to.write_str("an error's name is ASCII without blanks"),
            Unsendable::PrivateName => {
                to.write_str("a private name is X_ and capital letters, digits, underscores")
            }
            Unsendable::PrivateValue => to.write_str("a private value with a control character"),
            Unsendable::Empty => to.write_str("a message that says nothing"),
            Unsendable::TooLong { bytes } => {
                write!(to, "a message of {bytes} bytes, and {MOST_BYTES} are read")
            }
            Unsendable::Descriptors { given } => {
                write!(to, "{given} descriptors are not what the message speaks of")
            }
        }
    }
}

impl core::error::Error for Unsendable {}
