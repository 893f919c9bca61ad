//! runsvdir: usage, what it starts and stops, TERM and HUP, sessions, and the log in the process list.

use crate::until;
use eudaemon_lab::{Running, Signal, Stage, Subject, World, bins, both_runit, every_pair_runit};
use std::fs;
use std::time::Duration;

#[test]
fn usage_and_a_directory_that_is_not_there() {
    both_runit("runsvdir-usage", |s| {
        s.play("runsvdir");
        s.play("runsvdir -P");
        let running = s.begin("runsvdir nowhere");
        s.soon("two complaints", || running.err().lines().count() >= 2);
        s.note(running.err().lines().next().unwrap_or_default());
        s.script("nowhere/a/run", "exec sleep 1000");
        until(s, "./nowhere/a", "run:");
    });
}

fn runsvdir(s: &Stage, line: &str, names: &[&str]) -> Running {
    let running = s.begin(line);
    for name in names {
        until(s, &format!("./sv/{name}"), "run:");
    }
    running
}

#[test]
fn services_come_and_go() {
    every_pair_runit("runsvdir-scan", |s| {
        s.script("sv/a/run", "exec sleep 1000");
        s.script("sv/.hidden/run", "exec sleep 1000");
        s.write("sv/file", "");
        let running = runsvdir(s, "runsvdir sv", &["a"]);
        s.script("new/run", "exec sleep 1000");
        s.script("new/log/run", "exec cat > got");
        fs::rename(s.path("new"), s.path("sv/new")).expect("a rename");
        until(s, "./sv/new", "run: log:");
        s.play("sv status ./sv/a ./sv/.hidden");
        fs::rename(s.path("sv/new"), s.path("old")).expect("a rename");
        s.soon("it is taken down", || {
            let said = s.ask("sv status ./old ./old/log").out;
            said.matches("runsv not running").count() == 2
        });
        s.play("sv status ./old ./old/log ./sv/a");
        assert!(s.signal(running.pid, Signal::HUP));
        assert_eq!(s.ending("runsvdir", &running).code, 111);
        s.soon("all is down", || {
            s.ask("sv status ./sv/a").out.contains("runsv not running")
        });
        assert!(s.named("sleep").is_empty());
    });
}

#[test]
fn term_leaves_everything_running() {
    every_pair_runit("runsvdir-term", |s| {
        s.script("sv/a/run", "exec sleep 1000");
        let running = runsvdir(s, "runsvdir sv", &["a"]);
        let services = s.named("sleep");
        assert!(s.signal(running.pid, Signal::TERM));
        assert_eq!(s.ending("runsvdir", &running).code, 0);
        assert_eq!(s.named("sleep"), services);
    });
}

#[test]
fn the_next_one_adopts_what_was_left() {
    let Some(ours) = bins(Subject::Ours) else {
        return;
    };
    let world = World::new("runsvdir-adopt");
    world.script("sv/a/run", "exec sleep 1000");
    world.script("sv/a/log/run", "exec cat >> got");
    let status = || world.run(ours, &["sv", "status", "./sv/a"]).out;
    let up = || {
        assert!(
            eudaemon_lab::until(Duration::from_secs(15), || {
                let said = status();
                said.starts_with("run:") && said.contains("run: log:")
            }),
            "{}",
            status()
        );
    };
    let first = world.start(ours, &["runsvdir", "sv"]);
    up();
    let before = world.named("sleep");
    assert!(world.signal(first.pid, Signal::TERM));
    assert_eq!(
        first.outcome(Duration::from_secs(15)).map(|o| o.code),
        Some(0)
    );
    let _second = world.start(ours, &["runsvdir", "sv"]);
    up();
    assert_eq!(world.named("sleep"), before, "a second copy was started");
    assert_eq!(before.len(), 1);
}

fn session(pid: i32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default().to_owned();
    // Fields 3, 4, 5, 6 are state, parent, group, session (proc(5)).
    after
        .split_whitespace()
        .nth(3)
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn sessions_are_made_only_when_asked_for() {
    both_runit("runsvdir-sessions", |s| {
        // The original goes before its runsv have gone, so each has a directory of its own.
        for (line, dir) in [("runsvdir sv", "sv"), ("runsvdir -P sv2", "sv2")] {
            s.script(format!("{dir}/a/run"), "exec sleep 1000");
            s.script(format!("{dir}/b/run"), "exec sleep 1000");
            let running = s.begin(line);
            for name in ["a", "b"] {
                until(s, &format!("./{dir}/{name}"), "run:");
            }
            let own = session(running.pid);
            let theirs: Vec<String> = s.named("sleep").into_iter().map(session).collect();
            let shared = theirs.iter().filter(|theirs| **theirs == own).count();
            let apart = theirs.len() == 2 && theirs[0] != theirs[1];
            s.note(&format!("{line}: {shared} in its session, apart: {apart}"));
            assert!(s.signal(running.pid, Signal::HUP));
            s.ending("runsvdir", &running);
            s.soon("all is down", || s.named("sleep").is_empty());
        }
    });
}

#[test]
fn complaints_are_shown_in_the_process_list() {
    both_runit("runsvdir-log", |s| {
        s.script("sv/a/run", "echo complaint >&2\nexec sleep 1000");
        let room = "log:_......................................".replace('_', " ");
        let running = s.start(s.service, &["runsvdir", "-P", "sv", &room]);
        s.soon("the complaint in the process list", || {
            s.processes().into_iter().any(|pid| {
                let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line).into_owned();
                line.contains("runsvdir") && line.contains("complaint")
            })
        });
        assert_eq!(running.err(), "");
        let short = s.begin("runsvdir sv2 short");
        s.soon("its complaints", || short.err().lines().count() >= 3);
        for line in short.err().lines().take(3) {
            s.note(line);
        }
    });
}
