//! A successor: the same program started again with the sockets of this process, which it goes on to serve. For a program that
//! keeps its own `main`, as the steps of a start are for it one by one; a [`Service`](crate::Service) is replaced by
//! [`Handle::replace`](crate::Handle::replace), which hands over more and works behind a privilege drop.
//!
//! The old process starts the new one and waits for its word; only then it tells the manager and leaves. If the new one ends
//! or says nothing, nothing has happened. No connection is refused in between: the sockets are the same.
//!
//! ```no_run
//! use eudaemon::notify::Notify;
//! use eudaemon::successor::Start;
//! use eudaemon::Activation;
//! use std::os::fd::AsFd;
//! use std::time::Duration;
//!
//! let activation = Activation::of_this_process();
//! let notify = Notify::connect(&activation)?;
//! let listener = std::net::TcpListener::bind("[::]:80")?;
//! let successor = Start::new(&activation)
//!     .pass("web", listener.as_fd())
//!     .begin(Duration::from_secs(10))?;
//! notify.main_pid(successor.pid(), successor.pidfd_inode())?;
//! notify.barrier(Duration::from_secs(5))?;
//! # Ok::<(), eudaemon::Error>(())
//! ```
//!
//! Only the old process may tell a manager of the new one, and it must live until the manager has read it. Source:
//! `sd_notify(3)`, `MAINPID=`; `systemd.service(5)`, `NotifyAccess=`; the specification, T36 to T39.

use crate::Activation;
use crate::inherited::{Inherited, pidfd_inode_of};
use crate::replace::Program;
use crate::sockets::Sockets;
use eudaemon_core::listen;
use eudaemon_core::words::Pid;
use eudaemon_sys::clock::mono;
use eudaemon_sys::hand::{self, Handed};
use eudaemon_sys::poll::{Interest, Poll};
use eudaemon_sys::process::{Environment, Held};
use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, PipeReader, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::process::{Child, ExitStatus};
use std::time::Duration;

/// The name of the descriptor by which a successor says that it serves.
const LINE: &str = "eudaemon-predecessor";
/// How many there were before.
const GENERATION: &str = "EUDAEMON_GENERATION";
/// The process that this is said to.
const FOR: &str = "EUDAEMON_GENERATION_PID";

/// A start of the same program, in the making.
#[derive(Debug)]
pub struct Start<'a> {
    activation: &'a Activation,
    names: Vec<&'a str>,
    fds: Vec<BorrowedFd<'a>>,
    more: Vec<(OsString, OsString)>,
}

/// A process that serves in the place of this one.
#[derive(Debug)]
pub struct Successor {
    child: Child,
}

/// What this process knows of the one before it.
#[derive(Debug)]
pub struct Predecessor {
    generation: u32,
    line: Option<OwnedFd>,
}

/// Why there is no successor. This process is as it was.
#[derive(Debug)]
#[non_exhaustive]
pub enum SuccessorError {
    /// Nobody knows any more where the program is.
    NoProgram,
    /// A descriptor was to be passed under a name that cannot be one.
    Name,
    /// The system refused to start it, to execute it, or to wait for it.
    System(io::Error),
    /// It ended before it said that it serves.
    Ended(ExitStatus),
    /// It did not say in time that it serves, and was killed.
    Late,
}

impl<'a> Start<'a> {
    /// The same program with the same words and the same environment, in the directory where this one was started if it can
    /// still be entered: a relative path among the words means what it meant.
    #[must_use]
    pub fn new(activation: &'a Activation) -> Start<'a> {
        Start {
            activation,
            names: Vec::new(),
            fds: Vec::new(),
            more: Vec::new(),
        }
    }

    /// Hands it this descriptor, which it finds in its [`Inherited`] under this name. ASCII without control characters and
    /// colons, at most 255 bytes.
    #[must_use]
    pub fn pass(mut self, name: &'a str, fd: BorrowedFd<'a>) -> Start<'a> {
        self.names.push(name);
        self.fds.push(fd);
        self
    }

    /// Sets a variable in its environment.
    #[must_use]
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Start<'a> {
        self.more.push((name.into(), value.into()));
        self
    }

    /// Starts it, and waits until it serves; this long at most. This thread does nothing else meanwhile.
    ///
    /// # Errors
    /// [`SuccessorError`]. Nothing is left of it then.
    pub fn begin(mut self, within: Duration) -> Result<Successor, SuccessorError> {
        let program = Program::of(self.activation).ok_or(SuccessorError::NoProgram)?;
        let (mut line, its_end) = io::pipe().map_err(SuccessorError::System)?;
        let own: io::Result<Vec<OwnedFd>> =
            self.fds.iter().map(|fd| fd.try_clone_to_owned()).collect();
        let mut fds = own.map_err(SuccessorError::System)?;
        fds.push(its_end.into());
        self.names.push(LINE);
        let handed = Handed {
            environment: self.environment(&program, fds.len())?,
            own_pid: vec!["LISTEN_PID", FOR],
            around_pid: Vec::new(),
            fds,
            name: program.words().first().cloned(),
        };
        // By this the other end is closed here: the line ends when the successor does.
        let mut child = hand::start(program.command(), handed).map_err(SuccessorError::System)?;
        match serves(&mut line, within) {
            Ok(Some(true)) => Ok(Successor { child }),
            word => Err(given_up(&mut child, word)),
        }
    }

    /// Executes the program again in this very process, with what is passed: the process id stays, and so does whatever the
    /// manager knows of it. Everything else this process has open is closed. Returns only if it could not.
    ///
    /// For a process with one thread, under a supervisor that knows no `MAINPID=`.
    #[must_use]
    pub fn replace(self) -> SuccessorError {
        match self.try_replace() {
            Ok(error) => SuccessorError::System(error),
            Err(error) => error,
        }
    }

    fn try_replace(mut self) -> Result<io::Error, SuccessorError> {
        let program = Program::of(self.activation).ok_or(SuccessorError::NoProgram)?;
        let pid = OsString::from(std::process::id().to_string());
        self.more.push(("LISTEN_PID".into(), pid.clone()));
        self.more.push((FOR.into(), pid));
        let string = |bytes: Vec<u8>| CString::new(bytes).map_err(|_| SuccessorError::NoProgram);
        let path = string(program.path().as_os_str().as_bytes().to_vec())?;
        let words = program.words().iter();
        let words = words.map(|word| string(word.as_bytes().to_vec()));
        let words = words.collect::<Result<Vec<_>, _>>()?;
        let pairs = self.environment(&program, self.fds.len())?.into_iter();
        let pairs = pairs.map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            string(name.into_vec())
        });
        let pairs = pairs.collect::<Result<Vec<_>, _>>()?;
        let environment = Environment::new(pairs.into_iter());
        let here = std::env::current_dir();
        if let Some(directory) = program.directory() {
            std::env::set_current_dir(directory).map_err(SuccessorError::System)?;
        }
        let error = eudaemon_sys::replace::replace(&path, &words, &environment, &self.fds);
        // It could not: this process goes on where it was.
        if let Ok(here) = here {
            let _ = std::env::set_current_dir(here);
        }
        Ok(error)
    }

    /// The environment of the new program, but for what depends on its process id.
    fn environment(
        &self,
        program: &Program,
        fds: usize,
    ) -> Result<Vec<(OsString, OsString)>, SuccessorError> {
        let names = listen::names(self.names.iter().copied()).ok_or(SuccessorError::Name)?;
        let stays = |name: &OsStr| {
            let is_said_again = self.more.iter().any(|(more, _)| name == more);
            name != GENERATION && name != FOR && !is_said_again
        };
        let pairs = program.environment().iter();
        let pairs = pairs.filter(|(name, _)| stays(name)).cloned();
        let mut pairs: Vec<(OsString, OsString)> = pairs.chain(self.more.iter().cloned()).collect();
        let next = generation(self.activation) + 1;
        pairs.push((GENERATION.into(), next.to_string().into()));
        if fds > 0 {
            pairs.push(("LISTEN_FDS".into(), fds.to_string().into()));
            pairs.push(("LISTEN_FDNAMES".into(), names.into()));
        }
        Ok(pairs)
    }
}

/// What the new one says: that it serves, or nothing for ever; `None`: nothing in time.
fn serves(line: &mut PipeReader, within: Duration) -> io::Result<Option<bool>> {
    if !readable(line.as_fd(), within)? {
        return Ok(None);
    }
    Ok(Some(line.read(&mut [0])? == 1))
}

/// Whether this can be read, or its other end is gone, within this time.
fn readable(fd: BorrowedFd<'_>, within: Duration) -> io::Result<bool> {
    let end = mono() + within;
    let mut poll = Poll::new()?;
    poll.add(fd, 0, Interest::Read)?;
    let mut ready = Vec::new();
    loop {
        let now = mono();
        poll.wait(now, Some(end), &mut ready)?;
        if !ready.is_empty() || now >= end {
            return Ok(!ready.is_empty());
        }
    }
}

/// Ends what became of it, so that no half of it is left.
fn given_up(child: &mut Child, word: io::Result<Option<bool>>) -> SuccessorError {
    // Whoever closes the line without a word is about to end, and how it ended is worth a moment.
    let ending = || -> io::Result<()> {
        if let (Ok(Some(_)), Some(pid)) = (&word, Pid::new(child.id())) {
            readable(Held::open(pid)?.as_fd(), Duration::from_secs(1))?;
        }
        Ok(())
    };
    // Killing one that has ended does nothing: it is not reaped yet, so its number is nobody else's.
    let _at_worst_killed_at_once = ending();
    let ended = child.kill().and_then(|()| child.wait());
    match (word, ended) {
        (Err(error), _) | (_, Err(error)) => SuccessorError::System(error),
        (Ok(None), Ok(_)) => SuccessorError::Late,
        (Ok(Some(_)), Ok(status)) => SuccessorError::Ended(status),
    }
}

impl Successor {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The inode number of its pidfd, which is its own for ever, where the kernel has that (Linux 6.9).
    #[must_use]
    pub fn pidfd_inode(&self) -> Option<u64> {
        pidfd_inode_of(self.pid())
    }
}

impl Predecessor {
    /// What this process was told of the one before it, taken out of what was handed over. For a process without one, the
    /// generation is 0.
    #[must_use]
    pub fn of(activation: &Activation, inherited: &mut Inherited) -> Predecessor {
        let generation = generation(activation);
        let line = (generation > 0).then(|| inherited.take_named(LINE));
        Predecessor {
            generation,
            line: line.flatten().map(OwnedFd::from),
        }
    }

    /// As [`Predecessor::of`], of what a service was handed.
    #[must_use]
    pub fn in_service(activation: &Activation, sockets: &Sockets) -> Predecessor {
        let generation = generation(activation);
        let line = (generation > 0).then(|| sockets.take(LINE).pop());
        Predecessor {
            generation,
            line: line.flatten().map(|line| line.fd),
        }
    }

    /// How often the daemon has replaced itself.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether it waits for [`Predecessor::ready`].
    #[must_use]
    pub fn waits(&self) -> bool {
        self.line.is_some()
    }

    /// Tells it that this process serves: it leaves.
    ///
    /// # Errors
    /// `BrokenPipe`: it waits no longer. This process is not wanted then, and should end.
    pub fn ready(self) -> io::Result<()> {
        match self.line {
            Some(line) => File::from(line).write_all(b"\n"),
            None => Ok(()),
        }
    }
}

/// The generation that was told to this process, and not to one that started it.
fn generation(activation: &Activation) -> u32 {
    let meant = activation.text(FOR).and_then(|pid| pid.parse().ok());
    let meant = meant.and_then(Pid::new).map(Pid::get) == Some(activation.pid());
    let told = activation.text(GENERATION).filter(|_| meant);
    told.and_then(|told| told.parse().ok()).unwrap_or(0)
}

impl fmt::Display for SuccessorError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SuccessorError::NoProgram => to.write_str("the program's own path is unknown"),
            SuccessorError::Name => to.write_str("a descriptor's name is none"),
            SuccessorError::System(_) => to.write_str("unable to start a successor"),
            SuccessorError::Ended(status) => {
                write!(to, "the successor did not come to serve: {status}")
            }
            SuccessorError::Late => to.write_str("the successor did not come to serve in time"),
        }
    }
}

impl std::error::Error for SuccessorError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SuccessorError::System(error) => Some(error),
            SuccessorError::NoProgram
            | SuccessorError::Name
            | SuccessorError::Ended(_)
            | SuccessorError::Late => None,
        }
    }
}
