//! How the one binary begins: its own `main`, in the place of the one Rust's standard library would bring.
//!
//! A link of a chain lives for a tenth of a millisecond. std's start-up (a signal stack with its guard page, two signal
//! handlers, a poll) would be up to a tenth of that, and it forgets what our caller handed on. What std promises is kept:
//! descriptors 0, 1 and 2 are open, and SIGPIPE is ignored. Not kept: the message at a stack overflow, which is a plain
//! SIGSEGV, and `std::env::args`, which knows nothing with musl: the words are given to the program instead.
//! Source: std, `rt.rs`, `sys/pal/unix/mod.rs` and `sys/args/unix.rs`, 1.95.

use core::ffi::{CStr, c_char, c_int};
use core::sync::atomic::{AtomicU8, Ordering};
use eudaemon_core::exit::Exit;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// Makes a function the program: `fn(Vec<OsString>) -> u8`, from the words, the program's own name first, to the exit
/// code. For the root of a crate that is `no_main`; its memory comes from an [`Arena`](crate::arena::Arena).
#[macro_export]
macro_rules! program {
    ($main:path) => {
        #[global_allocator]
        static MEMORY: $crate::arena::Arena = $crate::arena::Arena::new();

        // Beside the C library's own first steps, so that both are in the pages that come with the first fault.
        #[allow(unsafe_code, reason = "what it expands to belongs to eudaemon-sys")]
        #[unsafe(no_mangle)]
        #[unsafe(link_section = ".text.startup")]
        extern "C" fn main(
            count: ::core::ffi::c_int,
            words: *const *const ::core::ffi::c_char,
        ) -> ::core::ffi::c_int {
            // SAFETY: the C library calls `main` once, with the count and the words the kernel left on the stack.
            unsafe { $crate::start::run(count, words, |words| $main(words)) }
        }
    };
}

/// What [`inherit`] found and changed: bits 0 to 2 for the descriptors that were closed, and [`PIPE_KILLS`].
static FOUND: AtomicU8 = AtomicU8::new(0);
/// SIGPIPE was at its default.
const PIPE_KILLS: u8 = 1 << 3;

/// Runs the program and ends the process. Only for [`program!`](crate::program!).
///
/// # Safety
/// `words` points to `count` pointers to strings that end with a NUL and stay as they are until the end of the process.
#[inline(always)]
pub unsafe fn run(
    count: c_int,
    words: *const *const c_char,
    main: impl FnOnce(Vec<OsString>) -> u8,
) -> c_int {
    if inherit().is_err() {
        return c_int::from(Exit::Temporary.code());
    }
    let count = usize::try_from(count).unwrap_or(0);
    let mut given = Vec::with_capacity(count);
    for at in 0..count {
        // SAFETY: the caller promises `count` pointers.
        let word = unsafe { *words.add(at) };
        // SAFETY: the caller promises that each is to a string with a NUL at its end, which nobody changes.
        let word = unsafe { CStr::from_ptr(word) };
        given.push(OsStr::from_bytes(word.to_bytes()).to_os_string());
    }
    // It also writes out what stdout still holds.
    std::process::exit(i32::from(main(given)))
}

/// Opens what is closed of descriptors 0, 1 and 2 to `/dev/null`, or the next file opened would be somebody's stderr; and
/// ignores SIGPIPE, so that a write to a pipe nobody reads is an error with a message. Fails if there is no `/dev/null`.
fn inherit() -> Result<(), ()> {
    let mut found = 0;
    for number in 0..3 {
        // SAFETY: F_GETFD reads no memory.
        if unsafe { libc::fcntl(number, libc::F_GETFD) } >= 0 {
            continue;
        }
        found |= 1 << number;
        // SAFETY: the path ends with a NUL. The lowest free number is taken (open(2)), which is this one: the ones below
        // are open by now. Nothing owns it, as nothing owns the three of other processes.
        if unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) } != number {
            return Err(());
        }
    }
    // SAFETY: SIG_IGN is a valid disposition; no handler is replaced, for an exec leaves none (execve(2)).
    // WHY NOT rustix: it leaves dispositions to libc.
    if unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) } == libc::SIG_DFL {
        found |= PIPE_KILLS;
    }
    FOUND.store(found, Ordering::Relaxed);
    Ok(())
}

/// Undoes what [`program!`](crate::program!) did to what our caller handed on, for the program this process becomes.
pub fn hand_back() {
    let found = FOUND.load(Ordering::Relaxed);
    for number in 0..3 {
        if found & 1 << number != 0 {
            // SAFETY: it was closed when this process began, so what is there is our /dev/null, which nothing owns; at
            // worst somebody's write to it fails.
            unsafe { libc::close(number) };
        }
    }
    if found & PIPE_KILLS != 0 {
        crate::exec::let_broken_pipes_kill();
    }
}
