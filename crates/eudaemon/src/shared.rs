//! What every handle of a running service stands on.

use crate::inbox::{Inbox, Letter};
use crate::running::{Handle, reader_of};
use crate::told::Told;
use crate::{Activation, Error, Exit, Result, StopSignal};
use crate::{chroot::Root, health::Health, logging::Log, options::Options};
use eudaemon_core::life::{Effect, Event, Life, State, Why};
use eudaemon_core::time::Mono;
use eudaemon_core::words::Signal;
use eudaemon_sys::wake::Wake;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The signals that are collected; all are blocked before there is a second thread.
pub(crate) const COLLECTED: &[Signal] = &[
    Signal::Term,
    Signal::Int,
    Signal::Hup,
    Signal::Ttin,
    Signal::Ttou,
    Signal::Quit,
    Signal::Usr1,
    Signal::Usr2,
    Signal::Winch,
];

/// Those of them a service may ask for.
const FREE: &[Signal] = &[Signal::Quit, Signal::Usr1, Signal::Usr2, Signal::Winch];

type Act = Box<dyn FnMut() + Send>;

pub(crate) struct Shared {
    life: Mutex<Life>,
    pub told: Told,
    pub stop: StopSignal,
    pub inbox: Inbox,
    pub reloads: Inbox,
    pub health: Health,
    pub log: Log,
    pub root: Root,
    pub activation: Activation,
    pub options: Options,
    /// Wakes the attendant: there may be a new deadline.
    pub wake: Wake,
    acts: Mutex<Vec<(Signal, Act)>>,
    failure: Mutex<Option<Error>>,
    reload: Mutex<Reloads>,
    reload_ended: Condvar,
}

/// How many reloads ended, and how the last one did: for whoever waits for one.
#[derive(Debug, Default)]
struct Reloads {
    ended: u64,
    last: Option<String>,
    refused: u64,
}

/// What a running service is made of.
pub(crate) struct Parts {
    pub told: Told,
    pub health: Health,
    pub log: Log,
    pub root: Root,
    pub activation: Activation,
    pub options: Options,
}

impl Shared {
    pub fn new(parts: Parts) -> Result<Shared> {
        Ok(Shared {
            life: Mutex::new(Life::new(parts.options.stop_timeout)),
            told: parts.told,
            stop: StopSignal::new()?,
            inbox: Inbox::default(),
            reloads: Inbox::default(),
            health: parts.health,
            log: parts.log,
            root: parts.root,
            activation: parts.activation,
            options: parts.options,
            wake: Wake::new()?,
            acts: Mutex::new(Vec::new()),
            failure: Mutex::new(None),
            reload: Mutex::new(Reloads::default()),
            reload_ended: Condvar::new(),
        })
    }

    /// Something happened; what follows is done before anything else can happen.
    pub fn happen(&self, event: Event) {
        let now = eudaemon_sys::clock::mono();
        let mut life = held(&self.life);
        for effect in life.step(now, event) {
            match effect {
                Effect::SayReady => self.told.ready(),
                Effect::SayReloading => self.told.reloading(now),
                Effect::SayStopping => self.told.stopping(),
                Effect::Reload => self.reload(),
                Effect::Stop => {
                    self.stop.set(Instant::now() + self.options.stop_timeout);
                    self.inbox.put(Letter::Stop);
                    self.reloads.put(Letter::Stop);
                }
                Effect::RefuseReload => self.refused(),
                Effect::Leave(why) => self.leave(why),
                // The process could not leave by itself, so nothing in it can be relied on.
                Effect::Abort => std::process::abort(),
            }
        }
        drop(life);
        self.health.set_phase(self.phase());
        self.wake.wake();
    }

    fn phase(&self) -> eudaemon_core::health::Phase {
        use eudaemon_core::health::Phase;
        match held(&self.life).state() {
            State::Starting { .. } => Phase::Starting,
            State::Serving | State::Reloading { .. } => Phase::Running,
            State::Stopping { .. } | State::Leaving => Phase::Stopping,
        }
    }

    /// When time itself is an event.
    pub fn deadline(&self) -> Option<Mono> {
        held(&self.life).deadline()
    }

    fn reload(&self) {
        match reader_of(&self.reloads, &self.inbox) {
            Some(inbox) => inbox.put(Letter::Reload),
            // Whoever said that it begins must hear that it is over. From a thread of its own: we are inside `happen`.
            None => self.nobody_reloads(),
        }
    }

    /// Whether a reload would reach anybody.
    pub fn can_reload(&self) -> bool {
        reader_of(&self.reloads, &self.inbox).is_some()
    }

    fn nobody_reloads(&self) {
        self.inbox.put(Letter::Reload);
    }

    fn refused(&self) {
        held(&self.reload).refused += 1;
        self.reload_ended.notify_all();
    }

    pub fn reloaded(&self, how: Result<(), String>) {
        if let Err(why) = &how {
            self.log.error(format_args!("reload failed: {why}"));
            self.told.status(&format!("reload failed: {why}"));
        }
        let mut reload = held(&self.reload);
        reload.ended += 1;
        reload.last = how.err();
        drop(reload);
        self.reload_ended.notify_all();
        self.happen(Event::Reloaded);
    }

    /// Asks for a reload and waits for the end of one that began after this call.
    ///
    /// # Errors
    /// Why there was none, or why it failed.
    pub fn reload_and_wait(&self, most: Duration) -> Result<(), String> {
        if !self.can_reload() {
            return Err("this service does not reload".to_owned());
        }
        // One under way may have read the old configuration: the one that is meant is the one after it.
        let under_way = matches!(held(&self.life).state(), State::Reloading { .. });
        let reload = held(&self.reload);
        let (wanted, refused) = (reload.ended + 1 + u64::from(under_way), reload.refused);
        drop(reload);
        self.happen(Event::Reload);
        let reload = held(&self.reload);
        let waited = self.reload_ended.wait_timeout_while(reload, most, |reload| {
            reload.ended < wanted && reload.refused == refused
        });
        let reload = waited.unwrap_or_else(PoisonError::into_inner).0;
        match &reload.last {
            _ if reload.refused != refused => Err("the service is stopping".to_owned()),
            _ if reload.ended < wanted => Err(format!("not done after {} s", most.as_secs())),
            Some(why) => Err(why.clone()),
            None => Ok(()),
        }
    }

    pub fn fail(&self, error: Error) {
        self.log.error(format_args!("{error}"));
        held(&self.failure).get_or_insert(error);
        self.happen(Event::Stop(eudaemon_core::life::Asker::Request));
    }

    /// What a worker failed with.
    pub fn failure(&self) -> Option<Error> {
        held(&self.failure).take()
    }

    pub fn on_signal(&self, signal: Signal, act: Act) -> Result<()> {
        if !FREE.contains(&signal) {
            return Err(Error::unsupported(format!(
                "unable to hand {} to the service: the library keeps it, or does not collect it",
                signal.name()
            )));
        }
        held(&self.acts).push((signal, act));
        Ok(())
    }

    /// Acts on a signal that is not the library's; whether anybody had asked for it.
    pub fn act(&self, signal: Signal) -> bool {
        let mut acts = held(&self.acts);
        let mut any = false;
        for (_, act) in acts.iter_mut().filter(|(asked, _)| *asked == signal) {
            any = true;
            act();
        }
        any
    }

    /// Ends the process without the service. In a thread of its own, so that the attendant still hears a third signal if
    /// something here hangs.
    fn leave(&self, why: Why) {
        let words = match why {
            Why::Signal => "asked to stop a second time: leaving at once".to_owned(),
            Why::Deadline => format!(
                "not stopped after {:?}: leaving",
                self.options.stop_timeout
            ),
        };
        self.log.error(format_args!("{words}"));
        self.told.status(&words);
        let clean = self.told.cleaner();
        let leave = move || {
            clean.clean();
            std::process::exit(i32::from(Exit::Temporary.code()));
        };
        if std::thread::Builder::new().name("leave".into()).spawn(leave).is_err() {
            std::process::abort();
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// A lock whose holder cannot leave things half done by panicking: each writes one value.
pub(crate) fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// A handle to this.
    pub fn handle(self: &Arc<Shared>) -> Handle {
        Handle(Arc::clone(self))
    }
}
