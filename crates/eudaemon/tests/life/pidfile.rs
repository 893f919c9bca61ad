//! A PID file between processes. H7-H10, T14, T15. What one process alone can see is tested beside the code.

use crate::Test;
use crate::stage::{Kill, Scratch, Started, code, skipped};
use std::process::{Command, Stdio};

pub const TESTS: &[Test] = &[
    (
        "pidfile::the_second_is_refused_and_after_a_kill_the_third_is_not",
        held,
    ),
    ("pidfile::a_child_does_not_keep_it", left),
    ("pidfile::a_forked_child_does_not_remove_it", forked),
    ("pidfile::a_forked_child_may_take_it_over", rewritten),
    ("pidfile::after_a_drop_it_is_empty", dropped),
];

fn held() {
    let scratch = Scratch::new("pidfile");
    let first = scratch.program("pidfile").arg("hold").spawn();
    let first = Started(first.expect("it is ours"));
    let pid = scratch.notes().number("pid");
    assert_eq!(pid, first.0.id());
    let second = scratch.program("pidfile").arg("hold").output();
    let second = second.expect("it is ours");
    assert_eq!(code(second.status), 9);
    assert_eq!(second.stdout, format!("{pid}\n").into_bytes());
    // flock(1) sees the same.
    let flock = |_: ()| {
        let mut command = Command::new("flock");
        let path = scratch.0.join("web.pid");
        let status = command.arg("-n").arg(path).arg("true").status();
        code(status.expect("util-linux"))
    };
    assert_eq!(flock(()), 1);
    drop(first);
    // The file and its number are there, and the process is not.
    let text = std::fs::read_to_string(scratch.0.join("web.pid")).expect("it is left");
    assert_eq!(text, format!("{pid}\n"));
    assert_eq!(flock(()), 0);
    let third = scratch.program("pidfile").arg("fork").status();
    assert_eq!(code(third.expect("it is ours")), 0);
}

fn left() {
    let scratch = Scratch::new("pidfile");
    let mut command = scratch.program("pidfile");
    let first = command.arg("leave").stdout(Stdio::null()).status();
    assert_eq!(code(first.expect("it is ours")), 0);
    let _kill = Kill(scratch.notes().number("child"));
    let second = scratch.program("pidfile").arg("fork").status();
    assert_eq!(code(second.expect("it is ours")), 0);
}

fn forked() {
    let scratch = Scratch::new("pidfile");
    let status = scratch.program("pidfile").arg("fork").status();
    assert_eq!(code(status.expect("it is ours")), 0);
}

fn rewritten() {
    let scratch = Scratch::new("pidfile");
    let status = scratch.program("pidfile").arg("rewrite").status();
    assert_eq!(code(status.expect("it is ours")), 0);
    assert!(!scratch.0.join("web.pid").exists());
}

fn dropped() {
    if eudaemon_sys::process::effective_uid() != 0 {
        return skipped("only root can give up root");
    }
    let scratch = Scratch::new("pidfile");
    let status = scratch.program("pidfile").arg("drop").status();
    assert_eq!(code(status.expect("it is ours")), 0);
    let text = std::fs::read(scratch.0.join("web.pid")).expect("it is left");
    assert_eq!(text, b"");
}
