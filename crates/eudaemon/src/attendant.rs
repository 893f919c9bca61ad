//! The one thread of the library's own: it reads signals, keeps time, and tells the manager that the service lives.

use crate::shared::{COLLECTED, Shared};
use crate::{Context, Result};
use eudaemon_core::health::{Act, Patience, Watchdog};
use eudaemon_core::life::{Asker, Event};
use eudaemon_core::time::Mono;
use eudaemon_core::words::Signal;
use eudaemon_sys::clock::mono;
use eudaemon_sys::early;
use eudaemon_sys::poll::{Interest, Poll};
use eudaemon_sys::signal::Signals;
use std::sync::{Arc, Weak};

const SIGNALS: u64 = 0;
const WAKE: u64 = 1;

/// What the thread needs, made while there is no other.
pub(crate) struct Attendant {
    signals: Signals,
    poll: Poll,
    asked: Option<Signal>,
    watchdog: Option<Watchdog>,
}

impl Attendant {
    /// Collects signals from here on.
    pub fn prepare(watchdog: Option<std::time::Duration>) -> Result<Attendant> {
        let (signals, asked) = early::hand_over(COLLECTED).during(|| "unable to collect signals")?;
        let poll = Poll::new().during(|| "unable to wait for signals")?;
        poll.add(&signals, SIGNALS, Interest::Read)?;
        Ok(Attendant {
            signals,
            poll,
            asked,
            // A service that hangs is told on at once: by then the manager has heard nothing for half its time.
            watchdog: watchdog
                .map(|interval| Watchdog::new(interval, Patience::Trigger(interval / 2))),
        })
    }

    /// Starts the thread. It does not keep the service alive.
    pub fn start(self, shared: &Arc<Shared>) -> Result<()> {
        self.poll.add(&shared.wake, WAKE, Interest::Read)?;
        let shared = Arc::downgrade(shared);
        std::thread::Builder::new()
            .name("attendant".to_owned())
            .spawn(move || self.attend(&shared))
            .during(|| "unable to start the attendant")?;
        Ok(())
    }

    fn attend(mut self, shared: &Weak<Shared>) {
        if let (Some(signal), Some(shared)) = (self.asked, shared.upgrade()) {
            heard(&shared, signal);
        }
        let mut ready = Vec::new();
        loop {
            let Some(service) = shared.upgrade() else {
                return;
            };
            service.wake.clear();
            while let Some(signal) = self.signals.next() {
                heard(&service, signal);
            }
            let now = mono();
            if service.deadline().is_some_and(|deadline| deadline <= now) {
                service.happen(Event::Tick);
            }
            let until = [service.deadline(), self.tell(&service, now)];
            let until = until.into_iter().flatten().min();
            drop(service);
            ready.clear();
            // It fails only for what we did not do; then the next round asks again.
            let _ = self.poll.wait(now, until, &mut ready);
        }
    }

    /// Tells the manager that the service lives, if it does and it is time; when it is time again.
    fn tell(&mut self, shared: &Shared, now: Mono) -> Option<Mono> {
        let watchdog = self.watchdog.as_mut()?;
        let step = watchdog.step(now, shared.health.expiry());
        let notify = shared.told.notify();
        let sent = match step.act {
            None => Ok(()),
            Some(Act::Ping) => notify.watchdog().map(drop),
            Some(Act::Trigger) => {
                let reason = shared.health.verdict(now).to_string();
                shared.log.error(format_args!("{reason}: telling the manager"));
                shared.told.status(&reason);
                notify.trigger_watchdog().map(drop)
            }
        };
        if let Err(error) = sent {
            shared
                .log
                .warning(format_args!("unable to tell the manager: {error}"));
        }
        Some(step.next)
    }
}

fn heard(shared: &Shared, signal: Signal) {
    match signal {
        Signal::Term | Signal::Int => shared.happen(Event::Stop(Asker::Signal)),
        Signal::Hup => shared.happen(Event::Reload),
        Signal::Ttin => moved(shared, shared.log.level().up()),
        Signal::Ttou => moved(shared, shared.log.level().down()),
        Signal::Quit
        | Signal::Abrt
        | Signal::Kill
        | Signal::Usr1
        | Signal::Usr2
        | Signal::Pipe
        | Signal::Alrm
        | Signal::Chld
        | Signal::Cont
        | Signal::Stop
        | Signal::Tstp
        | Signal::Winch => {
            let is_wanted = shared.act(signal);
            match signal {
                // Nobody wants it: it does what it does in any program.
                Signal::Quit if !is_wanted => std::process::abort(),
                _ => {}
            }
        }
    }
}

fn moved(shared: &Shared, level: crate::logging::Level) {
    shared
        .log
        .notice(format_args!("the log level is {level} now"));
}
