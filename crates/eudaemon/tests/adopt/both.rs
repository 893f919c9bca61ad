//! Both halves together, as clients of the control socket and a manager see them.

use super::Test;
use super::old::{FOLDER, LONG, ROLE, Scratch, is_locked, text, until};
use eudaemon::testing::{Builder, Manager, What};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

pub const TESTS: &[Test] = &[
    (
        "a_manager_hears_the_one_and_then_the_other",
        a_manager_hears_the_one_and_then_the_other,
    ),
    (
        "clients_stay_connected_through_a_replacement",
        clients_stay_connected_through_a_replacement,
    ),
    (
        "a_replacement_that_fails_is_answered_and_changes_nothing",
        a_replacement_that_fails_is_answered_and_changes_nothing,
    ),
    (
        "a_reload_asked_for_meanwhile_is_answered_once_and_done_once",
        a_reload_asked_for_meanwhile_is_answered_once_and_done_once,
    ),
    (
        "a_stop_asked_for_meanwhile_is_answered_and_leaves_nobody",
        a_stop_asked_for_meanwhile_is_answered_and_leaves_nobody,
    ),
    (
        "clients_stay_connected_through_a_reload",
        clients_stay_connected_through_a_reload,
    ),
    (
        "a_daemon_that_left_its_shell_is_replaced_too",
        a_daemon_that_left_its_shell_is_replaced_too,
    ),
    (
        "the_doors_of_one_that_drains_are_the_other_ones",
        the_doors_of_one_that_drains_are_the_other_ones,
    ),
];

struct World {
    scratch: Scratch,
    manager: Manager,
}

impl World {
    fn new(builder: Builder, options: &[&str]) -> World {
        let scratch = Scratch::new();
        let option = |name: &str| format!("--service.{name}={}", scratch.path(name).display());
        let own = ["control", "pidfile", "ready-file"].map(option);
        let mut command = Command::new(std::env::current_exe().expect("procfs"));
        let log = std::fs::File::create(scratch.path("log")).expect("our own directory");
        command
            .args(own)
            .args(options)
            .stdin(Stdio::null())
            .stderr(log);
        let manager = builder
            .environment(ROLE, "both")
            .environment(FOLDER, &scratch.0)
            .start(command)
            .expect("this program");
        let ready = manager.wait_ready(LONG);
        assert!(ready.is_ok(), "{ready:?}: {}", text(&scratch.path("log")));
        World { scratch, manager }
    }

    fn client(&self) -> Client {
        let stream = UnixStream::connect(self.scratch.path("control")).expect("it listens");
        stream.set_read_timeout(Some(LONG)).expect("our own");
        Client(BufReader::new(stream))
    }

    fn log(&self) -> String {
        text(&self.scratch.path("log"))
    }

    fn say(&self, name: &str) {
        std::fs::write(self.scratch.path(name), "").expect("our own directory");
    }

    fn unsay(&self, name: &str) {
        std::fs::remove_file(self.scratch.path(name)).expect("our own directory");
    }

    /// Replaces it by way of the control socket; the new process.
    fn replace(&self) -> u32 {
        let lines = self.client().ask("replace");
        assert_eq!(
            lines.last().map(String::as_str),
            Some("ok"),
            "{lines:?}: {}",
            self.log()
        );
        pid(&lines)
    }
}

/// The process id in an answer.
fn pid(lines: &[String]) -> u32 {
    let mut found = lines.iter().filter_map(|line| line.strip_prefix("pid: "));
    found.next().expect("it says so").parse().expect("a number")
}

struct Client(BufReader<UnixStream>);

impl Client {
    fn say(&mut self, words: &str) {
        let said = self.0.get_mut().write_all(words.as_bytes());
        said.expect("it listens");
    }

    /// The lines of one answer.
    fn answer(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).expect("text"), 0, "{lines:?}");
            let line = line.trim_end().to_owned();
            let is_last = line == "ok" || line.starts_with("error");
            lines.push(line);
            if is_last {
                return lines;
            }
        }
    }

    fn ask(&mut self, words: &str) -> Vec<String> {
        self.say(&format!("{words}\n"));
        self.answer()
    }
}

fn has(lines: &[String], line: &str) -> bool {
    lines.iter().any(|there| there == line)
}

/// Waits until a process is gone.
fn wait_gone(pid: u32) {
    let path = format!("/proc/{pid}");
    until("its end", || (!Path::new(&path).exists()).then_some(()));
}

/// Ends the process that is the main one by now, which is nobody's child here.
fn end(pid: u32) {
    let killed = Command::new("kill").arg(pid.to_string()).status();
    assert!(killed.expect("kill").success());
    wait_gone(pid);
}

fn a_manager_hears_the_one_and_then_the_other() {
    let world = World::new(Manager::builder(), &[]);
    let old = world.manager.pid();
    let new = world.replace();
    assert_ne!(new, old);
    world.scratch.heard("ready-1");
    let ended = world.manager.wait_end(LONG).expect("it drains");
    assert!(ended.success(), "{ended}: {}", world.log());
    assert_eq!(world.manager.main_pid(), new);
    assert_eq!(text(&world.scratch.path("pidfile")), format!("{new}\n"));
    assert!(is_locked(&world.scratch.path("pidfile")));
    assert!(world.scratch.path("ready-file").exists());
    let events = world.manager.events().into_iter();
    let told: Vec<(u32, What)> = events
        .map(|event| (event.pid, event.what))
        .filter(|(_, what)| !matches!(what, What::Barrier | What::Ended(_)))
        .collect();
    let status = |generation: u32| What::Status(format!("generation {generation}"));
    let wanted = [
        (old, status(0)),
        (old, What::Ready),
        (old, What::MainPid(new)),
        (new, What::Ready),
        (new, status(1)),
    ];
    // The first status may have been told on its way, and again with the first ready.
    let told: Vec<_> = told
        .into_iter()
        .filter(|one| *one != (old, status(0)))
        .collect();
    assert_eq!(told, wanted[1..].to_vec());
    assert_eq!(world.manager.violations(), []);
    end(new);
    for name in ["pidfile", "ready-file", "control", "web.sock"] {
        assert!(!world.scratch.path(name).exists(), "{name} is left");
    }
}

fn clients_stay_connected_through_a_replacement() {
    let world = World::new(Manager::builder(), &[]);
    let old = world.manager.pid();
    let mut half = world.client();
    half.say("sta");
    let mut quiet = world.client();
    let lines = quiet.ask("status");
    assert!(
        has(&lines, "generation: 0") && pid(&lines) == old,
        "{lines:?}"
    );
    // Who asks for it is answered by the one that is asked, and what it asks behind that is asked of the other.
    let mut asks = world.client();
    asks.say("replace\nstatus\n");
    let lines = asks.answer();
    assert_eq!(lines.len(), 2, "{lines:?}: {}", world.log());
    let new = pid(&lines);
    let lines = asks.answer();
    assert!(
        has(&lines, "generation: 1") && pid(&lines) == new,
        "{lines:?}"
    );
    half.say("tus\n");
    assert_eq!(pid(&half.answer()), new);
    assert_eq!(pid(&quiet.ask("status")), new);
    assert_eq!(pid(&world.client().ask("status")), new);
    // And once more.
    let lines = quiet.ask("replace");
    let third = pid(&lines);
    let lines = half.ask("status");
    assert!(
        has(&lines, "generation: 2") && pid(&lines) == third,
        "{lines:?}"
    );
    let fds = half.ask("fds");
    let named = fds
        .iter()
        .filter(|line| line.contains("socket:[") && line.ends_with(" web"));
    assert!(named.count() > 0, "{fds:?}");
    assert_eq!(half.ask("stop"), ["ok"]);
    let mut rest = String::new();
    half.0.read_to_string(&mut rest).expect("an end");
    assert_eq!(rest, "");
    wait_gone(third);
}

fn a_replacement_that_fails_is_answered_and_changes_nothing() {
    let world = World::new(Manager::builder(), &[]);
    let old = world.manager.pid();
    world.say("wrong");
    let mut client = world.client();
    let lines = client.ask("replace");
    assert!(
        lines[0].starts_with("error: ") && lines[0].contains("web.toml:3: no such thing"),
        "{lines:?}"
    );
    client.say("json replace\n");
    let mut line = String::new();
    client.0.read_line(&mut line).expect("text");
    assert!(line.starts_with("{\"ok\":false,\"error\":\""), "{line}");
    world.unsay("wrong");
    let lines = client.ask("status");
    assert!(
        has(&lines, "state: ready") && pid(&lines) == old,
        "{lines:?}"
    );
    assert_eq!(text(&world.scratch.path("pidfile")), format!("{old}\n"));
    assert!(world.scratch.path("ready-file").exists());
    assert!(world.manager.stop(LONG).expect("it stops").success());
    assert_eq!(world.manager.violations(), []);
}

fn a_reload_asked_for_meanwhile_is_answered_once_and_done_once() {
    let world = World::new(Manager::builder(), &[]);
    world.say("slow");
    let (mut asks, mut reloads) = (world.client(), world.client());
    asks.say("replace\n");
    world.scratch.heard("begun-1");
    reloads.say("reload\nstatus\n");
    // Heard by now: somebody else who asked later is answered.
    let lines = world.client().ask("status");
    assert!(has(&lines, "state: replacing"), "{lines:?}");
    let busy = world.client().ask("replace");
    assert!(
        busy[0].starts_with("error: ") && busy[0].contains("replacing"),
        "{busy:?}"
    );
    world.unsay("slow");
    let new = pid(&asks.answer());
    let lines = reloads.answer();
    assert!(lines[0].contains("was told to reload"), "{lines:?}");
    assert_eq!(
        pid(&reloads.answer()),
        new,
        "and the next is asked of the other"
    );
    world.scratch.heard("reloading-1");
    assert!(!world.scratch.path("reloading-0").exists());
    end(new);
}

fn a_stop_asked_for_meanwhile_is_answered_and_leaves_nobody() {
    let world = World::new(Manager::builder(), &[]);
    world.say("slow");
    let mut asks = world.client();
    asks.say("replace\n");
    world.scratch.heard("begun-1");
    assert_eq!(world.client().ask("stop"), ["ok"]);
    let lines = asks.answer();
    assert!(lines[0].starts_with("error: "), "{lines:?}");
    assert!(world.manager.wait_end(LONG).expect("it stops").success());
    assert!(!world.scratch.path("ready-1").exists());
    let said = |what: What| {
        world
            .manager
            .events()
            .iter()
            .filter(|one| one.what == what)
            .count()
    };
    assert_eq!((said(What::Ready), said(What::Stopping)), (1, 1));
    for name in ["pidfile", "ready-file", "control", "web.sock"] {
        assert!(!world.scratch.path(name).exists(), "{name} is left");
    }
}

fn a_daemon_that_left_its_shell_is_replaced_too() {
    let scratch = Scratch::new();
    let option = |name: &str| format!("--service.{name}={}", scratch.path(name).display());
    let mut command = Command::new(std::env::current_exe().expect("procfs"));
    let command = command
        .args([
            "--service.daemon".to_owned(),
            option("control"),
            option("pidfile"),
        ])
        .arg(format!(
            "--service.log=file:{}",
            scratch.path("log").display()
        ))
        .env_remove("NOTIFY_SOCKET")
        .env(ROLE, "both")
        .env(FOLDER, &scratch.0)
        .stdin(Stdio::null());
    // To its end: the daemon lets go of the pipes when it is ready.
    assert!(command.output().expect("this program").status.success());
    let old: u32 = text(&scratch.path("pidfile"))
        .trim()
        .parse()
        .expect("a number");
    let client = || {
        let stream = UnixStream::connect(scratch.path("control")).expect("it listens");
        Client(BufReader::new(stream))
    };
    let lines = client().ask("replace");
    let log = text(&scratch.path("log"));
    assert_eq!(
        lines.last().map(String::as_str),
        Some("ok"),
        "{lines:?}: {log}"
    );
    let new = pid(&lines);
    wait_gone(old);
    assert_eq!(text(&scratch.path("pidfile")), format!("{new}\n"));
    let link = |name: &str| std::fs::read_link(format!("/proc/{new}/{name}")).expect("it lives");
    assert_eq!(link("cwd"), Path::new("/"));
    assert_eq!(
        link("fd/2"),
        Path::new("/dev/null"),
        "as that of the old one"
    );
    let status = std::fs::read_to_string(format!("/proc/{new}/status")).expect("it lives");
    assert!(status.contains("Umask:\t0027"), "{status}");
    assert_eq!(pid(&client().ask("status")), new);
    end(new);
    assert!(!scratch.path("pidfile").exists() && !scratch.path("control").exists());
}

fn clients_stay_connected_through_a_reload() {
    let world = World::new(Manager::builder(), &[]);
    let mut half = world.client();
    half.say("sta");
    let mut reloads = world.client();
    world.say("slow-reload");
    reloads.say("reload\nstatus\n");
    world.scratch.heard("reloading-0");
    // One that asks for a replacement meanwhile is told what is in the way.
    let busy = world.client().ask("replace");
    assert!(
        busy[0].starts_with("error: ") && busy[0].contains("reloading"),
        "{busy:?}"
    );
    half.say("tus\n");
    assert!(has(&half.answer(), "state: reloading"));
    world.unsay("slow-reload");
    assert_eq!(reloads.answer(), ["ok"]);
    let lines = reloads.answer();
    assert!(has(&lines, "status: reloaded in 0"), "{lines:?}");
    assert!(world.manager.stop(LONG).expect("it stops").success());
}

fn the_doors_of_one_that_drains_are_the_other_ones() {
    let port = "--service.debugserveraddr=tcp:127.0.0.1:0";
    let world = World::new(Manager::builder(), &[port]);
    let old = world.manager.pid();
    let at = debug_port(old);
    let mut kept = TcpStream::connect(at).expect("it listens");
    kept.set_read_timeout(Some(LONG)).expect("our own");
    // A request that was begun before.
    kept.write_all(b"GET /livez HTTP/1.1\r\nHost: local")
        .expect("it listens");
    let mut idle = TcpStream::connect(at).expect("it listens");
    idle.set_read_timeout(Some(LONG)).expect("our own");
    let lives = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    idle.write_all(lives).expect("it listens");
    assert!(idle.read(&mut [0; 4096]).expect("an answer") > 0);
    world.say("slow-drain");
    let new = world.replace();
    world.scratch.heard("ready-1");
    assert_eq!(
        idle.read(&mut [0; 4096]).expect("an end"),
        0,
        "one that is idle is let go"
    );
    kept.write_all(b"host\r\nConnection: close\r\n\r\n")
        .expect("it listens");
    let mut answer = String::new();
    kept.read_to_string(&mut answer).expect("text");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(debug_port(new), at);
    let mut fresh = TcpStream::connect(at).expect("it listens");
    fresh
        .write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("it listens");
    let mut answer = String::new();
    fresh.read_to_string(&mut answer).expect("text");
    assert!(
        answer.starts_with("HTTP/1.1 200"),
        "the old one would say that it stops: {answer}"
    );
    assert_eq!(pid(&world.client().ask("status")), new);
    world.unsay("slow-drain");
    assert!(world.manager.wait_end(LONG).expect("it drains").success());
    assert!(world.scratch.path("control").exists());
    end(new);
}

/// Where the debug server of a process listens, which is the only thing of this kind that it has.
fn debug_port(pid: u32) -> std::net::SocketAddr {
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives");
    let links = fds.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
    let sockets: Vec<String> = links
        .filter_map(|link| {
            let name = link.to_string_lossy().into_owned();
            Some(name.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).expect("procfs");
    let mut lines = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    // proc_pid_net(5): local address, state (0A is LISTEN), and the inode in the tenth column.
    let found = lines.find_map(|line| {
        let is_it = line.get(3) == Some(&"0A")
            && sockets.iter().any(|own| line.get(9) == Some(&own.as_str()));
        is_it.then(|| line[1].rsplit_once(':').expect("a port").1.to_owned())
    });
    let port = u16::from_str_radix(&found.expect("it listens"), 16).expect("a number");
    ([127, 0, 0, 1], port).into()
}
