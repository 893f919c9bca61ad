//! POSIX message queues. Source: `mq_overview(7)`, `mq_open(3)`.

use super::Access;
use rustix::fs::{Gid, Mode, RawMode, Uid};
use rustix::io::Errno;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// How much a queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Messages.
    pub messages: u32,
    /// Bytes in each, at most.
    pub bytes: u32,
}

/// A queue that is open for reading. It does not block.
#[derive(Debug)]
pub struct Queue {
    /// The queue.
    pub fd: OwnedFd,
    /// The permission bits.
    pub mode: u32,
    /// User and group.
    pub owner: (u32, u32),
    /// How much it holds.
    pub room: Room,
}

impl Queue {
    /// Gives it its owner and its mode.
    pub fn finish(&mut self, access: Access) -> io::Result<()> {
        admit(&self.fd, access)?;
        self.mode = access.mode;
        self.owner = access.owner.unwrap_or(self.owner);
        Ok(())
    }
}

/// Makes a queue of this name, `/NAME`; `None` if there is one. Born with no permissions at all, it gets its owner and then its
/// mode. Without `room` it is the system's default, in `/proc/sys/fs/mqueue`.
///
/// # Errors
/// EINVAL, EMFILE: it would hold more than the system allows. Nothing is left behind.
pub fn make(name: &str, access: Access, room: Option<Room>) -> io::Result<Option<Queue>> {
    let name = CString::new(name)?;
    // SAFETY: all bits zero is a value of this struct of plain numbers.
    let mut attributes: libc::mq_attr = unsafe { std::mem::zeroed() };
    let wanted = room.map(|room| {
        attributes.mq_maxmsg = room.messages.into();
        attributes.mq_msgsize = room.bytes.into();
        &raw const attributes
    });
    let how = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_CREAT | libc::O_EXCL;
    let mode: libc::c_uint = 0;
    // SAFETY: the name is a string with its NUL, and the attributes are null or a struct that outlives the call; both are only read.
    let number =
        unsafe { libc::mq_open(name.as_ptr(), how, mode, wanted.unwrap_or(std::ptr::null())) };
    let Some(fd) = owned(number) else {
        let error = io::Error::last_os_error();
        let is_there = error.kind() == io::ErrorKind::AlreadyExists;
        return if is_there { Ok(None) } else { Err(error) };
    };
    let admitted = admit(&fd, access).and_then(|()| read(fd));
    if admitted.is_err() {
        // It was made here, a moment ago, and nobody else can have opened it.
        // SAFETY: the name is a string with its NUL.
        unsafe { libc::mq_unlink(name.as_ptr()) };
    }
    admitted.map(Some)
}

/// Opens a queue that is there.
///
/// # Errors
/// ENOENT if there is none.
pub fn open(name: &str) -> io::Result<Queue> {
    let name = CString::new(name)?;
    let how = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_CLOEXEC;
    // SAFETY: the name is a string with its NUL; without O_CREAT no more words are read.
    let number = unsafe { libc::mq_open(name.as_ptr(), how) };
    read(owned(number).ok_or_else(io::Error::last_os_error)?)
}

/// Removes the name; whoever has the queue open keeps it.
pub fn unlink(name: &str) -> io::Result<()> {
    let name = CString::new(name)?;
    // SAFETY: the name is a string with its NUL.
    match unsafe { libc::mq_unlink(name.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn admit(queue: impl AsFd + Copy, access: Access) -> io::Result<()> {
    if let Some((user, group)) = access.owner {
        let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
        rustix::fs::fchown(queue, Some(user), Some(group))?;
    }
    Ok(rustix::fs::fchmod(
        queue,
        Mode::from_raw_mode(access.mode as RawMode),
    )?)
}

/// On Linux a queue's number is that of a descriptor. Source: `mq_overview(7)`.
fn owned(number: libc::mqd_t) -> Option<OwnedFd> {
    // SAFETY: a number that is none is an error, and one that is was opened just now for this caller.
    (number >= 0).then(|| unsafe { OwnedFd::from_raw_fd(number) })
}

fn read(fd: OwnedFd) -> io::Result<Queue> {
    let stat = rustix::fs::fstat(&fd)?;
    // SAFETY: all bits zero is a value of this struct of plain numbers.
    let mut attributes: libc::mq_attr = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes into the struct, which is borrowed for the call.
    if unsafe { libc::mq_getattr(fd.as_raw_fd(), &raw mut attributes) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let number = |value| u32::try_from(value).map_err(|_| Errno::RANGE);
    Ok(Queue {
        mode: stat.st_mode & 0o7777,
        owner: (stat.st_uid, stat.st_gid),
        room: Room {
            messages: number(attributes.mq_maxmsg)?,
            bytes: number(attributes.mq_msgsize)?,
        },
        fd,
    })
}
