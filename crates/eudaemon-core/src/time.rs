//! The two clocks and the family's time label.
//!
//! Decisions use [`Mono`]; stamps use [`Wall`], printed as [`Tai64n`]. The two never meet in a comparison.

mod civil;
mod lines;
mod read;

pub use civil::{Civil, DAY, ERA, Span, Zone};
pub use lines::{Fraction, Local, Restamper, Stamper, Style};
pub use read::{NoMoment, leading_stamp, moment};

use core::fmt;
use core::time::Duration;

/// A moment on the monotonic clock, in nanoseconds. Only differences mean anything.
///
/// Source: `clock_gettime(2)`, `CLOCK_MONOTONIC`; it is the same clock for every process of the machine, so a moment
/// may be handed to the next engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub u64);

impl Mono {
    /// How long ago `earlier` was; zero if it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl core::ops::Add<Duration> for Mono {
    type Output = Mono;
    fn add(self, by: Duration) -> Mono {
        Mono(
            self.0
                .saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

/// A moment on the wall clock: nanoseconds since 1970-01-01T00:00:00Z. It may jump either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(pub u64);

impl Wall {
    /// A moment from whole seconds and nanoseconds.
    #[must_use]
    pub const fn new(secs: u64, nanos: u32) -> Wall {
        Wall(
            secs.saturating_mul(1_000_000_000)
                .saturating_add(nanos as u64),
        )
    }
    /// Whole seconds since 1970.
    #[must_use]
    pub const fn secs(self) -> u64 {
        self.0 / 1_000_000_000
    }
    /// Nanoseconds within the second.
    #[must_use]
    pub const fn subsec_nanos(self) -> u32 {
        (self.0 % 1_000_000_000) as u32
    }
}

/// A TAI64N label: 8 bytes of seconds and 4 of nanoseconds, big-endian.
///
/// Source: daemontools 0.76, libtai's `tai_now`; specification §1. The offset is the constant 10 of the family, not the
/// number of leap seconds, so that our stamps and theirs agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tai64n {
    /// `2^62 + 10 +` unix seconds.
    pub label: u64,
    /// 0 to 999,999,999.
    pub nanos: u32,
}

/// Label of 1970-01-01T00:00:00Z in the family's reckoning.
pub const TAI_EPOCH: u64 = 4_611_686_018_427_387_914;

impl Tai64n {
    /// Bytes of the binary form.
    pub const SIZE: usize = 12;

    /// The label of a wall-clock moment.
    #[must_use]
    pub const fn from_wall(at: Wall) -> Tai64n {
        Tai64n {
            label: TAI_EPOCH.saturating_add(at.secs()),
            nanos: at.subsec_nanos(),
        }
    }

    /// The wall-clock moment, or `None` before 1970 or beyond what [`Wall`] holds.
    #[must_use]
    pub fn to_wall(self) -> Option<Wall> {
        let secs = self.label.checked_sub(TAI_EPOCH)?;
        let nanos = secs
            .checked_mul(1_000_000_000)?
            .checked_add(u64::from(self.nanos))?;
        Some(Wall(nanos))
    }

    /// The 12-byte form.
    #[must_use]
    pub fn pack(self) -> [u8; Self::SIZE] {
        let mut out = [0; Self::SIZE];
        let (secs, nanos) = out.split_at_mut(8);
        secs.copy_from_slice(&self.label.to_be_bytes());
        nanos.copy_from_slice(&self.nanos.to_be_bytes());
        out
    }

    /// Reads the 12-byte form. Any bytes are a label.
    #[must_use]
    pub fn unpack(bytes: [u8; Self::SIZE]) -> Tai64n {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
        Tai64n {
            label: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            nanos: u32::from_be_bytes([i, j, k, l]),
        }
    }

    /// The external form, `@` and 24 lower-case hex digits, as bytes.
    #[must_use]
    pub fn external(self) -> [u8; 25] {
        const HEX: [u8; 16] = *b"0123456789abcdef";
        let mut out = [b'@'; 25];
        for (pair, byte) in out[1..].chunks_exact_mut(2).zip(self.pack()) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        out
    }

    /// Reads the external form from the start of `text`: `@` and 24 hex digits, either case.
    #[must_use]
    pub fn parse_external(text: &[u8]) -> Option<Tai64n> {
        let digits = text.strip_prefix(b"@")?.get(..24)?;
        let mut bytes = [0u8; Self::SIZE];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            *byte = u8::try_from(high * 16 + low).ok()?;
        }
        Some(Tai64n::unpack(bytes))
    }
}

impl fmt::Display for Tai64n {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(core::str::from_utf8(&self.external()).unwrap_or("@"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_is_the_familys() {
        let text = Tai64n::from_wall(Wall::new(0, 500)).external();
        assert_eq!(&text, b"@400000000000000a000001f4");
    }

    #[test]
    fn forms_round_trip() {
        for wall in [
            Wall::new(0, 0),
            Wall::new(1_795_184_419, 438_513_500),
            Wall::new(18_000_000_000, 999_999_999),
        ] {
            let stamp = Tai64n::from_wall(wall);
            assert_eq!(Tai64n::unpack(stamp.pack()), stamp);
            assert_eq!(Tai64n::parse_external(&stamp.external()), Some(stamp));
            assert_eq!(stamp.to_wall(), Some(wall));
        }
    }

    #[test]
    fn what_is_no_stamp_is_refused() {
        for text in [
            &b"@"[..],
            b"400000000000000a000001f4",
            b"@400000000000000a000001f",
            b"@400000000000000a000001fg",
        ] {
            assert_eq!(Tai64n::parse_external(text), None, "{text:?}");
        }
        assert_eq!(Tai64n { label: 5, nanos: 0 }.to_wall(), None);
    }
}
