//! Lives of the scanner: directories come, go, change names and stand for one another; supervisors leave; engines die.

use crate::dice::Dice;
use crate::oracle::{Law, Verdict, Violation, broken};
use crate::story::Story;
use eudaemon_core::scan::{Effect, Event, Id, Part, Scanner, Seen};
use eudaemon_core::supervise::Now;
use eudaemon_core::time::{Mono, Wall};
use std::collections::{BTreeMap, BTreeSet};

/// What became of a scanner's life.
#[derive(Clone, Debug)]
pub struct Life {
    /// Steps the scanner took.
    pub steps: u32,
    /// Parts that were switched on.
    pub starts: u32,
    /// The law that was broken, if one was.
    pub verdict: Result<(), Box<Violation>>,
    /// The story, if it was asked for.
    pub story: String,
}

/// A part that is on.
#[derive(Clone, Debug)]
struct On {
    name: Vec<u8>,
    logged: bool,
    /// It was told to leave, or shown the end of its input.
    told: bool,
}

/// How well a scanner hears: one that is deaf shows that the oracles are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ear {
    /// As it should.
    Good,
    /// Supervisors leave, and it does not notice.
    DeafToLeaving,
}

struct World {
    ear: Ear,
    dice: Dice,
    scanner: Scanner,
    replaces: bool,
    watched: bool,
    list_fails: u32,
    now: Mono,
    /// The directory: name to inode, and whether it had a log directory.
    listing: BTreeMap<Vec<u8>, (u64, bool)>,
    next_inode: u64,
    on: BTreeMap<(Id, Part), On>,
    /// Whom the shell has something open for.
    known: BTreeSet<Id>,
    asked: u32,
    stopping: bool,
    finished: bool,
    steps: u32,
    starts: u32,
    dues: u32,
    story: Story,
}

fn id(ino: u64) -> Id {
    Id { dev: 1, ino }
}

fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// Lives the life of `seed`.
#[must_use]
pub fn live(seed: u64, ear: Ear, written: bool) -> Life {
    let mut dice = Dice::new(seed);
    let now = Mono(10_000_000_000);
    let replaces = dice.chance(750);
    let mut world = World {
        ear,
        scanner: Scanner::new(now, replaces),
        replaces,
        watched: dice.chance(700),
        list_fails: dice.pick(&[0, 0, 100, 500]),
        now,
        listing: BTreeMap::new(),
        next_inode: 1,
        on: BTreeMap::new(),
        known: BTreeSet::new(),
        asked: 0,
        stopping: false,
        finished: false,
        steps: 0,
        starts: 0,
        dues: 0,
        story: Story::new(written),
        dice,
    };
    let verdict = world.whole_life();
    if let Err(violation) = &verdict {
        world.tell(|| {
            format!(
                "!!! {:?} is broken here: {}",
                violation.law, violation.words
            )
        });
    }
    Life {
        steps: world.steps,
        starts: world.starts,
        verdict,
        story: world.story.text().to_owned(),
    }
}

impl World {
    fn tell(&mut self, words: impl FnOnce() -> String) {
        let now = Now {
            mono: self.now,
            wall: Wall(0),
        };
        self.story.tell(now, words);
    }

    fn whole_life(&mut self) -> Verdict {
        self.hear(Event::Deadline)?;
        let weights: [u32; 7] = [
            10,
            10,
            self.dice.pick(&[1, 5, 20]),
            self.dice.pick(&[0, 3, 10]),
            self.dice.pick(&[0, 0, 1]),
            self.dice.pick(&[0, 0, 0, 1]),
            self.dice.pick(&[0, 2]),
        ];
        for _ in 0..20 + self.dice.below(120) {
            if self.finished {
                return Ok(());
            }
            let mut drawn = self.dice.below(u64::from(weights.iter().sum::<u32>())) as u32;
            let mut what = 0;
            for (index, weight) in weights.iter().enumerate() {
                if drawn < *weight {
                    what = index;
                    break;
                }
                drawn -= weight;
            }
            match what {
                0 => self.wait()?,
                1 => self.answer()?,
                2 => self.change()?,
                3 => self.somebody_leaves()?,
                4 => self.kill()?,
                5 => self.stop()?,
                _ => self.hear(Event::Changed)?,
            }
        }
        self.calm()
    }

    fn hear(&mut self, event: Event) -> Verdict {
        self.steps += 1;
        self.tell(|| match &event {
            Event::Listed { seen, .. } => {
                let names: Vec<String> = seen
                    .iter()
                    .map(|s| {
                        format!(
                            "{}={}{}",
                            shown(&s.name),
                            s.id.ino,
                            if s.logged { "+log" } else { "" }
                        )
                    })
                    .collect();
                format!("There is {}.", names.join(" "))
            }
            Event::Changed
            | Event::ListFailed
            | Event::Left(..)
            | Event::Stop
            | Event::Deadline
            | Event::Adopted { .. } => format!("{event:?}."),
        });
        if event == Event::Deadline {
            self.dues += 1;
            if self.dues > 20 {
                return broken(
                    Law::NoBusyLoop,
                    format!("{:?} at one instant", self.scanner.deadline()),
                );
            }
        } else {
            self.dues = 0;
        }
        if self.ear == Ear::DeafToLeaving && matches!(event, Event::Left(..)) {
            return Ok(());
        }
        let mut out = Vec::new();
        self.scanner.step(self.now, event, &mut out);
        for effect in out {
            self.perform(effect)?;
        }
        Ok(())
    }

    fn perform(&mut self, effect: Effect) -> Verdict {
        self.tell(|| format!("  {effect:?}"));
        if self.finished {
            return broken(Law::FinishWhenOff, format!("{effect:?} after Finish"));
        }
        match effect {
            Effect::List => self.asked += 1,
            Effect::Supervise(id, part) => {
                if self.stopping {
                    return broken(Law::NothingAfterStop, format!("{id:?} {part:?}"));
                }
                if self.on.contains_key(&(id, part)) {
                    return broken(
                        Law::PartOnce,
                        format!("{id:?} {part:?} is on and is switched on"),
                    );
                }
                let Some(name) = self.scanner.name(id).map(<[u8]>::to_vec) else {
                    return broken(Law::ForgetWhenOff, format!("{id:?} has no name"));
                };
                let twin = self
                    .on
                    .iter()
                    .find(|((other, _), on)| *other != id && on.name == name);
                // The log of a service whose main is on already adds no second service.
                let first = part == Part::Main || !self.on.contains_key(&(id, Part::Main));
                if self.replaces
                    && first
                    && let Some(((other, part), _)) = twin
                {
                    return broken(
                        Law::NameOnce,
                        format!(
                            "{} is switched on as {} while {} ({part:?}) is on",
                            shown(&name),
                            id.ino,
                            other.ino
                        ),
                    );
                }
                let logged = part == Part::Log || self.on.contains_key(&(id, Part::Log));
                self.starts += 1;
                self.known.insert(id);
                self.on.insert(
                    (id, part),
                    On {
                        name,
                        logged,
                        told: false,
                    },
                );
            }
            Effect::Down(id, part) => match self.on.get_mut(&(id, part)) {
                Some(on) => on.told = true,
                None => {
                    return broken(
                        Law::ForgetWhenOff,
                        format!("{id:?} {part:?} is told to go and is off"),
                    );
                }
            },
            Effect::Drain(id) => match self.on.get_mut(&(id, Part::Log)) {
                // Some logs end at the end of their input, and some have to be told.
                Some(on) => on.told |= self.dice.chance(500),
                None => return broken(Law::ForgetWhenOff, format!("{id:?} has no log to drain")),
            },
            Effect::Rename(id, name) => {
                for part in [Part::Main, Part::Log] {
                    if let Some(on) = self.on.get_mut(&(id, part)) {
                        on.name.clone_from(&name);
                    }
                }
            }
            Effect::Forget(id) => {
                self.known.remove(&id);
                if self.on.keys().any(|(other, _)| *other == id) {
                    return broken(Law::ForgetWhenOff, format!("{id:?} is on and forgotten"));
                }
            }
            Effect::Finish => {
                if !self.stopping || !self.on.is_empty() {
                    return broken(Law::FinishWhenOff, format!("with {:?}", self.on));
                }
                self.finished = true;
            }
        }
        Ok(())
    }

    fn wait(&mut self) -> Verdict {
        let to = match (self.dice.below(3), self.scanner.deadline()) {
            (0 | 1, Some(at)) => at.0.max(self.now.0),
            (_, _) => self.now.0 + self.dice.below(3_000_000_000),
        };
        if to > self.now.0 {
            self.dues = 0;
        }
        self.now = Mono(to);
        if self.scanner.deadline().is_some_and(|at| at <= self.now) || self.dice.chance(50) {
            self.hear(Event::Deadline)?;
        }
        Ok(())
    }

    fn answer(&mut self) -> Verdict {
        if self.asked == 0 {
            return Ok(());
        }
        self.asked -= 1;
        if self.dice.chance(self.list_fails) {
            return self.hear(Event::ListFailed);
        }
        let seen = self
            .listing
            .iter()
            .map(|(name, (ino, logged))| Seen {
                name: name.clone(),
                id: id(*ino),
                logged: *logged,
            })
            .collect();
        let watched = self.watched;
        self.hear(Event::Listed { seen, watched })
    }

    fn change(&mut self) -> Verdict {
        let name = vec![self.dice.pick(b"abc")];
        let other = vec![self.dice.pick(b"abc")];
        let fresh = (self.next_inode, self.dice.chance(400));
        match self.dice.below(4) {
            0 => {
                self.next_inode += 1;
                self.listing.insert(name, fresh);
            }
            1 => {
                self.listing.remove(&name);
            }
            2 => {
                if let Some(what) = self.listing.remove(&name) {
                    self.listing.insert(other, what);
                }
            }
            // Two names change places, or a second link is made.
            _ => match (
                self.listing.get(&name).copied(),
                self.listing.get(&other).copied(),
            ) {
                (Some(a), Some(b)) => {
                    self.listing.insert(name, b);
                    self.listing.insert(other, a);
                }
                (Some(a), None) => {
                    self.listing.insert(other, a);
                }
                (None, _) => {}
            },
        }
        self.tell(|| "The directory changes.".into());
        if self.watched {
            self.hear(Event::Changed)?;
        }
        Ok(())
    }

    fn somebody_leaves(&mut self) -> Verdict {
        let on: Vec<(Id, Part)> = self
            .on
            .iter()
            .filter(|(_, on)| on.told)
            .map(|(key, _)| *key)
            .collect();
        // Those who were told leave; now and then one leaves because an operator said `dx`.
        let who = if on.is_empty() || self.dice.chance(100) {
            self.on.keys().copied().collect()
        } else {
            on
        };
        if who.is_empty() {
            return Ok(());
        }
        let (id, part) = self.dice.pick(&who);
        self.on.remove(&(id, part));
        self.hear(Event::Left(id, part))
    }

    /// The engine is killed; the next adopts what is on.
    fn kill(&mut self) -> Verdict {
        self.tell(|| "*** The engine is killed. Another begins.".into());
        self.scanner = Scanner::new(self.now, self.replaces);
        self.asked = 0;
        let on: Vec<(Id, Part, On)> = self
            .on
            .iter()
            .map(|((id, part), on)| (*id, *part, on.clone()))
            .collect();
        for (id, part, on) in on {
            let seen = Seen {
                name: on.name,
                id,
                logged: on.logged,
            };
            self.hear(Event::Adopted { seen, part })?;
        }
        if self.stopping && !self.finished {
            self.hear(Event::Stop)?;
        }
        Ok(())
    }

    fn stop(&mut self) -> Verdict {
        self.stopping = true;
        self.hear(Event::Stop)
    }

    /// No more changes; who is told leaves; lists succeed.
    fn calm(&mut self) -> Verdict {
        self.tell(|| "--- The storm is over.".into());
        self.list_fails = 0;
        let end = Mono(self.now.0 + 60_000_000_000);
        loop {
            if self.asked > 0 {
                self.answer()?;
                continue;
            }
            let told = self.on.iter().find(|(_, on)| on.told).map(|(key, _)| *key);
            if let Some((id, part)) = told {
                self.on.remove(&(id, part));
                self.hear(Event::Left(id, part))?;
                continue;
            }
            match self.scanner.deadline() {
                Some(at) if at <= end => {
                    if at > self.now {
                        self.now = at;
                        self.dues = 0;
                    }
                    self.hear(Event::Deadline)?;
                }
                Some(_) | None => break,
            }
        }
        if self.stopping {
            return if self.finished {
                Ok(())
            } else {
                broken(Law::FinishAtLast, format!("{:?}", self.on))
            };
        }
        for (name, (ino, logged)) in &self.listing {
            for part in [Part::Main, Part::Log] {
                let wanted = part == Part::Main || *logged;
                if wanted && !self.on.contains_key(&(id(*ino), part)) {
                    return broken(
                        Law::PresentAtLast,
                        format!("{}={ino} is listed, and its {part:?} is off", shown(name)),
                    );
                }
            }
        }
        Ok(())
    }
}
