//! The logger is killed: at full rate at random moments, and at every system call it makes.

use crate::{count, logger};
use eudaemon_lab::log::{Kills, Mercy, Shape, Trial, every_call, kills};
use eudaemon_lab::{Subject, need};
use std::time::Duration;

fn plan(shape: Shape, effective: u32) -> Kills {
    Kills {
        shape,
        effective,
        size_bytes: 100_000,
        mercy: Mercy::None,
        life: Duration::from_millis(4),
        seed: 1,
    }
}

fn nothing_is_lost(shape: Shape, usual: u32) {
    let Some(ours) = logger(Subject::Ours) else {
        return;
    };
    let plan = plan(shape, count("EUDAEMON_LOG_KILLS", usual));
    let toll = kills(&ours, &plan);
    println!("{toll}");
    assert!(toll.effective >= plan.effective, "{toll}");
    assert!(toll.perfect(), "{toll}");
    assert!(toll.said.is_empty(), "{toll}");
}

#[test]
fn nothing_is_lost_at_full_rate() {
    nothing_is_lost(Shape::Plain, 1000);
}

#[test]
fn nothing_is_lost_with_stamps_and_two_directories() {
    nothing_is_lost(Shape::Stamped, 400);
}

#[test]
fn nothing_is_lost_with_a_processor() {
    nothing_is_lost(Shape::Processed, 400);
}

/// That the judge sees a loss when there is one.
#[test]
fn the_original_loses_lines() {
    let Some(djb) = logger(Subject::Djb) else {
        return;
    };
    let toll = kills(&djb, &plan(Shape::Plain, 60));
    println!("{toll}");
    assert!(toll.sum(|tally| tally.lost) > 0, "{toll}");
    assert!(toll.sum(|tally| tally.torn) > 0, "{toll}");
}

#[test]
fn nothing_is_lost_by_term() {
    for subject in [Subject::Djb, Subject::Ours] {
        let Some(logger) = logger(subject) else {
            return;
        };
        let mut plan = plan(Shape::Plain, 50);
        plan.mercy = Mercy::Term;
        plan.life = Duration::from_millis(20);
        let toll = kills(&logger, &plan);
        println!("{subject:?}: {toll}");
        assert!(toll.perfect(), "{subject:?}: {toll}");
    }
}

fn at_every_call(trial: Trial, usual: u32) {
    if !need(&["/usr/bin/strace"]) {
        return;
    }
    let Some(ours) = logger(Subject::Ours) else {
        return;
    };
    let most = count("EUDAEMON_LOG_POINTS", usual);
    let points = every_call(&ours, trial, 1, most as usize);
    println!("{trial:?}: {points}");
    assert!(
        points.tried > 0 && points.effective * 10 >= points.tried * 9,
        "{points}"
    );
    assert!(points.damaged.is_empty(), "{points}");
}

#[test]
fn killed_at_any_call() {
    at_every_call(Trial::Plain, 80);
}

#[test]
fn killed_at_any_call_with_stamps_and_two_directories() {
    at_every_call(Trial::Stamped, 80);
}

#[test]
fn killed_at_any_call_with_a_processor() {
    at_every_call(Trial::Processed, 60);
}

#[test]
fn killed_at_any_call_of_a_recovery() {
    at_every_call(Trial::Recovery, 60);
    at_every_call(Trial::ProcessedRecovery, 60);
}

#[test]
fn killed_at_any_call_of_the_end_by_term() {
    at_every_call(Trial::Term, 60);
}

/// That the judge sees damage when there is some.
#[test]
fn the_original_is_damaged_at_some_calls() {
    if !need(&["/usr/bin/strace"]) {
        return;
    }
    let Some(djb) = logger(Subject::Djb) else {
        return;
    };
    let points = every_call(&djb, Trial::Plain, 1, 60);
    println!("{points}");
    assert!(points.damaged.len() * 4 > points.tried, "{points}");
}
