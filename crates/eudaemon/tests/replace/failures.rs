//! It is not replaced, for every reason there is: the old process serves as before, and nothing is left of the new one.

use super::harness::Test;
use super::stage::{LONG, Scratch, settled, settles, started, until, wait_gone};
use eudaemon::Signal;
use eudaemon::testing::Manager;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

pub const TESTS: &[Test] = &[
    ("whatever_it_does_it_is_told", whatever_it_does_it_is_told),
    (
        "whatever_the_file_is_it_is_told",
        whatever_the_file_is_it_is_told,
    ),
    ("one_at_a_time", one_at_a_time),
    ("a_stop_gives_it_up", a_stop_gives_it_up),
    (
        "a_reload_meanwhile_is_not_lost",
        a_reload_meanwhile_is_not_lost,
    ),
    (
        "a_supervisor_that_knows_no_main_process",
        a_supervisor_that_knows_no_main_process,
    ),
];

/// Has it tried, and failed, with these words; and looks at what is left.
fn fails(scratch: &Scratch, manager: &Manager, milliseconds: u32, words: &str) {
    let pid = manager.pid();
    assert_eq!(scratch.ask("who"), pid.to_string());
    let before = settled(scratch, pid);
    let mut client = scratch.client();
    let told = client.ask(&format!("replace {milliseconds}"));
    assert!(told.contains(words), "{told}\n{words}\n{}", scratch.log());
    // Whoever was connected still is, and whoever comes is let in.
    assert_eq!(client.ask("who"), pid.to_string());
    assert_eq!(scratch.ask("who"), pid.to_string());
    drop(client);
    settles(scratch, pid, &before, &told);
    assert_eq!(manager.main_pid(), pid);
}

fn whatever_it_does_it_is_told() {
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "serves", &[]);
    for (next, milliseconds, words) in [
        (
            "exit",
            60_000,
            "Exited: the new process ended before it was ready: exit status: 7",
        ),
        ("loud", 60_000, "exit status: 3; its last words: line 99"),
        (
            "killed",
            60_000,
            "Exited: the new process ended before it was ready: signal: 9 (SIGKILL)",
        ),
        (
            "no",
            60_000,
            "Failed: the new process cannot serve: web.toml:3: no such thing",
        ),
        (
            "hang",
            300,
            "Timeout: the new process was not ready after 300ms, and was killed",
        ),
        (
            "hang-in-run",
            1000,
            "Timeout: the new process was not ready after 1s",
        ),
        (
            "version",
            60_000,
            "Refused: the new program does not take over from this one: it speaks version 1",
        ),
        (
            "garbage",
            60_000,
            "Handover: unable to hand the service over: the handover has no message of kind 255",
        ),
        (
            "silent",
            60_000,
            "Handover: unable to hand the service over: the new process closed its line",
        ),
    ] {
        scratch.next(next);
        fails(&scratch, &manager, milliseconds, words);
    }
    // And all is as it was: the next one may serve.
    scratch.next("");
    let told = scratch.ask("replace 60000");
    assert!(told.starts_with("replaced "), "{told}");
    manager.wait_end(LONG).expect("it ends");
    assert_eq!(scratch.ask("stop"), "stopping");
    let log = scratch.log();
    assert!(
        log.contains("line 0\n") && log.contains("line 99\n"),
        "{log}"
    );
}

fn whatever_the_file_is_it_is_told() {
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "serves", &[]);
    let own = std::fs::read(std::env::current_exe().expect("procfs")).expect("our own");
    let made = |name: &str, bytes: &[u8], mode: u32| {
        let path = scratch.path(name);
        std::fs::write(&path, bytes).expect("our own directory");
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&path, mode).expect("our own");
        path
    };
    let text = made("text", b"hello\n", 0o755);
    let cut = made("cut", own.get(..4096).expect("it is longer"), 0o755);
    let script = made(
        "script",
        b"#!/bin/sh\necho no library >&2\nexit 127\n",
        0o755,
    );
    let plain = made("plain", &own, 0o644);
    let busy = made("busy", &own, 0o755);
    let written = std::fs::File::options().append(true).open(&busy);
    let spawn = |number: i32| {
        let error = std::io::Error::from_raw_os_error(number);
        format!("Spawn: unable to start the program: {error}")
    };
    use eudaemon_sys::errno::{EACCES, ENOENT, ENOEXEC, ETXTBSY};
    let cases: [(&Path, String); 6] = [
        (&text, spawn(ENOEXEC)),
        // Killed by the kernel or by its loader, whoever finds out first.
        (
            &cut,
            "Exited: the new process ended before it was ready: signal".to_owned(),
        ),
        (
            &script,
            "exit status: 127; its last words: no library".to_owned(),
        ),
        (&plain, spawn(EACCES)),
        (&busy, spawn(ETXTBSY)),
        (Path::new("/nowhere/at all"), spawn(ENOENT)),
    ];
    for (file, words) in &cases {
        scratch.lead_to(file);
        fails(&scratch, &manager, 60_000, words);
    }
    drop(written);
}

fn one_at_a_time() {
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "serves", &[]);
    scratch.next("hang");
    let mut first = scratch.client();
    first.say("replace 2000");
    until("the new process", || {
        (!started(manager.pid()).is_empty()).then_some(())
    });
    assert_eq!(
        scratch.ask("replace 60000"),
        "Busy: the service is replacing"
    );
    assert!(first.hear().starts_with("Timeout"));
    assert_eq!(
        scratch.ask("replace 0"),
        "Timeout: the new process was not ready after 0ns, and was killed"
    );
    drop(first);
    assert!(manager.stop(LONG).expect("it stops").success());
}

fn a_stop_gives_it_up() {
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "serves", &[]);
    scratch.next("hang");
    let mut client = scratch.client();
    client.say("replace 60000");
    let pid = manager.pid();
    let new = until("the new process", || started(pid).first().copied());
    // Reaped by its parent, so gone before that ends.
    manager.signal(Signal::Term).expect("it lives");
    assert_eq!(client.hear(), "Busy: the service is stopping");
    wait_gone(new);
    drop(client);
    let ended = manager.wait_end(LONG).expect("it stops");
    assert!(ended.success(), "{ended:?}: {}", scratch.log());
    assert!(!scratch.path("web.sock").exists());
    assert_eq!(manager.violations(), []);
}

fn a_reload_meanwhile_is_not_lost() {
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "serves", &[]);
    scratch.next("hang");
    let mut client = scratch.client();
    client.say("replace 1500");
    until("the new process", || {
        (!started(manager.pid()).is_empty()).then_some(())
    });
    manager.signal(Signal::Hup).expect("it lives");
    assert!(client.hear().starts_with("Timeout"));
    // This service does not reload, and says so: the signal was heard.
    until("a word of it", || {
        scratch.log().contains("does not reload").then_some(())
    });
    drop(client);
    assert!(manager.stop(LONG).expect("it stops").success());
}

/// It takes the end of its child for the end of the service.
fn a_supervisor_that_knows_no_main_process() {
    let scratch = Scratch::new();
    let builder = Manager::builder().without("NOTIFY_SOCKET");
    let builder = builder.environment(super::stage::ROLE, "serves");
    let builder = builder.environment(super::stage::FOLDER, &scratch.0);
    let manager = builder
        .start(scratch.command("serves", &[]))
        .expect("this program");
    until("it to serve", || {
        std::os::unix::net::UnixStream::connect(scratch.path("web.sock")).ok()
    });
    let told = scratch.ask("replace 60000");
    assert!(
        told.starts_with("NotReplaceable: not replaced under a supervisor"),
        "{told}"
    );
    assert_eq!(started(manager.pid()), []);
    assert_eq!(scratch.ask("stop"), "stopping");
    manager.wait_end(LONG).expect("it stops");
}
