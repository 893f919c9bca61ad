//! What follows the end of a script.

use super::hook::Hook;
use super::{Effect, LOG_DRAIN, Now, Role, START_GAP, Script, Side, State, Supervisor};
use crate::status::Wanted;
use crate::words::{Ended, Pid, Signal};
use alloc::vec::Vec;

impl Supervisor {
    pub(super) fn on_main_exited(&mut self, now: Now, ended: Ended, out: &mut Vec<Effect>) {
        match self.state {
            State::Alive { script, pid, .. } => {
                if script != Script::Finish {
                    self.since = now.wall;
                    self.notify(script, pid, Some(ended), out);
                } else if self.shows_finish() {
                    self.since = now.wall;
                }
                self.paused = false;
                self.termed = false;
                self.on_script_ended(now, script, pid, ended, out);
            }
            State::Doomed { script, pid } => {
                match script {
                    Script::Run => {
                        // It counts as a start for the gap: a broken `run` is tried once a second, as in 0.76.
                        self.not_before = now.mono + START_GAP;
                        // A `run` that cannot be started has ended with 111 (runsv(8)).
                        self.last = Some((pid, ended));
                        if self.definition.finish {
                            self.launch(Script::Finish, out);
                        } else {
                            self.after_run(now, out);
                        }
                    }
                    Script::Start => self.fail(now, out),
                    Script::Stop => {
                        self.owes_stop = false;
                        self.after_stop(now, out);
                    }
                    Script::Finish => self.after_run(now, out),
                    Script::Log | Script::Check | Script::Hook => {}
                }
                out.push(Effect::Publish);
            }
            // No child of ours is in this place: an end that was told twice. The first told all.
            State::Down
            | State::Waiting { .. }
            | State::Looking
            | State::Held { .. }
            | State::Launching { .. }
            | State::Retrying { .. }
            | State::Started
            | State::Gone => {}
        }
    }

    pub(super) fn on_script_ended(
        &mut self,
        now: Now,
        script: Script,
        pid: Pid,
        ended: Ended,
        out: &mut Vec<Effect>,
    ) {
        match script {
            Script::Run => {
                self.ready = false;
                self.last = Some((pid, ended));
                self.end_check(out);
                if self.definition.session && self.definition.manners.sweep {
                    out.push(Effect::Sweep);
                }
                if self.definition.max_death_tally.is_some() {
                    out.push(Effect::Tally(ended));
                }
                if self.definition.encore && ended == Ended::Code(100) {
                    self.want = Wanted::Down;
                    self.failed = true;
                }
                if self.definition.finish {
                    self.state = State::Down; // Published as down; replaced by the launch.
                    out.push(Effect::Publish);
                    self.launch(Script::Finish, out);
                } else {
                    self.after_run(now, out);
                    out.push(Effect::Publish);
                }
            }
            Script::Finish => {
                // Source: s6-supervise's documentation: finish exiting 125 means permanent failure.
                if self.definition.manners.permanent && ended == Ended::Code(125) {
                    self.want = Wanted::Down;
                    self.failed = true;
                }
                self.after_run(now, out);
                out.push(Effect::Publish);
            }
            Script::Start => {
                if self.want == Wanted::Down || self.leaving {
                    // What `start` began, and a `run` before it, `stop` ends (specification §3.7: "after `d` and the
                    // final exit").
                    self.wind_up(now, out);
                    out.push(Effect::Publish);
                } else if !ended.is_success() {
                    // `d` and then `u`: it ended because we sent it down, which is no failure of its own.
                    if self.fresh {
                        self.bring_up(now, out);
                    } else {
                        self.fail(now, out);
                    }
                    out.push(Effect::Publish);
                } else if self.definition.run {
                    self.launch(Script::Run, out);
                } else {
                    self.state = State::Started;
                    self.want = Wanted::Once;
                    out.push(Effect::Publish);
                }
            }
            Script::Stop => {
                self.owes_stop = false;
                if self.definition.encore && ended == Ended::Code(100) {
                    self.failed = true;
                    self.want = Wanted::Down;
                }
                self.after_stop(now, out);
                out.push(Effect::Publish);
            }
            Script::Log | Script::Check | Script::Hook => {}
        }
    }

    /// `run` and its `finish` are over: restart it, or stop for good.
    pub(super) fn after_run(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.want == Wanted::Up && !self.leaving {
            self.bring_up(now, out);
        } else {
            self.wind_up(now, out);
        }
    }

    /// For good: `stop` if it is owed, then rest.
    pub(super) fn wind_up(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.owes_stop && self.definition.stop && !self.failed {
            self.launch(Script::Stop, out);
        } else {
            if !self.definition.stop {
                self.owes_stop = false;
            }
            self.rest(now, out);
        }
    }

    /// `stop` is over, or could not be run: up again if `u` came meanwhile.
    pub(super) fn after_stop(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.want == Wanted::Up && !self.leaving {
            self.fresh = true;
            self.bring_up(now, out);
        } else {
            self.rest(now, out);
        }
    }

    /// `start` failed: down, and not again.
    pub(super) fn fail(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.want = Wanted::Down;
        self.failed = true;
        self.rest(now, out);
    }

    /// Nothing runs and nothing will; leave if that was asked.
    pub(super) fn rest(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.state = State::Down;
        self.fresh = true;
        self.leave_if_asked(now, out);
    }

    pub(super) fn leave_if_asked(&mut self, now: Now, out: &mut Vec<Effect>) {
        let checking = !matches!(self.check, Side::Off | Side::Waiting { .. });
        let asking = self.hook != Hook::Off;
        if !self.leaving || !matches!(self.state, State::Down) || checking || asking {
            return;
        }
        match self.log {
            Side::Off | Side::Waiting { .. } => {
                self.log = Side::Off;
                self.state = State::Gone;
                out.push(Effect::Publish);
                out.push(Effect::Leave);
            }
            // It reads what is left in the pipe, for nobody will after it, and ends by itself. Differs: encore sends TERM
            // at once, and what the service wrote last is lost with the pipe (specification §3.7).
            Side::Alive { pid, kill_at: None } => {
                self.log_want = Wanted::Down;
                self.log = Side::Alive {
                    pid,
                    kill_at: Some(now.mono + LOG_DRAIN),
                };
                out.push(Effect::CloseLog);
                if self.log_paused {
                    out.push(Effect::Signal {
                        role: Role::Log,
                        pid,
                        signal: Signal::Cont,
                        group: false,
                    });
                    self.continued(Role::Log, out);
                }
            }
            Side::Alive { .. } => {}
            // Its answer, or its end, comes back here.
            Side::Launching | Side::Doomed { .. } => {}
        }
    }
}
