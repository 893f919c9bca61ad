//! Control bytes: one table, read by `svc`, by the supervisor, by the manual pages and by the tests.
//!
//! A client writes bytes into `supervise/control`; the supervisor acts on them in order. Letters of daemontools 0.76,
//! daemontools-encore and, where they do not conflict, s6. Conflicts are settled as in specification §12: `l` selects the
//! main process (encore), `w` and `y` are both WINCH.

use crate::words::Signal;

/// What one control byte asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Control {
    /// `u`: want up; start if down.
    Up,
    /// `d`: want down; stop if running.
    Down,
    /// `o`: start if down, do not restart.
    Once,
    /// `O`: let it run, do not restart it.
    NoRestart,
    /// `Q`: as `O`, and create the file `down`.
    NoRestartPersist,
    /// `x`: leave when the service is down.
    Exit,
    /// `U`: as `u`, and remove the file `down`.
    UpPersist,
    /// `D`: as `d`, and create the file `down`.
    DownPersist,
    /// `r`: send the down signal and keep wanting what is wanted.
    Restart,
    /// `p`: stop it with STOP, and say so in the status.
    Pause,
    /// `c`: continue it with CONT.
    Continue,
    /// Any of the letters that only send a signal.
    Send(Signal),
    /// `P`, `C`, `K`: a signal to the whole process group.
    SendGroup(Signal),
    /// `l`: what follows goes to the main process.
    SelectMain,
    /// `L`: what follows goes to the log process.
    SelectLog,
    /// `+`: signals that follow go to the process group.
    ToGroup,
    /// `=`: signals that follow go to the process alone.
    ToProcess,
}

/// Where a letter comes from: it decides which usage line names it and which dialect knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// daemontools 0.76.
    Classic,
    /// daemontools-encore.
    Encore,
    /// s6.
    S6,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The byte on the FIFO and the letter of `svc`.
    pub byte: u8,
    /// What it means.
    pub control: Control,
    /// Who introduced it.
    pub origin: Origin,
    /// The words of `svc`'s usage line.
    pub words: &'static str,
}

const fn row(byte: u8, control: Control, origin: Origin, words: &'static str) -> Row {
    Row {
        byte,
        control,
        origin,
        words,
    }
}

/// Every control byte, in the order of encore's usage line, s6's letters after it.
pub const CONTROLS: &[Row] = &[
    row(b'+', Control::ToGroup, Origin::Encore, "kill process group"),
    row(
        b'=',
        Control::ToProcess,
        Origin::Encore,
        "kill parent process",
    ),
    row(b'L', Control::SelectLog, Origin::Encore, "kill log"),
    row(b'l', Control::SelectMain, Origin::Encore, "kill main"),
    row(b'u', Control::Up, Origin::Classic, "up"),
    row(b'd', Control::Down, Origin::Classic, "down"),
    row(b'o', Control::Once, Origin::Classic, "once"),
    row(b'x', Control::Exit, Origin::Classic, "exit"),
    row(b'p', Control::Pause, Origin::Classic, "pause"),
    row(b'c', Control::Continue, Origin::Classic, "continue"),
    row(b'h', Control::Send(Signal::Hup), Origin::Classic, "hup"),
    row(b'a', Control::Send(Signal::Alrm), Origin::Classic, "alarm"),
    row(
        b'i',
        Control::Send(Signal::Int),
        Origin::Classic,
        "interrupt",
    ),
    row(b't', Control::Send(Signal::Term), Origin::Classic, "term"),
    row(b'k', Control::Send(Signal::Kill), Origin::Classic, "kill"),
    row(b'q', Control::Send(Signal::Quit), Origin::Encore, "quit"),
    row(b'1', Control::Send(Signal::Usr1), Origin::Encore, "SIGUSR1"),
    row(b'2', Control::Send(Signal::Usr2), Origin::Encore, "SIGUSR2"),
    row(
        b'w',
        Control::Send(Signal::Winch),
        Origin::Encore,
        "SIGWINCH",
    ),
    row(b'y', Control::Send(Signal::Winch), Origin::S6, "SIGWINCH"),
    row(b'b', Control::Send(Signal::Abrt), Origin::S6, "SIGABRT"),
    row(b'r', Control::Restart, Origin::S6, "restart"),
    row(
        b'P',
        Control::SendGroup(Signal::Stop),
        Origin::S6,
        "pause process group",
    ),
    row(
        b'C',
        Control::SendGroup(Signal::Cont),
        Origin::S6,
        "continue process group",
    ),
    row(
        b'K',
        Control::SendGroup(Signal::Kill),
        Origin::S6,
        "kill -9 process group",
    ),
    row(
        b'U',
        Control::UpPersist,
        Origin::S6,
        "up and remove down file",
    ),
    row(
        b'D',
        Control::DownPersist,
        Origin::S6,
        "down and create down file",
    ),
    row(b'O', Control::NoRestart, Origin::S6, "do not restart"),
    row(
        b'Q',
        Control::NoRestartPersist,
        Origin::S6,
        "do not restart and create down file",
    ),
];

impl Control {
    /// What `byte` asks for; `None` for a byte that means nothing, which a supervisor ignores.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Control> {
        CONTROLS
            .iter()
            .find(|row| row.byte == byte)
            .map(|row| row.control)
    }
}

impl Control {
    /// Whether it takes a service down: `d`, `D`, and `x` where it does.
    #[must_use]
    pub const fn lowers(self) -> bool {
        matches!(self, Control::Down | Control::DownPersist | Control::Exit)
    }
}

/// Which of a service's processes a command is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Target {
    /// The service itself.
    #[default]
    Main,
    /// Its executable `log` (encore).
    Log,
}

/// One command with the selections that stood when its byte was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Command {
    /// What is asked.
    pub control: Control,
    /// Of which process.
    pub target: Target,
    /// Whether signals go to the process group.
    pub group: bool,
}

impl Command {
    /// A command for the main process alone, as 0.76 means every letter.
    #[must_use]
    pub const fn plain(control: Control) -> Command {
        Command {
            control,
            target: Target::Main,
            group: false,
        }
    }
}

/// Reads one batch of control bytes. The selections start anew with each batch, as in encore.
#[derive(Clone, Copy, Debug, Default)]
pub struct Batch {
    target: Target,
    group: bool,
}

impl Batch {
    /// The command of the next byte; `None` if the byte only selects, or means nothing.
    pub fn next(&mut self, byte: u8) -> Option<Command> {
        let control = Control::from_byte(byte)?;
        match control {
            Control::SelectMain => self.target = Target::Main,
            Control::SelectLog => self.target = Target::Log,
            Control::ToGroup => self.group = true,
            Control::ToProcess => self.group = false,
            Control::Up
            | Control::Down
            | Control::Once
            | Control::NoRestart
            | Control::NoRestartPersist
            | Control::Exit
            | Control::UpPersist
            | Control::DownPersist
            | Control::Restart
            | Control::Pause
            | Control::Continue
            | Control::Send(_)
            | Control::SendGroup(_) => {
                return Some(Command {
                    control,
                    target: self.target,
                    group: self.group,
                });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_byte_is_in_the_table_twice() {
        for (at, row) in CONTROLS.iter().enumerate() {
            assert!(
                CONTROLS[at + 1..]
                    .iter()
                    .all(|other| other.byte != row.byte),
                "{}",
                char::from(row.byte)
            );
            assert_eq!(Control::from_byte(row.byte), Some(row.control));
        }
    }

    #[test]
    fn a_batch_starts_with_the_main_process_alone() {
        let mut batch = Batch::default();
        assert_eq!(
            batch.next(b't'),
            Some(Command::plain(Control::Send(Signal::Term)))
        );
        assert_eq!(batch.next(b'L'), None);
        assert_eq!(batch.next(b'+'), None);
        assert_eq!(
            batch.next(b't'),
            Some(Command {
                control: Control::Send(Signal::Term),
                target: Target::Log,
                group: true
            })
        );
        assert_eq!(batch.next(b'l'), None);
        assert_eq!(batch.next(b'='), None);
        assert_eq!(
            batch.next(b't'),
            Some(Command::plain(Control::Send(Signal::Term)))
        );
        assert_eq!(batch.next(b'!'), None);
    }
}
