//! `!`: what a processor is given, what becomes of its output, and what of its failure.
//!
//! Not compared: the name of its input (`previous` with the original, a name of its own with ours, which goes on writing
//! meanwhile), and `!` without a command.

use crate::{Log, finished, listing};
use eudaemon_lab::{Exit, Signal, Stage, both};
use std::fs;
use std::time::Duration;

/// Rotates by ALRM and waits until so many files are finished.
fn rotate(s: &Stage, log: &Log, dir: &str, files: usize) {
    assert!(s.signal(log.running.pid, Signal::ALARM));
    s.soon("a finished file", || {
        let names = finished(&s.path(dir));
        names.len() == files && names.iter().all(|name| name.ends_with(".s"))
    });
}

#[test]
fn its_output_is_the_finished_file() {
    both("log-processor", |s| {
        let log = Log::start(s, &["n3", "!tr a-z A-Z", "./d"]);
        for n in 1..=4 {
            log.put(s, &format!("line {n}\nand more\n"));
            rotate(s, &log, "d", n.min(2));
            s.soon("its turn", || {
                let text = finished(&s.path("d"));
                text.last()
                    .is_some_and(|name| s.read(format!("d/{name}")).contains(&format!("LINE {n}")))
            });
        }
        log.put(s, "not finished\n");
        log.end(s);
        s.note(&listing(&s.path("d")));
    });
}

#[test]
fn it_remembers_by_its_state() {
    both("log-state", |s| {
        let count = "!read n <&4 || n=0; n=$((n+1)); echo $n >&5; sed s/^/$n:/";
        let log = Log::start(s, &[count, "./d"]);
        for n in 1..=3 {
            log.put(s, &format!("line {n}\n"));
            rotate(s, &log, "d", n);
        }
        log.end(s);
        s.note(&listing(&s.path("d")));
        // A clean directory keeps the state.
        let log = Log::start(s, &[count, "./d"]);
        log.put(s, "line 4\n");
        rotate(s, &log, "d", 4);
        log.end(s);
        s.note(&listing(&s.path("d")));
    });
}

#[test]
fn what_it_is_given() {
    both("log-given", |s| {
        // Its directory, its descriptors, what it ignores and blocks, its umask, its environment.
        // Of grep itself: dash blocks every signal while it makes a child, and grep may be quicker than dash.
        let asks = "!cat; basename $PWD; ls /proc/self/fd; grep -E '^Sig(Ign|Blk)' /proc/self/status; umask; \
                    env | cut -d= -f1 | grep -v -e _ -e LAB | sort | tr '\\n' ' '; for fd in 1 4 5; do basename $(readlink /proc/$$/fd/$fd); done; echo $0 $#; cat <&4";
        let log = Log::start(s, &[asks, "./d"]);
        log.put(s, "line\n");
        rotate(s, &log, "d", 1);
        log.end(s);
        let name = finished(&s.path("d")).remove(0);
        s.note(&s.read(format!("d/{name}")));
    });
}

#[test]
fn the_files_while_it_works() {
    both("log-while", |s| {
        // It says the modes it sees when its input is complete; and it may change its directory and say much.
        let log = Log::start(
            s,
            &[
                "!cat >/dev/null; stat -c '%n %a' previous processed current newstate; echo told >&2",
                "./d",
            ],
        );
        log.put(s, "line\n");
        rotate(s, &log, "d", 1);
        log.end(s);
        s.note(&listing(&s.path("d")));
    });
}

#[test]
fn it_may_say_nothing() {
    both("log-empty", |s| {
        for command in ["!true", "!exit 0", "!cat >/dev/null", "!exec cat"] {
            let dir = format!("./d{}", command.len());
            let log = Log::start(s, &[command, &dir]);
            log.put(s, "line\n");
            rotate(s, &log, &dir, 1);
            log.end(s);
            s.note(&format!("{command}\n{}", listing(&s.path(&dir))));
        }
    });
}

/// It is run again five seconds later, with the same input and without what it wrote. Only the beginning of what is told is
/// compared: of a crash the original tells twice, once with a reason that is none.
#[test]
fn a_failure_is_told_and_tried_again() {
    for (name, how) in [("exit", "exit 3"), ("crash", "kill -9 $$")] {
        both(&format!("log-failure-{name}"), |s| {
            let command =
                format!("!cat; echo new >&5; test -e ok || {{ touch ok; echo half; {how}; }}");
            let log = Log::start(s, &[&command, "./d"]);
            log.put(s, "line\n");
            s.write("d/state", "old\n");
            rotate(s, &log, "d", 1);
            let mut log = log;
            log.pipe.close();
            assert_eq!(
                log.running.exit(Duration::from_secs(15)),
                Some(Exit::Code(0))
            );
            let said = log.running.err();
            s.note(said.split(", pausing").next().unwrap_or_default());
            s.note(&listing(&s.path("d")));
        });
    }
}

/// Which directories a processor is for: those behind it.
#[test]
fn it_is_for_what_follows() {
    both("log-follows", |s| {
        let log = Log::start(s, &["./raw", "!tr a-z A-Z", "./big", "!rev", "./rev"]);
        log.put(s, "line\n");
        assert!(s.signal(log.running.pid, Signal::ALARM));
        for dir in ["raw", "big", "rev"] {
            s.soon("a finished file", || finished(&s.path(dir)).len() == 1);
        }
        log.end(s);
        for dir in ["raw", "big", "rev"] {
            let name = finished(&s.path(dir)).remove(0);
            s.note(&fs::read_to_string(s.path(dir).join(name)).unwrap_or_default());
        }
    });
}
