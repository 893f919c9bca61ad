//! The control socket, the debug server, the profile and `service.do`, by their options.

use super::Test;
use super::stage::{LONG, Scratch, stderr};
use eudaemon::testing::Manager;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

pub const TESTS: &[Test] = &[
    (
        "the_control_socket_answers_when_it_has_happened",
        the_control_socket_answers_when_it_has_happened,
    ),
    (
        "the_debug_server_shows_the_options",
        the_debug_server_shows_the_options,
    ),
    (
        "a_profile_is_written_at_the_end",
        a_profile_is_written_at_the_end,
    ),
    (
        "do_shows_a_unit_and_runs_nothing",
        do_shows_a_unit_and_runs_nothing,
    ),
];

/// The lines of the answer to an order, up to `ok` or `error …`.
fn order(stream: &UnixStream, words: &str) -> Vec<String> {
    let mut writer = stream;
    writeln!(writer, "{words}").expect("it listens");
    let mut lines = Vec::new();
    for line in BufReader::new(stream).lines() {
        let line = line.expect("text");
        let is_last = line == "ok" || line.starts_with("error");
        lines.push(line);
        if is_last {
            break;
        }
    }
    lines
}

fn the_control_socket_answers_when_it_has_happened() {
    let scratch = Scratch::new();
    let path = scratch.path("control");
    let option = format!("--service.control={}", path.display());
    let manager = scratch.managed(Manager::builder(), "reload", &[&option]);
    manager.wait_ready(LONG).expect("it says so");
    let stream = UnixStream::connect(&path).expect("it listens");
    let status = order(&stream, "status");
    assert!(status.contains(&"state: ready".to_owned()), "{status:?}");
    assert_eq!(order(&stream, "reload"), ["ok"]);
    // Done, not only begun: what was sent before the answer is there, once the manager has read it.
    manager.wait_status("reloaded 1", LONG).expect("it did");
    scratch.say("wrong");
    let failed = order(&stream, "reload");
    assert!(failed[0].contains("line 3: no such thing"), "{failed:?}");
    assert_eq!(
        order(&stream, "log-level debug").last().map(String::as_str),
        Some("ok")
    );
    assert_eq!(order(&stream, "stop"), ["ok"]);
    assert!(manager.wait_end(LONG).expect("it stops").success());
}

fn the_debug_server_shows_the_options() {
    let scratch = Scratch::new();
    let path = scratch.path("debug");
    let option = format!("--service.debugserveraddr=unix:{}", path.display());
    let manager = scratch.managed(Manager::builder(), "plain", &[&option]);
    manager.wait_ready(LONG).expect("it says so");
    let ask = |what: &str| {
        let mut stream = UnixStream::connect(&path).expect("it listens");
        let request = format!("GET {what} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("it listens");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("text");
        answer
    };
    assert!(ask("/readyz").starts_with("HTTP/1.1 200"));
    let config = ask("/debug/config");
    assert!(config.contains("service.debugserveraddr"), "{config}");
    assert!(ask("/metrics").contains("process_open_fds"));
    assert!(manager.stop(LONG).expect("it stops").success());
    let public = "--service.debugserveraddr=tcp:0.0.0.0:0";
    let refused = scratch.output("plain", &[public]);
    assert!(!refused.status.success());
    assert!(
        stderr(&refused).contains("0.0.0.0:0"),
        "{}",
        stderr(&refused)
    );
}

fn a_profile_is_written_at_the_end() {
    let scratch = Scratch::new();
    let path = scratch.path("cpu.pb.gz");
    let option = format!("--service.cpuprofile={}", path.display());
    let options = [option.as_str(), "--service.uid=nobody"];
    let manager = scratch.managed(Manager::builder(), "plain", &options);
    manager.wait_ready(LONG).expect("it says so");
    assert!(
        manager.stop(LONG).expect("it stops").success(),
        "{}",
        scratch.log()
    );
    let written = std::fs::read(&path).expect("it is there");
    assert_eq!(written.get(..2), Some(&[0x1f, 0x8b][..]), "gzip");
}

fn do_shows_a_unit_and_runs_nothing() {
    let scratch = Scratch::new();
    let options = [
        "--service.do=install",
        "--service.target=systemd:252",
        "--service.dry-run",
        "--service.uid=nobody",
        "--service.log=journal",
    ];
    let output = scratch.output("slow-init", &options);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for words in [
        "slow-init.service",
        "Type=notify",
        "User=nobody",
        "--service.log=journal",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(
        !told.contains("--service.do") && !told.contains("dry-run"),
        "{told}"
    );
    assert!(!scratch.path("begun").exists());
}
