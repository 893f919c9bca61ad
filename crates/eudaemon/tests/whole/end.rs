//! How a service ends, and what it says by that.

use super::Test;
use super::stage::{LONG, Scratch, stderr, until};
use eudaemon::testing::{Manager, What};
use eudaemon_core::words::Signal;
use std::os::unix::process::ExitStatusExt;

pub const TESTS: &[Test] = &[
    (
        "each_error_has_its_code_and_its_words",
        each_error_has_its_code_and_its_words,
    ),
    (
        "the_manager_hears_the_error_too",
        the_manager_hears_the_error_too,
    ),
    (
        "a_panic_anywhere_ends_the_service",
        a_panic_anywhere_ends_the_service,
    ),
    (
        "the_deadline_ends_what_does_not_stop",
        the_deadline_ends_what_does_not_stop,
    ),
    (
        "who_ends_with_the_deadline_ends_by_it",
        who_ends_with_the_deadline_ends_by_it,
    ),
    (
        "a_second_term_ends_it_at_once",
        a_second_term_ends_it_at_once,
    ),
    (
        "a_second_term_in_a_hung_init_ends_it_too",
        a_second_term_in_a_hung_init_ends_it_too,
    ),
    (
        "a_wrong_command_line_is_code_64",
        a_wrong_command_line_is_code_64,
    ),
    (
        "a_program_with_a_set_user_id_bit_is_refused",
        a_program_with_a_set_user_id_bit_is_refused,
    ),
    ("check_config_starts_nothing", check_config_starts_nothing),
    (
        "explain_shows_what_is_not_done",
        explain_shows_what_is_not_done,
    ),
];

fn each_error_has_its_code_and_its_words() {
    for (role, options, code, words) in [
        (
            "init-fails",
            &[][..],
            69,
            "unable to listen at [::]:80: Address ",
        ),
        (
            "config-fails",
            &[],
            78,
            "config-fails: fatal: web.toml:3: no such thing",
        ),
        (
            "plain",
            &["--service.uid=nobody-of-this-name"],
            78,
            "nobody-of-this-name",
        ),
        ("plain", &["--service.uid=root"], 78, "root"),
        (
            "plain",
            &["--service.umask=999"],
            78,
            "service.umask = \"999\" (command line)",
        ),
        (
            "plain",
            &["--service.gid=daemon"],
            78,
            "service.gid without service.uid",
        ),
        (
            "plain",
            &["--service.config=/nowhere/x.toml"],
            78,
            "/nowhere/x.toml",
        ),
        (
            "plain",
            &["--service.notify-fd=99"],
            78,
            "service.notify-fd: unable to use descriptor 99",
        ),
    ] {
        let scratch = Scratch::new();
        let output = scratch.output(role, options);
        let told = stderr(&output);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{role} {options:?}: {told}"
        );
        assert!(told.contains(words), "{role} {options:?}: {told}");
    }
}

fn the_manager_hears_the_error_too() {
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "init-fails", &[]);
    let ended = manager.wait_end(LONG).expect("it ends");
    assert_eq!(ended.code(), Some(69));
    let status = manager.status().expect("why");
    assert!(
        status.starts_with("unable to listen at [::]:80"),
        "{status}"
    );
    let is_errno = |what: &What| format!("{what:?}").contains("98");
    assert!(manager.events().iter().any(|event| is_errno(&event.what)));
    assert_eq!(manager.violations(), []);
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "run-fails", &[]);
    assert_eq!(manager.wait_end(LONG).expect("it ends").code(), Some(75));
    assert_eq!(manager.status().as_deref(), Some("the disk is full"));
}

fn a_panic_anywhere_ends_the_service() {
    for (role, words) in [
        ("init-panics", "a slip of the author"),
        ("worker-panics", "out of numbers"),
    ] {
        let scratch = Scratch::new();
        let output = scratch.output(role, &[]);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(70), "{role}: {told}");
        assert!(told.contains(words), "{role}: {told}");
    }
}

fn the_deadline_ends_what_does_not_stop() {
    let scratch = Scratch::new();
    let pidfile = scratch.path("pid");
    let options = [
        "--service.stop-timeout=300ms",
        &format!("--service.pidfile={}", pidfile.display()),
    ];
    let manager = scratch.managed(Manager::builder(), "stubborn", &options);
    manager.wait_ready(LONG).expect("it says so");
    assert!(pidfile.exists());
    manager.signal(Signal::Term).expect("it lives");
    let ended = manager.wait_end(LONG).expect("without the service");
    assert_eq!(ended.code(), Some(75), "{ended}");
    assert!(!pidfile.exists());
    assert!(
        scratch.log().contains("not stopped after 300ms"),
        "{}",
        scratch.log()
    );
}

fn who_ends_with_the_deadline_ends_by_it() {
    for _ in 0..10 {
        let scratch = Scratch::new();
        let options = ["--service.stop-timeout=200ms"];
        let manager = scratch.managed(Manager::builder(), "stubborn-task", &options);
        manager.wait_ready(LONG).expect("it says so");
        manager.signal(Signal::Term).expect("it lives");
        let ended = manager.wait_end(LONG).expect("it ends");
        let is_told = scratch.log().contains("not stopped after");
        assert_eq!(
            ended.code() == Some(75),
            is_told,
            "{ended}: {}",
            scratch.log()
        );
    }
}

fn a_second_term_ends_it_at_once() {
    let scratch = Scratch::new();
    let manager = scratch.managed(
        Manager::builder(),
        "stubborn",
        &["--service.stop-timeout=1h"],
    );
    manager.wait_ready(LONG).expect("it says so");
    manager.signal(Signal::Term).expect("it lives");
    manager
        .wait_for(LONG, |event| event.what == What::Stopping)
        .expect("it says so");
    // As timeout(1) does: to the program, and to its group.
    manager.signal(Signal::Term).expect("it lives");
    super::stage::past_the_echo();
    manager
        .signal(Signal::Int)
        .expect("it did not leave for an echo");
    let ended = manager.wait_end(LONG).expect("without the service");
    assert_eq!(ended.code(), Some(75), "{ended}");
}

fn a_second_term_in_a_hung_init_ends_it_too() {
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "slow-init", &[]);
    scratch.heard("begun");
    manager.signal(Signal::Term).expect("it lives");
    // Two that come together are one signal to the kernel: the first must have been taken.
    let pid = manager.pid();
    let is_pending = || super::stage::of_threads(pid, "ShdPnd")[0] != "0000000000000000";
    until("the first is taken", || (!is_pending()).then_some(()));
    super::stage::past_the_echo();
    manager.signal(Signal::Term).expect("it lives");
    let ended = manager.wait_end(LONG).expect("at once");
    assert_eq!((ended.code(), ended.signal()), (Some(143), None));
}

fn a_wrong_command_line_is_code_64() {
    let scratch = Scratch::new();
    let output = scratch.output("plain", &["--service.nothing"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("--service.nothing"));
    let output = scratch.output("plain", &["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(help.contains("--service.chroot <DIR>"), "{help}");
}

/// Whoever starts it says what is opened, so root must not open it for him.
fn a_program_with_a_set_user_id_bit_is_refused() {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    let scratch = Scratch::new();
    let program = scratch.path("program");
    std::fs::copy(std::env::current_exe().expect("procfs"), &program).expect("there is room");
    let bits = std::fs::Permissions::from_mode(0o4755);
    std::fs::set_permissions(&program, bits).expect("our own");
    let private = scratch.path("private");
    let mut builder = std::fs::DirBuilder::new();
    builder.mode(0o700).create(&private).expect("our own");
    let pidfile = private.join("pid");
    let mut command = std::process::Command::new(&program);
    command
        .arg(format!("--service.pidfile={}", pidfile.display()))
        .env(super::stage::ROLE, "run-fails")
        .env(super::stage::FOLDER, &scratch.0)
        .uid(65_534)
        .gid(65_534);
    let output = command.output().expect("this program");
    let told = stderr(&output);
    if told.contains("unable to open") {
        println!(
            "SKIPPED: set-user-ID bits have no effect in {}",
            scratch.0.display()
        );
        assert!(std::env::var_os("EUDAEMON_REQUIRE").is_none());
        return;
    }
    assert_eq!(output.status.code(), Some(77), "{told}");
    assert!(told.contains("set-user-ID"), "{told}");
    let open = std::fs::read_dir(&private).expect("our own");
    assert_eq!(open.count(), 0);
}

fn check_config_starts_nothing() {
    let scratch = Scratch::new();
    let output = scratch.output("slow-init", &["--service.check-config"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
    assert!(!scratch.path("begun").exists());
    let output = scratch.output("config-fails", &["--service.check-config"]);
    assert_eq!(output.status.code(), Some(78));
}

fn explain_shows_what_is_not_done() {
    let scratch = Scratch::new();
    let options = [
        "--service.explain",
        "--service.uid=nobody",
        "--service.daemon",
        "-service.umask=077",
    ];
    let output = scratch.output("slow-init", &options);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    for words in [
        "uid      nobody  command line",
        "leaves the shell",
        "becomes user nobody (65534)",
        "forbid new privileges",
        "no sandbox was asked for",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(!scratch.path("begun").exists());
}
