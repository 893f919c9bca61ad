//! The rows and their goals.

/// What is asked of ours in a row.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// Ours divided by the best peer's.
    Ratio(f64),
    /// Ours divided by that of the peer of this name.
    Of(&'static str, f64),
    /// Our own figure.
    Figure(f64),
    /// Nothing; it explains another row.
    None,
}

/// One line.
#[derive(Debug)]
pub struct Row {
    /// The name its samples go by.
    pub key: &'static str,
    /// What it is called.
    pub words: &'static str,
    /// What it is counted in.
    pub unit: &'static str,
    /// What is asked of ours.
    pub goal: Goal,
}

const fn row(key: &'static str, words: &'static str, unit: &'static str, goal: Goal) -> Row {
    Row {
        key,
        words,
        unit,
        goal,
    }
}

/// Every row, in the order it is printed. Less is better in each.
pub const ROWS: &[Row] = &[
    row(
        "start",
        "start until all are up (static run)",
        "ms",
        Goal::Ratio(0.7),
    ),
    row(
        "start-script",
        "start until all are up (sh run)",
        "ms",
        Goal::None,
    ),
    row("processes", "supervising processes", "", Goal::None),
    row("pss", "their memory (PSS)", "KiB", Goal::Ratio(1.0 / 40.0)),
    row(
        "page-tables",
        "their page tables (VmPTE)",
        "KiB",
        Goal::Ratio(1.0 / 3.0),
    ),
    row(
        "kernel-all",
        "kernel memory, services included",
        "KiB",
        Goal::None,
    ),
    row(
        "kernel",
        "kernel memory, less bare services",
        "KiB",
        Goal::Ratio(1.0 / 3.0),
    ),
    row(
        "idle",
        "context switches in idle 10 s",
        "",
        Goal::Figure(0.0),
    ),
    row("svstat", "svstat of all", "ms", Goal::Ratio(0.8)),
    row("restart", "restart after SIGKILL", "µs", Goal::Ratio(0.8)),
    row(
        "new",
        "new directory seen and started",
        "ms",
        Goal::Figure(5.0),
    ),
    row(
        "lost",
        "obeyed again, supervisor SIGKILLed",
        "ms",
        Goal::None,
    ),
    row(
        "copies",
        "copies of that service then (most)",
        "",
        Goal::Figure(1.0),
    ),
    row(
        "log-cpu",
        "log, 100-byte lines from a file: processor",
        "ms",
        Goal::Ratio(1.0 / 4.0),
    ),
    row(
        "log-wall",
        "log, 100-byte lines from a file: time",
        "ms",
        Goal::Ratio(1.0 / 3.0),
    ),
    row(
        "log-t-cpu",
        "the same, stamped: processor",
        "ms",
        Goal::Ratio(1.0 / 4.0),
    ),
    row(
        "log-t-wall",
        "the same, stamped: time",
        "ms",
        Goal::Ratio(1.0 / 3.0),
    ),
    row(
        "log-pipe-cpu",
        "log, 100-byte lines from a pipe: processor",
        "ms",
        Goal::Ratio(1.0 / 4.0),
    ),
    row(
        "log-pipe-wall",
        "log, 100-byte lines from a pipe: time",
        "ms",
        Goal::Ratio(1.0 / 3.0),
    ),
    row(
        "log-pipe-t-cpu",
        "the same, stamped: processor",
        "ms",
        Goal::Ratio(1.0 / 4.0),
    ),
    row(
        "log-pipe-t-wall",
        "the same, stamped: time",
        "ms",
        Goal::Ratio(1.0 / 3.0),
    ),
    row(
        "log-20-cpu",
        "log, 20-byte lines from a file: processor",
        "ms",
        Goal::Ratio(1.0 / 5.0),
    ),
    row(
        "log-20-wall",
        "log, 20-byte lines from a file: time",
        "ms",
        Goal::Ratio(1.0 / 3.0),
    ),
    row(
        "log-20-t-cpu",
        "the same, stamped: processor",
        "ms",
        Goal::Ratio(1.0 / 5.0),
    ),
    row(
        "log-20-t-wall",
        "the same, stamped: time",
        "ms",
        Goal::Ratio(1.0 / 3.0),
    ),
    row(
        "tai64n-cpu",
        "tai64n, 100-byte lines: processor",
        "ms",
        Goal::None,
    ),
    row("tai64n-wall", "tai64n: time", "ms", Goal::None),
    row(
        "tai64nlocal-cpu",
        "tai64nlocal, 100-byte lines: processor",
        "ms",
        Goal::Of("daemontools", 0.1),
    ),
    row("tai64nlocal-wall", "tai64nlocal: time", "ms", Goal::None),
    row(
        "chain-softlimit",
        "softlimit, over a bare exec",
        "µs",
        Goal::Of("daemontools", 0.25),
    ),
    row(
        "chain-softlimit",
        "  against runit static",
        "µs",
        Goal::Of("runit static", 1.2),
    ),
    row(
        "chain-setlock",
        "setlock, over a bare exec",
        "µs",
        Goal::Of("daemontools", 0.25),
    ),
    row(
        "chain-setlock",
        "  against runit static",
        "µs",
        Goal::Of("runit static", 1.2),
    ),
    row(
        "chain-envdir",
        "envdir, over a bare exec",
        "µs",
        Goal::Of("daemontools", 0.25),
    ),
    row(
        "chain-envdir",
        "  against runit static",
        "µs",
        Goal::Of("runit static", 1.2),
    ),
    row(
        "chain-setuidgid",
        "setuidgid, over a bare exec",
        "µs",
        Goal::Of("daemontools", 0.25),
    ),
    row(
        "chain-setuidgid",
        "  against runit static",
        "µs",
        Goal::Of("runit static", 1.2),
    ),
    row(
        "chain-four",
        "those four in one chain",
        "µs",
        Goal::Of("daemontools", 0.25),
    ),
    row(
        "message-ready",
        "one READY=1 to a manager",
        "ns",
        Goal::Of("kernel", 1.2),
    ),
    row(
        "message-watchdog",
        "one WATCHDOG=1 to a manager",
        "ns",
        Goal::Of("kernel", 1.2),
    ),
    row(
        "ready",
        "a service's start until READY=1",
        "µs",
        Goal::Of("bare", 1.5),
    ),
    row(
        "ready-static",
        "the same, static program",
        "µs",
        Goal::Of("bare", 1.5),
    ),
];
