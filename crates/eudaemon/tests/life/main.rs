//! The unix life of a daemon, seen from outside: real shells, real terminals, `/proc`.
//!
//! The program under test is this one, started again in a [role](roles): a process whose only thread is its `main`, which
//! the usual test harness is not. So this file is its own harness: names as arguments choose tests, `--list` tells them.
//!
//! Not tested: launchd's and the BSDs' terminals; a `fork` that fails.
#![allow(
    clippy::disallowed_methods,
    reason = "a judge starts the programs it judges"
)]

mod child;
mod detach;
mod pidfile;
mod roles;
mod signals;
mod stage;
mod title;

use std::panic::catch_unwind;
use std::process::ExitCode;

/// A test and its name.
type Test = (&'static str, fn());

fn main() -> ExitCode {
    if let Some(role) = std::env::var_os(stage::ROLE) {
        return roles::play(&role);
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let chosen: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let exact = words.iter().any(|word| word == "--exact");
    let is_chosen = |name: &str| {
        chosen.is_empty()
            || chosen.iter().any(|&word| {
                if exact {
                    name == word
                } else {
                    name.contains(word.as_str())
                }
            })
    };
    let tests = [
        signals::TESTS,
        pidfile::TESTS,
        detach::TESTS,
        title::TESTS,
        child::TESTS,
    ]
    .concat();
    let tests: Vec<Test> = tests.into_iter().filter(|test| is_chosen(test.0)).collect();
    if words.iter().any(|word| word == "--list") {
        for (name, _) in tests {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let mut failed = 0;
    for (name, test) in &tests {
        let passed = catch_unwind(test).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += u32::from(!passed);
    }
    println!("\ntest result: {} of {} failed", failed, tests.len());
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
