use super::*;
use crate::request::{Service, Verb};
use std::io::{BufRead, BufReader};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// A server and the directory of its socket.
struct World {
    dir: PathBuf,
    server: Server,
}

impl World {
    fn new(name: &str) -> World {
        let dir = std::env::temp_dir().join(format!("eud-server-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir(&dir).unwrap();
        let server = Server::bind(&dir.join("control")).unwrap();
        World { dir, server }
    }
    fn client(&mut self) -> (UnixStream, ClientId) {
        let stream = UnixStream::connect(self.dir.join("control")).unwrap();
        let [id] = self.server.accept()[..] else {
            panic!("one client");
        };
        (stream, id)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn answers(stream: UnixStream) -> Vec<Answer> {
    stream
        .set_read_timeout(Some(std::time::Duration::from_secs(5)))
        .unwrap();
    BufReader::new(stream)
        .lines()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect()
}

#[test]
fn a_request_in_two_pieces_is_one_request() {
    let mut world = World::new("pieces");
    let (mut stream, id) = world.client();
    let mut out = Vec::new();
    stream.write_all(br#"{"v":1,"do":"sta"#).unwrap();
    world.server.readable(id, &mut out);
    assert!(out.is_empty());
    stream
        .write_all(b"tus\"}\n\n{\"v\":1,\"do\":\"stop\",\"names\":[\"web\"],\"wait_ms\":5}\n")
        .unwrap();
    world.server.readable(id, &mut out);
    assert_eq!(out.len(), 2);
    assert_eq!(out[0].verb, Verb::Status);
    assert_eq!(out[1].verb, Verb::Stop);
    assert_eq!(out[1].names, ["web"]);
    assert_eq!(out[1].wait_ms, 5);
    assert!(world.server.wants_read(id));
}

#[test]
fn who_stops_writing_still_gets_every_answer() {
    let mut world = World::new("half");
    let (mut stream, id) = world.client();
    let mut out = Vec::new();
    stream.write_all(b"{\"v\":1,\"do\":\"status\"}\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    world.server.readable(id, &mut out);
    assert_eq!(out.len(), 1);
    assert!(
        !world.server.wants_read(id),
        "it would wake the loop for ever"
    );
    assert!(world.server.client_fd(id).is_some());
    let service = Service {
        name: "web".into(),
        ..Service::default()
    };
    world
        .server
        .send(id, &Answer::about("web", Some(service), None));
    world.server.send(id, &Answer::done());
    assert!(world.server.client_fd(id).is_none(), "finished, so let go");
    let got = answers(stream);
    assert_eq!(got.len(), 2);
    assert_eq!(got[0].service.as_ref().unwrap().name, "web");
    assert!(got[1].done);
}

#[test]
fn what_is_no_request_is_refused_and_closed() {
    for (said, why) in [
        (&b"hello\n"[..], "not a request"),
        (b"{\"v\":1,\"do\":\"dance\"}\n", "dance"),
        (b"{\"v\":1,\"do\":\"stop\",\"wait\":5}\n", "wait"),
        (b"{\"v\":2,\"do\":\"dance\"}\n", "version 2"),
        (b"{\"do\":\"status\"}\n", "not a request"),
    ] {
        let mut world = World::new("refused");
        let (mut stream, id) = world.client();
        let mut out = Vec::new();
        stream.write_all(said).unwrap();
        world.server.readable(id, &mut out);
        assert!(out.is_empty());
        assert!(world.server.client_fd(id).is_none());
        let got = answers(stream);
        assert_eq!(got.len(), 1);
        assert!(!got[0].ok && got[0].done);
        assert!(got[0].error.as_ref().unwrap().contains(why), "{:?}", got[0]);
    }
}

#[test]
fn a_line_without_end_is_refused_before_it_fills_the_memory() {
    let mut world = World::new("endless");
    let (mut stream, id) = world.client();
    stream.set_nonblocking(true).unwrap();
    let mut out = Vec::new();
    let mut sent = 0;
    while world.server.client_fd(id).is_some() {
        sent += stream.write(&[b'x'; 4096]).unwrap_or(0);
        world.server.readable(id, &mut out);
        assert!(sent < 4 * LINE_BYTES_MAX, "never refused");
    }
    assert!(sent > LINE_BYTES_MAX);
    assert!(out.is_empty());
}

#[test]
fn who_does_not_read_is_dropped_at_the_bound() {
    let mut world = World::new("deaf");
    let (mut stream, id) = world.client();
    let mut out = Vec::new();
    stream.write_all(b"{\"v\":1,\"do\":\"status\"}\n").unwrap();
    world.server.readable(id, &mut out);
    let answer = Answer::about("web", None, Some("x".repeat(100_000)));
    let mut sent = 0;
    while world.server.client_fd(id).is_some() {
        world.server.send(id, &answer);
        sent += 100_000;
        assert!(sent < 2 * OUTBOX_BYTES_MAX, "never dropped");
    }
    assert!(sent > OUTBOX_BYTES_MAX / 2);
    // Late answers to one who is gone do nothing.
    world.server.send(id, &Answer::done());
}

#[test]
fn a_slow_reader_gets_all_in_order() {
    let mut world = World::new("slow");
    let (mut stream, id) = world.client();
    let mut out = Vec::new();
    stream.write_all(b"{\"v\":1,\"do\":\"status\"}\n").unwrap();
    world.server.readable(id, &mut out);
    for number in 0..5000 {
        let name = format!("service-{number}-{}", "n".repeat(200));
        world.server.send(id, &Answer::about(&name, None, None));
    }
    world.server.send(id, &Answer::done());
    assert!(world.server.wants_write(id));
    let reader = std::thread::spawn(move || {
        let mut lines = BufReader::new(stream).lines();
        let mut seen = 0;
        loop {
            let answer: Answer = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
            if answer.done {
                return seen;
            }
            assert!(
                answer
                    .name
                    .unwrap()
                    .starts_with(&format!("service-{seen}-"))
            );
            seen += 1;
        }
    });
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while world.server.wants_write(id) {
        assert!(std::time::Instant::now() < deadline);
        world.server.writable(id);
    }
    assert_eq!(reader.join().unwrap(), 5000);
}

#[test]
fn one_too_many_is_told_so() {
    let mut world = World::new("many");
    let all: Vec<_> = (0..CLIENTS_MAX).map(|_| world.client()).collect();
    let extra = UnixStream::connect(world.dir.join("control")).unwrap();
    assert!(world.server.accept().is_empty());
    assert!(
        answers(extra)[0]
            .error
            .as_ref()
            .unwrap()
            .contains("too many")
    );
    world.server.close(all[0].1);
    let (_stream, id) = world.client();
    assert!(
        all.iter().all(|(_, old)| *old != id),
        "an id is never used twice"
    );
}

#[test]
fn only_a_dead_socket_is_replaced() {
    let world = World::new("stale");
    let path = world.dir.join("control");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let error = Server::bind(&path).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    let dead = world.dir.join("dead");
    drop(Server::bind(&dead).unwrap());
    assert!(Server::bind(&dead).is_ok());
    let file = world.dir.join("file");
    std::fs::write(&file, "precious").unwrap();
    assert!(Server::bind(&file).is_err());
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
}

#[test]
fn the_next_engine_takes_the_socket_over() {
    let mut world = World::new("inherit");
    let fd = world.server.as_fd().try_clone_to_owned().unwrap();
    let waiting = UnixStream::connect(world.dir.join("control")).unwrap();
    world.server = Server::from_fd(fd).unwrap();
    assert_eq!(world.server.accept().len(), 1);
    drop(waiting);
}
