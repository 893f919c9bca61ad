//! runit: specification §10.1, §10.3.

use crate::House;

#[test]
fn finish_is_told_how_run_ended_each_time() {
    let Some(h) = House::new("runit-finish") else {
        return;
    };
    h.script("a/finish", "echo \"$# $1 $2\" >> said");
    h.script("a/run", "mv 7 8 && exit 7\nexec sleep 1000");
    h.write("a/7", "");
    let _running = h.supervise("a");
    h.says("a/said", "2 7 0\n");
    h.pid("a");
    h.soon("the second run", || {
        h.read("a/supervise/state").contains("\"starts\":2")
    });
    h.svc("-k", "a");
    h.says("a/said", "2 7 0\n2 -1 9\n");
    h.soon("the third run", || {
        h.read("a/supervise/state").contains("\"starts\":3")
    });
    h.svc("-d", "a");
    h.says("a/said", "2 7 0\n2 -1 9\n2 -1 15\n");
    h.never("another end", || h.read("a/said").lines().count() != 3);
    // Its own code means nothing, but s6's 125.
    h.script("a/finish", "echo again >> said\nexit 100");
    h.svc("-u", "a");
    h.soon("the fourth run", || {
        h.read("a/supervise/state").contains("\"starts\":4")
    });
    h.svc("-t", "a");
    h.soon("the fifth run", || {
        h.read("a/supervise/state").contains("\"starts\":5")
    });
}

#[test]
fn finish_writes_to_the_log() {
    let Some(h) = House::new("runit-finish-log") else {
        return;
    };
    h.script("sv/a/run", "echo run\nexec sleep 1000");
    h.script("sv/a/finish", "echo finish");
    h.script("sv/a/log/run", "exec cat >> logged");
    let _svscan = h.svscan(&["a", "a/log"]);
    h.says("sv/a/log/logged", "run\n");
    h.svc("-d", "sv/a");
    h.says("sv/a/log/logged", "run\nfinish\n");
}

#[test]
fn a_service_with_a_check_is_ready_when_it_says_so() {
    let Some(h) = House::new("runit-check") else {
        return;
    };
    h.script("sv/a/run", "exec sleep 1000");
    h.script("sv/a/check", "echo check >> said\ntest -e good");
    h.script("sv/plain/run", "exec sleep 1000");
    let _svscan = h.svscan(&["a", "plain"]);
    let ready = |name: &str| {
        let told = h.ask(&format!("eudaemon -C sv status {name} --json")).out;
        let told = told.replace(' ', "");
        assert!(
            told.contains("\"ready\":true") != told.contains("\"ready\":false"),
            "{told}"
        );
        told.contains("\"ready\":true")
    };
    h.soon("plain to be ready", || ready("plain"));
    h.soon("three checks", || h.read("sv/a/said").lines().count() >= 3);
    assert!(!ready("a"));
    h.write("sv/a/good", "");
    h.soon("a to be ready", || ready("a"));
    let checks = h.read("sv/a/said");
    h.never("a check of what is ready", || h.read("sv/a/said") != checks);
    // Readiness is of one run.
    h.remove("sv/a/good");
    h.svc("-t", "sv/a");
    h.soon("new checks", || {
        h.read("sv/a/said").len() > checks.len() + 6
    });
    assert!(!ready("a"));
}
