//! Waiting for files to grow and directories to fill: inotify, for a program that reads other programs' files.
//!
//! A watch that the kernel refuses (too many of them, or a file system without) makes the watch *blind*: [`Watch::wait`]
//! then returns after [`BLIND`] with [`Woken::lost`], so that the caller looks for itself. It is slower, never wrong.

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a blind watch waits before it asks the caller to look.
pub const BLIND: Duration = Duration::from_millis(250);

/// What is of interest in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Entries that appear.
    Entries,
    /// Entries that appear and files that are written.
    Writes,
}

/// A watched directory. The same directory has the same mark as long as it is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(i32);

/// What ended a wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Woken {
    /// Directories in which something happened, each once.
    pub marks: Vec<Mark>,
    /// Directories that are gone; their marks mean nothing any more.
    pub gone: Vec<Mark>,
    /// Something may have happened anywhere: look at everything.
    pub lost: bool,
    /// SIGTERM came ([`Watch::until_term`]).
    pub term: bool,
}

/// A set of watched directories.
#[derive(Debug)]
pub struct Watch {
    inotify: Option<OwnedFd>,
    signals: Option<OwnedFd>,
    blind: bool,
}

impl Watch {
    /// Watches nothing yet. Never fails: without inotify it is blind.
    #[must_use]
    pub fn new() -> Watch {
        let inotify = rustix::fs::inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok();
        Watch {
            blind: inotify.is_none(),
            inotify,
            signals: None,
        }
    }

    /// From now on SIGTERM ends a wait instead of the process, and SIGINT does nothing. For a program with one thread.
    pub fn until_term(&mut self) -> io::Result<()> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigemptyset(3) writes the whole set it is given, which is ours and aligned.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        // SAFETY: sigemptyset above initialised it; it fails for no argument.
        let mut set = unsafe { set.assume_init() };
        for signal in [libc::SIGTERM, libc::SIGINT] {
            // SAFETY: the set is initialised and the number is one of this system's signals (sigsetops(3)).
            unsafe { libc::sigaddset(&raw mut set, signal) };
        }
        // SAFETY: the set is initialised and only read; a null pointer says the old mask is not wanted (sigprocmask(2)).
        // WHY NOT rustix: it leaves signal masks to libc.
        if unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) } != 0
        {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: -1 asks for a new descriptor; the set is initialised and only read (signalfd(2)).
        let fd =
            unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: signalfd has just returned this descriptor, so nothing else owns or closes it.
        self.signals = Some(unsafe { OwnedFd::from_raw_fd(fd) });
        Ok(())
    }

    /// Watches a directory; `None` if that is not possible, be it that there is none or that the watch is blind there.
    ///
    /// A directory already watched keeps its mark and gets this interest. Look at the directory *after* this call:
    /// what is in it already wakes nobody.
    pub fn add(&mut self, dir: &Path, interest: Interest) -> Option<Mark> {
        let entries = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        let flags = match interest {
            Interest::Entries => entries,
            Interest::Writes => entries | WatchFlags::MODIFY,
        };
        let inotify = self.inotify.as_ref()?;
        match rustix::fs::inotify::add_watch(inotify, dir, flags) {
            Ok(mark) => Some(Mark(mark)),
            Err(
                rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::ACCESS,
            ) => None,
            Err(_) => {
                self.blind = true;
                None
            }
        }
    }

    /// Waits until something happens, or for `timeout` (without end if `None`).
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<Woken> {
        let until = if self.blind {
            Some(timeout.map_or(BLIND, |timeout| timeout.min(BLIND)))
        } else {
            timeout
        };
        self.poll(until)?;
        let mut woken = Woken {
            lost: self.blind,
            term: self.term_came(),
            ..Woken::default()
        };
        let Some(inotify) = &self.inotify else {
            return Ok(woken);
        };
        let mut buffer = [MaybeUninit::uninit(); 8192];
        let mut reader = Reader::new(inotify, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => {
                    let mark = Mark(event.wd());
                    let flags = event.events();
                    if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                        woken.lost = true;
                    } else if flags.contains(ReadFlags::IGNORED) {
                        woken.gone.push(mark);
                    } else if !woken.marks.contains(&mark) {
                        woken.marks.push(mark);
                    }
                    // A writer faster than we are must not keep us here: the rest wakes the next wait.
                    if reader.is_buffer_empty() {
                        return Ok(woken);
                    }
                }
                Err(rustix::io::Errno::AGAIN) => return Ok(woken),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn poll(&self, timeout: Option<Duration>) -> io::Result<()> {
        let fds: Vec<BorrowedFd<'_>> = [&self.inotify, &self.signals]
            .into_iter()
            .flatten()
            .map(AsFd::as_fd)
            .collect();
        let mut fds: Vec<PollFd<'_>> = fds
            .iter()
            .map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN))
            .collect();
        let until = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let left = left.map(|left| Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            });
            match rustix::event::poll(&mut fds, left.as_ref()) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes the pending signals; true if one was SIGTERM.
    fn term_came(&self) -> bool {
        let mut term = false;
        let Some(signals) = &self.signals else {
            return term;
        };
        loop {
            let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
            let size = size_of::<libc::signalfd_siginfo>();
            // SAFETY: the buffer is `size` bytes of our own local, and a signalfd writes whole records only (signalfd(2)).
            let got = unsafe { libc::read(signals.as_raw_fd(), info.as_mut_ptr().cast(), size) };
            if usize::try_from(got) != Ok(size) {
                return term;
            }
            // SAFETY: the read above filled the whole record, as the check of its count has shown.
            let info = unsafe { info.assume_init() };
            term |= i32::try_from(info.ssi_signo) == Ok(libc::SIGTERM);
        }
    }
}

/// Raises the soft limit of open files to the hard one, for a reader of many logs. What is refused stays as it was.
pub fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // The reader says which file it could not open, if it comes to that.
    let _ = setrlimit(Resource::Nofile, limit);
}

impl Default for Watch {
    fn default() -> Watch {
        Watch::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh(name: &str) -> std::path::PathBuf {
        let dir = std::env::temp_dir().join(format!("eud-watch-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir(&dir).unwrap();
        dir
    }

    #[test]
    fn a_write_wakes_who_asked_for_writes_and_only_them() {
        let (here, there) = (fresh("here"), fresh("there"));
        std::fs::write(here.join("file"), "a").unwrap();
        std::fs::write(there.join("file"), "a").unwrap();
        let mut watch = Watch::new();
        let writes = watch.add(&here, Interest::Writes).unwrap();
        let entries = watch.add(&there, Interest::Entries).unwrap();
        std::fs::write(here.join("file"), "b").unwrap();
        std::fs::write(there.join("file"), "b").unwrap();
        let woken = watch.wait(Some(Duration::from_secs(5))).unwrap();
        assert_eq!(woken.marks, [writes]);
        std::fs::write(there.join("new"), "").unwrap();
        let woken = watch.wait(Some(Duration::from_secs(5))).unwrap();
        assert_eq!(woken.marks, [entries]);
        std::fs::remove_dir_all(&here).unwrap();
        let woken = watch.wait(Some(Duration::from_secs(5))).unwrap();
        assert_eq!(woken.gone, [writes]);
        std::fs::remove_dir_all(&there).unwrap();
    }

    #[test]
    fn nothing_happens_for_as_long_as_said() {
        let mut watch = Watch::new();
        assert_eq!(
            watch.add(Path::new("/no/such/place"), Interest::Writes),
            None
        );
        let began = Instant::now();
        let woken = watch.wait(Some(Duration::from_millis(30))).unwrap();
        assert_eq!(woken, Woken::default());
        assert!(began.elapsed() >= Duration::from_millis(30));
    }
}
