//! The manager in a box, and the real other side: libsystemd inside the programs it starts, and `systemd-socket-activate` starting
//! ours.
//!
//! Not tested: a program that changes its user before it speaks; kernels without pidfds.
#![cfg(feature = "testing")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a judge starts programs as a stranger would, and stops at the first surprise"
)]

use eudaemon::Activation;
use eudaemon::notify::{Message, Notify, NotifyAccess};
use eudaemon::testing::{Failure, Manager, Violation, What};
use eudaemon_core::listen::{self, Variables};
use eudaemon_core::notify::{Fault, Refused};
use eudaemon_core::words::Signal;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Long enough for a loaded machine; nothing waits for its end.
const LONG: Duration = Duration::from_secs(60);

fn is_here(program: &str) -> bool {
    let here = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|folder| Path::new(&folder).join(program).is_file());
    if !here {
        eprintln!("SKIPPED: there is no {program}");
        assert!(
            std::env::var_os("EUDAEMON_REQUIRE").is_none(),
            "{program} is required"
        );
    }
    here
}

/// This program again, in a part of its own.
fn part(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "play_a_part", "--nocapture"])
        .env("PART", name)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// What was handed over, as the library will take it.
fn handed(activation: &Activation) -> Vec<(String, OwnedFd)> {
    let of = |name| {
        activation
            .variable(name)
            .map(|value| value.as_bytes().to_vec())
    };
    let (pid, fds, names) = (of("LISTEN_PID"), of("LISTEN_FDS"), of("LISTEN_FDNAMES"));
    let variables = Variables {
        pid: pid.as_deref(),
        fds: fds.as_deref(),
        names: names.as_deref(),
        pidfd_inode: None,
    };
    let names = listen::read(variables, activation.pid(), None).unwrap();
    let fds = eudaemon_sys::hand::take(names.len()).unwrap();
    assert!(eudaemon_sys::hand::take(1).is_err(), "only once");
    names.into_iter().zip(fds).collect()
}

/// The parts that tests start. Not a test by itself.
#[test]
fn play_a_part() {
    let Some(part) = std::env::var_os("PART") else {
        return;
    };
    let activation = Activation::of_this_process();
    let notify = Notify::connect(&activation).unwrap();
    let wait = || drop(std::io::Read::read(&mut std::io::stdin(), &mut [0]));
    match part.to_str().unwrap() {
        "listen" => {
            let mut told = Vec::new();
            for (name, fd) in handed(&activation) {
                assert!(rustix_is_cloexec(&fd));
                told.push(name);
            }
            notify.status(&told.join("|")).unwrap();
            notify.ready().unwrap();
            if let Some(into) = std::env::var_os("INTO") {
                std::fs::write(into, told.join("|")).unwrap();
            }
            if std::env::var_os("STAY").is_some() {
                wait();
            }
        }
        "reload" => {
            let count = std::env::var("COUNT").unwrap();
            let guard = notify.reloading();
            guard.done_with(&format!("reload {count}")).unwrap();
        }
        "stop" => assert_eq!(notify.stopping().unwrap(), eudaemon::notify::Sent::Sent),
        "lied to" => {
            // Descriptor 3 was handed over; 4 is the line to the manager, whatever the environment says.
            assert!(
                std::fs::read_link("/proc/self/fd/4")
                    .unwrap()
                    .to_string_lossy()
                    .starts_with("socket:")
            );
            let error = eudaemon_sys::hand::take(2).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(eudaemon_sys::errno::EPERM));
            notify.status("not taken in").unwrap();
        }
        "silent" => {
            notify.ready().unwrap();
            notify.watchdog().unwrap();
            wait();
        }
        "trigger" => {
            notify.ready().unwrap();
            notify.trigger_watchdog().unwrap();
            wait();
        }
        "store" => {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let (kept, other) = UnixStream::pair().unwrap();
            let (unpolled, _) = UnixStream::pair().unwrap();
            notify.store("gone", &[ours.as_fd()], true).unwrap();
            notify.store("kept", &[kept.as_fd()], true).unwrap();
            notify.store("kept", &[unpolled.as_fd()], false).unwrap();
            // There already, so neither is one too many.
            notify.store("again", &[kept.as_fd()], true).unwrap();
            let full = UnixDatagram::unbound().unwrap();
            notify.store("full", &[full.as_fd()], true).unwrap();
            notify.barrier(LONG).unwrap();
            drop(theirs);
            notify.status("stored").unwrap();
            notify.ready().unwrap();
            wait();
            drop(other);
        }
        "sins" => {
            let to = std::env::var_os("NOTIFY_SOCKET").unwrap();
            let socket = UnixDatagram::unbound().unwrap();
            let send = |bytes: &[u8]| {
                socket.send_to(bytes, &to).unwrap();
            };
            send(b"READY=1\nSTATUS=fine");
            send(&[b'x'; 5000]);
            send(b"READY=1\0STATUS=x");
            send(b"BARRIER=1\nREADY=1");
            send(b"BARRIER=1");
            send(b"STATUS=\xff");
            send(b"RELOADING=1");
            send(b"STATUS=first line\nsecond line\nREADY=1\nREADY=1");
            notify
                .store("none", &[std::io::stdin().as_fd()], true)
                .unwrap();
            send(b"MAINPID=1");
            send(b"READY=1\nSTOPPING=1");
            send(b"READY=1");
            send(b"X_LAST=1");
            wait();
        }
        other => panic!("no part {other}"),
    }
}

fn rustix_is_cloexec(fd: &OwnedFd) -> bool {
    use std::os::fd::AsRawFd;
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).unwrap();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    // O_CLOEXEC, in octal. Source: proc_pid_fdinfo(5).
    u32::from_str_radix(flags.unwrap().trim(), 8).unwrap() & 0o2_000_000 != 0
}

fn listener(manager: &str) -> (UnixListener, PathBuf) {
    let path = std::env::temp_dir().join(format!("eud-testing-{manager}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    (UnixListener::bind(&path).unwrap(), path)
}

#[test]
fn sockets_arrive_with_their_names() {
    let (one, path) = listener("names");
    let (two, _three) = UnixDatagram::pair().unwrap();
    let manager = Manager::builder()
        .listen("web", one)
        .listen("", two)
        .listen("web", std::fs::File::open("/dev/null").unwrap())
        .start(part("listen"))
        .unwrap();
    manager.wait_ready(LONG).unwrap();
    assert_eq!(manager.status().as_deref(), Some("web||web"));
    assert!(manager.wait_end(LONG).unwrap().success());
    assert_eq!(manager.violations(), []);
    let folder = manager.folder().to_owned();
    assert!(folder.is_dir());
    drop(manager);
    assert!(!folder.exists());
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_descriptor_of_our_own_is_not_taken() {
    let (one, _other) = UnixStream::pair().unwrap();
    let builder = Manager::builder().listen("a", one);
    let manager = builder
        .environment("LISTEN_FDS", "2")
        .start(part("lied to"));
    let manager = manager.unwrap();
    manager.wait_status("not taken in", LONG).unwrap();
    assert!(manager.wait_end(LONG).unwrap().success());
}

#[test]
fn many_starts_at_once_have_their_own_numbers() {
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let (one, _other) = UnixStream::pair().unwrap();
                let mut command = Command::new("sh");
                command.args([
                    "-c",
                    r#"test "$LISTEN_PID $SYSTEMD_EXEC_PID" = "$$ $$" && : <&3"#,
                ]);
                let manager = Manager::builder().listen("a", one).start(command).unwrap();
                assert!(manager.wait_end(LONG).unwrap().success());
            });
        }
    });
    let missing = Manager::builder().start(Command::new("no such program"));
    assert_eq!(missing.unwrap_err().kind(), std::io::ErrorKind::NotFound);
    let (one, _other) = UnixStream::pair().unwrap();
    let missing = Manager::builder()
        .listen("a", one)
        .start(Command::new("/nowhere"));
    assert_eq!(missing.unwrap_err().kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn a_reload_is_believed() {
    // The test's own program has threads, and so no place to take signals in: a shell does, and lets it speak.
    let mut command = Command::new("sh");
    let script = r#"
        say() { COUNT=$count PART=$1 "$0" --exact play_a_part; }
        trap 'count=$((count+1)); say reload' HUP
        trap 'say stop; exit 0' TERM
        exec 9<&0
        cat <&9 &
        PART=listen "$0" --exact play_a_part
        while kill -0 $!; do wait $!; done"#;
    command
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let manager = Manager::builder()
        .access(NotifyAccess::All)
        .start(command)
        .unwrap();
    manager.wait_ready(LONG).unwrap();
    for count in 1..4 {
        manager.reload(LONG).unwrap();
        manager
            .wait_status(&format!("reload {count}"), LONG)
            .unwrap();
    }
    assert!(manager.stop(LONG).unwrap().success());
    let what: Vec<What> = manager
        .events()
        .into_iter()
        .map(|event| event.what)
        .collect();
    assert_eq!(
        what.iter().filter(|what| **what == What::Reloading).count(),
        3
    );
    assert!(what.contains(&What::Stopping));
    assert_eq!(manager.violations(), []);
}

#[test]
fn who_is_silent_is_ended() {
    for (part_of, interval) in [("silent", 50), ("trigger", 3_600_000)] {
        let manager = Manager::builder()
            .watchdog(Duration::from_millis(interval))
            .start({
                let mut command = part(part_of);
                command.stdin(Stdio::piped());
                command
            })
            .unwrap();
        let ended = manager.wait_end(LONG).unwrap();
        assert_eq!(ended.signal(), Some(6), "{part_of}: ABRT");
        let missed = manager.events().into_iter();
        assert_eq!(
            missed
                .filter(|event| event.what == What::WatchdogMissed)
                .count(),
            1
        );
    }
}

#[test]
fn descriptors_are_kept_until_their_other_end_is_gone() {
    let mut command = part("store");
    command.stdin(Stdio::piped());
    let manager = Manager::builder().fd_store(3).start(command).unwrap();
    manager.wait_status("stored", LONG).unwrap();
    manager
        .wait_for(
            LONG,
            |event| matches!(&event.what, What::Dropped { name, .. } if name == "gone"),
        )
        .unwrap();
    assert_eq!(manager.stored("gone").unwrap().len(), 0);
    assert_eq!(manager.stored("kept").unwrap().len(), 2);
    let (name, count) = ("full".to_owned(), 1);
    assert_eq!(manager.violations(), [Violation::StoreFull { name, count }]);
    let next = Manager::builder().fd_store(3).stored(manager.take_stored());
    let mut command = part("listen");
    command.env("STAY", "1").stdin(Stdio::piped());
    let next = next.start(command).unwrap();
    next.wait_ready(LONG).unwrap();
    assert_eq!(next.status().as_deref(), Some("kept|kept"));
    assert_eq!(next.stored_names(), ["kept", "kept"]);
    // The other end is the earlier program's, and that one is still there.
    drop(manager);
    next.wait_for(LONG, |event| {
        matches!(&event.what, What::Dropped { count: 1, .. })
    })
    .unwrap();
    assert_eq!(next.stored_names(), ["kept"]);
}

#[test]
fn what_a_manager_would_not_say_is_said() {
    let mut command = part("sins");
    command.stdin(Stdio::piped());
    let manager = Manager::builder().start(command).unwrap();
    manager
        .wait_for(
            LONG,
            |event| matches!(&event.what, What::Private { name, .. } if name == "X_LAST"),
        )
        .unwrap();
    let ignored = |name: &str, fault| Violation::Ignored {
        name: name.to_owned(),
        fault,
    };
    assert_eq!(
        manager.violations(),
        [
            Violation::Refused(Refused::Truncated),
            Violation::Refused(Refused::ZeroByte),
            Violation::Refused(Refused::BarrierNotAlone),
            Violation::Refused(Refused::BarrierDescriptors { given: 0 }),
            ignored("STATUS", Fault::NotText),
            Violation::ReloadWithoutMoment,
            Violation::Unknown {
                line: "second line".to_owned()
            },
            Violation::Twice {
                name: "READY".to_owned()
            },
            Violation::StoreFull {
                name: "none".to_owned(),
                count: 1
            },
            Violation::NoSuchMain { pid: 1 },
            Violation::SeveralStates,
            Violation::AfterStopping,
        ]
    );
    assert_eq!(manager.status().as_deref(), Some("first line"));
    assert!(matches!(
        manager.wait_status("never said", Duration::ZERO),
        Err(Failure::Late { .. })
    ));
}

/// A program in Python on libsystemd itself: its sender and its taker of sockets, not ours.
fn libsystemd(program: &str) -> Option<Command> {
    if !is_here("python3") {
        return None;
    }
    let mut command = Command::new("python3");
    let start = "import ctypes, os, sys\nd = ctypes.CDLL('libsystemd.so.0')\n";
    command.args(["-c", &format!("{start}{program}")]);
    Some(command)
}

#[test]
fn libsystemd_finds_what_it_was_given() {
    let Some(command) = libsystemd(
        "names = ctypes.POINTER(ctypes.c_char_p)()
n = d.sd_listen_fds_with_names(1, ctypes.byref(names))
usec = ctypes.c_uint64()
w = d.sd_watchdog_enabled(0, ctypes.byref(usec))
s = '%d %s %d %d' % (n, [names[i].decode() for i in range(n)], w, usec.value)
assert d.sd_notify(0, ('STATUS=%s\\nREADY=1' % s).encode()) == 1
assert d.sd_notify_barrier(0, ctypes.c_uint64(60000000)) == 1
fds = (ctypes.c_int * 2)(3, 4)
assert d.sd_pid_notify_with_fds(0, 0, b'FDSTORE=1\\nFDNAME=x', fds, 2) == 1
assert d.sd_pid_notify_with_fds(0, 0, b'FDSTORE=1\\nFDNAME=y', fds, 1) == 1
import os
pipe = (ctypes.c_int * 2)(*os.pipe())
assert d.sd_pid_notify_with_fds(0, 0, b'FDSTORE=1\\nFDNAME=bad:name', pipe, 2) == 1",
    ) else {
        return;
    };
    for is_abstract in [false, true] {
        let (one, two) = UnixStream::pair().unwrap();
        let mut builder = Manager::builder()
            .listen("a b", one)
            .listen("", two)
            .watchdog(Duration::from_secs(7))
            .fd_store(10);
        if is_abstract {
            builder = builder.abstract_address();
        }
        let mut again = Command::new(command.get_program());
        again.args(command.get_args());
        let manager = builder.start(again).unwrap();
        manager
            .wait_status("2 ['a b', ''] 1 7000000", LONG)
            .unwrap();
        assert!(manager.wait_end(LONG).unwrap().success());
        assert_eq!(manager.stored("x").unwrap().len(), 2);
        assert_eq!(manager.stored("y").unwrap().len(), 0, "it is there as x");
        assert_eq!(manager.stored("stored").unwrap().len(), 2);
        let (name, fault) = ("FDNAME".to_owned(), Fault::Value);
        assert_eq!(manager.violations(), [Violation::Ignored { name, fault }]);
    }
}

#[test]
fn a_child_is_heard_only_if_all_are() {
    for (access, heard) in [
        (NotifyAccess::None, false),
        (NotifyAccess::Main, false),
        (NotifyAccess::All, true),
    ] {
        let inner = part("listen");
        let mut command = Command::new("sh");
        command.args(["-c", r#""$0" "$@"; exit 0"#]);
        command.arg(inner.get_program()).args(inner.get_args());
        command.env("PART", "listen").stdout(Stdio::null());
        let manager = Manager::builder().access(access).start(command).unwrap();
        assert!(manager.wait_end(LONG).unwrap().success());
        assert_eq!(manager.status().is_some(), heard);
        let is_not = |violation: &Violation| matches!(violation, Violation::NotHeard { .. });
        assert_eq!(manager.violations().iter().any(is_not), !heard);
    }
}

#[test]
fn systemd_notify_speaks_for_its_parent() {
    // It sends its parent's process id, which root may: systemd-notify(1), "--pid" and "Description".
    if eudaemon_sys::process::effective_uid() != 0 || !is_here("systemd-notify") {
        return;
    }
    let mut command = Command::new("sh");
    command.args(["-c", "systemd-notify --ready --status=up; exit 0"]);
    let manager = Manager::builder().start(command).unwrap();
    assert!(manager.wait_end(LONG).unwrap().success());
    assert_eq!(manager.status().as_deref(), Some("up"));
    assert_eq!(manager.violations(), []);
}

#[test]
fn systemds_own_activator_starts_us() {
    if !is_here("systemd-socket-activate") {
        return;
    }
    for (names, want) in [(Some("web:db"), "web|db"), (None, "unknown|unknown")] {
        let folder =
            std::env::temp_dir().join(format!("eud-activate-{}-{want}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (one, two, into) = (folder.join("one"), folder.join("two"), folder.join("into"));
        let mut command = Command::new("systemd-socket-activate");
        command.arg("-l").arg(&one).arg("-l").arg(&two);
        command.args(names.map(|names| format!("--fdname={names}")));
        command.args(["-E", "PART=listen", "-E"]);
        command.arg(format!("INTO={}", into.display()));
        command.arg(std::env::current_exe().unwrap());
        command.args(["--exact", "play_a_part"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        // It stays open until the program has ended.
        let _client = loop {
            if let Ok(client) = UnixStream::connect(&two) {
                break client;
            }
            assert_eq!(child.try_wait().unwrap(), None);
            std::thread::yield_now();
        };
        assert!(child.wait().unwrap().success(), "{want}");
        assert_eq!(std::fs::read_to_string(&into).unwrap(), want);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

#[test]
fn files_and_variables_are_as_asked() {
    let mut command = Command::new("sh");
    command.env("OWN", "1").args([
        "-c",
        r#"test "$(cat "$CREDENTIALS_DIRECTORY/key")" = secret && test -d "$STATE_DIRECTORY" &&
           test "$OWN$SPOILT" = 1x && test -z "${CARGO_PKG_NAME+is}" && test -z "${LISTEN_FDS+is}" && test "$LISTEN_PID" = 1"#,
    ]);
    let manager = Manager::builder()
        .credential("key", "secret")
        .directories()
        .clean_environment()
        .environment("SPOILT", "x")
        .environment("LISTEN_PID", "1")
        .start(command)
        .unwrap();
    assert!(manager.wait_end(LONG).unwrap().success());
    for name in ["", "..", "a/b"] {
        let builder = Manager::builder().credential(name, "x");
        assert!(builder.start(Command::new("true")).is_err());
    }
    let file = std::fs::File::open("/dev/null").unwrap();
    let named = Manager::builder().listen("a:b", file);
    assert!(named.start(Command::new("true")).is_err());
}

#[test]
fn a_successor_is_named_with_its_descriptor() {
    let mut command = Command::new("sh");
    command.args(["-c", "exec cat"]).stdin(Stdio::piped());
    let manager = Manager::builder()
        .access(NotifyAccess::All)
        .start(command)
        .unwrap();
    let mut other = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let pid = eudaemon_core::words::Pid::new(other.id()).unwrap();
    let held = eudaemon_sys::process::Held::open(pid).unwrap();
    let inode = held.inode().unwrap();
    let notify = Notify::to(manager.folder().join("notify").as_os_str().as_bytes()).unwrap();
    let handover = Message::new().main_pid(other.id(), Some(inode)).ready();
    notify.send(&handover).unwrap();
    manager.wait_ready(LONG).unwrap();
    assert_eq!(manager.main_pid(), other.id());
    if eudaemon_sys::process::pidfs_is_unique(&held) {
        notify.main_pid(manager.pid(), Some(inode)).unwrap();
        notify.barrier(LONG).unwrap();
        assert_eq!(
            manager.violations(),
            [Violation::NoSuchMain { pid: manager.pid() }]
        );
    }
    let message = Message::new().main_pidfd();
    notify.send_with(&message, &[held.as_fd()]).unwrap();
    notify.barrier(LONG).unwrap();
    assert_eq!(manager.main_pid(), other.id());
    manager.signal(Signal::Term).unwrap();
    assert_eq!(other.wait().unwrap().signal(), Some(15));
}
