//! `cargo xtask reliability`: the same accidents for ours and for daemontools, runit and s6, and what each has lost by them.
//!
//! Each accident of each subject is played by a worker: a process of its own, leader of a session, subreaper of what it starts, with a
//! deadline. It tells figures on its standard output and ends when its standard input does, so neither a peer that hangs nor
//! Ctrl-C leaves a tree behind. Where milliseconds count, nothing else runs; the rest is mostly waiting, and done side by side.

mod goals;
mod logger;
mod scenes;
mod stage;

use crate::bench::process;
use crate::bench::subject::{Kind, Subject};
use crate::{Outcome, worker, workspace};
use goals::{All, Samples};
use rustix::process::{Signal, getpid, set_child_subreaper};
use scenes::{Play, SCENES, Scene};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Workers at once. They sleep nearly always; more would make each other's deadlines long.
const AT_ONCE: usize = 6;
/// What a worker gets to clear away after its deadline.
const GRACE: Duration = Duration::from_secs(60);
/// Tells a worker from the one who started it: the scene and the subject.
const WORKER: &str = "EUDAEMON_RELIABILITY_WORKER";

/// The words after `reliability`.
#[derive(Debug)]
struct Options {
    ours: Option<PathBuf>,
    rounds: usize,
    only: Vec<String>,
    peers: Vec<String>,
    scratch: PathBuf,
}

impl Options {
    fn parse(args: &[String]) -> Result<Options, String> {
        let scenes: Vec<String> = SCENES.iter().map(|scene| scene.name.to_owned()).collect();
        let peers = Kind::PEERS.map(|(_, name, _)| name.to_owned()).to_vec();
        let mut options = Options {
            ours: None,
            rounds: 1,
            only: scenes.clone(),
            peers: peers.clone(),
            scratch: std::env::temp_dir(),
        };
        let mut words = args.iter();
        while let Some(word) = words.next() {
            let mut value = || {
                words
                    .next()
                    .ok_or(format!("reliability: {word} needs a value"))
            };
            match word.as_str() {
                "--ours" => options.ours = Some(PathBuf::from(value()?)),
                "--rounds" => options.rounds = worker::count("reliability", value()?)?,
                "--only" => options.only = worker::list("reliability", value()?, &scenes)?,
                "--peers" => options.peers = worker::list("reliability", value()?, &peers)?,
                "--scratch" => options.scratch = PathBuf::from(value()?),
                _ => return Err(format!("reliability: unknown option {word}")),
            }
        }
        Ok(options)
    }
}

/// Plays every accident with every subject, prints the table, writes JSON beside the build.
pub fn run(args: &[String]) -> Outcome {
    let options = Options::parse(args)?;
    let subjects = Subject::all(options.ours.as_deref(), &options.peers)?;
    set_child_subreaper(Some(getpid()))
        .map_err(|why| format!("unable to become a subreaper: {why}"))?;
    if let Some(role) = std::env::var_os(WORKER) {
        return work(&role.to_string_lossy(), &subjects, &options.scratch);
    }
    let out = workspace().join("target/reliability");
    std::fs::create_dir_all(&out)
        .map_err(|why| format!("unable to create {}: {why}", out.display()))?;
    stage::prepare(&out)?;
    logger::prepare(&out)?;
    let mut notes = vec![format!("load averages before: {}", process::load())];
    let mut all = All::new();
    let jobs = || {
        SCENES
            .iter()
            .filter(|scene| options.only.iter().any(|only| only == scene.name))
            .flat_map(|scene| subjects.iter().map(move |subject| (scene, subject)))
    };
    for round in 0..options.rounds {
        eprintln!("xtask: round {} of {}", round + 1, options.rounds);
        let alone: Vec<_> = jobs().filter(|(scene, _)| scene.alone).collect();
        let beside: Vec<_> = jobs().filter(|(scene, _)| !scene.alone).collect();
        play(alone, 1, args, &mut all, &mut notes)?;
        play(beside, AT_ONCE, args, &mut all, &mut notes)?;
    }
    notes.push(format!("load averages after: {}", process::load()));
    print!("{}", goals::text(&all, &subjects));
    notes.iter().for_each(|note| println!("note: {note}"));
    let (kept, of) = goals::kept(&all);
    println!("{kept} of {of} goals met");
    let stamp = std::time::UNIX_EPOCH
        .elapsed()
        .map_or(0, |time| time.as_secs());
    let path = out.join(format!("{stamp}.json"));
    std::fs::write(&path, goals::json(&all, &subjects, options.rounds, &notes))
        .map_err(|why| format!("unable to write {}: {why}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

/// Plays one accident and tells of it.
fn work(role: &str, subjects: &[Subject], scratch: &Path) -> Outcome {
    let found = role.split_once(' ').and_then(|(scene, subject)| {
        let scene = SCENES.iter().find(|found| found.name == scene)?;
        let subject = subjects.iter().find(|found| found.name == subject)?;
        Some((scene, subject))
    });
    let (scene, subject) =
        found.ok_or(format!("reliability: {role:?} is no scene of a subject"))?;
    (scene.play)(&Play { subject, scratch })
}

/// A worker at work.
struct Worker {
    name: String,
    subject: String,
    child: Child,
    deadline: Instant,
}

/// What a worker's reader passes on: a line, or its end.
struct Line {
    worker: usize,
    line: Option<String>,
}

/// Plays `jobs`, at most `at_once` side by side.
fn play(
    jobs: Vec<(&Scene, &Subject)>,
    at_once: usize,
    args: &[String],
    all: &mut All,
    notes: &mut Vec<String>,
) -> Outcome {
    let (told, hears): (Sender<Line>, Receiver<Line>) = channel();
    let mut jobs = jobs.into_iter().enumerate();
    let mut workers: Vec<(usize, Worker)> = Vec::new();
    loop {
        while workers.len() < at_once
            && let Some((at, (scene, subject))) = jobs.next()
        {
            workers.push((at, start(at, scene, subject, args, &told)?));
        }
        if workers.is_empty() {
            return Ok(());
        }
        match hears.recv_timeout(Duration::from_millis(500)) {
            Ok(Line {
                worker,
                line: Some(line),
            }) => {
                if let Some((_, worker)) = workers.iter().find(|(at, _)| *at == worker) {
                    hear(worker, &line, all, notes);
                }
            }
            Ok(Line { worker, line: None }) => {
                if let Some(at) = workers.iter().position(|(at, _)| *at == worker) {
                    let (_, mut worker) = workers.remove(at);
                    let ended = worker.child.wait();
                    if !ended.is_ok_and(|status| status.success()) {
                        notes.push(format!("{} could not be played to its end", worker.name));
                        eprintln!(
                            "xtask: warning: {} could not be played to its end",
                            worker.name
                        );
                    }
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        for (_, worker) in &mut workers {
            let late = Instant::now().saturating_duration_since(worker.deadline);
            if !late.is_zero() && worker.child.stdin.take().is_some() {
                eprintln!("xtask: warning: {} takes too long", worker.name);
            }
            if late > GRACE {
                process::signal(i32::try_from(worker.child.id()).unwrap_or(0), Signal::KILL);
            }
        }
    }
}

fn start(
    at: usize,
    scene: &Scene,
    subject: &Subject,
    args: &[String],
    told: &Sender<Line>,
) -> Result<Worker, String> {
    let name = format!("{} {}", scene.name, subject.name);
    eprintln!("xtask: {name}");
    let mut child = worker::command("reliability", args, (WORKER, &name), scene.mounts)?
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|why| format!("unable to run setsid: {why}"))?;
    if let Some(out) = child.stdout.take() {
        let told = told.clone();
        std::thread::spawn(move || {
            let lines = BufReader::new(out).lines().map_while(Result::ok);
            // The channel lives as long as the worker is waited for; after that nobody wants to know.
            lines.map(Some).chain([None]).for_each(|line| {
                let _ = told.send(Line { worker: at, line });
            });
        });
    }
    Ok(Worker {
        name,
        subject: subject.name.clone(),
        child,
        deadline: Instant::now() + scene.limit,
    })
}

/// Takes a line of a worker: `put KEY FIGURE`, `over KEY FIGURE`, `note WORDS`.
fn hear(worker: &Worker, line: &str, all: &mut All, notes: &mut Vec<String>) {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    if word == "note" {
        notes.push(format!("{}: {rest}", worker.name));
        return;
    }
    let figure = rest
        .split_once(' ')
        .and_then(|(key, figure)| Some((key, figure.parse::<f64>().ok()?)));
    match figure {
        Some((key, figure)) if matches!(word, "put" | "over") => {
            let samples: &mut Samples = all
                .entry((key.to_owned(), worker.subject.clone()))
                .or_default();
            samples.list.push(figure);
            samples.over |= word == "over";
        }
        Some(_) | None => notes.push(format!("{}: {line}", worker.name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_words_are_refused() {
        let parse = |words: &[&str]| {
            Options::parse(
                &words
                    .iter()
                    .map(|word| (*word).to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        assert!(
            parse(&["--only", "fork,fun"])
                .unwrap_err()
                .contains("\"fun\" is none of deaf")
        );
        assert!(parse(&["--rounds", "0"]).unwrap_err().contains("no count"));
        assert!(parse(&["--peers"]).unwrap_err().contains("needs a value"));
        assert_eq!(parse(&["--only", "leak"]).unwrap().only, ["leak"]);
    }
}
