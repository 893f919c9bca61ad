//! The floors *lives* and *every*, and the proof that they can fail.

use crate::every::{TOKENS, Token, every};
use crate::life::live;
use crate::mind::{Forgetful, Hasty, Mind, Resigned, Sound};
use crate::oracle::Law;
use crate::scanner::{self, Ear};
use eudaemon_core::definition::{Definition, Manners};
use std::thread;

/// Seeds `0..lives`, on two threads.
fn first_broken<M: Mind>(lives: u64) -> Option<(u64, Law)> {
    thread::scope(|scope| {
        let halves = [0, 1].map(|start| {
            scope.spawn(move || {
                (start..lives).step_by(2).find_map(|seed| {
                    live::<M>(seed, false)
                        .verdict
                        .err()
                        .map(|violation| (seed, violation.law))
                })
            })
        });
        halves
            .into_iter()
            .filter_map(|half| half.join().expect("no panic"))
            .min()
    })
}

#[test]
fn twenty_thousand_lives_are_good() {
    if let Some((seed, _)) = first_broken::<Sound>(20_000) {
        panic!("{}", live::<Sound>(seed, true).story);
    }
}

#[test]
fn seeds_that_once_failed_are_good() {
    let seeds: Vec<u64> = include_str!("../lives/supervisor.txt")
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| *word != "#")
        .map(|word| word.parse().expect("SEED what it was"))
        .collect();
    assert!(!seeds.is_empty());
    for seed in seeds {
        let life = live::<Sound>(seed, true);
        assert!(life.verdict.is_ok(), "seed {seed}\n{}", life.story);
    }
}

#[test]
fn the_same_seed_is_the_same_story() {
    for seed in 0..50 {
        let life = live::<Sound>(seed, true);
        assert_eq!(life.story, live::<Sound>(seed, true).story);
        assert_eq!(
            life.steps,
            live::<Sound>(seed, false).steps,
            "reading changes nothing"
        );
    }
    assert_ne!(live::<Sound>(1, true).story, live::<Sound>(2, true).story);
}

#[test]
fn ten_thousand_lives_of_the_scanner_are_good() {
    let mut starts = 0;
    for seed in 0..10_000 {
        let life = scanner::live(seed, Ear::Good, false);
        if life.verdict.is_err() {
            panic!("{}", scanner::live(seed, Ear::Good, true).story);
        }
        starts += life.starts;
    }
    assert!(starts > 20_000, "{starts} starts: these worlds are empty");
}

#[test]
fn a_scanner_that_is_deaf_to_leaving_is_noticed() {
    let mut laws: Vec<Law> = (0..500)
        .filter_map(|seed| scanner::live(seed, Ear::DeafToLeaving, false).verdict.err())
        .map(|violation| violation.law)
        .collect();
    laws.sort();
    laws.dedup();
    for law in [Law::PresentAtLast, Law::FinishAtLast] {
        assert!(laws.contains(&law), "{law:?} is not in {laws:?}");
    }
}

/// A world in which nothing happens proves nothing.
#[test]
fn the_worlds_are_not_empty() {
    let (mut runs, mut steps) = (0, 0);
    for seed in 0..1000 {
        let life = live::<Sound>(seed, false);
        runs += life.runs;
        steps += life.steps;
    }
    assert!(runs > 2500, "{runs} runs in 1000 lives");
    assert!(steps > 50_000, "{steps} steps in 1000 lives");
}

/// Which laws a wrong mind breaks in so many lives.
fn laws<M: Mind>(lives: u64) -> Vec<Law> {
    let mut laws: Vec<Law> = (0..lives)
        .filter_map(|seed| live::<M>(seed, false).verdict.err())
        .map(|violation| violation.law)
        .collect();
    laws.sort();
    laws.dedup();
    laws
}

#[test]
fn without_the_gap_the_oracle_of_the_gap_speaks() {
    let laws = laws::<Hasty>(500);
    assert!(laws.contains(&Law::Gap), "{laws:?}");
}

#[test]
fn a_forgotten_exit_is_a_lost_exit() {
    let laws = laws::<Forgetful>(500);
    assert_eq!(laws, [Law::NoLostExit]);
}

#[test]
fn who_never_restarts_is_not_up_at_last() {
    let laws = laws::<Resigned>(500);
    assert_eq!(laws, [Law::UpAtLast]);
}

#[track_caller]
fn every_order<M: Mind>(definition: Definition, alphabet: &[Token], length: usize) -> u64 {
    match every::<M>(definition, alphabet, length) {
        Ok(lives) => lives,
        Err(wrong) => panic!(
            "{:?} killed at {:?}: {:?}\n{}",
            wrong.tokens, wrong.kill, wrong.violation, wrong.story
        ),
    }
}

#[test]
fn every_order_of_a_plain_service() {
    let lives = every_order::<Sound>(Definition::default(), &TOKENS, 4);
    assert!(lives > 100_000, "{lives}");
}

#[test]
fn every_order_of_a_service_with_every_script() {
    let definition = Definition {
        start: true,
        stop: true,
        finish: true,
        encore: true,
        ..Definition::default()
    };
    let lives = every_order::<Sound>(definition, &TOKENS, 4);
    assert!(lives > 100_000, "{lives}");
}

#[test]
fn every_order_of_a_service_with_hooks() {
    for manners in [Manners::AUTO, Manners::RUNIT] {
        let definition = Definition {
            finish: true,
            hooks: true,
            manners,
            ..Definition::default()
        };
        let lives = every_order::<Sound>(definition, &TOKENS, 3);
        assert!(lives > 10_000, "{lives}");
    }
}

#[test]
fn every_order_finds_the_wrong_minds_too() {
    let plain = Definition::default();
    let law = |wrong: Result<u64, Box<crate::every::Wrong>>| {
        wrong.expect_err("a wrong mind").violation.law
    };
    assert_eq!(law(every::<Hasty>(plain, &TOKENS, 3)), Law::Gap);
    assert_eq!(law(every::<Resigned>(plain, &TOKENS, 3)), Law::UpAtLast);
}
