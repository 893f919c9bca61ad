//! What a service and its manager tell each other: datagrams of assignments. Both directions, and where they are sent.
//!
//! One datagram is one message: `NAME=VALUE` lines, and descriptors beside them. [`Message`] makes one and cannot make one that
//! a manager would ignore; [`read`] judges one by the rules of systemd's own receiver, which are stricter than its manual.
//! Source: `sd_notify(3)`, systemd 262; the specification, library §4.1 to §4.3.

mod address;
mod message;
mod notice;
#[cfg(test)]
mod tests;

pub use address::{Address, BadAddress, Transport};
pub use message::{Carries, Message, Unsendable};
pub use notice::{
    ErrorNumber, Fault, Heard, Ignored, MainProcess, Notice, Refused, StoreRequest, read,
};

/// Most bytes of a message: what a longer one says is ignored, all of it. Source: library §4.2, item 1 (`PIPE_BUF`).
pub const MOST_BYTES: usize = 4096;
/// Most descriptors beside a message. Source: `unix(7)`, `SCM_MAX_FD`.
pub const MOST_DESCRIPTORS: usize = 253;
/// Most bytes of a descriptor's name. Source: `sd_notify(3)`, `FDNAME=`.
pub const MOST_NAME: usize = 255;
/// The name of a stored descriptor that was given none. Source: `sd_listen_fds(3)`.
pub const STORED: &str = "stored";

/// The message that says "ready", and nothing else.
pub const READY: &[u8] = b"READY=1";
/// The message that says "alive", and nothing else.
pub const ALIVE: &[u8] = b"WATCHDOG=1";
/// The message that asks to be let know, by closing the one descriptor beside it, that all before it has been read. It must
/// be alone. Source: `sd_notify_barrier(3)`.
pub const BARRIER: &[u8] = b"BARRIER=1";

/// Where a service is in its life, as it says itself. A message has at most one: systemd before 255 took the last of
/// several, later ones have an order. Source: library §4.2, item 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The start, or the reload, is finished. `READY=1`.
    Ready,
    /// A reload has begun. `RELOADING=1`.
    Reloading {
        /// When, on `CLOCK_MONOTONIC`, in microseconds. `MONOTONIC_USEC=`; a manager that asked for the reload ignores the
        /// message without it (library §4.2, item 10).
        since: Option<u64>,
    },
    /// A reload began and is finished already: both of the above in one message.
    Reloaded {
        /// As of [`State::Reloading`].
        since: Option<u64>,
    },
    /// It is about to end. Final since systemd 259. `STOPPING=1`.
    Stopping,
}

/// Whose messages a manager listens to. `NOTIFYACCESS=`; `systemd.service(5)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Nobody's.
    None,
    /// The main process's.
    Main,
    /// The main process's and those of its control processes.
    Exec,
    /// Those of every process of the service.
    All,
}

impl Access {
    /// Every one of them.
    pub const ALL: [Access; 4] = [Access::None, Access::Main, Access::Exec, Access::All];

    /// As it is written.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Access::None => "none",
            Access::Main => "main",
            Access::Exec => "exec",
            Access::All => "all",
        }
    }

    /// The one that is written so.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Access> {
        Access::ALL.into_iter().find(|access| access.word() == word)
    }
}

/// What a service says to a manager that kills it when it is silent for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Watchdog {
    /// It is alive. `WATCHDOG=1`.
    Alive,
    /// It is to be treated as if it had been silent for too long, now. `WATCHDOG=trigger`.
    Trigger,
}

/// Whether a descriptor may have this name: ASCII without control characters and `:`, at most [`MOST_NAME`] bytes. The empty
/// name is one. Source: `sd_notify(3)`, `FDNAME=`.
#[must_use]
pub fn is_name(name: &[u8]) -> bool {
    name.len() <= MOST_NAME
        && name
            .iter()
            .all(|byte| matches!(byte, b' '..=b'~') && *byte != b':')
}

/// Whether this is the name of an error of D-Bus or Varlink: printable ASCII without blanks.
fn is_error_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
}

/// A number, as a manager writes it: digits only.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    core::str::from_utf8(text).ok()?.parse().ok()
}
