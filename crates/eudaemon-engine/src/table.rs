//! The shared table: what must outlive an engine, in memory that keeper and engine both map.
//!
//! The kernel writes pids into it, the keeper writes how children ended, the engine writes what it has decided. Nobody ever
//! waits for anybody: each word has one writer at a time, and the order of writes is what makes a kill at any instruction
//! harmless. The orders are given at the functions.
//!
//! It is a file on tmpfs where there is one: then it also outlives keeper and engine together, and dies with the boot.
//!
//! | bytes | what |
//! |---|---|
//! | 0 | header: magic, version, capacity, epoch, high water, pending signals, stop, exit, … |
//! | 1024 | inbox: control bytes that were read and are not yet acted on |
//! | 2048 | ring of slots whose child has ended |
//! | 8192 | pids, one 32-bit word a slot, written by the kernel |
//! | then | slots, 32 bytes each, four a record |
//! | then | records, 448 bytes each, one a service part |

use eudaemon_core::scan::{Id, Part};
use eudaemon_core::supervise::{Role, Supervisor, WORDS};
use eudaemon_core::words::{Pid, Signal};
use eudaemon_sys::shared::Shared;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

const MAGIC: u64 = u64::from_le_bytes(*b"eudaemon");
/// Changed with the layout: a table of another version is emptied.
const VERSION: u64 = 3;

const INBOX: usize = 1024;
const INBOX_BYTES: usize = INBOX + 16;
/// Most control bytes that are read at once.
pub const INBOX_SIZE: usize = 256;
const RING: usize = 2048;
const RING_SIZE: usize = 1024;
const PIDS: usize = 8192;
const SLOT_SIZE: usize = 32;
const RECORD_SIZE: usize = 448;
const ROLES: usize = Role::ALL.len();

/// Places of the header, in 64-bit words.
#[derive(Clone, Copy)]
enum Header {
    Magic = 0,
    Version = 1,
    Capacity = 2,
    Epoch = 3,
    HighWater = 4,
    Signals = 5,
    Stop = 6,
    Exit = 7,
    Engines = 8,
    RingHead = 9,
    EnginePid = 10,
    KeeperPid = 11,
    Acting = 12,
}

/// What a slot says of its child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// There is none.
    Free,
    /// One was asked for; if it has a pid, it was made.
    Intent,
    /// It ended with this wait status.
    Exited(u32),
}

/// How far an ordered stop has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Not asked for.
    No = 0,
    /// Take everything down in order.
    Ordered = 1,
    /// The same, told by HUP (runit): the exit code says so.
    HungUp = 2,
    /// Kill what is left.
    AtOnce = 3,
}

/// The table.
#[derive(Debug)]
pub struct Table {
    shared: Shared,
    capacity: usize,
    slots: usize,
    records: usize,
}

fn size_for(capacity: usize) -> (usize, usize, usize) {
    let slots = (PIDS + capacity * ROLES * 4).next_multiple_of(64);
    let records = (slots + capacity * ROLES * SLOT_SIZE).next_multiple_of(4096);
    (slots, records, records + capacity * RECORD_SIZE)
}

impl Table {
    /// The table in a file, made or grown as needed. One that does not hold a table of this version is emptied.
    pub fn open(path: &Path, capacity: usize) -> io::Result<Table> {
        let (.., size) = size_for(capacity);
        Table::on(Shared::open(path, size)?, capacity)
    }

    /// A table that no file system knows: it does not outlive keeper and engine together.
    pub fn anonymous(capacity: usize) -> io::Result<Table> {
        let (.., size) = size_for(capacity);
        Table::on(Shared::anonymous(size)?, capacity)
    }

    /// The table in an open file, which was handed on.
    pub fn from_file(file: std::os::fd::OwnedFd, capacity: usize) -> io::Result<Table> {
        let (.., size) = size_for(capacity);
        Table::on(Shared::map(file, size)?, capacity)
    }

    fn on(shared: Shared, capacity: usize) -> io::Result<Table> {
        let (slots, records, _) = size_for(capacity);
        let table = Table {
            shared,
            capacity,
            slots,
            records,
        };
        let ours = table.header(Header::Magic).load(SeqCst) == MAGIC
            && table.header(Header::Version).load(SeqCst) == VERSION
            && table.header(Header::Capacity).load(SeqCst) == capacity as u64;
        if !ours {
            table.clear()?;
        }
        Ok(table)
    }

    fn clear(&self) -> io::Result<()> {
        self.shared.clear()?;
        self.header(Header::Version).store(VERSION, SeqCst);
        self.header(Header::Capacity)
            .store(self.capacity as u64, SeqCst);
        self.header(Header::Magic).store(MAGIC, SeqCst);
        Ok(())
    }

    /// The file behind it, to be handed on.
    #[must_use]
    pub fn file(&self) -> std::os::fd::BorrowedFd<'_> {
        self.shared.file()
    }

    /// How many records it has.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    fn header(&self, place: Header) -> &AtomicU64 {
        &self.shared.words64(place as usize * 8, 1)[0]
    }

    // ---- the life of keeper and engine ---------------------------------------------------------------------------

    /// A tree is started, not handed over: what an earlier one was told is over.
    pub fn begin_tree(&self) {
        self.header(Header::Stop).store(0, SeqCst);
        self.header(Header::Signals).store(0, SeqCst);
        self.header(Header::Acting).store(0, SeqCst);
    }
    /// Begins a keeper's time: children of an earlier keeper are from now on known to be nobody's.
    pub fn begin_epoch(&self, keeper: u32) {
        self.header(Header::Epoch).fetch_add(1, SeqCst);
        self.header(Header::KeeperPid)
            .store(u64::from(keeper), SeqCst);
        self.header(Header::Exit).store(0, SeqCst);
    }
    /// The tree is done. If nothing of it lives, the table's file goes with it; else the next start needs it.
    pub fn discard(&self) {
        let lives = (0..self.high_water())
            .flat_map(|record| Role::ALL.map(|role| (record, role)))
            .any(|(record, role)| self.slot(record, role) == Slot::Intent);
        if !lives {
            self.shared.unlink();
        }
    }
    /// The keeper's time.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        u32::try_from(self.header(Header::Epoch).load(SeqCst) & 0xffff_ffff).unwrap_or(0)
    }
    /// Notes a new engine.
    pub fn begin_engine(&self, pid: u32) {
        self.header(Header::Engines).fetch_add(1, SeqCst);
        self.header(Header::EnginePid).store(u64::from(pid), SeqCst);
    }
    /// How many engines there have been.
    #[must_use]
    pub fn engines(&self) -> u64 {
        self.header(Header::Engines).load(SeqCst)
    }
    /// Notes a signal for the engine to act on.
    pub fn post_signal(&self, signal: Signal) {
        self.header(Header::Signals)
            .fetch_or(1 << (signal.number_linux() & 63), SeqCst);
    }
    /// The signals that have come and are to be acted on, those first that an engine was killed over. One that comes again
    /// from now on is another, and each is kept until [`Table::signal_done`]: written down as being acted on before it is
    /// taken from those that came, so a kill between the two doubles it and loses nothing.
    #[must_use]
    pub fn take_signals(&self) -> Vec<Signal> {
        let came = self.header(Header::Signals).load(SeqCst);
        let acting = self.header(Header::Acting).fetch_or(came, SeqCst) | came;
        self.header(Header::Signals).fetch_and(!came, SeqCst);
        (0..64)
            .filter(|bit| acting >> bit & 1 == 1)
            .filter_map(Signal::from_number_linux)
            .collect()
    }
    /// A signal has been acted on.
    pub fn signal_done(&self, signal: Signal) {
        let bit: u64 = 1 << (signal.number_linux() & 63);
        self.header(Header::Acting).fetch_and(!bit, SeqCst);
    }
    /// How far a stop has gone.
    #[must_use]
    pub fn stop(&self) -> Stop {
        match self.header(Header::Stop).load(SeqCst) {
            0 => Stop::No,
            1 => Stop::Ordered,
            2 => Stop::HungUp,
            _ => Stop::AtOnce,
        }
    }
    /// A stop is asked for; it is never taken back within a keeper's time.
    pub fn set_stop(&self, stop: Stop) {
        self.header(Header::Stop).store(stop as u64, SeqCst);
    }
    /// The engine is done, with this exit code; the keeper may go.
    pub fn set_exit(&self, code: u8) {
        self.header(Header::Exit).store(u64::from(code) + 1, SeqCst);
    }
    /// The exit code, once the engine is done.
    #[must_use]
    pub fn exit(&self) -> Option<u8> {
        self.header(Header::Exit)
            .load(SeqCst)
            .checked_sub(1)
            .and_then(|code| u8::try_from(code).ok())
    }

    // ---- slots ---------------------------------------------------------------------------------------------------

    /// All mains, then all logs, then all checks, then all hooks: few services have the latter, and pages that are never touched cost
    /// nothing.
    fn slot_index(&self, record: usize, role: Role) -> usize {
        role as usize * self.capacity + record
    }
    /// Where the kernel writes the pid of a slot's child.
    #[must_use]
    pub fn pid_word(&self, record: usize, role: Role) -> &AtomicU32 {
        &self
            .shared
            .words32(PIDS + self.slot_index(record, role) * 4, 1)[0]
    }
    /// State, generation, status, epoch.
    fn slot_words(&self, slot: usize) -> &[AtomicU32] {
        self.shared.words32(self.slots + slot * SLOT_SIZE, 4)
    }
    /// Identity, moment of the start.
    fn slot_longs(&self, slot: usize) -> &[AtomicU64] {
        self.shared.words64(self.slots + slot * SLOT_SIZE + 16, 2)
    }

    /// Before a child is asked for. Killed before the last store, the slot is of an older generation, or free, and says
    /// nothing about this launch; killed after it, pid 0 says that the kernel made no child.
    pub fn intend(&self, record: usize, role: Role, generation: u32) {
        let slot = self.slot_index(record, role);
        let words = self.slot_words(slot);
        words[0].store(0, SeqCst);
        self.pid_word(record, role).store(0, SeqCst);
        words[1].store(generation, SeqCst);
        words[2].store(0, SeqCst);
        words[3].store(self.epoch(), SeqCst);
        self.slot_longs(slot)[0].store(0, SeqCst);
        self.slot_longs(slot)[1].store(0, SeqCst);
        words[0].store(1, SeqCst);
    }
    /// The kernel made no child after all.
    pub fn free(&self, record: usize, role: Role) {
        self.slot_words(self.slot_index(record, role))[0].store(0, SeqCst);
    }
    /// What a slot says.
    #[must_use]
    pub fn slot(&self, record: usize, role: Role) -> Slot {
        let words = self.slot_words(self.slot_index(record, role));
        match words[0].load(SeqCst) {
            0 => Slot::Free,
            1 => Slot::Intent,
            _ => Slot::Exited(words[2].load(SeqCst)),
        }
    }
    /// The launch a slot is about.
    #[must_use]
    pub fn generation(&self, record: usize, role: Role) -> u32 {
        self.slot_words(self.slot_index(record, role))[1].load(SeqCst)
    }
    /// Whether the child is of the present keeper's time, and so its child.
    #[must_use]
    pub fn is_ours(&self, record: usize, role: Role) -> bool {
        self.slot_words(self.slot_index(record, role))[3].load(SeqCst) == self.epoch()
    }
    /// The pid on record.
    #[must_use]
    pub fn pid(&self, record: usize, role: Role) -> Option<Pid> {
        Pid::new(self.pid_word(record, role).load(SeqCst))
    }
    /// The child's identity, for a time without keeper and engine: its pidfs inode.
    pub fn set_identity(&self, record: usize, role: Role, inode: u64) {
        self.slot_longs(self.slot_index(record, role))[0].store(inode, SeqCst);
    }
    /// See [`Table::set_identity`]; 0 when it could not be recorded in time.
    #[must_use]
    pub fn identity(&self, record: usize, role: Role) -> u64 {
        self.slot_longs(self.slot_index(record, role))[0].load(SeqCst)
    }

    /// When the child was started, in the kernel's ticks: its identity where pidfs numbers nobody.
    pub fn set_start(&self, record: usize, role: Role, ticks: u64) {
        self.slot_longs(self.slot_index(record, role))[1].store(ticks, SeqCst);
    }
    /// See [`Table::set_start`]; 0 when it was not recorded.
    #[must_use]
    pub fn start(&self, record: usize, role: Role) -> u64 {
        self.slot_longs(self.slot_index(record, role))[1].load(SeqCst)
    }

    /// For the keeper: writes down how a child ended, before it is reaped. False if it is nobody we know.
    ///
    /// The pid cannot come to mean another process before it is reaped, so the match is unambiguous.
    pub fn record_end(&self, pid: Pid, status: u32) -> bool {
        let used = self.high_water();
        for (role, record) in Role::ALL
            .into_iter()
            .flat_map(|role| (0..used).map(move |at| (role, at)))
        {
            let slot = self.slot_index(record, role);
            if self.pid_word(record, role).load(SeqCst) != pid.get() {
                continue;
            }
            let words = self.slot_words(slot);
            // A child of an earlier keeper is not ours to bury, whatever its number.
            if words[0].load(SeqCst) != 1 || words[3].load(SeqCst) != self.epoch() {
                continue;
            }
            words[2].store(status, SeqCst);
            words[0].store(2, SeqCst);
            let head = self.header(Header::RingHead).load(SeqCst);
            let place = usize::try_from(head).unwrap_or(0) % RING_SIZE;
            self.shared.words32(RING + place * 4, 1)[0]
                .store(u32::try_from(slot).unwrap_or(u32::MAX), SeqCst);
            self.header(Header::RingHead).store(head + 1, SeqCst);
            return true;
        }
        false
    }

    /// For the engine: the slots whose child has ended since `seen`, which it keeps. If the ring has gone round, or after
    /// an adoption, every slot is to be looked at: `None`.
    pub fn ended_since(&self, seen: &mut u64, out: &mut Vec<(usize, Role)>) -> Option<()> {
        let head = self.header(Header::RingHead).load(SeqCst);
        let from = std::mem::replace(seen, head);
        if head.saturating_sub(from) >= RING_SIZE as u64 {
            return None;
        }
        for at in from..head {
            let place = usize::try_from(at).unwrap_or(0) % RING_SIZE;
            let slot = self.shared.words32(RING + place * 4, 1)[0].load(SeqCst) as usize;
            if let Some(role) = Role::ALL.get(slot / self.capacity) {
                out.push((slot % self.capacity, *role));
            }
        }
        // The keeper may have gone round while we read.
        let head = self.header(Header::RingHead).load(SeqCst);
        if head.saturating_sub(from) >= RING_SIZE as u64 {
            return None;
        }
        Some(())
    }
    /// Where the ring stands now.
    #[must_use]
    pub fn ring_head(&self) -> u64 {
        self.header(Header::RingHead).load(SeqCst)
    }

    // ---- records -------------------------------------------------------------------------------------------------

    fn record(&self, record: usize) -> &[AtomicU64] {
        self.shared
            .words64(self.records + record * RECORD_SIZE, RECORD_SIZE / 8)
    }
    /// One more than the highest record ever used.
    #[must_use]
    pub fn high_water(&self) -> usize {
        usize::try_from(self.header(Header::HighWater).load(SeqCst))
            .unwrap_or(0)
            .min(self.capacity)
    }

    /// Takes a free record for a service part. `None`: the table is full.
    pub fn allocate(&self, about: &About) -> Option<usize> {
        let high = self.high_water();
        let free = (0..high).find(|record| self.record(*record)[0].load(SeqCst) == 0);
        let record = match free {
            Some(record) => record,
            None if high < self.capacity => high,
            None => return None,
        };
        let slot = self.slot_index(record, Role::Main);
        let places = [
            (PIDS + slot * 4, 4),
            (self.slots + slot * SLOT_SIZE, SLOT_SIZE),
            (self.records + record * RECORD_SIZE, RECORD_SIZE),
        ];
        for (at, len) in places {
            self.shared.reserve(at, len).ok()?;
        }
        let words = self.record(record);
        for word in &words[1..] {
            word.store(0, SeqCst);
        }
        // Beyond the high water nothing was ever written, and even a read would make pages of it.
        for role in Role::ALL.into_iter().filter(|_| record < high) {
            self.free(record, role);
            self.pid_word(record, role).store(0, SeqCst);
            self.slot_words(self.slot_index(record, role))[1].store(0, SeqCst);
        }
        words[1].store(about.dir.dev, SeqCst);
        words[2].store(about.dir.ino, SeqCst);
        words[3].store(about.owner.dev, SeqCst);
        words[4].store(about.owner.ino, SeqCst);
        words[5].store(
            u64::from(about.part == Part::Log)
                | u64::from(about.logged) << 1
                | u64::from(about.builtin) << 2,
            SeqCst,
        );
        words[0].store(1, SeqCst);
        self.header(Header::HighWater)
            .fetch_max(record as u64 + 1, SeqCst);
        Some(record)
    }
    /// Gives a record back.
    pub fn release(&self, record: usize) {
        self.record(record)[0].store(0, SeqCst);
    }
    /// What a record is about; `None` if it is free.
    #[must_use]
    pub fn about(&self, record: usize) -> Option<About> {
        let words = self.record(record);
        if words[0].load(SeqCst) == 0 {
            return None;
        }
        let flags = words[5].load(SeqCst);
        Some(About {
            dir: Id {
                dev: words[1].load(SeqCst),
                ino: words[2].load(SeqCst),
            },
            owner: Id {
                dev: words[3].load(SeqCst),
                ino: words[4].load(SeqCst),
            },
            part: if flags & 1 == 1 {
                Part::Log
            } else {
                Part::Main
            },
            logged: flags >> 1 & 1 == 1,
            builtin: flags >> 2 & 1 == 1,
        })
    }
    /// The inode of the pipe that leads to a record's logger.
    pub fn set_pipe(&self, record: usize, inode: u64) {
        self.record(record)[6].store(inode, SeqCst);
    }
    /// See [`Table::set_pipe`].
    #[must_use]
    pub fn pipe(&self, record: usize) -> u64 {
        self.record(record)[6].load(SeqCst)
    }

    /// Saves what a supervisor knows. There are two places; the one that counts is changed last, by one store.
    pub fn save(&self, record: usize, supervisor: &Supervisor) {
        let words = self.record(record);
        let next = if words[7].load(SeqCst) == 1 { 2 } else { 1 };
        let at = 8 + (next - 1) * WORDS;
        for (place, word) in words[at..at + WORDS].iter().zip(supervisor.save()) {
            place.store(word, SeqCst);
        }
        words[7].store(next as u64, SeqCst);
    }
    /// Forgets it: the part has no supervisor.
    pub fn unsave(&self, record: usize) {
        self.record(record)[7].store(0, SeqCst);
    }
    /// What was saved last; `None` if the part has no supervisor.
    #[must_use]
    pub fn restore(&self, record: usize) -> Option<Supervisor> {
        let words = self.record(record);
        let at = match words[7].load(SeqCst) {
            1 => 8,
            2 => 8 + WORDS,
            _ => return None,
        };
        let mut saved = [0; WORDS];
        for (word, place) in saved.iter_mut().zip(&words[at..at + WORDS]) {
            *word = place.load(SeqCst);
        }
        Supervisor::restore(&saved)
    }

    // ---- the inbox -----------------------------------------------------------------------------------------------

    fn inbox(&self) -> (&AtomicU64, &AtomicU64) {
        let words = self.shared.words64(INBOX, 2);
        (&words[0], &words[1])
    }
    /// Reads control bytes of a record's FIFO straight into the inbox, so that a byte that has left the FIFO is never
    /// lost. Returns them.
    pub fn read_commands(&self, record: usize, fifo: impl AsFd) -> io::Result<Vec<u8>> {
        let (whose, done) = self.inbox();
        for byte in self.shared.bytes(INBOX_BYTES, INBOX_SIZE) {
            byte.store(0, SeqCst);
        }
        done.store(0, SeqCst);
        whose.store(record as u64 + 1, SeqCst);
        let got = self.shared.read_from(fifo, INBOX_BYTES, INBOX_SIZE)?;
        Ok(self
            .shared
            .bytes(INBOX_BYTES, got)
            .iter()
            .map(|byte| byte.load(SeqCst))
            .collect())
    }
    /// The first `count` bytes have been acted on.
    pub fn commands_done(&self, count: usize) {
        self.inbox().1.store(count as u64, SeqCst);
    }
    /// Everything has been acted on.
    pub fn empty_inbox(&self) {
        self.inbox().0.store(0, SeqCst);
    }
    /// After a kill: whose bytes are in the inbox, which, and how many of them have been acted on.
    #[must_use]
    pub fn unfinished_commands(&self) -> Option<(usize, Vec<u8>, usize)> {
        let (whose, done) = self.inbox();
        let record = usize::try_from(whose.load(SeqCst).checked_sub(1)?).ok()?;
        let bytes: Vec<u8> = self
            .shared
            .bytes(INBOX_BYTES, INBOX_SIZE)
            .iter()
            .map(|byte| byte.load(SeqCst))
            .take_while(|byte| *byte != 0)
            .collect();
        let done = usize::try_from(done.load(SeqCst)).unwrap_or(usize::MAX);
        (done < bytes.len()).then_some((record, bytes, done))
    }
}

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// The part's own directory.
    pub dir: Id,
    /// The service's directory: the same, but for a log.
    pub owner: Id,
    /// Which part.
    pub part: Part,
    /// The service has a logger.
    pub logged: bool,
    /// Its logger is the built-in one.
    pub builtin: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use eudaemon_core::supervise::Now;

    fn about() -> About {
        let id = Id { dev: 1, ino: 2 };
        About {
            dir: id,
            owner: id,
            part: Part::Main,
            logged: true,
            builtin: false,
        }
    }

    #[test]
    fn an_end_finds_its_slot_once() {
        let table = Table::anonymous(8).expect("table");
        table.begin_epoch(1);
        let record = table.allocate(&about()).expect("room");
        assert_eq!(table.about(record), Some(about()));
        let pid = Pid::new(77).expect("pid");
        table.intend(record, Role::Main, 1);
        assert!(!table.record_end(pid, 0), "no child yet");
        table.pid_word(record, Role::Main).store(77, SeqCst);
        assert!(table.record_end(pid, 256));
        assert!(!table.record_end(pid, 256), "told once");
        assert_eq!(table.slot(record, Role::Main), Slot::Exited(256));
        let (mut seen, mut ended) = (0, Vec::new());
        assert_eq!(table.ended_since(&mut seen, &mut ended), Some(()));
        assert_eq!(ended, [(record, Role::Main)]);
    }

    #[test]
    fn a_save_that_was_cut_leaves_the_one_before() {
        let table = Table::anonymous(8).expect("table");
        let record = table.allocate(&about()).expect("room");
        assert_eq!(table.restore(record), None);
        let first = Supervisor::new(Now::default(), true);
        let second = Supervisor::new(Now::default(), false);
        table.save(record, &first);
        table.save(record, &second);
        assert_eq!(table.restore(record), Some(second));
        // Half of a third: the place that does not count is torn.
        table.record(record)[8].store(99, SeqCst);
        assert_eq!(table.restore(record), Some(second));
        table.unsave(record);
        assert_eq!(table.restore(record), None);
    }

    #[test]
    fn commands_read_and_not_acted_on_are_found_again() {
        let table = Table::anonymous(8).expect("table");
        let (read, write) = eudaemon_sys::dir::notice_pipe().expect("pipe");
        eudaemon_sys::dir::write(&write, b"Lud").expect("write");
        assert_eq!(table.read_commands(3, &read).expect("read"), b"Lud");
        table.commands_done(2);
        assert_eq!(table.unfinished_commands(), Some((3, b"Lud".to_vec(), 2)));
        table.empty_inbox();
        assert_eq!(table.unfinished_commands(), None);
    }

    #[test]
    fn a_signal_that_comes_again_while_it_is_acted_on_is_another() {
        let table = Table::anonymous(8).expect("table");
        table.post_signal(Signal::Hup);
        table.post_signal(Signal::Term);
        assert_eq!(table.take_signals(), [Signal::Hup, Signal::Term]);
        table.signal_done(Signal::Term);
        table.post_signal(Signal::Hup);
        table.signal_done(Signal::Hup);
        assert_eq!(table.take_signals(), [Signal::Hup]);
        // The engine is killed over it; the next acts on it.
        assert_eq!(table.take_signals(), [Signal::Hup]);
        table.signal_done(Signal::Hup);
        assert_eq!(table.take_signals(), []);
    }

    #[test]
    fn another_capacity_is_another_table() {
        let table = Table::anonymous(8).expect("table");
        table.begin_epoch(1);
        table.allocate(&about()).expect("room");
        let again =
            Table::from_file(table.file().try_clone_to_owned().expect("dup"), 8).expect("map");
        assert_eq!(again.high_water(), 1);
        let other =
            Table::from_file(table.file().try_clone_to_owned().expect("dup"), 16).expect("map");
        assert_eq!(other.high_water(), 0);
    }
}
