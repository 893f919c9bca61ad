//! What a child of the standard library's `Command` inherits that is no variable.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Has the child begin with every signal at its default and unblocked, and with no descriptors but 0, 1 and 2.
///
/// The standard library itself unblocks all and gives SIGPIPE its default; this is for what else is ignored, and for
/// descriptors that are not close-on-exec. Source: std, `sys/process/unix/unix.rs`, `do_exec`.
pub fn clean(command: &mut Command) {
    // SAFETY: `begin` runs in the child between fork and exec, perhaps of a process with threads: it makes system calls and
    // nothing else, allocates nothing and takes no lock (signal-safety(7)).
    unsafe { command.pre_exec(begin) };
}

fn begin() -> io::Result<()> {
    crate::signal::default_all();
    crate::signal::unblock_all()?;
    close_on_exec_from_3()
}

/// Not closed but marked: the standard library tells its parent of a failed exec through one of them.
fn close_on_exec_from_3() -> io::Result<()> {
    const FIRST: libc::c_uint = 3;
    let last = libc::c_uint::MAX;
    // SAFETY: takes numbers and changes flags of this process's own table, a copy of its parent's (close_range(2)).
    // WHY NOT rustix: it has no close_range.
    let rc = unsafe { libc::syscall(libc::SYS_close_range, FIRST, last, CLOEXEC) };
    if rc == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // Linux before 5.9, and before 5.11 which has the flag.
        Some(libc::ENOSYS | libc::EINVAL) => one_by_one(),
        _ => Err(error),
    }
}

/// `CLOSE_RANGE_CLOEXEC`. Source: `linux/close_range.h`.
const CLOEXEC: libc::c_uint = 1 << 2;

/// Up to the limit: a descriptor beyond it may be there if the limit was lowered, which close_range would find.
fn one_by_one() -> io::Result<()> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to our own live local.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let end = i32::try_from(limit.rlim_cur).unwrap_or(i32::MAX);
    for number in 3..end {
        // SAFETY: takes numbers; one that is not open is refused, which is fine.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(
        clippy::disallowed_methods,
        reason = "an ordinary child is what it is for"
    )]
    fn both_ways_leave_three_descriptors() {
        use std::os::fd::AsRawFd;
        for way in [close_on_exec_from_3, one_by_one] {
            let file = std::fs::File::open("/dev/null").expect("it is always there");
            // SAFETY: F_SETFD reads no memory.
            unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFD, 0) };
            let mut command = Command::new("ls");
            command.arg("/proc/self/fd");
            // SAFETY: both make system calls only.
            unsafe { command.pre_exec(way) };
            let output = command.output().expect("ls");
            // ls itself opens the directory it lists, as 3.
            assert_eq!(output.stdout, b"0\n1\n2\n3\n");
            drop(file);
        }
    }
}
