//! systemd's journal in its native form.

use super::{LogError, Record};
use eudaemon_core::journal::{SOCKET, push_field};
use eudaemon_sys::errno::{ECONNREFUSED, ECONNRESET, EMSGSIZE, ENOBUFS, ENOTCONN, EPIPE};
use eudaemon_sys::record::{Datagrams, has_room, own_thread};
use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A connection to a journal. It is made once and goes on behind a changed root; when the receiver is gone, it is made
/// again by its path, if that can still be reached.
///
/// Source: systemd, `docs/JOURNAL_NATIVE_PROTOCOL.md`. A service in a namespace of logs (`LogNamespace=`,
/// `systemd.exec(5)`) finds its own journal at the same path.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    socket: Mutex<Datagrams>,
}

impl Journal {
    /// The system's: `/run/systemd/journal/socket`.
    ///
    /// # Errors
    /// [`LogError::Connect`].
    pub fn open() -> Result<Journal, LogError> {
        Journal::at(SOCKET)
    }

    /// The one that listens at this path, of at most 107 bytes.
    ///
    /// # Errors
    /// [`LogError::Connect`].
    pub fn at(path: impl AsRef<Path>) -> Result<Journal, LogError> {
        let path = path.as_ref().to_owned();
        match Datagrams::connect(&path) {
            Ok(socket) => Ok(Journal {
                path,
                socket: Mutex::new(socket),
            }),
            Err(source) => Err(LogError::Connect { path, source }),
        }
    }

    /// The path of its socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sends one entry of these fields, and waits for room no longer than `patience`. What is too long for a datagram
    /// goes as a sealed file in memory.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`]: the journal did not read. Any other: it is gone.
    pub fn send(&self, fields: &[(&str, &[u8])], patience: Duration) -> io::Result<()> {
        let mut message = Vec::with_capacity(256);
        for (name, value) in fields {
            push_field(name, value, &mut message);
        }
        self.send_message(&message, patience)
    }

    pub(super) fn send_message(&self, message: &[u8], patience: Duration) -> io::Result<()> {
        let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        match patiently(&socket, message, patience) {
            Err(error) if is_gone(&error) => {
                *socket = Datagrams::connect(&self.path)?;
                patiently(&socket, message, patience)
            }
            sent => sent,
        }
    }
}

/// Whether nobody will ever read this socket again. Observed of Linux 6.18: a connected socket whose receiver was closed
/// says `ECONNREFUSED` once and `ENOTCONN` after that.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(ECONNREFUSED | ECONNRESET | ENOTCONN | EPIPE)
    )
}

fn patiently(socket: &Datagrams, message: &[u8], patience: Duration) -> io::Result<()> {
    let is_long = |error: &io::Error| matches!(error.raw_os_error(), Some(EMSGSIZE | ENOBUFS));
    match wait_for_room(socket, patience, || socket.send(message)) {
        Err(error) if is_long(&error) => {
            let file = eudaemon_sys::sealed::make("journal-entry", message)?;
            wait_for_room(socket, patience, || socket.send_file(&file))
        }
        sent => sent,
    }
}

/// Sends when there is room. Another writer may take it first: then this one is not better off than before, and waits
/// the rest of its time.
pub(super) fn wait_for_room(
    socket: &Datagrams,
    patience: Duration,
    send: impl Fn() -> io::Result<()>,
) -> io::Result<()> {
    let started = eudaemon_sys::clock::mono();
    loop {
        match send() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let waited = eudaemon_sys::clock::mono().since(started);
                let left = patience.saturating_sub(waited);
                if left.is_zero() || !has_room(socket, left)? {
                    return Err(error);
                }
            }
            sent => return sent,
        }
    }
}

impl Record<'_> {
    /// The record as the journal takes it.
    pub(super) fn native(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256 + self.line.message.len());
        let message = self.line.message.trim_end_matches(['\n', '\r']);
        push_field("MESSAGE", message.as_bytes(), &mut out);
        push_field("PRIORITY", &[b'0' + self.line.level.number()], &mut out);
        push_field("SYSLOG_FACILITY", b"3", &mut out);
        push_field(
            "SYSLOG_IDENTIFIER",
            self.log.identifier.as_bytes(),
            &mut out,
        );
        let pid = std::process::id().to_string();
        push_field("SYSLOG_PID", pid.as_bytes(), &mut out);
        push_field("TID", own_thread().to_string().as_bytes(), &mut out);
        if let Some(invocation) = &self.log.invocation {
            push_field("INVOCATION_ID", invocation.as_bytes(), &mut out);
        }
        if !self.place.file.is_empty() {
            push_field("CODE_FILE", self.place.file.as_bytes(), &mut out);
            push_field(
                "CODE_LINE",
                self.place.line.to_string().as_bytes(),
                &mut out,
            );
        }
        if let Some(module) = self.place.module {
            push_field("CODE_MODULE", module.as_bytes(), &mut out);
        }
        for (name, value) in self.line.fields {
            if self.place.apart {
                push_field(&apart(name), value, &mut out);
            } else {
                push_field(name, value, &mut out);
            }
        }
        out
    }
}

/// What the journal's tools look for keeps its name; any other is put where it cannot be taken for one of theirs.
fn apart(name: &str) -> Cow<'_, str> {
    for known in ["MESSAGE_ID", "ERRNO", "DOCUMENTATION"] {
        if name.eq_ignore_ascii_case(known) {
            return Cow::Borrowed(known);
        }
    }
    Cow::Owned(format!("F_{name}"))
}
