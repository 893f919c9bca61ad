//! The calendar: seconds to year, month, day and time of day, and back.

/// Seconds of a day.
pub const DAY: i64 = 86_400;
/// Days of 400 years, after which the Gregorian calendar and its weekdays repeat.
const ERA_DAYS: i64 = 146_097;
/// Seconds of 400 years.
pub const ERA: i64 = ERA_DAYS * DAY;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;

/// A date and a time of day, of no particular zone, in the proleptic Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Civil {
    /// The year; 0 is the one before 1.
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
}

impl Civil {
    /// What a clock shows that showed 1970-01-01 00:00:00 so many seconds ago.
    ///
    /// Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms": a year that begins in March has its leap day at
    /// its end.
    #[must_use]
    pub fn from_secs(secs: i64) -> Civil {
        let days = secs.div_euclid(DAY) + EPOCH_DAYS;
        let rest = secs.rem_euclid(DAY) as u32;
        let era = days.div_euclid(ERA_DAYS);
        let of_era = days.rem_euclid(ERA_DAYS) as u32;
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 {
            from_march + 3
        } else {
            from_march - 9
        };
        Civil {
            year: era * 400 + i64::from(year) + i64::from(month <= 2),
            month: month as u8,
            day: day as u8,
            hour: (rest / 3600) as u8,
            minute: (rest / 60 % 60) as u8,
            second: (rest % 60) as u8,
        }
    }

    /// The other way; `None` if there is no such day or time, or the year has more than 9 digits.
    #[must_use]
    pub fn to_secs(self) -> Option<i64> {
        if !(-999_999_999..=999_999_999).contains(&self.year) {
            return None;
        }
        let month = i64::from(self.month);
        let year = self.year - i64::from(month <= 2);
        let of_year =
            (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + i64::from(self.day) - 1;
        let of_era = year.rem_euclid(400);
        let of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
        let days = year.div_euclid(400) * ERA_DAYS + of_era - EPOCH_DAYS;
        let time =
            i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second);
        let secs = days * DAY + time;
        (Civil::from_secs(secs) == self).then_some(secs)
    }
}

/// What a zone's clocks show during one span of time: from one change to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First Unix second of the span.
    pub from: i64,
    /// First Unix second behind it.
    pub until: i64,
    /// How many seconds the clocks are ahead of UTC.
    pub offset_secs: i32,
}

impl Span {
    /// A span in which no time lies.
    pub const NONE: Span = Span {
        from: 0,
        until: 0,
        offset_secs: 0,
    };

    /// Whether this Unix second lies in it.
    #[must_use]
    pub const fn holds(&self, secs: i64) -> bool {
        self.from <= secs && secs < self.until
    }
}

/// Knows what the clocks of a place show.
pub trait Zone {
    /// A span that holds this Unix second.
    fn span(&self, secs: i64) -> Span;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar_goes_both_ways() {
        for (secs, year, month, day, hour) in [
            (0, 1970, 1, 1, 0),
            (951_782_400, 2000, 2, 29, 0),
            (-62_167_219_200, 0, 1, 1, 0),
            (-62_167_222_800, -1, 12, 31, 23),
            (253_402_300_800, 10_000, 1, 1, 0),
            (-2_203_891_200, 1900, 3, 1, 0),
        ] {
            let civil = Civil::from_secs(secs);
            let seen = (civil.year, civil.month, civil.day, civil.hour);
            assert_eq!(seen, (year, month, day, hour), "{secs}");
            assert_eq!(civil.to_secs(), Some(secs));
        }
        let mut secs = -70_000_000_000;
        while secs < 300_000_000_000 {
            assert_eq!(Civil::from_secs(secs).to_secs(), Some(secs));
            secs += 86_399 * 7;
        }
        let no_day = Civil {
            day: 30,
            month: 2,
            ..Civil::from_secs(0)
        };
        assert_eq!(no_day.to_secs(), None);
    }
}
