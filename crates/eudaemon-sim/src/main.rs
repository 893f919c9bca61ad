//! Tells the life of one seed, or lives many.

use eudaemon_sim::life;
use eudaemon_sim::mind::Sound;
use eudaemon_sim::oracle::Violation;
use eudaemon_sim::scanner::{self, Ear};
use std::process::ExitCode;
use std::time::Instant;

const USAGE: &str = "usage: eudaemon-sim [--scanner] SEED | [--scanner] --lives N [--from S]";

enum Wish {
    Tell(u64),
    Live { lives: u64, from: u64 },
}

/// What `main` needs of a life, a supervisor's or a scanner's.
struct Lived {
    steps: u32,
    starts: u32,
    verdict: Result<(), Box<Violation>>,
    story: String,
}

fn supervisor(seed: u64, written: bool) -> Lived {
    let life = life::live::<Sound>(seed, written);
    Lived {
        steps: life.steps,
        starts: life.runs,
        verdict: life.verdict,
        story: life.story,
    }
}

fn scan(seed: u64, written: bool) -> Lived {
    let life = scanner::live(seed, Ear::Good, written);
    Lived {
        steps: life.steps,
        starts: life.starts,
        verdict: life.verdict,
        story: life.story,
    }
}

fn wish(words: &[String]) -> Option<Wish> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["--lives", lives] => Some(Wish::Live {
            lives: lives.parse().ok()?,
            from: 0,
        }),
        ["--lives", lives, "--from", from] => Some(Wish::Live {
            lives: lives.parse().ok()?,
            from: from.parse().ok()?,
        }),
        [seed] => Some(Wish::Tell(seed.parse().ok()?)),
        _ => None,
    }
}

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let scans = words.first().is_some_and(|word| word == "--scanner");
    if scans {
        words.remove(0);
    }
    let live = if scans { scan } else { supervisor };
    let which = if scans { "--scanner " } else { "" };
    match wish(&words) {
        None => {
            eprintln!("{USAGE}");
            ExitCode::from(100)
        }
        Some(Wish::Tell(seed)) => {
            let life = live(seed, true);
            print!("{}", life.story);
            match life.verdict {
                Ok(()) => {
                    println!("A good life: {} steps, {} starts.", life.steps, life.starts);
                    ExitCode::SUCCESS
                }
                Err(_) => ExitCode::FAILURE,
            }
        }
        Some(Wish::Live { lives, from }) => {
            let begun = Instant::now();
            let mut steps = 0;
            for seed in from..from.saturating_add(lives) {
                let life = live(seed, false);
                steps += u64::from(life.steps);
                if let Err(violation) = life.verdict {
                    println!("seed {seed}: {:?}: {}", violation.law, violation.words);
                    println!("cargo run -p eudaemon-sim -- {which}{seed}");
                    return ExitCode::FAILURE;
                }
            }
            let secs = begun.elapsed().as_secs_f64();
            println!(
                "{lives} lives, {steps} steps, {:.0} lives/s",
                lives as f64 / secs.max(1e-9)
            );
            ExitCode::SUCCESS
        }
    }
}
