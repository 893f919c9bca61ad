//! The supervisor, and three that are wrong on purpose: an oracle that does not notice them is no oracle.

use core::time::Duration;
use eudaemon_core::control::{Command, Control};
use eudaemon_core::status::Wanted;
use eudaemon_core::supervise::{Effect, Event, Now, Role, START_GAP, Supervisor};
use eudaemon_core::time::Mono;

/// How a supervisor takes its steps.
pub trait Mind {
    /// Decides; see [`Supervisor::step`].
    fn step(supervisor: &mut Supervisor, now: Now, event: Event, out: &mut Vec<Effect>);
}

/// The real one.
#[derive(Debug)]
pub struct Sound;
impl Mind for Sound {
    fn step(supervisor: &mut Supervisor, now: Now, event: Event, out: &mut Vec<Effect>) {
        supervisor.step(now, event, out);
    }
}

/// Believes that each start was a second ago, and so knows no gap.
#[derive(Debug)]
pub struct Hasty;
impl Mind for Hasty {
    fn step(supervisor: &mut Supervisor, now: Now, event: Event, out: &mut Vec<Effect>) {
        let mut then = now;
        if let Event::Spawned(Role::Main, _) = event {
            then.mono = Mono(earlier(now.mono, START_GAP));
        }
        supervisor.step(then, event, out);
    }
}

/// Does not listen to every third end.
#[derive(Debug)]
pub struct Forgetful;
impl Mind for Forgetful {
    fn step(supervisor: &mut Supervisor, now: Now, event: Event, out: &mut Vec<Effect>) {
        if matches!(event, Event::Exited(Role::Main, _)) && supervisor.starts() % 3 == 2 {
            return;
        }
        supervisor.step(now, event, out);
    }
}

/// Never restarts what ended by itself.
#[derive(Debug)]
pub struct Resigned;
impl Mind for Resigned {
    fn step(supervisor: &mut Supervisor, now: Now, event: Event, out: &mut Vec<Effect>) {
        if matches!(event, Event::Exited(Role::Main, _)) && supervisor.wanted() == Wanted::Up {
            let quietly = &mut Vec::new();
            supervisor.step(
                now,
                Event::Command(Command::plain(Control::NoRestart)),
                quietly,
            );
        }
        supervisor.step(now, event, out);
    }
}

fn earlier(at: Mono, by: Duration) -> u64 {
    at.0.saturating_sub(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX))
}
