//! ALRM, TERM, HUP and the others, between lines, inside lines and while nothing is read.

use crate::{Log, finished, listing};
use eudaemon_lab::{Exit, Signal, Subject, bins, both};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

#[test]
fn alrm_rotates_each_directory_that_has_something() {
    both("log-alrm", |s| {
        let log = Log::start(s, &["n3", "./all", "-*", "./none", "+b*", "./some"]);
        for n in 1..=4 {
            log.put(s, "a line\n");
            assert!(s.signal(log.running.pid, Signal::ALARM));
            s.soon("a finished file", || {
                finished(&s.path("all")).len() == n.min(2) && s.read("all/current").is_empty()
            });
        }
        log.put(s, "b line\n");
        assert!(s.signal(log.running.pid, Signal::ALARM));
        s.soon("a finished file", || finished(&s.path("some")).len() == 1);
        log.end(s);
        for dir in ["all", "none", "some"] {
            s.note(&listing(&s.path(dir)));
        }
    });
}

#[test]
fn alrm_in_a_long_line_cuts_it() {
    both("log-alrm-long", |s| {
        // More than the thousand bytes that wait for the line's end: what is known of it is in the file.
        let log = Log::start(s, &["./d"]);
        log.put(s, &"x".repeat(3000));
        s.soon("the part", || s.read("d/current").len() >= 3000);
        assert!(s.signal(log.running.pid, Signal::ALARM));
        s.soon("a finished file", || finished(&s.path("d")).len() == 1);
        log.put(s, "yyy\nnext\n");
        log.end(s);
        s.note(&listing(&s.path("d")));
    });
}

#[test]
fn term_in_a_long_line_reads_to_its_end() {
    both("log-term-long", |s| {
        let log = Log::start(s, &["t", "./d"]);
        log.put(s, &format!("first\n{}", "x".repeat(3000)));
        assert!(s.signal(log.running.pid, Signal::TERM));
        assert_eq!(log.running.exit(Duration::from_millis(300)), None);
        log.pipe.put(b"yyy\nfor the next\n");
        s.ending("multilog", &log.running);
        s.note(&format!("{} bytes are left", log.pipe.waiting()));
        let text = s.read("d/current");
        s.note(&format!("{} {:?}", text.len(), &text[text.len() - 5..]));
    });
}

#[test]
fn term_and_then_the_end_of_the_input() {
    both("log-term-eof", |s| {
        let log = Log::start(s, &["./d", "e"]);
        log.put(s, "first\nsecond without");
        assert!(s.signal(log.running.pid, Signal::TERM));
        assert_eq!(log.running.exit(Duration::from_millis(300)), None);
        log.end(s);
        s.note(&listing(&s.path("d")));
    });
}

#[test]
fn other_signals_do_what_they_do() {
    both("log-others", |s| {
        for signal in [
            Signal::INT,
            Signal::QUIT,
            Signal::USR1,
            Signal::USR2,
            Signal::ABORT,
        ] {
            let dir = format!("./d{}", signal.as_raw());
            let log = Log::start(s, &[&dir]);
            log.put(s, "a line\n");
            assert!(s.signal(log.running.pid, signal));
            s.ending("multilog", &log.running);
            s.note(&listing(&s.path(&dir)));
        }
        let log = Log::start(s, &["./on"]);
        for signal in [Signal::CONT, Signal::WINCH, Signal::CHILD, Signal::PIPE] {
            log.put(s, "a line\n");
            // PIPE ends the original only if it is its default; nobody sends it.
            if signal != Signal::PIPE {
                assert!(s.signal(log.running.pid, signal));
            }
        }
        log.end(s);
        s.note(&listing(&s.path("on")));
    });
}

/// HUP ends the original; with us it opens the files anew. Source: specification §8.7, [x?].
#[test]
fn hup_opens_current_anew() {
    let Some(ours) = bins(Subject::Ours) else {
        return;
    };
    let world = eudaemon_lab::World::new("log-hup");
    let pipe = eudaemon_lab::log::Pipe::new();
    let running = world.start_on(&ours.program("multilog".as_ref()), &["./d"], pipe.reader());
    let soon = |what: &str, seen: &dyn Fn() -> bool| {
        assert!(
            eudaemon_lab::until(Duration::from_secs(10), seen),
            "waited in vain for {what}"
        );
    };
    pipe.put(b"one\n");
    soon("one", &|| world.read("d/current") == "one\n");
    let before = fs::metadata(world.path("d/current"))
        .expect("current")
        .ino();
    fs::rename(world.path("d/current"), world.path("mine")).expect("our file");
    assert!(world.signal(running.pid, Signal::HUP));
    soon("a new current", &|| {
        fs::metadata(world.path("d/current")).is_ok_and(|m| m.ino() != before)
    });
    pipe.put(b"two\n");
    soon("two", &|| world.read("d/current") == "two\n");
    assert_eq!(world.read("mine"), "one\n");
    assert!(world.signal(running.pid, Signal::TERM));
    assert_eq!(running.exit(Duration::from_secs(10)), Some(Exit::Code(0)));
}
