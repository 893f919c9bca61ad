//! Signals as something to read; a clean start for whoever is executed after us.

use eudaemon_core::words::Signal;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

fn full_set() -> libc::sigset_t {
    // SAFETY: sigset_t is plain memory and sigfillset initialises all of it; the pointer is to our own local.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigfillset(&raw mut set);
        set
    }
}

/// Sets every disposition to the default. Calls nothing but the kernel.
pub(crate) fn default_all() {
    // The kernel's struct sigaction, zero: SIG_DFL, no flags, no restorer, an empty mask. Its size is that of four words or less.
    let default = [0_u64; 4];
    for number in 1..=libc::SIGRTMAX() {
        // SAFETY: SIG_DFL installs no code; the kernel reads at most the four words, of a live local. It refuses KILL and
        // STOP; that is fine. WHY NOT libc's signal: it refuses 32 and 33, which glibc's posix_spawn leaves ignored
        // (observed: glibc 2.36, a parent with threads), and all services would inherit that.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                number,
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                size_of::<u64>(),
            )
        };
    }
}

/// Ignores every signal that others send, and not those of a process's own faults. SIGCHLD has its default: who ignores it
/// cannot wait for a child (`wait(2)`, "NOTES").
pub(crate) fn ignore_what_others_send() {
    const KEPT: [libc::c_int; 8] = [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGILL,
        libc::SIGFPE,
        libc::SIGABRT,
        libc::SIGTRAP,
        libc::SIGSYS,
        libc::SIGCHLD,
    ];
    // SIG_IGN, no flags, no restorer, an empty mask; as in `default_all`.
    let ignored = [libc::SIG_IGN as u64, 0, 0, 0];
    let default = [0_u64; 4];
    for number in 1..=libc::SIGRTMAX() {
        let action = if number == libc::SIGCHLD {
            &default
        } else if KEPT.contains(&number) {
            continue;
        } else {
            &ignored
        };
        // SAFETY: neither SIG_IGN nor SIG_DFL installs code; the kernel reads at most the four words, of a live local. It refuses
        // KILL and STOP; that is fine.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                number,
                action.as_ptr(),
                std::ptr::null_mut::<u64>(),
                size_of::<u64>(),
            )
        };
    }
}

/// Sets every disposition to the default and blocks every signal that can be blocked.
///
/// The keeper and the engine read signals instead of handling them; a child inherits default dispositions and is given an
/// empty mask (`spawn`). Source: `signal(7)`, "Signal mask and pending signals"; our start ignores SIGPIPE and every
/// service would inherit that.
pub fn block_all() -> io::Result<()> {
    default_all();
    let set = full_set();
    // SAFETY: `set` is initialised and outlives the call; a null old-set pointer is allowed (sigprocmask(2)).
    let rc = unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()) };
    if rc == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Lets every signal through again, before this process executes another program.
pub fn unblock_all() -> io::Result<()> {
    // SAFETY: sigset_t is plain memory, and sigemptyset initialises all of it; pointers are to our own local.
    let rc = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut())
    };
    if rc == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Blocked signals, to be read. Source: `signalfd(2)`.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Every signal; they must be blocked ([`block_all`]).
    pub fn new() -> io::Result<Signals> {
        Signals::of(&full_set())
    }

    fn of(set: &libc::sigset_t) -> io::Result<Signals> {
        // SAFETY: `set` is initialised and outlives the call; -1 asks for a new descriptor.
        let fd = unsafe {
            libc::signalfd(
                -1,
                std::ptr::from_ref(set),
                libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just gave this descriptor to us and nobody else knows it.
        Ok(Signals(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next pending signal; `None` when there is none, or it is one we do not name.
    pub fn next(&self) -> Option<Signal> {
        // SAFETY: signalfd_siginfo is plain memory for which all-zero bytes are a value.
        let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
        let size = size_of::<libc::signalfd_siginfo>();
        loop {
            // SAFETY: the buffer is `size` bytes of our own local, and signalfd writes whole records (signalfd(2)).
            let got = unsafe { libc::read(self.0.as_raw_fd(), (&raw mut info).cast(), size) };
            if usize::try_from(got) != Ok(size) {
                return None;
            }
            if let Some(signal) = u8::try_from(info.ssi_signo)
                .ok()
                .and_then(Signal::from_number_linux)
            {
                return Some(signal);
            }
        }
    }
}

impl Signals {
    /// Blocks these signals alone and collects them from here on. Meant for a program's only thread.
    pub fn only(signals: &[Signal]) -> io::Result<Signals> {
        // SAFETY: sigset_t is plain memory, and sigemptyset initialises all of it; the pointer is to our own local.
        let mut set: libc::sigset_t = unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            set
        };
        for signal in signals {
            // SAFETY: `set` is initialised and our own local.
            unsafe { libc::sigaddset(&raw mut set, i32::from(signal.number_linux())) };
        }
        // SAFETY: `set` is initialised and outlives the call; a null old-set pointer is allowed (sigprocmask(2)).
        let rc =
            unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
        if rc != 0 {
            return Err(io::Error::last_os_error());
        }
        Signals::of(&set)
    }

    /// Waits until there is a signal, or `input` can be read or has ended, or that long. A regular file can always be read, which is
    /// why this is poll(2): epoll refuses one.
    pub fn wait_beside(
        &self,
        input: impl AsFd,
        most: Option<std::time::Duration>,
    ) -> io::Result<Beside> {
        let timeout = most.map(|most| rustix::time::Timespec {
            tv_sec: i64::try_from(most.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(most.subsec_nanos()),
        });
        use rustix::event::{PollFd, PollFlags};
        let mut both = [
            PollFd::new(&input, PollFlags::IN),
            PollFd::new(&self.0, PollFlags::IN),
        ];
        match rustix::event::poll(&mut both, timeout.as_ref()) {
            Ok(_) => Ok(Beside {
                input: !both[0].revents().is_empty(),
                signals: !both[1].revents().is_empty(),
            }),
            Err(rustix::io::Errno::INTR) => Ok(Beside::default()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Signals {
    /// Waits until there is a signal, or that long; whether there is one.
    pub fn wait_for(&self, length: std::time::Duration) -> io::Result<bool> {
        use rustix::event::{PollFd, PollFlags};
        let timeout = rustix::time::Timespec {
            tv_sec: i64::try_from(length.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(length.subsec_nanos()),
        };
        match rustix::event::poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&timeout)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// What a wait for signals beside an input ended for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// A read of the input will not wait.
    pub input: bool,
    /// There are signals to be read.
    pub signals: bool,
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
