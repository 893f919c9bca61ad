//! The engine: one loop for any number of services. It waits, turns what happened into events, lets core decide, and
//! performs the effects.
//!
//! The order that makes a kill harmless, for each event: decide on a copy, save what was decided in the table, give the
//! child's slot back if its end was told, perform the effects in order. Control bytes leave the table's inbox only after
//! their effects. `eudaemon-sim` plays exactly this order with a kill at each step.

mod adopt;
mod clients;
mod coming;
mod events;
mod launch;
mod perform;
mod scan;
mod succession;

use crate::keeper::Birth;
use crate::service::Service;
use crate::socket::Server;
use crate::table::{Stop, Table};
use crate::tree::{Mode, Options};
use crate::vault::{Place, TreeKind};
use eudaemon_core::exit::Exit;
use eudaemon_core::scan::{Habits, Id, Part, Scanner};
use eudaemon_core::status::Dialect;
use eudaemon_core::supervise::{Effect, Event, Role};
use eudaemon_core::time::Mono;
use eudaemon_sys::clock;
use eudaemon_sys::dir::Dir;
use eudaemon_sys::inotify::Inotify;
use eudaemon_sys::passing::{Bell, Channel, Store};
use eudaemon_sys::poll::{Interest, Poll, Ready};
use eudaemon_sys::process::Environment;
use eudaemon_sys::spawn::{Method, Spawner};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// The word by which this program knows that it is to become a keeper.
pub const KEEPER_WORD: &str = "--become-keeper";
/// Pause before an exec that failed is tried again.
const EXEC_PAUSE: Duration = Duration::from_secs(1);
/// Pause before a file that was removed and could not be made again is tried again.
const REPAIR_PAUSE: Duration = Duration::from_secs(1);
/// Pause before a file that was removed is made again. Whoever removes the whole directory is done by then; if each file
/// came back at once, `rm -rf` would find the directory never empty.
const REMOVAL_PAUSE: Duration = Duration::from_millis(100);

/// Which kernel call makes children: the best there is, unless a test asks for less with `EUDAEMON_SPAWN`.
#[must_use]
pub fn spawn_method() -> Method {
    match std::env::var_os("EUDAEMON_SPAWN")
        .as_deref()
        .and_then(OsStr::to_str)
    {
        Some("clone") => Method::Clone,
        Some("clone-without-pidfd") => Method::CloneWithoutPidfd,
        _ => Method::Clone3,
    }
}

/// What a token in the poll set stands for: a kind in the low byte, a number above it.
mod token {
    pub const CHANNEL: u64 = 0;
    pub const BELL: u64 = 1;
    pub const INOTIFY: u64 = 2;
    pub const LISTENER: u64 = 3;
    pub const CLIENT: u64 = 4;
    pub const CONTROL: u64 = 5;
    pub const NOTICE: u64 = 6;
    /// Plus the role.
    pub const HELD: u64 = 7;

    pub const fn of(kind: u64, number: u64) -> u64 {
        kind | number << 8
    }
}

/// A service of the scan directory: its records, and the pipe between its parts.
#[derive(Debug)]
struct Entry {
    main: usize,
    log: Option<usize>,
    pipe: Option<OwnedFd>,
}

/// How a dialect's scanner treats its services.
fn habits(dialect: Dialect) -> Habits {
    match dialect {
        Dialect::Runit => Habits::RUNIT,
        Dialect::Classic | Dialect::Encore | Dialect::Auto => Habits::FAMILY,
    }
}

pub(crate) struct Engine<'a> {
    options: &'a Options,
    dialect: Dialect,
    dir: Dir,
    lock: OwnedFd,
    supervise_name: OsString,
    table: Table,
    store: Store,
    channel: Channel,
    bell: Bell,
    poll: Poll,
    spawner: Spawner,
    environment: Environment,
    inotify: Option<Inotify>,
    scan_watch: Option<i32>,
    watches: BTreeMap<i32, usize>,
    repair_at: Option<Mono>,
    /// A new directory that is still being filled is looked at again then.
    settle_at: Option<Mono>,
    broken: HashSet<usize>,
    scanner: Option<Scanner>,
    entries: BTreeMap<Id, Entry>,
    services: Vec<Option<Box<Service>>>,
    deadlines: BinaryHeap<Reverse<(Mono, usize)>>,
    queue: VecDeque<(usize, Event)>,
    dirty: Vec<usize>,
    state_dirty: Vec<usize>,
    effects: Vec<Effect>,
    ring_seen: u64,
    server: Option<Server>,
    clients: clients::Clients,
    /// Nobody could be accepted; the listener is looked at again then.
    listen_at: Option<Mono>,
    /// Records whose part could not be adopted though its child lives, and what is left of its adoption's time.
    orphans: Vec<usize>,
    orphans_at: Option<Mono>,
    dying_until: Mono,
    warned: HashSet<Vec<u8>>,
    /// Names that were renamed into the scan directory just now.
    arrived: HashSet<Vec<u8>>,
    keeper_lost: Option<Mono>,
    stop: Stop,
    /// What a stop ends with.
    exit: u8,
    /// `ok` of a service that has left while its logger still reads (runit).
    lingering: Option<OwnedFd>,
    done: Option<u8>,
}

/// Runs the engine until its tree is done.
pub fn run(options: &Options, birth: Birth) -> io::Result<u8> {
    let Birth {
        table,
        mut store,
        channel,
        bell,
        spawner,
    } = birth;
    let missing = || io::Error::from(io::ErrorKind::NotFound);
    let poll = Poll::new()?;
    poll.add(&channel, token::CHANNEL, Interest::Read)?;
    poll.add(&bell, token::BELL, Interest::Read)?;
    let now = clock::mono();
    let scans = options.mode != Mode::Single;
    let mut engine = Engine {
        options,
        dialect: options.dialect,
        dir: Dir::from(
            store
                .take(Place::tree(TreeKind::Dir).0)
                .ok_or_else(missing)?,
        ),
        lock: store
            .take(Place::tree(TreeKind::Lock).0)
            .ok_or_else(missing)?,
        supervise_name: options.supervise_name(),
        ring_seen: table.ring_head(),
        table,
        store,
        channel,
        bell,
        poll,
        spawner,
        environment: Environment::of_this_process(),
        inotify: None,
        scan_watch: None,
        watches: BTreeMap::new(),
        repair_at: None,
        settle_at: None,
        broken: HashSet::new(),
        scanner: scans.then(|| {
            Scanner::new(now, options.dialect != Dialect::Classic)
                .with_habits(habits(options.dialect))
        }),
        entries: BTreeMap::new(),
        services: Vec::new(),
        deadlines: BinaryHeap::new(),
        queue: VecDeque::new(),
        dirty: Vec::new(),
        state_dirty: Vec::new(),
        effects: Vec::new(),
        server: None,
        clients: clients::Clients::default(),
        listen_at: None,
        orphans: Vec::new(),
        orphans_at: None,
        dying_until: crate::service::end_of_dying(),
        warned: HashSet::new(),
        arrived: HashSet::new(),
        keeper_lost: None,
        stop: Stop::No,
        exit: 0,
        lingering: None,
        done: None,
    };
    engine.open_eyes();
    engine.adopt();
    if engine.options.mode == Mode::Single
        && engine.services.iter().flatten().next().is_none()
        && engine.done.is_none()
    {
        engine.begin_single();
    }
    engine.turn();
    engine.live()
}

impl Engine<'_> {
    /// What it sees changes and hears clients with. Without either it still supervises.
    fn open_eyes(&mut self) {
        let opened = match self.store.take(Place::tree(TreeKind::Inotify).0) {
            Some(kept) => Ok(Inotify::from(kept)),
            None => Inotify::new().inspect(|inotify| {
                self.keep(&[(Place::tree(TreeKind::Inotify), inotify.as_fd())]);
            }),
        };
        let added = opened.and_then(|inotify| {
            self.poll
                .add(&inotify, token::INOTIFY, Interest::Read)
                .map(|()| inotify)
        });
        match added {
            Ok(inotify) => {
                if !self.is_one_service() {
                    self.scan_watch = inotify.watch_entries(&self.dir).ok();
                }
                self.inotify = Some(inotify);
            }
            Err(error) => self.warn(
                &["unable to watch for changes, looking every 5 seconds".as_ref()],
                &error,
            ),
        }
        if !self.is_one_service()
            && let Err(error) = self.open_server()
        {
            self.warn(&["unable to listen for clients".as_ref()], &error);
        }
    }

    fn open_server(&mut self) -> io::Result<()> {
        let server = match self.store.take(Place::tree(TreeKind::Listener).0) {
            Some(listener) => Server::from_fd(listener)?,
            None => {
                let (_, path) = crate::tree::own_dir(&self.dir)?;
                let server = Server::bind(&path.join("control"))?;
                self.keep(&[(Place::tree(TreeKind::Listener), server.as_fd())]);
                server
            }
        };
        self.poll.add(&server, token::LISTENER, Interest::Read)?;
        self.server = Some(server);
        Ok(())
    }

    /// The loop. Nothing in it ends it but being done.
    fn live(&mut self) -> io::Result<u8> {
        let mut ready: Vec<Ready> = Vec::new();
        let mut lean = false;
        loop {
            if let Some(code) = self.done {
                self.write_states();
                self.table.set_exit(code);
                return Ok(code);
            }
            let now = clock::mono();
            let until = self.next_deadline();
            if until.is_none_or(|at| at > now) {
                self.write_states();
            }
            // Once, when what it was started for is running.
            if until.is_none() && !std::mem::replace(&mut lean, true) {
                eudaemon_sys::memory::release_code();
            }
            ready.clear();
            if let Err(error) = self.poll.wait(now, until, &mut ready) {
                self.warn(&["unable to wait".as_ref()], &error);
            }
            for what in &ready {
                self.on_ready(*what);
            }
            self.on_deadlines();
            self.turn();
        }
    }

    fn next_deadline(&self) -> Option<Mono> {
        let heap = self.deadlines.peek().map(|Reverse((at, _))| *at);
        let scanner = self.scanner.as_ref().and_then(Scanner::deadline);
        [
            heap,
            scanner,
            self.repair_at,
            self.settle_at,
            self.listen_at,
            self.orphans_at,
            self.keeper_lost,
            self.clients.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Stops the tree, in order or at once.
    fn stop(&mut self, how: Stop) {
        if how <= self.stop {
            return;
        }
        self.stop = how;
        self.table.set_stop(how);
        if how == Stop::HungUp {
            self.exit = Exit::Temporary.code();
        }
        // What could not be adopted cannot be taken down either; it is left alone rather than waited for.
        for record in std::mem::take(&mut self.orphans) {
            if let Some(about) = self.table.about(record) {
                self.scan(eudaemon_core::scan::Event::Left(about.owner, about.part));
            }
        }
        self.scan(eudaemon_core::scan::Event::Stop);
        if how == Stop::AtOnce {
            self.command_all(b"dxKLdK");
        }
    }

    // ---- turning -------------------------------------------------------------------------------------------------

    fn service(&self, record: usize) -> Option<&Service> {
        self.services.get(record).and_then(Option::as_deref)
    }
    fn service_mut(&mut self, record: usize) -> Option<&mut Service> {
        self.services.get_mut(record).and_then(Option::as_deref_mut)
    }

    /// Lets core decide about everything that is waiting, then writes what changed.
    fn turn(&mut self) {
        loop {
            self.drain_queue();
            if self.dirty.is_empty() && self.queue.is_empty() {
                return;
            }
            self.flush();
        }
    }

    fn drain_queue(&mut self) {
        while let Some((record, event)) = self.queue.pop_front() {
            self.step(record, event);
        }
    }

    fn step(&mut self, record: usize, event: Event) {
        let now = clock::now();
        let mut effects = std::mem::take(&mut self.effects);
        effects.clear();
        let Some(service) = self.services.get_mut(record).and_then(Option::as_mut) else {
            return;
        };
        let mut supervisor = service.supervisor;
        supervisor.step(now, event, &mut effects);
        if supervisor != service.supervisor {
            self.table.save(record, &supervisor);
            service.supervisor = supervisor;
        }
        if let Event::Exited(role, _) = event {
            self.table.free(record, role);
            let held = service.held[role as usize].take();
            let was_held = held.is_some();
            service.ended = held.filter(|_| role == Role::Main);
            if !self.table.is_ours(record, role) && was_held {
                self.release(&[Place::held(record, role)]);
            }
            if role == Role::Main {
                self.close_notice(record);
            }
        }
        self.perform_all(record, &mut effects);
        if let Some(service) = self.service_mut(record) {
            service.ended = None;
        }
        self.effects = effects;
    }

    fn perform_all(&mut self, record: usize, effects: &mut Vec<Effect>) {
        for effect in effects.drain(..) {
            self.perform(record, effect);
        }
        if let Some(service) = self.services.get_mut(record).and_then(Option::as_mut) {
            let at = service.supervisor.deadline();
            if service.deadline != at {
                service.deadline = at;
                if let Some(at) = at {
                    self.deadlines.push(Reverse((at, record)));
                }
            }
        }
    }

    fn mark_dirty(&mut self, record: usize) {
        if let Some(service) = self.service_mut(record)
            && !service.dirty
        {
            service.dirty = true;
            self.dirty.push(record);
        }
    }

    /// Writes the status of every service that changed, and answers who waits for it.
    fn flush(&mut self) {
        for record in std::mem::take(&mut self.dirty) {
            let Some(service) = self.services.get_mut(record).and_then(Option::as_mut) else {
                continue;
            };
            service.dirty = false;
            // The words first: whoever waits for the status finds them as well.
            let words = service.write_words(self.dialect);
            let written = words.and(service.write_status());
            if !service.state_dirty {
                service.state_dirty = true;
                self.state_dirty.push(record);
            }
            self.on_written(record, written);
            self.tell_waiters(record);
        }
    }

    fn on_written(&mut self, record: usize, written: io::Result<()>) {
        let Some(service) = self.services.get_mut(record).and_then(Option::as_mut) else {
            return;
        };
        match written {
            Ok(()) => service.unwritable = false,
            Err(error) => {
                if !std::mem::replace(&mut service.unwritable, true) {
                    let told = service.told(&self.supervise_name, "status");
                    self.warn_as("supervise", &["unable to write ".as_ref(), &told], &error);
                }
                self.broken.insert(record);
                self.repair_at.get_or_insert(clock::mono() + REPAIR_PAUSE);
            }
        }
    }

    /// Writes the state files, when there is nothing better to do.
    fn write_states(&mut self) {
        for record in std::mem::take(&mut self.state_dirty) {
            let Some(service) = self.service_mut(record) else {
                continue;
            };
            service.state_dirty = false;
            // The status has said whether the disk takes anything; the state only repeats it.
            let _ = service.write_state();
        }
    }

    // ---- speaking ------------------------------------------------------------------------------------------------

    fn warn(&self, words: &[&OsStr], error: &io::Error) {
        self.options.report().warn(words, Some(error));
    }
    /// A message of a supervisor is a supervisor's, whoever runs it.
    fn warn_as(&self, program: &'static str, words: &[&OsStr], error: &io::Error) {
        let program = match (self.dialect, program) {
            (Dialect::Runit, "supervise") => "runsv",
            (_, program) => program,
        };
        crate::report::Report(program).warn(words, Some(error));
    }
    /// A warning about something that stays wrong is said once, until it is right.
    fn warn_once(&mut self, key: &[u8], words: &[&OsStr], error: &io::Error) {
        if self.warned.insert(key.to_vec()) {
            self.warn(words, error);
        }
    }

    fn part_name(name: &[u8], part: Part) -> OsString {
        use std::os::unix::ffi::OsStringExt;
        let mut bytes = name.to_vec();
        if part == Part::Log {
            bytes.extend_from_slice(b"/log");
        }
        OsString::from_vec(bytes)
    }
}
