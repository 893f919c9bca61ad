//! `cargo xtask bench`: ours beside daemontools, runit and s6, in one run, as ratios.
//!
//! Figures of a machine drift by the minute; a ratio inside one run drifts less. So every round visits every subject, each round
//! in another order, each visit is a fresh tree, and what is printed is the median. Services tell the bench themselves, through a FIFO,
//! when they start and when they hear a signal (`bench/pause.c`): nothing is guessed from outside.
//!
//! Trees lie on tmpfs where there is one: on ext4 the making of six files for each service costs everybody so much that
//! nothing else is seen (`--scratch /tmp` shows that).
//!
//! The programs that are no supervisors (loggers, time filters, links of a chain) are measured one by one, in `programs`, beside what
//! the kernel alone needs; so is what the library says to a manager, in
//! `messages`, and how soon, in `ready`. What clients see of a server that changes, in `zero_downtime`, takes half an hour, and is
//! measured when it is asked for by name. `--quick` tells whether everything still runs, not how fast it is.
//!
//! Not measured: services with loggers, more than one tree, machines under memory pressure.

mod messages;
pub(crate) mod process;
mod programs;
mod ready;
pub(crate) mod subject;
mod table;
mod timed;
pub(crate) mod tree;
mod visit;
mod zero_downtime;

use crate::{Outcome, worker, workspace};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use subject::{Kind, Subject};
use visit::Visit;
pub(crate) use visit::ask;

/// What `--only` chooses from, of trees of services, in the order in which it happens.
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
    /// Where programs of runit are that were linked statically.
    runit_static: Option<PathBuf>,
    /// Little of everything.
    quick: bool,
}

impl Options {
    fn parse(args: &[String]) -> Result<Options, String> {
        let mut options = Options {
            ours: None,
            services: 1000,
            rounds: 3,
            only: usual(),
            peers: Kind::PEERS
                .iter()
                .map(|(_, name, _)| (*name).to_owned())
                .collect(),
            scratch: memory_or_temporary(),
            runit_static: None,
            quick: false,
        };
        let mut words = args.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("bench: {word} needs a value"));
            match word.as_str() {
                "--ours" => options.ours = Some(PathBuf::from(value()?)),
                "--services" => options.services = worker::count("bench", value()?)?,
                "--rounds" => options.rounds = worker::count("bench", value()?)?,
                "--only" => options.only = worker::list("bench", value()?, &known())?,
                "--peers" => {
                    let known: Vec<String> = Kind::PEERS
                        .iter()
                        .map(|(_, name, _)| (*name).to_owned())
                        .collect();
                    options.peers = worker::list("bench", value()?, &known)?;
                }
                "--runit-static" => options.runit_static = Some(PathBuf::from(value()?)),
                "--quick" => {
                    options.quick = true;
                    (options.services, options.rounds) = (20, 1);
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

/// Everything `--only` chooses from.
fn known() -> Vec<String> {
    let named = zero_downtime::SCENES.map(str::to_owned);
    usual().into_iter().chain(named).collect()
}

/// What is measured when nothing is named.
fn usual() -> Vec<String> {
    let all = STAGES.into_iter().chain(programs::SCENES);
    let library = messages::SCENES.into_iter().chain(ready::SCENES);
    all.chain(library).map(str::to_owned).collect()
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

/// Measures in a worker, which ends what it has started when we end.
pub fn run(args: &[String]) -> Outcome {
    if std::env::var_os(WORKER).is_some() {
        return work(args);
    }
    Options::parse(args)?;
    let mut worker = worker::command("bench", args, (WORKER, "1"), false)?
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
    let mut notes = vec![format!("load averages before: {}", process::load())];
    let mut tables = Vec::new();
    if STAGES.iter().any(|stage| options.wants(stage)) {
        tables.push(trees(&mut options, &out, &mut notes)?);
    }
    if programs::SCENES.iter().any(|scene| options.wants(scene)) {
        let subjects = programs::subjects(&options)?;
        let mut samples = Samples::new();
        for why in programs::play(&options, &subjects, &out, &mut samples)? {
            eprintln!("xtask: warning: {why}");
            notes.push(why);
        }
        tables.push(table::Table {
            title: format!("programs, {} rounds", options.rounds),
            samples,
            columns: subjects,
        });
    }
    if messages::SCENES.iter().any(|scene| options.wants(scene)) {
        let mut samples = Samples::new();
        messages::play(&options, &mut samples)?;
        tables.push(table::Table {
            title: format!("messages to a manager, {} rounds", options.rounds),
            samples,
            columns: messages::subjects(),
        });
    }
    if ready::SCENES.iter().any(|scene| options.wants(scene)) {
        let mut samples = Samples::new();
        ready::play(&options, &mut samples)?;
        tables.push(table::Table {
            title: format!("a service's start, {} rounds", options.rounds),
            samples,
            columns: ready::subjects(),
        });
    }
    let mut more = None;
    if zero_downtime::SCENES
        .iter()
        .any(|scene| options.wants(scene))
    {
        more = Some(zero_downtime::play(&options, &mut notes)?);
    }
    notes.push(format!("load averages after: {}", process::load()));
    tables.iter().for_each(|table| print!("{}", table.text()));
    more.iter().for_each(|(text, _)| print!("{text}"));
    notes.iter().for_each(|note| println!("note: {note}"));
    let stamp = std::time::UNIX_EPOCH
        .elapsed()
        .map_or(0, |time| time.as_secs());
    let path = out.join(format!("{stamp}.json"));
    let json = table::json(&tables, more.map(|(_, rows)| rows), options.rounds, &notes);
    std::fs::write(&path, json)
        .map_err(|why| format!("unable to write {}: {why}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

/// Visits every subject in every round with a tree of services.
fn trees(
    options: &mut Options,
    out: &Path,
    notes: &mut Vec<String>,
) -> Result<table::Table, String> {
    let pause = compile(out, "pause")?;
    let mut subjects = Subject::all(options.ours.as_deref(), &options.peers)?;
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
                options,
                samples: &mut samples,
                round,
            };
            for why in visit.all() {
                eprintln!("xtask: warning: {why}");
                notes.push(why);
            }
        }
    }
    table::derive(&mut samples);
    subjects.retain(|subject| subject.kind != Kind::Bare);
    Ok(table::Table {
        title: format!("{} services, {} rounds", options.services, options.rounds),
        samples,
        columns: subjects,
    })
}

/// Compiles a program of `xtask/bench` that needs no libc: `pause`, the trivial service, or `true`, the end of a chain.
pub(crate) fn compile(out: &Path, name: &str) -> Result<PathBuf, String> {
    let flags = [
        "-s",
        "-static",
        "-nostdlib",
        "-ffreestanding",
        "-fno-stack-protector",
        "-fno-pie",
        "-no-pie",
        "-Wl,-z,noseparate-code",
        "-Wl,--build-id=none",
    ];
    cc(out, name, &flags)
}

/// Compiles a program of `xtask/bench` that is an ordinary one.
fn compile_with_libc(out: &Path, name: &str) -> Result<PathBuf, String> {
    cc(out, name, &[])
}

fn cc(out: &Path, name: &str, flags: &[&str]) -> Result<PathBuf, String> {
    let program = out.join(name);
    let status = Command::new("cc")
        .args(["-O2", "-Wall", "-Wextra"])
        .args(flags)
        .arg("-o")
        .arg(&program)
        .arg(workspace().join(format!("xtask/bench/{name}.c")))
        .status()
        .map_err(|why| format!("unable to run cc: {why}"))?;
    if status.success() {
        Ok(program)
    } else {
        Err(format!("unable to compile {name}.c"))
    }
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
