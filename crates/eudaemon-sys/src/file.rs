//! Files of an open directory, so that nothing between us and them can be exchanged while we work.
//!
//! Every file is opened with O_NOFOLLOW: a logger that runs as root in somebody else's directory must not be led to a
//! file of root's by a symbolic link (reliability page, finding 9).

use rustix::fs::{AtFlags, Mode, OFlags, RawMode};
use rustix::io::Errno;
use rustix::path::Arg;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Which file it is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The file system.
    pub device: u64,
    /// The file within it.
    pub inode: u64,
}

/// What is known of a file without opening it.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Which file it is.
    pub identity: Identity,
    /// The permission bits.
    pub mode: u32,
    /// How many names it has.
    pub links: u64,
    /// Whose it is.
    pub owner: u32,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// Whether it is a regular file.
    pub regular: bool,
}

/// An open directory.
#[derive(Debug)]
pub struct Folder(OwnedFd);

impl Folder {
    /// Opens a directory. The last component may be a symbolic link: a service directory often is one.
    pub fn open(path: impl Arg) -> io::Result<Folder> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        Ok(Folder(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// Makes it this process's working directory.
    pub fn enter(&self) -> io::Result<()> {
        Ok(rustix::process::fchdir(&self.0)?)
    }

    /// Which directory it is.
    pub fn identity(&self) -> io::Result<Identity> {
        Ok(about(&self.0)?.identity)
    }

    /// What is known of the file of that name; `None` if there is none. A symbolic link is told of, not followed.
    pub fn look(&self, name: impl Arg) -> io::Result<Option<About>> {
        match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(read_stat(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The names in it, in the system's order, without `.` and `..`.
    pub fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.0)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
        }
        Ok(names)
    }

    /// Opens a regular file for appending, making it with this mode if it is not there.
    ///
    /// # Errors
    /// ELOOP for a symbolic link, EINVAL for anything that is no regular file.
    pub fn append(&self, name: impl Arg, mode: u32) -> io::Result<File> {
        self.file(name, OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE, mode)
    }

    /// Opens a regular file for writing from its start, making it with this mode if it is not there, empty.
    ///
    /// # Errors
    /// As [`Folder::append`].
    pub fn create(&self, name: impl Arg, mode: u32) -> io::Result<File> {
        self.file(name, OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC, mode)
    }

    /// Opens a regular file for reading and writing in place, making it with this mode if it is not there.
    ///
    /// # Errors
    /// As [`Folder::append`].
    pub fn in_place(&self, name: impl Arg, mode: u32) -> io::Result<File> {
        self.file(name, OFlags::RDWR | OFlags::CREATE, mode)
    }

    /// Opens a regular file that is there for reading.
    ///
    /// # Errors
    /// As [`Folder::append`], and ENOENT.
    pub fn read(&self, name: impl Arg) -> io::Result<File> {
        self.file(name, OFlags::RDONLY, 0)
    }

    /// Makes a regular file for appending.
    ///
    /// # Errors
    /// EEXIST if the name is taken.
    pub fn make(&self, name: impl Arg, mode: u32) -> io::Result<File> {
        let how = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL;
        self.file(name, how, mode)
    }

    fn file(&self, name: impl Arg, how: OFlags, mode: u32) -> io::Result<File> {
        open_regular(&self.0, name, how, mode)
    }

    /// Gives a file another name in the same directory, over what had it.
    pub fn rename(&self, from: impl Arg, to: impl Arg) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, from, &self.0, to)?)
    }

    /// Gives a file another name in the same directory.
    ///
    /// # Errors
    /// EEXIST if that name is taken; on a file system that cannot tell (EINVAL), it is looked for first.
    pub fn rename_to_new(&self, from: impl Arg + Copy, to: impl Arg + Copy) -> io::Result<()> {
        use rustix::fs::RenameFlags;
        match rustix::fs::renameat_with(&self.0, from, &self.0, to, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            Err(Errno::INVAL | Errno::NOSYS) if self.look(to)?.is_none() => self.rename(from, to),
            Err(Errno::INVAL | Errno::NOSYS) => Err(Errno::EXIST.into()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Gives a file a second name; EEXIST if that is taken.
    pub fn link(&self, from: impl Arg, to: impl Arg) -> io::Result<()> {
        Ok(rustix::fs::linkat(
            &self.0,
            from,
            &self.0,
            to,
            AtFlags::empty(),
        )?)
    }

    /// Removes a name; a name that is not there is no error.
    pub fn remove(&self, name: impl Arg) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Waits until the names in it are on the disk.
    pub fn sync(&self) -> io::Result<()> {
        match rustix::fs::fsync(&self.0) {
            // Some file systems cannot fsync a directory; the names are then as safe as they ever get.
            Ok(()) | Err(Errno::INVAL | Errno::ROFS) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Makes a directory; one that is there already is no error.
pub fn make_directory(path: impl Arg, mode: u32) -> io::Result<()> {
    match rustix::fs::mkdir(path, raw(mode)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Opens a regular file by path for writing in place, making it with this mode if it is not there. Its contents stay.
///
/// # Errors
/// As [`Folder::append`].
pub fn open_in_place(path: impl Arg, mode: u32) -> io::Result<File> {
    open_regular(rustix::fs::CWD, path, OFlags::WRONLY | OFlags::CREATE, mode)
}

/// Gives a file another name, over what had it.
pub fn rename(from: impl Arg, to: impl Arg) -> io::Result<()> {
    Ok(rustix::fs::rename(from, to)?)
}

/// Opens a file for reading, without waiting should it be a FIFO.
pub fn open_to_read(path: impl Arg) -> io::Result<File> {
    Ok(rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC,
        Mode::empty(),
    )?
    .into())
}

/// Whether a file of that name exists, following symbolic links as stat(2) does.
pub fn exists(path: impl Arg) -> io::Result<bool> {
    match rustix::fs::stat(path) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// What is known of an open file.
pub fn about(file: impl AsFd) -> io::Result<About> {
    Ok(read_stat(&rustix::fs::fstat(file)?))
}

/// Sets an open file's permission bits.
pub fn set_mode(file: impl AsFd, mode: u32) -> io::Result<()> {
    Ok(rustix::fs::fchmod(file, raw(mode))?)
}

/// Opens a file to hold its lock through an exec, making it with mode 0600 if it is not there: its descriptor is the one
/// that is not close-on-exec. The file is never emptied, and may be of any kind. Source: specification §7, setlock.
pub fn open_to_hold(path: impl Arg) -> io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NONBLOCK;
    Ok(rustix::fs::open(path, flags, raw(0o600))?)
}

/// Takes the exclusive lock of an open file, waiting for it as long as another holds it.
pub fn lock_waiting(file: impl AsFd) -> io::Result<()> {
    let exclusive = rustix::fs::FlockOperation::LockExclusive;
    loop {
        match rustix::fs::flock(&file, exclusive) {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// Starts writing a file's bytes to the disk, and does not wait for it. Source: `sync_file_range(2)`.
///
/// Where there is no such call nothing is begun; the sync that follows does all of it.
pub fn begin_sync(file: impl AsFd) {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;
        let number = file.as_fd().as_raw_fd();
        // SAFETY: reads and writes no memory of ours; the descriptor is borrowed, so it is open. A failure is met again by
        // the sync. WHY NOT rustix: it does not have this call.
        unsafe { libc::sync_file_range(number, 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}

/// Takes the exclusive lock of an open file, or fails at once with EAGAIN if another holds it.
pub fn lock(file: impl AsFd) -> io::Result<()> {
    Ok(rustix::fs::flock(
        file,
        rustix::fs::FlockOperation::NonBlockingLockExclusive,
    )?)
}

/// Sets which permission bits new files lose.
pub fn set_umask(mask: u32) {
    rustix::process::umask(raw(mask));
}

fn open_regular(at: impl AsFd, name: impl Arg, how: OFlags, mode: u32) -> io::Result<File> {
    let flags = how | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(at, name, flags, raw(mode))?;
    // O_NONBLOCK keeps us from hanging on a FIFO without a reader; writing into one would not be logging either.
    if about(&file)?.regular {
        Ok(file.into())
    } else {
        Err(Errno::INVAL.into())
    }
}

fn raw(mode: u32) -> Mode {
    Mode::from_raw_mode(mode as RawMode)
}

// The widths of these fields differ by system; all fit into 64 bits, and a device number is never negative.
#[allow(
    clippy::unnecessary_cast,
    clippy::cast_sign_loss,
    reason = "the widths differ by system"
)]
fn read_stat(stat: &rustix::fs::Stat) -> About {
    About {
        identity: Identity {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
        },
        mode: stat.st_mode as u32 & 0o7777,
        links: stat.st_nlink as u64,
        owner: stat.st_uid as u32,
        size_bytes: stat.st_size as u64,
        regular: rustix::fs::FileType::from_raw_mode(stat.st_mode)
            == rustix::fs::FileType::RegularFile,
    }
}

/// All of a file of procfs, which has no size that could be asked for. Where std asks eight times, this does twice, and from the
/// stack: a buffer on the heap is two calls more with musl.
pub(crate) fn read_procfs(mut file: File) -> io::Result<Vec<u8>> {
    let mut part = [0; 4096];
    let mut text = Vec::new();
    loop {
        match file.read(&mut part) {
            Ok(0) => return Ok(text),
            Ok(length) => text.extend_from_slice(&part[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// A directory that is gone with the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> (Scratch, Folder) {
            let path =
                std::env::temp_dir().join(format!("eudaemon-file-{name}-{}", std::process::id()));
            make_directory(&path, 0o700).expect("a new directory");
            make_directory(&path, 0o700).expect("one that is there is no error");
            let folder = Folder::open(&path).expect("it was just made");
            (Scratch(path), folder)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn nobody_leads_us_elsewhere() {
        let (scratch, folder) = Scratch::new("links");
        let target = scratch.0.join("target");
        std::fs::write(&target, "theirs").expect("our own directory");
        std::os::unix::fs::symlink(&target, scratch.0.join("current")).expect("our own directory");
        for opened in [
            folder.append("current", 0o600),
            folder.create("current", 0o600),
            open_in_place(scratch.0.join("current"), 0o600),
        ] {
            let error = opened.expect_err("a symbolic link").raw_os_error();
            assert_eq!(error, Some(libc::ELOOP));
        }
        assert_eq!(std::fs::read(&target).expect("still there"), b"theirs");
        let seen = folder
            .look("current")
            .expect("our own directory")
            .expect("the link");
        assert!(!seen.regular);
        rustix::fs::mknodat(&folder.0, "fifo", rustix::fs::FileType::Fifo, raw(0o600), 0)
            .expect("a FIFO");
        let reader = open_to_read(scratch.0.join("fifo")).expect("does not wait for a writer");
        let error = folder.append("fifo", 0o600).expect_err("no regular file");
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        drop(reader);
    }

    #[test]
    fn names_come_and_go() {
        let (_scratch, folder) = Scratch::new("names");
        let file = folder.append("a", 0o600).expect("our own directory");
        set_mode(&file, 0o744).expect("our own file");
        folder.link("a", "b").expect("our own directory");
        let taken = folder.link("a", "b").expect_err("the name is taken");
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        let seen = folder
            .look("b")
            .expect("our own directory")
            .expect("just made");
        assert_eq!((seen.links, seen.mode, seen.regular), (2, 0o744, true));
        assert_eq!(seen.identity, about(&file).expect("an open file").identity);
        folder.rename("b", "c").expect("our own directory");
        folder.remove("a").expect("our own directory");
        folder.remove("a").expect("what is gone is no error");
        folder.sync().expect("our own directory");
        assert_eq!(folder.names().expect("our own directory"), [b"c".to_vec()]);
        assert!(folder.look("a").expect("our own directory").is_none());
    }

    #[test]
    fn a_lock_is_held_once() {
        let (_scratch, folder) = Scratch::new("lock");
        let first = folder.append("lock", 0o600).expect("our own directory");
        lock(&first).expect("nobody has it");
        let second = folder.append("lock", 0o600).expect("our own directory");
        assert_eq!(
            lock(&second).expect_err("it is held").kind(),
            io::ErrorKind::WouldBlock
        );
        drop(first);
        lock(&second).expect("nobody has it any more");
    }
}
