//! A service directory's files, as its supervisor reads them at each bring-up.
//!
//! The dialects and their rules: specification §2.1 and §11.2; `auto` is their union (a decision: docs/formats). Files whose
//! names nobody defined are not looked at.

use eudaemon_core::definition::{Definition, FinishStyle, Manners, Problem};
use eudaemon_core::status::Dialect;
use eudaemon_core::words::Signal;
use std::time::Duration;

/// A name of [`NAMES`] that is in the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which.
    pub name: &'static str,
    /// It is a regular file.
    pub file: bool,
    /// It is a regular file that may be executed.
    pub executable: bool,
}

/// Every name that means something, but `down`, `log/` and `supervise`, which are not read at a bring-up.
pub const NAMES: &[&str] = &[
    "run",
    "start",
    "stop",
    "notify",
    "log",
    "no-setsid",
    "finish",
    "control",
    "check",
    "trigger",
    "notification-fd",
    "lock-fd",
    "timeout-kill",
    "timeout-finish",
    "down-signal",
    "max-death-tally",
];

/// Most bytes of a file with one value.
pub const VALUE_SIZE: usize = 256;

/// s6 kills `finish` after this long unless `timeout-finish` says otherwise. Source: s6's servicedir documentation.
const S6_TIMEOUT_FINISH: Duration = Duration::from_secs(5);
/// s6 keeps at most this many deaths. Source: the same.
pub const MOST_DEATHS: usize = 4096;
/// Descriptors a service may be given by number.
const DESCRIPTORS: std::ops::RangeInclusive<u64> = 3..=1023;

/// A dialect's manners.
#[must_use]
pub fn manners(dialect: Dialect) -> Manners {
    match dialect {
        Dialect::Classic | Dialect::Encore => Manners::FAMILY,
        Dialect::Runit => Manners::RUNIT,
        Dialect::Auto => Manners::AUTO,
    }
}

/// What the directory says. `read` gives a file's first [`VALUE_SIZE`] bytes. All mistakes are reported, not the first.
pub fn read(
    found: &[Found],
    dialect: Dialect,
    mut read: impl FnMut(&'static str) -> std::io::Result<Vec<u8>>,
) -> Result<Definition, Vec<Problem>> {
    let has = |name| found.iter().any(|found| found.name == name);
    let runs = |name| {
        found
            .iter()
            .any(|found| found.name == name && found.executable)
    };
    let mut definition = Definition {
        run: true,
        manners: manners(dialect),
        ..Definition::default()
    };
    if dialect == Dialect::Classic {
        // 0.76 knows `run` and `down`, and starts no sessions.
        definition.session = false;
        return Ok(definition);
    }
    if dialect == Dialect::Runit {
        // A `check` is sv's affair, and sessions are runsvdir's.
        definition.finish = runs("finish");
        definition.hooks = has("control");
        definition.session = false;
        return Ok(definition);
    }
    definition.run = has("run");
    definition.start = runs("start");
    definition.stop = runs("stop");
    definition.notify = runs("notify");
    definition.log = runs("log");
    definition.session = !has("no-setsid");
    definition.encore = dialect == Dialect::Encore
        || definition.start
        || definition.stop
        || definition.notify
        || definition.log
        || !definition.session;
    if dialect == Dialect::Encore {
        return Ok(definition);
    }
    definition.finish = runs("finish");
    definition.check = runs("check");
    definition.hooks = has("control");

    let mut problems = Vec::new();
    let mut value =
        |name: &'static str, expected: &str, parse: &dyn Fn(&str) -> Option<u64>| -> Option<u64> {
            if !has(name) {
                return None;
            }
            let bytes = match read(name) {
                Ok(bytes) => bytes,
                Err(error) => {
                    problems.push(problem(name, "", &format!("unable to read it: {error}")));
                    return None;
                }
            };
            let text = String::from_utf8_lossy(&bytes);
            let line = text.lines().next().unwrap_or_default();
            let parsed = parse(line.trim());
            if parsed.is_none() {
                problems.push(problem(name, line, &format!("expected {expected}")));
            }
            parsed
        };
    let number = |range: std::ops::RangeInclusive<u64>| {
        move |text: &str| {
            text.parse::<u64>()
                .ok()
                .filter(|number| range.contains(number))
        }
    };
    let milliseconds = number(0..=u64::from(u32::MAX));
    let descriptor = number(DESCRIPTORS);
    let notification = value("notification-fd", "a number from 3 to 1023", &descriptor);
    let lock = value("lock-fd", "a number from 3 to 1023", &descriptor);
    let kill = value("timeout-kill", "a number of milliseconds", &milliseconds);
    let finish = value("timeout-finish", "a number of milliseconds", &milliseconds);
    let tally = value(
        "max-death-tally",
        "a number from 0 to 4096",
        &number(0..=MOST_DEATHS as u64),
    );
    let signal = value(
        "down-signal",
        "a signal's name, such as TERM, or its number",
        &|text| Signal::parse(text).map(|signal| u64::from(signal.number_linux())),
    );
    if notification.is_some() && notification == lock {
        problems.push(problem(
            "lock-fd",
            "",
            "notification-fd asks for the same descriptor",
        ));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    // A directory with a file only s6 knows gets s6's spelling (specification §12.7).
    let s6 = [
        "notification-fd",
        "timeout-finish",
        "lock-fd",
        "max-death-tally",
        "down-signal",
    ]
    .into_iter()
    .any(has);
    definition.notification_fd = notification.map(small);
    definition.lock_fd = lock.map(small);
    definition.timeout_kill = kill.filter(|ms| *ms > 0).map(Duration::from_millis);
    definition.timeout_finish = match finish {
        Some(0) => None,
        Some(ms) => Some(Duration::from_millis(ms)),
        None => s6.then_some(S6_TIMEOUT_FINISH),
    };
    definition.finish_style = if s6 {
        FinishStyle::S6
    } else {
        FinishStyle::Runit
    };
    definition.max_death_tally = tally
        .filter(|most| *most > 0)
        .and_then(|most| u16::try_from(most).ok());
    if let Some(number) = signal.and_then(|number| u8::try_from(number).ok()) {
        definition.down_signal = Signal::from_number_linux(number).unwrap_or(Signal::Term);
    }
    Ok(definition)
}

fn problem(file: &str, source: &str, message: &str) -> Problem {
    let lead = source.len() - source.trim_start().len();
    Problem {
        file: file.to_owned(),
        line: 1,
        column: u32::try_from(lead).unwrap_or(0) + 1,
        source: source.to_owned(),
        message: message.to_owned(),
    }
}

/// The paths of a text `trigger`: one a line, empty lines and `#` lines aside (daemontoolsx; specification §3.8).
pub fn trigger_paths(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty() && !line.starts_with(b"#"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(
        files: &[(&'static str, bool, &str)],
        dialect: Dialect,
    ) -> Result<Definition, Vec<Problem>> {
        let found: Vec<Found> = files
            .iter()
            .map(|(name, executable, _)| Found {
                name,
                file: true,
                executable: *executable,
            })
            .collect();
        read(&found, dialect, |name| {
            let text = files
                .iter()
                .find(|(known, ..)| *known == name)
                .map_or("", |(_, _, text)| text);
            Ok(text.as_bytes().to_vec())
        })
    }

    #[test]
    fn a_plain_directory_is_plain() {
        let plain = read_all(&[("run", true, "")], Dialect::Auto).expect("no mistakes");
        let expected = Definition {
            manners: Manners::AUTO,
            ..Definition::default()
        };
        assert_eq!(plain, expected);
        let classic = read_all(&[("run", true, ""), ("start", true, "")], Dialect::Classic)
            .expect("no mistakes");
        assert!(!classic.start && !classic.session && !classic.encore);
    }

    #[test]
    fn encores_files_make_it_encores() {
        for name in ["start", "stop", "notify", "log"] {
            let it = read_all(&[("run", true, ""), (name, true, "")], Dialect::Auto)
                .expect("no mistakes");
            assert!(it.encore, "{name}");
            let not = read_all(&[("run", true, ""), (name, false, "")], Dialect::Auto)
                .expect("no mistakes");
            assert!(!not.encore, "{name} is not executable");
        }
        let it = read_all(&[("no-setsid", false, "")], Dialect::Auto).expect("no mistakes");
        assert!(it.encore && !it.session && !it.run);
    }

    #[test]
    fn s6_values_are_read() {
        let it = read_all(
            &[
                ("run", true, ""),
                ("finish", true, ""),
                ("notification-fd", false, "3\n"),
                ("timeout-kill", false, "1500"),
                ("down-signal", false, "SIGINT\n"),
                ("max-death-tally", false, "10"),
            ],
            Dialect::Auto,
        )
        .expect("no mistakes");
        assert_eq!(it.notification_fd, Some(3));
        assert_eq!(it.timeout_kill, Some(Duration::from_millis(1500)));
        assert_eq!(it.timeout_finish, Some(Duration::from_secs(5)));
        assert_eq!(it.finish_style, FinishStyle::S6);
        assert_eq!(it.down_signal, Signal::Int);
        assert_eq!(it.max_death_tally, Some(10));
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let files = [
            ("notification-fd", false, "  x\n"),
            ("lock-fd", false, "2"),
            ("down-signal", false, "STEP"),
        ];
        let problems = read_all(&files, Dialect::Auto).expect_err("three mistakes");
        let lines: Vec<String> = problems.iter().map(crate::problem::one_line).collect();
        assert_eq!(
            lines,
            [
                "notification-fd:1:3: expected a number from 3 to 1023",
                "lock-fd:1:1: expected a number from 3 to 1023",
                "down-signal:1:1: expected a signal's name, such as TERM, or its number",
            ]
        );
        let shown = crate::problem::render(&problems[0]);
        assert!(
            shown.contains("--> notification-fd:1:3") && shown.contains("^"),
            "{shown}"
        );
    }

    #[test]
    fn a_trigger_lists_paths() {
        let paths: Vec<&[u8]> =
            trigger_paths(b"# who\n/service/db/supervise/status\n\n /run/x.pid \n").collect();
        assert_eq!(paths, [&b"/service/db/supervise/status"[..], b"/run/x.pid"]);
    }
}
