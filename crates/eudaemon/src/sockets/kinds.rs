//! What is bound, by the kind of its address.

use super::{SocketError, Unlink, bound};
use crate::inherited::Kind as Found;
use eudaemon_core::address::{Address, Kind, Place};
use eudaemon_sys::bind::queue::{self, Queue, Room};
use eudaemon_sys::bind::{self, Access, Options, Vsock};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// What is said of a socket before it is bound.
#[derive(Clone, Debug)]
pub(super) struct Ways {
    pub backlog: u32,
    pub options: Options,
    pub access: Access,
    pub unlink: Unlink,
    /// Of a file: whether it is open for writing too.
    pub writes: bool,
    /// Of a queue.
    pub room: Option<Room>,
}

impl Ways {
    /// Binds this address, or opens it; and the file it made that is to be removed in the end. It blocks.
    pub(super) fn bind(
        &self,
        address: &Address,
    ) -> Result<(OwnedFd, Option<bound::Made>), SocketError> {
        let system = |error| SocketError::Bind {
            address: address.to_string(),
            error,
        };
        let (kind, mut file) = (address.kind.unwrap_or(Kind::Datagram), None);
        let socket = match &address.place {
            Place::Ip(at) => bind::ip(kind, *at, &self.options).map_err(system)?,
            Place::Abstract(name) => bind::abstract_name(kind, name.as_bytes()).map_err(system)?,
            Place::Path(path) => {
                let (socket, made) =
                    bound::at(kind, path.as_ref(), self.unlink, self.access, system)?;
                file = Some(made);
                socket
            }
            Place::Vsock { cid, port } => {
                let at = Vsock {
                    cid: *cid,
                    port: *port,
                };
                bind::vsock(kind, at).map_err(system)?
            }
            Place::Fifo(path) => return Ok((self.fifo(address, path.as_ref())?, None)),
            Place::Special(path) => return Ok((self.special(address, path.as_ref())?, None)),
            Place::Queue(name) => return Ok((self.queue(address, name)?, None)),
            Place::Inherited(_) | Place::Number(_) => {
                let name = address.to_string();
                return Err(SocketError::Missing { name });
            }
        };
        bind::buffers(&socket, &self.options).map_err(system)?;
        if kind != Kind::Datagram {
            bind::listen(&socket, self.backlog).map_err(system)?;
        }
        Ok((socket, file))
    }

    /// Whether a socket at this address was bound in these ways, as far as they cannot be changed since.
    pub(super) fn are_those_of(&self, address: &Address, socket: &OwnedFd) -> bool {
        let kept = bind::kept_options(socket);
        // Without a word from the kernel it was not.
        address.ip().is_none()
            || kept.is_ok_and(|(reuse_port, only_v6)| {
                reuse_port == self.options.reuse_port
                    && only_v6.is_none_or(|only_v6| only_v6 == self.options.only_v6)
            })
    }

    /// Changes a socket that was bound at this address in an earlier life, where it can be changed: who may connect, how many
    /// may wait, how much it holds.
    pub(super) fn renew(
        &self,
        bound: &super::Bound<OwnedFd>,
        address: &Address,
    ) -> Result<(), SocketError> {
        let system = |error| SocketError::Bind {
            address: address.to_string(),
            error,
        };
        if let Some(made) = &bound.file {
            bind::admit_again(made.path(), made.identity(), self.access).map_err(system)?;
        }
        let Some(kind) = address.kind else {
            return Ok(());
        };
        bind::buffers(&bound.socket, &self.options).map_err(system)?;
        if kind != Kind::Datagram {
            bind::listen(bound, self.backlog).map_err(system)?;
        }
        Ok(())
    }

    /// The FIFO of this path, which is made if it is not there.
    fn fifo(&self, address: &Address, path: &Path) -> Result<OwnedFd, SocketError> {
        let system = |error| SocketError::Bind {
            address: address.to_string(),
            error,
        };
        bind::make_fifo(path).map_err(system)?;
        let mut found = bind::find(path).map_err(system)?;
        if found.kind != Found::Fifo {
            return Err(SocketError::WrongFile {
                path: path.into(),
                is: found.kind,
                wanted: "a FIFO",
            });
        }
        if self.is_half_made(found.mode, found.owner) {
            found.finish(self.access).map_err(system)?;
        }
        self.is_ours(address, found.mode, found.owner)?;
        waits(found.open(true)).map_err(system)
    }

    /// The file or the device of this path.
    fn special(&self, address: &Address, path: &Path) -> Result<OwnedFd, SocketError> {
        let system = |error| SocketError::Bind {
            address: address.to_string(),
            error,
        };
        let found = bind::find(path).map_err(system)?;
        if !matches!(found.kind, Found::File | Found::Device) {
            return Err(SocketError::WrongFile {
                path: path.into(),
                is: found.kind,
                wanted: "a regular file or a character device",
            });
        }
        waits(found.open(self.writes)).map_err(system)
    }

    /// The message queue of this name, which is made if it is not there.
    fn queue(&self, address: &Address, name: &str) -> Result<OwnedFd, SocketError> {
        let system = |error| SocketError::Bind {
            address: address.to_string(),
            error,
        };
        let made = queue::make(name, self.access, self.room).map_err(system)?;
        let mut queue: Queue = match made {
            Some(queue) => queue,
            None => queue::open(name).map_err(system)?,
        };
        if self.is_half_made(queue.mode, queue.owner) {
            queue.finish(self.access).map_err(system)?;
        }
        self.is_ours(address, queue.mode, queue.owner)?;
        match self.room {
            Some(wanted) if wanted != queue.room => Err(SocketError::Foreign {
                address: address.to_string(),
                found: of_room(queue.room),
                wanted: of_room(wanted),
            }),
            _ => waits(Ok(queue.fd)).map_err(system),
        }
    }

    /// Nobody may open it, and it is ours, or is given away already: it was made a moment ago, here or by another who starts at the
    /// same time, or by somebody who was killed before it had its mode.
    fn is_half_made(&self, mode: u32, owner: (u32, u32)) -> bool {
        let is_given = self.access.owner.is_some_and(|wanted| wanted == owner);
        mode == 0 && (is_given || owner.0 == eudaemon_sys::socket::own_uid())
    }

    /// Something that was there already is used if it is as it would have been made: else somebody writes to it, or reads from it,
    /// who should not.
    fn is_ours(&self, address: &Address, mode: u32, owner: (u32, u32)) -> Result<(), SocketError> {
        // Which group it got at its birth is the directory's to say. Source: inode(7), S_ISGID.
        let own = (eudaemon_sys::socket::own_uid(), owner.1);
        let wanted = self.access.owner.unwrap_or(own);
        if (mode, owner) == (self.access.mode, wanted) {
            return Ok(());
        }
        let words = |mode, (user, group)| format!("mode {mode:04o} of {user}:{group}");
        Err(SocketError::Foreign {
            address: address.to_string(),
            found: words(mode, owner),
            wanted: words(self.access.mode, wanted),
        })
    }
}

fn of_room(room: Room) -> String {
    format!("{} messages of {} bytes", room.messages, room.bytes)
}

/// It was opened without waiting, and waits from here on, as everything that is bound here: nobody else has it yet.
fn waits(opened: io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    let file = opened?;
    eudaemon_sys::fifo::set_waiting(file.as_fd(), true)?;
    Ok(file)
}
