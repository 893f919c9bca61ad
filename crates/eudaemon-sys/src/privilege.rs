//! Each step of giving up privileges, and the looks that prove it. Core says which steps, and judges what is seen.
//!
//! Every call here is the kernel's own and changes the calling thread alone (`credentials(7)`; T3 of the specification):
//! whoever calls [`perform`] has counted the threads with [`Witness::threads`] before.

use eudaemon_core::capability::Set;
use eudaemon_core::privilege::{Regained, Step, Tries};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Gid, Uid};
use rustix::thread::{self, CapabilitySet, CapabilitySets};
use std::ffi::OsString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Hold of `/proc/self/task`: it stays readable behind a chroot.
///
/// It is a directory outside of the new root, so it must be dropped before anybody else's code runs there.
#[derive(Debug)]
pub struct Witness {
    tasks: OwnedFd,
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

impl Witness {
    /// Takes hold of this process's threads.
    ///
    /// # Errors
    /// No `/proc`, or something else in its place (`ErrorKind::Unsupported`).
    pub fn open() -> io::Result<Witness> {
        let tasks = rustix::fs::open(c"/proc/self/task", DIRECTORY, Mode::empty())?;
        is_procfs(&tasks)?;
        Ok(Witness { tasks })
    }

    /// The threads of this process, as the kernel numbers them.
    pub fn threads(&self) -> io::Result<Vec<u32>> {
        // From the beginning again, if it was listed before.
        rustix::fs::seek(&self.tasks, rustix::fs::SeekFrom::Start(0))?;
        let mut place = [MaybeUninit::uninit(); 1024];
        let mut listing = RawDir::new(&self.tasks, &mut place);
        let mut threads = Vec::new();
        while let Some(entry) = listing.next() {
            let entry = entry?;
            let name = entry.file_name().to_str().unwrap_or_default();
            if let Ok(thread) = name.parse() {
                threads.push(thread);
            }
        }
        Ok(threads)
    }

    /// The text of a thread's `status`. `None`: it has ended.
    pub fn status(&self, thread: u32) -> io::Result<Option<Vec<u8>>> {
        let path = format!("{thread}/status");
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.tasks, path, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened?,
        };
        match crate::file::read_procfs(file.into()) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
            read => read.map(Some),
        }
    }
}

/// The text of `/proc/self/status`, of the thread that has the process's number. Where it says that there is one thread, that
/// is the calling one, and all there is.
///
/// # Errors
/// As [`Witness::open`].
pub fn own_status() -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(c"/proc/self/status", flags, Mode::empty())?;
    is_procfs(&file)?;
    crate::file::read_procfs(file.into())
}

fn is_procfs(file: &OwnedFd) -> io::Result<()> {
    if rustix::fs::fstatfs(file)?.f_type == rustix::fs::PROC_SUPER_MAGIC {
        Ok(())
    } else {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Every descriptor of this process that is an open directory, and where it is: each is a way out of a chroot that does not
/// contain it. Source: `chroot(2)`, "NOTES"; `proc_pid_fd(5)`.
pub fn open_directories() -> io::Result<Vec<(i32, PathBuf)>> {
    let table = rustix::fs::open(c"/proc/self/fd", DIRECTORY, Mode::empty())?;
    // The listing has no descriptor but this one, which is left out.
    let own = table.as_raw_fd();
    let mut listing = rustix::fs::Dir::new(table)?;
    let mut numbers: Vec<i32> = Vec::new();
    while let Some(entry) = listing.read() {
        let entry = entry?;
        let name = entry.file_name().to_str().unwrap_or_default();
        numbers.extend(name.parse::<i32>().ok().filter(|&number| number != own));
    }
    let mut found = Vec::new();
    for number in numbers {
        // The link is followed to what is open.
        let about = rustix::fs::statat(listing.fd()?, number.to_string(), AtFlags::empty())?;
        if FileType::from_raw_mode(about.st_mode) == FileType::Directory {
            let place = rustix::fs::readlinkat(listing.fd()?, number.to_string(), Vec::new())?;
            found.push((number, OsString::from_vec(place.into_bytes()).into()));
        }
    }
    Ok(found)
}

/// A directory that can be recognized once it is the root.
#[derive(Debug)]
pub struct Landmark {
    id: (u64, u64),
}

impl Landmark {
    /// Looks at a directory, following links. It is not kept open.
    ///
    /// # Errors
    /// It is not there, or no directory.
    pub fn of(path: &[u8]) -> io::Result<Landmark> {
        let stat = rustix::fs::stat(path)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Err(Errno::NOTDIR.into());
        }
        Ok(Landmark {
            id: (stat.st_dev, stat.st_ino),
        })
    }

    /// Whether this process's root, and its working directory, are that directory.
    pub fn is_root_and_here(&self) -> io::Result<(bool, bool)> {
        let is = |path: &std::ffi::CStr| -> io::Result<bool> {
            let stat = rustix::fs::stat(path)?;
            Ok((stat.st_dev, stat.st_ino) == self.id)
        };
        Ok((is(c"/")?, is(c".")?))
    }
}

/// Makes one step, for the calling thread alone. [`Step::Proof`] changes nothing.
///
/// # Errors
/// The kernel's. The process is then neither what it was nor what it was to be: it must end.
pub fn perform(step: &Step) -> io::Result<()> {
    match step {
        Step::Limit(resource, limit) => crate::limits::set(*resource, *limit)?,
        Step::Umask(mask) => crate::file::set_umask(*mask),
        Step::Bounding(set) => {
            for number in set.numbers() {
                let one = CapabilitySet::from_bits_retain(1 << number);
                thread::remove_capability_from_bounding_set(one)?;
            }
        }
        Step::Root(path) => rustix::process::chroot(path.as_slice())?,
        Step::Directory => rustix::process::chdir(c"/")?,
        Step::Groups(groups) => {
            let groups = groups.iter().map(|&raw| gid(raw));
            thread::set_thread_groups(&groups.collect::<io::Result<Vec<Gid>>>()?)?;
        }
        Step::Gid(raw) => {
            let gid = gid(*raw)?;
            thread::set_thread_res_gid(gid, gid, gid)?;
        }
        Step::KeepOn => thread::set_keep_capabilities(true)?,
        Step::Uid(raw) => {
            let uid = uid(*raw)?;
            thread::set_thread_res_uid(uid, uid, uid)?;
        }
        Step::Capabilities { held, inheritable } | Step::LastCapability { held, inheritable } => {
            set_capabilities(*held, *inheritable)?;
        }
        Step::KeepOff => thread::set_keep_capabilities(false)?,
        Step::Ambient(set) => {
            thread::clear_ambient_capability_set()?;
            for number in set.numbers() {
                let one = CapabilitySet::from_bits_retain(1 << number);
                thread::configure_capability_in_ambient_set(one, true)?;
            }
        }
        Step::Securebits(bits) => {
            let bits = thread::CapabilitiesSecureBits::from_bits_retain(*bits);
            thread::set_capabilities_secure_bits(bits)?;
        }
        Step::NoNewPrivileges => thread::set_no_new_privs(true)?,
        Step::Dumpable(may) => rustix::process::set_dumpable_behavior(if *may {
            DumpableBehavior::Dumpable
        } else {
            DumpableBehavior::NotDumpable
        })?,
        Step::Proof => {}
    }
    Ok(())
}

fn set_capabilities(held: Set, inheritable: Set) -> io::Result<()> {
    let sets = CapabilitySets {
        effective: CapabilitySet::from_bits_retain(held.0),
        permitted: CapabilitySet::from_bits_retain(held.0),
        inheritable: CapabilitySet::from_bits_retain(inheritable.0),
    };
    Ok(thread::set_capabilities(None, sets)?)
}

/// The calling thread's securebits. Source: `prctl(2)`, PR_GET_SECUREBITS.
pub fn securebits() -> io::Result<u32> {
    Ok(thread::capabilities_secure_bits()?.bits())
}

/// Whether this process can be dumped and traced by its own user. Source: `prctl(2)`, PR_GET_DUMPABLE.
pub fn is_dumpable() -> io::Result<bool> {
    Ok(rustix::process::dumpable_behavior()? == DumpableBehavior::Dumpable)
}

/// Whether the user namespace lets nobody change groups. Source: `user_namespaces(7)`; before Linux 3.19 there is no such
/// file, and no such rule.
pub fn setgroups_denied() -> io::Result<bool> {
    match std::fs::read("/proc/self/setgroups") {
        Ok(text) => Ok(text.starts_with(b"deny")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Tries to be root again, in each of these ways; answers with those that worked. The process must then end.
pub fn regained(tries: Tries) -> Vec<Regained> {
    let mut ways = Vec::new();
    if tries.user && thread::set_thread_uid(Uid::ROOT).is_ok() {
        ways.push(Regained::User);
    }
    if tries.group && thread::set_thread_gid(Gid::ROOT).is_ok() {
        ways.push(Regained::Group);
    }
    if tries.groups && thread::set_thread_groups(&[Gid::ROOT]).is_ok() {
        ways.push(Regained::Groups);
    }
    if let Some(capability) = tries.capability
        && let Ok(mut sets) = thread::capabilities(None)
    {
        let one = CapabilitySet::from_bits_retain(1 << capability.number());
        sets.permitted |= one;
        sets.effective |= one;
        if thread::set_capabilities(None, sets).is_ok() {
            ways.push(Regained::Capability);
        }
    }
    ways
}

/// Whether this process's user may have one process more: one is made, and ends at once, without a signal.
///
/// Source: `setresuid(2)` succeeds for a user who has too many already, and `clone(2)` and `execve(2)` then answer EAGAIN
/// (`getrlimit(2)`, RLIMIT_NPROC).
///
/// # Errors
/// The kernel's: EAGAIN, if it may not.
pub fn try_one_more_process() -> io::Result<()> {
    const NOTHING: libc::c_long = 0;
    // SAFETY: without flags and without a stack this is fork(2), whose child has a copy of everything; the process has one
    // thread, so no lock is held in the copy, and the child makes one call. WHY NOT fork: its child's end sends SIGCHLD.
    let pid =
        unsafe { libc::syscall(libc::SYS_clone, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING) };
    match pid {
        -1 => return Err(io::Error::last_os_error()),
        // SAFETY: ends this process, which is the copy, and runs nothing of the original's.
        0 => unsafe { libc::_exit(0) },
        _ => {}
    }
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: no memory is written: the place for the status is null. `__WALL` waits for a child without a signal too.
    while unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL) } == -1 {
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            // Whoever ignores SIGCHLD has no zombies; the child is gone.
            Some(libc::ECHILD) => break,
            _ => return Err(error),
        }
    }
    Ok(())
}

/// Refuses the number that means "do not change" (`setresuid(2)`).
fn uid(raw: u32) -> io::Result<Uid> {
    if raw == u32::MAX {
        return Err(Errno::INVAL.into());
    }
    Ok(Uid::from_raw(raw))
}

/// As [`uid`].
fn gid(raw: u32) -> io::Result<Gid> {
    if raw == u32::MAX {
        return Err(Errno::INVAL.into());
    }
    Ok(Gid::from_raw(raw))
}

#[cfg(test)]
mod tests {
    use super::*;
    use eudaemon_core::privilege::Status;

    #[test]
    fn every_thread_of_this_process_has_a_status_that_can_be_read() {
        let witness = Witness::open().expect("there is a /proc");
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || stopped.recv().is_err());
        let threads = witness.threads().expect("it is a directory");
        assert!(threads.len() >= 2, "{threads:?}");
        let mut own = 0;
        for thread in threads {
            // Another test's thread may have ended meanwhile.
            if let Some(text) = witness.status(thread).expect("readable") {
                let status = Status::parse(&text).expect("a kernel of this decade");
                assert_eq!(status.thread, thread);
                own += u32::from(status.process == std::process::id());
            }
        }
        assert!(own >= 2);
        drop(stop);
        assert!(other.join().expect("it only waits"));
    }

    #[test]
    fn the_process_s_own_status_counts_its_threads() {
        let text = own_status().expect("there is a /proc");
        let status = Status::parse(&text).expect("a kernel of this decade");
        let process = std::process::id();
        assert_eq!((status.process, status.thread), (process, process));
        assert!(status.threads >= 2, "a test has a thread of its own");
    }

    #[test]
    fn a_landmark_is_recognized_and_a_file_is_none() {
        let root = Landmark::of(b"/").expect("there is a root");
        let (is_root, is_here) = root.is_root_and_here().expect("both are there");
        assert!(is_root && !is_here, "tests run in their crate's directory");
        assert!(Landmark::of(b"/etc/passwd").is_err());
        assert!(Landmark::of(b"/nonexistent").is_err());
    }
}
