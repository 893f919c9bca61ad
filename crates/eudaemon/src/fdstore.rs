//! What the manager keeps while the service is not there: descriptors, and state in memory.
//!
//! systemd keeps what it is given as long as the unit is not stopped for good: over `systemctl restart`, over a crash that is
//! followed by a restart, over `systemctl daemon-reexec`. The next start finds it by its name. The unit must say how much is kept:
//! `FileDescriptorStoreMax=16`.
//!
//! ```no_run
//! use eudaemon::fdstore::Poll;
//! use std::net::TcpStream;
//!
//! fn init(cx: &mut eudaemon::Init<'_>) -> eudaemon::Result<()> {
//!     let store = cx.fdstore();
//!     // What the program before this one knew, and whom it served.
//!     let counters = store.state("counters")?.unwrap_or_default();
//!     let clients: Vec<TcpStream> = store.take("client").into_iter().map(Into::into).collect();
//! #   let client = &clients[0];
//!     // A client that hangs up meanwhile is dropped by the manager.
//!     store.put("client", client, Poll::Yes)?;
//!     store.put_state("counters", &counters)?;
//!     Ok(())
//! }
//! ```
//!
//! Listening sockets are kept by [`Manifest::storing`](crate::Manifest::storing) without a call: `systemctl restart` then refuses no
//! connection, and loses none that waits to be accepted.
//!
//! What nobody asks for until the service is ready is closed, and the manager drops it too. A name is for one purpose: what
//! is removed is all of a name. Source: `sd_notify(3)`, `FDSTORE=1`; systemd, `docs/FILE_DESCRIPTOR_STORE.md`; the
//! specification, library T28 and T31.

mod listening;

pub(crate) use listening::{arrange, of_predecessor};

use crate::Activation;
use crate::notify::Notify;
use crate::sockets::Sockets;
use eudaemon_core::{listen, stored};
use eudaemon_sys::sealed;
use listening::Listening;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// Most bytes of a state: 16 MiB. It is memory that the manager keeps, and that counts as the service's.
pub const MOST_STATE: usize = 16 << 20;

/// How long the manager has to say that it has done what it was told.
const PATIENCE: Duration = Duration::from_secs(5);

/// The store of the manager. Cheap to clone; every clone is the same store. Any thread may use it.
#[derive(Clone)]
pub struct FdStore(Arc<Inner>);

struct Inner {
    notify: Notify,
    capacity: Option<u32>,
    keeps: OnceLock<bool>,
    sockets: Sockets,
    held: Mutex<Held>,
    listening: Mutex<Listening>,
    /// Whether another process of this daemon served, and stored, while this one was started.
    is_successor: AtomicBool,
    /// The service stops.
    is_over: AtomicBool,
}

/// What is known of what the manager keeps.
#[derive(Default)]
struct Held {
    /// By name: how many it keeps for certain. What it drops by itself is not counted.
    certain: BTreeMap<String, u32>,
    states: BTreeMap<String, State>,
}

/// A state, and under which of its two names it is stored.
struct State {
    stored_as: String,
    file: OwnedFd,
    /// Whether it surely is the last, under its only name. What a process gave that goes on serving may be neither.
    is_last: bool,
}

/// Whether the manager drops a descriptor by itself when its other end is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll {
    /// Yes: for connections. It must be a descriptor of a kind that can hang up; others are kept as with [`Poll::No`].
    Yes,
    /// No. systemd knows this since 246. `FDPOLL=0`
    No,
}

/// Why something is not stored, or not had back.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// It is no name: ASCII without control characters and colons, at most 255 bytes, and for a state 240. Or one of those that
    /// the library keeps for itself, which begin with `eudaemon.`.
    Name {
        /// As it was given.
        name: String,
    },
    /// The manager keeps no more than so many.
    Full {
        /// How many: `FileDescriptorStoreMax=`.
        capacity: u32,
    },
    /// A state has more than [`MOST_STATE`] bytes.
    TooLarge {
        /// How many.
        bytes: u64,
    },
    /// What was stored under this name is no state: it may change while it is read.
    NotSealed {
        /// The name.
        name: String,
    },
    /// The system's word: the manager is gone, there is no memory.
    System(io::Error),
}

impl FdStore {
    /// The store of the manager that started this process. `Init::fdstore` and `Handle::fdstore` have it made already.
    #[must_use]
    pub fn of(activation: &Activation, notify: &Notify, sockets: &Sockets) -> FdStore {
        FdStore(Arc::new(Inner {
            notify: notify.clone(),
            capacity: activation
                .text("FDSTORE")
                .and_then(|most| most.parse().ok()),
            keeps: OnceLock::new(),
            sockets: sockets.clone(),
            held: Mutex::default(),
            listening: Mutex::default(),
            is_successor: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        }))
    }

    /// How many descriptors the manager keeps, by its own word: `FDSTORE`. `None`: it keeps none, or it is systemd before 254,
    /// which does not tell.
    #[must_use]
    pub fn capacity(&self) -> Option<u32> {
        self.0.capacity
    }

    /// Whether the manager keeps anything. If it does not tell, it is tried: once, and answered within five seconds. Nothing is
    /// kept of a process that is to take the place of another one before it is ready, nor of one whose place was taken.
    ///
    /// # Errors
    /// As of [`Notify::barrier`].
    pub fn keeps(&self) -> io::Result<bool> {
        // Not for good: one that is to take another process's place is heard from its promotion on.
        if !self.0.notify.is_heard() {
            return Ok(false);
        }
        if let Some(keeps) = self.0.keeps.get() {
            return Ok(*keeps);
        }
        let keeps = match self.0.capacity {
            Some(most) => most > 0,
            None => self.0.notify.keeps(stored::PROBE, PATIENCE)?,
        };
        Ok(*self.0.keeps.get_or_init(|| keeps))
    }

    /// Has a copy of this kept under this name, beside what is kept under it already. Whether it is: `false` where nobody keeps
    /// anything.
    ///
    /// What is stored already, under whichever name, is not stored again.
    ///
    /// # Errors
    /// [`StoreError`]. Where the manager does not tell how many it keeps, what is too much is dropped without a word.
    pub fn put(&self, name: &str, object: &impl AsFd, poll: Poll) -> Result<bool, StoreError> {
        check(name)?;
        self.store(name, object.as_fd(), poll)
    }

    /// Everything that was stored under this name before this process was started. It stays in the store until it is removed.
    /// The second time there is nothing.
    ///
    /// What a `.socket` unit passes under the same name is among it: nothing tells them apart.
    #[must_use]
    pub fn take(&self, name: &str) -> Vec<OwnedFd> {
        match check(name) {
            Ok(()) => self.0.sockets.take_strange(name),
            Err(_) => Vec::new(),
        }
    }

    /// Has everything dropped that is kept under this name, a state too. Whether there is a store.
    ///
    /// # Errors
    /// [`StoreError::Name`], [`StoreError::System`].
    pub fn remove(&self, name: &str) -> Result<bool, StoreError> {
        check(name)?;
        if !self.keeps()? {
            return Ok(false);
        }
        self.drop_state(name)?;
        self.unstore(name)?;
        self.listening().forget(name);
        self.settle();
        Ok(true)
    }

    /// Has these bytes kept under this name, in the place of those before. Whether they are: `false` where nobody keeps anything.
    ///
    /// They are a file in memory that nobody can change, stored under the name or, every other time, under
    /// `eudaemon.other.NAME`: the new ones are kept before the old ones are dropped, so a process that is killed meanwhile loses
    /// none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_state(&self, name: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        check(name)?;
        self.replace_state(name, bytes)
    }

    /// The bytes kept under this name: those of the process before this one, or the last of [`FdStore::put_state`].
    ///
    /// # Errors
    /// [`StoreError::NotSealed`], [`StoreError::TooLarge`], [`StoreError::System`].
    pub fn state(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        check(name)?;
        let mut held = self.held();
        self.find_state(&mut held, name);
        held.states
            .get(name)
            .map(|state| read(name, &state.file))
            .transpose()
    }

    /// Copies of the states that are stored, and the names they are stored under.
    pub(crate) fn states(&self) -> io::Result<Vec<(String, OwnedFd)>> {
        let held = self.held();
        let states = held.states.values();
        states
            .map(|state| Ok((state.stored_as.clone(), state.file.try_clone()?)))
            .collect()
    }

    /// What came back under the two names of a state. Both are there if the last process was killed between the two messages:
    /// then either is right.
    fn find_state(&self, held: &mut Held, name: &str) {
        if held.states.contains_key(name) {
            return;
        }
        let names = [Some(name.to_owned()), stored::other_name(name)];
        let mut extra = Vec::new();
        for stored_as in names.into_iter().flatten() {
            let Some(file) = self.0.sockets.take_strange(&stored_as).into_iter().next() else {
                continue;
            };
            held.certain.insert(stored_as.clone(), 1);
            if held.states.contains_key(name) {
                extra.push(stored_as);
            } else {
                let is_last = !self.0.is_successor.load(Ordering::Relaxed);
                let state = State {
                    stored_as,
                    file,
                    is_last,
                };
                held.states.insert(name.to_owned(), state);
            }
        }
        for name in extra {
            held.certain.remove(&name);
            // Where it is not removed now, the next process finds both again.
            let _ = self.0.notify.unstore(&name);
        }
    }

    fn replace_state(&self, name: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        let other = stored::other_name(name);
        let other = other.ok_or_else(|| StoreError::Name {
            name: name.to_owned(),
        })?;
        if bytes.len() > MOST_STATE {
            let bytes = bytes.len() as u64;
            return Err(StoreError::TooLarge { bytes });
        }
        if !self.keeps()? {
            return Ok(false);
        }
        let file = sealed::make(&format!("eudaemon-state-{}", cut(name)), bytes)?;
        let mut held = self.held();
        self.find_state(&mut held, name);
        if held.states.get(name).is_some_and(|state| !state.is_last) {
            held.states.remove(name);
            for name in [name, &other] {
                held.certain.remove(name);
                self.0.notify.unstore(name)?;
            }
        }
        let before = held.states.get(name).map(|state| state.stored_as.clone());
        let stored_as = match &before {
            Some(before) if before == name => other,
            Some(_) | None => name.to_owned(),
        };
        self.store_held(&mut held, &stored_as, file.as_fd(), Poll::No)?;
        let state = State {
            stored_as,
            file,
            is_last: true,
        };
        held.states.insert(name.to_owned(), state);
        if let Some(before) = before {
            held.certain.remove(&before);
            self.0.notify.unstore(&before)?;
        }
        Ok(true)
    }

    fn drop_state(&self, name: &str) -> Result<(), StoreError> {
        let mut held = self.held();
        self.find_state(&mut held, name);
        let state = held.states.remove(name);
        drop(held);
        match state {
            Some(state) => Ok(self.unstore(&state.stored_as)?),
            None => Ok(()),
        }
    }

    fn store(&self, name: &str, fd: BorrowedFd<'_>, poll: Poll) -> Result<bool, StoreError> {
        if !self.keeps()? {
            return Ok(false);
        }
        self.store_held(&mut self.held(), name, fd, poll)?;
        Ok(true)
    }

    fn store_held(
        &self,
        held: &mut Held,
        name: &str,
        fd: BorrowedFd<'_>,
        poll: Poll,
    ) -> Result<(), StoreError> {
        let certain: u32 = held.certain.values().sum();
        if let Some(capacity) = self.0.capacity.filter(|capacity| *capacity <= certain) {
            return Err(StoreError::Full { capacity });
        }
        self.0.notify.store(name, &[fd], poll == Poll::Yes)?;
        if poll == Poll::No {
            *held.certain.entry(name.to_owned()).or_default() += 1;
        }
        Ok(())
    }

    fn unstore(&self, name: &str) -> io::Result<()> {
        self.held().certain.remove(name);
        self.0.notify.unstore(name).map(drop)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listening(&self) -> MutexGuard<'_, Listening> {
        self.0
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a stranger may use this name.
fn check(name: &str) -> Result<(), StoreError> {
    match listen::is_good_name(name) && !listen::is_reserved(name) {
        true => Ok(()),
        false => Err(StoreError::Name {
            name: name.to_owned(),
        }),
    }
}

fn read(name: &str, file: &OwnedFd) -> Result<Vec<u8>, StoreError> {
    sealed::read(file, MOST_STATE).map_err(|error| {
        let size = || eudaemon_sys::file::about(file).map_or(0, |about| about.size_bytes);
        match error.raw_os_error() {
            Some(eudaemon_sys::errno::EPERM) => StoreError::NotSealed {
                name: name.to_owned(),
            },
            Some(eudaemon_sys::errno::EFBIG) => StoreError::TooLarge { bytes: size() },
            _ => StoreError::System(error),
        }
    })
}

/// As much of it as a name in `/proc` has room for. Source: `memfd_create(2)`: 249 bytes.
fn cut(name: &str) -> &str {
    name.get(..200).unwrap_or(name)
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> StoreError {
        StoreError::System(error)
    }
}

impl fmt::Debug for FdStore {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = to.debug_struct("FdStore");
        shown.field("capacity", &self.0.capacity);
        shown.finish_non_exhaustive()
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Name { name } => {
                write!(to, "{name:?} cannot be the name of something stored")
            }
            StoreError::Full { capacity } => write!(
                to,
                "the manager keeps no more than {capacity} descriptors: FileDescriptorStoreMax= in its unit"
            ),
            StoreError::TooLarge { bytes } => write!(
                to,
                "a state of {bytes} bytes, and {MOST_STATE} are the most"
            ),
            StoreError::NotSealed { name } => {
                write!(to, "what was stored as {name} is no state: it may change")
            }
            StoreError::System(_) => to.write_str("unable to use the manager's store"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StoreError::System(error) => Some(error),
            StoreError::Name { .. }
            | StoreError::Full { .. }
            | StoreError::TooLarge { .. }
            | StoreError::NotSealed { .. } => None,
        }
    }
}
