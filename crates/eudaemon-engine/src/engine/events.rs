//! What can happen to an engine, and what it makes of it: everything that wakes the loop comes in here.

use super::{Engine, REMOVAL_PAUSE, token};
use crate::table::{Slot, Stop};
use crate::tree::Mode;
use crate::vault::{Kind, Place};
use eudaemon_core::control::{Batch, Command, Control};
use eudaemon_core::scan::{Part, Scanner};
use eudaemon_core::status::Dialect;
use eudaemon_core::supervise::{Event, Role};
use eudaemon_core::words::{Ended, Signal};
use eudaemon_sys::inotify::Change;
use eudaemon_sys::poll::Ready;
use eudaemon_sys::{clock, dir};
use std::cmp::Reverse;
use std::io;

impl Engine<'_> {
    pub(super) fn on_ready(&mut self, what: Ready) {
        let number = usize::try_from(what.token >> 8).unwrap_or(usize::MAX);
        match what.token & 0xff {
            token::CHANNEL => {
                if what.hung_up {
                    self.on_keeper_lost();
                }
            }
            token::BELL => {
                let _ = self.bell.silence();
                self.on_bell();
            }
            token::INOTIFY => self.on_changes(),
            token::LISTENER => self.on_listener(),
            token::CLIENT => self.on_client(what.token >> 8, what),
            token::CONTROL => self.on_control(number),
            token::NOTICE => self.on_notice(number),
            held => {
                let role = Role::ALL
                    .iter()
                    .find(|role| token::HELD + **role as u64 == held);
                if let Some(role) = role {
                    self.on_held(number, *role);
                }
            }
        }
    }

    pub(super) fn on_deadlines(&mut self) {
        let now = clock::mono();
        while let Some(Reverse((at, record))) = self.deadlines.peek().copied()
            && at <= now
        {
            self.deadlines.pop();
            if let Some(service) = self.service_mut(record)
                && service.deadline == Some(at)
            {
                service.deadline = None;
                self.queue.push_back((record, Event::Deadline));
            }
        }
        if self
            .scanner
            .as_ref()
            .and_then(Scanner::deadline)
            .is_some_and(|at| at <= now)
        {
            self.scan(eudaemon_core::scan::Event::Deadline);
        }
        if self.settle_at.is_some_and(|at| at <= now) {
            self.settle_at = None;
            self.scan(eudaemon_core::scan::Event::Changed);
        }
        if self.repair_at.is_some_and(|at| at <= now) {
            self.repair_at = None;
            for record in std::mem::take(&mut self.broken) {
                self.repair(record);
            }
        }
        if self.listen_at.is_some_and(|at| at <= now) {
            self.listen_again();
        }
        if self.orphans_at.is_some_and(|at| at <= now) {
            self.adopt_orphans();
        }
        if self.keeper_lost.is_some_and(|at| at <= now) {
            self.on_keeper_lost();
        }
        self.time_out_clients(now);
    }

    // ---- what happened -------------------------------------------------------------------------------------------

    pub(super) fn on_bell(&mut self) {
        let mut ended = Vec::new();
        let mut seen = self.ring_seen;
        if self.table.ended_since(&mut seen, &mut ended).is_none() {
            ended.clear();
            for record in 0..self.table.high_water() {
                ended.extend(Role::ALL.map(|role| (record, role)));
            }
        }
        self.ring_seen = seen;
        for (record, role) in ended {
            self.on_slot(record, role);
        }
        self.on_signals();
    }

    /// Acts on what the keeper was sent. A signal is done only then, so a kill loses none; the bell rings for those that
    /// come meanwhile.
    pub(super) fn on_signals(&mut self) {
        for signal in self.table.take_signals() {
            self.on_signal(signal);
            self.table.signal_done(signal);
        }
    }

    /// Tells a supervisor of its child's end, if the slot says so and it is the child the supervisor knows.
    pub(super) fn on_slot(&mut self, record: usize, role: Role) {
        let Slot::Exited(status) = self.table.slot(record, role) else {
            return;
        };
        let known = self.service(record).is_some_and(|service| {
            service.supervisor.generation(role) == self.table.generation(record, role)
                && service.supervisor.child(role).is_some()
        });
        if known {
            // What it wrote into `control` before it ended was said before (`sv down .` in a `finish`).
            if role == Role::Main {
                self.on_control(record);
            }
            self.queue
                .push_back((record, Event::Exited(role, Ended::from_wait(status))));
        } else {
            self.table.free(record, role);
        }
    }

    /// A child that is no keeper's has ended.
    pub(super) fn on_held(&mut self, record: usize, role: Role) {
        let Some(service) = self.service(record) else {
            return;
        };
        let Some(pid) = service.supervisor.child(role) else {
            return;
        };
        let Some(held) = &service.held[role as usize] else {
            return;
        };
        if !held.has_ended() {
            return;
        }
        let ended = held
            .wait_status(pid)
            .map_or(Ended::Unknown, Ended::from_wait);
        // The set forgets a descriptor only when its last copy is closed, and the keeper has one.
        let _ = self.poll.remove(held);
        self.queue.push_back((record, Event::Exited(role, ended)));
    }

    pub(super) fn on_control(&mut self, record: usize) {
        let Some(service) = self.services.get(record).and_then(Option::as_ref) else {
            return;
        };
        match self.table.read_commands(record, &service.files.control) {
            Ok(bytes) => self.obey(record, &bytes, 0),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                let told = service.told(&self.supervise_name, "control");
                self.warn(&["unable to read ".as_ref(), &told], &error);
            }
        }
        self.table.empty_inbox();
    }

    /// Acts on a batch of control bytes, of which the first `done` have been acted on before.
    pub(super) fn obey(&mut self, record: usize, bytes: &[u8], done: usize) {
        let mut batch = Batch::default();
        for (at, byte) in bytes.iter().enumerate() {
            if let Some(command) = batch.next(*byte)
                && at >= done
                && !self.means_nothing(record, command)
            {
                self.queue.push_back((record, Event::Command(command)));
                self.drain_queue();
            }
            self.table.commands_done(at + 1);
        }
    }

    /// runit's log service leaves only with its service (runsv(8): `x` "is ignored").
    fn means_nothing(&self, record: usize, command: Command) -> bool {
        self.dialect == Dialect::Runit
            && command.control == Control::Exit
            && self
                .service(record)
                .is_some_and(|service| service.about.part == Part::Log)
    }

    /// The service says that it is ready: a line on its notification descriptor.
    pub(super) fn on_notice(&mut self, record: usize) {
        let Some(service) = self.services.get_mut(record).and_then(Option::as_mut) else {
            return;
        };
        let Some(notice) = &service.notice else {
            return;
        };
        let mut bytes = [0; 4096];
        match dir::read(notice, &mut bytes) {
            Ok(0) => {}
            Ok(got) => {
                if !bytes[..got].contains(&b'\n') {
                    return;
                }
                self.queue.push_back((record, Event::Ready));
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                return;
            }
            Err(_) => {}
        }
        self.close_notice(record);
    }

    pub(super) fn close_notice(&mut self, record: usize) {
        if let Some(service) = self.services.get_mut(record).and_then(Option::as_mut)
            && let Some(notice) = service.notice.take()
        {
            let _ = self.poll.remove(&notice);
            self.release(&[Place::of(record, Kind::Notice)]);
        }
    }

    pub(super) fn on_changes(&mut self) {
        let mut changes: Vec<Change> = Vec::new();
        let Some(inotify) = &self.inotify else { return };
        if inotify.read(&mut changes).is_err() {
            changes.push(Change {
                watch: None,
                name: Vec::new(),
                gone: false,
                removed: false,
                arrived: false,
            });
        }
        let mut rescan = false;
        for change in changes {
            let of_scan = self.scan_watch.is_some() && change.watch == self.scan_watch;
            if of_scan && change.gone {
                self.scan_watch = None;
            }
            match change.watch {
                None => {
                    rescan = true;
                    for record in 0..self.services.len() {
                        self.repair(record);
                    }
                }
                Some(_) if of_scan => {
                    if !change.name.starts_with(b".") {
                        rescan = true;
                        if change.arrived {
                            self.arrived.insert(change.name);
                        }
                    }
                }
                Some(watch) => {
                    let Some(record) = self.watches.get(&watch).copied() else {
                        continue;
                    };
                    if change.gone {
                        self.watches.remove(&watch);
                        if let Some(service) = self.service_mut(record) {
                            service.watch = None;
                        }
                    }
                    let ours = match change.name.as_slice() {
                        b"control" | b"ok" | b"lock" => true,
                        // Each status that we write takes the name of the one before.
                        b"status" => change.removed,
                        _ => false,
                    };
                    if change.gone || ours {
                        self.broken.insert(record);
                        // Each removal puts it off: `rm -rf` of a service and its log takes its time.
                        self.repair_at = Some(clock::mono() + REMOVAL_PAUSE);
                    }
                }
            }
        }
        if rescan {
            self.scan(eudaemon_core::scan::Event::Changed);
        }
        self.arrived.clear();
    }

    pub(super) fn on_signal(&mut self, signal: Signal) {
        let classic = self.dialect == Dialect::Classic;
        match (self.options.mode, signal) {
            // 0.76 leaves everything running (specification §3.5, §4).
            (Mode::Single | Mode::Scan, Signal::Term | Signal::Int) if classic => {
                self.done = Some(0)
            }
            // Leaves all running; the next runsvdir adopts it (runsvdir(8)).
            (Mode::Scan, Signal::Term) if self.dialect == Dialect::Runit => self.done = Some(0),
            (Mode::Scan, Signal::Hup) if self.dialect == Dialect::Runit => self.stop(Stop::HungUp),
            (Mode::Pair, Signal::Term | Signal::Int) => self.stop(Stop::Ordered),
            (Mode::Single, Signal::Term | Signal::Int) => self.command_all(b"dx"),
            (Mode::Single, Signal::Tstp) => self.command_all(b"p"),
            (Mode::Single, Signal::Cont) => self.command_all(b"c"),
            (Mode::Scan, Signal::Term | Signal::Int) => self.stop(Stop::Ordered),
            (Mode::Up, Signal::Term | Signal::Int) => {
                self.stop(if self.stop == Stop::No {
                    Stop::Ordered
                } else {
                    Stop::AtOnce
                });
            }
            (Mode::Scan | Mode::Up, Signal::Hup | Signal::Alrm) => {
                self.scan(eudaemon_core::scan::Event::Changed)
            }
            // Every other signal means nothing to us.
            (Mode::Single | Mode::Pair | Mode::Scan | Mode::Up, _) => {}
        }
    }

    pub(super) fn command_all(&mut self, letters: &[u8]) {
        for record in 0..self.services.len() {
            if self.service(record).is_some() {
                self.obey(record, letters, 0);
            }
        }
    }
}
