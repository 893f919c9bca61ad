//! Sockets in a real runtime.

use crate::{Scratch, none, want};
use std::os::fd::{AsFd, AsRawFd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn is_nonblocking(fd: impl AsFd) -> bool {
    let path = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
    let text = std::fs::read_to_string(path).unwrap();
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    // Source: open(2) of x86-64 and arm64: O_NONBLOCK is 04000.
    u32::from_str_radix(flags.unwrap().trim(), 8).unwrap() & 0o4000 != 0
}

/// Each of the four serves, does not block the one thread there is, and lets go of its file as before.
#[test]
fn each_is_served_by_tokio() {
    let scratch = Scratch::new();
    let (stream, datagram) = (scratch.path("stream"), scratch.path("datagram"));
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(async {
        let tcp = none().get("tcp").or_bind("tcp:127.0.0.1:0");
        let tcp = tcp.tcp_listener().unwrap();
        assert!(!is_nonblocking(&tcp));
        let tcp = tcp.into_tokio().unwrap();
        assert!(is_nonblocking(&tcp));
        let at = tcp.local_addr().unwrap();
        // It is waited for before anybody connects, in the one thread: a socket that blocks would stop everything here.
        let client = tokio::spawn(tokio::net::TcpStream::connect(at));
        let mut accepted = tcp.accept().await.unwrap().0;
        let mut client = client.await.unwrap().unwrap();
        accepted.write_all(b"x").await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'x');

        let unix = want("unix", &stream).unix_listener().unwrap();
        let unix = unix.into_tokio().unwrap();
        assert!(unix.has_made_a_file());
        let client = tokio::spawn(tokio::net::UnixStream::connect(stream.clone()));
        drop((unix.accept().await.unwrap(), client.await.unwrap().unwrap()));
        drop(unix);
        assert!(!stream.exists());

        let udp = none().get("udp").or_bind("udp:127.0.0.1:0");
        let udp = udp.udp_socket().unwrap().into_tokio().unwrap();
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut bytes = [0; 8];
        let at = udp.local_addr().unwrap();
        tokio::spawn(async move { sender.send_to(b"abc", at).unwrap() });
        assert_eq!(udp.recv(&mut bytes).await.unwrap(), 3);

        let unix = want("unix-dgram", &datagram).unix_datagram().unwrap();
        let unix = unix.into_tokio().unwrap();
        let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
        tokio::spawn(async move { sender.send_to(b"abcd", datagram).unwrap() });
        assert_eq!(unix.recv(&mut bytes).await.unwrap(), 4);
    });
}
