//! The thread that tells the manager.

use super::Board;
use eudaemon_core::health::{Act, Patience, Watchdog};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// What the manager is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Say<'a> {
    /// `WATCHDOG=1`: it lives.
    Ping,
    /// `STATUS=` with this reason and `WATCHDOG=trigger`: it does not, and need not be waited for.
    Trigger(&'a str),
}

/// The manager is being told, until this is dropped.
pub struct Watching {
    board: Arc<Board>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watching {
    pub(super) fn start<F>(
        board: Arc<Board>,
        interval: Duration,
        patience: Patience,
        mut say: F,
    ) -> io::Result<Watching>
    where
        F: FnMut(Say<'_>) + Send + 'static,
    {
        let ended = Arc::new(AtomicBool::new(false));
        let (of_thread, at_end) = (board.clone(), ended.clone());
        let thread = std::thread::Builder::new()
            .name("eud-watchdog".to_owned())
            .spawn(move || {
                let mut dog = Watchdog::new(interval, patience);
                while !at_end.load(Ordering::Acquire) {
                    turn(&of_thread, &mut dog, &at_end, &mut say);
                }
            })?;
        Ok(Watching {
            board,
            ended,
            thread: Some(thread),
        })
    }
}

/// One look at the leases, what follows from it, and the wait for the next.
fn turn(board: &Board, dog: &mut Watchdog, ended: &AtomicBool, say: &mut dyn FnMut(Say<'_>)) {
    let now = eudaemon_sys::clock::mono();
    let step = dog.step(now, board.expiry());
    match step.act {
        Some(Act::Ping) => say(Say::Ping),
        Some(Act::Trigger) => say(Say::Trigger(&board.verdict(now).to_string())),
        None => {}
    }
    let kept = board.lock();
    let left = step.next.since(eudaemon_sys::clock::mono());
    if !left.is_zero() && !ended.load(Ordering::Acquire) {
        let woken = board.changed.wait_timeout(kept, left);
        drop(woken.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        {
            // Under the lock, so that the thread is either before its look at the flag or in its wait.
            let _kept = self.board.lock();
            self.ended.store(true, Ordering::Release);
        }
        self.board.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It panicked if `say` did, which has been told by then.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Watching {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Watching").finish_non_exhaustive()
    }
}
