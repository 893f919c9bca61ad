//! A full disk, alone and with SIGKILL or TERM while it is full; and a disk that cannot be written to at all.

use crate::logger;
use eudaemon_lab::log::{FullDisk, Pipe, Shape, SmallDisk, WhileFull, full_disk};
use eudaemon_lab::{Exit, Subject, World, need, skipped, until};
use std::fs;
use std::time::Duration;

fn can_mount() -> bool {
    if !need(&["/usr/bin/unshare", "/usr/bin/mount", "/usr/bin/nsenter"]) {
        return false;
    }
    if !rustix::process::geteuid().is_root() {
        skipped("a full and a read-only disk need root");
        return false;
    }
    true
}

fn ours(befalls: WhileFull) -> Option<FullDisk> {
    let logger = can_mount().then(|| logger(Subject::Ours))??;
    let full = full_disk(&logger, befalls);
    println!("{befalls:?}: {full:?}");
    assert!(full.tally.perfect(), "{full:?}");
    assert!(full.tally.whole > 1000, "{full:?}");
    assert!(
        full.memory_kib <= 2048,
        "more memory than a logger needs: {full:?}"
    );
    let resume = full.resume.expect("it goes on");
    // What is promised is 100 ms; a busy machine gets more.
    assert!(resume < Duration::from_secs(2), "{full:?}");
    let words = "multilog: warning: unable to write to ./a/current, pausing: out of disk space";
    assert!(full.said.iter().any(|line| line == words), "{full:?}");
    Some(full)
}

#[test]
fn a_full_disk_loses_nothing() {
    ours(WhileFull::Nothing);
}

#[test]
fn a_full_disk_and_sigkill() {
    ours(WhileFull::Kill);
}

#[test]
fn a_full_disk_and_term() {
    let Some(full) = ours(WhileFull::Term) else {
        return;
    };
    let term = full.term.expect("it ends by TERM");
    assert!(term < Duration::from_secs(1), "{full:?}");
}

/// That the judge sees a loss: the original has taken what it cannot write.
#[test]
fn the_original_loses_what_it_holds() {
    if !can_mount() {
        return;
    }
    let Some(djb) = logger(Subject::Djb) else {
        return;
    };
    let full = full_disk(&djb, WhileFull::Kill);
    assert!(full.tally.lost > 0, "{full:?}");
}

#[test]
fn a_read_only_disk_is_refused_and_later_used() {
    if !can_mount() {
        return;
    }
    for subject in [Subject::Djb, Subject::Ours] {
        let Some(logger) = logger(subject) else {
            return;
        };
        let world = World::new("readonly");
        let disk = SmallDisk::mount(&world, "a", 1024);
        let home = disk.path.parent().expect("a parent").to_owned();
        let arguments = logger.arguments(Shape::Plain, 4096);
        let mut pipe = Pipe::new();
        pipe.put(b"one\n");
        disk.remount(&world, "ro");
        let refused = world.start_at(&logger.program, &arguments, &home, pipe.reader());
        assert_eq!(refused.exit(Duration::from_secs(10)), Some(Exit::Code(111)));
        assert!(
            refused.err().ends_with(": read-only file system\n"),
            "{subject:?}: {}",
            refused.err()
        );
        assert_eq!(pipe.waiting(), 4, "a line was taken without a place for it");
        disk.remount(&world, "rw");
        let running = world.start_at(&logger.program, &arguments, &home, pipe.reader());
        assert!(until(Duration::from_secs(10), || pipe.drained()));
        pipe.close();
        assert_eq!(running.exit(Duration::from_secs(10)), Some(Exit::Code(0)));
        assert_eq!(
            fs::read_to_string(disk.path.join("current")).expect("current"),
            "one\n"
        );
    }
}
