//! Which variables a service manager means for the one process it starts, and which it tells about its surroundings.
//!
//! What is addressed to one process would lie in another: a child that finds `NOTIFY_SOCKET` can say that its parent is
//! ready, one that finds `LISTEN_FDS` takes over descriptors that mean something else there.

/// Whom a variable is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// The process the manager started, and no child of it.
    TheProcess,
    /// Everyone in the service: identity, places, language.
    Everyone,
}

/// A variable a service manager may set, and whom it is for.
pub type Row = (&'static str, For);

use For::{Everyone, TheProcess};

/// Every variable systemd sets for a service, and those of others that do as it does.
///
/// Source: `systemd.exec(5)`, "Environment variables in spawned processes"; `sd_listen_fds(3)`; `sd_notify(3)`;
/// `sd_watchdog_enabled(3)`; `systemd.service(5)`; systemd 262.
pub const VARIABLES: &[Row] = &[
    // The conversation with the manager.
    ("NOTIFY_SOCKET", TheProcess),
    ("WATCHDOG_PID", TheProcess),
    ("WATCHDOG_USEC", TheProcess),
    ("FDSTORE", TheProcess),
    // Descriptors, which a child does not have.
    ("LISTEN_PID", TheProcess),
    ("LISTEN_PIDFDID", TheProcess),
    ("LISTEN_FDS", TheProcess),
    ("LISTEN_FDNAMES", TheProcess),
    // As listenfd and systemfd say where the first is.
    ("LISTEN_FDS_FIRST_FD", TheProcess),
    // dinit's descriptor for its control socket. Source: dinit(8).
    ("DINIT_CS_FD", TheProcess),
    // Ours, for a program that is executed again.
    (crate::detach::VARIABLE, TheProcess),
    (crate::handover::VARIABLE, TheProcess),
    // Which process this is.
    ("SYSTEMD_EXEC_PID", TheProcess),
    ("MAINPID", TheProcess),
    ("MAINPIDFDID", TheProcess),
    ("MANAGERPID", TheProcess),
    ("MANAGERPIDFDID", TheProcess),
    ("PIDFILE", TheProcess),
    // Secrets: whoever needs one is given it.
    ("CREDENTIALS_DIRECTORY", TheProcess),
    // Where to listen for pressure. Two readers of a FIFO would each miss what the other gets.
    ("MEMORY_PRESSURE_WATCH", TheProcess),
    ("MEMORY_PRESSURE_WRITE", TheProcess),
    ("CPU_PRESSURE_WATCH", TheProcess),
    ("CPU_PRESSURE_WRITE", TheProcess),
    ("IO_PRESSURE_WATCH", TheProcess),
    ("IO_PRESSURE_WRITE", TheProcess),
    // Why this process was started, and how others ended.
    ("DEBUG_INVOCATION", TheProcess),
    ("TRIGGER_UNIT", TheProcess),
    ("TRIGGER_PATH", TheProcess),
    ("TRIGGER_TIMER_REALTIME_USEC", TheProcess),
    ("TRIGGER_TIMER_MONOTONIC_USEC", TheProcess),
    ("SERVICE_RESULT", TheProcess),
    ("EXIT_CODE", TheProcess),
    ("EXIT_STATUS", TheProcess),
    ("MONITOR_SERVICE_RESULT", TheProcess),
    ("MONITOR_EXIT_CODE", TheProcess),
    ("MONITOR_EXIT_STATUS", TheProcess),
    ("MONITOR_INVOCATION_ID", TheProcess),
    ("MONITOR_UNIT", TheProcess),
    ("SO_COOKIE", TheProcess),
    // The run all of them belong to: what links their log lines.
    ("INVOCATION_ID", Everyone),
    // Says which file stderr is, so whoever has another stderr sees that it is not meant.
    ("JOURNAL_STREAM", Everyone),
    ("LOG_NAMESPACE", Everyone),
    // Who is at the other end of the one connection of an inetd-style service: what a script wants to know.
    ("REMOTE_ADDR", Everyone),
    ("REMOTE_PORT", Everyone),
    ("RUNTIME_DIRECTORY", Everyone),
    ("STATE_DIRECTORY", Everyone),
    ("CACHE_DIRECTORY", Everyone),
    ("LOGS_DIRECTORY", Everyone),
    ("CONFIGURATION_DIRECTORY", Everyone),
    ("XDG_RUNTIME_DIR", Everyone),
    ("XDG_CONFIG_HOME", Everyone),
    ("XDG_CACHE_HOME", Everyone),
    ("XDG_STATE_HOME", Everyone),
    ("XDG_SESSION_ID", Everyone),
    ("XDG_SEAT", Everyone),
    ("XDG_VTNR", Everyone),
    ("PATH", Everyone),
    ("LANG", Everyone),
    ("USER", Everyone),
    ("LOGNAME", Everyone),
    ("HOME", Everyone),
    ("SHELL", Everyone),
    ("TERM", Everyone),
    ("TMPDIR", Everyone),
];

/// The variables no child gets.
pub fn to_the_process() -> impl Iterator<Item = &'static str> {
    let rows = VARIABLES.iter();
    rows.filter(|row| row.1 == TheProcess).map(|row| row.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_is_there_once() {
        for (at, row) in VARIABLES.iter().enumerate() {
            let rest = &VARIABLES[at + 1..];
            assert!(rest.iter().all(|other| other.0 != row.0), "{}", row.0);
        }
    }

    #[test]
    fn what_speaks_to_a_manager_or_names_descriptors_goes() {
        let goes = |name: &str| to_the_process().any(|gone| gone == name);
        for name in [
            "NOTIFY_SOCKET",
            "WATCHDOG_PID",
            "WATCHDOG_USEC",
            "FDSTORE",
            "LISTEN_PID",
            "LISTEN_PIDFDID",
            "LISTEN_FDS",
            "LISTEN_FDNAMES",
            "MAINPID",
            "SYSTEMD_EXEC_PID",
            "CREDENTIALS_DIRECTORY",
            "MEMORY_PRESSURE_WATCH",
            "EUDAEMON_DETACH",
        ] {
            assert!(goes(name), "{name}");
        }
        for name in ["PATH", "HOME", "LANG", "INVOCATION_ID", "JOURNAL_STREAM"] {
            assert!(!goes(name), "{name}");
        }
    }
}
