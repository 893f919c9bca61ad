//! The same life on kernels without clone3, and without pidfds.

use crate::{House, pid_in};
use eudaemon_lab::chaos::tree;
use eudaemon_lab::{SOON, Signal};

fn life(spawn: &str) {
    let Some(h) = House::new("kernel") else {
        return;
    };
    let h = h.with("EUDAEMON_SPAWN", spawn);
    h.script(
        "sv/a/run",
        "echo \"line $$\"\necho run >> said\nexec sleep 1000",
    );
    h.script("sv/a/log/run", "exec cat >> logged");
    let svscan = h.svscan(&["a", "a/log"]);
    h.says("sv/a/said", "run\n");
    let first = h.pid("sv/a");
    h.svc("-t", "sv/a");
    h.says("sv/a/said", "run\nrun\n");
    h.soon("another pid", || {
        pid_in(&h.svstat("sv/a")).is_some_and(|pid| pid != first)
    });
    let second = h.pid("sv/a");
    h.kill(second, Signal::KILL);
    h.says("sv/a/said", "run\nrun\nrun\n");
    h.svc("-d", "sv/a");
    h.until_status("sv/a", "sv/a: down");
    h.never("a start", || h.read("sv/a/said").lines().count() != 3);
    h.svc("-u", "sv/a");
    h.says("sv/a/said", "run\nrun\nrun\nrun\n");

    let (living, log) = (h.pid("sv/a"), h.pid("sv/a/log"));
    let (keeper, engine) = tree(&h, "svscan", SOON).expect("a tree");
    assert_eq!(keeper, svscan.pid);
    h.kill(engine, Signal::KILL);
    h.soon("another engine", || {
        tree(&h, "svscan", SOON).is_some_and(|(k, e)| k == keeper && e != engine)
    });
    h.never("a second copy", || h.read("sv/a/said").lines().count() != 4);
    assert_eq!((h.pid("sv/a"), h.pid("sv/a/log")), (living, log));
    h.svc("-p", "sv/a");
    h.until_status("sv/a", "paused");
    h.svc("-c", "sv/a");
    // An end that happens while there is no engine, and one that the next engine sees.
    let (_, engine) = tree(&h, "svscan", SOON).expect("a tree");
    h.kill(engine, Signal::KILL);
    h.kill(living, Signal::KILL);
    h.soon("the fifth run", || h.read("sv/a/said").lines().count() == 5);
    h.svc("-t", "sv/a");
    h.soon("the sixth run", || h.read("sv/a/said").lines().count() == 6);
    h.soon("six lines", || {
        h.read("sv/a/log/logged").lines().count() == 6
    });
    h.kill(svscan.pid, Signal::TERM);
    assert_eq!(h.code(&svscan), 0);
    assert_eq!(h.processes(), [0; 0]);
}

#[test]
fn without_clone3() {
    life("clone");
}

#[test]
fn without_pidfds() {
    life("clone-without-pidfd");
}

#[test]
fn with_all_of_them() {
    life("");
}
