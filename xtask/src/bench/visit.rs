//! One subject in one round: what its tree of trivial services takes, in time and memory.

use super::process;
use super::subject::{Kind, Subject};
use super::tree::{self, Run, Tree, now_ns};
use super::{Options, Samples};
use crate::Outcome;
use rustix::process::Signal;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Time for a tree to settle: longer than the second within which supervisors hold a service back.
const SETTLE: Duration = Duration::from_secs(2);
/// How many starts are timed in each visit.
const STARTS: usize = 3;
/// For how long an idle tree is watched.
const IDLE: Duration = Duration::from_secs(10);

/// The stages that need a tree which lives for a while.
const LIVING: [&str; 6] = ["memory", "idle", "svstat", "restart", "new", "lost"];

/// One subject in one round.
pub struct Visit<'a> {
    /// Whose programs.
    pub subject: &'a Subject,
    /// The trivial service.
    pub pause: &'a Path,
    /// What was asked for.
    pub options: &'a Options,
    /// Where the figures go.
    pub samples: &'a mut Samples,
    /// The number of the round, from 0.
    pub round: usize,
}

impl<'a> Visit<'a> {
    fn put(&mut self, row: &'static str, value: f64) {
        self.samples
            .entry((row, self.subject.name.clone()))
            .or_default()
            .push(value);
    }

    /// Everything that was asked for; answers with what could not be measured, which does not keep the rest from it.
    pub fn all(&mut self) -> Vec<String> {
        let mut outcomes = Vec::new();
        if self.subject.kind != Kind::Bare {
            if self.options.wants("start") {
                outcomes.push(self.starts("start", Run::Direct));
            }
            if self.options.wants("script") {
                outcomes.push(self.starts("start-script", Run::Script));
            }
        }
        if LIVING.iter().any(|stage| self.options.wants(stage)) {
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
            let pid = tree.pid(&name);
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
            let service = tree.pid(&name);
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
