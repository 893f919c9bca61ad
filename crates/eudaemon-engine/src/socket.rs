//! The server's end of a tree's socket: clients, lines in, lines out, and their bounds.
//!
//! It waits for nothing. The engine's loop asks which descriptors matter and for what ([`Server::as_fd`],
//! [`Server::client_fd`], [`Server::wants_read`], [`Server::wants_write`]), and says what the kernel said.
//!
//! A client is let go when it is finished: after it closed its writing side, every request it made has got its last
//! line, and all is written. `echo REQUEST | socat - UNIX:…` therefore gets its answer. A client that is gone is let go
//! at once, and every call about it does nothing.

use crate::request::{Answer, Request, VERSION};
use eudaemon_sys::socket::{connect, listen_private, own_uid, peer_uid};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// Most clients at a time; further ones are told so and closed.
pub const CLIENTS_MAX: usize = 64;
/// Longest line of a client, without its newline.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// Most bytes that wait for one client; one that reads too slowly for it is dropped.
///
/// Enough for the status of some 20,000 services at once.
pub const OUTBOX_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most bytes taken from one client in one call, so that no client holds up the loop.
const TURN_BYTES_MAX: usize = 2 * LINE_BYTES_MAX;

/// One connection. Never reused, so an answer that comes late cannot reach another client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// The listening socket and its clients.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    clients: BTreeMap<ClientId, Client>,
    next: u64,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    /// Requests that have not got their last line.
    owed: usize,
    /// It says nothing more, or is not listened to any more.
    mute: bool,
}

impl Server {
    /// Listens at `path`, with mode 0600. A socket that nobody listens at is replaced.
    ///
    /// # Errors
    /// `AddrInUse` if somebody listens there.
    pub fn bind(path: &Path) -> io::Result<Server> {
        let listener = match listen_private(path) {
            Ok(listener) => listener,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                match connect(path) {
                    Ok(_) => return Err(error),
                    // Only what was certainly left behind by a dead server is removed; a file that is no socket
                    // answers ECONNREFUSED too (unix(7)), so that is looked at.
                    Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => {
                        if !is_socket(path)? {
                            return Err(error);
                        }
                        std::fs::remove_file(path)?;
                    }
                    // It went away in between.
                    Err(gone) if gone.kind() == io::ErrorKind::NotFound => {}
                    Err(other) => return Err(other),
                }
                listen_private(path)?
            }
            Err(error) => return Err(error),
        };
        Ok(Server::over(listener))
    }

    /// Takes over a listening socket, from the engine before.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Server> {
        let listener = UnixListener::from(fd);
        listener.set_nonblocking(true)?;
        Ok(Server::over(listener))
    }

    fn over(listener: UnixListener) -> Server {
        Server {
            listener,
            clients: BTreeMap::new(),
            next: 1,
        }
    }

    /// Accepts who waits. Strangers (neither root nor our own user) are told so and closed.
    ///
    /// Errors of `accept` mean that there is nobody to accept now; out of descriptors, the waiting ones go on waiting.
    pub fn accept(&mut self) -> Vec<ClientId> {
        let mut accepted = Vec::new();
        // As many as may be clients: the loop has other work.
        for _ in 0..CLIENTS_MAX {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            let why = match peer_uid(&stream) {
                Ok(uid) if uid != 0 && uid != own_uid() => {
                    Some("not your tree: only its owner and root may ask")
                }
                Err(_) => Some("unable to see who asks"),
                Ok(_) if self.clients.len() >= CLIENTS_MAX => Some("too many clients; try again"),
                Ok(_) => None,
            };
            if let Some(why) = why {
                // A new connection's buffer takes one line; if not, closing says enough.
                let _ = (&stream).write_all(&line(&Answer::refused(why)));
                continue;
            }
            let id = ClientId(self.next);
            self.next += 1;
            self.clients.insert(
                id,
                Client {
                    stream,
                    inbox: Vec::new(),
                    outbox: Vec::new(),
                    owed: 0,
                    mute: false,
                },
            );
            accepted.push(id);
        }
        accepted
    }

    /// The clients.
    pub fn clients(&self) -> impl Iterator<Item = ClientId> + '_ {
        self.clients.keys().copied()
    }

    /// The descriptor to wait on; `None` once the client is let go, which has closed it.
    #[must_use]
    pub fn client_fd(&self, id: ClientId) -> Option<BorrowedFd<'_>> {
        Some(self.clients.get(&id)?.stream.as_fd())
    }

    /// Whether it matters that the client's descriptor is readable. One that has said all would wake the loop for ever.
    #[must_use]
    pub fn wants_read(&self, id: ClientId) -> bool {
        self.clients.get(&id).is_some_and(|client| !client.mute)
    }

    /// Whether something waits to be written to the client.
    #[must_use]
    pub fn wants_write(&self, id: ClientId) -> bool {
        self.clients
            .get(&id)
            .is_some_and(|client| !client.outbox.is_empty())
    }

    /// Takes what the client wrote and appends its requests. What is no request is refused here, and the client
    /// is not listened to any more. Each request handed out is owed a last line.
    pub fn readable(&mut self, id: ClientId, out: &mut Vec<Request>) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let mut turn = 0;
        while !client.mute && turn < TURN_BYTES_MAX {
            let mut block = [0; 8192];
            match client.stream.read(&mut block) {
                Ok(0) => client.mute = true,
                Ok(count) => {
                    turn += count;
                    client.inbox.extend_from_slice(&block[..count]);
                    client.take_lines(out);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // It is gone: nobody reads the answers.
                Err(_) => {
                    self.clients.remove(&id);
                    return;
                }
            }
        }
        self.let_go_if_finished(id);
    }

    /// Sends a line; what does not fit now waits for [`Server::writable`]. A client that takes too little is dropped.
    pub fn send(&mut self, id: ClientId, answer: &Answer) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        if answer.done {
            client.owed = client.owed.saturating_sub(1);
        }
        client.outbox.extend_from_slice(&line(answer));
        self.writable(id);
        let stuck = |client: &Client| client.outbox.len() > OUTBOX_BYTES_MAX;
        if self.clients.get(&id).is_some_and(stuck) {
            self.clients.remove(&id);
        }
    }

    /// Writes what waits, as far as it goes.
    pub fn writable(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        if client.flush().is_err() {
            self.clients.remove(&id);
            return;
        }
        self.let_go_if_finished(id);
    }

    /// Lets the client go: its end is gone (`EPOLLHUP`), or it is not wanted.
    pub fn close(&mut self, id: ClientId) {
        self.clients.remove(&id);
    }

    fn let_go_if_finished(&mut self, id: ClientId) {
        let finished =
            |client: &Client| client.mute && client.owed == 0 && client.outbox.is_empty();
        if self.clients.get(&id).is_some_and(finished) {
            self.clients.remove(&id);
        }
    }
}

impl AsFd for Server {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Client {
    fn take_lines(&mut self, out: &mut Vec<Request>) {
        let mut from = 0;
        while let Some(end) = self.inbox[from..].iter().position(|&byte| byte == b'\n') {
            let text = &self.inbox[from..from + end];
            from += end + 1;
            if text.len() > LINE_BYTES_MAX {
                self.refuse("the line is too long");
                return;
            }
            if text.trim_ascii().is_empty() {
                continue;
            }
            match read(text) {
                Ok(request) => {
                    self.owed += 1;
                    out.push(request);
                }
                Err(why) => {
                    self.refuse(&why);
                    return;
                }
            }
        }
        self.inbox.drain(..from);
        if self.inbox.len() > LINE_BYTES_MAX {
            self.refuse("the line is too long");
        }
    }

    /// Says why, and listens no more. What it asked before is still answered.
    fn refuse(&mut self, why: &str) {
        self.outbox.extend_from_slice(&line(&Answer::refused(why)));
        self.inbox = Vec::new();
        self.mute = true;
        // An error here comes again at the next write, where it is seen.
        let _ = self.flush();
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut written = 0;
        let result = loop {
            if written == self.outbox.len() {
                break Ok(());
            }
            match self.stream.write(&self.outbox[written..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if written == self.outbox.len() {
            self.outbox = Vec::new();
        } else {
            self.outbox.drain(..written);
        }
        result
    }
}

/// Reads one line of a client.
fn read(text: &[u8]) -> Result<Request, String> {
    // The version first: what follows may be spelt differently in another one.
    #[derive(serde::Deserialize)]
    struct Version {
        v: u32,
    }
    let not_read = |error: serde_json::Error| format!("not a request: {error}");
    let version: Version = serde_json::from_slice(text).map_err(not_read)?;
    if version.v != VERSION {
        return Err(format!(
            "version {} is not spoken here; this is version {VERSION}",
            version.v
        ));
    }
    serde_json::from_slice(text).map_err(not_read)
}

fn line(answer: &Answer) -> Vec<u8> {
    // Only numbers that JSON lacks can fail here: a service's `since` that is no number becomes null by serde_json.
    let mut text = serde_json::to_vec(answer).unwrap_or_else(|_| {
        br#"{"v":1,"ok":false,"error":"answer without a JSON form","done":true}"#.to_vec()
    });
    text.push(b'\n');
    text
}

fn is_socket(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::FileTypeExt;
    Ok(std::fs::symlink_metadata(path)?.file_type().is_socket())
}

#[cfg(test)]
mod tests;
