use super::*;
use crate::life::{self, Asker, Life};
use alloc::string::{String, ToString};

/// A script: `MILLISECONDS event -> effects, and the outcome`, with a second to be ready.
fn check(script: &str) {
    let mut attempt = Replacement::new(Mono(0) + Duration::from_secs(1));
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let (left, right) = line.split_once("->").expect("an arrow");
        let (at, event) = left.trim().split_once(' ').expect("a time and an event");
        let now = Mono(0) + Duration::from_millis(at.parse().expect("milliseconds"));
        let event = EVENTS.iter().find(|(name, _)| *name == event.trim());
        let event = event.unwrap_or_else(|| panic!("{line}?")).1;
        let effects = attempt.step(now, event).into_iter();
        let mut done: Vec<String> = effects.map(|effect| word(effect).to_string()).collect();
        match attempt.outcome() {
            Some(Outcome::Replaced) => done.push("REPLACED".to_string()),
            Some(Outcome::Failed(why)) => done.push(alloc::format!("FAILED:{why:?}")),
            None => {}
        }
        assert_eq!(done.join(" "), right.trim(), "{line}");
    }
}

const EVENTS: &[(&str, Event)] = &[
    ("started", Event::Started),
    ("not-started", Event::NotStarted),
    ("handed", Event::Handed),
    ("ready", Event::Ready),
    ("declined", Event::Declined),
    ("closed", Event::Closed),
    ("broken", Event::Broken),
    ("exited", Event::Exited),
    ("told", Event::Told),
    ("not-told", Event::NotTold),
    ("promoted", Event::Promoted),
    ("tick", Event::Tick),
    ("stop", Event::Stop),
];

fn word(effect: Effect) -> &'static str {
    match effect {
        Effect::Hand => "hand",
        Effect::Kill => "kill",
        Effect::Tell => "tell",
        Effect::TakeBack => "take-back",
        Effect::Promote => "promote",
        Effect::Abandon => "abandon",
    }
}

#[test]
fn one_that_serves() {
    check(
        "0 started -> hand
         1 handed ->
         2 tick ->
         900 ready -> tell
         1500 tick ->
         1600 told -> promote
         1601 promoted -> REPLACED
         1602 exited -> REPLACED",
    );
}

#[test]
fn one_that_does_not() {
    check("0 not-started -> FAILED:NotStarted");
    check(
        "0 started -> hand
           1 exited -> FAILED:Exited",
    );
    check(
        "0 started -> hand
           1 handed ->
           2 declined -> kill
           3 closed ->
           4 exited -> FAILED:Declined",
    );
    check(
        "0 started -> hand
           1 broken -> kill
           2 exited -> FAILED:Broken",
    );
    check(
        "0 started -> hand
           1 ready -> kill
           2 exited -> FAILED:Broken",
    );
    check(
        "0 started -> hand
           1 handed ->
           999 tick ->
           1000 tick -> kill
           1001 ready ->
           1002 exited -> FAILED:Late",
    );
}

#[test]
fn who_closes_the_line_may_end_by_itself() {
    check(
        "0 started -> hand
           1 closed ->
           500 exited -> FAILED:Exited",
    );
    check(
        "0 started -> hand
           1 handed ->
           2 closed ->
           1001 tick ->
           1002 tick -> kill
           1003 exited -> FAILED:Silent",
    );
    check(
        "0 started -> hand
           1 handed ->
           2 closed ->
           3 stop -> kill
           4 exited -> FAILED:Stopped",
    );
}

#[test]
fn a_manager_that_cannot_be_told_keeps_the_old_one() {
    check(
        "0 started -> hand
           1 handed ->
           2 ready -> tell
           3 not-told -> kill
           4 exited -> FAILED:NotTold",
    );
}

#[test]
fn one_that_dies_when_the_manager_knows_is_taken_back() {
    let scripts = [
        ("exited", "take-back FAILED:Exited", None),
        ("closed", "take-back", Some("exited -> FAILED:Exited")),
        ("broken", "take-back kill", Some("exited -> FAILED:Broken")),
        (
            "declined",
            "take-back kill",
            Some("exited -> FAILED:Declined"),
        ),
    ];
    for (event, effects, after) in scripts {
        for told in ["", "3 told -> promote\n"] {
            let after = after.map_or(String::new(), |after| alloc::format!("5 {after}"));
            check(&alloc::format!(
                "0 started -> hand
                 1 handed ->
                 2 ready -> tell
                 {told}4 {event} -> {effects}
                 {after}"
            ));
        }
    }
}

#[test]
fn a_stop_gives_it_up_while_it_can() {
    check(
        "0 stop ->
           1 started -> kill
           2 exited -> FAILED:Stopped",
    );
    check(
        "0 stop ->
           1 not-started -> FAILED:Stopped",
    );
    check(
        "0 started -> hand
           1 stop -> kill
           2 exited -> FAILED:Stopped",
    );
    check(
        "0 started -> hand
           1 handed ->
           2 stop -> kill
           3 exited -> FAILED:Stopped",
    );
    check(
        "0 started -> hand
           1 handed ->
           2 ready -> tell
           3 stop ->
           4 told -> promote
           5 stop ->
           6 promoted -> REPLACED",
    );
}

#[test]
fn a_start_that_does_not_return_is_abandoned() {
    check(
        "0 tick ->
           1000 tick -> abandon FAILED:Late",
    );
    check(
        "0 stop ->
           1000 tick -> abandon FAILED:Stopped",
    );
}

/// What there is outside: the new process, and who the manager takes for the main one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Process {
    /// It may come.
    Ordered,
    Running,
    /// Ended, and not reaped.
    Ended,
    Reaped,
    /// It could not be started.
    Never,
}

#[derive(Debug)]
struct World {
    life: Life,
    attempt: Option<Replacement>,
    process: Process,
    abandoned: bool,
    /// The new one has been told that it is the service.
    promoted: bool,
    manager: &'static str,
    owed: Vec<Effect>,
    left: bool,
    ends: usize,
    busy: usize,
}

impl World {
    fn new() -> World {
        let mut life = Life::new(Duration::from_secs(1));
        life.step(Mono(0), life::Event::Ready);
        World {
            life,
            attempt: None,
            process: Process::Never,
            abandoned: false,
            promoted: false,
            manager: "old",
            owed: Vec::new(),
            left: false,
            ends: 0,
            busy: 0,
        }
    }

    fn live(&mut self, now: Mono, event: life::Event) {
        for effect in self.life.step(now, event) {
            match effect {
                life::Effect::BeginReplacement => {
                    assert!(self.attempt.is_none(), "two at once");
                    assert!(matches!(self.process, Process::Never | Process::Reaped));
                    let deadline = now + Duration::from_secs(5);
                    self.attempt = Some(Replacement::new(deadline));
                    self.process = Process::Ordered;
                    self.promoted = false;
                }
                life::Effect::RefuseReplacement => self.busy += 1,
                life::Effect::GiveUpReplacement => self.happen(now, Event::Stop),
                life::Effect::Stop | life::Effect::Leave(_) => self.left = true,
                life::Effect::SayReady | life::Effect::SayReloading | life::Effect::SayStopping => {
                    assert!(!self.promoted, "the old one speaks for the service");
                }
                life::Effect::PassReload | life::Effect::PassStop => assert!(self.promoted),
                life::Effect::Reload | life::Effect::RefuseReload | life::Effect::Abort => {}
            }
        }
    }

    fn happen(&mut self, now: Mono, event: Event) {
        let Some(attempt) = &mut self.attempt else {
            return;
        };
        if attempt.outcome().is_some() {
            return;
        }
        let effects = attempt.step(now, event);
        let outcome = attempt.outcome();
        for effect in effects {
            match effect {
                Effect::Abandon => {
                    assert_eq!(self.process, Process::Ordered);
                    self.abandoned = true;
                }
                // It is ours until it is reaped, so its number is its own.
                Effect::Kill => match self.process {
                    Process::Running | Process::Ended => self.process = Process::Ended,
                    other @ (Process::Ordered | Process::Reaped | Process::Never) => {
                        panic!("kills {other:?}")
                    }
                },
                Effect::TakeBack => self.manager = "old",
                Effect::Hand | Effect::Tell | Effect::Promote => self.owed.push(effect),
            }
        }
        match outcome {
            None => {}
            Some(Outcome::Replaced) => {
                assert!(self.promoted, "leaves before the other one was told");
                assert_eq!(self.manager, "new");
                self.ends += 1;
                self.live(now, life::Event::Replaced);
            }
            Some(Outcome::Failed(why)) => {
                let gone = matches!(self.process, Process::Reaped | Process::Never);
                assert!(gone || self.abandoned, "{why:?} with {:?}", self.process);
                assert!(!self.promoted, "two of them");
                assert_eq!(self.manager, "old", "{why:?}");
                self.ends += 1;
                self.attempt = None;
                self.owed.clear();
                if self.abandoned {
                    self.process = Process::Never;
                    self.abandoned = false;
                }
                self.live(now, life::Event::NotReplaced);
            }
        }
    }

    /// Does what was ordered, perhaps not successfully.
    fn perform(&mut self, now: Mono, luck: usize) {
        if self.owed.is_empty() {
            return;
        }
        let runs = self.process == Process::Running;
        match self.owed.remove(0) {
            Effect::Hand if runs && luck > 0 => self.happen(now, Event::Handed),
            Effect::Hand => self.happen(now, Event::Broken),
            Effect::Tell if luck > 0 => {
                let asked = self.attempt.as_ref().map(Replacement::state);
                if asked == Some(State::Telling) {
                    self.manager = "new";
                }
                self.happen(now, Event::Told);
            }
            Effect::Tell => self.happen(now, Event::NotTold),
            Effect::Promote => {
                let asked = self.attempt.as_ref().map(Replacement::state);
                if asked == Some(State::Promoting) && runs {
                    self.promoted = true;
                    self.happen(now, Event::Promoted);
                } else {
                    self.happen(now, Event::Closed);
                }
            }
            Effect::Kill | Effect::TakeBack | Effect::Abandon => unreachable!("done at once"),
        }
    }
}

/// Whatever happens in whatever order: never two at once, this one never leaves before the other one was told, and a failure
/// leaves the service as it was, with nothing of the other one left.
#[test]
fn nothing_that_happens_makes_two_of_them_or_none() {
    let mut dice = Dice(0x0ddba11);
    let (mut replaced, mut failed, mut busy) = (0, 0, 0);
    for _life in 0..20_000 {
        let mut world = World::new();
        let mut now = Mono(0);
        for _ in 0..60 {
            now = now + Duration::from_millis(dice.below(400));
            match dice.below(14) {
                0 | 1 => world.live(now, life::Event::Replace),
                2 => world.live(now, life::Event::Reload),
                3 => world.live(now, life::Event::Reloaded),
                4 if dice.below(8) == 0 => {
                    world.live(now, life::Event::Stop(Asker::Request));
                }
                5 | 6 => match (world.process, dice.below(4)) {
                    (Process::Ordered, 0) => {
                        world.process = Process::Never;
                        world.happen(now, Event::NotStarted);
                    }
                    (Process::Ordered, _) => {
                        world.process = Process::Running;
                        world.happen(now, Event::Started);
                    }
                    (_, _) => {}
                },
                7 | 8 => world.perform(now, dice.below(12) as usize),
                9 if world.process == Process::Running => world.happen(now, Event::Ready),
                10 if world.process == Process::Running => match dice.below(12) {
                    0 => world.happen(now, Event::Declined),
                    1 => world.happen(now, Event::Closed),
                    2 => world.happen(now, Event::Broken),
                    3 => world.process = Process::Ended,
                    _ => {}
                },
                11 if world.process == Process::Ended => {
                    world.process = Process::Reaped;
                    world.happen(now, Event::Exited);
                }
                _ => {
                    world.happen(now, Event::Tick);
                    world.live(now, life::Event::Tick);
                }
            }
            if world.left {
                break;
            }
        }
        // Something good happens at last: with time, and the dead reaped, every attempt has an end.
        for _ in 0..20 {
            now = now + Duration::from_secs(2);
            world.perform(now, 1);
            world.happen(now, Event::Tick);
            if world.process == Process::Ended {
                world.process = Process::Reaped;
                world.happen(now, Event::Exited);
            }
        }
        let open = world.attempt.as_ref().map(Replacement::outcome);
        assert!(open != Some(None), "{world:?}");
        match open {
            Some(_) => replaced += 1,
            None => failed += world.ends,
        }
        busy += world.busy;
    }
    let enough = [replaced, failed, busy];
    assert!(enough.iter().all(|count| *count > 500), "{enough:?}");
}

/// A small xorshift: the same lives in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) % bound
    }
}
