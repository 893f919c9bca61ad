//! A service that runs: what it may do, and what it is told.

use crate::fdstore::FdStore;
use crate::health::Tasks;
use crate::inbox::{Event, Letter, Reload};
use crate::metrics::Registry;
use crate::shared::Shared;
use crate::sockets::Sockets;
use crate::{Activation, Error, Exit, Result, StopSignal};
use crate::{health::Health, logging::Log, notify::Notify, options::Options, privileges::Dropped};
use eudaemon_core::life::{Asker, Event as Happened};
use eudaemon_core::words::Signal;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The service's own end of its life: it says ready, status and health with it, and hears when to stop. Cheap to clone, and
/// made only after privileges were given up.
#[derive(Clone)]
pub struct Handle(pub(crate) Arc<Shared>);

impl Handle {
    /// Says that the service serves: to the manager, to the descriptor and the file somebody asked for, and to the shell that
    /// waits. Again, or while it stops, it says nothing.
    ///
    /// To be called when everything is bound: clients come from here on.
    ///
    /// In a process that takes the place of another one ([`Handle::replace`]) this returns once it has, which may take the seconds that a manager
    /// needs to be told; a runtime does nothing else in this thread meanwhile. Until then the other one serves, and may
    /// go on alone if this one fails. What two must not do at once, like work in the background on the same files, begins after this. A
    /// process that is told to stop meanwhile never is ready; [`Handle::stop`] says so.
    pub fn ready(&self) {
        if self.0.take_over() {
            // First: who is ready may be restarted.
            self.0.store.ready();
            self.0.happen_and_tell(Happened::Ready);
            self.0.is_said_ready(self);
        }
    }

    /// How often the daemon has been replaced: 0 in the first process of it.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.0.generation
    }

    /// Says in a few words how it does: to the manager, in `ps`, to the control socket. Line breaks become blanks.
    ///
    /// Source of what a manager makes of it: `sd_notify(3)`, `STATUS=`.
    pub fn status(&self, text: impl fmt::Display) {
        self.0.told.status(text.to_string());
    }

    /// The signal to stop, to wait for in whichever way.
    #[must_use]
    pub fn stop(&self) -> &StopSignal {
        &self.0.stop
    }

    /// Stops the service, as a TERM would.
    pub fn request_stop(&self) {
        self.0.happen(Happened::Stop(Asker::Request));
    }

    /// Stops the service because of this error, which becomes the end of the whole: its words, its exit code. The first one
    /// counts.
    pub fn fail(&self, error: impl Into<Error>) {
        self.0.fail(error.into());
    }

    /// The manager itself.
    #[must_use]
    pub fn notify(&self) -> &Notify {
        self.0.told.notify()
    }

    /// What the service shows of its health. The manager's watchdog hears of the whole.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.0.health
    }

    /// Where log lines go.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.0.log
    }

    /// The sockets of the service: what it serves, and by [`Sockets::reset`] a new configuration of it.
    #[must_use]
    pub fn sockets(&self) -> &Sockets {
        &self.0.sockets
    }

    /// What the manager keeps while the service is not there: connections, and state in memory.
    #[must_use]
    pub fn fdstore(&self) -> &FdStore {
        &self.0.store
    }

    /// What the service counts: `/metrics` shows it.
    #[must_use]
    pub fn metrics(&self) -> &Registry {
        &self.0.metrics
    }

    /// What the service is doing: `/debug/tasks` shows it.
    #[must_use]
    pub fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    /// What the program was given at its start.
    #[must_use]
    pub fn activation(&self) -> &Activation {
        &self.0.activation
    }

    /// The options in force.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// An absolute path as it is called from here: below the directory the service is locked into, if it is.
    ///
    /// # Errors
    /// It is not below it.
    pub fn path(
        &self,
        path: impl AsRef<std::path::Path>,
    ) -> Result<crate::chroot::ChrootPath, crate::chroot::NotAddressable> {
        self.0.root.path(path.as_ref())
    }

    /// Work that takes long before the service is ready, reloaded or stopped. See [`Progress`].
    #[must_use]
    pub fn progress(&self, window: Duration) -> Progress {
        let progress = Progress {
            handle: self.clone(),
            window,
            extended: None,
        };
        // A manager that cannot be told is no reason not to work.
        let _ = self.notify().extend(window);
        progress
    }

    /// Starts a thread whose end concerns everyone: an error stops the service with it, a panic with exit code 70.
    ///
    /// # Errors
    /// Those of [`std::thread::Builder::spawn`].
    pub fn spawn(
        &self,
        name: &str,
        work: impl FnOnce(Handle) -> Result<()> + Send + 'static,
    ) -> std::io::Result<std::thread::JoinHandle<()>> {
        let handle = self.clone();
        let worker = name.to_owned();
        let body = move || {
            let given = handle.clone();
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(given)));
            let ended = ended.unwrap_or_else(|panic| Err(panicked(&*panic)));
            if let Err(error) = ended {
                handle.fail(error.during(worker));
            }
        };
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(body)
    }

    /// Has this called for each reload, in a thread of its own, one after the other. No reload begins before the service is
    /// ready, and so the thread is started then; one that cannot be ends the service as [`Handle::fail`] does.
    ///
    /// # Errors
    /// Those of [`std::thread::Builder::spawn`], where the service is ready already.
    pub fn on_reload(&self, mut reload: impl FnMut() -> Result<()> + Send + 'static) -> Result<()> {
        self.0.open_reloads();
        let work = move |handle: Handle| {
            while let Some(Letter::Reload) = handle.0.reloads.take(None) {
                let under_way = Reload::new(handle.clone());
                match reload() {
                    Ok(()) => under_way.done(),
                    Err(error) => under_way.failed(error),
                }
            }
            Ok(())
        };
        let start = |handle: &Handle| {
            handle
                .spawn("reload", work)
                .map(|_| ())
                .map_err(Error::from)
        };
        match self.0.at_ready(Box::new(start)) {
            None => Ok(()),
            Some(start) => start(self),
        }
    }

    /// Has this called for each of these signals, in the thread that attends to the library's own: it must not wait. TERM,
    /// INT and HUP, and TTIN and TTOU, which move the log's level, are the library's.
    ///
    /// # Errors
    /// A signal of the library's, or one it does not collect: only QUIT, USR1, USR2 and WINCH can be asked for, and USR2 not
    /// where it [replaces](crate::Manifest::replacing) the process.
    pub fn on_signal(&self, signal: Signal, act: impl FnMut() + Send + 'static) -> Result<()> {
        self.0.on_signal(signal, Box::new(act))
    }

    /// What a reload came to.
    pub(crate) fn reloaded(&self, how: Result<(), String>) {
        self.0.reloaded(how);
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_tuple("Handle").field(&self.0.told.name()).finish()
    }
}

/// What a panic said.
pub(crate) fn panicked(panic: &(dyn std::any::Any + Send)) -> Error {
    let words = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without words");
    Error::new(Exit::Software, format!("panicked: {words}"))
}

/// Keeps a manager patient as long as there is progress, and no longer: each [`step`](Progress::step) asks for the window
/// again. Forgetting it kills nobody's migration, and a stall is found.
///
/// Source: `sd_notify(3)`, `EXTEND_TIMEOUT_USEC=`: it must be sent again within the time it asked for.
#[derive(Debug)]
pub struct Progress {
    handle: Handle,
    window: Duration,
    extended: Option<Instant>,
}

impl Progress {
    /// There was progress, and this is how far it is. Cheap to call often: the manager hears of it four times in a window.
    pub fn step(&mut self, how_far: impl fmt::Display) {
        let now = Instant::now();
        let is_due = |last: Instant| now.duration_since(last) >= self.window / 4;
        if self.extended.is_none_or(is_due) {
            self.extended = Some(now);
            self.handle.status(how_far);
            // As in `progress`.
            let _ = self.handle.notify().extend(self.window);
        }
    }
}

/// What `run` is given: everything of a [`Handle`], and the service's ear. There is one, and it exists only after
/// privileges were given up and that was proven.
#[derive(Debug)]
pub struct Running {
    handle: Handle,
    dropped: Dropped,
}

impl Deref for Running {
    type Target = Handle;
    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Running {
    pub(crate) fn new(handle: Handle, dropped: Dropped) -> Running {
        Running { handle, dropped }
    }

    /// One more handle, for a thread or a task.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// What the kernel said of this process after the drop.
    #[must_use]
    pub fn proof(&self) -> &Dropped {
        &self.dropped
    }

    /// Waits for the next event.
    #[must_use]
    pub fn wait(&mut self) -> Event {
        // Without an end to the wait there is always one.
        self.next(None).unwrap_or(Event::Stop)
    }

    /// Waits for the next event, so long at most.
    #[must_use]
    pub fn wait_timeout(&mut self, most: Duration) -> Option<Event> {
        self.next(Some(Instant::now() + most))
    }

    fn next(&mut self, until: Option<Instant>) -> Option<Event> {
        let letter = self.handle.0.inbox.take(until)?;
        Some(self.event(letter))
    }

    fn event(&self, letter: Letter) -> Event {
        match letter {
            Letter::Stop => Event::Stop,
            Letter::Reload => Event::Reload(Reload::new(self.handle())),
            Letter::Signal(signal) => Event::Signal(signal),
        }
    }

    /// The next event, for a task.
    #[cfg(feature = "tokio")]
    pub async fn next_event(&mut self) -> Event {
        let letter = self.handle.0.inbox.next_letter().await;
        self.event(letter)
    }

    /// Has [`wait`](Running::wait) tell of this signal.
    ///
    /// # Errors
    /// As [`Handle::on_signal`].
    pub fn hear(&self, signal: Signal) -> Result<()> {
        let shared = Arc::downgrade(&self.handle.0);
        self.on_signal(signal, move || {
            if let Some(shared) = shared.upgrade() {
                shared.inbox.put(Letter::Signal(signal));
            }
        })
    }
}
