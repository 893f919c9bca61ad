//! One wait for everything: descriptors until a moment.

use eudaemon_core::time::Mono;
use rustix::event::epoll;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// What a descriptor is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// It can be read, or its other end is gone.
    Read,
    /// It can be read or written.
    ReadWrite,
    /// It can be written.
    Write,
    /// Only that its other end is gone.
    Gone,
}

/// A descriptor that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The token it was added with.
    pub token: u64,
    /// It can be written.
    pub writable: bool,
    /// Its other end is gone, or it is in error.
    pub hung_up: bool,
}

/// A set of descriptors to wait for. Level-triggered. Source: `epoll(7)`.
pub struct Poll {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

// SAFETY: what keeps it from being `Send` is the pointer in rustix's union of event data, in which we only ever put numbers; the
// descriptor and the buffer belong to it alone.
unsafe impl Send for Poll {}

fn flags(interest: Interest) -> epoll::EventFlags {
    match interest {
        Interest::Read => epoll::EventFlags::IN,
        Interest::ReadWrite => epoll::EventFlags::IN | epoll::EventFlags::OUT,
        Interest::Write => epoll::EventFlags::OUT,
        // HUP and ERR are told always (epoll_ctl(2)).
        Interest::Gone => epoll::EventFlags::empty(),
    }
}

impl std::fmt::Debug for Poll {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Poll")
            .field("epoll", &self.epoll)
            .finish_non_exhaustive()
    }
}

impl Poll {
    /// An empty set.
    pub fn new() -> io::Result<Poll> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Poll {
            epoll,
            events: Vec::with_capacity(64),
        })
    }
    /// Waits for `fd` too, which is told as `token`.
    pub fn add(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(
            &self.epoll,
            fd,
            epoll::EventData::new_u64(token),
            flags(interest),
        )?)
    }
    /// Waits for something else on `fd`.
    pub fn modify(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::modify(
            &self.epoll,
            fd,
            epoll::EventData::new_u64(token),
            flags(interest),
        )?)
    }
    /// No longer waits for `fd`.
    pub fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, fd)?)
    }
    /// Waits until something is ready or `until` has come (`None`: for ever), and appends what is ready to `out`.
    /// An interrupted wait returns with nothing.
    pub fn wait(&mut self, now: Mono, until: Option<Mono>, out: &mut Vec<Ready>) -> io::Result<()> {
        let timeout = until.map(|until| {
            let left = until.since(now);
            rustix::time::Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        });
        self.events.clear();
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut self.events),
            timeout.as_ref(),
        ) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        for event in &self.events {
            let flags = event.flags;
            out.push(Ready {
                token: event.data.u64(),
                writable: flags.contains(epoll::EventFlags::OUT),
                hung_up: flags.intersects(epoll::EventFlags::HUP | epoll::EventFlags::ERR),
            });
        }
        Ok(())
    }
}
