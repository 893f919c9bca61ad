//! What a process of this daemon was given by the one before it, whose place it takes.
//!
//! A service that is [replaced](crate::Handle::replace) goes on in a new process of the same program: the sockets are the same open
//! sockets, so no connection is refused and none is lost, and what the old process wants the new one to know comes along as bytes.
//! The new process asks for it in `init` with [`Init::handover`](crate::Init::handover), which is `None` in an ordinary start.
//!
//! The line between the two is private: a pair of sockets, one end of which the new process finds where `EUDAEMON_HANDOVER` says. The
//! frames are those of `eudaemon_core::handover`, and have a version, for two programs of different age talk there.

use crate::sockets::{Active, Made, Origin, Sockets};
use crate::{Activation, Context, Error, Result};
use eudaemon_core::handover::{
    FRAME_MOST, Given, Item, Said, SocketFile, Told, VARIABLE, VERSION, Wrong,
};
use eudaemon_sys::file::Identity;
use eudaemon_sys::passing::{Came, Channel};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes of a state at most: it is read by a process that may have more rights than who wrote it.
pub(crate) const STATE_MOST: usize = 256 << 20;

/// What a process knows of the one whose place it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    pub(crate) generation: u32,
    pub(crate) state: Option<Vec<u8>>,
}

impl Handover {
    /// How often the daemon has been replaced: 1 in the first process that took another one's place.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// What the old process gave along, with [`Replace::state`](crate::replace::Replace::state) or
    /// [`Handle::on_replace`](crate::Handle::on_replace). Another version of the program may have written it.
    #[must_use]
    pub fn state(&self) -> Option<&[u8]> {
        self.state.as_deref()
    }
}

/// Everything that is handed over.
///
/// A service that was taken over by somebody can start the same program with all its first rights and hand it whatever it likes. So
/// nothing that is in here may decide what is done before those rights are given up again: a path is looked at to be compared with one's own.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// Which process of the daemon the new one is.
    pub generation: u32,
    pub listeners: Vec<Listener>,
    /// A sealed file in memory.
    pub state: Option<OwnedFd>,
    /// The file and its lock, which are one descriptor.
    pub pidfile: Option<(PathBuf, OwnedFd)>,
    pub ready_file: Option<PathBuf>,
    pub control: Option<(PathBuf, OwnedFd)>,
    pub debug: Option<(Option<PathBuf>, OwnedFd)>,
    /// The standard error of the old process; that of the new one is a pipe to the old one.
    pub stderr: Option<OwnedFd>,
}

/// A socket that is served.
#[derive(Debug)]
pub(crate) struct Listener {
    pub name: String,
    pub fd: OwnedFd,
    pub origin: Origin,
    /// The file it made, and the lock of its path.
    pub file: Option<(SocketFile, Option<OwnedFd>)>,
}

/// One frame and what travels with it.
pub(crate) type Frame = (Given, Vec<OwnedFd>);

impl Listener {
    /// One of the set.
    pub fn of(active: Active) -> io::Result<Listener> {
        let file = active.file.map(|made| {
            let lock = made.lock().map(|lock| lock.try_clone_to_owned());
            let lock = lock.transpose()?;
            let Identity { device, inode } = made.identity();
            let file = SocketFile {
                path: made.path().as_os_str().as_bytes().to_vec(),
                kind: made.kind(),
                device,
                inode,
                is_removed: made.is_armed(),
                is_locked: lock.is_some(),
            };
            Ok::<_, io::Error>((file, lock))
        });
        Ok(Listener {
            name: active.name,
            fd: active.fd,
            origin: active.origin,
            file: file.transpose()?,
        })
    }
}

impl Contents {
    /// The sockets, and the files among what they made that this process is to remove once it is promoted. Before that it removes none.
    pub fn sockets(&mut self) -> (Sockets, Vec<Arc<Made>>) {
        let mut files = Vec::new();
        let listeners = std::mem::take(&mut self.listeners).into_iter();
        let handed = listeners.map(|one| {
            let made = one.file.map(|(file, lock)| {
                let path = PathBuf::from(OsString::from_vec(file.path));
                let (device, inode) = (file.device, file.inode);
                let made = Made::adopted(path, file.kind, Identity { device, inode }, lock);
                let made = Arc::new(made);
                if file.is_removed {
                    files.push(Arc::clone(&made));
                }
                made
            });
            Active::new(one.name, one.fd, one.origin, made)
        });
        let sockets = Sockets::of_all(handed.collect::<Vec<_>>());
        (sockets, files)
    }

    /// As frames, the last of which is the end.
    pub fn into_frames(self) -> VecDeque<Frame> {
        let bytes = |path: PathBuf| path.into_os_string().into_vec();
        let mut items = Vec::new();
        for listener in self.listeners {
            let Listener {
                name,
                fd,
                origin,
                file,
            } = listener;
            let mut fds = vec![fd];
            let file = file.map(|(file, lock)| {
                let is_locked = lock.is_some();
                fds.extend(lock);
                SocketFile { is_locked, ..file }
            });
            let origin = origin.text();
            items.push((Item::Listener { name, origin, file }, fds));
        }
        if let Some(fd) = self.state {
            items.push((Item::State, vec![fd]));
        }
        if let Some((path, fd)) = self.pidfile {
            let path = bytes(path);
            items.push((Item::Pidfile { path }, vec![fd]));
        }
        if let Some(path) = self.ready_file {
            let path = bytes(path);
            items.push((Item::ReadyFile { path }, Vec::new()));
        }
        if let Some((path, fd)) = self.control {
            let path = bytes(path);
            items.push((Item::Control { path }, vec![fd]));
        }
        if let Some((path, fd)) = self.debug {
            let path = path.map(bytes);
            items.push((Item::Debug { path }, vec![fd]));
        }
        if let Some(fd) = self.stderr {
            items.push((Item::Stderr, vec![fd]));
        }
        let end = Given::End {
            generation: self.generation,
            items: u32::try_from(items.len()).unwrap_or(u32::MAX),
        };
        let items = items.into_iter();
        let mut frames: VecDeque<Frame> =
            items.map(|(item, fds)| (Given::Item(item), fds)).collect();
        frames.push_back((end, Vec::new()));
        frames
    }

    /// Takes in one item. What came twice is what came last.
    fn take(&mut self, item: Item, fds: Vec<OwnedFd>) -> io::Result<()> {
        let mut fds = fds.into_iter();
        // As many as the item says have come: `hear` has seen to that.
        let mut fd = || fds.next().ok_or_else(|| wrong(Wrong::Value));
        let path = |bytes: Vec<u8>| PathBuf::from(std::ffi::OsString::from_vec(bytes));
        match item {
            Item::Listener { name, origin, file } => {
                let origin = Origin::parse(&origin).ok_or_else(|| wrong(Wrong::Value))?;
                let socket = fd()?;
                let lock = match &file {
                    Some(file) if file.is_locked => Some(fd()?),
                    Some(_) | None => None,
                };
                self.listeners.push(Listener {
                    name,
                    fd: socket,
                    origin,
                    file: file.map(|file| (file, lock)),
                });
            }
            Item::State => self.state = Some(fd()?),
            Item::Pidfile { path: at } => self.pidfile = Some((path(at), fd()?)),
            Item::ReadyFile { path: at } => self.ready_file = Some(path(at)),
            Item::Control { path: at } => self.control = Some((path(at), fd()?)),
            Item::Debug { path: at } => self.debug = Some((at.map(path), fd()?)),
            Item::Stderr => self.stderr = Some(fd()?),
        }
        Ok(())
    }

    /// What the service is told of it. The state is read whole, if it is of a size that may be, and nobody can change it meanwhile.
    pub fn handover(&self) -> io::Result<Handover> {
        let read = |state: &OwnedFd| eudaemon_sys::sealed::read(state, STATE_MOST);
        let state = self.state.as_ref().map(read);
        Ok(Handover {
            generation: self.generation,
            state: state.transpose()?,
        })
    }
}

/// The end of the line this process was given, if it was; `None` in an ordinary start. Once in the life of a process, and
/// before anything is executed.
///
/// An old process that speaks another version is told so, and told what is the matter.
///
/// # Errors
/// The variable is wrong, or its descriptor is not there or is none; the version is not known.
pub(crate) fn line(activation: &Activation) -> Result<Option<Channel>> {
    let Some(value) = activation.variable(VARIABLE) else {
        return Ok(None);
    };
    let attempt = || format!("{VARIABLE}={}", value.display());
    let told = Told::read(value.as_bytes(), activation.pid())
        .map_err(|wrong| Error::config(wrong.to_string()))?;
    let Some(told) = told else {
        return Ok(None);
    };
    let fd = eudaemon_sys::hand::take_one(told.fd).during(attempt)?;
    let kind = eudaemon_sys::descriptor::kind(&fd).during(attempt)?;
    if kind != eudaemon_sys::descriptor::Kind::UnixSeqpacket {
        return Err(Error::config(format!(
            "{}: the descriptor is {}",
            attempt(),
            kind.name()
        )));
    }
    let line = Channel::from(fd);
    if told.version != VERSION {
        let said = Said::unable(told.version);
        let words = match &said {
            Said::Unable { words } => format!("unable to take over: this program: {words}"),
            Said::Ready | Said::Failed { .. } => String::new(),
        };
        // If nobody hears it, our end by an error says it.
        let _ = say(&line, &said);
        return Err(Error::unsupported(words));
    }
    Ok(Some(line))
}

/// Hands everything over; waits while the other end is slow.
pub(crate) fn send(line: &Channel, contents: Contents) -> io::Result<()> {
    for (given, fds) in contents.into_frames() {
        give(line, &given, &fds)?;
    }
    Ok(())
}

/// Says one thing; waits while the other end is slow.
pub(crate) fn give(line: &Channel, given: &Given, fds: &[OwnedFd]) -> io::Result<()> {
    let frame = given.encode().map_err(wrong)?;
    line.send(&frame, &borrowed(fds))
}

/// As [`give`], without waiting: whether there was room for it.
pub(crate) fn try_give(line: &Channel, given: &Given, fds: &[OwnedFd]) -> io::Result<bool> {
    let frame = given.encode().map_err(wrong)?;
    match line.send_now(&frame, &borrowed(fds)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

fn borrowed(fds: &[OwnedFd]) -> Vec<BorrowedFd<'_>> {
    fds.iter().map(AsFd::as_fd).collect()
}

/// Takes everything that is handed over, up to its end; waits for it.
///
/// # Errors
/// `UnexpectedEof`: the old process has gone. `InvalidData` with a [`Wrong`] inside.
pub(crate) fn receive(line: &Channel) -> io::Result<Contents> {
    let mut contents = Contents::default();
    let mut count: u32 = 0;
    loop {
        match hear(line)? {
            Some((Given::Item(item), fds)) => {
                contents.take(item, fds)?;
                count = count.saturating_add(1);
            }
            Some((Given::End { generation, items }, _)) if items == count => {
                contents.generation = generation;
                return Ok(contents);
            }
            Some((
                Given::End { .. }
                | Given::Promoted
                | Given::Reload
                | Given::Stop
                | Given::Client { .. }
                | Given::Done,
                _,
            )) => {
                return Err(wrong(Wrong::Value));
            }
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Waits for what the old process says next; `None` when it has gone.
///
/// # Errors
/// `InvalidData` with a [`Wrong`] inside: also if other descriptors came than belong to it, for there may have been no room.
pub(crate) fn hear(line: &Channel) -> io::Result<Option<Frame>> {
    let mut bytes = vec![0; FRAME_MOST];
    let mut fds = Vec::new();
    match line.receive(&mut bytes, true, |fd| fds.push(fd))? {
        Came::Message(length) => {
            let given = Given::decode(bytes.get(..length).unwrap_or_default()).map_err(wrong)?;
            if fds.len() != given.descriptors() {
                return Err(wrong(Wrong::Value));
            }
            Ok(Some((given, fds)))
        }
        Came::Closed | Came::Nothing => Ok(None),
    }
}

/// What the new process said, or is about to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Said(Said),
    Nothing,
    /// It has gone, or has closed its end.
    Gone,
}

/// What the new process says, without waiting for it.
///
/// # Errors
/// `InvalidData` with a [`Wrong`] inside.
pub(crate) fn try_hear(line: &Channel) -> io::Result<Heard> {
    let mut bytes = vec![0; FRAME_MOST];
    // It has nothing to give us.
    match line.receive(&mut bytes, false, drop)? {
        Came::Message(length) => {
            let said = Said::decode(bytes.get(..length).unwrap_or_default());
            said.map(Heard::Said).map_err(wrong)
        }
        Came::Nothing => Ok(Heard::Nothing),
        Came::Closed => Ok(Heard::Gone),
    }
}

/// Says something to the old process.
///
/// # Errors
/// `BrokenPipe`: it has gone, or has given this one up.
pub(crate) fn say(line: &Channel, said: &Said) -> io::Result<()> {
    line.send(&said.encode(), &[])
}

fn wrong(wrong: Wrong) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, wrong)
}

#[cfg(test)]
mod tests;
