//! Every directive of a service's unit: its name, since when systemd knows it, and what it says.
//!
//! Versions are those of systemd's NEWS file and of "Added in version" in its manual pages.

use super::super::InstallError;
use super::facts::Facts;
use super::{quote, sandbox, socket_name};
use crate::Exit;
use std::ffi::OsString;

/// Where a directive stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Unit,
    Service,
    Install,
}

/// The lines of a directive; none when there is nothing to say.
pub(super) type Values = Result<Vec<String>, InstallError>;

/// One directive.
pub(super) struct Row {
    pub(super) section: Section,
    pub(super) name: &'static str,
    /// The version of systemd that knows it; 0 for those older than any we write for.
    pub(super) since: u32,
    /// Whether it takes privileges, which a user's manager has not.
    pub(super) system_only: bool,
    pub(super) value: fn(&Facts<'_>) -> Values,
}

/// A row of `[Service]`.
pub(super) const fn row(name: &'static str, since: u32, value: fn(&Facts<'_>) -> Values) -> Row {
    Row {
        section: Section::Service,
        name,
        since,
        system_only: false,
        value,
    }
}

/// One line, or none.
pub(super) fn when(holds: bool, text: impl Into<String>) -> Values {
    Ok(if holds { vec![text.into()] } else { Vec::new() })
}

/// The rows of a unit, in the order in which they stand in it.
pub(super) fn all() -> impl Iterator<Item = &'static Row> {
    UNIT.iter().chain(LIFE).chain(sandbox::ROWS).chain(INSTALL)
}

const fn of_unit(name: &'static str, value: fn(&Facts<'_>) -> Values) -> Row {
    Row {
        section: Section::Unit,
        ..row(name, 0, value)
    }
}

const UNIT: &[Row] = &[
    of_unit("Description", |facts| {
        let manifest = &facts.of.manifest;
        let texts =
            [&manifest.description, &manifest.title, &manifest.name].map(|text| quote::text(text));
        Ok(texts
            .into_iter()
            .find(|text| !text.is_empty())
            .into_iter()
            .collect())
    }),
    // Source: systemd.unit(5): http:, https:, file:, info:, man:; others are refused with a warning.
    of_unit("Documentation", |facts| {
        let known = |page: &&String| {
            let kinds = ["http://", "https://", "file:", "info:", "man:"];
            kinds.iter().any(|kind| page.starts_with(kind))
                && page.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let page = facts.of.manifest.documentation.as_ref().filter(known);
        Ok(page
            .map(|page| page.replace('%', "%%"))
            .into_iter()
            .collect())
    }),
    // Source: systemd.special(7), network-online.target: for who connects at its start.
    of_unit("Wants", |facts| {
        when(
            facts.connects() && !facts.user_manager,
            "network-online.target",
        )
    }),
    of_unit("Requires", |facts| {
        when(!facts.sockets.is_empty(), socket_names(facts))
    }),
    of_unit("After", |facts| {
        let mut after = Vec::new();
        if facts.has_network() && !facts.user_manager {
            after.push("network.target".to_owned());
        }
        if facts.connects() && !facts.user_manager {
            after.push("network-online.target".to_owned());
        }
        if !facts.sockets.is_empty() {
            after.push(socket_names(facts));
        }
        when(!after.is_empty(), after.join(" "))
    }),
    // A service that should run is started again for ever; what no restart mends says so by its exit code.
    of_unit("StartLimitIntervalSec", |_| when(true, "0")),
];

fn socket_names(facts: &Facts<'_>) -> String {
    let names = facts
        .sockets
        .iter()
        .map(|group| socket_name(facts.of, group));
    names.collect::<Vec<_>>().join(" ")
}

fn notifies_reload(facts: &Facts<'_>) -> bool {
    facts.of.manifest.reloads && facts.version >= 253
}

const LIFE: &[Row] = &[
    // 252 takes an unknown type for `simple`, so the newer one must not be written for it.
    row("Type", 0, |facts| {
        when(
            true,
            if notifies_reload(facts) {
                "notify-reload"
            } else {
                "notify"
            },
        )
    }),
    row("NotifyAccess", 0, |_| when(true, "main")),
    row("ExecStart", 0, |facts| {
        let words = facts.of.words.iter().map(OsString::as_os_str);
        when(true, quote::command_line(&facts.of.program, words))
    }),
    row("ExecReload", 0, |facts| {
        when(
            facts.of.manifest.reloads && !notifies_reload(facts),
            "/bin/kill -HUP $MAINPID",
        )
    }),
    row("Sockets", 0, |facts| {
        when(!facts.sockets.is_empty(), socket_names(facts))
    }),
    row("Environment", 0, |facts| {
        let pairs = facts.of.environment.iter();
        pairs
            .map(|(name, value)| quote::assignment(name, value))
            .collect()
    }),
    row("Restart", 0, |_| when(true, "on-failure")),
    row("RestartSec", 0, |facts| {
        when(true, if facts.version >= 254 { "1s" } else { "5s" })
    }),
    row("RestartSteps", 254, |_| when(true, "8")),
    row("RestartMaxDelaySec", 254, |_| when(true, "1min")),
    row("RestartPreventExitStatus", 0, |_| {
        let codes = Exit::FINAL.map(|exit| exit.code().to_string());
        when(true, codes.join(" "))
    }),
    row("WatchdogSec", 0, |facts| {
        Ok(facts.of.manifest.watchdog.map(span).into_iter().collect())
    }),
    // What the service takes for its own stop, and something to say so.
    row("TimeoutStopSec", 0, |facts| {
        when(
            true,
            span(facts.of.manifest.stop_timeout + std::time::Duration::from_secs(5)),
        )
    }),
    row("KillMode", 0, |_| when(true, "mixed")),
    row("FileDescriptorStoreMax", 0, |facts| {
        let storing = facts.of.manifest.storing.then_some(STORED);
        let most = facts.of.descriptor_store.or(storing);
        Ok(most.map(|most| most.to_string()).into_iter().collect())
    }),
    // Older ones do the same without being told.
    row("FileDescriptorStorePreserve", 0, |facts| {
        when(facts.of.manifest.storing && facts.version >= 254, "restart")
    }),
    row("StateDirectory", 0, |facts| {
        when(
            facts.has_directory("/var/lib", facts.of.manifest.state),
            &facts.of.manifest.name,
        )
    }),
    row("StateDirectoryMode", 0, |facts| {
        when(
            facts.has_directory("/var/lib", facts.of.manifest.state),
            "0750",
        )
    }),
    row("CacheDirectory", 0, |facts| {
        when(
            facts.has_directory("/var/cache", facts.of.manifest.cache),
            &facts.of.manifest.name,
        )
    }),
    row("CacheDirectoryMode", 0, |facts| {
        when(
            facts.has_directory("/var/cache", facts.of.manifest.cache),
            "0750",
        )
    }),
    row("LogsDirectory", 0, |facts| {
        when(
            facts.has_directory("/var/log", facts.of.manifest.logs),
            &facts.of.manifest.name,
        )
    }),
    row("LogsDirectoryMode", 0, |facts| {
        when(
            facts.has_directory("/var/log", facts.of.manifest.logs),
            "0750",
        )
    }),
    // Others may have to reach a socket in it.
    row("RuntimeDirectory", 0, |facts| {
        when(
            facts.has_directory("/run", facts.of.manifest.runtime),
            &facts.of.manifest.name,
        )
    }),
    // A socket in it would be kept, and nobody could reach it. Source: systemd.exec(5), RuntimeDirectoryPreserve=.
    row("RuntimeDirectoryPreserve", 0, |facts| {
        let has = facts.has_directory("/run", facts.of.manifest.runtime);
        when(has && facts.of.manifest.storing, "restart")
    }),
];

/// How many descriptors are kept of a service that stores its sockets, if nobody says: two for each of them, and some.
const STORED: u32 = 128;

/// A duration as `90s` or `1500ms`; never 0, which would mean none.
fn span(duration: std::time::Duration) -> String {
    match (duration.as_millis(), duration.subsec_millis()) {
        (0, _) => "1ms".to_owned(),
        (_, 0) => format!("{}s", duration.as_secs()),
        (all, _) => format!("{all}ms"),
    }
}

const INSTALL: &[Row] = &[Row {
    section: Section::Install,
    ..row("WantedBy", 0, |facts| {
        when(
            true,
            if facts.user_manager {
                "default.target"
            } else {
                "multi-user.target"
            },
        )
    })
}];
