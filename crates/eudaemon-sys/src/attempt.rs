//! System calls that a confined process tries, to see that it is confined. None has an effect that outlives the call,
//! wherever it should be allowed after all: it is for tests of a sandbox, made from inside.

use rustix::net::{AddressFamily, Protocol, RawAddressFamily, RawProtocol, SendFlags, SocketType};
use std::ffi::CString;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

fn answer(code: libc::c_long) -> io::Result<()> {
    if code < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// `mount(2)` of nothing at nowhere: `EFAULT` where it is allowed.
pub fn mount() -> io::Result<()> {
    let nowhere = std::ptr::null::<libc::c_char>();
    // SAFETY: mount reads its strings through the kernel, which answers EFAULT for null; no memory of ours is touched.
    answer(unsafe { libc::mount(nowhere, nowhere, nowhere, 0, std::ptr::null()) }.into())
}

/// `init_module(2)` of no image.
pub fn load_module() -> io::Result<()> {
    // SAFETY: a null image of no bytes is refused with EFAULT or ENOEXEC before anything is loaded (init_module(2)).
    answer(unsafe {
        libc::syscall(
            libc::SYS_init_module,
            std::ptr::null::<u8>(),
            0_usize,
            c"".as_ptr(),
        )
    })
}

/// `ptrace(2)`, to be told of no process at all: `ESRCH`.
pub fn trace() -> io::Result<()> {
    let nothing = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: process 0 is nobody's, so nothing is attached to (ptrace(2), ESRCH).
    answer(unsafe { libc::ptrace(libc::PTRACE_ATTACH, 0, nothing, nothing) })
}

/// `unshare(2)` of the user namespace, by a child that is gone at once.
pub fn user_namespace() -> io::Result<()> {
    in_child(|| {
        // SAFETY: it changes the namespace of this child only, which does nothing else after it.
        answer(unsafe { libc::unshare(libc::CLONE_NEWUSER) }.into())
    })
}

/// `clone(2)` with a new user namespace; the child is gone at once.
pub fn clone_namespace() -> io::Result<()> {
    let flags = libc::CLONE_NEWUSER | libc::SIGCHLD;
    // SAFETY: without CLONE_VM and with no stack this is fork(2); the child only leaves.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    if pid == 0 {
        // SAFETY: _exit runs nothing of ours.
        unsafe { libc::_exit(0) };
    }
    answer(pid)?;
    reaped(pid).map(|_| ())
}

/// `clone3(2)` with arguments that mean nothing: `EINVAL` where it is there.
pub fn clone3() -> io::Result<()> {
    // SAFETY: a size of 0 is smaller than any version of the structure, so the pointer is not read (clone3(2), EINVAL).
    answer(unsafe { libc::syscall(libc::SYS_clone3, std::ptr::null::<u8>(), 0_usize) })
}

/// A call with a number that no kernel has yet.
pub fn call_of_the_future() -> io::Result<()> {
    // SAFETY: there is no such call, so it does nothing.
    answer(unsafe { libc::syscall(1999) })
}

/// `io_uring_setup(2)` with no parameters: `EFAULT` where it is allowed.
pub fn io_uring() -> io::Result<()> {
    // SAFETY: the kernel refuses the null pointer and makes nothing.
    answer(unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, std::ptr::null::<u8>()) })
}

/// `setns(2)` into nothing: `EBADF` where it is allowed.
pub fn enter_namespace() -> io::Result<()> {
    // SAFETY: -1 is no descriptor, so nothing is entered.
    answer(unsafe { libc::setns(-1, 0) }.into())
}

/// `shmat(2)` of no segment, to be executed: `EINVAL` where it is allowed.
pub fn attach_code() -> io::Result<()> {
    const SHM_EXEC: libc::c_int = 0o100_000;
    // SAFETY: -1 is no segment, so nothing is attached.
    answer(unsafe { libc::syscall(libc::SYS_shmat, -1, std::ptr::null::<u8>(), SHM_EXEC) })
}

/// `pkey_mprotect(2)` of no memory, to be executed: nothing happens where it is allowed.
pub fn protect_code() -> io::Result<()> {
    // SAFETY: the length is 0, so no page is changed; -1 is no key, and makes it mprotect(2).
    answer(unsafe {
        libc::syscall(
            libc::SYS_pkey_mprotect,
            std::ptr::null::<u8>(),
            0_usize,
            libc::PROT_EXEC,
            -1,
        )
    })
}

/// Memory that is written and executed at once.
pub fn writable_code() -> io::Result<()> {
    page(libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC, None)
}

/// Memory that is written first and executed then.
pub fn code_made_of_data() -> io::Result<()> {
    let exec = libc::PROT_READ | libc::PROT_EXEC;
    page(libc::PROT_READ | libc::PROT_WRITE, Some(exec))
}

fn page(first: libc::c_int, then: Option<libc::c_int>) -> io::Result<()> {
    const SIZE: usize = 4096;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new anonymous mapping where the kernel likes; nothing of ours lies there.
    // Not libc's mmap: musl's tells ENOMEM where the kernel said EPERM (observed: 1.2.5).
    let page = unsafe { libc::syscall(libc::SYS_mmap, 0, SIZE, first, flags, -1, 0) };
    answer(page)?;
    let page = page as *mut libc::c_void;
    let changed = then.map_or(Ok(()), |then| {
        // SAFETY: the page is ours alone, made above.
        answer(unsafe { libc::mprotect(page, SIZE, then) }.into())
    });
    // SAFETY: the same page, of the same size, which nobody refers to.
    unsafe { libc::munmap(page, SIZE) };
    changed
}

/// A socket of this family, type and protocol, by their numbers.
pub fn socket(family: u16, kind: u32, protocol: u32) -> io::Result<OwnedFd> {
    let family = AddressFamily::from_raw(RawAddressFamily::from(family));
    let protocol = RawProtocol::new(protocol).map(Protocol::from_raw);
    Ok(rustix::net::socket(
        family,
        SocketType::from_raw(kind),
        protocol,
    )?)
}

/// Connects and sends in one call. Source: `sendto(2)`, MSG_FASTOPEN.
pub fn send_without_connecting(to: SocketAddr) -> io::Result<()> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    let fast = SendFlags::from_bits_retain(0x2000_0000);
    rustix::net::sendto(&socket, b"x", fast, &to)?;
    Ok(())
}

/// Connects a socket of any kind.
pub fn connect(socket: &OwnedFd, to: SocketAddr) -> io::Result<()> {
    Ok(rustix::net::connect(socket, &to)?)
}

/// Copies a program into memory that has no name and executes it there, in a child. What it ended with, or why it could
/// not start.
pub fn execute_from_memory(program: &[u8]) -> io::Result<()> {
    // SAFETY: the name is a C string and the answer is a new descriptor or -1 (memfd_create(2)).
    let fd = unsafe { libc::memfd_create(c"program".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was made above and belongs to nobody else.
    let memory = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut rest = program;
    while !rest.is_empty() {
        rest = &rest[rustix::io::write(&memory, rest)?..];
    }
    let name = CString::default();
    let argv = [c"program".as_ptr(), std::ptr::null()];
    in_child(|| {
        // SAFETY: the strings and the array live until the call is over, and the array ends with null (execveat(2)).
        answer(unsafe {
            libc::syscall(
                libc::SYS_execveat,
                memory.as_raw_fd(),
                name.as_ptr(),
                argv.as_ptr(),
                argv[1..].as_ptr(),
                libc::AT_EMPTY_PATH,
            )
        })
    })
}

/// Runs it in a child and brings back its error number.
fn in_child(what: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let pid = crate::process::fork(|| match what() {
        Ok(()) => 0,
        Err(error) => error.raw_os_error().map_or(255, |number| number as u8),
    })?;
    match reaped(pid.get().into())? {
        0 => Ok(()),
        number => Err(io::Error::from_raw_os_error(number)),
    }
}

/// Waits for a child; its exit code.
fn reaped(pid: libc::c_long) -> io::Result<i32> {
    let mut status = 0;
    // SAFETY: the pointer is to our own live local; the child is ours and nobody else waits for it.
    answer(unsafe { libc::waitpid(pid as libc::pid_t, &raw mut status, 0) }.into())?;
    Ok(libc::WEXITSTATUS(status))
}
