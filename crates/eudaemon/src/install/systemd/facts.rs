//! What the rows of a unit are made of.

use super::super::sockets::{self, Group, Place};
use super::super::{InstallError, Installation};
use crate::Capability;
use crate::needs::{Needs, Preset};
use std::path::{Path, PathBuf};

/// Everything a row may ask.
pub(super) struct Facts<'a> {
    pub(super) of: &'a Installation,
    pub(super) version: u32,
    /// A user's manager, which cannot do what needs privileges.
    pub(super) user_manager: bool,
    /// The sockets that the manager opens.
    pub(super) sockets: Vec<Group>,
    /// What it keeps, port numbers below 1024 considered.
    pub(super) capabilities: Vec<Capability>,
}

impl<'a> Facts<'a> {
    pub(super) fn new(
        of: &'a Installation,
        version: u32,
        user_manager: bool,
    ) -> Result<Facts<'a>, InstallError> {
        let opened = sockets::groups(&of.manifest)?;
        let sockets = if of.sockets { opened } else { Vec::new() };
        let needs = &of.manifest.needs;
        let mut capabilities: Vec<Capability> = Vec::new();
        let mut keep = |capability| {
            if !capabilities.contains(&capability) {
                capabilities.push(capability);
            }
        };
        needs.capabilities().iter().copied().for_each(&mut keep);
        let given = |port: u16| {
            let mut addresses = sockets.iter().flat_map(|group| &group.addresses);
            addresses.any(|address| address.ip().is_some_and(|at| at.port() == port))
        };
        let ports = needs.bound_tcp().iter().chain(needs.bound_udp());
        // Source: ip(7), ip_unprivileged_port_start; 0 is any free one.
        if ports
            .copied()
            .any(|port| (1..1024).contains(&port) && !given(port))
        {
            keep(Capability::NetBindService);
        }
        Ok(Facts {
            of,
            version,
            user_manager,
            sockets,
            capabilities,
        })
    }

    pub(super) fn needs(&self) -> &Needs {
        &self.of.manifest.needs
    }

    /// Whether the manifest says what it needs at all. Of one that says nothing it is not known that it needs no network.
    pub(super) fn names_needs(&self) -> bool {
        *self.needs() != Needs::default()
    }

    pub(super) fn keeps(&self, capability: Capability) -> bool {
        self.capabilities.contains(&capability)
    }

    /// Whether it uses IP, by itself or on a socket it is given.
    pub(super) fn has_network(&self) -> bool {
        let mut given = self.sockets.iter().flat_map(|group| &group.addresses);
        self.needs().has_network()
            || self.keeps(Capability::NetAdmin)
            || self.keeps(Capability::NetRaw)
            || given.any(|address| address.ip().is_some())
    }

    pub(super) fn has_vsock(&self) -> bool {
        let mut given = self.sockets.iter().flat_map(|group| &group.addresses);
        given.any(|address| matches!(address.place, Place::Vsock { .. }))
    }

    pub(super) fn connects(&self) -> bool {
        self.needs()
            .connected_tcp()
            .is_none_or(|ports| !ports.is_empty())
    }

    /// Whether only this machine can reach it: it connects nowhere, and every port it binds is one of the manifest's loopback
    /// addresses.
    pub(super) fn is_local(&self) -> bool {
        let mut opened = Vec::new();
        for group in &self.sockets {
            opened.extend(
                group
                    .addresses
                    .iter()
                    .filter_map(super::super::sockets::Address::ip),
            );
        }
        let needs = self.needs();
        let mut ports = needs.bound_tcp().iter().chain(needs.bound_udp());
        !self.connects()
            && !opened.is_empty()
            && opened.iter().all(|at| at.ip().is_loopback())
            && ports.all(|port| opened.iter().any(|at| at.port() == *port))
    }

    /// Paths under one of the directories that systemd itself makes for the service, which needs no other permission.
    pub(super) fn in_own_directory(&self, path: &Path) -> bool {
        let name = &self.of.manifest.name;
        ["/var/lib", "/run", "/var/cache", "/var/log"]
            .iter()
            .any(|base| path.starts_with(Path::new(base).join(name)))
    }

    /// Whether the service has the directory of its name below `base`: because it says so, or because it writes there.
    pub(super) fn has_directory(&self, base: &str, said: bool) -> bool {
        let own = Path::new(base).join(&self.of.manifest.name);
        said || self
            .needs()
            .writable()
            .iter()
            .any(|path| path.starts_with(&own))
    }

    /// Every path it looks at, the program's own among them.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        let needs = self.needs();
        let lists = [needs.readable(), needs.writable(), needs.executable()];
        lists
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
            .chain([self.of.program.as_path()])
    }

    /// Whether any path it looks at is below this one, or above it.
    pub(super) fn touches(&self, place: &str) -> bool {
        self.paths()
            .any(|path| path.starts_with(place) || Path::new(place).starts_with(path))
    }

    pub(super) fn writes_below(&self, place: &str) -> bool {
        self.needs()
            .writable()
            .iter()
            .any(|path| path.starts_with(place))
    }

    pub(super) fn dynamic_user(&self) -> bool {
        self.of.user().is_none() && !self.user_manager
    }

    /// What a person should know beside what was left out.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.names_needs() {
            notes.push("the manifest names no needs: the network is not restricted; name them in Manifest::needs".to_owned());
        }
        if self.dynamic_user() {
            let foreign = self
                .needs()
                .writable()
                .iter()
                .filter(|path| !self.in_own_directory(path));
            for path in foreign {
                notes.push(format!(
                    "{} must be writable for the user that systemd makes up; or name one with --service.uid",
                    path.display()
                ));
            }
        }
        if matches!(self.of.user(), Some("root" | "0")) && !self.user_manager {
            notes.push("it is started as root".to_owned());
        }
        if self.needs().preset() == Some(Preset::Worker) {
            notes.push("the unit allows @network-io, with which the service talks to its manager; its own filter does not".to_owned());
        }
        if self.of.program.starts_with("/tmp") || self.of.program.starts_with("/var/tmp") {
            notes.push(format!(
                "{} will not be there for long",
                self.of.program.display()
            ));
        }
        notes
    }
}
