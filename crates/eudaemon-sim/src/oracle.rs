//! What must never be, and what must be at last.
//!
//! An oracle judges by the kernel's truth and by the operator's words, not by what the supervisor believes. Where it has to
//! read the supervisor (what did the directory say, is it told to leave), that is said.

use crate::kernel::{Child, Kernel};
use core::time::Duration;
use eudaemon_core::control::{Command, Control, Target};
use eudaemon_core::status::{Phase, Wanted};
use eudaemon_core::supervise::{Event, Now, Role, START_GAP, Script, Supervisor};
use eudaemon_core::time::Mono;
use eudaemon_core::words::{Ended, Pid};

/// One law.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Law {
    /// At most one child in each place, living or untold, whatever was killed meanwhile.
    OneInEachPlace,
    /// No start of `run`, nor of the log, within a second of the one before.
    Gap,
    /// The end of each child is told exactly once to a supervisor that knew the child, and as it was.
    NoLostExit,
    /// A child that the kernel made is known to the next engine.
    NoLostChild,
    /// Nothing is started that the operator does not want: after `d`, after `x`, or more often than `o` allows.
    DownMeansDown,
    /// A signal only reaches a child of ours that lives or whose end was not told.
    OnlyOurs,
    /// `finish` once after each end of `run`, before anything else.
    FinishOnce,
    /// `stop` not twice, not without a `run` or `start`, and not forgotten.
    StopOnce,
    /// `check` only beside a living `run`.
    CheckBesideRun,
    /// The published pid is the truth, and what is published is what is known.
    TrueStatus,
    /// No moment is asked for again and again at one instant.
    NoBusyLoop,
    /// What is saved is restored.
    Memory,
    /// After leaving nothing is done and nobody is left behind.
    AfterLeave,
    /// Wanted up: up at last.
    UpAtLast,
    /// Wanted down: down at last.
    DownAtLast,
    /// Told to leave and down: gone at last.
    GoneAtLast,
    /// A `check` that says yes makes it ready at last.
    ReadyAtLast,
    /// A wanted log runs at last.
    LogAtLast,
    /// Scanner: a part that is on is not switched on.
    PartOnce,
    /// Scanner: no service is switched on under a name under which another still is.
    NameOnce,
    /// Scanner: nothing is switched on after Stop.
    NothingAfterStop,
    /// Scanner: Finish once, when all is off.
    FinishWhenOff,
    /// Scanner: nothing that is on is forgotten, and nothing unknown is told anything.
    ForgetWhenOff,
    /// Scanner: what is listed is on at last.
    PresentAtLast,
    /// Scanner: after Stop, Finish comes at last.
    FinishAtLast,
}

/// A law was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub law: Law,
    /// How, for a person.
    pub words: String,
}

/// Nothing, or the law that was broken. Boxed: it is rare.
pub type Verdict = Result<(), Box<Violation>>;

/// The verdict that `law` is broken.
pub fn broken<T>(law: Law, words: impl Into<String>) -> Result<T, Box<Violation>> {
    Err(Box::new(Violation {
        law,
        words: words.into(),
    }))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owed {
    No,
    /// The child could not exec, or nobody saw its end: an adopting engine cannot know, so both are right.
    Maybe,
    Yes,
}

type Published = (Option<Pid>, bool, Option<Wanted>, Option<Pid>);

/// The judge of one life.
#[derive(Clone, Debug)]
pub struct Oracle {
    /// The operator's latest word.
    order: Wanted,
    /// How many more `run` the operator's latest word allows; `None` is any number.
    allowed: Option<u32>,
    /// The service itself said that it must not be restarted.
    excused: bool,
    leaving: bool,
    left: bool,
    run_at: Option<Mono>,
    log_at: Option<Mono>,
    finish: Owed,
    /// `run` or `start` has run since `stop`.
    ran: bool,
    /// `run` has run and ended since `stop`.
    stop: bool,
    published: Option<Published>,
    dues: u32,
    /// How many `run` were made.
    pub runs: u32,
}

/// More deadlines than the machine's three places can have at one instant.
const DUES: u32 = 12;

impl Oracle {
    /// A judge. `down`: the file `down` exists.
    #[must_use]
    pub fn new(down: bool) -> Oracle {
        Oracle {
            order: if down { Wanted::Down } else { Wanted::Up },
            allowed: down.then_some(0),
            excused: false,
            leaving: false,
            left: false,
            run_at: None,
            log_at: None,
            finish: Owed::No,
            ran: false,
            stop: false,
            published: None,
            dues: 0,
            runs: 0,
        }
    }

    /// A step whose words were saved. `before` and `after` are the supervisor's two states.
    pub fn step(
        &mut self,
        event: &Event,
        before: &Supervisor,
        after: &Supervisor,
        kernel: &Kernel,
    ) -> Verdict {
        if *event == Event::Deadline {
            self.dues += 1;
            if self.dues > DUES {
                return broken(
                    Law::NoBusyLoop,
                    format!("{DUES} deadlines at one instant: {after:?}"),
                );
            }
        }
        match event {
            Event::Command(command) => self.command(command, before, kernel),
            Event::Exited(role, ended) => {
                self.told(
                    *role,
                    *ended,
                    before,
                    after,
                    kernel.places[*role as usize].as_ref(),
                )?;
            }
            Event::Deadline
            | Event::Inspected(_)
            | Event::Changed
            | Event::Spawned(..)
            | Event::SpawnFailed(_)
            | Event::ExecFailed(..)
            | Event::Sought(_)
            | Event::Ready => {}
        }
        if after.is_down() && !after.definition().stop {
            self.stop = false;
        }
        Ok(())
    }

    /// Time goes on, or somebody outside did something.
    pub fn calm_dues(&mut self) {
        self.dues = 0;
    }

    fn command(&mut self, command: &Command, mind: &Supervisor, kernel: &Kernel) {
        if command.target == Target::Log {
            // `Lx` is `x`; every other letter is the log's own affair.
            self.leaving |= command.control == Control::Exit;
            return;
        }
        let runs = kernel.places[Role::Main as usize]
            .as_ref()
            .is_some_and(|child| child.script == Script::Run);
        let one = Some(u32::from(!runs));
        if matches!(
            command.control,
            Control::Up | Control::UpPersist | Control::Once
        ) {
            self.leaving &= !mind.definition().manners.exit_stops;
        }
        match command.control {
            Control::Up | Control::UpPersist => {
                (self.order, self.allowed, self.excused) = (Wanted::Up, None, false);
            }
            Control::Once => {
                (self.order, self.allowed, self.excused) = (Wanted::Once, one, false);
            }
            Control::Down | Control::DownPersist => {
                (self.order, self.allowed) = (Wanted::Down, Some(0));
            }
            Control::NoRestart | Control::NoRestartPersist => {
                if self.order == Wanted::Up {
                    self.order = Wanted::Once;
                }
                self.allowed = match (self.allowed, one) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (None, b) => b,
                    (a, None) => a,
                };
            }
            Control::Exit => self.leaving = true,
            Control::Restart
            | Control::Pause
            | Control::Continue
            | Control::Send(_)
            | Control::SendGroup(_)
            | Control::SelectMain
            | Control::SelectLog
            | Control::ToGroup
            | Control::ToProcess => {}
        }
    }

    fn told(
        &mut self,
        role: Role,
        ended: Ended,
        before: &Supervisor,
        after: &Supervisor,
        child: Option<&Child>,
    ) -> Verdict {
        let Some(child) = child else {
            return broken(
                Law::NoLostExit,
                format!("an end in {role:?} was told, and nobody had been there"),
            );
        };
        if before.child(role) != Some(child.pid) {
            return broken(
                Law::NoLostExit,
                format!(
                    "the end of {role:?} {} was told to a supervisor that did not know it",
                    child.pid.get()
                ),
            );
        }
        if after.child(role) == Some(child.pid) {
            return broken(
                Law::NoLostExit,
                format!(
                    "the end of {role:?} {} was told and not noticed",
                    child.pid.get()
                ),
            );
        }
        if child.ended != Some(ended) && !(ended == Ended::Unknown && child.unseen) {
            return broken(
                Law::NoLostExit,
                format!("it ended with {:?} and {ended:?} was told", child.ended),
            );
        }
        let definition = before.definition();
        let hundred = definition.encore && ended == Ended::Code(100) && !child.exec_failed;
        match child.script {
            Script::Run => {
                self.finish = if !definition.finish {
                    Owed::No
                } else if child.exec_failed || ended == Ended::Unknown {
                    Owed::Maybe
                } else {
                    Owed::Yes
                };
                self.stop |= !child.exec_failed;
                self.excused |= hundred;
            }
            // A `start` that we sent down ourselves did not fail.
            Script::Start => self.excused |= !ended.is_success() && !child.sent_down,
            Script::Finish => {
                self.excused |= definition.manners.permanent && ended == Ended::Code(125);
            }
            Script::Stop => {
                self.stop = false;
                self.excused |= hundred;
            }
            Script::Log | Script::Check | Script::Hook => {}
        }
        Ok(())
    }

    /// The kernel is about to make a child.
    pub fn clone_child(
        &mut self,
        script: Script,
        now: Now,
        mind: &Supervisor,
        kernel: &Kernel,
    ) -> Verdict {
        if self.left {
            return broken(
                Law::AfterLeave,
                format!("{} is started after leaving", script.file()),
            );
        }
        if let Some(child) = &kernel.places[script.role() as usize] {
            return broken(
                Law::OneInEachPlace,
                format!(
                    "{} is started beside {} {}",
                    script.file(),
                    child.script.file(),
                    child.pid.get()
                ),
            );
        }
        if self.finish == Owed::Yes && matches!(script, Script::Run | Script::Start | Script::Stop)
        {
            return broken(
                Law::FinishOnce,
                format!("{} is started and finish is owed", script.file()),
            );
        }
        match script {
            Script::Run | Script::Start => {
                if self.order == Wanted::Down || self.leaving {
                    return broken(
                        Law::DownMeansDown,
                        format!(
                            "{} is started, the order being {:?}{}",
                            script.file(),
                            self.order,
                            if self.leaving { " and to leave" } else { "" }
                        ),
                    );
                }
                if self.excused {
                    return broken(
                        Law::DownMeansDown,
                        format!("{} is started after it had failed for good", script.file()),
                    );
                }
                self.ran = true;
                self.finish = Owed::No;
                if script == Script::Run {
                    match &mut self.allowed {
                        None => {}
                        Some(0) => {
                            return broken(
                                Law::DownMeansDown,
                                format!("one run too many, the order being {:?}", self.order),
                            );
                        }
                        Some(more) => *more -= 1,
                    }
                    gap(&mut self.run_at, now, "run")?;
                    self.runs += 1;
                }
            }
            Script::Finish => {
                if self.finish == Owed::No {
                    return broken(Law::FinishOnce, "finish is started and no run has ended");
                }
                self.finish = Owed::No;
            }
            Script::Stop => {
                if !self.ran {
                    return broken(Law::StopOnce, "stop is started and nothing has run");
                }
                self.ran = false;
                self.finish = Owed::No;
            }
            Script::Log => gap(&mut self.log_at, now, "log")?,
            // Who asks one hook beside another breaks the law of the places.
            Script::Hook => {}
            Script::Check => {
                if mind.run_pid().is_none() {
                    return broken(Law::CheckBesideRun, "check is started and run is not alive");
                }
            }
        }
        Ok(())
    }

    /// The supervisor left.
    pub fn leave(&mut self, kernel: &Kernel) -> Verdict {
        self.left = true;
        if let Some(child) = kernel.places.iter().flatten().next() {
            return broken(
                Law::AfterLeave,
                format!("{} {} is left behind", child.script.file(), child.pid.get()),
            );
        }
        if !self.leaving {
            return broken(Law::AfterLeave, "it left and nobody had asked");
        }
        Ok(())
    }

    /// All answers were given. `publish`: the status was written in this turn. `heard`: no command is left, so that none is
    /// half done by an engine that was killed.
    pub fn end_of_turn(
        &mut self,
        mind: &Supervisor,
        kernel: &Kernel,
        publish: bool,
        heard: bool,
    ) -> Verdict {
        let status = mind.status();
        let shown = (
            status.main.pid,
            status.main.paused,
            status.main.wanted,
            status.log.and_then(|log| log.pid),
        );
        if publish {
            self.published = Some(shown);
        }
        // Nothing was written yet: the shell writes the first status when it begins.
        if let Some(published) = self.published
            && published != shown
        {
            return broken(
                Law::TrueStatus,
                format!("{published:?} is published and {shown:?} is known"),
            );
        }
        let log_paused = status.log.is_some_and(|log| log.paused);
        for (paused, role) in [(shown.1, Role::Main), (log_paused, Role::Log)] {
            let runs = kernel.living(role).is_some_and(|child| !child.stopped);
            if paused && runs && heard {
                return broken(
                    Law::TrueStatus,
                    format!("the status shows {role:?} paused, and it runs"),
                );
            }
        }
        for (pid, role) in [(shown.0, Role::Main), (shown.3, Role::Log)] {
            let child = kernel.places[role as usize].as_ref();
            let definition = mind.definition();
            let shown = definition.manners.finish_shown && !definition.encore;
            let visible = child.filter(|child| child.script != Script::Finish || shown);
            let right = match (pid, visible) {
                (Some(pid), Some(child)) => pid == child.pid,
                // A doomed child is not shown; an adopting engine cannot know that it is one.
                (None, Some(child)) => child.exec_failed,
                (Some(_), None) => false,
                (None, None) => true,
            };
            if !right {
                return broken(
                    Law::TrueStatus,
                    format!("the status shows {pid:?} in {role:?}, and there is {child:?}"),
                );
            }
        }
        Ok(())
    }

    /// After the calm: what must be at last.
    pub fn at_last(&self, mind: &Supervisor, kernel: &Kernel) -> Verdict {
        let main = kernel.living(Role::Main);
        let runs = main.is_some_and(|child| child.script == Script::Run && !child.exec_failed);
        let up = runs || mind.phase() == Phase::Started;
        let down = main.is_none() && mind.is_down();
        if self.leaving && main.is_none() && !self.left {
            return broken(Law::GoneAtLast, format!("it is down and stays: {mind:?}"));
        }
        if self.leaving && mind.definition().manners.exit_stops && main.is_some() {
            return broken(
                Law::DownAtLast,
                format!("it was told to take down and leave: {mind:?}"),
            );
        }
        if self.order == Wanted::Up && !self.excused && !self.leaving && !up {
            return broken(Law::UpAtLast, format!("{mind:?}"));
        }
        if (self.order == Wanted::Down || self.excused) && !down {
            return broken(Law::DownAtLast, format!("{mind:?} with {main:?}"));
        }
        if !up && !down {
            return broken(Law::DownAtLast, format!("neither up nor down: {mind:?}"));
        }
        if self.finish == Owed::Yes && down {
            return broken(Law::FinishOnce, "it is down and finish was never run");
        }
        if self.stop && down && !mind.is_failed() && !self.excused {
            return broken(Law::StopOnce, "it is down and stop was never run");
        }
        if runs && mind.definition().check && !mind.is_ready() {
            return broken(Law::ReadyAtLast, format!("{mind:?}"));
        }
        let log = mind.status().log;
        if runs
            && mind.definition().log
            && log.is_some_and(|log| log.wanted == Some(Wanted::Up))
            && kernel.living(Role::Log).is_none()
        {
            return broken(Law::LogAtLast, format!("{mind:?}"));
        }
        Ok(())
    }
}

fn gap(last: &mut Option<Mono>, now: Now, what: &str) -> Verdict {
    if let Some(last) = *last {
        let since = now.mono.since(last);
        if since < START_GAP {
            return broken(
                Law::Gap,
                format!("{what} is started {} after its last start", Ms(since)),
            );
        }
    }
    *last = Some(now.mono);
    Ok(())
}

struct Ms(Duration);
impl core::fmt::Display for Ms {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} ms", self.0.as_millis())
    }
}
