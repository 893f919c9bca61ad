//! Waiting for the kernel, or somebody in its place, to say that something is short.

use crate::passing::Bell;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// What tells of pressure, open.
#[derive(Debug)]
pub struct Gauge {
    fd: OwnedFd,
    /// The kernel's own file says it by an exception, and is never read; anything else by a byte.
    kernel: bool,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// There is pressure.
    Pressed,
    /// The bell was rung.
    Rung,
    /// It tells nothing any more: the control group is gone, or the other end.
    Gone,
}

impl Gauge {
    /// Opens what `path` names and writes `trigger` into it; `None` for a device, which is how pressure is turned off.
    ///
    /// A regular file and a FIFO are opened, a socket is connected to. Source: systemd, `docs/PRESSURE.md`.
    pub fn open(path: &Path, trigger: &[u8]) -> io::Result<Option<Gauge>> {
        let stat = rustix::fs::stat(path)?;
        // To be opened for writing even with nothing to write: then a FIFO whose writer leaves says nothing
        // (fifo(7): on Linux it does not wait, either).
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let open = || rustix::fs::open(path, flags, Mode::empty());
        let (fd, kernel) = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => (open()?, true),
            FileType::Fifo => (open()?, false),
            FileType::Socket => {
                let stream = crate::socket::connect(path)?;
                stream.set_nonblocking(true)?;
                (OwnedFd::from(stream), false)
            }
            FileType::CharacterDevice => return Ok(None),
            FileType::BlockDevice | FileType::Directory | FileType::Symlink | FileType::Unknown => {
                return Err(Errno::INVAL.into());
            }
        };
        if !trigger.is_empty() {
            // The kernel wants it in one write; the others have room for it, for nothing was written before.
            let written = rustix::io::write(&fd, trigger)?;
            if written != trigger.len() {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(Some(Gauge { fd, kernel }))
    }

    /// Waits for pressure, or for the bell.
    pub fn wait(&self, bell: &Bell) -> io::Result<Woken> {
        loop {
            let wanted = if self.kernel {
                PollFlags::PRI
            } else {
                PollFlags::IN
            };
            let mut set = [
                PollFd::new(&self.fd, wanted),
                PollFd::new(bell, PollFlags::IN),
            ];
            match rustix::event::poll(&mut set, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let [gauge, rung] = set.map(|of| of.revents());
            if !rung.is_empty() {
                return Ok(Woken::Rung);
            }
            // psi.rst: POLLERR when the source is gone.
            if gauge.intersects(PollFlags::ERR | PollFlags::NVAL) {
                return Ok(Woken::Gone);
            }
            if self.kernel {
                if gauge.contains(PollFlags::PRI) {
                    return Ok(Woken::Pressed);
                }
                continue;
            }
            match self.discard() {
                Ok(true) => return Ok(Woken::Pressed),
                Ok(false) => {}
                Err(_) => return Ok(Woken::Gone),
            }
        }
    }

    /// Reads what is there; whether there was anything. An error at the end.
    fn discard(&self) -> io::Result<bool> {
        let mut some = false;
        loop {
            match rustix::io::read(&self.fd, &mut [0u8; 512]) {
                Ok(0) if some => return Ok(true),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => some = true,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(some),
                Err(_) if some => return Ok(true),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
