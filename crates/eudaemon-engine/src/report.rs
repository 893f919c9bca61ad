//! The one place that words a message to a person. Source: specification §0.2 and §0.3.

use eudaemon_core::exit::Exit;
use eudaemon_sys::errno;
use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Speaks for one program, by its fixed name and not by what it was called as.
#[derive(Clone, Copy, Debug)]
pub struct Report(pub &'static str);

impl Report {
    /// `PROG: fatal: TEXT: PHRASE`; gives the exit code that goes with it.
    pub fn fatal(self, text: &[&OsStr], error: &io::Error) -> u8 {
        self.say("fatal", text, Some(error));
        Exit::Temporary.code()
    }

    /// `PROG: fatal: TEXT`, where what is wrong is not the system's word; the caller knows the code.
    pub fn refuse(self, text: &[&OsStr], exit: Exit) -> u8 {
        self.say("fatal", text, None);
        exit.code()
    }

    /// `PROG: warning: TEXT: PHRASE`, or without a phrase.
    pub fn warn(self, text: &[&OsStr], error: Option<&io::Error>) {
        self.say("warning", text, error);
    }

    /// `PROG: pausing: TEXT: PHRASE`: it will be tried again.
    pub fn pausing(self, text: &[&OsStr], error: &io::Error) {
        self.say("pausing", text, Some(error));
    }

    /// `PROG: info: TEXT`.
    pub fn info(self, text: &[&OsStr]) {
        self.say("info", text, None);
    }

    /// `PROG: usage: TEXT`; gives the exit code that goes with it.
    pub fn usage(self, text: &str) -> u8 {
        line(&[self.0, ": usage: ", text].map(OsStr::new));
        Exit::Permanent.code()
    }

    /// `NAME: illegal option -- LETTER`; the caller's usage follows.
    pub fn illegal_option(name: &OsStr, letter: u8) {
        about_letter(name, b": illegal option -- ", letter);
    }

    /// `NAME: option requires an argument -- LETTER`; the caller's usage follows.
    pub fn missing_argument(name: &OsStr, letter: u8) {
        about_letter(name, b": option requires an argument -- ", letter);
    }

    fn say(self, level: &str, text: &[&OsStr], error: Option<&io::Error>) {
        let start = [self.0, ": ", level, ": "].map(OsStr::new);
        told(&start, text, error);
    }
}

fn about_letter(name: &OsStr, what: &[u8], letter: u8) {
    to_stderr(&[name.as_encoded_bytes(), what, &[letter, b'\n']].concat());
}

/// As [`Report::fatal`] of a supervisor that names itself after its service, as runit's does: `runsv NAME: fatal: …`.
pub fn fatal_of(service: &OsStr, text: &[&OsStr], error: Option<&io::Error>) {
    let start = ["runsv ".as_ref(), service, ": fatal: ".as_ref()];
    told(&start, text, error);
}

fn told(start: &[&OsStr], text: &[&OsStr], error: Option<&io::Error>) {
    let phrase = error.map(phrase);
    let end = phrase
        .as_deref()
        .map(|phrase| [": ", phrase].map(OsStr::new));
    let words = start.iter().chain(text).chain(end.iter().flatten());
    line(&words.copied().collect::<Vec<_>>());
}

/// One line on stderr, whole.
pub fn line(words: &[&OsStr]) {
    let mut bytes = Vec::new();
    for word in words {
        bytes.extend_from_slice(word.as_encoded_bytes());
    }
    bytes.push(b'\n');
    to_stderr(&bytes);
}

/// What is said from now on is dropped rather than waited for, if stderr is a pipe that nobody empties.
pub fn never_wait() {
    NEVER_WAIT.store(true, Ordering::Relaxed);
}
static NEVER_WAIT: AtomicBool = AtomicBool::new(false);

fn to_stderr(bytes: &[u8]) {
    if NEVER_WAIT.load(Ordering::Relaxed) && !eudaemon_sys::dir::takes_a_write(io::stderr()) {
        return;
    }
    // There is nobody left to tell when stderr fails.
    let _ = io::stderr().write_all(bytes);
}

/// The family's phrase for an error, never libc's.
pub fn phrase(error: &io::Error) -> Cow<'static, str> {
    match error.raw_os_error() {
        Some(number) => phrase_of(number).into(),
        // An error of our own says what is wrong; it has no number.
        None => error.to_string().into(),
    }
}

macro_rules! phrases {
    ($($name:ident $phrase:literal)*) => {
        #[allow(unreachable_patterns, reason = "on some systems two names are one number; the first row counts")]
        fn phrase_of(number: i32) -> &'static str {
            match number {
                0 => "no error",
                $(errno::$name => $phrase,)*
                _ => other_phrase(number),
            }
        }
    };
}
phrases! {
    EINTR "interrupted system call"
    ENOMEM "out of memory"
    ENOENT "file does not exist"
    ETXTBSY "text busy"
    EIO "input/output error"
    EEXIST "file already exists"
    ETIMEDOUT "timed out"
    EINPROGRESS "operation in progress"
    EAGAIN "temporary failure"
    EWOULDBLOCK "input/output would block"
    EPIPE "broken pipe"
    EPERM "permission denied"
    EACCES "access denied"
    ENXIO "device not configured"
    EPROTO "protocol error"
    EISDIR "is a directory"
    ECONNREFUSED "connection refused"
    ENOTDIR "not a directory"
    ESRCH "no such process"
    E2BIG "argument list too long"
    ENOEXEC "exec format error"
    EBADF "file descriptor not open"
    ECHILD "no child processes"
    EDEADLK "operation would cause deadlock"
    EFAULT "bad address"
    ENOTBLK "not a block device"
    EBUSY "device busy"
    EXDEV "cross-device link"
    ENODEV "device does not support operation"
    EINVAL "invalid argument"
    ENFILE "system cannot open more files"
    EMFILE "process cannot open more files"
    ENOTTY "not a tty"
    EFBIG "file too big"
    ENOSPC "out of disk space"
    ESPIPE "unseekable descriptor"
    EROFS "read-only file system"
    EMLINK "too many links"
    EDOM "input out of range"
    ERANGE "output out of range"
    EALREADY "operation already in progress"
    ENOTSOCK "not a socket"
    EDESTADDRREQ "destination address required"
    EMSGSIZE "message too long"
    EPROTOTYPE "incorrect protocol type"
    ENOPROTOOPT "protocol not available"
    EPROTONOSUPPORT "protocol not supported"
    ESOCKTNOSUPPORT "socket type not supported"
    EOPNOTSUPP "operation not supported"
    EPFNOSUPPORT "protocol family not supported"
    EAFNOSUPPORT "address family not supported"
    EADDRINUSE "address already used"
    EADDRNOTAVAIL "address not available"
    ENETDOWN "network down"
    ENETUNREACH "network unreachable"
    ENETRESET "network reset"
    ECONNABORTED "connection aborted"
    ECONNRESET "connection reset"
    ENOBUFS "out of buffer space"
    EISCONN "already connected"
    ENOTCONN "not connected"
    ESHUTDOWN "socket shut down"
    ETOOMANYREFS "too many references"
    ELOOP "symbolic link loop"
    ENAMETOOLONG "file name too long"
    EHOSTDOWN "host down"
    EHOSTUNREACH "host unreachable"
    ENOTEMPTY "directory not empty"
    EUSERS "too many users"
    EDQUOT "disk quota exceeded"
    ESTALE "stale NFS file handle"
    EREMOTE "too many levels of remote in path"
    ENOLCK "no locks available"
    ENOSYS "system call not available"
    ENOMSG "no message of desired type"
    EBADMSG "bad message type"
    EIDRM "identifier removed"
    ENOLINK "link severed"
    EMULTIHOP "multihop attempted"
}

#[cfg(target_os = "linux")]
fn other_phrase(number: i32) -> &'static str {
    match number {
        errno::ETIME => "timer expired",
        errno::ENOSR => "out of stream resources",
        errno::ENOSTR => "not a stream device",
        errno::ENONET => "machine not on network",
        errno::EADV => "advertise error",
        errno::ESRMNT => "srmount error",
        errno::ECOMM => "communication error",
        errno::EREMCHG => "remote address changed",
        _ => "unknown error",
    }
}

#[cfg(not(target_os = "linux"))]
fn other_phrase(_number: i32) -> &'static str {
    "unknown error"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_the_familys() {
        let say = |number| phrase(&io::Error::from_raw_os_error(number));
        assert_eq!(say(errno::ENOENT), "file does not exist");
        // A held lock; observed with setlock 0.76.
        assert_eq!(say(errno::EAGAIN), "temporary failure");
        assert_eq!(say(errno::ENXIO), "device not configured");
        assert_eq!(say(0), "no error");
        assert_eq!(say(4095), "unknown error");
        assert_eq!(phrase(&io::Error::other("ours")), "ours");
    }
}
