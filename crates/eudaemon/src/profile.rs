//! A CPU profile of this very process, in the form `go tool pprof` reads.
//!
//! ```
//! use eudaemon::profile::Profile;
//!
//! let profile = Profile::start(100)?;
//! // … what is to be looked at …
//! std::fs::write("/dev/null", profile.stop()?)?;
//! # Ok::<(), eudaemon::profile::ProfileError>(())
//! ```
//!
//! Stacks are followed by frame pointers alone, which is what a signal handler may do: build with
//! `RUSTFLAGS="-C force-frame-pointers=yes"`, or samples show only the function they were in. Function names are taken from the
//! program's own symbol table; of a stripped one pprof is given addresses, mappings and the build id, and asks the
//! unstripped file. Why so: `docs/decisions/0010-a-profile-by-frame-pointers.md`.
//!
//! Linux on x86-64 and aarch64. One profile at a time. The time of threads that block SIGPROF is shown
//! as that of others, and the profile says how many there are; system calls that `signal(7)`
//! says are never restarted may end with EINTR while it runs. A profile must have ended before this process executes another program
//! in its place: the timer outlives `execve`.

mod mapped;
mod target;

pub use target::{Recording, Target, TargetError};

use eudaemon_core::pprof;
use eudaemon_sys::profile::{Sampler, Taken};
use mapped::Own;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Samples a second if nothing else is asked for. pprof's own customary number.
pub const HZ: u32 = 100;
/// The most that can be asked for. The kernel's tick may allow less: 100 to 1000 a second.
pub const HZ_MAX: u32 = 1000;
/// How often samples are collected from the handler. Its store holds two seconds of the most there are.
const COLLECT: Duration = Duration::from_millis(200);
/// Most different stacks that are told apart; what comes then is counted as lost.
const STACKS_MAX: usize = 100_000;

/// Why there is no profile.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProfileError {
    /// The rate is not 1 to [`HZ_MAX`].
    Rate(u32),
    /// Another profile is being taken.
    Busy,
    /// Something else in this process handles SIGPROF.
    Taken,
    /// The system refused: `/proc` is not there or closed to us, a filter forbids the timer, or this processor is not supported
    /// (`ErrorKind::Unsupported`).
    System(io::Error),
    /// The thread that collects the samples is gone; it panicked.
    Collector,
}

impl fmt::Display for ProfileError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProfileError::Rate(hz) => {
                write!(to, "{hz} samples a second are not 1 to {HZ_MAX}")
            }
            ProfileError::Busy => to.write_str("a profile is already being taken"),
            ProfileError::Taken => to.write_str("SIGPROF is already handled by something else"),
            ProfileError::System(_) => to.write_str("unable to take a profile"),
            ProfileError::Collector => to.write_str("the profile was lost by a panic"),
        }
    }
}

impl std::error::Error for ProfileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ProfileError::System(error) => Some(error),
            ProfileError::Rate(_)
            | ProfileError::Busy
            | ProfileError::Taken
            | ProfileError::Collector => None,
        }
    }
}

impl From<io::Error> for ProfileError {
    fn from(error: io::Error) -> ProfileError {
        // `ErrorKind` is not ours, and grows.
        #[allow(clippy::wildcard_enum_match_arm)]
        match error.kind() {
            io::ErrorKind::WouldBlock => ProfileError::Busy,
            io::ErrorKind::ResourceBusy => ProfileError::Taken,
            _ => ProfileError::System(error),
        }
    }
}

/// A profile being taken. Dropping it ends it and throws away what there is.
pub struct Profile {
    end: Arc<End>,
    collector: Option<JoinHandle<io::Result<pprof::Profile>>>,
    own: Own,
}

#[derive(Default)]
struct End {
    is_due: Mutex<bool>,
    changed: Condvar,
}

impl Profile {
    /// Begins, with so many samples in each second of processor time. It starts one thread.
    ///
    /// # Errors
    /// [`ProfileError`]; after a `chroot` without `/proc` that is what is told, and [`Target::open`] before it is the way.
    pub fn start(hz: u32) -> Result<Profile, ProfileError> {
        let own = Own::open();
        Profile::with(hz, File::open("/proc/self/maps")?, own)
    }

    fn with(hz: u32, maps: File, own: Own) -> Result<Profile, ProfileError> {
        if !(1..=HZ_MAX).contains(&hz) {
            return Err(ProfileError::Rate(hz));
        }
        let period = Duration::from_secs(1) / hz;
        let sampler = Sampler::start(maps, period)?;
        let end = Arc::new(End::default());
        let until = end.clone();
        let collector = std::thread::Builder::new()
            .name("eud-profile".to_owned())
            .spawn(move || collect(sampler, period, &until))?;
        Ok(Profile {
            end,
            collector: Some(collector),
            own,
        })
    }

    fn end(&mut self) -> Result<pprof::Profile, ProfileError> {
        *self
            .end
            .is_due
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = true;
        self.end.changed.notify_all();
        let collector = self.collector.take().ok_or(ProfileError::Collector)?;
        let profile = collector.join().map_err(|_| ProfileError::Collector)?;
        Ok(profile?)
    }

    /// Ends it: the bytes of a `.pb.gz` file.
    ///
    /// # Errors
    /// `/proc/self/maps` could not be read any more.
    pub fn stop(mut self) -> Result<Vec<u8>, ProfileError> {
        let mut profile = self.end()?;
        let names = self.own.describe(&mut profile);
        Ok(pprof::gzip(&profile.encode(names)))
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        if self.collector.is_some() {
            let _ = self.end();
        }
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Profile").finish_non_exhaustive()
    }
}

/// The thread that empties the handler's store, until the end.
fn collect(mut sampler: Sampler, period: Duration, end: &End) -> io::Result<pprof::Profile> {
    let (began, clock) = (SystemTime::now(), Instant::now());
    let mut stacks: BTreeMap<Vec<usize>, u64> = BTreeMap::new();
    let mut crowded = 0_u64;
    let mut is_due = end.is_due.lock().unwrap_or_else(PoisonError::into_inner);
    let (taken, cpu) = loop {
        let ends = *is_due;
        drop(is_due);
        if ends {
            sampler.stop();
        }
        let cpu = sampler.cpu();
        let taken = sampler.drain(|stack| {
            if let Some(seen) = stacks.get_mut(stack) {
                *seen += 1;
            } else if stacks.len() < STACKS_MAX {
                stacks.insert(stack.to_vec(), 1);
            } else {
                crowded += 1;
            }
        })?;
        if ends {
            break (taken, cpu);
        }
        is_due = end.is_due.lock().unwrap_or_else(PoisonError::into_inner);
        if !*is_due {
            let woken = end.changed.wait_timeout(is_due, COLLECT);
            is_due = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    };
    Ok(pprof::Profile {
        mappings: mapped::code(&sampler.maps()?),
        stacks,
        cpu,
        began: began.duration_since(UNIX_EPOCH).unwrap_or_default(),
        took: clock.elapsed(),
        period,
        comments: remarks(&taken, crowded),
    })
}

/// How many threads block SIGPROF now. Source: `proc_pid_status(5)`, `SigBlk`.
fn deaf_threads() -> u64 {
    /// Signal 27 is the 27th bit from below.
    const PROF: u64 = 1 << 26;
    let is_deaf = |path: std::path::PathBuf| {
        let status = std::fs::read_to_string(path.join("status")).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("SigBlk:"))?;
        let mask = u64::from_str_radix(line.trim(), 16).ok()?;
        (mask & PROF != 0).then_some(())
    };
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    threads
        .filter_map(|thread| is_deaf(thread.ok()?.path()))
        .count() as u64
}

fn remarks(taken: &Taken, crowded: u64) -> Vec<String> {
    let rows = [
        (
            deaf_threads(),
            "threads block SIGPROF; their time is shown as that of others",
        ),
        (taken.dropped + crowded, "samples lost for want of room"),
        (
            taken.strangers,
            "samples of stacks not known yet, with one frame",
        ),
    ];
    let told = rows.iter().filter(|(count, _)| *count > 0);
    told.map(|(count, what)| format!("{count} {what}"))
        .collect()
}
