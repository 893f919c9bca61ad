//! What `/proc/PID/task/TID/status` says of a thread.

use crate::capability::Set;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

/// The lines of it that are about privileges. Source: `proc_pid_status(5)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// `Tgid`: the process.
    pub process: u32,
    /// `Pid`: the thread.
    pub thread: u32,
    /// `Umask`.
    pub umask: u32,
    /// `Uid`: real, effective, saved, filesystem.
    pub uids: [u32; 4],
    /// `Gid`: real, effective, saved, filesystem.
    pub gids: [u32; 4],
    /// `Groups`, as they stand there.
    pub groups: Vec<u32>,
    /// `Threads`: how many the process has.
    pub threads: u32,
    /// `CapInh`.
    pub inheritable: Set,
    /// `CapPrm`.
    pub permitted: Set,
    /// `CapEff`.
    pub effective: Set,
    /// `CapBnd`.
    pub bounding: Set,
    /// `CapAmb`.
    pub ambient: Set,
    /// `NoNewPrivs`.
    pub no_new_privs: bool,
    /// `Seccomp`: 0 without, 1 strict, 2 with filters.
    pub seccomp: u8,
}

/// A line that a proof needs is missing, is there twice, or is not to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusError {
    /// The line's name.
    pub field: &'static str,
}

impl fmt::Display for StatusError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "the kernel's status has no plain {} line", self.field)
    }
}

impl core::error::Error for StatusError {}

impl Status {
    /// Reads the file's text. Nothing is taken for granted: a kernel without one of the lines (before Linux 4.10) proves
    /// nothing.
    ///
    /// # Errors
    /// The line that is missing.
    pub fn parse(text: &[u8]) -> Result<Status, StatusError> {
        let lines = Lines::of(text);
        let line = |field| lines.one(field);
        Ok(Status {
            process: line("Tgid")?.number()?,
            thread: line("Pid")?.number()?,
            umask: line("Umask")?.umask()?,
            uids: line("Uid")?.four()?,
            gids: line("Gid")?.four()?,
            groups: line("Groups")?.numbers()?,
            threads: line("Threads")?.number()?,
            inheritable: line("CapInh")?.set()?,
            permitted: line("CapPrm")?.set()?,
            effective: line("CapEff")?.set()?,
            bounding: line("CapBnd")?.set()?,
            ambient: line("CapAmb")?.set()?,
            no_new_privs: match line("NoNewPrivs")?.number::<u8>()? {
                0 => false,
                1 => true,
                _ => {
                    return Err(StatusError {
                        field: "NoNewPrivs",
                    });
                }
            },
            seccomp: line("Seccomp")?.number()?,
        })
    }
}

/// The lines that are needed, each `None` until it was seen, and how often.
struct Lines<'a>([(&'static str, Option<&'a [u8]>, usize); 14]);

impl<'a> Lines<'a> {
    /// Goes through the text once, for there are four times as many lines.
    ///
    /// The process chooses its `Name:`, but the kernel escapes a newline in it, so a line begins only where one does.
    fn of(text: &'a [u8]) -> Lines<'a> {
        let mut lines = [
            "Tgid",
            "Pid",
            "Umask",
            "Uid",
            "Gid",
            "Groups",
            "Threads",
            "CapInh",
            "CapPrm",
            "CapEff",
            "CapBnd",
            "CapAmb",
            "NoNewPrivs",
            "Seccomp",
        ]
        .map(|field| (field, None, 0));
        for line in text.split(|&byte| byte == b'\n') {
            let Some(end) = line.iter().position(|&byte| byte == b':') else {
                continue;
            };
            let (name, rest) = line.split_at(end);
            let known = lines.iter_mut().find(|known| known.0.as_bytes() == name);
            if let Some((_, found, times)) = known {
                *found = rest.get(1..);
                *times += 1;
            }
        }
        Lines(lines)
    }

    /// The one line of this name.
    fn one(&self, field: &'static str) -> Result<Line<'a>, StatusError> {
        match self.0.iter().find(|line| line.0 == field) {
            Some((_, Some(rest), 1)) => match core::str::from_utf8(rest) {
                Ok(rest) => Ok(Line { field, rest }),
                Err(_) => Err(StatusError { field }),
            },
            _ => Err(StatusError { field }),
        }
    }
}

/// What is behind a line's name.
struct Line<'a> {
    field: &'static str,
    rest: &'a str,
}

impl<'a> Line<'a> {
    fn words(&self) -> impl Iterator<Item = &'a str> {
        self.rest.split_ascii_whitespace()
    }

    fn refused(&self) -> StatusError {
        StatusError { field: self.field }
    }

    fn one(&self) -> Result<&'a str, StatusError> {
        let mut words = self.words();
        match (words.next(), words.next()) {
            (Some(word), None) => Ok(word),
            _ => Err(self.refused()),
        }
    }

    fn number<T: FromStr>(&self) -> Result<T, StatusError> {
        self.one()?.parse().map_err(|_| self.refused())
    }

    fn numbers(&self) -> Result<Vec<u32>, StatusError> {
        self.words()
            .map(|word| word.parse().map_err(|_| self.refused()))
            .collect()
    }

    fn four(&self) -> Result<[u32; 4], StatusError> {
        self.numbers()?.try_into().map_err(|_| self.refused())
    }

    fn set(&self) -> Result<Set, StatusError> {
        u64::from_str_radix(self.one()?, 16)
            .map(Set)
            .map_err(|_| self.refused())
    }

    fn umask(&self) -> Result<u32, StatusError> {
        u32::from_str_radix(self.one()?, 8).map_err(|_| self.refused())
    }
}
