//! What every handle of a running service stands on.

use crate::health::{Health, Patience, Phase, Say, Watching};
use crate::inbox::{Inbox, Letter};
use crate::running::Handle;
use crate::told::Told;
use crate::{Activation, Error, Exit, Result, StopSignal};
use crate::{chroot::Root, logging::Log, options::Options};
use eudaemon_core::life::{Effect, Event, Life, State, Why};
use eudaemon_core::time::Mono;
use eudaemon_core::words::Signal;
use eudaemon_sys::wake::Wake;
use std::collections::VecDeque;
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
    pub told: Arc<Told>,
    pub stop: StopSignal,
    pub inbox: Inbox,
    pub reloads: Inbox,
    pub health: Health,
    pub log: Log,
    pub root: Root,
    pub activation: Activation,
    pub options: Options,
    /// Whether the service said that it reloads.
    reloads_said: bool,
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
    pub reloads: bool,
}

impl Shared {
    pub fn new(parts: Parts) -> Result<Shared> {
        Ok(Shared {
            life: Mutex::new(Life::new(parts.options.stop_timeout)),
            told: Arc::new(parts.told),
            stop: StopSignal::new()?,
            inbox: Inbox::default(),
            reloads: Inbox::default(),
            health: parts.health,
            log: parts.log,
            root: parts.root,
            activation: parts.activation,
            options: parts.options,
            reloads_said: parts.reloads,
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
        let mut effects = VecDeque::from(life.step(now, event));
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::SayReady => self.told.ready(),
                Effect::SayReloading => self.told.reloading(now),
                Effect::SayStopping => self.told.stopping(),
                Effect::Reload if !self.put_reload() => {
                    self.log
                        .notice(format_args!("this service does not reload"));
                    effects.extend(life.step(now, Event::Reloaded));
                }
                Effect::Reload => {}
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
        self.health.enter(phase(life.state()));
        drop(life);
        self.wake.wake();
    }

    /// When time itself is an event.
    pub fn deadline(&self) -> Option<Mono> {
        held(&self.life).deadline()
    }

    /// Hands a reload to whoever does it; whether anybody does. One that the service said it does waits for its `wait`.
    fn put_reload(&self) -> bool {
        let reader = if self.reloads.is_read() {
            &self.reloads
        } else {
            &self.inbox
        };
        let is_done = self.can_reload();
        if is_done {
            reader.put(Letter::Reload);
        }
        is_done
    }

    /// Whether a reload would reach anybody.
    pub fn can_reload(&self) -> bool {
        self.reloads_said || self.reloads.is_read() || self.inbox.is_read()
    }

    /// From here on reloads are read from a box of their own; one that waits in the other moves.
    pub fn open_reloads(&self) {
        // Nothing is put while this is held.
        let _life = held(&self.life);
        self.reloads.open();
        if self.inbox.take_reload() {
            self.reloads.put(Letter::Reload);
        }
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
        let waited = self
            .reload_ended
            .wait_timeout_while(reload, most, |reload| {
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
            Why::Deadline => format!("not stopped after {:?}: leaving", self.options.stop_timeout),
        };
        self.log.error(format_args!("{words}"));
        self.told.status(&words);
        let clean = self.told.cleaner();
        let leave = move || {
            clean.clean();
            std::process::exit(i32::from(Exit::Temporary.code()));
        };
        if std::thread::Builder::new()
            .name("leave".into())
            .spawn(leave)
            .is_err()
        {
            std::process::abort();
        }
    }
}

impl Shared {
    /// A handle to this.
    pub fn handle(self: &Arc<Shared>) -> Handle {
        Handle(Arc::clone(self))
    }

    /// Tells a manager that watches that the service lives, for as long as it does.
    pub fn watch(&self, interval: Option<Duration>) -> Result<Option<Watching>> {
        let Some(interval) = interval else {
            return Ok(None);
        };
        let (notify, log, told) = (
            self.told.notify().clone(),
            self.log.clone(),
            self.told.clone(),
        );
        let say = move |say: Say<'_>| {
            let sent = match say {
                Say::Ping => notify.watchdog(),
                Say::Trigger(reason) => {
                    log.error(format_args!("{reason}: telling the manager"));
                    told.status(reason);
                    notify.trigger_watchdog()
                }
            };
            if let Err(error) = sent {
                log.warning(format_args!("unable to tell the manager: {error}"));
            }
        };
        // The manager has heard nothing for half its time by then, and it is of no use to let it wait for the other half.
        let patience = Patience::Trigger(interval / 2);
        Ok(Some(self.health.watch(interval, patience, say)?))
    }
}

fn phase(state: State) -> Phase {
    match state {
        State::Starting { .. } => Phase::Starting,
        State::Serving | State::Reloading { .. } => Phase::Running,
        State::Stopping { .. } | State::Leaving => Phase::Stopping,
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
