//! Scripts: `TIME EVENT -> EFFECTS`, one line per step. Only [`script::check`] knows the API.
//!
//! Not tested here: what the shell does with an effect (the lab's judges), and long lives (`eudaemon-sim`).

extern crate std;
use super::*;
use crate::status::{Phase, Tail};
use script::{at, check};
use std::{format, vec::Vec};

mod runit;
mod script;

#[test]
fn it_is_started_and_restarted() {
    check(
        "
           0ms deadline       -> inspect
           0ms inspected      -> launch run
           5ms spawned 7      -> publish
        2000ms exited 0       -> inspect, publish
        2000ms inspected      -> launch run
    ",
    );
}

#[test]
fn what_run_leaves_behind_is_swept_unless_it_leads_no_session() {
    for (session, swept) in [(true, 1), (false, 0)] {
        let mut machine = Supervisor::new(at(0), false);
        let mut out = Vec::new();
        let definition = Definition {
            session,
            ..Definition::default()
        };
        let pid = Pid::new(7).expect("pid");
        machine.step(at(0), Event::Deadline, &mut out);
        machine.step(at(0), Event::Inspected(Ok(definition)), &mut out);
        machine.step(at(0), Event::Spawned(Role::Main, pid), &mut out);
        assert!(!out.contains(&Effect::Sweep));
        machine.step(at(9), Event::Exited(Role::Main, Ended::Code(0)), &mut out);
        let sweeps = out.iter().filter(|effect| **effect == Effect::Sweep);
        assert_eq!(sweeps.count(), swept);
    }
}

#[test]
fn down_then_up_still_owes_its_second() {
    check(
        "
           0ms deadline       -> inspect
           0ms inspected      -> launch run
           5ms spawned 7      -> publish
           9ms exited 0       -> publish
          20ms control d      -> publish
          30ms control u      -> publish
        1005ms deadline       -> inspect
    ",
    );
}

#[test]
fn down_signals_and_rests() {
    check(
        "
           0ms deadline       -> inspect
           0ms inspected      -> launch run
           5ms spawned 7      -> publish
        1500ms control d      -> main 7 TERM, main 7 CONT, publish
        1600ms exited 15      -> publish
        1700ms control t      ->
        1700ms control x      -> publish, leave
    ",
    );
}

#[test]
fn down_while_the_kernel_thinks() {
    check(
        "
           0ms deadline       -> inspect
           0ms inspected      -> launch run
           1ms control d      -> publish
           5ms spawned 7      -> publish, main 7 TERM, main 7 CONT
    ",
    );
}

#[test]
fn once_is_not_restarted() {
    check(
        "
           0ms deadline       -> inspect
           0ms inspected      -> launch run
           5ms spawned 7      -> publish
          10ms control o      -> publish
        3000ms exited 0       -> publish
        3000ms control u      -> inspect, publish
    ",
    );
}

#[test]
fn exit_alone_does_not_take_it_down() {
    check(
        "
           0ms deadline       -> inspect
           0ms inspected      -> launch run
           5ms spawned 7      -> publish
          10ms control x      ->
        3000ms exited 0       -> publish, leave, publish
    ",
    );
}

#[test]
fn a_refused_child_is_asked_for_again_soon_and_then_each_second() {
    check(
        "
           0ms deadline       -> inspect
           0ms inspected      -> launch run
           0ms spawnfailed    -> publish
          10ms deadline       -> launch run
          10ms spawnfailed    -> publish
          30ms deadline       -> launch run
          30ms control d      -> publish
          31ms spawnfailed    -> publish
    ",
    );
}

#[test]
fn a_broken_run_is_tried_once_a_second_and_is_never_up() {
    check(
        "
           0ms deadline       -> inspect
           0ms inspected      -> launch run
           0ms execfailed 7   -> publish
           1ms exited 111     -> publish
        1001ms deadline       -> inspect
    ",
    );
}

#[test]
fn start_runs_first_and_stop_last() {
    check(
        "
           0ms deadline             -> inspect
           0ms inspected start stop -> launch start
           1ms spawned 6            -> publish
           2ms exited 0             -> launch run
           2ms spawned 7            -> publish
        3000ms exited 1             -> inspect, publish
        3000ms inspected start stop -> launch run
        3000ms spawned 8            -> publish
        3500ms control d            -> main 8 TERM, main 8 CONT, publish
        3600ms exited 15            -> launch stop, publish
        3600ms spawned 9            -> publish
        3700ms exited 0             -> publish
        3800ms control d            -> publish
    ",
    );
}

#[test]
fn the_pid_of_start_is_not_shown_for_a_run_that_could_not_exec() {
    let machine = check(
        "
           0ms deadline             -> inspect
           0ms inspected start      -> launch start
           1ms spawned 6            -> publish
           2ms exited 0             -> launch run
           2ms execfailed 7         -> publish
    ",
    );
    assert_eq!(machine.status().main.pid, None);
}

#[test]
fn a_failed_start_is_failed() {
    let machine = check(
        "
           0ms deadline             -> inspect
           0ms inspected start stop -> launch start
           1ms spawned 6            -> publish
           2ms exited 1             -> publish
    ",
    );
    assert_eq!(machine.phase(), Phase::Failed);
    assert_eq!(machine.wanted(), Wanted::Down);
}

#[test]
fn a_start_that_was_sent_down_has_not_failed() {
    check(
        "
           0ms deadline             -> inspect
           0ms inspected start      -> launch start
           1ms spawned 6            -> publish
           2ms control d            -> main 6 TERM, main 6 CONT, publish
           3ms control u            -> publish
           4ms exited 15            -> publish
        1001ms deadline             -> inspect
    ",
    );
}

#[test]
fn stop_follows_a_start_that_was_sent_down() {
    check(
        "
           0ms deadline             -> inspect
           0ms inspected start stop -> launch start
           1ms spawned 6            -> publish
           2ms control d            -> main 6 TERM, main 6 CONT, publish
           4ms exited 15            -> launch stop, publish
           4ms spawned 7            -> publish
           5ms exited 0             -> publish
           6ms control d            -> publish
    ",
    );
}

#[test]
fn up_during_a_stop_that_could_not_exec_is_not_forgotten() {
    check(
        "
           0ms deadline             -> inspect
           0ms inspected start stop -> launch start
           1ms spawned 6            -> publish
           2ms control d            -> main 6 TERM, main 6 CONT, publish
           4ms exited 15            -> launch stop, publish
           4ms execfailed 7         -> publish
           5ms control u            -> publish
           6ms exited 111           -> publish
        1001ms deadline             -> inspect
    ",
    );
}

#[test]
fn without_run_it_is_started() {
    let machine = check(
        "
           0ms deadline               -> inspect
           0ms inspected start no-run -> launch start
           1ms spawned 6              -> publish
           2ms exited 0               -> publish
    ",
    );
    assert_eq!(machine.phase(), Phase::Started);
    assert!(machine.is_ready());
}

#[test]
fn exit_100_is_final_where_encore_is_spoken() {
    let machine = check(
        "
           0ms deadline        -> inspect
           0ms inspected start -> launch start
           1ms spawned 6       -> publish
           2ms exited 0        -> launch run
           2ms spawned 7       -> publish
        3000ms exited 100      -> publish
    ",
    );
    assert!(machine.is_failed());
    check(
        "
           0ms deadline       -> inspect
           0ms inspected      -> launch run
           2ms spawned 7      -> publish
        3000ms exited 100     -> inspect, publish
    ",
    );
}

#[test]
fn finish_runs_after_each_end_and_may_forbid_the_next() {
    let machine = check(
        "
           0ms deadline         -> inspect
           0ms inspected finish -> launch run
           2ms spawned 7        -> publish
        3000ms exited 1         -> publish, launch finish
        3000ms spawned 8        ->
        3010ms exited 0         -> inspect, publish
        3010ms inspected finish -> launch run
        3010ms spawned 9        -> publish
        5000ms exited 1         -> publish, launch finish
        5000ms spawned 10       ->
        5010ms exited 125       -> publish
    ",
    );
    assert!(machine.is_failed());
    assert_eq!(machine.last().map(|(pid, _)| pid.get()), Some(9));
}

#[test]
fn no_restart_is_heard_while_finish_is_refused() {
    check(
        "
           0ms deadline         -> inspect
           0ms inspected finish -> launch run
           2ms spawned 7        -> publish
        3000ms exited 1         -> publish, launch finish
        3000ms spawnfailed      -> publish
        3005ms control O        -> publish
        3010ms deadline         -> launch finish
        3010ms spawned 8        ->
        3020ms exited 0         -> publish
    ",
    );
}

#[test]
fn a_service_that_ignores_term_is_killed_in_time() {
    check(
        "
           0ms deadline              -> inspect
           0ms inspected kill=200    -> launch run
           2ms spawned 7             -> publish
        3000ms control d             -> main 7 TERM, main 7 CONT, publish
        3200ms deadline              -> main 7 KILL
        4200ms deadline              -> main 7 KILL
        4201ms exited 9              -> publish
    ",
    );
}

#[test]
fn a_held_service_is_looked_at_again() {
    check(
        "
           0ms deadline       -> inspect
           0ms held           -> publish
        1000ms deadline       -> inspect
        1000ms held           -> publish
        1500ms changed        -> inspect
        1500ms inspected      -> launch run
    ",
    );
}

#[test]
fn the_executable_log_comes_first_and_leaves_last() {
    check(
        "
           0ms deadline       -> inspect
           0ms inspected log  -> launch log, launch run
           1ms logspawned 5   -> publish
           1ms spawned 7      -> publish
        2000ms logexited 1    -> launch log, publish
        2001ms logspawned 6   -> publish
        3000ms control dx     -> main 7 TERM, main 7 CONT, publish
        3001ms exited 15      -> closelog, publish
        3002ms logexited 0    -> publish, publish, leave
    ",
    );
}

#[test]
fn a_log_that_does_not_end_with_its_input_is_told_to() {
    let machine = check(
        "
           0ms deadline       -> inspect
           0ms inspected log  -> launch log, launch run
           1ms logspawned 6   -> publish
           1ms spawned 7      -> publish
           2ms control Lp     -> log 6 STOP, publish
        3000ms control dx     -> main 7 TERM, main 7 CONT, publish
        3001ms exited 15      -> closelog, log 6 CONT, publish, publish
        3002ms control x      ->
        6001ms deadline       -> log 6 TERM, log 6 CONT
        9001ms deadline       -> log 6 TERM, log 6 CONT
        9002ms logexited 15   -> publish, publish, leave
    ",
    );
    assert!(machine.is_gone());
}

#[test]
fn a_log_at_its_last_lines_is_let_to_read_them_by_the_next_shell_too() {
    let mut machine = check(
        "
           0ms deadline       -> inspect
           0ms inspected log  -> launch log, launch run
           1ms logspawned 6   -> publish
           1ms spawned 7      -> publish
        3000ms control dx     -> main 7 TERM, main 7 CONT, publish
        3001ms exited 15      -> closelog, publish
    ",
    );
    let mut out = Vec::new();
    let log = Fact::Child(Pid::new(6).expect("pid"));
    let facts = [Fact::Nothing, log, Fact::Nothing, Fact::Nothing];
    machine.adopt(at(3002), facts, &mut out);
    assert_eq!(out, [Effect::CloseLog, Effect::Publish]);
}

#[test]
fn letters_reach_the_log_and_the_group() {
    check(
        "
           0ms deadline       -> inspect
           0ms inspected log  -> launch log, launch run
           1ms logspawned 5   -> publish
           1ms spawned 7      -> publish
          10ms control Lalh   -> log 5 ALRM, main 7 HUP
          10ms control +tK    -> main -7 TERM, publish, main -7 KILL
          10ms control p      -> main 7 STOP, publish
          10ms control c      -> main 7 CONT, publish
          10ms control D      -> downfile, main 7 TERM, main 7 CONT, publish
          10ms control U      -> upfile, publish
    ",
    );
}

#[test]
fn what_was_continued_is_not_shown_as_paused() {
    let machine = check(
        "
           0ms deadline       -> inspect
           0ms inspected log  -> launch log, launch run
           1ms logspawned 5   -> publish
           1ms spawned 7      -> publish
          10ms control p      -> main 7 STOP, publish
          10ms control r      -> main 7 TERM, main 7 CONT, publish, publish
          20ms control p      -> main 7 STOP, publish
          20ms control C      -> main -7 CONT, publish
          30ms control Lp     -> log 5 STOP, publish
          30ms control Ld     -> log 5 TERM, log 5 CONT, publish, publish
    ",
    );
    assert!(!machine.status().main.paused);
    assert!(!machine.status().log.is_some_and(|log| log.paused));
}

#[test]
fn check_is_asked_until_it_says_yes() {
    let machine = check(
        "
           0ms deadline         -> inspect
           0ms inspected check  -> launch run
           1ms spawned 7        -> publish
           1ms deadline         -> launch check
           1ms checkspawned 8   ->
          50ms checkexited 1    ->
         470ms deadline         -> launch check
         470ms checkspawned 9   ->
         480ms checkexited 0    -> publish
    ",
    );
    assert!(machine.is_ready());
}

#[test]
fn what_is_told_down_while_it_is_looked_at_is_not_held() {
    let machine = check(
        "
           0ms deadline       -> inspect
           1ms control d      -> publish
           1ms held           -> publish
    ",
    );
    assert!(machine.is_down());
    assert_eq!(machine.deadline(), None);
}

#[test]
fn a_log_that_exits_100_has_failed_until_told_otherwise() {
    let failed = |machine: Supervisor| {
        let log = machine.status().log.expect("a log");
        log.tail == Tail::Encore(Phase::Failed as u8)
    };
    let script = "
           0ms deadline       -> inspect
           0ms inspected log  -> launch log, launch run
           1ms logspawned 5   -> publish
           1ms spawned 7      -> publish
        2000ms logexited 100  -> publish
    ";
    assert!(failed(check(script)));
    let up = format!("{script}2001ms control Lu -> launch log, publish");
    assert!(!failed(check(&up)));
    let down = format!("{script}2001ms control Ld -> publish");
    assert!(!failed(check(&down)));
}

#[test]
fn a_saved_supervisor_is_the_same_supervisor() {
    let machine = check(
        "
           0ms deadline                        -> inspect
           0ms inspected log finish kill=200   -> launch log, launch run
           1ms logspawned 5                    -> publish
           1ms spawned 7                       -> publish
        3000ms control d                       -> main 7 TERM, main 7 CONT, publish
    ",
    );
    assert_eq!(Supervisor::restore(&machine.save()), Some(machine));
    let mut torn = machine.save();
    torn[3] ^= 1;
    assert_eq!(Supervisor::restore(&torn), None);
    assert_eq!(Supervisor::restore(&[0; WORDS]), None);
}

#[test]
fn a_launch_whose_shell_died_is_found_or_repeated() {
    let mut machine = check(
        "
           0ms deadline       -> inspect
           0ms inspected      -> launch run
    ",
    );
    let mut again = machine;
    let mut out = Vec::new();
    machine.adopt(
        at(5),
        [
            Fact::Child(Pid::new(9).expect("pid")),
            Fact::Nothing,
            Fact::Nothing,
            Fact::Nothing,
        ],
        &mut out,
    );
    assert_eq!(machine.run_pid(), Pid::new(9));
    again.adopt(at(5), [Fact::Nothing; 4], &mut out);
    assert_eq!(again.deadline(), Some(Mono(5_000_000)));
}

#[test]
fn a_down_signal_that_may_be_lost_is_sent_again() {
    let mut machine = check(
        "
           0ms deadline       -> inspect
           0ms inspected log  -> launch log, launch run
           1ms logspawned 5   -> publish
           1ms spawned 7      -> publish
           2ms control dLd    -> main 7 TERM, main 7 CONT, publish, log 5 TERM, log 5 CONT, publish
    ",
    );
    let mut out = Vec::new();
    let facts = [
        Fact::Child(Pid::new(7).expect("pid")),
        Fact::Child(Pid::new(5).expect("pid")),
        Fact::Nothing,
        Fact::Nothing,
    ];
    machine.adopt(at(5), facts, &mut out);
    let sent: Vec<_> = out
        .iter()
        .filter_map(|effect| match effect {
            Effect::Signal { pid, signal, .. } => Some((pid.get(), *signal)),
            Effect::Inspect
            | Effect::Seek
            | Effect::Launch { .. }
            | Effect::Publish
            | Effect::Notify { .. }
            | Effect::Tally(_)
            | Effect::Sweep
            | Effect::CloseLog
            | Effect::DownFile(_)
            | Effect::Leave => None,
        })
        .collect();
    assert_eq!(
        sent,
        [
            (7, Signal::Term),
            (7, Signal::Cont),
            (5, Signal::Term),
            (5, Signal::Cont)
        ]
    );
}

#[test]
fn a_launch_that_was_never_made_is_given_up_if_down_is_wanted() {
    let mut machine = check(
        "
           0ms deadline       -> inspect
           0ms inspected      -> launch run
           1ms control d      -> publish
    ",
    );
    machine.adopt(at(5), [Fact::Nothing; 4], &mut Vec::new());
    assert!(machine.is_down());
    assert_eq!(machine.deadline(), None);
}
