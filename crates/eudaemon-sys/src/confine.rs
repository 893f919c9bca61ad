//! What a process asks the kernel before it gives rights up, and giving up capabilities. One-way, all of it.

use eudaemon_core::capability::Set;
use rustix::fs::{Mode, OFlags};
use rustix::thread::CapabilitySet;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::OwnedFd;

/// How many threads this process has, to be asked even where `/proc` cannot be seen any more, nor opened.
#[derive(Debug)]
pub enum Threads {
    /// The directory of threads, which Landlock lets anyone open like this and count by `fstat(2)`.
    Directory(OwnedFd),
    /// A file that tells.
    File(File),
}

impl Threads {
    /// Of this process. A child's are not seen through it.
    pub fn of_this_process() -> io::Result<Threads> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let task = rustix::fs::open("/proc/self/task", flags, Mode::empty())?;
        Ok(Threads::Directory(task))
    }

    /// The same without an open directory, which behind a chroot would be a way out.
    pub fn by_a_file() -> io::Result<Threads> {
        Ok(Threads::File(File::open("/proc/self/status")?))
    }

    /// How many there are now.
    ///
    /// Source: `proc_pid_task(5)`, one directory each; `inode(7)`, links of a directory: its name, its own `.`, and each
    /// `..` below it (observed: Linux 6.18). `proc_pid_status(5)`, Threads.
    pub fn count(&self) -> io::Result<u64> {
        let mut file = match self {
            Threads::Directory(task) => {
                return Ok((rustix::fs::fstat(task)?.st_nlink as u64).saturating_sub(2));
            }
            Threads::File(file) => file,
        };
        let mut text = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut text)?;
        let mut lines = text.split(|&byte| byte == b'\n');
        let words = lines.find_map(|line| line.strip_prefix(b"Threads:"));
        let count = words.and_then(|words| std::str::from_utf8(words).ok()?.trim().parse().ok());
        count.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

/// The version of Landlock's interface this kernel has: 1 or more.
///
/// `ENOSYS`: it is not built in; `EOPNOTSUPP`: it is, and was not switched on at boot.
/// Source: `landlock_create_ruleset(2)`, LANDLOCK_CREATE_RULESET_VERSION.
pub fn landlock_abi() -> io::Result<u32> {
    const VERSION: libc::c_uint = 1;
    let nothing: *const libc::c_void = std::ptr::null();
    // SAFETY: with this flag the pointer must be null and the size 0; the call answers a number and opens nothing
    // (landlock_create_ruleset(2)).
    // WHY NOT rustix: it has no Landlock.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0_usize, VERSION) };
    u32::try_from(version).map_err(|_| io::Error::last_os_error())
}

/// Whether seccomp has filters, and one may end the process. Linux 4.14. Source: `seccomp(2)`,
/// SECCOMP_GET_ACTION_AVAIL.
pub fn seccomp_filters() -> io::Result<()> {
    let action: u32 = libc::SECCOMP_RET_KILL_PROCESS;
    // SAFETY: the operation reads four bytes from our own live local and changes nothing (seccomp(2)).
    // WHY NOT rustix: it has no seccomp(2).
    let answer = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_GET_ACTION_AVAIL,
            0_u32,
            &raw const action,
        )
    };
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// No exec gives this thread, and what it starts from now on, more rights than it has. Read back after it was set.
/// Source: `prctl(2)`, PR_SET_NO_NEW_PRIVS.
pub fn no_new_privileges() -> io::Result<bool> {
    rustix::thread::set_no_new_privs(true)?;
    Ok(rustix::thread::no_new_privs()?)
}

/// The capabilities this thread may use: its permitted set. Source: `capget(2)`.
pub fn capabilities() -> io::Result<Set> {
    Ok(Set(rustix::thread::capabilities(None)?.permitted.bits()))
}

/// Gives up every capability of this thread that is not in `kept`, from the permitted, effective and inheritable sets,
/// and so from the ambient one. Source: `capset(2)`; `capabilities(7)`, "Ambient".
pub fn keep_capabilities(kept: Set) -> io::Result<()> {
    let kept = CapabilitySet::from_bits_retain(kept.0);
    let mut sets = rustix::thread::capabilities(None)?;
    if (sets.permitted | sets.inheritable)
        .difference(kept)
        .is_empty()
    {
        return Ok(());
    }
    sets.permitted &= kept;
    sets.effective &= kept;
    sets.inheritable &= kept;
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_given_up_is_gone() {
        // Credentials are a thread's, so the other tests do not feel it.
        std::thread::spawn(|| {
            keep_capabilities(Set::EMPTY).expect("less is always allowed");
            assert_eq!(capabilities().expect("asked of ourselves"), Set::EMPTY);
            assert!(no_new_privileges().expect("always allowed"));
        })
        .join()
        .expect("it asserts");
    }

    #[test]
    fn threads_are_counted() {
        let threads = [Threads::of_this_process(), Threads::by_a_file()];
        let threads = threads.map(|one| one.expect("/proc is mounted"));
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let one = std::thread::spawn(move || receiver.recv());
        // Other tests come and go in the same process; this one's thread is there for as long as it is asked for.
        let listed = || std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
        for one in &threads {
            let agreed = |_: &u32| one.count().is_ok_and(|count| count as usize == listed());
            assert!((0..1000).find(agreed).is_some(), "{one:?}");
        }
        drop(sender);
        assert!(one.join().is_ok());
    }

    #[test]
    fn the_kernel_says_what_it_has() {
        if let Ok(version) = landlock_abi() {
            assert!(version >= 1);
        }
        seccomp_filters().expect("every kernel we support has them");
    }
}
