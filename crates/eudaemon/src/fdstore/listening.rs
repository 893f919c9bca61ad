//! The sockets of the service that the manager keeps: which they are, and that they stay the ones that are served.

use super::{FdStore, Inner, PATIENCE, Poll, StoreError};
use crate::inherited::{Inherited, Passed};
use crate::logging::Log;
use crate::sockets::{Active, Keeper, Made, Origin, Sockets};
use eudaemon_core::address::{Address, Place};
use eudaemon_core::stored::{self, Entry, File, Inode};
use eudaemon_sys::file::{Identity, about};
use eudaemon_sys::{bind, descriptor};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

/// What came back of the sockets that an earlier process stored.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    kept: Vec<Stored>,
    /// Those whose path is another file by now: nobody can reach them.
    lost: Vec<Entry>,
    /// Why the list could not be read.
    wrong: Option<String>,
    /// Whether the process that gave it goes on for now.
    is_successor: bool,
}

/// A socket that the manager has.
#[derive(Debug)]
struct Stored {
    entry: Entry,
    made: Weak<Made>,
}

/// The sockets that the manager has, or is to have.
#[derive(Default)]
pub(super) struct Listening {
    phase: Phase,
    /// Whether what is served is to be stored. If not, what was stored is removed.
    is_wanted: bool,
    log: Option<Log>,
    stored: Vec<Stored>,
    /// The last list that was stored.
    listed: Vec<Entry>,
    /// What came back and nobody asked for.
    left: BTreeSet<String>,
    is_absence_told: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Nothing is stored or removed yet: if the start fails, the next one finds what this one found.
    #[default]
    Starting,
    Serving,
}

/// Puts what was handed over into a set: what an earlier process stored is this program's own, the rest its manager's.
pub(crate) fn arrange(inherited: Inherited) -> (Sockets, Listed) {
    let passed = inherited.into_passed().into_iter();
    let mut passed: Vec<(String, Option<u32>, OwnedFd)> = passed.map(Passed::into_parts).collect();
    let mut listed = Listed::default();
    let names = [
        Some(stored::LIST.to_owned()),
        stored::other_name(stored::LIST),
    ];
    let lists = passed
        .iter()
        .filter(|(name, _, _)| names.iter().flatten().any(|list| list == name));
    // Both are there if that process was killed between two messages: then either is right.
    let mut entries = Vec::new();
    for (name, _, file) in lists {
        let bytes = super::read(name, file).map_err(crate::Error::from);
        match bytes.and_then(|bytes| Ok(stored::decode(&bytes)?)) {
            Ok(read) => entries = read,
            Err(wrong) => listed.wrong = Some(wrong.to_string()),
        }
    }
    let mut all = Vec::new();
    let mut locks = Vec::new();
    let is_lock = |name: &str| {
        let mut files = entries.iter().filter_map(|entry| entry.file?.lock);
        files.any(|lock| stored::lock_name(lock) == name)
    };
    for (name, _, fd) in passed.extract_if(.., |(name, _, _)| is_lock(name)) {
        locks.push((name, fd));
    }
    for (name, number, fd) in passed {
        let which = inode(&fd).ok();
        let is_it = |entry: &&Entry| entry.name == name && Some(entry.socket) == which;
        let Some(entry) = entries.iter().find(is_it) else {
            all.push(Active::passed(name, number, fd));
            continue;
        };
        let made = match made(entry, &mut locks) {
            Ok(made) => made.map(Arc::new),
            Err(Lost) => {
                listed.lost.push(entry.clone());
                continue;
            }
        };
        let origin = match &entry.address {
            Some(address) => Origin::Bound(address.clone()),
            None => Origin::Exported,
        };
        listed.kept.push(Stored {
            entry: entry.clone(),
            made: made.as_ref().map(Arc::downgrade).unwrap_or_default(),
        });
        all.push(Active::new(name, fd, origin, made));
    }
    (Sockets::inherited_from_itself(all), listed)
}

/// What an earlier process of this daemon has stored, who hands over what it serves, and the list among it.
pub(crate) fn of_predecessor(sockets: &Sockets) -> io::Result<Listed> {
    let mut listed = Listed {
        is_successor: true,
        ..Listed::default()
    };
    let names = [
        Some(stored::LIST.to_owned()),
        stored::other_name(stored::LIST),
    ];
    let own = sockets.own()?;
    for list in sockets.strangers(|name| names.iter().flatten().any(|list| list == name))? {
        let entries = super::read(stored::LIST, &list).map_err(crate::Error::from);
        match entries.and_then(|bytes| Ok(stored::decode(&bytes)?)) {
            Err(wrong) => listed.wrong = Some(wrong.to_string()),
            Ok(entries) => {
                listed.kept = entries
                    .into_iter()
                    .map(|entry| {
                        let mut own = own.iter();
                        let one =
                            own.find(|one| inode(&one.fd).is_ok_and(|which| which == entry.socket));
                        let made = one.and_then(|one| one.file.as_ref());
                        if let Some(made) = made {
                            made.set_stored(true);
                        }
                        let made = made.map(Arc::downgrade).unwrap_or_default();
                        Stored { entry, made }
                    })
                    .collect();
            }
        }
    }
    Ok(listed)
}

/// The path is not the file of the socket any more.
struct Lost;

/// The file that a stored socket made, with its lock.
fn made(entry: &Entry, locks: &mut Vec<(String, OwnedFd)>) -> Result<Option<Made>, Lost> {
    let is_at = |path: &str, wanted: Inode| {
        let found = bind::look(path.as_ref());
        found.is_ok_and(|found| found.is_some_and(|(found, _)| of(found) == wanted))
    };
    let (path, file, kind) = match (&entry.address, entry.file) {
        (
            Some(Address {
                kind: Some(kind),
                place: Place::Path(path),
            }),
            Some(file),
        ) => (path, file, *kind),
        // A FIFO or a device is its own file.
        (
            Some(Address {
                place: Place::Fifo(path) | Place::Special(path),
                ..
            }),
            _,
        ) => {
            return match is_at(path, entry.socket) {
                true => Ok(None),
                false => Err(Lost),
            };
        }
        (_, _) => return Ok(None),
    };
    if !is_at(path, file.inode) {
        return Err(Lost);
    }
    let path = PathBuf::from(path);
    let identity = identity(file.inode);
    let lock = file.lock.map(stored::lock_name);
    let lock = locks
        .iter()
        .position(|(name, _)| Some(name) == lock.as_ref());
    let lock = lock.map(|at| locks.swap_remove(at).1);
    let made = Made::adopted(path, kind, identity, lock);
    made.set_stored(true);
    if file.is_removed {
        made.arm();
    }
    Ok(Some(made))
}

/// Tells the store what becomes of the set.
struct Watch(Weak<Inner>);

impl std::fmt::Debug for Watch {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("Watch")
    }
}

impl Keeper for Watch {
    fn changed(&self) {
        if let Some(inner) = self.0.upgrade() {
            FdStore(inner).settle();
        }
    }

    fn release(&self, gone: &[Active]) {
        if let Some(inner) = self.0.upgrade() {
            FdStore(inner).release(gone);
        }
    }
}

impl FdStore {
    /// Begins with what came back. `is_wanted`: whether what is served is to be stored.
    pub(crate) fn begin(&self, listed: Listed, is_wanted: bool, log: &Log) {
        if let Some(wrong) = &listed.wrong {
            log.warning(format_args!(
                "{wrong}: stored sockets are taken for the manager's"
            ));
        }
        self.0
            .is_successor
            .store(listed.is_successor, Ordering::Relaxed);
        let mut held = self.held();
        let entries = listed.kept.iter().map(|kept| &kept.entry);
        for entry in entries.chain(&listed.lost) {
            let lock = entry.file.and_then(|file| file.lock).map(stored::lock_name);
            for name in [Some(entry.name.clone()), lock].into_iter().flatten() {
                *held.certain.entry(name).or_default() += 1;
            }
        }
        drop(held);
        let mut listening = self.listening();
        listening.listed = listed.kept.iter().map(|kept| kept.entry.clone()).collect();
        listening.stored = listed.kept;
        listening.is_wanted = is_wanted;
        listening.log = Some(log.clone());
        let lost: Vec<Entry> = listed.lost;
        for entry in &lost {
            log.debug(format_args!(
                "the file of the stored socket {:?} is gone",
                entry.name
            ));
        }
        let told = self.let_go(&mut listening, &lost);
        listening.tell(told);
        drop(listening);
        self.0
            .sockets
            .keep_with(Arc::new(Watch(Arc::downgrade(&self.0))));
    }

    /// Notes what came back and nobody has asked for. To be called before that is closed.
    pub(crate) fn leave(&self) {
        self.find_state(&mut self.held(), stored::LIST);
        self.listening().left = self.0.sockets.strange_names();
    }

    /// The service is ready: what nobody asked for is dropped, and what is served is stored, from here on.
    pub(crate) fn ready(&self) {
        let mut listening = self.listening();
        let is_over = self.0.is_over.load(Ordering::Relaxed);
        if listening.phase == Phase::Serving || is_over {
            return;
        }
        listening.phase = Phase::Serving;
        let left = std::mem::take(&mut listening.left);
        // Where nobody ever stored anything these are sockets of the manager's, and it is not asked for a store.
        let is_used = self.0.capacity.is_some() || self.0.keeps.get().is_some();
        if is_used || listening.is_wanted || !listening.stored.is_empty() {
            let told = self.forget_all(&left);
            listening.tell(told);
        }
        drop(listening);
        self.settle();
    }

    /// The service stops: what is stored stays so, whatever is closed.
    pub(crate) fn stop(&self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }

    /// Has the manager keep what is served, and no more.
    pub(super) fn settle(&self) {
        // A panic ends the service: whoever restarts it finds everything.
        if self.0.is_over.load(Ordering::Relaxed) || std::thread::panicking() {
            return;
        }
        let mut listening = self.listening();
        if listening.phase == Phase::Serving {
            let told = self.bring_into_line(&mut listening);
            listening.tell(told);
        }
    }

    fn bring_into_line(&self, listening: &mut Listening) -> Result<(), StoreError> {
        let mut wanted: Vec<(Entry, Active)> = Vec::new();
        if listening.is_wanted {
            for one in self.0.sockets.own_served()? {
                // The manager keeps it once.
                let is_there = |(_, there): &(Entry, Active)| {
                    descriptor::is_same(&there.fd, &one.fd).unwrap_or(false)
                };
                if !wanted.iter().any(is_there) {
                    wanted.push((entry(&one)?, one));
                }
            }
        }
        let is_wanted = |stored: &Stored| {
            wanted
                .iter()
                .any(|(entry, _)| is_same(entry, &stored.entry))
        };
        let is_stored = |entry: &Entry| {
            listening
                .stored
                .iter()
                .any(|stored| is_same(&stored.entry, entry))
        };
        let gone: Vec<Entry> = listening
            .stored
            .iter()
            .filter(|stored| !is_wanted(stored))
            .map(|stored| stored.entry.clone())
            .collect();
        if gone.is_empty() && wanted.iter().all(|(entry, _)| is_stored(entry)) {
            return Ok(());
        }
        if !self.keeps()? {
            if !std::mem::replace(&mut listening.is_absence_told, true)
                && let Some(log) = &listening.log
            {
                log.debug(
                    "the manager keeps no descriptors: a restart refuses clients for a moment",
                );
            }
            return Ok(());
        }
        self.let_go(listening, &gone)?;
        let entries: Vec<Entry> = wanted.iter().map(|(entry, _)| entry.clone()).collect();
        // First: what is stored without being listed would be taken for the manager's.
        if entries != listening.listed {
            match entries.is_empty() {
                true => self.drop_state(stored::LIST)?,
                false => {
                    self.replace_state(stored::LIST, stored::encode(&entries).as_bytes())?;
                }
            }
            listening.listed = entries;
        }
        for (entry, one) in wanted {
            if !listening
                .stored
                .iter()
                .any(|stored| is_same(&stored.entry, &entry))
            {
                self.store_one(listening, entry, &one)?;
            }
        }
        Ok(())
    }

    fn store_one(
        &self,
        listening: &mut Listening,
        entry: Entry,
        one: &Active,
    ) -> Result<(), StoreError> {
        let made = one.file.as_ref();
        let lock = made.and_then(|made| made.lock());
        if let (Some(lock), Some(which)) = (lock, entry.file.and_then(|file| file.lock)) {
            self.store(&stored::lock_name(which), lock, Poll::No)?;
        }
        self.store(&entry.name, one.fd.as_fd(), Poll::No)?;
        if let Some(made) = made {
            made.set_stored(true);
        }
        listening.stored.push(Stored {
            made: made.map(Arc::downgrade).unwrap_or_default(),
            entry,
        });
        Ok(())
    }

    /// Has the manager drop these, and waits until it has if they have files, which can be removed and made again then. What
    /// else is stored under their names is stored again: only all of a name can be dropped.
    fn let_go(&self, listening: &mut Listening, gone: &[Entry]) -> Result<(), StoreError> {
        if gone.is_empty() || !self.keeps()? {
            return Ok(());
        }
        let names: BTreeSet<&str> = gone.iter().map(|entry| entry.name.as_str()).collect();
        for name in &names {
            self.unstore(name)?;
        }
        let locks = gone.iter().filter_map(|entry| entry.file?.lock);
        for lock in locks {
            self.unstore(&stored::lock_name(lock))?;
        }
        let is_named = |stored: &mut Stored| names.contains(stored.entry.name.as_str());
        let named: Vec<Stored> = listening.stored.extract_if(.., is_named).collect();
        let is_gone = |stored: &Stored| gone.iter().any(|gone| is_same(gone, &stored.entry));
        let (gone_too, stay): (Vec<Stored>, Vec<Stored>) = named.into_iter().partition(is_gone);
        if !stay.is_empty() {
            let own = self.0.sockets.own()?;
            for Stored { entry, .. } in stay {
                let one = own
                    .iter()
                    .find(|one| inode(&one.fd).is_ok_and(|which| which == entry.socket));
                if let Some(one) = one {
                    self.store_one(listening, entry, one)?;
                }
            }
        }
        if gone.iter().any(|entry| entry.file.is_some()) {
            self.0.notify.barrier(PATIENCE)?;
        }
        for gone in &gone_too {
            match gone.made.upgrade() {
                // Whoever closes it now removes its file.
                Some(made) => made.set_stored(false),
                None => remove_file(&gone.entry),
            }
        }
        Ok(())
    }

    /// What came back is in the way of another address: the manager drops it before that is bound.
    fn release(&self, gone: &[Active]) {
        let mut listening = self.listening();
        let entries: Vec<Entry> = listening
            .stored
            .iter()
            .filter(|stored| {
                gone.iter()
                    .any(|one| inode(&one.fd).is_ok_and(|which| which == stored.entry.socket))
            })
            .map(|stored| stored.entry.clone())
            .collect();
        let told = self
            .let_go(&mut listening, &entries)
            // Also without a file: an address is free when the last copy is closed.
            .and_then(|()| Ok(self.0.notify.barrier(PATIENCE).map(drop)?));
        listening.tell(told);
    }

    fn forget_all(&self, names: &BTreeSet<String>) -> Result<(), StoreError> {
        if names.is_empty() || !self.keeps()? {
            return Ok(());
        }
        for name in names {
            self.unstore(name)?;
        }
        Ok(())
    }
}

impl Listening {
    /// The manager has nothing of this name any more.
    pub(super) fn forget(&mut self, name: &str) {
        self.stored.retain(|stored| stored.entry.name != name);
    }

    fn tell(&self, told: Result<(), StoreError>) {
        if let (Err(error), Some(log)) = (told, &self.log) {
            log.warning(format_args!(
                "unable to have all sockets kept over a restart: {}",
                crate::Error::from(error)
            ));
        }
    }
}

fn entry(one: &Active) -> io::Result<Entry> {
    let file = match &one.file {
        None => None,
        Some(made) => Some(File {
            inode: of(made.identity()),
            is_removed: made.is_armed(),
            lock: made.lock().map(inode).transpose()?,
        }),
    };
    let address = match &one.origin {
        Origin::Bound(address) => Some(address.clone()),
        Origin::Exported | Origin::Manager => None,
    };
    Ok(Entry {
        name: one.name.clone(),
        socket: inode(&one.fd)?,
        file: file.filter(|_| address.is_some()),
        address,
    })
}

/// Removes the file of a socket that nobody has any more.
fn remove_file(entry: &Entry) {
    let (
        Some(file),
        Some(Address {
            kind: Some(kind),
            place: Place::Path(path),
        }),
    ) = (entry.file, &entry.address)
    else {
        return;
    };
    let (path, identity) = (path.as_ref(), identity(file.inode));
    if file.is_removed && bind::is_answered(*kind, path).is_ok_and(|is_answered| !is_answered) {
        // One that stays, behind a chroot say, is replaced by the next who binds there.
        let _ = bind::remove_if(path, identity);
    }
}

/// What is had again at another of its addresses' spellings is the same.
fn is_same(one: &Entry, other: &Entry) -> bool {
    one.name == other.name && one.socket == other.socket
}

fn inode(fd: impl AsFd) -> io::Result<Inode> {
    Ok(of(about(fd)?.identity))
}

fn identity(of: Inode) -> Identity {
    Identity {
        device: of.device,
        inode: of.inode,
    }
}

fn of(identity: Identity) -> Inode {
    Inode {
        device: identity.device,
        inode: identity.inode,
    }
}
