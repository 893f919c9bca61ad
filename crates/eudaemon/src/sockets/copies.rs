//! Tests of what having copies of open sockets leads to: managers that find theirs changed, orders that are not kept, locks that are
//! taken for sockets.

use super::*;
use crate::inherited::Inherited;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

fn none() -> Sockets {
    Sockets::of(Inherited::default())
}

/// A name of the abstract kind that no other test uses.
fn own(name: &str) -> String {
    format!("@eud-copies-{}-{name}", std::process::id())
}

/// Its flags and its queue are the manager's too: the end of ours is not the end of the socket, nor of who waits there.
#[test]
fn whoever_handed_it_over_has_it_as_it_was() {
    for nonblocking in [false, true] {
        let managers = TcpListener::bind("127.0.0.1:0").unwrap();
        let name = own(&format!("manager-{nonblocking}"));
        let unix = none().get("unix").or_bind(format!("unix:{name}"));
        let managers_unix: UnixListener = unix.unix_listener().unwrap().keep();
        let sockets = Sockets::of(Inherited::made(vec![
            ("web", managers.try_clone().unwrap().into()),
            ("unix", managers_unix.try_clone().unwrap().into()),
        ]));
        let want = |name| match nonblocking {
            true => sockets.get(name).nonblocking(),
            false => sockets.get(name),
        };
        let web = want("web").tcp_listener().unwrap();
        let unix = want("unix").unix_listener().unwrap();
        let mut client = TcpStream::connect(managers.local_addr().unwrap()).unwrap();
        client.write_all(b"x").unwrap();
        drop((web, unix, sockets));
        for fd in [managers.as_raw_fd(), managers_unix.as_raw_fd()] {
            let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix("flags:"));
            let flags = u32::from_str_radix(line.unwrap().trim(), 8).unwrap();
            // Who asked for it has it until the end; it is not taken back from under somebody else.
            assert_eq!(flags & 0o4_000 != 0, nonblocking);
        }
        let (mut served, _) = managers.accept().unwrap();
        served.set_nonblocking(false).unwrap();
        let mut said = [0];
        served.read_exact(&mut said).unwrap();
        assert_eq!(said, *b"x");
    }
}

/// Whatever order they are asked for in, and however often. What names mean, and locks belong to, follows from it.
#[test]
fn the_order_is_that_in_which_they_came() {
    let tcp = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
    let names = ["d", "a", "", "c", "a", "b"];
    let sockets = Sockets::of(Inherited::made(
        names.iter().map(|name| (*name, tcp())).collect(),
    ));
    let of = |one: &table::Active| {
        let listener = TcpListener::from(one.fd.try_clone().unwrap());
        (one.name.clone(), listener.local_addr().unwrap().port())
    };
    let order = || -> Vec<(String, u16)> { sockets.active().unwrap().iter().map(of).collect() };
    let asked = ["b", "a", "c", "a", "", "d"].map(|name| sockets.get(name).tcp_listener().unwrap());
    let first = order();
    let ordered: Vec<&str> = first.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(ordered, names);
    let bound = sockets.get("0").or_bind("tcp:127.0.0.1:0");
    let bound = bound.tcp_listener().unwrap();
    let second = order();
    assert_eq!(second[..6], first);
    assert_eq!(second[6].0, "0");
    for _ in 0..3 {
        let generation = sockets.reset().unwrap();
        let again = ["0", "d", "b", "", "c", "a", "a"]
            .map(|name| generation.get(name).tcp_listener().unwrap());
        assert_eq!(order(), second, "each once, while two generations have it");
        assert!(generation.keep().is_empty());
        drop(again);
    }
    drop((asked, bound));
    assert!(order().is_empty());
}

/// A lock goes with its own socket, wherever that stands: it is no descriptor among others, with a number and a name.
#[test]
fn a_lock_belongs_to_its_socket() {
    let folder = std::env::temp_dir().join(format!("eud-copies-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let sockets = none();
    let paths = ["one", "two"].map(|name| folder.join(name));
    let want = |sockets: &Sockets, at: usize| {
        let address = format!("unix:{}", paths[at].display());
        sockets.get(["one", "two"][at]).or_bind(address)
    };
    let tcp = sockets.get("tcp").or_bind("tcp:127.0.0.1:0");
    let one = want(&sockets, 0).unix_listener().unwrap();
    let tcp = tcp.tcp_listener().unwrap();
    let two = want(&sockets, 1).unix_listener().unwrap();
    let active = sockets.active().unwrap();
    let seen = active.iter().map(|one| {
        let file = one.file.as_ref();
        let is_locked = file.and_then(|file| file.lock()).is_some();
        (one.name.as_str(), file.map(|file| file.path()), is_locked)
    });
    let seen: Vec<_> = seen.collect();
    let (first, second) = (Some(&*paths[0]), Some(&*paths[1]));
    assert_eq!(
        seen,
        [
            ("one", first, true),
            ("tcp", None, false),
            ("two", second, true)
        ]
    );
    drop(active);
    // Through any number of generations nobody else gets the path, and in the end everybody.
    let mut all = vec![(one, two)];
    for _ in 0..3 {
        let generation = sockets.reset().unwrap();
        let next = [0, 1].map(|at| want(&generation, at).unix_listener().unwrap());
        generation.keep();
        all.clear();
        all.push(next.into());
        for at in [0, 1] {
            let stranger = want(&none(), at).unix_listener();
            assert!(matches!(stranger, Err(SocketError::Taken { .. })));
            assert!(UnixStream::connect(&paths[at]).is_ok());
        }
    }
    drop((all, tcp));
    for at in [0, 1] {
        assert!(!paths[at].exists());
        want(&none(), at).unix_listener().unwrap();
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
