//! What a service needs of its system, said once: the sandbox enforces it, and the installed unit says the same.

use eudaemon_core::capability::Capability;
use eudaemon_core::limits::{Limit, Resource};
use std::path::{Path, PathBuf};

/// Everything a service needs once it runs. What is not named here is not needed.
///
/// ```
/// use eudaemon::needs::{Needs, Preset};
/// let needs = Needs::new()
///     .read("/etc/web")
///     .write("/var/lib/web")
///     .bind_tcp(8080)
///     .connect_tcp(5432)
///     .system_calls(Preset::NetworkServer);
/// assert_eq!(needs.bound_tcp(), [8080]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
    execute: Vec<PathBuf>,
    bind_tcp: Vec<u16>,
    bind_udp: Vec<u16>,
    connect_tcp: Vec<u16>,
    connect_any: bool,
    unix_sockets: bool,
    system_calls: Option<Preset>,
    capabilities: Vec<Capability>,
    limits: Vec<(Resource, Limit)>,
    writable_code: bool,
}

/// A set of system calls that a kind of program gets along with.
///
/// Each is a union of systemd's groups, so that the seccomp filter here and `SystemCallFilter=` in a unit are of the same
/// words. Source: `systemd.exec(5)`, "Predefined system call sets"; `systemd-analyze syscall-filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Preset {
    /// `@system-service` without `@privileged`, `@resources` and io_uring, whose work no filter sees.
    Service,
    /// What [`Preset::Service`] allows; named apart so that it may become narrower.
    NetworkServer,
    /// Computes and reads and writes files: [`Preset::Service`] that makes, binds and connects no socket once the sandbox
    /// is there. Those it has, to its manager and its log, work on. A unit's filter is there from the start and so has to
    /// let them be made: in a unit this is [`Preset::Service`].
    Worker,
}

/// Service, as the values of `SystemCallFilter=`. The last line is what a process needs to confine itself and is in no
/// group of systemd 252.
const SERVICE: &[&str] = &[
    "@system-service",
    "~@privileged @resources io_uring_enter io_uring_register io_uring_setup",
    "landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp",
];

impl Preset {
    /// The values of `SystemCallFilter=`, one for each line of the unit, in this order.
    ///
    /// Source: `systemd.exec(5)`, "SystemCallFilter=": the first says what is allowed, those with `~` take away.
    #[must_use]
    pub const fn system_call_filter(self) -> &'static [&'static str] {
        match self {
            Preset::Service | Preset::NetworkServer | Preset::Worker => SERVICE,
        }
    }

    /// What the filter a process puts on itself takes away beside that: calls that its start needed.
    #[must_use]
    pub const fn refused_once_running(self) -> &'static [&'static str] {
        match self {
            Preset::Service | Preset::NetworkServer => &[],
            Preset::Worker => &["bind", "connect", "socket"],
        }
    }
}

impl Needs {
    /// Nothing.
    #[must_use]
    pub fn new() -> Needs {
        Needs::default()
    }

    /// Those of a server: this TCP port, and these system calls.
    #[must_use]
    pub fn serving(port: u16, calls: Preset) -> Needs {
        Needs::new().bind_tcp(port).system_calls(calls)
    }

    /// This file, or everything below this directory, is read. An absolute path, which exists when the sandbox is made; a
    /// symbolic link stands for what it leads to then. The rule is tied to the file: name the directory of a file that is
    /// replaced by renaming. Source: `landlock(7)`.
    #[must_use]
    pub fn read(mut self, path: impl AsRef<Path>) -> Needs {
        self.read.push(path.as_ref().into());
        self
    }

    /// This file, or everything below this directory, is read, written, made and removed. An absolute path.
    #[must_use]
    pub fn write(mut self, path: impl AsRef<Path>) -> Needs {
        self.write.push(path.as_ref().into());
        self
    }

    /// This program, or every program below this directory, is executed, and read. An absolute path. Of a script its
    /// interpreter has to be named too; a loader and libraries are let in with the first.
    #[must_use]
    pub fn execute(mut self, path: impl AsRef<Path>) -> Needs {
        self.execute.push(path.as_ref().into());
        self
    }

    /// It binds this TCP port. Only what is bound *after* the drop needs it; `init` binds before. In a unit both count.
    #[must_use]
    pub fn bind_tcp(mut self, port: u16) -> Needs {
        self.bind_tcp.push(port);
        self
    }

    /// As [`Needs::bind_tcp`], for UDP. No kernel guards the number of the port; without any, and without a connection,
    /// there are no UDP sockets at all.
    #[must_use]
    pub fn bind_udp(mut self, port: u16) -> Needs {
        self.bind_udp.push(port);
        self
    }

    /// It connects to this TCP port, anywhere, and so looks up names, by UDP too.
    #[must_use]
    pub fn connect_tcp(mut self, port: u16) -> Needs {
        self.connect_tcp.push(port);
        self
    }

    /// It connects to any port.
    #[must_use]
    pub fn connect_any(mut self) -> Needs {
        self.connect_any = true;
        self
    }

    /// It opens unix sockets of its own, beside those to its manager and its log, which are open before. Where they lead is
    /// then a matter of file permissions. Pairs (`socketpair(2)`) need nothing.
    #[must_use]
    pub fn unix_sockets(mut self) -> Needs {
        self.unix_sockets = true;
        self
    }

    /// It gets along with these system calls. Without this there is no filter: neither for calls, nor for kinds of sockets,
    /// writable code and namespaces, nor for the ways around a rule for TCP ports that Landlock alone leaves open.
    #[must_use]
    pub fn system_calls(mut self, preset: Preset) -> Needs {
        self.system_calls = Some(preset);
        self
    }

    /// It keeps this capability after the drop. No other is kept, in the sandbox neither.
    #[must_use]
    pub fn capability(mut self, capability: Capability) -> Needs {
        self.capabilities.push(capability);
        self
    }

    /// It gets along with this much. Bytes, seconds or a number, as the resource has it.
    #[must_use]
    pub fn limit(mut self, resource: Resource, limit: Limit) -> Needs {
        self.limits.push((resource, limit));
        self
    }

    /// It writes code into its memory and runs it, as a just-in-time compiler does.
    #[must_use]
    pub fn writable_code(mut self) -> Needs {
        self.writable_code = true;
        self
    }

    /// The paths that are read.
    #[must_use]
    pub fn readable(&self) -> &[PathBuf] {
        &self.read
    }

    /// The paths that are written.
    #[must_use]
    pub fn writable(&self) -> &[PathBuf] {
        &self.write
    }

    /// The paths that are executed.
    #[must_use]
    pub fn executable(&self) -> &[PathBuf] {
        &self.execute
    }

    /// The TCP ports that are bound.
    #[must_use]
    pub fn bound_tcp(&self) -> &[u16] {
        &self.bind_tcp
    }

    /// The UDP ports that are bound.
    #[must_use]
    pub fn bound_udp(&self) -> &[u16] {
        &self.bind_udp
    }

    /// The TCP ports that are connected to; `None` is any.
    #[must_use]
    pub fn connected_tcp(&self) -> Option<&[u16]> {
        (!self.connect_any).then_some(&self.connect_tcp)
    }

    /// Whether there are unix sockets of its own.
    #[must_use]
    pub fn has_unix_sockets(&self) -> bool {
        self.unix_sockets
    }

    /// Whether it uses IP at all.
    #[must_use]
    pub fn has_network(&self) -> bool {
        self.connect_any
            || !(self.bind_tcp.is_empty()
                && self.bind_udp.is_empty()
                && self.connect_tcp.is_empty())
    }

    /// The kinds of sockets it makes, as `RestrictAddressFamilies=` calls them, sorted. A unit's list is in force from the
    /// start, and then needs `AF_UNIX` too, for the manager and the log. Source: `systemd.exec(5)`.
    ///
    /// `CAP_NET_RAW` brings `AF_PACKET` with it and `CAP_NET_ADMIN` `AF_NETLINK`: without them they are of no use.
    #[must_use]
    pub fn address_families(&self) -> Vec<&'static str> {
        let has = |capability| self.capabilities.contains(&capability);
        let raw = has(Capability::NetRaw);
        [
            ("AF_INET", raw || self.has_network()),
            ("AF_INET6", raw || self.has_network()),
            ("AF_NETLINK", has(Capability::NetAdmin)),
            ("AF_PACKET", raw),
            ("AF_UNIX", self.unix_sockets),
        ]
        .into_iter()
        .filter_map(|(family, wanted)| wanted.then_some(family))
        .collect()
    }

    /// The system calls it gets along with.
    #[must_use]
    pub fn preset(&self) -> Option<Preset> {
        self.system_calls
    }

    /// The capabilities it keeps.
    #[must_use]
    pub fn capabilities(&self) -> &[Capability] {
        &self.capabilities
    }

    /// The limits it gets along with.
    #[must_use]
    pub fn limits(&self) -> &[(Resource, Limit)] {
        &self.limits
    }

    /// Whether it writes code and runs it.
    #[must_use]
    pub fn has_writable_code(&self) -> bool {
        self.writable_code
    }
}
