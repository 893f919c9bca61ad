//! The pipe a logger reads from, both ends held by the judge, and the one who fills it.

use super::line::line;
use crate::mayfly::scrambled;
use crate::wait::until;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{PipeReader, PipeWriter, Write as _};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A pipe that outlives its readers.
#[derive(Debug)]
pub struct Pipe {
    read: PipeReader,
    write: Option<PipeWriter>,
}

impl Pipe {
    /// Makes one of the kernel's usual size.
    ///
    /// # Panics
    /// When there is none to be had.
    #[must_use]
    pub fn new() -> Pipe {
        let (read, write) = std::io::pipe().expect("a pipe");
        Pipe {
            read,
            write: Some(write),
        }
    }

    /// The end for the next reader.
    ///
    /// # Panics
    /// When descriptors are short.
    #[must_use]
    pub fn reader(&self) -> OwnedFd {
        self.read.try_clone().expect("a descriptor").into()
    }

    /// Writes all of it; blocks while the pipe is full.
    ///
    /// # Panics
    /// When the end was closed.
    pub fn put(&self, bytes: &[u8]) {
        let mut write = self.write.as_ref().expect("not closed yet");
        write.write_all(bytes).expect("we hold a reader");
    }

    /// Closes the only writing end.
    pub fn close(&mut self) {
        self.write = None;
    }

    /// How many bytes nobody has taken yet.
    ///
    /// # Panics
    /// Never: it is a pipe.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        rustix::io::ioctl_fionread(&self.read).expect("a pipe knows what it holds")
    }

    /// Whether nothing is left to read.
    #[must_use]
    pub fn drained(&self) -> bool {
        self.waiting() == 0
    }

    /// Starts to write numbered lines, at most `most`; a full pipe is the usual case.
    ///
    /// # Panics
    /// When the writing end was closed or given away already.
    #[must_use]
    pub fn flood(&mut self, seed: u64, most: u64) -> Feeder {
        let write = self.write.take().expect("one writer");
        let told = Arc::new(Told::default());
        let theirs = Arc::clone(&told);
        let thread = std::thread::spawn(move || pour(write, seed, most, &theirs));
        Feeder { told, thread }
    }
}

impl Default for Pipe {
    fn default() -> Pipe {
        Pipe::new()
    }
}

#[derive(Debug, Default)]
struct Told {
    stop: AtomicBool,
    bytes: AtomicU64,
}

/// Who writes numbered lines into a pipe, in pieces of any size.
#[derive(Debug)]
pub struct Feeder {
    told: Arc<Told>,
    thread: JoinHandle<u64>,
}

impl Feeder {
    /// How many bytes the pipe has taken so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.told.bytes.load(Ordering::Relaxed)
    }

    /// Asks it to end after the line it is in. It ends when somebody has read so far.
    pub fn stop(&self) {
        self.told.stop.store(true, Ordering::Relaxed);
    }

    /// Waits for its end, which closes the pipe, and says how many lines it wrote.
    ///
    /// # Panics
    /// When nobody reads so far in time.
    #[must_use]
    pub fn lines(self, limit: Duration) -> u64 {
        let done = until(limit, || self.thread.is_finished());
        assert!(done, "nobody reads what is left in the pipe");
        self.thread.join().expect("a writer that only writes")
    }
}

/// Single lines, as a service writes them, and pieces that end anywhere, as a buffer does.
fn pour(mut write: PipeWriter, seed: u64, most_lines: u64, told: &Told) -> u64 {
    let (mut n, mut turn, mut ready) = (0, 0, Vec::new());
    loop {
        let ending = told.stop.load(Ordering::Relaxed) || n >= most_lines;
        let dice = scrambled(seed ^ turn);
        turn += 1;
        let whole_lines = ending || dice.is_multiple_of(3);
        let most = if whole_lines {
            0
        } else {
            usize::try_from(dice % 9000).unwrap_or_default()
        };
        while !ending && (ready.len() <= most || ready.is_empty()) {
            n += 1;
            ready.extend_from_slice(line(n).as_bytes());
        }
        let cut = if whole_lines { ready.len() } else { most };
        write
            .write_all(&ready[..cut])
            .expect("the judge holds a reader");
        ready.drain(..cut);
        told.bytes.fetch_add(cut as u64, Ordering::Relaxed);
        if ending {
            return n;
        }
    }
}

/// Lets this much time pass, or less if the descriptor has something to say: a dead process, for a pidfd.
pub(crate) fn pass(fd: &impl std::os::fd::AsFd, time: Duration) {
    let time = Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    };
    let _event_or_timeout = poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&time));
}
