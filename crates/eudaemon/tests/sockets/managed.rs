//! The managed set: nobody is refused while it changes, and everybody once nobody serves.

use crate::{Scratch, none};
use eudaemon::Exit;
use eudaemon::sockets::{Bound, Generation, SocketError, Sockets};
use eudaemon_sys::clock::mono;
use eudaemon_sys::poll::{Interest, Poll};
use std::collections::BTreeMap;
use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// How often each file is open in this process, but for the listing itself.
fn open_files() -> BTreeMap<String, usize> {
    let mut open = BTreeMap::new();
    for entry in std::fs::read_dir("/proc/self/fd").unwrap() {
        if let Ok(link) = std::fs::read_link(entry.unwrap().path()) {
            *open.entry(link.to_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    open.remove(&format!("/proc/{}/fd", std::process::id()));
    open
}

/// Where clients come to.
#[derive(Clone, Debug)]
enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Place {
    /// Whether somebody listens there. Two ends of one socket may find each other at a port nobody listens at: that is nobody.
    fn answers(&self) -> bool {
        match self {
            Place::Tcp(at) => TcpStream::connect(at)
                .is_ok_and(|client| client.local_addr().unwrap() != client.peer_addr().unwrap()),
            Place::Unix(path) => UnixStream::connect(path).is_ok(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    DropBound,
    DropExport,
    DropClaimed,
    DropGeneration,
    DropSet,
    ForgetByName,
}

const DEEDS: [Deed; 6] = [
    Deed::DropBound,
    Deed::DropExport,
    Deed::DropClaimed,
    Deed::DropGeneration,
    Deed::DropSet,
    Deed::ForgetByName,
];

/// Every order of these.
fn orders(of: &[Deed]) -> Vec<Vec<Deed>> {
    if of.is_empty() {
        return vec![Vec::new()];
    }
    let begin = |at: usize| {
        let mut rest = of.to_vec();
        let first = rest.remove(at);
        let orders = orders(&rest).into_iter();
        orders.map(move |order| [vec![first], order].concat())
    };
    (0..of.len()).flat_map(begin).collect()
}

/// Everything that may hold one socket.
struct Holders<T> {
    bound: Option<Bound<T>>,
    export: Option<eudaemon::sockets::Export>,
    claimed: Option<Bound<T>>,
    generation: Option<Generation>,
    set: Option<Sockets>,
}

impl<T: AsFd> Holders<T> {
    fn of(get: impl Fn(&Sockets) -> Bound<T>) -> Holders<T> {
        let set = none();
        let bound = get(&set);
        let export = set.export("more", &bound).unwrap();
        let generation = set.reset().unwrap();
        assert_eq!(generation.names(), ["web", "more"]);
        Holders {
            claimed: Some(get(&generation)),
            bound: Some(bound),
            export: Some(export),
            generation: Some(generation),
            set: Some(set),
        }
    }

    /// After each step somebody answers exactly if there is who holds it.
    fn end(mut self, order: &[Deed], place: &Place) {
        for deed in order {
            assert!(
                place.answers() == self.is_held(),
                "{order:?} before {deed:?}"
            );
            match deed {
                Deed::DropBound => drop(self.bound.take()),
                Deed::DropExport => drop(self.export.take()),
                Deed::DropClaimed => drop(self.claimed.take()),
                Deed::DropGeneration => drop(self.generation.take()),
                Deed::DropSet => drop(self.set.take()),
                Deed::ForgetByName => {
                    if let Some(set) = &self.set {
                        let count = |one: &Option<Bound<T>>| usize::from(one.is_some());
                        let served = count(&self.bound) + count(&self.claimed);
                        assert_eq!(set.forget("web"), served, "{order:?}");
                        assert_eq!(set.forget("web"), 0);
                    }
                }
            }
        }
        assert!(!place.answers(), "{order:?}: nobody reads that queue");
    }

    fn is_held(&self) -> bool {
        let is_exported = self.export.is_some() && self.set.is_some();
        let is_bound = self.bound.is_some() || self.claimed.is_some();
        // What the generation was not asked for, it has.
        is_bound || is_exported || self.generation.is_some()
    }
}

/// Whoever is the last to let go of it, in whichever order: from then on who connects is refused, and does not wait for ever.
#[test]
fn behind_the_last_holder_nobody_waits() {
    let scratch = Scratch::new();
    let before = open_files();
    for order in orders(&DEEDS) {
        let tcp = Holders::of(|set| {
            set.get("web")
                .or_bind("tcp:127.0.0.1:0")
                .tcp_listener()
                .unwrap()
        });
        let at = tcp.bound.as_ref().unwrap().local_addr().unwrap();
        tcp.end(&order, &Place::Tcp(at));
        let path = scratch.path("web.sock");
        let address = format!("unix:{}", path.display());
        let unix = Holders::of(|set| set.get("web").or_bind(&address).unix_listener().unwrap());
        unix.end(&order, &Place::Unix(path.clone()));
        assert!(!path.exists(), "{order:?}");
        assert_eq!(open_files(), before, "{order:?}");
    }
}

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

/// What many threads do at once is nothing in the end.
#[test]
fn many_threads_at_once() {
    let _one = Scratch::new();
    let before = open_files();
    let sockets = none();
    let kept = sockets
        .get("kept")
        .or_bind("tcp:127.0.0.1:0")
        .tcp_listener()
        .unwrap();
    let line = Barrier::new(8);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (sockets, line, kept) = (sockets.clone(), &line, &kept);
            scope.spawn(move || {
                let own = format!("own-{thread}");
                line.wait();
                for round in 0..200 {
                    let one = sockets
                        .get(&own)
                        .or_bind("tcp:127.0.0.1:0")
                        .tcp_listener()
                        .unwrap();
                    let more = sockets.export("shared", &one).unwrap();
                    let next = sockets.reset().unwrap();
                    let again = next.get(&own).tcp_listener().unwrap();
                    assert_eq!(again.local_addr().unwrap(), one.local_addr().unwrap());
                    match round % 4 {
                        0 => drop((one, more)),
                        1 => assert_eq!(sockets.forget(&own), 2),
                        2 => assert!(sockets.forget_object(&one).unwrap() >= 2),
                        _ => assert!(sockets.forget("shared") <= 8),
                    }
                    assert!(!next.names().contains(&own));
                    let unclaimed = next.keep();
                    assert!(unclaimed.contains(&"kept".to_owned()), "{unclaimed:?}");
                    drop(again);
                    assert!(TcpStream::connect(kept.local_addr().unwrap()).is_ok());
                }
            });
        }
    });
    assert_eq!(sockets.reset().unwrap().names(), ["kept"]);
    drop(kept);
    assert_eq!(sockets.reset().unwrap().names(), [""; 0]);
    assert_eq!(open_files(), before);
}

/// Of one name, one of many asks gets it: nothing is had twice.
#[test]
fn what_is_claimed_is_claimed_once() {
    let _one = Scratch::new();
    let sockets = none();
    let _bound = sockets
        .get("web")
        .or_bind("tcp:127.0.0.1:0")
        .tcp_listener()
        .unwrap();
    for _ in 0..200 {
        let next = sockets.reset().unwrap();
        let line = Barrier::new(4);
        let claim = || {
            line.wait();
            next.get("web").tcp_listener()
        };
        let got: Vec<_> = std::thread::scope(|scope| {
            let all = [(); 4].map(|()| scope.spawn(claim));
            all.map(|one| one.join().unwrap()).into_iter().collect()
        });
        assert_eq!(got.iter().filter(|one| one.is_ok()).count(), 1);
        let is_missing = |one: &_| matches!(one, Err(SocketError::Missing { .. }));
        assert!(got.iter().all(|one| one.is_ok() || is_missing(one)));
    }
}

#[test]
fn names_that_cannot_be_handed_on_are_refused() {
    let _one = Scratch::new();
    let sockets = none();
    let pipe = std::io::pipe().unwrap().0;
    for name in ["a:b", "a\nb", "\u{e4}", &"x".repeat(256)] {
        let error = sockets.export(name, &pipe).unwrap_err();
        assert!(matches!(error, SocketError::Name { .. }), "{error}");
        assert_eq!(error.exit(), Exit::Config);
        let error = sockets.get(name).or_bind("tcp:127.0.0.1:0").tcp_listener();
        assert!(matches!(error, Err(SocketError::Name { .. })));
        assert!(sockets.tcp_listener(name, "127.0.0.1:0").is_err());
    }
    let error = sockets.export("eudaemon.stored", &pipe).unwrap_err();
    assert_eq!(
        error.to_string(),
        "eudaemon.stored is a name the library keeps for itself"
    );
    let error = sockets.get("eudaemon.stored").owned();
    assert!(matches!(error, Err(SocketError::Reserved { .. })));
    let long = "x".repeat(255);
    let _all = ["", "eudaemon", &long].map(|name| sockets.export(name, &pipe).unwrap());
    assert_eq!(sockets.reset().unwrap().names(), ["", "eudaemon", &long]);
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

/// One of two copies does not know of the file, and is closed behind the one that does.
#[test]
fn a_file_is_removed_behind_the_last_of_many_copies() {
    let scratch = Scratch::new();
    let path = scratch.path("web.sock");
    let address = format!("unix:{}", path.display());
    let sockets = none();
    let bound = sockets.get("web").or_bind(address).unix_listener().unwrap();
    let next = sockets.reset().unwrap();
    assert_eq!(sockets.forget("web"), 1);
    let _export = sockets.export("web", &bound).unwrap();
    drop(bound);
    assert!(path.exists());
    assert_eq!(next.forget("web"), 2);
    assert!(!path.exists());
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
