//! `chaos [--kills N] [--services N] [--binary PATH]`: the crash injection of `tests/chaos.rs`, as long as you like.
//! Under the names `run` and `finish` it is the mayfly that the injection supervises.

use eudaemon_lab::chaos::{Plan, crash};
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = eudaemon_lab::mayfly::part() {
        return ExitCode::from(u8::try_from(code).unwrap_or(99));
    }
    let mut plan = Plan::default();
    let mut args = std::env::args().skip(1);
    while let Some(word) = args.next() {
        let value = args.next().and_then(|value| value.parse().ok());
        match (word.as_str(), value) {
            ("--kills", Some(n)) => plan.kills = n,
            ("--services", Some(n)) => plan.services = n,
            ("--logged", Some(n)) => plan.logged = n,
            ("--seed", Some(n)) => plan.seed = u64::from(n),
            _ => {
                eprintln!("usage: chaos [--kills N] [--services N] [--logged N] [--seed N]");
                return ExitCode::from(100);
            }
        }
    }
    let mayfly = match std::env::current_exe() {
        Ok(path) => path,
        Err(e) => {
            eprintln!("chaos: fatal: unable to find myself: {e}");
            return ExitCode::from(111);
        }
    };
    let Some(report) = crash(&plan, &mayfly) else {
        return ExitCode::from(111);
    };
    print!("{report}");
    if report.wrong.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
