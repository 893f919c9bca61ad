//! Being told when memory, processor or disk are short.
//!
//! A manager names what to watch, or turns it off; without one the service's own control group is watched, or the whole
//! system, if that is asked for. Everything is opened by [`Pressure::open`], before the root is changed and privileges are
//! dropped; a thread is started by [`Pressure::watch`].
//!
//! ```
//! use eudaemon::Activation;
//! use eudaemon::pressure::{Kind, Pressure, Unnamed, trim};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut pressure = Pressure::open(&Activation::of_this_process(), Unnamed::Off)?;
//! let watching = pressure.watch(Kind::Memory, || drop(trim()))?;
//! assert!(watching.is_none(), "no manager named anything");
//! # Ok(()) }
//! ```
//!
//! Source: systemd, `docs/PRESSURE.md`; Linux, `Documentation/accounting/psi.rst`.

use crate::Activation;
use eudaemon_core::pressure::{KINDS, TRIGGER, base64};
use eudaemon_sys::passing::Bell;
use eudaemon_sys::pressure::{Gauge, Woken};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

pub use eudaemon_core::pressure::Kind;

/// What is watched when no manager names anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unnamed {
    /// Nothing.
    #[default]
    Off,
    /// The service's own control group, or the whole system where that cannot be watched: 200 ms of waiting within 2 s.
    Watched,
}

/// Why pressure is not told.
#[derive(Debug)]
#[non_exhaustive]
pub enum PressureError {
    /// What a manager wants to be written, in this variable, is no base64.
    Trigger(&'static str),
    /// What is to be watched cannot be opened, or does not take what is written into it.
    Open {
        /// What is watched.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no thread to watch it.
    Thread(io::Error),
}

impl fmt::Display for PressureError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PressureError::Trigger(variable) => write!(to, "{variable} is no base64"),
            PressureError::Open { path, .. } => {
                write!(to, "unable to watch pressure at {}", path.display())
            }
            PressureError::Thread(_) => to.write_str("unable to start a thread for pressure"),
        }
    }
}

impl std::error::Error for PressureError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            PressureError::Open { source, .. } | PressureError::Thread(source) => Some(source),
            PressureError::Trigger(_) => None,
        }
    }
}

/// What tells of pressure, open.
#[derive(Debug)]
pub struct Pressure {
    gauges: [Option<Gauge>; 3],
}

impl Pressure {
    /// Opens what the manager names, or what `unnamed` says.
    ///
    /// # Errors
    /// [`PressureError::Trigger`], [`PressureError::Open`]: only for what a manager named. What nobody named and a
    /// kernel without PSI or a container does not have is off.
    pub fn open(activation: &Activation, unnamed: Unnamed) -> Result<Pressure, PressureError> {
        let mut gauges = [None, None, None];
        for (gauge, kind) in gauges.iter_mut().zip(KINDS) {
            *gauge = match activation.variable(kind.watch()) {
                Some(path) if !path.is_empty() => named(activation, kind, Path::new(path))?,
                Some(_) | None => match unnamed {
                    Unnamed::Off => None,
                    Unnamed::Watched => usual(kind),
                },
            };
        }
        Ok(Pressure { gauges })
    }

    /// Whether there is something to watch. It is not once [`Pressure::watch`] has taken it.
    #[must_use]
    pub fn has(&self, kind: Kind) -> bool {
        self.gauges.get(kind as usize).is_some_and(Option::is_some)
    }

    /// Calls `relieve`, on a thread of its own, whenever there is pressure of this kind; as often as it is told, which is
    /// at most once in a window. `None`: it is turned off, or was taken before.
    ///
    /// It ends with what it returns, or when what is watched goes away.
    ///
    /// # Errors
    /// [`PressureError::Thread`].
    pub fn watch(
        &mut self,
        kind: Kind,
        mut relieve: impl FnMut() + Send + 'static,
    ) -> Result<Option<Watching>, PressureError> {
        let Some(gauge) = self.gauges.get_mut(kind as usize).and_then(Option::take) else {
            return Ok(None);
        };
        let bell = Arc::new(Bell::new().map_err(PressureError::Thread)?);
        let heard = Arc::clone(&bell);
        let thread = std::thread::Builder::new()
            .name(format!("pressure-{kind:?}").to_lowercase())
            .spawn(move || {
                while let Ok(Woken::Pressed) = gauge.wait(&heard) {
                    relieve();
                }
            })
            .map_err(PressureError::Thread)?;
        Ok(Some(Watching {
            bell,
            thread: Some(thread),
        }))
    }
}

fn named(activation: &Activation, kind: Kind, path: &Path) -> Result<Option<Gauge>, PressureError> {
    let trigger = match activation.variable(kind.write()) {
        None => Vec::new(),
        Some(text) => {
            let bytes = text.to_str().and_then(base64);
            bytes.ok_or(PressureError::Trigger(kind.write()))?
        }
    };
    Gauge::open(path, &trigger).map_err(|source| PressureError::Open {
        path: path.to_owned(),
        source,
    })
}

fn usual(kind: Kind) -> Option<Gauge> {
    let cgroup = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let places = kind
        .group(&cgroup)
        .into_iter()
        .chain([kind.system().to_owned()]);
    places
        .filter_map(|path| Gauge::open(Path::new(&path), TRIGGER).ok())
        .flatten()
        .next()
}

/// A watch under way; it ends when this is dropped, after the call under way.
#[derive(Debug)]
pub struct Watching {
    bell: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.bell.ring();
        if let Some(thread) = self.thread.take() {
            // Whoever drops it within the call it makes would wait for himself.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

/// Gives memory the allocator keeps unused back to the system; whether the allocator can: glibc's can, musl's does it by
/// itself. For the end of a `relieve` that has emptied the service's own caches.
pub fn trim() -> bool {
    eudaemon_sys::memory::trim()
}
