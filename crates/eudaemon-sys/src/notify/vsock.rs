//! To the host of a virtual machine. Source: `vsock(7)`; the specification, library §4.1.

use crate::errno;
use eudaemon_core::notify::Transport;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// A listener on the host.
#[derive(Debug)]
pub struct Host {
    cid: u32,
    port: u32,
    /// Connected, if the host takes datagrams.
    datagrams: Option<OwnedFd>,
    /// Which kinds of connections are tried, in this order.
    kinds: &'static [libc::c_int],
}

/// Ports below this one tell the host that a privileged process speaks.
const PRIVILEGED: u32 = 1024;

impl Host {
    /// Finds out how it is to be spoken to.
    pub fn find(cid: u32, port: u32, transport: Transport) -> io::Result<Host> {
        let kinds: &[libc::c_int] = match transport {
            Transport::Any => &[libc::SOCK_SEQPACKET, libc::SOCK_STREAM],
            Transport::Packets => &[libc::SOCK_SEQPACKET],
            Transport::Stream => &[libc::SOCK_STREAM],
            Transport::Datagram => &[],
        };
        let datagrams = match transport {
            Transport::Packets | Transport::Stream => None,
            Transport::Datagram => Some(open(libc::SOCK_DGRAM, cid, port)?),
            Transport::Any => match open(libc::SOCK_DGRAM, cid, port) {
                Ok(socket) => Some(socket),
                Err(error) if is_lacking(&error) => None,
                Err(error) => return Err(error),
            },
        };
        Ok(Host {
            cid,
            port,
            datagrams,
            kinds,
        })
    }

    /// Sends one message. `EPROTO` when the host answers, for it has nothing to say.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        if let Some(socket) = &self.datagrams {
            return write(socket, bytes).map(drop);
        }
        let mut lacking = io::Error::from_raw_os_error(errno::ESOCKTNOSUPPORT);
        for kind in self.kinds {
            match open(*kind, self.cid, self.port) {
                Ok(socket) => return speak(&socket, bytes),
                Err(error) if is_lacking(&error) => lacking = error,
                Err(error) => return Err(error),
            }
        }
        Err(lacking)
    }
}

/// Whether it means that this machine has no such sockets.
fn is_lacking(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ENODEV
                | libc::ESOCKTNOSUPPORT
                | libc::EPROTONOSUPPORT
                | libc::EOPNOTSUPP
                | libc::EPROTOTYPE
        )
    )
}

/// One message on a connection of its own: whole, then the end, then the host's end.
fn speak(socket: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let wrote = write(socket, rest)?;
        rest = rest.get(wrote..).unwrap_or_default();
    }
    rustix::net::shutdown(socket, rustix::net::Shutdown::Write)?;
    let mut answer = [0; 16];
    match rustix::io::retry_on_intr(|| rustix::io::read(socket, &mut answer))? {
        0 => Ok(()),
        _ => Err(io::Error::from_raw_os_error(errno::EPROTO)),
    }
}

fn write(socket: &OwnedFd, bytes: &[u8]) -> io::Result<usize> {
    let flags = rustix::net::SendFlags::NOSIGNAL;
    Ok(rustix::io::retry_on_intr(|| {
        rustix::net::send(socket, bytes, flags)
    })?)
}

fn address(cid: u32, port: u32) -> libc::sockaddr_vm {
    // SAFETY: sockaddr_vm is plain memory for which zero bytes are a value.
    let mut address: libc::sockaddr_vm = unsafe { std::mem::zeroed() };
    address.svm_family = libc::AF_VSOCK as libc::sa_family_t;
    (address.svm_cid, address.svm_port) = (cid, port);
    address
}

const SIZE: libc::socklen_t = size_of::<libc::sockaddr_vm>() as libc::socklen_t;

/// A connected socket, from a privileged port if we may.
fn open(kind: libc::c_int, cid: u32, port: u32) -> io::Result<OwnedFd> {
    // SAFETY: socket(2) reads no memory of ours.
    // WHY NOT rustix: it has no addresses of this family.
    let fd = unsafe { libc::socket(libc::AF_VSOCK, kind | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made it, and nobody else knows it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    for from in (1..PRIVILEGED).rev() {
        let own = address(libc::VMADDR_CID_ANY, from);
        // SAFETY: `own` is a whole address of the family, of the size given, and lives until after the call.
        let rc = unsafe { libc::bind(socket.as_raw_fd(), (&raw const own).cast(), SIZE) };
        // Another is tried only while it is the port that is taken; without the privilege any port will do.
        if rc == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::EADDRINUSE) {
            break;
        }
    }
    let host = address(cid, port);
    loop {
        // SAFETY: `host` is a whole address of the family, of the size given, and lives until after the call.
        let rc = unsafe { libc::connect(socket.as_raw_fd(), (&raw const host).cast(), SIZE) };
        if rc == 0 {
            return Ok(socket);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::EINTR) {
            return Err(error);
        }
    }
}
