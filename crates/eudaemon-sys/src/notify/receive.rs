//! The manager's side.

use eudaemon_core::notify::{Address, MOST_DESCRIPTORS};
use eudaemon_core::words::Pid;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A socket on which services are heard.
#[derive(Debug)]
pub struct Receiver(OwnedFd);

/// Who sent a datagram, by the kernel's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speaker {
    /// Its process id when it sent, in our namespace.
    pub pid: Pid,
    /// Its real user.
    pub uid: u32,
    /// Its real group.
    pub gid: u32,
}

/// What came with the bytes.
#[derive(Debug, Default)]
pub struct Datagram {
    /// How many bytes.
    pub length: usize,
    /// There were more bytes than there was room for.
    pub truncated: bool,
    /// There were more descriptors than there was room for; the rest was closed by the kernel.
    pub descriptors_lost: bool,
    /// Who sent it; `None` if the kernel did not say, and then it is to be ignored.
    pub speaker: Option<Speaker>,
    /// The sender itself, since Linux 6.5: its number cannot come to mean another.
    pub pidfd: Option<OwnedFd>,
    /// The descriptors beside it, close-on-exec.
    pub fds: Vec<OwnedFd>,
}

/// Source: Linux `include/uapi/asm-generic/socket.h`, 6.5: the libc crate does not have them for every target.
const SO_PASSPIDFD: libc::c_int = 76;
/// Source: Linux `include/linux/socket.h`, 6.5.
const SCM_PIDFD: libc::c_int = 4;

/// Room for what comes beside the bytes: credentials, the sender's pidfd, and the most descriptors.
const CONTROL: usize = {
    // SAFETY: CMSG_SPACE dereferences nothing: it adds and rounds the length it is given, and 4 * 253 does not overflow.
    unsafe {
        (libc::CMSG_SPACE(size_of::<libc::ucred>() as u32)
            + libc::CMSG_SPACE(4)
            + libc::CMSG_SPACE(4 * MOST_DESCRIPTORS as u32)) as usize
    }
};

#[repr(C)]
union Control {
    bytes: [u8; CONTROL],
    _aligned: libc::cmsghdr,
}

impl Receiver {
    /// Listens at an address that nobody else has; a path must not exist, and anybody may send to it who can reach it.
    /// Non-blocking.
    ///
    /// # Errors
    /// Those of `bind(2)`; `Unsupported` for an address that is no local one.
    pub fn bind(address: &Address<'_>) -> io::Result<Receiver> {
        let address = match *address {
            Address::Path(path) => SocketAddrUnix::new(path)?,
            Address::Abstract(name) => SocketAddrUnix::new_abstract_name(name)?,
            Address::Vsock { .. } => return Err(io::ErrorKind::Unsupported.into()),
        };
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        rustix::net::sockopt::set_socket_passcred(&socket, true)?;
        let on: libc::c_int = 1;
        // SAFETY: the option's value is an int, of the size given, that lives until after the call. A kernel that does not
        // know the option answers ENOPROTOOPT, and there are no pidfds then.
        // WHY NOT rustix: it does not have the option.
        unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                SO_PASSPIDFD,
                (&raw const on).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        // Before `bind`: the file gets the mode of the socket, whatever the umask (unix_bind_bsd).
        rustix::fs::fchmod(&socket, rustix::fs::Mode::from_raw_mode(0o666))?;
        rustix::net::bind(&socket, &address)?;
        Ok(Receiver(socket))
    }

    /// Receives one datagram; `None` if there is none. Who may be a stranger has sent it.
    pub fn receive(&self, bytes: &mut [u8]) -> io::Result<Option<Datagram>> {
        let mut control = Control {
            bytes: [0; CONTROL],
        };
        let mut part = libc::iovec {
            iov_base: bytes.as_mut_ptr().cast(),
            iov_len: bytes.len(),
        };
        // SAFETY: msghdr is plain memory for which zero bytes are a value.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = (&raw mut control).cast();
        header.msg_controllen = CONTROL as _;
        let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        let got = loop {
            // SAFETY: the header points to one part, which is `bytes`, and to `control`, with their sizes; all live
            // until after the call and nothing else refers to them. WHY NOT rustix: it drops the pidfd it does not know.
            let got = unsafe { libc::recvmsg(self.0.as_raw_fd(), &raw mut header, flags) };
            if let Ok(got) = usize::try_from(got) {
                break got;
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::EAGAIN) => return Ok(None),
                _ => return Err(error),
            }
        };
        let mut datagram = Datagram {
            length: got.min(bytes.len()),
            truncated: header.msg_flags & libc::MSG_TRUNC != 0,
            descriptors_lost: header.msg_flags & libc::MSG_CTRUNC != 0,
            ..Datagram::default()
        };
        // SAFETY: the kernel filled header and control; `take` only follows what is in them.
        unsafe { take(&header, &mut datagram) };
        Ok(Some(datagram))
    }
}

/// Takes everything out of the control bytes; each descriptor in them gets its owner.
///
/// # Safety
/// `header` is as a successful `recvmsg` left it, its control bytes are alive, and this is called once for them.
unsafe fn take(header: &libc::msghdr, datagram: &mut Datagram) {
    // SAFETY: the header is whole (this function's contract).
    let mut entry = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !entry.is_null() {
        // SAFETY: FIRSTHDR and NXTHDR answer null or an entry that lies in the control bytes whole.
        let (level, kind, length, data) = unsafe {
            let entry = &*entry;
            let data = libc::CMSG_DATA(entry);
            let head = data.addr() - std::ptr::from_ref(entry).addr();
            (
                entry.cmsg_level,
                entry.cmsg_type,
                (entry.cmsg_len as usize).saturating_sub(head),
                data,
            )
        };
        match (level, kind) {
            (libc::SOL_SOCKET, libc::SCM_RIGHTS | SCM_PIDFD) => {
                for at in 0..length / size_of::<libc::c_int>() {
                    // SAFETY: `length` bytes of ints lie there; they need not be aligned for this read.
                    let fd = unsafe { data.cast::<libc::c_int>().add(at).read_unaligned() };
                    if fd < 0 {
                        continue;
                    }
                    // SAFETY: the kernel installed it for this message, and entries are looked at once.
                    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
                    if kind == SCM_PIDFD {
                        datagram.pidfd = Some(fd);
                    } else {
                        datagram.fds.push(fd);
                    }
                }
            }
            (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) if length >= size_of::<libc::ucred>() => {
                // SAFETY: a ucred lies there whole; it need not be aligned for this read.
                let who = unsafe { data.cast::<libc::ucred>().read_unaligned() };
                // 0 stands for a process our namespace cannot see.
                let pid = u32::try_from(who.pid).ok().and_then(Pid::new);
                datagram.speaker = pid.map(|pid| Speaker {
                    pid,
                    uid: who.uid,
                    gid: who.gid,
                });
            }
            _ => {}
        }
        // SAFETY: `entry` is one of this header's.
        entry = unsafe { libc::CMSG_NXTHDR(header, entry) };
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
