//! runit's manners: hooks, `x`, and `finish` where `run` could not be started.

extern crate std;
use super::script::{at, check};
use crate::status::Tail;
use crate::supervise::*;
use std::{format, vec::Vec};

#[test]
fn a_hook_is_asked_before_run_is_started_and_before_a_letter_is_obeyed() {
    check(
        "
           0ms deadline       -> inspect
           0ms inspected control -> seek
           0ms sought yes     -> launch control
           1ms hookspawned 5  ->
           2ms hookexited 1   -> launch run
           5ms spawned 7      -> publish
        1500ms control h      -> seek
        1500ms sought no      -> main 7 HUP
        1600ms control h      -> seek
        1600ms sought yes     -> launch control
        1601ms hookspawned 6  ->
        1602ms control p      ->
        1603ms hookexited 0   -> seek
        1603ms sought no      -> main 7 STOP, publish
        1604ms control h      -> seek
        1604ms sought yes     -> launch control
        1605ms hookfailed 8   ->
        1606ms hookexited 111 -> main 7 HUP
    ",
    );
}

#[test]
fn down_asks_twice_and_the_first_may_see_to_it() {
    let up = "
           0ms deadline       -> inspect
           0ms inspected control -> seek
           0ms sought no      -> launch run
           5ms spawned 7      -> publish
    ";
    check(&format!(
        "{up}
        1500ms control d      -> seek, publish
        1500ms sought yes     -> launch control
        1501ms hookspawned 5  ->
        1502ms hookexited 0   -> main 7 CONT, publish, seek
        1502ms sought yes     -> launch control
        1503ms hookspawned 6  ->
        1600ms exited 0       -> publish
        1601ms hookexited 1   ->
    "
    ));
    check(&format!(
        "{up}
        1500ms control x      ->
        1600ms control d      -> seek, publish
        1600ms sought no      -> main 7 TERM, main 7 CONT, publish, seek
        1600ms sought yes     -> launch control
        1601ms hookspawned 6  ->
        1602ms exited 15      -> publish
        1603ms control K      -> hook 6 KILL
        1604ms hookexited 9   -> publish, leave
    "
    ));
}

#[test]
fn a_term_that_is_still_asked_about_is_not_taken_for_the_down_behind_it() {
    check(
        "
           0ms deadline       -> inspect
           0ms inspected control -> seek
           0ms sought no      -> launch run
           5ms spawned 7      -> publish
        1500ms control t      -> seek
        1500ms sought yes     -> launch control
        1501ms hookspawned 5  ->
        1502ms control d      -> publish
        1503ms hookexited 0   -> seek
        1503ms sought yes     -> launch control
        1504ms hookspawned 6  ->
        1505ms hookexited 0   -> main 7 CONT, publish, seek
        1505ms sought no      ->
    ",
    );
}

#[test]
fn runits_exit_takes_down_and_its_finish_is_shown_and_deaf() {
    let machine = check(
        "
           0ms deadline       -> inspect
           0ms inspected runit finish -> launch run
           5ms spawned 7      -> publish
        1500ms control x      -> seek, publish
        1500ms sought no      -> main 7 TERM, main 7 CONT, publish, seek
        1500ms sought no      ->
        1600ms exited 15      -> publish, launch finish
        1601ms spawned 8      -> publish
        1602ms control t      ->
        1602ms control k      -> main 8 KILL
    ",
    );
    assert_eq!(machine.stat_line(), "finish, want exit\n");
    let status = machine.status().main;
    assert_eq!(
        (status.pid, status.tail),
        (Pid::new(8), Tail::Finish { term: false })
    );
    let machine = check(
        "
           0ms deadline       -> inspect
           0ms inspected runit -> launch run
           5ms spawned 7      -> publish
        1500ms control o      -> publish
        1500ms control t      -> seek
        1500ms sought no      -> main 7 TERM, publish
    ",
    );
    assert_eq!(machine.stat_line(), "run, got TERM, want down\n");
    assert_eq!(machine.status().encode()[16..], [0, b'd', 1, 1]);
}

#[test]
fn a_run_that_cannot_be_started_has_its_finish() {
    let machine = check(
        "
           0ms deadline       -> inspect
           0ms inspected finish -> launch run
           5ms execfailed 7   -> publish
           6ms exited 111     -> launch finish, publish
    ",
    );
    assert_eq!(
        machine.last(),
        Pid::new(7).map(|pid| (pid, Ended::Code(111)))
    );
}

#[test]
fn the_next_shell_asks_again_and_sends_no_term_that_a_hook_has_made_needless() {
    let mut machine = check(
        "
           0ms deadline       -> inspect
           0ms inspected control -> seek
           0ms sought no      -> launch run
           5ms spawned 7      -> publish
        1500ms control d      -> seek, publish
    ",
    );
    let run = Fact::Child(Pid::new(7).expect("pid"));
    let facts = [run, Fact::Nothing, Fact::Nothing, Fact::Nothing];
    let mut out = Vec::new();
    machine.adopt(at(1600), facts, &mut out);
    assert_eq!(out, [Effect::Seek, Effect::Publish]);
}
