//! Replacing the running process by a new one of the same program, so that an upgrade refuses no connection and loses none.
//!
//! ```no_run
//! # fn upgrade(handle: &eudaemon::Handle) {
//! use eudaemon::replace::ReplaceError;
//! use std::time::Duration;
//!
//! match handle.replace().deadline(Duration::from_secs(60)).state("42 sessions").run() {
//!     Ok(replaced) => handle.log().notice(format_args!("{} serves now", replaced.pid())),
//!     Err(ReplaceError::Failed { words, .. }) => handle.log().error(format_args!("the new one: {words}")),
//!     Err(error) => handle.log().error(error),
//! }
//! # }
//! ```
//!
//! # What happens
//!
//! 1. The program is started from its path, with the words, the environment and the directory of this one's own start. What is installed
//!    there by now is what runs: the new version. Its standard error is copied to this one's, line by line.
//! 2. It is handed everything of the [managed set](crate::sockets), the PID file with its lock, the control socket, and the state that
//!    the service gives along. It begins as any start does: options, `init`, the drop of privileges, `run`.
//! 3. It says [ready](crate::Handle::ready). Until then this process serves, and nothing is lost if the new one fails: if it ends,
//!    says why it cannot, or says nothing until the deadline, it is killed and reaped, and [`ReplaceError`] has the cause.
//! 4. The manager is told that the new process is the main one, by this one, for only the main process may (`sd_notify(3)`,
//!    `NotifyAccess=main`); then the new one is told. From here on it is the service.
//! 5. This process hears [stop](crate::Handle::stop) like at any stop, and says nothing more, to nobody. It has as long as for a stop to finish
//!    with whoever is connected to it, and leaves with 0.
//!
//! The manifest's [`replacing`](crate::Manifest::replacing) has SIGUSR2 and the control socket's `replace` do this; [`Handle::replace`]
//! does it when the service itself thinks so.
//!
//! # Behind a privilege drop
//!
//! A service that gave up its rights cannot start a program that needs them. So one whose manifest says
//! [`replacing`](crate::Manifest::replacing) and that drops privileges, changes its root or closes a sandbox keeps a *spawner*: a second
//! process, forked off before `init`, with the rights of the start. It holds no descriptor but 0 to 2 and the line to the service,
//! ignores every signal that can be ignored, and ends when the service does. `ps` shows it as `NAME: spawner`.
//!
//! **What somebody who has taken over the service can do with it**: have the same program started, with the words and the environment
//! of the first start and all its rights, and hand it other descriptors and another state than the service would have; and have it killed
//! again or left alone. That is all: the spawner takes no path, no word and no variable from the service, only the orders to start, to kill and to leave, and starts one at a time. It means
//! that a service that is replaced behind a drop must read the state it is handed, and what it finds about its sockets, as it
//! would read what a stranger sent, as long as it is in `init`; the library itself does. Who does not want that leaves `replacing` out: then
//! there is no spawner, and [`Handle::replace`] answers [`ReplaceError::Confined`]. A manager's descriptor store, over an ordinary
//! restart, loses no connection either.
//!
//! # Under a manager
//!
//! systemd waits for the end of a main process that is its own child; one that is not it kills at a stop right behind the TERM, if it is alone in
//! its unit (observed: v252). So under a manager a service that offers to be replaced has a spawner even if it gave up nothing: that is the parent of the new
//! process until this one is ready, and leaves it to the manager before that is told. The new process has a spawner of its own. One that is replaced
//! by [`Handle::replace`] alone, without the word in the manifest, has none, and is a stranger to systemd ("which is not our child").
//!
//! # Not replaced
//!
//! Process 1 of a container: it cannot leave without ending it. A service of a supervisor that takes the end of its child for the end of the
//! service and knows no `MAINPID=`: daemontools, runit, s6 and our own. Under these a restart is the way.

mod attempt;
mod error;
mod program;
mod spawner;
mod tail;

pub use error::ReplaceError;
pub(crate) use program::Program;
pub(crate) use spawner::Spawner;

use crate::Result;
use crate::running::{Handle, panicked};
use crate::shared::{Shared, held};
use eudaemon_core::life::Event;
use eudaemon_sys::wake::Wake;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::time::Duration;

/// How long a new process may take when nobody says how long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A replacement that is about to be asked for: [`Handle::replace`].
#[must_use = "nothing happens before run()"]
pub struct Replace {
    handle: Handle,
    deadline: Duration,
    state: Option<Vec<u8>>,
}

/// The new process, which is the service by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    pid: u32,
}

impl Replaced {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }
}

impl Replace {
    /// How long the new process may take from now until it is ready. Default: 30 s.
    pub fn deadline(mut self, deadline: Duration) -> Replace {
        self.deadline = deadline;
        self
    }

    /// What the new process finds as [`Handover::state`](crate::handover::Handover::state), instead of what
    /// [`Handle::on_replace`] would say. It goes in memory: 256 MiB at most.
    pub fn state(mut self, state: impl Into<Vec<u8>>) -> Replace {
        self.state = Some(state.into());
        self
    }

    /// Does it, in a thread of its own, and waits for the outcome. A service that is told to stop meanwhile gives the new process up.
    ///
    /// # Errors
    /// [`ReplaceError`]: this process serves as before, and nothing is left of the other one.
    pub fn run(self) -> Result<Replaced, ReplaceError> {
        let (tell, told) = mpsc::channel();
        let ear: Ear = Box::new(move |outcome| {
            // Who asked waits below.
            let _ = tell.send(outcome);
        });
        begin(&self.handle.0, self.deadline, self.state, ear);
        let lost = || ReplaceError::Handover(std::io::Error::other("its thread has panicked"));
        told.recv().unwrap_or_else(|_| Err(lost()))
    }
}

impl fmt::Debug for Replace {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut to = to.debug_struct("Replace");
        to.field("deadline", &self.deadline);
        let bytes = self.state.as_ref().map(Vec::len);
        to.field("state_bytes", &bytes).finish_non_exhaustive()
    }
}

impl Handle {
    /// Replaces this process by a new one of the same program: see [`replace`](crate::replace).
    pub fn replace(&self) -> Replace {
        Replace {
            handle: self.clone(),
            deadline: PATIENCE,
            state: None,
        }
    }

    /// Has this called for what the new process is given along, at each replacement that says nothing else: those by signal and
    /// control socket. Called in the replacement's own thread. An error, or a panic, is [`ReplaceError::State`], and nothing is started.
    pub fn on_replace(&self, state: impl FnMut() -> Result<Vec<u8>> + Send + 'static) {
        *held(&self.0.replacing.state) = Some(Box::new(state));
    }
}

/// Is told what came of it.
pub(crate) type Ear = Box<dyn FnOnce(Result<Replaced, ReplaceError>) + Send>;

/// Says what the new process is given along.
type Giving = Box<dyn FnMut() -> Result<Vec<u8>> + Send>;

/// What a service knows of being replaced.
#[derive(Default)]
pub(crate) struct Replacing {
    /// SIGUSR2 and the control socket ask for it.
    pub is_offered: bool,
    /// Why this process cannot start the program itself, if it cannot.
    pub confined: Option<&'static str>,
    /// Why it cannot be replaced at all, if it cannot.
    pub never: Option<&'static str>,
    spawner: Mutex<Option<Arc<Spawner>>>,
    state: Mutex<Option<Giving>>,
    /// One is under way, and is woken by this when it is to be given up.
    under_way: Mutex<Option<Arc<Wake>>>,
    is_over: Condvar,
}

impl Replacing {
    /// What is known before the service begins.
    pub fn new(
        is_offered: bool,
        confined: Option<&'static str>,
        never: Option<&'static str>,
        spawner: Option<Spawner>,
    ) -> Replacing {
        Replacing {
            is_offered,
            confined,
            never,
            spawner: Mutex::new(spawner.map(Arc::new)),
            ..Replacing::default()
        }
    }

    /// One is under way from here on, and this wakes it. Called with the life held, as [`Replacing::give_up`] may be.
    pub fn begins(&self, wake: &Arc<Wake>) {
        *held(&self.under_way) = Some(Arc::clone(wake));
    }

    /// Has the one that is under way given up, if it is not too late.
    pub fn give_up(&self) {
        if let Some(wake) = &*held(&self.under_way) {
            wake.wake();
        }
    }

    /// Returns when none is under way.
    pub fn settle(&self) {
        let mut under_way = held(&self.under_way);
        while under_way.is_some() {
            if let Some(wake) = &*under_way {
                wake.wake();
            }
            let waited = self.is_over.wait(under_way);
            under_way = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// There is no spawner any more.
    fn lose_spawner(&self) {
        *held(&self.spawner) = None;
    }

    fn is_over(&self) {
        *held(&self.under_way) = None;
        self.is_over.notify_all();
    }

    /// What the service gives along.
    fn state(&self) -> Result<Option<Vec<u8>>, ReplaceError> {
        let Some(state) = &mut *held(&self.state) else {
            return Ok(None);
        };
        let asked = std::panic::catch_unwind(AssertUnwindSafe(state));
        let asked = asked.unwrap_or_else(|panic| Err(panicked(&*panic)));
        asked.map(Some).map_err(|error| ReplaceError::State {
            words: error.to_string(),
        })
    }
}

/// Begins a replacement because a signal or the control socket asks for it; `ear` is told the outcome, and the log.
pub(crate) fn ask(shared: &Arc<Shared>, ear: Ear) {
    let log = shared.log.clone();
    let ear: Ear = Box::new(move |outcome| {
        match &outcome {
            Ok(replaced) => log.notice(format_args!("process {} serves now", replaced.pid)),
            Err(error) => log.error(format_args!("not replaced: {}", error.whole())),
        }
        ear(outcome);
    });
    begin(shared, PATIENCE, None, ear);
}

/// Begins a replacement, without waiting for anything.
fn begin(shared: &Arc<Shared>, deadline: Duration, state: Option<Vec<u8>>, ear: Ear) {
    let replacing = &shared.replacing;
    if let Some(why) = replacing.never {
        return ear(Err(ReplaceError::NotReplaceable { why }));
    }
    let Some(program) = Program::of(&shared.activation) else {
        return ear(Err(ReplaceError::NoProgram));
    };
    let spawner = held(&replacing.spawner).clone();
    if let (Some(why), None) = (replacing.confined, &spawner) {
        return ear(Err(ReplaceError::Confined { why }));
    }
    let wake = match Wake::new() {
        Ok(wake) => Arc::new(wake),
        Err(error) => return ear(Err(ReplaceError::Spawn(error))),
    };
    if let Err(doing) = shared.begin_replacement(&wake) {
        return ear(Err(ReplaceError::Busy { doing }));
    }
    let shared = Arc::clone(shared);
    let under_way = UnderWay(Some((Arc::clone(&shared), ear)));
    let live = move || {
        let end = under_way;
        let given = state.map_or_else(|| shared.replacing.state(), |state| Ok(Some(state)));
        let attempt = given.and_then(|state| {
            let start = attempt::Start {
                program: &program,
                spawner,
                state,
                deadline,
            };
            attempt::begin(&shared, start, wake)
        });
        match attempt.and_then(attempt::Attempt::live) {
            Ok((replaced, rest)) => {
                end.is(Ok(replaced));
                // What it writes to standard error before that is its own, and how it ends, for as long as this process is there.
                rest.attend();
            }
            Err(error) => end.is(Err(error)),
        }
    };
    let thread = std::thread::Builder::new().name("eud-replace".to_owned());
    // If it cannot be, the closure is dropped, and with it whoever waits is told.
    let _ = thread.spawn(live);
}

/// A replacement that is under way, and who waits for its end. One that is dropped has failed.
struct UnderWay(Option<(Arc<Shared>, Ear)>);

impl UnderWay {
    fn is(mut self, outcome: Result<Replaced, ReplaceError>) {
        self.end(outcome);
    }

    fn end(&mut self, outcome: Result<Replaced, ReplaceError>) {
        let Some((shared, ear)) = self.0.take() else {
            return;
        };
        // In this order: as soon as the life goes on, the next one may begin.
        shared.replacing.is_over();
        if outcome.is_err() {
            shared.happen(Event::NotReplaced);
        }
        ear(outcome);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let lost = "its thread could not be started, or has panicked";
        self.end(Err(ReplaceError::Handover(std::io::Error::other(lost))));
    }
}
