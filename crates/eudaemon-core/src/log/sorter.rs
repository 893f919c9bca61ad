//! Sorts input into lines, and lines to where they belong.

use super::pattern::matches;
use super::script::{Action, Script};
use alloc::vec;
use alloc::vec::Vec;

/// How much of a line, its stamp included, patterns, `e` and `=` see. Source: specification §8.1.
pub const HEAD_SIZE: usize = 1000;
/// How much of a line `e` tells.
pub const TOLD_SIZE: usize = 200;

/// What takes the sorted lines.
pub trait Sink {
    /// Takes bytes for the log directory of this number.
    fn log(&mut self, directory: usize, bytes: &[u8]);
    /// Takes a line to be told: at most 200 bytes of it, and whether there were more.
    fn tell(&mut self, line: &[u8], more: bool);
    /// Takes a line's head to be kept in the file of this number.
    fn keep(&mut self, file: usize, head: &[u8]);
}

/// Where in its line the input stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At its start.
    Start,
    /// In its head: it waits in the sorter until it is whole.
    Head,
    /// Behind its head: what comes goes on to where the head went.
    Tail,
}

/// Takes input in pieces of any size. Between two pieces it holds back nothing but the head of an unfinished line.
#[derive(Debug)]
pub struct Sorter {
    actions: Vec<Action>,
    /// Whether lines go nowhere but, as they are, to every directory: then they need not be taken apart.
    plain: bool,
    place: Place,
    head: Vec<u8>,
    /// For each directory whether the present line goes there.
    chosen: Vec<bool>,
}

impl Sorter {
    /// A sorter for the script, at the start of a line.
    #[must_use]
    pub fn new(script: &Script) -> Sorter {
        let plain = script.stamp == super::Stamp::None
            && script
                .actions
                .iter()
                .all(|action| matches!(action, Action::Log(_)));
        Sorter {
            actions: script.actions.clone(),
            plain,
            place: Place::Start,
            head: Vec::with_capacity(HEAD_SIZE),
            chosen: vec![plain; script.directories.len()],
        }
    }

    /// Whether a line has begun and not ended.
    #[must_use]
    pub fn in_line(&self) -> bool {
        self.place != Place::Start
    }

    /// Takes a piece of input. `stamp` is what lines that begin in it start with; it is shorter than the head.
    pub fn take(&mut self, input: &[u8], stamp: &[u8], sink: &mut impl Sink) {
        let mut input = input;
        while !input.is_empty() {
            match self.place {
                Place::Start => {
                    if let Some(last) = self.whole_lines(input) {
                        let (lines, rest) = input.split_at(last + 1);
                        self.send(lines, sink);
                        input = rest;
                        continue;
                    }
                    self.head.clear();
                    self.head.extend_from_slice(stamp);
                    self.place = Place::Head;
                }
                Place::Head => input = self.take_head(input, sink),
                Place::Tail => {
                    let end = newline(input).map(|at| at + 1);
                    let (tail, rest) = input.split_at(end.unwrap_or(input.len()));
                    self.send(tail, sink);
                    if end.is_some() {
                        self.place = Place::Start;
                    }
                    input = rest;
                }
            }
        }
    }

    /// Ends the input: an unfinished line gets the newline it lacks.
    pub fn end(&mut self, sink: &mut impl Sink) {
        match self.place {
            Place::Start => {}
            Place::Head | Place::Tail => self.take(b"\n", b"", sink),
        }
    }

    /// Where the last newline is, if lines need not be taken apart.
    fn whole_lines(&self, input: &[u8]) -> Option<usize> {
        if self.plain {
            input.iter().rposition(|&byte| byte == b'\n')
        } else {
            None
        }
    }

    fn take_head<'a>(&mut self, input: &'a [u8], sink: &mut impl Sink) -> &'a [u8] {
        let room = HEAD_SIZE - self.head.len();
        // One byte beyond the room: a newline there ends a line of exactly a head.
        let near = &input[..input.len().min(room + 1)];
        if let Some(at) = newline(near) {
            self.head.extend_from_slice(&input[..at]);
            self.decide(false, sink);
            self.head.push(b'\n');
            let head = core::mem::take(&mut self.head);
            self.send(&head, sink);
            self.head = head;
            self.place = Place::Start;
            return &input[at + 1..];
        }
        let taken = room.min(input.len());
        self.head.extend_from_slice(&input[..taken]);
        if input.len() > room {
            self.decide(true, sink);
            let head = core::mem::take(&mut self.head);
            self.send(&head, sink);
            self.head = head;
            self.place = Place::Tail;
        }
        &input[taken..]
    }

    /// Applies the script to the head.
    fn decide(&mut self, longer: bool, sink: &mut impl Sink) {
        let head = self.head.as_slice();
        let mut selected = true;
        for action in &self.actions {
            match action {
                Action::Select(pattern) => selected = selected || matches(pattern, head),
                Action::Deselect(pattern) => selected = selected && !matches(pattern, head),
                Action::Log(directory) => self.chosen[*directory] = selected,
                Action::Tell if selected => {
                    let told = &head[..head.len().min(TOLD_SIZE)];
                    sink.tell(told, longer || head.len() > TOLD_SIZE);
                }
                Action::Keep(file) if selected => sink.keep(*file, head),
                Action::Tell | Action::Keep(_) => {}
            }
        }
    }

    fn send(&self, bytes: &[u8], sink: &mut impl Sink) {
        for (directory, _) in self
            .chosen
            .iter()
            .enumerate()
            .filter(|(_, chosen)| **chosen)
        {
            sink.log(directory, bytes);
        }
    }
}

/// Where the first newline is. Eight bytes at a time, for this is most of the work of a logger.
pub(crate) fn newline(bytes: &[u8]) -> Option<usize> {
    const LOW: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    const SOUGHT: u64 = u64::from_ne_bytes([b'\n'; 8]);
    let (words, rest) = bytes.as_chunks::<8>();
    let holds = |word: &[u8; 8]| {
        let different = u64::from_ne_bytes(*word) ^ SOUGHT;
        // A byte is zero exactly if subtracting one borrows into its high bit and the bit was clear.
        different.wrapping_sub(LOW) & !different & HIGH != 0
    };
    let (at, tail) = match words.iter().position(holds) {
        Some(word) => (word * 8, words[word].as_slice()),
        None => (words.len() * 8, rest),
    };
    tail.iter()
        .position(|&byte| byte == b'\n')
        .map(|within| at + within)
}
