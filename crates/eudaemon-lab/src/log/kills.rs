//! SIGKILL at full rate: the logger dies while its pipe is full, and the next one goes on.

use super::line::Tally;
use super::logger::{Logger, Shape};
use super::pipe::{Pipe, pass};
use crate::mayfly::scrambled;
use crate::wait::Exit;
use crate::{Signal, World};
use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::time::Duration;

/// How long a logger may take to write down what is left, at the end.
const PATIENCE: Duration = Duration::from_secs(60);
/// So many finished files are left alone: whoever comes next may still have to do with them.
const LEFT_ALONE: usize = 4;

/// How it dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mercy {
    /// By SIGKILL.
    None,
    /// By SIGTERM, waited for.
    Term,
}

/// How much of it.
#[derive(Clone, Debug)]
pub struct Kills {
    /// What the logger is told to do.
    pub shape: Shape,
    /// How often it is to die having taken something from the pipe.
    pub effective: u32,
    /// How large its files are.
    pub size_bytes: u32,
    /// How it dies.
    pub mercy: Mercy,
    /// The longest life.
    pub life: Duration,
    /// The moments follow from this number; what happens then does not.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug)]
pub struct Toll {
    /// How often it was killed.
    pub kills: u32,
    /// How often of these it had taken something from the pipe.
    pub effective: u32,
    /// Lines written.
    pub lines: u64,
    /// By directory.
    pub tallies: Vec<Tally>,
    /// What it said, each thing once.
    pub said: BTreeSet<String>,
    /// What else went wrong.
    pub wrong: Vec<String>,
}

impl Toll {
    /// The sum over the directories.
    #[must_use]
    pub fn sum(&self, of: impl Fn(&Tally) -> u64) -> u64 {
        self.tallies.iter().map(of).sum()
    }

    /// Whether nothing was lost, torn or doubled, and nothing else went wrong.
    #[must_use]
    pub fn perfect(&self) -> bool {
        self.tallies.iter().all(Tally::perfect) && self.wrong.is_empty()
    }
}

impl fmt::Display for Toll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} lines, {} kills, {} of them effective",
            self.lines, self.kills, self.effective
        )?;
        for (at, tally) in self.tallies.iter().enumerate() {
            write!(f, "; directory {at}: {tally}")?;
        }
        for wrong in &self.wrong {
            write!(f, "; {wrong}")?;
        }
        for said in &self.said {
            write!(f, "; it said: {said}")?;
        }
        Ok(())
    }
}

/// Kills a logger again and again, and counts.
///
/// # Panics
/// When nothing can be started.
#[must_use]
pub fn kills(logger: &Logger, plan: &Kills) -> Toll {
    let world = World::new("kills");
    let home = world.path("");
    logger.prepare(&home, plan.shape, plan.size_bytes);
    let arguments = logger.arguments(plan.shape, plan.size_bytes);
    let dirs = Logger::dirs(plan.shape);
    let stamped = plan.shape == Shape::Stamped;
    let mut toll = Toll {
        kills: 0,
        effective: 0,
        lines: 0,
        tallies: dirs
            .iter()
            .map(|dir| Tally::new(stamped, *dir == "b"))
            .collect(),
        said: BTreeSet::new(),
        wrong: Vec::new(),
    };
    let digest = |toll: &mut Toll, all: bool| {
        for (dir, tally) in dirs.iter().zip(&mut toll.tallies) {
            let dir = home.join(dir);
            let mut files = if all {
                logger.files(&dir)
            } else {
                logger.finished(&dir)
            };
            if !all {
                files.truncate(files.len().saturating_sub(LEFT_ALONE));
            }
            for file in files {
                tally.take(&fs::read(&file).expect("a log file"));
                fs::remove_file(&file).expect("a log file of ours");
            }
        }
    };
    let mut pipe = Pipe::new();
    let feeder = pipe.flood(plan.seed, u64::MAX);
    // Not more than ten times as many: a logger that takes nothing must not keep us forever.
    while toll.effective < plan.effective && toll.kills < plan.effective * 10 + 100 {
        let before = feeder.bytes();
        let running = world.start_on(&logger.program, &arguments, pipe.reader());
        let id = crate::wait::pid_of(running.pid).expect("a pid");
        let life = u64::try_from(plan.life.as_micros()).unwrap_or(u64::MAX);
        let life = scrambled(plan.seed.wrapping_add(u64::from(toll.kills))) % life.max(1);
        if let Ok(fd) = pidfd_open(id, PidfdFlags::empty()) {
            pass(&fd, Duration::from_micros(life));
            let signal = match plan.mercy {
                Mercy::None => Signal::KILL,
                Mercy::Term => Signal::TERM,
            };
            let _dead_already = pidfd_send_signal(fd, signal);
        }
        let exit = running.exit(PATIENCE);
        let expected = match plan.mercy {
            Mercy::None => exit == Some(Exit::Signal(9)),
            // It may have died before it could hear.
            Mercy::Term => matches!(exit, Some(Exit::Code(0) | Exit::Signal(15))),
        };
        if !expected {
            toll.wrong.push(format!("it ended with {exit:?}"));
        }
        toll.said
            .extend(running.forget().lines().map(str::to_owned));
        toll.kills += 1;
        toll.effective += u32::from(feeder.bytes() > before);
        if toll.wrong.len() > 20 {
            break;
        }
        if toll.kills.is_multiple_of(16) {
            digest(&mut toll, false);
        }
    }
    feeder.stop();
    let last = world.start_on(&logger.program, &arguments, pipe.reader());
    toll.lines = feeder.lines(PATIENCE);
    let exit = last.exit(PATIENCE);
    if exit != Some(Exit::Code(0)) {
        toll.wrong.push(format!("the last one ended with {exit:?}"));
    }
    toll.said.extend(last.forget().lines().map(str::to_owned));
    if !pipe.drained() {
        toll.wrong
            .push(format!("{} bytes were not taken", pipe.waiting()));
    }
    digest(&mut toll, true);
    for tally in &mut toll.tallies {
        tally.end(toll.lines);
    }
    toll
}
