//! Clients of a private socket: let in while there is room, heard while they are short and quick, and never waited for.
//!
//! One thread, one wait for all. A client is in one of three states: it is heard, it is told something, or something is waited
//! for on its behalf. It is not read from while it is told or waited for, so it cannot pile anything up here.

mod door;

pub(crate) use door::{Door, Line, Place, listen};

use eudaemon_core::time::Mono;
use eudaemon_sys::clock::mono;
use eudaemon_sys::poll::{Interest, Poll, Ready};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How much there may be of everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Clients at once.
    pub clients: usize,
    /// Bytes heard and not understood yet.
    pub heard: usize,
    /// Between a client's first byte, or its last answer, and the end of what it asks; and for it to take an answer.
    pub patience: Duration,
}

/// What happens next with a client.
#[derive(Debug)]
pub(crate) enum Next {
    /// It is heard on.
    Hear,
    /// It is told this, and then heard on.
    Say(Vec<u8>),
    /// It is told this, and that is all.
    Last(Vec<u8>),
    /// [`Talk::due`] is asked at that moment, and whenever the waker was used.
    Wait(Option<Mono>),
}

/// What is talked about. Nothing in it may wait.
pub(crate) trait Talk: Send + 'static {
    /// What is known of one client.
    type Client: Send;
    /// A client is there; `Err` is told to it, and that is all.
    fn greet(&mut self, line: &Line) -> Result<Self::Client, Vec<u8>>;
    /// What a client has said so far. What is understood is taken out of it.
    fn heard(&mut self, client: &mut Self::Client, heard: &mut Vec<u8>) -> Next;
    /// Whether what was waited for is there.
    fn due(&mut self, client: &mut Self::Client, now: Mono) -> Next;
    /// The last words to one that said more than is allowed.
    fn overlong(&self) -> Vec<u8>;
    /// The last words to one that took too long over what it began to say.
    fn late(&self) -> Vec<u8>;
    /// The last words to one for whom there is no room.
    fn full(&self) -> Vec<u8>;
}

/// Makes the thread look at those it waits for.
#[derive(Clone, Debug)]
pub(crate) struct Waker(Arc<UnixStream>);

impl Waker {
    pub(crate) fn wake(&self) {
        // Full is as good as written: it has not looked since.
        let _ = (&*self.0).write(b"w");
    }
}

/// Both ends of what wakes the thread.
pub(crate) fn waker() -> io::Result<(Waker, UnixStream)> {
    let (ours, its) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    its.set_nonblocking(true)?;
    Ok((Waker(Arc::new(ours)), its))
}

/// Clients are served until this is dropped.
#[derive(Debug)]
pub(crate) struct Serving {
    ended: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Starts the thread.
pub(crate) fn serve<T: Talk>(
    name: &str,
    door: Door,
    (waker, wakes): (Waker, UnixStream),
    bounds: Bounds,
    talk: T,
) -> io::Result<Serving> {
    let poll = Poll::new()?;
    poll.add(&door, DOOR, Interest::Read)?;
    poll.add(&wakes, WAKES, Interest::Read)?;
    let ended = Arc::new(AtomicBool::new(false));
    let mut room = Room {
        poll,
        door,
        wakes,
        bounds,
        talk,
        guests: BTreeMap::new(),
        next: FIRST,
        shut: None,
        back_off: BACK_OFF,
    };
    let until = ended.clone();
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || room.live(&until))?;
    Ok(Serving {
        ended,
        waker,
        thread: Some(thread),
    })
}

const DOOR: u64 = 0;
const WAKES: u64 = 1;
const FIRST: u64 = 2;
/// The door stays shut for this long after an error such as EMFILE, which would be there again at once; each time twice as
/// long, up to the second. Source: `accept(2)`: the connection stays in the queue.
const BACK_OFF: Duration = Duration::from_millis(50);
const BACK_OFF_MAX: Duration = Duration::from_secs(1);
/// Most clients let in before the others are looked at again.
const AT_ONCE: usize = 16;

struct Room<T: Talk> {
    poll: Poll,
    door: Door,
    wakes: UnixStream,
    bounds: Bounds,
    talk: T,
    guests: BTreeMap<u64, Guest<T::Client>>,
    next: u64,
    /// Until when the door is shut.
    shut: Option<Mono>,
    back_off: Duration,
}

struct Guest<C> {
    line: Line,
    client: C,
    heard: Vec<u8>,
    /// What is still to be told.
    words: Vec<u8>,
    state: State,
    /// When patience ends.
    until: Mono,
    /// It says no more.
    said_all: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Heard,
    Told { is_last: bool },
    Waited(Option<Mono>),
}

/// Whether a client stays.
#[derive(PartialEq, Eq)]
enum Stays {
    Yes,
    No,
}

impl<T: Talk> Room<T> {
    fn live(&mut self, ended: &AtomicBool) {
        let mut ready: Vec<Ready> = Vec::new();
        while !ended.load(Ordering::Acquire) {
            let until = self.guests.values().map(Guest::wakes_at).chain(self.shut);
            let until = until.min();
            ready.clear();
            if self.poll.wait(mono(), until, &mut ready).is_err() {
                // epoll_wait(2) has no error that a correct call can meet but EINTR, which is no error here.
                return;
            }
            let now = mono();
            if self.shut.is_some_and(|until| until <= now) {
                self.shut = None;
                let _ = self.poll.add(&self.door, DOOR, Interest::Read);
            }
            for one in &ready {
                match one.token {
                    DOOR => self.let_in(now),
                    WAKES => {
                        let mut bytes = [0; 64];
                        while matches!(self.wakes.read(&mut bytes), Ok(64)) {}
                        self.look(now, true);
                    }
                    token => self.turn(token, now, one.hung_up),
                }
            }
            self.look(now, false);
        }
        // What is known by now is still told, as far as it can be without waiting.
        self.look(mono(), true);
    }

    fn let_in(&mut self, now: Mono) {
        for _ in 0..AT_ONCE {
            let mut line = match self.door.accept() {
                Ok(line) => line,
                Err(error) => {
                    // `ErrorKind` is not ours, and grows.
                    #[allow(clippy::wildcard_enum_match_arm)]
                    match error.kind() {
                        io::ErrorKind::WouldBlock => self.back_off = BACK_OFF,
                        io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => continue,
                        _ => {
                            let _ = self.poll.remove(&self.door);
                            self.shut = Some(now + self.back_off);
                            self.back_off = (self.back_off * 2).min(BACK_OFF_MAX);
                        }
                    }
                    return;
                }
            };
            let greeting = if self.guests.len() < self.bounds.clients {
                self.talk.greet(&line)
            } else {
                Err(self.talk.full())
            };
            match greeting {
                Ok(client) => self.seat(line, client, now),
                // A fresh line has room for a few words; one that has not goes without.
                Err(words) => {
                    let _ = line.write(&words);
                }
            }
        }
    }

    fn seat(&mut self, line: Line, client: T::Client, now: Mono) {
        let token = self.next;
        if self.poll.add(&line, token, Interest::Read).is_err() {
            return;
        }
        self.next += 1;
        let guest = Guest {
            line,
            client,
            heard: Vec::new(),
            words: Vec::new(),
            state: State::Heard,
            until: now + self.bounds.patience,
            said_all: false,
        };
        self.guests.insert(token, guest);
    }

    /// Something can be done with this one's line.
    fn turn(&mut self, token: u64, now: Mono, hung_up: bool) {
        let Some(guest) = self.guests.get_mut(&token) else {
            return;
        };
        let stays = match guest.state {
            State::Heard => guest.hear(&mut self.talk, now, &self.bounds),
            State::Told { .. } => guest.tell(&mut self.talk, now, &self.bounds),
            State::Waited(_) if hung_up => Stays::No,
            State::Waited(_) => Stays::Yes,
        };
        self.after(token, stays);
    }

    /// Those whose time has come; with `woken`, also those for whom something is waited.
    fn look(&mut self, now: Mono, woken: bool) {
        let tokens: Vec<u64> = self.guests.keys().copied().collect();
        for token in tokens {
            let Some(guest) = self.guests.get_mut(&token) else {
                continue;
            };
            let is_due = guest.wakes_at() <= now;
            let stays = match guest.state {
                State::Waited(_) if woken || is_due => {
                    let next = self.talk.due(&mut guest.client, now);
                    guest.follow(next, &mut self.talk, now, &self.bounds)
                }
                State::Heard if is_due && !guest.heard.is_empty() => {
                    let words = self.talk.late();
                    guest.follow(Next::Last(words), &mut self.talk, now, &self.bounds)
                }
                State::Heard | State::Told { .. } if is_due => Stays::No,
                State::Heard | State::Told { .. } | State::Waited(_) => continue,
            };
            self.after(token, stays);
        }
    }

    fn after(&mut self, token: u64, stays: Stays) {
        if stays == Stays::No {
            // Closing takes it out of the set (epoll(7)).
            self.guests.remove(&token);
            return;
        }
        if let Some(guest) = self.guests.get(&token) {
            let interest = match guest.state {
                State::Heard => Interest::Read,
                State::Told { .. } => Interest::Write,
                State::Waited(_) => Interest::Gone,
            };
            if self.poll.modify(&guest.line, token, interest).is_err() {
                self.guests.remove(&token);
            }
        }
    }
}

impl<C> Guest<C> {
    fn wakes_at(&self) -> Mono {
        match self.state {
            State::Heard | State::Told { .. } => self.until,
            State::Waited(until) => until.unwrap_or(Mono(u64::MAX)),
        }
    }

    fn hear<T: Talk<Client = C>>(&mut self, talk: &mut T, now: Mono, bounds: &Bounds) -> Stays {
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
    fn understand<T: Talk<Client = C>>(
        &mut self,
        talk: &mut T,
        now: Mono,
        bounds: &Bounds,
    ) -> Stays {
        let next = talk.heard(&mut self.client, &mut self.heard);
        match next {
            Next::Hear if self.heard.len() > bounds.heard => {
                let words = talk.overlong();
                self.follow(Next::Last(words), talk, now, bounds)
            }
            Next::Hear if self.said_all => Stays::No,
            Next::Hear => {
                self.state = State::Heard;
                Stays::Yes
            }
            Next::Say(_) | Next::Last(_) | Next::Wait(_) => self.follow(next, talk, now, bounds),
        }
    }

    fn follow<T: Talk<Client = C>>(
        &mut self,
        next: Next,
        talk: &mut T,
        now: Mono,
        bounds: &Bounds,
    ) -> Stays {
        let (words, is_last) = match next {
            Next::Hear => return self.understand(talk, now, bounds),
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
        self.tell(talk, now, bounds)
    }

    fn tell<T: Talk<Client = C>>(&mut self, talk: &mut T, now: Mono, bounds: &Bounds) -> Stays {
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
        // It may have asked the next thing already. Each answer is told whole before, so this goes no deeper than what was heard.
        self.understand(talk, now, bounds)
    }
}
