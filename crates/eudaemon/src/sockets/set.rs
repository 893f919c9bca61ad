//! The set: what was handed over and nobody asked for yet, and what is served.

use super::bound::{Bound, Made};
use super::table::{Active, Meant, Origin, Pool, Table, close, held};
use super::{BACKLOG, Filter, Generation, SocketError, Want, is};
use crate::inherited::{Inherited, Kind};
use crate::{Context, Error, Exit, Result as MainResult};
use eudaemon_core::address::{Address, Kind as Transport, Place};
use eudaemon_core::listen;
use eudaemon_sys::{bind, descriptor};
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, Weak};

/// The sockets of a service: what was handed over and nobody asked for yet, and a copy of each that is served, which a successor
/// is given. Cheap to clone; every clone is the same set. Any thread may use it.
///
/// What is served is in it as long as its [`Bound`] or its [`Export`] lives, and no longer.
#[derive(Clone)]
pub struct Sockets {
    is_activated: bool,
    /// Whether who served what is in the pool is gone: then it can be changed.
    pub(super) is_heir: bool,
    pub(super) pool: Arc<Mutex<Pool>>,
    // Locked after `pool` where both are.
    pub(super) table: Arc<Mutex<Table>>,
}

/// What was claimed.
pub(super) struct Claimed {
    pub bound: Bound<OwnedFd>,
    /// Whether it was bound in an earlier life, and is as it was wanted then.
    pub is_to_be_set: bool,
}

/// What the set has a copy of because somebody said so. Dropped, the copy is closed.
#[derive(Debug)]
#[must_use = "dropped, the set forgets it"]
pub struct Export {
    table: Weak<Mutex<Table>>,
    id: u64,
}

/// A descriptor that was handed over and that nobody has asked for yet, as [`Sockets::inherited`] tells it.
#[derive(Clone, Debug)]
pub struct Described {
    name: String,
    kind: Kind,
    is_listening: bool,
}

impl Sockets {
    /// A set of what was handed over.
    #[must_use]
    pub fn of(inherited: Inherited) -> Sockets {
        let passed = inherited.into_passed();
        Sockets::of_all(passed.into_iter().map(|passed| {
            let (name, number, fd) = passed.into_parts();
            Active::passed(name, number, fd)
        }))
    }

    /// A set of what another process served.
    pub(crate) fn of_all(handed: impl IntoIterator<Item = Active>) -> Sockets {
        let place = |(place, one)| Active { place, ..one };
        let pool: Vec<Active> = (0..).zip(handed).map(place).collect();
        let is_activated = pool.iter().any(Active::is_a_managers);
        let next_place = pool.last().map_or(0, |last| last.place + 1);
        Sockets {
            is_activated,
            is_heir: false,
            pool: Arc::new(Mutex::new(Pool(pool))),
            table: Arc::new(Mutex::new(Table::from_place(next_place))),
        }
    }

    /// The one of this name. It is also the only one that was handed over, if that has no name.
    pub fn get(&self, name: &str) -> Want {
        Want::new(self.clone(), name)
    }

    /// Whether a manager handed anything over, asked for or not.
    #[must_use]
    pub fn is_activated(&self) -> bool {
        self.is_activated
    }

    /// The names of what was handed over and nobody has asked for yet, in order, as often as they were given.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let pool = held(&self.pool);
        pool.open().map(|(_, one)| one.name.clone()).collect()
    }

    /// What was handed over and nobody has asked for yet, in order, if the filter admits it.
    ///
    /// Here as in [`Want::filter`], a filter of the caller's own ([`is::that`]) must not ask this set for anything: it waits.
    ///
    /// # Errors
    /// The kernel does not say what it is.
    pub fn inherited(&self, filter: &Filter) -> io::Result<Vec<Described>> {
        let mut found = Vec::new();
        for (_, one) in held(&self.pool).open() {
            if filter.admits(&one.fd)? {
                found.push(Described {
                    name: one.name.clone(),
                    kind: descriptor::kind(&one.fd)?,
                    is_listening: descriptor::is_listening(&one.fd)?,
                });
            }
        }
        Ok(found)
    }

    /// A listening TCP socket: the one that was handed over under this name, or one bound here, at the first address that can be
    /// had. What [`Want::or_bind`] does not do, the names of hosts are looked up, if nothing was handed over.
    ///
    /// # Errors
    /// The address cannot be found or bound, with the address in the words; what was handed over is something else.
    /// [`Exit::Unavailable`] if the address is in use.
    pub fn tcp_listener(
        &self,
        name: &str,
        address: impl ToSocketAddrs + fmt::Display,
    ) -> MainResult<Bound<TcpListener>> {
        check(name)?;
        let attempt = || format!("unable to listen at {address}");
        let mut found: Option<Vec<SocketAddr>> = None;
        let mut addresses = || -> io::Result<Vec<SocketAddr>> {
            if found.is_none() {
                found = Some(address.to_socket_addrs()?.collect());
            }
            Ok(found.clone().unwrap_or_default())
        };
        let filter = is::tcp() & is::listening();
        let claimed = self.claim(name, Meant::Address(name), Some(&filter), |at, _| {
            let wanted = addresses().unwrap_or_default();
            at.kind == Some(Transport::Stream) && at.ip().is_some_and(|at| wanted.contains(&at))
        })?;
        if let Some(Claimed { bound, .. }) = claimed {
            return Ok(bound.map(TcpListener::from));
        }
        let addresses = addresses();
        let addresses = addresses
            .map_err(|error| Error::from(error).class(Exit::Config))
            .during(attempt)?;
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for at in addresses {
            let address = Address {
                kind: Some(Transport::Stream),
                place: Place::Ip(at),
            };
            let open = || {
                let socket = bind::ip(Transport::Stream, at, &bind::Options::default())?;
                bind::listen(&socket, BACKLOG).map(|()| socket)
            };
            let opened = match open() {
                Err(error)
                    if error.kind() == io::ErrorKind::AddrInUse && self.give_way(&address) =>
                {
                    open()
                }
                opened => opened,
            };
            match opened {
                Ok(socket) => {
                    let bound = self.serve(name, socket, Origin::Bound(address), None)?;
                    return Ok(bound.map(TcpListener::from));
                }
                Err(error) => last = error,
            }
        }
        Err(last).during(attempt)
    }

    /// Has a successor given a copy of this under this name, for as long as what is returned lives. For what was not had from
    /// this set: a [`Bound`] is in it already.
    ///
    /// Names may be given twice, and may be empty; what is handed on keeps the order in which it came into the set.
    ///
    /// # Errors
    /// [`SocketError::Name`], [`SocketError::Reserved`]; [`SocketError::Copy`] if there is no room for another descriptor.
    pub fn export(&self, name: &str, object: &impl AsFd) -> Result<Export, SocketError> {
        check(name)?;
        let copy = object.as_fd().try_clone_to_owned();
        let copy = copy.map_err(SocketError::Copy)?;
        let one = Active::new(name.to_owned(), copy, Origin::Exported, None);
        let export = self.add(one, None);
        self.tell();
        Ok(export)
    }

    /// Closes every copy of this name that the set has, asked for or not; how many there were. Whoever has the sockets
    /// themselves keeps them.
    pub fn forget(&self, name: &str) -> usize {
        self.drop_where(|one| Ok(!one.is_reserved() && one.name == name))
            .unwrap_or(0)
    }

    /// Closes every copy of this open file that the set has, under whichever names; how many there were. What merely is bound
    /// at the same place is another one.
    ///
    /// # Errors
    /// The kernel does not say whether two descriptors are copies of one another. Nothing is closed then. Of sockets it always
    /// says it; of others since Linux 6.10, or by `kcmp(2)`.
    pub fn forget_object(&self, object: &impl AsFd) -> io::Result<usize> {
        self.drop_where(|one| descriptor::is_same(&one.fd, object))
    }

    /// Closes what was handed over and nobody asked for; the names, in order. The library does that when `init` has ended.
    pub fn cleanup(&self) -> Vec<String> {
        let gone = std::mem::take(&mut *held(&self.pool));
        gone.open().map(|(_, one)| one.name.clone()).collect()
    }

    /// Begins a new configuration in this process, without a moment at which a client is refused.
    ///
    /// What is served now can be had from the [`Generation`] by its name, as if it had been handed over, and what is new is bound,
    /// before the old configuration is touched. What this program bound itself is had again by who asks for the same address,
    /// whatever its name was, or for its name and no address: another address is another socket. It is had as it is: its mode,
    /// owner and backlog are the old ones.
    ///
    /// # Errors
    /// [`SocketError::Copy`]: there is no room for the copies.
    pub fn reset(&self) -> Result<Generation, SocketError> {
        let pool = self.active().map_err(SocketError::Copy)?;
        Ok(Generation::of(Sockets {
            is_activated: self.is_activated,
            is_heir: false,
            pool: Arc::new(Mutex::new(Pool(pool))),
            table: Arc::clone(&self.table),
        }))
    }

    /// A copy of everything that is served, in the order in which it came into the set: each open socket once for each of its
    /// names.
    pub(crate) fn active(&self) -> io::Result<Vec<Active>> {
        held(&self.table).copies()
    }

    /// Leaves the files of all that is served to the process that serves it too.
    pub(crate) fn hand_on(&self) {
        let pool = held(&self.pool);
        let table = held(&self.table);
        let served = table.entries.iter().map(|(_, one)| one);
        let files = (pool.0)
            .iter()
            .chain(served)
            .filter_map(|one| one.file.as_ref());
        files.for_each(|file| file.disarm());
    }

    /// Takes out what was handed over under a name, one that the library keeps for itself too. It is served by nobody then.
    #[allow(dead_code, reason = "stored state is taken by this")]
    pub(crate) fn take(&self, name: &str) -> Vec<Active> {
        let mut pool = held(&self.pool);
        pool.0.extract_if(.., |one| one.name == name).collect()
    }

    /// Takes out the first that was handed over and that this is true of. It is served by nobody then.
    pub(super) fn take_where(
        &self,
        mut is_meant: impl FnMut(&str, BorrowedFd<'_>) -> io::Result<bool>,
    ) -> Result<Option<OwnedFd>, SocketError> {
        let mut pool = held(&self.pool);
        for at in 0..pool.0.len() {
            let Some(one) = pool.0.get(at) else { break };
            let is_open = one.is_a_managers();
            if is_open && is_meant(&one.name, one.fd.as_fd()).map_err(SocketError::Look)? {
                return Ok(Some(pool.0.remove(at).fd));
            }
        }
        Ok(None)
    }

    /// What the first of this name is that was handed over.
    pub(super) fn look(&self, name: &str) -> Result<Option<Kind>, SocketError> {
        let pool = held(&self.pool);
        let found = pool.0.iter().find(|one| one.name == name);
        let kind = found.map(|one| descriptor::kind(&one.fd)).transpose();
        kind.map_err(SocketError::Look)
    }

    /// Claims what is meant, if the filter admits it, under a name. `suits` is asked of what this program bound itself.
    pub(super) fn claim(
        &self,
        name: &str,
        wanted: Meant<'_>,
        filter: Option<&Filter>,
        suits: impl FnMut(&Address, &OwnedFd) -> bool,
    ) -> Result<Option<Claimed>, SocketError> {
        let claimed = self.claim_quietly(name, wanted, filter, suits)?;
        if claimed.is_some() {
            self.tell();
        }
        Ok(claimed)
    }

    fn claim_quietly(
        &self,
        name: &str,
        wanted: Meant<'_>,
        filter: Option<&Filter>,
        mut suits: impl FnMut(&Address, &OwnedFd) -> bool,
    ) -> Result<Option<Claimed>, SocketError> {
        let mut pool = held(&self.pool);
        let mut unfit: Option<Kind> = None;
        for at in wanted.places(&pool) {
            let Some(one) = pool.0.get(at) else { continue };
            if matches!(&one.origin, Origin::Bound(address) if !suits(address, &one.fd)) {
                continue;
            }
            let fits = filter.map_or(Ok(true), |filter| filter.admits(&one.fd));
            if !fits.map_err(SocketError::Look)? {
                unfit.get_or_insert(descriptor::kind(&one.fd).map_err(SocketError::Look)?);
                continue;
            }
            // In both for a moment, and at no moment in none.
            let mut copy = one.copy().map_err(SocketError::Copy)?;
            name.clone_into(&mut copy.name);
            let place = Some(copy.place);
            let export = self.add(copy, place);
            let one = pool.0.remove(at);
            let is_to_be_set = self.is_heir && matches!(one.origin, Origin::Bound(_));
            let bound = Bound {
                socket: one.fd,
                export: Some(export),
                file: one.file,
            };
            return Ok(Some(Claimed {
                bound,
                is_to_be_set,
            }));
        }
        match (unfit, filter) {
            (Some(is), Some(filter)) => Err(SocketError::Unfit {
                name: wanted.to_string(),
                is,
                wanted: filter.to_string(),
            }),
            _ => Ok(None),
        }
    }

    /// Serves what this program bound.
    pub(super) fn serve(
        &self,
        name: &str,
        socket: OwnedFd,
        origin: Origin,
        file: Option<Made>,
    ) -> Result<Bound<OwnedFd>, SocketError> {
        // First, so that an error closes the socket before it removes the file.
        let mut bound = Bound {
            socket,
            export: None,
            file: file.map(Arc::new),
        };
        let copy = bound.socket.try_clone().map_err(SocketError::Copy)?;
        let one = Active::new(name.to_owned(), copy, origin, bound.file.clone());
        bound.export = Some(self.add(one, None));
        self.tell();
        Ok(bound)
    }

    fn add(&self, one: Active, place: Option<u64>) -> Export {
        Export {
            id: held(&self.table).add(one, place),
            table: Arc::downgrade(&self.table),
        }
    }

    fn drop_where(
        &self,
        mut is_meant: impl FnMut(&Active) -> io::Result<bool>,
    ) -> io::Result<usize> {
        let mut pool = held(&self.pool);
        let mut table = held(&self.table);
        let unclaimed: io::Result<Vec<bool>> = pool.0.iter().map(&mut is_meant).collect();
        let served = table.entries.iter().map(|(_, one)| is_meant(one));
        let served: io::Result<Vec<bool>> = served.collect();
        let (mut unclaimed, mut served) = (unclaimed?.into_iter(), served?.into_iter());
        let mut next = |_: &mut Active| unclaimed.next().unwrap_or(false);
        let mut gone: Vec<Active> = pool.0.extract_if(.., &mut next).collect();
        let mut next = |_: &mut (u64, Active)| served.next().unwrap_or(false);
        gone.extend(table.entries.extract_if(.., &mut next).map(|(_, one)| one));
        let count = gone.len();
        // A file may be removed with one of them, which takes a while.
        drop((pool, table));
        close(gone);
        self.tell();
        Ok(count)
    }
}

impl Described {
    /// The name; `unknown` if the manager told none.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether connections are accepted from it.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.is_listening
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        if let Some(table) = self.table.upgrade() {
            let mut table = held(&table);
            let gone = table.remove(self.id);
            let keeper = table.keeper.clone();
            drop(table);
            // Closed when the table is free again: a file may be removed with it.
            drop(gone);
            if let Some(keeper) = keeper {
                keeper.changed();
            }
        }
    }
}

impl fmt::Debug for Sockets {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |of: &mut dyn Iterator<Item = &Active>| -> Vec<String> {
            of.map(|one| one.name.clone()).collect()
        };
        let unclaimed = names(&mut held(&self.pool).0.iter());
        let active = names(&mut held(&self.table).entries.iter().map(|(_, one)| one));
        to.debug_struct("Sockets")
            .field("unclaimed", &unclaimed)
            .field("active", &active)
            .finish()
    }
}

/// Whether a stranger may use this name.
pub(super) fn check(name: &str) -> Result<(), SocketError> {
    let name = name.to_owned();
    match (listen::is_good_name(&name), listen::is_reserved(&name)) {
        (false, _) => Err(SocketError::Name { name }),
        (true, true) => Err(SocketError::Reserved { name }),
        (true, false) => Ok(()),
    }
}
