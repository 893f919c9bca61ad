//! The debug server, asked over its sockets as a probe, a scraper, a browser's page and a slow client would.
//!
//! Not tested: a process that is not dumpable; that is seen on a finished daemon.
#![allow(clippy::unwrap_used, reason = "a judge that cannot go on has failed")]
#![cfg(feature = "debug-server")]

use eudaemon::control::LogLevel;
use eudaemon::debug::{Address, BindError, CLIENTS_MAX, DebugGuard, Row, Server, State};
use eudaemon::health::{Health, Phase, Tasks};
use eudaemon::metrics::Registry;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

struct Level(Mutex<String>);

impl LogLevel for Level {
    fn levels(&self) -> Vec<String> {
        vec!["info".to_owned(), "debug".to_owned()]
    }
    fn level(&self) -> String {
        self.0.lock().unwrap().clone()
    }
    fn set_level(&self, level: &str) -> Result<(), String> {
        if level != "debug" {
            return Err("no such level".to_owned());
        }
        level.clone_into(&mut self.0.lock().unwrap());
        Ok(())
    }
}

struct World {
    health: Health,
    tasks: Tasks,
    address: SocketAddr,
    _guard: DebugGuard,
}

fn state(health: &Health, tasks: &Tasks) -> State {
    let row = |name: &str, value: &str| Row {
        name: name.to_owned(),
        value: value.to_owned(),
        source: "flag".to_owned(),
    };
    let rows = vec![
        row("port", "80"),
        row("db.password", "hunter2"),
        row("db", "postgres://me:hunter2@db/x"),
    ];
    State::new(health.clone(), Registry::new())
        .tasks(tasks.clone())
        .level(Arc::new(Level(Mutex::new("info".to_owned()))))
        .config(move || rows.clone())
}

impl World {
    fn new() -> World {
        let (health, tasks) = (Health::new(), Tasks::new());
        health.enter(Phase::Running);
        let server = Server::bind(&"tcp:127.0.0.1:0".parse().unwrap()).unwrap();
        let address = server.local().unwrap();
        let guard = server.serve(state(&health, &tasks)).unwrap();
        World {
            health,
            tasks,
            address,
            _guard: guard,
        }
    }

    fn client(&self) -> TcpStream {
        let client = TcpStream::connect(self.address).unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        client
    }

    /// Sends that and reads to the end: status, head, body.
    fn send(&self, bytes: &[u8]) -> (u16, String, Vec<u8>) {
        let mut client = self.client();
        client.write_all(bytes).unwrap();
        let mut told = Vec::new();
        client.read_to_end(&mut told).unwrap();
        let end = told.windows(4).position(|four| four == b"\r\n\r\n");
        let (head, body) = told.split_at(end.expect("a head") + 4);
        let head = String::from_utf8(head.to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head, body.to_vec())
    }

    fn get(&self, path: &str) -> (u16, String) {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        let (status, head, body) = self.send(request.as_bytes());
        let length = format!("Content-Length: {}\r\n", body.len());
        assert!(head.contains(&length), "{head}");
        (status, String::from_utf8(body).unwrap())
    }
}

#[test]
fn probes_are_answered() {
    let world = World::new();
    for path in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(world.get(path), (200, "ok\n".to_owned()));
    }
    let lease = world.health.lease("acceptor", Duration::ZERO);
    let minor = world.health.minor_lease("cache", Duration::from_secs(3600));
    let (status, words) = world.get("/livez?verbose");
    assert_eq!(status, 503);
    assert!(words.starts_with("[-]acceptor silent for "), "{words}");
    assert!(
        words.ends_with("[+]cache ok\nlivez check failed\n"),
        "{words}"
    );
    drop(lease);
    let all = "[+]cache ok\nreadyz check passed\n".to_owned();
    assert_eq!(world.get("/readyz?verbose"), (200, all));
    drop(minor);
    world.health.enter(Phase::Stopping);
    assert_eq!(world.get("/livez").0, 200);
    let stops = "[-]phase stopping\nreadyz check failed\n".to_owned();
    assert_eq!(world.get("/readyz"), (503, stops));
}

#[test]
fn the_process_is_shown_without_its_secrets() {
    let world = World::new();
    let (status, words) = world.get("/debug/config");
    assert_eq!(status, 200);
    assert!(!words.contains("hunter2"), "{words}");
    assert_eq!(
        words,
        "port = 80  (flag)\ndb.password = (redacted)  (flag)\ndb = postgres://me:(redacted)@db/x  (flag)\n"
    );
    assert!(world.get("/debug/fds").1.contains(" socket socket:["));
    let (_, threads) = world.get("/debug/threads");
    assert!(threads.contains(" eud-debug R "), "{threads}");
    let task = world.tasks.begin("compaction");
    task.now("level 2");
    let (_, tasks) = world.get("/debug/tasks");
    assert!(
        tasks.contains("\ncompaction 0.0s 0.0s level 2\n"),
        "{tasks}"
    );
    let request = b"GET /metrics HTTP/1.0\r\n\r\n";
    let (_, head, body) = world.send(request);
    assert!(
        head.contains(
            "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"
        )
    );
    assert!(body.ends_with(b"\n# EOF\n"));
    assert!(world.get("/").1.contains("/debug/tasks  "));
}

#[test]
fn the_level_is_moved() {
    let world = World::new();
    assert_eq!(world.get("/debug/level"), (200, "info\n".to_owned()));
    let put = b"PUT /debug/level HTTP/1.0\r\nContent-Length: 6\r\n\r\ndebug\n";
    assert_eq!(world.send(put).0, 200);
    assert_eq!(world.get("/debug/level"), (200, "debug\n".to_owned()));
    let wrong = b"POST /debug/level?level=loud HTTP/1.0\r\n\r\n";
    assert_eq!(world.send(wrong).0, 400);
    let page = b"POST /debug/level?level=debug HTTP/1.0\r\nOrigin: http://x\r\n\r\n";
    assert_eq!(world.send(page).0, 403);
}

#[test]
fn what_is_wrong_is_named() {
    let world = World::new();
    assert_eq!(world.get("/nowhere").0, 404);
    let (status, head, _) = world.send(b"POST /livez HTTP/1.0\r\n\r\n");
    assert!(
        status == 405 && head.contains("Allow: GET, HEAD\r\n"),
        "{head}"
    );
    let mut long = b"GET /".to_vec();
    long.extend([b'x'; 10_000]);
    assert_eq!(world.send(&long).0, 431);
    let rebound = b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    assert_eq!(world.send(rebound).0, 421);
    // Begun and not ended in five seconds.
    assert_eq!(world.send(b"GET /livez HT").0, 408);
    let (status, head, body) = world.send(b"HEAD /livez HTTP/1.0\r\n\r\n");
    assert!(status == 200 && body.is_empty() && head.contains("Content-Length: 3\r\n"));
}

#[test]
fn a_line_stays_for_more_and_questions_may_come_together() {
    let world = World::new();
    let one = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let last = "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let (_, _, body) = world.send(format!("{one}{one}{last}").as_bytes());
    let all = String::from_utf8(body).unwrap();
    // The first answer's head is split off.
    assert_eq!(all.matches("HTTP/1.1 200 OK").count(), 2);
    assert_eq!(all.matches("Connection: close").count(), 1);
    assert!(all.ends_with("\r\n\r\nok\n"));
}

#[test]
fn those_who_hold_lines_keep_nobody_out_for_long() {
    let world = World::new();
    let mut held = Vec::new();
    for _ in 0..CLIENTS_MAX {
        let mut client = world.client();
        client
            .write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        let mut some = [0; 12];
        client.read_exact(&mut some).unwrap();
        held.push(client);
    }
    let mut told = String::new();
    world.client().read_to_string(&mut told).unwrap();
    assert!(told.starts_with("HTTP/1.1 503 "), "{told}");
    held.pop();
    // Their patience ends too: what is idle is closed.
    let mut rest = Vec::new();
    held[0].read_to_end(&mut rest).unwrap();
    assert_eq!(world.get("/livez").0, 200);
}

#[test]
fn it_is_private_by_default() {
    for elsewhere in ["tcp:0.0.0.0:0", "tcp:[::]:0", "tcp:192.0.2.1:0"] {
        let refused = Server::bind(&elsewhere.parse().unwrap()).unwrap_err();
        assert!(matches!(refused, BindError::Public(_)), "{refused}");
    }
    Server::public(&"tcp:0.0.0.0:0".parse().unwrap()).unwrap();
    let path = std::env::temp_dir().join(format!("eud-debug-{}", std::process::id()));
    let server = Server::bind(&Address::Unix(path.clone())).unwrap();
    let mode = std::fs::symlink_metadata(&path)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let (health, tasks) = (Health::new(), Tasks::new());
    let guard = server.serve(state(&health, &tasks)).unwrap();
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").unwrap();
    let mut told = String::new();
    client.read_to_string(&mut told).unwrap();
    assert!(
        told.ends_with("[-]phase starting\nreadyz check failed\n"),
        "{told}"
    );
    drop(guard);
    assert!(!path.exists());
}

#[cfg(feature = "profile")]
#[test]
fn a_profile_is_waited_for_and_nobody_waits_with_it() {
    let world = World::new();
    let mut first = world.client();
    let ask = b"GET /debug/profile?seconds=2&hz=200 HTTP/1.0\r\n\r\n";
    // One thread hears what came first first.
    first.write_all(ask).unwrap();
    assert_eq!(world.get("/debug/profile?seconds=0").0, 400);
    let (status, words) = world.get("/debug/profile?seconds=1");
    assert_eq!(status, 503);
    assert_eq!(
        words,
        "unable to take a profile: a profile is already being taken\n"
    );
    assert_eq!(world.get("/livez").0, 200);
    let mut told = Vec::new();
    first.read_to_end(&mut told).unwrap();
    let end = told
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap()
        + 4;
    assert_eq!(&told[end..end + 3], [0x1f, 0x8b, 8]);
}

#[cfg(feature = "tokio")]
#[test]
fn a_runtime_tells_its_numbers() {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).build().unwrap();
    let server = Server::bind(&"tcp:127.0.0.1:0".parse().unwrap()).unwrap();
    let address = server.local().unwrap();
    let state = State::new(Health::new(), Registry::new()).runtime(runtime.handle().clone());
    let _guard = server.serve(state).unwrap();
    let _task = runtime.spawn(std::future::pending::<()>());
    let mut client = TcpStream::connect(address).unwrap();
    client
        .write_all(b"GET /debug/tasks HTTP/1.0\r\n\r\n")
        .unwrap();
    let mut told = String::new();
    client.read_to_string(&mut told).unwrap();
    assert!(
        told.contains("runtime: 1 workers, 1 tasks alive, "),
        "{told}"
    );
}
