//! runsv: usage and refusals, its files, `finish`, the hooks of `control/`, the log service, and leaving.

use crate::{begun, pid, runsv, until};
use eudaemon_lab::{Signal, Stage, both_runit, every_pair_runit};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn usage_and_refusals() {
    both_runit("runsv-usage", |s| {
        s.write("file", "");
        s.write("a/run", "");
        for line in [
            "runsv",
            "runsv a b",
            "runsv nowhere",
            "runsv file",
            "runsv __",
        ] {
            s.play(line);
        }
        s.write("nolock/supervise/lock/x", "");
        s.write("nodir/supervise", "");
        s.write("nofifo/supervise/control/x", "");
        for name in ["nolock", "nodir", "nofifo"] {
            s.play(&format!("runsv {name}"));
        }
    });
}

#[test]
fn a_second_copy_is_refused() {
    every_pair_runit("runsv-second", |s| {
        s.script("a/run", "exec sleep 1000");
        let _first = runsv(s, "a");
        until(s, "./a", "run:");
        let before = pid(s, "./a");
        assert_eq!(s.play("runsv a").code, 111);
        assert_eq!(pid(s, "./a"), before);
        s.play("sv status ./a");
    });
}

/// What the files in `supervise` say: the status behind its stamp and pid, and the words.
fn files(s: &Stage, dir: &str) -> String {
    let status = fs::read(s.path(format!("{dir}/supervise/status"))).unwrap_or_default();
    let shown = status.get(12..16) != Some(&[0; 4]);
    let pid = s.read(format!("{dir}/supervise/pid"));
    format!(
        "{} bytes, a pid: {shown}, {:?}, pid {}, stat {:?}",
        status.len(),
        status.get(16..).unwrap_or_default(),
        pid.trim_end().parse::<u32>().is_ok(),
        s.read(format!("{dir}/supervise/stat"))
    )
}

/// Notes what the files say once the status tells `part`.
fn note_at(s: &Stage, what: &str, stat: &str) {
    s.soon(what, || s.read("a/supervise/stat") == stat);
    // The words are written before the status: it has come when it tells the same state.
    let state = match stat.split([',', '\n']).next() {
        Some("run") => 1,
        Some("finish") => 2,
        _ => 0,
    };
    let mut last = String::new();
    s.soon("the files to agree", || {
        let status = fs::read(s.path("a/supervise/status")).unwrap_or_default();
        let now = files(s, "a");
        let same = now == last && status.get(19) == Some(&state);
        last = now;
        same
    });
    s.note(&format!("{what}: {last}"));
}

#[test]
fn its_files_say_what_it_does() {
    both_runit("runsv-files", |s| {
        s.script(
            "a/run",
            "trap '' TERM\necho >> begun\nwhile :; do sleep 0.1; done",
        );
        s.script("a/finish", "while test ! -e enough; do sleep 0.1; done");
        s.write("a/down", "");
        let running = runsv(s, "a");
        note_at(s, "down", "down\n");
        let mode = |name: &str| {
            let data = fs::metadata(s.path(format!("a/supervise{name}"))).expect("its file");
            format!("{:o}", data.permissions().mode())
        };
        for name in ["", "/lock", "/control", "/ok", "/status", "/stat", "/pid"] {
            s.note(&format!("supervise{name}: {}", mode(name)));
        }
        s.ask("sv up ./a");
        note_at(s, "up", "run\n");
        begun(s, "a", 1);
        s.ask("sv pause ./a");
        note_at(s, "paused", "run, paused\n");
        s.ask("sv cont ./a");
        note_at(s, "continued", "run\n");
        s.ask("sv once ./a");
        note_at(s, "once", "run, want down\n");
        s.ask("sv up ./a");
        note_at(s, "up again", "run\n");
        s.ask("sv term ./a");
        note_at(s, "sent TERM", "run, got TERM\n");
        s.ask("sv down ./a");
        note_at(s, "sent down", "run, got TERM, want down\n");
        s.ask("sv kill ./a");
        note_at(s, "finish", "finish, want down\n");
        s.write("a/enough", "");
        note_at(s, "down again", "down\n");
        s.ask("sv exit ./a");
        s.ending("runsv", &running);
        note_at(s, "left", "down\n");
    });
}

#[test]
fn finish_is_told_how_it_ended() {
    both_runit("runsv-finish", |s| {
        s.script(
            "a/run",
            "echo >> begun\nmv 7 8 2>/dev/null && exit 7\nexec sleep 1000",
        );
        s.write("a/7", "");
        s.script("a/finish", "echo \"$# $1 $2\" >> said; exit 125");
        let _running = runsv(s, "a");
        s.soon("an end", || s.read("a/said").lines().count() == 1);
        let stays = || s.ask("sv status ./a").out.contains("run:");
        // The status may still be that of the run before, while its finish has begun.
        begun(s, "a", 2);
        s.soon("it is up again", stays);
        s.ask("sv kill ./a");
        s.soon("a second end", || s.read("a/said").lines().count() == 2);
        begun(s, "a", 3);
        s.soon("it is up again", stays);
        s.ask("sv -w 10 stop ./a");
        s.note(&s.read("a/said"));
    });
}

#[test]
fn a_run_that_cannot_start_is_named_and_has_its_finish() {
    both_runit("runsv-norun", |s| {
        s.script("none/finish", "echo \"$1 $2\" >> said");
        s.write("plain/run", "#!/bin/sh\n");
        s.script("log/run", "exec sleep 1000");
        s.write("log/log/x", "");
        for dir in ["none", "plain", "log"] {
            let running = s.begin(&format!("runsv {dir}"));
            s.soon("two complaints", || running.err().lines().count() >= 2);
            s.note(running.err().lines().next().unwrap_or_default());
        }
        s.soon("a finish", || !s.read("none/said").is_empty());
        s.note(s.read("none/said").lines().next().unwrap_or_default());
    });
}

#[test]
fn hooks_are_asked() {
    every_pair_runit("runsv-hooks", |s| {
        s.script(
            "a/run",
            "for n in HUP ALRM INT QUIT USR1 USR2; do trap \"echo got $n >> said\" $n; done\n\
             trap 'echo got TERM >> said; exit' TERM\necho run >> said\nwhile :; do sleep 0.05; done",
        );
        for letter in "udxcpthaiq12k".chars() {
            s.script(
                format!("a/control/{letter}"),
                &format!("echo \"hook {letter} $# $0\" >> said; exit $(cat code)"),
            );
        }
        s.write("a/code", "0");
        let running = runsv(s, "a");
        let says = |lines: usize| {
            s.soon(&format!("{lines} lines"), || {
                s.read("a/said").lines().count() >= lines
            });
        };
        says(2);
        // Each is suppressed: the service never hears of it. But `kill`: the original takes the service for down then.
        for (at, command) in ["hup", "alarm", "interrupt", "quit", "1", "2", "term"]
            .iter()
            .enumerate()
        {
            s.ask(&format!("sv {command} ./a"));
            says(3 + at);
        }
        s.ask("sv down ./a");
        says(11);
        s.note(&s.read("a/said"));
        s.write("a/code", "1");
        s.ask("sv up ./a");
        s.ask("sv hup ./a");
        s.soon("HUP", || s.read("a/said").contains("got HUP"));
        s.ask("sv exit ./a");
        s.ending("runsv", &running);
        // The hook's word and the service's race each other; what was said is the same.
        let said = s.read("a/said");
        let mut tail: Vec<&str> = said.lines().skip(11).collect();
        tail.sort_unstable();
        s.note(&tail.join("\n"));
    });
}

#[test]
fn the_logger_reads_to_the_end() {
    every_pair_runit("runsv-log", |s| {
        s.script(
            "a/run",
            "trap 'echo last; exit' TERM\necho first\necho error >&2\nwhile :; do sleep 0.05; done",
        );
        s.script("a/finish", "echo finish $1 $2");
        s.script("a/log/run", "cat >> got\necho end >> got");
        s.script("a/log/finish", "echo never >> got");
        let running = runsv(s, "a");
        s.soon("a first line", || s.read("a/log/got").contains("first"));
        // A logger that is killed loses nothing: runsv holds its pipe.
        let line = s.ask("sv status ./a/log").out;
        s.note(&eudaemon_lab::masked(&line));
        assert!(s.signal(running.pid, Signal::TERM));
        s.ending("runsv", &running);
        s.note(&s.read("a/log/got"));
        s.play("sv status ./a");
    });
}

#[test]
fn a_log_that_is_no_directory_is_told() {
    both_runit("runsv-logfile", |s| {
        s.script("a/run", "echo hello\nexec sleep 1000");
        s.write("a/log", "");
        let running = s.begin("runsv a");
        until(s, "./a", "run:");
        s.soon("its word", || running.out().contains("hello"));
        s.play("sv status ./a");
        s.ask("sv exit ./a");
        s.ending("runsv", &running);
    });
}
