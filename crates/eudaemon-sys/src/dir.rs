//! Directories and the files in them, always relative to an open directory: a name may change its meaning, a descriptor
//! does not.

use eudaemon_core::scan::Id;
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags};
use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file, and whether the owner may execute it.
    File {
        /// Any execute bit is set.
        executable: bool,
    },
    /// A directory.
    Directory,
    /// A FIFO.
    Fifo,
    /// Anything else.
    Other,
}

/// An open directory.
#[derive(Debug)]
pub struct Dir(OwnedFd);

fn stat_kind(stat: &rustix::fs::Stat) -> Kind {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File {
            executable: stat.st_mode & 0o111 != 0,
        },
        FileType::Directory => Kind::Directory,
        FileType::Fifo => Kind::Fifo,
        FileType::Symlink
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => Kind::Other,
    }
}

impl Dir {
    /// Opens a directory to find things in it; it need not be readable. Symbolic links are followed.
    pub fn open(path: &Path) -> io::Result<Dir> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Dir(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// Opens a directory below this one.
    pub fn open_at(&self, name: &OsStr) -> io::Result<Dir> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Dir(rustix::fs::openat(
            &self.0,
            name.as_bytes(),
            flags,
            Mode::empty(),
        )?))
    }

    /// Its identity.
    pub fn id(&self) -> io::Result<Id> {
        let stat = rustix::fs::fstat(&self.0)?;
        Ok(Id {
            dev: stat.st_dev,
            ino: stat.st_ino,
        })
    }

    /// When it was made, in nanoseconds, where the file system knows: an inode number may be used again for another
    /// directory, the two together are not. Source: `statx(2)`, STATX_BTIME.
    #[must_use]
    pub fn birth(&self) -> u64 {
        use rustix::fs::{StatxFlags, statx};
        match statx(&self.0, c"", AtFlags::EMPTY_PATH, StatxFlags::BTIME) {
            Ok(stat) if stat.stx_mask & StatxFlags::BTIME.bits() != 0 => {
                u64::try_from(stat.stx_btime.tv_sec)
                    .unwrap_or(0)
                    .wrapping_mul(1_000_000_000)
                    .wrapping_add(u64::from(stat.stx_btime.tv_nsec))
            }
            _ => 0,
        }
    }

    /// Identity and kind of a name, symbolic links followed.
    pub fn look(&self, name: &OsStr) -> io::Result<(Id, Kind)> {
        let stat = rustix::fs::statat(&self.0, name.as_bytes(), AtFlags::empty())?;
        Ok((
            Id {
                dev: stat.st_dev,
                ino: stat.st_ino,
            },
            stat_kind(&stat),
        ))
    }

    /// When a name's content last changed, symbolic links followed: for a directory, when a name came or went.
    pub fn modified(&self, name: &OsStr) -> io::Result<eudaemon_core::time::Wall> {
        let stat = rustix::fs::statat(&self.0, name.as_bytes(), AtFlags::empty())?;
        let secs = u64::try_from(stat.st_mtime).unwrap_or(0);
        Ok(eudaemon_core::time::Wall::new(
            secs,
            u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
        ))
    }

    /// Whether a name exists, symbolic links followed.
    pub fn exists(&self, name: &OsStr) -> io::Result<bool> {
        match rustix::fs::statat(&self.0, name.as_bytes(), AtFlags::empty()) {
            Ok(_) => Ok(true),
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Every name in it but `.` and `..`, in the directory's own order.
    pub fn names(&self, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let list = rustix::fs::openat(&self.0, c".", flags, Mode::empty())?;
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut entries = rustix::fs::RawDir::new(list, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            match entry.file_name().to_bytes() {
                b"." | b".." => {}
                name => each(name),
            }
        }
        Ok(())
    }

    /// Opens whatever has that name for reading, without waiting should it be a FIFO; symbolic links are followed.
    pub fn open_to_read(&self, name: &[u8]) -> io::Result<std::fs::File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.0, name, flags, Mode::empty())?.into())
    }

    /// Whether this process may have it as its working directory.
    pub fn may_be_entered(&self) -> bool {
        rustix::fs::accessat(&self.0, c".", rustix::fs::Access::EXEC_OK, AtFlags::empty()).is_ok()
    }

    /// The first `most` bytes of a regular file. A FIFO or device in its place is refused, not waited for.
    pub fn read(&self, name: &OsStr, most: usize) -> io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.0, name.as_bytes(), flags, Mode::empty())?;
        if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        let mut out = vec![0; most];
        let mut len = 0;
        while len < most {
            match rustix::io::read(&file, &mut out[len..]) {
                Ok(0) => break,
                Ok(got) => len += got,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        out.truncate(len);
        Ok(out)
    }

    /// Target of a symbolic link; `None` if the name is none.
    #[must_use]
    pub fn link_target(&self, name: &OsStr) -> Option<PathBuf> {
        let target = rustix::fs::readlinkat(&self.0, name.as_bytes(), Vec::new()).ok()?;
        Some(PathBuf::from(OsStr::from_bytes(target.as_bytes())))
    }

    /// Makes a directory (0700); one that exists already is fine.
    pub fn make_dir(&self, name: &OsStr) -> io::Result<()> {
        match rustix::fs::mkdirat(&self.0, name.as_bytes(), Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a file for appending, creating it (0600), and takes its lock; `WouldBlock` if somebody has it.
    ///
    /// The lock belongs to the open file, so it lasts as long as any copy of the descriptor. Source: `flock(2)`.
    pub fn lock(&self, name: &OsStr) -> io::Result<OwnedFd> {
        let flags =
            OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(
            &self.0,
            name.as_bytes(),
            flags | OFlags::NONBLOCK,
            Mode::RUSR | Mode::WUSR,
        )?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(file)
    }

    /// Makes a FIFO (0600) unless one is there. Modes and owners of one that is there are its administrator's.
    fn make_fifo(&self, name: &OsStr) -> io::Result<()> {
        match rustix::fs::mkfifoat(&self.0, name.as_bytes(), Mode::RUSR | Mode::WUSR) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn open_fifo(&self, name: &OsStr, access: OFlags) -> io::Result<OwnedFd> {
        let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fifo = rustix::fs::openat(&self.0, name.as_bytes(), flags, Mode::empty())?;
        if FileType::from_raw_mode(rustix::fs::fstat(&fifo)?.st_mode) != FileType::Fifo {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a FIFO"));
        }
        Ok(fifo)
    }

    /// Makes the FIFO if need be and opens it for reading and writing, so that it never reports an end.
    ///
    /// Opening a FIFO both ways is undefined in POSIX and defined in Linux: `fifo(7)`.
    pub fn control_fifo(&self, name: &OsStr) -> io::Result<OwnedFd> {
        self.make_fifo(name)?;
        self.open_fifo(name, OFlags::RDWR)
    }

    /// Makes the FIFO if need be and opens it for reading: while it is open, opening it for writing succeeds.
    pub fn presence_fifo(&self, name: &OsStr) -> io::Result<OwnedFd> {
        self.make_fifo(name)?;
        self.open_fifo(name, OFlags::RDONLY)
    }

    /// Replaces a file (0644) in one step: `temporary` is written, then the two change places.
    ///
    /// The file that was replaced stays as `temporary` and is overwritten the next time. That is not for tidiness but for
    /// speed: on ext4 a rename over an existing file writes the new one to disk first (`auto_da_alloc`, ext4(5)), which
    /// makes each replacement wait for the disk; an exchange of two files that have their blocks does not. Where there is
    /// nothing to exchange with, or the file system cannot (`EINVAL`), it is a plain rename.
    pub fn replace(&self, name: &OsStr, temporary: &OsStr, bytes: &[u8]) -> io::Result<()> {
        use rustix::fs::RenameFlags;
        use rustix::io::Errno;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
        let file = rustix::fs::openat(&self.0, temporary.as_bytes(), flags, mode)?;
        let stat = rustix::fs::fstat(&file)?;
        // Not ours, or a second name of somebody else's file: it must not be written through.
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_nlink != 1 {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            match rustix::io::pwrite(&file, rest, done as u64) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero)),
                Ok(wrote) => done += wrote,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if usize::try_from(stat.st_size).is_ok_and(|size| size > bytes.len()) {
            rustix::fs::ftruncate(&file, bytes.len() as u64)?;
        }
        drop(file);
        let (from, to) = (temporary.as_bytes(), name.as_bytes());
        match rustix::fs::renameat_with(&self.0, from, &self.0, to, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(()),
            Err(Errno::NOENT | Errno::INVAL | Errno::NOSYS) => {
                Ok(rustix::fs::renameat(&self.0, from, &self.0, to)?)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Overwrites the start of an existing file in place: on a full disk this still succeeds.
    pub fn overwrite(&self, name: &OsStr, bytes: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.0, name.as_bytes(), flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_nlink != 1 {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let wrote = rustix::io::pwrite(&file, bytes, 0)?;
        if wrote == bytes.len() {
            Ok(())
        } else {
            Err(io::Error::from(io::ErrorKind::WriteZero))
        }
    }

    /// Creates an empty file (0644) unless there is one.
    pub fn touch(&self, name: &OsStr) -> io::Result<()> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
        rustix::fs::openat(&self.0, name.as_bytes(), flags, mode)?;
        Ok(())
    }

    /// Removes a file; one that is not there is removed already.
    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.0, name.as_bytes(), AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Its path now, for people and for other programs. Source: `proc_pid_fd(5)`.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        std::fs::read_link(format!("/proc/self/fd/{}", self.0.as_raw_fd())).unwrap_or_default()
    }

    /// Makes it the working directory.
    pub fn enter(&self) -> io::Result<()> {
        Ok(rustix::process::fchdir(&self.0)?)
    }

    /// A second descriptor for it.
    pub fn duplicate(&self) -> io::Result<Dir> {
        Ok(Dir(self.0.try_clone()?))
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Dir> for OwnedFd {
    fn from(dir: Dir) -> OwnedFd {
        dir.0
    }
}

impl From<OwnedFd> for Dir {
    fn from(fd: OwnedFd) -> Dir {
        Dir(fd)
    }
}

/// A pipe that cannot break: one descriptor that both reads and writes it.
///
/// A writer that holds it keeps a reader alive, and so is never sent SIGPIPE; it only waits while the pipe is full.
pub fn unbreakable_pipe() -> io::Result<OwnedFd> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let both = reopen(&write, OFlags::RDWR)?;
    drop((read, write));
    Ok(both)
}

/// The reading side of such a pipe, for a logger: it sees the end when every other holder is gone.
pub fn reading_side(pipe: impl AsFd) -> io::Result<OwnedFd> {
    reopen(pipe, OFlags::RDONLY)
}

fn reopen(fd: impl AsFd, access: OFlags) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    Ok(rustix::fs::open(
        path,
        access | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// The pipe that another process has open under a number, opened both ways. `None` if it is no pipe.
#[must_use]
pub fn pipe_of_process(pid: eudaemon_core::words::Pid, number: u32) -> Option<OwnedFd> {
    let path = format!("/proc/{}/fd/{number}", pid.get());
    let stat = rustix::fs::stat(&path).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Fifo {
        return None;
    }
    rustix::fs::open(&path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// The inode number of an open file: what tells one pipe from another.
pub fn inode(fd: impl AsFd) -> io::Result<u64> {
    Ok(rustix::fs::fstat(fd)?.st_ino)
}

/// A plain pipe, read end first; the read end does not block.
pub fn notice_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(&read, OFlags::NONBLOCK)?;
    Ok((read, write))
}

/// Reads what is there; `Ok(0)` is the end, `WouldBlock` is nothing yet.
pub fn read(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::read(fd, buffer)?)
}

/// Writes; how much was written.
pub fn write(fd: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::io::write(fd, bytes)?)
}

/// Whether a path lies on tmpfs, which is memory: no write-back ever makes its pages wait. Source: `statfs(2)`.
#[must_use]
pub fn is_in_memory(path: &Path) -> bool {
    const TMPFS_MAGIC: u64 = 0x0102_1994;
    rustix::fs::statfs(path)
        .is_ok_and(|stat| u64::try_from(stat.f_type).is_ok_and(|kind| kind == TMPFS_MAGIC))
}

/// A path as a C string; an interior NUL cannot be in a path.
pub fn c_path(path: &OsStr) -> io::Result<CString> {
    CString::new(path.as_bytes()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

/// Ends a lock for everybody who has a copy of the descriptor. Source: `flock(2)`.
pub fn unlock(file: impl AsFd) -> io::Result<()> {
    Ok(rustix::fs::flock(file, FlockOperation::Unlock)?)
}

/// Whether a write would be taken now, and not wait for a slow reader.
#[must_use]
pub fn takes_a_write(fd: impl AsFd) -> bool {
    let mut fds = [rustix::event::PollFd::new(
        &fd,
        rustix::event::PollFlags::OUT,
    )];
    let now = rustix::time::Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    matches!(rustix::event::poll(&mut fds, Some(&now)), Ok(1..))
}
