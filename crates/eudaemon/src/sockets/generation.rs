//! A new configuration in the same process.

use super::Sockets;
use std::ops::Deref;

/// A new set of sockets in this process, in which what is served now can be had again: see [`Sockets::reset`].
///
/// Dropped without [`Generation::keep`], its copies are closed, and everything is as before it was made.
#[derive(Debug)]
#[must_use = "dropped, it is as if it had never been"]
pub struct Generation {
    sockets: Sockets,
}

impl Generation {
    pub(super) fn of(sockets: Sockets) -> Generation {
        Generation { sockets }
    }

    /// Ends the change: what the new configuration did not ask for is closed here, and once the old configuration drops its own,
    /// who connects is refused. The names of what was not asked for, in order.
    pub fn keep(self) -> Vec<String> {
        self.sockets.cleanup()
    }
}

impl Deref for Generation {
    type Target = Sockets;

    fn deref(&self) -> &Sockets {
        &self.sockets
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        // Clones of the set may live on, and would keep what nobody serves.
        self.sockets.cleanup();
    }
}
