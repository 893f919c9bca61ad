//! What is worth its time now and then, and too long for every change: simulated lives by the million, crash injection with
//! real processes by the ten thousand, and loggers killed at every system call they make.

use crate::Outcome;
use crate::build::{cargo, release};

/// How much of each.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    lives: u64,
    kills: u64,
    logs: u64,
}

impl Options {
    fn parse(args: &[String]) -> Result<Options, String> {
        let mut options = Options {
            lives: 1_000_000,
            kills: 20_000,
            logs: 10_000,
        };
        let mut words = args.iter();
        while let Some(word) = words.next() {
            let count = match word.as_str() {
                "--lives" => &mut options.lives,
                "--kills" => &mut options.kills,
                "--logs" => &mut options.logs,
                _ => return Err(format!("long: unknown option {word}")),
            };
            let value = words.next().ok_or(format!("long: {word} needs a count"))?;
            *count = value
                .parse()
                .map_err(|_| format!("long: {value:?} is no count"))?;
        }
        Ok(options)
    }
}

/// Runs the simulator, then the crash injection, then the judges of the log line with so many random scripts and kills; 0 of any
/// leaves it out.
pub fn run(args: &[String]) -> Outcome {
    let options = Options::parse(args)?;
    let mut runs = Vec::new();
    if options.lives > 0 {
        let mut lives = cargo();
        lives.args([
            "run",
            "--release",
            "--package",
            "eudaemon-sim",
            "--",
            "--lives",
            &options.lives.to_string(),
        ]);
        runs.push(("lives", lives));
    }
    if options.kills > 0 {
        let mut kills = cargo();
        kills.args([
            "run",
            "--release",
            "--package",
            "eudaemon-lab",
            "--bin",
            "chaos",
            "--",
            "--kills",
            &options.kills.to_string(),
        ]);
        kills.env("EUDAEMON_BIN", release(None)?);
        runs.push(("kills", kills));
    }
    if options.logs > 0 {
        let mut logs = cargo();
        logs.args([
            "test",
            "--release",
            "--package",
            "eudaemon-lab",
            "--test",
            "log",
        ]);
        logs.env("EUDAEMON_BIN", release(None)?)
            .env("EUDAEMON_LOG_CASES", options.logs.to_string())
            .env("EUDAEMON_LOG_KILLS", options.logs.to_string())
            .env("EUDAEMON_LOG_POINTS", u32::MAX.to_string())
            .env("EUDAEMON_LOG_LINE_MIB", "1024");
        runs.push(("logs", logs));
    }
    for (name, mut run) in runs {
        let status = run
            .status()
            .map_err(|why| format!("unable to run cargo: {why}"))?;
        if !status.success() {
            return Err(format!("{name} failed: {status}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_counts() {
        let parse = |words: &[&str]| {
            Options::parse(
                &words
                    .iter()
                    .map(|word| (*word).to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(
            parse(&["--kills", "0"]),
            Ok(Options {
                lives: 1_000_000,
                kills: 0,
                logs: 10_000,
            })
        );
        assert!(
            parse(&["--lives", "many"])
                .unwrap_err()
                .contains("no count")
        );
        assert!(parse(&["--lives"]).unwrap_err().contains("needs a count"));
        assert!(
            parse(&["--years", "2"])
                .unwrap_err()
                .contains("unknown option")
        );
    }
}
