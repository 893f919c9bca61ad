//! What an operator says to a supervisor.

use super::{Effect, Now, Role, Script, State, Supervisor};
use crate::control::{Command, Control};
use crate::status::Wanted;
use crate::words::{Pid, Signal};
use alloc::vec::Vec;

impl Supervisor {
    pub(super) fn on_command(&mut self, now: Now, command: Command, out: &mut Vec<Effect>) {
        if self.state == State::Gone {
            return;
        }
        match command.control {
            Control::Up => self.want_up(now, Wanted::Up, out),
            Control::UpPersist => {
                out.push(Effect::DownFile(false));
                self.want_up(now, Wanted::Up, out);
            }
            Control::Once => self.want_up(now, Wanted::Once, out),
            Control::Down => self.want_down(now, out),
            Control::DownPersist => {
                out.push(Effect::DownFile(true));
                self.want_down(now, out);
            }
            Control::NoRestart => self.no_restart(now, out),
            Control::NoRestartPersist => {
                out.push(Effect::DownFile(true));
                self.no_restart(now, out);
            }
            Control::Exit if self.definition.manners.exit_stops => {
                self.leaving = true;
                self.want_down_for(now, Control::Exit, out);
                self.leave_if_asked(now, out);
            }
            Control::Exit => {
                self.leaving = true;
                match self.state {
                    State::Waiting { .. } | State::Held { .. } | State::Retrying { .. } => {
                        self.give_up_starting(now, out)
                    }
                    State::Started => self.rest(now, out),
                    State::Down => self.leave_if_asked(now, out),
                    State::Looking
                    | State::Launching { .. }
                    | State::Alive { .. }
                    | State::Doomed { .. }
                    | State::Gone => {}
                }
            }
            Control::Restart | Control::Pause | Control::Continue | Control::Send(_) => {
                if !self.asks_first(command, out) {
                    self.deliver(now, command, out);
                }
            }
            Control::SendGroup(signal) => {
                if signal == Signal::Kill {
                    self.kill_hook(out);
                }
                if let Some(pid) = self.child_to_signal(signal) {
                    out.push(Effect::Signal {
                        role: Role::Main,
                        pid,
                        signal,
                        group: true,
                    });
                    if signal == Signal::Cont {
                        self.continued(Role::Main, out);
                    }
                }
            }
            // Batch has already turned these into target and group.
            Control::SelectMain | Control::SelectLog | Control::ToGroup | Control::ToProcess => {}
        }
    }

    /// Sends what a letter stands for; nothing is asked any more.
    pub(super) fn deliver(&mut self, now: Now, command: Command, out: &mut Vec<Effect>) {
        let signal = match command.control {
            Control::Restart => {
                if self.run_pid().is_some() {
                    self.send_down_signal(now, out);
                    out.push(Effect::Publish);
                }
                return;
            }
            Control::Pause => Signal::Stop,
            Control::Continue => Signal::Cont,
            Control::Send(signal) => signal,
            // These are no signals.
            Control::Up
            | Control::UpPersist
            | Control::Once
            | Control::Down
            | Control::DownPersist
            | Control::NoRestart
            | Control::NoRestartPersist
            | Control::Exit
            | Control::SendGroup(_)
            | Control::SelectMain
            | Control::SelectLog
            | Control::ToGroup
            | Control::ToProcess => return,
        };
        let Some(pid) = self.child_to_signal(signal) else {
            return;
        };
        out.push(Effect::Signal {
            role: Role::Main,
            pid,
            signal,
            group: command.group,
        });
        if matches!(command.control, Control::Pause | Control::Continue) {
            self.paused = command.control == Control::Pause;
            out.push(Effect::Publish);
        } else if self.told_to_end(signal) {
            out.push(Effect::Publish);
        }
    }

    /// TERM is sent to `run`: runit's status tells it. Whether that is news.
    fn told_to_end(&mut self, signal: Signal) -> bool {
        let news = signal == Signal::Term && self.run_pid().is_some() && !self.termed;
        self.termed |= news;
        news
    }

    /// Signals go to whatever script runs; a doomed child is no script.
    pub(super) fn child_to_signal(&self, signal: Signal) -> Option<Pid> {
        let (script, pid) = self.state.running()?;
        let deaf = script == Script::Finish && self.definition.manners.finish_deaf;
        (!deaf || signal == Signal::Kill).then_some(pid)
    }

    pub(super) fn want_up(&mut self, now: Now, want: Wanted, out: &mut Vec<Effect>) {
        self.want = want;
        self.failed = false;
        // Where `x` takes down, it is one more thing that can be wanted, and not wanted any more (runit).
        self.leaving &= !self.definition.manners.exit_stops;
        match self.state {
            State::Down => self.bring_up(now, out),
            State::Held { .. } => self.look(out),
            State::Alive {
                script,
                pid,
                kill_at,
            } => {
                // Told to die and now wanted again: if it survives its signal, it may live.
                let kill_at = if script == Script::Finish {
                    kill_at
                } else {
                    None
                };
                self.state = State::Alive {
                    script,
                    pid,
                    kill_at,
                };
            }
            // A service without `run` stays what it is, but is not restarted either.
            State::Started => self.want = Wanted::Once,
            State::Waiting { .. }
            | State::Looking
            | State::Launching { .. }
            | State::Retrying { .. }
            | State::Doomed { .. }
            | State::Gone => {}
        }
        out.push(Effect::Publish);
    }

    pub(super) fn want_down(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.want_down_for(now, Control::Down, out);
    }

    /// For `d`, or for an `x` that takes the service down.
    fn want_down_for(&mut self, now: Now, control: Control, out: &mut Vec<Effect>) {
        self.want = Wanted::Down;
        self.failed = false;
        match self.state {
            State::Waiting { .. } | State::Held { .. } => self.wind_up(now, out),
            State::Retrying {
                script: Script::Run | Script::Start,
                ..
            } => self.wind_up(now, out),
            State::Started => self.wind_up(now, out),
            State::Down => {
                if self.owes_stop && self.definition.stop {
                    self.launch(Script::Stop, out);
                }
            }
            State::Alive {
                script: Script::Run | Script::Start,
                ..
            } => {
                self.fresh = true;
                if !self.asks_first(Command::plain(control), out) {
                    self.take_down(now, out);
                }
            }
            State::Alive { .. }
            | State::Retrying { .. }
            | State::Looking
            | State::Launching { .. }
            | State::Doomed { .. }
            | State::Gone => {}
        }
        out.push(Effect::Publish);
    }

    pub(super) fn no_restart(&mut self, now: Now, out: &mut Vec<Effect>) {
        match self.state {
            State::Waiting { .. } | State::Held { .. } => {
                self.want = Wanted::Down;
                self.wind_up(now, out);
            }
            State::Retrying {
                script: Script::Run | Script::Start,
                ..
            } => {
                self.want = Wanted::Down;
                self.wind_up(now, out);
            }
            // `finish` or `stop` is being tried again: what comes after it is decided by what is wanted then.
            State::Retrying { .. }
            | State::Alive { .. }
            | State::Launching { .. }
            | State::Looking
            | State::Doomed { .. } => {
                if self.want == Wanted::Up {
                    self.want = Wanted::Once;
                }
            }
            State::Down | State::Started | State::Gone => {}
        }
        out.push(Effect::Publish);
    }

    pub(super) fn take_down(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.fresh = true;
        self.paused = false;
        self.send_down_signal(now, out);
    }

    pub(super) fn send_down_signal(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.lower(now, true, out);
    }

    /// The down signal, unless a hook has seen to it, and CONT.
    pub(super) fn lower(&mut self, now: Now, signalled: bool, out: &mut Vec<Effect>) {
        let State::Alive { script, pid, .. } = self.state else {
            return;
        };
        let kill_at = self.definition.timeout_kill.map(|after| now.mono + after);
        self.state = State::Alive {
            script,
            pid,
            kill_at,
        };
        if signalled {
            let signal = self.definition.down_signal;
            out.push(Effect::Signal {
                role: Role::Main,
                pid,
                signal,
                group: false,
            });
            self.told_to_end(signal);
        }
        // A stopped process sees TERM only when it continues.
        out.push(Effect::Signal {
            role: Role::Main,
            pid,
            signal: Signal::Cont,
            group: false,
        });
        self.continued(Role::Main, out);
    }

    /// CONT was sent, whatever for: what is shown as paused no longer is.
    pub(super) fn continued(&mut self, role: Role, out: &mut Vec<Effect>) {
        let paused = match role {
            Role::Main => &mut self.paused,
            Role::Log => &mut self.log_paused,
            Role::Check | Role::Hook => return,
        };
        if core::mem::take(paused) {
            out.push(Effect::Publish);
        }
    }
}
