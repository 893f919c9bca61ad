//! One client: what it has said, what it is owed.

use super::{AT_ONCE, Bounds, Line, Next, Talk};
use eudaemon_core::time::Mono;
use std::io;

pub(super) struct Guest<C> {
    pub line: Line,
    pub client: C,
    pub heard: Vec<u8>,
    /// What is still to be told.
    pub words: Vec<u8>,
    pub state: State,
    /// When patience ends.
    pub until: Mono,
    /// It says no more.
    pub said_all: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Heard,
    Told {
        is_last: bool,
    },
    Waited(Option<Mono>),
    /// It is owed nothing, and what it has said is not looked at yet.
    Quit,
}

/// Whether a client stays.
#[derive(PartialEq, Eq)]
pub(super) enum Stays {
    Yes,
    No,
}

impl<C> Guest<C> {
    pub fn wakes_at(&self) -> Mono {
        match self.state {
            State::Heard | State::Told { .. } | State::Quit => self.until,
            State::Waited(until) => until.unwrap_or(Mono(u64::MAX)),
        }
    }

    pub fn hear<T: Talk<Client = C>>(&mut self, talk: &mut T, now: Mono, bounds: &Bounds) -> Stays {
        let mut bytes = [0; 1024];
        match self.line.read(&mut bytes) {
            Ok(0) => self.said_all = true,
            Ok(count) => {
                if self.heard.is_empty() {
                    self.until = now + bounds.patience;
                }
                self.heard.extend_from_slice(&bytes[..count]);
            }
            Err(error) => {
                let again = matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                );
                return if again { Stays::Yes } else { Stays::No };
            }
        }
        self.understand(talk, now, bounds)
    }

    /// Takes what was heard as far as it goes.
    pub fn understand<T: Talk<Client = C>>(
        &mut self,
        talk: &mut T,
        now: Mono,
        bounds: &Bounds,
    ) -> Stays {
        let next = talk.heard(&mut self.client, &mut self.heard);
        match next {
            Next::Hear if self.heard.len() > bounds.heard => {
                let words = talk.overlong();
                self.follow(Next::Last(words), now, bounds)
            }
            Next::Hear if self.said_all => Stays::No,
            Next::Hear => {
                self.state = State::Heard;
                Stays::Yes
            }
            Next::Say(_) | Next::Last(_) | Next::Wait(_) => self.follow(next, now, bounds),
        }
    }

    pub fn follow(&mut self, next: Next, now: Mono, bounds: &Bounds) -> Stays {
        let (words, is_last) = match next {
            Next::Hear => {
                self.state = State::Quit;
                return Stays::Yes;
            }
            Next::Wait(until) => {
                self.state = State::Waited(until);
                return Stays::Yes;
            }
            Next::Say(words) => (words, false),
            Next::Last(words) => (words, true),
        };
        self.words = words;
        self.state = State::Told { is_last };
        self.until = now + bounds.patience;
        self.tell(now, bounds)
    }

    pub fn tell(&mut self, now: Mono, bounds: &Bounds) -> Stays {
        while !self.words.is_empty() {
            match self.line.write(&self.words) {
                Ok(0) => return Stays::No,
                Ok(count) => {
                    // It takes what it is told: the next piece has its own time.
                    self.words.drain(..count);
                    self.until = now + bounds.patience;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Stays::Yes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Stays::No,
            }
        }
        if matches!(self.state, State::Told { is_last: true }) {
            // A line of TCP that is closed with something unread is reset, and the other end may lose our last words.
            let mut bytes = [0; 1024];
            for _ in 0..AT_ONCE {
                if !matches!(self.line.read(&mut bytes), Ok(1..)) {
                    break;
                }
            }
            return Stays::No;
        }
        self.until = now + bounds.patience;
        self.state = State::Quit;
        Stays::Yes
    }
}
