//! The descriptors a manager hands over at the start, by name: listening sockets, and what was stored before a restart.
//!
//! ```no_run
//! use eudaemon::{Activation, inherited::Inherited};
//! let mut inherited = Inherited::take(&Activation::of_this_process())?;
//! let web = inherited.take_tcp_listener("web")?;
//! for rest in inherited.iter() {
//!     println!("nobody asked for {} ({})", rest.name(), rest.kind().name());
//! }
//! # Ok::<(), eudaemon::inherited::InheritedError>(())
//! ```
//!
//! What they are is asked of the kernel, and what they are for is in their names: the order says nothing, since several units
//! may contribute and what was stored comes last. Source: `sd_listen_fds(3)`; the specification, T25, T26 and T31.

pub use eudaemon_sys::descriptor::Kind;

use crate::Activation;
use eudaemon_core::listen::{self, UNKNOWN, Variables, Wrong};
use eudaemon_core::words::Pid;
use eudaemon_sys::descriptor;
use eudaemon_sys::process::{Held, pidfs_is_unique};
use std::fmt;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};

/// Everything that was handed over and has not been taken yet. What is left when this is dropped is closed.
#[derive(Debug, Default)]
pub struct Inherited {
    passed: Vec<Passed>,
}

/// One descriptor that was handed over. It is closed when a program is executed, whatever the manager said.
#[derive(Debug)]
pub struct Passed {
    name: String,
    /// Which it was, if it was handed over in this process.
    number: Option<u32>,
    fd: OwnedFd,
    kind: Kind,
    listening: bool,
}

/// Why what was handed over cannot be taken.
#[derive(Debug)]
#[non_exhaustive]
pub enum InheritedError {
    /// The variables contradict each other, or have values they cannot have. Nothing is taken.
    Variables(Wrong),
    /// The descriptors are not there, were opened by this program itself, or have been taken before. Nothing is taken.
    Take(io::Error),
    /// One cannot be looked at.
    Look(io::Error),
    /// What has the name that was asked for is something else.
    Kind {
        /// The name.
        name: String,
        /// What it is.
        is: Kind,
        /// What was asked for.
        wanted: &'static str,
    },
}

impl Inherited {
    /// Takes what was handed over to this process: `LISTEN_FDS` and its companions, if they mean this process. Once in the life
    /// of a process, and before anything is executed.
    ///
    /// # Errors
    /// [`InheritedError::Variables`], [`InheritedError::Take`], [`InheritedError::Look`].
    pub fn take(activation: &Activation) -> Result<Inherited, InheritedError> {
        let of = |name| {
            activation
                .variable(name)
                .map(|value| value.as_encoded_bytes())
        };
        let [pid, fds, names, pidfd_inode] = listen::VARIABLES;
        let variables = match [pid, fds, names, pidfd_inode].map(of) {
            [pid, fds, names, pidfd_inode] => Variables {
                pid,
                fds,
                names,
                pidfd_inode,
            },
        };
        // The kernel is asked only for what somebody compares with it.
        let own = variables
            .pidfd_inode
            .and_then(|_| pidfd_inode_of(activation.pid()));
        let names = listen::read(variables, activation.pid(), own);
        let names = names.map_err(InheritedError::Variables)?;
        if names.is_empty() {
            return Ok(Inherited::default());
        }
        let fds = eudaemon_sys::hand::take(names.len()).map_err(InheritedError::Take)?;
        let passed = fds
            .into_iter()
            .zip(names)
            .zip(listen::FIRST..)
            .map(|((fd, name), number)| {
                Ok(Passed {
                    number: Some(number),
                    kind: descriptor::kind(&fd)?,
                    listening: descriptor::is_listening(&fd)?,
                    name,
                    fd,
                })
            })
            .collect::<io::Result<_>>();
        Ok(Inherited {
            passed: passed.map_err(InheritedError::Look)?,
        })
    }

    /// As if these had been handed over, with their names.
    #[cfg(test)]
    pub(crate) fn made(of: Vec<(&str, OwnedFd)>) -> Inherited {
        let passed = of.into_iter().zip(listen::FIRST..);
        let passed = passed.map(|((name, fd), number)| Passed {
            number: Some(number),
            kind: descriptor::kind(&fd).expect("an open descriptor"),
            listening: descriptor::is_listening(&fd).expect("an open descriptor"),
            name: name.to_owned(),
            fd,
        });
        Inherited {
            passed: passed.collect(),
        }
    }

    /// All of it, in the order it was handed over.
    pub fn iter(&self) -> impl Iterator<Item = &Passed> {
        self.passed.iter()
    }

    /// Those of this name: there may be several, as a socket unit may have several addresses.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Passed> {
        self.passed.iter().filter(move |passed| passed.name == name)
    }

    /// Takes the first of this name.
    pub fn take_named(&mut self, name: &str) -> Option<Passed> {
        let at = self.passed.iter().position(|passed| passed.name == name)?;
        Some(self.passed.remove(at))
    }

    /// Takes all that is left, in its order.
    pub fn take_all(&mut self) -> Vec<Passed> {
        std::mem::take(&mut self.passed)
    }

    pub(crate) fn into_passed(self) -> Vec<Passed> {
        self.passed
    }

    /// Takes the listening TCP socket of this name; the only thing that was handed over, if that was given no name. Blocking or
    /// not as it was: that is shared with the manager.
    ///
    /// # Errors
    /// [`InheritedError::Kind`]: it is something else, and stays.
    pub fn take_tcp_listener(&mut self, name: &str) -> Result<Option<TcpListener>, InheritedError> {
        let wanted =
            |passed: &Passed| passed.listening && matches!(passed.kind, Kind::Tcp4 | Kind::Tcp6);
        self.take_as(name, "a listening TCP socket", wanted)
    }

    /// As [`Inherited::take_tcp_listener`], of unix streams.
    ///
    /// # Errors
    /// As there.
    pub fn take_unix_listener(
        &mut self,
        name: &str,
    ) -> Result<Option<UnixListener>, InheritedError> {
        let wanted = |passed: &Passed| passed.listening && passed.kind == Kind::UnixStream;
        self.take_as(name, "a listening unix socket", wanted)
    }

    /// As [`Inherited::take_tcp_listener`], of UDP.
    ///
    /// # Errors
    /// As there.
    pub fn take_udp_socket(&mut self, name: &str) -> Result<Option<UdpSocket>, InheritedError> {
        let wanted = |passed: &Passed| matches!(passed.kind, Kind::Udp4 | Kind::Udp6);
        self.take_as(name, "a UDP socket", wanted)
    }

    /// As [`Inherited::take_tcp_listener`], of unix datagrams.
    ///
    /// # Errors
    /// As there.
    pub fn take_unix_datagram(
        &mut self,
        name: &str,
    ) -> Result<Option<UnixDatagram>, InheritedError> {
        let wanted = |passed: &Passed| passed.kind == Kind::UnixDatagram;
        self.take_as(name, "a unix socket of datagrams", wanted)
    }

    fn take_as<T: From<OwnedFd>>(
        &mut self,
        name: &str,
        wanted: &'static str,
        is_wanted: impl Fn(&Passed) -> bool,
    ) -> Result<Option<T>, InheritedError> {
        let names = self.passed.iter().map(|passed| passed.name.as_str());
        let Some((at, found)) = meant(name, names)
            .first()
            .and_then(|at| Some((*at, self.passed.get(*at)?)))
        else {
            return Ok(None);
        };
        if !is_wanted(found) {
            return Err(InheritedError::Kind {
                name: name.to_owned(),
                is: found.kind,
                wanted,
            });
        }
        Ok(Some(self.passed.remove(at).fd.into()))
    }
}

impl Passed {
    pub(crate) fn into_parts(self) -> (String, Option<u32>, OwnedFd) {
        (self.name, self.number, self.fd)
    }

    /// The name; `unknown` if the manager told none. `connection` is a single accepted connection, and `stored` what was
    /// stored without a name. Source: `sd_listen_fds_with_names(3)`.
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
        self.listening
    }

    /// Whether a program that is executed does not get it. Asked now, of the kernel.
    ///
    /// # Errors
    /// The system's word, for which `fcntl(2)` knows no reason.
    pub fn is_close_on_exec(&self) -> io::Result<bool> {
        descriptor::is_close_on_exec(&self.fd)
    }
}

impl AsFd for Passed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Passed> for OwnedFd {
    fn from(passed: Passed) -> OwnedFd {
        passed.fd
    }
}

/// The places of those that are meant by a name: those that have it, or the only one there is if nobody gave that a name.
pub(crate) fn meant<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<usize> {
    let names: Vec<&str> = names.collect();
    let is_only = names.len() == 1 && names.first() == Some(&UNKNOWN);
    let wanted = if is_only { UNKNOWN } else { name };
    let places = names.iter().enumerate();
    let meant = places.filter(|(_, name)| **name == wanted);
    meant.map(|(at, _)| at).collect()
}

/// The inode number of this process's pidfd, where those tell processes apart.
pub(crate) fn pidfd_inode_of(pid: u32) -> Option<u64> {
    let held = Held::open(Pid::new(pid)?).ok()?;
    held.inode().ok().filter(|_| pidfs_is_unique(&held))
}

impl fmt::Display for InheritedError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InheritedError::Variables(_) | InheritedError::Take(_) => {
                to.write_str("unable to take the descriptors that were handed over")
            }
            InheritedError::Look(_) => to.write_str("unable to look at what was handed over"),
            InheritedError::Kind { name, is, wanted } => {
                write!(
                    to,
                    "what was handed over as {name} is {}, not {wanted}",
                    is.name()
                )
            }
        }
    }
}

impl std::error::Error for InheritedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            InheritedError::Variables(wrong) => Some(wrong),
            InheritedError::Take(error) | InheritedError::Look(error) => Some(error),
            InheritedError::Kind { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(pairs: &[(&str, &str)]) -> Result<Inherited, InheritedError> {
        Inherited::take(&Activation::made(7, pairs.iter().copied()))
    }

    #[test]
    fn what_is_not_for_us_is_let_be() {
        assert!(take(&[]).unwrap().passed.is_empty());
        let other = [("LISTEN_PID", "8"), ("LISTEN_FDS", "2")];
        assert!(take(&other).unwrap().passed.is_empty());
        let names = [
            ("LISTEN_PID", "7"),
            ("LISTEN_FDS", "2"),
            ("LISTEN_FDNAMES", "a"),
        ];
        let error = take(&names).unwrap_err();
        let text = crate::Error::from(error).to_string();
        assert_eq!(
            text,
            "unable to take the descriptors that were handed over: LISTEN_FDNAMES has 1 names for 2 descriptors"
        );
    }

    #[test]
    fn by_name_by_kind_or_because_it_is_the_only_one() {
        let listener = || TcpListener::bind("127.0.0.1:0").unwrap();
        let passed = |name: &str| Passed {
            number: None,
            name: name.to_owned(),
            fd: listener().into(),
            kind: Kind::Tcp4,
            listening: true,
        };
        let mut two = Inherited {
            passed: vec![passed("web"), passed("web"), passed(UNKNOWN)],
        };
        assert_eq!(two.named("web").count(), 2);
        assert!(two.take_tcp_listener("db").unwrap().is_none());
        assert!(two.take_udp_socket("web").is_err());
        assert!(two.take_tcp_listener("web").unwrap().is_some());
        assert!(two.take_named("web").is_some());
        assert!(two.take_named("web").is_none());
        assert!(two.take_tcp_listener("db").unwrap().is_some());
        assert_eq!(two.take_all().len(), 0);
    }
}
