//! The vault: descriptors that must outlive an engine, in the keeper's hands.
//!
//! The engine tells the keeper of each by a message that carries it; a new engine is the keeper's child and is born with
//! all of them. Every descriptor has a place: the record it belongs to, and a [`Kind`].

use eudaemon_core::supervise::Role;
use eudaemon_sys::passing::{Came, Channel, MOST, Store};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

/// What a kept descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The service directory.
    Dir = 0,
    /// `supervise/control`.
    Control = 1,
    /// `supervise/ok`.
    Presence = 2,
    /// `supervise/lock`.
    Lock = 3,
    /// The pipe to the logger, open both ways.
    Pipe = 4,
    /// Where the service says that it is ready.
    Notice = 5,
    /// Hold of a child that is no keeper's: main, log, check, hook.
    HeldMain = 6,
    /// See [`Kind::HeldMain`].
    HeldLog = 7,
    /// See [`Kind::HeldMain`].
    HeldCheck = 8,
    /// See [`Kind::HeldMain`].
    HeldHook = 9,
}

/// Kinds of a record.
pub const KINDS: usize = 10;
/// Places before the first record's: the tree's own.
const TREE_PLACES: usize = 8;

/// A descriptor of the whole tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeKind {
    /// The socket on which clients are heard.
    Listener = 0,
    /// The tree's lock.
    Lock = 1,
    /// The scan directory.
    Dir = 2,
    /// The shared table.
    Table = 3,
    /// The watches. Not only to save making them again: the last close of an inotify instance waits some ten milliseconds
    /// for the kernel's own bookkeeping, and an engine's death would be known that much later.
    Inotify = 4,
}

/// Where a descriptor is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(pub usize);

impl Place {
    /// The place of a record's descriptor.
    #[must_use]
    pub fn of(record: usize, kind: Kind) -> Place {
        Place(TREE_PLACES + record * KINDS + kind as usize)
    }
    /// The place of the hold of a role's child.
    #[must_use]
    pub fn held(record: usize, role: Role) -> Place {
        Place::of(
            record,
            match role {
                Role::Main => Kind::HeldMain,
                Role::Log => Kind::HeldLog,
                Role::Check => Kind::HeldCheck,
                Role::Hook => Kind::HeldHook,
            },
        )
    }
    /// Whether it is a record's.
    #[must_use]
    pub fn is_of(self, record: usize) -> bool {
        self.0.checked_sub(TREE_PLACES).map(|at| at / KINDS) == Some(record)
    }
    /// Whether it is the tree's.
    #[must_use]
    pub fn is_of_tree(self) -> bool {
        self.0 < TREE_PLACES
    }
    /// Whether it is of a record's lock.
    #[must_use]
    pub fn is_lock(self) -> bool {
        self.0.checked_sub(TREE_PLACES).map(|at| at % KINDS) == Some(Kind::Lock as usize)
    }
    /// The place of a tree's descriptor.
    #[must_use]
    pub fn tree(kind: TreeKind) -> Place {
        Place(kind as usize)
    }
}

/// How many places a tree of so many records needs.
#[must_use]
pub fn places(capacity: usize) -> usize {
    TREE_PLACES + capacity * KINDS
}

const PUT: u8 = 1;
const DROP: u8 = 2;
/// One byte for the verb, eight for each place; at most this many places in a message.
const MOST_PLACES: usize = 16;
const MESSAGE: usize = 1 + 8 * MOST_PLACES;
const _: () = assert!(MOST_PLACES <= MOST);

fn message(verb: u8, places: &[Place]) -> Vec<u8> {
    let mut bytes = vec![verb];
    for place in places {
        bytes.extend_from_slice(&(place.0 as u64).to_le_bytes());
    }
    bytes
}

/// Descriptors with their places.
pub type Things = Vec<(Place, OwnedFd)>;

/// For the engine: gives copies of descriptors into the keeper's hands.
pub fn put(channel: &Channel, things: &[(Place, BorrowedFd<'_>)]) -> io::Result<()> {
    for chunk in things.chunks(MOST_PLACES) {
        let places: Vec<Place> = chunk.iter().map(|(place, _)| *place).collect();
        let fds: Vec<BorrowedFd<'_>> = chunk.iter().map(|(_, fd)| *fd).collect();
        channel.send(&message(PUT, &places), &fds)?;
    }
    Ok(())
}

/// For the engine: the keeper may close these.
pub fn forget(channel: &Channel, places: &[Place]) -> io::Result<()> {
    for chunk in places.chunks(MOST_PLACES) {
        channel.send(&message(DROP, chunk), &[])?;
    }
    Ok(())
}

/// For the keeper: does what the next message says. Nothing is allocated.
pub fn serve(channel: &Channel, store: &mut Store) -> io::Result<Came> {
    let mut bytes = [0; MESSAGE];
    let mut fds: [Option<OwnedFd>; MOST_PLACES] = [const { None }; MOST_PLACES];
    let mut came_fds = 0;
    let came = channel.receive(&mut bytes, false, |fd| {
        // One beyond what we send is closed here.
        if let Some(place) = fds.get_mut(came_fds) {
            *place = Some(fd);
            came_fds += 1;
        }
    })?;
    if let Came::Message(len) = came {
        let places = bytes.get(1..len).unwrap_or_default().chunks_exact(8);
        for (at, place) in places.enumerate() {
            let place = place
                .iter()
                .rev()
                .fold(0usize, |number, byte| number << 8 | usize::from(*byte));
            match bytes[0] {
                PUT => {
                    if let Some(fd) = fds.get_mut(at).and_then(Option::take) {
                        store.put(place, fd);
                    }
                }
                _ => drop(store.take(place)),
            }
        }
    }
    Ok(came)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn what_is_put_is_kept_until_it_is_dropped() {
        let (engine, keeper) = Channel::pair().expect("pair");
        let (read, write) = eudaemon_sys::dir::notice_pipe().expect("pipe");
        let mut store = Store::new(places(4));
        let (a, b) = (Place::of(2, Kind::Control), Place::of(2, Kind::Presence));
        put(&engine, &[(a, read.as_fd()), (b, write.as_fd())]).expect("put");
        drop((read, write));
        assert!(matches!(serve(&keeper, &mut store), Ok(Came::Message(_))));
        eudaemon_sys::dir::write(store.get(b.0).expect("kept"), b"x").expect("both ends live");
        assert_eq!(store.filled().collect::<Vec<_>>(), [a.0, b.0]);
        forget(&engine, &[a]).expect("forget");
        assert!(matches!(serve(&keeper, &mut store), Ok(Came::Message(_))));
        assert_eq!(store.filled().collect::<Vec<_>>(), [b.0]);
        assert!(matches!(serve(&keeper, &mut store), Ok(Came::Nothing)));
        drop(engine);
        assert!(matches!(serve(&keeper, &mut store), Ok(Came::Closed)));
    }
}
