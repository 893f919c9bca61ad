//! `eudaemon up`: stopping.

use crate::{House, alive};
use eudaemon_lab::Signal;
use std::time::Duration;

const POLITE: &str =
    "trap 'echo bye >> said; echo bye; exit' TERM\necho run >> said\nwhile :; do sleep 0.02; done";

#[test]
fn int_and_term_stop_in_order() {
    for signal in [Signal::INT, Signal::TERM] {
        let Some(h) = House::new("up-int") else {
            return;
        };
        h.script("sv/a/run", POLITE);
        h.script("sv/b/run", POLITE);
        h.script("sv/b/log/run", "exec multilog ./main");
        let up = h.begin("eudaemon up sv");
        h.says("sv/a/said", "run\n");
        h.says("sv/b/said", "run\n");
        h.supervised(&["b/log"]);
        h.kill(up.pid, signal);
        assert_eq!(h.code(&up), 0);
        assert_eq!(h.read("sv/a/said"), "run\nbye\n");
        assert_eq!(h.read("sv/b/said"), "run\nbye\n");
        assert_eq!(h.read("sv/b/log/main/current"), "bye\n");
        assert!(h.read("sv/.eudaemon/log/a/main/current").ends_with("bye\n"));
        assert_eq!(h.processes(), [0; 0]);
    }
}

#[test]
fn a_second_int_ends_what_does_not_hear() {
    let Some(h) = House::new("up-int-int") else {
        return;
    };
    h.script("sv/a/run", POLITE);
    h.script(
        "sv/deaf/run",
        "trap '' TERM\necho run >> said\nwhile :; do sleep 0.02; done",
    );
    let up = h.begin("eudaemon up sv");
    h.says("sv/a/said", "run\n");
    h.says("sv/deaf/said", "run\n");
    let deaf = h.pid("sv/deaf");
    h.kill(up.pid, Signal::INT);
    h.says("sv/a/said", "run\nbye\n");
    h.never("an end", || {
        !alive(deaf) || up.exit(Duration::ZERO).is_some()
    });
    h.kill(up.pid, Signal::INT);
    assert_eq!(h.code(&up), 0);
    assert!(!alive(deaf));
    assert_eq!(h.read("sv/deaf/said"), "run\n");
    assert_eq!(h.processes(), [0; 0]);
}
