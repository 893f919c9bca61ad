//! The standard error of a new process: copied to this one's, and its last lines kept.

use std::collections::VecDeque;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// Most lines that are kept.
const LINES_MOST: usize = 20;
/// Most bytes that are kept, and the longest line that is waited for.
const BYTES_MOST: usize = 4096;
/// How long somebody who reads our standard error may take, before what is to be written there is dropped.
const PATIENCE: Duration = Duration::from_secs(1);

/// What comes, and what came.
#[derive(Debug)]
pub(super) struct Tail {
    pipe: io::PipeReader,
    /// A line without its end.
    begun: Vec<u8>,
    kept: VecDeque<Vec<u8>>,
    kept_bytes: usize,
}

/// Whether there may be more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum More {
    Later,
    Never,
}

impl Tail {
    /// Of this pipe, which does not wait from here on.
    pub fn of(pipe: io::PipeReader) -> io::Result<Tail> {
        eudaemon_sys::fifo::set_waiting(&pipe, false)?;
        Ok(Tail {
            pipe,
            begun: Vec::new(),
            kept: VecDeque::new(),
            kept_bytes: 0,
        })
    }

    /// Copies what is there.
    pub fn copy(&mut self) -> More {
        let mut bytes = [0; BYTES_MOST];
        // A few at a time: one who writes without end is not to be listened to for ever.
        for _ in 0..16 {
            match self.pipe.read(&mut bytes) {
                Ok(0) => {
                    self.end();
                    return More::Never;
                }
                Ok(count) => self.take(bytes.get(..count).unwrap_or_default(), &mut say),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return More::Later,
                Err(_) => return More::Never,
            }
        }
        More::Later
    }

    fn take(&mut self, mut bytes: &[u8], say: &mut impl FnMut(&[u8])) {
        while let Some(at) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(at + 1);
            bytes = rest;
            self.begun.extend_from_slice(line);
            self.line(say);
        }
        self.begun.extend_from_slice(bytes);
        if self.begun.len() >= BYTES_MOST {
            self.line(say);
        }
    }

    /// Says and keeps the line that was begun.
    fn line(&mut self, say: &mut impl FnMut(&[u8])) {
        let mut line = std::mem::take(&mut self.begun);
        say(&line);
        line.pop_if(|byte| *byte == b'\n');
        line.truncate(BYTES_MOST);
        self.kept_bytes += line.len() + 1;
        self.kept.push_back(line);
        while self.kept.len() > LINES_MOST || self.kept_bytes > BYTES_MOST + 1 {
            let gone = self.kept.pop_front();
            self.kept_bytes -= gone.map_or(0, |gone| gone.len() + 1);
        }
    }

    fn end(&mut self) {
        if !self.begun.is_empty() {
            self.begun.push(b'\n');
            self.line(&mut say);
        }
    }

    /// The last lines, each with its end but for the last.
    pub fn words(&mut self) -> String {
        self.copy();
        self.end();
        let lines: Vec<_> = (self.kept.iter())
            .map(|line| String::from_utf8_lossy(line))
            .collect();
        lines.join("\n")
    }
}

impl AsFd for Tail {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

fn say(line: &[u8]) {
    // Whoever does not read it does not miss it.
    let _ = eudaemon_sys::record::write(io::stderr(), line, PATIENCE);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn said(pieces: &[&[u8]]) -> (Vec<u8>, String) {
        let (reads, _writes) = io::pipe().expect("a pipe");
        let mut tail = Tail::of(reads).expect("a pipe");
        let mut copied = Vec::new();
        for piece in pieces {
            tail.take(piece, &mut |line| copied.extend_from_slice(line));
        }
        (copied, tail.words())
    }

    #[test]
    fn lines_are_copied_whole_and_the_last_are_kept() {
        let (copied, kept) = said(&[b"one\ntw", b"o\nth"]);
        assert_eq!(copied, b"one\ntwo\n");
        assert_eq!(kept, "one\ntwo\nth");
        let lines: String = (0..100).map(|line| format!("{line}\n")).collect();
        let (copied, kept) = said(&[lines.as_bytes()]);
        assert_eq!(copied, lines.as_bytes());
        assert_eq!(kept.lines().count(), LINES_MOST);
        assert!(kept.starts_with("80\n") && kept.ends_with("\n99"));
    }

    #[test]
    fn no_line_is_too_long_to_keep_up_with() {
        let long = vec![b'x'; 3 * BYTES_MOST];
        let (copied, kept) = said(&[&long, b"\nlast\n"]);
        assert_eq!(copied.len(), long.len() + 1 + "last\n".len());
        assert!(
            kept.len() <= BYTES_MOST && kept.ends_with("\nlast"),
            "{}",
            kept.len()
        );
        let (_, kept) = said(&[&long]);
        assert_eq!(kept.len(), BYTES_MOST);
    }

    #[test]
    fn it_ends_with_the_last_writer() {
        let (reads, mut writes) = io::pipe().expect("a pipe");
        let mut tail = Tail::of(reads).expect("a pipe");
        assert_eq!(tail.copy(), More::Later);
        writes.write_all(b"").expect("a reader");
        drop(writes);
        assert_eq!(tail.copy(), More::Never);
        assert_eq!(tail.words(), "");
    }
}
