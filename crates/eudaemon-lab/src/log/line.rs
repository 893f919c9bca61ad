//! The numbered line, and the count of what arrived.

use crate::mayfly::scrambled;
use std::fmt;

/// The longest filler of a line, so that lines end anywhere in a logger's buffers.
const FILLER: u64 = 120;

/// Line `n` from 1, with its newline: `000000001 odd xxx`. Nothing in it but `n` decides what it looks like.
#[must_use]
pub fn line(n: u64) -> String {
    let parity = if n.is_multiple_of(2) { "even" } else { "odd" };
    let filler = usize::try_from(scrambled(n) % FILLER).unwrap_or_default();
    format!("{n:09} {parity} {}\n", "x".repeat(filler))
}

/// Reads what arrived, in the order of the files, and counts what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Lines that never came.
    pub lost: u64,
    /// Lines that are no line as it was written: cut, merged, or without their stamp.
    pub torn: u64,
    /// Lines that came again, or later than their successors.
    pub doubled: u64,
    /// Lines that came as they should.
    pub whole: u64,
    /// The first thing that was wrong, in words.
    pub first: Option<String>,
    stamped: bool,
    odd_only: bool,
    next: u64,
    rest: Vec<u8>,
}

impl Tally {
    /// Awaits line 1; each with a TAI64N stamp if `stamped`, and no even ones if `odd_only`.
    #[must_use]
    pub fn new(stamped: bool, odd_only: bool) -> Tally {
        Tally {
            stamped,
            odd_only,
            next: 1,
            ..Tally::default()
        }
    }

    /// Takes the next bytes, which may end inside a line.
    pub fn take(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let rest = std::mem::take(&mut self.rest);
        let mut from = 0;
        while let Some(end) = rest[from..].iter().position(|&b| b == b'\n') {
            self.judge(&rest[from..=from + end]);
            from += end + 1;
        }
        self.rest = rest[from..].to_vec();
    }

    fn judge(&mut self, whole: &[u8]) {
        let text = if self.stamped {
            match unstamped(whole) {
                Some(text) => text,
                None => return self.torn(whole),
            }
        } else {
            whole
        };
        let n = text
            .get(..9)
            .and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u64>().ok());
        let Some(n) = n.filter(|&n| line(n).as_bytes() == text) else {
            return self.torn(whole);
        };
        if n < self.next {
            self.doubled += 1;
            self.say(|| format!("line {n} again"));
            return;
        }
        self.missing(n);
        self.whole += 1;
        self.next = n + 1;
    }

    /// All wanted lines before `n` that did not come are lost.
    fn missing(&mut self, n: u64) {
        let lost = if self.odd_only {
            // Odd numbers in next..n.
            n / 2 - self.next / 2
        } else {
            n.saturating_sub(self.next)
        };
        if lost > 0 {
            let from = self.next;
            self.say(|| format!("{lost} lines lost from {from} on"));
        }
        self.lost += lost;
    }

    fn torn(&mut self, whole: &[u8]) {
        self.torn += 1;
        let text = String::from_utf8_lossy(whole).trim_end().to_owned();
        self.say(|| format!("no line: {text:?}"));
    }

    fn say(&mut self, words: impl FnOnce() -> String) {
        if self.first.is_none() {
            let words = words();
            self.first = Some(format!("after {} whole lines: {words}", self.whole));
        }
    }

    /// Says that `written` lines were written in all.
    pub fn end(&mut self, written: u64) {
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            self.torn(&rest);
        }
        if written >= self.next {
            self.missing(written + 1);
            self.next = written + 1;
        }
    }

    /// Whether all that was written arrived whole, once, in order.
    #[must_use]
    pub fn perfect(&self) -> bool {
        (self.lost, self.torn, self.doubled) == (0, 0, 0)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} whole, {} lost, {} torn, {} doubled",
            self.whole, self.lost, self.torn, self.doubled
        )?;
        match &self.first {
            Some(first) => write!(f, " ({first})"),
            None => Ok(()),
        }
    }
}

/// The line behind its stamp: `@`, 24 lower-case hexadecimal digits, a space.
fn unstamped(line: &[u8]) -> Option<&[u8]> {
    let (stamp, text) = line.split_at_checked(26)?;
    let digits = &stamp[1..25];
    let hex = |b: &u8| b.is_ascii_digit() || (b'a'..=b'f').contains(b);
    (stamp[0] == b'@' && stamp[25] == b' ' && digits.iter().all(hex)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::{Tally, line};

    fn told(odd_only: bool, numbers: &[u64], written: u64) -> (u64, u64, u64, u64) {
        let mut tally = Tally::new(false, odd_only);
        for &n in numbers {
            tally.take(line(n).as_bytes());
        }
        tally.end(written);
        (tally.whole, tally.lost, tally.torn, tally.doubled)
    }

    #[test]
    fn counts_what_is_missing_and_what_came_again() {
        assert_eq!(told(false, &[1, 2, 3], 3), (3, 0, 0, 0));
        assert_eq!(told(false, &[1, 3], 5), (2, 3, 0, 0));
        assert_eq!(told(false, &[1, 2, 2, 3], 3), (3, 0, 0, 1));
        assert_eq!(told(false, &[2, 1], 2), (1, 1, 0, 1));
        assert_eq!(told(true, &[1, 3, 5], 6), (3, 0, 0, 0));
        assert_eq!(told(true, &[1, 7], 10), (2, 3, 0, 0));
    }

    #[test]
    fn a_merged_line_is_torn_and_both_are_lost() {
        let mut tally = Tally::new(false, false);
        let merged = line(2).trim_end().to_owned() + &line(3);
        for piece in [line(1).as_str(), &merged, &line(4), "00000"] {
            tally.take(piece.as_bytes());
        }
        tally.end(4);
        assert_eq!(
            (tally.whole, tally.lost, tally.torn, tally.doubled),
            (2, 2, 2, 0)
        );
        assert!(!tally.perfect());
    }

    #[test]
    fn a_missing_stamp_tears() {
        let mut tally = Tally::new(true, false);
        tally.take(format!("@4000000068d0a0a00000000a {}", line(1)).as_bytes());
        tally.take(line(2).as_bytes());
        tally.end(2);
        assert_eq!((tally.whole, tally.lost, tally.torn), (1, 1, 1));
    }
}
