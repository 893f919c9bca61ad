//! Signals that come while a program still starts, for one whose `main` is the standard library's.
//!
//! Until there is a loop that reads signals, the first TERM or INT is written down, so that `init` can end in order, and
//! the second ends the process; a HUP is written down too. Then [`hand_over`] blocks what the loop wants to read. Nothing is lost between the two.

use crate::signal::Signals;
use eudaemon_core::life::ECHO;
use eudaemon_core::time::Mono;
use eudaemon_core::words::Signal;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

/// The number of the first request to end; 0 is none.
static ASKED: AtomicI32 = AtomicI32::new(0);

/// When it came.
static ASKED_AT: AtomicU64 = AtomicU64::new(0);

/// Whether a HUP came.
static HUNG_UP: AtomicBool = AtomicBool::new(false);

/// The requests to end that are written down.
const REQUESTS: [libc::c_int; 2] = [libc::SIGTERM, libc::SIGINT];

/// The kernel's `struct sigaction`: the handler, the flags, the restorer and the mask are four words or less.
type Raw = [u64; 4];

extern "C" fn ask(number: libc::c_int) {
    // clock_gettime(2) is one of the functions a handler may call (signal-safety(7)).
    let now = crate::clock::mono();
    let first = ASKED.compare_exchange(0, number, Ordering::Relaxed, Ordering::Relaxed);
    if first.is_ok() {
        ASKED_AT.store(now.0, Ordering::Relaxed);
    } else if now.since(Mono(ASKED_AT.load(Ordering::Relaxed))) >= ECHO {
        // SAFETY: _exit is always sound, and one of the functions a handler may call (signal-safety(7)).
        unsafe { libc::_exit(128 + number) }
    }
}

extern "C" fn hang_up(_: libc::c_int) {
    HUNG_UP.store(true, Ordering::Relaxed);
}

/// Makes a clean start of what was inherited, and from here on writes down the first TERM or INT, and HUP.
///
/// - No signal is blocked.
/// - What was ignored has its default again, for `waitpid(2)` fails if SIGCHLD is ignored, and a `trap '' TERM` in some
///   script would make a daemon that cannot be stopped. Two stay ignored: SIGPIPE, as Rust's start left it, and SIGHUP until
///   [`hand_over`], so that the terminal of a `nohup` may go while the program starts.
/// - A HUP that is not ignored is a wish for a reload that comes early: it ends nothing, and [`hung_up`] tells of it.
/// - Handlers are left alone: none is inherited (`execve(2)`), so they are the standard library's, for stack overflows.
/// - A second TERM or INT ends the process with code 128 and its number, as a shell would tell it.
///
/// A system call that waits is interrupted (no `SA_RESTART`); the standard library calls many of them again.
///
/// # Errors
/// Those of `sigaction(2)` and `sigprocmask(2)`.
pub fn begin() -> io::Result<()> {
    for number in 1..=libc::SIGRTMAX() {
        if !matches!(number, libc::SIGPIPE | libc::SIGHUP) {
            no_longer_ignore(number);
        }
    }
    for number in REQUESTS {
        set(number, ask as *const () as libc::sighandler_t)?;
    }
    if !is_ignored(libc::SIGHUP) {
        set(libc::SIGHUP, hang_up as *const () as libc::sighandler_t)?;
    }
    crate::signal::unblock_all()
}

/// Whether a HUP came between [`begin`] and [`hand_over`].
#[must_use]
pub fn hung_up() -> bool {
    HUNG_UP.load(Ordering::Relaxed)
}

/// The first TERM or INT since [`begin`]; `None` if nobody asked this program to end.
#[must_use]
pub fn asked() -> Option<Signal> {
    u8::try_from(ASKED.load(Ordering::Relaxed))
        .ok()
        .and_then(Signal::from_number_linux)
}

/// Blocks these signals, from here on to be read, and tells which request to end had come before, if one had.
///
/// For a program's only thread: those that are started later inherit the mask. All dispositions but that of SIGPIPE are the
/// default afterwards, so a thread that unblocks a signal gets what it does in any program.
///
/// # Errors
/// Those of `sigprocmask(2)`, `signalfd(2)` and `sigaction(2)`.
pub fn hand_over(signals: &[Signal]) -> io::Result<(Signals, Option<Signal>)> {
    // Blocked first: what comes before is in `ASKED`, what comes behind is pending, and our handler runs no more.
    let reader = Signals::only(signals)?;
    for number in REQUESTS {
        set(number, libc::SIG_DFL)?;
    }
    set(libc::SIGHUP, libc::SIG_DFL)?;
    Ok((reader, asked()))
}

/// Gives a signal its default, if it is ignored.
pub(crate) fn no_longer_ignore(number: libc::c_int) {
    let default: Raw = [0; 4];
    if is_ignored(number) {
        // SAFETY: all zero is SIG_DFL without flags, which installs no code; the kernel reads a live local.
        unsafe { raw_action(number, &raw const default, std::ptr::null_mut()) };
    }
}

/// Whether a signal is ignored.
fn is_ignored(number: libc::c_int) -> bool {
    let mut now: Raw = [0; 4];
    // SAFETY: no disposition is given; the kernel writes at most the four words of a live local. KILL and STOP can be asked
    // for. WHY NOT libc's sigaction: it refuses 32 and 33, which glibc's posix_spawn leaves ignored (observed: glibc 2.36).
    let rc = unsafe { raw_action(number, std::ptr::null(), &raw mut now) };
    rc == 0 && now[0] == libc::SIG_IGN as u64
}

/// # Safety
/// `new` is null or points to a disposition that is sound to install, `old` is null or points to memory that may be written.
unsafe fn raw_action(number: libc::c_int, new: *const Raw, old: *mut Raw) -> libc::c_long {
    // SAFETY: as promised by the caller; the last argument is the size of the kernel's signal set (rt_sigaction(2)).
    unsafe { libc::syscall(libc::SYS_rt_sigaction, number, new, old, size_of::<u64>()) }
}

/// Installs a handler for a signal, with every other signal blocked while it runs.
fn set(number: libc::c_int, handler: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: sigaction is plain memory for which all zero is a value: SIG_DFL, no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    // SAFETY: the set is a field of our own local.
    unsafe { libc::sigfillset(&raw mut action.sa_mask) };
    // SAFETY: `handler` is SIG_DFL, `ask` or `hang_up`; each takes the one argument a handler without SA_SIGINFO gets and does only
    // what may be done in one; the struct is initialised and outlives the call. WHY NOT rustix: it leaves handlers to libc.
    if unsafe { libc::sigaction(number, &raw const action, std::ptr::null_mut()) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
