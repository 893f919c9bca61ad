//! Sockets between a virtual machine and its host. Source: `vsock(7)`.

use super::open;
use eudaemon_core::address::Kind;
use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};
use rustix::net::{AddressFamily, SocketFlags};
use std::io;
use std::os::fd::OwnedFd;

/// Where one is bound: `sockaddr_vm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vsock {
    /// Whose it is; `None` is any that is this machine's.
    pub cid: Option<u32>,
    /// The port. The largest number is any free one.
    pub port: u32,
}

// SAFETY: `f` gets a `sockaddr_vm` on the stack, whole and for as long as `f` runs, and its size.
unsafe impl SocketAddrArg for Vsock {
    unsafe fn with_sockaddr<R>(
        &self,
        f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R,
    ) -> R {
        let address = libc::sockaddr_vm {
            svm_family: libc::AF_VSOCK as libc::sa_family_t,
            svm_reserved1: 0,
            svm_port: self.port,
            svm_cid: self.cid.unwrap_or(libc::VMADDR_CID_ANY),
            svm_zero: [0; 4],
        };
        let length = size_of::<libc::sockaddr_vm>() as SocketAddrLen;
        f((&raw const address).cast(), length)
    }
}

impl Vsock {
    /// That of a socket's name, if it is one.
    pub(crate) fn read(address: &rustix::net::SocketAddrAny) -> Option<Vsock> {
        let length = usize::try_from(address.addr_len()).ok()?;
        if address.address_family() != AddressFamily::VSOCK
            || length < size_of::<libc::sockaddr_vm>()
        {
            return None;
        }
        // SAFETY: the kernel wrote an address of this family, of at least this size; it is plain numbers, read without regard to
        // how it is aligned.
        let address = unsafe {
            address
                .as_ptr()
                .cast::<libc::sockaddr_vm>()
                .read_unaligned()
        };
        let cid = address.svm_cid;
        Some(Vsock {
            cid: (cid != libc::VMADDR_CID_ANY).then_some(cid),
            port: address.svm_port,
        })
    }
}

/// A socket of vsock, which does not listen yet.
///
/// # Errors
/// EADDRNOTAVAIL if the CID is not this machine's; ENODEV for datagrams where the transport has none, as virtio has; EAFNOSUPPORT
/// if the kernel has no vsock at all.
pub fn vsock(kind: Kind, at: Vsock) -> io::Result<OwnedFd> {
    let socket = open(AddressFamily::VSOCK, kind, SocketFlags::CLOEXEC)?;
    rustix::net::bind(&socket, &at)?;
    Ok(socket)
}
