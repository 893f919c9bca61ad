//! The thread that asks the checks, and its replacement when one of them hangs.

use super::{Board, Post};
use eudaemon_core::time::Mono;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

pub(super) type Probe = Box<dyn FnMut() -> Result<(), String> + Send>;

/// The checks, and who asks them.
#[derive(Default)]
pub(super) struct Rounds {
    checks: Vec<Scheduled>,
    /// The number of the thread that asks; 0 when there is none. One with another number leaves.
    prober: u64,
    /// Which check it is in, and since when.
    inside: Option<(usize, Mono)>,
}

struct Scheduled {
    post: Arc<Post>,
    every: Duration,
    due: Mono,
    /// Away while it is being asked.
    probe: Option<Probe>,
}

pub(super) fn add(
    board: &Arc<Board>,
    post: Arc<Post>,
    every: Duration,
    probe: Probe,
) -> io::Result<()> {
    let mut kept = board.lock();
    if kept.rounds.prober == 0 {
        // It blocks on the lock we hold until the check is there.
        spawn(board, 1)?;
        kept.rounds.prober = 1;
    }
    kept.posts.push(post.clone());
    kept.rounds.checks.push(Scheduled {
        due: post.at(),
        post,
        every,
        probe: Some(probe),
    });
    board.changed.notify_all();
    Ok(())
}

/// Leaves a hanging check to the thread that is in it, and gives the others to a new one. A thread that cannot be started is
/// tried again at the next verdict.
pub(super) fn relieve(board: &Arc<Board>, now: Mono) {
    let mut kept = board.lock();
    let Some((index, since)) = kept.rounds.inside else {
        return;
    };
    let allowed = kept.rounds.checks[index].post.within;
    if kept.closed || now.since(since) <= allowed || kept.rounds.checks.len() < 2 {
        return;
    }
    let next = kept.rounds.prober + 1;
    if spawn(board, next).is_ok() {
        kept.rounds.prober = next;
        kept.rounds.inside = None;
    }
}

fn spawn(board: &Arc<Board>, number: u64) -> io::Result<()> {
    let board = board.clone();
    std::thread::Builder::new()
        .name("eud-health".to_owned())
        .spawn(move || rounds(&board, number))?;
    Ok(())
}

fn rounds(board: &Board, number: u64) {
    let mut kept = board.lock();
    loop {
        if kept.closed || kept.rounds.prober != number {
            return;
        }
        let now = eudaemon_sys::clock::mono();
        let next = kept.rounds.checks.iter_mut().enumerate();
        let next = next
            .filter(|(_, check)| check.probe.is_some())
            .min_by_key(|(_, check)| check.due);
        let Some((index, check)) = next else {
            kept = board
                .changed
                .wait(kept)
                .unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        let left = check.due.since(now);
        if !left.is_zero() {
            let woken = board.changed.wait_timeout(kept, left);
            kept = woken.unwrap_or_else(PoisonError::into_inner).0;
            continue;
        }
        let post = check.post.clone();
        let Some(mut probe) = check.probe.take() else {
            continue;
        };
        kept.rounds.inside = Some((index, now));
        drop(kept);
        let answer = catch_unwind(AssertUnwindSafe(&mut probe))
            .unwrap_or_else(|_| Err("the check panicked".to_owned()));
        post.answered(answer);
        kept = board.lock();
        if kept.rounds.prober == number {
            kept.rounds.inside = None;
        }
        let check = &mut kept.rounds.checks[index];
        check.due = eudaemon_sys::clock::mono() + check.every;
        check.probe = Some(probe);
        // A check that hung is the new thread's again.
        board.changed.notify_all();
    }
}
