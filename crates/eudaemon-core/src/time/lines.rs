//! Stamps at the starts of lines: given by a [`Stamper`], read again by a [`Restamper`].
//!
//! Both take input in pieces of any size and append to `out` all that is known of it, so that a line is not kept waiting
//! for its end. Source: specification §9.

use super::civil::{Civil, Span, Zone};
use super::{TAI_EPOCH, Tai64n, Wall};
use crate::log::newline;
use alloc::string::ToString;
use alloc::vec::Vec;

/// `tai64n`: puts a stamp before each line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stamper {
    in_line: bool,
}

impl Stamper {
    /// Takes a piece of input; lines that begin in it are given the time it was read at.
    pub fn take(&mut self, input: &[u8], read_at: Wall, out: &mut Vec<u8>) {
        let mut stamp = [b' '; 26];
        stamp[..25].copy_from_slice(&Tai64n::from_wall(read_at).external());
        let mut input = input;
        while !input.is_empty() {
            if !self.in_line {
                out.extend_from_slice(&stamp);
            }
            let line = copy_line(input, out);
            self.in_line = input.get(line - 1) != Some(&b'\n');
            input = &input[line..];
        }
    }
}

/// Appends the input up to its first newline, if it has one, and says how long that is.
///
/// Copied while the newline is sought, in pieces of a fixed size: a call of memcpy for each line would be half of all
/// the time spent (observed with musl 1.2).
fn copy_line(input: &[u8], out: &mut Vec<u8>) -> usize {
    let (pieces, rest) = input.as_chunks::<16>();
    for (at, piece) in pieces.iter().enumerate() {
        out.extend_from_slice(piece);
        if piece
            .iter()
            .fold(false, |found, &byte| found | (byte == b'\n'))
        {
            let within = newline::first(piece).unwrap_or(piece.len() - 1) + 1;
            out.truncate(out.len() - (piece.len() - within));
            return at * piece.len() + within;
        }
    }
    let end = newline::first(rest).map_or(rest.len(), |at| at + 1);
    out.extend_from_slice(&rest[..end]);
    input.len() - rest.len() + end
}

/// How a stamp is shown.
pub trait Style {
    /// How many digits are a stamp's; what follows them is the line's, also if it is a digit.
    const DIGITS_MAX: usize;
    /// Whether fewer digits are a stamp too.
    const ANY_NUMBER: bool;
    /// Appends the stamp, or says with `false` that it cannot be shown; then the digits stay as they are.
    fn show(&mut self, stamp: Tai64n, out: &mut Vec<u8>) -> bool;
}

/// Shows the stamps at the starts of lines in another way, and all else as it is.
#[derive(Debug)]
pub struct Restamper<S> {
    style: S,
    place: Place,
    /// `@` and digits, whose end is not known.
    held: Vec<u8>,
}

/// Where in its line the input stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Start,
    Stamp,
    Rest,
}

impl<S: Style> Restamper<S> {
    /// At the start of a line.
    pub const fn new(style: S) -> Restamper<S> {
        Restamper {
            style,
            place: Place::Start,
            held: Vec::new(),
        }
    }

    /// Takes a piece of input.
    pub fn take(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let mut input = input;
        while !input.is_empty() {
            match self.place {
                Place::Start => {
                    if let Some(stamp) = usual(input)
                        && self.style.show(stamp, out)
                    {
                        input = &input[25..];
                        self.place = Place::Rest;
                    } else if input[0] == b'@' {
                        self.held.push(b'@');
                        input = &input[1..];
                        self.place = Place::Stamp;
                    } else {
                        self.place = Place::Rest;
                    }
                }
                Place::Stamp => {
                    let room = S::DIGITS_MAX + 1 - self.held.len();
                    let near = &input[..input.len().min(room)];
                    let digits = near.iter().take_while(|&&byte| digit(byte).is_some());
                    let digits = digits.count();
                    self.held.extend_from_slice(&near[..digits]);
                    input = &input[digits..];
                    if digits == room || digits < near.len() {
                        self.end(out);
                        self.place = Place::Rest;
                    }
                }
                Place::Rest => {
                    let line = copy_line(input, out);
                    if input.get(line - 1) == Some(&b'\n') {
                        self.place = Place::Start;
                    }
                    input = &input[line..];
                }
            }
        }
    }

    /// Ends the input, or the digits of a stamp.
    ///
    /// Differs: at the end of the input tai64nlocal 0.76 says nothing of a stamp no byte follows (observed). No byte may be
    /// lost, so it is shown.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        let digits = self.held.get(1..).unwrap_or_default();
        let enough = digits.len() == S::DIGITS_MAX || S::ANY_NUMBER;
        if !(enough && self.style.show(sum(digits), out)) {
            out.extend_from_slice(&self.held);
        }
        self.held.clear();
    }
}

/// The stamp at the start of the text if it has the usual 24 digits and something that is no digit behind them.
fn usual(text: &[u8]) -> Option<Tai64n> {
    let (head, rest) = text.split_first_chunk::<25>()?;
    let digits: &[u8; 24] = head.strip_prefix(b"@")?.try_into().ok()?;
    if digit(*rest.first()?).is_some() {
        return None;
    }
    let [high, low, nanos] = digits.as_chunks::<8>().0 else {
        return None;
    };
    Some(Tai64n {
        label: u64::from(eight(*high)?) << 32 | u64::from(eight(*low)?),
        nanos: eight(*nanos)?,
    })
}

/// The value of eight hex digits, all taken at once, a byte each: this is most of the work for a line.
fn eight(digits: [u8; 8]) -> Option<u32> {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    let word = u64::from_be_bytes(digits);
    // Bit 6 tells `a` to `f` from `0` to `9`; the lower half of an `a` is 1.
    let letters = (word >> 6) & EACH;
    let values = (word & (EACH * 0x0f)) + letters * 9;
    let upper_halves = EACH * 0x30 + letters * 0x30;
    // Letters, and nothing else, are 10 or more; nothing is 16 or more.
    let letters_are_ten = ((values + EACH * 6) >> 4) & EACH == letters;
    if word & (EACH * 0xf0) != upper_halves || !letters_are_ten || values & (EACH * 0x10) != 0 {
        return None;
    }
    let bytes = (values | values >> 4) & 0x00ff_00ff_00ff_00ff;
    let pairs = (bytes | bytes >> 8) & 0x0000_ffff_0000_ffff;
    Some((pairs | pairs >> 16) as u32)
}

/// The value of a hex digit as the family writes them. Upper case is not one.
const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// The stamp of any number of digits: the last 24 count, missing ones are zeros before them.
///
/// Source: observed with tai64nlocal 0.76-8.1, 24 digits with eight zeros before them.
fn sum(digits: &[u8]) -> Tai64n {
    let values = digits.iter().filter_map(|&byte| digit(byte));
    let sum = values.fold(0u128, |sum, value| (sum << 4) | u128::from(value));
    Tai64n {
        label: (sum >> 32) as u64,
        nanos: sum as u32,
    }
}

/// `tai64nlocal`: `YYYY-MM-DD HH:MM:SS.NNNNNNNNN` as the clocks of a zone show it.
#[derive(Debug)]
pub struct Local<Z> {
    zone: Z,
    span: Span,
    /// The second whose text is at hand.
    secs: Option<i64>,
    text: Text,
}

/// A short text, in a place of a fixed size, which is copied faster.
#[derive(Clone, Copy, Debug, Default)]
struct Text {
    bytes: [u8; 26],
    length: usize,
}

impl Text {
    /// Most of it: ten digits of a year, the rest of a date, a time of day and a point; or twenty digits and a point.
    fn set(&mut self, text: &[u8]) -> Option<()> {
        self.bytes.get_mut(..text.len())?.copy_from_slice(text);
        self.length = text.len();
        Some(())
    }

    fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes);
        out.truncate(out.len() - (self.bytes.len() - self.length));
    }
}

impl<Z: Zone> Local<Z> {
    /// With the clocks of this zone.
    pub const fn new(zone: Z) -> Local<Z> {
        Local {
            zone,
            span: Span::NONE,
            secs: None,
            text: Text {
                bytes: [0; 26],
                length: 0,
            },
        }
    }

    /// Writes the text of this second, if there is one.
    #[cold]
    fn turn_to(&mut self, secs: i64) -> Option<()> {
        self.secs = None;
        if !self.span.holds(secs) {
            self.span = self.zone.span(secs);
        }
        let shown = secs.checked_add(i64::from(self.span.offset_secs))?;
        let civil = Civil::from_secs(shown);
        let year = u32::try_from(civil.year)
            .ok()
            .filter(|&year| year <= YEAR_MAX)?;
        let mut text = year.to_string().into_bytes();
        let parts = [
            (b'-', civil.month),
            (b'-', civil.day),
            (b' ', civil.hour),
            (b':', civil.minute),
            (b':', civil.second),
        ];
        for (before, part) in parts {
            text.push(before);
            text.extend_from_slice(&[b'0' + part / 10, b'0' + part % 10]);
        }
        text.push(b'.');
        self.text.set(&text)?;
        self.secs = Some(secs);
        Some(())
    }
}

/// The last year shown. Source: observed with tai64nlocal 0.76-8.1: the years after it, and those before 0, are shown as
/// numbers around 2^64.
const YEAR_MAX: u32 = i32::MAX as u32;

impl<Z: Zone> Style for Local<Z> {
    // Any number, said the original; a line of digits without an end must not be kept in memory.
    const DIGITS_MAX: usize = 4096;
    const ANY_NUMBER: bool = true;

    fn show(&mut self, stamp: Tai64n, out: &mut Vec<u8>) -> bool {
        // Before 1970 this wraps around, and then is the negative number meant.
        let secs = stamp.label.wrapping_sub(TAI_EPOCH).cast_signed();
        if self.secs != Some(secs) && self.turn_to(secs).is_none() {
            return false;
        }
        self.text.append_to(out);
        if stamp.nanos <= NANOS_MAX {
            out.extend_from_slice(&nine(stamp.nanos));
        } else {
            // No proper label. Observed with tai64nlocal 0.76-8.1: the number as it is.
            out.extend_from_slice(stamp.nanos.to_string().as_bytes());
        }
        true
    }
}

/// `tai64nfrac`: `SECONDS.NANOSECONDS` since 1970, in decimal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fraction {
    /// The second whose text is at hand.
    secs: Option<u64>,
    text: Text,
}

impl Style for Fraction {
    const DIGITS_MAX: usize = 24;
    const ANY_NUMBER: bool = false;

    fn show(&mut self, stamp: Tai64n, out: &mut Vec<u8>) -> bool {
        // A number with a sign could be read in two ways; and TAI64 ends at 2^63.
        let Some(secs) = stamp.label.checked_sub(TAI_EPOCH) else {
            return false;
        };
        if stamp.label >= 1 << 63 || stamp.nanos > NANOS_MAX {
            return false;
        }
        if self.secs != Some(secs) {
            let text = secs.to_string() + ".";
            self.secs = self.text.set(text.as_bytes()).map(|()| secs);
        }
        self.text.append_to(out);
        out.extend_from_slice(&nine(stamp.nanos));
        true
    }
}

/// Most nanoseconds of a proper label.
const NANOS_MAX: u32 = 999_999_999;

/// Nine digits of a number that has no more.
fn nine(number: u32) -> [u8; 9] {
    let (first, rest) = (number / 100_000_000, number % 100_000_000);
    let pairs = [
        rest / 1_000_000,
        rest / 10_000 % 100,
        rest / 100 % 100,
        rest % 100,
    ];
    let mut digits = [b'0'; 9];
    digits[0] += first as u8;
    for (two, pair) in digits[1..].as_chunks_mut::<2>().0.iter_mut().zip(pairs) {
        *two = [b'0' + (pair / 10) as u8, b'0' + (pair % 10) as u8];
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    /// Clocks an hour ahead from 1970 on.
    struct Hour;
    impl Zone for Hour {
        fn span(&self, secs: i64) -> Span {
            let (from, until, offset_secs) = match secs {
                0.. => (0, i64::MAX, 3600),
                _ => (i64::MIN, 0, 0),
            };
            Span {
                from,
                until,
                offset_secs,
            }
        }
    }

    /// The same however the input is cut.
    fn restamped<S: Style>(style: impl Fn() -> S, input: &str) -> String {
        let mut first: Option<String> = None;
        for size in [1, 2, 3, 7, 26, 64, 100_000] {
            let mut restamper = Restamper::new(style());
            let mut out = Vec::new();
            for piece in input.as_bytes().chunks(size) {
                restamper.take(piece, &mut out);
            }
            restamper.end(&mut out);
            let out = String::from_utf8(out).unwrap();
            assert_eq!(
                *first.get_or_insert(out.clone()),
                out,
                "in pieces of {size}"
            );
        }
        first.unwrap_or_default()
    }

    #[test]
    fn stamps_are_shown_as_the_original_shows_them() {
        // Observed with tai64nlocal 0.76-8.1 and TZ=UTC, where clocks show an hour less from 1970 on.
        for (line, shown) in [
            (
                "@400000000000000a000001f4 x\n",
                "1970-01-01 01:00:00.000000500 x\n",
            ),
            (
                "@4000000000000009000001f4 x\n",
                "1969-12-31 23:59:59.000000500 x\n",
            ),
            (
                "@400000000000000affffffff\n",
                "1970-01-01 01:00:00.4294967295\n",
            ),
            (
                "@00000000400000000000000a000001f4 x\n",
                "1970-01-01 01:00:00.000000500 x\n",
            ),
            (
                "@400000000000000a000001f4z\n\n\n",
                "1970-01-01 01:00:00.000000500z\n\n\n",
            ),
            (
                "x@400000000000000a000001f4\n",
                "x@400000000000000a000001f4\n",
            ),
            ("abc", "abc"),
            ("", ""),
            (
                "@3ffffff1886e090a00000007\n",
                "1-01-01 00:00:00.000000007\n",
            ),
            (
                "@400000f00000000a00000000 x\n",
                "34634-07-03 18:04:00.000000000 x\n",
            ),
        ] {
            assert_eq!(restamped(|| Local::new(Hour), line), shown, "{line:?}");
        }
        // It crashes, or says nothing.
        for line in [
            "@ x\n",
            "@\n",
            "@",
            "@4000 x\n",
            "@400000000000000A000001f4 x\n",
            "@400000000000000a000001f4a\n",
            "@7fffffffffffffff00000000 x\n",
            "@000000000000000000000000 x\n",
        ] {
            assert_eq!(restamped(|| Local::new(Hour), line), line);
        }
        assert_eq!(
            restamped(|| Local::new(Hour), "@400000000000000a00000000"),
            "1970-01-01 01:00:00.000000000"
        );
        let long = String::from("@") + &"0".repeat(10_000) + "\n";
        assert_eq!(restamped(|| Local::new(Hour), &long), long);
    }

    #[test]
    fn a_fraction_has_nine_digits() {
        for (line, shown) in [
            ("@400000000000000a000001f4 x\n@", "0.000000500 x\n@"),
            ("@400000006b01bc002ade4804ab\n", "1795275766.719210500ab\n"),
            (
                "@400000006b01bc002ade480 a\n",
                "@400000006b01bc002ade480 a\n",
            ),
            (
                "@4000000000000009000001f4 x\n",
                "@4000000000000009000001f4 x\n",
            ),
            (
                "@400000000000000a3b9aca00 x\n",
                "@400000000000000a3b9aca00 x\n",
            ),
            ("@7fffffffffffffff00000000", "4611686018427387893.000000000"),
            ("@8000000000000000000001f4", "@8000000000000000000001f4"),
        ] {
            assert_eq!(restamped(Fraction::default, line), shown, "{line:?}");
        }
    }

    #[test]
    fn each_line_is_stamped_when_it_begins() {
        let mut out = Vec::new();
        let mut stamper = Stamper::default();
        stamper.take(b"a", Wall::new(1, 0), &mut out);
        stamper.take(b"b\n\n", Wall::new(2, 0), &mut out);
        stamper.take(b"c", Wall::new(3, 5), &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "@400000000000000b00000000 ab\n@400000000000000c00000000 \n@400000000000000d00000005 c"
        );
    }
}
