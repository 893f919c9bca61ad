//! What a socket is to be: the end of a wish.

use super::set;
use super::table::{Meant, Origin};
use super::{Bound, Filter, SocketError, Want, is};
use eudaemon_core::address::{Address, Kind as Transport, Place};
use eudaemon_sys::hand;
use std::fs::File;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};

impl Want {
    /// A listening TCP socket.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn tcp_listener(self) -> Result<Bound<TcpListener>, SocketError> {
        let role = Role {
            what: "a listening TCP socket",
            filter: Some(is::tcp() & is::listening()),
            of: |address| address.kind == Some(Transport::Stream) && address.ip().is_some(),
        };
        Ok(self.take(role)?.map(TcpListener::from))
    }

    /// A UDP socket.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn udp_socket(self) -> Result<Bound<UdpSocket>, SocketError> {
        let role = Role {
            what: "a UDP socket",
            filter: Some(is::udp()),
            of: |address| address.kind == Some(Transport::Datagram) && address.ip().is_some(),
        };
        Ok(self.take(role)?.map(UdpSocket::from))
    }

    /// A listening unix socket.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn unix_listener(self) -> Result<Bound<UnixListener>, SocketError> {
        let role = Role {
            what: "a listening unix socket",
            filter: Some(is::unix() & is::stream() & is::listening()),
            of: |address| address.kind == Some(Transport::Stream) && is_unix(address),
        };
        Ok(self.take(role)?.map(UnixListener::from))
    }

    /// A unix socket of datagrams.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn unix_datagram(self) -> Result<Bound<UnixDatagram>, SocketError> {
        let role = Role {
            what: "a unix socket of datagrams",
            filter: Some(is::unix() & is::datagram()),
            of: |address| address.kind == Some(Transport::Datagram) && is_unix(address),
        };
        Ok(self.take(role)?.map(UnixDatagram::from))
    }

    /// A listening unix socket that keeps messages apart, for which std has no type.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn seqpacket(self) -> Result<Bound<OwnedFd>, SocketError> {
        let role = Role {
            what: "a listening unix socket of messages",
            filter: Some(is::unix() & is::seqpacket() & is::listening()),
            of: |address| address.kind == Some(Transport::Sequential) && is_unix(address),
        };
        self.take(role)
    }

    /// A listening socket for a virtual machine and its host, of streams, for which std has no type. Source: `vsock(7)`.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn vsock_listener(self) -> Result<Bound<OwnedFd>, SocketError> {
        self.take(Role {
            what: "a listening vsock socket",
            filter: Some(is::vsock() & is::stream() & is::listening()),
            of: |address| {
                let is_vsock = matches!(address.place, Place::Vsock { .. });
                is_vsock && address.kind == Some(Transport::Stream)
            },
        })
    }

    /// A FIFO, for reading what others write to it. It is made if it is not there, with the mode and the owner that were asked for;
    /// one that is there must have them, or it is [`SocketError::Foreign`]. It stays when this is dropped: writers may have it
    /// open, and what they write waits for the next start. Nothing keeps two from reading from it.
    ///
    /// What is bound here is open for both reading and writing, so there is no end when the last writer goes. Source:
    /// `fifo(7)`.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn fifo(self) -> Result<Bound<File>, SocketError> {
        let role = Role {
            what: "a FIFO",
            filter: Some(is::fifo()),
            of: |address| matches!(address.place, Place::Fifo(_)),
        };
        Ok(self.take(role)?.map(File::from))
    }

    /// A character device, or a regular file such as those of `/proc` and `/sys`. It is there; no symbolic link is followed.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn special(self) -> Result<Bound<File>, SocketError> {
        let role = Role {
            what: "a file or a device",
            filter: Some(is::special()),
            of: |address| matches!(address.place, Place::Special(_)),
        };
        Ok(self.take(role)?.map(File::from))
    }

    /// A POSIX message queue, for receiving: its number is what `mq_receive(3)` takes. It is made, or must be as asked for, as
    /// [`Want::fifo`] says, and stays.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn message_queue(self) -> Result<Bound<OwnedFd>, SocketError> {
        self.take(Role {
            what: "a message queue",
            filter: Some(is::message_queue()),
            of: |address| matches!(address.place, Place::Queue(_)),
        })
    }

    /// Whatever it is; the filter says what it may be. What is bound here listens, if it is of a kind that can.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn owned(self) -> Result<Bound<OwnedFd>, SocketError> {
        let role = Role {
            what: "any socket",
            filter: None,
            of: |_| true,
        };
        self.take(role)
    }

    fn take(mut self, role: Role) -> Result<Bound<OwnedFd>, SocketError> {
        set::check(&self.name)?;
        // A wrong address is told even if a manager makes it needless today.
        let address = self.address(&role)?;
        let filter = match (role.filter, self.filter.take()) {
            (Some(role), Some(own)) => Some(role & own),
            (role, own) => role.or(own),
        };
        let filter = filter.as_ref();
        let meant = match &address {
            Some(_) => Meant::Address(&self.name),
            None => Meant::Name(&self.name),
        };
        let claimed = self.sockets.claim(&self.name, meant, filter, |bound, fd| {
            let is_it = |wanted| wanted == bound && self.ways.are_those_of(wanted, fd);
            address.as_ref().is_none_or(is_it)
        })?;
        let taken = match (claimed, address) {
            (Some(claimed), Some(address)) if claimed.is_to_be_set => {
                self.ways.renew(&claimed.bound, &address)?;
                claimed.bound
            }
            (Some(claimed), _) => claimed.bound,
            (None, Some(address)) => match &address.place {
                Place::Inherited(wanted) => self.named(wanted, filter)?,
                Place::Number(number) => self.numbered(*number, filter)?,
                Place::Ip(_)
                | Place::Path(_)
                | Place::Abstract(_)
                | Place::Vsock { .. }
                | Place::Fifo(_)
                | Place::Special(_)
                | Place::Queue(_) => {
                    let bound = match self.ways.bind(&address) {
                        Err(error) if error.is_in_use() && self.sockets.give_way(&address) => {
                            self.ways.bind(&address)
                        }
                        bound => bound,
                    };
                    let (socket, file) = bound?;
                    let origin = Origin::Bound(address);
                    self.sockets.serve(&self.name, socket, origin, file)?
                }
            },
            (None, None) => return Err(SocketError::Missing { name: self.name }),
        };
        if self.nonblocking {
            eudaemon_sys::fifo::set_waiting(&taken, false).map_err(SocketError::Look)?;
        }
        Ok(taken)
    }

    fn address(&self, role: &Role) -> Result<Option<Address>, SocketError> {
        let Some(text) = &self.address else {
            return Ok(None);
        };
        let address = Address::parse(text).map_err(|wrong| SocketError::Address {
            text: text.clone(),
            wrong,
        })?;
        // What that is, is seen when it is there.
        match address.is_inherited() || (role.of)(&address) {
            true => Ok(Some(address)),
            false => Err(SocketError::Unsuited {
                text: text.clone(),
                wanted: role.what,
            }),
        }
    }

    /// What was handed over under a name that the address tells.
    fn named(&self, wanted: &str, filter: Option<&Filter>) -> Result<Bound<OwnedFd>, SocketError> {
        let claimed = (self.sockets).claim(&self.name, Meant::Name(wanted), filter, |_, _| true)?;
        let name = wanted.to_owned();
        let claimed = claimed.ok_or(SocketError::Missing { name })?;
        Ok(claimed.bound)
    }

    /// What was handed over as a descriptor whose number the address tells: by a manager that told how many there are, or by
    /// somebody who just left it open.
    fn numbered(
        &self,
        number: u32,
        filter: Option<&Filter>,
    ) -> Result<Bound<OwnedFd>, SocketError> {
        let meant = Meant::Number(number);
        if let Some(claimed) = (self.sockets).claim(&self.name, meant, filter, |_, _| true)? {
            return Ok(claimed.bound);
        }
        let taken = match number {
            0 => hand::take_input().map_err(SocketError::Look)?,
            number => Some(hand::take_one(number).map_err(|error| SocketError::Bind {
                address: meant.to_string(),
                error,
            })?),
        };
        let name = meant.to_string();
        let taken = taken.ok_or(SocketError::Missing { name })?;
        if let Some(filter) = filter
            && !filter.admits(&taken).map_err(SocketError::Look)?
        {
            return Err(SocketError::Unfit {
                name: meant.to_string(),
                is: eudaemon_sys::descriptor::kind(&taken).map_err(SocketError::Look)?,
                wanted: filter.to_string(),
            });
        }
        self.sockets.serve(&self.name, taken, Origin::Manager, None)
    }
}

/// What a socket is to be.
struct Role {
    what: &'static str,
    filter: Option<Filter>,
    of: fn(&Address) -> bool,
}

fn is_unix(address: &Address) -> bool {
    matches!(address.place, Place::Path(_) | Place::Abstract(_))
}
