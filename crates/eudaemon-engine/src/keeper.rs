//! The keeper: parent of every service and of the engine, and as little else as possible.
//!
//! It does four things for ever. It writes down how a child ended and then reaps it. It keeps the descriptors the engine
//! gives it. It passes signals on. It starts an engine whenever there is none. It parses nothing, decides nothing, and
//! allocates nothing once it keeps.
//!
//! # Who dies, and what follows
//!
//! - **The engine**, at any instruction: what it had sent is still in the channel and is taken out; the keeper forks
//!   another, which is born with the vault and finds everything else in the table.
//! - **The keeper**: the engine sees its channel close and *becomes* a keeper, by exec under its own pid, with the vault
//!   named in a note. Living services are then nobody's children that could tell; they are watched by pidfd.
//! - **Both**: the next start finds the table on tmpfs and adopts what still lives.

use crate::table::Table;
use crate::tree::{Options, Tree};
use crate::vault::{self, Place, Things, TreeKind};
use eudaemon_core::exit::Exit;
use eudaemon_core::time::Mono;
use eudaemon_core::words::{Ended, Pid, Signal};
use eudaemon_sys::passing::{Bell, Came, Channel, Store};
use eudaemon_sys::poll::{Interest, Poll, Ready};
use eudaemon_sys::signal::Signals;
use eudaemon_sys::spawn::Spawner;
use eudaemon_sys::{clock, process};
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// An engine that ends by itself, again and again, is given this long, doubled each time, up to the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(1);
const PAUSE_LONGEST: Duration = Duration::from_secs(1);
/// An engine that has lived this long has not failed to start.
const SETTLED: Duration = Duration::from_secs(2);
/// A companion is not started more often than this.
const COMPANION_GAP: Duration = Duration::from_secs(1);
/// How long a companion may take to say its last.
const COMPANION_LAST: Duration = Duration::from_secs(2);

const TOKEN_SIGNALS: u64 = 0;
const TOKEN_CHANNEL: u64 = 1;

/// What an engine is born with.
#[derive(Debug)]
pub struct Birth {
    /// The shared table.
    pub table: Table,
    /// The vault, as a copy of the keeper's.
    pub store: Store,
    /// To the keeper.
    pub channel: Channel,
    /// Rung by the keeper.
    pub bell: Bell,
    /// Makes children.
    pub spawner: Spawner,
}

#[derive(Debug)]
struct Keeper<'a> {
    options: &'a Options,
    table: Table,
    store: Store,
    bell: Bell,
    /// Kept unused, for the engines to be born with.
    spawner: Option<Spawner>,
    signals: Signals,
    engine: Option<Pid>,
    channel: Option<Channel>,
    companion: Option<Pid>,
    companion_at: Option<Mono>,
    started: Mono,
    pause: Duration,
    restart_at: Option<Mono>,
}

/// Keeps a tree until its engine is done; returns the exit code.
///
/// `handed`: what an engine that became a keeper brought with it.
pub fn keep(options: &Options, tree: Tree, handed: Things, spawner: Spawner) -> io::Result<u8> {
    // From here on nothing that is said may make supervision wait for a slow reader.
    crate::report::never_wait();
    process::become_subreaper()?;
    // `runsv DIR` is `runsv` to the system.
    process::set_name(options.program.split(' ').next().unwrap_or_default());
    let table = tree.table;
    let mut store = Store::new(vault::places(table.capacity()));
    for (place, fd) in handed {
        store.put(place.0, fd);
    }
    store.put(Place::tree(TreeKind::Lock).0, tree.lock);
    store.put(Place::tree(TreeKind::Dir).0, OwnedFd::from(tree.dir));
    store.put(
        Place::tree(TreeKind::Table).0,
        table.file().try_clone_to_owned()?,
    );
    table.begin_epoch(process::own_pid());
    let mut keeper = Keeper {
        options,
        table,
        store,
        bell: Bell::new()?,
        spawner: Some(spawner),
        signals: Signals::new()?,
        engine: None,
        channel: None,
        companion: None,
        companion_at: options.companion.is_some().then(clock::mono),
        started: clock::mono(),
        pause: PAUSE_FIRST,
        restart_at: Some(clock::mono()),
    };
    keeper.run()
}

impl Keeper<'_> {
    fn run(&mut self) -> io::Result<u8> {
        let mut poll = Poll::new()?;
        poll.add(&self.signals, TOKEN_SIGNALS, Interest::Read)?;
        let mut ready: Vec<Ready> = Vec::with_capacity(8);
        let mut lean = false;
        loop {
            let now = clock::mono();
            if self.restart_at.is_some_and(|at| at <= now) {
                self.start_engine(&poll, now);
            }
            if !std::mem::replace(&mut lean, true) {
                eudaemon_sys::memory::release_code();
            }
            if self.companion_at.is_some_and(|at| at <= now) {
                self.start_companion(now);
            }
            let until = [self.restart_at, self.companion_at]
                .into_iter()
                .flatten()
                .min();
            ready.clear();
            // A wait that fails is tried again: a keeper never leaves its loop because of an error.
            if poll.wait(now, until, &mut ready).is_err() {
                continue;
            }
            for what in &ready {
                match what.token {
                    TOKEN_SIGNALS => self.on_signals(),
                    _ => self.serve(),
                }
            }
            if let Some(code) = self.bury(&poll) {
                return Ok(code);
            }
        }
    }

    fn on_signals(&mut self) {
        let mut rung = false;
        while let Some(signal) = self.signals.next() {
            if signal != Signal::Chld {
                self.table.post_signal(signal);
                rung = true;
            }
        }
        if rung {
            self.bell.ring();
        }
    }

    /// Takes what the engine sent; what a dead engine sent is still there.
    fn serve(&mut self) {
        let Some(channel) = &self.channel else { return };
        while let Ok(Came::Message(_)) = vault::serve(channel, &mut self.store) {}
    }

    /// Writes down how children ended, and reaps them. The engine's end is answered with another, or with ours.
    fn bury(&mut self, poll: &Poll) -> Option<u8> {
        let mut engine = None;
        while let Ok(Some((pid, status))) = process::ended_child() {
            if self.engine == Some(pid) {
                engine = Some(Ended::from_wait(status));
                self.engine = None;
            } else if self.companion == Some(pid) {
                self.companion = None;
                self.companion_at = Some(clock::mono() + COMPANION_GAP);
            } else {
                // A pid we do not know is an orphan that was given to us as subreaper.
                // The engine hears of it while we reap: every moment is one without the service.
                if self.table.record_end(pid, status) {
                    self.bell.ring();
                }
            }
            process::reap(pid);
        }
        let ended = engine?;
        self.serve();
        if let Some(channel) = self.channel.take() {
            // Closing it removes it from the set as well; an error says it is gone already.
            let _ = poll.remove(&channel);
        }
        if let Some(code) = self.table.exit() {
            self.end_companion();
            self.table.discard();
            return Some(code);
        }
        let now = clock::mono();
        match ended {
            // Killed from outside: that is not its fault, and every moment without an engine counts.
            Ended::Signal { number, .. } if number == Signal::Kill.number_linux() => {
                self.restart_at = Some(now)
            }
            Ended::Code(_) | Ended::Signal { .. } | Ended::Unknown => {
                let told = format!("the engine ended ({ended}), starting another");
                self.options.report().warn(&[told.as_ref()], None);
                if now.since(self.started) > SETTLED {
                    self.pause = PAUSE_FIRST;
                }
                self.restart_at = Some(now + self.pause);
                self.pause = (self.pause * 2).min(PAUSE_LONGEST);
            }
        }
        if self.restart_at.is_some_and(|at| at <= now) {
            self.start_engine(poll, now);
        }
        None
    }

    fn start_engine(&mut self, poll: &Poll, now: Mono) {
        self.restart_at = None;
        self.started = now;
        if let Err(error) = self.try_start_engine(poll) {
            self.options.report().warn(
                &["unable to start an engine, trying again".as_ref()],
                Some(&error),
            );
            self.restart_at = Some(now + PAUSE_LONGEST);
        }
    }

    fn try_start_engine(&mut self, poll: &Poll) -> io::Result<()> {
        let (ours, theirs) = Channel::pair()?;
        // Before there is an engine: one whose channel could not be listened to would take us for dead.
        poll.add(&ours, TOKEN_CHANNEL, Interest::Read)?;
        let mut ends = Some((ours, theirs));
        let pid = process::fork(|| {
            // The engine must not hold our end, or it would never see us go.
            let theirs = ends.take().map(|(ours, theirs)| {
                drop(ours);
                theirs
            });
            match self.become_engine(theirs) {
                Ok(code) => code,
                Err(error) => self
                    .options
                    .report()
                    .fatal(&["unable to begin".as_ref()], &error),
            }
        })?;
        let (ours, theirs) = ends.ok_or(io::ErrorKind::InvalidInput)?;
        drop(theirs);
        self.table.begin_engine(pid.get());
        self.engine = Some(pid);
        self.channel = Some(ours);
        Ok(())
    }

    /// In the child: the keeper's memory is ours now, so we take it over piece by piece.
    fn become_engine(&mut self, channel: Option<Channel>) -> io::Result<u8> {
        let channel = channel.ok_or(io::ErrorKind::InvalidInput)?;
        process::set_name("eud-engine");
        let birth = Birth {
            table: Table::from_file(
                self.table.file().try_clone_to_owned()?,
                self.table.capacity(),
            )?,
            store: std::mem::replace(&mut self.store, Store::new(0)),
            channel,
            bell: Bell::from(self.bell.as_fd().try_clone_to_owned()?),
            // This process is the child: its copy of the keeper's memory is its own.
            spawner: self.spawner.take().ok_or(io::ErrorKind::InvalidInput)?,
        };
        crate::engine::run(self.options, birth)
    }

    fn start_companion(&mut self, now: Mono) {
        self.companion_at = None;
        let Some(argv) = &self.options.companion else {
            return;
        };
        let keeper = process::own_pid();
        let started = process::fork(|| {
            // Its own group, so that a Ctrl-C on the terminal ends it only when we say so; and no longer than us.
            process::new_session();
            if !process::die_with_parent(keeper) || eudaemon_sys::signal::unblock_all().is_err() {
                return Exit::Temporary.code();
            }
            exec_self(argv)
        });
        match started {
            Ok(pid) => self.companion = Some(pid),
            Err(_) => self.companion_at = Some(now + COMPANION_GAP),
        }
    }

    /// Asks the companion to say its last, and waits for it a while.
    fn end_companion(&mut self) {
        let Some(pid) = self.companion else { return };
        // It is our child and not yet reaped, so the pid is still its own.
        if process::signal_pid(pid, Signal::Term).is_err() {
            return;
        }
        let end = clock::mono() + COMPANION_LAST;
        let Ok(mut poll) = Poll::new() else { return };
        if poll
            .add(&self.signals, TOKEN_SIGNALS, Interest::Read)
            .is_err()
        {
            return;
        }
        loop {
            while self.signals.next().is_some() {}
            while let Ok(Some((ended, _))) = process::ended_child() {
                process::reap(ended);
                if ended == pid {
                    return;
                }
            }
            let now = clock::mono();
            if now >= end || poll.wait(now, Some(end), &mut Vec::new()).is_err() {
                // Too late is too late: KILL cannot fail on a child that lives.
                let _ = process::signal_pid(pid, Signal::Kill);
                return;
            }
        }
    }
}

fn exec_self(argv: &[OsString]) -> u8 {
    use std::os::unix::ffi::OsStrExt;
    let words: Result<Vec<CString>, _> = argv
        .iter()
        .map(|word| CString::new(word.as_bytes()))
        .collect();
    if let Ok(words) = words {
        process::exec(c"/proc/self/exe", &words);
    }
    Exit::Temporary.code()
}
