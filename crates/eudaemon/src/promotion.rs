//! How this process takes the place of another one of its daemon, and how it is left to another.
//!
//! The new process serves nothing, says nothing and owns nothing before it is promoted: what it was given belongs to the old one, which
//! may yet go on alone. [`Shared::take_over`] says that all is there, and waits. If the old one dies while it waits, there is nobody
//! else: it takes over all the same.
//!
//! The old process, once it has been left to another ([`Shared::hand_on`]), removes nothing and says nothing any more: it finishes what
//! it is at.

use crate::clients::{Line, Parted};
use crate::handover::{self, Contents, Listener};
use crate::inherited::pidfd_inode_of;
use crate::pidfile::Pidfile;
use crate::shared::{Shared, held};
use crate::sockets::{Made, Origin};
use crate::start::Doors;
use crate::{Activation, Context, Error, Exit, Result, StopSignal};
use eudaemon_core::handover::{Given, Said};
use eudaemon_core::life::{Asker, Event};
use eudaemon_core::words::Pid;
use eudaemon_sys::clock::mono;
use eudaemon_sys::passing::Channel;
use eudaemon_sys::poll::{Interest, Poll};
use eudaemon_sys::process::Held;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a process that has closed its end of the line may take to be gone. Source: Linux `kernel/exit.c`, `do_exit`: files are closed
/// first.
const GOING: Duration = Duration::from_secs(5);

/// The line to the process whose place this one takes, from the start on.
#[derive(Clone, Debug)]
pub(crate) struct Predecessor(Arc<Mutex<Met>>);

#[derive(Debug)]
struct Met {
    /// None once it has nothing to be told any more.
    line: Option<Arc<Channel>>,
    process: Option<Held>,
}

/// What is done when this process is promoted, and not before.
#[derive(Debug)]
pub(crate) struct Promotion {
    predecessor: Predecessor,
    pending: Mutex<Pending>,
}

#[derive(Debug)]
enum Pending {
    Waits(Box<Waits>),
    /// It was done.
    Promoted,
    /// It will not be.
    Ended,
}

impl Promotion {
    pub fn new(predecessor: Predecessor, waits: Waits) -> Promotion {
        Promotion {
            predecessor,
            pending: Mutex::new(Pending::Waits(Box::new(waits))),
        }
    }

    /// There will be none any more, if there was none: what was bound for it is closed and removed. Whoever waits for it goes on doing so.
    pub fn end(&self) {
        if let Ok(mut pending) = self.pending.try_lock()
            && matches!(*pending, Pending::Waits(_))
        {
            *pending = Pending::Ended;
        }
    }
}

/// What waits for it.
#[derive(Debug)]
pub(crate) struct Waits {
    pub doors: Doors,
    pub pidfile: Option<Pidfile>,
    /// The PID file of the old process, if this one has another or none.
    pub other_pidfile: Option<(PathBuf, OwnedFd)>,
    /// The readiness file of the old process, if this one has another or none.
    pub other_ready_file: Option<PathBuf>,
    pub stderr: Option<OwnedFd>,
    pub watchdog: Option<Duration>,
    pub files: Vec<Arc<Made>>,
}

/// How it came to be this one's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// The old process said so, and the manager knows.
    Promoted,
    /// The old process is dead.
    Alone,
    /// It is not: this process is to stop.
    Stopped,
}

impl Predecessor {
    /// The one that started this process to take its place, if one did. Once in the life of a process, before anything is opened.
    pub fn meet(activation: &Activation) -> Result<Option<Predecessor>> {
        let Some(line) = handover::line(activation)? else {
            return Ok(None);
        };
        let process = line.maker().ok().and_then(Pid::new);
        Ok(Some(Predecessor(Arc::new(Mutex::new(Met {
            process: process.and_then(|pid| Held::open(pid).ok()),
            line: Some(Arc::new(line)),
        })))))
    }

    /// What it hands over. Waits for all of it.
    pub fn receive(&self) -> Result<Contents> {
        let received = self.line().and_then(|line| handover::receive(&line));
        received.during(|| "unable to take over from the process before this one")
    }

    /// Its process id; none if it is gone.
    pub fn pid(&self) -> Option<u32> {
        Some(held(&self.0).process.as_ref()?.pid()?.get())
    }

    /// Tells it that this process ends, by this error, before it could serve.
    pub fn failed(&self, error: &Error) {
        let said = Said::Failed {
            exit: error.exit().code(),
            words: error.to_string(),
        };
        // It reads it, or is gone, or has promoted this process, which is nothing to it any more.
        let _ = self.line().and_then(|line| handover::say(&line, &said));
    }

    fn line(&self) -> io::Result<Arc<Channel>> {
        let line = held(&self.0).line.clone();
        line.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// It has promoted this process, or is gone: it is told nothing any more. What it may still say is read from what is returned.
    fn part(&self) -> Option<Arc<Channel>> {
        let mut met = held(&self.0);
        met.process = None;
        met.line.take()
    }

    /// Says that all is there, and waits for the answer, or for the end of whoever could give it, or of this process.
    fn wait(&self, stop: &StopSignal) -> io::Result<Turn> {
        const LINE: u64 = 0;
        const STOP: u64 = 1;
        // Nobody may hear it any more, which is found out below.
        let line = self.line()?;
        let _ = handover::say(&line, &Said::Ready);
        let mut poll = Poll::new()?;
        poll.add(&*line, LINE, Interest::Read)?;
        poll.add(stop, STOP, Interest::Read)?;
        let mut ready = Vec::new();
        loop {
            ready.clear();
            poll.wait(mono(), None, &mut ready)?;
            if ready.iter().any(|one| one.token == LINE) {
                return match handover::hear(&line) {
                    Ok(Some((Given::Promoted, _))) => Ok(Turn::Promoted),
                    Ok(Some(_)) => Err(io::ErrorKind::InvalidData.into()),
                    Ok(None) => self.is_gone(),
                    Err(error) => Err(error),
                };
            }
            if !ready.is_empty() {
                return Ok(Turn::Stopped);
            }
        }
    }

    /// The line is closed: it is dead, or it has given this process up. Where that is not to be known it is not taken for dead: two that serve are
    /// worse than none.
    fn is_gone(&self) -> io::Result<Turn> {
        let met = held(&self.0);
        let is_dead = match &met.process {
            Some(process) => is_ready(process.as_fd(), GOING)?,
            None => false,
        };
        match is_dead {
            true => Ok(Turn::Alone),
            false => Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "it goes on without this one",
            )),
        }
    }
}

/// Whether this can be read within this time.
fn is_ready(fd: BorrowedFd<'_>, within: Duration) -> io::Result<bool> {
    let end = mono() + within;
    let mut poll = Poll::new()?;
    poll.add(fd, 0, Interest::Read)?;
    let mut ready = Vec::new();
    loop {
        let now = mono();
        poll.wait(now, Some(end), &mut ready)?;
        if !ready.is_empty() || now >= end {
            return Ok(!ready.is_empty());
        }
    }
}

/// The new process.
impl Shared {
    /// Takes the place of the process before this one, if there is one and that has not happened yet. Waits for it; not longer than
    /// until this process is to stop. Whether this process is the service now.
    pub fn take_over(self: &Arc<Shared>) -> bool {
        let Some(promotion) = &self.promotion else {
            return true;
        };
        // Held meanwhile: whoever says ready too waits for the same.
        let mut pending = held(&promotion.pending);
        match *pending {
            Pending::Waits(_) => {}
            Pending::Promoted => return true,
            Pending::Ended => return false,
        }
        let turn = match promotion.predecessor.wait(&self.stop) {
            Ok(Turn::Stopped) => return false,
            Ok(turn) => turn,
            Err(error) => {
                let error = Error::from(error).class(Exit::Unavailable);
                self.fail(error.during("unable to take the place of the process before this one"));
                return false;
            }
        };
        if let Pending::Waits(waits) = std::mem::replace(&mut *pending, Pending::Promoted) {
            self.promote(&promotion.predecessor, *waits, turn);
        }
        true
    }

    /// Everything becomes this process's. What does not work is said, and the rest goes on: there is nobody else any more.
    fn promote(self: &Arc<Shared>, predecessor: &Predecessor, waits: Waits, turn: Turn) {
        let line = predecessor.part();
        let fails = |attempt: &str, error: &dyn std::fmt::Display| {
            self.log.error(format_args!("{attempt}: {error}"));
        };
        if let Some(stderr) = &waits.stderr
            && let Err(error) = eudaemon_sys::exec::replace_stderr(stderr)
        {
            fails("unable to take standard error over", &error);
        }
        waits.files.iter().for_each(|file| file.arm());
        if let Some(mut pidfile) = waits.pidfile {
            if let Err(error) = pidfile.rewrite() {
                fails("service.pidfile", &Error::from(error));
            }
            self.told.own(pidfile);
        }
        // Nobody else will remove them.
        if let Some((path, lock)) = waits.other_pidfile
            && let Some(mut other) = Pidfile::adopt(&path, lock)
            && let Err(error) = other.rewrite().and_then(|()| other.remove())
        {
            fails("the PID file of the process before", &Error::from(error));
        }
        if let Some(path) = waits.other_ready_file {
            let _ = std::fs::remove_file(path);
        }
        let notify = self.told.notify();
        notify.hush(false);
        if turn == Turn::Alone {
            self.log
                .warning("the process before this one is gone: this one serves in its place");
            let own = std::process::id();
            if let Err(error) = notify.main_pid(own, pidfd_inode_of(own)) {
                fails("unable to tell the manager", &error);
            }
        }
        match waits.doors.serve(self) {
            Ok(ways) => {
                ways.own();
                *held(&self.ways) = Some(Arc::new(ways));
            }
            Err(error) => fails(
                "unable to serve the control socket or the debug server",
                &error,
            ),
        }
        if let Err(error) = self.watch(waits.watchdog) {
            self.fail(error);
        }
        let shared = Arc::clone(self);
        let Some(line) = line else {
            return;
        };
        let hear = move || {
            while let Ok(Some((given, fds))) = handover::hear(&line) {
                match given {
                    Given::Client { heard, .. } => shared.seat(&heard, fds),
                    Given::Reload => shared.happen(Event::Reload),
                    Given::Stop => shared.happen(Event::Stop(Asker::Request)),
                    Given::Item(_) | Given::End { .. } | Given::Promoted | Given::Done => return,
                }
            }
        };
        let thread = std::thread::Builder::new().name("eud-handover".to_owned());
        if let Err(error) = thread.spawn(hear) {
            fails("unable to take over the control socket's clients", &error);
        }
    }
}

impl Shared {
    /// A client of the control socket comes over.
    fn seat(&self, heard: &[u8], fds: Vec<OwnedFd>) {
        let ways = held(&self.ways).clone();
        for fd in fds {
            if let (Some(ways), Ok(line)) = (&ways, Line::unix(fd)) {
                let heard = heard.to_vec();
                ways.seat(Parted { line, heard });
            }
        }
    }
}

/// The old process.
impl Shared {
    /// What is handed over, but for the state; all of it copies.
    pub fn contents(&self) -> io::Result<Contents> {
        let listeners = self.sockets.active()?.into_iter().map(Listener::of);
        let states = self.store.states()?.into_iter();
        // As a manager hands them over after a restart.
        let states = states.map(|(name, fd)| {
            Ok(Listener {
                name,
                fd,
                origin: Origin::Manager,
                file: None,
            })
        });
        let listeners: io::Result<Vec<Listener>> = listeners.chain(states).collect();
        let mut contents = Contents {
            generation: self.generation + 1,
            listeners: listeners?,
            pidfile: self.told.pidfile()?,
            ready_file: self.told.ready_file(),
            stderr: Some(io::stderr().as_fd().try_clone_to_owned()?),
            ..Contents::default()
        };
        if let Some(ways) = held(&self.ways).as_deref() {
            ways.contents(&mut contents)?;
        }
        Ok(contents)
    }

    /// Leaves everything to the process that was promoted: from here on nothing is said and nothing is removed. The clients of the control
    /// socket follow on this line, each as soon as it is owed nothing.
    pub fn hand_on(&self, line: Arc<Channel>) {
        self.told.hand_on();
        drop(held(&self.watching).take());
        self.sockets.hand_on();
        let rest = Heir(line);
        if let Some(ways) = held(&self.ways).as_deref() {
            ways.part(rest);
        }
    }
}

/// Where clients of the control socket go.
pub(crate) struct Heir(Arc<Channel>);

impl Heir {
    /// Gives this one away. One that cannot be given is let go: its connection ends.
    pub fn give(&self, line: OwnedFd, heard: Vec<u8>) {
        let json = false;
        let _ = handover::give(&self.0, &Given::Client { heard, json }, &[line]);
    }
}

impl Drop for Heir {
    fn drop(&mut self) {
        let _ = handover::give(&self.0, &Given::Done, &[]);
    }
}
