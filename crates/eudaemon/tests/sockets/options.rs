//! Each option is in force: asked of the kernel by a stranger, on the socket and on what is accepted from it.

use crate::{Scratch, none, skip};
use eudaemon::sockets::{SocketError, Want};
use eudaemon_sys::hand::{self, Handed};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Command, Stdio};
use std::time::Duration;

const ADDRESSES: [&str; 2] = ["tcp:127.0.0.1:0", "tcp:[::1]:0"];

/// What `getsockopt(2)` says of it, in the words of Python.
fn asked(of: &impl AsFd, options: &str) -> String {
    let script =
        format!("from socket import *\ns = socket(fileno=3)\nask = s.getsockopt\nprint({options})");
    python(&script, Some(of.as_fd()))
}

fn python(script: &str, of: Option<BorrowedFd<'_>>) -> String {
    let mut python = Command::new("python3");
    python.args(["-c", script]).stdout(Stdio::piped());
    let fds = of.map(|of| of.try_clone_to_owned().unwrap());
    let handed = Handed {
        environment: vec![("PATH".into(), std::env::var_os("PATH").unwrap())],
        fds: fds.into_iter().collect(),
        ..Handed::default()
    };
    let child = hand::start(python, handed).expect("python3");
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn tcp(address: &str) -> Want {
    none().get("web").or_bind(address)
}

/// Both families, where there are two.
fn of_both(test: impl Fn(&str, bool)) {
    for (address, v6) in ADDRESSES.into_iter().zip([false, true]) {
        match tcp(address).tcp_listener() {
            Ok(_) => test(address, v6),
            Err(error) => skip(&format!("{address}: {error}")),
        }
    }
}

#[test]
fn what_is_accepted_has_what_was_asked_for_its_listener() {
    of_both(|address, _| {
        let silence = Duration::from_secs(77);
        let plain = tcp(address).tcp_listener().unwrap();
        let questions = "ask(IPPROTO_TCP, TCP_NODELAY) > 0, ask(SOL_SOCKET, SO_KEEPALIVE), ask(IPPROTO_TCP, TCP_KEEPIDLE)";
        assert!(asked(&plain, questions).starts_with("False 0 "));
        let listener = tcp(address).nodelay(true).keepalive(silence);
        let listener = listener.tcp_listener().unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let accepted = listener.accept().unwrap().0;
        assert_eq!(asked(&accepted, questions), "True 1 77");
    });
    // None that the kernel does not take is let pass.
    let error = tcp(ADDRESSES[0]).keepalive(Duration::from_secs(1 << 20));
    let error = error.tcp_listener().unwrap_err();
    assert!(matches!(error, SocketError::Bind { .. }), "{error}");
}

#[test]
fn buffers_are_of_the_size_asked_for() {
    let scratch = Scratch::new();
    let unix = format!("unix-dgram:{}", scratch.path("log").display());
    for address in ["udp:127.0.0.1:0", &unix, "tcp:127.0.0.1:0"] {
        let want = none().get("x").or_bind(address);
        let socket = want.receive_buffer(40_000).send_buffer(50_000).owned();
        let socket = socket.unwrap();
        // Source: socket(7): the kernel doubles it.
        let sizes = "ask(SOL_SOCKET, SO_RCVBUF), ask(SOL_SOCKET, SO_SNDBUF)";
        assert_eq!(asked(&socket, sizes), "80000 100000", "{address}");
    }
    // More than everybody may have, where this process may administer the network.
    let most = std::fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap();
    let most: u32 = most.trim().parse().unwrap();
    let want = none().get("x").or_bind("udp:127.0.0.1:0");
    let socket = want.receive_buffer(most + 4096).udp_socket().unwrap();
    let got = asked(&socket, "ask(SOL_SOCKET, SO_RCVBUF)");
    let more = if may_administer() { 4096 } else { 0 };
    assert_eq!(got, (2 * (most + more)).to_string());
}

/// Whether `CAP_NET_ADMIN`, number 12, is in force.
fn may_administer() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = u64::from_str_radix(line.unwrap().trim(), 16).unwrap();
    bits & 1 << 12 != 0
}

#[test]
fn an_address_that_is_not_there_yet() {
    of_both(|_, v6| {
        // Source: RFC 5737, RFC 3849: nobody has these.
        let address = ["tcp:192.0.2.1:0", "tcp:[2001:db8::1]:0"][usize::from(v6)];
        let error = tcp(address).tcp_listener().unwrap_err();
        assert!(matches!(error, SocketError::Bind { .. }), "{error}");
        let listener = tcp(address).freebind(true).tcp_listener().unwrap();
        // IPV6_FREEBIND and IP_FREEBIND, which Python has no names for.
        let question = ["ask(IPPROTO_IP, 15)", "ask(IPPROTO_IPV6, 78)"][usize::from(v6)];
        assert_eq!(asked(&listener, question), "1");
        if !may_administer() {
            let error = tcp(address).transparent(true).tcp_listener().unwrap_err();
            assert!(matches!(error, SocketError::Bind { .. }), "{error}");
            return skip("CAP_NET_ADMIN is not in force: transparent");
        }
        let listener = tcp(address).transparent(true).tcp_listener().unwrap();
        let question = ["ask(IPPROTO_IP, IP_TRANSPARENT)", "ask(IPPROTO_IPV6, 75)"];
        assert_eq!(asked(&listener, question[usize::from(v6)]), "1");
    });
}

#[test]
fn a_mark_and_a_device_are_set() {
    let _scratch = Scratch::new();
    if !may_administer() {
        return skip("CAP_NET_ADMIN is not in force: marks");
    }
    let listener = tcp(ADDRESSES[0])
        .mark(7)
        .device("lo")
        .tcp_listener()
        .unwrap();
    let words =
        "ask(SOL_SOCKET, SO_MARK), ask(SOL_SOCKET, SO_BINDTODEVICE, 16).rstrip(b'\\0').decode()";
    assert_eq!(asked(&listener, words), "7 lo");
    for device in ["", "eud-no-such-if"] {
        let error = tcp(ADDRESSES[0]).device(device).tcp_listener().unwrap_err();
        assert!(
            matches!(error, SocketError::Bind { .. }),
            "{device:?}: {error}"
        );
    }
}

/// A queue of one has room for one more than that, and the next is not let in.
#[test]
fn a_backlog_is_as_long_as_asked_for() {
    let scratch = Scratch::new();
    let path = scratch.path("web.sock");
    let want = crate::want("unix", &path);
    let _listener = want.backlog(1).unix_listener().unwrap();
    let script = format!(
        "import socket\nwaiting = []\ntry:\n  while len(waiting) < 100:\n    s = socket.socket(socket.AF_UNIX); s.setblocking(False); s.connect({path:?}); waiting.append(s)\nexcept BlockingIOError: pass\nprint(len(waiting))"
    );
    assert_eq!(python(&script, None), "2");
}
