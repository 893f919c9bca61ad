//! Sockets a manager has opened and hands over: `LISTEN_FDS` and what belongs to it. Read by a service, written by a manager.
//!
//! The descriptors are those from [`FIRST`] on. Names may be there several times, and the order says nothing: descriptors
//! that were stored come last. Source: `sd_listen_fds(3)`, systemd 262; the specification, library §4.4.

use crate::notify::{is_name, number};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// The number of the first descriptor. Source: `sd_listen_fds(3)`, `SD_LISTEN_FDS_START`.
pub const FIRST: u32 = 3;
/// The name of a descriptor when names were not told. Source: `sd_listen_fds_with_names(3)`.
pub const UNKNOWN: &str = "unknown";
/// The name of a single accepted connection. Source: `sd_listen_fds_with_names(3)`.
pub const CONNECTION: &str = "connection";
/// Most descriptors that are believed: as many as Linux lets any process have. Source: `proc_sys_fs(5)`, `nr_open`.
const MOST: u64 = 1 << 20;

/// The variables.
pub const VARIABLES: [&str; 4] = [
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PIDFDID",
];

/// Those of a start, as they are in the environment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Variables<'a> {
    /// `LISTEN_PID`.
    pub pid: Option<&'a [u8]>,
    /// `LISTEN_FDS`.
    pub fds: Option<&'a [u8]>,
    /// `LISTEN_FDNAMES`.
    pub names: Option<&'a [u8]>,
    /// `LISTEN_PIDFDID`, systemd 259.
    pub pidfd_inode: Option<&'a [u8]>,
}

/// Why what was handed over cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wrong {
    /// The variable has no value it can have.
    Value {
        /// Its name.
        variable: &'static str,
    },
    /// There is `LISTEN_FDS` and not whom it is for: somebody's leftover, or a manager that is not one. What is open at 3
    /// may be anything.
    NoPid,
    /// There are not as many names as descriptors.
    Names {
        /// How many names.
        names: usize,
        /// How many descriptors.
        fds: usize,
    },
}

/// The names of the descriptors from [`FIRST`] on, for the process `pid`, whose pidfd has the inode number `own_inode` if
/// that is known to be unique. None if nothing was handed over, or to somebody else.
///
/// Names that nobody could have given are passed on, for what was handed over is there: they are only never equal to one that
/// is looked for. Empty names are kept.
///
/// # Errors
/// [`Wrong`]. Nothing may be taken then: nobody can say which descriptor is which.
pub fn read(
    variables: Variables<'_>,
    pid: u32,
    own_inode: Option<u64>,
) -> Result<Vec<String>, Wrong> {
    let Some(fds) = variables.fds else {
        return Ok(Vec::new());
    };
    let for_whom = variables.pid.ok_or(Wrong::NoPid)?;
    if value("LISTEN_PID", for_whom)? != u64::from(pid) {
        return Ok(Vec::new());
    }
    if let Some(text) = variables.pidfd_inode {
        let inode = value("LISTEN_PIDFDID", text)?;
        // A process that has the number of one that is gone.
        if own_inode.is_some_and(|own| own != inode) {
            return Ok(Vec::new());
        }
    }
    let count = value("LISTEN_FDS", fds)?;
    let fds = match usize::try_from(count) {
        Ok(fds) if fds > 0 && count <= MOST => fds,
        _ => {
            return Err(Wrong::Value {
                variable: "LISTEN_FDS",
            });
        }
    };
    let Some(text) = variables.names else {
        return Ok(alloc::vec![UNKNOWN.to_string(); fds]);
    };
    let names = text.split(|byte| *byte == b':').count();
    if names != fds {
        return Err(Wrong::Names { names, fds });
    }
    Ok(text
        .split(|byte| *byte == b':')
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect())
}

fn value(variable: &'static str, text: &[u8]) -> Result<u64, Wrong> {
    number(text).ok_or(Wrong::Value { variable })
}

/// How the names begin that the library keeps for itself.
pub const RESERVED: &str = "eudaemon.";

/// Whether a name is one that the library keeps for itself.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    name.starts_with(RESERVED)
}

/// Whether a descriptor may be handed on under this name. The empty name is one. Source: `sd_notify(3)`, `FDNAME=`.
#[must_use]
pub fn is_good_name(name: &str) -> bool {
    is_name(name.as_bytes())
}

/// The value of `LISTEN_FDNAMES` for descriptors of these names; `None` if one of them cannot be a name.
#[must_use]
pub fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let mut out = String::new();
    for (at, name) in names.into_iter().enumerate() {
        if !is_name(name.as_bytes()) {
            return None;
        }
        if at > 0 {
            out.push(':');
        }
        out.push_str(name);
    }
    Some(out)
}

/// Room for a process id in an environment that was made before there is a process: what stands before it, zeros, and what
/// stands behind it. The process writes its own number over the zeros; see [`write_pid`].
#[must_use]
pub fn room_for_pid(before: &str, behind: &str) -> Vec<u8> {
    [before.as_bytes(), &[0; PID_DIGITS], behind.as_bytes()].concat()
}

/// Digits of the largest process id, 4194304, with some to spare: a `pid_t` has ten.
const PID_DIGITS: usize = 10;

/// Writes a process id into such room; zeros are left only at the end. Without an allocation: it is called between fork and exec.
pub fn write_pid(room: &mut [u8], pid: u32) {
    let Some(start) = room.iter().position(|byte| *byte == 0) else {
        return;
    };
    let mut digits = [0; PID_DIGITS];
    let (mut left, mut from) = (pid, PID_DIGITS);
    loop {
        from -= 1;
        // A digit is less than ten, and ten digits are enough for 32 bits.
        digits[from] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 || from == 0 {
            break;
        }
    }
    let digits = &digits[from..];
    let behind = start + PID_DIGITS;
    if behind > room.len() {
        return;
    }
    room[start..start + digits.len()].copy_from_slice(digits);
    room.copy_within(behind.., start + digits.len());
    let end = room.len() - (PID_DIGITS - digits.len());
    room[end..].fill(0);
}

impl fmt::Display for Wrong {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Value { variable } => write!(to, "{variable} has a value it cannot have"),
            Wrong::NoPid => to.write_str("LISTEN_FDS without LISTEN_PID"),
            Wrong::Names { names, fds } => {
                write!(to, "LISTEN_FDNAMES has {names} names for {fds} descriptors")
            }
        }
    }
}

impl core::error::Error for Wrong {}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<'a>(pairs: &[(&str, &'a str)]) -> Variables<'a> {
        let find = |name: &str| {
            let pair = pairs.iter().find(|(has, _)| *has == name)?;
            Some(pair.1.as_bytes())
        };
        Variables {
            pid: find("PID"),
            fds: find("FDS"),
            names: find("NAMES"),
            pidfd_inode: find("ID"),
        }
    }

    #[test]
    fn names_are_one_for_each() {
        let names = |pairs: &[(&str, &str)]| read(of(pairs), 7, Some(99));
        let three =
            |names: &str| read(of(&[("PID", "7"), ("FDS", "3"), ("NAMES", names)]), 7, None);
        assert_eq!(names(&[]), Ok(Vec::new()));
        assert_eq!(
            names(&[("PID", "7"), ("FDS", "2")]).unwrap(),
            ["unknown", "unknown"]
        );
        assert_eq!(three("http:http:db").unwrap(), ["http", "http", "db"]);
        assert_eq!(three("::x").unwrap(), ["", "", "x"]);
        let wrong = |names| Err(Wrong::Names { names, fds: 3 });
        assert_eq!(three("a:b"), wrong(2));
        assert_eq!(three("a:b:c:"), wrong(4));
        assert_eq!(three(""), wrong(1));
        let one = [("PID", "7"), ("FDS", "1"), ("NAMES", "")];
        assert_eq!(names(&one).unwrap(), [""]);
    }

    #[test]
    fn it_is_for_us_or_for_nobody() {
        let read = |pairs: &[(&str, &str)]| read(of(pairs), 7, Some(99));
        assert_eq!(read(&[("FDS", "1")]), Err(Wrong::NoPid));
        assert_eq!(read(&[("FDS", "1"), ("PID", "8")]), Ok(Vec::new()));
        // Even if the rest is nonsense: it is not ours to judge.
        assert_eq!(
            read(&[("FDS", "x"), ("PID", "8"), ("NAMES", "a:b")]),
            Ok(Vec::new())
        );
        let with =
            |inode| read(&[("FDS", "1"), ("PID", "7"), ("ID", inode)]).map(|names| names.len());
        assert_eq!((with("99"), with("98")), (Ok(1), Ok(0)));
        assert_eq!(
            with("x"),
            Err(Wrong::Value {
                variable: "LISTEN_PIDFDID"
            })
        );
    }

    #[test]
    fn nonsense_is_named() {
        for text in [
            "",
            "0",
            "-1",
            "+1",
            " 1",
            "1 ",
            "0x1",
            "1048577",
            "18446744073709551616",
        ] {
            let found = read(of(&[("FDS", text), ("PID", "7")]), 7, None);
            assert_eq!(
                found,
                Err(Wrong::Value {
                    variable: "LISTEN_FDS"
                }),
                "{text}"
            );
        }
        for text in ["", "-7", "7x", "seven"] {
            let found = read(of(&[("FDS", "1"), ("PID", text)]), 7, None);
            assert_eq!(
                found,
                Err(Wrong::Value {
                    variable: "LISTEN_PID"
                }),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let written = names(["http", "", "a b"]).unwrap();
        let variables = of(&[("FDS", "3"), ("PID", "7"), ("NAMES", &written)]);
        assert_eq!(read(variables, 7, None).unwrap(), ["http", "", "a b"]);
        assert_eq!((names(["a:b"]), names(["\n"])), (None, None));
        for pid in [0, 7, 4_194_304, u32::MAX] {
            for behind in ["", ":3", ":behind, and longer than the number"] {
                let mut room = room_for_pid("LISTEN_PID=", behind);
                write_pid(&mut room, pid);
                let text = core::str::from_utf8(&room).unwrap().trim_end_matches('\0');
                assert_eq!(text, alloc::format!("LISTEN_PID={pid}{behind}"));
            }
        }
    }
}
