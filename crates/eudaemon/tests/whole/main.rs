//! The whole life by way of `eudaemon::main` and `Builder`, seen by a manager in a box, a shell and `/proc`.
//!
//! As in `life`, the program under test is this one again, in a role. The real systemd judges the finished examples in
//! `eudaemon-lab`.
#![allow(
    clippy::disallowed_methods,
    reason = "a judge starts the programs it judges"
)]

mod blocked;
mod confined;
mod end;
mod managed;
mod orders;
mod roles;
mod shell;
mod stage;
mod surroundings;

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
        managed::TESTS,
        end::TESTS,
        shell::TESTS,
        confined::TESTS,
        orders::TESTS,
        surroundings::TESTS,
        blocked::TESTS,
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
