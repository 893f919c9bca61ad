//! svc: every letter does what it did, unknown ones are refused in the same words, and it never fails.
//!
//! Not compared: a `control` that is a plain file (the original writes into it; see `bad_input.rs`).

use eudaemon_lab::{Stage, both, every_pair};
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;

/// O_NONBLOCK on Linux, x86-64 and aarch64: asm-generic/fcntl.h.
const O_NONBLOCK: i32 = 0o4000;

fn fifo(s: &Stage, path: &str) {
    let made = s.run(s.tools, &["mkfifo", "-m", "600", path]);
    assert_eq!(made.code, 0, "{}", made.err);
}

fn reader(s: &Stage, path: &str) -> fs::File {
    fs::OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(O_NONBLOCK)
        .open(s.path(path))
        .expect("a FIFO to read")
}

fn queued(fifo: &mut fs::File) -> String {
    let mut all = [0; 4096];
    match fifo.read(&mut all) {
        Ok(n) => String::from_utf8_lossy(&all[..n]).into_owned(),
        Err(_) => "nothing".to_owned(),
    }
}

#[test]
fn refuses_unknown_letters() {
    both("svc-unknown", |s| {
        s.write("a/down", "");
        for line in ["svc -j", "svc -uj a", "svc -u -Z a", "svc -du9", "svc -?"] {
            assert_eq!(s.play(line).code, 100, "{line}");
        }
    });
}

#[test]
fn never_fails_whatever_the_directories_are() {
    both("svc-nowhere", |s| {
        s.write("new/run", "");
        s.write("file", "");
        s.write("half/supervise/x", "");
        s.write("isdir/supervise/control/x", "");
        s.write("dead/supervise/x", "");
        fifo(s, "dead/supervise/control");
        for line in [
            "svc",
            "svc -u",
            "svc nowhere",
            "svc -u nowhere",
            "svc -u new nowhere file",
            "svc -u half",
            "svc -u isdir",
            "svc -u dead",
            "svc dead",
            "svc -d dead nowhere dead",
            "svc -- dead",
            "svc - dead",
            "svc -u __",
            "svc -u .",
        ] {
            assert_eq!(s.play(line).code, 0, "{line}");
        }
    });
}

#[test]
fn two_dashes_end_the_options_whatever_follows_them() {
    both("svc-dashes", |s| {
        s.write("a/supervise/x", "");
        fifo(s, "a/supervise/control");
        let mut a = reader(s, "a/supervise/control");
        for line in ["svc --u a", "svc -d --u a", "svc -d --j -u a"] {
            assert_eq!(s.play(line).code, 0, "{line}");
            s.note(&queued(&mut a));
        }
    });
}

#[test]
fn sends_the_letters_in_their_order_once() {
    both("svc-bytes", |s| {
        s.write("a/supervise/x", "");
        s.write("b/supervise/x", "");
        fifo(s, "a/supervise/control");
        fifo(s, "b/supervise/control");
        let (mut a, mut b) = (
            reader(s, "a/supervise/control"),
            reader(s, "b/supervise/control"),
        );
        for line in [
            "svc -u a",
            "svc -d a b",
            "svc -udopchaitkx a",
            "svc -xktiahcpodu a",
            "svc -uu a",
            "svc -u -d -u -d -x a",
            "svc -ud -- a b",
            "svc a",
            "svc -u - a",
            "svc -u nowhere a",
            "svc -u a -d b",
            "svc -- -u a",
            "svc -tttttttttttttttttttttttttttttttttttttttttttt a",
        ] {
            assert_eq!(s.play(line).code, 0, "{line}");
            s.note(&format!("a {:?} b {:?}", queued(&mut a), queued(&mut b)));
        }
    });
}

#[test]
fn each_letter_does_its_deed() {
    every_pair("svc-deeds", |s| {
        // The shell's `wait` is interrupted by a trapped signal, so each one is answered at once.
        s.script(
            "a/run",
            "for n in HUP ALRM INT; do trap \"echo $n >> said\" $n; done\n\
             trap 'echo TERM >> said; kill $! 2>/dev/null; exit 0' TERM\n\
             echo start >> said\nsleep 1000 &\nwhile :; do wait; done",
        );
        let _running = s.supervise("a");
        let said = |what: &str, times: usize| {
            s.soon(&format!("{what} {times} times"), || {
                s.read("a/said")
                    .lines()
                    .filter(|line| *line == what)
                    .count()
                    == times
            });
        };
        said("start", 1);
        s.until_status("a", "up (pid");
        let first = s.pid("a");
        for (letter, word) in [("h", "HUP"), ("a", "ALRM"), ("i", "INT")] {
            s.play(&format!("svc -{letter} a"));
            said(word, 1);
        }
        assert_eq!(s.pid("a"), first);
        s.play("svstat a");
        s.play("svc -p a");
        s.until_status("a", "paused");
        s.play("svstat a");
        s.play("svc -h a");
        s.play("svc -c a");
        said("HUP", 2);
        s.soon("it to go on", || !s.ask("svstat a").out.contains("paused"));
        s.play("svstat a");
        s.play("svc -t a");
        said("TERM", 1);
        said("start", 2);
        s.until_status("a", "up (pid");
        s.play("svstat a");
        s.play("svc -k a");
        said("start", 3);
        s.until_status("a", "up (pid");
        s.play("svc -o a");
        s.play("svstat a");
        s.play("svc -t a");
        s.until_status("a", "a: down");
        s.play("svstat a");
        s.play("svc -u a");
        said("start", 4);
        s.until_status("a", "up (pid");
        s.play("svc -p a");
        s.until_status("a", "paused");
        s.play("svc -d a");
        said("TERM", 3);
        s.until_status("a", "a: down");
        s.play("svstat a");
        s.play("svc -o a");
        said("start", 5);
        s.until_status("a", "up (pid");
        s.play("svstat a");
        s.play("svc -dx a");
        s.soon("supervise to go", || s.ask("svok a").code == 100);
        s.play("svstat a");
        s.note(&s.read("a/said"));
    });
}

#[test]
fn speaks_to_several_directories_at_once() {
    every_pair("svc-many", |s| {
        for dir in ["one", "two", "three"] {
            s.script(format!("{dir}/run"), "exec sleep 1000");
            s.write(format!("{dir}/down"), "");
            s.supervise(dir);
        }
        s.play("svc -u one nowhere two three");
        for dir in ["one", "two", "three"] {
            s.until_status(dir, "up (pid");
        }
        s.play("svstat one two nowhere three");
        s.play("svc -dx one two three");
        for dir in ["one", "two", "three"] {
            s.soon("the end", || s.ask(&format!("svok {dir}")).code == 100);
        }
        s.play("svstat one two three");
    });
}
