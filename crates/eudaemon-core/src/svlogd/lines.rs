//! Sorts input into lines, and lines to the directories that want them.

use super::config::{Config, Verdict};
use crate::log::newline;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// What takes the sorted lines.
pub trait Sink {
    /// Takes bytes for the directory of this number.
    fn log(&mut self, directory: usize, bytes: &[u8]);
    /// Takes a whole line for stderr.
    fn tell(&mut self, line: &[u8]);
    /// Takes a whole line for the receiver of this directory.
    fn send(&mut self, directory: usize, line: &[u8]);
}

/// `-r` and `-R`: which bytes of a line are replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replace {
    /// By what.
    pub by: u8,
    /// Besides those that cannot be printed.
    pub also: Vec<u8>,
}

impl Replace {
    fn apply(&self, byte: u8) -> u8 {
        if (b' '..=b'~').contains(&byte) && !self.also.contains(&byte) {
            byte
        } else {
            self.by
        }
    }
}

/// Where in its line the input stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Start,
    /// In the part that patterns see: it waits here until it is whole.
    Head,
    /// Behind it: what comes goes to where it went.
    Tail,
}

/// Takes input in pieces of any size.
#[derive(Debug)]
pub struct Lines {
    head_bytes: usize,
    replace: Option<Replace>,
    place: Place,
    stamp: String,
    head: Vec<u8>,
    /// For each directory, whether the present line is written there.
    chosen: Vec<bool>,
}

impl Lines {
    /// At the start of a line, of which patterns see so much.
    #[must_use]
    pub fn new(head_bytes: usize, replace: Option<Replace>) -> Lines {
        Lines {
            head_bytes,
            replace,
            place: Place::Start,
            stamp: String::new(),
            head: Vec::new(),
            chosen: Vec::new(),
        }
    }

    /// Whether a line has begun and not ended.
    #[must_use]
    pub fn in_line(&self) -> bool {
        self.place != Place::Start
    }

    /// Takes a piece of input. `stamp` is what lines that begin in it start with; a directory that cannot be used has no
    /// config, and its number stays its own.
    pub fn take(
        &mut self,
        input: &[u8],
        stamp: &str,
        configs: &[Option<Config>],
        sink: &mut impl Sink,
    ) {
        let mut input = input;
        while let Some(&first) = input.first() {
            match self.place {
                Place::Start => {
                    self.stamp.clear();
                    self.stamp.push_str(stamp);
                    self.head.clear();
                    self.place = Place::Head;
                }
                Place::Head if first == b'\n' => {
                    self.decide(false, configs, sink);
                    self.send(b"\n", sink);
                    self.place = Place::Start;
                    input = &input[1..];
                }
                Place::Head if self.head.len() == self.head_bytes => {
                    self.decide(true, configs, sink);
                    self.place = Place::Tail;
                }
                Place::Head => {
                    let room = self.head_bytes - self.head.len();
                    let near = &input[..input.len().min(room)];
                    let taken = newline::first(near).unwrap_or(near.len());
                    match &self.replace {
                        Some(replace) => {
                            let replaced = near[..taken].iter().map(|&byte| replace.apply(byte));
                            self.head.extend(replaced);
                        }
                        None => self.head.extend_from_slice(&near[..taken]),
                    }
                    input = &input[taken..];
                }
                Place::Tail => {
                    let end = newline::first(input);
                    let (tail, rest) = input.split_at(end.unwrap_or(input.len()));
                    match &self.replace {
                        Some(replace) => {
                            let replaced: Vec<u8> =
                                tail.iter().map(|&byte| replace.apply(byte)).collect();
                            self.send(&replaced, sink);
                        }
                        None => self.send(tail, sink),
                    }
                    input = rest;
                    if end.is_some() {
                        self.send(b"\n", sink);
                        self.place = Place::Start;
                        input = &rest[1..];
                    }
                }
            }
        }
    }

    /// Ends the input. Differs: svlogd 2.1.2 drops a last line without a newline; here it is given one.
    pub fn end(&mut self, configs: &[Option<Config>], sink: &mut impl Sink) {
        if self.in_line() {
            self.take(b"\n", "", configs, sink);
        }
    }

    fn decide(&mut self, longer: bool, configs: &[Option<Config>], sink: &mut impl Sink) {
        self.chosen = vec![false; configs.len()];
        for (at, config) in configs.iter().enumerate() {
            let Some(config) = config else { continue };
            let Verdict { log, tell } = config.judge(&self.head);
            let mut line = [self.stamp.as_bytes(), &config.prefix, &self.head].concat();
            self.chosen[at] = log && config.receiver.is_none_or(|receiver| !receiver.only);
            if self.chosen[at] {
                sink.log(at, &line);
            }
            let sent = log && config.receiver.is_some();
            if tell || sent {
                line.extend_from_slice(if longer { b"...\n" } else { b"\n" });
            }
            if tell {
                sink.tell(&line);
            }
            if sent {
                sink.send(at, &line);
            }
        }
    }

    fn send(&self, bytes: &[u8], sink: &mut impl Sink) {
        for (at, _) in self
            .chosen
            .iter()
            .enumerate()
            .filter(|(_, chosen)| **chosen)
        {
            sink.log(at, bytes);
        }
    }
}
