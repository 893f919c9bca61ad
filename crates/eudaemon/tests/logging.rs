//! A service's log as others see it: a journal of our own at the other end, and standard error of a finished program.
//!
//! Not tested here: systemd's own journal (that needs systemd as process 1: `crates/eudaemon-lab/tests/journal.rs`).
#![allow(
    clippy::unwrap_used,
    reason = "a step that fails is the test's failure"
)]
#![allow(clippy::disallowed_methods, reason = "starts the program it judges")]

use eudaemon::Activation;
use eudaemon::logging::{Journal, Level, Log, PATIENCE, Value};
use eudaemon_core::journal::fields;
use eudaemon_sys::passing::{Came, Channel};
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A directory that is gone with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("eud-logging-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A journal in a box.
struct Receiver(Channel);

type Entry = Vec<(String, Vec<u8>)>;

impl Receiver {
    fn at(path: &Path) -> Receiver {
        Receiver(Channel::from(OwnedFd::from(
            UnixDatagram::bind(path).unwrap(),
        )))
    }

    /// The next entry, and whether it came as a file.
    fn next(&self) -> Option<(Entry, bool)> {
        let mut bytes = vec![0; 16 << 20];
        let mut file = None;
        let message = match self
            .0
            .receive(&mut bytes, false, |fd| file = Some(fd))
            .unwrap()
        {
            Came::Nothing => return None,
            Came::Message(length) => bytes[..length].to_vec(),
            Came::Closed => {
                let mut all = Vec::new();
                // The place in the file is the writer's too: it stands at its end.
                let mut file = std::fs::File::from(file.take()?);
                file.seek(SeekFrom::Start(0)).unwrap();
                file.read_to_end(&mut all).unwrap();
                return Some((entry(&all), true));
            }
        };
        Some((entry(&message), false))
    }

    fn message(&self) -> String {
        let (entry, _) = self.next().unwrap();
        of(&entry, "MESSAGE").into_iter().next().unwrap()
    }
}

fn entry(message: &[u8]) -> Entry {
    fields(message)
        .map(|field| {
            let (name, value) = field.unwrap();
            (String::from_utf8(name.to_vec()).unwrap(), value.to_vec())
        })
        .collect()
}

fn of(entry: &Entry, name: &str) -> Vec<String> {
    let named = entry.iter().filter(|(known, _)| known == name);
    named
        .map(|(_, value)| String::from_utf8(value.clone()).unwrap())
        .collect()
}

fn log_to(path: &Path, pairs: &[(&str, &str)]) -> Log {
    let activation = Activation::made(std::process::id(), pairs.iter().copied());
    Log::to_journal(Journal::at(path).unwrap(), &activation, "box", Level::Info)
}

#[test]
fn an_entry_has_what_the_journal_wants_to_know() {
    let scratch = Scratch::new("entry");
    let path = scratch.0.join("socket");
    let receiver = Receiver::at(&path);
    let id = "0123456789abcdef0123456789abcdef";
    let log = log_to(&path, &[("INVOCATION_ID", id)]);
    let fields = [
        ("DATA", Value::Bytes(b"\0\n\xff")),
        ("twice", 1.into()),
        ("twice", "2".into()),
    ];
    log.record(Level::Error, "two\nlines\n", &fields);
    let line = line!() - 1;
    let (entry, _) = receiver.next().unwrap();
    let one = |name: &str| of(&entry, name).join("|");
    assert_eq!(one("MESSAGE"), "two\nlines");
    assert_eq!(one("PRIORITY"), "3");
    assert_eq!(one("SYSLOG_IDENTIFIER"), "box");
    assert_eq!(one("SYSLOG_FACILITY"), "3");
    assert_eq!(one("SYSLOG_PID"), std::process::id().to_string());
    assert_eq!(one("INVOCATION_ID"), id);
    assert_eq!(one("CODE_LINE"), line.to_string());
    assert!(one("CODE_FILE").ends_with("tests/logging.rs"));
    assert_eq!(one("TWICE"), "1|2");
    assert!(entry.contains(&("DATA".to_owned(), b"\0\n\xff".to_vec())));
    assert_eq!(receiver.next(), None);
}

#[test]
fn a_long_entry_goes_as_a_sealed_file() {
    let scratch = Scratch::new("long");
    let path = scratch.0.join("socket");
    let receiver = Receiver::at(&path);
    let log = log_to(&path, &[]);
    // Longer than any buffer the kernel was asked for.
    let long = "x".repeat(9 << 20);
    log.record(Level::Info, &long, &[("AFTER", "it".into())]);
    let (entry, as_file) = receiver.next().unwrap();
    assert!(as_file);
    assert_eq!(of(&entry, "MESSAGE"), [long]);
    assert_eq!(of(&entry, "AFTER"), ["it"]);
    assert_eq!(log.lost(), 0);
}

#[test]
fn a_journal_that_comes_again_is_found_again() {
    let scratch = Scratch::new("again");
    let path = scratch.0.join("socket");
    let receiver = Receiver::at(&path);
    let log = log_to(&path, &[]);
    log.info("one");
    assert_eq!(receiver.message(), "one");
    drop(receiver);
    std::fs::remove_file(&path).unwrap();
    let receiver = Receiver::at(&path);
    // A child that another test starts has a copy of the old socket from its fork to its exec.
    let begun = std::time::Instant::now();
    let (found, _) = loop {
        log.info("two");
        if let Some(next) = receiver.next() {
            break next;
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(20));
    };
    assert_eq!(of(&found, "MESSAGE"), ["two"]);
    assert_eq!(log.lost(), 0);
}

#[test]
fn the_level_moves_while_it_runs() {
    let scratch = Scratch::new("level");
    let path = scratch.0.join("socket");
    let receiver = Receiver::at(&path);
    let log = log_to(&path, &[]);
    log.debug("no");
    log.levels().more();
    log.debug("debug");
    assert_eq!(receiver.message(), "debug");
    log.levels().set(Level::Error);
    log.clone().warning("no");
    log.error("error");
    assert_eq!(receiver.message(), "error");
    assert_eq!(receiver.next(), None);
}

#[test]
fn what_nobody_reads_is_counted_and_told_afterwards() {
    let scratch = Scratch::new("lost");
    let path = scratch.0.join("socket");
    let receiver = Receiver::at(&path);
    let log = log_to(&path, &[]);
    let started = std::time::Instant::now();
    while log.lost() < 5 {
        log.info("x");
    }
    // One record waited, those after it did not.
    let waited = started.elapsed();
    assert!(PATIENCE <= waited && waited < PATIENCE * 2, "{waited:?}");
    let mut read = 0;
    while receiver.next().is_some() {
        read += 1;
    }
    assert!(read > 0);
    log.info("after");
    assert_eq!(
        receiver.message(),
        "5 records before this were lost: nobody read the log"
    );
    assert_eq!(receiver.message(), "after");
    assert_eq!(log.lost(), 5);
}

/// The example, which cargo builds with all tests, but not for this one alone.
fn program() -> Command {
    let tests = std::env::current_exe().unwrap();
    let built = tests.parent().and_then(Path::parent).unwrap();
    let path = built.join("examples/log");
    assert!(
        path.exists(),
        "first: cargo build -p eudaemon --example log"
    );
    let mut command = Command::new(path);
    command.env_clear();
    command
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_pipe_gets_the_form_its_reader_understands() {
    let plain = program()
        .args(["auto", "describe", "lines"])
        .output()
        .unwrap();
    assert_eq!(
        text(plain.stdout),
        "standard error, a pipe or a socket, as lines without a time\n"
    );
    assert_eq!(text(plain.stderr), "error: one\n  <0>two\n  \n  \tfour\n");
    let managed = program()
        .args(["auto", "levels", "lines"])
        .env("NOTIFY_SOCKET", "@nobody")
        .output()
        .unwrap();
    let lines = text(managed.stderr);
    let levels = "<0>at emergency\n<1>at alert\n<2>at critical\n<3>at error\n<4>at warning\n<5>at notice\n<6>at info\n";
    assert_eq!(
        lines,
        format!("{levels}<3>one\n<3>  <0>two\n<3>  \n<3>  \tfour\n")
    );
    // A stream that is not ours, as a shell's below a service: the journal is not written to.
    let foreign = program()
        .args(["auto", "say=x"])
        .env("JOURNAL_STREAM", "8:1")
        .output()
        .unwrap();
    assert_eq!(text(foreign.stderr), "info: x\n");
    let raised = program()
        .args(["human", "say=a", "less", "say=no", "more", "say=b"])
        .output()
        .unwrap();
    assert_eq!(text(raised.stderr), "info: a\ninfo: b\n");
}

#[test]
fn no_line_is_torn() {
    let out = program()
        .args(["prefixed", "threads", "lost"])
        .output()
        .unwrap();
    assert_eq!(text(out.stdout), "0\n");
    let mut seen = BTreeMap::new();
    for line in text(out.stderr).lines() {
        let mut words = line.strip_prefix("<6>thread ").unwrap().split(' ');
        let thread: u32 = words.next().unwrap().parse().unwrap();
        assert_eq!(words.next(), Some("record"));
        let record: u32 = words.next().unwrap().parse().unwrap();
        assert_eq!(words.next(), Some("~".repeat(200).as_str()));
        assert_eq!(words.next(), None);
        let next = seen.entry(thread).or_insert(0);
        assert_eq!(record, *next, "in order within its thread");
        *next += 1;
    }
    assert_eq!(seen.into_values().collect::<Vec<_>>(), [200; 8]);
}

#[test]
fn a_pipe_nobody_reads_does_not_stop_a_service() {
    let mut child = program()
        .args(["human", "large=100000", "say=x", "lost", "wait", "say=y"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut told = [0; 2];
    stdout.read_exact(&mut told).unwrap();
    assert_eq!(&told, b"2\n");
    let mut stderr = child.stderr.take().unwrap();
    let mut torn = vec![0; 65_536];
    stderr.read_exact(&mut torn).unwrap();
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    // What was begun is ended before the next begins.
    assert_eq!(
        rest,
        "\nwarning: 2 records before this were lost: nobody read the log\ninfo: y\n"
    );
    assert!(child.wait().unwrap().success());
}

#[test]
fn nobody_is_never_logged_to_silently() {
    let out = program()
        .args(["auto", "say=x"])
        .stderr(Stdio::null())
        .output()
        .unwrap();
    if Path::new("/dev/log").exists() {
        assert!(out.status.success());
        return;
    }
    assert!(!out.status.success());
    assert!(text(out.stdout).starts_with("nobody to log to: "));
    let scratch = Scratch::new("nobody");
    let file = scratch.0.join("log");
    let out = program()
        .args([
            "human",
            "describe",
            &format!("retarget=file:{}", file.display()),
        ])
        .args(["say=found", "describe"])
        .stderr(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(
        text(out.stdout),
        format!(
            "standard error, nobody: /dev/null or closed, as lines without a time\nthe file {}\n",
            file.display()
        )
    );
    assert!(
        std::fs::read_to_string(&file)
            .unwrap()
            .ends_with("Z info: found\n")
    );
}

#[test]
fn a_file_is_opened_again_behind_a_changed_root() {
    let scratch = Scratch::new("file");
    let (file, moved) = (scratch.0.join("log"), scratch.0.join("old"));
    let root = scratch.0.join("root");
    std::fs::create_dir(&root).unwrap();
    let mut child = program()
        .arg(format!("file:{}", file.display()))
        .args([
            &format!("chroot={}", root.display()),
            "say=one",
            "lost",
            "wait",
        ])
        .args(["say=two", "reopen", "say=three"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = [0; 2];
    let read = child.stdout.take().unwrap().read_exact(&mut told);
    assert!(read.is_ok(), "needs root");
    std::fs::rename(&file, &moved).unwrap();
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(child.wait().unwrap().success());
    let words = |path: &Path| -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| line.split_once(' ').unwrap().1.to_owned())
            .collect()
    };
    assert_eq!(words(&moved), ["info: one", "info: two"]);
    assert_eq!(words(&file), ["info: three"]);
}

#[test]
fn a_symbolic_link_is_no_log_file() {
    let scratch = Scratch::new("link");
    let (link, target) = (scratch.0.join("log"), scratch.0.join("passwd"));
    std::fs::write(&target, "").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let out = program()
        .args([&format!("file:{}", link.display()), "say=x"])
        .output()
        .unwrap();
    assert!(text(out.stdout).starts_with("unable to open "));
    assert_eq!(std::fs::read(&target).unwrap(), b"");
}

#[test]
fn a_panic_is_a_record() {
    let out = program().args(["prefixed", "panic"]).output().unwrap();
    let stderr = text(out.stderr);
    assert!(stderr.starts_with("<2>panic in thread "), "{stderr}");
    assert!(stderr.ends_with(": as asked\n"), "{stderr}");
    assert!(stderr.contains("examples/log.rs:"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1);
}

/// The example where `from` is seen at `at`, in a mount namespace of its own; `None`, aloud, if there can be none.
fn program_seeing(from: &Path, at: &str) -> Option<Command> {
    let unshared = |then: &str| {
        let mut command = Command::new("/usr/bin/unshare");
        command.args(["-m", "/bin/sh", "-c", then, "sh"]);
        command.arg(from).arg(at);
        command
    };
    let tried = unshared("mount --bind \"$1\" \"$2\"").output();
    if !tried.is_ok_and(|tried| tried.status.success()) {
        assert!(std::env::var_os("EUDAEMON_REQUIRE").is_none(), "needs root");
        println!("SKIPPED: needs root and a mount namespace");
        return None;
    }
    let mut command =
        unshared("mount --bind \"$1\" \"$2\" && p=$3 && shift 3 && exec \"$p\" \"$@\"");
    command.arg(program().get_program()).env_clear();
    command.env("PATH", "/usr/bin:/bin");
    Some(command)
}

#[test]
fn without_anybody_else_it_is_syslog() {
    let scratch = Scratch::new("syslog");
    let receiver = UnixDatagram::bind(scratch.0.join("log")).unwrap();
    let root = scratch.0.join("root");
    std::fs::create_dir(&root).unwrap();
    let Some(mut command) = program_seeing(&scratch.0, "/dev") else {
        return;
    };
    let out = command
        .args([
            "auto",
            "describe",
            "chroot=/dev/root",
            "lines",
            "level=debug",
            "lost",
        ])
        .stderr(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(text(out.stdout), "syslog at /dev/log\n0\n");
    let mut bytes = [0; 512];
    let length = receiver.recv(&mut bytes).unwrap();
    let line = std::str::from_utf8(&bytes[..length]).unwrap();
    let (head, message) = line.split_once("]: ").unwrap();
    let pid = head.strip_prefix("<27>eudaemon-log[").unwrap();
    assert!(pid.parse::<u32>().is_ok(), "{line}");
    assert_eq!(message, "one#012<0>two#012#012\tfour");
}

#[test]
fn a_stream_that_is_the_journals_is_left_for_its_socket_and_taken_when_that_is_gone() {
    let scratch = Scratch::new("stream");
    let socket = scratch.0.join("systemd/journal/socket");
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let receiver = Receiver::at(&socket);
    let Some(mut command) = program_seeing(&scratch.0, "/run") else {
        return;
    };
    let (stderr, ours) = std::os::unix::net::UnixStream::pair().unwrap();
    let (_, device, inode) = eudaemon_sys::record::look(&stderr);
    let mut child = command
        .args([
            "auto", "describe", "say=one", "lost", "wait", "lines", "lost",
        ])
        .env("JOURNAL_STREAM", format!("{device}:{inode}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(OwnedFd::from(stderr))
        .spawn()
        .unwrap();
    let wanted = "the journal at /run/systemd/journal/socket\n0\n";
    let mut stdout = child.stdout.take().unwrap();
    let mut told = vec![0; wanted.len()];
    stdout.read_exact(&mut told).unwrap();
    assert_eq!(text(told), wanted);
    assert_eq!(receiver.message(), "one");
    drop(receiver);
    std::fs::remove_file(&socket).unwrap();
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "0\n");
    assert!(child.wait().unwrap().success());
    drop(command);
    let mut lines = String::new();
    (&ours).read_to_string(&mut lines).unwrap();
    assert_eq!(lines, "<3>one\n<3>  <0>two\n<3>  \n<3>  \tfour\n");
}
