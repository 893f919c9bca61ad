//! The shell around a supervisor, as the engine is: what it saves, in which order it does things, and where it can be killed.
//!
//! For each event: step on a copy; save the words; if the event was an end, free its slot; perform each effect in order; if
//! the event was a command, take it from the inbox. Answers of effects are queued. The status is published when the turn
//! ends. A fuse kills the engine at any of these moments; then [`Shell::restart`] is what the next engine does.

use crate::dice::Dice;
use crate::kernel::{Cell, Kernel};
use crate::mind::Mind;
use crate::oracle::{Law, Oracle, Verdict, Violation, broken};
use crate::story::{self, Story};
use core::marker::PhantomData;
use eudaemon_core::control::{Command, Control};
use eudaemon_core::definition::Definition;
use eudaemon_core::supervise::{Effect, Event, Fact, Hold, Now, Role, Script, Supervisor, WORDS};
use eudaemon_core::words::{Ended, Signal};
use std::collections::VecDeque;

/// Why a turn stopped in the middle.
#[derive(Debug)]
pub enum Halt {
    /// The engine was killed.
    Killed,
    /// A law was broken.
    Broken(Box<Violation>),
}
impl From<Box<Violation>> for Halt {
    fn from(violation: Box<Violation>) -> Halt {
        Halt::Broken(violation)
    }
}

/// A part of a turn.
pub type Turn = Result<(), Halt>;

/// How the world answers a supervisor. All zero: every wish is granted.
#[derive(Clone, Debug)]
pub struct Fate {
    /// Where chance comes from.
    pub dice: Dice,
    /// What the directory may say.
    pub definitions: Vec<Definition>,
    /// Per mille: the kernel refuses a child.
    pub refuses: u32,
    /// The next so many children are refused.
    pub refuses_next: u32,
    /// Per mille: a child cannot exec.
    pub exec_fails: u32,
    /// Per mille: the directory says not now.
    pub holds: u32,
    /// Per mille: there is a hook for a letter.
    pub hooks: u32,
    /// Per mille: a child ignores polite signals.
    pub ignores: u32,
    /// Per mille: a child other than `run` and log never ends by itself.
    pub hangs: u32,
    /// Per mille, after the engine was killed: the next one is killed soon too.
    pub kills_again: u32,
}

/// What set an effect going.
#[derive(Clone, Copy, Debug)]
enum Cause {
    Event(Event),
    Adoption,
}

/// Place, engine and judge of one service.
#[derive(Clone, Debug)]
pub struct Shell<M> {
    /// The engine's supervisor.
    pub mind: Supervisor,
    /// Processes and slots.
    pub kernel: Kernel,
    /// Commands read and not fully handled. They outlive the engine.
    ///
    /// Commands, not bytes: the selections (`L`, `+`) of a byte handled earlier in its batch must outlive the engine too.
    pub inbox: VecDeque<Command>,
    /// Answers not yet heard. They do not.
    pub answers: VecDeque<Event>,
    /// The clocks.
    pub now: Now,
    /// How the world answers.
    pub fate: Fate,
    /// Who judges.
    pub oracle: Oracle,
    /// Who writes it down.
    pub story: Story,
    /// Moments until the engine is killed.
    pub fuse: Option<u32>,
    /// Moments so far at which it could have been killed.
    pub moments: u32,
    /// Steps taken.
    pub steps: u32,
    /// The supervisor has left.
    pub left: bool,
    words: Option<[u64; WORDS]>,
    down_file: bool,
    publish: bool,
    spare: Vec<Effect>,
    how: PhantomData<M>,
}

fn newborn(now: Now, down: bool, fate: &Fate) -> Supervisor {
    let manners = fate
        .definitions
        .first()
        .map(|definition| definition.manners);
    Supervisor::new(now, down).with_manners(manners.unwrap_or_default())
}

impl<M: Mind> Shell<M> {
    /// A service directory nobody supervised yet.
    #[must_use]
    pub fn new(now: Now, down: bool, fate: Fate, story: Story) -> Shell<M> {
        Shell {
            mind: newborn(now, down, &fate),
            kernel: Kernel::default(),
            inbox: VecDeque::new(),
            answers: VecDeque::new(),
            now,
            fate,
            oracle: Oracle::new(down),
            story,
            fuse: None,
            moments: 0,
            steps: 0,
            left: false,
            words: None,
            down_file: down,
            publish: false,
            spare: Vec::new(),
            how: PhantomData,
        }
    }

    /// A child comes to its end, and a keeper sees it. A hook that succeeds has done what its letter asks for.
    pub fn end(&mut self, role: Role, ended: Ended) {
        if role == Role::Hook
            && ended.is_success()
            && let Some(run) = &mut self.kernel.places[Role::Main as usize]
            && run.script == Script::Run
        {
            match self.mind.hook() {
                Some(b't') => run.lethal = Some(Signal::Term),
                Some(b'c') => run.stopped = false,
                Some(_) | None => {}
            }
        }
        self.kernel.end(role, ended, true);
    }

    /// A moment at which the engine can be killed.
    fn moment(&mut self) -> Turn {
        self.moments += 1;
        match self.fuse {
            Some(0) => {
                self.fuse = None;
                Err(Halt::Killed)
            }
            Some(more) => {
                self.fuse = Some(more - 1);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn commit(&mut self, cause: Cause, next: Supervisor) -> Turn {
        self.moment()?;
        let words = next.save();
        if Supervisor::restore(&words) != Some(next) {
            return Ok(broken(
                Law::Memory,
                format!("{next:?} is not what its words say"),
            )?);
        }
        if let Cause::Event(event) = cause {
            self.oracle.step(&event, &self.mind, &next, &self.kernel)?;
            if let Event::Exited(role, _) = event {
                // Told, and the words that know it are saved in the same instant.
                self.kernel.places[role as usize] = None;
            }
        }
        self.words = Some(words);
        self.mind = next;
        self.moment()
    }

    /// One step, its effects included. Answers wait in their queue.
    pub fn hear(&mut self, event: Event) -> Turn {
        self.steps += 1;
        self.story.tell(self.now, || story::heard(&event));
        if event != Event::Deadline {
            self.oracle.calm_dues();
        }
        let mut next = self.mind;
        let mut out = std::mem::take(&mut self.spare);
        out.clear();
        M::step(&mut next, self.now, event, &mut out);
        let turn = self.carry(Cause::Event(event), next, &out);
        self.spare = out;
        turn
    }

    fn carry(&mut self, cause: Cause, next: Supervisor, effects: &[Effect]) -> Turn {
        self.commit(cause, next)?;
        match cause {
            Cause::Event(Event::Exited(role, _)) => {
                self.kernel.slots[role as usize].cell = Cell::Free;
            }
            Cause::Event(_) => {}
            Cause::Adoption => self.free_what_was_told()?,
        }
        for effect in effects {
            self.moment()?;
            self.perform(cause, *effect)?;
        }
        if let Cause::Event(Event::Command(_)) = cause {
            self.moment()?;
            self.inbox.pop_front();
        }
        Ok(())
    }

    /// Slots whose end an earlier engine told and did not live to free; nobody else may be unknown.
    fn free_what_was_told(&mut self) -> Turn {
        for role in Role::ALL {
            let slot = &mut self.kernel.slots[role as usize];
            let known = slot.generation == self.mind.generation(role)
                && slot.pid.is_some()
                && self.mind.child(role) == slot.pid;
            let child = self.kernel.places[role as usize].as_ref();
            match (slot.cell, child) {
                (Cell::Exited(_), Some(child)) if !known => {
                    return Ok(broken(
                        Law::NoLostExit,
                        format!("the end of {} is thrown away", child.pid.get()),
                    )?);
                }
                (_, Some(child)) if self.mind.child(role) != Some(child.pid) => {
                    return Ok(broken(
                        Law::NoLostChild,
                        format!(
                            "{} {} is unknown to the next engine",
                            child.script.file(),
                            child.pid.get()
                        ),
                    )?);
                }
                (Cell::Exited(_), _) if !known => slot.cell = Cell::Free,
                (Cell::Free | Cell::Intent | Cell::Exited(_), _) => {}
            }
        }
        Ok(())
    }

    fn perform(&mut self, cause: Cause, effect: Effect) -> Turn {
        self.story.tell(self.now, || story::done(&effect));
        // Publishing is put off to the end of the turn anyway, so its place beside `Leave` means nothing.
        if self.left && effect != Effect::Publish {
            return Ok(broken(Law::AfterLeave, story::done(&effect))?);
        }
        match effect {
            Effect::Inspect => {
                let answer = if self.fate.dice.chance(self.fate.holds) {
                    Err(self.fate.dice.pick(&Hold::ALL))
                } else {
                    Ok(self.fate.dice.pick(&self.fate.definitions))
                };
                self.answers.push_back(Event::Inspected(answer));
            }
            Effect::Seek => {
                let found = self.fate.dice.chance(self.fate.hooks);
                self.answers.push_back(Event::Sought(found));
            }
            Effect::Launch { script, generation } => self.launch(script, generation)?,
            Effect::Signal {
                role, pid, signal, ..
            } => {
                if !self.kernel.signal(role, pid, signal) {
                    return Ok(broken(
                        Law::OnlyOurs,
                        format!("{} to {}, who is not ours", signal.name(), pid.get()),
                    )?);
                }
                let for_down = match cause {
                    Cause::Event(Event::Command(command)) => {
                        matches!(
                            command.control,
                            Control::Down | Control::DownPersist | Control::Exit
                        )
                    }
                    Cause::Event(Event::Spawned(..)) | Cause::Adoption => true,
                    Cause::Event(_) => false,
                };
                if for_down
                    && signal != Signal::Cont
                    && let Some(child) = &mut self.kernel.places[role as usize]
                {
                    child.sent_down = true;
                }
            }
            Effect::Publish => self.publish = true,
            Effect::DownFile(down) => self.down_file = down,
            Effect::Leave => {
                self.oracle.leave(&self.kernel)?;
                self.left = true;
            }
            // Nothing depends on them.
            Effect::Notify { .. } | Effect::Tally(_) | Effect::CloseLog | Effect::Sweep => {}
        }
        Ok(())
    }

    fn launch(&mut self, script: Script, generation: u32) -> Turn {
        let role = script.role();
        // Before the slot is overwritten: a child that is there would be lost here.
        if let Some(child) = &self.kernel.places[role as usize] {
            return Ok(broken(
                Law::OneInEachPlace,
                format!(
                    "{} is launched over {} {}",
                    script.file(),
                    child.script.file(),
                    child.pid.get()
                ),
            )?);
        }
        self.kernel.intend(role, generation);
        self.moment()?;
        let refused = self.fate.refuses_next > 0 || self.fate.dice.chance(self.fate.refuses);
        self.fate.refuses_next = self.fate.refuses_next.saturating_sub(1);
        if refused {
            self.answers.push_back(Event::SpawnFailed(role));
            return Ok(());
        }
        self.oracle
            .clone_child(script, self.now, &self.mind, &self.kernel)?;
        let pid = self.kernel.clone_child(script);
        let exec_failed = self.fate.dice.chance(self.fate.exec_fails);
        let ignores = self.fate.dice.chance(self.fate.ignores);
        let hangs = self.fate.dice.chance(self.fate.hangs);
        if let Some(child) = &mut self.kernel.places[role as usize] {
            child.exec_failed = exec_failed;
            child.ignores = ignores && !exec_failed;
            child.hangs = hangs && !exec_failed;
        }
        self.answers.push_back(if exec_failed {
            Event::ExecFailed(role, pid)
        } else {
            Event::Spawned(role, pid)
        });
        Ok(())
    }

    /// Hears every answer, then ends the turn.
    pub fn settle(&mut self) -> Turn {
        while let Some(answer) = self.answers.pop_front() {
            if self.left {
                break;
            }
            self.hear(answer)?;
        }
        self.moment()?;
        let publish = std::mem::take(&mut self.publish);
        self.oracle
            .end_of_turn(&self.mind, &self.kernel, publish, self.inbox.is_empty())?;
        Ok(())
    }

    /// Handles the first command of the inbox; its answers wait.
    pub fn obey(&mut self) -> Turn {
        match self.inbox.front() {
            Some(command) => self.hear(Event::Command(*command)),
            None => Ok(()),
        }
    }

    /// Tells an end that the keeper recorded. False if there is none.
    pub fn tell_end(&mut self, role: Role) -> Result<bool, Halt> {
        // A child whose launch was not yet answered is not known: the answer is heard first.
        while let Some(answer) = self.answers.pop_front() {
            self.hear(answer)?;
        }
        let Cell::Exited(ended) = self.kernel.slots[role as usize].cell else {
            return Ok(false);
        };
        self.hear(Event::Exited(role, ended))?;
        Ok(true)
    }

    /// What the next engine does.
    fn restart(&mut self) -> Turn {
        self.answers.clear();
        self.publish = false;
        self.oracle.calm_dues();
        let mut next = match &self.words {
            None => newborn(self.now, self.down_file, &self.fate),
            Some(words) => match Supervisor::restore(words) {
                Some(mind) => mind,
                None => return Ok(broken(Law::Memory, "the words are not read")?),
            },
        };
        let mut facts = [Fact::Nothing; Role::ALL.len()];
        for role in Role::ALL {
            let slot = &mut self.kernel.slots[role as usize];
            // Both were dead when it ended: the slot says nothing, and the process is gone.
            if slot.cell == Cell::Intent
                && self.kernel.places[role as usize].is_some_and(|child| child.unseen)
            {
                slot.cell = Cell::Exited(Ended::Unknown);
            }
            if let Some(pid) = slot.pid
                && slot.generation == next.generation(role)
                && slot.cell != Cell::Free
            {
                facts[role as usize] = Fact::Child(pid);
            }
        }
        let mut out = Vec::new();
        next.adopt(self.now, facts, &mut out);
        self.carry(Cause::Adoption, next, &out)?;
        // Ends are told, and commands heard again, whenever the world gets to them.
        Ok(())
    }

    /// Whatever happened to the engine in `turn`, one lives afterwards.
    pub fn survive(&mut self, mut turn: Turn) -> Verdict {
        loop {
            match turn {
                Ok(()) => return Ok(()),
                Err(Halt::Broken(violation)) => return Err(violation),
                Err(Halt::Killed) => {
                    if self.left {
                        return Ok(());
                    }
                    self.story.tell(self.now, || {
                        "*** The engine is killed. Another begins.".into()
                    });
                    if self.fate.dice.chance(self.fate.kills_again) {
                        self.fuse = Some(self.fate.dice.below(12) as u32);
                    }
                    turn = self.restart();
                }
            }
        }
    }

    /// The engine is killed now; another begins.
    pub fn kill(&mut self) -> Verdict {
        self.survive(Err(Halt::Killed))
    }
}
