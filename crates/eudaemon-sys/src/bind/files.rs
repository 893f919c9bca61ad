//! What is listened at and is no socket: FIFOs and devices, by path.

use super::{Access, admit};
use crate::descriptor::Kind;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// A file that was found at a path and is not opened yet: whatever becomes of the path, it is this one.
#[derive(Debug)]
pub struct Found {
    file: OwnedFd,
    /// What it is.
    pub kind: Kind,
    /// The permission bits.
    pub mode: u32,
    /// User and group.
    pub owner: (u32, u32),
}

/// Makes a FIFO at a path; `false` if there is something already.
///
/// It is born with no permissions at all, so nobody has it open who may not later: [`Found::finish`] gives it its owner and then
/// its mode. Whoever finds it before may do that, as well as its maker.
pub fn make_fifo(path: &Path) -> io::Result<bool> {
    match rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::empty(), 0) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Looks at the file of a path. A symbolic link is one, and not followed.
pub fn find(path: &Path) -> io::Result<Found> {
    let how = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, how, Mode::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    Ok(Found {
        kind: crate::descriptor::of_file(FileType::from_raw_mode(stat.st_mode)),
        mode: stat.st_mode & 0o7777,
        owner: (stat.st_uid, stat.st_gid),
        file,
    })
}

impl Found {
    /// Gives it its owner and its mode.
    pub fn finish(&mut self, access: Access) -> io::Result<()> {
        admit(&self.file, access)?;
        self.mode = access.mode;
        self.owner = access.owner.unwrap_or(self.owner);
        Ok(())
    }

    /// Opens it, for reading and, if `writes`, for writing. It never waits for somebody at the other end, and does not block.
    /// A FIFO that is open for both has no end: there is always a writer. Source: `fifo(7)`.
    pub fn open(&self, writes: bool) -> io::Result<OwnedFd> {
        let how = if writes { OFlags::RDWR } else { OFlags::RDONLY };
        let how = how | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        // Its name in /proc is the file itself, whatever the path is by now. Source: proc_pid_fd(5).
        let name = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        Ok(rustix::fs::open(name, how, Mode::empty())?)
    }
}
