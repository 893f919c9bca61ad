//! What a process may use: the letters and names of `softlimit`, and what a value does to a limit.
//!
//! Source: specification §7, softlimit.

use crate::status::Dialect;

/// Something the kernel counts. Source: `getrlimit(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Address space, in bytes.
    AddressSpace,
    /// A core file, in bytes.
    Core,
    /// Data segment, in bytes.
    Data,
    /// A file written, in bytes.
    FileSize,
    /// Locked memory, in bytes.
    LockedMemory,
    /// Open files.
    OpenFiles,
    /// Processes of the user.
    Processes,
    /// Resident set, in bytes.
    Resident,
    /// Stack, in bytes.
    Stack,
    /// Processor time, in seconds.
    CpuSeconds,
}

/// One option of `softlimit`.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its letter.
    pub letter: u8,
    /// The variable that does the same, which encore reads.
    pub variable: &'static str,
    /// What it limits, in the order in which it is limited.
    pub resources: &'static [Resource],
}

/// The options of `softlimit`.
pub const LIMITS: &[Row] = &[
    row(b'a', "SOFTLIMIT_ALLBYTES", &[Resource::AddressSpace]),
    row(b'c', "SOFTLIMIT_COREBYTES", &[Resource::Core]),
    row(b'd', "SOFTLIMIT_DATABYTES", &[Resource::Data]),
    row(b'f', "SOFTLIMIT_FILEBYTES", &[Resource::FileSize]),
    row(b'l', "SOFTLIMIT_LOCKEDBYTES", &[Resource::LockedMemory]),
    row(b'm', "SOFTLIMIT_MEMBYTES", MEMORY),
    row(b'o', "SOFTLIMIT_OPENFILES", &[Resource::OpenFiles]),
    row(b'p', "SOFTLIMIT_PROCS", &[Resource::Processes]),
    row(b'r', "SOFTLIMIT_RSSBYTES", &[Resource::Resident]),
    row(b's', "SOFTLIMIT_STACKBYTES", &[Resource::Stack]),
    row(b't', "SOFTLIMIT_CPUSECS", &[Resource::CpuSeconds]),
];

/// What `-m` limits at once.
const MEMORY: &[Resource] = &[
    Resource::Data,
    Resource::Stack,
    Resource::LockedMemory,
    Resource::AddressSpace,
];

const fn row(letter: u8, variable: &'static str, resources: &'static [Resource]) -> Row {
    Row {
        letter,
        variable,
        resources,
    }
}

/// The row of a letter.
#[must_use]
pub fn find(letter: u8) -> Option<&'static Row> {
    LIMITS.iter().find(|row| row.letter == letter)
}

/// What `chpst`'s options limit, in the order in which it sets them. Source: observed with runit 2.1.2, `strace`.
pub const CHPST_ORDER: [Resource; 10] = [
    Resource::Data,
    Resource::Stack,
    Resource::LockedMemory,
    Resource::AddressSpace,
    Resource::OpenFiles,
    Resource::Processes,
    Resource::FileSize,
    Resource::Core,
    Resource::Resident,
    Resource::CpuSeconds,
];

/// A limit as it is now, or as it shall be; [`Limit::NONE`] is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What counts, and what the process itself may raise as far as `hard`.
    pub soft: u64,
    /// What only root may raise.
    pub hard: u64,
}

impl Limit {
    /// The value of a limit that is none. Source: `getrlimit(2)`, RLIM_INFINITY; on Linux it is the largest number.
    pub const NONE: u64 = u64::MAX;
}

/// What is asked of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// This much, or as much as the hard limit allows.
    Number(u64),
    /// `=`: as much as the hard limit allows.
    Hard,
    /// `-`, which encore knows: no limit, not even a hard one.
    Unlimited,
}

impl Value {
    /// Reads digits; a number too large to be one is the largest.
    #[must_use]
    pub fn number(text: &[u8]) -> Option<Value> {
        if text.is_empty() {
            return None;
        }
        text.iter()
            .try_fold(0u64, |number, &byte| {
                let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
                Some(number.saturating_mul(10).saturating_add(digit))
            })
            .map(Value::Number)
    }

    /// Reads what stands behind an option of `softlimit`.
    #[must_use]
    pub fn parse(text: &[u8], dialect: Dialect) -> Option<Value> {
        match (text, dialect) {
            (b"=", _) => Some(Value::Hard),
            (b"-", Dialect::Encore | Dialect::Auto) => Some(Value::Unlimited),
            (_, Dialect::Classic | Dialect::Encore | Dialect::Runit | Dialect::Auto) => {
                Value::number(text)
            }
        }
    }

    /// What the limit becomes.
    #[must_use]
    pub fn applied_to(self, now: Limit) -> Limit {
        match self {
            Value::Number(number) => Limit {
                soft: number.min(now.hard),
                ..now
            },
            Value::Hard => Limit {
                soft: now.hard,
                ..now
            },
            Value::Unlimited => Limit {
                soft: Limit::NONE,
                hard: Limit::NONE,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_digits_or_a_sign_of_its_dialect() {
        for (text, value) in [
            ("0", Value::Number(0)),
            ("007", Value::Number(7)),
            ("18446744073709551615", Value::Number(u64::MAX)),
            ("18446744073709551616", Value::Number(u64::MAX)),
            ("99999999999999999999999999", Value::Number(u64::MAX)),
            ("=", Value::Hard),
            ("-", Value::Unlimited),
        ] {
            assert_eq!(Value::parse(text.as_bytes(), Dialect::Auto), Some(value));
        }
        for text in ["", "-1", "+1", "1k", " 1", "==", "=1", "--", "1-", "x"] {
            assert_eq!(Value::parse(text.as_bytes(), Dialect::Auto), None, "{text}");
        }
        assert_eq!(Value::parse(b"-", Dialect::Classic), None);
        assert_eq!(Value::number(b"="), None);
    }

    #[test]
    fn a_soft_limit_never_passes_the_hard_one() {
        let now = Limit { soft: 5, hard: 10 };
        let soft = |value: Value| value.applied_to(now);
        assert_eq!(soft(Value::Number(7)), Limit { soft: 7, hard: 10 });
        assert_eq!(soft(Value::Number(11)), Limit { soft: 10, hard: 10 });
        assert_eq!(soft(Value::Hard), Limit { soft: 10, hard: 10 });
        let none = Limit {
            soft: Limit::NONE,
            hard: Limit::NONE,
        };
        assert_eq!(soft(Value::Unlimited), none);
    }

    #[test]
    fn every_letter_and_variable_is_there_once() {
        for row in LIMITS {
            let same = |other: &&Row| other.letter == row.letter || other.variable == row.variable;
            assert_eq!(LIMITS.iter().filter(same).count(), 1);
        }
        assert!(find(b'm').is_some_and(|row| row.resources.len() == 4));
        assert!(find(b'z').is_none());
    }
}
