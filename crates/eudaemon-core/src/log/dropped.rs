//! What a directory was asked to drop when its disk is full, counted: nothing goes without a word.

use alloc::format;
use alloc::vec::Vec;
use core::fmt;

/// Lines that were not written and are still to be told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    lines: u64,
    /// The last of them was dropped without its end, which belongs to no further line.
    cut: bool,
}

impl Dropped {
    /// Counts what is dropped, in the order in which it would have been written.
    pub fn take(&mut self, parts: [&[u8]; 2]) {
        for part in parts {
            let Some(&last) = part.last() else { continue };
            let ends = part.iter().filter(|&&byte| byte == b'\n').count() as u64;
            // The rest of a line that is counted already.
            let counted = u64::from(self.cut && ends > 0);
            let still_cut = self.cut && ends == 0;
            let begun = u64::from(last != b'\n' && !still_cut);
            self.lines += ends - counted + begun;
            self.cut = last != b'\n';
        }
    }

    /// Whether there is something to tell.
    #[must_use]
    pub const fn is_any(self) -> bool {
        self.lines > 0
    }

    /// The line that tells of them, behind `stamp`. `ended`: the line before it has its newline.
    #[must_use]
    pub fn marker(self, stamp: &[u8], ended: bool) -> Vec<u8> {
        let mut line = Vec::new();
        if !ended {
            line.push(b'\n');
        }
        line.extend_from_slice(stamp);
        line.extend_from_slice(format!("multilog: {self}\n").as_bytes());
        line
    }

    /// Takes note that they were told of.
    pub const fn told(&mut self) {
        self.lines = 0;
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lines dropped: out of disk space", self.lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(pieces: &[[&str; 2]]) -> u64 {
        let mut dropped = Dropped::default();
        for [one, other] in pieces {
            dropped.take([one.as_bytes(), other.as_bytes()]);
        }
        dropped.lines
    }

    #[test]
    fn a_line_counts_once_however_many_pieces_it_comes_in() {
        assert_eq!(counted(&[["", ""]]), 0);
        assert_eq!(counted(&[["a\nb\n", "c\n"]]), 3);
        assert_eq!(counted(&[["a\nb", ""]]), 2);
        assert_eq!(counted(&[["a\nb", "c\n"]]), 2);
        assert_eq!(counted(&[["a", ""], ["b", ""], ["c\nd\n", ""]]), 2);
        assert_eq!(counted(&[["\n", "\n"], ["", "x\n"]]), 3);
    }

    #[test]
    fn the_marker_begins_a_line_of_its_own() {
        let mut dropped = Dropped::default();
        dropped.take([b"a\nb\n", b""]);
        assert!(dropped.is_any());
        assert_eq!(
            dropped.marker(b"", true),
            b"multilog: 2 lines dropped: out of disk space\n"
        );
        assert!(
            dropped
                .marker(b"@4 ", false)
                .starts_with(b"\n@4 multilog: ")
        );
        dropped.told();
        assert!(!dropped.is_any());
    }
}
