//! Sorts input into lines, and lines to where they belong.

use super::fill::Fill;
use super::lane::{LANE_SIZE, Lane, copy};
use super::newline;
use super::script::{Action, Script};
use super::stamp::Stamp;
use alloc::vec;
use alloc::vec::Vec;

/// How much of a line, its stamp included, patterns, `e` and `=` see. Source: specification §8.1.
pub const HEAD_SIZE: usize = 1000;
/// How much of a line `e` tells.
pub const TOLD_SIZE: usize = 200;
/// What takes the lines that go elsewhere than to a directory.
pub trait Aside {
    /// Takes a line to be told: at most 200 bytes of it, and whether there were more.
    fn tell(&mut self, line: &[u8], more: bool);
    /// Takes a line's head to be kept in the file of this number.
    fn keep(&mut self, file: usize, head: &[u8]);
    /// Takes a line's head to be sent to the receiver of this number.
    fn send(&mut self, receiver: usize, head: &[u8]);
}

/// Where in its line the input stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// At its start.
    #[default]
    Start,
    /// In its head: it waits until it is whole.
    Head,
    /// Behind its head: what comes goes on to where the head went.
    Tail,
}

/// What of the input was taken and is in no file: all that a sorter remembers between two pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Where in its line the input stands.
    pub place: Place,
    /// The head of an unfinished line, with its stamp.
    pub head: Vec<u8>,
    /// For each directory whether the line goes there; told in its tail only.
    pub chosen: Vec<bool>,
}

/// How lines must be treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// They go as they are to every directory: they need not be taken apart.
    Plain,
    /// They get a stamp, and go to every directory.
    Stamped,
    /// The script says for each.
    Judged,
}

/// Takes input in pieces of any size. Between two pieces it holds back nothing but the head of an unfinished line.
#[derive(Debug)]
pub struct Sorter {
    actions: Vec<Action>,
    way: Way,
    place: Place,
    head: Vec<u8>,
    lanes: Vec<Lane>,
    /// How much of the piece goes to every directory before what the lanes hold.
    as_is: usize,
    /// A lane wants to be written, or another file, before more is taken.
    stopped: bool,
}

impl Sorter {
    /// A sorter for the script, at the start of a line; how full each directory's `current` is.
    #[must_use]
    pub fn new(script: &Script, fills: impl IntoIterator<Item = Fill>) -> Sorter {
        let simple = script
            .actions
            .iter()
            .all(|action| matches!(action, Action::Log(_)));
        let way = match (simple, script.stamp) {
            (true, Stamp::None) => Way::Plain,
            (true, Stamp::Tai64n | Stamp::Accustamp | Stamp::Rfc3339) => Way::Stamped,
            (false, Stamp::None | Stamp::Tai64n | Stamp::Accustamp | Stamp::Rfc3339) => Way::Judged,
        };
        Sorter {
            actions: script.actions.clone(),
            way,
            place: Place::Start,
            head: Vec::with_capacity(HEAD_SIZE + 1),
            lanes: fills.into_iter().map(Lane::new).collect(),
            as_is: 0,
            stopped: false,
        }
    }

    /// Whether a line has begun and not ended.
    #[must_use]
    pub fn in_line(&self) -> bool {
        self.place != Place::Start
    }

    /// How many bytes of the piece that was taken each directory is to get as they are, before what its lane holds.
    #[must_use]
    pub const fn as_is(&self) -> usize {
        self.as_is
    }

    /// What each directory is to get.
    #[must_use]
    pub fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    /// Whether the directory of this number must begin another file before more is taken.
    #[must_use]
    pub fn is_due(&self, directory: usize) -> bool {
        let lane = &self.lanes[directory];
        lane.fill.is_due(self.place == Place::Tail && lane.chosen)
    }

    /// Whether the directory's `current` ends with what was taken ([`Fill::is_finished`]).
    #[must_use]
    pub fn is_finished(&self, directory: usize) -> bool {
        self.lanes[directory].fill.is_finished()
    }

    /// Takes note that the directory's `current` is another one.
    pub fn begins(&mut self, directory: usize, fill: Fill) {
        self.lanes[directory].fill = fill;
        self.stopped = false;
    }

    /// Takes note that what the lanes hold was written.
    pub fn written(&mut self) {
        self.lanes.iter_mut().for_each(Lane::clear);
        self.as_is = 0;
        self.stopped = false;
    }

    /// What it remembers.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let chosen = match self.place {
            Place::Start | Place::Head => Vec::new(),
            Place::Tail => self.lanes.iter().map(|lane| lane.chosen).collect(),
        };
        let head = match self.place {
            Place::Head => self.head.clone(),
            Place::Start | Place::Tail => Vec::new(),
        };
        Memory {
            place: self.place,
            head,
            chosen,
        }
    }

    /// Remembers what an earlier one did, and forgets what the lanes hold.
    pub fn remember(&mut self, memory: &Memory, fills: impl IntoIterator<Item = Fill>) {
        self.place = memory.place;
        self.head.clear();
        self.head.extend_from_slice(&memory.head);
        for (lane, fill) in self.lanes.iter_mut().zip(fills) {
            lane.clear();
            lane.fill = fill;
        }
        for (lane, chosen) in self.lanes.iter_mut().zip(&memory.chosen) {
            lane.chosen = *chosen;
        }
        self.as_is = 0;
        self.stopped = false;
    }

    /// Takes from a piece of input as much as can be written without beginning another file; how much that was.
    ///
    /// `stamp` is what lines that begin in it start with; it is shorter than the head. No lane may be due
    /// ([`Sorter::is_due`]), so at least one byte is taken.
    pub fn take(&mut self, input: &[u8], stamp: &[u8], aside: &mut impl Aside) -> usize {
        let mut rest = input;
        while !rest.is_empty() && !self.stopped {
            let taken = match self.place {
                Place::Start => match self.whole_lines(rest, stamp, aside) {
                    0 if self.stopped => 0,
                    0 => {
                        self.head.clear();
                        self.head.extend_from_slice(stamp);
                        self.place = Place::Head;
                        0
                    }
                    taken => taken,
                },
                Place::Head => self.take_head(rest, aside),
                Place::Tail => self.take_tail(rest),
            };
            rest = &rest[taken..];
        }
        input.len() - rest.len()
    }

    /// Ends the input: an unfinished line gets the newline it lacks. No lane may be due.
    pub fn end(&mut self, aside: &mut impl Aside) {
        if self.in_line() {
            self.take(b"\n", b"", aside);
        }
    }

    /// Takes lines that are whole, and no longer than a head with their stamp; stops at the first other one.
    fn whole_lines(&mut self, input: &[u8], stamp: &[u8], aside: &mut impl Aside) -> usize {
        match self.way {
            Way::Plain => {
                let lines = newline::last(input).map_or(0, |at| at + 1);
                let fitting = self
                    .lanes
                    .iter()
                    .map(|lane| lane.fill.lines(&input[..lines]));
                let taken = fitting.min().unwrap_or(lines);
                if taken > 0 {
                    self.send_all(&input[..taken]);
                }
                taken
            }
            Way::Stamped => self.stamped(input, stamp),
            Way::Judged => self.judged(input, stamp, aside),
        }
    }

    fn stamped(&mut self, input: &[u8], stamp: &[u8]) -> usize {
        let Some((first, others)) = self.lanes.split_first_mut() else {
            return newline::last(input).map_or(0, |at| at + 1);
        };
        let most = HEAD_SIZE - stamp.len();
        // A due file ends it, and so does a full lane: what one more line may add fits behind both.
        let mut enough = LANE_SIZE.saturating_sub(first.bytes().len()).max(1);
        for lane in core::iter::once(&*first).chain(others.iter()) {
            enough = enough.min(lane.fill.before_due());
        }
        // No more than this, should every byte be a line; and no line is longer than a head.
        let lines_most = input.len().saturating_mul(stamp.len() + 1);
        let free = first.free(enough.min(lines_most) + 2 * HEAD_SIZE);
        let (mut taken, mut added) = (0, 0);
        while let Some(length) = newline::first(&input[taken..]) {
            if length > most {
                break;
            }
            copy(&mut free[added..], stamp);
            added += stamp.len();
            copy(&mut free[added..], &input[taken..=taken + length]);
            added += length + 1;
            taken += length + 1;
            if added >= enough {
                self.stopped = true;
                break;
            }
        }
        let begun = first.bytes().len();
        first.used(added);
        first.chosen = true;
        for lane in others {
            lane.chosen = true;
            lane.push(&first.bytes()[begun..]);
        }
        taken
    }

    fn judged(&mut self, input: &[u8], stamp: &[u8], aside: &mut impl Aside) -> usize {
        let most = HEAD_SIZE - stamp.len();
        let mut taken = 0;
        let mut head = core::mem::take(&mut self.head);
        while let Some(length) = newline::first(&input[taken..]) {
            if length > most || self.stopped {
                break;
            }
            let line = &input[taken..=taken + length];
            if stamp.is_empty() {
                self.decide(&line[..length], false, aside);
                self.send(line);
            } else {
                head.clear();
                head.extend_from_slice(stamp);
                head.extend_from_slice(line);
                self.decide(&head[..head.len() - 1], false, aside);
                self.send(&head);
            }
            taken += length + 1;
        }
        self.head = head;
        taken
    }

    fn take_head(&mut self, input: &[u8], aside: &mut impl Aside) -> usize {
        let room = HEAD_SIZE - self.head.len();
        // One byte beyond the room: a newline there ends a line of exactly a head.
        let near = &input[..input.len().min(room + 1)];
        let end = newline::first(near);
        let taken = end.unwrap_or(room.min(input.len()));
        let mut head = core::mem::take(&mut self.head);
        head.extend_from_slice(&input[..taken]);
        let whole = end.is_some();
        if whole || input.len() > room {
            self.decide(&head, !whole, aside);
            self.place = if whole { Place::Start } else { Place::Tail };
            if whole {
                head.push(b'\n');
            }
            self.send(&head);
        }
        self.head = head;
        taken + usize::from(whole)
    }

    fn take_tail(&mut self, input: &[u8]) -> usize {
        let rooms = self.lanes.iter().filter(|lane| lane.chosen);
        let most = rooms
            .map(|lane| lane.fill.room().min(LANE_SIZE))
            .min()
            .unwrap_or(input.len());
        let near = &input[..input.len().min(most)];
        let end = newline::first(near).map(|at| at + 1);
        if end.is_some() {
            self.place = Place::Start;
        }
        let taken = end.unwrap_or(near.len());
        self.send(&input[..taken]);
        taken
    }

    /// Applies the script to the head.
    fn decide(&mut self, head: &[u8], longer: bool, aside: &mut impl Aside) {
        let mut selected = true;
        for action in &self.actions {
            match action {
                Action::Select(pattern) => selected = selected || pattern.matches(head),
                Action::Deselect(pattern) => selected = selected && !pattern.matches(head),
                Action::Log(directory) => self.lanes[*directory].chosen = selected,
                Action::Tell if selected => {
                    let told = &head[..head.len().min(TOLD_SIZE)];
                    aside.tell(told, longer || head.len() > TOLD_SIZE);
                }
                Action::Keep(file) if selected => aside.keep(*file, head),
                Action::Send(receiver) if selected => aside.send(*receiver, head),
                Action::Tell | Action::Keep(_) | Action::Send(_) => {}
            }
        }
    }

    /// Gives the bytes to the directories that were chosen for the line.
    fn send(&mut self, bytes: &[u8]) {
        let in_tail = self.place == Place::Tail;
        for lane in self.lanes.iter_mut().filter(|lane| lane.chosen) {
            lane.push(bytes);
            self.stopped |= lane.bytes().len() >= LANE_SIZE || lane.fill.is_due(in_tail);
        }
    }

    /// Gives whole lines to all directories. If nothing goes before them they need not be copied.
    fn send_all(&mut self, lines: &[u8]) {
        let as_is = self.as_is == 0 && self.lanes.iter().all(|lane| lane.bytes().is_empty());
        for lane in &mut self.lanes {
            lane.chosen = true;
            if as_is {
                lane.fill.wrote(lines);
            } else {
                lane.push(lines);
            }
            self.stopped |= lane.fill.is_due(false);
        }
        if as_is {
            self.as_is = lines.len();
        }
    }
}

/// What one directory of a tail remembers.
impl Memory {
    /// The same, told of one directory only.
    #[must_use]
    pub fn of(&self, directory: usize) -> Memory {
        Memory {
            place: self.place,
            head: self.head.clone(),
            chosen: vec![self.chosen.get(directory).copied().unwrap_or(true)],
        }
    }
}
