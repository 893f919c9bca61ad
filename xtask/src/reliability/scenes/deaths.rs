//! Somebody is killed: what lives, what is known of it, and who hears.

use super::{Play, TWO_SCANS, note, on_stage, put, put_or};
use crate::bench::ask;
use crate::bench::process;
use crate::bench::subject::Kind;
use crate::bench::tree::now_ns;
use crate::reliability::stage::{Stage, Victim, pause};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

/// Copies and state after each way of dying: G1 and G3.
pub(super) fn kill(play: &Play<'_>) -> Result<(), String> {
    for (victim, words) in [
        (Victim::Supervisors, "supervisor"),
        (Victim::Scanner, "scanner"),
        (Victim::All, "all"),
    ] {
        on_stage(play, 6, |stage| kill_one(stage, victim, words))?;
    }
    Ok(())
}

fn kill_one(stage: &mut Stage<'_>, victim: Victim, words: &str) -> Result<(), String> {
    const DOWN: usize = 4;
    const READY: usize = 5;
    let ours = stage.subject.kind == Kind::Ours;
    if ours || stage.subject.kind == Kind::S6 {
        let dir = stage.dir(READY);
        let exec = pause();
        stage.script(
            &dir.join("run"),
            &format!("echo >&3\nexec 3>&- {}", exec.display()),
        )?;
        fs::write(dir.join("notification-fd"), "3\n")
            .map_err(|why| format!("unable to write notification-fd: {why}"))?;
    }
    stage.tree.start(6)?;
    stage.tree.rest(Duration::from_secs(2));
    let down = stage.dir(DOWN);
    stage.command('d', &down);
    if !stage.until(Duration::from_secs(10), |stage| {
        stage.alive(DOWN).is_empty()
    }) {
        return Err("a service that was told did not go down".to_owned());
    }
    stage.tree.rest(Duration::from_secs(1));
    let first = stage.dir(0);
    let (before, pid, asked) = (stage.status(&first), stage.alive(0), Instant::now());
    let ready = stage.dir(READY);
    if stage.ready(&ready) == Some(false) {
        return Err("readiness was told and not taken".to_owned());
    }
    if !before.up || before.pid != pid.first().map(|pid| u64::from(pid.unsigned_abs())) {
        return Err(format!("its status was not true before: {}", before.words));
    }
    stage.kill(victim);
    // Ours starts its own; a dead svscan, runsvdir or s6-svscan is started by the one who watches it.
    if victim == Victim::All || (victim == Victim::Scanner && !ours) {
        stage.again()?;
    }
    stage.tree.rest(TWO_SCANS);
    let up: Vec<usize> = (0..6).filter(|at| *at != DOWN).collect();
    for at in &up {
        put(&format!("copies-{words}"), stage.alive(*at).len() as f64);
    }
    let now = stage.status(&first);
    // Whole seconds are told: one may be missing.
    let older = before.seconds.unwrap_or(0) + asked.elapsed().as_secs().saturating_sub(1);
    let mut lost = Vec::new();
    if now.pid != before.pid {
        lost.push("pid");
    }
    if !now.up || now.seconds.is_none_or(|seconds| seconds < older) {
        lost.push("uptime");
    }
    if stage.status(&down).up || !stage.alive(DOWN).is_empty() {
        lost.push("want");
    }
    // The pid is the old one's too, or the readiness is another's.
    let same = stage.alive(READY).len() == 1;
    if stage.ready(&ready) == Some(false) || (stage.ready(&ready).is_some() && !same) {
        lost.push("ready");
    }
    put(&format!("state-{words}"), lost.len() as f64);
    if !lost.is_empty() {
        note(&format!("{words} killed: lost {}", lost.join(", ")));
    }
    Ok(())
}

/// How many services are asked how long nobody obeys.
const DEAFS: usize = 50;
/// How often our one process for all of them is killed: it takes a moment only, and the hundredth part is to be more than one sample.
const DEAFS_OURS: usize = 200;

/// Time until a command is obeyed again: G2.
pub(super) fn deaf(play: &Play<'_>) -> Result<(), String> {
    on_stage(play, DEAFS, |stage| {
        deaf_one(stage, Victim::Supervisors, "deaf-supervisor")
    })?;
    on_stage(play, DEAFS, |stage| {
        deaf_one(stage, Victim::Scanner, "deaf-scanner")
    })
}

fn deaf_one(stage: &mut Stage<'_>, victim: Victim, key: &str) -> Result<(), String> {
    const LIMIT: Duration = Duration::from_secs(20);
    stage.tree.start(DEAFS)?;
    stage.tree.rest(Duration::from_secs(2));
    if stage.subject.kind == Kind::Ours {
        // One process for all: killed once for each sample.
        for time in 0..DEAFS_OURS {
            let killed = stage.kill(victim);
            if killed.pids.len() != 1 {
                return Err(format!("{} processes found to kill", killed.pids.len()));
            }
            put(&format!("{key}-died"), killed.died.as_secs_f64() * 1e3);
            let time = stage.obeyed(time % DEAFS, killed.begin, LIMIT);
            put_or(key, time.map(|time| time.as_secs_f64() * 1e3), 20e3);
            // The one that obeyed is not killed before it had time to look around.
            stage.tree.rest(Duration::from_millis(100));
        }
        return Ok(());
    }
    if victim == Victim::Scanner {
        // What obeys is another process: it is asked whether it does.
        let begin = stage.kill(victim).begin;
        for at in 0..DEAFS {
            let since = if at == 0 { begin } else { now_ns() };
            let time = stage.obeyed(at, since, LIMIT);
            put_or(key, time.map(|time| time.as_secs_f64() * 1e3), 20e3);
        }
        return Ok(());
    }
    // One process for each: killed one after the other over five seconds and more, so that a scan may fall anywhere.
    let mut killed: Vec<(usize, u64, usize, Instant)> = Vec::new();
    let mut told = BTreeSet::new();
    let begin = Instant::now();
    let mut done = 0;
    stage.until(Duration::from_secs(6) + LIMIT, |stage| {
        if killed.len() < DEAFS
            && begin.elapsed()
                >= Duration::from_millis(120) * u32::try_from(killed.len()).unwrap_or(0)
        {
            let at = killed.len();
            let heard = stage.heard(at).0;
            let supervisor = stage
                .alive(at)
                .first()
                .and_then(|pid| stage.supervisor_of(*pid));
            let begin = now_ns();
            if let Some(supervisor) = supervisor {
                process::signal(supervisor, Signal::KILL);
                while process::lives(supervisor) {
                    stage.tree.pump(Duration::from_millis(1));
                }
                process::reap();
            }
            killed.push((at, begin, heard, Instant::now()));
        }
        for (at, begin, heard, ask_at) in &mut killed {
            let (hups, ns) = stage.heard(*at);
            if told.contains(at) {
                continue;
            }
            if hups > *heard {
                put(key, ns.saturating_sub(*begin) as f64 / 1e6);
                told.insert(*at);
                done += 1;
            } else if Instant::now() >= *ask_at {
                let asked = ask(&stage.dir(*at).join("supervise/control"));
                *ask_at = Instant::now() + Duration::from_millis(if asked { 100 } else { 3 });
            }
        }
        done == DEAFS
    });
    for _ in done..DEAFS {
        put_or(key, None, 20e3);
    }
    Ok(())
}

/// A writer that numbers its lines and goes on where it was. `count` is written first, so a line that nobody took is known.
const WRITER: &str = "echo $$ >>starts
read i <count || i=0
while [ ! -e stop ]; do
  i=$((i+1)); echo $i >count; echo line $i; sleep 0.01
done
exec sleep 1000";
/// A logger that keeps nothing to itself: the loss of loggers is not what is measured here.
const LOGGER: &str = "echo $$ >../logger\nexec cat >>../got";

/// The scanner dies and is there again; then the logger dies with its supervisor: G4.
pub(super) fn chain(play: &Play<'_>) -> Result<(), String> {
    let ways: &[Victim] = match play.subject.kind {
        // Who replaces our scanner may be its engine, or the next svscan.
        Kind::Ours => &[Victim::Scanner, Victim::All],
        Kind::Daemontools | Kind::Runit | Kind::S6 | Kind::Bare => &[Victim::Scanner],
    };
    for victim in ways {
        on_stage(play, 0, |stage| chain_one(stage, *victim))?;
    }
    Ok(())
}

fn chain_one(stage: &mut Stage<'_>, victim: Victim) -> Result<(), String> {
    let dir = stage.tree.scan.join("w");
    stage.script(&dir.join("run"), WRITER)?;
    stage.script(&dir.join("log/run"), LOGGER)?;
    fs::write(dir.join("count"), "0\n").map_err(|why| format!("unable to write: {why}"))?;
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();
    let numbers = || -> BTreeSet<u64> {
        read("got")
            .lines()
            .filter_map(|line| line.strip_prefix("line ")?.parse().ok())
            .collect()
    };
    stage.tree.start(0)?;
    if !stage.until(Duration::from_secs(10), |_| numbers().len() > 50) {
        return Err("no lines were logged".to_owned());
    }
    stage.kill(victim);
    if stage.subject.kind != Kind::Ours || victim == Victim::All {
        stage.again()?;
    }
    stage.tree.rest(Duration::from_secs(6));
    let logger: i32 = read("logger").trim().parse().unwrap_or(0);
    let mut doomed = vec![logger];
    // runsv supervises the service too: that it dies is another accident, G1's.
    if stage.subject.kind != Kind::Runit {
        doomed.extend(stage.supervisor_of(logger));
    }
    let starts = read("starts").lines().count();
    // A logger killed between its read and its write loses a line, whoever supervises it. So it is stopped while it waits for one;
    // what the service then writes lies in the pipe when all die.
    let writer: i32 = read("starts")
        .lines()
        .last()
        .and_then(|pid| pid.parse().ok())
        .unwrap_or(0);
    process::signal(writer, Signal::STOP);
    stage.tree.rest(Duration::from_millis(200));
    doomed
        .iter()
        .for_each(|pid| process::signal(*pid, Signal::STOP));
    process::signal(writer, Signal::CONT);
    stage.tree.rest(Duration::from_millis(200));
    let (begin, last) = (now_ns(), read("count").trim().parse::<u64>().unwrap_or(0));
    doomed
        .iter()
        .for_each(|pid| process::signal(*pid, Signal::KILL));
    let mut time = None;
    let end = Instant::now() + TWO_SCANS;
    stage.until(TWO_SCANS, |_| {
        process::reap();
        let got = numbers();
        if got.last().is_some_and(|got| *got > last + 1) {
            time = Some((now_ns() - begin) as f64 / 1e6);
        }
        time.is_some()
    });
    stage
        .tree
        .rest(end.saturating_duration_since(Instant::now()));
    put_or("chain-ms", time, TWO_SCANS.as_secs_f64() * 1e3);
    put(
        "chain-restarts",
        read("starts").lines().count().saturating_sub(starts) as f64,
    );
    fs::write(dir.join("stop"), "").map_err(|why| format!("unable to write: {why}"))?;
    stage.tree.rest(Duration::from_secs(2));
    let written = read("count").trim().parse::<u64>().unwrap_or(0);
    put(
        "chain-lost",
        (written as f64 - numbers().len() as f64).max(0.0),
    );
    Ok(())
}
