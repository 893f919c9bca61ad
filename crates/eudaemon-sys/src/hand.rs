//! Descriptors handed to a program at its start: taken by the one that was started, given by the one that starts.
//!
//! Source: `sd_listen_fds(3)`; the specification, library T23 to T26.

use crate::errno;
use eudaemon_core::listen::{FIRST, room_for_pid, write_pid};
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether [`take`] has been called.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// One at a time takes a single one.
static TAKING: Mutex<()> = Mutex::new(());

/// Takes the descriptors that were handed over, `count` of them from 3 on; all are close-on-exec afterwards. Once in the life of
/// a process.
///
/// Each must be open and *not* close-on-exec: what came through an exec is not, and what was opened since by Rust is. So a
/// count that lies does not make two owners of one descriptor.
///
/// # Errors
/// `EALREADY` the second time; `EBADF` if one is not open; `EPERM` if one was opened since. Nothing is taken then.
pub fn take(count: usize) -> io::Result<Vec<OwnedFd>> {
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Err(io::Error::from_raw_os_error(errno::EALREADY));
    }
    let numbers = || (FIRST..).take(count).map(|number| number as RawFd);
    for number in numbers() {
        came_through_exec(number)?;
    }
    // SAFETY: each is open and came through the exec (checked above), so nothing in this process made it, and this runs once,
    // so nobody else takes it.
    let owned = numbers().map(|number| unsafe { OwnedFd::from_raw_fd(number) });
    let owned: Vec<OwnedFd> = owned.collect();
    for fd in &owned {
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)?;
    }
    Ok(owned)
}

/// Takes one descriptor somebody passed and told the number of, from 3 on; it is close-on-exec afterwards.
///
/// # Errors
/// `EBADF` if it is not open; `EPERM` if it was opened since, or taken before.
pub fn take_one(number: u32) -> io::Result<OwnedFd> {
    let _alone = TAKING.lock().unwrap_or_else(|gone| gone.into_inner());
    let number = RawFd::try_from(number)
        .ok()
        .filter(|number| *number >= FIRST as RawFd);
    let number = number.ok_or_else(|| io::Error::from_raw_os_error(errno::EBADF))?;
    came_through_exec(number)?;
    // SAFETY: it is open and came through the exec, so nothing in this process made it; one at a time is here, and from the
    // next line on the check above refuses it, so nobody else takes it.
    let owned = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&owned, rustix::io::FdFlags::CLOEXEC)?;
    Ok(owned)
}

/// Takes what standard input is, if that is a socket; `None` if it is not. In its place, and in that of standard output and
/// standard error where they are the same socket, is the null device then: what is written there by mistake is not sent to a
/// client, and the client learns the end when the socket is closed.
///
/// # Errors
/// There is no `/dev/null`, or no room for another descriptor. Nothing is changed then, or not all.
pub fn take_input() -> io::Result<Option<OwnedFd>> {
    let _alone = TAKING.lock().unwrap_or_else(|gone| gone.into_inner());
    let input = std::io::stdin();
    let is_it = |fd: &dyn AsFd| {
        let (input, other) = (rustix::fs::fstat(&input)?, rustix::fs::fstat(fd)?);
        io::Result::Ok((input.st_dev, input.st_ino) == (other.st_dev, other.st_ino))
    };
    let kind = rustix::fs::fstat(&input).map(|stat| stat.st_mode);
    // Closed: there is nothing.
    let kind = kind.map(rustix::fs::FileType::from_raw_mode);
    if !matches!(kind, Ok(rustix::fs::FileType::Socket)) {
        return Ok(None);
    }
    let taken = rustix::io::fcntl_dupfd_cloexec(&input, FIRST as RawFd)?;
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    let null = rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty())?;
    if is_it(&std::io::stdout()).unwrap_or(false) {
        rustix::stdio::dup2_stdout(&null)?;
    }
    if is_it(&std::io::stderr()).unwrap_or(false) {
        rustix::stdio::dup2_stderr(&null)?;
    }
    rustix::stdio::dup2_stdin(&null)?;
    Ok(Some(taken))
}

/// Whether a descriptor is open and not close-on-exec: an error says which is not so.
fn came_through_exec(number: RawFd) -> io::Result<()> {
    // SAFETY: F_GETFD reads no memory; a number that is not open answers EBADF.
    match unsafe { libc::fcntl(number, libc::F_GETFD) } {
        -1 => Err(io::Error::last_os_error()),
        flags if flags & libc::FD_CLOEXEC != 0 => Err(io::Error::from_raw_os_error(errno::EPERM)),
        _ => Ok(()),
    }
}

/// What a started program is handed.
#[derive(Debug, Default)]
pub struct Handed {
    /// Its whole environment, but for what depends on its process id.
    pub environment: Vec<(OsString, OsString)>,
    /// The variables whose value is its own process id, as `LISTEN_PID`.
    pub own_pid: Vec<&'static str>,
    /// More of its environment, with its own process id between the two pieces of each.
    pub around_pid: Vec<(String, String)>,
    /// The descriptors it finds from 3 on.
    pub fds: Vec<OwnedFd>,
    /// What it is called, if that is not its path.
    pub name: Option<OsString>,
}

/// One start at a time: see `reserve`.
static ONE: Mutex<()> = Mutex::new(());

/// Starts a program with what it is handed. Of `command` everything counts but its environment.
///
/// std cannot tell a program its own process id, which is known only after the fork; so the child executes the program itself,
/// with memory that was prepared before.
///
/// # Errors
/// Those of the start; `NotFound` if there is no such program in the `PATH` of the environment it is given.
pub fn start(mut command: Command, handed: Handed) -> io::Result<Child> {
    let nul = |_| io::Error::from_raw_os_error(errno::EINVAL);
    let name = handed.name.as_deref().unwrap_or(command.get_program());
    let words = std::iter::once(name).chain(command.get_args());
    let words: Result<Vec<CString>, _> = words.map(|word| CString::new(word.as_bytes())).collect();
    let words = words.map_err(nul)?;
    let mut argv: Vec<*const libc::c_char> = words.iter().map(|word| word.as_ptr()).collect();
    argv.push(std::ptr::null());
    let path = handed.environment.iter().find(|(name, _)| name == "PATH");
    let files = candidates(command.get_program(), path.map(|(_, value)| value)).map_err(nul)?;
    let mut strings = Vec::new();
    let mut pids = Vec::new();
    let plain = handed.own_pid.iter();
    let plain = plain.map(|name| (format!("{name}="), String::new()));
    for (before, behind) in plain.chain(handed.around_pid) {
        pids.push(strings.len());
        let mut room = room_for_pid(&before, &behind);
        room.push(0);
        strings.push(room);
    }
    for (name, value) in handed.environment {
        let mut pair = name.into_vec();
        pair.push(b'=');
        pair.extend_from_slice(value.as_bytes());
        strings.push(CString::new(pair).map_err(nul)?.into_bytes_with_nul());
    }
    let _one = ONE.lock().unwrap_or_else(|gone| gone.into_inner());
    let end = FIRST as RawFd
        + RawFd::try_from(handed.fds.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // The descriptors lie above the numbers they will have, so that none is overwritten before its turn.
    let high: io::Result<Vec<OwnedFd>> = handed
        .fds
        .iter()
        .map(|fd| Ok(rustix::io::fcntl_dupfd_cloexec(fd, end)?))
        .collect();
    let high = high?;
    let from: Vec<RawFd> = high.iter().map(AsRawFd::as_raw_fd).collect();
    let _reserved = reserve(end)?;
    let mut prepared = Prepared {
        pointers: Vec::with_capacity(strings.len() + 1),
        _words: words,
        argv,
        files,
        strings,
        pids,
        from,
    };
    let start = move || prepared.start();
    // SAFETY: the closure runs in the child, between fork and exec. It makes only system calls on memory that was allocated
    // before, with room enough for what is pushed; its descriptors are open in the parent until `spawn` has returned.
    unsafe { command.pre_exec(start) };
    let child = command.spawn();
    drop(high);
    child
}

/// Everything the child needs between fork and exec.
struct Prepared {
    _words: Vec<CString>,
    argv: Vec<*const libc::c_char>,
    files: Vec<CString>,
    strings: Vec<Vec<u8>>,
    pids: Vec<usize>,
    pointers: Vec<*const libc::c_char>,
    from: Vec<RawFd>,
}

// SAFETY: the pointers are into strings this value owns and nobody else sees.
unsafe impl Send for Prepared {}
// SAFETY: as above; nothing is reached through a shared reference.
unsafe impl Sync for Prepared {}

impl Prepared {
    /// In the child. Returns only if it could not.
    fn start(&mut self) -> io::Result<()> {
        for (to, from) in (FIRST as RawFd..).zip(&self.from) {
            // SAFETY: both are plain numbers in the child's own table; nothing of it is used any more but what is handed over
            // and std's line to the parent, which lies higher (`reserve`).
            if unsafe { libc::dup2(*from, to) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        // SAFETY: getpid cannot fail and touches nothing.
        let pid = unsafe { libc::getpid() }.unsigned_abs();
        for at in &self.pids {
            if let Some(room) = self.strings.get_mut(*at) {
                let last = room.len() - 1;
                write_pid(&mut room[..last], pid);
            }
        }
        for string in &self.strings {
            self.pointers.push(string.as_ptr().cast());
        }
        self.pointers.push(std::ptr::null());
        let mut error = io::Error::from_raw_os_error(errno::ENOENT);
        for file in &self.files {
            // SAFETY: the file is a string with its NUL; both arrays end with a null pointer and point to such strings, all
            // owned by `self`.
            unsafe { libc::execve(file.as_ptr(), self.argv.as_ptr(), self.pointers.as_ptr()) };
            let why = io::Error::last_os_error();
            match why.raw_os_error() {
                Some(libc::ENOENT | libc::ENOTDIR) => {}
                // One that may not be executed is told if there is no other (execvp(3)).
                Some(libc::EACCES) => error = why,
                _ => return Err(why),
            }
        }
        Err(error)
    }
}

/// Where the program may be: itself if it is a path, else in each folder. Source: `execvp(3)`.
fn candidates(
    program: &OsStr,
    path: Option<&OsString>,
) -> Result<Vec<CString>, std::ffi::NulError> {
    if program.as_bytes().contains(&b'/') {
        return Ok(vec![CString::new(program.as_bytes())?]);
    }
    let usual = OsString::from("/bin:/usr/bin");
    std::env::split_paths(path.unwrap_or(&usual))
        .map(|folder| CString::new(folder.join(program).into_os_string().into_vec()))
        .collect()
}

/// Fills every free number below `end` until the start is over: std's own line between child and parent, by which a failed
/// exec is told, would else lie where the child puts what it is handed.
fn reserve(end: RawFd) -> io::Result<Vec<OwnedFd>> {
    let mut held = Vec::new();
    loop {
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
        let fd = rustix::fs::open("/", flags, rustix::fs::Mode::empty())?;
        if fd.as_raw_fd() >= end {
            return Ok(held);
        }
        held.push(fd);
    }
}
