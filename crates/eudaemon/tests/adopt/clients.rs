//! Clients of the control socket that were connected to the process before.

use super::Test;
use super::old::{Ear, LONG, Old, Scratch, Told, bytes};
use eudaemon_core::handover::{Given, Item};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

pub const TESTS: &[Test] = &[
    (
        "a_line_that_was_begun_before_is_ended_after",
        a_line_that_was_begun_before_is_ended_after,
    ),
    (
        "clients_without_a_control_socket_are_let_go",
        clients_without_a_control_socket_are_let_go,
    ),
];

fn client(heard: &str) -> Given {
    Given::Client {
        heard: heard.as_bytes().to_vec(),
        json: false,
    }
}

/// The lines of one answer.
fn answer(of: &mut impl BufRead) -> Vec<String> {
    let mut lines = Vec::new();
    for line in of.lines() {
        let line = line.expect("text");
        let is_last = line == "ok" || line.starts_with("error");
        lines.push(line);
        if is_last {
            break;
        }
    }
    lines
}

fn a_line_that_was_begun_before_is_ended_after() {
    let scratch = Scratch::new();
    let ear = Ear::new(&scratch.0);
    let path = scratch.path("control");
    let door = UnixListener::bind(&path).expect("a new name");
    // One that is in the queue, and whom nobody has let in.
    let mut queued = UnixStream::connect(&path).expect("it listens");
    queued.write_all(b"status\n").expect("it listens");
    let option = format!("--service.control={}", path.display());
    let mut old = Old::start(&scratch.0, "web", &[&option]);
    old.hand(vec![(Item::Control { path: bytes(&path) }, vec![&door])]);
    drop(door);
    assert_eq!(old.heard(), Told::Ready);
    old.give(&Given::Promoted, &[]);
    ear.wait("READY=1");

    let pid = format!("pid: {}", old.pid());
    let is_answered =
        |lines: &[String]| lines.contains(&pid) && lines.contains(&"generation: 1".to_owned());
    let mut queued = BufReader::new(queued);
    assert!(is_answered(&answer(&mut queued)));
    let pair = || UnixStream::pair().expect("a pair");
    // Half a line.
    let (mut half, its_end) = pair();
    half.set_read_timeout(Some(LONG)).expect("our own");
    old.give(&client("sta"), &[&its_end]);
    half.write_all(b"tus\n").expect("it is heard");
    let mut half = BufReader::new(half);
    let lines = answer(&mut half);
    assert!(is_answered(&lines), "{lines:?}");
    // Whole lines, and an end that was said already.
    let (mut whole, its_other_end) = pair();
    whole.set_read_timeout(Some(LONG)).expect("our own");
    whole.shutdown(std::net::Shutdown::Write).expect("our own");
    old.give(
        &client("log-level debug\njson log-level\n"),
        &[&its_other_end],
    );
    drop((its_end, its_other_end));
    let mut told = String::new();
    whole.read_to_string(&mut told).expect("text");
    let json = "{\"ok\":true,\"data\":{\"level\":\"debug\"}}\n";
    assert_eq!(told, format!("level: debug\nok\n{json}"));
    // And it goes on.
    half.get_mut().write_all(b"stop\n").expect("it is heard");
    assert_eq!(answer(&mut half), ["ok"]);
    let (status, words) = old.end();
    assert!(status.success(), "{status}: {words}");
}

fn clients_without_a_control_socket_are_let_go() {
    let scratch = Scratch::new();
    let ear = Ear::new(&scratch.0);
    let mut old = Old::start(&scratch.0, "web", &[]);
    old.hand(Vec::new());
    assert_eq!(old.heard(), Told::Ready);
    old.give(&Given::Promoted, &[]);
    let (mut ours, its_end) = UnixStream::pair().expect("a pair");
    old.give(&client("sta"), &[&its_end]);
    drop(its_end);
    ear.wait("READY=1");
    assert_eq!(ours.read(&mut [0]).expect("an end"), 0);
    old.signal("TERM");
    assert!(old.end().0.success());
}
