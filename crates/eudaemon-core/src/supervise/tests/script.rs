//! Plays a script: each line is a step, and what must come of it.

extern crate std;
use crate::control::Batch;
use crate::definition::{Definition, Manners};
use crate::supervise::{Effect, Event, Hold, Now, Role, Supervisor};
use crate::time::{Mono, Wall};
use crate::words::{Ended, Pid};
use core::time::Duration;
use std::{format, string::String, vec::Vec};

pub(super) fn at(ms: u64) -> Now {
    Now {
        mono: Mono(ms * 1_000_000),
        wall: Wall(ms * 1_000_000),
    }
}

#[track_caller]
pub(super) fn check(script: &str) -> Supervisor {
    let mut machine = Supervisor::new(at(0), false);
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let (left, want) = line.split_once("->").expect("TIME EVENT -> EFFECTS");
        let words: Vec<&str> = left.split_whitespace().collect();
        let now = at(words[0]
            .trim_end_matches("ms")
            .parse()
            .expect("milliseconds"));
        let number = || words[2].parse::<u32>().expect("a number");
        let pid = || Pid::new(number()).expect("a pid");
        // 15 and 9 are signals; every other number is an exit code.
        let ended = || match number() {
            9 | 15 => Ended::Signal {
                number: u8::try_from(number()).expect("small"),
                core: false,
            },
            code => Ended::Code(u8::try_from(code).expect("a code")),
        };
        let mut out = Vec::new();
        match words[1] {
            "deadline" => {
                assert_eq!(machine.deadline(), Some(now.mono), "{line}");
                machine.step(now, Event::Deadline, &mut out);
            }
            "control" => {
                let mut batch = Batch::default();
                for byte in words[2].bytes() {
                    if let Some(command) = batch.next(byte) {
                        machine.step(now, Event::Command(command), &mut out);
                    }
                }
            }
            "inspected" => {
                let mut definition = Definition::default();
                for word in &words[2..] {
                    match *word {
                        "start" => (definition.start, definition.encore) = (true, true),
                        "stop" => definition.stop = true,
                        "finish" => definition.finish = true,
                        "log" => (definition.log, definition.encore) = (true, true),
                        "check" => definition.check = true,
                        "control" => {
                            (definition.hooks, definition.manners) = (true, Manners::AUTO);
                        }
                        "runit" => definition.manners = Manners::RUNIT,
                        "no-run" => definition.run = false,
                        "kill=200" => definition.timeout_kill = Some(Duration::from_millis(200)),
                        word => panic!("unknown file {word:?}"),
                    }
                }
                machine.step(now, Event::Inspected(Ok(definition)), &mut out);
            }
            word => {
                let event = match word {
                    "held" => Event::Inspected(Err(Hold::Trigger)),
                    "changed" => Event::Changed,
                    "spawned" => Event::Spawned(Role::Main, pid()),
                    "spawnfailed" => Event::SpawnFailed(Role::Main),
                    "execfailed" => Event::ExecFailed(Role::Main, pid()),
                    "exited" => Event::Exited(Role::Main, ended()),
                    "logspawned" => Event::Spawned(Role::Log, pid()),
                    "logexited" => Event::Exited(Role::Log, ended()),
                    "checkspawned" => Event::Spawned(Role::Check, pid()),
                    "sought" => Event::Sought(words[2] == "yes"),
                    "hookspawned" => Event::Spawned(Role::Hook, pid()),
                    "hookfailed" => Event::ExecFailed(Role::Hook, pid()),
                    "hookexited" => Event::Exited(Role::Hook, ended()),
                    "checkexited" => Event::Exited(Role::Check, ended()),
                    word => panic!("unknown event {word:?} in {line:?}"),
                };
                machine.step(now, event, &mut out);
            }
        }
        // Every end of `run` sweeps; one test says so for all.
        let got: Vec<String> = out
            .iter()
            .filter(|effect| **effect != Effect::Sweep)
            .map(|effect| match effect {
                Effect::Inspect => "inspect".into(),
                Effect::Seek => "seek".into(),
                Effect::Launch { script, .. } => format!("launch {}", script.file()),
                Effect::Signal {
                    role,
                    pid,
                    signal,
                    group,
                } => format!(
                    "{} {}{} {}",
                    format!("{role:?}").to_lowercase(),
                    if *group { "-" } else { "" },
                    pid.get(),
                    signal.name()
                ),
                Effect::Publish => "publish".into(),
                Effect::Notify { script, .. } => format!("notify {}", script.file()),
                Effect::Sweep => "sweep".into(),
                Effect::Tally(_) => "tally".into(),
                Effect::CloseLog => "closelog".into(),
                Effect::DownFile(true) => "downfile".into(),
                Effect::DownFile(false) => "upfile".into(),
                Effect::Leave => "leave".into(),
            })
            .collect();
        assert_eq!(got.join(", "), want.trim(), "{line}");
        assert_eq!(
            Supervisor::restore(&machine.save()),
            Some(machine),
            "memory after {line}"
        );
    }
    machine
}
