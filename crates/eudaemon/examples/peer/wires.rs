//! Sockets of every kind, with the same four verbs: accept, receive, read lines, answer.

use eudaemon::inherited::{Kind, Passed};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{self, UnixDatagram, UnixListener, UnixStream};

/// Something that is served.
pub(crate) enum Wire {
    Listener(Listener),
    Datagrams(Datagrams),
}

/// What connections come from. The copy that is passed on keeps its name in `Passed`.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
    /// Each message is a request, whether it ends with a line end or not.
    Packets(UnixListener),
}

/// What datagrams come from.
pub(crate) enum Datagrams {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

/// Who sent a datagram.
pub(crate) enum Sender {
    Udp(SocketAddr),
    Unix(net::SocketAddr),
}

/// A connection.
pub(crate) struct Client {
    stream: Stream,
    packets: bool,
    heard: Vec<u8>,
    open: bool,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

fn copy(passed: &Passed) -> io::Result<OwnedFd> {
    passed.as_fd().try_clone_to_owned()
}

/// What is not there yet, or not any more, is nothing.
fn if_any<T>(got: io::Result<T>) -> io::Result<Option<T>> {
    match got {
        Ok(got) => Ok(Some(got)),
        Err(error)
            if [
                ErrorKind::WouldBlock,
                ErrorKind::Interrupted,
                ErrorKind::ConnectionAborted,
                ErrorKind::ConnectionReset,
                ErrorKind::ConnectionRefused,
            ]
            .contains(&error.kind()) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl Wire {
    /// The wire that a passed descriptor is, if it is one.
    pub(crate) fn of(passed: &Passed) -> io::Result<Option<Wire>> {
        let listens = passed.is_listening();
        let wire = match passed.kind() {
            Kind::Tcp4 | Kind::Tcp6 if listens => {
                Wire::Listener(Listener::Tcp(copy(passed)?.into()))
            }
            Kind::UnixStream if listens => Wire::Listener(Listener::Unix(copy(passed)?.into())),
            Kind::UnixSeqpacket if listens => {
                Wire::Listener(Listener::Packets(copy(passed)?.into()))
            }
            Kind::Udp4 | Kind::Udp6 => Wire::Datagrams(Datagrams::Udp(copy(passed)?.into())),
            Kind::UnixDatagram => Wire::Datagrams(Datagrams::Unix(copy(passed)?.into())),
            Kind::Tcp4
            | Kind::Tcp6
            | Kind::UnixStream
            | Kind::UnixSeqpacket
            | Kind::Fifo
            | Kind::File
            | Kind::Other
            | _ => return Ok(None),
        };
        wire.never_wait()?;
        Ok(Some(wire))
    }

    /// A socket it has bound itself.
    pub(crate) fn bound(listener: UnixListener) -> io::Result<Wire> {
        let wire = Wire::Listener(Listener::Unix(listener));
        wire.never_wait()?;
        Ok(wire)
    }

    fn never_wait(&self) -> io::Result<()> {
        match self {
            Wire::Listener(Listener::Tcp(socket)) => socket.set_nonblocking(true),
            Wire::Listener(Listener::Unix(socket) | Listener::Packets(socket)) => {
                socket.set_nonblocking(true)
            }
            Wire::Datagrams(Datagrams::Udp(socket)) => socket.set_nonblocking(true),
            Wire::Datagrams(Datagrams::Unix(socket)) => socket.set_nonblocking(true),
        }
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Wire::Listener(Listener::Tcp(socket)) => socket.as_fd(),
            Wire::Listener(Listener::Unix(socket) | Listener::Packets(socket)) => socket.as_fd(),
            Wire::Datagrams(Datagrams::Udp(socket)) => socket.as_fd(),
            Wire::Datagrams(Datagrams::Unix(socket)) => socket.as_fd(),
        }
    }
}

impl Listener {
    pub(crate) fn accept(&self) -> io::Result<Option<Client>> {
        let stream = match self {
            Listener::Tcp(listener) => if_any(listener.accept())?.map(|(tcp, _)| Stream::Tcp(tcp)),
            Listener::Unix(listener) | Listener::Packets(listener) => {
                if_any(listener.accept())?.map(|(unix, _)| Stream::Unix(unix))
            }
        };
        let packets = matches!(self, Listener::Packets(_));
        stream
            .map(|stream| Client::new(stream, packets))
            .transpose()
    }
}

impl Datagrams {
    pub(crate) fn receive(&self) -> io::Result<Option<(String, Sender)>> {
        let mut buffer = [0; 8192];
        let got = match self {
            Datagrams::Udp(socket) => if_any(socket.recv_from(&mut buffer))?
                .map(|(length, sender)| (length, Sender::Udp(sender))),
            Datagrams::Unix(socket) => if_any(socket.recv_from(&mut buffer))?
                .map(|(length, sender)| (length, Sender::Unix(sender))),
        };
        Ok(got.map(|(length, sender)| (text(&buffer[..length]), sender)))
    }

    /// The same socket, once more.
    pub(crate) fn another(&self) -> io::Result<Datagrams> {
        Ok(match self {
            Datagrams::Udp(socket) => Datagrams::Udp(socket.try_clone()?),
            Datagrams::Unix(socket) => Datagrams::Unix(socket.try_clone()?),
        })
    }

    /// Answers, if whoever asked can be answered.
    pub(crate) fn answer(&self, words: &str, to: &Sender) {
        let words = format!("{words}\n");
        let _nobody_there = match (self, to) {
            (Datagrams::Udp(socket), Sender::Udp(to)) => socket.send_to(words.as_bytes(), to),
            (Datagrams::Unix(socket), Sender::Unix(to)) => {
                socket.send_to_addr(words.as_bytes(), to)
            }
            (Datagrams::Udp(_), Sender::Unix(_)) | (Datagrams::Unix(_), Sender::Udp(_)) => Ok(0),
        };
    }
}

impl Client {
    fn new(stream: Stream, packets: bool) -> io::Result<Client> {
        match &stream {
            Stream::Tcp(stream) => stream.set_nonblocking(true)?,
            Stream::Unix(stream) => stream.set_nonblocking(true)?,
        }
        Ok(Client {
            stream,
            packets,
            heard: Vec::new(),
            open: true,
        })
    }

    /// The connection that a passed descriptor is, if it is one.
    pub(crate) fn passed(passed: &Passed) -> io::Result<Option<Client>> {
        if passed.is_listening() {
            return Ok(None);
        }
        let stream = match passed.kind() {
            Kind::Tcp4 | Kind::Tcp6 => Stream::Tcp(copy(passed)?.into()),
            Kind::UnixStream | Kind::UnixSeqpacket => Stream::Unix(copy(passed)?.into()),
            Kind::Udp4
            | Kind::Udp6
            | Kind::UnixDatagram
            | Kind::Fifo
            | Kind::File
            | Kind::Other
            | _ => return Ok(None),
        };
        Client::new(stream, passed.kind() == Kind::UnixSeqpacket).map(Some)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// The lines that have come, without their ends.
    pub(crate) fn requests(&mut self) -> Vec<String> {
        let mut buffer = [0; 8192];
        let got = match &mut self.stream {
            Stream::Tcp(stream) => if_any(stream.read(&mut buffer)),
            Stream::Unix(stream) => if_any(stream.read(&mut buffer)),
        };
        match got {
            Ok(Some(0)) | Err(_) => self.open = false,
            Ok(Some(length)) => self.heard.extend_from_slice(&buffer[..length]),
            Ok(None) => {}
        }
        if self.packets && !self.heard.is_empty() && !self.heard.ends_with(b"\n") {
            self.heard.push(b'\n');
        }
        let mut requests = Vec::new();
        while let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.heard.drain(..=end).collect();
            requests.push(text(&line));
        }
        requests
    }

    pub(crate) fn say(&mut self, words: &str) {
        let words = format!("{words}\n");
        let said = match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(words.as_bytes()),
            Stream::Unix(stream) => stream.write_all(words.as_bytes()),
        };
        self.open &= said.is_ok();
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.stream {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .trim_end_matches(['\n', '\r'])
        .to_owned()
}
