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
        // Ready when the test says so.
        "late" => {
            crate::stage::until("go", || std::fs::exists("go").expect("ours").then_some(()));
            match away.ready() {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    let is = matches!(error, DetachError::NobodyWaits);
                    std::fs::write("late", format!("{is}")).expect("our own directory");
                    ExitCode::FAILURE
                }
            }
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
