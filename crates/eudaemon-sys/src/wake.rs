//! Waking a thread that waits for descriptors, from another one.

use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A descriptor that can be read once somebody called [`Wake::wake`], for a [`Poll`](crate::poll::Poll) beside others.
///
/// Source: `eventfd(2)`. Meant to be shared: put it in an `Arc`.
#[derive(Debug)]
pub struct Wake(OwnedFd);

impl Wake {
    /// One that nobody has called yet.
    ///
    /// # Errors
    /// Those of `eventfd(2)`: too many open files.
    pub fn new() -> io::Result<Wake> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Wake(eventfd(0, flags)?))
    }

    /// Wakes who waits, or will wait, until it has called [`Wake::clear`].
    pub fn wake(&self) {
        // It fails only with EAGAIN, if the counter is full: then it can be read already.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Forgets the calls up to now; whether there was one.
    pub fn clear(&self) -> bool {
        rustix::io::read(&self.0, &mut [0; 8]) == Ok(8)
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll::{Interest, Poll};

    #[test]
    fn many_calls_wake_once() {
        let wake = std::sync::Arc::new(Wake::new().expect("a descriptor is free"));
        let mut poll = Poll::new().expect("a descriptor is free");
        poll.add(&*wake, 7, Interest::Read).expect("it is open");
        let mut ready = Vec::new();
        let caller = std::sync::Arc::clone(&wake);
        let thread = std::thread::spawn(move || (0..3).for_each(|_| caller.wake()));
        let now = crate::clock::mono();
        poll.wait(now, None, &mut ready).expect("it is open");
        assert_eq!(ready.first().map(|ready| ready.token), Some(7));
        thread.join().expect("it only calls");
        assert!(wake.clear());
        assert!(!wake.clear());
        ready.clear();
        poll.wait(now, Some(now), &mut ready).expect("it is open");
        assert_eq!(ready, []);
    }
}
