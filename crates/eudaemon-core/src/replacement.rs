//! One attempt to have another process of the program take the place of this one, as this one lives it.
//!
//! # States
//!
//! - **Starting**: the start of the program was ordered, and is not told yet. There may be a process already.
//! - **Handing**: the new process runs, and is being handed what this one has.
//! - **Waiting**: it has everything. It prepares itself, and says that it could serve, or that it cannot.
//! - **Telling**: it could serve. The manager is being told that it is the main process. From here on the new process
//!   is the service, and a stop is passed on to it instead of ending it.
//! - **Promoting**: the manager knows. The new process is being told that it is the service.
//! - **Ending**: it will not be. It is being killed, or ends by itself, and is waited for until it is gone: whoever asks again
//!   must not find a half of it.
//! - **Over**: the attempt has an outcome, and nothing more follows.
//!
//! There is no state in which both are the service. Until Promoting is over this one is, whatever the manager believes, and it
//! leaves only after the other one has been told. One that dies after the manager was told and before it was itself is
//! a failure like another: the manager is told that the main process is the old one.
//!
//! The time there is counts in Starting, Handing and Waiting. Telling has its own, for the manager may be slow. In Ending, one that closed its
//! line without a word has [`LAST_BREATH`] to end by itself, so that how it ended can be told.

#[cfg(test)]
mod tests;

use crate::time::Mono;
use alloc::vec::Vec;
use core::time::Duration;

/// How long a process that says nothing more may take to end by itself.
pub const LAST_BREATH: Duration = Duration::from_secs(1);

/// Where the attempt is. The module's documentation says what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The start was ordered.
    Starting {
        /// Nobody wants it any more.
        unwanted: bool,
    },
    /// It is being handed everything.
    Handing,
    /// It prepares itself.
    Waiting,
    /// The manager is being told.
    Telling,
    /// It is being told.
    Promoting,
    /// It is on its way out.
    Ending {
        /// Why it will not be the service.
        why: Why,
        /// When it is killed, if it has not been.
        kill: Option<Mono>,
    },
    /// That was it.
    Over(Outcome),
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The new process is the service.
    Replaced,
    /// This one is, as before; the other one is gone.
    Failed(Why),
}

/// Why the new process is not the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It could not be started.
    NotStarted,
    /// It ended.
    Exited,
    /// It said that it cannot serve, or does not understand.
    Declined,
    /// It closed its line without a word, and had to be ended.
    Silent,
    /// It was not ready in time.
    Late,
    /// What it was to be handed could not be handed, or what it said is not to be understood.
    Broken,
    /// The manager could not be told.
    NotTold,
    /// This process is to stop.
    Stopped,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The program runs.
    Started,
    /// It could not be started. There is no process.
    NotStarted,
    /// It has been handed everything.
    Handed,
    /// It could serve.
    Ready,
    /// It said that it cannot.
    Declined,
    /// It closed its line.
    Closed,
    /// The line failed, or something was on it that nobody understands.
    Broken,
    /// The process has ended, and is reaped.
    Exited,
    /// The manager has been told.
    Told,
    /// The manager could not be told.
    NotTold,
    /// The new process has been told.
    Promoted,
    /// Time passes.
    Tick,
    /// This process is to stop.
    Stop,
}

/// What is to be done, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Hand everything over: [`Event::Handed`] or [`Event::Broken`].
    Hand,
    /// Kill the new process: [`Event::Exited`].
    Kill,
    /// Tell the manager that the new process is the main one: [`Event::Told`] or [`Event::NotTold`].
    Tell,
    /// Tell the manager that this process is, after all.
    TakeBack,
    /// Tell the new process: [`Event::Promoted`] or [`Event::Closed`].
    Promote,
    /// The start may still be under way, and nobody waits for it any more: whatever came of it must end.
    Abandon,
}

/// One attempt.
#[derive(Clone, Debug)]
pub struct Replacement {
    state: State,
    deadline: Mono,
}

impl Replacement {
    /// One that is being started, and must be ready by then.
    #[must_use]
    pub const fn new(deadline: Mono) -> Replacement {
        Replacement {
            state: State::Starting { unwanted: false },
            deadline,
        }
    }

    /// Where it is.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// What came of it, once it is over.
    #[must_use]
    pub const fn outcome(&self) -> Option<Outcome> {
        match self.state {
            State::Over(outcome) => Some(outcome),
            State::Starting { .. }
            | State::Handing
            | State::Waiting
            | State::Telling
            | State::Promoting
            | State::Ending { .. } => None,
        }
    }

    /// When [`Event::Tick`] is wanted next.
    #[must_use]
    pub const fn deadline(&self) -> Option<Mono> {
        match self.state {
            State::Starting { .. } | State::Handing | State::Waiting => Some(self.deadline),
            State::Ending { kill, .. } => kill,
            State::Telling | State::Promoting | State::Over(_) => None,
        }
    }

    /// What follows from an event.
    pub fn step(&mut self, now: Mono, event: Event) -> Vec<Effect> {
        let (next, effects) = self.next(now, event);
        self.state = next;
        effects.into()
    }

    fn next(&self, now: Mono, event: Event) -> (State, &'static [Effect]) {
        match self.state {
            State::Starting { unwanted } => self.starting(now, unwanted, event),
            State::Handing | State::Waiting => self.preparing(now, event),
            State::Telling => telling(now, event),
            State::Promoting => promoting(now, event),
            State::Ending { why, kill } => ending(now, why, kill, event),
            state @ State::Over(_) => (state, &[]),
        }
    }

    fn starting(&self, now: Mono, unwanted: bool, event: Event) -> (State, &'static [Effect]) {
        match event {
            Event::Started if unwanted => killed(Why::Stopped),
            Event::Started => (State::Handing, &[Effect::Hand]),
            Event::NotStarted if unwanted => failed(Why::Stopped),
            Event::NotStarted => failed(Why::NotStarted),
            Event::Stop => (State::Starting { unwanted: true }, &[]),
            Event::Tick if now >= self.deadline => {
                let why = if unwanted { Why::Stopped } else { Why::Late };
                (State::Over(Outcome::Failed(why)), &[Effect::Abandon])
            }
            // There is nobody yet who could.
            Event::Handed
            | Event::Ready
            | Event::Declined
            | Event::Closed
            | Event::Broken
            | Event::Exited
            | Event::Told
            | Event::NotTold
            | Event::Promoted
            | Event::Tick => (self.state, &[]),
        }
    }

    fn preparing(&self, now: Mono, event: Event) -> (State, &'static [Effect]) {
        match event {
            Event::Handed => (State::Waiting, &[]),
            // It cannot know that it could, before it has everything.
            Event::Ready if self.state == State::Handing => killed(Why::Broken),
            Event::Ready => (State::Telling, &[Effect::Tell]),
            Event::Declined => killed(Why::Declined),
            Event::Closed => last_breath(now),
            Event::Broken => killed(Why::Broken),
            Event::Exited => failed(Why::Exited),
            Event::Stop => killed(Why::Stopped),
            Event::Tick if now >= self.deadline => killed(Why::Late),
            Event::Tick
            | Event::Started
            | Event::NotStarted
            | Event::Told
            | Event::NotTold
            | Event::Promoted => (self.state, &[]),
        }
    }
}

/// The manager may know already, and is told again.
fn telling(now: Mono, event: Event) -> (State, &'static [Effect]) {
    match event {
        Event::Told => (State::Promoting, &[Effect::Promote]),
        Event::NotTold => killed(Why::NotTold),
        Event::Exited => (
            State::Over(Outcome::Failed(Why::Exited)),
            &[Effect::TakeBack],
        ),
        Event::Declined => (ended_by(Why::Declined, None), TAKE_BACK_AND_KILL),
        Event::Broken | Event::Ready => (ended_by(Why::Broken, None), TAKE_BACK_AND_KILL),
        Event::Closed => {
            let kill = Some(now + LAST_BREATH);
            (ended_by(Why::Silent, kill), &[Effect::TakeBack])
        }
        // Too late: the service that is to stop is the other one.
        Event::Stop => (State::Telling, &[]),
        Event::Started | Event::NotStarted | Event::Handed | Event::Promoted | Event::Tick => {
            (State::Telling, &[])
        }
    }
}

fn promoting(now: Mono, event: Event) -> (State, &'static [Effect]) {
    match event {
        Event::Promoted => (State::Over(Outcome::Replaced), &[]),
        Event::Told
        | Event::NotTold
        | Event::Stop
        | Event::Started
        | Event::NotStarted
        | Event::Handed
        | Event::Tick => (State::Promoting, &[]),
        Event::Ready | Event::Declined | Event::Closed | Event::Broken | Event::Exited => {
            telling(now, event)
        }
    }
}

fn ending(now: Mono, why: Why, kill: Option<Mono>, event: Event) -> (State, &'static [Effect]) {
    let same = State::Ending { why, kill };
    match (event, kill) {
        (Event::Exited, Some(_)) => failed(Why::Exited),
        (Event::Exited, None) => failed(why),
        // Nobody waits for how it would end.
        (Event::Stop, Some(_)) => killed(Why::Stopped),
        (Event::Tick, Some(at)) if now >= at => killed(why),
        // What it says now is not asked for any more.
        (
            Event::Started
            | Event::NotStarted
            | Event::Handed
            | Event::Ready
            | Event::Declined
            | Event::Closed
            | Event::Broken
            | Event::Told
            | Event::NotTold
            | Event::Promoted
            | Event::Stop
            | Event::Tick,
            _,
        ) => (same, &[]),
    }
}

const TAKE_BACK_AND_KILL: &[Effect] = &[Effect::TakeBack, Effect::Kill];

const fn ended_by(why: Why, kill: Option<Mono>) -> State {
    State::Ending { why, kill }
}

fn killed(why: Why) -> (State, &'static [Effect]) {
    (ended_by(why, None), &[Effect::Kill])
}

fn failed(why: Why) -> (State, &'static [Effect]) {
    (State::Over(Outcome::Failed(why)), &[])
}

fn last_breath(now: Mono) -> (State, &'static [Effect]) {
    (ended_by(Why::Silent, Some(now + LAST_BREATH)), &[])
}
