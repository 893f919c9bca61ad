//! One attempt, carried out as `eudaemon_core::replacement` decides.

use super::spawner::Heard as Reported;
use super::tail::{More, Tail};
use super::{Program, ReplaceError, Replaced, Spawner};
use crate::handover::{self, Frame, Heard};
use crate::inherited::pidfd_inode_of;
use crate::shared::Shared;
use eudaemon_core::handover::{Given, Said};
use eudaemon_core::replacement::{Effect, Event, Outcome, Replacement, State, Why};
use eudaemon_core::spawner::Report;
use eudaemon_core::words::{Pid, Signal};
use eudaemon_sys::clock::mono;
use eudaemon_sys::passing::Channel;
use eudaemon_sys::poll::{Interest, Poll};
use eudaemon_sys::process::{Held, pidfs_is_unique};
use eudaemon_sys::wake::Wake;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

/// How long the manager may take to read that the main process is another one.
const MANAGER: Duration = Duration::from_secs(5);

const LINE: u64 = 0;
const STDERR: u64 = 1;
const PROCESS: u64 = 2;
const WAKE: u64 = 3;

/// What is asked for.
pub(super) struct Start<'a> {
    pub program: &'a Program,
    pub spawner: Option<Arc<Spawner>>,
    pub state: Option<Vec<u8>>,
    pub deadline: Duration,
}

/// The attempt, from the order to start on.
pub(super) struct Attempt {
    shared: Arc<Shared>,
    machine: Replacement,
    deadline: Duration,
    wake: Arc<Wake>,
    process: Process,
    /// Open for as long as this process wants the new one to live: when it is closed, that one takes this one for dead.
    line: Option<Arc<Channel>>,
    /// What is still to be handed over.
    frames: VecDeque<Frame>,
    /// `None` when nobody has the other end any more.
    stderr: Option<Tail>,
    words: Option<String>,
    cause: Cause,
}

/// The new process, and who is its parent.
enum Process {
    /// The spawner was told to start it.
    Ordered(Arc<Spawner>),
    /// This process is.
    Own { child: Child, held: Held },
    /// The spawner is.
    Foreign {
        spawner: Arc<Spawner>,
        pid: u32,
        held: Option<Held>,
    },
    /// The spawner was, and is gone.
    Orphan { pid: u32, held: Held },
    /// There is none.
    Gone,
}

/// What is known of why it fails, as it becomes known.
#[derive(Default)]
struct Cause {
    start: Option<io::Error>,
    line: Option<io::Error>,
    manager: Option<io::Error>,
    status: Option<ExitStatus>,
    said: Option<Said>,
}

/// Has it started.
pub(super) fn begin(
    shared: &Arc<Shared>,
    start: Start<'_>,
    wake: Arc<Wake>,
) -> Result<Attempt, ReplaceError> {
    let mut contents = shared.contents().map_err(ReplaceError::Handover)?;
    if let Some(state) = start.state {
        if state.len() > handover::STATE_MOST {
            let words = format!(
                "{} bytes, and {} at most",
                state.len(),
                handover::STATE_MOST
            );
            return Err(ReplaceError::State { words });
        }
        let sealed = eudaemon_sys::sealed::make("eudaemon-state", &state);
        contents.state = Some(sealed.map_err(ReplaceError::Handover)?);
    }
    let (ours, its) = Channel::pair().map_err(ReplaceError::Spawn)?;
    let (reads, writes) = io::pipe().map_err(ReplaceError::Spawn)?;
    let tail = Tail::of(reads).map_err(ReplaceError::Spawn)?;
    let mut attempt = Attempt {
        shared: Arc::clone(shared),
        machine: Replacement::new(mono() + start.deadline),
        deadline: start.deadline,
        wake,
        process: Process::Gone,
        line: Some(Arc::new(ours)),
        frames: contents.into_frames(),
        stderr: Some(tail),
        words: None,
        cause: Cause::default(),
    };
    match start.spawner {
        Some(spawner) => match spawner.start(&its, &writes) {
            Ok(()) => attempt.process = Process::Ordered(spawner),
            // Its line is closed, or full of what it does not read.
            Err(_) => {
                shared.replacing.lose_spawner();
                let why = shared.replacing.confined.unwrap_or_default();
                return Err(ReplaceError::Confined { why });
            }
        },
        None => match own(start.program, its.into(), writes.into()) {
            Ok((child, held)) => {
                attempt.process = Process::Own { child, held };
                attempt.step(Event::Started);
            }
            Err(error) => attempt.not_started(error),
        },
    }
    // The other ends are closed here by now: theirs alone keep the line and the pipe open.
    Ok(attempt)
}

fn own(program: &Program, line: OwnedFd, stderr: OwnedFd) -> io::Result<(Child, Held)> {
    let mut child = program.start(line, stderr)?;
    let none = || io::Error::from(io::ErrorKind::InvalidInput);
    match Pid::new(child.id()).ok_or_else(none).and_then(Held::open) {
        Ok(held) => Ok((child, held)),
        Err(error) => {
            child.kill().and_then(|()| child.wait())?;
            Err(error)
        }
    }
}

/// What is left to be done once the new process is the service, as long as this process is there: its standard error is copied
/// until it has this one's, and if it ends it is reaped.
pub(super) struct Rest(Attempt);

impl Rest {
    pub fn attend(self) {
        let Rest(mut attempt) = self;
        attempt.line = None;
        while !(matches!(attempt.process, Process::Gone) && attempt.stderr.is_none()) {
            if attempt.turn().is_err() {
                return;
            }
        }
    }
}

impl Attempt {
    /// Everything up to the outcome.
    pub fn live(mut self) -> Result<(Replaced, Rest), ReplaceError> {
        loop {
            match self.machine.outcome() {
                Some(Outcome::Replaced) => {
                    let replaced = Replaced {
                        pid: self.process.pid().unwrap_or_default(),
                    };
                    if let Some(line) = &self.line {
                        self.shared.replaced(line);
                    }
                    return Ok((replaced, Rest(self)));
                }
                Some(Outcome::Failed(why)) => return Err(self.failed(why)),
                None => {}
            }
            if let Err(error) = self.turn() {
                // There is no room for a descriptor to wait with. Whatever there is must end.
                self.cause.line = Some(error);
                self.step(Event::Broken);
                self.wait_without_waiting();
            }
        }
    }

    fn step(&mut self, event: Event) {
        for effect in self.machine.step(mono(), event) {
            match effect {
                // What can be sent is sent where there is room for it.
                Effect::Hand => {}
                Effect::Kill => self.kill(),
                Effect::Tell => self.tell(),
                Effect::TakeBack => self.take_back(),
                Effect::Promote => self.promote(),
                Effect::Abandon => self.shared.replacing.lose_spawner(),
            }
        }
    }

    /// Waits once, and deals with what there is.
    fn turn(&mut self) -> io::Result<()> {
        let mut ready = Vec::new();
        let now = mono();
        self.poll()?
            .wait(now, self.machine.deadline(), &mut ready)?;
        self.look(ready.iter().map(|one| one.token));
        if self.machine.deadline().is_some_and(|at| at <= mono()) {
            self.step(Event::Tick);
        }
        Ok(())
    }

    fn poll(&self) -> io::Result<Poll> {
        let poll = Poll::new()?;
        let is_heard = matches!(
            self.machine.state(),
            State::Handing | State::Waiting | State::Telling | State::Promoting
        );
        if let Some(line) = self.line.as_deref().filter(|_| is_heard) {
            let interest = match self.frames.is_empty() {
                true => Interest::Read,
                false => Interest::ReadWrite,
            };
            poll.add(line, LINE, interest)?;
        }
        if let Some(stderr) = &self.stderr {
            poll.add(stderr, STDERR, Interest::Read)?;
        }
        if let Some(fd) = self.process.end() {
            poll.add(fd, PROCESS, Interest::Read)?;
        }
        if self.machine.outcome().is_none() {
            poll.add(&*self.wake, WAKE, Interest::Read)?;
        }
        Ok(poll)
    }

    fn look(&mut self, ready: impl Iterator<Item = u64>) {
        let ready: Vec<u64> = ready.collect();
        if ready.contains(&STDERR) {
            let more = self.stderr.as_mut().map(Tail::copy);
            if more == Some(More::Never) {
                self.words = self.stderr.take().map(|mut tail| tail.words());
            }
        }
        // What it said comes before how it ended, and a stop before both.
        if ready.contains(&WAKE) && self.wake.clear() {
            self.step(Event::Stop);
        }
        if ready.contains(&LINE) {
            self.hand();
            self.hear();
        }
        if ready.contains(&PROCESS) {
            self.attend(false);
        }
    }

    /// Hands over as much as there is room for.
    fn hand(&mut self) {
        if self.machine.state() != State::Handing {
            return;
        }
        let Some(line) = self.line.clone() else {
            return;
        };
        while let Some((given, fds)) = self.frames.front() {
            match handover::try_give(&line, given, fds) {
                Ok(true) => {
                    self.frames.pop_front();
                }
                Ok(false) => return,
                // It says below why.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    self.frames.clear();
                    return;
                }
                Err(error) => {
                    self.cause.line = Some(error);
                    return self.step(Event::Broken);
                }
            }
        }
        self.step(Event::Handed);
    }

    fn hear(&mut self) {
        let Some(line) = self.line.clone() else {
            return;
        };
        match handover::try_hear(&line) {
            Ok(Heard::Said(Said::Ready)) => self.step(Event::Ready),
            Ok(Heard::Said(said)) => {
                self.cause.said = Some(said);
                self.step(Event::Declined);
            }
            Ok(Heard::Nothing) => {}
            Ok(Heard::Gone) => self.step(Event::Closed),
            Err(error) => {
                self.cause.line = Some(error);
                self.step(Event::Broken);
            }
        }
    }

    /// Something became of the process, or it is waited for.
    fn attend(&mut self, wait: bool) {
        match std::mem::replace(&mut self.process, Process::Gone) {
            Process::Own { mut child, .. } => {
                // It has ended, or is waited for.
                self.cause.status = child.wait().ok();
                self.step(Event::Exited);
            }
            Process::Ordered(spawner) => match spawner.hear(wait) {
                Reported::Report(Report::Started(pid), pidfd) => {
                    let held = pidfd.map(Held::from);
                    self.process = Process::Foreign { spawner, pid, held };
                    self.step(Event::Started);
                }
                Reported::Report(Report::NotStarted(number), _) => {
                    self.not_started(match number {
                        0 => io::Error::other("the spawner could not"),
                        number => io::Error::from_raw_os_error(number),
                    });
                }
                Reported::Nothing => self.process = Process::Ordered(spawner),
                Reported::Report(Report::Ended(_) | Report::Apart, _) | Reported::Gone => {
                    self.shared.replacing.lose_spawner();
                    self.not_started(io::Error::other("the spawner is gone"));
                }
            },
            Process::Foreign { spawner, pid, held } => match spawner.hear(wait) {
                Reported::Report(Report::Ended(status), _) => {
                    self.cause.status = Some(ExitStatus::from_raw(status.cast_signed()));
                    self.step(Event::Exited);
                }
                Reported::Nothing => self.process = Process::Foreign { spawner, pid, held },
                Reported::Report(Report::Started(_) | Report::NotStarted(_) | Report::Apart, _)
                | Reported::Gone => {
                    self.shared.replacing.lose_spawner();
                    self.orphaned(pid, held);
                }
            },
            Process::Orphan { pid, held } => {
                let status = Pid::new(pid).and_then(|pid| held.wait_status(pid));
                self.cause.status = status.map(|status| ExitStatus::from_raw(status.cast_signed()));
                self.step(Event::Exited);
            }
            Process::Gone => {}
        }
    }

    /// Nobody who may kill it is left, if it is another user's. It finds its line closed and this process alive, and ends by itself.
    fn orphaned(&mut self, pid: u32, held: Option<Held>) {
        if self.machine.outcome().is_some() {
            return;
        }
        match held {
            Some(held) => {
                self.process = Process::Orphan { pid, held };
                self.cause.line = Some(io::Error::other("the spawner is gone"));
                self.step(Event::Broken);
            }
            None => self.step(Event::Exited),
        }
        self.line = None;
    }

    fn not_started(&mut self, error: io::Error) {
        self.cause.start = Some(error);
        self.step(Event::NotStarted);
    }

    fn kill(&mut self) {
        let killed = match &mut self.process {
            Process::Own { child, .. } => child.kill(),
            Process::Foreign { spawner, .. } => spawner.kill(),
            Process::Orphan { held, .. } => {
                // One that may not be killed finds its line closed.
                self.line = None;
                held.signal(Signal::Kill)
            }
            Process::Ordered(_) | Process::Gone => Ok(()),
        };
        // Who cannot be killed is gone, or another user's and an orphan, which ends by itself.
        let _ = killed;
    }

    /// Has the spawner leave the new process to the manager. Before that is told: systemd asks then, and only then, whether the main
    /// process is its child, and does not wait for the end of one that is not (v252).
    fn give_away(&mut self) {
        if !self.shared.told.notify().is_connected() {
            return;
        }
        self.process = match std::mem::replace(&mut self.process, Process::Gone) {
            Process::Foreign {
                spawner,
                pid,
                held: Some(held),
            } => match spawner.leave() {
                Ok(true) => {
                    self.shared.replacing.lose_spawner();
                    Process::Orphan { pid, held }
                }
                // It is said below that a stranger is the main process.
                Ok(false) | Err(_) => Process::Foreign {
                    spawner,
                    pid,
                    held: Some(held),
                },
            },
            other @ (Process::Ordered(_)
            | Process::Own { .. }
            | Process::Foreign { .. }
            | Process::Orphan { .. }
            | Process::Gone) => other,
        };
    }

    fn tell(&mut self) {
        self.give_away();
        let notify = self.shared.told.notify().clone();
        let pid = self.process.pid().unwrap_or_default();
        if let Err(error) = notify.main_pid(pid, self.process.inode()) {
            self.cause.manager = Some(error);
            return self.step(Event::NotTold);
        }
        // It is in the queue; one that has not read it by now reads it later.
        if let Err(error) = notify.barrier(MANAGER) {
            let log = &self.shared.log;
            log.warning(format_args!(
                "the manager has not confirmed the new process: {error}"
            ));
        }
        // It may have died meanwhile.
        let mut ready = Vec::new();
        let now = mono();
        let looked = self
            .poll()
            .and_then(|mut poll| poll.wait(now, Some(now), &mut ready));
        if looked.is_ok() {
            self.look(ready.iter().map(|one| one.token));
        }
        if self.machine.state() == State::Telling {
            self.step(Event::Told);
        }
    }

    fn take_back(&self) {
        let own = std::process::id();
        let notify = self.shared.told.notify();
        // Under NotifyAccess=main it may be too late, and then the manager finds the service without a main process, and starts it again.
        let _ = notify.main_pid(own, pidfd_inode_of(own));
    }

    fn promote(&mut self) {
        let given = self.line.as_deref().map_or(Ok(false), |line| {
            handover::try_give(line, &Given::Promoted, &[])
        });
        match given {
            Ok(true) => self.step(Event::Promoted),
            Ok(false) | Err(_) => self.step(Event::Closed),
        }
    }

    /// Waits for the process in the one way that needs no descriptor.
    fn wait_without_waiting(&mut self) {
        match &self.process {
            Process::Own { .. } | Process::Ordered(_) | Process::Foreign { .. } => {
                self.attend(true);
            }
            // It finds its line closed.
            Process::Orphan { .. } | Process::Gone => self.step(Event::Exited),
        }
    }

    fn failed(mut self, why: Why) -> ReplaceError {
        let words = self.stderr.take().map(|mut tail| tail.words());
        let stderr = words.or(self.words).unwrap_or_default();
        let Cause {
            start,
            line,
            manager,
            status,
            said,
        } = self.cause;
        let other = |error: Option<io::Error>, words: &str| {
            error.unwrap_or_else(|| io::Error::other(words))
        };
        match (why, status, said) {
            (Why::NotStarted, _, _) => ReplaceError::Spawn(other(start, "it was not started")),
            (Why::Exited, Some(status), _) => ReplaceError::Exited { status, stderr },
            (Why::Exited, None, _) => {
                ReplaceError::Handover(other(line, "the new process is gone, and nobody knows how"))
            }
            (Why::Declined, _, Some(Said::Failed { exit, words })) => ReplaceError::Failed {
                exit,
                words,
                stderr,
            },
            (Why::Declined, _, Some(Said::Unable { words })) => ReplaceError::Refused { words },
            (Why::Declined | Why::Broken, _, _) => {
                ReplaceError::Handover(other(line, "it spoke before its turn"))
            }
            (Why::Silent, _, _) => ReplaceError::Handover(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the new process closed its line, and did not end",
            )),
            (Why::Late, _, _) => ReplaceError::Timeout {
                after: self.deadline,
                stderr,
            },
            (Why::NotTold, _, _) => ReplaceError::Manager(other(manager, "it was not told")),
            (Why::Stopped, _, _) => ReplaceError::Busy { doing: "stopping" },
        }
    }
}

impl Process {
    fn pid(&self) -> Option<u32> {
        match self {
            Process::Own { child, .. } => Some(child.id()),
            Process::Foreign { pid, .. } | Process::Orphan { pid, .. } => Some(*pid),
            Process::Ordered(_) | Process::Gone => None,
        }
    }

    /// The inode number of its pidfd, where that is its own for ever.
    fn inode(&self) -> Option<u64> {
        let held = match self {
            Process::Own { held, .. } | Process::Orphan { held, .. } => held,
            Process::Foreign { held, .. } => held.as_ref()?,
            Process::Ordered(_) | Process::Gone => return None,
        };
        held.inode().ok().filter(|_| pidfs_is_unique(held))
    }

    /// What can be read when something became of it.
    fn end(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Process::Own { held, .. } | Process::Orphan { held, .. } => Some(held.as_fd()),
            Process::Ordered(spawner) | Process::Foreign { spawner, .. } => Some(spawner.as_fd()),
            Process::Gone => None,
        }
    }
}
