//! What a program is given at its start.

use super::judge::Watched;
use super::record::{Record, Stored};
use super::watch::Watcher;
use super::{Manager, Shared};
use crate::notify::NotifyAccess;
use eudaemon_core::listen;
use eudaemon_core::notify::Address;
use eudaemon_core::words::Pid;
use eudaemon_sys::hand::{Handed, start};
use eudaemon_sys::notify::Receiver;
use eudaemon_sys::passing::Bell;
use eudaemon_sys::process::Held;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What a program is to be given. Each has a default that is "nothing", but for `NOTIFY_SOCKET`.
#[derive(Debug)]
pub struct Builder {
    is_abstract: bool,
    access: NotifyAccess,
    sockets: Vec<(String, OwnedFd)>,
    watchdog: Option<Duration>,
    store: usize,
    stored: Vec<Stored>,
    credentials: Vec<(String, Vec<u8>)>,
    directories: bool,
    clean: bool,
    environment: Vec<(OsString, Option<OsString>)>,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            is_abstract: false,
            access: NotifyAccess::Main,
            sockets: Vec::new(),
            watchdog: None,
            store: 0,
            stored: Vec::new(),
            credentials: Vec::new(),
            directories: false,
            clean: false,
            environment: Vec::new(),
        }
    }
}

/// The variables that belong to one start, and must not come from the manager of the test.
fn of_one_start() -> impl Iterator<Item = &'static str> {
    eudaemon_core::addressed::to_the_process().chain(["INVOCATION_ID"])
}

/// The folders of a service, by variable and by name. Source: `systemd.exec(5)`, `RuntimeDirectory=`.
const DIRECTORIES: [(&str, &str); 5] = [
    ("RUNTIME_DIRECTORY", "run"),
    ("STATE_DIRECTORY", "state"),
    ("CACHE_DIRECTORY", "cache"),
    ("LOGS_DIRECTORY", "logs"),
    ("CONFIGURATION_DIRECTORY", "configuration"),
];

impl Builder {
    /// `NOTIFY_SOCKET` is an abstract address, `@…`, instead of a path.
    #[must_use]
    pub fn abstract_address(mut self) -> Builder {
        self.is_abstract = true;
        self
    }

    /// Whose messages are listened to. Default: the main process's, as of `Type=notify`.
    #[must_use]
    pub fn access(mut self, access: NotifyAccess) -> Builder {
        self.access = access;
        self
    }

    /// It finds this socket, or any descriptor, under this name: `LISTEN_FDS`, `LISTEN_FDNAMES`, `LISTEN_PID`. From 3 on, in the
    /// order of the calls.
    #[must_use]
    pub fn listen(mut self, name: impl Into<String>, fd: impl Into<OwnedFd>) -> Builder {
        self.sockets.push((name.into(), fd.into()));
        self
    }

    /// Once it is ready it may be silent for so long: `WATCHDOG_USEC`, `WATCHDOG_PID`.
    #[must_use]
    pub fn watchdog(mut self, interval: Duration) -> Builder {
        self.watchdog = Some(interval);
        self
    }

    /// So many of its descriptors are kept: `FDSTORE`.
    #[must_use]
    pub fn fd_store(mut self, most: usize) -> Builder {
        self.store = most;
        self
    }

    /// It is started again: these are in its store, and it finds them behind the sockets. Source: `sd_listen_fds(3)`.
    #[must_use]
    pub fn stored(mut self, stored: impl IntoIterator<Item = Stored>) -> Builder {
        self.stored.extend(stored);
        self
    }

    /// It finds this credential: a file of this name in `CREDENTIALS_DIRECTORY`, which only its user may read.
    #[must_use]
    pub fn credential(mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Builder {
        self.credentials.push((name.into(), bytes.into()));
        self
    }

    /// It has folders of its own: `RUNTIME_DIRECTORY`, `STATE_DIRECTORY`, `CACHE_DIRECTORY`, `LOGS_DIRECTORY` and
    /// `CONFIGURATION_DIRECTORY`, below [`Manager::folder`].
    #[must_use]
    pub fn directories(mut self) -> Builder {
        self.directories = true;
        self
    }

    /// Of the environment of the test it sees only `PATH`. What the `Command` says of the environment still counts, but its
    /// `env_clear` cannot be seen: say this instead.
    #[must_use]
    pub fn clean_environment(mut self) -> Builder {
        self.clean = true;
        self
    }

    /// It finds this variable; after everything else, so that one of the manager's own can be spoilt.
    #[must_use]
    pub fn environment(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Builder {
        self.environment.push((name.into(), Some(value.into())));
        self
    }

    /// It does not find this variable, whoever else says so.
    #[must_use]
    pub fn without(mut self, name: impl Into<OsString>) -> Builder {
        self.environment.push((name.into(), None));
        self
    }

    /// Starts it. Its arguments, directory, streams, user and group are those of the command.
    ///
    /// # Errors
    /// Those of the start; `InvalidInput` for a name that no descriptor, or no credential, can have.
    pub fn start(self, command: Command) -> io::Result<Manager> {
        let mut given = self.sockets;
        for kept in &self.stored {
            given.push((kept.name.clone(), kept.fd.try_clone()?));
        }
        let names = listen::names(given.iter().map(|(name, _)| name.as_str()));
        let names = names.ok_or(io::ErrorKind::InvalidInput)?;
        let folder = Folder::new()?;
        let address = if self.is_abstract {
            [b"@", folder.0.as_os_str().as_bytes()].concat()
        } else {
            folder.0.join("notify").into_os_string().into_vec()
        };
        let parsed = Address::parse(&address);
        let parsed = parsed.map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
        let receiver = Receiver::bind(&parsed)?;
        let mut own_pid = vec!["SYSTEMD_EXEC_PID"];
        let mut environment = BTreeMap::new();
        if self.clean {
            environment.extend(std::env::vars_os().filter(|(name, _)| name == "PATH"));
        } else {
            environment.extend(std::env::vars_os());
        }
        for name in of_one_start() {
            environment.remove(&OsString::from(name));
        }
        let mut set = |name: &str, value: OsString| {
            environment.insert(OsString::from(name), value);
        };
        set("NOTIFY_SOCKET", OsString::from_vec(address));
        if !given.is_empty() {
            own_pid.push("LISTEN_PID");
            set("LISTEN_FDS", given.len().to_string().into());
            set("LISTEN_FDNAMES", names.into());
        }
        if let Some(interval) = self.watchdog {
            own_pid.push("WATCHDOG_PID");
            set("WATCHDOG_USEC", interval.as_micros().to_string().into());
        }
        if self.store > 0 {
            set("FDSTORE", self.store.to_string().into());
        }
        if !self.credentials.is_empty() {
            let below = folder.0.join("credentials");
            write_credentials(&below, &self.credentials)?;
            set("CREDENTIALS_DIRECTORY", below.into());
        }
        if self.directories {
            for (variable, name) in DIRECTORIES {
                let below = folder.0.join(name);
                fs::create_dir(&below)?;
                set(variable, below.into());
            }
        }
        let asked = command.get_envs();
        let asked = asked.map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned)));
        for (name, value) in asked.chain(self.environment) {
            own_pid.retain(|own| name != *own);
            match value {
                Some(value) => environment.insert(name, value),
                None => environment.remove(&name),
            };
        }
        let begun = eudaemon_sys::clock::mono();
        let handed = Handed {
            environment: environment.into_iter().collect(),
            own_pid,
            around_pid: Vec::new(),
            fds: given.into_iter().map(|(_, fd)| fd).collect(),
            name: None,
        };
        let mut child = start(command, handed)?;
        let pid = child.id();
        let shared = Arc::new(Shared {
            record: Mutex::new(Record {
                main: pid,
                held: None,
                access: self.access,
                events: Vec::new(),
                violations: Vec::new(),
                status: None,
                store: Vec::new(),
                store_max: self.store,
                ready: false,
                stopping: false,
                reload_asked: None,
                watchdog: Watched {
                    interval: self.watchdog,
                    until: None,
                },
                ended: None,
                leaving: false,
            }),
            news: Condvar::new(),
            bell: Bell::new()?,
        });
        let held = Pid::new(pid).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
        // One for who waits for its end, one for who signals whoever is the main process.
        let held = held.and_then(|pid| Ok((Held::open(pid)?, Held::open(pid)?)));
        let held = match held {
            Ok((main, held)) => {
                shared.record().held = Some(main);
                held
            }
            Err(error) => {
                // Nobody would end it otherwise.
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        let mut watcher = Watcher::new(shared.clone(), receiver, child, held, begun)?;
        watcher.keep(self.stored);
        let watcher = std::thread::Builder::new()
            .name("manager".to_owned())
            .spawn(move || watcher.run())?;
        Ok(Manager {
            shared,
            watcher: Some(watcher),
            folder: folder.keep(),
            pid,
        })
    }
}

/// A folder of its own, removed if nobody keeps it.
struct Folder(PathBuf);

static COUNT: AtomicU32 = AtomicU32::new(0);

impl Folder {
    /// One that did not exist. Only we list it; whoever knows a name in it can reach that, for a program that has given up its
    /// user must reach its manager.
    fn new() -> io::Result<Folder> {
        let (top, own) = (std::env::temp_dir(), std::process::id());
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = top.join(format!("eudaemon-manager-{own}-{count}"));
            match fs::DirBuilder::new().mode(0o711).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.map(|()| Folder(path)),
            }
        }
    }

    fn keep(mut self) -> PathBuf {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            // The error that brought us here is told, not this one.
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

fn write_credentials(folder: &Path, credentials: &[(String, Vec<u8>)]) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(folder)?;
    for (name, bytes) in credentials {
        if name.is_empty() || name.contains('/') || name == "." || name == ".." {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o400)
            .open(folder.join(name))?;
        io::Write::write_all(&mut file, bytes)?;
    }
    Ok(())
}
