//! What a service says of itself before it is started: for its help, its unit, and what its options are when nobody sets them.

use crate::needs::Needs;
use crate::options::SandboxMode;
use std::path::PathBuf;
use std::time::Duration;

/// A service's own description. Everything but the name has a default.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Manifest {
    /// The name: of the unit, the service directory, the PID file, and of `NAME_SERVICE_UID` in the environment. Letters,
    /// digits, `-` and `_`.
    pub name: String,
    /// What a person calls it. Default: the name.
    pub title: String,
    /// One sentence. Default: the title.
    pub description: String,
    /// A page about it, as in `Documentation=`.
    pub documentation: Option<String>,
    /// The version that `--version` tells.
    pub version: Option<String>,
    /// What it needs once it runs.
    pub needs: Needs,
    /// Whether it is held to that when nobody says otherwise. Needs the feature `sandbox`.
    pub sandbox: SandboxMode,
    /// The user it runs as when nobody says otherwise and it is started by root.
    pub user: Option<String>,
    /// The directory it is locked into when nobody says otherwise and it is started by root with a user to become.
    pub chroot: Option<PathBuf>,
    /// Whether it reloads on HUP: a reload then waits for the service's first `wait`, and an installed unit offers it.
    pub reloads: bool,
    /// Whether SIGUSR2 and the control socket replace the process by a new one of the same program.
    pub replaces: bool,
    /// How long a hang may last before the manager kills it, in an installed unit.
    pub watchdog: Option<Duration>,
    /// How long an orderly stop may take. Default: 30 s.
    pub stop_timeout: Duration,
    /// Sockets that a manager may open for it, in an installed unit: name and address, as `("web", "0.0.0.0:80")`.
    pub sockets: Vec<(String, String)>,
    /// Whether its manager keeps the sockets it binds while it is restarted, where it can.
    pub storing: bool,
    /// Whether it keeps state in `/var/lib/NAME`.
    pub state: bool,
    /// Whether it has files in `/run/NAME`.
    pub runtime: bool,
    /// Whether it keeps a cache in `/var/cache/NAME`.
    pub cache: bool,
    /// Whether it writes logs into `/var/log/NAME`.
    pub logs: bool,
}

impl Manifest {
    /// That of a service of this name.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Manifest {
        let name = name.into();
        Manifest {
            title: name.clone(),
            description: name.clone(),
            name,
            documentation: None,
            version: None,
            needs: Needs::new(),
            sandbox: SandboxMode::Off,
            user: None,
            chroot: None,
            reloads: false,
            replaces: false,
            watchdog: None,
            stop_timeout: Duration::from_secs(30),
            sockets: Vec::new(),
            storing: false,
            state: false,
            runtime: false,
            cache: false,
            logs: false,
        }
    }

    /// The same, with what it is in one sentence.
    #[must_use]
    pub fn described(mut self, description: impl Into<String>) -> Manifest {
        self.description = description.into();
        self
    }

    /// The same, with what it needs once it runs.
    #[must_use]
    pub fn needing(mut self, needs: Needs) -> Manifest {
        self.needs = needs;
        self
    }

    /// The same, of a service that reads its configuration again on HUP.
    #[must_use]
    pub fn reloading(mut self) -> Manifest {
        self.reloads = true;
        self
    }

    /// The same, of a service that is replaced by a new process of the same program when SIGUSR2, or `replace` on the control socket, asks
    /// for it: see [`replace`](crate::replace), and there what it means behind a privilege drop.
    #[must_use]
    pub fn replacing(mut self) -> Manifest {
        self.replaces = true;
        self
    }

    /// The same, of a service whose sockets outlive it: from ready on, what it has bound itself and serves is stored with the
    /// manager, and what it closes is removed. `systemctl restart`, or a crash that is followed by a restart, then refuses no
    /// connection, and the next process serves those that waited.
    ///
    /// That process gets each by asking for the same address. What is bound at another one by then is bound anew, and the old one
    /// is closed. Where the manager keeps nothing, this does nothing. See [`fdstore`](crate::fdstore).
    #[must_use]
    pub fn storing(mut self) -> Manifest {
        self.storing = true;
        self
    }

    /// The same, of a service that may hang for so long before its manager kills it.
    #[must_use]
    pub fn watched(mut self, watchdog: Duration) -> Manifest {
        self.watchdog = Some(watchdog);
        self
    }
}
