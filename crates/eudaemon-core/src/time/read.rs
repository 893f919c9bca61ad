//! Reads stamps of every logger of the family, and the moments a person names.

use super::civil::{Civil, DAY};
use super::{TAI_EPOCH, Tai64n};
use alloc::vec::Vec;
use core::fmt;

/// Says which Unix second a local clock means; `None` if it never shows that.
pub type Local<'a> = &'a dyn Fn(Civil) -> Option<i64>;

/// The label of a Unix second, also of one before 1970.
const fn label(secs: i64, nanos: u32) -> Tai64n {
    Tai64n {
        label: TAI_EPOCH.wrapping_add_signed(secs),
        nanos,
    }
}

/// The stamp at the start of a logged line, and how long it is with the blanks behind it.
///
/// TAI64N (`multilog t`, `svlogd -t`, s6-log's `t`), seconds and microseconds (encore's `T`), UTC as svlogd's `-tt` and
/// `-ttt` write it, RFC 3339, and local time with nine digits (s6-log's `T`, tai64nlocal). Source: specification §1.
#[must_use]
pub fn leading_stamp(line: &[u8], local: Local<'_>) -> Option<(Tai64n, usize)> {
    let (stamp, length) = match line.first()? {
        b'@' => (Tai64n::parse_external(line)?, 25),
        b'0'..=b'9' => accustamp(line).or_else(|| date_stamp(line, local))?,
        _ => return None,
    };
    match line.get(length..)? {
        [] => Some((stamp, length)),
        [b' ', b' ', ..] if line[10] == b' ' => Some((stamp, length + 2)),
        [b' ', ..] => Some((stamp, length + 1)),
        _ => None,
    }
}

/// `SECONDS.MICROSECONDS`. Fewer than nine digits of seconds would be a date before 1973, and are some other number.
fn accustamp(line: &[u8]) -> Option<(Tai64n, usize)> {
    let (secs, length) = digits(line, 9, 12)?;
    let rest = line.get(length..)?.strip_prefix(b".")?;
    let (micros, fraction) = digits(rest, 6, 6)?;
    let nanos = u32::try_from(micros).ok()? * 1000;
    Some((label(secs, nanos), length + 1 + fraction))
}

fn date_stamp(line: &[u8], local: Local<'_>) -> Option<(Tai64n, usize)> {
    let read = date_time(line)?;
    let here = read.zone.is_none() && read.separator == b' ';
    if here && (read.fraction != 9 || !read.seconds) {
        return None;
    }
    let secs = match read.zone {
        Some(offset) => read.civil.to_secs()? - offset,
        None if here => local(read.civil)?,
        None => read.civil.to_secs()?,
    };
    Some((label(secs, read.nanos), read.length))
}

/// A date with a time of day, and perhaps a zone.
struct DateTime {
    civil: Civil,
    nanos: u32,
    /// Between date and time.
    separator: u8,
    /// Whether seconds are said.
    seconds: bool,
    /// How many digits the fraction of a second has.
    fraction: usize,
    /// Seconds ahead of UTC.
    zone: Option<i64>,
    length: usize,
}

fn date_time(text: &[u8]) -> Option<DateTime> {
    let (mut civil, date) = date(text)?;
    let (&separator, rest) = text.get(date..)?.split_first()?;
    if !matches!(separator, b' ' | b'T' | b't' | b'_') {
        return None;
    }
    let time = time_of_day(rest)?;
    (civil.hour, civil.minute, civil.second) = time.shown;
    let mut length = date + 1 + time.length;
    let zone = match text.get(length..)? {
        [b'Z' | b'z', ..] => {
            length += 1;
            Some(0)
        }
        [sign @ (b'+' | b'-'), rest @ ..] => {
            let (hours, _) = digits(rest.get(..2)?, 2, 2)?;
            let (minutes, _) = digits(rest.get(2..)?.strip_prefix(b":")?.get(..2)?, 2, 2)?;
            length += 6;
            let ahead = (hours * 60 + minutes) * 60;
            Some(if *sign == b'-' { -ahead } else { ahead })
        }
        _ => None,
    };
    Some(DateTime {
        civil,
        nanos: time.nanos,
        separator,
        seconds: time.seconds,
        fraction: time.fraction,
        zone,
        length,
    })
}

/// `YYYY-MM-DD`, at midnight, and its length.
fn date(text: &[u8]) -> Option<(Civil, usize)> {
    let part = |from: usize, size: usize| digits(text.get(from..from + size)?, size, size);
    let dashes = text.get(4) == Some(&b'-') && text.get(7) == Some(&b'-');
    let civil = Civil {
        year: part(0, 4)?.0,
        month: u8::try_from(part(5, 2)?.0).ok()?,
        day: u8::try_from(part(8, 2)?.0).ok()?,
        hour: 0,
        minute: 0,
        second: 0,
    };
    (dashes && civil.to_secs().is_some()).then_some((civil, 10))
}

struct TimeOfDay {
    shown: (u8, u8, u8),
    nanos: u32,
    seconds: bool,
    fraction: usize,
    length: usize,
}

/// `HH:MM`, `HH:MM:SS` or that with a fraction.
fn time_of_day(text: &[u8]) -> Option<TimeOfDay> {
    let part = |from: usize, most: u8| {
        let (value, _) = digits(text.get(from..from + 2)?, 2, 2)?;
        u8::try_from(value).ok().filter(|&value| value <= most)
    };
    let colon = |at: usize| text.get(at) == Some(&b':');
    let (hour, minute) = (part(0, 23)?, part(3, 59)?);
    if !colon(2) {
        return None;
    }
    let mut time = TimeOfDay {
        shown: (hour, minute, 0),
        nanos: 0,
        seconds: false,
        fraction: 0,
        length: 5,
    };
    if !colon(5) {
        return Some(time);
    }
    time.shown.2 = part(6, 59)?;
    (time.seconds, time.length) = (true, 8);
    if let Some(b'.') = text.get(8) {
        let (value, count) = digits(text.get(9..)?, 1, 9)?;
        let scale = 10_i64.pow(9 - u32::try_from(count).ok()?);
        time.nanos = u32::try_from(value * scale).ok()?;
        (time.fraction, time.length) = (count, 9 + count);
    }
    Some(time)
}

/// The number that the digits at the start are, and how many there are: from `least` to `most`, at most 18.
fn digits(text: &[u8], least: usize, most: usize) -> Option<(i64, usize)> {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count < least || count > most {
        return None;
    }
    let value = text[..count].iter().fold(0_i64, |sum, digit| {
        sum.saturating_mul(10)
            .saturating_add(i64::from(digit - b'0'))
    });
    Some((value, count))
}

/// What was written is no moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMoment;

impl fmt::Display for NoMoment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not a moment; one is `10m`, `2h ago`, `today`, `yesterday`, `14:30`, `2026-11-21`, \
             `2026-11-21 14:30:05` in local time, `2026-11-21T14:30:05Z`, `@1795271405` in Unix seconds, or a TAI64N stamp",
        )
    }
}

impl core::error::Error for NoMoment {}

/// Reads the moment a person names: [`NoMoment`] says how. `shown` is what the local clock shows `now`.
///
/// # Errors
/// If it is none, or a day or a time of day that the calendar or the local clock does not have.
pub fn moment(text: &str, now: Tai64n, shown: Civil, local: Local<'_>) -> Result<Tai64n, NoMoment> {
    let text = text.trim();
    let midnight = Civil {
        hour: 0,
        minute: 0,
        second: 0,
        ..shown
    };
    let day_of = |days: i64| {
        let noon = midnight.to_secs()? + days * DAY;
        local(Civil::from_secs(noon))
    };
    let found = match text {
        "now" => Some(now),
        "today" => day_of(0).map(|secs| label(secs, 0)),
        "yesterday" => day_of(-1).map(|secs| label(secs, 0)),
        _ => named(text.as_bytes(), midnight, local).or_else(|| ago(text, now)),
    };
    found.ok_or(NoMoment)
}

fn named(text: &[u8], midnight: Civil, local: Local<'_>) -> Option<Tai64n> {
    if let Some(number) = text.strip_prefix(b"@") {
        if text.len() == 25 {
            return Tai64n::parse_external(text);
        }
        let (secs, count) = digits(number, 1, 12)?;
        let nanos = match &number[count..] {
            [] => 0,
            [b'.', fraction @ ..] => {
                let (value, count) = digits(fraction, 1, 9)?;
                let scale = 10_i64.pow(9 - u32::try_from(count).ok()?);
                let whole = count == fraction.len();
                u32::try_from(value * scale).ok().filter(|_| whole)?
            }
            _ => return None,
        };
        return Some(label(secs, nanos));
    }
    if let Some((civil, length)) = date(text)
        && length == text.len()
    {
        return Some(label(local(civil)?, 0));
    }
    if let Some(read) = date_time(text)
        && read.length == text.len()
    {
        let secs = match read.zone {
            Some(offset) => read.civil.to_secs()? - offset,
            // A name may be copied from what `svlogd -tt` wrote: that is UTC.
            None if read.separator == b'_' => read.civil.to_secs()?,
            None => local(read.civil)?,
        };
        return Some(label(secs, read.nanos));
    }
    let time = time_of_day(text).filter(|time| time.length == text.len())?;
    let (hour, minute, second) = time.shown;
    let civil = Civil {
        hour,
        minute,
        second,
        ..midnight
    };
    Some(label(local(civil)?, time.nanos))
}

/// `10m`, `1h 30m`, `2 hours ago`.
fn ago(text: &str, now: Tai64n) -> Option<Tai64n> {
    let text = text.strip_suffix("ago").unwrap_or(text).trim();
    let text: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    let mut rest = text.as_slice();
    let mut secs = 0_i64;
    while !rest.is_empty() {
        let (value, count) = digits(rest, 1, 9)?;
        let letters = rest[count..].iter().take_while(|b| b.is_ascii_alphabetic());
        let end = count + letters.count();
        let unit = match &rest[count..end] {
            b"s" | b"sec" | b"secs" | b"second" | b"seconds" => 1,
            b"m" | b"min" | b"mins" | b"minute" | b"minutes" => 60,
            b"h" | b"hour" | b"hours" => 3600,
            b"d" | b"day" | b"days" => DAY,
            b"w" | b"week" | b"weeks" => 7 * DAY,
            _ => return None,
        };
        secs = secs.checked_add(value.checked_mul(unit)?)?;
        rest = &rest[end..];
    }
    let label = now.label.checked_sub(u64::try_from(secs).ok()?)?;
    (!text.is_empty()).then_some(Tai64n { label, ..now })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    /// Two hours ahead of UTC.
    fn local(civil: Civil) -> Option<i64> {
        Some(civil.to_secs()? - 7200)
    }

    /// 2026-11-21 13:53:25 UTC.
    const AT: i64 = 1_795_269_205;

    #[test]
    fn stamps_of_every_logger_are_read() {
        for (line, nanos, rest) in [
            ("@400000006b01a25f00000005 x", 5, "x"),
            ("@400000006b01a25f00000005", 5, ""),
            ("1795269205.438513 x y", 438_513_000, "x y"),
            ("2026-11-21_13:53:25.43851 x", 438_510_000, "x"),
            ("2026-11-21T13:53:25.43851 x", 438_510_000, "x"),
            ("2026-11-21T13:53:25Z x", 0, "x"),
            ("2026-11-21T13:53:25.5Z x", 500_000_000, "x"),
            ("2026-11-21 15:53:25.25+02:00 x", 250_000_000, "x"),
            ("2026-11-21T12:53:25-01:00", 0, ""),
            ("2026-11-21 15:53:25.000000007  x", 7, "x"),
            ("2026-11-21 15:53:25.000000007 x", 7, "x"),
        ] {
            let seen = leading_stamp(line.as_bytes(), &local);
            let expected = (label(AT, nanos), line.len() - rest.len());
            assert_eq!(seen, Some(expected), "{line}");
        }
        for line in [
            "",
            "@400000006b01a25f00000005x",
            "@400000006b01a25f0000000 x",
            "12345.678901 x",
            "1795269205.4385 x",
            "2026-11-21 15:53:25 x",
            "2026-02-30T13:53:25Z x",
            "2026-11-21T24:53:25Z x",
            "2026-11-21T13:53:25Zx",
            "2026-11-21T13:53:25+02 x",
            "x 2026-11-21T13:53:25Z",
        ] {
            assert_eq!(leading_stamp(line.as_bytes(), &local), None, "{line}");
        }
    }

    #[test]
    fn moments_are_read_as_a_person_means_them() {
        let now = label(AT, 9);
        let shown = Civil::from_secs(AT + 7200);
        let midnight = AT - (15 * 3600 + 53 * 60 + 25);
        for (text, secs, nanos) in [
            ("now", AT, 9),
            ("10m", AT - 600, 9),
            ("2h ago", AT - 7200, 9),
            ("1h 30m", AT - 5400, 9),
            ("90 seconds ago", AT - 90, 9),
            ("2 days ago", AT - 172_800, 9),
            ("today", midnight, 0),
            ("yesterday", midnight - DAY, 0),
            ("2026-11-21", midnight, 0),
            ("2026-11-21 15:53", AT - 25, 0),
            ("2026-11-21 15:53:25", AT, 0),
            ("2026-11-21T15:53:25.5", AT, 500_000_000),
            ("2026-11-21T13:53:25Z", AT, 0),
            ("2026-11-21T14:53:25+01:00", AT, 0),
            ("2026-11-21_13:53:25.43851", AT, 438_510_000),
            ("15:53", AT - 25, 0),
            ("@400000006b01a25f00000005", AT, 5),
            ("@1795269205", AT, 0),
            ("@1795269205.25", AT, 250_000_000),
            ("@0", 0, 0),
        ] {
            assert_eq!(
                moment(text, now, shown, &local),
                Ok(label(secs, nanos)),
                "{text}"
            );
        }
        for text in [
            "",
            "ago",
            "10",
            "10 x",
            "m",
            "tomorrow",
            "2026-13-01",
            "2026-11-21 25:00",
            "2026-11-21 15:53:25 x",
            "@",
            "@12x",
            "99999999999999w",
            "15:5",
        ] {
            let seen = moment(text, now, shown, &local);
            assert_eq!(seen, Err(NoMoment), "{text}");
        }
        assert!(NoMoment.to_string().contains("yesterday"));
    }
}
