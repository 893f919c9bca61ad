//! The library's own thread: it reads signals and keeps time.

use crate::replace;
use crate::shared::{COLLECTED, Shared};
use crate::{Context, Error, Result};
use eudaemon_core::life::{Asker, Event};
use eudaemon_core::words::Signal;
use eudaemon_sys::clock::mono;
use eudaemon_sys::early;
use eudaemon_sys::signal::Signals;
use std::sync::Arc;

/// What the thread needs, made while there is no other.
pub(crate) struct Attendant {
    signals: Signals,
    asked: Option<Signal>,
}

impl Attendant {
    /// Collects signals from here on.
    pub fn prepare() -> Result<Attendant> {
        let (signals, asked) =
            early::hand_over(COLLECTED).during(|| "unable to collect signals")?;
        Ok(Attendant { signals, asked })
    }

    /// Starts the thread, which ends with the process.
    pub fn start(self, service: &Arc<Shared>) -> Result<()> {
        let service = Arc::clone(service);
        std::thread::Builder::new()
            .name("eud-attendant".to_owned())
            .spawn(move || self.attend(&service))
            .during(|| "unable to start the attendant")?;
        Ok(())
    }

    fn attend(self, service: &Arc<Shared>) {
        if let Some(signal) = self.asked {
            heard(service, signal);
        }
        if early::hung_up() {
            heard(service, Signal::Hup);
        }
        loop {
            service.wake.clear();
            while let Some(signal) = self.signals.next() {
                heard(service, signal);
            }
            let now = mono();
            if service.deadline().is_some_and(|deadline| deadline <= now) {
                service.happen(Event::Tick);
            }
            let most = service.deadline().map(|deadline| deadline.since(now));
            // It fails only for what we did not do; then the next round asks again.
            let _ = self.signals.wait_beside(&service.wake, most);
        }
    }
}

fn heard(shared: &Arc<Shared>, signal: Signal) {
    match signal {
        Signal::Term | Signal::Int => shared.happen(Event::Stop(Asker::Signal)),
        Signal::Hup => {
            // Who moved a log file away says so by a HUP.
            if let Err(error) = shared.log.reopen() {
                shared.log.warning(Error::from(error));
            }
            shared.happen(Event::Reload);
        }
        // The log has its outcome.
        Signal::Usr2 if shared.replacing.is_offered => replace::ask(shared, Box::new(drop)),
        Signal::Ttin => moved(shared, shared.log.levels().more()),
        Signal::Ttou => moved(shared, shared.log.levels().less()),
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
            if signal == Signal::Quit && !is_wanted {
                // It does what it does in any program: it leaves a core.
                std::process::abort();
            }
        }
    }
}

fn moved(shared: &Shared, level: crate::logging::Level) {
    shared
        .log
        .notice(format_args!("the log level is {level} now"));
}
