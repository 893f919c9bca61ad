//! Processes: their ends, their identities, signals to them, and becoming another one.

use eudaemon_core::words::{Pid, Signal};
use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

fn kernel_pid(pid: Pid) -> io::Result<rustix::process::Pid> {
    i32::try_from(pid.get())
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}

fn kernel_signal(signal: Signal) -> io::Result<rustix::process::Signal> {
    rustix::process::Signal::from_named_raw(i32::from(signal.number_linux()))
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}

/// Our own pid.
#[must_use]
pub fn own_pid() -> u32 {
    std::process::id()
}

/// Orphans of this process's descendants become its children. Source: `prctl(2)`, PR_SET_CHILD_SUBREAPER.
pub fn become_subreaper() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(
        rustix::process::getpid(),
    ))?)
}

/// Asks the kernel to send us a signal when the process that started us dies. It lasts through an exec.
///
/// Source: `prctl(2)`, PR_SET_PDEATHSIG. False if that process is dead already: then nobody will send it.
pub fn die_with_parent(parent: u32) -> bool {
    let set = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM));
    let now = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    set.is_ok() && now.and_then(|pid| u32::try_from(pid).ok()) == Some(parent)
}

/// The name `ps -o comm` shows; at most 15 bytes count. Source: `prctl(2)`, PR_SET_NAME.
pub fn set_name(name: &str) {
    if let Ok(name) = CString::new(name) {
        // A name is for people; a kernel that refuses it loses nothing.
        let _ = rustix::thread::set_name(&name);
    }
}

/// A child that has ended and is still a zombie: its pid and its wait status.
///
/// Looks without reaping (`WNOWAIT`), so that the caller can write it down first; [`reap`] ends it.
/// `None`: no child has ended. Source: `waitid(2)`.
pub fn ended_child() -> io::Result<Option<(Pid, u32)>> {
    loop {
        // SAFETY: siginfo_t is plain memory for which zero bytes are a value; waitid fills it (waitid(2)).
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
        // SAFETY: the pointer is to our own local, which outlives the call.
        let rc = unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, flags) };
        if rc != 0 {
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINTR) => continue,
                Some(libc::ECHILD) => return Ok(None),
                _ => return Err(error),
            }
        }
        // SAFETY: after a successful waitid the fields of the SIGCHLD form are the ones that are set.
        let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
        let Some(pid) = u32::try_from(pid).ok().and_then(Pid::new) else {
            return Ok(None);
        };
        let number = u32::try_from(status).unwrap_or(0);
        return Ok(Some((
            pid,
            match info.si_code {
                libc::CLD_EXITED => (number & 0xff) << 8,
                libc::CLD_DUMPED => (number & 0x7f) | 0x80,
                _ => number & 0x7f,
            },
        )));
    }
}

/// Reaps one ended child.
pub fn reap(pid: Pid) {
    let number: libc::id_t = pid.get();
    loop {
        // SAFETY: siginfo_t is plain memory for which zero bytes are a value; the pointer outlives the call.
        let rc = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            libc::waitid(
                libc::P_PID,
                number,
                &raw mut info,
                libc::WEXITED | libc::WNOHANG | libc::__WALL,
            )
        };
        // ECHILD: somebody else was its parent after all; nothing is left to do.
        if rc == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
            return;
        }
    }
}

/// A process held so that its pid cannot come to mean another. Source: `pidfd_open(2)`.
#[derive(Debug)]
pub struct Held(OwnedFd);

impl Held {
    /// Takes hold of whoever has this pid now.
    pub fn open(pid: Pid) -> io::Result<Held> {
        Ok(Held(pidfd_open(kernel_pid(pid)?, PidfdFlags::empty())?))
    }

    /// The pidfs inode number: unique until the machine boots again, on kernels since 6.9; elsewhere the same for every
    /// process, which [`pidfs_is_unique`] tells.
    pub fn inode(&self) -> io::Result<u64> {
        Ok(rustix::fs::fstat(&self.0)?.st_ino)
    }

    /// Its number here; `None` if it has been reaped, or is beyond our namespace. Source: `pidfd_open(2)`;
    /// `proc_pid_fdinfo(5)`, `Pid:`.
    #[must_use]
    pub fn pid(&self) -> Option<Pid> {
        let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", self.0.as_raw_fd()));
        let text = text.ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pid:"))?;
        // -1 is one that has gone, 0 one that is beyond.
        Pid::new(line.trim().parse().ok()?)
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(pidfd_send_signal(&self.0, kernel_signal(signal)?)?)
    }

    /// Sends a signal to the process group that the process leads, or led: as long as anybody is in it. `ESRCH` when nobody
    /// is; `EINVAL` before Linux 6.9. Source: `pidfd_send_signal(2)`, PIDFD_SIGNAL_PROCESS_GROUP.
    pub fn signal_group(&self, signal: Signal) -> io::Result<()> {
        const PROCESS_GROUP: libc::c_uint = 1 << 2;
        let number = libc::c_int::from(signal.number_linux());
        let none = std::ptr::null_mut::<libc::siginfo_t>();
        let fd = self.0.as_raw_fd();
        // SAFETY: no memory is read: the signal's information is null, and the descriptor is ours.
        let rc =
            unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, number, none, PROCESS_GROUP) };
        if rc == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// The wait status of a process that has ended, though it is no child of ours.
    ///
    /// Needs Linux 6.15 once it has been reaped (`PIDFD_GET_INFO` with `PIDFD_INFO_EXIT`, `linux/pidfd.h`); while it is
    /// still a zombie its `/proc/PID/stat` says it (`proc_pid_stat(5)`, field 52). `None`: not ended, or not to be known.
    #[must_use]
    pub fn wait_status(&self, pid: Pid) -> Option<u32> {
        self.reaped_status().or_else(|| zombie_status(pid))
    }

    fn reaped_status(&self) -> Option<u32> {
        /// `struct pidfd_info`, 64 bytes in its first published form.
        #[repr(C)]
        #[derive(Default)]
        struct Info {
            mask: u64,
            cgroup: u64,
            ids: [u32; 11],
            exit_code: i32,
        }
        const INFO_EXIT: u64 = 1 << 3;
        // _IOWR(0xFF, 11, struct pidfd_info), with the size in bits 16..30 (asm-generic/ioctl.h).
        const GET_INFO: u64 = 3 << 30 | 64 << 16 | 0xff << 8 | 11;
        let mut info = Info {
            mask: INFO_EXIT,
            ..Info::default()
        };
        // SAFETY: the request names 64 bytes, which is the size of `Info` (asserted below); the pointer outlives the call.
        let rc = unsafe { libc::ioctl(self.0.as_raw_fd(), GET_INFO as _, &raw mut info) };
        const { assert!(size_of::<Info>() == 64) };
        (rc == 0 && info.mask & INFO_EXIT != 0).then(|| u32::try_from(info.exit_code).unwrap_or(0))
    }

    /// Whether the process has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let mut fds = [rustix::event::PollFd::new(
            &self.0,
            rustix::event::PollFlags::IN,
        )];
        let now = rustix::time::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        matches!(rustix::event::poll(&mut fds, Some(&now)), Ok(1..))
    }
}

impl AsFd for Held {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Held {
    fn from(fd: OwnedFd) -> Held {
        Held(fd)
    }
}

impl From<Held> for OwnedFd {
    fn from(held: Held) -> OwnedFd {
        held.0
    }
}

/// Whether pidfd inode numbers tell processes apart: since Linux 6.9 they live in pidfs. Source: `linux/magic.h`,
/// PID_FS_MAGIC.
#[must_use]
pub fn pidfs_is_unique(held: &Held) -> bool {
    const PID_FS_MAGIC: u64 = 0x5049_4446;
    rustix::fs::fstatfs(&held.0)
        .is_ok_and(|stat| u64::try_from(stat.f_type).is_ok_and(|kind| kind == PID_FS_MAGIC))
}

fn stat_field(pid: Pid, field: usize) -> Option<u64> {
    let text = std::fs::read(format!("/proc/{}/stat", pid.get())).ok()?;
    // The name, in parentheses, may hold anything; what follows its last parenthesis starts with field 3.
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(text.get(end + 2..)?).ok()?;
    rest.split_ascii_whitespace()
        .nth(field.checked_sub(3)?)?
        .parse()
        .ok()
}

fn zombie_status(pid: Pid) -> Option<u32> {
    let text = std::fs::read(format!("/proc/{}/stat", pid.get())).ok()?;
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let zombie = text
        .get(end + 2)
        .is_some_and(|state| matches!(state, b'Z' | b'X'));
    if zombie {
        stat_field(pid, 52).and_then(|code| u32::try_from(code).ok())
    } else {
        None
    }
}

/// When the process started, in clock ticks since boot (`proc_pid_stat(5)`, field 22).
#[must_use]
pub fn start_time(pid: Pid) -> Option<u64> {
    stat_field(pid, 22)
}

/// Whether the process is a zombie: ended, and not yet reaped by its parent.
#[must_use]
pub fn is_zombie(pid: Pid) -> bool {
    std::fs::read(format!("/proc/{}/stat", pid.get())).is_ok_and(|text| {
        text.iter()
            .rposition(|byte| *byte == b')')
            .and_then(|end| text.get(end + 2))
            .is_some_and(|state| matches!(state, b'Z' | b'X'))
    })
}

/// Whether the null signal finds a process; not being allowed to signal it is finding it. Source: `kill(2)`.
#[must_use]
pub fn exists(pid: Pid) -> bool {
    kernel_pid(pid).is_ok_and(|pid| {
        matches!(
            rustix::process::test_kill_process(pid),
            Ok(()) | Err(rustix::io::Errno::PERM)
        )
    })
}

/// Sends a signal to a pid. Only for kernels without pidfd; the caller must know the pid is not reaped.
pub fn signal_pid(pid: Pid, signal: Signal) -> io::Result<()> {
    Ok(rustix::process::kill_process(
        kernel_pid(pid)?,
        kernel_signal(signal)?,
    )?)
}

/// Sends a signal to the process group led by `pid`.
pub fn signal_group(pid: Pid, signal: Signal) -> io::Result<()> {
    Ok(rustix::process::kill_process_group(
        kernel_pid(pid)?,
        kernel_signal(signal)?,
    )?)
}

/// The process group of a process, if it leads one of its own: only then may its group be signalled.
#[must_use]
pub fn leads_group(pid: Pid) -> bool {
    kernel_pid(pid)
        .is_ok_and(|pid| rustix::process::getpgid(Some(pid)).is_ok_and(|group| group == pid))
}

/// Forks. The child runs `child` and ends with the code it returns; it shares nothing with its parent but open files.
///
/// Refused with `ErrorKind::Unsupported` when this process has more than one thread: the child would inherit locks that
/// nobody holds any more (`fork(2)`, NOTES).
pub fn fork(child: impl FnOnce() -> u8) -> io::Result<Pid> {
    if std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() > 1) {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "a process with threads cannot be forked",
        ));
    }
    // SAFETY: there is one thread (checked above), so the child's memory is a consistent copy with no lock held elsewhere.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let code = child();
            // SAFETY: _exit is always sound; the parent's exit handlers must not run twice.
            unsafe { libc::_exit(i32::from(code)) }
        }
        pid => u32::try_from(pid)
            .ok()
            .and_then(Pid::new)
            .ok_or_else(|| io::Error::other("fork returned a pid that is none")),
    }
}

/// Leads a new session; false if it leads a group already. Source: `setsid(2)`.
pub fn new_session() -> bool {
    rustix::process::setsid().is_ok()
}

/// Becomes this very binary again, under another `argv`, keeping the pid and the descriptors in `keep`.
///
/// Returns only if it could not.
pub fn become_self(argv: &[&OsStr], keep: &[BorrowedFd<'_>]) -> io::Error {
    for fd in keep {
        if let Err(error) = rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty()) {
            return error.into();
        }
    }
    let words: Result<Vec<CString>, _> = argv
        .iter()
        .map(|word| CString::new(word.as_bytes()))
        .collect();
    let Ok(words) = words else {
        return io::Error::from(io::ErrorKind::InvalidInput);
    };
    exec(c"/proc/self/exe", &words)
}

/// The name of the parent's program, as `ps -o comm` shows it; `None` if it is not to be known. Source: `proc_pid_comm(5)`: the
/// first 15 bytes.
#[must_use]
pub fn parent_name() -> Option<Vec<u8>> {
    let parent = rustix::process::getppid()?.as_raw_nonzero();
    let mut name = std::fs::read(format!("/proc/{parent}/comm")).ok()?;
    name.pop_if(|byte| *byte == b'\n');
    Some(name)
}

/// Executes a program at a path, with this process's environment. Returns only if it could not.
pub fn exec(path: &CStr, argv: &[CString]) -> io::Error {
    let mut pointers: Vec<*const libc::c_char> = argv.iter().map(|word| word.as_ptr()).collect();
    pointers.push(std::ptr::null());
    let environment = Environment::of_this_process();
    // SAFETY: path and both arrays are NUL-terminated and outlive the call; exec copies them (execve(2)).
    unsafe { libc::execve(path.as_ptr(), pointers.as_ptr(), environment.pointers()) };
    io::Error::last_os_error()
}

/// An environment block, ready for exec.
#[derive(Debug)]
pub struct Environment {
    _strings: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
}

impl Environment {
    /// The environment of this process, as it is now.
    #[must_use]
    pub fn of_this_process() -> Environment {
        Environment::new(std::env::vars_os().filter_map(|(name, value)| {
            let mut pair = name.as_bytes().to_vec();
            pair.push(b'=');
            pair.extend_from_slice(value.as_bytes());
            CString::new(pair).ok()
        }))
    }

    /// An environment of `NAME=value` strings.
    pub fn new(strings: impl Iterator<Item = CString>) -> Environment {
        let strings: Vec<CString> = strings.collect();
        let mut pointers: Vec<*const libc::c_char> =
            strings.iter().map(|string| string.as_ptr()).collect();
        pointers.push(std::ptr::null());
        Environment {
            _strings: strings,
            pointers,
        }
    }

    /// The array exec wants; valid as long as this value.
    #[must_use]
    pub fn pointers(&self) -> *const *const libc::c_char {
        self.pointers.as_ptr()
    }
}

/// Takes the descriptor with this number, which was passed through an exec by its number.
///
/// `None` if it is not open. Call it once for each number, before anything else is opened.
#[must_use]
pub fn inherited(number: i32) -> Option<OwnedFd> {
    // SAFETY: F_GETFD reads no memory; a number that is not open answers EBADF.
    if number < 0 || unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return None;
    }
    // SAFETY: it is open, and by this function's contract nobody else in this process owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC).ok()?;
    Some(fd)
}

/// Closes every descriptor from 3 on, but not those in `keep`: what our parent leaked is not for our services.
///
/// Must be called before this process opens anything of its own.
pub fn close_inherited(keep: &[i32]) {
    let mut keep: Vec<u32> = keep
        .iter()
        .filter_map(|number| u32::try_from(*number).ok())
        .filter(|n| *n > 2)
        .collect();
    keep.sort_unstable();
    let mut from = 3u32;
    for stop in keep.into_iter().map(Some).chain([None]) {
        let last = stop.map_or(u32::MAX, |stop| stop - 1);
        if from <= last {
            // SAFETY: closes numbers nobody in this process owns yet, by this function's contract.
            let rc = unsafe { libc::syscall(libc::SYS_close_range, from, last, 0u32) };
            if rc != 0 {
                // Linux before 5.9: one by one, up to the soft limit.
                let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile)
                    .current
                    .unwrap_or(1024);
                let end = u32::try_from(limit)
                    .unwrap_or(1024)
                    .min(last.saturating_add(1));
                for number in from..end {
                    // SAFETY: as above.
                    unsafe { libc::close(i32::try_from(number).unwrap_or(-1)) };
                }
            }
        }
        from = stop.map_or(u32::MAX, |stop| stop + 1);
    }
    // 0, 1 and 2 must be something, or the first pipe becomes somebody's stdout (Go and glibc know this trap).
    for number in 0..3 {
        // SAFETY: F_GETFD reads no memory.
        if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
            // SAFETY: the path is a NUL-terminated constant. The lowest free number is `number`, as the earlier are open.
            unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
        }
    }
}

/// Raises the soft limit on open files to the hard one, and returns what it was (soft, hard) if it changed.
pub fn raise_file_limit() -> Option<(u64, u64)> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let old = getrlimit(Resource::Nofile);
    let (soft, hard) = (old.current?, old.maximum?);
    if soft >= hard {
        return None;
    }
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(hard),
            maximum: Some(hard),
        },
    )
    .ok()?;
    Some((soft, hard))
}

/// Whether the program's file gave this process a user or a group that who started it is not. Source: `credentials(7)`,
/// "User and group identifiers"; `execve(2)`.
#[must_use]
pub fn is_set_id() -> bool {
    use rustix::process::{getegid, geteuid, getgid, getuid};
    getuid() != geteuid() || getgid() != getegid()
}

/// Whose process this is.
#[must_use]
pub fn effective_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The path this program was executed by, as it was given to `execve(2)`: it may be relative, and a symbolic link. Source:
/// `getauxval(3)`, AT_EXECFN.
#[must_use]
pub fn executed_as() -> Option<std::path::PathBuf> {
    // SAFETY: it reads what the kernel put on the stack before the program began; 0 means that there is none.
    let at = unsafe { libc::getauxval(libc::AT_EXECFN) };
    if at == 0 {
        return None;
    }
    // SAFETY: the kernel put a string with its NUL there, which stays as long as the process (getauxval(3)).
    let path = unsafe { CStr::from_ptr(at as *const libc::c_char) };
    Some(OsStr::from_bytes(path.to_bytes()).into())
}
