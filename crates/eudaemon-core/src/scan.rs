//! What a scanner does next: from directory listings to services to start, to leave alone, to stop.
//!
//! # The model
//!
//! A service is a directory, known by device and inode, not by name (daemontools 0.76). It has one part, **main**, or two,
//! main and **log** when `NAME/log` was a directory when the service was first seen; then a pipe joins them and lasts as
//! long as the service is known. Each part is **off**, or **on** while it has a supervisor. A log may also be **draining**:
//! its service is gone, it was shown the end of its input, and it is given [`DRAIN`] to finish by itself.
//!
//! A service that is listed and off is switched on. One that is no longer listed keeps its supervisors, which restart it as
//! ever; it is forgotten when both have left. One whose name now stands for another directory is **replaced**: it is told
//! to go down and leave, and the new one is switched on when it has left, so that there are never two copies
//! (`classic` does not replace: there, as in 0.76, both run).
//!
//! Once told to stop, the scanner takes nothing new on, sends every main down, then drains every log, and is finished when
//! all parts are off.

use crate::time::Mono;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

/// Pause between two looks at a directory that cannot be watched, and before a service that left is switched on again.
/// Source: daemontools 0.76 svscan(8), "every five seconds".
pub const SCAN_PAUSE: Duration = Duration::from_secs(5);
/// How long a logger may take to empty its pipe once its service is gone.
pub const DRAIN: Duration = Duration::from_secs(5);

/// A directory's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// `st_dev`.
    pub dev: u64,
    /// `st_ino`.
    pub ino: u64,
}

/// A part of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// `NAME`.
    Main,
    /// `NAME/log`.
    Log,
}

/// One directory of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its name.
    pub name: Vec<u8>,
    /// Its identity, symbolic links followed.
    pub id: Id,
    /// It has a `log` directory.
    pub logged: bool,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Something in the directory changed.
    Changed,
    /// Answer to [`Effect::List`]; `watched` if further changes will be told.
    Listed {
        /// What is there.
        seen: Vec<Seen>,
        /// The directory is watched, so no look is needed until a change is told.
        watched: bool,
    },
    /// Answer to [`Effect::List`]: the directory could not be read.
    ListFailed,
    /// A supervisor has left, or could not begin.
    Left(Id, Part),
    /// Take everything down and finish.
    Stop,
    /// The moment of [`Scanner::deadline`] may have come.
    Deadline,
    /// A part that was on before the shell was killed, and has been adopted.
    Adopted {
        /// The service.
        seen: Seen,
        /// The part.
        part: Part,
    },
}

/// What the shell must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Read the directory; answer [`Event::Listed`] or [`Event::ListFailed`].
    List,
    /// Begin to supervise a part; [`Event::Left`] when that ends.
    Supervise(Id, Part),
    /// Tell a part's supervisor to take it down and leave (`dx`).
    Down(Id, Part),
    /// Show the log the end of its input, and have its supervisor leave when it ends (`Ox`).
    Drain(Id),
    /// It has another name now.
    Rename(Id, Vec<u8>),
    /// Close what was kept for it.
    Forget(Id),
    /// Everything is down.
    Finish,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LogState {
    None,
    Off,
    On,
    Draining { until: Option<Mono> },
}

#[derive(Clone, Debug)]
struct Entry {
    name: Vec<u8>,
    present: bool,
    main: bool,
    log: LogState,
    /// It was told to leave because it was no longer listed.
    dismissed: bool,
    /// It was told to leave because another took its name. It is not switched on before all of it has left.
    replaced: bool,
}

impl Entry {
    fn is_off(&self) -> bool {
        !self.main && matches!(self.log, LogState::None | LogState::Off)
    }
}

/// What the families' scanners do differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habits {
    /// The parts of a service come and go together, for there is one supervisor for both (runit): a log is drained as soon as
    /// its service has left, and both are switched on again.
    pub together: bool,
    /// A service that is no longer listed is told to go down and leave (runit).
    pub dismisses: bool,
    /// How long a logger may take to empty its pipe once its service is gone; `None` for as long as it likes.
    pub drain: Option<Duration>,
    /// Pause before a service that left is switched on again.
    pub again: Duration,
}

impl Habits {
    /// daemontools 0.76, and ours.
    pub const FAMILY: Habits = Habits {
        together: false,
        dismisses: false,
        drain: Some(DRAIN),
        again: SCAN_PAUSE,
    };
    /// runit 2.1.2: runsvdir(8), runsv(8).
    pub const RUNIT: Habits = Habits {
        together: true,
        dismisses: true,
        drain: None,
        again: Duration::from_secs(1),
    };
}

/// A scan directory's scanner. See the module's text.
#[derive(Clone, Debug)]
pub struct Scanner {
    services: BTreeMap<Id, Entry>,
    stopping: bool,
    finished: bool,
    list_at: Option<Mono>,
    replaces: bool,
    habits: Habits,
}

impl Scanner {
    /// A scanner that has seen nothing. `replaces`: a name that stands for another directory stops the old one first.
    #[must_use]
    pub fn new(now: Mono, replaces: bool) -> Scanner {
        Scanner {
            services: BTreeMap::new(),
            stopping: false,
            finished: false,
            list_at: Some(now),
            replaces,
            habits: Habits::FAMILY,
        }
    }

    /// The same with these habits.
    #[must_use]
    pub fn with_habits(mut self, habits: Habits) -> Scanner {
        self.habits = habits;
        self
    }

    /// When to call back with [`Event::Deadline`].
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        if self.finished {
            return None;
        }
        let drains = self.services.values().filter_map(|entry| match entry.log {
            LogState::Draining { until } => until,
            LogState::None | LogState::Off | LogState::On => None,
        });
        drains.chain(self.list_at.filter(|_| !self.stopping)).min()
    }

    /// Whether it was told to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// The name a service was last seen under.
    #[must_use]
    pub fn name(&self, id: Id) -> Option<&[u8]> {
        self.services.get(&id).map(|entry| entry.name.as_slice())
    }

    /// Whether a service was in the latest listing.
    #[must_use]
    pub fn is_present(&self, id: Id) -> bool {
        self.services.get(&id).is_some_and(|entry| entry.present)
    }

    /// Decides. Effects are appended to `out`, to be performed in order.
    pub fn step(&mut self, now: Mono, event: Event, out: &mut Vec<Effect>) {
        match event {
            Event::Changed => {
                if !self.stopping {
                    self.list_at = None;
                    out.push(Effect::List);
                }
            }
            Event::Listed { seen, watched } => self.on_listed(now, seen, watched, out),
            Event::ListFailed => self.list_at = Some(now + SCAN_PAUSE),
            Event::Left(id, part) => self.on_left(now, id, part, out),
            Event::Stop => self.on_stop(now, out),
            Event::Deadline => self.on_deadline(now, out),
            Event::Adopted { seen, part } => {
                let entry = self.services.entry(seen.id).or_insert(Entry {
                    name: seen.name,
                    present: false,
                    main: false,
                    log: if seen.logged {
                        LogState::Off
                    } else {
                        LogState::None
                    },
                    dismissed: false,
                    replaced: false,
                });
                match part {
                    Part::Main => entry.main = true,
                    Part::Log => entry.log = LogState::On,
                }
            }
        }
    }

    fn on_deadline(&mut self, now: Mono, out: &mut Vec<Effect>) {
        if !self.stopping && self.list_at.is_some_and(|at| at <= now) {
            self.list_at = None;
            out.push(Effect::List);
        }
        for (id, entry) in &mut self.services {
            if let LogState::Draining { until: Some(at) } = entry.log
                && at <= now
            {
                entry.log = LogState::Draining { until: None };
                out.push(Effect::Down(*id, Part::Log));
            }
        }
    }

    fn on_listed(&mut self, now: Mono, mut seen: Vec<Seen>, watched: bool, out: &mut Vec<Effect>) {
        if self.stopping {
            return;
        }
        self.list_at = if watched {
            None
        } else {
            Some(now + SCAN_PAUSE)
        };
        // The originals take the directory's own order; sorting satisfies every reader (specification §12.9).
        seen.sort_by(|a, b| a.name.cmp(&b.name));
        for entry in self.services.values_mut() {
            entry.present = false;
        }
        for Seen { name, id, logged } in seen {
            if let Some(entry) = self.services.get_mut(&id) {
                // Two links to one directory: the first name counts, as in 0.76.
                if !entry.present && entry.name != name {
                    entry.name.clone_from(&name);
                    out.push(Effect::Rename(id, name));
                }
                entry.present = true;
                continue;
            }
            let log = if logged {
                LogState::Off
            } else {
                LogState::None
            };
            let entry = Entry {
                name,
                present: true,
                main: false,
                log,
                dismissed: false,
                replaced: false,
            };
            self.services.insert(id, entry);
        }
        self.replace(out);
        self.dismiss(out);
        let mut listed: Vec<Id> = self
            .services
            .iter()
            .filter(|(_, entry)| entry.present)
            .map(|(id, _)| *id)
            .collect();
        listed.sort_by(|a, b| self.name(*a).cmp(&self.name(*b)));
        for id in listed {
            self.switch_on(id, out);
        }
        self.forget_the_absent(out);
    }

    /// A listed service has the name of an absent one that still runs: the absent one makes way.
    fn replace(&mut self, out: &mut Vec<Effect>) {
        if !self.replaces {
            return;
        }
        let old: Vec<Id> = self
            .services
            .iter()
            .filter(|(_, entry)| !entry.present && !entry.is_off() && !entry.replaced)
            .filter(|(_, entry)| {
                self.services
                    .values()
                    .any(|newer| newer.present && newer.name == entry.name)
            })
            .map(|(id, _)| *id)
            .collect();
        for id in old {
            let Some(entry) = self.services.get_mut(&id) else {
                continue;
            };
            entry.replaced = true;
            if entry.main {
                out.push(Effect::Down(id, Part::Main));
            } else {
                self.drain(None, id, out);
            }
        }
    }

    /// What is no longer listed is told to leave, once.
    fn dismiss(&mut self, out: &mut Vec<Effect>) {
        if !self.habits.dismisses {
            return;
        }
        for (id, entry) in &mut self.services {
            if entry.present {
                continue;
            }
            if entry.main && !entry.replaced && !entry.dismissed {
                entry.dismissed = true;
                out.push(Effect::Down(*id, Part::Main));
            }
        }
    }

    /// Whether an absent service still runs under this one's name. Asked anew each time: names change while they leave, and
    /// several may have to.
    fn must_wait(&self, entry: &Entry) -> bool {
        self.replaces
            && self
                .services
                .values()
                .any(|other| !other.present && !other.is_off() && other.name == entry.name)
    }

    fn switch_on(&mut self, id: Id, out: &mut Vec<Effect>) {
        match self.services.get(&id) {
            Some(entry) if !entry.replaced && (entry.main || !self.must_wait(entry)) => {}
            Some(_) | None => return,
        }
        let together = self.habits.together;
        let Some(entry) = self.services.get_mut(&id) else {
            return;
        };
        if together && !entry.is_off() {
            return;
        }
        entry.dismissed = false;
        if entry.log == LogState::Off {
            entry.log = LogState::On;
            out.push(Effect::Supervise(id, Part::Log));
        }
        if !entry.main {
            entry.main = true;
            out.push(Effect::Supervise(id, Part::Main));
        }
    }

    fn drain(&mut self, now: Option<Mono>, id: Id, out: &mut Vec<Effect>) {
        let drain = self.habits.drain;
        if let Some(entry) = self.services.get_mut(&id)
            && entry.log == LogState::On
        {
            let until = now.zip(drain).map(|(now, drain)| now + drain);
            entry.log = LogState::Draining { until };
            out.push(Effect::Drain(id));
            if now.is_none() {
                out.push(Effect::Down(id, Part::Log));
            }
        }
    }

    fn on_left(&mut self, now: Mono, id: Id, part: Part, out: &mut Vec<Effect>) {
        let Some(entry) = self.services.get_mut(&id) else {
            return;
        };
        match part {
            Part::Main => entry.main = false,
            Part::Log => entry.log = LogState::Off,
        }
        if part == Part::Main && (self.stopping || entry.replaced || self.habits.together) {
            self.drain(Some(now), id, out);
        }
        if self.stopping {
            return self.finish_if_off(out);
        }
        let Some(entry) = self.services.get_mut(&id) else {
            return;
        };
        if !entry.present {
            return self.forget_the_absent(out);
        }
        if entry.is_off() {
            // It made way, and came back under another name.
            entry.replaced = false;
        }
        if !entry.replaced {
            let at = now + self.habits.again;
            self.list_at = Some(self.list_at.map_or(at, |already| already.min(at)));
        }
    }

    fn forget_the_absent(&mut self, out: &mut Vec<Effect>) {
        let gone: Vec<(Vec<u8>, Id)> = self
            .services
            .iter()
            .filter(|(_, entry)| !entry.present && entry.is_off())
            .map(|(id, entry)| (entry.name.clone(), *id))
            .collect();
        for (name, id) in gone {
            self.services.remove(&id);
            out.push(Effect::Forget(id));
            if self.stopping {
                continue;
            }
            let newer: Vec<Id> = self
                .services
                .iter()
                .filter(|(_, entry)| entry.present && entry.name == name)
                .map(|(id, _)| *id)
                .collect();
            for id in newer {
                self.switch_on(id, out);
            }
        }
    }

    fn on_stop(&mut self, now: Mono, out: &mut Vec<Effect>) {
        if self.stopping {
            return;
        }
        self.stopping = true;
        let ids: Vec<(Id, bool)> = self
            .services
            .iter()
            .map(|(id, entry)| (*id, entry.main))
            .collect();
        for (id, main) in ids {
            if main {
                out.push(Effect::Down(id, Part::Main));
            } else {
                self.drain(Some(now), id, out);
            }
        }
        self.finish_if_off(out);
    }

    fn finish_if_off(&mut self, out: &mut Vec<Effect>) {
        if !self.finished && self.services.values().all(Entry::is_off) {
            self.finished = true;
            out.push(Effect::Finish);
        }
    }
}

#[cfg(test)]
mod tests;
