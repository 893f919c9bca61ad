//! `cargo xtask bench`: ours beside daemontools, runit and s6, in one run, as ratios.
//!
//! Figures of a machine drift by the minute; a ratio inside one run drifts less. So every round visits every subject, each round
//! in another order, each visit is a fresh tree, and what is printed is the median. Services tell the bench themselves, through a FIFO,
//! when they start and when they hear a signal (`bench/pause.c`): nothing is guessed from outside.
//!
//! Trees lie on tmpfs where there is one: on ext4 the making of six files for each service costs everybody so much that
//! nothing else is seen (`--scratch /tmp` shows that).
//!
//! Not measured: services with loggers, more than one tree, machines under memory pressure.

pub(crate) mod process;
pub(crate) mod subject;
mod table;
pub(crate) mod tree;

use crate::{Outcome, workspace};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use subject::{Kind, Subject};
use tree::{Run, Tree, now_ns};

/// Time for a tree to settle: longer than the second within which supervisors hold a service back.
const SETTLE: Duration = Duration::from_secs(2);
/// How many starts are timed in each visit.
const STARTS: usize = 3;
/// For how long an idle tree is watched.
const IDLE: Duration = Duration::from_secs(10);

/// What `--only` chooses from, in the order in which it happens.
const STAGES: [&str; 8] = [
    "start", "script", "memory", "idle", "svstat", "restart", "new", "lost",
];

/// Samples by row and subject.
type Samples = BTreeMap<(&'static str, String), Vec<f64>>;

/// The words after `bench`.
#[derive(Debug)]
struct Options {
    ours: Option<PathBuf>,
    services: usize,
    rounds: usize,
    only: Vec<String>,
    peers: Vec<String>,
    scratch: PathBuf,
}

impl Options {
    fn parse(args: &[String]) -> Result<Options, String> {
        let mut options = Options {
            ours: None,
            services: 1000,
            rounds: 3,
            only: STAGES.map(str::to_owned).to_vec(),
            peers: Kind::PEERS
                .iter()
                .map(|(_, name, _)| (*name).to_owned())
                .collect(),
            scratch: memory_or_temporary(),
        };
        let mut words = args.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("bench: {word} needs a value"));
            let count = |text: &str| match text.parse::<usize>() {
                Ok(count @ 1..) => Ok(count),
                Ok(0) | Err(_) => Err(format!("bench: {text:?} is no count from 1")),
            };
            let list = |text: &str, known: &[String]| {
                let list: Vec<String> = text
                    .split(',')
                    .filter(|word| !word.is_empty())
                    .map(str::to_owned)
                    .collect();
                match list.iter().find(|word| !known.contains(word)) {
                    Some(odd) => Err(format!("bench: {odd:?} is none of {}", known.join(", "))),
                    None => Ok(list),
                }
            };
            match word.as_str() {
                "--ours" => options.ours = Some(PathBuf::from(value()?)),
                "--services" => options.services = count(value()?)?,
                "--rounds" => options.rounds = count(value()?)?,
                "--only" => options.only = list(value()?, &STAGES.map(str::to_owned))?,
                "--peers" => {
                    let known: Vec<String> = Kind::PEERS
                        .iter()
                        .map(|(_, name, _)| (*name).to_owned())
                        .collect();
                    options.peers = list(value()?, &known)?;
                }
                "--scratch" => options.scratch = PathBuf::from(value()?),
                _ => return Err(format!("bench: unknown option {word}")),
            }
        }
        Ok(options)
    }

    fn wants(&self, stage: &str) -> bool {
        self.only.iter().any(|only| only == stage)
    }
}

/// A place in memory, if this machine has one.
fn memory_or_temporary() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() {
        memory
    } else {
        std::env::temp_dir()
    }
}

/// Tells a worker from the one who is waiting for it.
const WORKER: &str = "EUDAEMON_BENCH_WORKER";

/// Measures in a worker that leads a session of its own, so that Ctrl-C does not kill it in the middle of a tree of a thousand: it
/// learns of our end by the end of its standard input, and then ends what it has started.
pub fn run(args: &[String]) -> Outcome {
    if std::env::var_os(WORKER).is_some() {
        return work(args);
    }
    Options::parse(args)?;
    let us =
        std::env::current_exe().map_err(|why| format!("unable to find this program: {why}"))?;
    let mut worker = Command::new("setsid");
    worker
        .arg("--wait")
        .arg(us)
        .arg("bench")
        .args(args)
        .env(WORKER, "1")
        .stdin(Stdio::piped());
    let mut worker = worker
        .spawn()
        .map_err(|why| format!("unable to run setsid: {why}"))?;
    // wait() would close it.
    let held = worker.stdin.take();
    let status = worker
        .wait()
        .map_err(|why| format!("unable to wait for the worker: {why}"))?;
    drop(held);
    if status.success() {
        Ok(())
    } else {
        Err(format!("bench: {status}"))
    }
}

/// Measures, prints the table, writes JSON beside the build.
fn work(args: &[String]) -> Outcome {
    let mut options = Options::parse(args)?;
    // Orphans come to us, so that we see them and can end them.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|why| format!("unable to become a subreaper: {why}"))?;
    let out = workspace().join("target/bench");
    std::fs::create_dir_all(&out)
        .map_err(|why| format!("unable to create {}: {why}", out.display()))?;
    let pause = compile(&out)?;

    let mut subjects = Vec::new();
    if let Some(dir) = &options.ours {
        let dir = dir
            .canonicalize()
            .map_err(|why| format!("unable to find {}: {why}", dir.display()))?;
        subjects.push(Subject {
            name: "ours".to_owned(),
            kind: Kind::Ours,
            dir,
        });
    }
    for (kind, name, probe) in Kind::PEERS {
        if options.peers.iter().any(|peer| peer == name) {
            match Subject::peer(kind, name, probe) {
                Some(peer) => subjects.push(peer),
                None => eprintln!("xtask: SKIPPED: {name} is not installed: no {probe} in PATH"),
            }
        }
    }
    if options.wants("memory") {
        subjects.push(Subject {
            name: "bare".to_owned(),
            kind: Kind::Bare,
            dir: PathBuf::new(),
        });
    }
    let limit = subjects
        .iter()
        .map(|subject| subject.kind.services_max())
        .min()
        .unwrap_or(usize::MAX);
    if options.services > limit {
        eprintln!(
            "xtask: {limit} services instead of {}: some peer can run no more",
            options.services
        );
        options.services = limit;
    }

    let mut samples = Samples::new();
    let mut notes = vec![format!("load averages before: {}", process::load())];
    for round in 0..options.rounds {
        for at in 0..subjects.len() {
            let subject = &subjects[(at + round) % subjects.len()];
            eprintln!(
                "xtask: round {} of {}: {}",
                round + 1,
                options.rounds,
                subject.name
            );
            let mut visit = Visit {
                subject,
                pause: &pause,
                options: &options,
                samples: &mut samples,
                round,
            };
            for why in visit.all() {
                eprintln!("xtask: warning: {why}");
                notes.push(why);
            }
        }
    }
    let columns: Vec<&Subject> = subjects
        .iter()
        .filter(|subject| subject.kind != Kind::Bare)
        .collect();
    notes.push(format!("load averages after: {}", process::load()));
    table::derive(&mut samples);
    print!(
        "{}",
        table::text(&samples, &columns, options.services, options.rounds)
    );
    notes.iter().for_each(|note| println!("note: {note}"));
    let stamp = std::time::UNIX_EPOCH
        .elapsed()
        .map_or(0, |time| time.as_secs());
    let path = out.join(format!("{stamp}.json"));
    let json = table::json(&samples, &columns, options.services, options.rounds, &notes);
    std::fs::write(&path, json)
        .map_err(|why| format!("unable to write {}: {why}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

/// Compiles the trivial service.
pub(crate) fn compile(out: &Path) -> Result<PathBuf, String> {
    let pause = out.join("pause");
    let source = workspace().join("xtask/bench/pause.c");
    let flags = [
        "-O2",
        "-Wall",
        "-Wextra",
        "-s",
        "-static",
        "-nostdlib",
        "-ffreestanding",
        "-fno-stack-protector",
        "-fno-pie",
        "-no-pie",
    ];
    let status = Command::new("cc")
        .args(flags)
        .args(["-Wl,-z,noseparate-code", "-Wl,--build-id=none", "-o"])
        .arg(&pause)
        .arg(source)
        .status()
        .map_err(|why| format!("unable to run cc: {why}"))?;
    if status.success() {
        Ok(pause)
    } else {
        Err("unable to compile the trivial service".to_owned())
    }
}

/// One subject in one round.
struct Visit<'a> {
    subject: &'a Subject,
    pause: &'a Path,
    options: &'a Options,
    samples: &'a mut Samples,
    round: usize,
}

impl<'a> Visit<'a> {
    fn put(&mut self, row: &'static str, value: f64) {
        self.samples
            .entry((row, self.subject.name.clone()))
            .or_default()
            .push(value);
    }

    /// Everything that was asked for; answers with what could not be measured, which does not keep the rest from it.
    fn all(&mut self) -> Vec<String> {
        let mut outcomes = Vec::new();
        if self.subject.kind != Kind::Bare {
            if self.options.wants("start") {
                outcomes.push(self.starts("start", Run::Direct));
            }
            if self.options.wants("script") {
                outcomes.push(self.starts("start-script", Run::Script));
            }
        }
        if STAGES
            .iter()
            .any(|stage| !matches!(*stage, "start" | "script") && self.options.wants(stage))
        {
            match self.plant(Run::Direct) {
                Ok(mut tree) => self.life(&mut tree, &mut outcomes),
                Err(why) => outcomes.push(Err(why)),
            }
        }
        outcomes.into_iter().filter_map(Result::err).collect()
    }

    fn plant(&self, run: Run) -> Result<Tree<'a>, String> {
        let mut tree = Tree::plant(
            self.subject,
            self.pause,
            &self.options.scratch,
            run,
            self.options.services,
        )?;
        tree.rest(Duration::from_millis(500));
        Ok(tree)
    }

    /// A start is over in a moment, so one says little on a busy machine.
    fn starts(&mut self, row: &'static str, run: Run) -> Outcome {
        for _ in 0..STARTS {
            let up = self.plant(run)?.start(self.options.services)?;
            self.put(row, up.as_secs_f64() * 1e3);
        }
        Ok(())
    }

    fn life(&mut self, tree: &mut Tree<'_>, outcomes: &mut Vec<Outcome>) {
        let before = process::kernel_kib();
        if let Err(why) = tree.start(self.options.services) {
            outcomes.push(Err(why));
            return;
        }
        tree.rest(SETTLE);
        if self.options.wants("memory") {
            self.memory(tree, before);
        }
        if self.subject.kind == Kind::Bare {
            return;
        }
        if self.options.wants("idle") {
            self.idle(tree);
        }
        if self.options.wants("svstat") {
            outcomes.push(self.svstat(tree));
        }
        if self.options.wants("restart") {
            outcomes.push(self.restart(tree));
        }
        if self.options.wants("new") {
            outcomes.push(self.new_directory(tree));
        }
        if self.options.wants("lost") {
            outcomes.push(self.lost(tree));
        }
    }

    fn memory(&mut self, tree: &Tree<'_>, before: u64) {
        let total =
            |of: fn(i32) -> u64, pids: &[i32]| pids.iter().map(|pid| of(*pid)).sum::<u64>() as f64;
        self.put("kernel-all", process::kernel_kib() as f64 - before as f64);
        if self.subject.kind != Kind::Bare {
            let pids = process::supervisors(&tree.pids());
            self.put("processes", pids.len() as f64);
            self.put("pss", total(process::pss_kib, &pids));
            self.put("page-tables", total(process::page_tables_kib, &pids));
        }
    }

    fn idle(&mut self, tree: &mut Tree<'_>) {
        let pids = process::supervisors(&tree.pids());
        let switches = || pids.iter().map(|pid| process::switches(*pid)).sum::<u64>();
        let before = switches();
        tree.rest(IDLE);
        self.put("idle", switches().saturating_sub(before) as f64);
    }

    fn svstat(&mut self, tree: &Tree<'_>) -> Outcome {
        let dirs = tree.dirs(self.options.services);
        // Once to warm, then in earnest; one command per service is timed once, it takes long enough.
        let times = if self.subject.status(&dirs).len() > 1 {
            1
        } else {
            5
        };
        for time in 0..=times {
            let mut commands = self.subject.status(&dirs);
            let begin = Instant::now();
            for command in &mut commands {
                let status = command
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status();
                let status = status
                    .map_err(|why| format!("unable to run {:?}: {why}", command.get_program()))?;
                if !status.success() {
                    return Err(format!("{:?}: {status}", command.get_program()));
                }
            }
            if time > 0 {
                self.put("svstat", begin.elapsed().as_secs_f64() * 1e3);
            }
        }
        Ok(())
    }

    fn restart(&mut self, tree: &mut Tree<'_>) -> Outcome {
        for at in 0..self.subject.kind.restarts().min(self.options.services) {
            let name = tree::name(at);
            tree.pump(Duration::ZERO);
            let lives = |tree: &Tree<'_>| {
                tree.services
                    .get(&name)
                    .map_or(0, |service| service.pids.len())
            };
            let before = lives(tree);
            let pid = tree
                .services
                .get(&name)
                .and_then(|service| service.pids.last().copied())
                .unwrap_or(0);
            let begin = now_ns();
            process::signal(pid, Signal::KILL);
            if !tree.until(Duration::from_secs(15), |tree| lives(tree) > before) {
                return Err(format!(
                    "{}: {name} was not started again within 15 s",
                    self.subject.name
                ));
            }
            let started = tree
                .services
                .get(&name)
                .map_or(begin, |service| service.started_ns);
            self.put("restart", started.saturating_sub(begin) as f64 / 1e3);
            // Let the supervisor finish its notes before the next.
            tree.rest(Duration::from_millis(3));
        }
        Ok(())
    }

    /// Rests for a part of the five seconds after which some scanners look, another part each time. Without this every sample
    /// would begin right after a look, and tell of the whole five seconds.
    fn change_step(&self, tree: &mut Tree<'_>, each_round: usize, at: usize) {
        // Multiples of the golden section fall evenly into an interval, however many are taken.
        let part = ((self.round * each_round + at + 1) as f64 * 0.618_034).fract();
        tree.rest(Duration::from_secs(5).mul_f64(part));
    }

    fn new_directory(&mut self, tree: &mut Tree<'_>) -> Outcome {
        for at in 0..3 {
            self.change_step(tree, 3, at);
            let time = tree.add(&format!("new{at}"));
            let time = time.ok_or_else(|| {
                format!(
                    "{}: a new directory was not started within 20 s",
                    self.subject.name
                )
            })?;
            self.put("new", time.as_secs_f64() * 1e3);
        }
        Ok(())
    }

    /// Kills what supervises a service and asks until a command written to its FIFO is obeyed; then counts the living copies.
    fn lost(&mut self, tree: &mut Tree<'_>) -> Outcome {
        // Far from the services that were killed above: these have lived long.
        let last = self.options.services;
        for (time, at) in (0..last).rev().take(2).enumerate() {
            self.change_step(tree, 2, time);
            let name = tree::name(at);
            let service = tree
                .services
                .get(&name)
                .and_then(|service| service.pids.last().copied())
                .unwrap_or(0);
            let supervisor = match self.subject.kind {
                Kind::Ours => process::descendants()
                    .into_iter()
                    .find(|process| process.comm == "eud-engine")
                    .map(|engine| engine.pid),
                Kind::Daemontools | Kind::Runit | Kind::S6 | Kind::Bare => {
                    process::look(service).map(|process| process.parent)
                }
            };
            let supervisor = supervisor.ok_or_else(|| {
                format!("{}: no supervisor of {name} was found", self.subject.name)
            })?;
            let control = tree.scan.join(&name).join("supervise/control");
            let heard =
                |tree: &Tree<'_>| tree.services.get(&name).map_or(0, |service| service.hups);
            let before = heard(tree);
            let begin = now_ns();
            process::signal(supervisor, Signal::KILL);
            // What is written before it is quite dead would be lost with it.
            tree.until(Duration::from_secs(5), |_| !process::lives(supervisor));
            let end = Instant::now() + Duration::from_secs(20);
            while heard(tree) == before && Instant::now() < end {
                let asked = ask(&control);
                let wait = Duration::from_millis(if asked { 100 } else { 1 });
                tree.until(wait, |tree| heard(tree) > before);
            }
            if heard(tree) == before {
                return Err(format!(
                    "{}: {name} heard nothing for 20 s after its supervisor was killed",
                    self.subject.name
                ));
            }
            let obeyed = tree
                .services
                .get(&name)
                .map_or(begin, |service| service.hup_ns);
            self.put("lost", obeyed.saturating_sub(begin) as f64 / 1e6);
            tree.rest(Duration::from_millis(1500));
            let copies = tree.services.get(&name).map_or(0, |service| {
                service
                    .pids
                    .iter()
                    .filter(|pid| process::lives(**pid))
                    .count()
            });
            self.put("copies", copies as f64);
        }
        Ok(())
    }
}

/// Writes `h` into a control FIFO; false if nobody reads it.
pub(crate) fn ask(control: &Path) -> bool {
    use rustix::fs::{Mode, OFlags, open};
    open(
        control,
        OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .and_then(|fifo| rustix::io::write(&fifo, b"h"))
    .is_ok_and(|count| count == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options, String> {
        Options::parse(
            &words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn the_goal_of_a_thousand_is_the_default() {
        let options = parse(&[]).unwrap();
        assert_eq!((options.services, options.ours), (1000, None));
        assert!(
            STAGES
                .iter()
                .all(|stage| options.only.iter().any(|only| only == stage))
        );
    }

    #[test]
    fn words_it_does_not_know_are_refused() {
        assert!(
            parse(&["--only", "start,fun"])
                .unwrap_err()
                .contains("\"fun\" is none of start")
        );
        assert!(
            parse(&["--services", "0"])
                .unwrap_err()
                .contains("no count")
        );
        assert!(parse(&["--rounds"]).unwrap_err().contains("needs a value"));
        assert!(parse(&["--fast"]).unwrap_err().contains("unknown option"));
        assert_eq!(
            parse(&["--only", "idle,new"]).unwrap().only,
            ["idle", "new"]
        );
    }
}
