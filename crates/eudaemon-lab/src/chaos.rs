//! Crash injection: a tree of mayflies under our svscan, whose engine is killed again and again at random moments.
//!
//! What must hold, whenever the engine died: no service ever runs twice at once, every life that ended got exactly one
//! `finish` with its own exit code, two starts of one service are a second apart, svok says yes all the time, and no
//! byte on its way to a logger is lost. The mayflies write the evidence themselves; nothing here asks the supervisor.

use crate::mayfly::{code_of, number_of, scrambled};
use crate::wait::{SOON, until};
use crate::world::{World, alive, comm, state_and_parent};
use crate::{Signal, Subject, bins};
use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// O_NONBLOCK on Linux, x86-64 and aarch64: asm-generic/fcntl.h.
const O_NONBLOCK: i32 = 0o4000;

/// The kernel's name of the process that decides.
pub const ENGINE: &str = "eud-engine";

/// How much of it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How often the engine is killed.
    pub kills: u32,
    /// How many services live and die meanwhile.
    pub services: u32,
    /// How many of them have a logger.
    pub logged: u32,
    /// The moments follow from this number (the rest of the world does not).
    pub seed: u64,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            kills: 2000,
            services: 220,
            logged: 60,
            seed: 1,
        }
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    kills: u32,
    services: u32,
    lives: u64,
    lines: u64,
    oks: u64,
    shortest_gap: Option<f64>,
    new_engine: Vec<Duration>,
    answered: Vec<Duration>,
    /// Everything that must not be, in words.
    pub wrong: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "chaos: engine killed {} times over {} services: {} lives, {} log lines, {} times svok",
            self.kills, self.services, self.lives, self.lines, self.oks
        )?;
        if let Some(gap) = self.shortest_gap {
            writeln!(
                f,
                "chaos: shortest time between two starts of a service: {gap:.3} s"
            )?;
        }
        for (what, times) in [
            ("until a new engine exists", &self.new_engine),
            ("until a control byte is obeyed", &self.answered),
        ] {
            if let (Some(p50), Some(p99), Some(max)) =
                (rank(times, 50), rank(times, 99), rank(times, 100))
            {
                writeln!(
                    f,
                    "chaos: kill {what}: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms ({} samples)",
                    ms(p50),
                    ms(p99),
                    ms(max),
                    times.len()
                )?;
            }
        }
        for wrong in self.wrong.iter().take(40) {
            writeln!(f, "chaos: WRONG: {wrong}")?;
        }
        writeln!(f, "chaos: {} wrong", self.wrong.len())
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn rank(times: &[Duration], percent: usize) -> Option<Duration> {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted
        .get((sorted.len() * percent / 100).min(sorted.len().checked_sub(1)?))
        .copied()
}

/// The engine of this keeper, if there is one now.
///
/// Told by the tree's table (docs/formats/table.md), not by its name: a child that has not yet executed its program is
/// called as the engine is, and has the same parent.
#[must_use]
pub fn engine_of(keeper: i32) -> Option<i32> {
    let table = fs::read_dir(format!("/proc/{keeper}/fd"))
        .ok()?
        .flatten()
        .find(|entry| {
            fs::read_link(entry.path()).is_ok_and(|file| {
                let kind = file.extension();
                file.to_string_lossy().contains("/eudaemon-")
                    && (kind == Some("tree".as_ref()) || kind == Some("service".as_ref()))
            })
        })?;
    let mut word = [0; 8];
    File::open(table.path())
        .ok()?
        .read_exact_at(&mut word, 80)
        .ok()?;
    let pid = i32::try_from(u64::from_le_bytes(word)).ok()?;
    state_and_parent(pid)
        .is_some_and(|(state, parent)| parent == keeper && state != 'Z')
        .then_some(pid)
}

/// The keeper and the engine of the tree of this world whose keeper is called `name`, once both are there.
///
/// Nothing but the table tells which is the engine: see [`engine_of`].
#[must_use]
pub fn tree(world: &World, name: &str, limit: Duration) -> Option<(i32, i32)> {
    let mut found = None;
    until(limit, || {
        found = world
            .named(name)
            .into_iter()
            .find_map(|keeper| Some((keeper, engine_of(keeper)?)));
        found.is_some()
    });
    found
}

/// Ends several processes of a world so that none of them sees another die: they are stopped first, and then killed.
///
/// # Panics
/// When one is not there, or does not stop or end.
pub fn kill_together(world: &World, pids: &[i32]) {
    let in_state = |pid: i32, wanted: &[char]| {
        state_and_parent(pid).is_none_or(|(state, _)| wanted.contains(&state))
    };
    for (signal, states) in [
        (Signal::STOP, ['T'].as_slice()),
        (Signal::KILL, ['Z', 'X'].as_slice()),
    ] {
        for &pid in pids {
            assert!(world.signal(pid, signal), "{pid} is not there");
        }
        let done = until(SOON, || pids.iter().all(|pid| in_state(*pid, states)));
        assert!(done, "{pids:?} do not all take {signal:?}");
    }
}

/// Waits for the engine of this keeper; `last` is the one before.
fn wait_engine(keeper: i32, last: i32, limit: Duration) -> Option<i32> {
    let mut found = None;
    until(limit, || {
        found = engine_of(keeper).filter(|&pid| pid != last);
        found.is_some()
    });
    found
}

/// Makes the scan directory `sv` of mayflies: every service with `run` and `finish`, the first `logged` with a logger.
///
/// # Panics
/// When the disk refuses.
pub fn populate(world: &World, mayfly: &Path, services: u32, logged: u32) -> Vec<String> {
    let names: Vec<_> = (0..services).map(|n| format!("s{n:04}")).collect();
    for (n, name) in (0..).zip(&names) {
        world.write(format!("sv/{name}/lives"), "");
        symlink(mayfly, world.path(format!("sv/{name}/run"))).expect("a link");
        symlink(mayfly, world.path(format!("sv/{name}/finish"))).expect("a link");
        if n < logged {
            world.write(format!("sv/{name}/log/all"), "");
            symlink(mayfly, world.path(format!("sv/{name}/log/run"))).expect("a link");
        }
    }
    names
}

/// What svok asks: whether somebody holds `ok` open for reading.
pub fn is_ok(world: &World, dir: &str) -> bool {
    OpenOptions::new()
        .write(true)
        .custom_flags(O_NONBLOCK)
        .open(world.path(format!("{dir}/supervise/ok")))
        .is_ok()
}

/// The pid in the status file; `None` without one.
#[must_use]
pub fn status_pid(world: &World, dir: &str) -> Option<i32> {
    let bytes = fs::read(world.path(format!("{dir}/supervise/status"))).ok()?;
    let pid = u32::from_le_bytes(bytes.get(12..16)?.try_into().ok()?);
    Some(pid.cast_signed())
}

/// Carries out the plan; `None` when our programs are not there.
///
/// # Panics
/// When the tree cannot be started at all.
#[must_use]
pub fn crash(plan: &Plan, mayfly: &Path) -> Option<Report> {
    let ours = bins(Subject::Ours)?;
    let world = World::new("chaos");
    let names = populate(&world, mayfly, plan.services, plan.logged);
    // One that lives as long as it may, to be spoken to.
    world.write("sv/probe/forever", "");
    symlink(mayfly, world.path("sv/probe/run")).expect("a link");
    let scan = world.start(ours, &["svscan", "sv"]);
    let keeper = scan.pid;
    let started = until(3 * SOON, || {
        names.iter().all(|name| {
            is_ok(&world, &format!("sv/{name}"))
                && world.read(format!("sv/{name}/lives")).contains("end")
        }) && status_pid(&world, "sv/probe").is_some_and(|pid| pid != 0)
    });
    assert!(started, "not all services started: {}", scan.err());
    let mut report = Report {
        services: plan.services,
        ..Report::default()
    };
    let (stop, oks) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut wrong = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                for name in &names {
                    if is_ok(&world, &format!("sv/{name}")) {
                        oks.fetch_add(1, Ordering::Relaxed);
                    } else {
                        wrong.push(format!("svok {name} says no"));
                    }
                }
                until(Duration::from_millis(10), || stop.load(Ordering::Relaxed));
            }
            wrong
        });
        kill_engines(plan, &world, keeper, &mut report);
        measure_answers(&world, keeper, &mut report);
        stop.store(true, Ordering::Relaxed);
        report
            .wrong
            .extend(watch.join().expect("the watcher does not panic"));
    });
    report.oks = oks.into_inner();
    if !alive(keeper) {
        report
            .wrong
            .push(format!("the keeper is gone; it said {}", scan.err()));
    }
    put_down(&world, ours, &names, &mut report);
    for name in &names {
        judge(&world, name, &mut report);
    }
    Some(report)
}

/// The same evidence from runit, whose `runsv` knows `finish` and `log` too: what the judge says of a supervisor that is
/// left alone for `time`, and of one whose processes are killed. A judge that cannot see is worth nothing.
///
/// # Panics
/// When runit does not start.
#[must_use]
pub fn witness(mayfly: &Path, time: Duration, kill: bool) -> Option<Report> {
    let host = bins(Subject::Djb)?;
    let world = World::new("witness");
    let names = populate(&world, mayfly, 12, 4);
    for name in names.iter().filter(|_| kill) {
        // Long lives, so that every kill of a runsv leaves one behind.
        world.write(format!("sv/{name}/forever"), "");
    }
    let scan = world.start(host, &["runsvdir", "sv"]);
    let all_live = || {
        names
            .iter()
            .all(|name| world.read(format!("sv/{name}/lives")).contains("start"))
    };
    assert!(
        until(SOON, all_live),
        "runsvdir did not start all: {}",
        scan.err()
    );
    let (end, mut kills) = (Instant::now() + time, 0_u32);
    if kill {
        for pid in world.named("runsv") {
            kills += u32::from(world.signal(pid, Signal::KILL));
        }
    }
    let doubled = || {
        names
            .iter()
            .any(|name| !world.read(format!("sv/{name}/DOUBLE")).is_empty())
    };
    if kill {
        // A runsvdir looks for its runsvs when it likes to.
        until(SOON, doubled);
    } else {
        until(time, || Instant::now() >= end);
    }
    let mut report = Report {
        kills,
        services: 12,
        ..Report::default()
    };
    let mut argv = ["sv", "-w", "60", "down"].map(str::to_owned).to_vec();
    argv.extend(
        names
            .iter()
            .map(|name| world.path(format!("sv/{name}")).display().to_string()),
    );
    world.run(host, &argv);
    for name in &names {
        judge(&world, name, &mut report);
    }
    Some(report)
}

fn kill_engines(plan: &Plan, world: &World, keeper: i32, report: &mut Report) {
    let (mut killed_at, mut last) = (None, keeper);
    for kill in 0..plan.kills {
        let Some(engine) = wait_engine(keeper, last, SOON) else {
            report
                .wrong
                .push(format!("no new engine after kill {kill}"));
            return;
        };
        if let Some(at) = killed_at {
            report.new_engine.push(Instant::now() - at);
        }
        let nap = Duration::from_micros(scrambled(plan.seed << 32 | u64::from(kill)) % 20_000);
        let moment = Instant::now() + nap;
        until(nap, || Instant::now() >= moment);
        (killed_at, last) = (Some(Instant::now()), engine);
        if world.signal(engine, Signal::KILL) {
            report.kills += 1;
            // The pid must be seen gone, or the next look finds the dead one.
            until(SOON, || !alive(engine) || comm(engine) != ENGINE);
        } else {
            report
                .wrong
                .push(format!("engine {engine} was gone before kill {kill}"));
        }
    }
}

/// How long a control byte waits for a new engine: written right after the kill, obeyed when the status says so.
fn measure_answers(world: &World, keeper: i32, report: &mut Report) {
    let mut last = keeper;
    for round in 0..50_u32 {
        let Some(engine) = wait_engine(keeper, last, SOON) else {
            report
                .wrong
                .push("no new engine while measuring".to_owned());
            return;
        };
        last = engine;
        let pause = round % 2 == 0;
        let at = Instant::now();
        world.signal(engine, Signal::KILL);
        let sent = OpenOptions::new()
            .write(true)
            .custom_flags(O_NONBLOCK)
            .open(world.path("sv/probe/supervise/control"))
            .and_then(|mut control| control.write_all(if pause { b"p" } else { b"c" }));
        if let Err(e) = sent {
            report.wrong.push(format!("control without an engine: {e}"));
            return;
        }
        let end = at + SOON;
        loop {
            let paused = fs::read(world.path("sv/probe/supervise/status"))
                .ok()
                .and_then(|bytes| bytes.get(16).copied());
            if paused == Some(u8::from(pause)) {
                report.answered.push(at.elapsed());
                break;
            }
            if Instant::now() > end {
                report
                    .wrong
                    .push(format!("control byte {round} was never obeyed"));
                return;
            }
        }
        until(SOON, || !alive(engine) || comm(engine) != ENGINE);
    }
}

fn put_down(world: &World, ours: &'static crate::Bins, names: &[String], report: &mut Report) {
    let mut argv = vec!["svc".to_owned(), "-d".to_owned()];
    argv.extend(names.iter().map(|name| format!("sv/{name}")));
    world.run(ours, &argv);
    let down = until(SOON, || {
        names
            .iter()
            .all(|name| status_pid(world, &format!("sv/{name}")) == Some(0))
            && names.iter().all(|name| {
                let lives = world.read(format!("sv/{name}/lives"));
                lives
                    .lines()
                    .last()
                    .is_some_and(|line| line.starts_with("finish"))
            })
    });
    if !down {
        for name in names {
            let dir = format!("sv/{name}");
            let last = world
                .read(format!("{dir}/lives"))
                .lines()
                .last()
                .unwrap_or_default()
                .to_owned();
            if status_pid(world, &dir) != Some(0) || !last.starts_with("finish") {
                let says = world.run(ours, &["svstat", &dir]).out;
                report.wrong.push(format!(
                    "{name} is not down and finished after svc -d: {last:?}, {says:?}"
                ));
            }
        }
    }
}

/// One life, as its record tells it.
struct Life {
    id: String,
    ended: Option<(i32, u64)>,
    finished: bool,
}

fn judge(world: &World, name: &str, report: &mut Report) {
    let record = world.read(format!("sv/{name}/lives"));
    let doubles = world.read(format!("sv/{name}/DOUBLE"));
    if !doubles.is_empty() {
        report.wrong.push(format!(
            "{name}: started {} times while it lived",
            doubles.lines().count()
        ));
    }
    let (lives, wrong) = read_lives(&record, code_of(number_of(name)));
    report
        .wrong
        .extend(wrong.into_iter().map(|wrong| format!("{name}: {wrong}")));
    report.lives += lives.len() as u64;
    for pair in lives.windows(2) {
        let gap = born(&pair[1].id) - born(&pair[0].id);
        if report.shortest_gap.is_none_or(|shortest| gap < shortest) {
            report.shortest_gap = Some(gap);
        }
        // Between the decision and the kernel's stamp the engine may have lost its turn, or its life.
        if gap < 0.75 {
            report
                .wrong
                .push(format!("{name}: two starts within {gap:.3} s"));
        }
    }
    if world.path(format!("sv/{name}/log")).exists() {
        let expected: u64 = lives.iter().filter_map(|life| Some(life.ended?.1)).sum();
        let all = || world.read(format!("sv/{name}/log/all"));
        // The logger may still be at it.
        until(SOON, || all().lines().count() as u64 >= expected);
        let all = all();
        report.lines += all.lines().count() as u64;
        report.wrong.extend(
            read_log(&all, &lives)
                .into_iter()
                .map(|wrong| format!("{name}: {wrong}")),
        );
    }
}

/// When a life began, in seconds.
fn born(id: &str) -> f64 {
    let nanos: u64 = id
        .split_once('.')
        .and_then(|(_, nanos)| nanos.parse().ok())
        .unwrap_or_default();
    Duration::from_nanos(nanos).as_secs_f64()
}

/// Reads a record as `(start end finish)*`; the last life may have been ended by our TERM.
fn read_lives(record: &str, code: i32) -> (Vec<Life>, Vec<String>) {
    let (mut lives, mut wrong): (Vec<Life>, Vec<String>) = (Vec::new(), Vec::new());
    let (events, mut n) = (record.lines().count(), 0);
    for line in record.lines() {
        n += 1;
        let words: Vec<_> = line.split(' ').collect();
        let last = lives.last_mut();
        match (words.as_slice(), last) {
            (["start", id], last) => {
                if last.is_some_and(|life| !life.finished) {
                    wrong.push(format!(
                        "an exit is lost: `{line}` before the life before was finished"
                    ));
                }
                lives.push(Life {
                    id: (*id).to_owned(),
                    ended: None,
                    finished: false,
                });
            }
            (["end", id, code, lines], Some(life))
                if life.id == *id && life.ended.is_none() && !life.finished =>
            {
                life.ended = Some((
                    code.parse().unwrap_or(-9),
                    lines.parse().unwrap_or_default(),
                ));
            }
            (["finish", told, status, ..], Some(life)) if !life.finished => {
                life.finished = true;
                let right = life.ended == life.ended.filter(|(ended, _)| *ended == code)
                    && life.ended.is_some()
                    && *told == code.to_string()
                    && *status == "0";
                let by_our_term = n == events && (*told, *status) == ("-1", "15");
                if !right && !by_our_term {
                    wrong.push(format!(
                        "a wrong exit status: `{line}` for code {code}, ended {:?}",
                        life.ended
                    ));
                }
            }
            (_, _) => wrong.push(format!("`{line}` out of turn")),
        }
    }
    (lives, wrong)
}

/// Every line of every life, once, in its order.
fn read_log(all: &str, lives: &[Life]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut next: HashMap<&str, u64> = HashMap::new();
    for line in all.lines() {
        match line.split_once(' ') {
            Some((id, n)) => {
                let next = next.entry(id).or_default();
                if n.parse() != Ok(*next) {
                    wrong.push(format!("log line {n} of life {id} where {next} was due"));
                }
                *next += 1;
            }
            None => wrong.push(format!("a broken log line {line:?}")),
        }
    }
    for life in lives {
        let (seen, sent) = (
            next.remove(life.id.as_str()).unwrap_or_default(),
            life.ended.map(|(_, lines)| lines),
        );
        if sent.is_some_and(|sent| sent != seen) {
            wrong.push(format!(
                "life {} wrote {sent:?} lines, {seen} arrived",
                life.id
            ));
        }
    }
    wrong.extend(
        next.keys()
            .map(|id| format!("lines of an unknown life {id}")),
    );
    wrong
}

#[cfg(test)]
mod tests {
    use super::{read_lives, read_log};

    fn wrong(record: &str) -> usize {
        read_lives(record, 7).1.len()
    }

    #[test]
    fn a_record_in_order_is_right() {
        assert_eq!(
            wrong("start 1.5\nend 1.5 7 0\nfinish 7 0\nstart 2.6\nend 2.6 7 0\nfinish 7 0\n"),
            0
        );
        assert_eq!(
            wrong("start 1.5\nend 1.5 7 0\nfinish 7 0\nstart 2.6\nfinish -1 15\n"),
            0
        );
    }

    #[test]
    fn every_lie_in_a_record_is_seen() {
        for record in [
            "start 1.5\nend 1.5 7 0\nstart 2.6\nend 2.6 7 0\nfinish 7 0\n",
            "start 1.5\nend 1.5 7 0\nfinish 8 0\n",
            "start 1.5\nend 1.5 7 0\nfinish -1 9\n",
            "start 1.5\nend 1.5 8 0\nfinish 8 0\n",
            "start 1.5\nend 1.5 7 0\nfinish 7 0\nfinish 7 0\n",
            "start 1.5\nfinish -1 15\nstart 2.6\nend 2.6 7 0\nfinish 7 0\n",
            "start 1.5\nfinish 7 0\n",
            "finish 7 0\n",
            "start 1.5\nstart 1.6\nend 1.5 7 0\nfinish 7 0\n",
        ] {
            assert_ne!(wrong(record), 0, "{record}");
        }
    }

    #[test]
    fn every_hole_in_a_log_is_seen() {
        let (lives, _) = read_lives("start 1.5\nend 1.5 7 2\nfinish 7 0\n", 7);
        assert_eq!(read_log("1.5 0\n1.5 1\n", &lives).len(), 0);
        for log in [
            "1.5 0\n",
            "1.5 1\n",
            "1.5 1\n1.5 0\n",
            "1.5 0\n1.5 0\n1.5 1\n",
            "1.5 0\n1.5 1\n9.9 0\n",
            "1.5 0\n1.5",
        ] {
            assert_ne!(read_log(log, &lives).len(), 0, "{log}");
        }
    }
}
