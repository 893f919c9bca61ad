//! What a store that outlives the process asks of the set, and is told by it.

use super::Sockets;
use super::table::{Active, Origin, close, held};
use eudaemon_core::address::{Address, Place};
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Who has copies of what is served, beyond this process.
pub(crate) trait Keeper: fmt::Debug + Send + Sync {
    /// What is served is not what it was.
    fn changed(&self);
    /// These are about to be closed, and their addresses bound: no copy of them may stay.
    fn release(&self, gone: &[Active]);
}

impl Sockets {
    /// A set of what this program served in an earlier life, among what its manager handed over.
    pub(crate) fn inherited_from_itself(handed: impl IntoIterator<Item = Active>) -> Sockets {
        let mut set = Sockets::of_all(handed);
        set.is_heir = true;
        set
    }

    /// Has this told of every change from here on.
    pub(crate) fn keep_with(&self, keeper: Arc<dyn Keeper>) {
        held(&self.table).keeper = Some(keeper);
    }

    /// Copies of what this program opened itself and serves.
    pub(crate) fn own_served(&self) -> io::Result<Vec<Active>> {
        let mut all = self.active()?;
        all.retain(|one| one.origin != Origin::Manager);
        Ok(all)
    }

    /// The same, with what nobody has asked for yet.
    pub(crate) fn own(&self) -> io::Result<Vec<Active>> {
        let mut all = self.own_served()?;
        let pool = held(&self.pool);
        let own = pool.0.iter().filter(|one| one.origin != Origin::Manager);
        for one in own {
            all.push(one.copy()?);
        }
        Ok(all)
    }

    /// Takes out what came under this name and this program did not open: a reserved name is one too.
    pub(crate) fn take_strange(&self, name: &str) -> Vec<OwnedFd> {
        let mut pool = held(&self.pool);
        let taken = pool
            .0
            .extract_if(.., |one| one.origin == Origin::Manager && one.name == name);
        taken.map(|one| one.fd).collect()
    }

    /// Copies of what came, this program did not open, and nobody has asked for, of these names.
    pub(crate) fn strangers(&self, is_meant: impl Fn(&str) -> bool) -> io::Result<Vec<OwnedFd>> {
        let pool = held(&self.pool);
        let strange = pool.0.iter().filter(|one| one.origin == Origin::Manager);
        let meant = strange.filter(|one| is_meant(&one.name));
        meant.map(|one| one.fd.try_clone()).collect()
    }

    /// The names of what came, this program did not open, and nobody has asked for.
    pub(crate) fn strange_names(&self) -> BTreeSet<String> {
        let pool = held(&self.pool);
        let strange = pool.0.iter().filter(|one| one.origin == Origin::Manager);
        strange.map(|one| one.name.clone()).collect()
    }

    /// Closes what this program bound in an earlier life, nobody has asked for, and is in the way of this address; whether
    /// anything was.
    pub(super) fn give_way(&self, to: &Address) -> bool {
        let mut pool = held(&self.pool);
        let table = held(&self.table);
        let keeper = table.keeper.clone();
        let gone: Vec<Active> = pool
            .0
            .extract_if(.., |one| {
                let is_in_the_way =
                    matches!(&one.origin, Origin::Bound(address) if is_in_the_way(address, to));
                // What another generation serves is in the way rightly.
                is_in_the_way && !table.serves(one)
            })
            .collect();
        drop((table, pool));
        if gone.is_empty() {
            return false;
        }
        if let Some(keeper) = keeper {
            keeper.release(&gone);
        }
        close(gone);
        true
    }

    /// Tells whoever keeps copies that there was a change. No lock of the set may be held.
    pub(super) fn tell(&self) {
        let keeper = held(&self.table).keeper.clone();
        if let Some(keeper) = keeper {
            keeper.changed();
        }
    }
}

/// Whether two sockets cannot be bound at these at the same time.
fn is_in_the_way(one: &Address, of: &Address) -> bool {
    match (&one.place, &of.place) {
        (Place::Ip(a), Place::Ip(b)) => {
            let overlap = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
            one.kind == of.kind && a.port() == b.port() && a.port() != 0 && overlap
        }
        (Place::Path(a), Place::Path(b)) => a == b,
        (Place::Abstract(a), Place::Abstract(b)) => a == b,
        (Place::Vsock { port: a, .. }, Place::Vsock { port: b, .. }) => {
            one.kind == of.kind && a == b
        }
        // None of the rest keeps a second one from being opened.
        (_, _) => false,
    }
}
