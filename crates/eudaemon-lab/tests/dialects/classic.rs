//! `EUDAEMON_DIALECT`: strict 0.76, and encore's rules alone.

use crate::{House, alive, process_group, session};
use eudaemon_lab::{SOON, Signal};

const RUN: &str = "echo run >> said\nexec sleep 1000";

fn everything(h: &House, dir: &str) {
    h.script(format!("{dir}/run"), RUN);
    for name in ["start", "stop", "finish", "check", "notify", "log"] {
        h.script(format!("{dir}/{name}"), &format!("echo {name} >> others"));
    }
    h.write(format!("{dir}/notification-fd"), "x");
}

#[test]
fn classic_knows_run_and_down_alone() {
    let Some(h) = House::new("classic-files") else {
        return;
    };
    let h = h
        .with("EUDAEMON_DIALECT", "classic")
        .with("SUPERVISEDIR", "kept");
    everything(&h, "a");
    let supervise = h.supervise("a");
    h.says("a/said", "run\n");
    assert!(h.exists("a/supervise/status") && !h.exists("a/kept"));
    let pid = h.pid("a");
    assert_eq!(session(pid), session(supervise.pid));
    assert_eq!(process_group(pid), process_group(supervise.pid));
    h.svc("-t", "a");
    h.says("a/said", "run\nrun\n");
    h.until_status("a", "a: up");
    let line = h.svstat("a");
    assert!(line.ends_with(" seconds\n"), "{line}");
    h.svc("-d", "a");
    h.until_status("a", "a: down");
    h.never("anything else", || h.exists("a/others"));
    assert_eq!(supervise.err(), "");
    let unknown = h.ask("svc -q a");
    assert_eq!(unknown.code, 100);
    assert!(
        unknown.err.contains("svc: illegal option -- q"),
        "{}",
        unknown.err
    );
    h.svc("-dx", "a");
    assert_eq!(h.code(&supervise), 0);
}

#[test]
fn classic_does_not_take_100_for_an_end() {
    let Some(h) = House::new("classic-hundred") else {
        return;
    };
    let h = h.with("EUDAEMON_DIALECT", "classic");
    h.script("a/run", "echo run >> said\nexit 100");
    h.script("a/start", "");
    let _running = h.supervise("a");
    h.says("a/said", "run\nrun\n");
}

#[test]
fn classic_leaves_everything_running_and_the_next_svscan_takes_it_over() {
    let Some(h) = House::new("classic-term") else {
        return;
    };
    let h = h.with("EUDAEMON_DIALECT", "classic");
    h.script(
        "sv/a/run",
        "echo run >> said\nwhile :; do echo tick; sleep 0.05; done",
    );
    h.script("sv/a/log/run", "echo log >> said\nexec cat >> logged");
    let svscan = h.svscan(&["a", "a/log"]);
    h.says("sv/a/said", "run\n");
    h.says("sv/a/log/said", "log\n");
    let pids = [h.pid("sv/a"), h.pid("sv/a/log")];
    h.kill(svscan.pid, Signal::TERM);
    assert!(svscan.outcome(SOON).is_some());
    h.soon("no engine", || h.named("eud-engine").is_empty());
    assert!(pids.iter().all(|pid| alive(*pid)));
    let again = h.svscan(&["a", "a/log"]);
    assert_eq!([h.pid("sv/a"), h.pid("sv/a/log")], pids);
    h.never("a second copy", || {
        h.read("sv/a/said") != "run\n" || h.read("sv/a/log/said") != "log\n"
    });
    let before = h.read("sv/a/log/logged").len();
    h.soon("more lines", || h.read("sv/a/log/logged").len() > before);
    h.svc("-t", "sv/a");
    h.says("sv/a/said", "run\nrun\n");
    assert_eq!(again.err(), "");
}

#[test]
fn encore_knows_its_own_files_alone_and_says_its_words_of_all() {
    let Some(h) = House::new("encore-dialect") else {
        return;
    };
    let h = h.with("EUDAEMON_DIALECT", "encore");
    h.script("a/run", RUN);
    h.script("a/finish", "echo finish >> others");
    h.script("a/check", "echo check >> others");
    h.write("a/notification-fd", "x");
    let running = h.supervise("a");
    h.says("a/said", "run\n");
    h.until_status("a", "seconds, running\n");
    h.svc("-t", "a");
    h.says("a/said", "run\nrun\n");
    h.svc("-d", "a");
    h.until_status("a", "seconds, normally up, stopped\n");
    h.never("anything else", || h.exists("a/others"));
    assert_eq!(running.err(), "");
    // s6's letters are not its own.
    assert_eq!(h.ask("svc -r a").code, 100);
    let usage = h.ask("svstat");
    assert_eq!(usage.code, 100);
    assert!(
        usage
            .err
            .contains("svstat: usage: svstat [-L] [-l] dir [dir ...]"),
        "{}",
        usage.err
    );
}

#[test]
fn another_word_is_refused() {
    let Some(h) = House::new("dialect-word") else {
        return;
    };
    let h = h.with("EUDAEMON_DIALECT", "perp");
    h.script("a/run", RUN);
    let refused = h.ask("supervise a");
    assert_eq!(refused.code, 100);
    assert!(refused.err.contains("EUDAEMON_DIALECT"), "{}", refused.err);
}
