//! Told when a directory changes. Source: `inotify(7)`.

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Something changed in a watched directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which watch; `None` when events were lost and everything must be looked at again.
    pub watch: Option<i32>,
    /// The name within the directory; empty for the directory itself.
    pub name: Vec<u8>,
    /// The directory itself is gone, and its watch with it.
    pub gone: bool,
    /// It was renamed into the directory: whoever did that had made it complete elsewhere.
    pub arrived: bool,
    /// The name was removed; otherwise something has taken it.
    pub removed: bool,
}

/// A set of watched directories.
#[derive(Debug)]
pub struct Inotify(OwnedFd);

impl Inotify {
    /// An empty set. Fails with EMFILE when the user has too many (`max_user_instances`).
    pub fn new() -> io::Result<Inotify> {
        Ok(Inotify(inotify::init(
            CreateFlags::CLOEXEC | CreateFlags::NONBLOCK,
        )?))
    }

    /// Watches what appears in, leaves, or is renamed in the directory, and changes of mode.
    pub fn watch_entries(&self, dir: impl AsFd) -> io::Result<i32> {
        self.add(
            dir,
            WatchFlags::CREATE
                | WatchFlags::DELETE
                | WatchFlags::MOVED_FROM
                | WatchFlags::MOVED_TO
                | WatchFlags::ATTRIB
                | WatchFlags::DELETE_SELF
                | WatchFlags::ONLYDIR,
        )
    }

    /// Watches what is unlinked from the directory, and what is renamed over something in it.
    pub fn watch_deletions(&self, dir: impl AsFd) -> io::Result<i32> {
        self.add(
            dir,
            WatchFlags::DELETE
                | WatchFlags::MOVED_TO
                | WatchFlags::DELETE_SELF
                | WatchFlags::ONLYDIR,
        )
    }

    fn add(&self, dir: impl AsFd, flags: WatchFlags) -> io::Result<i32> {
        // An O_PATH descriptor can only be named through /proc.
        let path = format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd());
        Ok(inotify::add_watch(&self.0, path, flags)?)
    }

    /// Forgets a watch.
    pub fn remove(&self, watch: i32) {
        // Fails only if the watch is gone already, which is what we want.
        let _ = inotify::remove_watch(&self.0, watch);
    }

    /// Appends what changed since the last call.
    pub fn read(&self, out: &mut Vec<Change>) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.0, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => {
                    let flags = event.events();
                    out.push(Change {
                        watch: (!flags.contains(ReadFlags::QUEUE_OVERFLOW)).then(|| event.wd()),
                        name: event
                            .file_name()
                            .map(|name| name.to_bytes().to_vec())
                            .unwrap_or_default(),
                        gone: flags.contains(ReadFlags::IGNORED),
                        arrived: flags.contains(ReadFlags::MOVED_TO),
                        removed: flags.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM),
                    });
                }
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl From<OwnedFd> for Inotify {
    fn from(fd: OwnedFd) -> Inotify {
        Inotify(fd)
    }
}

impl AsFd for Inotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
