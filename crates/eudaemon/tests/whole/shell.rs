//! From a shell.

use super::Test;
use super::stage::{Scratch, of_threads, stderr, until};
use std::process::Command;

pub const TESTS: &[Test] = &[
    (
        "the_shell_goes_on_when_it_is_ready",
        the_shell_goes_on_when_it_is_ready,
    ),
    (
        "the_shell_hears_why_it_is_not",
        the_shell_hears_why_it_is_not,
    ),
    ("only_one_holds_the_pid_file", only_one_holds_the_pid_file),
    ("under_a_manager_it_stays", under_a_manager_it_stays),
    ("ps_shows_the_status", ps_shows_the_status),
];

fn number(scratch: &Scratch) -> u32 {
    let text = std::fs::read_to_string(scratch.path("pid")).expect("it is ready");
    text.trim().parse().expect("a number")
}

fn stop(scratch: &Scratch) {
    let pid = number(scratch);
    let killed = Command::new("kill").arg(pid.to_string()).status();
    assert!(killed.expect("kill").success());
    scratch.heard("stopped");
    until("its end", || {
        (!std::path::Path::new(&format!("/proc/{pid}")).exists()).then_some(())
    });
}

fn pidfile(scratch: &Scratch) -> String {
    format!("--service.pidfile={}", scratch.path("pid").display())
}

fn the_shell_goes_on_when_it_is_ready() {
    for way in ["--service.daemon", "--service.fork"] {
        let scratch = Scratch::new();
        let log = format!("--service.log=file:{}", scratch.path("log").display());
        let output = scratch.output("plain", &[way, &pidfile(&scratch), &log]);
        assert_eq!(output.status.code(), Some(0), "{way}: {}", stderr(&output));
        let pid = number(&scratch);
        assert_eq!(of_threads(pid, "NoNewPrivs")[0], "1");
        let link =
            |name: &str| std::fs::read_link(format!("/proc/{pid}/{name}")).expect("it lives");
        assert_eq!(link("cwd"), std::path::Path::new("/"), "{way}");
        for number in 0..3 {
            assert_eq!(
                link(&format!("fd/{number}")),
                std::path::Path::new("/dev/null"),
                "{way}"
            );
        }
        stop(&scratch);
        assert!(!scratch.path("pid").exists(), "{way}");
    }
}

fn the_shell_hears_why_it_is_not() {
    for way in ["--service.daemon", "--service.fork"] {
        let scratch = Scratch::new();
        let log = format!("--service.log=file:{}", scratch.path("log").display());
        let output = scratch.output("init-fails", &[way, &pidfile(&scratch), &log]);
        assert_eq!(output.status.code(), Some(69), "{way}");
        assert!(
            stderr(&output).contains("unable to listen at [::]:80"),
            "{way}: {}",
            stderr(&output)
        );
        assert!(
            scratch.log().contains("unable to listen at [::]:80"),
            "{way}: {}",
            scratch.log()
        );
        assert!(!scratch.path("pid").exists(), "{way}");
    }
}

fn only_one_holds_the_pid_file() {
    let scratch = Scratch::new();
    let log = format!("--service.log=file:{}", scratch.path("log").display());
    let options = ["--service.daemon", &pidfile(&scratch), &log];
    assert_eq!(scratch.output("plain", &options).status.code(), Some(0));
    let second = scratch.output("plain", &options);
    assert_eq!(second.status.code(), Some(69));
    let holder = format!("already running as process {}", number(&scratch));
    assert!(stderr(&second).contains(&holder), "{}", stderr(&second));
    stop(&scratch);
}

fn under_a_manager_it_stays() {
    use super::stage::LONG;
    use eudaemon::testing::Manager;
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "plain", &["-service.daemon=1"]);
    manager.wait_ready(LONG).expect("it says so");
    assert_eq!(manager.main_pid(), manager.pid());
    assert!(manager.stop(LONG).expect("it stops").success());
    assert!(
        scratch.log().contains("service.daemon is left out"),
        "{}",
        scratch.log()
    );
    let manager = scratch.managed(Manager::builder(), "plain", &["--service.fork"]);
    assert_eq!(manager.wait_end(LONG).expect("it ends").code(), Some(78));
}

fn ps_shows_the_status() {
    use super::stage::LONG;
    use eudaemon::testing::Manager;
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "plain", &[]);
    manager.wait_ready(LONG).expect("it says so");
    let pid = manager.pid().to_string();
    let shown = Command::new("ps")
        .args(["-o", "args=", "-p", &pid])
        .output()
        .expect("ps");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert_eq!(shown.trim(), "plain: at work");
}
