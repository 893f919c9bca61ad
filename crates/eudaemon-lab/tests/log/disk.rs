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

/// Where lines are dropped, each is either there or counted, and the input never waits.
#[test]
fn what_a_full_disk_drops_is_counted() {
    if !can_mount() {
        return;
    }
    let Some(logger) = logger(Subject::Ours) else {
        return;
    };
    let world = World::new("drop");
    let disk = SmallDisk::mount(&world, "a", 1024);
    let home = disk.path.parent().expect("a parent").to_owned();
    disk.fill(400_000);
    let mut pipe = Pipe::new();
    let arguments = ["t", "s16000000", "%full=drop", "./a"].map(str::to_owned);
    let running = world.start_at(&logger.program, &arguments, &home, pipe.reader());
    // Each of them is more than the pipe holds, so each ends only because it is read.
    for round in 0..10 {
        let lines: String = (0..2_000).map(|n| format!("{round} {n:060}\n")).collect();
        pipe.put(lines.as_bytes());
    }
    assert!(until(Duration::from_secs(10), || pipe.drained()));
    disk.relieve();
    pipe.put(b"there is room\n");
    pipe.close();
    assert_eq!(running.exit(Duration::from_secs(10)), Some(Exit::Code(0)));
    let text = fs::read_to_string(disk.path.join("current")).expect("current");
    let (mut kept, mut dropped) = (0, 0);
    for line in text.lines() {
        let (stamp, line) = line.split_once(' ').expect("a stamp");
        assert!(stamp.len() == 25 && stamp.starts_with('@'), "{stamp}");
        let count = line
            .strip_prefix("multilog: ")
            .and_then(|rest| rest.strip_suffix(" lines dropped: out of disk space"));
        match count {
            Some(count) => dropped += count.parse::<u64>().expect("a number"),
            None if line == "there is room" => {}
            None => {
                assert_eq!(line.len(), 62, "a torn line: {line:?}");
                kept += 1;
            }
        }
    }
    assert!(dropped > 10_000 && kept > 100, "{dropped} and {kept}");
    assert_eq!(dropped + kept, 20_000);
    assert!(text.ends_with(" there is room\n"));
    let said = running.err();
    let words = "multilog: warning: unable to write to ./a/current, dropping: out of disk space\n";
    assert!(said.starts_with(words), "{said}");
}
