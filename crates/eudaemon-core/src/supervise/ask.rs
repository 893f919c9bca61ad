//! What others may ask of a supervisor. Nothing here changes it.

use super::hook::Hook;
use super::{Hold, Role, Script, Side, State, Supervisor};
use crate::definition::{Definition, Layout};
use crate::status::{Phase, Record, Status, Tail, Wanted};
use crate::time::{Mono, Tai64n, Wall};
use crate::words::{Ended, Pid};
use alloc::string::String;

impl Supervisor {
    /// When to call back with [`Event::Deadline`](super::Event::Deadline). A value, not a timer: nothing to cancel.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        let main = match self.state {
            State::Waiting { at } | State::Held { at, .. } | State::Retrying { at, .. } => Some(at),
            State::Alive { kill_at, .. } => kill_at,
            State::Down
            | State::Looking
            | State::Launching { .. }
            | State::Doomed { .. }
            | State::Started
            | State::Gone => None,
        };
        [main, self.log.deadline(), self.check.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// What is wanted.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        self.want
    }

    /// The child in a place.
    #[must_use]
    pub fn child(&self, role: Role) -> Option<Pid> {
        match role {
            Role::Main => match self.state {
                State::Alive { pid, .. } | State::Doomed { pid, .. } => Some(pid),
                State::Down
                | State::Waiting { .. }
                | State::Looking
                | State::Held { .. }
                | State::Launching { .. }
                | State::Retrying { .. }
                | State::Started
                | State::Gone => None,
            },
            Role::Log => self.log.child(),
            Role::Check => self.check.child(),
            Role::Hook => match self.hook {
                Hook::Alive { pid } | Hook::Doomed { pid } => Some(pid),
                Hook::Off | Hook::Sought | Hook::Launching => None,
            },
        }
    }

    /// The pid of `run`, while it runs.
    #[must_use]
    pub fn run_pid(&self) -> Option<Pid> {
        let (script, pid) = self.state.running()?;
        (script == Script::Run).then_some(pid)
    }

    /// Whether it is up *and*, where it can say so, has said that it is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let runs = self.run_pid().is_some();
        self.state == State::Started || (runs && (!self.definition.says_ready() || self.ready))
    }

    /// Whether nothing runs in the main place, nor will until told.
    #[must_use]
    pub fn is_down(&self) -> bool {
        matches!(self.state, State::Down | State::Gone)
    }

    /// Whether it has left.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self.state, State::Gone)
    }

    /// Whether it is down because it must not be restarted.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.failed
    }

    /// Why it is held, if it is.
    #[must_use]
    pub fn held(&self) -> Option<Hold> {
        if let State::Held { why, .. } = self.state {
            Some(why)
        } else {
            None
        }
    }

    /// When it will be started next, if it waits for a moment.
    #[must_use]
    pub fn next_start(&self) -> Option<Mono> {
        match self.state {
            State::Waiting { at } | State::Held { at, .. } | State::Retrying { at, .. } => Some(at),
            State::Down
            | State::Looking
            | State::Launching { .. }
            | State::Alive { .. }
            | State::Doomed { .. }
            | State::Started
            | State::Gone => None,
        }
    }

    /// How often `run` was started.
    #[must_use]
    pub fn starts(&self) -> u32 {
        self.starts
    }

    /// Pid and end of the latest `run` that ended.
    #[must_use]
    pub fn last(&self) -> Option<(Pid, Ended)> {
        self.last
    }

    /// When the visible pid last changed, on the wall clock.
    #[must_use]
    pub fn since(&self) -> Wall {
        self.since
    }

    /// When the running `run` was started, on the monotonic clock.
    #[must_use]
    pub fn up_since(&self) -> Mono {
        self.up_since
    }

    /// What the directory said at the latest bring-up.
    #[must_use]
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// Number of the latest launch in a place.
    #[must_use]
    pub fn generation(&self, role: Role) -> u32 {
        self.generations[role as usize]
    }

    /// Encore's word for the state.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Alive { script, .. } | State::Launching { script } => match script {
                Script::Start => Phase::Starting,
                Script::Run if self.want == Wanted::Down => Phase::Stopping,
                Script::Run => Phase::Running,
                Script::Stop | Script::Finish => Phase::Stopping,
                Script::Log | Script::Check | Script::Hook => Phase::Running,
            },
            State::Started => Phase::Started,
            State::Down | State::Gone if self.failed => Phase::Failed,
            State::Down
            | State::Gone
            | State::Waiting { .. }
            | State::Looking
            | State::Held { .. }
            | State::Retrying { .. }
            | State::Doomed { .. } => Phase::Stopped,
        }
    }

    /// What the status file should hold.
    #[must_use]
    pub fn status(&self) -> Status {
        let main = Record {
            since: Tai64n::from_wall(self.since),
            pid: self.visible_pid(),
            paused: self.paused,
            wanted: Some(match (self.definition.manners.layout, self.want) {
                (Layout::Runit, Wanted::Once) => Wanted::Down,
                (Layout::Runit | Layout::Mixed, want) => want,
            }),
            tail: self.tail(),
        };
        let log = (self.definition.log || self.log != Side::Off).then(|| Record {
            since: Tai64n::from_wall(self.log_since),
            pid: match self.log {
                Side::Alive { pid, .. } => Some(pid),
                Side::Off | Side::Waiting { .. } | Side::Launching | Side::Doomed { .. } => None,
            },
            paused: self.log_paused,
            wanted: Some(self.log_want),
            tail: Tail::Encore(match self.log {
                Side::Alive { .. } if self.log_want == Wanted::Down => Phase::Stopping as u8,
                Side::Alive { .. } => Phase::Running as u8,
                Side::Off if self.log_failed => Phase::Failed as u8,
                Side::Off | Side::Waiting { .. } | Side::Launching | Side::Doomed { .. } => {
                    Phase::Stopped as u8
                }
            }),
        });
        Status { main, log }
    }

    fn tail(&self) -> Tail {
        let phase = self.phase() as u8;
        let term = self.termed;
        match (self.definition.manners.layout, self.state) {
            (Layout::Mixed, _) if self.definition.encore => Tail::Encore(phase),
            (
                _,
                State::Alive {
                    script: Script::Run,
                    ..
                },
            ) => Tail::Run { term },
            (
                _,
                State::Alive {
                    script: Script::Finish,
                    ..
                },
            ) if self.shows_finish() => Tail::Finish { term },
            (Layout::Mixed, _) => Tail::Down(phase),
            (Layout::Runit, _) => Tail::Encore(Phase::Stopped as u8),
        }
    }

    /// Whether the status shows `finish`; encore does not know it.
    pub(super) fn shows_finish(&self) -> bool {
        self.definition.manners.finish_shown && !self.definition.encore
    }

    /// Runit's line for `supervise/stat` (runsv 2.1.2, observed).
    #[must_use]
    pub fn stat_line(&self) -> String {
        let mut line = String::from(match self.tail() {
            Tail::Run { .. } => "run",
            Tail::Finish { .. } => "finish",
            Tail::Absent | Tail::Encore(_) | Tail::Down(_) | Tail::Unknown => "down",
        });
        if self.paused {
            line.push_str(", paused");
        }
        if self.termed {
            line.push_str(", got TERM");
        }
        if line != "down" {
            if self.leaving {
                line.push_str(", want exit");
            } else if self.want != Wanted::Up {
                line.push_str(", want down");
            }
        }
        line.push('\n');
        line
    }

    /// The pid a status shows. `finish` is not the service: it is shown only where the status can say that it is `finish`.
    pub(super) fn visible_pid(&self) -> Option<Pid> {
        let (script, pid) = self.state.running()?;
        (script != Script::Finish || self.shows_finish()).then_some(pid)
    }
}
