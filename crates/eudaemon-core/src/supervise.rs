//! What one supervisor does next. In: [`Event`]. Out: [`Effect`]. No clock, no kernel.
//!
//! # The model
//!
//! A supervisor brings one service *up* and takes it *down*. What the operator wants is one of three words
//! ([`Wanted`]): **up** (restart it whenever it ends), **once** (do not restart it), **down**.
//!
//! The main process is always in exactly one of these states:
//!
//! - **Down.** Nothing runs, and nothing will until told. With `failed`, something said it must not be restarted.
//! - **Waiting** until a moment. It is wanted up and nothing runs, because less than [`START_GAP`] has passed since its
//!   last start. The gap belongs to the supervisor, not to this state: down and up again still owe it.
//! - **Looking.** We asked what the directory says now and have no answer yet. Every bring-up begins here.
//! - **Held** until a moment. The directory says "not now": its trigger is not there, a file has a mistake in it, or its
//!   lock is taken. We look again then, or when told that something changed.
//! - **Launching** a script. We asked the kernel for a child and have no answer yet.
//! - **Retrying** a script at a moment. The kernel refused the child; we try again, soon at first, then each second.
//! - **Alive**: a script runs, with its pid, and perhaps a moment at which it is killed.
//! - **Doomed**: the child could not exec its script. It is not up and never was; it is about to be reaped.
//! - **Started.** `start` succeeded and there is no `run`: it counts as up, without a process (encore).
//! - **Gone.** It was asked to leave, and left. Nothing happens any more.
//!
//! A life is: `start` (only when fresh, that is after being down), `run`, `finish` after each end of `run`, and `stop`
//! when it goes down for good. Which of them exist is read at each bring-up.
//!
//! Beside the main process run at most three others, each **Off**, **Waiting**, **Launching**, **Alive** or **Doomed**:
//! the executable `log` of encore, which starts before the first script and leaves last, after its last line; `check`, which
//! runs every [`CHECK_PAUSE`] while `run` is alive and not ready; and runit's hook, which is asked before a letter is obeyed
//! and can be **Sought** (is there one?) but does not wait: its model is in `hook.rs`.
//!
//! Where the families do different things with the same files and letters, [`Manners`] says which is done.
//!
//! # Being killed
//!
//! All of this is one value that [`Supervisor::save`] turns into words. The shell keeps those words where they outlive it,
//! writes them *before* it performs the effects of a step, and performs effects in order. A shell that is killed at any
//! point is followed by another, which calls [`Supervisor::restore`] and [`Supervisor::adopt`] with what became of each
//! child. Each launch has a number (its generation), so that the end of an earlier child is never taken for the end of a
//! later one.

mod adopt;
mod ask;
mod command;
mod end;
mod event;
mod hook;
mod memory;
mod side;

use crate::control::Target;
use crate::definition::{Definition, Manners};
use crate::status::Wanted;
use crate::time::{Mono, Wall};
use crate::words::{Ended, Pid, Signal};
use alloc::vec::Vec;
use core::time::Duration;

pub use event::{Effect, Event, Fact, Hold, Now, Role, Script};
use hook::{Errand, Hook, Pending};
pub use memory::WORDS;

/// Shortest time between two starts of one service.
///
/// Source: daemontools 0.76 supervise(8): "pauses for a second after starting ./run". Differs: the original is deaf while
/// it sleeps (observed: `svc -p` took 1020 ms); we wait in the loop and keep listening.
pub const START_GAP: Duration = Duration::from_secs(1);
/// First and longest pause after the kernel refused a child. The original sleeps 60 s, deaf (specification §3.2).
pub const RETRY_FIRST: Duration = Duration::from_millis(10);
/// See [`RETRY_FIRST`].
pub const RETRY_LONGEST: Duration = Duration::from_secs(1);
/// How often a held service is looked at again. Specification §3.8 asks for at most 5 s.
pub const HOLD_PAUSE: Duration = Duration::from_secs(1);
/// Pause between two runs of `check`. Source: runit's sv(8) polls every 0.42 s.
pub const CHECK_PAUSE: Duration = Duration::from_millis(420);
/// How long one `check` may take. Source: runit's sv(8) waits 7 s by default.
pub const CHECK_LONGEST: Duration = Duration::from_secs(7);
/// How long an executable `log` may read what is left in its pipe before it is told to end.
pub const LOG_DRAIN: Duration = Duration::from_secs(3);
/// KILL is repeated this often until the end is told: the shell may have been killed between saving that it was due and
/// sending it, and then nobody else would.
pub const KILL_AGAIN: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Down,
    Waiting {
        at: Mono,
    },
    Looking,
    Held {
        at: Mono,
        why: Hold,
    },
    Launching {
        script: Script,
    },
    Retrying {
        script: Script,
        at: Mono,
    },
    Alive {
        script: Script,
        pid: Pid,
        kill_at: Option<Mono>,
    },
    Doomed {
        script: Script,
        pid: Pid,
    },
    Started,
    Gone,
}

impl State {
    /// The script that runs, and its pid. A doomed child is no script.
    fn running(self) -> Option<(Script, Pid)> {
        match self {
            State::Alive { script, pid, .. } => Some((script, pid)),
            State::Down
            | State::Waiting { .. }
            | State::Looking
            | State::Held { .. }
            | State::Launching { .. }
            | State::Retrying { .. }
            | State::Doomed { .. }
            | State::Started
            | State::Gone => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Off,
    Waiting { at: Mono },
    Launching,
    Alive { pid: Pid, kill_at: Option<Mono> },
    Doomed { pid: Pid },
}

/// One service's supervisor. See the module's text for what the states mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supervisor {
    state: State,
    want: Wanted,
    /// `x` was given.
    leaving: bool,
    /// It is down because it said so itself: exit 100, finish 125, or `start` failed.
    failed: bool,
    /// The next bring-up runs `start`.
    fresh: bool,
    /// `run` (or `start`) has run since the last `stop`.
    owes_stop: bool,
    paused: bool,
    /// TERM was sent to the `run` that runs.
    termed: bool,
    /// It has said that it is ready, or `check` has.
    ready: bool,
    /// No start before this moment.
    not_before: Mono,
    /// When the visible pid last changed.
    since: Wall,
    /// When it became ready, or came up.
    up_since: Mono,
    /// Consecutive refusals of the kernel.
    refusals: u8,
    /// Number of the latest launch, by role.
    generations: [u32; Role::ALL.len()],
    /// How often `run` was started.
    starts: u32,
    /// The latest `run` that ended.
    last: Option<(Pid, Ended)>,
    log: Side,
    log_want: Wanted,
    log_not_before: Mono,
    log_since: Wall,
    log_paused: bool,
    /// Its log is down because it said so itself: it exited 100.
    log_failed: bool,
    check: Side,
    /// The value of `starts` when the check was launched.
    check_for: u32,
    hook: Hook,
    /// What the hook is, or was last, asked about.
    errand: Errand,
    /// The value of `starts` when it was.
    hook_for: u32,
    /// `control/u` is to be asked, or is being asked, before `run` is started.
    raise: bool,
    pending: Pending,
    /// What was sent in the latest step because a hook had been asked, as its byte. The letter itself has left the inbox
    /// long ago: a shell that was killed before it sent it is not told the letter again.
    delivered: u8,
    definition: Definition,
}

impl Supervisor {
    /// A supervisor that has done nothing yet. `down`: the file `down` exists.
    #[must_use]
    pub fn new(now: Now, down: bool) -> Supervisor {
        Supervisor {
            state: if down {
                State::Down
            } else {
                State::Waiting { at: now.mono }
            },
            want: if down { Wanted::Down } else { Wanted::Up },
            leaving: false,
            failed: false,
            fresh: true,
            owes_stop: false,
            paused: false,
            termed: false,
            ready: false,
            not_before: now.mono,
            since: now.wall,
            up_since: now.mono,
            refusals: 0,
            generations: [0; Role::ALL.len()],
            starts: 0,
            last: None,
            log: Side::Off,
            log_want: Wanted::Up,
            log_not_before: now.mono,
            log_since: now.wall,
            log_paused: false,
            log_failed: false,
            check: Side::Off,
            check_for: 0,
            hook: Hook::Off,
            errand: Errand::Raise,
            hook_for: 0,
            raise: false,
            pending: Pending::default(),
            delivered: 0,
            definition: Definition::default(),
        }
    }

    /// The same, with these manners from the start: the directory is read only when the service is brought up.
    #[must_use]
    pub fn with_manners(mut self, manners: Manners) -> Supervisor {
        self.definition.manners = manners;
        self
    }

    // ---- the step ------------------------------------------------------------------------------------------------

    /// Decides. Effects are appended to `out`, to be performed in order.
    pub fn step(&mut self, now: Now, event: Event, out: &mut Vec<Effect>) {
        self.delivered = 0;
        match event {
            Event::Deadline => self.on_deadline(now, out),
            Event::Command(command) => match command.target {
                Target::Main => self.on_command(now, command, out),
                Target::Log => self.on_log_command(now, command, out),
            },
            Event::Inspected(found) => self.on_inspected(now, found, out),
            Event::Changed => {
                if let State::Held { .. } = self.state {
                    self.look(out);
                }
            }
            Event::Spawned(role, pid) => self.on_spawned(now, role, pid, out),
            Event::SpawnFailed(role) => self.on_spawn_failed(now, role, out),
            Event::ExecFailed(role, pid) => self.on_exec_failed(role, pid, out),
            Event::Exited(role, ended) => match role {
                Role::Main => self.on_main_exited(now, ended, out),
                Role::Log => self.on_log_exited(now, ended, out),
                Role::Check => self.on_check_exited(now, ended, out),
                Role::Hook => self.on_hook_exited(now, ended, out),
            },
            Event::Sought(found) => self.on_sought(now, found, out),
            Event::Ready => {
                if self.run_pid().is_some() && !self.ready {
                    self.ready = true;
                    out.push(Effect::Publish);
                }
            }
        }
    }

    fn on_deadline(&mut self, now: Now, out: &mut Vec<Effect>) {
        match self.state {
            State::Waiting { at } | State::Held { at, .. } if at <= now.mono => self.look(out),
            State::Retrying { script, at } if at <= now.mono => self.launch(script, out),
            State::Alive {
                script,
                pid,
                kill_at: Some(at),
            } if at <= now.mono => {
                out.push(Effect::Signal {
                    role: Role::Main,
                    pid,
                    signal: Signal::Kill,
                    group: false,
                });
                self.state = State::Alive {
                    script,
                    pid,
                    kill_at: Some(now.mono + KILL_AGAIN),
                };
            }
            // Not yet, or not this machine's deadline.
            State::Waiting { .. }
            | State::Held { .. }
            | State::Retrying { .. }
            | State::Alive { .. }
            | State::Down
            | State::Looking
            | State::Launching { .. }
            | State::Doomed { .. }
            | State::Started
            | State::Gone => {}
        }
        match self.log {
            Side::Waiting { at } if at <= now.mono => self.launch(Script::Log, out),
            // It did not end with its input, or somebody else still has the pipe.
            Side::Alive {
                pid,
                kill_at: Some(at),
            } if at <= now.mono => {
                self.take_log_down(out);
                self.log = Side::Alive {
                    pid,
                    kill_at: Some(now.mono + LOG_DRAIN),
                };
            }
            Side::Waiting { .. }
            | Side::Off
            | Side::Launching
            | Side::Alive { .. }
            | Side::Doomed { .. } => {}
        }
        match self.check {
            Side::Waiting { at } if at <= now.mono => self.launch(Script::Check, out),
            Side::Alive {
                pid,
                kill_at: Some(at),
            } if at <= now.mono => {
                out.push(Effect::Signal {
                    role: Role::Check,
                    pid,
                    signal: Signal::Kill,
                    group: false,
                });
                self.check = Side::Alive {
                    pid,
                    kill_at: Some(now.mono + KILL_AGAIN),
                };
            }
            Side::Waiting { .. }
            | Side::Off
            | Side::Launching
            | Side::Alive { .. }
            | Side::Doomed { .. } => {}
        }
    }

    /// Begins a bring-up: what does the directory say?
    fn look(&mut self, out: &mut Vec<Effect>) {
        self.state = State::Looking;
        out.push(Effect::Inspect);
    }

    /// It is wanted up and nothing runs: look now, or when the gap is over.
    fn bring_up(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.not_before <= now.mono {
            self.look(out);
        } else {
            self.state = State::Waiting {
                at: self.not_before,
            };
        }
    }

    fn on_inspected(&mut self, now: Now, found: Result<Definition, Hold>, out: &mut Vec<Effect>) {
        if self.state != State::Looking {
            return; // An answer to a question of an earlier shell.
        }
        let definition = match found {
            Ok(definition) => definition,
            Err(why) => {
                // Nobody holds what is not wanted: `d` came while we looked.
                if self.leaving || self.want == Wanted::Down {
                    out.push(Effect::Publish);
                    return self.wind_up(now, out);
                }
                self.state = State::Held {
                    at: now.mono + HOLD_PAUSE,
                    why,
                };
                out.push(Effect::Publish);
                return;
            }
        };
        self.definition = definition;
        if self.want == Wanted::Down || self.leaving {
            return self.wind_up(now, out);
        }
        if !self.asks_to_raise(out) {
            self.begin_scripts(now, out);
        }
    }

    /// The directory has been read, and nothing stands against a start.
    fn begin_scripts(&mut self, now: Now, out: &mut Vec<Effect>) {
        // `d` may have come while `control/u` was asked.
        if self.want == Wanted::Down || self.leaving {
            out.push(Effect::Publish);
            return self.wind_up(now, out);
        }
        let definition = self.definition;
        self.failed = false;
        if definition.log && self.log == Side::Off && self.log_want != Wanted::Down {
            self.raise_log(now, out);
        }
        if self.fresh && definition.start {
            self.launch(Script::Start, out);
        } else if definition.run || !definition.start {
            self.launch(Script::Run, out);
        } else {
            self.state = State::Started;
            self.want = Wanted::Once;
            out.push(Effect::Publish);
        }
    }

    /// Asks for a child.
    fn launch(&mut self, script: Script, out: &mut Vec<Effect>) {
        let role = script.role();
        let generation = self.generations[role as usize].wrapping_add(1);
        self.generations[role as usize] = generation;
        match role {
            Role::Main => self.state = State::Launching { script },
            Role::Log => self.log = Side::Launching,
            Role::Check => self.check = Side::Launching,
            Role::Hook => self.hook = Hook::Launching,
        }
        out.push(Effect::Launch { script, generation });
    }

    fn on_spawned(&mut self, now: Now, role: Role, pid: Pid, out: &mut Vec<Effect>) {
        match role {
            Role::Main => {
                let State::Launching { script } = self.state else {
                    return;
                };
                self.refusals = 0;
                let kill_at = match script {
                    Script::Finish => self.definition.timeout_finish.map(|after| now.mono + after),
                    Script::Run
                    | Script::Start
                    | Script::Stop
                    | Script::Log
                    | Script::Check
                    | Script::Hook => None,
                };
                self.state = State::Alive {
                    script,
                    pid,
                    kill_at,
                };
                if matches!(script, Script::Run | Script::Start) {
                    self.not_before = now.mono + START_GAP;
                    self.fresh = false;
                    self.owes_stop = true;
                    self.paused = false;
                    self.termed = false;
                }
                if script == Script::Run {
                    self.starts = self.starts.wrapping_add(1);
                    self.ready = false;
                    self.up_since = now.mono;
                    if self.definition.check && self.check == Side::Off {
                        self.check = Side::Waiting { at: now.mono };
                    }
                }
                if script != Script::Finish {
                    self.since = now.wall;
                    out.push(Effect::Publish);
                    self.notify(script, pid, None, out);
                } else if self.shows_finish() {
                    self.since = now.wall;
                    out.push(Effect::Publish);
                }
                // `d` came while we waited for the kernel's answer.
                if self.want == Wanted::Down && matches!(script, Script::Run | Script::Start) {
                    self.take_down(now, out);
                }
            }
            Role::Log => {
                if self.log == Side::Launching {
                    self.log = Side::Alive { pid, kill_at: None };
                    self.log_not_before = now.mono + START_GAP;
                    self.log_since = now.wall;
                    self.log_paused = false;
                    out.push(Effect::Publish);
                    self.notify(Script::Log, pid, None, out);
                    if self.log_want == Wanted::Down {
                        self.take_log_down(out);
                    }
                    self.leave_if_asked(now, out);
                }
            }
            Role::Hook => {
                if self.hook == Hook::Launching {
                    self.hook = Hook::Alive { pid };
                }
            }
            Role::Check => {
                if self.check == Side::Launching {
                    self.check_for = self.starts;
                    self.check = Side::Alive {
                        pid,
                        kill_at: Some(now.mono + CHECK_LONGEST),
                    };
                    if self.run_pid().is_none() {
                        out.push(Effect::Signal {
                            role: Role::Check,
                            pid,
                            signal: Signal::Kill,
                            group: false,
                        });
                    }
                }
            }
        }
    }

    fn on_spawn_failed(&mut self, now: Now, role: Role, out: &mut Vec<Effect>) {
        let pause = self.refusal_pause();
        match role {
            Role::Main => {
                let State::Launching { script } = self.state else {
                    return;
                };
                self.refusals = self.refusals.saturating_add(1);
                self.state = State::Retrying {
                    script,
                    at: now.mono + pause,
                };
                out.push(Effect::Publish);
                if self.leaving || self.want == Wanted::Down {
                    self.give_up_starting(now, out);
                }
            }
            Role::Log => {
                if self.log == Side::Launching {
                    self.refusals = self.refusals.saturating_add(1);
                    self.log = Side::Waiting {
                        at: now.mono + pause,
                    };
                }
            }
            Role::Hook => {
                if self.hook == Hook::Launching {
                    self.on_answer(now, false, out);
                }
            }
            Role::Check => {
                if self.check == Side::Launching {
                    self.check = if self.run_pid().is_some() {
                        Side::Waiting {
                            at: now.mono + CHECK_PAUSE,
                        }
                    } else {
                        Side::Off
                    };
                    self.leave_if_asked(now, out);
                }
            }
        }
    }

    fn refusal_pause(&self) -> Duration {
        RETRY_FIRST
            .saturating_mul(1 << self.refusals.min(7))
            .min(RETRY_LONGEST)
    }

    /// The way down while no child of `run` or `start` exists: nothing to signal.
    fn give_up_starting(&mut self, now: Now, out: &mut Vec<Effect>) {
        match self.state {
            State::Retrying {
                script: Script::Run | Script::Start,
                ..
            }
            | State::Waiting { .. }
            | State::Held { .. } => self.wind_up(now, out),
            State::Retrying { .. }
            | State::Down
            | State::Looking
            | State::Launching { .. }
            | State::Alive { .. }
            | State::Doomed { .. }
            | State::Started
            | State::Gone => {}
        }
    }

    fn on_exec_failed(&mut self, role: Role, pid: Pid, out: &mut Vec<Effect>) {
        match role {
            Role::Main => {
                if let State::Launching { script } = self.state {
                    self.refusals = 0;
                    self.state = State::Doomed { script, pid };
                    // What is shown may still be the pid of the `start` before it.
                    out.push(Effect::Publish);
                }
            }
            Role::Log => self.log = Side::Doomed { pid },
            Role::Check => self.check = Side::Doomed { pid },
            Role::Hook => self.hook = Hook::Doomed { pid },
        }
    }
}

impl Definition {
    /// Whether the service has a way to say that it is ready.
    #[must_use]
    pub fn says_ready(&self) -> bool {
        self.notification_fd.is_some() || self.check
    }
}

impl Side {
    fn deadline(self) -> Option<Mono> {
        match self {
            Side::Waiting { at } => Some(at),
            Side::Alive { kill_at, .. } => kill_at,
            Side::Off | Side::Launching | Side::Doomed { .. } => None,
        }
    }
    fn child(self) -> Option<Pid> {
        match self {
            Side::Alive { pid, .. } | Side::Doomed { pid } => Some(pid),
            Side::Off | Side::Waiting { .. } | Side::Launching => None,
        }
    }
}

#[cfg(test)]
mod tests;
