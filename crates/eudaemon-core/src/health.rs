//! Whether a service is well: what it promised to show of itself, and by when; and when its manager hears that it lives.
//!
//! Two kinds of promises. A *lease* is renewed by the code that does the work: a loop that hangs does not renew. A *check* is
//! asked from outside the work, again and again, and answers for itself; one that hangs does not answer. Both are *stale* once their
//! last sign is older than they allow. Of these, the *critical* ones decide whether the process lives at all; all of them decide
//! whether it should be given work. The questions are those of Kubernetes, "Configure Liveness, Readiness and Startup
//! Probes": a process that is not live is to be killed, one that is not ready is to be left alone until it is.

mod watchdog;

#[cfg(test)]
mod tests;

pub use watchdog::{Act, Patience, Step, Watchdog};

use crate::time::Mono;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// Where in its life a service is. Only a running one is ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It has not said that it is ready.
    #[default]
    Starting,
    /// It serves.
    Running,
    /// It was told to stop and finishes what it has.
    Stopping,
}

/// What one of the watched said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told<'a> {
    /// A lease was renewed; there is no more to it.
    Beat,
    /// A check has not answered for the first time.
    Nothing,
    /// A check found all well.
    Well,
    /// A check found this.
    Ill(&'a str),
    /// Whoever held the lease panicked with it. What it was is not running any more, and will not be.
    Lost,
}

/// One of the watched, as it stands.
#[derive(Clone, Copy, Debug)]
pub struct Watched<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether the process counts as dead when this is stale.
    pub critical: bool,
    /// The last sign of life; for one that gave none yet, when it was set up.
    pub at: Mono,
    /// How old the last sign may become.
    pub within: Duration,
    /// What was said then.
    pub told: Told<'a>,
}

impl Watched<'_> {
    /// The last moment at which it is not stale.
    #[must_use]
    pub fn expiry(&self) -> Mono {
        self.at + self.within
    }
}

/// How one of the watched is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// Renewed in time, or answered well.
    Fine,
    /// A check that has not answered yet, and still may.
    Pending,
    /// No sign for this long, which is longer than allowed.
    Stale {
        /// Age of the last sign.
        age: Duration,
        /// What was allowed.
        within: Duration,
    },
    /// Its thread panicked.
    Lost,
    /// It answered that something is wrong.
    Failing {
        /// In the check's own words.
        reason: String,
    },
}

/// One line of a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name it was registered with.
    pub name: String,
    /// Whether the process counts as dead when this is stale.
    pub critical: bool,
    /// How it is.
    pub condition: Condition,
}

/// What is to be said of a service at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    phase: Phase,
    entries: Vec<Entry>,
}

impl Verdict {
    /// Judges the watched as they stand at `now`.
    pub fn of<'a>(
        now: Mono,
        phase: Phase,
        watched: impl IntoIterator<Item = Watched<'a>>,
    ) -> Verdict {
        let entries = watched.into_iter().map(|one| Entry {
            name: one.name.into(),
            critical: one.critical,
            condition: condition(now, &one),
        });
        Verdict {
            phase,
            entries: entries.collect(),
        }
    }

    /// Whether nothing critical is stale or lost. A process that is not live is to be killed and started again.
    #[must_use]
    pub fn live(&self) -> bool {
        !self.entries.iter().any(Entry::is_dead)
    }

    /// Whether the service runs and everything watched is fine. One that is not ready is to be given no new work.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.phase == Phase::Running
            && self
                .entries
                .iter()
                .all(|entry| entry.condition == Condition::Fine)
    }

    /// Where in its life the service is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Everything watched, in the order of registration.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Those without a sign for too long: name, age of the last sign.
    pub fn stale(&self) -> impl Iterator<Item = (&str, Duration)> {
        self.entries
            .iter()
            .filter_map(|entry| match entry.condition {
                Condition::Stale { age, .. } => Some((entry.name.as_str(), age)),
                Condition::Fine
                | Condition::Pending
                | Condition::Lost
                | Condition::Failing { .. } => None,
            })
    }

    /// Those that said what is wrong: name, reason.
    pub fn failing(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries
            .iter()
            .filter_map(|entry| match &entry.condition {
                Condition::Failing { reason } => Some((entry.name.as_str(), reason.as_str())),
                Condition::Fine
                | Condition::Pending
                | Condition::Lost
                | Condition::Stale { .. } => None,
            })
    }
}

impl Entry {
    /// Whether this alone makes the process dead. A critical check that *fails* does not: it answers, so the process lives.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        let is_gone = matches!(self.condition, Condition::Stale { .. } | Condition::Lost);
        self.critical && is_gone
    }
}

fn condition(now: Mono, one: &Watched<'_>) -> Condition {
    let age = now.since(one.at);
    if age > one.within && one.told != Told::Lost {
        let within = one.within;
        return Condition::Stale { age, within };
    }
    match one.told {
        Told::Beat | Told::Well => Condition::Fine,
        Told::Lost => Condition::Lost,
        Told::Nothing => Condition::Pending,
        Told::Ill(reason) => Condition::Failing {
            reason: reason.into(),
        },
    }
}

/// A length in one unit: `250ms`, `4s`.
struct Length(Duration);

impl fmt::Display for Length {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            0 => write!(to, "{}ms", self.0.as_millis()),
            secs => write!(to, "{secs}s"),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Fine => to.write_str("ok"),
            Condition::Pending => to.write_str("no answer yet"),
            Condition::Lost => to.write_str("its thread panicked"),
            Condition::Stale { age, within } => {
                write!(
                    to,
                    "silent for {}, allowed {}",
                    Length(*age),
                    Length(*within)
                )
            }
            Condition::Failing { reason } => to.write_str(reason),
        }
    }
}

/// What is wrong, in one line for `STATUS=`: `acceptor: silent for 12s, allowed 10s; db: connection refused`. Empty when the service runs
/// and all is fine.
impl fmt::Display for Verdict {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match self.phase {
            Phase::Starting => Some("starting"),
            Phase::Running => None,
            Phase::Stopping => Some("stopping"),
        };
        let mut first = true;
        let mut part = |to: &mut fmt::Formatter<'_>, words: fmt::Arguments<'_>| {
            if !core::mem::take(&mut first) {
                to.write_str("; ")?;
            }
            to.write_fmt(words)
        };
        if let Some(phase) = phase {
            part(to, format_args!("{phase}"))?;
        }
        for entry in &self.entries {
            if entry.condition != Condition::Fine {
                part(to, format_args!("{}: {}", entry.name, entry.condition))?;
            }
        }
        Ok(())
    }
}
