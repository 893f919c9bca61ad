//! Clients of a private socket: let in while there is room, heard while they are short and quick, and never waited for.
//!
//! One thread, one wait for all. A client is heard, or is told something, or something is waited for on its behalf; and between
//! two questions it is owed nothing. It is not read from while it is told or waited for, so it cannot pile anything up here.
//!
//! Clients outlive a process: one that is owed nothing is given away ([`Serving::part`]) with what it was heard to say and what was not
//! understood, and is seated elsewhere ([`Seats::seat`]). What it says meanwhile waits in its socket.

mod door;
mod guest;

pub(crate) use door::{Door, Line, Place, listen};

use crate::shared::held;
use eudaemon_core::time::Mono;
use eudaemon_sys::clock::mono;
use eudaemon_sys::poll::{Interest, Poll, Ready};
use guest::{Guest, State, Stays};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
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

/// A client between two that serve it: it is owed nothing.
#[derive(Debug)]
pub(crate) struct Parted {
    pub line: Line,
    /// What it was heard to say, and nobody has understood yet.
    pub heard: Vec<u8>,
}

/// What becomes of those who are there, once nobody is let in any more.
pub(crate) enum Parting {
    /// Each is given away as soon as it is owed nothing. Dropped when the last is gone.
    To(Box<dyn FnMut(Parted) + Send>),
    /// Those who are in the middle of something are served to its end, and the others leave.
    Leave,
}

/// What the thread is told from outside.
#[derive(Default)]
struct Orders {
    seats: Vec<Parted>,
    parting: Option<Parting>,
}

/// Where clients of another are brought to.
#[derive(Clone)]
pub(crate) struct Seats {
    orders: Arc<Mutex<Orders>>,
    waker: Waker,
}

impl Seats {
    /// Goes on with this one where it was left. Whether it is let in is asked again.
    pub(crate) fn seat(&self, one: Parted) {
        held(&self.orders).seats.push(one);
        self.waker.wake();
    }
}

impl fmt::Debug for Seats {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Seats").finish_non_exhaustive()
    }
}

/// Clients are served until this is dropped.
#[derive(Debug)]
pub(crate) struct Serving {
    ended: Arc<AtomicBool>,
    seats: Seats,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    /// Lets nobody in any more, and closes the door. Does not wait for that.
    pub(crate) fn part(&self, how: Parting) {
        held(&self.seats.orders).parting.get_or_insert(how);
        self.seats.waker.wake();
    }

    pub(crate) fn seats(&self) -> Seats {
        self.seats.clone()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        self.seats.waker.wake();
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
    let orders = Arc::new(Mutex::new(Orders::default()));
    let mut room = Room {
        poll,
        door: Some(door),
        wakes,
        orders: orders.clone(),
        parting: None,
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
        seats: Seats { orders, waker },
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
/// How long clients may still wait for an answer that was begun, when the server is to end.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

struct Room<T: Talk> {
    poll: Poll,
    /// None: nobody is let in any more.
    door: Option<Door>,
    wakes: UnixStream,
    orders: Arc<Mutex<Orders>>,
    parting: Option<Parting>,
    bounds: Bounds,
    talk: T,
    guests: BTreeMap<u64, Guest<T::Client>>,
    next: u64,
    /// Until when the door is shut.
    shut: Option<Mono>,
    back_off: Duration,
}

impl<T: Talk> Room<T> {
    fn live(&mut self, ended: &AtomicBool) {
        let mut ready: Vec<Ready> = Vec::new();
        let mut end = None;
        loop {
            if ended.load(Ordering::Acquire) {
                let now = mono();
                let end = *end.get_or_insert(now + LAST_ANSWERS);
                if now >= end || !self.owes() {
                    break;
                }
            }
            if self.parting.is_some() && self.guests.is_empty() {
                break;
            }
            let until = self.guests.values().map(Guest::wakes_at);
            let until = until.chain(self.shut).chain(end).min();
            ready.clear();
            if self.poll.wait(mono(), until, &mut ready).is_err() {
                // epoll_wait(2) has no error that a correct call can meet but EINTR, which is no error here.
                return;
            }
            let now = mono();
            if self.shut.is_some_and(|until| until <= now) {
                self.shut = None;
                if let Some(door) = &self.door {
                    let _ = self.poll.add(door, DOOR, Interest::Read);
                }
            }
            for one in &ready {
                match one.token {
                    DOOR => self.let_in(now),
                    WAKES => {
                        let mut bytes = [0; 64];
                        while matches!(self.wakes.read(&mut bytes), Ok(64)) {}
                        // In this order: who is answered now is perhaps another's from then on.
                        self.obey(now);
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

    /// Whether somebody waits for an answer that is on its way, or to be given away behind one.
    fn owes(&self) -> bool {
        let is_given_away = matches!(self.parting, Some(Parting::To(_)));
        let mut states = self.guests.values().map(|guest| guest.state);
        states.any(|state| is_given_away || state == State::Waited(None))
    }

    /// Does what it was told from outside.
    fn obey(&mut self, now: Mono) {
        let orders = std::mem::take(&mut *held(&self.orders));
        for Parted { line, heard } in orders.seats {
            match self.talk.greet(&line) {
                // It was let in once: there is room for it.
                Ok(client) => self.seat(line, client, heard, now),
                Err(words) => refuse(line, &words),
            }
        }
        if let Some(parting) = orders.parting {
            // Closing takes it out of the set (epoll(7)); but whoever hands it on has a copy.
            if let Some(door) = self.door.take() {
                let _ = self.poll.remove(&door);
            }
            self.shut = None;
            self.parting = Some(parting);
            for token in self.tokens() {
                self.after(token, Stays::Yes);
            }
        }
    }

    fn tokens(&self) -> Vec<u64> {
        self.guests.keys().copied().collect()
    }

    fn let_in(&mut self, now: Mono) {
        for _ in 0..AT_ONCE {
            let Some(door) = &self.door else {
                return;
            };
            let line = match door.accept() {
                Ok(line) => line,
                Err(error) => {
                    // `ErrorKind` is not ours, and grows.
                    #[allow(clippy::wildcard_enum_match_arm)]
                    match error.kind() {
                        io::ErrorKind::WouldBlock => self.back_off = BACK_OFF,
                        io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => continue,
                        _ => {
                            let _ = self.poll.remove(door);
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
                Ok(client) => self.seat(line, client, Vec::new(), now),
                Err(words) => refuse(line, &words),
            }
        }
    }

    fn seat(&mut self, line: Line, client: T::Client, heard: Vec<u8>, now: Mono) {
        let token = self.next;
        if self.poll.add(&line, token, Interest::Read).is_err() {
            return;
        }
        self.next += 1;
        let guest = Guest {
            line,
            client,
            heard,
            words: Vec::new(),
            state: State::Quit,
            until: now + self.bounds.patience,
            said_all: false,
        };
        self.guests.insert(token, guest);
        self.after(token, Stays::Yes);
    }

    /// Something can be done with this one's line.
    fn turn(&mut self, token: u64, now: Mono, hung_up: bool) {
        let Some(guest) = self.guests.get_mut(&token) else {
            return;
        };
        let stays = match guest.state {
            State::Heard => guest.hear(&mut self.talk, now, &self.bounds),
            State::Told { .. } => guest.tell(now, &self.bounds),
            State::Waited(_) if hung_up => Stays::No,
            State::Waited(_) | State::Quit => Stays::Yes,
        };
        self.after(token, stays);
    }

    /// Those whose time has come; with `woken`, also those for whom something is waited.
    fn look(&mut self, now: Mono, woken: bool) {
        for token in self.tokens() {
            let Some(guest) = self.guests.get_mut(&token) else {
                continue;
            };
            let is_due = guest.wakes_at() <= now;
            let stays = match guest.state {
                State::Waited(_) if woken || is_due => {
                    let next = self.talk.due(&mut guest.client, now);
                    guest.follow(next, now, &self.bounds)
                }
                State::Heard if is_due && !guest.heard.is_empty() => {
                    let words = self.talk.late();
                    guest.follow(Next::Last(words), now, &self.bounds)
                }
                State::Heard | State::Told { .. } if is_due => Stays::No,
                State::Heard | State::Told { .. } | State::Waited(_) | State::Quit => continue,
            };
            self.after(token, stays);
        }
    }

    /// What becomes of it now.
    fn after(&mut self, token: u64, mut stays: Stays) {
        while stays == Stays::Yes
            && let Some(guest) = self.guests.get_mut(&token)
        {
            let interest = match (guest.state, &mut self.parting) {
                (State::Quit | State::Heard, Some(Parting::To(heir))) => {
                    if let Some(guest) = self.guests.remove(&token) {
                        let _ = self.poll.remove(&guest.line);
                        heir(Parted {
                            line: guest.line,
                            heard: guest.heard,
                        });
                    }
                    return;
                }
                (State::Heard, Some(Parting::Leave)) if guest.heard.is_empty() => break,
                (State::Quit, None | Some(Parting::Leave)) => {
                    // It may have asked the next thing already.
                    stays = guest.understand(&mut self.talk, mono(), &self.bounds);
                    continue;
                }
                (State::Heard, None | Some(Parting::Leave)) => Interest::Read,
                (State::Told { .. }, _) => Interest::Write,
                (State::Waited(_), _) => Interest::Gone,
            };
            if self.poll.modify(&guest.line, token, interest).is_ok() {
                return;
            }
            break;
        }
        // Closing takes it out of the set (epoll(7)).
        self.guests.remove(&token);
    }
}

/// A fresh line has room for a few words; one that has not goes without.
fn refuse(mut line: Line, words: &[u8]) {
    let _ = line.write(words);
}
