//! The two that run beside the main process: the executable `log`, and `check`.

use super::{CHECK_PAUSE, Effect, Now, Role, START_GAP, Script, Side, State, Supervisor};
use crate::control::{Command, Control};
use crate::status::Wanted;
use crate::words::{Ended, Pid, Signal};
use alloc::vec::Vec;

impl Supervisor {
    pub(super) fn raise_log(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.log_not_before <= now.mono {
            self.launch(Script::Log, out);
        } else {
            self.log = Side::Waiting {
                at: self.log_not_before,
            };
        }
    }

    pub(super) fn take_log_down(&mut self, out: &mut Vec<Effect>) {
        self.log_want = Wanted::Down;
        if let Side::Alive { pid, .. } = self.log {
            for signal in [Signal::Term, Signal::Cont] {
                out.push(Effect::Signal {
                    role: Role::Log,
                    pid,
                    signal,
                    group: false,
                });
            }
            self.continued(Role::Log, out);
        }
    }

    pub(super) fn on_log_exited(&mut self, now: Now, ended: Ended, out: &mut Vec<Effect>) {
        let (pid, ran) = match self.log {
            Side::Alive { pid, .. } => (pid, true),
            Side::Doomed { pid } => (pid, false),
            Side::Off | Side::Waiting { .. } | Side::Launching => return,
        };
        self.log_since = now.wall;
        self.log_paused = false;
        self.log = Side::Off;
        if ran {
            self.notify(Script::Log, pid, Some(ended), out);
        } else {
            self.log_not_before = now.mono + START_GAP;
        }
        if ended == Ended::Code(100) && ran {
            self.log_want = Wanted::Down;
            self.log_failed = true;
        }
        let over = self.leaving && self.is_down();
        if self.log_want == Wanted::Up && !over {
            self.raise_log(now, out);
        }
        out.push(Effect::Publish);
        self.leave_if_asked(now, out);
    }

    pub(super) fn on_log_command(&mut self, now: Now, command: Command, out: &mut Vec<Effect>) {
        let pid = match self.log {
            Side::Alive { pid, .. } => Some(pid),
            Side::Off | Side::Waiting { .. } | Side::Launching | Side::Doomed { .. } => None,
        };
        let mut send = |signal, group| {
            if let Some(pid) = pid {
                out.push(Effect::Signal {
                    role: Role::Log,
                    pid,
                    signal,
                    group,
                });
            }
        };
        match command.control {
            Control::Up | Control::Once | Control::UpPersist => {
                self.log_want = if command.control == Control::Once {
                    Wanted::Once
                } else {
                    Wanted::Up
                };
                self.log_failed = false;
                if self.log == Side::Off && self.definition.log && self.state != State::Gone {
                    self.raise_log(now, out);
                }
                out.push(Effect::Publish);
            }
            Control::Down | Control::DownPersist => {
                if let Side::Waiting { .. } = self.log {
                    self.log = Side::Off;
                }
                self.take_log_down(out);
                self.log_want = Wanted::Down;
                self.log_failed = false;
                out.push(Effect::Publish);
            }
            Control::NoRestart | Control::NoRestartPersist => {
                self.log_want = Wanted::Once;
                out.push(Effect::Publish);
            }
            // The log leaves with the supervisor; `Lx` asks for nothing of its own.
            Control::Exit => self.on_command(now, Command::plain(Control::Exit), out),
            Control::Restart => {
                send(Signal::Term, false);
                send(Signal::Cont, false);
                self.continued(Role::Log, out);
            }
            Control::Pause => {
                send(Signal::Stop, command.group);
                self.log_paused = pid.is_some();
                out.push(Effect::Publish);
            }
            Control::Continue => {
                send(Signal::Cont, command.group);
                self.log_paused = false;
                out.push(Effect::Publish);
            }
            Control::Send(signal) => send(signal, command.group),
            Control::SendGroup(signal) => {
                send(signal, true);
                if signal == Signal::Cont {
                    self.continued(Role::Log, out);
                }
            }
            Control::SelectMain | Control::SelectLog | Control::ToGroup | Control::ToProcess => {}
        }
    }

    pub(super) fn end_check(&mut self, out: &mut Vec<Effect>) {
        match self.check {
            Side::Alive { pid, .. } => {
                out.push(Effect::Signal {
                    role: Role::Check,
                    pid,
                    signal: Signal::Kill,
                    group: false,
                });
            }
            Side::Waiting { .. } => self.check = Side::Off,
            Side::Off | Side::Launching | Side::Doomed { .. } => {}
        }
    }

    pub(super) fn on_check_exited(&mut self, now: Now, ended: Ended, out: &mut Vec<Effect>) {
        self.check = Side::Off;
        if self.run_pid().is_some() && !self.ready {
            // A check of an earlier `run` may end well just before it is killed; that says nothing of this one.
            if ended.is_success() && self.check_for == self.starts {
                self.ready = true;
                out.push(Effect::Publish);
            } else {
                self.check = Side::Waiting {
                    at: now.mono + CHECK_PAUSE,
                };
            }
        }
        self.leave_if_asked(now, out);
    }

    pub(super) fn notify(
        &self,
        script: Script,
        pid: Pid,
        ended: Option<Ended>,
        out: &mut Vec<Effect>,
    ) {
        if self.definition.notify {
            out.push(Effect::Notify { script, pid, ended });
        }
    }
}
