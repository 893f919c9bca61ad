//! Named pipes: `supervise/control` and `supervise/ok`.
//!
//! Source of the conventions: specification §2.2. A supervisor holds the reading end of `ok` open for as long as it
//! lives, so a writer that does not wait either gets in or gets ENXIO, and thereby knows.

use rustix::fs::{Mode, OFlags};
use rustix::path::Arg;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Opens the writing end without waiting for a reader: ENXIO says that nobody reads.
pub fn open_writer(path: impl Arg) -> io::Result<File> {
    Ok(open(path, OFlags::WRONLY)?.into())
}

/// Whether somebody holds the reading end open. The error tells why not: ENXIO for a FIFO without a reader.
pub fn reach(path: impl Arg) -> io::Result<()> {
    open(path, OFlags::WRONLY).map(drop)
}

/// Whether the open file is a FIFO.
pub fn is_fifo(file: impl AsFd) -> io::Result<bool> {
    let stat = rustix::fs::fstat(file)?;
    Ok(rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Fifo)
}

/// Makes reads and writes of an open file wait, or not.
pub fn set_waiting(file: impl AsFd, wait: bool) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(&file)?;
    let wanted = if wait {
        flags - OFlags::NONBLOCK
    } else {
        flags | OFlags::NONBLOCK
    };
    Ok(rustix::fs::fcntl_setfl(&file, wanted)?)
}

fn open(path: impl Arg, how: OFlags) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(
        path,
        how | OFlags::NONBLOCK | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, mknodat};

    #[test]
    fn a_fifo_tells_whether_somebody_reads_it() {
        let path = std::env::temp_dir().join(format!("eudaemon-fifo-{}", std::process::id()));
        let missing = reach(&path).expect_err("it is not there yet");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a new FIFO");
        let alone = reach(&path).map_err(|error| error.raw_os_error());
        let reader = open(&path, OFlags::RDONLY).expect("the reading end");
        let heard = reach(&path);
        let writer = open_writer(&path).expect("the writing end");
        std::fs::remove_file(&path).expect("it is ours");
        assert_eq!(alone, Err(Some(libc::ENXIO)));
        assert!(heard.is_ok());
        assert!(is_fifo(&writer).expect("an open file"));
        let null = File::open("/dev/null").expect("every system has one");
        assert!(!is_fifo(null).expect("an open file"));
        // A full pipe makes a writer wait only once it is told to.
        let full = |writer: &File| rustix::io::write(writer, &[0; 4096]);
        while full(&writer).is_ok() {}
        assert_eq!(full(&writer), Err(rustix::io::Errno::AGAIN));
        set_waiting(&writer, true).expect("an open file");
        let flags = rustix::fs::fcntl_getfl(&writer).expect("an open file");
        assert!(!flags.contains(OFlags::NONBLOCK));
        drop(reader);
    }
}
