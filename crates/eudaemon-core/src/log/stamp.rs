//! What a line starts with.

use crate::time::{Tai64n, Wall};
use alloc::format;
use alloc::vec::Vec;

/// What each line is given at its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stamp {
    /// Nothing.
    #[default]
    None,
    /// `t`: external TAI64N and a space.
    Tai64n,
    /// `T` (encore): seconds and microseconds in decimal, and a space.
    Accustamp,
    /// `%stamp=rfc3339`: `2026-11-21T16:40:07.123456Z` and a space. Source: RFC 3339 5.6.
    Rfc3339,
}

impl Stamp {
    /// What a line that began at this moment starts with.
    #[must_use]
    pub fn text(self, at: Wall) -> Vec<u8> {
        match self {
            Stamp::None => Vec::new(),
            Stamp::Tai64n => {
                let mut text = Tai64n::from_wall(at).external().to_vec();
                text.push(b' ');
                text
            }
            Stamp::Accustamp => {
                format!("{}.{:06} ", at.secs(), at.subsec_nanos() / 1000).into_bytes()
            }
            Stamp::Rfc3339 => {
                let (days, within) = (at.secs() / 86_400, at.secs() % 86_400);
                let (year, month, day) = date(days);
                let (hour, minute, second) = (within / 3600, within / 60 % 60, within % 60);
                let micros = at.subsec_nanos() / 1000;
                format!(
                    "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z "
                )
                .into_bytes()
            }
        }
    }
}

/// Year, month and day of a day counted from 1970-01-01. Source: the Gregorian calendar repeats every 400 years, which
/// are 146,097 days; years are counted from March here, so that the leap day is a year's last.
const fn date(days: u64) -> (u64, u64, u64) {
    // From 0000-03-01.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let of_month = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + (month <= 2) as u64;
    (year, month, of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_read_as_the_familys() {
        let at = Wall::new(1_795_184_419, 38_513_999);
        assert_eq!(Stamp::None.text(at), b"");
        assert_eq!(Stamp::Tai64n.text(at), b"@400000006b00572d024bad4f ");
        // Source: specification §1: exactly six digits.
        assert_eq!(Stamp::Accustamp.text(at), b"1795184419.038513 ");
        assert_eq!(Stamp::Rfc3339.text(at), b"2026-11-20T14:20:19.038513Z ");
    }

    #[test]
    fn dates_are_the_calendars() {
        // Source: GNU date -u -d @SECONDS.
        for (days, text) in [
            (0, (1970, 1, 1)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (19_782, (2024, 2, 29)),
            (20_454, (2026, 1, 1)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(date(days), text, "{days}");
        }
    }
}
