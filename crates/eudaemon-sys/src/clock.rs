//! What time it is, for those who may know.

use eudaemon_core::supervise::Now;
use eudaemon_core::time::{Mono, Wall};
use rustix::time::{ClockId, clock_gettime};

fn nanos(clock: ClockId) -> u64 {
    let at = clock_gettime(clock);
    let secs = u64::try_from(at.tv_sec).unwrap_or(0);
    secs.saturating_mul(1_000_000_000)
        .saturating_add(u64::try_from(at.tv_nsec).unwrap_or(0))
}

/// The monotonic clock. Source: `clock_gettime(2)`, `CLOCK_MONOTONIC`.
#[must_use]
pub fn mono() -> Mono {
    Mono(nanos(ClockId::Monotonic))
}

/// The wall clock. Source: `clock_gettime(2)`, `CLOCK_REALTIME`.
#[must_use]
pub fn wall() -> Wall {
    Wall(nanos(ClockId::Realtime))
}

/// The processor time all threads of this process have used, in the kernel and out of it. Source: `clock_gettime(2)`,
/// `CLOCK_PROCESS_CPUTIME_ID`.
#[must_use]
pub fn process_cpu() -> std::time::Duration {
    std::time::Duration::from_nanos(nanos(ClockId::ProcessCPUTime))
}

/// The time since the machine started, asleep or not. Source: `clock_gettime(2)`, `CLOCK_BOOTTIME`.
#[must_use]
pub fn since_boot() -> std::time::Duration {
    std::time::Duration::from_nanos(nanos(ClockId::Boottime))
}

/// What `/proc` counts a second in. Source: `sysconf(3)`, `_SC_CLK_TCK`.
#[must_use]
pub fn ticks_per_second() -> u64 {
    rustix::param::clock_ticks_per_second()
}

/// What `/proc` counts memory in: bytes of a page. Source: `sysconf(3)`, `_SC_PAGESIZE`.
#[must_use]
pub fn page_size() -> usize {
    rustix::param::page_size()
}

/// Both.
#[must_use]
pub fn now() -> Now {
    Now {
        mono: mono(),
        wall: wall(),
    }
}

/// Waits that long and hears nothing meanwhile. For a program that must try again what failed; never in a loop that others
/// wait for. A signal that is handled ends it early, and the retry then comes sooner, which harms nobody.
pub fn pause(length: std::time::Duration) {
    let timeout = rustix::time::Timespec {
        tv_sec: i64::try_from(length.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(length.subsec_nanos()),
    };
    let _ = rustix::event::poll(&mut [], Some(&timeout));
}
