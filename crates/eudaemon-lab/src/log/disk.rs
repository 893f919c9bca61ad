//! A full disk: a small tmpfs in a mount namespace of its own, filled by the logger and freed by the judge.
//!
//! A process holds the namespace; the logger and the judge reach the disk through its `/proc/PID/root`, so the disk outlives
//! every logger.

use super::line::Tally;
use super::logger::{Logger, Shape};
use super::pipe::Pipe;
use crate::wait::{Exit, until};
use crate::{Running, Signal, World};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the disk stays full before anything else is done.
const FULL: Duration = Duration::from_millis(1500);
/// How long a logger gets to end by TERM while the disk is full.
const TERM_LIMIT: Duration = Duration::from_secs(3);
/// How long it gets to go on when there is space again.
const RESUME_LIMIT: Duration = Duration::from_secs(20);
const SIZE: u32 = 16_384;
/// How many lines there are at most, for those who take them without a place for them: some 8 MB.
const LINES: u64 = 100_000;

/// What befalls the logger while the disk is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhileFull {
    /// Nothing.
    Nothing,
    /// SIGKILL.
    Kill,
    /// TERM; SIGKILL if it has not ended after three seconds.
    Term,
}

/// What came of it.
#[derive(Debug)]
pub struct FullDisk {
    /// Lines, when all was over.
    pub tally: Tally,
    /// The most memory it ever had, in KiB, looked at while the disk was full.
    pub memory_kib: u64,
    /// From TERM to its end; `None` if it did not end.
    pub term: Option<Duration>,
    /// From the moment there was space until the pipe was read again; `None` if it was not.
    pub resume: Option<Duration>,
    /// What it said.
    pub said: Vec<String>,
}

/// A tmpfs in a mount namespace of its own.
#[derive(Debug)]
pub struct SmallDisk {
    /// Where it can be reached from here.
    pub path: PathBuf,
    holder: Running,
}

impl SmallDisk {
    /// Mounts a tmpfs of `kib` KiB over the world's directory `dir`, for whoever comes through [`SmallDisk::path`].
    ///
    /// # Panics
    /// When mounting is not allowed.
    #[must_use]
    pub fn mount(world: &World, dir: &str, kib: u32) -> SmallDisk {
        fs::create_dir_all(world.path(dir)).expect("a directory");
        let script = format!(
            "mount -t tmpfs -o size={kib}k,mode=0700 none {dir} && echo ready && exec sleep 1000"
        );
        let arguments = ["--mount", "--propagation", "private", "sh", "-c", &script];
        let nothing = fs::File::open("/dev/null").expect("a null device").into();
        let holder = world.start_on(Path::new("/usr/bin/unshare"), &arguments, nothing);
        let ready = until(Duration::from_secs(10), || holder.out() == "ready\n");
        assert!(ready, "no tmpfs: {}", holder.err());
        let root = PathBuf::from(format!("/proc/{}/root", holder.pid));
        let inside = world.path(dir);
        let inside = inside.strip_prefix("/").expect("an absolute path");
        SmallDisk {
            path: root.join(inside),
            holder,
        }
    }

    /// How many bytes still fit.
    ///
    /// # Panics
    /// When it is gone.
    #[must_use]
    pub fn free(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.path).expect("the disk");
        stat.f_bavail * stat.f_frsize
    }

    /// Fills it with a file `ballast`, up to `left` bytes.
    ///
    /// # Panics
    /// When it is gone.
    pub fn fill(&self, left: u64) {
        let ballast = usize::try_from(self.free() - left).unwrap_or_default();
        fs::write(self.path.join("ballast"), vec![0; ballast]).expect("a file that fits");
    }

    /// Removes what [`SmallDisk::fill`] wrote.
    ///
    /// # Panics
    /// When it was not there.
    pub fn relieve(&self) {
        fs::remove_file(self.path.join("ballast")).expect("the ballast");
    }

    /// Mounts it anew with these options, read-only perhaps.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn remount(&self, world: &World, options: &str) {
        let pid = self.holder.pid.to_string();
        let remount = format!("remount,{options}");
        let inside = self
            .path
            .strip_prefix(format!("/proc/{pid}/root"))
            .expect("our path");
        let inside = Path::new("/").join(inside).display().to_string();
        let words = ["-t", &pid, "-m", "mount", "-o", &remount, &inside];
        let nothing = fs::File::open("/dev/null").expect("a null device").into();
        let done = world.start_on(Path::new("/usr/bin/nsenter"), &words, nothing);
        let exit = done.exit(Duration::from_secs(10));
        assert_eq!(exit, Some(Exit::Code(0)), "{}", done.err());
    }
}

/// Fills the disk with log lines, lets something befall the logger, makes space, and counts.
///
/// # Panics
/// When mounting is not allowed.
#[must_use]
pub fn full_disk(logger: &Logger, befalls: WhileFull) -> FullDisk {
    let world = World::new("full");
    let disk = SmallDisk::mount(&world, "a", 64 * 1024);
    let home = disk.path.parent().expect("a parent").to_owned();
    logger.prepare(&home, Shape::Plain, SIZE);
    disk.fill(100_000);
    let arguments = logger.arguments(Shape::Plain, SIZE);
    let mut pipe = Pipe::new();
    let feeder = pipe.flood(1, LINES);
    let start = || world.start_at(&logger.program, &arguments, &home, pipe.reader());
    let mut running = start();
    let mut said = Vec::new();
    let full = until(Duration::from_secs(20), || disk.free() < 4096);
    assert!(full, "the disk does not fill: {}", running.err());
    let since = Instant::now();
    until(FULL + Duration::from_secs(1), || since.elapsed() >= FULL);
    let memory_kib = memory_kib(running.pid);
    let mut term = None;
    let signal = match befalls {
        WhileFull::Nothing => None,
        WhileFull::Kill => Some(Signal::KILL),
        WhileFull::Term => Some(Signal::TERM),
    };
    if let Some(signal) = signal {
        let begin = Instant::now();
        world.signal(running.pid, signal);
        if running.exit(TERM_LIMIT).is_some() {
            term = (signal == Signal::TERM).then(|| begin.elapsed());
        } else {
            world.signal(running.pid, Signal::KILL);
        }
        let _killed = running.exit(TERM_LIMIT);
        said.extend(running.forget().lines().map(str::to_owned));
        running = start();
        // A new one may find that it cannot even start.
        let _ended = running.exit(Duration::from_millis(300));
    }
    let before = pipe.waiting();
    disk.relieve();
    let begin = Instant::now();
    // Whoever could not start is started again, as a supervisor would.
    let resumed = until(RESUME_LIMIT, || {
        if running
            .exit(Duration::ZERO)
            .is_some_and(|exit| exit != Exit::Code(0))
        {
            said.extend(running.forget().lines().map(str::to_owned));
            running = start();
        }
        pipe.waiting() < before || before == 0
    });
    let resume = resumed.then(|| begin.elapsed());
    feeder.stop();
    let lines = feeder.lines(RESUME_LIMIT);
    let exit = running.exit(RESUME_LIMIT);
    if exit != Some(Exit::Code(0)) {
        said.push(format!("at last it ended with {exit:?}"));
    }
    said.extend(running.forget().lines().map(str::to_owned));
    let mut tally = Tally::new(false, false);
    for file in logger.files(&disk.path) {
        tally.take(&fs::read(file).expect("a log file"));
    }
    tally.end(lines);
    FullDisk {
        tally,
        memory_kib,
        term,
        resume,
        said,
    }
}

/// The most memory a process has had, in KiB. Source: proc(5), VmHWM.
#[must_use]
pub fn memory_kib(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or_default()
}
