//! What a supervisor is told and what it asks for.

use crate::control::Command;
use crate::definition::Definition;
use crate::time::{Mono, Wall};
use crate::words::{Ended, Pid, Signal};

/// The two clocks, read once for one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For decisions.
    pub mono: Mono,
    /// For stamps.
    pub wall: Wall,
}

/// One program of a service directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Script {
    /// The service itself.
    Run = 0,
    /// Once before it.
    Start = 1,
    /// Once after it.
    Stop = 2,
    /// After each of its ends.
    Finish = 3,
    /// Its log process (encore).
    Log = 4,
    /// Whether it is ready (runit).
    Check = 5,
    /// A program of `control/`, asked before a letter is obeyed (runit). Which, tells [`Supervisor::hook`](super::Supervisor::hook).
    Hook = 6,
}

impl Script {
    /// Every script, in the order of its number.
    pub const ALL: [Script; 7] = [
        Script::Run,
        Script::Start,
        Script::Stop,
        Script::Finish,
        Script::Log,
        Script::Check,
        Script::Hook,
    ];

    /// The file's name.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Script::Run => "run",
            Script::Start => "start",
            Script::Stop => "stop",
            Script::Finish => "finish",
            Script::Log => "log",
            Script::Check => "check",
            Script::Hook => "control",
        }
    }
    /// Which of the places a child of this script occupies.
    #[must_use]
    pub const fn role(self) -> Role {
        match self {
            Script::Run | Script::Start | Script::Stop | Script::Finish => Role::Main,
            Script::Log => Role::Log,
            Script::Check => Role::Check,
            Script::Hook => Role::Hook,
        }
    }
}

/// The places for children: at most one child is in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Role {
    /// `start`, `run`, `finish` or `stop`.
    Main = 0,
    /// The executable `log`.
    Log = 1,
    /// The readiness check.
    Check = 2,
    /// A program of `control/`.
    Hook = 3,
}

impl Role {
    /// Every role, in the order of its number.
    pub const ALL: [Role; 4] = [Role::Main, Role::Log, Role::Check, Role::Hook];
}

/// Why a service is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Hold {
    /// Its trigger names a process that does not live.
    Trigger = 0,
    /// A file of its directory has a mistake in it.
    Definition = 1,
    /// Its `lock-fd` lock is held by somebody: an earlier copy, perhaps.
    Lock = 2,
    /// The directory could not be read.
    Unreadable = 3,
}

impl Hold {
    /// Every reason, in the order of its number.
    pub const ALL: [Hold; 4] = [
        Hold::Trigger,
        Hold::Definition,
        Hold::Lock,
        Hold::Unreadable,
    ];
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The moment of [`Supervisor::deadline`](super::Supervisor::deadline) has come, or may have.
    Deadline,
    /// An operator speaks.
    Command(Command),
    /// Answer to [`Effect::Inspect`].
    Inspected(Result<Definition, Hold>),
    /// Something the service was held for may have changed.
    Changed,
    /// Answer to [`Effect::Launch`]: it runs.
    Spawned(Role, Pid),
    /// Answer to [`Effect::Launch`]: the kernel gave no child.
    SpawnFailed(Role),
    /// Answer to [`Effect::Launch`]: there is a child, and it could not exec.
    ExecFailed(Role, Pid),
    /// The child in this place has ended. Told once for each child.
    Exited(Role, Ended),
    /// The service said it is ready.
    Ready,
    /// Answer to [`Effect::Seek`]: whether there is such a program.
    Sought(bool),
}

/// What the shell must do. It answers, where an answer exists, with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Read the directory; answer [`Event::Inspected`].
    Inspect,
    /// Start a script; answer [`Event::Spawned`], [`Event::SpawnFailed`] or [`Event::ExecFailed`].
    Launch {
        /// Which.
        script: Script,
        /// The launch's number within its role, to be recorded with the child.
        generation: u32,
    },
    /// Is there a program for [`Supervisor::hook`](super::Supervisor::hook) in `control/`? Answer [`Event::Sought`].
    Seek,
    /// Send a signal to a child of ours, or to its process group.
    Signal {
        /// The place the child is in.
        role: Role,
        /// The child.
        pid: Pid,
        /// The signal.
        signal: Signal,
        /// To its whole process group.
        group: bool,
    },
    /// Write the status files, and tell who listens.
    Publish,
    /// Run `notify` (encore) and do not wait for it.
    Notify {
        /// About which script.
        script: Script,
        /// Whose pid.
        pid: Pid,
        /// `None` when it started.
        ended: Option<Ended>,
    },
    /// `run` has ended: tell what it left in its process group to end as well. No original does; see the decision record.
    Sweep,
    /// Append a death to the tally (s6).
    Tally(Ended),
    /// Close the pipe to the log, so that it reads what is left and then the end.
    CloseLog,
    /// Create (`true`) or remove the file `down`.
    DownFile(bool),
    /// The supervisor is done: release everything.
    Leave,
}

/// What became of a child while there was no shell. See [`Supervisor::adopt`](super::Supervisor::adopt).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// There is no child of the latest launch.
    Nothing,
    /// The child of the latest launch has this pid. If it has ended, an [`Event::Exited`] will follow.
    Child(Pid),
}
