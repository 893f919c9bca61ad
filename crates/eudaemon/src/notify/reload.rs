//! The time between the beginning of a reload and its end.

use super::{Message, Notify, Sent};
use std::fmt::Display;
use std::io;

/// A reload that has begun. The manager is told of its end once: by [`done`](ReloadGuard::done), by
/// [`failed`](ReloadGuard::failed), or when this is dropped, which is as `done`.
#[derive(Debug)]
pub struct ReloadGuard {
    notify: Notify,
    began: io::Result<Sent>,
    told: bool,
}

impl ReloadGuard {
    pub(super) fn new(notify: Notify, began: io::Result<Sent>) -> ReloadGuard {
        ReloadGuard {
            notify,
            began,
            told: false,
        }
    }

    /// What became of the message that it has begun.
    ///
    /// # Errors
    /// As of [`Notify::ready`].
    pub fn began(&self) -> Result<Sent, &io::Error> {
        self.began.as_ref().map(|sent| *sent)
    }

    /// It is finished, and the service works by what it read. `READY=1`
    ///
    /// # Errors
    /// As of [`Notify::ready`].
    pub fn done(mut self) -> io::Result<Sent> {
        self.told = true;
        self.notify.ready()
    }

    /// It is finished, and this is what the service does now. `READY=1` with `STATUS=`
    ///
    /// # Errors
    /// As of [`Notify::ready`].
    pub fn done_with(mut self, status: &str) -> io::Result<Sent> {
        self.told = true;
        self.notify.send(&Message::new().ready().status(status))
    }

    /// It failed, and the service works on by what it had read before: for the manager that is ready too, and
    /// `STATUS=reload failed: …` tells people.
    ///
    /// # Errors
    /// As of [`Notify::ready`].
    pub fn failed(mut self, why: &dyn Display) -> io::Result<Sent> {
        self.told = true;
        let status = format!("reload failed: {why}");
        self.notify.send(&Message::new().ready().status(&status))
    }
}

impl Drop for ReloadGuard {
    fn drop(&mut self) {
        if !self.told {
            // Nobody is there to be told that it could not be said.
            let _ = self.notify.ready();
        }
    }
}
