//! SIGKILL at every system call: what a run does is counted once under strace(1), then it is killed at each of these calls
//! in turn, and the next logger goes on.
//!
//! strace kills at the entry of a call, before the kernel performs it, and counts the calls of each thread for itself. So a
//! point is a name and a number, and means the first thread that makes its so-manieth call of that name.
//! Source: strace(1), "Syscall Tampering".

use super::line::{Tally, line};
use super::logger::{Logger, Shape};
use super::pipe::Pipe;
use crate::mayfly::scrambled;
use crate::wait::{Exit, until};
use crate::{Running, Signal, World};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

/// Longer than two pauses of five seconds after a failed processor.
const PATIENCE: Duration = Duration::from_secs(30);
/// The size of the files: the least there is.
const SIZE: u32 = 4096;
/// How many lines an earlier run left in each of two files.
const LEFT: u64 = 20;
/// How many lines there are in all: some four files.
const LINES: u64 = 180;

/// What the logger goes through while it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// One directory, rotation, lines that come in pieces.
    Plain,
    /// Stamps, two directories, patterns, and ALRM.
    Stamped,
    /// A processor that copies.
    Processed,
    /// A dirty `current` and `previous` of an earlier run.
    Recovery,
    /// A complete `processed` beside its `previous` and a dirty `current`.
    ProcessedRecovery,
    /// TERM inside a line.
    Term,
}

impl Trial {
    /// All of them.
    pub const ALL: [Trial; 6] = [
        Trial::Plain,
        Trial::Stamped,
        Trial::Processed,
        Trial::Recovery,
        Trial::ProcessedRecovery,
        Trial::Term,
    ];

    fn shape(self) -> Shape {
        match self {
            Trial::Plain | Trial::Recovery | Trial::Term => Shape::Plain,
            Trial::Stamped => Shape::Stamped,
            Trial::Processed | Trial::ProcessedRecovery => Shape::Processed,
        }
    }

    fn first(self) -> u64 {
        match self {
            Trial::Plain | Trial::Stamped | Trial::Processed | Trial::Term => 1,
            Trial::Recovery | Trial::ProcessedRecovery => 2 * LEFT + 1,
        }
    }

    /// What an earlier run left: the lines before the first.
    fn prepare(self, dir: &Path) {
        let left: &[(&str, u32, u64)] = match self {
            Trial::Plain | Trial::Stamped | Trial::Processed | Trial::Term => return,
            Trial::Recovery => &[("previous", 0o744, 1), ("current", 0o644, LEFT + 1)],
            Trial::ProcessedRecovery => &[
                ("processed", 0o744, 1),
                ("previous", 0o744, 1),
                ("current", 0o644, LEFT + 1),
                ("newstate", 0o644, 0),
            ],
        };
        fs::create_dir(dir).expect("a log directory");
        for (name, mode, from) in left {
            let text: String = (*from..*from + LEFT).map(line).collect();
            let text = if *from == 0 { "" } else { &text };
            fs::write(dir.join(name), text).expect("a file of an earlier run");
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(*mode))
                .expect("chmod of our file");
        }
    }

    /// The lines as they come: the second and third piece begin inside a line.
    fn pieces(self) -> [Vec<u8>; 3] {
        let all: Vec<u8> = (self.first()..=LINES)
            .flat_map(|n| line(n).into_bytes())
            .collect();
        let inside = |at: usize| {
            let end = all[at..].iter().position(|&b| b == b'\n');
            at + end.expect("lines end") + 6
        };
        let (first, second) = (inside(all.len() / 2), inside(all.len() * 3 / 4));
        [
            all[..first].to_vec(),
            all[first..second].to_vec(),
            all[second..].to_vec(),
        ]
    }
}

/// A call to be killed at: its name, and the how-manieth of a thread it is.
pub type Point = (String, u32);

/// What came of it.
#[derive(Debug, Default)]
pub struct Points {
    /// Points there are.
    pub known: usize,
    /// Points tried.
    pub tried: usize,
    /// Of these, where the logger died.
    pub effective: usize,
    /// Where something was lost, torn, doubled, or the next logger did not get through, in words.
    pub damaged: Vec<String>,
    /// Lines lost at the worst of them.
    pub worst: u64,
}

impl fmt::Display for Points {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} points, {} tried, {} deadly, {} damaged, at worst {} lines lost",
            self.known,
            self.tried,
            self.effective,
            self.damaged.len(),
            self.worst
        )?;
        for damaged in self.damaged.iter().take(10) {
            write!(f, "\n  {damaged}")?;
        }
        Ok(())
    }
}

/// Kills the logger at every call of this trial, or at `most` of them, chosen by `seed`.
///
/// # Panics
/// When it does not get through unharmed without being killed, or strace is not there.
#[must_use]
pub fn every_call(logger: &Logger, trial: Trial, seed: u64, most: usize) -> Points {
    let mut points = calls(logger, trial);
    let known = points.len();
    if points.len() > most {
        points.sort_by_key(|(name, n)| {
            let name = name
                .bytes()
                .fold(seed, |sum, b| scrambled(sum ^ u64::from(b)));
            scrambled(name ^ u64::from(*n))
        });
        points.truncate(most);
    }
    let mut all = Points {
        known,
        tried: points.len(),
        ..Points::default()
    };
    for point in points {
        let (name, n) = &point;
        let inject = format!("inject={name}:signal=KILL:when={n}");
        let options = ["-e", &format!("trace={name}"), "-e", &inject];
        let (killed, verdict) = once(logger, trial, &options, Path::new("/dev/null"));
        all.effective += usize::from(killed);
        if let Err((lost, why)) = verdict {
            all.damaged.push(format!("{trial:?} at {name} {n}: {why}"));
            all.worst = all.worst.max(lost);
        }
    }
    all
}

/// The calls of an unharmed run.
fn calls(logger: &Logger, trial: Trial) -> Vec<Point> {
    let world = World::new("calls");
    let trace = world.path("trace");
    let (killed, verdict) = once(logger, trial, &[], &trace);
    assert!(
        !killed && verdict.is_ok(),
        "{trial:?}: not even unharmed: {verdict:?}"
    );
    let trace = fs::read_to_string(trace).expect("strace's words are ASCII");
    counted(&trace).into_iter().collect()
}

/// Counts a trace of `strace -f`: each thread's calls of each name, from 1.
fn counted(trace: &str) -> BTreeSet<Point> {
    let mut threads: BTreeMap<&str, BTreeMap<&str, u32>> = BTreeMap::new();
    let mut first = None;
    for line in trace.lines() {
        let Some((pid, call)) = line.split_once(' ') else {
            continue;
        };
        let Some((name, _)) = call.trim_start().split_once('(') else {
            continue;
        };
        // `<... read resumed>` is the second half of a call, `+++` and `---` are none.
        if name.is_empty() || name.contains([' ', '<', '+', '-']) {
            continue;
        }
        first.get_or_insert(pid);
        *threads.entry(pid).or_default().entry(name).or_default() += 1;
    }
    let mut points = BTreeSet::new();
    for (pid, names) in &threads {
        // Who executes another program is a processor, not a part of the logger.
        if names.contains_key("execve") && first != Some(pid) {
            continue;
        }
        for (name, count) in names {
            // The first call is strace's: the program is not there yet.
            if *name != "execve" {
                points.extend((1..=*count).map(|n| ((*name).to_owned(), n)));
            }
        }
    }
    points
}

/// One run under strace with these options, and the next logger if it dies: whether it was killed, and what is wrong.
fn once(
    logger: &Logger,
    trial: Trial,
    options: &[&str],
    trace: &Path,
) -> (bool, Result<(), (u64, String)>) {
    let world = World::new("call");
    let home = world.path("");
    trial.prepare(&world.path("a"));
    logger.prepare(&home, trial.shape(), SIZE);
    let arguments = logger.arguments(trial.shape(), SIZE);
    let traced: Vec<String> = ["-f", "-b", "execve", "-qq", "-o"]
        .iter()
        .map(|word| (*word).to_owned())
        .chain([trace.display().to_string()])
        .chain(options.iter().map(|word| (*word).to_owned()))
        .chain([logger.program.display().to_string()])
        .chain(arguments.iter().cloned())
        .collect();
    let mut pipe = Pipe::new();
    let mut running = world.start_on(Path::new("/usr/bin/strace"), &traced, pipe.reader());
    let mut killed = false;
    let mut wrong = None;
    let mut next = |running: &mut Running| {
        // A logger that was told to end leaves the rest to the next, as the killed one does.
        match running.exit(Duration::ZERO) {
            None => {}
            Some(exit) => {
                killed |= exit != Exit::Code(0);
                *running = world.start_on(&logger.program, &arguments, pipe.reader());
            }
        }
    };
    let [first, second, third] = trial.pieces();
    for piece in [first, second] {
        pipe.put(&piece);
        let taken = until(PATIENCE, || {
            next(&mut running);
            pipe.drained()
        });
        if !taken {
            wrong = Some(format!("{} bytes are not taken", pipe.waiting()));
        }
        let signal = match trial {
            Trial::Stamped => Some(Signal::ALARM),
            Trial::Term => Some(Signal::TERM),
            Trial::Plain | Trial::Processed | Trial::Recovery | Trial::ProcessedRecovery => None,
        };
        if let Some(signal) = signal {
            // The traced one, or the next one itself.
            let pid = child_of(running.pid).unwrap_or(running.pid);
            world.signal(pid, signal);
        }
    }
    pipe.put(&third);
    if trial == Trial::Term {
        let taken = until(PATIENCE, || {
            next(&mut running);
            pipe.drained()
        });
        if !taken {
            wrong = Some(format!("{} bytes are not taken", pipe.waiting()));
        }
    }
    pipe.close();
    // The first may be killed at its end too; whoever comes next finds nothing to read.
    let ended = running.exit(PATIENCE);
    if ended != Some(Exit::Code(0)) {
        killed = true;
        let last = world.start_on(&logger.program, &arguments, pipe.reader());
        if last.exit(PATIENCE) != Some(Exit::Code(0)) {
            wrong = Some(format!("the last one said {}", last.err()));
        }
    }
    let mut lost = 0;
    for dir in Logger::dirs(trial.shape()) {
        let mut tally = Tally::new(trial.shape() == Shape::Stamped, *dir == "b");
        for file in logger.files(&home.join(dir)) {
            tally.take(&fs::read(file).expect("a log file"));
        }
        tally.end(LINES);
        lost = lost.max(tally.lost);
        if !tally.perfect() {
            wrong = Some(format!("{dir}: {tally}"));
        }
    }
    (killed, wrong.map_or(Ok(()), |why| Err((lost, why))))
}

fn child_of(pid: i32) -> Option<i32> {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .ok()?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn counts_threads_and_leaves_out_processors() {
        let trace = "\
10 execve(\"x\") = 0
10 read(0) = 1
10 read(0 <unfinished ...>
11 futex(0) = 0
10 <... read resumed>) = 1
12 dup2(1, 2) = 2
12 execve(\"/bin/sh\" <unfinished ...>
11 futex(0) = 0
10 --- SIGCHLD {si_signo=SIGCHLD} ---
10 +++ exited with 0 +++";
        let points: Vec<_> = counted(trace)
            .into_iter()
            .map(|(name, n)| format!("{name} {n}"))
            .collect();
        assert_eq!(points, ["futex 1", "futex 2", "read 1", "read 2"]);
    }
}
