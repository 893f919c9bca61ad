//! The thread that hears, keeps and watches.

use super::Shared;
use super::judge::Wait;
use super::record::{Event, Kept, Stored, What};
use eudaemon_core::notify::MOST_BYTES;
use eudaemon_core::time::Mono;
use eudaemon_sys::clock::mono;
use eudaemon_sys::notify::Receiver;
use eudaemon_sys::poll::{Interest, Poll};
use eudaemon_sys::process::Held;
use std::io;
use std::os::fd::OwnedFd;
use std::process::Child;
use std::sync::Arc;

const RECEIVER: u64 = 1;
const BELL: u64 = 2;
const CHILD: u64 = 3;
/// Stored descriptors are known by this and more.
const STORED: u64 = 16;

/// What it waits for.
pub(super) struct Watcher {
    shared: Arc<Shared>,
    receiver: Receiver,
    child: Child,
    /// The child. The record holds the main process, which may become another.
    held: Held,
    ends: Ends,
    begun: Mono,
}

struct Ends {
    poll: Poll,
    next: u64,
}

impl Wait for Ends {
    fn add(&mut self, fd: &OwnedFd) -> u64 {
        self.next += 1;
        // A file has no other end, and is refused: then nothing is waited for (epoll_ctl(2), EPERM).
        match self.poll.add(fd, self.next, Interest::Gone) {
            Ok(()) => self.next,
            Err(_) => 0,
        }
    }
    fn remove(&mut self, fd: &OwnedFd) {
        // One that is not waited for.
        let _ = self.poll.remove(fd);
    }
}

impl Watcher {
    pub fn new(
        shared: Arc<Shared>,
        receiver: Receiver,
        child: Child,
        held: Held,
        begun: Mono,
    ) -> io::Result<Watcher> {
        let poll = Poll::new()?;
        poll.add(&receiver, RECEIVER, Interest::Read)?;
        poll.add(&shared.bell, BELL, Interest::Read)?;
        // A pidfd can be read when its process has ended.
        poll.add(&held, CHILD, Interest::Read)?;
        let ends = Ends { poll, next: STORED };
        Ok(Watcher {
            shared,
            receiver,
            child,
            held,
            ends,
            begun,
        })
    }

    /// Has these in the store from the beginning.
    pub fn keep(&mut self, stored: Vec<Stored>) {
        let kept = stored
            .into_iter()
            .map(|kept| Kept::new(&kept.name, kept.fd, kept.poll, &mut self.ends));
        self.shared.record().store.extend(kept);
    }

    /// Until nobody wants to know more. Then the program is ended.
    pub fn run(mut self) {
        let mut ready = Vec::new();
        loop {
            let until = self.shared.record().watchdog.until;
            ready.clear();
            if self.ends.poll.wait(mono(), until, &mut ready).is_err() {
                break;
            }
            // First whether it ended, then what it said: so everything it said before is heard before its end is told.
            let ended = ready.iter().any(|ready| ready.token == CHILD);
            let ended = if ended {
                self.child.try_wait().ok().flatten()
            } else {
                None
            };
            self.hear();
            let mut record = self.shared.record();
            for gone in ready.iter().filter(|ready| ready.token > STORED) {
                if let Some(at) = record
                    .store
                    .iter()
                    .position(|kept| kept.token == gone.token)
                {
                    let kept = record.store.remove(at);
                    self.ends.remove(&kept.fd);
                    let (name, count) = (kept.name, 1);
                    self.note(&mut record.events, What::Dropped { name, count });
                }
            }
            if record.watchdog.until.is_some_and(|until| until <= mono()) {
                let mut happened = Vec::new();
                record.abort(&mut happened);
                for what in happened {
                    self.note(&mut record.events, what);
                }
            }
            if let Some(status) = ended {
                record.ended = Some(status);
                record.watchdog.until = None;
                self.note(&mut record.events, What::Ended(status));
                // It could be read for ever.
                let _ = self.ends.poll.remove(&self.held);
            }
            self.shared.news.notify_all();
            if record.leaving {
                break;
            }
        }
        // Who was ended already is not killed: std knows that it was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn hear(&mut self) {
        let mut bytes = [0; MOST_BYTES];
        while let Ok(Some(datagram)) = self.receiver.receive(&mut bytes) {
            let length = datagram.length;
            let mut record = self.shared.record();
            record.hear(&bytes[..length], datagram, self.begun, &mut self.ends);
        }
    }

    fn note(&self, events: &mut Vec<Event>, what: What) {
        let at = mono().since(self.begun);
        let pid = self.child.id();
        events.push(Event { at, pid, what });
    }
}
