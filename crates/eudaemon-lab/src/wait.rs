//! Waiting: the one loop that waits for a condition, and the one thread that waits for children.
//!
//! Daemons leave their parents, so a judge is a subreaper: whatever it started, directly or not, becomes its child in
//! the end, and is reaped here. One thread reaps for the whole test process; `std`'s own `wait` is never used.

use rustix::process::{Pid, WaitOptions, set_child_subreaper, wait};
use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long a judge waits for what must happen: a busy machine ten times slower than a developer's has done it by then.
/// Only what is wrong takes this long.
pub const SOON: Duration = Duration::from_secs(100);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By `exit`, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// Waits until `seen` is true, at most `limit`; says whether it became true.
pub fn until(limit: Duration, mut seen: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if seen() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        let nap = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 4_000_000,
        };
        // A poll without descriptors only ends by its timeout or by a signal; both lead to another look.
        let _timeout_or_signal = rustix::event::poll(&mut [], Some(&nap));
    }
}

#[derive(Default)]
struct Ended {
    exits: Mutex<HashMap<i32, Exit>>,
    changed: Condvar,
}

fn ended() -> MutexGuard<'static, HashMap<i32, Exit>> {
    // A judge that panicked while holding the map leaves it usable: it only ever inserts or removes whole entries.
    book().exits.lock().unwrap_or_else(PoisonError::into_inner)
}

fn book() -> &'static Ended {
    static BOOK: OnceLock<&'static Ended> = OnceLock::new();
    BOOK.get_or_init(|| {
        let book: &'static Ended = Box::leak(Box::default());
        // Without this a daemon's orphans go to the machine's init, which may never reap them.
        set_child_subreaper(Some(rustix::process::getpid()))
            .expect("prctl(PR_SET_CHILD_SUBREAPER) takes no argument");
        std::thread::spawn(move || reap(book));
        book
    })
}

/// Makes this process the reaper of everything it starts.
fn begin() {
    let _book = book();
}

fn reap(book: &'static Ended) {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) => {
                let exit = match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => Exit::Code(code),
                    (None, Some(signal)) => Exit::Signal(signal),
                    (None, None) => continue,
                };
                let mut exits = book.exits.lock().unwrap_or_else(PoisonError::into_inner);
                exits.insert(pid.as_raw_nonzero().get(), exit);
                book.changed.notify_all();
            }
            Ok(None) => {}
            // No children at all: then no descendants either, until the next start.
            Err(_) => {
                let exits = book.exits.lock().unwrap_or_else(PoisonError::into_inner);
                let _woken = book.changed.wait_timeout(exits, Duration::from_millis(5));
            }
        }
    }
}

/// Runs `start`, which starts a child and returns its pid, and forgets what an earlier process of that pid left here.
pub(crate) fn child<E>(start: impl FnOnce() -> Result<i32, E>) -> Result<i32, E> {
    begin();
    // While we hold the map the reaper cannot record, so whatever is under the new pid now is old.
    let mut exits = ended();
    let pid = start()?;
    exits.remove(&pid);
    Ok(pid)
}

/// Waits for our child `pid`, at most `limit`.
pub(crate) fn exit_of(pid: i32, limit: Duration) -> Option<Exit> {
    let end = Instant::now() + limit;
    let mut exits = ended();
    loop {
        if let Some(exit) = exits.get(&pid) {
            return Some(*exit);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        exits = book()
            .changed
            .wait_timeout(exits, left)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
    }
}

/// The pid as rustix wants it.
pub(crate) fn pid_of(raw: i32) -> Option<Pid> {
    Pid::from_raw(raw)
}

/// Whether a process has heard all its signals and waits again.
#[must_use]
pub fn asleep(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let says = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        line.map(|line| line.trim().to_owned()).unwrap_or_default()
    };
    says("State:").starts_with('S')
        && ["SigPnd:", "ShdPnd:"]
            .iter()
            .all(|field| says(field).bytes().all(|b| b == b'0'))
}
