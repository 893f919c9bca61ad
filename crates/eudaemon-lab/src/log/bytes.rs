//! Bytes no logger expects: NUL, no UTF-8, a line longer than memory should be, no newline at the end.

use super::disk::memory_kib;
use super::logger::{Logger, Shape};
use super::pipe::Pipe;
use crate::World;
use crate::wait::{Exit, until};
use std::fs;
use std::time::Duration;

/// How long a logger gets for its input.
const PATIENCE: Duration = Duration::from_secs(120);
/// The largest file each logger accepts.
const SIZE: u32 = 16_777_215;

/// What arrived of some input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Whether it is what was written, byte for byte.
    pub exact: bool,
    /// Bytes in the log.
    pub bytes: u64,
    /// The most memory the logger had, in KiB.
    pub memory_kib: u64,
}

/// Writes `head`, then `x` until `long` bytes of them are written, then `tail`, and compares. A newline missing at the end is
/// one that the logger is to add.
///
/// # Panics
/// When nothing can be started.
#[must_use]
pub fn arrives(logger: &Logger, head: &[u8], long: u64, tail: &[u8]) -> Arrived {
    let world = World::new("bytes");
    let home = world.path("");
    logger.prepare(&home, Shape::Plain, SIZE);
    let arguments = logger.arguments(Shape::Plain, SIZE);
    let mut pipe = Pipe::new();
    let running = world.start_on(&logger.program, &arguments, pipe.reader());
    let piece = vec![b'x'; 1 << 20];
    pipe.put(head);
    let mut left = long;
    while left > 0 {
        let now = usize::try_from(left).map_or(piece.len(), |left| left.min(piece.len()));
        pipe.put(&piece[..now]);
        left -= now as u64;
    }
    pipe.put(tail);
    until(PATIENCE, || pipe.drained());
    let memory_kib = memory_kib(running.pid);
    pipe.close();
    let exit = running.exit(PATIENCE);
    let mut expected = head.len() as u64 + long + tail.len() as u64;
    let newline: &[u8] = match tail.last() {
        Some(b'\n') => b"",
        Some(_) | None => b"\n",
    };
    expected += newline.len() as u64;
    let mut bytes = 0;
    let mut exact = exit == Some(Exit::Code(0));
    let ends = [tail, newline].concat();
    for file in logger.files(&world.path("a")) {
        let text = fs::read(file).expect("a log file");
        for (at, &b) in (bytes..).zip(&text) {
            let from_end = expected.checked_sub(at + 1);
            let wanted = match usize::try_from(at) {
                Ok(at) if at < head.len() => Some(head[at]),
                Ok(_) | Err(_) => from_end.map(|from_end| {
                    let from_end = usize::try_from(from_end).unwrap_or(usize::MAX);
                    let at = ends
                        .len()
                        .checked_sub(1)
                        .and_then(|last| last.checked_sub(from_end));
                    at.map_or(b'x', |at| ends[at])
                }),
            };
            exact &= wanted == Some(b);
        }
        bytes += text.len() as u64;
    }
    Arrived {
        exact: exact && bytes == expected,
        bytes,
        memory_kib,
    }
}
