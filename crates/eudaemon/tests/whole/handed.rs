//! What others hand to a real process: one connection, a descriptor by its number, a listener that is theirs too; and what happens
//! when there is no room for another. Source: the specification, library T27, T33,
//! T35.

use super::Test;
use super::roles::note;
use super::stage::{FOLDER, LONG, ROLE, Scratch, until};
use eudaemon::sockets::Connection;
use eudaemon::testing::Manager;
use eudaemon::{Builder, Init, Result, Running};
use eudaemon_core::limits::{Limit, Resource};
use eudaemon_core::words::Signal;
use eudaemon_sys::passing::Channel;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub const TESTS: &[Test] = &[
    (
        "systemds_activator_hands_over_one_connection",
        systemds_activator_hands_over_one_connection,
    ),
    (
        "a_connection_is_standard_input_only_if_asked",
        a_connection_is_standard_input_only_if_asked,
    ),
    ("s6_hands_over_one_connection", s6_hands_over_one_connection),
    (
        "a_listener_is_had_by_its_number",
        a_listener_is_had_by_its_number,
    ),
    (
        "what_is_shared_is_left_as_it_is_at_the_end",
        what_is_shared_is_left_as_it_is_at_the_end,
    ),
    (
        "no_room_for_another_is_waited_for_and_not_spun_at",
        no_room_for_another_is_waited_for_and_not_spun_at,
    ),
    (
        "what_there_is_no_room_for_is_missed_and_nothing_else",
        what_there_is_no_room_for_is_missed_and_nothing_else,
    ),
];

/// Where a role listens, by its test.
const ADDRESS: &str = "EUDAEMON_WHOLE_ADDRESS";

/// Says who it is to, and no more.
fn greet(found: Option<Connection>) -> Result<impl FnOnce(Running) -> Result<()> + use<>> {
    let Some(connection) = found else {
        note("none", "");
        return Err(eudaemon::Error::config("there is no connection"));
    };
    // What is printed by mistake.
    println!("stray");
    eprintln!("stray");
    let peer = connection.peer().map(ToString::to_string);
    Ok(move |_: Running| {
        let mut client = File::from(OwnedFd::from(connection));
        let peer = peer.unwrap_or_default();
        client.write_all(format!("hello {peer}\n").as_bytes())?;
        Ok(())
    })
}

fn listens(cx: &Init<'_>) -> Result<impl FnOnce(Running) -> Result<()> + use<>> {
    let mut web = cx.sockets().get("web");
    if let Some(address) = cx.activation().text(ADDRESS) {
        web = web.or_bind(address);
    }
    let web = web.tcp_listener()?;
    Ok(move |cx: Running| {
        cx.ready();
        cx.serve(&web, |mut client, _| {
            let _ = client.write_all(b"x");
        })
    })
}

/// Services for these tests; `None` if it is none of them.
pub fn play(role: &str) -> Option<ExitCode> {
    Some(match role {
        "one-connection" => Builder::new("one").run(|cx| greet(cx.sockets().connection()?)),
        "one-or-stdin" => Builder::new("one").run(|cx| greet(cx.sockets().connection_or_stdin()?)),
        "listens" => Builder::new("listens").run(|cx| listens(cx)),
        "full" => Builder::new("full").run(|cx| {
            let web = cx.sockets().get("web").or_bind("tcp:127.0.0.1:0");
            let web = web.tcp_listener()?;
            Ok(move |cx: Running| {
                let held = Arc::new(Mutex::new(Vec::new()));
                let clears = held.clone();
                cx.on_signal(Signal::Usr1, move || {
                    clears.lock().map(|mut all| all.clear()).ok();
                })?;
                note("port", web.local_addr()?.port().to_string());
                let open = std::fs::read_dir("/proc/self/fd")?.count();
                let most = u64::try_from(open).unwrap_or(0) + 2;
                let limit = Limit {
                    soft: most,
                    ..eudaemon_sys::limits::get(Resource::OpenFiles)?
                };
                eudaemon_sys::limits::set(Resource::OpenFiles, limit)?;
                cx.ready();
                cx.serve(&web, |mut client, _| {
                    let _ = client.write_all(b"x");
                    held.lock().map(|mut all| all.push(client)).ok();
                })
            })
        }),
        "meager" => {
            meager().expect("a judge's own calls");
            ExitCode::SUCCESS
        }
        _ => return None,
    })
}

/// Is sent more descriptors than it has room for.
fn meager() -> std::io::Result<()> {
    let (sender, receiver) = Channel::pair()?;
    let null = File::open("/dev/null")?;
    let open = || std::fs::read_dir("/proc/self/fd").map(Iterator::count);
    let before = open()?;
    let limit = Limit {
        // That of the listing is free again.
        soft: u64::try_from(before).unwrap_or(0) + 2,
        ..eudaemon_sys::limits::get(Resource::OpenFiles)?
    };
    eudaemon_sys::limits::set(Resource::OpenFiles, limit)?;
    let mut came = String::new();
    for count in [10, 2] {
        sender.send(b"x", &vec![null.as_fd(); count])?;
        let mut fds: Vec<OwnedFd> = Vec::new();
        let message = receiver.receive(&mut [0; 8], false, |fd| fds.push(fd))?;
        let cut = if fds.len() < count { "some" } else { "all" };
        came.push_str(&format!("{message:?} with {cut} of {count}\n"));
    }
    came.push_str(&format!("left: {}\n", open()? - before));
    note("came", came);
    Ok(())
}

fn is_here(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_here = std::env::split_paths(&path).any(|folder| folder.join(program).exists());
    if !is_here {
        assert!(std::env::var_os("EUDAEMON_REQUIRE").is_none(), "{program}");
        eprintln!("SKIPPED: there is no {program}");
    }
    is_here
}

/// The program in a role, started by another one at this path; and what a client is told.
fn told(starter: &mut Command, at: &Path) -> String {
    let mut child = starter.spawn().expect("it is here");
    let mut client = until("a listener", || UnixStream::connect(at).ok());
    client.set_read_timeout(Some(LONG)).expect("a socket");
    let mut text = String::new();
    client.read_to_string(&mut text).expect("it ends");
    child.kill().expect("ours");
    child.wait().expect("ours");
    text
}

fn ourselves() -> std::path::PathBuf {
    std::env::current_exe().expect("procfs")
}

fn systemds_activator_hands_over_one_connection() {
    if !is_here("systemd-socket-activate") {
        return;
    }
    for (options, role) in [
        (&["--accept"][..], "one-connection"),
        (&["--accept", "--fdname=connection"][..], "one-connection"),
        (&["--accept"][..], "one-or-stdin"),
        (&["--accept", "--inetd"][..], "one-or-stdin"),
    ] {
        let scratch = Scratch::new();
        let at = scratch.path("web.sock");
        let mut starter = Command::new("systemd-socket-activate");
        starter.args(options).arg("-l").arg(&at);
        for (name, value) in [(ROLE, role.into()), (FOLDER, scratch.0.clone())] {
            starter.arg(format!("-E{name}={}", value.display()));
        }
        starter.arg(ourselves()).stdout(Stdio::null());
        starter.stderr(File::create(scratch.path("log")).expect("our own directory"));
        let text = told(&mut starter, &at);
        let why = scratch.log();
        assert_eq!(text, "hello a unix socket\n", "{options:?} {role}: {why}");
    }
}

/// As inetd does: the socket is the first two, or all three. What is printed by mistake does not come out there, and nobody else holds it: the
/// client learns the end.
fn a_connection_is_standard_input_only_if_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let start = |role: &str, is_all: bool| {
        let scratch = Scratch::new();
        let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
        let (accepted, peer) = listener.accept().expect("a client");
        let copy = || OwnedFd::from(accepted.try_clone().expect("a descriptor"));
        let mut command = scratch.command(role, &[]);
        command.env_remove("NOTIFY_SOCKET");
        command.stdin(copy()).stdout(copy());
        let log = File::create(scratch.path("log")).expect("our own directory");
        command.stderr(if is_all {
            copy().into()
        } else {
            Stdio::from(log)
        });
        let mut child = command.spawn().expect("this program");
        // Its own copies go with it.
        drop((command, accepted));
        let status = child.wait().expect("ours");
        let mut text = String::new();
        let mut client = client;
        client.read_to_string(&mut text).expect("it ends");
        (status, text, peer, scratch)
    };
    let (status, text, peer, scratch) = start("one-or-stdin", false);
    assert!(status.success(), "{text}");
    assert_eq!(text, format!("hello {peer}\n"));
    assert!(scratch.log().contains("stray"), "standard error is another");
    let (status, text, peer, _scratch) = start("one-or-stdin", true);
    assert!(status.success(), "{text}");
    // Without syslog the log of the start has no other place than the client.
    assert!(text.ends_with(&format!("hello {peer}\n")), "{text}");
    assert!(!text.contains("stray"), "{text}");
    let (status, text, _, scratch) = start("one-connection", false);
    assert_eq!(status.code(), Some(78), "{text}");
    scratch.heard("none");
}

fn s6_hands_over_one_connection() {
    if !is_here("s6-ipcserver") {
        return;
    }
    let scratch = Scratch::new();
    let at = scratch.path("web.sock");
    let mut starter = Command::new("s6-ipcserver");
    starter.arg(&at).arg(ourselves());
    starter.env(ROLE, "one-or-stdin").env(FOLDER, &scratch.0);
    starter.env_remove("NOTIFY_SOCKET").stdout(Stdio::null());
    starter.stderr(File::create(scratch.path("log")).expect("our own directory"));
    let text = told(&mut starter, &at);
    assert_eq!(text, "hello a unix socket\n", "{}", scratch.log());
}

/// By a shell that just leaves it open, and as standard input. It is named by nobody else.
fn a_listener_is_had_by_its_number() {
    for (number, redirection) in [(7, "exec 7<&0 0</dev/null;"), (0, "")] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = listener.local_addr().expect("bound");
        let scratch = Scratch::new();
        let mut command = Command::new("sh");
        command.args(["-c", &format!(r#"{redirection} exec "$0""#)]);
        command.arg(ourselves());
        command.env(ROLE, "listens").env(FOLDER, &scratch.0);
        command.env(ADDRESS, format!("fd:{number}"));
        command.stdin(OwnedFd::from(listener));
        let log = File::create(scratch.path("log")).expect("our own directory");
        command.stderr(log);
        let manager = Manager::builder().start(command).expect("a shell");
        manager.wait_ready(LONG).expect("it says so");
        let mut client = TcpStream::connect(at).expect("it listens");
        assert_eq!(client.read(&mut [0; 2]).expect("it answers"), 1);
        let input = format!("/proc/{}/fd/0", manager.pid());
        let input = std::fs::read_link(input).expect("it lives");
        assert_eq!(input, Path::new("/dev/null"));
        let log = scratch.log();
        assert!(manager.stop(LONG).expect("it stops").success(), "{log}");
        // The last that had it is gone.
        assert!(TcpStream::connect(at).is_err());
    }
}

fn is_nonblocking(fd: impl AsFd) -> bool {
    let path = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
    let text = std::fs::read_to_string(path).expect("procfs");
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = u32::from_str_radix(flags.expect("a line").trim(), 8);
    flags.expect("a number") & 0o4000 != 0
}

/// T27: it is set for who serves, and a manager or a successor that serves on relies on it.
fn what_is_shared_is_left_as_it_is_at_the_end() {
    let scratch = Scratch::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    assert!(!is_nonblocking(&listener));
    let copy = listener.try_clone().expect("a descriptor");
    let builder = Manager::builder().listen("web", copy);
    let manager = scratch.managed(builder, "listens", &[]);
    manager.wait_ready(LONG).expect("it says so");
    let at = listener.local_addr().expect("bound");
    let answered = TcpStream::connect(at).and_then(|mut client| client.read(&mut [0; 2]));
    assert_eq!(answered.expect("it answers"), 1);
    assert!(is_nonblocking(&listener));
    assert!(manager.stop(LONG).expect("it stops").success());
    assert!(is_nonblocking(&listener), "it is not set back");
    // Nor was it shut down: who comes now waits for the next.
    let _client = TcpStream::connect(at).expect("it listens");
    listener.accept().expect("a client");
}

/// T33: EMFILE is there again at once, and the connection stays in the queue.
fn no_room_for_another_is_waited_for_and_not_spun_at() {
    const TRIES: usize = 5;
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "full", &[]);
    manager.wait_ready(LONG).expect("it says so");
    let port: u16 = scratch.heard("port").parse().expect("a number");
    let connect = |_| TcpStream::connect(("127.0.0.1", port)).expect("a queue");
    let clients: Vec<TcpStream> = (0..8).map(connect).collect();
    let tries = || scratch.log().matches("unable to accept").count();
    let switches = || -> u64 {
        let all = super::stage::of_threads(manager.pid(), "voluntary_ctxt_switches");
        all.iter()
            .map(|count| count.parse::<u64>().expect("a number"))
            .sum()
    };
    until("the first error", || (tries() > 0).then_some(()));
    let (begun, first, slept) = (Instant::now(), tries(), switches());
    until("more", || (tries() >= first + TRIES).then_some(()));
    // The first of them may have been about to be tried.
    let least = Duration::from_millis(100) * (TRIES as u32 - 1);
    assert!(begun.elapsed() >= least, "{:?}", begun.elapsed());
    let woken = switches() - slept;
    assert!(woken <= 20 * TRIES as u64, "woken {woken} times");
    // Nobody was lost.
    for mut client in clients {
        client.set_read_timeout(Some(LONG)).expect("a socket");
        manager.signal(Signal::Usr1).expect("it lives");
        client.read_exact(&mut [0]).expect("it is served");
    }
    assert!(manager.stop(LONG).expect("it stops").success());
}

/// T35: what the kernel cannot give (MSG_CTRUNC) it closes; the message comes without, its receiver counts, and the next one is
/// whole. Source: `unix(7)`, SCM_RIGHTS; `recv(2)`.
fn what_there_is_no_room_for_is_missed_and_nothing_else() {
    let scratch = Scratch::new();
    let output = scratch.output("meager", &[]);
    assert!(output.status.success(), "{}", super::stage::stderr(&output));
    let came = scratch.heard("came");
    assert_eq!(
        came,
        "Message(1) with some of 10\nMessage(1) with all of 2\nleft: 0\n"
    );
}
