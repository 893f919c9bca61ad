//! The programs the tests start: each is this one, with a role.

use crate::stage::{stat, write_notes};
use eudaemon::Activation;
use eudaemon::detach::{DetachError, Way, detach};
use eudaemon_sys::early;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

pub fn play(role: &OsStr) -> ExitCode {
    match role.to_str() {
        Some("detach") => away(),
        Some("title") => title(),
        Some("child") => child(),
        Some("signals") => signals(),
        Some("pidfile") => pidfile(),
        other => panic!("no role {other:?}"),
    }
}

/// Words: the way; what the daemon does; the rest is noted.
fn away() -> ExitCode {
    early::begin().expect("the kernel has signals");
    let activation = Activation::of_this_process();
    let words = activation.words();
    let word = |at: usize| words.get(at).and_then(|word| word.to_str()).unwrap_or("");
    let started = activation.pid();
    // A process with a thread.
    let threads = word(1).contains("threads");
    let (go, stay) = std::sync::mpsc::channel::<()>();
    let thread = threads.then(|| std::thread::spawn(move || stay.recv().is_ok()));
    let way = if word(1).starts_with("reexec") {
        Way::Reexec
    } else {
        Way::Fork
    };
    print!("unflushed ");
    let away = match detach(way, &activation) {
        Ok(away) => away,
        Err(error) => {
            println!("{error}");
            let is_threads = matches!(error, DetachError::Threads);
            let is_supervised = matches!(error, DetachError::Supervised);
            return ExitCode::from(
                40 + u8::from(is_supervised) + 2 * u8::from(!is_threads && !is_supervised),
            );
        }
    };
    drop(go);
    if let Some(thread) = thread {
        let _ = thread.join();
    }
    let pid = std::process::id();
    let field = |number| stat(pid, number).unwrap_or(-1).to_string();
    // A terminal that is opened does not become ours.
    let terminal = activation.variable("TERMINAL");
    let terminal = terminal.map(std::fs::File::open);
    let listen = activation.text("LISTEN_PID").unwrap_or("").to_string();
    let inherited = std::fs::read_link("/proc/self/fd/3").unwrap_or_default();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = std::env::current_dir().expect("it is there");
    write_notes(&[
        ("first", started.to_string()),
        ("pid", pid.to_string()),
        ("between", field(4)),
        ("group", field(5)),
        ("session", field(6)),
        ("tty", field(7)),
        (
            "opened",
            format!("{}", terminal.is_some_and(|it| it.is_ok())),
        ),
        ("listen_pid", listen),
        ("third", inherited.display().to_string()),
        (
            "last",
            words.last().map_or_else(String::new, |w| hex(w.as_bytes())),
        ),
        ("name", word(0).to_string()),
        ("folder", folder.display().to_string()),
        ("keep", activation.text("KEEP").unwrap_or("").to_string()),
    ]);
    match word(2) {
        "ready" => {
            let log = activation.variable("KEEP_STDERR").is_some();
            if let Err(error) = away.keep_stderr(log).ready() {
                std::fs::write("not-ready", error.to_string()).expect("our own directory");
                return ExitCode::FAILURE;
            }
            std::fs::write("is-ready", "").expect("our own directory");
            wait_for_a_request();
            ExitCode::SUCCESS
        }
        "failed" => {
            away.failed(78, "web: no such address")
                .expect("somebody waits");
            ExitCode::from(3)
        }
        "code" => ExitCode::from(7),
        "well" => ExitCode::SUCCESS,
        "abort" => std::process::abort(),
        "panic" => panic!("a mistake"),
        "asked" => {
            // Ends in order when it is asked to.
            crate::stage::until("a request to end", early::asked);
            std::fs::write("asked", early::asked().expect("just seen").name())
                .expect("our own directory");
            away.failed(5, "was asked to end").expect("somebody waits");
            ExitCode::from(5)
        }
        "hang" => {
            // Deaf: nothing but the second signal ends it.
            loop {
                eudaemon_sys::clock::pause(std::time::Duration::from_secs(60));
            }
        }
        // Ready when who waited is dead already, which it is told by a TERM.
        "deserted" => {
            crate::stage::until("a request to end", early::asked);
            let error = away.ready().expect_err("nobody waits");
            let is = matches!(error, DetachError::NobodyWaits);
            std::fs::write("late", format!("{is}")).expect("our own directory");
            ExitCode::FAILURE
        }
        other => panic!("no part {other:?}"),
    }
}

fn wait_for_a_request() {
    use eudaemon_core::words::Signal;
    let (signals, early) = early::hand_over(&[Signal::Term, Signal::Int]).expect("signals");
    if early.is_none() {
        signals
            .wait_for(std::time::Duration::from_secs(60))
            .expect("it is open");
    }
}

/// Words: where the title is, and how long. It is set to something else first, and after the drop if there is one.
fn title() -> ExitCode {
    use eudaemon_sys::title::Title;
    let activation = Activation::of_this_process();
    let word = |at: usize| activation.words()[at].to_str().expect("a test's");
    let drop_to = activation
        .text("DROP")
        .map(|uid| uid.parse().expect("a number"));
    let drop_it = || {
        if let Some(uid) = drop_to {
            let groups = Vec::new();
            let identity = eudaemon_core::account::Identity {
                uid,
                gid: uid,
                groups,
            };
            eudaemon_sys::identity::assume(&identity).expect("root may");
        }
    };
    let title = match word(1) {
        "page" => Title::take(),
        "words" => Title::words(),
        "taken" => {
            let before = std::fs::read("/proc/self/cmdline").expect("procfs");
            let title = Title::take();
            let after = std::fs::read("/proc/self/cmdline").expect("procfs");
            let shown = |line: Vec<u8>| String::from_utf8_lossy(&line).replace('\0', " ");
            write_notes(&[("before", shown(before)), ("after", shown(after))]);
            return title.map_or(ExitCode::FAILURE, |_| ExitCode::SUCCESS);
        }
        "late" => {
            drop_it();
            Title::take()
        }
        other => panic!("no place {other}"),
    };
    let title = title.expect("procfs");
    title.set(&[b'-'; 100]).expect("our own memory");
    if word(1) != "late" {
        drop_it();
    }
    let length: usize = word(2).parse().expect("a number");
    let mut text = "web: running\tok ".repeat(length / 16 + 1);
    text.truncate(length);
    title.set(text.as_bytes()).expect("our own memory");
    write_notes(&[
        ("title", text.replace('\t', " ")),
        ("keep", std::env::var("KEEP").unwrap_or_default()),
        ("word", word(2).to_string()),
    ]);
    eudaemon_sys::clock::pause(std::time::Duration::from_secs(60));
    ExitCode::SUCCESS
}

/// Starts the same child twice, as it is and scrubbed.
fn child() -> ExitCode {
    use eudaemon::child::Scrubbed;
    // By way of a file and a shell of its own: one that makes a pipe, or sends elsewhere, has more open for a moment.
    let script = "env; grep ^Sig /proc/self/status; (ls /proc/$$/fd >fds); sed 's/^/fd /' fds";
    let _signals = eudaemon_sys::signal::Signals::only(&[
        eudaemon_core::words::Signal::Hup,
        eudaemon_core::words::Signal::Term,
    ])
    .expect("the kernel has signals");
    for is_clean in [false, true] {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script]);
        if is_clean {
            println!("CLEAN");
            command.scrubbed();
        }
        let status = command.status().expect("a shell");
        assert!(status.success());
    }
    ExitCode::SUCCESS
}

/// Words: what it does between the start of its life and the loop that reads signals.
fn signals() -> ExitCode {
    use eudaemon_core::words::Signal;
    let activation = Activation::of_this_process();
    let lines = || {
        let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
        let line = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.map_or_else(String::new, |value| value.trim().to_string())
        };
        ["SigBlk:", "SigIgn:", "SigCgt:"].map(line)
    };
    let found = lines();
    early::begin().expect("the kernel has signals");
    let begun = lines();
    let note = |after: [String; 3]| {
        let mut pairs = Vec::new();
        for (when, lines) in [("found", &found), ("begun", &begun), ("after", &after)] {
            let [blocked, ignored, caught] = lines.clone();
            pairs.extend([(when, "blocked", blocked), (when, "ignored", ignored)]);
            pairs.push((when, "caught", caught));
        }
        let pairs: Vec<(String, String)> = pairs
            .into_iter()
            .map(|(when, what, value)| (format!("{when}_{what}"), value))
            .collect();
        let pairs: Vec<(&str, String)> = pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        write_notes(&pairs);
    };
    let all = [
        Signal::Term,
        Signal::Int,
        Signal::Hup,
        Signal::Ttin,
        Signal::Ttou,
    ];
    let hand_over = || early::hand_over(&all).expect("the kernel has signals");
    match activation.words()[1].to_str() {
        Some("look") => {
            let (_reader, asked) = hand_over();
            assert_eq!(asked, None);
            note(lines());
            ExitCode::SUCCESS
        }
        // `init` waits for something for a minute, and a signal ends the wait.
        Some("init") => {
            note(lines());
            eudaemon_sys::clock::pause(std::time::Duration::from_secs(60));
            let asked = early::asked().map_or(0, Signal::number_linux);
            ExitCode::from(asked)
        }
        Some("deaf") => {
            note(lines());
            loop {
                eudaemon_sys::clock::pause(std::time::Duration::from_secs(60));
            }
        }
        // One signal comes at some moment, and must be found on one of the two ways, and on one alone.
        Some("between") => {
            std::fs::write("begun", "").expect("our own directory");
            let steps: u32 = activation
                .text("STEPS")
                .expect("given")
                .parse()
                .expect("a number");
            for _ in 0..steps {
                std::hint::black_box(early::asked());
            }
            let (reader, asked) = hand_over();
            if asked.is_some() {
                return ExitCode::from(10 + u8::from(reader.next().is_some()));
            }
            let came = reader.wait_for(std::time::Duration::from_secs(10));
            assert!(came.expect("it is open"), "lost");
            assert_eq!(reader.next(), Some(Signal::Term));
            ExitCode::from(20 + u8::from(reader.next().is_some()))
        }
        other => panic!("no part {other:?}"),
    }
}

/// Words: what becomes of the file.
fn pidfile() -> ExitCode {
    use eudaemon::pidfile::{Pidfile, PidfileError, Removed};
    let activation = Activation::of_this_process();
    let held = match Pidfile::acquire("web.pid") {
        Ok(held) => held,
        Err(PidfileError::AlreadyRunning { pid, .. }) => {
            println!("{}", pid.unwrap_or(0));
            return ExitCode::from(9);
        }
        Err(error) => panic!("{error:?}"),
    };
    match activation.words()[1].to_str() {
        Some("hold") => {
            write_notes(&[("pid", std::process::id().to_string())]);
            eudaemon_sys::clock::pause(std::time::Duration::from_secs(60));
            ExitCode::SUCCESS
        }
        // A child that never heard of it has a copy of everything open, and then executes something that stays.
        #[allow(clippy::zombie_processes, reason = "it is to outlive this process")]
        Some("leave") => {
            let mut command = std::process::Command::new("sleep");
            let child = command.arg("60").spawn().expect("coreutils");
            write_notes(&[("child", child.id().to_string())]);
            ExitCode::SUCCESS
        }
        Some("fork") => {
            let forked = eudaemon_sys::process::fork(|| {
                let removed = held.remove().expect("nothing is done");
                u8::from(removed != Removed::NotOurs)
            });
            let ended = eudaemon_sys::exec::wait(forked.expect("one thread")).expect("our child");
            assert!(ended.is_success());
            assert!(std::fs::exists("web.pid").expect("our own directory"));
            ExitCode::SUCCESS
        }
        Some("rewrite") => {
            let first = std::process::id();
            let forked = eudaemon_sys::process::fork(|| {
                let mut held = held;
                let read = || std::fs::read_to_string("web.pid").expect("our own directory");
                assert_eq!(read(), format!("{first}\n"));
                held.rewrite().expect("our own file");
                assert_eq!(read(), format!("{}\n", std::process::id()));
                // Its parent's copy is closed by now, and the lock is held.
                assert!(Pidfile::acquire("web.pid").is_err());
                u8::from(held.remove().expect("our own") != Removed::Unlinked)
            });
            let ended = eudaemon_sys::exec::wait(forked.expect("one thread")).expect("our child");
            ExitCode::from(u8::from(!ended.is_success()))
        }
        Some("drop") => {
            let identity = eudaemon_core::account::Identity {
                uid: 65534,
                gid: 65534,
                groups: Vec::new(),
            };
            eudaemon_sys::identity::assume(&identity).expect("root may");
            let removed = held.remove().expect("the file is open");
            ExitCode::from(u8::from(removed != Removed::Emptied))
        }
        other => panic!("no part {other:?}"),
    }
}
