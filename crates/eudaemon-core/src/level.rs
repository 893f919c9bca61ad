//! How much a line of a service's log matters.

use core::fmt;

/// The importance of a record, as `syslog(3)` numbers it: the smaller, the more important.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// The system is unusable.
    Emergency = 0,
    /// Somebody must act at once.
    Alert = 1,
    /// It cannot go on: a panic, a broken invariant.
    Critical = 2,
    /// Something that was asked for failed.
    Error = 3,
    /// Something looks wrong, and it goes on.
    Warning = 4,
    /// Normal, and worth knowing.
    Notice = 5,
    /// What it does.
    #[default]
    Info = 6,
    /// How it does it.
    Debug = 7,
}

/// Every level, the most important first.
pub const LEVELS: [Level; 8] = [
    Level::Emergency,
    Level::Alert,
    Level::Critical,
    Level::Error,
    Level::Warning,
    Level::Notice,
    Level::Info,
    Level::Debug,
];

impl Level {
    /// The number, 0 to 7.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The level of a number; `None` above 7.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Level> {
        LEVELS.get(usize::from(number)).copied()
    }

    /// The name, as it is written in front of a line for a person.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Level::Emergency => "emergency",
            Level::Alert => "alert",
            Level::Critical => "critical",
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Notice => "notice",
            Level::Info => "info",
            Level::Debug => "debug",
        }
    }

    /// Reads a name, in any case: ours, the keywords of `syslog.conf(5)` and `journalctl(1)` (`emerg`, `crit`, `err`,
    /// `warn`), or the number.
    #[must_use]
    pub fn parse(text: &str) -> Option<Level> {
        let is = |name: &str| text.eq_ignore_ascii_case(name);
        if let [digit @ b'0'..=b'7'] = text.as_bytes() {
            return Level::from_number(digit - b'0');
        }
        if is("emerg") || is("panic") {
            return Some(Level::Emergency);
        }
        if is("crit") {
            return Some(Level::Critical);
        }
        if is("err") {
            return Some(Level::Error);
        }
        if is("warn") {
            return Some(Level::Warning);
        }
        LEVELS.into_iter().find(|level| is(level.name()))
    }

    /// The next less important level, for whoever wants to see more; [`Level::Debug`] stays.
    #[must_use]
    pub fn more(self) -> Level {
        Level::from_number(self.number() + 1).unwrap_or(Level::Debug)
    }

    /// The next more important level, for whoever wants to see less; [`Level::Emergency`] stays.
    #[must_use]
    pub fn less(self) -> Level {
        self.number()
            .checked_sub(1)
            .and_then(Level::from_number)
            .unwrap_or(Level::Emergency)
    }

    /// Whether a log that goes down to this level has a record of that one.
    #[must_use]
    pub fn includes(self, record: Level) -> bool {
        record <= self
    }
}

impl fmt::Display for Level {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_or_a_number_is_a_level() {
        for level in LEVELS {
            assert_eq!(Level::parse(level.name()), Some(level));
            assert_eq!(Level::from_number(level.number()), Some(level));
        }
        let keywords = [
            ("emerg", 0),
            ("crit", 2),
            ("err", 3),
            ("WARN", 4),
            ("Debug", 7),
            ("0", 0),
            ("7", 7),
        ];
        for (text, number) in keywords {
            assert_eq!(Level::parse(text), Level::from_number(number), "{text}");
        }
        for text in ["", "8", "07", "-1", "information", "inf", " info"] {
            assert_eq!(Level::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn more_and_less_stop_at_the_ends() {
        assert_eq!(Level::Info.more(), Level::Debug);
        assert_eq!(Level::Debug.more(), Level::Debug);
        assert_eq!(Level::Info.less(), Level::Notice);
        assert_eq!(Level::Emergency.less(), Level::Emergency);
        assert!(Level::Info.includes(Level::Error) && Level::Info.includes(Level::Info));
        assert!(!Level::Info.includes(Level::Debug));
    }
}
