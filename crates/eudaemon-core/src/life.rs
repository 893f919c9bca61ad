//! The life of a daemon from the moment it may run: when it is ready, reloads, stops, and what a second signal means.
//!
//! # States
//!
//! - **Starting**: privileges are given up, nothing was said yet. A reload that is asked for now is owed until it is ready.
//! - **Serving**: ready was said. Nothing is under way.
//! - **Reloading**: reloading was said and the service is at it. One more reload may be owed; ten more are one.
//! - **Stopping**: stopping was said, the service was told, and it has until the deadline. Nothing but the end follows: a
//!   reload is refused, and ready is not said any more (systemd would ignore it: from v259 on, stopping is final).
//! - **Replacing**: another process of the program is being started in the place of this one, which serves on. A reload that is
//!   asked for now is owed, by this process if it stays and by the other one if it comes. A stop has the other one given up first,
//!   for nobody is to be left: it begins when that is over. One more replacement is refused, here as in every state but Serving.
//! - **Draining**: the other process is the service now. Nothing is said any more. This one was told to stop, and has as long
//!   as for any stop; what it leaves with then is no failure. A signal that comes now is meant for both processes, as a
//!   manager's stop is, and only the second one means at once.
//! - **Leaving**: the end was ordered without waiting for the service: a second signal that is no echo of the first, or the
//!   deadline. A third signal, no echo either, is for a process that cannot even leave: it aborts.
//!
//! There is no way back from Stopping, Draining or Leaving. A service whose `run` returns is at its end in every state, and the end
//! is not this machine's business.

#[cfg(test)]
mod tests;

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
    /// About to be replaced.
    Replacing {
        /// A reload is owed.
        owed: bool,
        /// A stop is owed, since then.
        stop: Option<Mono>,
    },
    /// Replaced, and at its orderly end.
    Draining {
        /// A signal to stop came then.
        since: Option<Mono>,
        /// Until then.
        deadline: Mono,
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
    /// It is to be replaced by another process.
    Replace,
    /// The other process is the service now.
    Replaced,
    /// There is no other process: it did not come to serve, or was given up.
    NotReplaced,
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
    /// Begin the replacement.
    BeginReplacement,
    /// Whoever asked for a replacement is told that there will be none.
    RefuseReplacement,
    /// Give up the replacement that is under way, if it is not too late.
    GiveUpReplacement,
    /// Tell the other process, which is the service now, to reload: it may have read its configuration before that was asked.
    PassReload,
    /// Tell the other process, which is the service now, to stop.
    PassStop,
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
    /// It was replaced, and whoever was left to be served had the time there was.
    Drained,
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
            State::Stopping { deadline, .. } | State::Draining { deadline, .. } => Some(deadline),
            State::Starting { .. }
            | State::Serving
            | State::Replacing { .. }
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
        match event {
            Event::Ready | Event::Reload | Event::Reloaded => self.served(event),
            Event::Replace | Event::Replaced | Event::NotReplaced => self.replaced(now, event),
            Event::Stop(_) | Event::Tick => self.ended(now, event),
        }
    }

    /// Ready and reloads.
    fn served(&self, event: Event) -> (State, &'static [Effect]) {
        use Effect::{RefuseReload, Reload, SayReady, SayReloading};
        match (self.state, event) {
            (State::Starting { owed: false }, Event::Ready) => (State::Serving, &[SayReady]),
            (State::Starting { owed: true }, Event::Ready)
            | (State::Reloading { owed: true }, Event::Reloaded) => (
                State::Reloading { owed: false },
                &[SayReady, SayReloading, Reload],
            ),
            (State::Starting { .. }, Event::Reload) => (State::Starting { owed: true }, &[]),
            (State::Serving, Event::Reload) => (State::Reloading { owed: false }, BEGIN),
            (State::Reloading { .. }, Event::Reload) => (State::Reloading { owed: true }, &[]),
            (State::Reloading { owed: false }, Event::Reloaded) => (State::Serving, &[SayReady]),
            (State::Replacing { stop, .. }, Event::Reload) => {
                (State::Replacing { owed: true, stop }, &[])
            }
            (
                state @ (State::Draining { .. } | State::Stopping { .. } | State::Leaving { .. }),
                Event::Reload,
            ) => (state, &[RefuseReload]),
            // Said twice, or too late.
            (
                state @ (State::Serving
                | State::Reloading { .. }
                | State::Replacing { .. }
                | State::Draining { .. }
                | State::Stopping { .. }
                | State::Leaving { .. }),
                Event::Ready,
            )
            | (
                state @ (State::Starting { .. }
                | State::Serving
                | State::Replacing { .. }
                | State::Draining { .. }
                | State::Stopping { .. }
                | State::Leaving { .. }),
                Event::Reloaded,
            )
            // The other two see to these.
            | (
                state,
                Event::Replace
                | Event::Replaced
                | Event::NotReplaced
                | Event::Stop(_)
                | Event::Tick,
            ) => (state, &[]),
        }
    }

    /// Another process in the place of this one.
    fn replaced(&self, now: Mono, event: Event) -> (State, &'static [Effect]) {
        use Effect::{BeginReplacement, PassReload, PassStop, RefuseReplacement, Stop};
        let draining = |since| State::Draining {
            since,
            deadline: now + self.patience,
        };
        match (self.state, event) {
            (State::Serving, Event::Replace) => (
                State::Replacing {
                    owed: false,
                    stop: None,
                },
                &[BeginReplacement],
            ),
            (
                state @ (State::Starting { .. }
                | State::Reloading { .. }
                | State::Replacing { .. }
                | State::Draining { .. }
                | State::Stopping { .. }
                | State::Leaving { .. }),
                Event::Replace,
            ) => (state, &[RefuseReplacement]),
            (State::Replacing { owed, stop }, Event::Replaced) => {
                let passed: &[Effect] = match (owed, stop) {
                    (_, Some(_)) => &[PassStop, Stop],
                    (true, None) => &[PassReload, Stop],
                    (false, None) => &[Stop],
                };
                (draining(stop), passed)
            }
            (
                State::Replacing {
                    stop: Some(since), ..
                },
                Event::NotReplaced,
            ) => self.stopping(now, since),
            (
                State::Replacing {
                    owed: true,
                    stop: None,
                },
                Event::NotReplaced,
            ) => (State::Reloading { owed: false }, BEGIN),
            (
                State::Replacing {
                    owed: false,
                    stop: None,
                },
                Event::NotReplaced,
            ) => (State::Serving, &[]),
            // Of a replacement that this process has left behind.
            (
                state @ (State::Starting { .. }
                | State::Serving
                | State::Reloading { .. }
                | State::Draining { .. }
                | State::Stopping { .. }
                | State::Leaving { .. }),
                Event::Replaced | Event::NotReplaced,
            )
            // The other two see to these.
            | (
                state,
                Event::Ready | Event::Reload | Event::Reloaded | Event::Stop(_) | Event::Tick,
            ) => (state, &[]),
        }
    }

    /// The end.
    fn ended(&self, now: Mono, event: Event) -> (State, &'static [Effect]) {
        use Effect::{Abort, GiveUpReplacement, Leave};
        let leaving = State::Leaving { since: now };
        let is_second = |since: Mono| now.since(since) >= ECHO;
        match (self.state, event) {
            (
                State::Starting { .. } | State::Serving | State::Reloading { .. },
                Event::Stop(Asker::Signal | Asker::Request),
            ) => self.stopping(now, now),
            (State::Replacing { owed, stop: None }, Event::Stop(_)) => {
                let stop = Some(now);
                (State::Replacing { owed, stop }, &[GiveUpReplacement])
            }
            (
                State::Replacing {
                    stop: Some(since), ..
                }
                | State::Stopping { since, .. },
                Event::Stop(Asker::Signal),
            ) if is_second(since) => (leaving, &[Leave(Why::Signal)]),
            (
                State::Draining {
                    since: Some(since), ..
                },
                Event::Stop(Asker::Signal),
            ) if is_second(since) => (leaving, &[Leave(Why::Drained)]),
            (
                State::Draining {
                    since: None,
                    deadline,
                },
                Event::Stop(Asker::Signal),
            ) => {
                let since = Some(now);
                (State::Draining { since, deadline }, &[])
            }
            (State::Stopping { deadline, .. }, Event::Tick) if now >= deadline => {
                (leaving, &[Leave(Why::Deadline)])
            }
            (State::Draining { deadline, .. }, Event::Tick) if now >= deadline => {
                (leaving, &[Leave(Why::Drained)])
            }
            (state @ State::Leaving { since }, Event::Stop(Asker::Signal)) if is_second(since) => {
                (state, &[Abort])
            }
            // An echo, a request once more, or a time that has not come.
            (
                state @ (State::Replacing { stop: Some(_), .. }
                | State::Draining { .. }
                | State::Stopping { .. }
                | State::Leaving { .. }),
                Event::Stop(Asker::Signal | Asker::Request),
            )
            | (
                state @ (State::Starting { .. }
                | State::Serving
                | State::Reloading { .. }
                | State::Replacing { .. }
                | State::Draining { .. }
                | State::Stopping { .. }
                | State::Leaving { .. }),
                Event::Tick,
            )
            // The other two see to these.
            | (
                state,
                Event::Ready
                | Event::Reload
                | Event::Reloaded
                | Event::Replace
                | Event::Replaced
                | Event::NotReplaced,
            ) => (state, &[]),
        }
    }

    /// The orderly end, which was asked for at `since`.
    fn stopping(&self, now: Mono, since: Mono) -> (State, &'static [Effect]) {
        let deadline = now + self.patience;
        let state = State::Stopping { since, deadline };
        (state, &[Effect::SayStopping, Effect::Stop])
    }
}

/// How a reload begins.
const BEGIN: &[Effect] = &[Effect::SayReloading, Effect::Reload];
