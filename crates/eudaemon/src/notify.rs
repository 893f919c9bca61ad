//! What a service tells its manager: ready, reloading, stopping, what it does, that it is alive, and descriptors to keep.
//!
//! The manager is systemd, or `eudaemon up`, or any other that sets `NOTIFY_SOCKET`. Without one everything here does nothing, and
//! says so ([`Sent::NoManager`]): a daemon runs the same by hand.
//!
//! ```
//! use eudaemon::notify::{Notify, Sent};
//! use eudaemon::Activation;
//!
//! let notify = Notify::connect(&Activation::of_this_process())?;
//! // …listen, drop privileges…
//! notify.status("listening on [::]:80")?;
//! notify.ready()?;
//! # Ok::<(), eudaemon::Error>(())
//! ```
//!
//! That a message was sent means that the kernel has queued it. Whether the manager acts on it depends on who it listens to
//! (`NotifyAccess=`), and what it does not accept it ignores without a word. [`Notify::barrier`] tells when it has read. Source:
//! `sd_notify(3)`, "Notes" and "Return value".

mod reload;

pub use eudaemon_core::notify::{
    Access as NotifyAccess, BadAddress, Carries, Message, Unsendable, Watchdog,
};
pub use reload::ReloadGuard;

use crate::Activation;
use eudaemon_core::notify::{ALIVE, Address, MOST_DESCRIPTORS, READY};
use eudaemon_sys::notify::Sender;
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The line to the manager. It is connected when it is made and stays so: it works behind a chroot, in another network
/// namespace, and when the variable is gone. Cheap to clone, and any number of threads may speak at once: each message is
/// one datagram.
#[derive(Clone, Debug, Default)]
pub struct Notify {
    line: Option<Arc<Line>>,
}

#[derive(Debug)]
struct Line {
    sender: Sender,
    /// Another process of the daemon speaks with the manager: the one before this, or the one after.
    is_silent: AtomicBool,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is queued for the manager.
    Sent,
    /// There is no manager; or it is not this process it listens to, but the one that it takes the place of, or that took its
    /// place ([`Handle::replace`](crate::Handle::replace)).
    NoManager,
}

/// Why the manager cannot be reached.
#[derive(Debug)]
#[non_exhaustive]
pub enum NotifyError {
    /// The address is none.
    Address {
        /// As it was given.
        address: Vec<u8>,
        /// What is wrong with it.
        why: BadAddress,
    },
    /// Nobody listens there, or it may not be reached.
    Connect {
        /// As it was given.
        address: Vec<u8>,
        /// The system's word.
        source: io::Error,
    },
}

impl Notify {
    /// The line to the manager that started this process: `NOTIFY_SOCKET`. Without one, [`Notify::none`].
    ///
    /// # Errors
    /// [`NotifyError`]: there is an address, and nobody can be reached there.
    pub fn connect(activation: &Activation) -> Result<Notify, NotifyError> {
        match activation.notify_socket() {
            Some(address) => Notify::to(address),
            None => Ok(Notify::none()),
        }
    }

    /// The line to whoever listens at this address: an absolute path, `@` and a name of the abstract namespace, or
    /// `vsock:CID:PORT` (also `vsock-stream:`, `vsock-dgram:`, `vsock-seqpacket:`). Source: `sd_notify(3)`.
    ///
    /// # Errors
    /// [`NotifyError`].
    pub fn to(address: &[u8]) -> Result<Notify, NotifyError> {
        let parsed = Address::parse(address).map_err(|why| NotifyError::Address {
            address: address.to_vec(),
            why,
        })?;
        let sender = Sender::connect(&parsed).map_err(|source| NotifyError::Connect {
            address: address.to_vec(),
            source,
        })?;
        Ok(Notify {
            line: Some(Arc::new(Line {
                sender,
                is_silent: AtomicBool::new(false),
            })),
        })
    }

    /// Whether it says nothing, as every clone of it: while it is not this process that is the main one.
    pub(crate) fn hush(&self, is_silent: bool) {
        if let Some(line) = &self.line {
            line.is_silent.store(is_silent, Ordering::SeqCst);
        }
    }

    fn sender(&self) -> Option<&Sender> {
        let line = self.line.as_ref()?;
        (!line.is_silent.load(Ordering::SeqCst)).then_some(&line.sender)
    }

    /// The line to nobody: every message is answered with [`Sent::NoManager`].
    #[must_use]
    pub fn none() -> Notify {
        Notify::default()
    }

    /// Whether there is a manager.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.line.is_some()
    }

    /// Whether there is one, and this process speaks for the service.
    pub(crate) fn is_heard(&self) -> bool {
        self.sender().is_some()
    }

    /// The start is finished. To be said when everything is listened on and privileges are dropped; what depends on this
    /// service is started now. `READY=1`. Without an allocation.
    ///
    /// # Errors
    /// The system's word, here as in every other: `ECONNREFUSED` when the manager has gone, `ENOBUFS`, `EPERM` in a sandbox.
    pub fn ready(&self) -> io::Result<Sent> {
        self.bytes(READY)
    }

    /// What it does, for people; one line. Control characters become blanks, and what does not fit into a message is cut
    /// off. `STATUS=…`
    ///
    /// # Errors
    /// As of [`Notify::ready`].
    pub fn status(&self, text: &str) -> io::Result<Sent> {
        self.send(&Message::new().status(text))
    }

    /// A reload has begun, now. The manager waits for its end, which the guard tells. `RELOADING=1` with `MONOTONIC_USEC=`,
    /// without which a manager that asked for the reload does not believe it began.
    ///
    /// What could not be said shows in [`ReloadGuard::began`]; the reload itself goes on.
    #[must_use = "dropping it says that the reload is done"]
    pub fn reloading(&self) -> ReloadGuard {
        let since = eudaemon_sys::clock::mono().0 / 1000;
        ReloadGuard::new(self.clone(), self.send(&Message::new().reloading(since)))
    }

    /// It is about to end: the first thing to say then, and final. Not before a reload, nor by a process that has handed the
    /// service on. `STOPPING=1`
    ///
    /// # Errors
    /// As of [`Notify::ready`].
    pub fn stopping(&self) -> io::Result<Sent> {
        self.send(&Message::new().stopping())
    }

    /// The error of the system it ends with. `ERRNO=`
    ///
    /// # Errors
    /// As of [`Notify::ready`].
    pub fn errno(&self, number: i32) -> io::Result<Sent> {
        self.send(&Message::new().errno(number))
    }

    /// The present step, start, reload or stop, may take so much longer from now; to be said again before that is over.
    /// `EXTEND_TIMEOUT_USEC=`
    ///
    /// # Errors
    /// As of [`Notify::ready`].
    pub fn extend(&self, by: Duration) -> io::Result<Sent> {
        self.send(&Message::new().extend_timeout(by))
    }

    /// It is alive; to be said at least every half of [`Activation::watchdog`]. `WATCHDOG=1`. Without an allocation.
    ///
    /// # Errors
    /// As of [`Notify::ready`].
    pub fn watchdog(&self) -> io::Result<Sent> {
        self.bytes(ALIVE)
    }

    /// It wants to be ended and started again as if it had been silent for too long. `WATCHDOG=trigger`
    ///
    /// # Errors
    /// As of [`Notify::ready`].
    pub fn trigger_watchdog(&self) -> io::Result<Sent> {
        self.send(&Message::new().watchdog(Watchdog::Trigger))
    }

    /// From now on it may be silent for this long. `WATCHDOG_USEC=`
    ///
    /// # Errors
    /// As of [`Notify::ready`].
    pub fn watchdog_interval(&self, interval: Duration) -> io::Result<Sent> {
        self.send(&Message::new().watchdog_interval(interval))
    }

    /// The main process is another from now on. Only the one that is it may say so under `NotifyAccess=main`, and says nothing
    /// afterwards that would be heard. `pidfd_inode`: so that the number cannot come to mean another process. `MAINPID=`,
    /// `MAINPIDFDID=`
    ///
    /// # Errors
    /// As of [`Notify::ready`].
    pub fn main_pid(&self, pid: u32, pidfd_inode: Option<u64>) -> io::Result<Sent> {
        self.send(&Message::new().main_pid(pid, pidfd_inode))
    }

    /// Its restarts so far are forgotten. `RESTART_RESET=1`, systemd 258.
    ///
    /// # Errors
    /// As of [`Notify::ready`].
    pub fn restart_reset(&self) -> io::Result<Sent> {
        self.send(&Message::new().restart_reset())
    }

    /// Whose messages are listened to from now on. `NOTIFYACCESS=`, systemd 254.
    ///
    /// # Errors
    /// As of [`Notify::ready`].
    pub fn access(&self, access: NotifyAccess) -> io::Result<Sent> {
        self.send(&Message::new().access(access))
    }

    /// Waits until the manager has dealt with everything sent before; what is said right before the process ends may otherwise
    /// be heard when nobody knows any more who said it. `BARRIER=1`
    ///
    /// # Errors
    /// `TimedOut`, and as of [`Notify::ready`].
    pub fn barrier(&self, timeout: Duration) -> io::Result<Sent> {
        let Some(sender) = self.sender() else {
            return Ok(Sent::NoManager);
        };
        match sender.barrier(timeout)? {
            true => Ok(Sent::Sent),
            false => Err(unheard()),
        }
    }

    /// Sends a message that carries no descriptors.
    ///
    /// # Errors
    /// `InvalidInput` with an [`Unsendable`] inside, and as of [`Notify::ready`].
    pub fn send(&self, message: &Message) -> io::Result<Sent> {
        self.send_with(message, &[])
    }

    /// Sends a message with the descriptors it speaks of.
    ///
    /// # Errors
    /// As of [`Notify::send`].
    pub fn send_with(&self, message: &Message, fds: &[BorrowedFd<'_>]) -> io::Result<Sent> {
        message.check_descriptors(fds.len()).map_err(unsendable)?;
        let bytes = message.encode().map_err(unsendable)?;
        match self.sender() {
            Some(sender) => sender.send_with(&bytes, fds).map(|()| Sent::Sent),
            None => Ok(Sent::NoManager),
        }
    }

    /// Has the manager keep these descriptors under this name, over restarts of the service; they come back behind the sockets
    /// it listens on. With `poll` each is dropped when its other end is closed. In as many messages as it takes, of at most
    /// 253 descriptors each. `FDSTORE=1`
    ///
    /// The manager says nothing when it keeps none, or no more: `FDSTORE` in the environment is how many it keeps.
    ///
    /// # Errors
    /// As of [`Notify::send`]: the name is ASCII without control characters and colons, at most 255 bytes. After an error some
    /// may be kept.
    pub fn store(&self, name: &str, fds: &[BorrowedFd<'_>], poll: bool) -> io::Result<Sent> {
        let message = Message::new().store(name, poll).map_err(unsendable)?;
        for some in fds.chunks(MOST_DESCRIPTORS) {
            self.send_with(&message, some)?;
        }
        Ok(self.answer())
    }

    /// Has the manager drop everything it keeps under this name. `FDSTOREREMOVE=1`
    ///
    /// # Errors
    /// As of [`Notify::store`].
    pub fn unstore(&self, name: &str) -> io::Result<Sent> {
        self.send(&Message::new().unstore(name).map_err(unsendable)?)
    }

    /// Whether the manager keeps descriptors: one is stored under this name, looked for, and removed again.
    pub(crate) fn keeps(&self, name: &str, timeout: Duration) -> io::Result<bool> {
        let Some(sender) = self.sender() else {
            return Ok(false);
        };
        let store = Message::new().store(name, false).map_err(unsendable)?;
        let remove = Message::new().unstore(name).map_err(unsendable)?;
        let store = store.encode().map_err(unsendable)?;
        let remove = remove.encode().map_err(unsendable)?;
        let kept = sender.keeps(&store, &remove, timeout)?;
        kept.ok_or_else(unheard)
    }

    fn bytes(&self, bytes: &[u8]) -> io::Result<Sent> {
        match self.sender() {
            Some(sender) => sender.send(bytes).map(|()| Sent::Sent),
            None => Ok(Sent::NoManager),
        }
    }

    fn answer(&self) -> Sent {
        if self.sender().is_some() {
            Sent::Sent
        } else {
            Sent::NoManager
        }
    }
}

fn unheard() -> io::Error {
    let words = "the manager has not read what it was told";
    io::Error::new(io::ErrorKind::TimedOut, words)
}

fn unsendable(why: Unsendable) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

impl fmt::Display for NotifyError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (NotifyError::Address { address, .. } | NotifyError::Connect { address, .. }) = self;
        let address = String::from_utf8_lossy(address);
        write!(to, "unable to reach the manager at {address:?}")
    }
}

impl std::error::Error for NotifyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            NotifyError::Address { why, .. } => Some(why),
            NotifyError::Connect { source, .. } => Some(source),
        }
    }
}
