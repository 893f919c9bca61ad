//! One tree of trivial services under one subject, and what the services tell of themselves.

use super::process;
use super::subject::{Kind, Subject};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::process::Signal;
use rustix::time::{ClockId, Timespec, clock_gettime};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// What each service's `run` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// The static program itself.
    Direct,
    /// A shell script that executes it, as people write them.
    Script,
}

/// What is known of one service by its own words.
#[derive(Debug, Default)]
pub struct Service {
    /// Every pid it has had, the last last.
    pub pids: Vec<i32>,
    /// When it last started, in nanoseconds of CLOCK_MONOTONIC.
    pub started_ns: u64,
    /// How many HUPs it has heard.
    pub hups: usize,
    /// When it heard the last.
    pub hup_ns: u64,
}

/// A running tree. Everything it started ends when it is dropped.
#[derive(Debug)]
pub struct Tree<'a> {
    subject: &'a Subject,
    pause: &'a Path,
    run: Run,
    top: PathBuf,
    /// The scan directory.
    pub scan: PathBuf,
    events: OwnedFd,
    rest: Vec<u8>,
    ending: bool,
    /// The services that have spoken.
    pub services: BTreeMap<String, Service>,
    root: Option<Child>,
    bare: Vec<Child>,
}

/// CLOCK_MONOTONIC, as the services read it.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// The name of service `at`. At most 15 bytes fit into an event.
pub fn name(at: usize) -> String {
    format!("s{at:05}")
}

impl<'a> Tree<'a> {
    /// Writes the service directories; nothing runs yet.
    pub fn plant(
        subject: &'a Subject,
        pause: &'a Path,
        scratch: &Path,
        run: Run,
        services: usize,
    ) -> Result<Tree<'a>, String> {
        let top = scratch.join(format!("{}-{}", subject.name, now_ns()));
        let scan = top.join("service");
        fs::create_dir_all(&scan)
            .map_err(|why| format!("unable to create {}: {why}", scan.display()))?;
        let fifo = scan.join(".events");
        let events = rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0)
            .and_then(|()| {
                rustix::fs::open(
                    &fifo,
                    OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC,
                    Mode::empty(),
                )
            })
            .map_err(|why| format!("unable to create {}: {why}", fifo.display()))?;
        // A start of all must fit: nobody reads while the bench itself forks.
        rustix::pipe::fcntl_setpipe_size(&events, 1 << 20)
            .map_err(|why| format!("unable to enlarge a FIFO: {why}"))?;
        let tree = Tree {
            subject,
            pause,
            run,
            top,
            scan,
            events,
            rest: Vec::new(),
            ending: false,
            services: BTreeMap::new(),
            root: None,
            bare: Vec::new(),
        };
        for at in 0..services {
            tree.service(&tree.scan.join(name(at)))
                .map_err(|why| format!("unable to write a service: {why}"))?;
        }
        // runsvdir waits a second when the directory changed in the second it looks: let it be older.
        File::open(&tree.scan)
            .and_then(|dir| dir.set_modified(SystemTime::now() - Duration::from_secs(60)))
            .map_err(|why| format!("unable to date {}: {why}", tree.scan.display()))?;
        Ok(tree)
    }

    /// Writes one service directory.
    pub fn service(&self, dir: &Path) -> std::io::Result<()> {
        fs::create_dir(dir)?;
        let run = dir.join("run");
        match self.run {
            Run::Direct => {
                fs::hard_link(self.pause, &run).or_else(|_| fs::copy(self.pause, &run).map(drop))
            }
            Run::Script => {
                fs::write(&run, format!("#!/bin/sh\nexec {}\n", self.pause.display()))?;
                fs::set_permissions(&run, fs::Permissions::from_mode(0o755))
            }
        }
    }

    /// The pid of the scanner that was started last.
    pub fn root(&self) -> Option<i32> {
        self.root
            .as_ref()
            .and_then(|root| i32::try_from(root.id()).ok())
    }

    /// The directories of the first `count` services.
    pub fn dirs(&self, count: usize) -> Vec<PathBuf> {
        (0..count).map(|at| self.scan.join(name(at))).collect()
    }

    /// Starts it and waits until `services` have spoken; answers with the time from before the start to the last one's word.
    pub fn start(&mut self, services: usize) -> Result<Duration, String> {
        let begin = now_ns();
        if self.subject.kind == Kind::Bare {
            for dir in self.dirs(services) {
                let child = Command::new(dir.join("run"))
                    .current_dir(&dir)
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .spawn();
                self.bare
                    .push(child.map_err(|why| format!("unable to run a service: {why}"))?);
            }
        } else {
            let out = File::create(self.top.join("out"))
                .map_err(|why| format!("unable to create a file for messages: {why}"))?;
            let err = out
                .try_clone()
                .map_err(|why| format!("unable to copy a descriptor: {why}"))?;
            let mut command = self.subject.start(&self.scan, services);
            command
                .current_dir(&self.top)
                .stdin(Stdio::null())
                .stdout(out)
                .stderr(err);
            self.root = Some(
                command
                    .spawn()
                    .map_err(|why| format!("unable to run {:?}: {why}", command.get_program()))?,
            );
        }
        if !self.until(Duration::from_secs(120), |tree| {
            tree.services.len() >= services
        }) {
            let said = fs::read_to_string(self.top.join("out")).unwrap_or_default();
            let said = said.lines().next().unwrap_or("it said nothing");
            return Err(format!(
                "{}: {} of {services} services came up: {said}",
                self.subject.name,
                self.services.len()
            ));
        }
        let last = self
            .services
            .values()
            .map(|service| service.started_ns)
            .max()
            .unwrap_or(begin);
        Ok(Duration::from_nanos(last.saturating_sub(begin)))
    }

    /// Adds a service directory in one rename, tells those who must be told, and answers with the time until it spoke.
    pub fn add(&mut self, name: &str) -> Option<Duration> {
        let aside = self.top.join(name);
        self.service(&aside).ok()?;
        let begin = now_ns();
        fs::rename(&aside, self.scan.join(name)).ok()?;
        if let Some(mut announce) = self.subject.announce(&self.scan) {
            announce.status().ok()?;
        }
        let seen = self.until(Duration::from_secs(20), |tree| {
            tree.services.contains_key(name)
        });
        let started = self.services.get(name)?.started_ns;
        seen.then(|| Duration::from_nanos(started.saturating_sub(begin)))
    }

    /// Reads events for at most `limit`, until `done`; answers whether it was. The only place that waits.
    pub fn until(&mut self, limit: Duration, mut done: impl FnMut(&Tree<'_>) -> bool) -> bool {
        let end = Instant::now() + limit;
        loop {
            if done(self) {
                return true;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            self.pump(left.min(Duration::from_millis(200)));
        }
    }

    /// Lets time pass and hears what is told.
    pub fn rest(&mut self, time: Duration) {
        self.until(time, |_| false);
    }

    /// Waits at most `limit` for events and takes them in. When the one who waits for this worker has gone, it ends all and leaves.
    pub fn pump(&mut self, limit: Duration) {
        let wait = Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(0),
            tv_nsec: i64::from(limit.subsec_nanos()),
        };
        let stdin = std::io::stdin();
        let mut fds = [
            PollFd::new(&self.events, PollFlags::IN),
            PollFd::new(&stdin, PollFlags::empty()),
        ];
        // Once it ends it would hear of that for ever.
        let heard = if self.ending { 1 } else { 2 };
        let told = poll(&mut fds[..heard], Some(&wait));
        if fds[1].revents().contains(PollFlags::HUP) {
            self.end();
            std::process::exit(130);
        }
        if !matches!(told, Ok(1..)) {
            return;
        }
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = rustix::io::read(&self.events, &mut buffer) {
            self.rest.extend_from_slice(&buffer[..count]);
        }
        let whole = self.rest.len() / EVENT * EVENT;
        for event in self
            .rest
            .drain(..whole)
            .collect::<Vec<u8>>()
            .chunks_exact(EVENT)
        {
            hear(&mut self.services, event);
        }
    }

    /// The last pid of a service; 0 if it has not spoken.
    pub fn pid(&self, name: &str) -> i32 {
        let service = self.services.get(name);
        service
            .and_then(|service| service.pids.last().copied())
            .unwrap_or(0)
    }

    /// The pids that every service has or had.
    pub fn pids(&self) -> BTreeSet<i32> {
        self.services
            .values()
            .flat_map(|service| service.pids.iter().copied())
            .collect()
    }
}

/// Size of `struct event` in `pause.c`.
const EVENT: usize = 32;

fn hear(services: &mut BTreeMap<String, Service>, event: &[u8]) {
    let (Some((kind, rest)), name) = (event.split_first_chunk::<4>(), &event[16..]) else {
        return;
    };
    let (Some((pid, rest)), kind) = (rest.split_first_chunk::<4>(), u32::from_ne_bytes(*kind))
    else {
        return;
    };
    let Some((ns, _)) = rest.split_first_chunk::<8>() else {
        return;
    };
    let name = String::from_utf8_lossy(name)
        .trim_end_matches('\0')
        .to_owned();
    let service = services.entry(name).or_default();
    let ns = u64::from_ne_bytes(*ns);
    if kind == u32::from(b'S') {
        service.pids.push(i32::from_ne_bytes(*pid));
        service.started_ns = ns;
    } else {
        service.hups += 1;
        service.hup_ns = ns;
    }
}

impl Tree<'_> {
    /// Asks politely where asking works, so that what is kept outside the tree is cleared away; then stops everything before it
    /// kills anything, or supervisors would start again what we kill.
    fn end(&mut self) {
        self.ending = true;
        let polite = match self.subject.kind {
            Kind::Ours | Kind::S6 => Some(Signal::TERM),
            Kind::Runit => Some(Signal::HUP),
            Kind::Daemontools | Kind::Bare => None,
        };
        if let (Some(polite), Some(root)) = (polite, &self.root) {
            process::signal(i32::try_from(root.id()).unwrap_or(0), polite);
            self.until(Duration::from_secs(10), |_| {
                process::reap();
                process::descendants().is_empty()
            });
        }
        let gone = self.until(Duration::from_secs(30), |_| {
            let left = process::descendants();
            left.iter()
                .for_each(|process| process::signal(process.pid, Signal::STOP));
            left.iter()
                .for_each(|process| process::signal(process.pid, Signal::KILL));
            process::reap();
            left.is_empty()
        });
        if !gone {
            eprintln!("xtask: warning: {}: processes are left", self.subject.name);
        }
        if let Err(why) = fs::remove_dir_all(&self.top) {
            eprintln!(
                "xtask: warning: unable to remove {}: {why}",
                self.top.display()
            );
        }
    }
}

impl Drop for Tree<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_apart() {
        let event = |kind: u8, pid: i32, ns: u64| {
            let mut bytes = u32::from(kind).to_ne_bytes().to_vec();
            bytes.extend(pid.to_ne_bytes());
            bytes.extend(ns.to_ne_bytes());
            bytes.extend(b"s00007\0\0\0\0\0\0\0\0\0\0");
            bytes
        };
        let mut services = BTreeMap::new();
        for event in [event(b'S', 10, 5), event(b'H', 10, 6), event(b'S', 11, 7)] {
            assert_eq!(event.len(), EVENT);
            hear(&mut services, &event);
        }
        let service = &services[&name(7)];
        assert_eq!(
            (
                service.pids.as_slice(),
                service.started_ns,
                service.hups,
                service.hup_ns
            ),
            (&[10, 11][..], 7, 1, 6)
        );
    }
}
