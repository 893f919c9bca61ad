//! Signals from the first instruction to the loop that reads them. H17, T49-T51.

use crate::Test;
use crate::stage::{Scratch, Started, code, send, until};
use eudaemon_core::words::Signal;
use std::process::Command;

pub const TESTS: &[Test] = &[
    (
        "signals::what_a_parent_ignored_has_its_default_again",
        clean,
    ),
    ("signals::the_first_interrupts_and_is_written_down", first),
    ("signals::the_second_ends_a_deaf_init", second),
    ("signals::none_is_lost_between_the_two", between),
];

fn bit(signal: Signal) -> u64 {
    1 << (signal.number_linux() - 1)
}

fn clean() {
    let scratch = Scratch::new("signals");
    // coreutils' env, from 8.31 on.
    let mut command = Command::new("env");
    scratch.put_on(&mut command, "signals");
    let status = command
        .args([
            "--ignore-signal=TERM,INT,CHLD,USR1,HUP",
            "--block-signal=TERM,USR2",
        ])
        .arg(crate::stage::own())
        .arg("look")
        .status()
        .expect("coreutils");
    assert_eq!(code(status), 0);
    let notes = scratch.notes();
    let set = |name: &str| u64::from_str_radix(notes.get(name), 16).expect("hexadecimal");
    let [term, int, hup, pipe] = [Signal::Term, Signal::Int, Signal::Hup, Signal::Pipe].map(bit);
    let both = term | bit(Signal::Chld) | bit(Signal::Usr1);
    assert_eq!(set("found_ignored") & both, both, "{notes:?}");
    assert_ne!(set("found_blocked"), 0, "{notes:?}");
    // Begun: nothing is blocked, and a hang-up is still no matter.
    assert_eq!(set("begun_blocked"), 0);
    assert_eq!(set("begun_ignored"), hup | pipe);
    // Who is told of a stack overflow is told still.
    let segv = 1 << 10;
    assert_eq!(set("begun_caught"), set("found_caught") | term | int);
    assert_ne!(set("begun_caught") & segv, 0);
    // Handed over: blocked is what is read, and all else is as in any program.
    let (ttin, ttou) = (bit(Signal::Ttin), bit(Signal::Ttou));
    assert_eq!(set("after_blocked"), term | int | hup | ttin | ttou);
    assert_eq!(set("after_ignored"), pipe);
    assert_eq!(set("after_caught"), set("found_caught"));
}

fn first() {
    for signal in [Signal::Term, Signal::Int] {
        let scratch = Scratch::new("signals");
        let child = scratch.program("signals").arg("init").spawn();
        let mut child = Started(child.expect("it is ours"));
        scratch.notes();
        // Between its notes and its wait it cannot be seen; a signal that comes too early would leave it waiting.
        until("it to wait", || {
            let state = std::fs::read_to_string(format!("/proc/{}/syscall", child.0.id())).ok()?;
            (!state.starts_with("running")).then_some(())
        });
        send(child.0.id(), signal);
        assert_eq!(child.code(), i32::from(signal.number_linux()));
    }
}

fn second() {
    let scratch = Scratch::new("signals");
    let child = scratch.program("signals").arg("deaf").spawn();
    let mut child = Started(child.expect("it is ours"));
    scratch.notes();
    send(child.0.id(), Signal::Term);
    // Another number, so that the kernel does not make one of two that are pending; but so soon it is taken for an echo.
    send(child.0.id(), Signal::Int);
    let (_never, silence) = std::sync::mpsc::channel::<()>();
    let ended = silence.recv_timeout(eudaemon_core::life::ECHO * 2);
    assert!(ended.is_err(), "only time ends it");
    send(child.0.id(), Signal::Int);
    assert_eq!(child.code(), 130);
}

fn between() {
    let mut ways = [0, 0];
    for round in 0..200_u32 {
        let scratch = Scratch::new("signals");
        let mut command = scratch.program("signals");
        command
            .env("STEPS", (round * 1000).to_string())
            .arg("between");
        let mut child = Started(command.spawn().expect("it is ours"));
        let begun = scratch.0.join("begun");
        until("it to begin", || begun.exists().then_some(()));
        send(child.0.id(), Signal::Term);
        match child.code() {
            10 => ways[0] += 1,
            20 => ways[1] += 1,
            other => panic!("{other} in round {round}"),
        }
    }
    // Both were seen, or nothing is known of the moment between.
    assert!(ways[0] > 0 && ways[1] > 0, "{ways:?}");
}
