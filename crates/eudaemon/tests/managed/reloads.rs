//! Another configuration in the same process: nobody is refused on what is kept.

use crate::{Place, Scratch, none, open_files};
use eudaemon::Exit;
use eudaemon::sockets::{Bound, SocketError, Sockets};
use eudaemon_sys::clock::mono;
use eudaemon_sys::poll::{Interest, Poll};
use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// A configuration that is served, until the pipe's other end is gone.
struct Serving {
    end: PipeWriter,
    loops: Vec<JoinHandle<()>>,
}

fn serve<T: AsFd + Send + 'static>(
    listener: Bound<T>,
    end: PipeReader,
    accept: impl Fn(&T) -> std::io::Result<()> + Send + 'static,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut poll = Poll::new().unwrap();
        poll.add(&end, 0, Interest::Read).unwrap();
        poll.add(&listener, 1, Interest::Read).unwrap();
        loop {
            let mut ready = Vec::new();
            poll.wait(mono(), None, &mut ready).unwrap();
            if ready.iter().any(|one| one.token == 0) {
                return;
            }
            match accept(&listener) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                accepted => accepted.unwrap(),
            }
        }
    })
}

/// A client that is gone is nobody's concern: `Place::answers` only looks.
fn say(mut client: impl Write) {
    let _ = client.write_all(b"x");
}

/// Serves these names at these addresses; nothing of it if one of them is not to be had.
fn open(sockets: &Sockets, of: &[(&str, String)]) -> Result<(Serving, Vec<Place>), SocketError> {
    let mut tcp = Vec::new();
    let mut unix = Vec::new();
    let mut places = Vec::new();
    for (name, address) in of {
        let want = sockets.get(name).or_bind(address).nonblocking();
        match address.strip_prefix("unix:") {
            Some(path) => {
                unix.push(want.unix_listener()?);
                places.push(Place::Unix(path.into()));
            }
            None => {
                let listener = want.tcp_listener()?;
                places.push(Place::Tcp(listener.local_addr().unwrap()));
                tcp.push(listener);
            }
        }
    }
    let (reader, end) = std::io::pipe().unwrap();
    let mut loops = Vec::new();
    for listener in tcp {
        let answer = |from: &TcpListener| from.accept().map(|one| say(one.0));
        loops.push(serve(listener, reader.try_clone().unwrap(), answer));
    }
    for listener in unix {
        let answer = |from: &UnixListener| from.accept().map(|one| say(one.0));
        loops.push(serve(listener, reader.try_clone().unwrap(), answer));
    }
    Ok((Serving { end, loops }, places))
}

impl Serving {
    fn end(self) {
        drop(self.end);
        self.loops.into_iter().for_each(|one| one.join().unwrap());
    }
}

/// Connects without a pause until it is over, and is answered each time.
fn client(place: &Place, is_over: &AtomicBool, answered: &AtomicU64) {
    fn ask(mut stream: impl Read) -> Vec<u8> {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it is not reset");
        answer
    }
    while !is_over.load(Ordering::Relaxed) {
        let answer = match place {
            Place::Tcp(at) => ask(TcpStream::connect(at).expect("it is not refused")),
            Place::Unix(path) => ask(UnixStream::connect(path).expect("it is not refused")),
        };
        assert_eq!(answer, b"x");
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

fn inode(path: &Path) -> u64 {
    std::fs::symlink_metadata(path).unwrap().ino()
}

/// Twenty reloads, each with an address that is new, and without the one that was new before; every third fails at first.
#[test]
fn reloads_refuse_nobody() {
    let scratch = Scratch::new();
    let path = scratch.path("kept.sock");
    let kept = |new: (&'static str, &str)| {
        let any = "tcp:127.0.0.1:0".to_owned();
        let unix = format!("unix:{}", path.display());
        [("tcp", any), ("unix", unix), (new.0, new.1.to_owned())]
    };
    let theirs = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("tcp:{}", theirs.local_addr().unwrap());
    let before = open_files();
    let sockets = none();
    let any = "tcp:127.0.0.1:0";
    let (mut serving, mut places) = open(&sockets, &kept(("first", any))).unwrap();
    let file = inode(&path);
    let (is_over, answered) = (
        AtomicBool::new(false),
        [AtomicU64::new(0), AtomicU64::new(0)],
    );
    std::thread::scope(|scope| {
        let clients: Vec<_> = std::iter::zip(&places[..2], &answered)
            .map(|(place, answered)| {
                let place = place.clone();
                let is_over = &is_over;
                scope.spawn(move || client(&place, is_over, answered))
            })
            .collect();
        // What is wrong is told behind: a panic in between would leave the clients running.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..20 {
                // Each meets clients.
                let seen = answered.each_ref().map(|one| one.load(Ordering::Relaxed));
                while std::iter::zip(&answered, seen)
                    .any(|(now, then)| now.load(Ordering::Relaxed) < then + 10)
                {
                    assert!(
                        clients.iter().all(|one| !one.is_finished()),
                        "round {round}"
                    );
                    std::thread::yield_now();
                }
                if round % 3 == 0 {
                    let next = sockets.reset().unwrap();
                    let error = open(&next, &kept(("other", &taken))).err().unwrap();
                    assert_eq!(error.exit(), Exit::Unavailable);
                    drop(next);
                    let all = sockets.reset().unwrap().names();
                    assert_eq!(all.len(), 3, "{all:?}");
                    assert!(places.iter().all(Place::answers));
                }
                let name = if round % 2 == 0 { "even" } else { "odd" };
                let next = sockets.reset().unwrap();
                let (new, new_places) = open(&next, &kept((name, any))).unwrap();
                assert_eq!(next.keep().len(), 1);
                assert!(places.iter().chain(&new_places).all(Place::answers));
                std::mem::replace(&mut serving, new).end();
                let old = std::mem::replace(&mut places, new_places);
                assert!(!old[2].answers(), "round {round}");
                assert!(places.iter().all(Place::answers), "round {round}");
                assert_eq!(inode(&path), file);
            }
        }));
        is_over.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|one| one.join().unwrap());
        done.unwrap();
    });
    serving.end();
    assert!(!places.iter().any(Place::answers) && !path.exists());
    drop(sockets);
    assert_eq!(open_files(), before);
}

/// Another address is another socket; what is asked for without one is what there is.
#[test]
fn a_changed_address_is_bound_anew() {
    let _one = Scratch::new();
    let sockets = none();
    let old = sockets
        .get("web")
        .or_bind("tcp:127.0.0.1:0")
        .tcp_listener()
        .unwrap();
    let next = sockets.reset().unwrap();
    let new = next
        .get("web")
        .or_bind("tcp:127.0.0.2:0")
        .tcp_listener()
        .unwrap();
    assert_ne!(old.local_addr().unwrap(), new.local_addr().unwrap());
    assert_eq!(next.keep(), ["web"]);
    let next = sockets.reset().unwrap();
    assert_eq!(next.names(), ["web", "web"]);
    let first = next.get("web").tcp_listener().unwrap();
    assert_eq!(first.local_addr().unwrap(), old.local_addr().unwrap());
    // The other way in, with an address of std's.
    let second = next.tcp_listener("web", "127.0.0.2:0").unwrap();
    assert_eq!(second.local_addr().unwrap(), new.local_addr().unwrap());
    // What was exported is known by its name alone.
    let own = TcpListener::bind("127.0.0.1:0").unwrap();
    let _export = sockets.export("own", &own).unwrap();
    let next = sockets.reset().unwrap();
    let again = next
        .get("own")
        .or_bind("tcp:127.0.0.3:0")
        .tcp_listener()
        .unwrap();
    assert_eq!(again.local_addr().unwrap(), own.local_addr().unwrap());
}

/// What is called otherwise now, and is at the same address, is the same socket.
#[test]
fn a_changed_name_is_the_same_socket() {
    let scratch = Scratch::new();
    let path = scratch.path("web.sock");
    let address = format!("unix:{}", path.display());
    let sockets = none();
    let old = sockets
        .get("web")
        .or_bind(&address)
        .unix_listener()
        .unwrap();
    let file = inode(&path);
    let next = sockets.reset().unwrap();
    let new = next.get("www").or_bind(&address).unix_listener().unwrap();
    assert_eq!(next.keep(), [""; 0]);
    drop(old);
    assert_eq!(inode(&path), file);
    assert!(Place::Unix(path.clone()).answers());
    assert_eq!(sockets.reset().unwrap().names(), ["www"]);
    drop(new);
    assert!(!path.exists());
}
