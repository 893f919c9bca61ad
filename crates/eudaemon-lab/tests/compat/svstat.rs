//! svstat: every sentence, from real supervisors and from hand-made status files.
//!
//! Not compared: a `status` that is a directory (the original speaks of `down`, from memory it never filled).

use eudaemon_lab::{Stage, both, every_pair};
use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Instant;

/// O_NONBLOCK on Linux, x86-64 and aarch64: asm-generic/fcntl.h.
const O_NONBLOCK: i32 = 0o4000;

/// A service directory whose `ok` is held open by us, so that only the status file decides.
fn made(s: &Stage, dir: &str, status: Option<&[u8]>) -> fs::File {
    s.write(format!("{dir}/supervise/x"), "");
    let ok = format!("{dir}/supervise/ok");
    assert_eq!(s.run(s.tools, &["mkfifo", &ok]).code, 0);
    if let Some(status) = status {
        s.write(format!("{dir}/supervise/status"), status);
    }
    fs::OpenOptions::new()
        .read(true)
        .custom_flags(O_NONBLOCK)
        .open(s.path(ok))
        .expect("our end of ok")
}

/// A status record: `age` seconds old, as of now.
fn record(age: i64, pid: u32, paused: u8, want: u8) -> Vec<u8> {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a clock after 1970")
        .as_secs();
    let label = (now + 4_611_686_018_427_387_914).saturating_add_signed(-age);
    let mut bytes = label.to_be_bytes().to_vec();
    bytes.extend([0, 0, 0, 0]);
    bytes.extend(pid.to_le_bytes());
    bytes.extend([paused, want]);
    bytes
}

#[test]
fn says_every_sentence_of_a_real_supervise() {
    every_pair("svstat-real", |s| {
        s.script("a/run", "exec sleep 1000");
        s.script("b/run", "exec sleep 1000");
        s.write("b/down", "");
        s.play("svstat a b nowhere");
        s.supervise("a");
        s.supervise("b");
        s.until_status("a", "up (pid");
        s.until_status("b", "b: down");
        s.play("svstat a b");
        // `normally` compares with the file as it is now.
        s.write("a/down", "");
        fs::remove_file(s.path("b/down")).expect("our file");
        s.play("svstat a b");
        s.ask("svc -d a");
        s.ask("svc -u b");
        s.until_status("a", "a: down");
        s.until_status("b", "up (pid");
        s.play("svstat a b");
        s.ask("svc -p b");
        s.until_status("b", "paused");
        s.write("b/down", "");
        s.play("svstat b a");
        s.ask("svc -c b");
        s.soon("b to go on", || !s.ask("svstat b").out.contains("paused"));
        s.play("svstat b");
        s.play("svstat");
    });
}

#[test]
fn says_want_down_while_a_service_ignores_term() {
    every_pair("svstat-stubborn", |s| {
        s.script(
            "a/run",
            "trap '' TERM\necho ready > ready\nsleep 1000 & wait; exec sleep 1000",
        );
        s.supervise("a");
        s.soon("the trap", || s.read("a/ready") == "ready\n");
        s.ask("svc -d a");
        s.until_status("a", "want down");
        s.play("svstat a");
        s.ask("svc -p a");
        s.until_status("a", "paused");
        s.play("svstat a");
        s.ask("svc -u a");
        s.soon("it to be wanted", || {
            !s.ask("svstat a").out.contains("want down")
        });
        s.play("svstat a");
        s.ask("svc -o a");
        s.play("svstat a");
    });
}

#[test]
fn reads_hand_made_records() {
    both("svstat-made", |s| {
        let mut held = Vec::new();
        for (n, (pid, paused, want)) in [
            (0, 0, b'u'),
            (0, 0, b'd'),
            (0, 0, 0),
            (0, 1, b'd'),
            (0, 1, b'u'),
            (1, 0, b'u'),
            (1, 0, b'd'),
            (1, 1, b'u'),
            (1, 1, b'd'),
            (305_419_896, 1, 0),
            (70000, 7, b'u'),
        ]
        .into_iter()
        .enumerate()
        {
            for down in [false, true] {
                let dir = format!("d{n}{}", if down { "-down" } else { "" });
                held.push(made(s, &dir, Some(&record(5, pid, paused, want))));
                if down {
                    s.write(format!("{dir}/down"), "");
                }
                s.play(&format!("svstat {dir}"));
            }
        }
    });
}

#[test]
fn reads_records_of_others() {
    // Nosh writes pending commands of its own as the wanted state; only `u` and `d` mean something to 0.76.
    both("svstat-others", |s| {
        let mut held = Vec::new();
        for (n, (pid, want)) in [(4711, b'O'), (0, b'O'), (4711, b'x'), (4_294_967_295, b'u')]
            .into_iter()
            .enumerate()
        {
            held.push(made(s, &format!("d{n}"), Some(&record(5, pid, 0, want))));
            s.play(&format!("svstat d{n}"));
        }
        // S6's record has 35 bytes.
        let mut s6 = record(5, 0, 0, b'd');
        s6.extend([0; 17]);
        held.push(made(s, "s6", Some(&s6)));
        s.play("svstat s6");
    });
}

#[test]
fn counts_the_seconds() {
    both("svstat-seconds", |s| {
        let mut held = Vec::new();
        for (n, age) in [0_i64, 59, 86_400, 123_456_789, -3600]
            .into_iter()
            .enumerate()
        {
            let dir = format!("s{n}");
            let before = Instant::now();
            held.push(made(s, &dir, Some(&record(age, 0, 0, b'd'))));
            s.write(format!("{dir}/down"), "");
            let line = s.play(&format!("svstat {dir}")).out;
            let said: i64 = line
                .split(' ')
                .find_map(|word| word.parse().ok())
                .expect("a number of seconds");
            let age = age.max(0);
            // The record's second had begun when it was made.
            let meanwhile = i64::try_from(before.elapsed().as_secs()).unwrap_or(0) + 1;
            assert!(
                (age..=age + meanwhile).contains(&said),
                "{age} s old, said {said}"
            );
        }
    });
}

#[test]
fn reads_records_of_any_length() {
    both("svstat-lengths", |s| {
        let mut held = Vec::new();
        let full = record(5, 0, 0, b'd');
        for length in [0, 1, 11, 12, 17, 18] {
            held.push(made(s, &format!("l{length}"), Some(&full[..length])));
            s.play(&format!("svstat l{length}"));
        }
        // Runit's record has 20 bytes too: bytes 18 and 19 are no business of 0.76's.
        let mut runit = record(5, 4711, 0, b'u');
        runit.extend([0, 1]);
        held.push(made(s, "runit", Some(&runit)));
        s.play("svstat runit");
    });
}

#[test]
fn says_what_is_missing() {
    both("svstat-missing", |s| {
        s.write("file", "");
        s.write("new/run", "");
        s.write("half/supervise", "a file");
        s.write("plain/supervise/ok", "");
        let dead = made(s, "dead", Some(&record(5, 0, 0, b'd')));
        drop(dead);
        let _held = made(s, "nostatus", None);
        s.write("loop/x", "");
        std::os::unix::fs::symlink("down", s.path("loop/down")).expect("a link to itself");
        for line in [
            "svstat nowhere",
            "svstat file",
            "svstat new",
            "svstat half",
            "svstat plain",
            "svstat dead",
            "svstat nostatus",
            "svstat loop",
            "svstat __",
            "svstat new nowhere dead",
            "svstat ./dead dead/ ../at/dead",
        ] {
            assert_eq!(s.play(line).code, 0, "{line}");
        }
    });
}
