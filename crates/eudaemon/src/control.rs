//! The control socket: an operator, or a program, asks a running service something and is answered when it has happened.
//!
//! A Unix socket that only the user who made it can open, and at which only that user and root are answered. One line is one question:
//! `status`, `health`, `log-level [LEVEL]`, `reload`, `replace`, `stop`, `fds`, `help`. The answer is lines, the last of which is `ok` or
//! `error: …`; with `json` before the question it is one line of JSON.
//!
//! [`Control::bind`] before privileges are dropped, [`Control::serve`] after.
//!
//! Clients stay connected when the service is reloaded, and when [`main`](crate::main) replaces the process: what is under way is answered by
//! the process that began it, and then the client is the next one's, with what it has said by then.

mod answer;
mod json;
mod line;

pub use answer::Answer;

use crate::clients::{self, Bounds, Door, Parting, Place, Seats, Serving};
use crate::health::Health;
use crate::shared::held;
use crate::sockets::Sockets;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Clients that are served at once.
pub const CLIENTS_MAX: usize = 16;
/// Bytes of one line.
pub const LINE_MAX: usize = 1024;
const BOUNDS: Bounds = Bounds {
    clients: CLIENTS_MAX,
    heard: LINE_MAX,
    patience: Duration::from_secs(10),
};

/// The one handle that moves how much is logged; signals, the debug server and the control socket all use it.
pub trait LogLevel: Send + Sync {
    /// The level now.
    fn level(&self) -> String;

    /// Moves it.
    ///
    /// # Errors
    /// This is no level; the words name those there are.
    fn set_level(&self, level: &str) -> Result<(), String>;

    /// All there are, the quietest first.
    fn levels(&self) -> Vec<String>;

    /// Moves it by one, as SIGTTIN (`louder`) and SIGTTOU do; at the end it stays. Returns the level then.
    fn shift(&self, louder: bool) -> String {
        let (levels, now) = (self.levels(), self.level());
        let at = levels.iter().position(|level| *level == now);
        let next = match (at, louder) {
            (Some(at), true) => at.checked_add(1),
            (Some(at), false) => at.checked_sub(1),
            (None, _) => None,
        };
        if let Some(level) = next.and_then(|next| levels.get(next)) {
            // It is one of its own list.
            let _ = self.set_level(level);
        }
        self.level()
    }
}

/// Moves the level as a client asks: to a level by name, or one on by `+` or `-`.
pub(crate) fn move_level(handle: &dyn LogLevel, word: &str) -> Result<String, String> {
    match word {
        "+" => Ok(handle.shift(true)),
        "-" => Ok(handle.shift(false)),
        level => handle.set_level(level).map(|()| handle.level()),
    }
}

/// What the service does when it is asked. Nothing here may wait: it is called by the thread that serves all clients.
pub trait Commands: Send + Sync {
    /// What there is to say about it, as names and values: `state`, `pid`, `uptime`, `version`, …
    fn status(&self) -> Vec<(String, String)>;

    /// Begins to read the configuration anew; the answer is given when that is done, or has failed, from any thread.
    fn reload(&self, answer: Answer);

    /// Begins to stop; the answer is given when that has begun for sure.
    fn stop(&self, answer: Answer);

    /// Begins to have another process go on in the place of this one; the answer is given when it does, or when it came to nothing.
    fn replace(&self, answer: Answer) {
        answer.failed("this service is not replaced by way of its control socket");
    }

    /// How much is logged.
    fn log_level(&self) -> Option<Arc<dyn LogLevel>>;

    /// The sockets whose names `fds` tells.
    fn sockets(&self) -> Option<Sockets> {
        None
    }
}

/// A socket that listens and is not served yet.
#[derive(Debug)]
pub struct Control {
    door: UnixListener,
    place: Place,
}

impl Control {
    /// Makes the socket, mode 0600. A socket of an earlier run at which nobody listens is replaced.
    ///
    /// # Errors
    /// Somebody listens there already (`AddrInUse`); something else is there; the directory is not there or not ours.
    pub fn bind(path: &Path) -> io::Result<Control> {
        let (door, place) = clients::listen(path)?;
        Ok(Control { door, place })
    }

    /// That of another process, which still serves it. The file is this process's to remove from [`ControlGuard::own`] on.
    pub(crate) fn adopt(door: OwnedFd, path: &Path) -> io::Result<Control> {
        let door = UnixListener::from(door);
        door.set_nonblocking(true)?;
        Ok(Control {
            door,
            place: Place::adopted(path),
        })
    }

    /// Serves it, with one thread, until what is returned is dropped. It then removes the file, if it still can.
    ///
    /// # Errors
    /// There is no descriptor or no thread to be had.
    pub fn serve(self, health: Health, commands: Arc<dyn Commands>) -> io::Result<ControlGuard> {
        let (waker, wakes): (_, UnixStream) = clients::waker()?;
        let talk = line::Lines {
            health,
            commands,
            waker: waker.clone(),
            own: eudaemon_sys::socket::own_uid(),
        };
        let door = Door::Unix(self.door.try_clone()?);
        let serving = clients::serve("eud-control", door, (waker, wakes), BOUNDS, talk)?;
        Ok(ControlGuard {
            serving,
            door: Mutex::new(Some(self.door)),
            place: self.place,
        })
    }
}

/// The control socket is served until this is dropped.
#[derive(Debug)]
pub struct ControlGuard {
    serving: Serving,
    /// What listens, to be handed on.
    door: Mutex<Option<UnixListener>>,
    place: Place,
}

impl ControlGuard {
    /// What listens, and where. None once it was handed on.
    pub(crate) fn door(&self) -> io::Result<Option<(OwnedFd, &Path)>> {
        let door = held(&self.door);
        let copy = door.as_ref().map(UnixListener::try_clone).transpose()?;
        Ok(copy.map(|copy| (copy.into(), self.place.path())))
    }

    /// Hands everything on: the file is not removed by this process any more, nobody is let in, and each client goes to `heir` as
    /// soon as it is owed nothing. Does not wait for that; `heir` is dropped when the last is gone.
    pub(crate) fn part(&self, heir: impl FnMut(OwnedFd, Vec<u8>) + Send + 'static) {
        let mut heir = heir;
        self.place.own(false);
        drop(held(&self.door).take());
        self.serving.part(Parting::To(Box::new(move |one| {
            heir(one.line.into(), one.heard);
        })));
    }

    /// From here on the file is this process's to remove.
    pub(crate) fn own(&self) {
        self.place.own(true);
    }

    /// Where clients of another process are brought to.
    pub(crate) fn seats(&self) -> Seats {
        self.serving.seats()
    }
}
