//! The directives that confine, each from what the service needs.
//!
//! Source: `systemd.exec(5)`, "Sandboxing", "System Call Filtering", "Capabilities"; `systemd.resource-control(5)`.

use super::facts::Facts;
use super::quote;
use super::rows::{Row, Values, row, when};
use crate::Capability;
use eudaemon_core::limits::{Limit, Resource};
use std::path::{Path, PathBuf};

/// A row that takes the privileges of the system's manager.
const fn system(name: &'static str, since: u32, value: fn(&Facts<'_>) -> Values) -> Row {
    Row {
        system_only: true,
        ..row(name, since, value)
    }
}

/// `yes`, unless it needs what would be denied.
fn unless(needed: bool) -> Values {
    when(!needed, "yes")
}

pub(super) const ROWS: &[Row] = &[
    system("DynamicUser", 0, |facts| when(facts.dynamic_user(), "yes")),
    system("User", 0, |facts| {
        Ok(facts.of.user().map(str::to_owned).into_iter().collect())
    }),
    system("Group", 0, |facts| {
        Ok(facts.of.group.clone().into_iter().collect())
    }),
    row("UMask", 0, |_| when(true, "0027")),
    // Empty: none.
    system("CapabilityBoundingSet", 0, |facts| {
        when(true, capabilities(facts))
    }),
    system("AmbientCapabilities", 0, |facts| {
        when(true, capabilities(facts))
    }),
    row("NoNewPrivileges", 0, |_| when(true, "yes")),
    system("ProtectSystem", 0, |_| when(true, "strict")),
    // Homes are hidden; what is needed in them is bound into the empty place.
    system("ProtectHome", 0, |facts| {
        when(
            true,
            if in_hidden(facts, HOMES).next().is_some() {
                "tmpfs"
            } else {
                "yes"
            },
        )
    }),
    system("PrivateTmp", 0, |_| when(true, "yes")),
    system("PrivateDevices", 0, |facts| {
        unless(
            devices(facts).next().is_some()
                || facts.keeps(Capability::SysRawio)
                || facts.keeps(Capability::Mknod),
        )
    }),
    system("DevicePolicy", 0, |facts| {
        when(devices(facts).next().is_some(), "closed")
    }),
    system("DeviceAllow", 0, |facts| {
        let access =
            |path: &Path| match facts.needs().writable().iter().any(|needed| needed == path) {
                true => "rw",
                false => "r",
            };
        devices(facts)
            .map(|path| Ok(format!("{} {}", quote::path(path)?, access(path))))
            .collect()
    }),
    // In a user namespace of its own a capability would not count outside.
    system("PrivateUsers", 0, |facts| {
        unless(!facts.capabilities.is_empty())
    }),
    system("PrivateIPC", 248, |_| when(true, "yes")),
    system("PrivateMounts", 0, |facts| {
        unless(facts.keeps(Capability::SysAdmin))
    }),
    // Abstract unix sockets belong to a network.
    system("PrivateNetwork", 0, |facts| {
        let needed = facts.has_network() || facts.needs().has_unix_sockets() || facts.has_vsock();
        unless(needed || !facts.names_needs())
    }),
    system("ProtectKernelTunables", 0, |facts| {
        unless(facts.writes_below("/proc") || facts.writes_below("/sys"))
    }),
    system("ProtectKernelModules", 0, |facts| {
        unless(facts.keeps(Capability::SysModule))
    }),
    system("ProtectKernelLogs", 244, |facts| {
        unless(facts.keeps(Capability::Syslog))
    }),
    system("ProtectClock", 245, |facts| {
        unless(facts.keeps(Capability::SysTime) || facts.keeps(Capability::WakeAlarm))
    }),
    system("ProtectControlGroups", 0, |facts| {
        unless(facts.writes_below("/sys/fs/cgroup"))
    }),
    system("ProtectHostname", 242, |facts| {
        unless(facts.keeps(Capability::SysAdmin))
    }),
    system("ProtectProc", 247, |facts| {
        when(!facts.keeps(Capability::SysPtrace), "invisible")
    }),
    system("ProcSubset", 247, |facts| {
        when(!facts.touches("/proc"), "pid")
    }),
    row("RestrictNamespaces", 0, |facts| {
        unless(facts.keeps(Capability::SysAdmin))
    }),
    row("RestrictRealtime", 0, |facts| {
        unless(facts.keeps(Capability::SysNice))
    }),
    row("RestrictSUIDSGID", 242, |facts| {
        unless(facts.keeps(Capability::Fsetid))
    }),
    row("RestrictAddressFamilies", 0, |facts| {
        let mut families = facts.needs().address_families();
        // The manager and the log. And glibc's getaddrinfo asks the kernel which addresses this machine has.
        let more = [
            ("AF_UNIX", true),
            ("AF_INET", facts.has_network()),
            ("AF_INET6", facts.has_network()),
            ("AF_NETLINK", facts.connects()),
            ("AF_VSOCK", facts.has_vsock()),
        ];
        for (family, wanted) in more {
            if wanted && !families.contains(&family) {
                families.push(family);
            }
        }
        families.sort_unstable();
        when(facts.names_needs(), families.join(" "))
    }),
    row("LockPersonality", 0, |_| when(true, "yes")),
    row("MemoryDenyWriteExecute", 0, |facts| {
        unless(facts.needs().has_writable_code())
    }),
    system("RemoveIPC", 0, |_| when(true, "yes")),
    row("KeyringMode", 0, |_| when(true, "private")),
    row("SystemCallArchitectures", 0, |_| when(true, "native")),
    row("SystemCallFilter", 0, |facts| Ok(system_calls(facts))),
    row("SystemCallErrorNumber", 0, |_| when(true, "EPERM")),
    // A bound path is hidden otherwise, and has a row of its own.
    system("ReadWritePaths", 0, |facts| {
        let plain = |path: &&PathBuf| !is_hidden(path) && !facts.in_own_directory(path);
        facts
            .needs()
            .writable()
            .iter()
            .filter(plain)
            .map(|path| quote::path(path))
            .collect()
    }),
    system("ReadOnlyPaths", 0, |facts| {
        let needs = facts.needs();
        let inside = |path: &&PathBuf| {
            needs
                .writable()
                .iter()
                .any(|wide| *path != wide && path.starts_with(wide))
        };
        needs
            .readable()
            .iter()
            .filter(inside)
            .map(|path| quote::path(path))
            .collect()
    }),
    system("BindPaths", 0, |facts| {
        let hidden = facts
            .needs()
            .writable()
            .iter()
            .filter(|path| is_hidden(path));
        hidden.map(|path| quote::bound_path(path)).collect()
    }),
    system("BindReadOnlyPaths", 0, |facts| {
        let needs = facts.needs();
        let written = |path: &Path| needs.writable().iter().any(|wide| path.starts_with(wide));
        let mut paths: Vec<&Path> = facts
            .paths()
            .filter(|path| is_hidden(path) && !written(path))
            .collect();
        paths.dedup();
        paths.into_iter().map(quote::bound_path).collect()
    }),
    // Places a service has no business in. `-`: they need not be there.
    system("InaccessiblePaths", 0, |facts| {
        let closed = ["/boot", "/efi", "/media", "/mnt", "/srv"];
        let closed = closed.iter().filter(|place| !facts.touches(place));
        let closed: Vec<String> = closed.map(|place| format!("-{place}")).collect();
        when(!closed.is_empty(), closed.join(" "))
    }),
    system("IPAddressDeny", 0, |facts| {
        let denied = !facts.has_network() || facts.is_local();
        when(facts.names_needs() && denied, "any")
    }),
    system("IPAddressAllow", 0, |facts| {
        let allowed = facts.has_network() && facts.is_local();
        when(facts.names_needs() && allowed, "localhost")
    }),
    // Who connects may bind any free port first, and there is no way to allow just that.
    system("SocketBindDeny", 249, |facts| {
        when(!binds_anything(facts), "any")
    }),
    system("SocketBindAllow", 249, |facts| {
        let ports = |kind: &str, ports: &[u16]| -> Vec<String> {
            ports.iter().map(|port| format!("{kind}:{port}")).collect()
        };
        let needs = facts.needs();
        Ok(match binds_anything(facts) {
            true => Vec::new(),
            false => [
                ports("tcp", needs.bound_tcp()),
                ports("udp", needs.bound_udp()),
            ]
            .concat(),
        })
    }),
    row("LimitAS", 0, |facts| limit(facts, Resource::AddressSpace)),
    row("LimitCORE", 0, |facts| limit(facts, Resource::Core)),
    row("LimitDATA", 0, |facts| limit(facts, Resource::Data)),
    row("LimitFSIZE", 0, |facts| limit(facts, Resource::FileSize)),
    row("LimitMEMLOCK", 0, |facts| {
        limit(facts, Resource::LockedMemory)
    }),
    row("LimitNOFILE", 0, |facts| limit(facts, Resource::OpenFiles)),
    row("LimitNPROC", 0, |facts| limit(facts, Resource::Processes)),
    row("LimitRSS", 0, |facts| limit(facts, Resource::Resident)),
    row("LimitSTACK", 0, |facts| limit(facts, Resource::Stack)),
    row("LimitCPU", 0, |facts| limit(facts, Resource::CpuSeconds)),
];

/// What `ProtectHome=` hides.
const HOMES: &[&str] = &["/home", "/root", "/run/user"];
/// What `PrivateTmp=` hides.
const TEMPORARY: &[&str] = &["/tmp", "/var/tmp"];

fn is_hidden(path: &Path) -> bool {
    HOMES
        .iter()
        .chain(TEMPORARY)
        .any(|place| path.starts_with(place) && path != Path::new(place))
}

fn in_hidden<'a>(
    facts: &'a Facts<'_>,
    places: &'static [&'static str],
) -> impl Iterator<Item = &'a Path> {
    facts
        .paths()
        .filter(|path| places.iter().any(|place| path.starts_with(place)))
}

/// The devices it needs beside those everybody has. Source: `systemd.resource-control(5)`, `DevicePolicy=closed`.
fn devices<'a>(facts: &'a Facts<'_>) -> impl Iterator<Item = &'a Path> {
    let everybodys = ["null", "zero", "full", "random", "urandom", "shm", "log"];
    facts
        .paths()
        .filter(move |path| match path.strip_prefix("/dev") {
            Ok(rest) => !everybodys.iter().any(|known| rest.starts_with(known)),
            Err(_) => false,
        })
}

fn capabilities(facts: &Facts<'_>) -> String {
    let names = facts
        .capabilities
        .iter()
        .map(|capability| capability.name());
    names.collect::<Vec<_>>().join(" ")
}

fn binds_anything(facts: &Facts<'_>) -> bool {
    let needs = facts.needs();
    let any = needs.bound_tcp().contains(&0) || needs.bound_udp().contains(&0);
    facts.connects() || any || !facts.names_needs()
}

/// `SOFT:HARD`. Source: `systemd.exec(5)`, "Process Properties".
fn limit(facts: &Facts<'_>, resource: Resource) -> Values {
    let number = |value: u64| match value {
        Limit::NONE => "infinity".to_owned(),
        value => value.to_string(),
    };
    let of = |(_, limit): &(Resource, Limit)| match limit.soft == limit.hard {
        true => number(limit.soft),
        false => format!("{}:{}", number(limit.soft), number(limit.hard)),
    };
    // The last word on a resource counts.
    let last = facts
        .needs()
        .limits()
        .iter()
        .rev()
        .find(|(known, _)| *known == resource);
    Ok(last.map(of).into_iter().collect())
}

/// The groups of calls a capability is for. Source: `systemd-analyze syscall-filter`.
const GROUPS: &[(Capability, &str)] = &[
    (Capability::Chown, "@chown"),
    (Capability::Setuid, "@setuid"),
    (Capability::Setgid, "@setuid"),
    (Capability::SysTime, "@clock"),
    (Capability::SysModule, "@module"),
    (Capability::SysRawio, "@raw-io"),
    (Capability::SysBoot, "@reboot"),
    (Capability::SysAdmin, "@mount"),
    (Capability::SysPtrace, "@debug"),
    (Capability::SysChroot, "chroot"),
    (Capability::SysNice, "@resources"),
    (Capability::SysResource, "@resources"),
    (Capability::Bpf, "bpf"),
];

/// With a preset: what it allows, and what its capabilities and limits are for. Without one: all but what only a system's
/// own programs call.
fn system_calls(facts: &Facts<'_>) -> Vec<String> {
    let mut needed: Vec<&str> = Vec::new();
    for (capability, group) in GROUPS {
        if facts.keeps(*capability) && !needed.contains(group) {
            needed.push(group);
        }
    }
    let Some(preset) = facts.needs().preset() else {
        let denied = DENIED.iter().copied();
        let denied: Vec<&str> = denied.filter(|group| !needed.contains(group)).collect();
        return vec![format!("~{}", denied.join(" "))];
    };
    // A process gives up its own capabilities, and sets its own limits.
    needed.push("capset");
    if !facts.needs().limits().is_empty() {
        needed.extend(["setrlimit", "prlimit64"]);
    }
    let lines = preset.system_call_filter().iter();
    lines
        .map(|line| (*line).to_owned())
        .chain([needed.join(" ")])
        .collect()
}

/// What nobody needs who has no capability for it.
const DENIED: [&str; 9] = [
    "@clock",
    "@cpu-emulation",
    "@debug",
    "@module",
    "@mount",
    "@obsolete",
    "@raw-io",
    "@reboot",
    "@swap",
];
