//! Whether this service is well, told from what it shows of itself: leases its own loops renew, and checks that are asked.
//!
//! ```
//! use eudaemon::health::{Health, Phase};
//! use std::time::Duration;
//!
//! let health = Health::new();
//! let acceptor = health.lease("acceptor", Duration::from_secs(10));
//! health.check("db", Duration::from_secs(5), || Ok::<(), String>(()))?;
//! health.enter(Phase::Running);
//! acceptor.beat(); // in the loop of the acceptor, each time around
//! assert!(health.verdict().live());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The rules are those of [`eudaemon_core::health`]; here are the stamps, the one thread that asks the checks, and the one that
//! tells the manager. Neither runs before there is something to ask, or somebody to tell.

mod prober;
mod tasks;
mod watching;

pub use eudaemon_core::health::{Condition, Entry, Patience, Phase, Verdict};
pub use tasks::{Task, TaskInfo, Tasks};
pub use watching::{Say, Watching};

use eudaemon_core::health::{Told, Watched};
use eudaemon_core::time::Mono;
use prober::Rounds;
use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What is known of a service's health. Clones are handles of the same.
#[derive(Clone)]
pub struct Health {
    owner: Arc<Owner>,
}

/// Ends the threads when the last handle is gone.
struct Owner(Arc<Board>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

/// What handles, the prober and the watchdog share.
struct Board {
    phase: AtomicU8,
    kept: Mutex<Kept>,
    /// Somebody registered, answered or left.
    changed: Condvar,
}

#[derive(Default)]
struct Kept {
    posts: Vec<Arc<Post>>,
    rounds: Rounds,
    closed: bool,
}

/// One of the watched.
struct Post {
    name: String,
    critical: bool,
    within: Duration,
    /// Nanoseconds of the monotonic clock.
    at: AtomicU64,
    said: Mutex<Said>,
}

enum Said {
    Beat,
    Nothing,
    Well,
    Ill(String),
    Lost,
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Running,
            _ => Phase::Stopping,
        }
    }

    fn verdict(&self, now: Mono) -> Verdict {
        // Nothing is called and no thread waited for while the posts are copied out.
        let posts = self.lock().posts.clone();
        let said: Vec<_> = posts
            .iter()
            .map(|post| {
                (
                    post,
                    post.said.lock().unwrap_or_else(PoisonError::into_inner),
                )
            })
            .collect();
        let watched = said.iter().map(|(post, said)| Watched {
            name: &post.name,
            critical: post.critical,
            at: post.at(),
            within: post.within,
            told: match &**said {
                Said::Beat => Told::Beat,
                Said::Nothing => Told::Nothing,
                Said::Well => Told::Well,
                Said::Ill(reason) => Told::Ill(reason),
                Said::Lost => Told::Lost,
            },
        });
        Verdict::of(now, self.phase(), watched)
    }

    /// When the first of the critical runs out.
    fn expiry(&self) -> Option<Mono> {
        let kept = self.lock();
        let critical = kept.posts.iter().filter(|post| post.critical);
        critical.map(|post| post.at() + post.within).min()
    }
}

impl Post {
    fn new(name: &str, critical: bool, within: Duration, said: Said) -> Arc<Post> {
        Arc::new(Post {
            name: name.to_owned(),
            critical,
            within,
            at: AtomicU64::new(eudaemon_sys::clock::mono().0),
            said: Mutex::new(said),
        })
    }

    fn at(&self) -> Mono {
        Mono(self.at.load(Ordering::Acquire))
    }

    fn sign(&self) {
        // Two threads may hold one lease: the later moment counts.
        self.at
            .fetch_max(eudaemon_sys::clock::mono().0, Ordering::AcqRel);
    }

    fn answered(&self, answer: Result<(), String>) {
        let said = match answer {
            Ok(()) => Said::Well,
            Err(reason) => Said::Ill(reason),
        };
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = said;
        self.sign();
    }
}

impl Default for Health {
    fn default() -> Health {
        Health::new()
    }
}

impl Health {
    /// A service that is starting, with nothing watched.
    #[must_use]
    pub fn new() -> Health {
        let board = Board {
            phase: AtomicU8::new(0),
            kept: Mutex::default(),
            changed: Condvar::new(),
        };
        Health {
            owner: Arc::new(Owner(Arc::new(board))),
        }
    }

    fn board(&self) -> &Arc<Board> {
        &self.owner.0
    }

    /// The service is in another part of its life. [`main`](crate) does this; only a running service is ready.
    pub fn enter(&self, phase: Phase) {
        let number = match phase {
            Phase::Starting => 0,
            Phase::Running => 1,
            Phase::Stopping => 2,
        };
        self.board().phase.store(number, Ordering::Release);
    }

    /// A promise to call [`Lease::beat`] again within this time, for as long as the lease is held. When it is not kept the
    /// process counts as dead: the watchdog is pinged no more, and `/livez` says so.
    #[must_use = "a lease that is dropped is released at once"]
    pub fn lease(&self, name: &str, within: Duration) -> Lease {
        self.hold(name, true, within)
    }

    /// A lease without which the service can still live: when it runs out, the service is only not ready.
    #[must_use = "a lease that is dropped is released at once"]
    pub fn minor_lease(&self, name: &str, within: Duration) -> Lease {
        self.hold(name, false, within)
    }

    fn hold(&self, name: &str, critical: bool, within: Duration) -> Lease {
        let post = Post::new(name, critical, within, Said::Beat);
        self.board().lock().posts.push(post.clone());
        // The watchdog may have to wake sooner than it thought.
        self.board().changed.notify_all();
        Lease {
            post,
            board: self.board().clone(),
        }
    }

    /// Asks `check` now and then `every` so often, for as long as there is a handle. While it fails, has not answered yet, or has
    /// not answered for twice `every`, the service is not ready. It stays live: a database that is away is not mended by a new start.
    ///
    /// One thread asks all checks in turn, and starts with the first. A check that hangs keeps that thread; the others are
    /// then asked by a new one, once a verdict finds the hanging one stale. A check that panics has failed.
    ///
    /// # Errors
    /// The thread could not be started. The check is then not registered.
    pub fn check<F>(&self, name: &str, every: Duration, check: F) -> std::io::Result<()>
    where
        F: FnMut() -> Result<(), String> + Send + 'static,
    {
        self.register(name, false, every, Box::new(check))
    }

    /// A check whose *silence* is death: when it has not answered for twice `every`, the process is not live. For a probe that goes through
    /// what must never hang, such as a task given to the runtime. An answer that something is wrong is only that.
    ///
    /// # Errors
    /// As [`Health::check`].
    pub fn critical_check<F>(&self, name: &str, every: Duration, check: F) -> std::io::Result<()>
    where
        F: FnMut() -> Result<(), String> + Send + 'static,
    {
        self.register(name, true, every, Box::new(check))
    }

    fn register(
        &self,
        name: &str,
        critical: bool,
        every: Duration,
        probe: prober::Probe,
    ) -> std::io::Result<()> {
        let post = Post::new(name, critical, every.saturating_mul(2), Said::Nothing);
        prober::add(self.board(), post, every, probe)
    }

    /// How the service is now. Computed by the caller from the stamps there are: no check is waited for.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let now = eudaemon_sys::clock::mono();
        prober::relieve(self.board(), now);
        self.board().verdict(now)
    }

    /// Pings the manager that watches this process after `interval` of silence, for as long as every critical lease is good.
    /// `say` sends; it is called by a thread of its own, which ends when what is returned is dropped.
    ///
    /// # Errors
    /// The thread could not be started.
    pub fn watch<F>(
        &self,
        interval: Duration,
        patience: Patience,
        say: F,
    ) -> std::io::Result<Watching>
    where
        F: FnMut(Say<'_>) + Send + 'static,
    {
        Watching::start(self.board().clone(), interval, patience, say)
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_tuple("Health").field(&self.verdict()).finish()
    }
}

/// A promise to give a sign in time, kept by [`Lease::beat`] and released by dropping it.
///
/// One that is dropped by a panic is not released: a service whose acceptor is gone must not look healthy. It counts as run out at once,
/// and for good.
pub struct Lease {
    post: Arc<Post>,
    board: Arc<Board>,
}

impl Lease {
    /// Renews it from now. Cheap: one reading of the clock and one atomic store.
    pub fn beat(&self) {
        self.post.sign();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = self.post.said.lock();
            *said.unwrap_or_else(PoisonError::into_inner) = Said::Lost;
            self.post.at.store(0, Ordering::Release);
            self.board.changed.notify_all();
            return;
        }
        let mut kept = self.board.lock();
        kept.posts.retain(|post| !Arc::ptr_eq(post, &self.post));
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_tuple("Lease").field(&self.post.name).finish()
    }
}

#[cfg(test)]
mod tests;
