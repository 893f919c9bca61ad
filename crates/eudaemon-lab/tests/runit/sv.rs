//! sv: usage, every command, waiting, `check`, the log's state, and the init script.

use crate::{begun, pid, runsv, until};
use eudaemon_lab::{both_runit, every_pair_runit};
use std::os::unix::fs::symlink;

#[test]
fn usage_and_refusals() {
    both_runit("sv-usage", |s| {
        s.write("file", "");
        s.write("new/run", "");
        for line in [
            "sv",
            "sv up",
            "sv bogus ./new",
            "sv -x up ./new",
            "sv -w",
            "sv up ./nowhere",
            "sv status ./file",
            "sv status ./new ./nowhere",
            "sv start ./new",
            "sv -v shutdown ./new",
        ] {
            s.play(line);
        }
        s.play_with("sv status new", "", &[("SVDIR", ".")], b"");
        s.play_with("sv status new", "", &[("SVDIR", "/nowhere")], b"");
    });
}

#[test]
fn what_nobody_supervises_is_not_running() {
    both_runit("sv-gone", |s| {
        s.script("a/run", "exec sleep 1000");
        let running = runsv(s, "a");
        until(s, "./a", "run:");
        s.play("sv exit ./a");
        s.ending("runsv", &running);
        for command in [
            "status",
            "up",
            "start",
            "stop",
            "check",
            "restart",
            "reload",
            "exit",
            "shutdown",
            "force-shutdown",
            "force-stop",
            "-v down",
            "-v exit",
            "x",
        ] {
            s.play(&format!("sv {command} ./a"));
        }
    });
}

#[test]
fn a_life() {
    every_pair_runit("sv-life", |s| {
        s.script("a/run", "trap '' HUP\necho >> begun\nexec sleep 1000");
        s.write("a/down", "");
        let running = runsv(s, "a");
        s.play("sv status ./a");
        s.play("sv check ./a");
        s.play("sv start ./a");
        s.play("sv status a/ ./a");
        s.play("sv check ./a");
        s.play("sv -v up ./a");
        begun(s, "a", 1);
        s.play("sv reload ./a");
        s.play("sv -w 5 start ./a");
        s.play("sv pause ./a");
        until(s, "./a", "paused");
        s.play("sv status ./a");
        s.play("sv cont ./a");
        s.soon("it goes on", || {
            !s.ask("sv status ./a").out.contains("paused")
        });
        s.play("sv once ./a");
        until(s, "./a", "want down");
        s.play("sv status ./a");
        s.play("sv check ./a");
        s.play("sv up ./a");
        s.soon("it is wanted up", || {
            !s.ask("sv status ./a").out.contains("want down")
        });
        let before = pid(s, "./a");
        s.play("sv -w 10 restart ./a");
        // The original may answer before there is another: its clock has whole seconds.
        s.soon("another pid", || {
            let said = s.ask("sv status ./a").out;
            said.contains("run:") && !said.contains(&format!("(pid {before})"))
        });
        s.play("sv status ./a");
        s.play("sv -w 10 stop ./a");
        s.play("sv status ./a");
        s.play("sv -w 10 stop ./a");
        s.play("sv -w 10 try-restart ./a");
        s.play("sv shutdown ./a");
        s.ending("runsv", &running);
        s.play("sv status ./a");
    });
}

#[test]
fn a_check_is_waited_for() {
    every_pair_runit("sv-check", |s| {
        s.script("a/run", "exec sleep 1000");
        s.script("a/check", "test -e good");
        s.script("plain/run", "exec sleep 1000");
        let _a = runsv(s, "a");
        let _plain = runsv(s, "plain");
        until(s, "./a", "run:");
        until(s, "./plain", "run:");
        s.play("sv -w 1 start ./a");
        s.play("sv -w 1 check ./a ./plain");
        s.play("sv status ./a");
        s.write("a/good", "");
        s.play("sv -w 10 start ./a");
        s.play("sv -w 10 check ./plain ./a");
        s.play("sv start ./plain ./nowhere");
        s.play("sv -v up ./a");
    });
}

#[test]
fn what_does_not_end_in_time_is_told_and_killed() {
    every_pair_runit("sv-timeout", |s| {
        s.script(
            "a/run",
            "trap '' TERM\necho >> begun\nwhile :; do sleep 0.1; done",
        );
        let running = runsv(s, "a");
        until(s, "./a", "run:");
        begun(s, "a", 1);
        s.play("sv -w 1 stop ./a");
        s.play("sv status ./a");
        s.play("sv up ./a");
        s.soon("it is wanted up", || {
            !s.ask("sv status ./a").out.contains("want down")
        });
        s.play("sv -w 1 restart ./a");
        s.play_with("sv stop ./a", "", &[("SVWAIT", "1")], b"");
        s.play("sv -w 1 force-stop ./a");
        until(s, "./a", "down:");
        s.play("sv -w 10 start ./a");
        begun(s, "a", 2);
        s.play("sv -w 1 force-shutdown ./a");
        s.ending("runsv", &running);
    });
}

#[test]
fn the_log_is_told_of() {
    every_pair_runit("sv-log", |s| {
        s.script("a/run", "exec sleep 1000");
        s.script("a/log/run", "exec cat");
        let running = runsv(s, "a");
        until(s, "./a", "run: log:");
        until(s, "./a", "run: ./a");
        s.play("sv status ./a");
        s.play("sv status ./a/log");
        s.play("sv -w 10 stop ./a/log");
        s.play("sv status ./a ./a/log");
        s.play("sv -w 10 start ./a/log");
        s.play("sv exit ./a/log");
        s.play("sv -w 10 check ./a/log");
        s.play("sv -w 10 stop ./a");
        s.play("sv status ./a");
        s.play("sv -w 10 exit ./a");
        s.ending("runsv", &running);
        s.play("sv status ./a ./a/log");
    });
}

#[test]
fn finish_is_told_of() {
    every_pair_runit("sv-finish", |s| {
        s.script("a/run", "exec sleep 1000");
        s.script(
            "a/finish",
            "trap '' TERM\necho >> begun\nwhile test ! -e enough; do sleep 0.1; done",
        );
        let _running = runsv(s, "a");
        until(s, "./a", "run:");
        s.play("sv down ./a");
        // The original shows the state before it has a pid.
        until(s, "./a", "want down");
        until(s, "./a", "finish:");
        s.soon("its pid", || {
            !s.ask("sv status ./a").out.contains("normally up")
        });
        begun(s, "a", 1);
        s.play("sv status ./a");
        s.play("sv -w 1 stop ./a");
        s.write("a/enough", "");
        s.play("sv -w 10 stop ./a");
        s.play("sv status ./a");
    });
}

#[test]
fn as_an_init_script() {
    both_runit("sv-script", |s| {
        s.script("sv/web/run", "trap '' HUP\necho >> begun\nexec sleep 1000");
        let running = runsv(s, "sv/web");
        until(s, "./sv/web", "run:");
        std::fs::create_dir(s.path("init.d")).expect("a new directory");
        for name in ["web", "nowhere"] {
            let to = s.tools.dir().join("sv");
            symlink(to, s.path(format!("init.d/{name}"))).expect("a new link");
        }
        let place = s.path("sv").display().to_string();
        let play = |line: &str| {
            s.play_with(line, "", &[("SVDIR", &place)], b"");
        };
        for words in [
            "web status",
            "web",
            "web bogus",
            "web start",
            "web check",
            "nowhere status",
            "nowhere start",
            "web stop",
            "web status",
            "web start",
            "web reload",
        ] {
            if words == "web reload" {
                begun(s, "sv/web", 2);
            }
            play(&format!("init.d/{words}"));
        }
        until(s, "./sv/web", "run:");
        for words in ["web force-stop", "web shutdown", "web status", "web stop"] {
            play(&format!("init.d/{words}"));
        }
        s.ending("runsv", &running);
    });
}
