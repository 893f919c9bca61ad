//! How full `current` is, and where it ends.

use super::newline;
use super::sorter::HEAD_SIZE;

/// How near its size `current` may end at a line's end. Source: specification §8.5.
const WINDOW: u64 = 2000;

/// How full `current` is.
///
/// A file ends with the first line that ends within the last 2000 bytes of its size. If none does, it ends at exactly its
/// size. This depends on the bytes alone, not on the pieces they came in.
///
/// Differs: the original decides for each of its writes of at most 512 bytes, and ends the file with the last line of
/// the write that enters the window (observed with 0.76-8.1: up to 500 bytes later). Both are §8.5's rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    size_bytes: u64,
    bytes: u64,
    /// Whether the last byte written ended a line.
    line_ended: bool,
}

impl Fill {
    /// A file that is full at `size_bytes` and holds `bytes` already.
    #[must_use]
    pub const fn new(size_bytes: u64, bytes: u64) -> Fill {
        // Whether the bytes found end a line is not known; saying no costs at most that the file ends one line later.
        Fill {
            size_bytes,
            bytes,
            line_ended: false,
        }
    }

    /// How many bytes it holds.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    const fn window(&self) -> u64 {
        self.size_bytes.saturating_sub(WINDOW)
    }

    /// Whether it ends here: with a line, near its size. Another file is begun at once; what reads the old one need not wait
    /// for the next line.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.line_ended && self.bytes >= self.window()
    }

    /// Whether another file must be begun before anything is written. `in_line`: what comes next goes on with a line that
    /// is partly in the file.
    #[must_use]
    pub const fn is_due(&self, in_line: bool) -> bool {
        if self.bytes >= self.size_bytes || self.is_finished() {
            return true;
        }
        // A file that was found: a head is written in one piece, and must fit.
        !in_line && self.bytes + HEAD_SIZE as u64 + 1 > self.size_bytes
    }

    /// How many bytes fit.
    #[must_use]
    pub fn room(&self) -> usize {
        usize::try_from(self.size_bytes.saturating_sub(self.bytes)).unwrap_or(usize::MAX)
    }

    /// How many bytes of whole lines it takes at least until it is due.
    #[must_use]
    pub fn before_due(&self) -> usize {
        let left = self.window().saturating_sub(self.bytes);
        usize::try_from(left).unwrap_or(usize::MAX).max(1)
    }

    /// How much of these whole lines goes into it before it is due: whole lines again. None if the first line is longer
    /// than what fits.
    #[must_use]
    pub fn lines(&self, lines: &[u8]) -> usize {
        // The first byte that would lie in the window if it ended a line: the file then holds at least `window` bytes.
        let from = self.window().saturating_sub(self.bytes).saturating_sub(1);
        let inside = usize::try_from(from)
            .ok()
            .and_then(|from| Some((from, lines.get(from..)?)));
        let Some((from, inside)) = inside else {
            return lines.len();
        };
        let end = newline::first(inside).map_or(lines.len(), |at| from + at + 1);
        if end <= self.room() {
            return end;
        }
        newline::last(&lines[..from]).map_or(0, |at| at + 1)
    }

    /// Takes note that these bytes were written.
    pub fn wrote(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        if let Some(&last) = bytes.last() {
            self.line_ended = last == b'\n';
        }
    }

    /// Takes note that `current` is new.
    pub const fn rotated(&mut self) {
        self.bytes = 0;
        self.line_ended = false;
    }
}
