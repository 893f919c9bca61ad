//! What every handle of a running service stands on.

use crate::fdstore::FdStore;
use crate::handover;
use crate::health::Tasks;
use crate::health::{Health, Patience, Phase, Say, Watching};
use crate::inbox::{Inbox, Letter};
use crate::metrics::Registry;
use crate::promotion::Promotion;
use crate::replace::Replacing;
use crate::running::{Handle, panicked};
use crate::sockets::Sockets;
use crate::start::Ways;
use crate::told::{News, Place, Told};
use crate::{Activation, Error, Exit, Result, StopSignal};
use crate::{chroot::Root, logging::Log, options::Options};
use eudaemon_core::handover::Given;
use eudaemon_core::life::{Effect, Event, Life, State, Why};
use eudaemon_core::time::Mono;
use eudaemon_core::words::Signal;
use eudaemon_sys::passing::Channel;
use eudaemon_sys::wake::Wake;
use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    /// Changed and read with `life` held.
    is_over: AtomicBool,
    pub told: Arc<Told>,
    pub stop: StopSignal,
    pub inbox: Inbox,
    pub reloads: Inbox,
    pub health: Health,
    pub log: Log,
    pub sockets: Sockets,
    pub store: FdStore,
    pub root: Root,
    pub activation: Activation,
    pub options: Options,
    pub metrics: Registry,
    pub tasks: Tasks,
    pub since: Instant,
    /// Whether the service said that it reloads.
    reloads_said: bool,
    /// Wakes the attendant: there may be a new deadline.
    pub wake: Wake,
    acts: Mutex<Vec<(Signal, Act)>>,
    failure: Mutex<Option<Error>>,
    asked: Mutex<Reloads>,
    /// What is started once the service has said that it is ready; `None` from then on.
    later: Mutex<Option<Vec<Later>>>,
    /// How many processes of the daemon there were before this one.
    pub generation: u32,
    /// In a process that takes the place of another.
    pub promotion: Option<Promotion>,
    /// The ways in from outside, once they are served.
    pub ways: Mutex<Option<Arc<Ways>>>,
    pub watching: Mutex<Option<Watching>>,
    pub replacing: Replacing,
}

/// Who waits for a reload, and for the how-manieth.
#[derive(Default)]
struct Reloads {
    /// The status before a reload failed.
    before: Option<String>,
    ended: u64,
    waiting: Vec<(u64, Ear)>,
}

/// Starts something that nobody needs before.
pub(crate) type Later = Box<dyn FnOnce(&Handle) -> Result<()> + Send>;

/// How the status of a failed reload begins.
const RELOAD_FAILED: &str = "reload failed: ";

/// Why there will be no reload.
const STOPPING: &str = "the service is stopping";

/// Is told how a reload ended.
type Ear = Box<dyn FnOnce(Result<(), String>) + Send>;

/// What a running service is made of.
pub(crate) struct Parts {
    pub told: Told,
    pub health: Health,
    pub log: Log,
    pub sockets: Sockets,
    pub store: FdStore,
    pub root: Root,
    pub activation: Activation,
    pub options: Options,
    pub reloads: bool,
    pub generation: u32,
    pub promotion: Option<Promotion>,
    pub replacing: Replacing,
}

impl Shared {
    pub fn new(parts: Parts) -> Result<Shared> {
        Ok(Shared {
            life: Mutex::new(Life::new(parts.options.stop_timeout)),
            is_over: AtomicBool::new(false),
            told: Arc::new(parts.told),
            stop: StopSignal::new()?,
            inbox: Inbox::default(),
            reloads: Inbox::default(),
            health: parts.health,
            log: parts.log,
            sockets: parts.sockets,
            store: parts.store,
            root: parts.root,
            activation: parts.activation,
            options: parts.options,
            metrics: Registry::new(),
            tasks: Tasks::new(),
            since: Instant::now(),
            reloads_said: parts.reloads,
            wake: Wake::new()?,
            acts: Mutex::new(Vec::new()),
            failure: Mutex::new(None),
            asked: Mutex::new(Reloads::default()),
            later: Mutex::new(Some(Vec::new())),
            generation: parts.generation,
            promotion: parts.promotion,
            ways: Mutex::new(None),
            watching: Mutex::new(None),
            replacing: parts.replacing,
        })
    }

    /// Something happened: what follows for the service is done when this returns, and told soon. Never waits for anybody
    /// outside, so that the attendant hears the next signal.
    pub fn happen(&self, event: Event) {
        if let Some(place) = self.step(&mut held(&self.life), event) {
            self.told.tell_soon(place);
        }
    }

    /// As [`Shared::happen`], and returns when it was told.
    pub fn happen_and_tell(&self, event: Event) {
        let place = self.step(&mut held(&self.life), event);
        if let Some(place) = place {
            self.told.tell(place);
        }
    }

    /// Does what follows from an event before anything else can happen, and puts in line what is to be told: the place of the
    /// last of it.
    fn step(&self, life: &mut Life, event: Event) -> Option<Place> {
        if event == Event::Tick && self.is_over.load(Ordering::Relaxed) {
            return None;
        }
        let now = eudaemon_sys::clock::mono();
        let mut place = None;
        let mut effects = VecDeque::from(life.step(now, event));
        // Before anybody is told, for who is told may ask at once.
        self.health.enter(phase(life.state()));
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::SayReady => place = Some(self.told.put(News::Ready)),
                Effect::SayReloading => place = Some(self.told.put(News::Reloading(now))),
                Effect::SayStopping => place = Some(self.told.put(News::Stopping)),
                Effect::Reload if !self.put_reload() => {
                    self.log
                        .notice(format_args!("this service does not reload"));
                    effects.extend(life.step(now, Event::Reloaded));
                }
                Effect::Reload => {}
                Effect::Stop => self.stop(),
                Effect::RefuseReload => self.refused(STOPPING),
                Effect::GiveUpReplacement => self.replacing.give_up(),
                // Whoever brings these about sees to them.
                Effect::BeginReplacement
                | Effect::RefuseReplacement
                | Effect::PassReload
                | Effect::PassStop => {}
                Effect::Leave(why) => self.leave(why),
                // The process could not leave by itself, so nothing in it can be relied on.
                Effect::Abort => std::process::abort(),
            }
        }
        self.wake.wake();
        place
    }

    /// Where it is in its life, in a word.
    pub fn state(&self) -> &'static str {
        word(held(&self.life).state())
    }

    /// A replacement is about to begin, and `wake` wakes who carries it out. The word for what the service is at, if there can be none.
    pub fn begin_replacement(&self, wake: &Arc<Wake>) -> Result<(), &'static str> {
        let mut life = held(&self.life);
        let doing = word(life.state());
        let effects = life.step(eudaemon_sys::clock::mono(), Event::Replace);
        if effects != [Effect::BeginReplacement] {
            return Err(doing);
        }
        // Before anybody can ask for a stop.
        self.replacing.begins(wake);
        Ok(())
    }

    /// The process at the other end of this line is the service now, and this one hears that it is to stop. What it was asked
    /// meanwhile is passed on.
    pub fn replaced(&self, line: &Arc<Channel>) {
        let effects = held(&self.life).step(eudaemon_sys::clock::mono(), Event::Replaced);
        for given in effects.iter().filter_map(passed) {
            // It is dead, or it hears it.
            let _ = handover::give(line, &given, &[]);
        }
        // Before the service hears of it, and says something in its turn.
        self.hand_on(Arc::clone(line));
        self.health.enter(Phase::Stopping);
        if effects.contains(&Effect::PassReload) {
            // It happens elsewhere, and whoever waits is connected there in a moment.
            self.refused("another process serves now and was told to reload; ask again to hear how that ends");
        }
        if effects.contains(&Effect::Stop) {
            self.stop();
        }
        self.wake.wake();
    }

    /// Has the service stop.
    fn stop(&self) {
        // Before the service can hear of it and close its sockets.
        self.store.stop();
        self.stop.set(Instant::now() + self.options.stop_timeout);
        self.inbox.put(Letter::Stop);
        self.reloads.put(Letter::Stop);
        self.refused(STOPPING);
    }

    /// When time itself is an event.
    pub fn deadline(&self) -> Option<Mono> {
        let life = held(&self.life);
        let is_over = self.is_over.load(Ordering::Relaxed);
        life.deadline().filter(|_| !is_over)
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

    /// Keeps this until the service is ready; gives it back if it is.
    pub fn at_ready(&self, later: Later) -> Option<Later> {
        match &mut *held(&self.later) {
            None => Some(later),
            Some(kept) => {
                kept.push(later);
                None
            }
        }
    }

    /// The service has said so, to whoever wants to know.
    pub fn is_said_ready(&self, handle: &Handle) {
        let kept = held(&self.later).take();
        for later in kept.into_iter().flatten() {
            if let Err(error) = later(handle) {
                self.fail(error);
            }
        }
    }

    /// There will be no reload any more.
    fn refused(&self, why: &str) {
        let waiting = std::mem::take(&mut held(&self.asked).waiting);
        for (_, ear) in waiting {
            ear(Err(why.to_owned()));
        }
    }

    pub fn reloaded(&self, how: Result<(), String>) {
        if let Err(why) = &how {
            self.log.error(format_args!("reload failed: {why}"));
        }
        // One moment for both: who asks in between would wait for one reload too many.
        let mut life = held(&self.life);
        let mut asked = held(&self.asked);
        let status = match &how {
            Err(why) => {
                asked.before.get_or_insert_with(|| self.told.last_status());
                Some(format!("{RELOAD_FAILED}{why}"))
            }
            // What it was before a failure counts again, if the service has not said something else since.
            Ok(()) => {
                let before = asked.before.take();
                before.filter(|_| self.told.last_status().starts_with(RELOAD_FAILED))
            }
        };
        if let Some(status) = status {
            // Told below.
            let _ = self.told.put(News::Status(status));
        }
        asked.ended += 1;
        let ended = asked.ended;
        let (done, waiting) = std::mem::take(&mut asked.waiting)
            .into_iter()
            .partition(|(wanted, _)| *wanted <= ended);
        asked.waiting = waiting;
        drop(asked);
        self.step(&mut life, Event::Reloaded);
        drop(life);
        // The manager first: who asked may ask it next.
        self.told.tell_all();
        for (_, ear) in done {
            ear(how.clone());
        }
    }

    /// Asks for a reload; `ear` is told how one ended that began after this call.
    pub fn ask_reload(&self, ear: Ear) {
        if !self.can_reload() {
            return ear(Err("this service does not reload".to_owned()));
        }
        let mut life = held(&self.life);
        // One under way may have read the old configuration: the one that is meant is the one after it.
        let under_way = u64::from(matches!(life.state(), State::Reloading { .. }));
        let mut asked = held(&self.asked);
        let wanted = asked.ended + 1 + under_way;
        asked.waiting.push((wanted, ear));
        drop(asked);
        let place = self.step(&mut life, Event::Reload);
        drop(life);
        if let Some(place) = place {
            self.told.tell_soon(place);
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
        let is_ours = signal == Signal::Usr2 && self.replacing.is_offered;
        if is_ours || !FREE.contains(&signal) {
            return Err(Error::unsupported(format!(
                "unable to hand {} to the service: the library keeps it, or does not collect it",
                signal.name()
            )));
        }
        held(&self.acts).push((signal, act));
        Ok(())
    }

    /// Acts on a signal that is not the library's; whether anybody had asked for it. A panic in what is called ends the
    /// service: the thread that reads signals goes on, or nobody could end it any more.
    pub fn act(&self, signal: Signal) -> bool {
        // Not held meanwhile: what is called may ask for another signal.
        let mut acts = std::mem::take(&mut *held(&self.acts));
        let mut any = false;
        for (_, act) in acts.iter_mut().filter(|(asked, _)| *asked == signal) {
            any = true;
            if let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)) {
                self.fail(panicked(&*panic).during(signal.name()));
            }
        }
        let mut slot = held(&self.acts);
        acts.append(&mut slot);
        *slot = acts;
        any
    }

    /// The service has ended well, and the deadline counts no more. Does not return if it was said already that the process
    /// leaves without it.
    pub fn end(&self) {
        let life = held(&self.life);
        if !matches!(life.state(), State::Leaving { .. }) {
            self.is_over.store(true, Ordering::Relaxed);
            return;
        }
        drop(life);
        loop {
            std::thread::park();
        }
    }

    /// Ends the process without the service, and without waiting for anybody: not for who hangs with a lock, nor for a
    /// manager or a log that nobody reads. In a thread of its own, so that the attendant still hears a third signal.
    fn leave(&self, why: Why) {
        /// How long others have to hear why.
        const WORDS: Duration = Duration::from_secs(2);
        let (words, exit) = match why {
            Why::Signal => (
                "asked to stop a second time: leaving at once".to_owned(),
                Exit::Temporary,
            ),
            Why::Deadline => (
                format!("not stopped after {:?}: leaving", self.options.stop_timeout),
                Exit::Temporary,
            ),
            // The service goes on elsewhere.
            Why::Drained => (
                "replaced, and somebody is still connected: leaving".to_owned(),
                Exit::Done,
            ),
        };
        let (log, told) = (self.log.clone(), Arc::clone(&self.told));
        let tell = move || {
            if exit == Exit::Done {
                log.notice(format_args!("{words}"));
            } else {
                log.error(format_args!("{words}"));
            }
            told.status(words);
        };
        let clean = self.told.cleaner();
        let leave = move || {
            let (said, hear) = std::sync::mpsc::channel::<()>();
            let teller = std::thread::Builder::new().spawn(move || {
                tell();
                drop(said);
            });
            if teller.is_ok() {
                let _ = hear.recv_timeout(WORDS);
            }
            clean.clean();
            // Not `exit(3)`: what is registered with `atexit(3)` would run beside threads that still work, and may wait for them.
            eudaemon_sys::detach::leave(exit.code());
        };
        let thread = std::thread::Builder::new().name("leave".into());
        if thread.spawn(leave).is_err() {
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
    pub fn watch(&self, interval: Option<Duration>) -> Result<()> {
        let Some(interval) = interval else {
            return Ok(());
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
                    told.status(reason.to_owned());
                    notify.trigger_watchdog()
                }
            };
            if let Err(error) = sent {
                log.warning(format_args!("unable to tell the manager: {error}"));
            }
        };
        // A lease that ran out is no slip of the scheduler after that, and the manager need not wait for the rest of its time.
        let patience = Patience::Trigger(interval / 4);
        *held(&self.watching) = Some(self.health.watch(interval, patience, say)?);
        Ok(())
    }
}

fn phase(state: State) -> Phase {
    match state {
        State::Starting { .. } => Phase::Starting,
        State::Serving | State::Reloading { .. } | State::Replacing { .. } => Phase::Running,
        State::Draining { .. } | State::Stopping { .. } | State::Leaving { .. } => Phase::Stopping,
    }
}

fn word(state: State) -> &'static str {
    match state {
        State::Starting { .. } => "starting",
        State::Serving => "ready",
        State::Reloading { .. } => "reloading",
        State::Replacing { .. } => "replacing",
        State::Draining { .. } => "draining",
        State::Stopping { .. } | State::Leaving { .. } => "stopping",
    }
}

/// What is passed on to the process that is the service now.
fn passed(effect: &Effect) -> Option<Given> {
    match effect {
        Effect::PassReload => Some(Given::Reload),
        Effect::PassStop => Some(Given::Stop),
        Effect::SayReady
        | Effect::SayReloading
        | Effect::SayStopping
        | Effect::Reload
        | Effect::Stop
        | Effect::RefuseReload
        | Effect::BeginReplacement
        | Effect::RefuseReplacement
        | Effect::GiveUpReplacement
        | Effect::Leave(_)
        | Effect::Abort => None,
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
