//! Between ready and the promotion.

use super::Test;
use super::old::{Ear, Old, Scratch, Told, bytes, is_locked, pidfile, text};
use eudaemon_core::handover::{Given, Item};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

pub const TESTS: &[Test] = &[
    (
        "nothing_is_said_or_owned_before_the_promotion",
        nothing_is_said_or_owned_before_the_promotion,
    ),
    (
        "one_that_is_told_to_stop_while_it_waits_leaves_everything",
        one_that_is_told_to_stop_while_it_waits_leaves_everything,
    ),
    (
        "one_whose_predecessor_dies_takes_over",
        one_whose_predecessor_dies_takes_over,
    ),
    (
        "one_that_is_given_up_does_not_serve",
        one_that_is_given_up_does_not_serve,
    ),
];

fn inode(path: &Path) -> u64 {
    std::fs::symlink_metadata(path).expect("it is there").ino()
}

/// Everything that can be handed over of files, and the options that name them.
struct Files {
    pid: std::path::PathBuf,
    ready: std::path::PathBuf,
    control: std::path::PathBuf,
    options: [String; 3],
}

impl Files {
    fn of(scratch: &Scratch) -> Files {
        let (pid, ready) = (scratch.path("pid"), scratch.path("ready"));
        let control = scratch.path("control");
        let option = |name: &str, path: &Path| format!("--service.{name}={}", path.display());
        Files {
            options: [
                option("pidfile", &pid),
                option("ready-file", &ready),
                option("control", &control),
            ],
            pid,
            ready,
            control,
        }
    }

    fn options(&self) -> Vec<&str> {
        self.options.iter().map(String::as_str).collect()
    }
}

fn nothing_is_said_or_owned_before_the_promotion() {
    let scratch = Scratch::new();
    let ear = Ear::new(&scratch.0);
    let files = Files::of(&scratch);
    let lock = pidfile(&files.pid);
    std::fs::write(&files.ready, "").expect("our own directory");
    let control = UnixListener::bind(&files.control).expect("a new name");
    let before = [&files.pid, &files.ready, &files.control].map(|path| inode(path));
    let mut old = Old::start(&scratch.0, "web", &files.options());
    let state = eudaemon_sys::sealed::make("state", b"42 sessions").expect("a file in memory");
    let (mut real, stderr) = std::io::pipe().expect("a pipe");
    let path = |path: &Path| bytes(path);
    old.hand(vec![
        (Item::State, vec![&state]),
        (
            Item::Pidfile {
                path: path(&files.pid),
            },
            vec![&lock],
        ),
        (
            Item::ReadyFile {
                path: path(&files.ready),
            },
            vec![],
        ),
        (
            Item::Control {
                path: path(&files.control),
            },
            vec![&control],
        ),
        (Item::Stderr, vec![&stderr]),
    ]);
    drop((lock, control, stderr));
    assert_eq!(old.heard(), Told::Ready);
    assert_eq!(scratch.heard("given"), "1 42 sessions");
    assert!(!scratch.path("serving").exists(), "ready() has returned");
    assert_eq!(text(&files.pid), format!("{}\n", std::process::id()));
    assert!(is_locked(&files.pid), "its lock has come along");
    let now = [&files.pid, &files.ready, &files.control].map(|path| inode(path));
    assert_eq!(now, before);
    assert_eq!(ear.said(), [""; 0]);

    old.give(&Given::Promoted, &[]);
    assert_eq!(scratch.heard("serving"), "1");
    assert_eq!(text(&files.pid), format!("{}\n", old.pid()));
    assert!(is_locked(&files.pid));
    assert_ne!(inode(&files.ready), before[1], "it is its own file now");
    assert_eq!(
        inode(&files.control),
        before[2],
        "and that is the same socket"
    );
    let said = ear.wait("READY=1");
    assert_eq!(said, ["READY=1\nSTATUS=at work"], "and nothing before");
    old.give(&Given::Done, &[]);
    old.signal("TERM");
    ear.wait("STOPPING=1");
    let (status, pipe) = old.end();
    assert!(status.success(), "{status}: {pipe}");
    assert!(
        pipe.contains("about to be ready") && !pipe.contains("serving"),
        "{pipe}"
    );
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut real, &mut rest).expect("text");
    assert!(rest.contains("serving"), "{rest}");
    for path in [&files.pid, &files.ready, &files.control] {
        assert!(!path.exists(), "{} is left", path.display());
    }
}

fn one_that_is_told_to_stop_while_it_waits_leaves_everything() {
    let scratch = Scratch::new();
    let ear = Ear::new(&scratch.0);
    let files = Files::of(&scratch);
    let lock = pidfile(&files.pid);
    std::fs::write(&files.ready, "").expect("our own directory");
    let control = UnixListener::bind(&files.control).expect("a new name");
    // It has a door of its own too.
    let own = scratch.path("debug");
    let debug = format!("--service.debugserveraddr=unix:{}", own.display());
    let mut options = files.options();
    options.push(&debug);
    let mut old = Old::start(&scratch.0, "web", &options);
    let path = |path: &Path| bytes(path);
    old.hand(vec![
        (
            Item::Pidfile {
                path: path(&files.pid),
            },
            vec![&lock],
        ),
        (
            Item::ReadyFile {
                path: path(&files.ready),
            },
            vec![],
        ),
        (
            Item::Control {
                path: path(&files.control),
            },
            vec![&control],
        ),
    ]);
    assert_eq!(old.heard(), Told::Ready);
    assert!(own.exists());
    old.signal("TERM");
    assert_eq!(old.heard(), Told::Gone);
    let (status, words) = old.end();
    assert!(status.success(), "{status}: {words}");
    assert_eq!(ear.said(), [""; 0], "it was never the service");
    assert_eq!(text(&files.pid), format!("{}\n", std::process::id()));
    assert!(files.ready.exists() && files.control.exists());
    assert!(!own.exists(), "that was nobody else's");
    let left: Vec<_> = std::fs::read_dir(&scratch.0).expect("our own").collect();
    let dotted = left.iter().filter_map(|entry| entry.as_ref().ok());
    let mut dotted = dotted.filter(|entry| {
        bytes(entry.path().file_name().unwrap_or_default().as_ref()).starts_with(b".ready")
    });
    assert!(dotted.next().is_none(), "its own unfinished file is left");
}

fn one_whose_predecessor_dies_takes_over() {
    let scratch = Scratch::new();
    let ear = Ear::new(&scratch.0);
    let more = [(super::old::PROGRAM_ROLE, "web")];
    let mut command = std::process::Command::new(std::env::current_exe().expect("procfs"));
    let command = command
        .env(super::old::ROLE, "dying")
        .env(super::old::FOLDER, &scratch.0)
        .envs(more)
        .stdin(std::process::Stdio::null());
    assert!(command.status().expect("this program").success());
    let pid = scratch.heard("child");
    let said = ear.wait("READY=1");
    let named = said
        .iter()
        .any(|one| one.contains(&format!("MAINPID={pid}")));
    assert!(named, "{said:?}");
    assert_eq!(scratch.heard("serving"), "1");
    let killed = std::process::Command::new("kill").arg(&pid).status();
    assert!(killed.expect("kill").success());
    ear.wait("STOPPING=1");
}

fn one_that_is_given_up_does_not_serve() {
    let scratch = Scratch::new();
    let ear = Ear::new(&scratch.0);
    let files = Files::of(&scratch);
    let lock = pidfile(&files.pid);
    let mut old = Old::start(&scratch.0, "web", &files.options());
    let item = Item::Pidfile {
        path: bytes(&files.pid),
    };
    old.hand(vec![(item, vec![&lock])]);
    assert_eq!(old.heard(), Told::Ready);
    // This process lives.
    old.close();
    let (status, words) = old.end();
    assert_eq!(status.code(), Some(69), "{words}");
    assert!(words.contains("goes on without this one"), "{words}");
    assert!(!scratch.path("serving").exists());
    assert_eq!(text(&files.pid), format!("{}\n", std::process::id()));
    assert_eq!(ear.said(), [""; 0]);
}
