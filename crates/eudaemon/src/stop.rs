//! Being told to stop, in whichever way a program waits.

use eudaemon_sys::wake::Wake;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Says once, and then for ever, that the service is to stop. Cheap to clone; every clone says the same.
#[derive(Clone, Debug)]
pub struct StopSignal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Until when the service may take, once it is to stop.
    deadline: Mutex<Option<Instant>>,
    changed: Condvar,
    /// Woken once and never cleared, so its descriptor can be read from then on.
    wake: Wake,
    #[cfg(feature = "tokio")]
    tasks: tokio::sync::watch::Sender<bool>,
}

impl StopSignal {
    pub(crate) fn new() -> io::Result<StopSignal> {
        Ok(StopSignal(Arc::new(Inner {
            deadline: Mutex::new(None),
            changed: Condvar::new(),
            wake: Wake::new()?,
            #[cfg(feature = "tokio")]
            tasks: tokio::sync::watch::Sender::new(false),
        })))
    }

    /// Says so. The first deadline stands.
    pub(crate) fn set(&self, deadline: Instant) {
        let mut slot = self.lock();
        slot.get_or_insert(deadline);
        drop(slot);
        self.0.wake.wake();
        self.0.changed.notify_all();
        #[cfg(feature = "tokio")]
        self.0.tasks.send_replace(true);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        // Nothing can panic while it is held.
        self.0
            .deadline
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the service is to stop.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.lock().is_some()
    }

    /// When the process ends whether the service is done or not. `None`: it is not to stop.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        *self.lock()
    }

    /// Waits until the service is to stop.
    pub fn wait(&self) {
        let mut slot = self.lock();
        while slot.is_none() {
            slot = self
                .0
                .changed
                .wait(slot)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until the service is to stop, or that long; whether it is to stop.
    #[must_use]
    pub fn wait_timeout(&self, most: Duration) -> bool {
        let slot = self.lock();
        let waited = self
            .0
            .changed
            .wait_timeout_while(slot, most, |slot| slot.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.is_some()
    }

    /// Is ready when the service is to stop.
    #[cfg(feature = "tokio")]
    pub async fn cancelled(&self) {
        let mut told = self.0.tasks.subscribe();
        // It fails only when the sender is gone, which is in `self`.
        let _ = told.wait_for(|is| *is).await;
    }
}

/// A descriptor that can be read from the moment the service is to stop, for a loop over descriptors. Do not read it.
impl AsFd for StopSignal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.wake.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_hears_it_and_the_first_deadline_stands() {
        let stop = StopSignal::new().expect("a descriptor is free");
        assert!(!stop.is_set() && !stop.wait_timeout(Duration::ZERO));
        let other = stop.clone();
        let waiter = std::thread::spawn(move || {
            other.wait();
            other.deadline()
        });
        let deadline = Instant::now() + Duration::from_secs(9);
        stop.set(deadline);
        stop.set(deadline + Duration::from_secs(9));
        assert_eq!(waiter.join().expect("it only waits"), Some(deadline));
        assert!(stop.is_set() && stop.wait_timeout(Duration::from_secs(9)));
    }
}
