//! This process becomes another program, with descriptors from 3 on; and is what it was, if it cannot.

use crate::process::Environment;
use eudaemon_core::listen::FIRST;
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_getfd};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// Executes a program in this process, with these descriptors at 3 and following. Returns only if it could not; every number
/// then is what it was before.
///
/// Refused with `ErrorKind::Unsupported` when this process has more than one thread: another one would meanwhile see foreign
/// descriptors under the numbers of its own.
pub fn replace(
    program: &CStr,
    argv: &[CString],
    environment: &Environment,
    fds: &[BorrowedFd<'_>],
) -> io::Error {
    match place(fds) {
        Ok(placed) => {
            let mut words: Vec<_> = argv.iter().map(|word| word.as_ptr()).collect();
            words.push(std::ptr::null());
            // SAFETY: path and both arrays end with their zero and outlive the call; exec copies them (execve(2)).
            unsafe { libc::execve(program.as_ptr(), words.as_ptr(), environment.pointers()) };
            let error = io::Error::last_os_error();
            drop(placed);
            error
        }
        Err(error) => error,
    }
}

/// What was at the numbers that were taken; put back when dropped.
struct Placed {
    before: Vec<(RawFd, Option<(OwnedFd, FdFlags)>)>,
}

fn place(fds: &[BorrowedFd<'_>]) -> io::Result<Placed> {
    if std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() > 1) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let first = RawFd::try_from(FIRST).map_err(|_| io::ErrorKind::InvalidInput)?;
    let count = RawFd::try_from(fds.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let end = first + count;
    // First all of them to where nothing is overwritten before its turn.
    let high: Result<Vec<OwnedFd>, _> = fds.iter().map(|fd| fcntl_dupfd_cloexec(fd, end)).collect();
    let high = high?;
    let mut placed = Placed { before: Vec::new() };
    for (to, from) in (first..).zip(&high) {
        placed.before.push((to, kept(to, end)?));
        // SAFETY: what was at `to` is kept, and comes back before anything of this process runs again: there is one thread, and
        // it is here. The new one is not close-on-exec (dup2(2)).
        if unsafe { libc::dup2(from.as_raw_fd(), to) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(placed)
}

/// A copy of what is at this number, if anything is.
fn kept(number: RawFd, end: RawFd) -> io::Result<Option<(OwnedFd, FdFlags)>> {
    // SAFETY: the number is only asked about, and copied if it is open; nothing is closed or owned through it.
    let there = unsafe { BorrowedFd::borrow_raw(number) };
    match fcntl_getfd(there) {
        Ok(flags) => Ok(Some((fcntl_dupfd_cloexec(there, end)?, flags))),
        Err(rustix::io::Errno::BADF) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        for (number, before) in self.before.drain(..) {
            match before {
                Some((fd, flags)) => {
                    let close = if flags.contains(FdFlags::CLOEXEC) {
                        libc::O_CLOEXEC
                    } else {
                        0
                    };
                    // SAFETY: puts back what its owner believes to be there.
                    unsafe { libc::dup3(fd.as_raw_fd(), number, close) };
                }
                // SAFETY: it was free, so what is there is our copy, which nobody owns.
                None => unsafe {
                    libc::close(number);
                },
            }
        }
    }
}
