//! The hook: a program `control/C` that is asked before the letter `C` is obeyed (runit; runsv(8), "Customize control").
//!
//! `control/u` is asked before each start of `run`. Every other letter is asked about only while `run` runs: if the program
//! exits 0, the letter's signal is not sent. `d` and `x` ask `control/t`, send TERM unless that exits 0, send CONT, and then
//! ask `control/d` or `control/x`, whose exit means nothing. What is *wanted* changes at once; only asking takes time, and
//! one is asked after the other. A hook may take as long as it likes, as in runit, but `K` ends it too: nothing else could.

use super::{Effect, Fact, Now, Role, Script, State, Supervisor};
use crate::control::{CONTROLS, Command, Control};
use crate::status::Wanted;
use crate::words::{Ended, Pid, Signal};
use alloc::vec::Vec;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    Off,
    /// We asked whether there is such a program.
    Sought,
    Launching,
    Alive {
        pid: Pid,
    },
    Doomed {
        pid: Pid,
    },
}

/// What a hook is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// `control/u`: `run` is to be started.
    Raise,
    /// The letter is to be obeyed.
    Before(Command),
    /// `d` or `x` has been obeyed.
    After(Control),
}

/// Letters that wait for their turn to ask, oldest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pending(pub(super) [u8; 16]);

/// In the byte of a pending letter: its signal goes to the process group.
const GROUP: u8 = 0x80;

impl Pending {
    /// False if there is no room.
    fn push(&mut self, command: Command) -> bool {
        match self.0.iter_mut().find(|slot| **slot == 0) {
            Some(slot) => {
                *slot = byte_of(command);
                true
            }
            None => false,
        }
    }
    /// Whether `d` or `x` is among them.
    fn lowers(self) -> bool {
        self.0
            .iter()
            .filter_map(|byte| command_of(*byte))
            .any(|command| command.control.lowers())
    }
    fn pop(&mut self) -> Option<Command> {
        let command = command_of(self.0[0])?;
        self.0.rotate_left(1);
        self.0[15] = 0;
        Some(command)
    }
}

pub(super) fn byte_of(command: Command) -> u8 {
    let row = CONTROLS.iter().find(|row| row.control == command.control);
    row.map_or(0, |row| row.byte | if command.group { GROUP } else { 0 })
}

pub(super) fn command_of(byte: u8) -> Option<Command> {
    Some(Command {
        group: byte & GROUP != 0,
        ..Command::plain(Control::from_byte(byte & !GROUP)?)
    })
}

/// The letter whose program is asked before this control is obeyed; runit knows no other.
fn letter(control: Control) -> Option<u8> {
    match control {
        Control::Down | Control::DownPersist | Control::Exit | Control::Restart => Some(b't'),
        Control::Pause => Some(b'p'),
        Control::Continue => Some(b'c'),
        Control::Send(signal) => match signal {
            Signal::Hup => Some(b'h'),
            Signal::Alrm => Some(b'a'),
            Signal::Int => Some(b'i'),
            Signal::Quit => Some(b'q'),
            Signal::Usr1 => Some(b'1'),
            Signal::Usr2 => Some(b'2'),
            Signal::Term => Some(b't'),
            Signal::Kill => Some(b'k'),
            Signal::Abrt
            | Signal::Pipe
            | Signal::Chld
            | Signal::Cont
            | Signal::Stop
            | Signal::Tstp
            | Signal::Ttin
            | Signal::Ttou
            | Signal::Winch => None,
        },
        Control::Up
        | Control::UpPersist
        | Control::Once
        | Control::NoRestart
        | Control::NoRestartPersist
        | Control::SendGroup(_)
        | Control::SelectMain
        | Control::SelectLog
        | Control::ToGroup
        | Control::ToProcess => None,
    }
}

impl Supervisor {
    /// The letter of the program in `control/` that is being asked, or sought; `None` if none is.
    #[must_use]
    pub fn hook(&self) -> Option<u8> {
        if self.hook == Hook::Off {
            return None;
        }
        match self.errand {
            Errand::Raise => Some(b'u'),
            Errand::Before(command) => letter(command.control),
            Errand::After(Control::Exit) => Some(b'x'),
            Errand::After(_) => Some(b'd'),
        }
    }

    /// Before a letter is obeyed: whether a hook is asked first, or will be.
    pub(super) fn asks_first(&mut self, command: Command, out: &mut Vec<Effect>) -> bool {
        let asks = self.definition.manners.hooks && letter(command.control).is_some();
        if !asks || self.run_pid().is_none() {
            return false;
        }
        if self.hook == Hook::Off {
            self.seek(Errand::Before(command), out);
            return true;
        }
        // More letters than anybody sends while one hook runs: the last are obeyed without being asked about.
        self.pending.push(command)
    }

    /// Before `run` is started: whether `control/u` is asked first, or will be.
    pub(super) fn asks_to_raise(&mut self, out: &mut Vec<Effect>) -> bool {
        if !self.definition.hooks || !self.definition.manners.hooks {
            return false;
        }
        self.raise = true;
        if self.hook == Hook::Off {
            self.seek(Errand::Raise, out);
        }
        true
    }

    fn seek(&mut self, errand: Errand, out: &mut Vec<Effect>) {
        self.hook = Hook::Sought;
        self.errand = errand;
        self.hook_for = self.starts;
        out.push(Effect::Seek);
    }

    pub(super) fn on_sought(&mut self, now: Now, found: bool, out: &mut Vec<Effect>) {
        if self.hook != Hook::Sought {
            return; // An answer to a question of an earlier shell.
        }
        if found {
            self.launch(Script::Hook, out);
        } else {
            self.on_answer(now, false, out);
        }
    }

    pub(super) fn on_hook_exited(&mut self, now: Now, ended: Ended, out: &mut Vec<Effect>) {
        match self.hook {
            Hook::Alive { .. } => self.on_answer(now, ended.is_success(), out),
            Hook::Doomed { .. } => self.on_answer(now, false, out),
            Hook::Off | Hook::Sought | Hook::Launching => {}
        }
    }

    /// `K` ends the hook as well.
    pub(super) fn kill_hook(&mut self, out: &mut Vec<Effect>) {
        if let Hook::Alive { pid } = self.hook {
            out.push(Effect::Signal {
                role: Role::Hook,
                pid,
                signal: Signal::Kill,
                group: false,
            });
        }
    }

    /// The hook has been asked, or there is none. `done`: it has done itself what the letter asks for.
    pub(super) fn on_answer(&mut self, now: Now, done: bool, out: &mut Vec<Effect>) {
        self.hook = Hook::Off;
        match self.errand {
            Errand::Raise => {
                self.raise = false;
                if self.state == State::Looking {
                    self.begin_scripts(now, out);
                }
            }
            Errand::Before(command) => {
                // It may have ended meanwhile, and what runs now is not what was meant.
                if self.run_pid().is_some() && self.hook_for == self.starts {
                    self.delivered = byte_of(command);
                    if command.control.lowers() {
                        self.lower(now, !done, out);
                        out.push(Effect::Publish);
                    } else if done {
                        self.delivered = 0;
                    } else {
                        self.deliver(now, command, out);
                    }
                }
                // TERM too, where it is wanted down, unless the letter that said so has yet to ask and will come to this.
                let term = command.control == Control::Send(Signal::Term);
                let down = command.control.lowers()
                    || (term && self.want == Wanted::Down && !self.pending.lowers());
                if down {
                    let last = if self.leaving {
                        Control::Exit
                    } else {
                        Control::Down
                    };
                    return self.seek(Errand::After(last), out);
                }
            }
            Errand::After(_) => {}
        }
        if self.raise && self.hook == Hook::Off {
            if self.state == State::Looking {
                self.seek(Errand::Raise, out);
            } else {
                self.raise = false;
            }
        }
        while self.hook == Hook::Off
            && let Some(command) = self.pending.pop()
        {
            self.obey_signal(now, command, out);
        }
        self.leave_if_asked(now, out);
    }

    /// A letter whose turn has come.
    fn obey_signal(&mut self, now: Now, command: Command, out: &mut Vec<Effect>) {
        if self.asks_first(command, out) {
            return;
        }
        // If `run` has ended meanwhile: what was wanted then was known then.
        if !command.control.lowers() {
            self.deliver(now, command, out);
        }
    }

    pub(super) fn adopt_hook(&mut self, now: Now, fact: Fact, out: &mut Vec<Effect>) {
        if let Some(command) = command_of(self.delivered).filter(|_| self.hook_for == self.starts) {
            if command.control.lowers() {
                self.lower(now, self.termed, out);
            } else {
                self.deliver(now, command, out);
            }
        }
        match (self.hook, fact) {
            (Hook::Sought, _) => out.push(Effect::Seek),
            (Hook::Launching, Fact::Child(pid)) => self.on_spawned(now, Role::Hook, pid, out),
            (Hook::Launching, Fact::Nothing) => self.launch(Script::Hook, out),
            (Hook::Alive { .. } | Hook::Doomed { .. }, Fact::Nothing) => {
                self.on_hook_exited(now, Ended::Unknown, out);
            }
            (Hook::Off | Hook::Alive { .. } | Hook::Doomed { .. }, _) => {}
        }
    }
}
