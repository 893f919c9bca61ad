//! Two forks away from a shell, with somebody left who waits and somebody between who tells the end.
//!
//! ```text
//! shell ── waits ── between (leads the new session) ── daemon
//!            ╰───────────── a channel ───────┴───────────╯
//! ```
//! The process between sees how the daemon ends, which the one that waits could not: it is no child of its. It ends with
//! the one that waits, and asks the daemon to end too if that one died before it had heard that all is well.

use eudaemon_core::detach::{SHORT, WORD_MOST, Word, ended, not_executed, started};
use eudaemon_core::words::Pid;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

/// What the process that waits tells its parent to die of, which nobody else sends to the one between.
const PARENT_DIED: libc::c_int = libc::SIGUSR1;

/// An argument that is not used, as wide as the kernel reads it.
const NONE: libc::c_ulong = 0;

/// Which process this is, after the forks.
#[derive(Debug)]
pub enum Side {
    /// The one the shell started.
    Waits(Waits),
    /// The daemon: in a session it does not lead, so that no terminal it opens becomes its own (`credentials(7)`).
    Daemon(Channel),
}

/// The end of the channel at which words are heard.
#[derive(Debug)]
pub struct Waits {
    channel: OwnedFd,
    between: Pid,
}

/// The end of the channel at which words are said. Closed when a program is executed.
#[derive(Debug)]
pub struct Channel(OwnedFd);

/// Whether this process has one thread. Where procfs cannot tell, it is refused as an error.
pub fn is_single_threaded() -> io::Result<bool> {
    Ok(std::fs::read_dir("/proc/self/task")?.count() == 1)
}

fn channel() -> io::Result<(OwnedFd, OwnedFd)> {
    // Records instead of a stream of bytes, and an end that is noticed.
    Ok(rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Forks twice and begins a session in between. Both processes that return go on behind this call.
///
/// The caller has one thread ([`is_single_threaded`]) and has flushed what it buffers.
///
/// # Errors
/// Those of `socketpair(2)` and `fork(2)`.
pub fn fork_away() -> io::Result<Side> {
    let (hears, says) = channel()?;
    let waits = rustix::process::getpid();
    // SAFETY: there is one thread, by this function's contract, so the child's memory is a consistent copy with no lock
    // held by anybody else. WHY NOT rustix: it has no fork.
    match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => {}
        between => return Side::waits(hears, between),
    }
    drop(hears);
    let _ = rustix::process::setsid();
    // SAFETY: as above.
    match unsafe { libc::fork() } {
        0 => Ok(Side::Daemon(Channel(says))),
        daemon => tell_the_end(daemon, says.as_raw_fd(), waits),
    }
}

/// A program to be executed again, made ready before the forks: behind them nothing is allocated.
#[derive(Debug)]
pub struct Again {
    path: CString,
    _words: Vec<CString>,
    argv: Vec<*const libc::c_char>,
    variables: Vec<Vec<u8>>,
    envp: Vec<*const libc::c_char>,
    /// Which of the variables ends with the new process's id.
    pids: Vec<usize>,
    /// How many descriptors, from 3 on, stay open.
    kept: i32,
}

/// Room for a process id and a NUL.
const DIGITS: usize = 11;

impl Again {
    /// The program at `path` with these words and variables. `with_pid` are variables to whose value the new process's id is
    /// added. Beside what is open in any exec, the first `kept` descriptors from 3 on stay open.
    ///
    /// # Errors
    /// `ErrorKind::InvalidInput` for a NUL in a string.
    pub fn new<'a>(
        path: &OsStr,
        words: impl IntoIterator<Item = &'a OsStr>,
        variables: impl IntoIterator<Item = (&'a OsStr, &'a OsStr)>,
        with_pid: &[(&str, &str)],
        kept: u16,
    ) -> io::Result<Again> {
        let path = CString::new(path.as_bytes())?;
        let words = words.into_iter().map(|word| CString::new(word.as_bytes()));
        let words = words.collect::<Result<Vec<_>, _>>()?;
        let mut argv: Vec<_> = words.iter().map(|word| word.as_ptr()).collect();
        argv.push(std::ptr::null());
        let mut strings = Vec::new();
        for (name, value) in variables {
            let pair = [name.as_bytes(), b"=", value.as_bytes()].concat();
            strings.push(CString::new(pair)?.into_bytes_with_nul());
        }
        let mut pids = Vec::new();
        for (name, value) in with_pid {
            pids.push(strings.len());
            let mut string = CString::new(format!("{name}={value}"))?.into_bytes();
            string.extend_from_slice(&[0; DIGITS]);
            strings.push(string);
        }
        Ok(Again {
            path,
            _words: words,
            argv,
            envp: Vec::with_capacity(strings.len() + 1),
            variables: strings,
            pids,
            kept: i32::from(kept),
        })
    }

    /// Executes it in place of this process, which has just been forked; returns only why not.
    fn execute(&mut self, says: RawFd) -> i32 {
        // SAFETY: getpid reads no memory and cannot fail.
        let pid = unsafe { libc::getpid() }.unsigned_abs();
        for &at in &self.pids {
            let string = &mut self.variables[at];
            let from = string.len() - DIGITS;
            write_number(&mut string[from..], pid);
        }
        // There is room for all of them and the null.
        let strings = self.variables.iter();
        self.envp
            .extend(strings.map(|string| string.as_ptr().cast::<libc::c_char>()));
        self.envp.push(std::ptr::null());
        for number in (3..3 + self.kept).chain([says]) {
            // SAFETY: F_SETFD reads no memory; a number that is not open is refused, which is fine.
            unsafe { libc::fcntl(number, libc::F_SETFD, 0) };
        }
        // SAFETY: the path, the words and the variables end with a NUL, both arrays with a null, and all of them live until
        // the end of the call (execve(2)).
        unsafe { libc::execve(self.path.as_ptr(), self.argv.as_ptr(), self.envp.as_ptr()) };
        // SAFETY: errno of this thread.
        unsafe { *libc::__errno_location() }
    }
}

/// Writes a number and leaves zeros behind it; `to` has room for eleven bytes.
fn write_number(to: &mut [u8], number: u32) {
    let mut digits = [0; DIGITS];
    let mut rest = number;
    let mut length = 0;
    loop {
        digits[length] = b'0' + (rest % 10) as u8;
        length += 1;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    for (to, digit) in to.iter_mut().zip(digits[..length].iter().rev()) {
        *to = *digit;
    }
}

/// As [`fork_away`], but the daemon is a program executed anew, which finds its channel with [`Channel::inherited`]: of this
/// process only the forks remain, so it may have threads.
///
/// `program` is told the number of the channel's descriptor.
///
/// # Errors
/// Those of `socketpair(2)` and `fork(2)`, and of `program`. That the program could not be executed is a word.
pub fn execute_away(program: impl FnOnce(i32) -> io::Result<Again>) -> io::Result<Waits> {
    let (hears, says) = channel()?;
    let mut again = program(says.as_raw_fd())?;
    let waits = rustix::process::getpid();
    // SAFETY: the child calls only what may be called in a signal handler (signal-safety(7)), and never returns, so that
    // locks held by other threads of this process do not matter.
    match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => {}
        between => {
            return Ok(Waits {
                channel: hears,
                between: pid(between)?,
            });
        }
    }
    // SAFETY: both only take numbers; the descriptor is a copy of one that its owner closes in the other process.
    unsafe {
        libc::close(hears.as_raw_fd());
        libc::setsid();
    }
    // SAFETY: without CLONE_VM this is fork(2), with all that follows in its own memory. WHY NOT libc's fork: it would run
    // the handlers of pthread_atfork, which may wait for threads that are not here.
    let daemon = unsafe {
        let flags = libc::SIGCHLD as libc::c_ulong;
        libc::syscall(libc::SYS_clone, flags, NONE, NONE, NONE, NONE)
    };
    if daemon == 0 {
        let errno = again.execute(says.as_raw_fd());
        say_raw(says.as_raw_fd(), &not_executed(errno));
        // SAFETY: _exit is always sound.
        unsafe { libc::_exit(111) }
    }
    let daemon = libc::pid_t::try_from(daemon).unwrap_or(-1);
    tell_the_end(daemon, says.as_raw_fd(), waits)
}

fn pid(number: libc::pid_t) -> io::Result<Pid> {
    let number = u32::try_from(number).ok().and_then(Pid::new);
    number.ok_or_else(|| io::Error::other("fork returned a pid that is none"))
}

fn say_raw(says: RawFd, word: &[u8; SHORT]) {
    // SAFETY: the buffer is `SHORT` bytes and outlives the call. An error means that nobody listens.
    unsafe { libc::write(says, word.as_ptr().cast(), SHORT) };
}

/// The life of the process between. Calls nothing but the kernel.
fn tell_the_end(daemon: libc::pid_t, says: RawFd, waits: rustix::process::Pid) -> ! {
    // No signal ends this process but KILL, and SIGCHLD is not ignored, or there would be nothing to wait for.
    let _ = crate::signal::block_all();
    if daemon < 0 {
        // The fork failed. The end of the channel says it.
        // SAFETY: _exit is always sound.
        unsafe { libc::_exit(111) }
    }
    // SAFETY: takes numbers only (prctl(2), PR_SET_PDEATHSIG).
    unsafe {
        libc::prctl(
            libc::PR_SET_PDEATHSIG,
            PARENT_DIED as libc::c_ulong,
            NONE,
            NONE,
            NONE,
        )
    };
    say_raw(says, &started(daemon.unsigned_abs()));
    // SAFETY: sigset_t is plain memory, and sigemptyset initialises all of it.
    let set = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        libc::sigaddset(&raw mut set, PARENT_DIED);
        set
    };
    let mut told = false;
    loop {
        let mut status = 0;
        // SAFETY: the pointer is to our own local.
        let got = unsafe { libc::waitpid(daemon, &raw mut status, libc::WNOHANG) };
        if got == daemon {
            say_raw(says, &ended(status.cast_unsigned()));
            // SAFETY: _exit is always sound.
            unsafe { libc::_exit(0) }
        }
        // It may have died before the kernel was asked to tell it, so it is looked at as well.
        if !told && rustix::process::getppid() != Some(waits) {
            told = true;
            // SAFETY: the daemon is a child of this process which has not been waited for, so the pid is its.
            unsafe { libc::kill(daemon, libc::SIGTERM) };
        }
        // SAFETY: the set is initialised, nobody wants the signal's information, and both outlive the call.
        unsafe { libc::sigwaitinfo(&raw const set, std::ptr::null_mut()) };
    }
}

impl Side {
    fn waits(channel: OwnedFd, between: libc::pid_t) -> io::Result<Side> {
        Ok(Side::Waits(Waits {
            channel,
            between: pid(between)?,
        }))
    }
}

impl Waits {
    /// The next word; waits for it if there is none yet. `None`: nobody is left who could say one.
    ///
    /// # Errors
    /// Those of `recv(2)`. A message that is none of ours is `ErrorKind::InvalidData`.
    pub fn hear(&self) -> io::Result<Option<Word>> {
        let mut message = [0; WORD_MOST];
        loop {
            match rustix::io::read(&self.channel, &mut message) {
                Ok(0) | Err(rustix::io::Errno::CONNRESET) => return Ok(None),
                Ok(length) => {
                    let word = Word::read(&message[..length]);
                    return word
                        .map(Some)
                        .ok_or_else(|| io::ErrorKind::InvalidData.into());
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Sends a signal to the daemon, to what it has started and stayed in its process group, and to the process between,
    /// which only KILL ends. Once a word was heard, all of them are in that group.
    pub fn signal(&self, signal: eudaemon_core::words::Signal) -> io::Result<()> {
        crate::process::signal_group(self.between, signal)
    }

    /// Ends the process between, so that it does not take the end of this one for bad news.
    ///
    /// # Errors
    /// Those of `kill(2)` and `waitpid(2)`.
    pub fn dismiss(&self) -> io::Result<()> {
        // It is our child and has not been waited for, so the pid is its.
        crate::process::signal_pid(self.between, eudaemon_core::words::Signal::Kill)?;
        crate::exec::wait(self.between)?;
        Ok(())
    }
}

impl AsFd for Waits {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

impl Channel {
    /// Takes the end of the channel that [`execute_away`] left in this process: by its number, and once.
    #[must_use]
    pub fn inherited(number: i32) -> Option<Channel> {
        crate::process::inherited(number).map(Channel)
    }

    /// Says a word: a message of [`eudaemon_core::detach`].
    ///
    /// A plain write, which every sandbox allows; SIGPIPE is ignored, as in every program of the standard library.
    ///
    /// # Errors
    /// `ErrorKind::BrokenPipe` if nobody listens.
    pub fn say(&self, word: &[u8]) -> io::Result<()> {
        rustix::io::retry_on_intr(|| rustix::io::write(&self.0, word))?;
        Ok(())
    }
}

/// Ends this process at once with a code: what is buffered and what is to be done at the exit belongs to another process now.
pub fn leave(code: u8) -> ! {
    // SAFETY: _exit is always sound.
    unsafe { libc::_exit(i32::from(code)) }
}

/// Ends this process by a signal, as if it had never been handled. With 128 and its number, should the signal not end it.
pub fn die_of(signal: eudaemon_core::words::Signal) -> ! {
    let number = i32::from(signal.number_linux());
    // SAFETY: SIG_DFL installs no code; raise takes a number.
    unsafe {
        libc::signal(number, libc::SIG_DFL);
        let _ = crate::signal::unblock_all();
        libc::raise(number);
    }
    leave(128 | signal.number_linux())
}
