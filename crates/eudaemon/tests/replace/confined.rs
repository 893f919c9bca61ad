//! Behind a drop, a chroot or a sandbox: by way of the spawner, and not at all without one.

use super::harness::Test;
use super::stage::{LONG, Scratch, children, is_gone, is_root, settled, settles, until, wait_gone};
use eudaemon::Signal;
use eudaemon::testing::Manager;
use eudaemon_core::words::Pid;
use std::path::Path;

pub const TESTS: &[Test] = &[
    ("locked_in_it_is_replaced", locked_in_it_is_replaced),
    (
        "behind_filters_it_is_replaced",
        behind_filters_it_is_replaced,
    ),
    (
        "whatever_a_new_one_does_behind_a_drop_it_is_told",
        whatever_a_new_one_does_behind_a_drop_it_is_told,
    ),
    (
        "without_a_spawner_it_is_refused",
        without_a_spawner_it_is_refused,
    ),
    ("a_spawner_is_nothing_else", a_spawner_is_nothing_else),
    (
        "a_spawner_dies_with_its_service",
        a_spawner_dies_with_its_service,
    ),
    (
        "a_spawner_that_is_killed_is_missed",
        a_spawner_that_is_killed_is_missed,
    ),
    ("a_daemon_has_one_too", a_daemon_has_one_too),
];

fn is_possible() -> bool {
    if !is_root() {
        eprintln!("SKIPPED: not root");
        assert!(
            std::env::var_os("EUDAEMON_REQUIRE").is_none(),
            "skipped although required"
        );
    }
    is_root()
}

fn status(pid: u32, name: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let words = line.expect("the kernel tells it").trim_start_matches(':');
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn spawner_of(service: u32) -> u32 {
    let all = children(service);
    let [spawner] = all[..] else {
        panic!("{all:?}")
    };
    spawner
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::new(pid).expect("a process id");
    eudaemon_sys::process::signal_pid(pid, signal).expect("it lives");
}

fn replaced(told: &str, scratch: &Scratch) -> u32 {
    let pid = told
        .strip_prefix("replaced ")
        .and_then(|pid| pid.parse().ok());
    pid.unwrap_or_else(|| panic!("{told}: {}", scratch.log()))
}

const NOBODY: &str = "65534 65534 65534 65534";

fn locked_in_it_is_replaced() {
    if !is_possible() {
        return;
    }
    let scratch = Scratch::new();
    let root = scratch.path("root");
    std::fs::create_dir(&root).expect("our own directory");
    let chroot = format!("--service.chroot={}", root.display());
    let options = [
        "--service.uid=nobody",
        &chroot,
        "--service.sandbox=best-effort",
    ];
    let manager = scratch.managed(Manager::builder(), "serves", &options);
    let mut before = manager.pid();
    for _ in 0..3 {
        let spawner = spawner_of(before);
        let new = replaced(&scratch.ask("replace-with some bytes"), &scratch);
        wait_gone(before);
        wait_gone(spawner);
        assert_eq!(scratch.ask("who"), new.to_string());
        assert_eq!(scratch.ask("state"), "some bytes");
        for (name, value) in [
            ("Uid", NOBODY),
            ("Gid", NOBODY),
            ("CapEff", "0000000000000000"),
        ] {
            assert_eq!(status(new, name), value, "{name}");
        }
        let inside = std::fs::read_link(format!("/proc/{new}/root"));
        assert_eq!(inside.expect("it lives"), root);
        before = new;
    }
    assert_eq!(scratch.ask("stop"), "stopping");
    wait_gone(before);
    assert_eq!(manager.violations(), []);
}

fn behind_filters_it_is_replaced() {
    if !is_possible() {
        return;
    }
    let scratch = Scratch::new();
    let manager = scratch.managed(
        Manager::builder(),
        "serves-filtered",
        &["--service.uid=nobody"],
    );
    assert_eq!(status(manager.pid(), "Seccomp"), "2");
    let new = replaced(&scratch.ask("replace 60000"), &scratch);
    wait_gone(manager.pid());
    assert_eq!(status(new, "Seccomp"), "2");
    assert_eq!(scratch.ask("stop"), "stopping");
    wait_gone(new);
}

fn whatever_a_new_one_does_behind_a_drop_it_is_told() {
    if !is_possible() {
        return;
    }
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "serves", &["--service.uid=nobody"]);
    let pid = manager.pid();
    let (spawner, before) = (spawner_of(pid), settled(&scratch, pid));
    for (next, milliseconds, words) in [
        ("exit", 60_000, "exit status: 7"),
        ("loud", 60_000, "exit status: 3; its last words: line 99"),
        ("killed", 60_000, "signal: 9 (SIGKILL)"),
        (
            "no",
            60_000,
            "Failed: the new process cannot serve: web.toml:3",
        ),
        ("hang", 300, "Timeout"),
        // As root it could be killed by nobody but the spawner.
        ("hang-in-run", 1000, "Timeout"),
        ("garbage", 60_000, "Handover"),
        ("silent", 60_000, "Handover"),
    ] {
        scratch.next(next);
        let told = scratch.ask(&format!("replace {milliseconds}"));
        assert!(told.contains(words), "{told}\n{words}\n{}", scratch.log());
        assert_eq!(scratch.ask("who"), pid.to_string());
        settles(&scratch, pid, &before, next);
        assert_eq!(children(spawner), [], "{next}");
    }
    scratch.lead_to(Path::new("/nowhere/at all"));
    let told = scratch.ask("replace 60000");
    let missing = std::io::Error::from_raw_os_error(eudaemon_sys::errno::ENOENT);
    assert_eq!(
        told,
        format!("Spawn: unable to start the program: {missing}")
    );
    // A stop has the spawner kill what it started, and both are gone.
    scratch.lead_to(&std::env::current_exe().expect("procfs"));
    scratch.next("hang");
    let mut client = scratch.client();
    client.say("replace 60000");
    let new = until("the new process", || children(spawner).first().copied());
    manager.signal(Signal::Term).expect("it lives");
    assert_eq!(client.hear(), "Busy: the service is stopping");
    wait_gone(new);
    drop(client);
    assert!(manager.wait_end(LONG).expect("it stops").success());
    wait_gone(spawner);
}

fn without_a_spawner_it_is_refused() {
    if !is_possible() {
        return;
    }
    for (options, words) in [
        (
            "--service.uid=nobody",
            "Confined: the service has given up privileges",
        ),
        (
            "--service.sandbox=best-effort",
            "Confined: the service is in a sandbox",
        ),
    ] {
        let scratch = Scratch::new();
        let manager = scratch.managed(Manager::builder(), "serves-alone", &[options]);
        assert_eq!(children(manager.pid()), []);
        let told = scratch.ask("replace 60000");
        assert!(told.starts_with(words), "{told}");
        assert!(manager.stop(LONG).expect("it stops").success());
    }
    // Who gives nothing up has one too under a manager, whose child the new process is to be.
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "serves", &[]);
    assert_eq!(children(manager.pid()).len(), 1);
    assert!(manager.stop(LONG).expect("it stops").success());
}

fn a_spawner_is_nothing_else() {
    if !is_possible() {
        return;
    }
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "serves", &["--service.uid=nobody"]);
    let spawner = spawner_of(manager.pid());
    // Its line, and what it waits with.
    let fds = std::fs::read_dir(format!("/proc/{spawner}/fd")).expect("it lives");
    let leads = fds.map(|fd| fd.expect("procfs").path());
    let leads = leads.filter_map(|fd| std::fs::read_link(fd).ok());
    let mut leads: Vec<String> = leads.map(|to| to.display().to_string()).collect();
    let log = scratch.path("log").display().to_string();
    leads.retain(|to| to != "/dev/null" && *to != log);
    leads.iter_mut().for_each(|to| to.truncate(7));
    leads.sort();
    assert_eq!(leads, ["anon_in", "socket:"]);
    let shown = std::fs::read(format!("/proc/{spawner}/cmdline")).expect("it lives");
    assert!(shown.starts_with(b"serves: spawner"), "{shown:?}");
    let root = std::fs::read_link(format!("/proc/{spawner}/cwd")).expect("it lives");
    assert_eq!(root, Path::new("/"));
    // Everything others send is ignored, and nobody of the service's user could change it.
    let ignored = u64::from_str_radix(&status(spawner, "SigIgn"), 16).expect("hexadecimal");
    for number in [1, 2, 3, 10, 12, 13, 14, 15, 20, 21, 22, 28] {
        assert!(ignored & (1 << (number - 1)) != 0, "{number}: {ignored:x}");
    }
    assert_eq!(ignored & (1 << (17 - 1)), 0, "SIGCHLD is ignored");
    assert_eq!(status(spawner, "Uid"), "0 0 0 0");
    for one in [Signal::Term, Signal::Int, Signal::Hup, Signal::Usr2] {
        signal(spawner, one);
    }
    // It still does its work.
    let new = replaced(&scratch.ask("replace 60000"), &scratch);
    wait_gone(spawner);
    assert_eq!(scratch.ask("stop"), "stopping");
    wait_gone(new);
}

fn a_spawner_dies_with_its_service() {
    if !is_possible() {
        return;
    }
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "serves", &["--service.uid=nobody"]);
    let spawner = spawner_of(manager.pid());
    signal(manager.pid(), Signal::Kill);
    wait_gone(spawner);
    manager.wait_end(LONG).expect("it was killed");
}

fn a_spawner_that_is_killed_is_missed() {
    if !is_possible() {
        return;
    }
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "serves", &["--service.uid=nobody"]);
    // Between two replacements.
    let pid = manager.pid();
    signal(spawner_of(pid), Signal::Kill);
    let told = scratch.ask("replace 60000");
    assert!(told.starts_with("Confined: "), "{told}");
    until("it to be reaped", || children(pid).is_empty().then_some(()));
    assert_eq!(scratch.ask("who"), pid.to_string());
    assert!(manager.stop(LONG).expect("it stops").success());

    // In the middle of one. The new process, whom nobody of the service may kill, finds that it is not wanted.
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "serves", &["--service.uid=nobody"]);
    let pid = manager.pid();
    let spawner = spawner_of(pid);
    scratch.next("slow");
    let mut client = scratch.client();
    client.say("replace 60000");
    let new = until("the new process", || children(spawner).first().copied());
    signal(spawner, Signal::Kill);
    // It begins to serve now, if it can.
    scratch.next("");
    let told = client.hear();
    assert!(
        told.contains("the spawner is gone"),
        "{told}: {}",
        scratch.log()
    );
    until("its end", || is_gone(new).then_some(()));
    assert_eq!(client.ask("who"), pid.to_string());
    assert_eq!(scratch.ask("who"), pid.to_string());
    drop(client);
    assert!(manager.stop(LONG).expect("it stops").success());
}

/// One that leaves its shell forks its spawner when it has left, and the shell is not held.
fn a_daemon_has_one_too() {
    if !is_possible() {
        return;
    }
    let scratch = Scratch::new();
    let pidfile = scratch.path("pid");
    let pidfile_option = format!("--service.pidfile={}", pidfile.display());
    let options = ["--service.daemon", "--service.uid=nobody", &pidfile_option];
    let mut command = scratch.command("serves", &options);
    let left = command
        .env_remove("NOTIFY_SOCKET")
        .status()
        .expect("this program");
    assert!(left.success(), "{}", scratch.log());
    let written = || {
        std::fs::read_to_string(&pidfile)
            .expect("a file")
            .trim()
            .to_owned()
    };
    let old: u32 = scratch.ask("who").parse().expect("a process id");
    assert_eq!(written(), old.to_string());
    let spawner = spawner_of(old);
    for number in 0..3 {
        let to = std::fs::read_link(format!("/proc/{spawner}/fd/{number}"));
        assert_eq!(to.expect("it lives"), Path::new("/dev/null"), "{number}");
    }
    let new = replaced(&scratch.ask("replace 60000"), &scratch);
    wait_gone(old);
    wait_gone(spawner);
    assert_eq!(scratch.ask("who"), new.to_string());
    assert_eq!(written(), new.to_string());
    assert_eq!(scratch.ask("stop"), "stopping");
    wait_gone(new);
}
