//! A harness for tests that need a `main` of their own: names as arguments choose, `--exact` means the whole name, `--list` tells them.

use std::panic::catch_unwind;
use std::process::ExitCode;

/// A test and its name.
pub type Test = (&'static str, fn());

/// Runs those that the arguments choose, one after the other, in this thread.
pub fn run(tests: &[&[Test]]) -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (options, names): (Vec<_>, Vec<_>) = words.iter().partition(|word| word.starts_with('-'));
    let is_given = |option: &str| options.iter().any(|word| *word == option);
    let is_chosen = |test: &str| {
        let is_it = |&name: &&String| {
            test == name || (!is_given("--exact") && test.contains(name.as_str()))
        };
        names.is_empty() || names.iter().any(is_it)
    };
    let chosen = tests.concat().into_iter().filter(|test| is_chosen(test.0));
    if is_given("--list") {
        chosen.for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let (mut all, mut failed) = (0, 0);
    for (name, test) in chosen {
        let passed = catch_unwind(test).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        all += 1;
        failed += u32::from(!passed);
    }
    println!("\ntest result: {failed} of {all} failed");
    ExitCode::from(u8::from(failed > 0))
}
