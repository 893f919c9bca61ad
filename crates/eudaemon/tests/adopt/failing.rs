//! Starts that come to nothing.

use super::Test;
use super::old::{Ear, Old, Scratch, Told, bytes, is_locked, pidfile, text};
use eudaemon_core::handover::{Given, Item};
use std::os::unix::net::UnixListener;

pub const TESTS: &[Test] = &[
    (
        "a_start_that_fails_says_why_and_leaves_everything",
        a_start_that_fails_says_why_and_leaves_everything,
    ),
    (
        "an_unknown_version_is_told_so",
        an_unknown_version_is_told_so,
    ),
    (
        "what_is_not_meant_for_this_process_is_not_heard",
        what_is_not_meant_for_this_process_is_not_heard,
    ),
    (
        "one_whose_predecessor_ends_while_it_gives_ends_too",
        one_whose_predecessor_ends_while_it_gives_ends_too,
    ),
];

fn a_start_that_fails_says_why_and_leaves_everything() {
    for (role, options, code, words) in [
        ("init-fails", &[][..], 69, "the database is away"),
        ("run-fails", &[], 75, "the disk is full"),
        // Before anything was opened.
        ("web", &["--service.umask=9"], 78, "umask"),
        (
            "web",
            &["--service.ready-file=/nowhere/at/all"],
            73,
            "ready-file",
        ),
    ] {
        let scratch = Scratch::new();
        let ear = Ear::new(&scratch.0);
        let (pid, control) = (scratch.path("pid"), scratch.path("control"));
        let lock = pidfile(&pid);
        let door = UnixListener::bind(&control).expect("a new name");
        let given = [
            format!("--service.pidfile={}", pid.display()),
            format!("--service.control={}", control.display()),
        ];
        let options: Vec<&str> = given
            .iter()
            .map(String::as_str)
            .chain(options.iter().copied())
            .collect();
        let mut old = Old::start(&scratch.0, role, &options);
        old.hand(vec![
            (Item::Pidfile { path: bytes(&pid) }, vec![&lock]),
            (
                Item::Control {
                    path: bytes(&control),
                },
                vec![&door],
            ),
        ]);
        let said = old.heard();
        let Told::Failed(exit, why) = said else {
            panic!("{role} {options:?}: {said:?}");
        };
        assert!(why.contains(words), "{why}");
        assert_eq!(old.heard(), Told::Gone);
        let (status, pipe) = old.end();
        assert_eq!(status.code(), Some(i32::from(exit)), "{pipe}");
        assert_eq!(exit, code, "{why}");
        assert!(pipe.contains(words), "a person reads it too: {pipe}");
        assert_eq!(ear.said(), [""; 0], "the old one serves");
        assert_eq!(text(&pid), format!("{}\n", std::process::id()));
        assert!(is_locked(&pid) && control.exists());
    }
}

fn an_unknown_version_is_told_so() {
    let scratch = Scratch::new();
    let _ear = Ear::new(&scratch.0);
    let mut old = Old::start_told(&scratch.0, "web", &[], "9:$$:3", &[]);
    let said = old.heard();
    let Told::Unable(words) = said else {
        panic!("{said:?}");
    };
    assert!(words.contains("was told 9"), "{words}");
    let (status, pipe) = old.end();
    assert!(!status.success() && pipe.contains("was told 9"), "{pipe}");
}

fn what_is_not_meant_for_this_process_is_not_heard() {
    let scratch = Scratch::new();
    let ear = Ear::new(&scratch.0);
    // As a child of a replaced daemon would have it.
    let mut old = Old::start_told(&scratch.0, "web", &[], "1:1:3", &[]);
    assert_eq!(scratch.heard("given"), "0 ");
    ear.wait("READY=1");
    assert_eq!(scratch.heard("serving"), "0");
    old.signal("TERM");
    assert!(old.end().0.success());
}

fn one_whose_predecessor_ends_while_it_gives_ends_too() {
    let scratch = Scratch::new();
    let ear = Ear::new(&scratch.0);
    let mut old = Old::start(&scratch.0, "web", &[]);
    old.give(
        &Given::Item(Item::ReadyFile {
            path: b"/x".to_vec(),
        }),
        &[],
    );
    old.close();
    let (status, words) = old.end();
    assert!(
        !status.success() && words.contains("take over"),
        "{status}: {words}"
    );
    assert_eq!(ear.said(), [""; 0]);
}
