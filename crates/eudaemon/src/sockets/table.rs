//! What the set is made of: the pool of what nobody asked for yet, and the table of what is served.

use super::bound::Made;
use super::kept::Keeper;
use crate::inherited::meant;
use eudaemon_core::address::Address;
use eudaemon_core::listen;
use eudaemon_sys::descriptor;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where something in the set is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A manager handed it over.
    Manager,
    /// This program bound it here, or the one this one follows.
    Bound(Address),
    /// This program opened it by itself, and exported it.
    Exported,
}

impl Origin {
    /// As it is told to a successor: `manager`, `exported`, or the address.
    pub(crate) fn text(&self) -> String {
        match self {
            Origin::Manager => "manager".to_owned(),
            Origin::Exported => "exported".to_owned(),
            Origin::Bound(address) => address.to_string(),
        }
    }

    /// What such a text says; `None` if it says nothing.
    pub(crate) fn parse(text: &str) -> Option<Origin> {
        match text {
            "manager" => Some(Origin::Manager),
            "exported" => Some(Origin::Exported),
            address => Address::parse(address).ok().map(Origin::Bound),
        }
    }
}

/// A descriptor of the set.
#[derive(Debug)]
pub(crate) struct Active {
    pub name: String,
    // Before the file: while it is open, somebody receives.
    pub fd: OwnedFd,
    pub origin: Origin,
    pub file: Option<Arc<Made>>,
    /// Which descriptor it was when it was handed over to this process.
    pub(super) number: Option<u32>,
    /// Its place in the order in which everything is handed on: what is claimed keeps the one it had.
    pub(super) place: u64,
}

/// What was handed over and nobody asked for yet, in order.
#[derive(Debug, Default)]
pub(super) struct Pool(pub Vec<Active>);

/// What is served.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// By place, and then by id.
    pub entries: Vec<(u64, Active)>,
    next_id: u64,
    next_place: u64,
    /// Who is told of changes.
    pub keeper: Option<Arc<dyn Keeper>>,
}

impl Active {
    /// One that comes to the end of the order.
    pub(crate) fn new(
        name: String,
        fd: OwnedFd,
        origin: Origin,
        file: Option<Arc<Made>>,
    ) -> Active {
        Active {
            name,
            fd,
            origin,
            file,
            number: None,
            place: 0,
        }
    }

    /// One that was handed over as this descriptor.
    pub(crate) fn passed(name: String, number: Option<u32>, fd: OwnedFd) -> Active {
        let one = Active::new(name, fd, Origin::Manager, None);
        Active { number, ..one }
    }

    pub(super) fn copy(&self) -> io::Result<Active> {
        Ok(Active {
            name: self.name.clone(),
            fd: self.fd.try_clone()?,
            origin: self.origin.clone(),
            file: self.file.clone(),
            number: None,
            place: self.place,
        })
    }

    /// Of two copies of one socket, one may know more: a socket of ours that was exported as well.
    fn learn(&mut self, other: &Active) {
        if self.origin == Origin::Exported {
            self.origin.clone_from(&other.origin);
        }
        if self.file.is_none() {
            self.file.clone_from(&other.file);
        }
    }

    /// Whether the two are one open file, as far as the kernel says.
    fn is_copy(&self, other: &Active) -> bool {
        descriptor::is_same(&self.fd, &other.fd).unwrap_or(false)
    }

    pub(super) fn is_reserved(&self) -> bool {
        listen::is_reserved(&self.name)
    }

    pub(super) fn is_a_managers(&self) -> bool {
        self.origin == Origin::Manager && !self.is_reserved()
    }
}

impl Pool {
    /// What strangers may ask for, with its places.
    pub fn open(&self) -> impl Iterator<Item = (usize, &Active)> {
        let all = self.0.iter().enumerate();
        all.filter(|(_, one)| !one.is_reserved())
    }

    /// The places of what is meant by a name.
    fn meant(&self, name: &str) -> Vec<usize> {
        let (places, names): (Vec<usize>, Vec<&str>) =
            self.open().map(|(at, one)| (at, one.name.as_str())).unzip();
        let meant = meant(name, names.into_iter()).into_iter();
        meant.filter_map(|at| places.get(at).copied()).collect()
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Meant<'a> {
    /// What has the name, or the only one if nobody gave that a name.
    Name(&'a str),
    /// The same; and what this program bound at the address that is wanted, whatever its name was: bound anew it would be in its
    /// own way.
    Address(&'a str),
    /// What this process was given as this descriptor.
    Number(u32),
}

impl Meant<'_> {
    /// Where it is in the pool.
    pub fn places(self, pool: &Pool) -> Vec<usize> {
        match self {
            Meant::Name(name) => pool.meant(name),
            Meant::Address(name) => {
                let mut meant = pool.meant(name);
                for (at, one) in pool.open() {
                    // A free port is nobody's in particular.
                    let is_bound = matches!(&one.origin, Origin::Bound(address)
                        if address.ip().is_none_or(|ip| ip.port() != 0));
                    if is_bound && !meant.contains(&at) {
                        meant.push(at);
                    }
                }
                meant
            }
            Meant::Number(number) => {
                let is_it = |one: &Active| one.number == Some(number);
                pool.0.iter().position(is_it).into_iter().collect()
            }
        }
    }
}

impl fmt::Display for Meant<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Meant::Name(name) | Meant::Address(name) => to.write_str(name),
            Meant::Number(number) => write!(to, "fd:{number}"),
        }
    }
}

/// Closes all of them, and then lets go of their files: one that is removed may be the file of several.
pub(super) fn close(gone: Vec<Active>) {
    let files: Vec<_> = gone.into_iter().map(|one| one.file).collect();
    drop(files);
}

impl Table {
    /// An empty one, whose order begins there.
    pub fn from_place(next_place: u64) -> Table {
        Table {
            entries: Vec::new(),
            next_id: 0,
            next_place,
            keeper: None,
        }
    }

    /// A copy of everything, in order: each open file once for each of its names.
    pub fn copies(&self) -> io::Result<Vec<Active>> {
        let mut all: Vec<Active> = Vec::with_capacity(self.entries.len());
        for (_, one) in &self.entries {
            // What the kernel does not know to be the same is handed on twice: that loses nothing.
            let is_there = |there: &Active| there.name == one.name && there.is_copy(one);
            if !all.iter().any(is_there) {
                all.push(one.copy()?);
            }
        }
        Ok(all)
    }

    pub fn add(&mut self, mut one: Active, place: Option<u64>) -> u64 {
        let entries = self.entries.iter_mut().map(|(_, there)| there);
        let copies: Vec<&mut Active> = entries.filter(|there| there.is_copy(&one)).collect();
        copies.iter().for_each(|there| one.learn(there));
        for there in copies {
            there.learn(&one);
        }
        let place = place.unwrap_or_else(|| {
            self.next_place += 1;
            self.next_place - 1
        });
        let id = self.next_id;
        self.next_id += 1;
        let at = self
            .entries
            .partition_point(|(_, there)| there.place <= place);
        self.entries.insert(at, (id, Active { place, ..one }));
        id
    }

    /// Whether this is a copy of something that is served.
    pub fn serves(&self, one: &Active) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|(_, there)| there.place == one.place)
    }

    pub fn remove(&mut self, id: u64) -> Option<Active> {
        let at = self.entries.iter().position(|(there, _)| *there == id)?;
        Some(self.entries.remove(at).1)
    }
}

pub(super) fn held<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // A filter that panics leaves all as it was.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
