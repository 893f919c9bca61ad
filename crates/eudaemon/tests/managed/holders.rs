//! Whoever holds a copy of a socket, and behind the last nobody waits.

use crate::{Place, Scratch, none, open_files};
use eudaemon::Exit;
use eudaemon::sockets::{Bound, Export, Generation, SocketError, Sockets};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::sync::Barrier;

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
    export: Option<Export>,
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

/// A copy that did not know of the file learns of it, and then is the last.
#[test]
fn a_file_goes_with_the_last_of_its_copies() {
    let scratch = Scratch::new();
    let path = scratch.path("web.sock");
    let address = format!("unix:{}", path.display());
    let sockets = none();
    let bound = sockets
        .get("web")
        .or_bind(&address)
        .unix_listener()
        .unwrap();
    let next = sockets.reset().unwrap();
    assert_eq!(sockets.forget("web"), 1);
    let export = sockets.export("more", &bound).unwrap();
    let claimed = next.get("web").unix_listener().unwrap();
    assert_eq!(next.keep(), [""; 0]);
    drop((bound, claimed));
    assert!(Place::Unix(path.clone()).answers());
    drop(export);
    assert!(!path.exists());
}
