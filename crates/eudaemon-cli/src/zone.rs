//! The zone of the place we are in, as the C library would find it: `TZ`, or `/etc/localtime`, else UTC.
//!
//! Source: tzset(3), and observed with Debian's glibc where it says nothing. jiff reads the rules; where they are found is
//! decided here, for what it does with `TZ` is not what a C program on the same machine does.

use eudaemon_core::time::{Civil, ERA, Span, Zone};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where names of zones are looked up, if `TZDIR` says nothing.
const ZONES: &str = "/usr/share/zoneinfo";
/// The rules of a zone, if `TZ` names summer time and no rules. Source: tzset(3) leaves them to the system; glibc and
/// tzcode take those of the United States.
const RULES: &str = ",M3.2.0,M11.1.0";
/// The Unix seconds jiff is asked about (it knows the years from -9999 to 9999): from here,
const FROM: i64 = -370_000_000_000;
/// until here. All others are moved by whole cycles of the calendar until they are among them.
const UNTIL: i64 = 253_000_000_000;

/// What clocks show here, from one change of theirs to the next.
#[derive(Clone, Debug)]
pub struct Place {
    zone: TimeZone,
    /// Before this second, clocks show what they show at it.
    rules_from: i64,
}

impl Place {
    /// The place of this process.
    #[must_use]
    pub fn here() -> Place {
        let tz = std::env::var_os("TZ");
        let dir = std::env::var_os("TZDIR").map_or_else(|| PathBuf::from(ZONES), PathBuf::from);
        match tz {
            None => from_file(Path::new("/etc/localtime")),
            Some(tz) => from_text(tz.as_bytes(), &dir),
        }
        .unwrap_or(Place {
            zone: TimeZone::UTC,
            rules_from: FROM,
        })
    }
}

/// The zone of this process.
#[must_use]
pub fn local() -> TimeZone {
    Place::here().zone
}

/// The Unix second at which clocks of the zone show this. One that is shown twice is the earlier; one that is skipped is
/// that much later. Source: jiff, `Disambiguation::Compatible`, as RFC 5545 has it.
#[must_use]
pub fn second(zone: &TimeZone, shown: Civil) -> Option<i64> {
    let part = |part: u8| i8::try_from(part).ok();
    let year = i16::try_from(shown.year).ok()?;
    let date = jiff::civil::Date::new(year, part(shown.month)?, part(shown.day)?).ok()?;
    let time = (part(shown.hour)?, part(shown.minute)?, part(shown.second)?);
    let at = date.at(time.0, time.1, time.2, 0);
    Some(zone.to_timestamp(at).ok()?.as_second())
}

/// What clocks of the zone show at this moment.
#[must_use]
pub fn shown(zone: &TimeZone, at: Timestamp) -> Civil {
    Civil::from_secs(at.as_second() + i64::from(zone.to_offset(at).seconds()))
}

fn from_file(path: &Path) -> Option<Place> {
    let bytes = std::fs::read(path).ok()?;
    Some(Place {
        zone: TimeZone::tzif("", &bytes).ok()?,
        rules_from: FROM,
    })
}

fn from_text(tz: &[u8], dir: &Path) -> Option<Place> {
    let name = tz.strip_prefix(b":").unwrap_or(tz);
    if name.is_empty() {
        return None;
    }
    // A path that begins with a slash stays as it is.
    let file = from_file(&dir.join(OsStr::from_bytes(name)));
    file.or_else(|| {
        let text = std::str::from_utf8(name).ok()?;
        let ruled = || TimeZone::posix(&format!("{text}{RULES}"));
        Some(Place {
            zone: TimeZone::posix(text).or_else(|_| ruled()).ok()?,
            // Observed with Debian's glibc 2.36: rules in TZ begin with 1970.
            rules_from: 0,
        })
    })
}

impl Zone for Place {
    fn span(&self, secs: i64) -> Span {
        if secs < self.rules_from {
            let Span { offset_secs, .. } = self.span(self.rules_from);
            return Span {
                from: i64::MIN,
                until: self.rules_from,
                offset_secs,
            };
        }
        // Rules repeat with the calendar, and before the first change there is none.
        let cycles = match secs {
            ..FROM => (secs - FROM).div_euclid(ERA),
            FROM..UNTIL => 0,
            UNTIL.. => (secs - UNTIL).div_euclid(ERA) + 1,
        };
        let Ok(at) = Timestamp::from_second(secs - cycles * ERA) else {
            return Span::NONE;
        };
        let offset_secs = self.zone.to_offset(at).seconds();
        if cycles != 0 {
            return Span {
                from: secs,
                until: secs.saturating_add(1),
                offset_secs,
            };
        }
        // What precedes the next moment is this one, or before it.
        let soon = at + jiff::SignedDuration::from_nanos(1);
        let last = self.zone.preceding(soon).next();
        let next = self.zone.following(at).next();
        Span {
            from: last
                .map_or(FROM, |change| change.timestamp().as_second())
                .max(self.rules_from),
            until: next.map_or(UNTIL, |change| change.timestamp().as_second()),
            offset_secs,
        }
    }
}
