//! The debug server: what a person, a probe or a scraper may ask a running service over HTTP.
//!
//! Off unless asked for. On a Unix socket of mode 0600 or on a loopback address; another address is refused unless
//! [`Server::public`] says otherwise, since whoever reaches it can read configuration and open files, and change the log level.
//!
//! | path | answer |
//! |---|---|
//! | `/livez` | 200 `ok`, or 503 with what is stale; `?verbose` lists everything |
//! | `/readyz` | the same, of whether work should come |
//! | `/healthz` | both |
//! | `/metrics` | OpenMetrics text |
//! | `/debug/config` | options: name, value, where from; secrets are not shown |
//! | `/debug/fds` | open descriptors |
//! | `/debug/threads` | threads: id, name, state, where they wait, processor time |
//! | `/debug/tasks` | what the service says it is doing |
//! | `/debug/level` | GET: the log level. PUT or POST: moves it, by the body or `?level=` |
//! | `/debug/profile` | a CPU profile for pprof, of `?seconds=30` at `?hz=100`; feature `profile` |
//!
//! [`Server::bind`] before privileges are dropped, [`Server::serve`] after.

mod address;
mod endpoints;
mod http;
mod talk;
mod threads;

pub use address::{Address, AddressError};

use crate::clients::{self, Bounds, Door, Parting, Place, Serving};
use crate::control::LogLevel;
use crate::health::{Health, Tasks};
use crate::metrics::Registry;
use crate::shared::held;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Clients that are served at once; one more is answered 503.
pub const CLIENTS_MAX: usize = 16;
/// Bytes of a request's head.
pub const HEAD_MAX: usize = 8192;
const BOUNDS: Bounds = Bounds {
    clients: CLIENTS_MAX,
    heard: HEAD_MAX,
    patience: Duration::from_secs(5),
};

/// One option of the service: what `/debug/config` shows a line of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name. One that tells of a secret hides the value: it contains `password`, `secret`, `token`, `key`, `credential`, …
    pub name: String,
    /// What it is.
    pub value: String,
    /// Where that came from: `flag`, `env`, a file, `default`.
    pub source: String,
}

/// What the server tells of.
#[derive(Clone)]
pub struct State {
    pub(crate) health: Health,
    pub(crate) metrics: Registry,
    pub(crate) tasks: Tasks,
    pub(crate) config: Arc<dyn Fn() -> Vec<Row> + Send + Sync>,
    pub(crate) level: Option<Arc<dyn LogLevel>>,
    #[cfg(feature = "tokio")]
    pub(crate) runtime: Option<tokio::runtime::Handle>,
}

impl State {
    /// The health and the metrics of a service; nothing else is told yet.
    #[must_use]
    pub fn new(health: Health, metrics: Registry) -> State {
        State {
            health,
            metrics,
            tasks: Tasks::new(),
            config: Arc::new(Vec::new),
            level: None,
            #[cfg(feature = "tokio")]
            runtime: None,
        }
    }

    /// Its options, asked for at each request. The closure must not wait.
    #[must_use]
    pub fn config(mut self, rows: impl Fn() -> Vec<Row> + Send + Sync + 'static) -> State {
        self.config = Arc::new(rows);
        self
    }

    /// What it is doing.
    #[must_use]
    pub fn tasks(mut self, tasks: Tasks) -> State {
        self.tasks = tasks;
        self
    }

    /// How much it logs.
    #[must_use]
    pub fn level(mut self, level: Arc<dyn LogLevel>) -> State {
        self.level = Some(level);
        self
    }

    /// Its runtime, whose numbers are shown with the tasks.
    #[cfg(feature = "tokio")]
    #[must_use]
    pub fn runtime(mut self, runtime: tokio::runtime::Handle) -> State {
        self.runtime = Some(runtime);
        self
    }
}

impl fmt::Debug for State {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("State").finish_non_exhaustive()
    }
}

/// Why the server cannot listen.
#[derive(Debug)]
#[non_exhaustive]
pub enum BindError {
    /// The address can be reached from elsewhere, and that was not asked for.
    Public(SocketAddr),
    /// The system refused.
    System {
        /// The address.
        address: Address,
        /// Why.
        error: io::Error,
    },
}

impl fmt::Display for BindError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindError::Public(address) => write!(
                to,
                "{address} can be reached from other machines; a debug server there must be asked for by name"
            ),
            BindError::System { address, .. } => write!(to, "unable to listen at {address}"),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            BindError::Public(_) => None,
            BindError::System { error, .. } => Some(error),
        }
    }
}

/// A server that listens and does not serve yet.
#[derive(Debug)]
pub struct Server {
    door: Door,
    place: Option<Place>,
    local: Option<SocketAddr>,
    is_public: bool,
}

impl Server {
    /// Listens at a Unix socket, mode 0600 from birth, or at a loopback address.
    ///
    /// # Errors
    /// [`BindError`]; a socket of an earlier run at which nobody listens is replaced.
    pub fn bind(address: &Address) -> Result<Server, BindError> {
        if let Address::Tcp(tcp) = address
            && !tcp.ip().to_canonical().is_loopback()
        {
            return Err(BindError::Public(*tcp));
        }
        Server::public(address)
    }

    /// Listens at any address. Whoever can reach it is answered: there is no password. For a network that is itself closed.
    ///
    /// # Errors
    /// [`BindError::System`]
    pub fn public(address: &Address) -> Result<Server, BindError> {
        let refused = |error| BindError::System {
            address: address.clone(),
            error,
        };
        match address {
            Address::Unix(path) => {
                let (door, place) = clients::listen(path).map_err(refused)?;
                Ok(Server {
                    door: Door::Unix(door),
                    place: Some(place),
                    local: None,
                    is_public: false,
                })
            }
            Address::Tcp(tcp) => {
                let door = TcpListener::bind(tcp).map_err(refused)?;
                door.set_nonblocking(true).map_err(refused)?;
                Ok(Server {
                    local: door.local_addr().ok(),
                    door: Door::Tcp(door),
                    place: None,
                    is_public: !tcp.ip().to_canonical().is_loopback(),
                })
            }
        }
    }

    /// That of another process, which still serves it, if it is at this address. The file is this process's to remove from
    /// [`DebugGuard::own`] on.
    pub(crate) fn adopt(
        address: &Address,
        path: Option<&Path>,
        door: OwnedFd,
    ) -> io::Result<Option<Server>> {
        match (address, path) {
            (Address::Unix(wanted), Some(path)) if std::path::absolute(wanted)? == path => {
                let door = UnixListener::from(door);
                door.set_nonblocking(true)?;
                Ok(Some(Server {
                    door: Door::Unix(door),
                    place: Some(Place::adopted(path)),
                    local: None,
                    is_public: false,
                }))
            }
            (Address::Tcp(wanted), None) => {
                let door = TcpListener::from(door);
                let local = door.local_addr()?;
                if wanted.ip() != local.ip() || ![0, local.port()].contains(&wanted.port()) {
                    return Ok(None);
                }
                door.set_nonblocking(true)?;
                Ok(Some(Server {
                    local: Some(local),
                    door: Door::Tcp(door),
                    place: None,
                    is_public: !local.ip().to_canonical().is_loopback(),
                }))
            }
            (Address::Unix(_) | Address::Tcp(_), _) => Ok(None),
        }
    }

    /// Where it listens, if that is TCP; tells the port that was chosen for port 0.
    #[must_use]
    pub fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    /// Serves, with one thread, until what is returned is dropped.
    ///
    /// # Errors
    /// There is no descriptor or no thread to be had.
    pub fn serve(self, state: State) -> io::Result<DebugGuard> {
        let checks_host = matches!(self.door, Door::Tcp(_)) && !self.is_public;
        let talk = talk::Requests { state, checks_host };
        let copy = self.door.try_clone()?;
        let serving = clients::serve("eud-debug", self.door, clients::waker()?, BOUNDS, talk)?;
        Ok(DebugGuard {
            serving,
            door: Mutex::new(Some(copy)),
            place: self.place,
        })
    }
}

/// The debug server serves until this is dropped.
#[derive(Debug)]
pub struct DebugGuard {
    serving: Serving,
    /// What listens, to be handed on.
    door: Mutex<Option<Door>>,
    place: Option<Place>,
}

impl DebugGuard {
    /// What listens, and where if that is a file. None once it was handed on.
    pub(crate) fn door(&self) -> io::Result<Option<(Option<PathBuf>, OwnedFd)>> {
        let door = held(&self.door);
        let copy = door.as_ref().map(|door| door.as_fd().try_clone_to_owned());
        let path = self.place.as_ref().map(|place| place.path().to_owned());
        Ok(copy.transpose()?.map(|copy| (path, copy)))
    }

    /// Hands it on: the file is not removed by this process any more, nobody is let in, and a request that is being heard or answered is
    /// the last of its client.
    pub(crate) fn part(&self) {
        if let Some(place) = &self.place {
            place.own(false);
        }
        drop(held(&self.door).take());
        self.serving.part(Parting::Leave);
    }

    /// From here on the file is this process's to remove.
    pub(crate) fn own(&self) {
        if let Some(place) = &self.place {
            place.own(true);
        }
    }
}
