//! The library's own thread: it reads signals and keeps time.

use crate::shared::{COLLECTED, Shared};
use crate::{Context, Result};
use eudaemon_core::life::{Asker, Event};
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
}

impl Attendant {
    /// Collects signals from here on.
    pub fn prepare() -> Result<Attendant> {
        let (signals, asked) = early::hand_over(COLLECTED).during(|| "unable to collect signals")?;
        let poll = Poll::new().during(|| "unable to wait for signals")?;
        poll.add(&signals, SIGNALS, Interest::Read)?;
        Ok(Attendant {
            signals,
            poll,
            asked,
        })
    }

    /// Starts the thread. It does not keep the service alive.
    pub fn start(self, shared: &Arc<Shared>) -> Result<()> {
        self.poll.add(&shared.wake, WAKE, Interest::Read)?;
        let shared = Arc::downgrade(shared);
        std::thread::Builder::new()
            .name("eud-attendant".to_owned())
            .spawn(move || self.attend(&shared))
            .during(|| "unable to start the attendant")?;
        Ok(())
    }

    fn attend(self, shared: &Weak<Shared>) {
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
            let until = service.deadline();
            drop(service);
            ready.clear();
            // It fails only for what we did not do; then the next round asks again.
            let _ = self.poll.wait(now, until, &mut ready);
        }
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
