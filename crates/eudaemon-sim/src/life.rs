//! One seed, one life: a storm in which anything happens, then a calm in which what is wanted must come about.
//!
//! Worlds are a swarm: each seed switches some kinds of trouble off and turns others far up. Source of the idea: Groce et
//! al., "Swarm Testing" (ISSTA 2012).

use crate::dice::Dice;
use crate::kernel::{Cell, died_of};
use crate::mind::Mind;
use crate::oracle::{Law, Violation, broken};
use crate::shell::{Fate, Shell};
use crate::story::{self, Story};
use core::time::Duration;
use eudaemon_core::control::{Batch, CONTROLS};
use eudaemon_core::definition::{Definition, Manners};
use eudaemon_core::supervise::{Event, Now, Role, Script};
use eudaemon_core::time::{Mono, Wall};
use eudaemon_core::words::{Ended, Signal};

/// What became of a life.
#[derive(Clone, Debug)]
pub struct Life {
    /// Steps the supervisor took.
    pub steps: u32,
    /// How many `run` were started.
    pub runs: u32,
    /// The law that was broken, if one was.
    pub verdict: Result<(), Box<Violation>>,
    /// The story, if it was asked for.
    pub story: String,
}

/// How often each kind of thing happens, relative to the others.
#[derive(Clone, Copy, Debug)]
struct Weather {
    weights: [u32; KINDS],
    /// Answers may wait while other things happen.
    lax: u32,
    code_100: u32,
    code_125: u32,
    strange_bytes: u32,
    leaves: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Time,
    Tell,
    Operator,
    End,
    Changed,
    Ready,
    Kill,
    Fuse,
    Both,
    Clock,
}
const KINDS: usize = 10;
const ALL_KINDS: [Kind; KINDS] = [
    Kind::Time,
    Kind::Tell,
    Kind::Operator,
    Kind::End,
    Kind::Changed,
    Kind::Ready,
    Kind::Kill,
    Kind::Fuse,
    Kind::Both,
    Kind::Clock,
];

fn rate(dice: &mut Dice) -> u32 {
    dice.pick(&[0, 0, 0, 20, 100, 500])
}

fn definition(dice: &mut Dice, manners: Manners) -> Definition {
    let mut some = |per_mille| dice.chance(per_mille);
    let start = some(300);
    let mut definition = Definition {
        run: !start || some(800),
        start,
        stop: some(300),
        finish: some(400),
        check: some(250),
        notify: some(200),
        log: some(250),
        encore: some(400),
        hooks: some(400),
        manners,
        ..Definition::default()
    };
    definition.notification_fd = some(100).then_some(3);
    definition.max_death_tally = some(100).then_some(10);
    let spans = [
        None,
        None,
        Some(Duration::ZERO),
        Some(Duration::from_millis(200)),
        Some(Duration::from_secs(5)),
    ];
    definition.timeout_kill = dice.pick(&spans);
    definition.timeout_finish = dice.pick(&spans);
    definition.down_signal = dice.pick(&[Signal::Term, Signal::Term, Signal::Int, Signal::Hup]);
    definition
}

fn weather(dice: &mut Dice) -> Weather {
    let mut weights = [0; KINDS];
    for (weight, kind) in weights.iter_mut().zip(ALL_KINDS) {
        *weight = match kind {
            Kind::Time | Kind::Tell => dice.pick(&[10, 30, 60]),
            Kind::Operator | Kind::End => dice.pick(&[1, 3, 10, 30]),
            Kind::Changed | Kind::Ready | Kind::Kill | Kind::Fuse | Kind::Both | Kind::Clock => {
                dice.pick(&[0, 0, 0, 1, 3, 10])
            }
        };
    }
    Weather {
        weights,
        lax: dice.pick(&[0, 0, 300]),
        code_100: dice.pick(&[0, 50, 300]),
        code_125: dice.pick(&[0, 50, 300]),
        strange_bytes: dice.pick(&[0, 20]),
        leaves: dice.pick(&[0, 100, 1000]),
    }
}

/// When a life begins. Not zero: what is earlier must be thinkable.
const BIRTH: Now = Now {
    mono: Mono(10_000_000_000),
    wall: Wall(1_700_000_000_000_000_000),
};

/// Lives the life of `seed`.
#[must_use]
pub fn live<M: Mind>(seed: u64, written: bool) -> Life {
    let mut dice = Dice::new(seed);
    let weather = weather(&mut dice);
    let kinds = 1 + dice.below(3);
    // A family does not change within a life.
    let manners = dice.pick(&[Manners::FAMILY, Manners::AUTO, Manners::RUNIT]);
    let definitions = (0..kinds).map(|_| definition(&mut dice, manners)).collect();
    let fate = Fate {
        definitions,
        refuses: rate(&mut dice),
        refuses_next: 0,
        exec_fails: rate(&mut dice),
        holds: rate(&mut dice),
        hooks: rate(&mut dice),
        ignores: rate(&mut dice),
        hangs: rate(&mut dice),
        kills_again: rate(&mut dice) / 2,
        dice: Dice::new(dice.bits()),
    };
    let down = dice.chance(150);
    let mut world = World {
        shell: Shell::<M>::new(BIRTH, down, fate, Story::new(written)),
        weather,
        dice,
    };
    let verdict = world.whole_life();
    if let Err(violation) = &verdict {
        let now = world.shell.now;
        world.shell.story.tell(now, || {
            format!(
                "!!! {:?} is broken here: {}",
                violation.law, violation.words
            )
        });
    }
    Life {
        steps: world.shell.steps,
        runs: world.shell.oracle.runs,
        verdict,
        story: world.shell.story.text().to_owned(),
    }
}

struct World<M> {
    shell: Shell<M>,
    weather: Weather,
    dice: Dice,
}

impl<M: Mind> World<M> {
    fn whole_life(&mut self) -> Result<(), Box<Violation>> {
        let days = 20 + self.dice.below(300);
        for _ in 0..days {
            if self.shell.left {
                return Ok(());
            }
            self.day()?;
        }
        let last = self.dice.pick(&["", "", "u", "d", "dx", "o", "x"]);
        calm(&mut self.shell, last, &mut self.dice)
    }

    /// One thing happens.
    fn day(&mut self) -> Result<(), Box<Violation>> {
        let total: u32 = self.weather.weights.iter().sum();
        let mut drawn = self.dice.below(u64::from(total)) as u32;
        let mut kind = Kind::Time;
        for (weight, this) in self.weather.weights.iter().zip(ALL_KINDS) {
            if drawn < *weight {
                kind = this;
                break;
            }
            drawn -= weight;
        }
        let shell = &mut self.shell;
        let turn = match kind {
            Kind::Time => return self.time(),
            Kind::Tell => {
                let ends: Vec<Role> = Role::ALL
                    .into_iter()
                    .filter(|role| {
                        matches!(shell.kernel.slots[*role as usize].cell, Cell::Exited(_))
                    })
                    .collect();
                if ends.is_empty() {
                    return Ok(());
                }
                let role = self.dice.pick(&ends);
                shell.tell_end(role).map(|_| ())
            }
            Kind::Operator => {
                let mut batch = Batch::default();
                for _ in 0..=self.dice.below(3) {
                    let byte = if self.dice.chance(self.weather.strange_bytes) {
                        (self.dice.below(256)) as u8
                    } else if self.dice.chance(500) {
                        self.dice.pick(b"uuuuddoOtk")
                    } else {
                        CONTROLS[self.dice.below(CONTROLS.len() as u64) as usize].byte
                    };
                    // An `x` ends most stories, so most worlds hear it seldom.
                    if byte != b'x' || self.dice.chance(self.weather.leaves) {
                        shell.inbox.extend(batch.next(byte));
                    }
                }
                shell.obey()
            }
            Kind::End => {
                self.end_somebody();
                return Ok(());
            }
            Kind::Changed => shell.hear(Event::Changed),
            // Only a living service writes to its pipe; the engine may read it after its end.
            Kind::Ready if shell.mind.run_pid().is_some() => shell.hear(Event::Ready),
            Kind::Ready => Ok(()),
            Kind::Kill => return shell.kill(),
            Kind::Fuse => {
                shell.fuse = Some(self.dice.below(12) as u32);
                Ok(())
            }
            Kind::Both => {
                shell.story.tell(shell.now, || {
                    "*** Keeper and engine are killed; some children may end now, unseen.".into()
                });
                for role in Role::ALL {
                    if self.dice.chance(400) {
                        shell.kernel.end(role, Ended::Code(0), false);
                    }
                }
                return shell.kill();
            }
            Kind::Clock => {
                let step = self.dice.below(7_200_000_000_000);
                shell.now.wall = Wall(if self.dice.chance(500) {
                    shell.now.wall.0.saturating_sub(step)
                } else {
                    shell.now.wall.0 + step
                });
                shell
                    .story
                    .tell(shell.now, || "The wall clock is set.".into());
                Ok(())
            }
        };
        shell.survive(turn)?;
        // Bytes that are left are handled, sooner or later; in lax worlds other things come between.
        while !shell.left && !self.dice.chance(self.weather.lax) {
            let turn = if shell.answers.is_empty() && !shell.inbox.is_empty() {
                shell.obey()
            } else if shell.inbox.is_empty() {
                let turn = shell.settle();
                shell.survive(turn)?;
                break;
            } else {
                shell.settle()
            };
            shell.survive(turn)?;
        }
        Ok(())
    }

    fn time(&mut self) -> Result<(), Box<Violation>> {
        let shell = &mut self.shell;
        let now = shell.now.mono.0;
        let deadline = shell.mind.deadline().map(|at| at.0.max(now));
        let to = match (self.dice.below(5), deadline) {
            (0 | 1, Some(at)) => at,
            (2, Some(at)) => at.saturating_sub(1).max(now),
            (3, _) => now + self.dice.below(20_000_000),
            (_, _) => now + self.dice.below(1_500_000_000),
        };
        advance(shell, to);
        // An engine may wake early; that must not matter.
        let turn = if deadline.is_some_and(|at| at <= to) || self.dice.chance(50) {
            shell.hear(Event::Deadline)
        } else {
            Ok(())
        };
        shell.survive(turn)?;
        if !self.dice.chance(self.weather.lax) {
            let turn = shell.settle();
            shell.survive(turn)?;
        }
        Ok(())
    }

    /// One of the living children comes to its end.
    fn end_somebody(&mut self) {
        let living: Vec<Role> = Role::ALL
            .into_iter()
            .filter(|role| self.shell.kernel.living(*role).is_some())
            .collect();
        if living.is_empty() {
            return;
        }
        let role = self.dice.pick(&living);
        let Some(child) = self.shell.kernel.living(role).copied() else {
            return;
        };
        let ended = if child.exec_failed {
            Ended::Code(111)
        } else if child.stopped || child.hangs {
            return;
        } else if let Some(signal) = child.lethal.filter(|_| !child.ignores) {
            died_of(signal)
        } else if child.script == Script::Finish && self.dice.chance(self.weather.code_125) {
            Ended::Code(125)
        } else if self.dice.chance(self.weather.code_100) {
            Ended::Code(100)
        } else {
            self.dice.pick(&[
                Ended::Code(0),
                Ended::Code(0),
                Ended::Code(1),
                Ended::Code(111),
                Ended::Signal {
                    number: 11,
                    core: true,
                },
            ])
        };
        let shell = &mut self.shell;
        shell.end(role, ended);
        shell.story.tell(shell.now, || {
            format!("{} ends: {ended}.", story::named(child.script, child.pid))
        });
    }
}

fn advance<M: Mind>(shell: &mut Shell<M>, to: u64) {
    let by = to.saturating_sub(shell.now.mono.0);
    if by > 0 {
        shell.oracle.calm_dues();
    }
    shell.now.mono.0 += by;
    shell.now.wall.0 += by;
}

/// How long the calm lasts: longer than every pause of the supervisor, several times over.
const CALM: Duration = Duration::from_secs(40);

/// The storm is over: no more faults, what is asked politely obeys, what was paused is continued, the operator says one
/// last thing. What still hangs or ignores is what the supervisor itself promised to kill in time.
pub fn calm<M: Mind>(
    shell: &mut Shell<M>,
    last: &str,
    dice: &mut Dice,
) -> Result<(), Box<Violation>> {
    if shell.left {
        return Ok(());
    }
    shell.story.tell(shell.now, || {
        format!("--- The storm is over. The operator's last word is `{last}`.")
    });
    shell.fuse = None;
    let fate = &mut shell.fate;
    fate.refuses = 0;
    fate.refuses_next = 0;
    fate.exec_fails = 0;
    fate.holds = 0;
    fate.hooks = 0;
    fate.ignores = 0;
    fate.hangs = 0;
    fate.kills_again = 0;
    let promised = *shell.mind.definition();
    for child in shell.kernel.places.iter_mut().flatten() {
        match child.script {
            Script::Run => child.ignores &= promised.timeout_kill.is_some(),
            Script::Finish => child.hangs &= promised.timeout_finish.is_some(),
            Script::Check => {}
            Script::Start | Script::Stop | Script::Log | Script::Hook => {
                (child.ignores, child.hangs) = (false, false)
            }
        }
    }
    let turn = shell.settle();
    shell.survive(turn)?;
    for text in ["c", "Lc", last] {
        let mut batch = Batch::default();
        for byte in text.bytes() {
            shell.inbox.extend(batch.next(byte));
        }
    }
    let end = shell.now.mono + CALM;
    // One `run` may end by itself in the calm too: it is restarted.
    let mut one_more_end = dice.chance(500).then(|| shell.now.mono + CALM / 2);
    let mut here = (shell.now.mono, 0);
    while !shell.left {
        if here.0 == shell.now.mono {
            here.1 += 1;
            if here.1 > 300 {
                return broken(Law::NoBusyLoop, "300 things happen at one instant");
            }
        } else {
            here = (shell.now.mono, 0);
        }
        let turn = shell.settle();
        shell.survive(turn)?;
        if !shell.inbox.is_empty() && !shell.left {
            let turn = shell.obey();
            shell.survive(turn)?;
            continue;
        }
        let mut happened = false;
        for role in Role::ALL {
            if shell.left {
                return Ok(());
            }
            match shell.tell_end(role) {
                Ok(told) => happened |= told,
                Err(halt) => shell.survive(Err(halt))?,
            }
            let Some(child) = shell.kernel.living(role).copied() else {
                continue;
            };
            let ended = if child.exec_failed {
                Some(Ended::Code(111))
            } else if child.stopped {
                None
            } else if let Some(signal) = child.lethal.filter(|_| !child.ignores) {
                Some(died_of(signal))
            } else {
                match child.script {
                    Script::Run if one_more_end.is_some_and(|at| at <= shell.now.mono) => {
                        one_more_end = None;
                        Some(Ended::Code(1))
                    }
                    Script::Run | Script::Log => None,
                    Script::Start
                    | Script::Stop
                    | Script::Finish
                    | Script::Check
                    | Script::Hook => (!child.hangs).then_some(Ended::Code(0)),
                }
            };
            if let Some(ended) = ended {
                shell.end(role, ended);
                shell.story.tell(shell.now, || {
                    format!("{} ends: {ended}.", story::named(child.script, child.pid))
                });
                happened = true;
            }
        }
        if happened || shell.left {
            continue;
        }
        let next = [shell.mind.deadline(), one_more_end]
            .into_iter()
            .flatten()
            .min();
        match next {
            Some(at) if at <= end => {
                advance(shell, at.0);
                if one_more_end.is_some_and(|end| end <= at)
                    && shell.kernel.living(Role::Main).is_none()
                {
                    one_more_end = None;
                }
                if shell.mind.deadline().is_some_and(|due| due <= at) {
                    let turn = shell.hear(Event::Deadline);
                    shell.survive(turn)?;
                } else if one_more_end.is_some()
                    && shell
                        .kernel
                        .living(Role::Main)
                        .is_some_and(|child| child.script != Script::Run || child.stopped)
                {
                    one_more_end = None;
                }
            }
            Some(_) | None => break,
        }
    }
    if shell.left {
        return Ok(());
    }
    shell.oracle.at_last(&shell.mind, &shell.kernel)
}
