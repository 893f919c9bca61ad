//! What a service is told while it runs, one after the other.

use crate::Handle;
use eudaemon_core::words::Signal;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What [`Running::wait`](crate::Running::wait) waited for.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The service is to stop. Told again and again from then on.
    Stop,
    /// The service is to read its configuration again. The manager was told that it does, and is told how it ended when
    /// this value is.
    Reload(Reload),
    /// One of the signals the service asked for.
    Signal(Signal),
}

/// A reload under way. Its end is told to whoever waits for it.
#[derive(Debug)]
#[must_use = "a reload that is dropped is taken for done"]
pub struct Reload {
    handle: Handle,
    ended: bool,
}

impl Reload {
    pub(crate) fn new(handle: Handle) -> Reload {
        Reload {
            handle,
            ended: false,
        }
    }

    /// The new configuration is in force.
    pub fn done(mut self) {
        self.end(Ok(()));
    }

    /// The old one still is, and why: it becomes the status, and the answer to whoever asked.
    pub fn failed(mut self, why: impl fmt::Display) {
        self.end(Err(why.to_string()));
    }

    fn end(&mut self, how: Result<(), String>) {
        self.ended = true;
        self.handle.reloaded(how);
    }
}

impl Drop for Reload {
    fn drop(&mut self) {
        if !self.ended {
            let how = if std::thread::panicking() {
                Err("it panicked".to_owned())
            } else {
                Ok(())
            };
            self.end(how);
        }
    }
}

/// Where they wait until the service asks.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    inside: Mutex<Inside>,
    changed: Condvar,
    #[cfg(feature = "tokio")]
    tasks: tokio::sync::Notify,
}

#[derive(Debug, Default)]
struct Inside {
    letters: VecDeque<Letter>,
    is_read: bool,
    stop: bool,
}

/// One of them, without the handle that would keep itself alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Letter {
    Stop,
    Reload,
    Signal(Signal),
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn put(&self, letter: Letter) {
        let mut inside = self.lock();
        match letter {
            Letter::Stop => inside.stop = true,
            Letter::Reload | Letter::Signal(_) => inside.letters.push_back(letter),
        }
        drop(inside);
        self.changed.notify_all();
        #[cfg(feature = "tokio")]
        self.tasks.notify_one();
    }

    /// Says that somebody reads: from here on a reload can be asked for.
    pub(crate) fn open(&self) {
        self.lock().is_read = true;
    }

    /// Whether anybody reads, or ever did.
    pub(crate) fn is_read(&self) -> bool {
        self.lock().is_read
    }

    /// Takes back a reload that nobody read; whether there was one.
    pub(crate) fn take_reload(&self) -> bool {
        let mut inside = self.lock();
        let before = inside.letters.len();
        inside.letters.retain(|letter| *letter != Letter::Reload);
        inside.letters.len() < before
    }

    /// The next, if there is one. A stop comes before everything else.
    fn next(inside: &mut Inside) -> Option<Letter> {
        if inside.stop {
            return Some(Letter::Stop);
        }
        inside.letters.pop_front()
    }

    /// Waits for the next, until then.
    pub(crate) fn take(&self, until: Option<Instant>) -> Option<Letter> {
        let mut inside = self.lock();
        inside.is_read = true;
        loop {
            if let Some(letter) = Inbox::next(&mut inside) {
                return Some(letter);
            }
            let rest = until.map(|until| until.saturating_duration_since(Instant::now()));
            inside = match rest {
                Some(Duration::ZERO) => return None,
                Some(rest) => {
                    let waited = self.changed.wait_timeout(inside, rest);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self
                    .changed
                    .wait(inside)
                    .unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// The next, for a task.
    #[cfg(feature = "tokio")]
    pub(crate) async fn next_letter(&self) -> Letter {
        self.open();
        loop {
            let told = self.tasks.notified();
            if let Some(letter) = Inbox::next(&mut self.lock()) {
                return letter;
            }
            told.await;
        }
    }
}
