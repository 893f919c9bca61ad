//! How a supervisor goes on after its shell was killed.

use super::{Effect, Fact, Now, Role, Script, Side, State, Supervisor};
use crate::status::Wanted;
use crate::words::{Ended, Pid, Signal};
use alloc::vec::Vec;

impl Supervisor {
    /// Continues after the shell was killed. `facts` say what became of the latest launch of each role. Effects that may
    /// not have been performed are asked for again; each of them may be performed twice without harm.
    pub fn adopt(&mut self, now: Now, facts: [Fact; Role::ALL.len()], out: &mut Vec<Effect>) {
        let [main, log, check, hook] = facts;
        match (self.state, main) {
            (State::Launching { .. }, Fact::Child(pid)) => {
                self.on_spawned(now, Role::Main, pid, out)
            }
            // The kernel never made it.
            (State::Launching { script }, Fact::Nothing) => {
                self.state = State::Retrying {
                    script,
                    at: now.mono,
                };
                if self.leaving || self.want == Wanted::Down {
                    self.give_up_starting(now, out);
                }
            }
            // It ended, and nobody is left who saw how.
            (State::Alive { .. } | State::Doomed { .. }, Fact::Nothing) => {
                self.on_main_exited(now, Ended::Unknown, out);
            }
            // What the directory said is known already; only `control/u` is being asked.
            (State::Looking, _) if self.raise => {}
            (State::Looking, _) => out.push(Effect::Inspect),
            (State::Gone, _) => out.push(Effect::Leave),
            // The signal of `d` may never have been sent.
            (
                State::Alive {
                    script: Script::Run | Script::Start,
                    pid,
                    ..
                },
                Fact::Child(_),
            ) if self.want == Wanted::Down && self.was_told_to_end() => {
                self.remind(
                    Role::Main,
                    pid,
                    self.definition.down_signal,
                    self.paused,
                    out,
                );
            }
            (State::Alive { .. } | State::Doomed { .. }, Fact::Child(_))
            | (
                State::Down
                | State::Waiting { .. }
                | State::Held { .. }
                | State::Retrying { .. }
                | State::Started,
                Fact::Nothing | Fact::Child(_),
            ) => {}
        }
        match (self.log, log) {
            (Side::Launching, Fact::Child(pid)) => self.on_spawned(now, Role::Log, pid, out),
            (Side::Launching, Fact::Nothing) => self.log = Side::Waiting { at: now.mono },
            (Side::Alive { .. } | Side::Doomed { .. }, Fact::Nothing) => {
                self.on_log_exited(now, Ended::Unknown, out)
            }
            // It is at its last lines.
            (
                Side::Alive {
                    kill_at: Some(_), ..
                },
                Fact::Child(_),
            ) => out.push(Effect::CloseLog),
            (Side::Alive { pid, .. }, Fact::Child(_)) if self.log_want == Wanted::Down => {
                self.remind(Role::Log, pid, Signal::Term, self.log_paused, out);
            }
            (Side::Off | Side::Waiting { .. } | Side::Alive { .. } | Side::Doomed { .. }, _) => {}
        }
        match (self.check, check) {
            (Side::Launching, Fact::Child(pid)) => self.on_spawned(now, Role::Check, pid, out),
            (Side::Launching, Fact::Nothing) => {
                self.check = if self.run_pid().is_some() {
                    Side::Waiting { at: now.mono }
                } else {
                    Side::Off
                };
            }
            (Side::Alive { .. } | Side::Doomed { .. }, Fact::Nothing) => {
                self.on_check_exited(now, Ended::Unknown, out);
            }
            (Side::Off | Side::Waiting { .. } | Side::Alive { .. } | Side::Doomed { .. }, _) => {}
        }
        self.adopt_hook(now, hook, out);
        if !self.is_gone() {
            out.push(Effect::Publish);
            self.leave_if_asked(now, out);
        }
    }

    /// Whether the signal of `d` was sent, or was about to be. Where hooks are asked, one may have seen to it instead.
    fn was_told_to_end(&self) -> bool {
        !self.definition.manners.hooks || self.termed
    }

    /// Sends a down signal again. The kill's moment stays; what the operator paused since stays paused.
    pub(super) fn remind(
        &self,
        role: Role,
        pid: Pid,
        signal: Signal,
        paused: bool,
        out: &mut Vec<Effect>,
    ) {
        for signal in [Some(signal), (!paused).then_some(Signal::Cont)]
            .into_iter()
            .flatten()
        {
            out.push(Effect::Signal {
                role,
                pid,
                signal,
                group: false,
            });
        }
    }
}
