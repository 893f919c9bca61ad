//! When a manager hears that the service lives: often enough while it does, and never when it does not.

use crate::time::Mono;
use core::time::Duration;

/// Below this the half of an interval leaves too little for a late wake.
const SHORT: Duration = Duration::from_millis(200);
/// A silent lease is looked at again this many times in the length of a ping, so that it is not late when it is renewed.
const LOOKS: u32 = 4;

/// What happens when a critical lease has run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// The manager is told to act when it has been out for this long: no waiting until its own time is up.
    /// Source: `sd_notify(3)`, `WATCHDOG=trigger`.
    Trigger(Duration),
    /// Nothing is said any more, and the manager's own time decides.
    Silence,
}

/// What is to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// `WATCHDOG=1`.
    Ping,
    /// `WATCHDOG=trigger`, with the reason as `STATUS=`.
    Trigger,
}

/// What to do, and when to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// To be sent now.
    pub act: Option<Act>,
    /// The next call is due then. A call before that is welcome and changes nothing.
    pub next: Mono,
}

/// Pings for all critical leases together: one that ran out stops them all.
///
/// A process that was stopped as a whole, by a debugger or SIGSTOP, could renew nothing. When the watchdog itself is called far
/// too late, leases that were good when the silence began stay good for the length of one ping more.
///
/// Time is `CLOCK_MONOTONIC`, which does not count while the machine sleeps; so is the manager's. Source: systemd
/// `src/core/service.c`, `service_handle_watchdog`.
#[derive(Clone, Debug)]
pub struct Watchdog {
    every: Duration,
    patience: Patience,
    pinged: Option<Mono>,
    /// When the leases were first seen run out.
    out: Option<Mono>,
    triggered: bool,
    next: Option<Mono>,
    mercy: Option<Mercy>,
}

/// Leases good at `from` count as good until `until`.
#[derive(Clone, Copy, Debug)]
struct Mercy {
    from: Mono,
    until: Mono,
}

impl Watchdog {
    /// One for a manager that acts after `interval` of silence.
    ///
    /// It pings each half of it, as `sd_watchdog_enabled(3)` recommends; each third, if it is shorter than 200 ms.
    #[must_use]
    pub fn new(interval: Duration, patience: Patience) -> Watchdog {
        let share = if interval < SHORT { 3 } else { 2 };
        Watchdog {
            every: interval / share,
            patience,
            pinged: None,
            out: None,
            triggered: false,
            next: None,
            mercy: None,
        }
    }

    /// The time between two pings.
    #[must_use]
    pub fn every(&self) -> Duration {
        self.every
    }

    /// What is due at `now`. `expiry` is when the first critical lease runs out if nothing is renewed; `None` when there is none,
    /// and then the process lives as long as it can ask.
    pub fn step(&mut self, now: Mono, expiry: Option<Mono>) -> Step {
        if let Some(from) = self.next
            && now.since(from) > self.every
        {
            let until = now + self.every;
            self.mercy = Some(Mercy { from, until });
        }
        if self.mercy.is_some_and(|mercy| mercy.until < now) {
            self.mercy = None;
        }
        let good_at = self.mercy.map_or(now, |mercy| mercy.from);
        let step = if expiry.is_none_or(|expiry| expiry >= good_at) {
            self.fresh(now, expiry)
        } else {
            self.silent(now)
        };
        self.next = Some(step.next);
        step
    }

    fn fresh(&mut self, now: Mono, expiry: Option<Mono>) -> Step {
        let recovered = self.out.take().is_some();
        self.triggered = false;
        let is_due = |at: Mono| now.since(at) >= self.every;
        let act = (recovered || self.pinged.is_none_or(is_due)).then_some(Act::Ping);
        if act.is_some() {
            self.pinged = Some(now);
        }
        let ping = self.pinged.map_or(now, |at| at + self.every);
        // Just behind the moment at which something runs out: that is to be known at once.
        let edge = self.mercy.map_or(expiry, |mercy| Some(mercy.until));
        let edge = edge.map(|edge| edge + Duration::from_nanos(1));
        let next = edge
            .filter(|&edge| edge > now)
            .map_or(ping, |edge| edge.min(ping));
        Step { act, next }
    }

    fn silent(&mut self, now: Mono) -> Step {
        let since = *self.out.get_or_insert(now);
        let look = now + self.every / LOOKS;
        let due = match self.patience {
            Patience::Trigger(patience) if !self.triggered => since + patience,
            Patience::Trigger(_) | Patience::Silence => {
                return Step {
                    act: None,
                    next: look,
                };
            }
        };
        if now < due {
            let next = due.min(look);
            return Step { act: None, next };
        }
        self.triggered = true;
        Step {
            act: Some(Act::Trigger),
            next: look,
        }
    }
}
