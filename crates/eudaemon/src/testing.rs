//! A service manager in a box, for tests of daemons.
//!
//! [`Manager`] starts a program as systemd would: with `NOTIFY_SOCKET`, sockets it listens on, a watchdog, a store of descriptors,
//! credentials. It hears what the program says by the rules of systemd's own receiver, and answers for it: a barrier is let
//! through, descriptors are kept, a program that is silent for too long is ended with `ABRT`. What a real manager would have
//! ignored without a word is in [`Manager::violations`].
//!
//! ```
//! use eudaemon::testing::Manager;
//! use std::process::Command;
//! use std::time::Duration;
//!
//! let mut daemon = Command::new("sh");
//! daemon.args(["-c", r#"test "$LISTEN_PID" = $$ && echo there >&3"#]);
//! let (theirs, mut ours) = std::os::unix::net::UnixStream::pair()?;
//! let manager = Manager::builder().listen("web", theirs).start(daemon)?;
//! let ended = manager.wait_end(Duration::from_secs(30))?;
//! assert!(ended.success());
//! assert!(manager.violations().is_empty());
//! let mut said = [0; 6];
//! std::io::Read::read_exact(&mut ours, &mut said)?;
//! assert_eq!(&said, b"there\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Differs from systemd: there are no control processes and no control groups, so `exec` means `main`; who may speak under `all` is
//! everybody who can reach the socket; nothing is restarted by itself: [`Builder::stored`] is the store of the next start. Source:
//! `sd_notify(3)`; `sd_listen_fds(3)`; `systemd.exec(5)`.

mod builder;
mod judge;
mod record;
mod watch;

pub use builder::Builder;
pub use record::{Event, Failure, Stored, Violation, What};

use eudaemon_core::words::Signal;
use record::{Kept, Record};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A running program and its manager. Dropped, it ends the program with `KILL` and removes its files.
#[derive(Debug)]
pub struct Manager {
    shared: Arc<Shared>,
    watcher: Option<JoinHandle<()>>,
    folder: PathBuf,
    pid: u32,
}

#[derive(Debug)]
struct Shared {
    record: Mutex<Record>,
    news: Condvar,
    bell: eudaemon_sys::passing::Bell,
}

impl Shared {
    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Manager {
    /// One that gives a program `NOTIFY_SOCKET` and nothing else.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The process id of the program that was started.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The process id of the main process: the program's, until it named another.
    #[must_use]
    pub fn main_pid(&self) -> u32 {
        self.shared.record().main
    }

    /// Where its files are: what it was given lies here, and it goes with the manager.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Everything that happened so far, in order.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.shared.record().events.clone()
    }

    /// Everything a real manager would have ignored without a word, or misunderstood.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.shared.record().violations.clone()
    }

    /// What it does, by its last `STATUS=`.
    #[must_use]
    pub fn status(&self) -> Option<String> {
        self.shared.record().status.clone()
    }

    /// Duplicates of the descriptors that are kept under this name.
    ///
    /// # Errors
    /// `EMFILE`.
    pub fn stored(&self, name: &str) -> io::Result<Vec<OwnedFd>> {
        let record = self.shared.record();
        let kept = record.store.iter().filter(|kept| kept.name == name);
        kept.map(|kept| kept.fd.try_clone()).collect()
    }

    /// Takes everything out of the store, in the order it came. To be given to the next start by [`Builder::stored`], when this
    /// one has ended: what it says at its end counts.
    #[must_use]
    pub fn take_stored(&self) -> Vec<Stored> {
        let store = std::mem::take(&mut self.shared.record().store);
        let stored = |kept: Kept| Stored {
            name: kept.name,
            fd: kept.fd,
            poll: kept.poll,
        };
        store.into_iter().map(stored).collect()
    }

    /// The names in the store, in the order they came; each as often as there are descriptors of it.
    #[must_use]
    pub fn stored_names(&self) -> Vec<String> {
        let record = self.shared.record();
        record.store.iter().map(|kept| kept.name.clone()).collect()
    }

    /// Waits until it is ready: the start is finished, and no reload is going on. That it has ended since changes nothing.
    ///
    /// # Errors
    /// [`Failure`]: not in time, or it ended.
    pub fn wait_ready(&self, timeout: Duration) -> Result<(), Failure> {
        self.wait("ready", timeout, |record| record.ready.then_some(()))
    }

    /// Waits until its status has this text in it, or has had.
    ///
    /// # Errors
    /// As of [`Manager::wait_ready`].
    pub fn wait_status(&self, text: &str, timeout: Duration) -> Result<(), Failure> {
        self.wait(&format!("status {text:?}"), timeout, |record| {
            let mut events = record.events.iter();
            let has = |what: &What| matches!(what, What::Status(status) if status.contains(text));
            events.any(|event| has(&event.what)).then_some(())
        })
    }

    /// Waits until there is an event that is meant, and answers with it. Those that have been count.
    ///
    /// # Errors
    /// As of [`Manager::wait_ready`].
    pub fn wait_for(
        &self,
        timeout: Duration,
        mut is_meant: impl FnMut(&Event) -> bool,
    ) -> Result<Event, Failure> {
        let mut seen = 0;
        self.wait("an event", timeout, |record| {
            let new = record.events.get(seen..)?;
            seen = record.events.len();
            new.iter().find(|event| is_meant(event)).cloned()
        })
    }

    /// Waits until the program that was started has ended.
    ///
    /// # Errors
    /// [`Failure::Late`].
    pub fn wait_end(&self, timeout: Duration) -> Result<ExitStatus, Failure> {
        self.wait("the end", timeout, |record| record.ended)
    }

    /// Sends a signal to the main process.
    ///
    /// # Errors
    /// The system's word: `ESRCH` if it has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        self.shared.record().signal(signal)
    }

    /// Asks it to reload, with `HUP`, and waits as `Type=notify-reload` does: for `RELOADING=1` with a `MONOTONIC_USEC=` of now
    /// or later, and then for `READY=1`.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn reload(&self, timeout: Duration) -> Result<(), Failure> {
        {
            let mut record = self.shared.record();
            record.reload_asked = Some(eudaemon_sys::clock::mono().0 / 1000);
            record.ready = false;
            record.signal(Signal::Hup).map_err(Failure::System)?;
        }
        self.wait("a reload", timeout, |record| {
            (record.ready && record.reload_asked.is_none()).then_some(())
        })
    }

    /// Asks it to stop, with `TERM`, and waits until it has.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn stop(&self, timeout: Duration) -> Result<ExitStatus, Failure> {
        if self.shared.record().ended.is_none() {
            self.signal(Signal::Term).map_err(Failure::System)?;
        }
        self.wait_end(timeout)
    }

    /// Waits for an answer of `look`; if the program has ended, what it said before has been heard, and nothing more comes.
    fn wait<T>(
        &self,
        what: &str,
        timeout: Duration,
        mut look: impl FnMut(&Record) -> Option<T>,
    ) -> Result<T, Failure> {
        let until = Instant::now() + timeout;
        let mut record = self.shared.record();
        loop {
            if let Some(found) = look(&record) {
                return Ok(found);
            }
            let what = || what.to_owned();
            if let Some(status) = record.ended {
                return Err(Failure::Ended {
                    what: what(),
                    status,
                    events: record.events.clone(),
                });
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Failure::Late {
                    what: what(),
                    events: record.events.clone(),
                });
            }
            let waited = self.shared.news.wait_timeout(record, left);
            record = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.shared.record().leaving = true;
        self.shared.bell.ring();
        if let Some(watcher) = self.watcher.take() {
            // It panicked, and has said so.
            let _ = watcher.join();
        }
        // A file of the program's own that cannot be removed is no failure of the test.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
