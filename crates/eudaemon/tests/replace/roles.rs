//! The service that is replaced, and what stands in for it.

use eudaemon::handover::Handover;
use eudaemon::needs::{Needs, Preset};
use eudaemon::options::SandboxMode;
use eudaemon::replace::{ReplaceError, Replaced};
use eudaemon::{Builder, Error, Exit, Handle, Manifest, Result, Running};
use eudaemon_core::handover::{Given, Said, VARIABLE};
use eudaemon_sys::passing::{Came, Channel};
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

fn folder() -> PathBuf {
    let folder = std::env::var_os(super::stage::FOLDER);
    folder.expect("the stage sets it").into()
}

/// What the test wants a new process to do; nothing for one that nobody started.
fn asked() -> String {
    let is_new = std::env::var_os(VARIABLE).is_some();
    let asked = std::fs::read_to_string(folder().join("next"));
    asked.ok().filter(|_| is_new).unwrap_or_default()
}

fn park() -> ! {
    loop {
        std::thread::park();
    }
}

pub fn play(role: &OsStr) -> ExitCode {
    match role.to_str().expect("ours") {
        "serves" => serves(Manifest::new("serves").replacing()),
        "serves-filtered" => {
            let mut manifest = Manifest::new("serves").replacing();
            manifest.needs = Needs::serving(8080, Preset::NetworkServer);
            manifest.sandbox = SandboxMode::BestEffort;
            serves(manifest)
        }
        // Nothing was said of being replaced.
        "serves-alone" => serves(Manifest::new("serves")),
        other => panic!("{other}?"),
    }
}

fn serves(manifest: Manifest) -> ExitCode {
    let asked = asked();
    match asked.as_str() {
        "exit" => return ExitCode::from(7),
        "loud" => {
            (0..100).for_each(|line| eprintln!("line {line}"));
            return ExitCode::from(3);
        }
        "hang" => park(),
        "slow" => {
            while self::asked() == "slow" {
                std::thread::yield_now();
            }
        }
        "version" => return speaks(|line| line.send(&Said::unable(1).encode(), &[])),
        "garbage" => return speaks(|line| line.send(b"\x01\xffgarbage", &[])),
        "silent" => {
            return speaks(|line| {
                drop(OwnedFd::from(line));
                Ok(())
            });
        }
        _ => {}
    }
    Builder::of(manifest).run(move |cx| {
        let path = folder().join("web.sock");
        let address = format!("unix:{}", path.display());
        let web = cx.sockets().get("web").mode(0o666).or_bind(address);
        let web = web.unix_listener()?;
        match asked.as_str() {
            "no" => return Err(Error::new(Exit::Config, "web.toml:3: no such thing")),
            "killed" => kill_itself(),
            _ => {}
        }
        let given = cx.handover().cloned();
        Ok(move |cx: Running| {
            if asked == "hang-in-run" {
                park();
            }
            let pid = std::process::id();
            cx.on_replace(move || Ok(format!("from {pid}").into_bytes()));
            cx.status(format_args!("generation {}", cx.generation()));
            cx.ready();
            let handle = cx.handle();
            let mut clients = Vec::new();
            cx.serve(&web, |client, _| {
                let (handle, given) = (handle.clone(), given.clone());
                clients.push(std::thread::spawn(move || {
                    answer(client, &handle, given.as_ref());
                }));
            })?;
            // Whoever is connected is served to the end.
            drop(web);
            for client in clients {
                client.join().expect("it only answers");
            }
            Ok(())
        })
    })
}

/// One that has nothing but the line: it says one thing, and stays.
fn speaks(say: impl FnOnce(Channel) -> std::io::Result<()>) -> ExitCode {
    let line = Channel::from(eudaemon_sys::hand::take_one(3).expect("it was handed one"));
    let mut bytes = [0; eudaemon_core::handover::FRAME_MOST];
    loop {
        let came = line.receive(&mut bytes, true, drop).expect("a line");
        let Came::Message(length) = came else {
            panic!("{came:?}")
        };
        let given = Given::decode(&bytes[..length]).expect("ours");
        if matches!(given, Given::End { .. }) {
            break;
        }
    }
    say(line).expect("somebody hears");
    park()
}

fn kill_itself() -> ! {
    let own = eudaemon_core::words::Pid::new(std::process::id()).expect("a process id");
    eudaemon_sys::process::signal_pid(own, eudaemon::Signal::Kill).expect("our own");
    park()
}

/// Answers lines, until the client has no more.
fn answer(client: UnixStream, handle: &Handle, given: Option<&Handover>) {
    let mut to = client.try_clone().expect("a descriptor is free");
    for line in BufReader::new(client).lines().map_while(Result::ok) {
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let words = match verb {
            "who" => std::process::id().to_string(),
            "generation" => given.map_or(0, Handover::generation).to_string(),
            "state" => {
                let state = given.and_then(Handover::state).unwrap_or(b"none");
                String::from_utf8_lossy(state).into_owned()
            }
            "replace" => {
                let milliseconds = rest.parse().expect("milliseconds");
                let deadline = Duration::from_millis(milliseconds);
                told(handle.replace().deadline(deadline).run())
            }
            "replace-with" => told(handle.replace().state(rest).run()),
            "stop" => {
                handle.request_stop();
                "stopping".to_owned()
            }
            other => panic!("{other}?"),
        };
        if writeln!(to, "{}", words.replace('\n', "|")).is_err() {
            return;
        }
    }
}

/// The outcome as a word, and then as people read it.
fn told(outcome: Result<Replaced, ReplaceError>) -> String {
    match outcome {
        Ok(replaced) => format!("replaced {}", replaced.pid()),
        Err(error) => {
            let debug = format!("{error:?}");
            let kind: String = debug
                .chars()
                .take_while(char::is_ascii_alphabetic)
                .collect();
            format!("{kind}: {}", Error::from(error))
        }
    }
}
