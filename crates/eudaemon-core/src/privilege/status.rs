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
        let line = |field| Line::find(text, field);
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

/// What is behind a line's name.
struct Line<'a> {
    field: &'static str,
    rest: &'a str,
}

impl<'a> Line<'a> {
    /// The process chooses its `Name:`, but the kernel escapes a newline in it, so a line begins only where one does.
    fn find(text: &'a [u8], field: &'static str) -> Result<Line<'a>, StatusError> {
        let mut found = text.split(|&byte| byte == b'\n').filter_map(|line| {
            line.strip_prefix(field.as_bytes())?
                .strip_prefix(b":")
                .map(core::str::from_utf8)
        });
        match (found.next(), found.next()) {
            (Some(Ok(rest)), None) => Ok(Line { field, rest }),
            _ => Err(StatusError { field }),
        }
    }

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
