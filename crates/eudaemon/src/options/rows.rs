//! The one table of options: the command line, the environment, the file, the help and `--service.explain` are made of it.

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Given, or not; `=0` takes it back.
    Switch,
    /// Given, or not, on the command line alone: it asks for something else than a run.
    Once,
    /// A value, named so in the help.
    Value(&'static str),
}

/// One option.
#[derive(Debug)]
pub(crate) struct Row {
    /// Behind `service.`; also the key in the file.
    pub name: &'static str,
    /// With it.
    pub long: &'static str,
    pub kind: Kind,
    /// Half a sentence.
    pub help: &'static str,
}

macro_rules! row {
    ($name:literal, $kind:expr, $help:literal $(,)?) => {
        Row {
            name: $name,
            long: concat!("service.", $name),
            kind: $kind,
            help: $help,
        }
    };
}

use Kind::{Once, Switch, Value};

/// Every option, in the order of the help. The first eleven are hlandau/service's.
pub(crate) const ROWS: &[Row] = &[
    row!(
        "chroot",
        Value("DIR"),
        "lock the service into this directory; `/` does not",
    ),
    row!(
        "daemon",
        Switch,
        "leave the shell: it gets its prompt back when the service is ready, or the reason why it is not",
    ),
    row!(
        "fork",
        Switch,
        "leave the shell by executing the program again instead of by fork(2); implies daemon",
    ),
    row!(
        "stderr",
        Switch,
        "keep standard error when leaving the shell",
    ),
    row!(
        "uid",
        Value("USER"),
        "become this user, by name or number, with its groups",
    ),
    row!(
        "gid",
        Value("GROUP"),
        "become this group instead of the user's own",
    ),
    row!(
        "pidfile",
        Value("PATH"),
        "write the process id there, and hold the file as long as the service runs",
    ),
    row!(
        "do",
        Value("ACTION"),
        "install, remove, start, stop, restart, status or reload the service instead of running it",
    ),
    row!(
        "cpuprofile",
        Value("PATH[,HZ[,SECONDS]]"),
        "write a CPU profile there; once replaced, to PATH.1, PATH.2",
    ),
    row!(
        "debugserveraddr",
        Value("ADDRESS"),
        "show the service's state at unix:PATH or tcp:HOST:PORT",
    ),
    row!(
        "debug-public",
        Switch,
        "let that address be one that other machines reach",
    ),
    row!(
        "umask",
        Value("MODE"),
        "take these bits from every file made (octal)",
    ),
    row!(
        "keep-caps",
        Value("LIST"),
        "keep these capabilities when becoming another user, between commas",
    ),
    row!(
        "no-new-privs",
        Switch,
        "never gain a privilege by executing a program; on unless `=0`",
    ),
    row!(
        "sandbox",
        Value("MODE"),
        "hold the service to what it needs: off, best-effort or require",
    ),
    row!(
        "watchdog",
        Value("MODE"),
        "auto tells the manager of the service's health when it asks; off never does",
    ),
    row!(
        "notify-fd",
        Value("NUMBER"),
        "write a line to this descriptor when ready, as s6 and dinit want it",
    ),
    row!(
        "ready-file",
        Value("PATH"),
        "make this file when ready, and remove it at the end",
    ),
    row!(
        "stop-timeout",
        Value("TIME"),
        "end after this long in any case once asked to stop: 30s, 500ms, 2m",
    ),
    row!(
        "log",
        Value("TARGET"),
        "where log lines go: auto, journal, prefixed, human, syslog or file:PATH",
    ),
    row!(
        "log-level",
        Value("LEVEL"),
        "the least important lines that are logged: error, warning, notice, info, debug",
    ),
    row!(
        "control",
        Value("PATH"),
        "answer questions and orders at this unix socket",
    ),
    row!(
        "target",
        Value("MANAGER"),
        "with do: which manager, when it is not to be found out",
    ),
    row!("dry-run", Once, "with do: show what would be done"),
    row!("force", Once, "with do: also where somebody changed a file"),
    row!("config", Value("PATH"), "read options from this file"),
    row!(
        "check-config",
        Once,
        "check everything that can be checked without starting, and end",
    ),
    row!(
        "explain",
        Once,
        "show each option with its source and what will be done, and end",
    ),
];

/// The row of that name.
pub(crate) fn find(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}
