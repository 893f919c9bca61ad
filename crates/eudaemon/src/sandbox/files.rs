//! Landlock: files, TCP ports, and whom the process may signal and speak to.
//!
//! Source: `landlock(7)`; the kernel's `Documentation/userspace-api/landlock.rst` for what came with which version.

use super::report::{Lack, Mechanism, Report, Standing, Wish};
use super::{Mode, SandboxError};
use crate::needs::Needs;
use eudaemon_sys::confine;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, NetPort, PathBeneath, PathFd, PathFdError, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, Scope,
};
use std::error::Error as StdError;
use std::io;
use std::path::Path;

/// What every program reads beside its own: the time zone, randomness, itself, whose symbols make a backtrace, and how many
/// processors it may use, which std looks up there. Those that are not there are left out.
const ALWAYS_READ: &[&str] = &[
    "/dev/urandom",
    "/etc/localtime",
    "/proc/self",
    "/proc/self/exe",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
    "/usr/share/zoneinfo",
];

/// Where output goes that nobody wants: std's `Stdio::null` opens it for every child.
const ALWAYS_WRITE: &[&str] = &["/dev/null"];

/// What a program that connects to others reads: how names become addresses, and which certificates are trusted.
const CONNECTING: &[&str] = &[
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/pki",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl",
    "/run/systemd/resolve",
    "/usr/local/share/ca-certificates",
    "/usr/share/ca-certificates",
];

/// Where a dynamic program finds its libraries: one that is executed, and glibc's own when it looks up a name.
const LIBRARIES: &[&str] = &[
    "/etc/ld.so.cache",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
];

/// The loaders of dynamic programs: the kernel executes them beside the program. Source: the ABI supplements of the
/// machines, and `ldd` of programs of glibc and musl.
const LOADERS: &[&str] = &[
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib64/ld-linux-x86-64.so.2",
];

/// Which version of the interface brought what. Source: `landlock(7)`, "VERSIONS".
const SINCE: &[(Wish, u32)] = &[
    (Wish::Files, 1),
    (Wish::Truncation, 3),
    (Wish::TcpPorts, 4),
    (Wish::DeviceCommands, 5),
    (Wish::Signals, 6),
    (Wish::AbstractSockets, 6),
];

/// The newest interface whose restrictions were tried with what this library does. What a newer one could restrict is
/// left alone, so that a newer kernel does not break a service.
const TRIED: ABI = ABI::V6;

/// A ruleset with every rule in it, not yet in force.
#[derive(Debug)]
pub(super) struct Domain {
    rules: RulesetCreated,
    /// `/proc/self`, open for as long as there is a process. A rule is tied to an inode, and procfs makes a new one when
    /// nobody has the directory open and the kernel wants its memory back.
    own: Option<PathFd>,
}

/// The version of Landlock's interface, or why there is none.
pub(super) fn ask() -> Result<u32, Lack> {
    confine::landlock_abi().map_err(|error| Lack::System(error.raw_os_error().unwrap_or_default()))
}

impl Domain {
    /// Opens the paths, makes the rules, and says of each wish what this kernel can do. `None`: there is no Landlock.
    pub(super) fn prepare(
        needs: &Needs,
        landlock: &Result<u32, Lack>,
        mode: Mode,
        report: &mut Report,
    ) -> Result<Option<Domain>, SandboxError> {
        let named = [needs.readable(), needs.writable(), needs.executable()];
        if let Some(path) = named.into_iter().flatten().find(|path| path.is_relative()) {
            return Err(SandboxError::Relative { path: path.clone() });
        }
        for (wish, needed) in SINCE {
            let standing = standing(needs, wish, *needed, landlock);
            report.say(wish.clone(), Mechanism::Landlock, standing);
        }
        if landlock.is_err() {
            return Ok(None);
        }
        let mut domain = Domain {
            rules: handled(needs)
                .and_then(Ruleset::create)
                .map_err(|error| refused(&error))?,
            own: None,
        };
        let own = PathFd::new("/proc/self").ok();
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let execute = read | AccessFs::Execute;
        // Not Execute, and no device nodes: to make those takes a capability that is a wish of its own.
        let write = AccessFs::from_all(TRIED)
            & !(AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock);
        for (paths, access) in [
            (needs.readable(), read),
            (needs.writable(), write),
            (needs.executable(), execute),
        ] {
            for path in paths {
                domain = match domain.let_in(path, access)? {
                    (domain, Ok(())) => domain,
                    (_, Err(source)) if mode == Mode::Require => {
                        let path = path.clone();
                        return Err(SandboxError::Path { path, source });
                    }
                    (domain, Err(source)) => {
                        let lack = Lack::System(source.raw_os_error().unwrap_or_default());
                        let wish = Wish::Path(path.clone());
                        report.say(wish, Mechanism::Landlock, Standing::Missing(lack));
                        domain
                    }
                };
            }
        }
        let connects = needs.connected_tcp().is_none_or(|ports| !ports.is_empty());
        let executes = !needs.executable().is_empty();
        for (wanted, paths, access) in [
            (true, ALWAYS_READ, read),
            (true, ALWAYS_WRITE, read | AccessFs::WriteFile),
            (connects, CONNECTING, read),
            (connects || executes, LIBRARIES, read),
            (executes, LOADERS, execute),
        ] {
            for path in paths.iter().filter(|_| wanted) {
                // A system without it has no program that uses it.
                (domain, _) = domain.let_in(Path::new(path), access)?;
            }
        }
        domain.own = own;
        let mut rules = domain.rules;
        let bound = needs
            .bound_tcp()
            .iter()
            .map(|&port| (port, AccessNet::BindTcp));
        let connected = needs.connected_tcp().unwrap_or_default().iter();
        let connected = connected.map(|&port| (port, AccessNet::ConnectTcp));
        if landlock.as_ref().is_ok_and(|has| *has >= 4) {
            for (port, access) in bound.chain(connected) {
                rules = rules
                    .add_rule(NetPort::new(port, access))
                    .map_err(|error| refused(&error))?;
            }
        }
        Ok(Some(Domain { rules, ..domain }))
    }

    /// Adds the path to the domain, or says why it cannot be opened.
    fn let_in(
        self,
        path: &Path,
        access: BitFlags<AccessFs>,
    ) -> Result<(Domain, io::Result<()>), SandboxError> {
        let open = match PathFd::new(path) {
            Ok(open) => open,
            Err(PathFdError::OpenCall { source, .. }) => return Ok((self, Err(source))),
            Err(error) => return Ok((self, Err(io::Error::other(error)))),
        };
        let rules = self
            .rules
            .add_rule(PathBeneath::new(open, access))
            .map_err(|error| refused(&error))?;
        Ok((Domain { rules, ..self }, Ok(())))
    }

    /// Lets go of the directory that is kept open: behind a chroot it would be a way out, and has no path there anyway.
    pub(super) fn close(&mut self) {
        self.own = None;
    }

    /// Puts it in force for this thread. What the kernel refuses goes into the report.
    pub(super) fn enforce(self, report: &mut Report) {
        match self.rules.restrict_self() {
            // Deliberately never closed: see the field.
            Ok(_) => std::mem::forget(self.own),
            Err(error) => {
                // 16 of them are the most. Source: landlock_restrict_self(2), E2BIG.
                const E2BIG: i32 = 7;
                let lack = match errno(&error) {
                    E2BIG => Lack::Layers,
                    number => Lack::System(number),
                };
                report.lost(Mechanism::Landlock, &lack);
            }
        }
    }
}

/// What is restricted at all, before any exception.
fn handled(needs: &Needs) -> Result<Ruleset, RulesetError> {
    let mut ports: BitFlags<AccessNet> = AccessNet::BindTcp.into();
    if needs.connected_tcp().is_some() {
        ports |= AccessNet::ConnectTcp;
    }
    let mut scopes: BitFlags<Scope> = Scope::Signal.into();
    if !needs.has_unix_sockets() {
        scopes |= Scope::AbstractUnixSocket;
    }
    // What this kernel does not know of it is left out by the crate; the report has said so.
    Ruleset::default()
        .handle_access(AccessFs::from_all(TRIED))?
        .handle_access(ports)?
        .scope(scopes)
}

fn standing(needs: &Needs, wish: &Wish, needed: u32, landlock: &Result<u32, Lack>) -> Standing {
    if *wish == Wish::AbstractSockets && needs.has_unix_sockets() {
        return Standing::NotAsked;
    }
    match landlock {
        Err(lack) => Standing::Missing(lack.clone()),
        Ok(has) if *has < needed => Standing::Missing(Lack::Landlock { needed, has: *has }),
        // The kernel's hook knows TCP only, and the same port is reached through MPTCP; the filter closes that.
        Ok(_) if *wish == Wish::TcpPorts && needs.preset().is_none() => {
            Standing::Partly(Lack::NoPreset)
        }
        Ok(_) => Standing::Enforced,
    }
}

fn refused(error: &RulesetError) -> SandboxError {
    SandboxError::kernel(
        "make a Landlock ruleset",
        io::Error::from_raw_os_error(errno(error)),
    )
}

/// The error of the system at the bottom; 0 if there is none.
fn errno(error: &RulesetError) -> i32 {
    let mut below: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = below {
        if let Some(system) = error.downcast_ref::<io::Error>() {
            return system.raw_os_error().unwrap_or_default();
        }
        below = error.source();
    }
    0
}
