//! One message, as a manager reads it.

use super::{Access, BARRIER, MOST_BYTES, STORED, State, Watchdog, is_error_name, is_name, number};
use crate::words::Pid;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// What a message asks of a manager.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one at a time, on the stack"
)]
pub enum Heard<'a> {
    /// That it is told this much.
    Notice(Notice<'a>),
    /// That the one descriptor beside it is closed when all before it has been dealt with.
    Barrier,
}

/// What a service said. The fields stand in the order in which a manager acts on them: a message may name another main
/// process and speak for it, because who may speak was judged before. Source: library §4.2, item 6.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notice<'a> {
    /// Who is the main process from now on.
    pub main: Option<MainProcess>,
    /// Where it is in its life.
    pub state: Option<State>,
    /// What it does. The empty text is one.
    pub status: Option<&'a str>,
    /// Whose messages are listened to from now on.
    pub access: Option<Access>,
    /// The error of the system it ends with.
    pub errno: Option<ErrorNumber<'a>>,
    /// The D-Bus error it ends with.
    pub bus_error: Option<&'a str>,
    /// The Varlink error it ends with.
    pub varlink_error: Option<&'a str>,
    /// The exit code it ends with, of a manager below.
    pub exit_status: Option<u8>,
    /// How much longer the present step may take, and the silence of a watched one, from now.
    pub extend_timeout: Option<Duration>,
    /// Whether it is alive.
    pub watchdog: Option<Watchdog>,
    /// How long it may be silent from now on.
    pub watchdog_interval: Option<Duration>,
    /// Whether its restarts so far are forgotten.
    pub restart_reset: bool,
    /// What happens with the store of descriptors.
    pub store: Option<StoreRequest<'a>>,
    /// Assignments whose names begin with `X_`.
    pub private: Vec<(&'a [u8], &'a [u8])>,
    /// What was ignored, each alone, and why. Names we do not know are not listed: the protocol grows.
    pub ignored: Vec<Ignored<'a>>,
}

/// Who is said to be the main process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MainProcess {
    /// This process id.
    Pid {
        /// The number.
        pid: Pid,
        /// The inode number of its pidfd; if it is another's the change is refused.
        pidfd_inode: Option<u64>,
    },
    /// The one whose pidfd is the one descriptor beside the message. It wins over a number.
    Descriptor,
}

/// An error of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorNumber<'a> {
    /// By number.
    Number(i32),
    /// By name, as `ENOENT`.
    Name(&'a str),
}

/// What is asked of the store of descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreRequest<'a> {
    /// The descriptors beside the message are kept.
    Put {
        /// Under this name.
        name: &'a str,
        /// Whether each is dropped when its other end is closed.
        poll: bool,
    },
    /// What is kept under this name is dropped. It wins over keeping.
    Remove {
        /// This name.
        name: &'a str,
    },
}

/// An assignment that counts for nothing, while the rest of its message does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ignored<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Why.
    pub fault: Fault,
}

/// Why an assignment was ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Its value is none this name can have.
    Value,
    /// It is no UTF-8.
    NotText,
    /// It needs exactly one descriptor beside it.
    NotOneDescriptor,
    /// It needs a valid name of a descriptor beside it.
    NoName,
}

/// Why a whole message was ignored. Source: library §4.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// It says nothing.
    Empty,
    /// It is longer than [`MOST_BYTES`].
    Truncated,
    /// There is a zero byte in it that is not its last.
    ZeroByte,
    /// It asks for a barrier and for something else too.
    BarrierNotAlone,
    /// It asks for a barrier, and beside it is not exactly one descriptor.
    BarrierDescriptors {
        /// How many.
        given: usize,
    },
}

/// Reads a message of which the kernel says whether it was cut off, with so many descriptors beside it.
///
/// Of assignments of one name the first counts. Source: library §4.2; what is written there is not in the manual.
///
/// # Errors
/// Why it is ignored; its descriptors are to be closed.
pub fn read(bytes: &[u8], truncated: bool, descriptors: usize) -> Result<Heard<'_>, Refused> {
    if truncated || bytes.len() > MOST_BYTES {
        return Err(Refused::Truncated);
    }
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    if bytes.contains(&0) {
        return Err(Refused::ZeroByte);
    }
    let lines = || {
        bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
    };
    if lines().next().is_none() {
        return Err(Refused::Empty);
    }
    if lines().any(|line| line == BARRIER) {
        if lines().count() != 1 {
            return Err(Refused::BarrierNotAlone);
        }
        if descriptors != 1 {
            return Err(Refused::BarrierDescriptors { given: descriptors });
        }
        return Ok(Heard::Barrier);
    }
    let has = |tag: &[u8]| lines().any(|line| line == tag);
    let first = |name: &[u8]| lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(b"="));
    Ok(Heard::Notice(
        Reader {
            first: &first,
            has: &has,
            notice: Notice::default(),
        }
        .notice(lines(), descriptors),
    ))
}

struct Reader<'a, 'r> {
    /// The first value of a name.
    first: &'r dyn Fn(&[u8]) -> Option<&'a [u8]>,
    /// Whether this very line is there.
    has: &'r dyn Fn(&[u8]) -> bool,
    notice: Notice<'a>,
}

impl<'a> Reader<'a, '_> {
    /// The value of a name as `read` takes it; what it does not take is noted.
    fn value<T>(
        &mut self,
        name: &'static [u8],
        fault: Fault,
        read: impl FnOnce(&'a [u8]) -> Option<T>,
    ) -> Option<T> {
        let value = read((self.first)(name)?);
        if value.is_none() {
            self.ignore(name, fault);
        }
        value
    }

    fn ignore(&mut self, name: &'static [u8], fault: Fault) {
        self.notice.ignored.push(Ignored { name, fault });
    }

    fn notice(mut self, lines: impl Iterator<Item = &'a [u8]>, descriptors: usize) -> Notice<'a> {
        self.notice.main = self.main(descriptors);
        self.notice.state = self.state();
        self.notice.status = self.value(b"STATUS", Fault::NotText, text);
        self.notice.access = self.value(b"NOTIFYACCESS", Fault::Value, |word| {
            Access::from_word(text(word)?)
        });
        self.notice.errno = self.value(b"ERRNO", Fault::Value, error_number);
        self.notice.bus_error = self.value(b"BUSERROR", Fault::Value, error_name);
        self.notice.varlink_error = self.value(b"VARLINKERROR", Fault::Value, error_name);
        self.notice.exit_status = self.value(b"EXIT_STATUS", Fault::Value, |code| {
            u8::try_from(number(code)?).ok()
        });
        self.notice.extend_timeout = self.value(b"EXTEND_TIMEOUT_USEC", Fault::Value, micros);
        self.notice.watchdog = self.value(b"WATCHDOG", Fault::Value, |word| match word {
            b"1" => Some(Watchdog::Alive),
            b"trigger" => Some(Watchdog::Trigger),
            _ => None,
        });
        self.notice.watchdog_interval = self.value(b"WATCHDOG_USEC", Fault::Value, micros);
        self.notice.restart_reset = (self.has)(b"RESTART_RESET=1");
        self.notice.store = self.store();
        self.notice.private = lines
            .filter(|line| line.starts_with(b"X_"))
            .filter_map(|line| {
                let at = line.iter().position(|byte| *byte == b'=')?;
                Some((line.get(..at)?, line.get(at + 1..)?))
            })
            .collect();
        self.notice
    }

    fn main(&mut self, descriptors: usize) -> Option<MainProcess> {
        if (self.has)(b"MAINPIDFD=1") {
            if descriptors == 1 {
                return Some(MainProcess::Descriptor);
            }
            self.ignore(b"MAINPIDFD", Fault::NotOneDescriptor);
            return None;
        }
        let pid = self.value(b"MAINPID", Fault::Value, |text| {
            // What the kernel can give: a positive `int`.
            let pid = i32::try_from(number(text)?).ok()?;
            Pid::new(pid.unsigned_abs())
        })?;
        match (self.first)(b"MAINPIDFDID") {
            None => Some(MainProcess::Pid {
                pid,
                pidfd_inode: None,
            }),
            // Who says more than the number meant to be sure: a number that cannot be compared changes nothing.
            Some(_) => {
                let inode = self.value(b"MAINPIDFDID", Fault::Value, number)?;
                Some(MainProcess::Pid {
                    pid,
                    pidfd_inode: Some(inode),
                })
            }
        }
    }

    fn state(&mut self) -> Option<State> {
        let reloading = (self.has)(b"RELOADING=1");
        if (self.has)(b"STOPPING=1") {
            return Some(State::Stopping);
        }
        let since = if reloading {
            self.value(b"MONOTONIC_USEC", Fault::Value, number)
        } else {
            None
        };
        match ((self.has)(b"READY=1"), reloading) {
            (true, true) => Some(State::Reloaded { since }),
            (true, false) => Some(State::Ready),
            (false, true) => Some(State::Reloading { since }),
            (false, false) => None,
        }
    }

    fn store(&mut self) -> Option<StoreRequest<'a>> {
        let put = (self.has)(b"FDSTORE=1");
        if (self.has)(b"FDSTOREREMOVE=1") {
            let named = (self.first)(b"FDNAME").and_then(descriptor_name);
            if named.is_none() {
                self.ignore(b"FDSTOREREMOVE", Fault::NoName);
            }
            return Some(StoreRequest::Remove { name: named? });
        }
        put.then(|| StoreRequest::Put {
            name: self
                .value(b"FDNAME", Fault::Value, descriptor_name)
                .unwrap_or(STORED),
            poll: !(self.has)(b"FDPOLL=0"),
        })
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    core::str::from_utf8(bytes).ok()
}

fn descriptor_name(bytes: &[u8]) -> Option<&str> {
    text(bytes).filter(|name| is_name(name.as_bytes()))
}

fn error_name(bytes: &[u8]) -> Option<&str> {
    text(bytes).filter(|name| is_error_name(name.as_bytes()))
}

fn micros(text: &[u8]) -> Option<Duration> {
    number(text).map(Duration::from_micros)
}

/// Errors of the kernel are at most 4095. Source: `errno(3)`; Linux `include/linux/err.h`, `MAX_ERRNO`.
fn error_number(bytes: &[u8]) -> Option<ErrorNumber<'_>> {
    if let Some(value) = number(bytes) {
        let value = i32::try_from(value).ok().filter(|value| *value <= 4095)?;
        return Some(ErrorNumber::Number(value));
    }
    let is_name = bytes.len() > 1
        && bytes.first() == Some(&b'E')
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if is_name {
        text(bytes).map(ErrorNumber::Name)
    } else {
        None
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Empty => to.write_str("a message that says nothing"),
            Refused::Truncated => write!(to, "a message of more than {MOST_BYTES} bytes"),
            Refused::ZeroByte => to.write_str("a message with a zero byte in it"),
            Refused::BarrierNotAlone => to.write_str("a barrier beside other assignments"),
            Refused::BarrierDescriptors { given } => {
                write!(to, "a barrier with {given} descriptors, which needs one")
            }
        }
    }
}

impl core::error::Error for Refused {}
