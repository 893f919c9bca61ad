//! Starting a helper program of our own, and leaving signals as a program expects to find them.
//!
//! Services are not started here: they need a keeper as parent. This is for a program's own helpers, which are ordinary
//! children.

use core::ffi::c_char;
use core::mem::MaybeUninit;
use eudaemon_core::words::{Ended, Pid};
use rustix::process::WaitOptions;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

/// What a helper is started with.
#[derive(Debug)]
pub struct Helper<'a> {
    /// The file to run; a path, never searched for.
    pub file: &'a CStr,
    /// Its arguments, its name first.
    pub argv: &'a [&'a CStr],
    /// Its whole environment, `NAME=VALUE` each.
    pub environment: &'a [&'a CStr],
    /// Its descriptors 0, 1 and 2; `None` hands on our own.
    pub streams: [Option<BorrowedFd<'a>>; 3],
    /// Further descriptors, and the numbers it knows them by.
    pub more: &'a [(BorrowedFd<'a>, i32)],
    /// Its working directory; `None` is our own.
    pub folder: Option<BorrowedFd<'a>>,
}

/// The running program's own file, even if it was renamed or replaced since.
pub const OWN_FILE: &CStr = c"/proc/self/exe";

/// Our own environment, as a helper is given it.
#[must_use]
pub fn own_environment() -> Vec<CString> {
    let entries = std::env::vars_os().filter_map(|(name, value)| {
        let text = [name.as_bytes(), b"=", value.as_bytes()].concat();
        CString::new(text).ok()
    });
    entries.collect()
}

/// Starts a helper with an empty signal mask and SIGPIPE at its default, which our start had changed.
///
/// # Errors
/// That of `posix_spawn(3)`; with glibc and musl this includes a failed exec.
pub fn spawn(helper: &Helper<'_>) -> io::Result<Pid> {
    let argv = pointers(helper.argv);
    let environment = pointers(helper.environment);
    let mut actions = Actions::new()?;
    if let Some(folder) = helper.folder {
        actions.enter(folder.as_raw_fd())?;
    }
    let streams = (0..)
        .zip(helper.streams)
        .filter_map(|(to, from)| Some((from?, to)));
    let mut high = Vec::new();
    for (from, to) in streams.chain(helper.more.iter().copied()) {
        if helper.more.is_empty() {
            actions.duplicate(from.as_raw_fd(), to)?;
        } else {
            // One that has a number which another one is to get would be overwritten before its turn.
            let from = rustix::io::fcntl_dupfd_cloexec(from, HIGH)?;
            actions.duplicate(from.as_raw_fd(), to)?;
            high.push(from);
        }
    }
    let attributes = Attributes::clean()?;
    let mut pid = 0;
    // SAFETY: both lists end with a null pointer and point to strings that `helper` borrows; the actions and the
    // attributes were initialised by their `new` and live until after the call.
    // WHY NOT rustix, std: rustix has no spawn; std's would search PATH and inherit the environment.
    let code = unsafe {
        libc::posix_spawn(
            &raw mut pid,
            helper.file.as_ptr(),
            &raw const actions.0,
            &raw const attributes.0,
            argv.as_ptr(),
            environment.as_ptr(),
        )
    };
    check(code)?;
    u32::try_from(pid)
        .ok()
        .and_then(Pid::new)
        .ok_or_else(|| io::Error::from_raw_os_error(libc::ECHILD))
}

/// Puts an open file in the place of the descriptors 0, 1 and 2.
pub fn replace_streams(file: impl AsFd) -> io::Result<()> {
    rustix::stdio::dup2_stdin(&file)?;
    rustix::stdio::dup2_stdout(&file)?;
    rustix::stdio::dup2_stderr(&file)?;
    Ok(())
}

/// Puts an open file in the place of descriptor 0.
pub fn replace_stdin(file: impl AsFd) -> io::Result<()> {
    Ok(rustix::stdio::dup2_stdin(&file)?)
}

/// Puts an open file in the place of descriptor 1.
pub fn replace_stdout(file: impl AsFd) -> io::Result<()> {
    Ok(rustix::stdio::dup2_stdout(&file)?)
}

/// Puts an open file in the place of descriptor 2.
pub fn replace_stderr(file: impl AsFd) -> io::Result<()> {
    Ok(rustix::stdio::dup2_stderr(&file)?)
}

/// Waits for a child to end.
pub fn wait(pid: Pid) -> io::Result<Ended> {
    loop {
        if let Some(ended) = wait_as(pid, WaitOptions::empty())? {
            return Ok(ended);
        }
    }
}

/// How a child ended; `None` if it runs.
pub fn has_ended(pid: Pid) -> io::Result<Option<Ended>> {
    wait_as(pid, WaitOptions::NOHANG)
}

fn wait_as(pid: Pid, how: WaitOptions) -> io::Result<Option<Ended>> {
    let pid = i32::try_from(pid.get())
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    loop {
        match rustix::process::waitpid(pid, how) {
            Ok(ended) => {
                return Ok(
                    ended.map(|(_, status)| Ended::from_wait(status.as_raw().cast_unsigned()))
                );
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Lets a write to a pipe that nobody reads end this process, as it ends a C program. Our start ignores SIGPIPE.
pub fn let_broken_pipes_kill() {
    // SAFETY: SIG_DFL is a valid disposition and no handler of ours is replaced: our start only ever set SIG_IGN.
    // WHY NOT rustix: it leaves dispositions to libc.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

fn pointers(strings: &[&CStr]) -> Vec<*mut c_char> {
    strings
        .iter()
        .map(|string| string.as_ptr().cast_mut())
        .chain([core::ptr::null_mut()])
        .collect()
}

fn check(code: i32) -> io::Result<()> {
    if code == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(code))
    }
}

/// Beyond the numbers that a helper is given.
const HIGH: i32 = 10;

struct Actions(libc::posix_spawn_file_actions_t);

impl Actions {
    fn new() -> io::Result<Actions> {
        let mut place = MaybeUninit::uninit();
        // SAFETY: the call writes the whole object it is given.
        check(unsafe { libc::posix_spawn_file_actions_init(place.as_mut_ptr()) })?;
        // SAFETY: the call above succeeded, so the object is initialised.
        Ok(Actions(unsafe { place.assume_init() }))
    }

    fn enter(&mut self, folder: i32) -> io::Result<()> {
        // SAFETY: the object was initialised in `new`; the number is checked by the child's fchdir.
        check(unsafe { libc::posix_spawn_file_actions_addfchdir_np(&raw mut self.0, folder) })
    }

    fn duplicate(&mut self, from: i32, to: i32) -> io::Result<()> {
        // SAFETY: the object was initialised in `new`; numbers are checked by the child's dup2.
        check(unsafe { libc::posix_spawn_file_actions_adddup2(&raw mut self.0, from, to) })
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, destroyed once, here.
        unsafe { libc::posix_spawn_file_actions_destroy(&raw mut self.0) };
    }
}

struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn clean() -> io::Result<Attributes> {
        let mut place = MaybeUninit::uninit();
        // SAFETY: the call writes the whole object it is given.
        check(unsafe { libc::posix_spawnattr_init(place.as_mut_ptr()) })?;
        // SAFETY: the call above succeeded, so the object is initialised.
        let mut attributes = Attributes(unsafe { place.assume_init() });
        let flags = libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF;
        let mask = empty_set();
        let mut default = empty_set();
        // SAFETY: the set was initialised by `empty_set`, and SIGPIPE is a signal of this system.
        unsafe { libc::sigaddset(&raw mut default, libc::SIGPIPE) };
        // SAFETY: the attributes were initialised above and the set by `empty_set`.
        check(unsafe { libc::posix_spawnattr_setsigmask(&raw mut attributes.0, &raw const mask) })?;
        // SAFETY: the attributes were initialised above and `default` by `empty_set`.
        check(unsafe {
            libc::posix_spawnattr_setsigdefault(&raw mut attributes.0, &raw const default)
        })?;
        // SAFETY: the attributes were initialised above; the flags are two small constants, which a short holds.
        check(unsafe {
            libc::posix_spawnattr_setflags(&raw mut attributes.0, flags as libc::c_short)
        })?;
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised in `clean`, destroyed once, here.
        unsafe { libc::posix_spawnattr_destroy(&raw mut self.0) };
    }
}

fn empty_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the call writes the whole set and cannot fail (sigsetops(3)).
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: initialised by the call above.
    unsafe { set.assume_init() }
}
