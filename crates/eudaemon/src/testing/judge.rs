//! One message, judged and acted on.

use super::record::{Event, Kept, Record, Violation, What};
use crate::notify::NotifyAccess;
use eudaemon_core::notify::{
    ErrorNumber, Heard, MainProcess, Notice, State, StoreRequest, Watchdog, read,
};
use eudaemon_core::time::Mono;
use eudaemon_core::words::{Pid, Signal};
use eudaemon_sys::notify::Datagram;
use eudaemon_sys::process::{self, Held};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// How a program is watched.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// How long it may be silent.
    pub interval: Option<Duration>,
    /// Until when it must have spoken; `None` while it starts or stops.
    pub until: Option<Mono>,
}

impl Watched {
    fn begin(&mut self, now: Mono) {
        self.until = self.interval.map(|interval| now + interval);
    }
}

/// Every name a manager knows. Source: `sd_notify(3)`, systemd 262.
const KNOWN: [&[u8]; 22] = [
    b"READY",
    b"RELOADING",
    b"STOPPING",
    b"MONOTONIC_USEC",
    b"STATUS",
    b"NOTIFYACCESS",
    b"ERRNO",
    b"BUSERROR",
    b"VARLINKERROR",
    b"EXIT_STATUS",
    b"MAINPID",
    b"MAINPIDFDID",
    b"MAINPIDFD",
    b"WATCHDOG",
    b"WATCHDOG_USEC",
    b"EXTEND_TIMEOUT_USEC",
    b"RESTART_RESET",
    b"FDSTORE",
    b"FDSTOREREMOVE",
    b"FDNAME",
    b"FDPOLL",
    b"BARRIER",
];

/// Who waits for the other ends of stored descriptors.
pub(super) trait Wait {
    /// Waits for this one; answers with what it is known as.
    fn add(&mut self, fd: &OwnedFd) -> u64;
    /// Waits no more.
    fn remove(&mut self, fd: &OwnedFd);
}

impl Record {
    /// Hears one datagram.
    pub fn hear(&mut self, bytes: &[u8], datagram: Datagram, begun: Mono, wait: &mut dyn Wait) {
        let now = eudaemon_sys::clock::mono();
        // Who cannot be named cannot be listened to.
        let Some(speaker) = datagram.speaker else {
            return self.violations.push(Violation::NotHeard { pid: 0 });
        };
        let speaker = speaker.pid.get();
        let heard = match self.access {
            NotifyAccess::All => true,
            NotifyAccess::Main | NotifyAccess::Exec => speaker == self.main,
            NotifyAccess::None => false,
        };
        let read = read(bytes, datagram.truncated, datagram.fds.len());
        // A barrier is for the manager's own queue, not for the service: who asks is not asked who he is.
        if !heard && read != Ok(Heard::Barrier) {
            return self.violations.push(Violation::NotHeard { pid: speaker });
        }
        let note = |what| {
            let at = now.since(begun);
            let pid = speaker;
            Event { at, pid, what }
        };
        match read {
            Err(why) => self.violations.push(Violation::Refused(why)),
            // Its descriptor is closed with the datagram.
            Ok(Heard::Barrier) => self.events.push(note(What::Barrier)),
            Ok(Heard::Notice(notice)) => {
                self.oddities(bytes);
                for ignored in &notice.ignored {
                    self.violations.push(Violation::Ignored {
                        name: lossy(ignored.name),
                        fault: ignored.fault,
                    });
                }
                let mut happened = Vec::new();
                self.act(&notice, datagram.fds, now, wait, &mut happened);
                self.events.extend(happened.into_iter().map(note));
            }
        }
    }

    /// What no manager says a word about.
    fn oddities(&mut self, bytes: &[u8]) {
        let mut names: Vec<&[u8]> = Vec::new();
        let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
        for line in bytes.split(|byte| *byte == b'\n') {
            if line.is_empty() {
                continue;
            }
            let name = line.split(|byte| *byte == b'=').next().unwrap_or(line);
            let known =
                name.len() < line.len() && (KNOWN.contains(&name) || name.starts_with(b"X_"));
            if !known {
                let line = lossy(line);
                self.violations.push(Violation::Unknown { line });
            } else if names.contains(&name) {
                let name = lossy(name);
                self.violations.push(Violation::Twice { name });
            }
            names.push(name);
        }
        let has = |name: &[u8]| names.contains(&name);
        if has(b"STOPPING") && (has(b"READY") || has(b"RELOADING")) {
            self.violations.push(Violation::SeveralStates);
        }
    }

    /// In the order of a manager: library §4.2, item 6.
    fn act(
        &mut self,
        notice: &Notice<'_>,
        mut fds: Vec<OwnedFd>,
        now: Mono,
        wait: &mut dyn Wait,
        happened: &mut Vec<What>,
    ) {
        if let Some(main) = notice.main
            && let Some(pid) = self.new_main(main, &mut fds)
        {
            happened.push(What::MainPid(pid));
        }
        if let Some(state) = notice.state {
            self.state(state, now, happened);
        }
        if let Some(status) = notice.status {
            self.status = Some(status.to_owned());
            happened.push(What::Status(status.to_owned()));
        }
        if let Some(access) = notice.access {
            self.access = access;
            happened.push(What::Access(access));
        }
        match notice.errno {
            Some(ErrorNumber::Number(number)) => happened.push(What::Error(number.to_string())),
            Some(ErrorNumber::Name(name)) => happened.push(What::Error(name.to_owned())),
            None => {}
        }
        for name in [notice.bus_error, notice.varlink_error]
            .into_iter()
            .flatten()
        {
            happened.push(What::Error(name.to_owned()));
        }
        if let Some(by) = notice.extend_timeout {
            if let Some(until) = &mut self.watchdog.until {
                *until = (*until).max(now + by);
            }
            happened.push(What::Extended(by));
        }
        match notice.watchdog {
            Some(Watchdog::Alive) => {
                if self.watchdog.until.is_some() {
                    self.watchdog.begin(now);
                }
                happened.push(What::Alive);
            }
            Some(Watchdog::Trigger) => {
                happened.push(What::Triggered);
                self.abort(happened);
            }
            None => {}
        }
        if let Some(interval) = notice.watchdog_interval {
            self.watchdog.interval = Some(interval);
            if self.ready && !self.stopping {
                self.watchdog.begin(now);
            }
            happened.push(What::WatchdogInterval(interval));
        }
        if notice.restart_reset {
            happened.push(What::RestartReset);
        }
        match notice.store {
            Some(StoreRequest::Put { name, poll }) => {
                self.keep(name, poll, std::mem::take(&mut fds), wait, happened);
            }
            Some(StoreRequest::Remove { name }) => {
                let before = self.store.len();
                let (gone, kept) = std::mem::take(&mut self.store)
                    .into_iter()
                    .partition(|kept: &Kept| kept.name == name);
                self.store = kept;
                for gone in &gone {
                    wait.remove(&gone.fd);
                }
                let count = before - self.store.len();
                let name = name.to_owned();
                happened.push(What::Dropped { name, count });
            }
            None => {}
        }
        if !fds.is_empty() {
            let count = fds.len();
            self.violations
                .push(Violation::UnwantedDescriptors { count });
        }
        for (name, value) in &notice.private {
            let (name, value) = (lossy(name), lossy(value));
            happened.push(What::Private { name, value });
        }
    }

    fn state(&mut self, state: State, now: Mono, happened: &mut Vec<What>) {
        if self.stopping {
            if state != State::Stopping {
                self.violations.push(Violation::AfterStopping);
            }
            return;
        }
        let since = match state {
            State::Stopping => {
                self.stopping = true;
                self.watchdog.until = None;
                return happened.push(What::Stopping);
            }
            State::Ready => None,
            State::Reloading { since } | State::Reloaded { since } => Some(since),
        };
        if let Some(since) = since {
            self.ready = false;
            happened.push(What::Reloading);
            match (since, self.reload_asked) {
                (None, _) => self.violations.push(Violation::ReloadWithoutMoment),
                (Some(since), Some(asked)) if since < asked => {
                    self.violations
                        .push(Violation::ReloadTooEarly { asked, since });
                }
                (Some(_), _) => self.reload_asked = None,
            }
        }
        if matches!(state, State::Ready | State::Reloaded { .. }) {
            self.ready = true;
            happened.push(What::Ready);
            if self.watchdog.until.is_none() {
                self.watchdog.begin(now);
            }
        }
    }

    /// Another main process, if it lives and is the one that is meant.
    fn new_main(&mut self, main: MainProcess, fds: &mut Vec<OwnedFd>) -> Option<u32> {
        let (pid, held) = match main {
            MainProcess::Descriptor => {
                let held = Held::from(fds.pop()?);
                let Some(pid) = held.pid() else {
                    self.violations.push(Violation::NoSuchMain { pid: 0 });
                    return None;
                };
                (pid, Some(held))
            }
            MainProcess::Pid { pid, pidfd_inode } => {
                let held = Held::open(pid).ok();
                let is_it = match (&held, pidfd_inode) {
                    (Some(held), Some(wanted)) if process::pidfs_is_unique(held) => {
                        held.inode().is_ok_and(|inode| inode == wanted)
                    }
                    (held, _) => held.is_some() && !process::is_zombie(pid),
                };
                if !is_it || pid == OWN_INIT || pid.get() == process::own_pid() {
                    let pid = pid.get();
                    self.violations.push(Violation::NoSuchMain { pid });
                    return None;
                }
                (pid, held)
            }
        };
        self.main = pid.get();
        self.held = held;
        Some(pid.get())
    }

    fn keep(
        &mut self,
        name: &str,
        poll: bool,
        fds: Vec<OwnedFd>,
        wait: &mut dyn Wait,
        happened: &mut Vec<What>,
    ) {
        // What is there already, under whichever name, stays as it is. Source: library §4.2, item 15.
        let is_new = |fd: &OwnedFd| {
            let mut kept = self.store.iter();
            !kept.any(|kept| eudaemon_sys::descriptor::is_same(&kept.fd, fd).unwrap_or(false))
        };
        let fds: Vec<OwnedFd> = fds.into_iter().filter(is_new).collect();
        let room = self.store_max.saturating_sub(self.store.len());
        let (count, given) = (fds.len().min(room), fds.len());
        for fd in fds.into_iter().take(room) {
            self.store.push(Kept::new(name, fd, poll, wait));
        }
        // The library asks whether there is a store: the answer is no.
        let is_asked = self.store_max == 0 && name == eudaemon_core::stored::PROBE;
        let name = || name.to_owned();
        if count > 0 {
            let name = name();
            happened.push(What::Stored { name, count });
        }
        if count < given && !is_asked {
            self.violations.push(Violation::StoreFull {
                name: name(),
                count: given - count,
            });
        }
    }

    /// Ends the main process as one that hangs.
    pub fn abort(&mut self, happened: &mut Vec<What>) {
        self.watchdog.until = None;
        // Who has ended by itself meanwhile is told as that.
        if self.signal(Signal::Abrt).is_ok() {
            happened.push(What::WatchdogMissed);
        }
    }
}

impl Kept {
    pub fn new(name: &str, fd: OwnedFd, poll: bool, wait: &mut dyn Wait) -> Kept {
        Kept {
            token: if poll { wait.add(&fd) } else { 0 },
            name: name.to_owned(),
            fd,
            poll,
        }
    }
}

/// The first process of all, which is nobody's service.
const OWN_INIT: Pid = Pid(std::num::NonZeroU32::MIN);

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
