//! The life of a daemon from the moment it may run: when it is ready, reloads, stops, and what a second signal means.
//!
//! # States
//!
//! - **Starting**: privileges are given up, nothing was said yet. A reload that is asked for now is owed until it is ready.
//! - **Serving**: ready was said. Nothing is under way.
//! - **Reloading**: reloading was said and the service is at it. One more reload may be owed; ten more are one.
//! - **Stopping**: stopping was said, the service was told, and it has until the deadline. Nothing but the end follows: a
//!   reload is refused, and ready is not said any more (systemd would ignore it: from v259 on, stopping is final).
//! - **Leaving**: the end was ordered without waiting for the service: a second signal that is no echo of the first, or the
//!   deadline. A third signal, no echo either, is for a process that cannot even leave: it aborts.
//!
//! There is no way back from Stopping or Leaving. A service whose `run` returns is at its end in every state, and the end
//! is not this machine's business.

use crate::time::Mono;
use alloc::vec::Vec;
use core::time::Duration;

/// A second signal that comes sooner than this after the first is the same one, heard twice: `timeout(1)` sends one to the
/// program and one to its process group, and so do other wrappers. Nobody types that fast.
pub const ECHO: Duration = Duration::from_millis(200);

/// Where it is. The module's documentation says what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Before ready.
    Starting {
        /// A reload is owed.
        owed: bool,
    },
    /// Ready.
    Serving,
    /// At a reload.
    Reloading {
        /// And another is owed.
        owed: bool,
    },
    /// At its orderly end.
    Stopping {
        /// Since then.
        since: Mono,
        /// Until then.
        deadline: Mono,
    },
    /// At its disorderly end.
    Leaving {
        /// Since then.
        since: Mono,
    },
}

/// Who wants it to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A signal: asked again, it means now.
    Signal,
    /// The control socket, the service itself, a failed worker: asked again, it means the same.
    Request,
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The service says that it serves.
    Ready,
    /// It is to stop.
    Stop(Asker),
    /// It is to reload.
    Reload,
    /// The reload is over, well or not.
    Reloaded,
    /// Time passes.
    Tick,
}

/// What is to be done about it, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Tell everyone who waits that it is ready, or that a reload is over.
    SayReady,
    /// Tell the manager that a reload begins.
    SayReloading,
    /// Tell the manager that it stops.
    SayStopping,
    /// Have the service reload.
    Reload,
    /// Have the service stop.
    Stop,
    /// Whoever asked for a reload is told that there will be none.
    RefuseReload,
    /// End the process, orderly as far as that needs nobody's help.
    Leave(Why),
    /// End the process on the spot.
    Abort,
}

/// Why it leaves without having been stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A second signal.
    Signal,
    /// The orderly stop took too long.
    Deadline,
}

/// One daemon.
#[derive(Clone, Debug)]
pub struct Life {
    state: State,
    patience: Duration,
}

impl Life {
    /// One that starts, and may take this long to stop.
    #[must_use]
    pub const fn new(patience: Duration) -> Life {
        Life {
            state: State::Starting { owed: false },
            patience,
        }
    }

    /// Where it is.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// When [`Event::Tick`] is wanted next.
    #[must_use]
    pub const fn deadline(&self) -> Option<Mono> {
        match self.state {
            State::Stopping { deadline, .. } => Some(deadline),
            State::Starting { .. }
            | State::Serving
            | State::Reloading { .. }
            | State::Leaving { .. } => None,
        }
    }

    /// What follows from an event.
    pub fn step(&mut self, now: Mono, event: Event) -> Vec<Effect> {
        let (next, effects) = self.next(now, event);
        self.state = next;
        effects.into()
    }

    fn next(&self, now: Mono, event: Event) -> (State, &'static [Effect]) {
        use Effect::{
            Abort, Leave, RefuseReload, Reload, SayReady, SayReloading, SayStopping, Stop,
        };
        const BEGIN: &[Effect] = &[SayReloading, Reload];
        let stopping = State::Stopping {
            since: now,
            deadline: now + self.patience,
        };
        let leaving = State::Leaving { since: now };
        match (self.state, event) {
            (State::Starting { owed: false }, Event::Ready) => (State::Serving, &[SayReady]),
            (State::Starting { owed: true }, Event::Ready) => (
                State::Reloading { owed: false },
                &[SayReady, SayReloading, Reload],
            ),
            (State::Starting { .. }, Event::Reload) => (State::Starting { owed: true }, &[]),
            (State::Serving, Event::Reload) => (State::Reloading { owed: false }, BEGIN),
            (State::Reloading { .. }, Event::Reload) => (State::Reloading { owed: true }, &[]),
            (State::Reloading { owed: false }, Event::Reloaded) => (State::Serving, &[SayReady]),
            (State::Reloading { owed: true }, Event::Reloaded) => (
                State::Reloading { owed: false },
                &[SayReady, SayReloading, Reload],
            ),
            (
                State::Starting { .. } | State::Serving | State::Reloading { .. },
                Event::Stop(Asker::Signal | Asker::Request),
            ) => (stopping, &[SayStopping, Stop]),

            (State::Stopping { since, .. }, Event::Stop(Asker::Signal))
                if now.since(since) >= ECHO =>
            {
                (leaving, &[Leave(Why::Signal)])
            }
            (State::Stopping { deadline, .. }, Event::Tick) if now >= deadline => {
                (leaving, &[Leave(Why::Deadline)])
            }
            (state @ State::Leaving { since }, Event::Stop(Asker::Signal))
                if now.since(since) >= ECHO =>
            {
                (state, &[Abort])
            }
            (state @ (State::Stopping { .. } | State::Leaving { .. }), Event::Reload) => {
                (state, &[RefuseReload])
            }

            // Said twice, or too late.
            (
                state @ (State::Serving
                | State::Reloading { .. }
                | State::Stopping { .. }
                | State::Leaving { .. }),
                Event::Ready,
            )
            | (
                state @ (State::Starting { .. }
                | State::Serving
                | State::Stopping { .. }
                | State::Leaving { .. }),
                Event::Reloaded,
            )
            | (
                state @ (State::Stopping { .. } | State::Leaving { .. }),
                Event::Stop(Asker::Signal | Asker::Request),
            )
            | (
                state @ (State::Starting { .. }
                | State::Serving
                | State::Reloading { .. }
                | State::Stopping { .. }
                | State::Leaving { .. }),
                Event::Tick,
            ) => (state, &[]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;

    /// A script: `MILLISECONDS event -> effects`, with a patience of one second.
    fn check(script: &str) {
        let mut life = Life::new(Duration::from_secs(1));
        for line in script
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
        {
            let (left, right) = line.split_once("->").expect("an arrow");
            let (at, event) = left.trim().split_once(' ').expect("a time and an event");
            let now = Mono(0) + Duration::from_millis(at.parse().expect("milliseconds"));
            let event = match event.trim() {
                "ready" => Event::Ready,
                "term" => Event::Stop(Asker::Signal),
                "request" => Event::Stop(Asker::Request),
                "hup" => Event::Reload,
                "reloaded" => Event::Reloaded,
                "tick" => Event::Tick,
                other => panic!("{other}?"),
            };
            let done: Vec<String> = life
                .step(now, event)
                .into_iter()
                .map(|effect| match effect {
                    Effect::SayReady => "READY".into(),
                    Effect::SayReloading => "RELOADING".into(),
                    Effect::SayStopping => "STOPPING".into(),
                    Effect::Reload => "reload".into(),
                    Effect::Stop => "stop".into(),
                    Effect::RefuseReload => "refuse".into(),
                    Effect::Leave(why) => format!("leave:{why:?}"),
                    Effect::Abort => "abort".into(),
                })
                .collect();
            assert_eq!(done.join(" "), right.trim(), "{line}");
        }
    }

    #[test]
    fn an_ordinary_life() {
        check(
            "0 ready -> READY
             1 ready ->
             5 hup -> RELOADING reload
             6 reloaded -> READY
             7 reloaded ->
             9 term -> STOPPING stop
             1008 tick ->
             1009 tick -> leave:Deadline",
        );
    }

    #[test]
    fn ten_reloads_at_once_are_two() {
        check(
            "0 hup ->
             0 hup ->
             1 ready -> READY RELOADING reload
             2 hup ->
             2 hup ->
             2 hup ->
             3 reloaded -> READY RELOADING reload
             4 reloaded -> READY",
        );
    }

    #[test]
    fn a_second_signal_means_now_and_a_third_means_it() {
        check(
            "0 ready -> READY
             1 term -> STOPPING stop
             2 request ->
             200 term ->
             201 term -> leave:Signal
             204 hup -> refuse
             400 term ->
             401 term -> abort
             402 term -> abort",
        );
        check(
            "0 request -> STOPPING stop
             1 request ->
             202 term -> leave:Signal",
        );
    }

    #[test]
    fn stopping_is_final() {
        check(
            "0 term -> STOPPING stop
             1 ready ->
             2 hup -> refuse
             3 reloaded ->",
        );
        check(
            "0 ready -> READY
             1 hup -> RELOADING reload
             2 term -> STOPPING stop
             3 reloaded ->",
        );
    }
}
