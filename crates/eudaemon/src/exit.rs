//! What a daemon says by its exit code, by class of error.

/// Why the program ended. A manager can be told which of them no new start will mend: in a systemd unit
/// `RestartPreventExitStatus=64 77 78`, which the units made by [`install`](crate::install) have.
///
/// Source: `sysexits.h`; Linux Standard Base 5.0, 22.2 (3 and 4); `systemd.exec(5)`, "Process Exit Codes" (200 and above are the manager's own).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Exit {
    /// It did what it was asked to.
    Done = 0,
    /// It failed, and nothing more is known.
    #[default]
    Failed = 1,
    /// What was asked about does not run. The LSB's code for a status, not for a daemon.
    NotRunning = 3,
    /// Nobody knows whether what was asked about runs. The LSB's code for a status, not for a daemon.
    Unknown = 4,
    /// The command line was wrong. `EX_USAGE`.
    Usage = 64,
    /// Something it depends on is not there: an address in use, a server that does not answer. `EX_UNAVAILABLE`.
    Unavailable = 69,
    /// A mistake in the program itself, a panic among them. `EX_SOFTWARE`.
    Software = 70,
    /// The system refused what it should not refuse. `EX_OSERR`.
    System = 71,
    /// A file that must be written could not be. `EX_CANTCREAT`.
    CannotCreate = 73,
    /// Reading or writing failed. `EX_IOERR`.
    Io = 74,
    /// It may well work the next time. `EX_TEMPFAIL`.
    Temporary = 75,
    /// A privilege is missing. `EX_NOPERM`.
    NoPermission = 77,
    /// The configuration is wrong: no restart mends it. `EX_CONFIG`.
    Config = 78,
}

impl Exit {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The codes after which starting again is useless.
    pub const FINAL: [Exit; 3] = [Exit::Usage, Exit::NoPermission, Exit::Config];
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> std::process::ExitCode {
        exit.code().into()
    }
}
