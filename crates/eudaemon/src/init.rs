//! The privileged part of a start: one thread, and whatever rights the program was given.

use crate::credentials::Credentials;
use crate::directories::Directories;
use crate::fdstore::FdStore;
use crate::handover::Handover;
use crate::logging::Log;
use crate::notify::Notify;
use crate::options::Options;
use crate::sockets::{Bound, Sockets};
use crate::{Activation, Capability, Result};
use std::fmt;
use std::net::{TcpListener, ToSocketAddrs};
use std::sync::OnceLock;
use std::time::Duration;

/// What `init` is given. It ends before privileges do, so nothing that needs them can be called later, and nothing that must
/// not be said before, like ready, can be said with it.
#[derive(Debug)]
pub struct Init<'a> {
    pub(crate) activation: &'a Activation,
    pub(crate) options: &'a Options,
    pub(crate) log: &'a Log,
    pub(crate) notify: &'a Notify,
    pub(crate) credentials: &'a Credentials,
    pub(crate) name: &'a str,
    /// Of use to few.
    pub(crate) directories: OnceLock<Directories>,
    pub(crate) sockets: &'a Sockets,
    pub(crate) handover: Option<&'a Handover>,
    pub(crate) store: &'a FdStore,
    pub(crate) keep: Vec<Capability>,
}

impl Init<'_> {
    /// What the program was given at its start: its environment above all.
    #[must_use]
    pub fn activation(&self) -> &Activation {
        self.activation
    }

    /// The options in force.
    #[must_use]
    pub fn options(&self) -> &Options {
        self.options
    }

    /// What the process before this one gave it, whose place it takes; `None` in an ordinary start. That one serves until
    /// [`Handle::ready`](crate::Handle::ready) returns.
    #[must_use]
    pub fn handover(&self) -> Option<&Handover> {
        self.handover
    }

    /// Where log lines go.
    #[must_use]
    pub fn log(&self) -> &Log {
        self.log
    }

    /// The secrets the manager handed over. To be read here: they may be out of reach once the service is locked in.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        self.credentials
    }

    /// The directories for state, cache, logs and what lives as long as the service.
    #[must_use]
    pub fn directories(&self) -> &Directories {
        self.directories
            .get_or_init(|| Directories::of(self.activation, self.name))
    }

    /// Sockets by name: what was passed, or what is bound here. What was passed and nobody asked for is closed before `run`.
    #[must_use]
    pub fn sockets(&self) -> &Sockets {
        self.sockets
    }

    /// What the manager keeps while the service is not there: connections, and state in memory.
    #[must_use]
    pub fn fdstore(&self) -> &FdStore {
        self.store
    }

    /// Whether the program was asked to stop already. A long `init` looks from time to time, and returns.
    #[must_use]
    pub fn is_stop_asked(&self) -> bool {
        eudaemon_sys::early::asked().is_some()
    }

    /// Keeps this capability through the drop, beside those of the manifest and of `--service.keep-caps`.
    pub fn keep_capability(&mut self, capability: Capability) {
        self.keep.push(capability);
    }

    /// Says how far the start is, and asks the manager for this much more time.
    pub fn progress(&self, how_far: impl fmt::Display, window: Duration) {
        // A manager that cannot be told is no reason not to start.
        let _ = self.notify.status(&how_far.to_string());
        let _ = self.notify.extend(window);
    }

    /// A listening TCP socket: the one that was passed under this name, if there is one; the only one that was passed, if it
    /// has no name; else one bound here. Ports below 1024 can be bound here and not later.
    ///
    /// # Errors
    /// Those of [`Sockets::tcp_listener`].
    pub fn tcp_listener(
        &self,
        name: &str,
        address: impl ToSocketAddrs + fmt::Display,
    ) -> Result<Bound<TcpListener>> {
        self.sockets.tcp_listener(name, address)
    }
}
