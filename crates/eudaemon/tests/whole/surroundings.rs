//! What a daemon is surrounded by, and what it leaves: directory, mask, descriptors, files; its place as the first process of a
//! container. H12, H14-H17, H20, H22; T4, T7, T10, T13, T16, T41, T44, T47, T51, T52.

use super::Test;
use super::roles::{folder, note};
use super::stage::{FOLDER, LONG, ROLE, Scratch, of_threads, stderr, until};
use eudaemon::successor::{Predecessor, Start};
use eudaemon::testing::{Manager, What};
use eudaemon::{Builder, Context, Manifest, Running};
use eudaemon_core::words::Signal;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

pub const TESTS: &[Test] = &[
    (
        "in_the_foreground_nothing_is_changed",
        in_the_foreground_nothing_is_changed,
    ),
    (
        "away_from_the_shell_files_are_private_and_no_directory_is_held",
        away_from_the_shell_files_are_private_and_no_directory_is_held,
    ),
    (
        "an_error_after_ready_is_in_the_log",
        an_error_after_ready_is_in_the_log,
    ),
    (
        "a_log_that_was_moved_away_is_opened_again_by_hup",
        a_log_that_was_moved_away_is_opened_again_by_hup,
    ),
    (
        "nothing_the_library_opened_is_a_way_out_of_the_root",
        nothing_the_library_opened_is_a_way_out_of_the_root,
    ),
    (
        "a_root_that_is_not_there_is_an_error_whoever_named_it",
        a_root_that_is_not_there_is_an_error_whoever_named_it,
    ),
    (
        "the_threads_of_a_runtime_are_somebody_else_too",
        the_threads_of_a_runtime_are_somebody_else_too,
    ),
    (
        "a_panic_in_a_handler_ends_the_service",
        a_panic_in_a_handler_ends_the_service,
    ),
    (
        "a_ready_file_of_an_earlier_life_is_gone_before_this_one_is_ready",
        a_ready_file_of_an_earlier_life_is_gone,
    ),
    (
        "a_ready_file_that_cannot_be_made_ends_the_start",
        a_ready_file_that_cannot_be_made_ends_the_start,
    ),
    (
        "a_ready_file_is_made_and_no_link_is_followed",
        a_ready_file_is_made_and_no_link_is_followed,
    ),
    (
        "the_first_process_of_a_container_stops_in_order",
        the_first_process_of_a_container_stops_in_order,
    ),
    (
        "an_early_hup_is_a_reload_and_no_end",
        an_early_hup_is_a_reload_and_no_end,
    ),
    (
        "a_successor_is_called_and_placed_as_this_one_was",
        a_successor_is_called_and_placed_as_this_one_was,
    ),
    (
        "what_is_no_action_runs_nothing",
        what_is_no_action_runs_nothing,
    ),
    (
        "anybody_may_look_at_the_unit_for_another_user",
        anybody_may_look_at_the_unit_for_another_user,
    ),
    (
        "debugging_works_behind_a_changed_root",
        debugging_works_behind_a_changed_root,
    ),
];

/// Services for these tests.
pub fn play(role: &str) -> ExitCode {
    match role {
        // Makes a file where it is, and says what it found.
        "surrounded" => Builder::new("surrounded").run(|cx| {
            let third = cx.sockets().get("third").owned().ok();
            Ok(move |cx: Running| {
                std::fs::write(folder().join("made"), "").during(|| "unable to make a file")?;
                let directory =
                    std::env::current_dir().during(|| "unable to find the directory")?;
                note("directory", directory.as_os_str().as_encoded_bytes());
                note("third", third.is_some().to_string());
                note("pid", std::process::id().to_string());
                cx.ready();
                cx.stop().wait();
                Ok(())
            })
        }),
        "handler-panics" => Builder::new("handler-panics").run(|_| {
            Ok(|cx: Running| {
                cx.on_signal(Signal::Usr1, || panic!("a slip in a handler"))?;
                cx.ready();
                cx.stop().wait();
                Ok(())
            })
        }),
        "fails-when-told" => Builder::new("fails-when-told").run(|_| {
            Ok(|mut cx: Running| {
                cx.hear(Signal::Usr2)?;
                note("pid", std::process::id().to_string());
                cx.ready();
                let _ = cx.wait();
                Err(eudaemon::Error::new(
                    eudaemon::Exit::Temporary,
                    "the disk is full",
                ))
            })
        }),
        // Starts itself once more from another directory.
        "succeeded" => Builder::new("succeeded").run(|cx| {
            let activation = cx.activation().clone();
            let predecessor = Predecessor::in_service(&activation, cx.sockets());
            Ok(move |cx: Running| {
                if predecessor.generation() == 0 {
                    std::env::set_current_dir("/").during(|| "unable to leave")?;
                    let _successor = Start::new(cx.activation()).begin(LONG)?;
                    return Ok(());
                }
                let directory = std::env::current_dir().during(|| "unable to find it")?;
                note("directory", directory.as_os_str().as_encoded_bytes());
                note("name", cx.activation().words()[0].as_encoded_bytes());
                Ok(predecessor.ready()?)
            })
        }),
        // Its author, and nobody else, names a root.
        "rooted" => {
            let mut manifest = Manifest::new("rooted");
            manifest.user = Some("nobody".into());
            manifest.chroot = Some(folder().join("nowhere"));
            Builder::of(manifest).run(|_| Ok(|_: Running| Ok(())))
        }
        other => panic!("there is no role {other}"),
    }
}

fn link(pid: u32, name: &str) -> std::path::PathBuf {
    std::fs::read_link(format!("/proc/{pid}/{name}")).expect("it lives")
}

fn send(pid: u32, signal: &str) {
    let sent = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status();
    assert!(sent.expect("kill").success());
}

fn gone(pid: u32) {
    until("its end", || {
        (!Path::new(&format!("/proc/{pid}")).exists()).then_some(())
    });
}

/// H14, H15: no mask, no change of directory, and what it writes arrives where it was sent.
fn in_the_foreground_nothing_is_changed() {
    let scratch = Scratch::new();
    let mut command = scratch.command("surrounded", &[]);
    command.current_dir(&scratch.0).env_remove("NOTIFY_SOCKET");
    let out = std::fs::File::create(scratch.path("out")).expect("our own directory");
    let mut child = command
        .stdout(out)
        .stderr(Stdio::null())
        .spawn()
        .expect("this program");
    let directory = scratch.heard("directory");
    scratch.heard("pid");
    assert_eq!(Path::new(&directory), scratch.0);
    let ours = format!(
        "0{}",
        of_threads(std::process::id(), "Umask")[0].trim_start_matches('0')
    );
    let its = format!(
        "0{}",
        of_threads(child.id(), "Umask")[0].trim_start_matches('0')
    );
    assert_eq!(its, ours);
    assert_eq!(link(child.id(), "fd/1"), scratch.path("out"));
    send(child.id(), "-TERM");
    assert!(child.wait().expect("ours").success());
}

/// H12, H14, T13: both ways out of the shell.
fn away_from_the_shell_files_are_private_and_no_directory_is_held() {
    for way in ["--service.daemon", "--service.fork"] {
        let scratch = Scratch::new();
        std::fs::write(scratch.path("handed"), "").expect("our own directory");
        // As a manager without a notify socket hands something over.
        let script = r#"umask 0; exec 3<handed; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=third; exec "$0" "$@""#;
        let mut command = Command::new("sh");
        let log = format!("--service.log=file:{}", scratch.path("log").display());
        let output = command
            .args(["-c", script])
            .arg(std::env::current_exe().expect("procfs"))
            .args([way, &log])
            .current_dir(&scratch.0)
            .env(ROLE, "surrounded")
            .env(FOLDER, &scratch.0)
            .env_remove("NOTIFY_SOCKET")
            .output()
            .expect("a shell");
        assert_eq!(output.status.code(), Some(0), "{way}: {}", stderr(&output));
        assert_eq!(scratch.heard("directory"), "/", "{way}");
        assert_eq!(scratch.heard("third"), "true", "{way}");
        let made = std::fs::metadata(scratch.path("made")).expect("it made it");
        assert_eq!(made.mode() & 0o777, 0o640, "{way}");
        let pid: u32 = scratch.heard("pid").parse().expect("a number");
        send(pid, "-TERM");
        gone(pid);
    }
}

/// H16: standard error is nobody's by then.
fn an_error_after_ready_is_in_the_log() {
    let scratch = Scratch::new();
    let log = format!("--service.log=file:{}", scratch.path("log").display());
    let output = scratch.output("fails-when-told", &["--service.daemon", &log]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let pid: u32 = scratch.heard("pid").parse().expect("a number");
    send(pid, "-USR2");
    gone(pid);
    assert!(
        scratch.log().contains("critical: the disk is full"),
        "{}",
        scratch.log()
    );
}

/// Inside the new root it is found by its path there; outside that is said, and it goes on in the file it has.
fn a_log_that_was_moved_away_is_opened_again_by_hup() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    let inside = scratch.path("inside");
    std::fs::create_dir(&inside).expect("our own directory");
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(&inside, open).expect("our own");
    let root = format!("--service.chroot={}", inside.display());
    let locked_in = ["--service.uid=nobody", &root];
    for (options, file, is_found) in [
        (&[][..], scratch.path("web.log"), true),
        (&locked_in, inside.join("web.log"), true),
        (&locked_in, scratch.path("out.log"), false),
    ] {
        let log = format!("--service.log=file:{}", file.display());
        let options = [options, &[log.as_str()]].concat();
        let manager = scratch.managed(Manager::builder(), "progress", &options);
        manager.wait_ready(LONG).expect("it says so");
        let moved = file.with_extension("old");
        std::fs::rename(&file, &moved).expect("our own");
        manager.reload(LONG).expect("it is over at once");
        let (now, words) = if is_found {
            (&file, "does not reload")
        } else {
            (&moved, "outside of the root")
        };
        until(words, || {
            let text = std::fs::read_to_string(now).ok()?;
            text.contains(words).then_some(())
        });
        assert!(manager.stop(LONG).expect("it stops").success());
    }
}

/// T10: a directory that stays open outside of the root is a way out, and the drop refuses to begin.
fn nothing_the_library_opened_is_a_way_out_of_the_root() {
    let scratch = Scratch::new();
    let inside = scratch.path("inside");
    std::fs::create_dir(&inside).expect("our own directory");
    let path =
        |option: &str, name: &str| format!("--service.{option}{}", scratch.path(name).display());
    let common = ["--service.uid=nobody".to_owned(), path("chroot=", "inside")];
    for option in [
        path("log=file:", "web.log"),
        path("pidfile=", "pid"),
        path("control=", "control"),
        path("debugserveraddr=unix:", "debug"),
        path("cpuprofile=", "cpu"),
        "--service.sandbox=best-effort".to_owned(),
        "--service.watchdog=off".to_owned(),
    ] {
        let options: Vec<&str> = common.iter().chain([&option]).map(String::as_str).collect();
        let builder = Manager::builder().credential("key", "hunter2");
        let manager = scratch.managed(builder, "progress", &options);
        if let Err(error) = manager.wait_ready(LONG) {
            panic!("{option}: {error}");
        }
        let open = std::fs::read_dir(format!("/proc/{}/fd", manager.pid())).expect("it lives");
        let directories = open.filter(|one| one.as_ref().expect("procfs").path().is_dir());
        assert_eq!(directories.count(), 0, "{option}");
        assert!(manager.stop(LONG).expect("it stops").success(), "{option}");
    }
}

/// H22: neither the user's wish nor the author's is left out without a word.
fn a_root_that_is_not_there_is_an_error_whoever_named_it() {
    let scratch = Scratch::new();
    let nowhere = scratch.path("nowhere").display().to_string();
    let asked = format!("--service.chroot={nowhere}");
    for (role, options) in [
        ("plain", &["--service.uid=nobody", &asked][..]),
        ("rooted", &[][..]),
    ] {
        let output = scratch.output(role, options);
        assert_eq!(output.status.code(), Some(78), "{role}");
        assert!(stderr(&output).contains(&nowhere), "{}", stderr(&output));
    }
}

/// T4: the runtime is made behind the drop, so nothing of it is left out.
fn the_threads_of_a_runtime_are_somebody_else_too() {
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "future", &["--service.uid=nobody"]);
    manager.wait_ready(LONG).expect("it says so");
    for (name, value) in [("Uid", "65534 65534 65534 65534"), ("NoNewPrivs", "1")] {
        let of = of_threads(manager.pid(), name);
        // Its own, the attendant, and at least one of tokio's.
        assert!(of.len() >= 3 && of.iter().all(|one| one == value), "{of:?}");
    }
    assert!(manager.stop(LONG).expect("it stops").success());
}

/// T52: the thread that reads signals must not be lost to an author's mistake.
fn a_panic_in_a_handler_ends_the_service() {
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "handler-panics", &[]);
    manager.wait_ready(LONG).expect("it says so");
    manager.signal(Signal::Usr1).expect("it lives");
    let ended = manager.wait_end(LONG).expect("it is ended by it");
    assert_eq!(ended.code(), Some(70), "{ended}: {}", scratch.log());
    assert!(scratch.log().contains("a slip in a handler"));
}

/// T41: who was killed leaves a file that says ready, and the next life is not ready yet.
fn a_ready_file_of_an_earlier_life_is_gone() {
    let scratch = Scratch::new();
    let file = scratch.path("ready");
    std::fs::write(&file, "").expect("our own directory");
    let option = format!("--service.ready-file={}", file.display());
    let manager = scratch.managed(Manager::builder(), "slow-init", &[&option]);
    scratch.heard("begun");
    assert!(!file.exists());
    scratch.say("go");
    manager.wait_ready(LONG).expect("it says so");
    until("the file", || file.exists().then_some(()));
    assert!(manager.stop(LONG).expect("it stops").success());
    assert!(!file.exists());
}

/// T16: somebody else's link in an open directory does not lead to somebody's file.
fn a_ready_file_that_cannot_be_made_ends_the_start() {
    let scratch = Scratch::new();
    let options = [
        "--service.uid=nobody",
        "--service.ready-file=/etc/not-for-nobody",
    ];
    let output = scratch.output("plain", &options);
    let told = super::stage::stderr(&output);
    assert_eq!(output.status.code(), Some(73), "{told}");
    assert!(
        told.contains("service.ready-file: unable to make /etc/not-for-nobody"),
        "{told}"
    );
}

fn a_ready_file_is_made_and_no_link_is_followed() {
    let scratch = Scratch::new();
    let (file, precious) = (scratch.path("ready"), scratch.path("precious"));
    std::fs::write(&precious, "theirs").expect("our own directory");
    let option = format!("--service.ready-file={}", file.display());
    let manager = scratch.managed(Manager::builder(), "slow-init", &[&option]);
    scratch.heard("begun");
    symlink(&precious, &file).expect("our own directory");
    scratch.say("go");
    manager.wait_ready(LONG).expect("it says so");
    // It takes the link's place, and nothing is written through it.
    until("a file of its own", || {
        let about = std::fs::symlink_metadata(&file).ok()?;
        about.is_file().then_some(())
    });
    assert!(manager.stop(LONG).expect("it stops").success());
    let read = std::fs::read_to_string(&precious).expect("it is there");
    assert_eq!(read, "theirs");
}

/// T51: the kernel keeps from the first process every signal that it has no handler for.
fn the_first_process_of_a_container_stops_in_order() {
    let scratch = Scratch::new();
    let mut command = Command::new("unshare");
    let child = command
        .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(std::env::current_exe().expect("procfs"))
        .env(ROLE, "surrounded")
        .env(FOLDER, &scratch.0)
        .env_remove("NOTIFY_SOCKET")
        .stderr(Stdio::null())
        .spawn();
    let mut child = child.expect("util-linux");
    if child.try_wait().expect("ours").is_none() {
        assert_eq!(scratch.heard("pid"), "1");
    }
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let inside = std::fs::read_to_string(children).expect("it lives");
    let inside: u32 = inside.trim().parse().expect("one child");
    send(inside, "-TERM");
    let begun = std::time::Instant::now();
    while child.try_wait().expect("ours").is_none() && begun.elapsed() < LONG {
        std::thread::yield_now();
    }
    // With it goes one that is deaf.
    let _ = child.kill();
    assert!(child.wait().expect("ours").success());
}

/// H17, T44: it came before there was anybody to hear it.
fn an_early_hup_is_a_reload_and_no_end() {
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "slow-init", &[]);
    scratch.heard("begun");
    manager.signal(Signal::Hup).expect("it lives");
    scratch.say("go");
    manager
        .wait_for(LONG, |event| event.what == What::Reloading)
        .expect("it was owed");
    assert!(manager.stop(LONG).expect("it stops").success());
    assert_eq!(manager.violations(), []);
}

/// T47: relative words mean what they meant, and a program that is several is the same one again.
fn a_successor_is_called_and_placed_as_this_one_was() {
    use std::os::unix::process::CommandExt;
    let scratch = Scratch::new();
    let mut command = scratch.command("succeeded", &[]);
    command.current_dir(&scratch.0).env_remove("NOTIFY_SOCKET");
    let output = command.arg0("web").output().expect("this program");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(Path::new(&scratch.heard("directory")), scratch.0);
    assert_eq!(scratch.heard("name"), "web");
}

/// H20: a word that is no action does not start the service.
fn what_is_no_action_runs_nothing() {
    let scratch = Scratch::new();
    for word in ["unninstall", "run", ""] {
        let option = format!("--service.do={word}");
        let output = scratch.output("slow-init", &[&option]);
        assert_eq!(output.status.code(), Some(78), "{word}");
        assert!(
            stderr(&output).contains("service.do"),
            "{}",
            stderr(&output)
        );
        assert!(!scratch.path("begun").exists(), "{word}");
    }
}

/// It is the manager who will change the user; who writes the unit stays who it is.
fn anybody_may_look_at_the_unit_for_another_user() {
    let scratch = Scratch::new();
    // Where nobody may execute it, whatever is above the build's own directory.
    let program = scratch.path("slow-init");
    std::fs::copy(std::env::current_exe().expect("procfs"), &program).expect("there is room");
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&program)
        .args(["--service.do=install", "--service.target=systemd:252"])
        .args(["--service.dry-run", "--service.uid=daemon"])
        .env(ROLE, "slow-init")
        .env(FOLDER, &scratch.0)
        .env_remove("NOTIFY_SOCKET")
        .output()
        .expect("util-linux");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("User=daemon"), "{told}");
}

/// T7, T11: the debug server's answers need `/proc`, which is out of reach, or not this user's, by then.
fn debugging_works_behind_a_changed_root() {
    use std::io::{Read, Write};
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path("inside")).expect("our own directory");
    let path = scratch.path("debug");
    let debug = format!("--service.debugserveraddr=unix:{}", path.display());
    let chroot = format!("--service.chroot={}", scratch.path("inside").display());
    for options in [
        &["--service.uid=nobody", &debug][..],
        &["--service.uid=nobody", &debug, &chroot][..],
    ] {
        let manager = scratch.managed(Manager::builder(), "progress", options);
        manager.wait_ready(LONG).expect("it says so");
        for what in [
            "/livez",
            "/readyz",
            "/metrics",
            "/debug/tasks",
            "/debug/config",
        ] {
            let mut stream = std::os::unix::net::UnixStream::connect(&path).expect("it listens");
            let request = format!("GET {what} HTTP/1.0\r\n\r\n");
            stream.write_all(request.as_bytes()).expect("it listens");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("text");
            assert!(answer.contains(" 200 "), "{what}: {answer}");
        }
        assert!(manager.stop(LONG).expect("it stops").success());
    }
}
