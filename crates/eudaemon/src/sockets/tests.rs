mod model;
mod property;

use super::*;
use crate::Exit;
use crate::inherited::{Inherited, Kind};
use eudaemon_core::listen::UNKNOWN;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

fn none() -> Sockets {
    Sockets::of(Inherited::default())
}

fn made(of: Vec<(&str, OwnedFd)>) -> Sockets {
    Sockets::of(Inherited::made(of))
}

fn tcp() -> OwnedFd {
    TcpListener::bind("127.0.0.1:0").unwrap().into()
}

fn udp() -> OwnedFd {
    UdpSocket::bind("127.0.0.1:0").unwrap().into()
}

fn flags(fd: impl std::os::fd::AsFd) -> u32 {
    let path = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
    let text = std::fs::read_to_string(path).unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("flags:"))
        .unwrap();
    u32::from_str_radix(line.trim_start_matches("flags:").trim(), 8).unwrap()
}

const CLOEXEC: u32 = 0o2_000_000;
const NONBLOCK: u32 = 0o4_000;

#[test]
fn a_name_and_then_what_it_is_and_never_its_place() {
    let (first, second) = (tcp(), tcp());
    let wanted = flags(&first);
    let name = format!("unix:@eud-sockets-{}", std::process::id());
    let unix = none().get("web").or_bind(name);
    let unix: OwnedFd = unix.unix_listener().unwrap().keep().into();
    let port = |fd: &OwnedFd| {
        let listener = TcpListener::from(fd.try_clone().unwrap());
        listener.local_addr().unwrap().port()
    };
    let (one, two) = (port(&first), port(&second));
    let sockets = made(vec![
        ("db", udp()),
        ("web", unix),
        ("web", first),
        ("web", second),
    ]);
    let get = |filter: Filter| {
        let listener = sockets.get("web").filter(filter).tcp_listener();
        listener.map(|listener| {
            assert_eq!(flags(&listener), wanted, "nothing is changed");
            listener.local_addr().unwrap().port()
        })
    };
    // The second one is asked for first, and what is not of the role is passed over.
    assert_eq!(get(is::port(two)).unwrap(), two);
    assert_eq!(get(is::inet()).unwrap(), one);
    let error = get(is::ipv4()).unwrap_err();
    assert_eq!(error.exit(), Exit::Config);
    assert_eq!(
        error.to_string(),
        "what was handed over as web is unix-stream, not ((TCP and listening) and IPv4)"
    );
    let web = sockets.get("web").unix_listener();
    assert!(!web.unwrap().has_made_a_file());
    // A socket of datagrams does not listen, and is what was asked for.
    let db = sockets.get("db").udp_socket();
    assert!(db.is_ok());
    assert!(matches!(
        sockets.get("db").udp_socket(),
        Err(SocketError::Missing { .. })
    ));
}

#[test]
fn the_only_one_without_a_name_is_the_one() {
    let sockets = made(vec![(UNKNOWN, tcp())]);
    let wrong = sockets.get("web").udp_socket();
    assert!(matches!(wrong, Err(SocketError::Unfit { .. })));
    assert!(sockets.get("web").tcp_listener().is_ok());
    let two = made(vec![(UNKNOWN, tcp()), (UNKNOWN, tcp())]);
    let none = two.get("web").tcp_listener();
    assert!(matches!(none, Err(SocketError::Missing { .. })));
}

#[test]
fn what_does_not_block_is_asked_for() {
    let listener = tcp();
    let sockets = made(vec![("web", listener)]);
    let web = sockets.get("web").nonblocking();
    let web = web.tcp_listener().unwrap();
    assert_eq!(web.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    let bind = || {
        let want = none().get("web").or_bind("udp:127.0.0.1:0");
        (
            flags(want.udp_socket().unwrap()),
            flags(
                none()
                    .get("web")
                    .or_bind("udp:127.0.0.1:0")
                    .nonblocking()
                    .udp_socket()
                    .unwrap(),
            ),
        )
    };
    let (blocking, nonblocking) = bind();
    assert_eq!(blocking & (CLOEXEC | NONBLOCK), CLOEXEC);
    assert_eq!(nonblocking & (CLOEXEC | NONBLOCK), CLOEXEC | NONBLOCK);
}

#[test]
fn an_address_is_of_the_kind_that_was_asked_for() {
    let bind = |address: &str| {
        // Even where what was handed over makes it needless.
        let sockets = made(vec![("web", tcp())]);
        let want = sockets.get("web").or_bind(address);
        want.tcp_listener().unwrap_err().to_string()
    };
    assert_eq!(bind("udp:80"), "udp:80 is not a listening TCP socket");
    assert_eq!(
        bind("unix:/run/x"),
        "unix:/run/x is not a listening TCP socket"
    );
    assert_eq!(
        bind("tcp:localhost:80"),
        "unable to listen at \"tcp:localhost:80\""
    );
    assert_eq!(bind("vsock::80"), "vsock::80 is not a listening TCP socket");
    assert_eq!(
        bind("fifo:/run/x"),
        "fifo:/run/x is not a listening TCP socket"
    );
}

/// Every address of both families, whatever the system's default is; or of one of them, if that is asked for.
#[test]
fn both_families_or_one_of_them() {
    if TcpListener::bind("[::1]:0").is_err() {
        assert!(std::env::var_os("EUDAEMON_REQUIRE").is_none(), "no IPv6");
        eprintln!("SKIPPED: no IPv6 here");
        return;
    }
    let bind = |only| {
        let want = none().get("web").or_bind("tcp:0");
        want.only_v6(only).tcp_listener().unwrap()
    };
    let reach = |listener: &TcpListener| {
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
    };
    assert!(reach(&bind(false)));
    assert!(!reach(&bind(true)));
}

#[test]
fn a_port_is_bound_again_and_shared_only_if_asked() {
    let bind = |address: &str, shared| {
        let want = none().get("web").or_bind(address);
        want.reuse_port(shared).tcp_listener()
    };
    let first = bind("tcp:127.0.0.1:0", true).unwrap();
    assert!(is::reuse_port().admits(&first).unwrap());
    let address = format!("tcp:{}", first.local_addr().unwrap());
    let second = bind(&address, true).unwrap();
    let error = bind(&address, false).unwrap_err();
    assert_eq!(error.exit(), Exit::Unavailable);
    drop(second);
    // A connection that this side closed first lingers, and its port can be bound nevertheless.
    let client = TcpStream::connect(first.local_addr().unwrap()).unwrap();
    drop(first.accept().unwrap());
    drop((first, client));
    assert!(
        !is::reuse_port()
            .admits(bind(&address, false).unwrap())
            .unwrap()
    );
}

/// By its own name, or by the name or the number that somebody else writes into an address; never bound.
#[test]
fn what_is_inherited_is_had_by_its_address_too() {
    let (first, second) = (tcp(), tcp());
    let port = |fd: &OwnedFd| {
        let listener = TcpListener::from(fd.try_clone().unwrap());
        listener.local_addr().unwrap().port()
    };
    let (one, two) = (port(&first), port(&second));
    let sockets = made(vec![("db", udp()), ("http", first), ("https", second)]);
    let get = |address: &str| {
        let listener = sockets.get("web").or_bind(address).tcp_listener()?;
        Ok::<_, SocketError>(listener.local_addr().unwrap().port())
    };
    let error = get("inherit:db").unwrap_err();
    assert_eq!(
        error.to_string(),
        "what was handed over as db is udp4, not (TCP and listening)"
    );
    let error = get("fd:3").unwrap_err();
    assert_eq!(
        error.to_string(),
        "what was handed over as fd:3 is udp4, not (TCP and listening)"
    );
    assert_eq!(get("fd:5").unwrap(), two);
    assert_eq!(get("inherit:http").unwrap(), one);
    assert!(matches!(
        get("inherit:http"),
        Err(SocketError::Missing { .. })
    ));
    assert_eq!(sockets.names(), ["db"]);
    // It is opened, and by this process.
    let own: Vec<OwnedFd> = (0..4).map(|_| tcp()).collect();
    let number = own.iter().map(AsRawFd::as_raw_fd).max().unwrap();
    let error = get(&format!("fd:{number}")).unwrap_err();
    assert!(matches!(error, SocketError::Bind { .. }), "{error}");
    assert_eq!(error.exit(), Exit::NoPermission);
    // Once claimed it is served under the name that was asked for.
    let held = sockets.get("udp").or_bind("inherit:db").udp_socket();
    let names: Vec<String> = (sockets.active().unwrap().into_iter())
        .map(|one| one.name)
        .collect();
    assert_eq!(names, ["udp"]);
    drop(held);
}

#[test]
fn the_one_connection_is_named_or_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let connection = || listener.accept().unwrap().0.into();
    let both = made(vec![("web", tcp()), ("connection", connection())]);
    let found = both.connection().unwrap().unwrap();
    assert_eq!(found.kind(), crate::inherited::Kind::Tcp4);
    let peer = Peer::Ip(client.local_addr().unwrap());
    assert_eq!(found.peer(), Some(&peer));
    assert_eq!(peer.to_string(), client.local_addr().unwrap().to_string());
    // It is taken, and nobody has a copy: its end is the client's.
    assert!(both.connection().unwrap().is_none());
    assert_eq!(both.names(), ["web"]);
    assert!(both.active().unwrap().is_empty());
    drop(found.tcp().unwrap());
    client
        .set_read_timeout(Some(std::time::Duration::from_secs(10)))
        .unwrap();
    assert_eq!(std::io::Read::read(&mut &client, &mut [0]).unwrap(), 0);
    // The only one, whatever its name.
    let (one, _other) = UnixStream::pair().unwrap();
    let alone = made(vec![("web", one.into())]);
    let found = alone.connection().unwrap().unwrap();
    assert_eq!(found.peer(), Some(&Peer::Unnamed));
    let error = found.tcp().unwrap_err();
    assert_eq!(
        error.to_string(),
        "what was handed over as connection is unix-stream, not TCP"
    );
    // A listener is none, nor is one of several that is not named so; and what is named so has to be one.
    assert!(made(vec![("web", tcp())]).connection().unwrap().is_none());
    let (one, two) = UnixStream::pair().unwrap();
    let several = made(vec![("a", one.into()), ("b", two.into())]);
    assert!(several.connection().unwrap().is_none());
    let wrong = made(vec![("connection", tcp())]).connection().unwrap_err();
    assert!(matches!(wrong, SocketError::Unfit { .. }), "{wrong}");
    assert!(none().connection().unwrap().is_none());
}
