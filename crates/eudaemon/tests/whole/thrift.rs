//! What a service uses: nothing while nothing happens, and no more than there is.

use super::Test;
use super::stage::{FOLDER, LONG, ROLE, Scratch, until};
use eudaemon::testing::Manager;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

pub const TESTS: &[Test] = &[
    (
        "without_descriptors_it_waits_and_then_goes_on",
        without_descriptors_it_waits_and_then_goes_on,
    ),
    (
        "clients_who_wait_or_are_gone_cost_nothing",
        clients_who_wait_or_are_gone_cost_nothing,
    ),
];

/// What a process has used of a processor, in all its threads. Source: `proc_pid_stat(5)`, utime and stime, in hundredths of a
/// second.
fn used(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    let (_, fields) = stat.rsplit_once(')').expect("its name is in parentheses");
    let fields = fields.split_whitespace().skip(11).take(2);
    let hundredths: u64 = fields
        .map(|field| field.parse::<u64>().expect("ticks"))
        .sum();
    Duration::from_millis(hundredths * 10)
}

/// A connection that cannot be accepted stays in its queue, so the socket can be read from at once again: whoever asks at once
/// spins. That is true of the service's socket and of our own, for control.
fn without_descriptors_it_waits_and_then_goes_on() {
    let scratch = Scratch::new();
    let mut few = Command::new("sh");
    few.args(["-c", "ulimit -n 40 && exec \"$0\" \"$@\""]);
    few.arg(std::env::current_exe().expect("procfs"));
    let door = scratch.path("control");
    few.arg(format!("--service.control={}", door.display()));
    few.stderr(std::fs::File::create(scratch.path("log")).expect("our own directory"));
    let builder = Manager::builder().environment(ROLE, "holds");
    let manager = builder.environment(FOLDER, &scratch.0).start(few);
    let manager = manager.expect("this program");
    manager.wait_ready(LONG).expect("it is ready");
    let port: u16 = scratch.heard("port").parse().expect("a port");
    let connect = || TcpStream::connect(("127.0.0.1", port)).expect("a place in the queue");
    let crowd: Vec<TcpStream> = (0..60).map(|_| connect()).collect();
    let lines = || scratch.log().matches("unable to accept").count();
    until("the first refusals", || (lines() >= 2).then_some(()));
    // From here on there is none for this one either.
    let mut control = UnixStream::connect(&door).expect("a place in the queue");
    let (begun, lines_before, before) = (Instant::now(), lines(), used(manager.pid()));
    until("more of them", || {
        (lines() >= lines_before + 8).then_some(())
    });
    let (waited, worked) = (begun.elapsed(), used(manager.pid()) - before);
    assert!(waited > Duration::from_millis(600), "{waited:?}");
    assert!(worked < waited / 4, "{worked:?} of {waited:?}");
    // There is room again, and nothing that was in a queue is lost.
    drop(crowd);
    let mut last = connect();
    last.set_read_timeout(Some(LONG)).expect("a limit");
    last.read_exact(&mut [0]).expect("it is served");
    control.set_read_timeout(Some(LONG)).expect("a limit");
    control.write_all(b"health\n").expect("our own side");
    control
        .shutdown(std::net::Shutdown::Write)
        .expect("our own side");
    let mut told = String::new();
    control.read_to_string(&mut told).expect("an answer");
    assert!(told.ends_with("checks.serve: ok\nok\n"), "{told}");
}

/// Whoever waits for an answer is not read from, so that he has said all, or is gone, must not wake anybody again and again.
fn clients_who_wait_or_are_gone_cost_nothing() {
    let scratch = Scratch::new();
    let door = scratch.path("control");
    let control = format!("--service.control={}", door.display());
    let fifo = scratch.path("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("mkfifo").success());
    let manager = scratch.managed(Manager::builder(), "reload-asleep", &[&control]);
    manager.wait_ready(LONG).expect("it is ready");
    let client = |said: &str| {
        let mut client = UnixStream::connect(&door).expect("it is let in");
        client.set_read_timeout(Some(LONG)).expect("a limit");
        client.write_all(said.as_bytes()).expect("our own side");
        client
    };
    let no_more = |client: &UnixStream| {
        let shut = client.shutdown(std::net::Shutdown::Write);
        shut.expect("our own side");
    };
    let told = |mut client: UnixStream| {
        let mut told = String::new();
        client.read_to_string(&mut told).expect("an answer");
        told
    };
    let silent = client("");
    let waiting = client("reload\n");
    no_more(&waiting);
    let gone = client("reload\n");
    drop(gone);
    let asked = client("health\n");
    no_more(&asked);
    assert!(
        told(asked).ends_with("ok\n"),
        "the others were heard before"
    );
    let before = used(manager.pid());
    let (_never, silence) = std::sync::mpsc::channel::<()>();
    let _time_passes = silence.recv_timeout(Duration::from_millis(600));
    let worked = used(manager.pid()) - before;
    assert!(worked < Duration::from_millis(150), "{worked:?}");
    std::fs::write(&fifo, "").expect("somebody reads");
    assert_eq!(told(waiting), "ok\n");
    manager.stop(LONG).expect("it stops");
    assert_eq!(told(silent), "");
}
