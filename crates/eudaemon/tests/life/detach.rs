//! Leaving the shell. H11-H16, T17-T20.

use crate::Test;
use crate::stage::{
    Kill, Scratch, Started, code, error_text, gone, leads, own, runs, send, skipped, stat, until,
};
use eudaemon_core::words::Signal;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

pub const TESTS: &[Test] = &[
    ("detach::the_shell_goes_on_when_the_daemon_is_ready", ready),
    (
        "detach::what_the_daemon_says_is_what_the_shell_hears",
        failed,
    ),
    ("detach::a_daemon_that_ends_without_a_word", silent),
    ("detach::a_process_with_threads_is_not_copied", threads),
    ("detach::under_a_manager_nobody_leaves", supervised),
    ("detach::the_program_executed_again_is_the_same", again),
    ("detach::ctrl_c_ends_the_daemon_too", interrupted),
    ("detach::the_second_ctrl_c_kills_a_deaf_daemon", killed),
    ("detach::who_waits_may_be_killed", deserted),
    ("detach::no_terminal_becomes_the_daemon_s", terminal),
    ("detach::a_pipe_to_the_shell_is_let_go", pipes),
    ("detach::buffered_words_are_written_once", buffered),
];

const WAYS: [&str; 2] = ["fork", "reexec"];

fn ready() {
    for way in WAYS {
        let scratch = Scratch::new("ready");
        let mut command = Command::new("sh");
        scratch.put_on(&mut command, "detach");
        let output = command
            .args(["-c", r#""$0" "$1" ready; echo "said $?""#])
            .arg(own())
            .arg(way)
            .output()
            .expect("a shell");
        assert_eq!(error_text(&output), "", "{way}");
        assert!(output.stdout.ends_with(b"said 0\n"), "{way}: {output:?}");
        let notes = scratch.notes();
        let pid = notes.number("pid");
        let _kill = Kill(pid);
        assert!(runs(pid), "{way}");
        // A session of its own, which it does not lead; whoever led it is gone, and so is who waited.
        assert_ne!(notes.number("session"), pid);
        assert_eq!(notes.get("session"), notes.get("between"));
        assert_eq!(notes.get("group"), notes.get("between"));
        assert!(!runs(notes.number("between")));
        assert_eq!(notes.get("tty"), "0");
        until("all three to be let go", || {
            let null = |number| leads(pid, number).as_deref() == Some(Path::new("/dev/null"));
            (0..3).all(null).then_some(())
        });
        until("it to notice", || {
            scratch.0.join("is-ready").exists().then_some(())
        });
        send(pid, Signal::Term);
        gone(pid);
    }
}

fn failed() {
    for way in WAYS {
        let scratch = Scratch::new("failed");
        let mut command = scratch.program("detach");
        let output = command.args([way, "failed"]).output().expect("it is ours");
        assert_eq!(code(output.status), 78, "{way}");
        assert_eq!(error_text(&output), "web: no such address\n", "{way}");
        // It has ended, and not only said so.
        assert!(!runs(scratch.notes().number("pid")), "{way}");
    }
}

fn silent() {
    for way in WAYS {
        for (part, expected, line) in [
            ("code", 7, "exit 7"),
            ("well", 1, "exit 0"),
            ("abort", 134, "signal ABRT"),
            ("panic", 101, "exit 101"),
        ] {
            let scratch = Scratch::new("silent");
            let mut command = scratch.program("detach");
            let output = command.args([way, part]).output().expect("it is ours");
            assert_eq!(code(output.status), expected, "{way} {part}");
            let text = error_text(&output);
            let name = own();
            let name = name.file_name().expect("it has one").to_string_lossy();
            let expected = format!("{name}: ended before it was ready: {line}");
            let last = text.lines().last().unwrap_or("");
            assert!(last.starts_with(&expected), "{way} {part}: {text}");
        }
    }
}

fn threads() {
    let scratch = Scratch::new("threads");
    let mut command = scratch.program("detach");
    let output = command.args(["fork-threads", "ready"]).output();
    let output = output.expect("it is ours");
    assert_eq!(code(output.status), 40, "{output:?}");
    // Executed again, threads are none of its business.
    let scratch = Scratch::new("threads");
    let mut command = scratch.program("detach");
    let output = command.args(["reexec-threads", "ready"]).output();
    let _kill = Kill(scratch.notes().number("pid"));
    assert_eq!(code(output.expect("it is ours").status), 0);
}

fn supervised() {
    let scratch = Scratch::new("supervised");
    let mut command = scratch.program("detach");
    command.env("NOTIFY_SOCKET", "@nobody");
    let output = command
        .args(["fork", "ready"])
        .output()
        .expect("it is ours");
    assert_eq!(code(output.status), 41, "{output:?}");
}

fn again() {
    let scratch = Scratch::new("again");
    std::fs::write(scratch.0.join("third"), "").expect("our own directory");
    // A manager's way to hand over a descriptor: it knows the pid because it becomes the program.
    let script =
        r#"exec 3<third; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_PIDFDID=1; exec "$0" "$@""#;
    let mut command = Command::new("sh");
    scratch.put_on(&mut command, "detach");
    let odd = OsStr::from_bytes(b"\xff\xfe no text");
    let status = command
        .args(["-c", script])
        .arg(own())
        .args(["reexec", "ready"])
        .arg(odd)
        .env("KEEP", "kept")
        .stdout(Stdio::null())
        .status()
        .expect("a shell");
    assert_eq!(code(status), 0);
    let notes = scratch.notes();
    let pid = notes.number("pid");
    let _kill = Kill(pid);
    // The activation it sees is that of its own process.
    assert_eq!(notes.number("first"), pid);
    assert_eq!(notes.number("listen_pid"), pid);
    assert!(notes.get("third").ends_with("/third"), "{notes:?}");
    assert_eq!(notes.get("last"), "fffe206e6f2074657874");
    assert_eq!(notes.get("name"), own().display().to_string());
    assert_eq!(notes.get("folder"), scratch.0.display().to_string());
    assert_eq!(notes.get("keep"), "kept");
    let environment = std::fs::read(format!("/proc/{pid}/environ")).expect("our own");
    let names = environment.split(|&byte| byte == 0);
    let names: Vec<&[u8]> = names
        .filter_map(|pair| pair.split(|&b| b == b'=').next())
        .collect();
    assert!(!names.contains(&b"LISTEN_PIDFDID".as_slice()));
    let once = names.iter().filter(|name| **name == b"LISTEN_PID").count();
    assert_eq!(once, 1);
    // The words are those that were given, and no other (H13).
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).expect("our own");
    let path = own();
    let expected = [
        path.as_os_str().as_bytes(),
        b"reexec",
        b"ready",
        odd.as_bytes(),
        b"",
    ];
    assert_eq!(words, expected.join(&0));
}

fn interrupted() {
    for (way, signal) in [
        ("fork", Signal::Int),
        ("reexec", Signal::Term),
        ("fork", Signal::Hup),
    ] {
        let scratch = Scratch::new("interrupted");
        let mut command = scratch.program("detach");
        command.args([way, "asked"]).stdout(Stdio::null());
        let waits = command.stderr(Stdio::null()).spawn();
        let mut waits = Started(waits.expect("it is ours"));
        let pid = scratch.notes().number("pid");
        let _kill = Kill(pid);
        send(waits.0.id(), signal);
        assert_eq!(waits.code(), 128 + i32::from(signal.number_linux()));
        assert!(!runs(pid), "{way}");
        let heard = std::fs::read_to_string(scratch.0.join("asked")).expect("it heard");
        let expected = if signal == Signal::Int { "INT" } else { "TERM" };
        assert_eq!(heard, expected);
    }
}

fn killed() {
    let scratch = Scratch::new("killed");
    let mut command = scratch.program("detach");
    command.args(["fork", "hang"]).stdout(Stdio::null());
    let mut waits = Started(command.spawn().expect("it is ours"));
    let pid = scratch.notes().number("pid");
    let _kill = Kill(pid);
    send(waits.0.id(), Signal::Int);
    send(waits.0.id(), Signal::Term);
    let code = waits.code();
    assert!(code == 130 || code == 143, "{code}");
    gone(pid);
}

fn deserted() {
    for way in WAYS {
        let scratch = Scratch::new("deserted");
        let mut command = scratch.program("detach");
        command.args([way, "deserted"]).stdout(Stdio::null());
        let mut waits = Started(command.spawn().expect("it is ours"));
        let notes = scratch.notes();
        let _kill = Kill(notes.number("pid"));
        send(waits.0.id(), Signal::Kill);
        assert_eq!(waits.code(), 137);
        let late = until("its note", || {
            std::fs::read_to_string(scratch.0.join("late")).ok()
        });
        assert_eq!(late, "true", "{way}");
        gone(notes.number("pid"));
        gone(notes.number("between"));
    }
}

fn terminal() {
    let scratch = Scratch::new("terminal");
    // script(1) of util-linux runs its command on a new terminal, as its controlling one.
    let mut command = Command::new("script");
    scratch.put_on(&mut command, "detach");
    let inner = format!(
        "TERMINAL=$(tty) '{}' fork ready; echo said $?",
        own().display()
    );
    let output = match command.args(["-qec", &inner, "/dev/null"]).output() {
        Ok(output) => output,
        Err(error) => return skipped(&format!("script(1): {error}")),
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("said 0"), "{text}");
    let notes = scratch.notes();
    let pid = notes.number("pid");
    let _kill = Kill(pid);
    // It could open the terminal, and has none for it.
    assert_eq!(notes.get("opened"), "true");
    assert_eq!(notes.get("tty"), "0");
    // The terminal is gone by now, and the daemon is not.
    assert!(runs(pid));
    assert_eq!(stat(pid, 7), Some(0));
    send(pid, Signal::Term);
    gone(pid);
}

fn pipes() {
    let scratch = Scratch::new("pipes");
    // $(…) waits until nobody has the pipe any more; a file that was meant for the log stays.
    let mut command = Command::new("sh");
    scratch.put_on(&mut command, "detach");
    let output = command
        .args(["-c", r#"x=$("$0" fork ready 2>>log); echo "said $?""#])
        .arg(own())
        .output()
        .expect("a shell");
    assert_eq!(output.stdout, b"said 0\n");
    let pid = scratch.notes().number("pid");
    let _kill = Kill(pid);
    assert_eq!(leads(pid, 2), Some(scratch.0.join("log")));
    assert_eq!(leads(pid, 1).as_deref(), Some(Path::new("/dev/null")));
    // Unless it is to be kept.
    let scratch = Scratch::new("pipes");
    let mut command = scratch.program("detach");
    command.env("KEEP_STDERR", "").args(["fork", "ready"]);
    let waits = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut waits = Started(waits.expect("it is ours"));
    assert_eq!(waits.code(), 0);
    let kept = scratch.notes().number("pid");
    let _kill = Kill(kept);
    until("it to notice", || {
        scratch.0.join("is-ready").exists().then_some(())
    });
    let pipe = leads(kept, 2).expect("it is open");
    assert!(pipe.display().to_string().starts_with("pipe:"), "{pipe:?}");
    assert_eq!(leads(kept, 1).as_deref(), Some(Path::new("/dev/null")));
}

fn buffered() {
    // A copy has what was not written yet; a program that is executed again writes its own.
    for (way, written) in [("fork", "unflushed "), ("reexec", "unflushed unflushed ")] {
        let scratch = Scratch::new("buffered");
        let mut command = scratch.program("detach");
        let output = command.args([way, "failed"]).output().expect("it is ours");
        assert_eq!(String::from_utf8_lossy(&output.stdout), written, "{way}");
    }
}
