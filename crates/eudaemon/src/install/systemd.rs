//! Units for systemd: the service, and a `.socket` for each name the manager listens under.

mod facts;
mod quote;
mod rows;
mod sandbox;

use super::plan::{Command, File, Plan, Step};
use super::sockets::{Group, Kind, Place};
use super::{Action, InstallError, Installation, seal, sockets};
use facts::Facts;
use rows::{Row, Section};
use std::path::{Path, PathBuf};

/// The oldest version we write units for: before it, directives that confine would be passed over in silence.
const OLDEST: u32 = 239;

/// Adds what installs the service; `home` is that of a user's manager.
pub(super) fn install(
    of: &Installation,
    plan: &mut Plan,
    version: Option<u32>,
    home: Option<&Path>,
) -> Result<(), InstallError> {
    if version.is_some_and(|version| version < OLDEST) {
        return Err(InstallError::Inexpressible {
            what: format!("a unit for systemd {}", version.unwrap_or_default()),
            why: "before version 239 it does not know what confines a service, and would start it without",
        });
    }
    if version.is_none() {
        plan.notes.push(format!(
            "the version of systemd is not known: the units are for {OLDEST} and later; name it for more, as systemd:252"
        ));
    }
    let facts = Facts::new(of, version.unwrap_or(OLDEST), home.is_some())?;
    let folder = home.map_or_else(
        || PathBuf::from("/etc/systemd/system"),
        |home| home.join(".config/systemd/user"),
    );
    let name = &of.manifest.name;
    let unit = unit(&facts, &mut plan.notes)?;
    let mut file = |unit: &str, bytes| {
        plan.steps
            .push(Step::Write(File::new(folder.join(unit), bytes, 0o644)))
    };
    file(&format!("{name}.service"), unit);
    for group in &facts.sockets {
        file(&socket_name(of, group), socket(&facts, group)?);
    }
    plan.notes.extend(facts.notes());
    let user = home.is_some();
    let units: Vec<String> = unit_names(of)?;
    let reload = systemctl(user, &["daemon-reload"], &[]);
    plan.steps.push(Step::Run(reload.clone()));
    plan.steps
        .push(Step::Run(systemctl(user, &["enable"], &units)));
    plan.settle.push(reload);
    Ok(())
}

/// What goes before and behind the removal of the files.
pub(super) fn retire(
    of: &Installation,
    user: bool,
) -> Result<(Vec<Command>, Vec<Step>), InstallError> {
    let units = unit_names(of)?;
    // A service that was never started, or is known no more, is no hindrance.
    let first = vec![systemctl(user, &["disable", "--now"], &units).tried()];
    let last = vec![
        Step::Run(systemctl(user, &["daemon-reload"], &[])),
        Step::Run(systemctl(user, &["reset-failed"], &units).tried()),
    ];
    Ok((first, last))
}

pub(super) fn control(
    of: &Installation,
    action: Action,
    user: bool,
) -> Result<Vec<Command>, InstallError> {
    let service = [format!("{}.service", of.manifest.name)];
    Ok(match action {
        Action::Start => vec![systemctl(user, &["start"], &service)],
        // The service alone would be started again by the next connection.
        Action::Stop => vec![systemctl(user, &["stop"], &unit_names(of)?)],
        Action::Restart => vec![systemctl(user, &["restart"], &service)],
        Action::Reload => vec![systemctl(user, &["reload"], &service)],
        Action::Status => vec![systemctl(
            user,
            &["status", "--no-pager", "--full"],
            &service,
        )],
        Action::Install | Action::Remove => Vec::new(),
    })
}

fn systemctl(user: bool, words: &[&str], units: &[String]) -> Command {
    let mut argv = vec!["systemctl"];
    if user {
        argv.push("--user");
    }
    argv.extend(words);
    argv.extend(units.iter().map(String::as_str));
    Command::new(argv)
}

/// The service, and the sockets if the manager opens them.
fn unit_names(of: &Installation) -> Result<Vec<String>, InstallError> {
    let mut names = vec![format!("{}.service", of.manifest.name)];
    if of.sockets {
        let groups = sockets::groups(&of.manifest)?;
        names.extend(groups.iter().map(|group| socket_name(of, group)));
    }
    Ok(names)
}

fn socket_name(of: &Installation, group: &Group) -> String {
    let name = &of.manifest.name;
    match group.name == *name {
        true => format!("{name}.socket"),
        false => format!("{name}-{}.socket", quote::name(&group.name)),
    }
}

/// The text of the service's unit; what this version does not know is told in `notes`.
fn unit(facts: &Facts<'_>, notes: &mut Vec<String>) -> Result<Vec<u8>, InstallError> {
    let mut body = String::new();
    let mut newer: Vec<&Row> = Vec::new();
    let mut beyond: Vec<&str> = Vec::new();
    for section in [Section::Unit, Section::Service, Section::Install] {
        body.push_str(match section {
            Section::Unit => "\n[Unit]\n",
            Section::Service => "\n[Service]\n",
            Section::Install => "\n[Install]\n",
        });
        for row in rows::all().filter(|row| row.section == section) {
            let values = (row.value)(facts)?;
            if values.is_empty() {
                continue;
            }
            if row.since > facts.version {
                newer.push(row);
            } else if row.system_only && facts.user_manager {
                beyond.push(row.name);
            } else {
                for value in values {
                    body.push_str(&format!("{}={value}\n", row.name));
                }
            }
        }
    }
    for row in newer {
        notes.push(format!(
            "left out: {}=, which systemd knows since {}",
            row.name, row.since
        ));
    }
    if !beyond.is_empty() {
        notes.push(format!(
            "left out, because a user's systemd cannot do it: {}",
            beyond.join(", ")
        ));
    }
    let name = &facts.of.manifest.name;
    let head = format!(
        "# {name}.service, generated. Changes belong into {name}.service.d/*.conf (systemctl edit {name}):\n# they stay there when this is generated anew.\n"
    );
    Ok(seal::sealed(&head, ("# ", ""), body.as_bytes()))
}

/// The text of a `.socket`. Source: `systemd.socket(5)`.
fn socket(facts: &Facts<'_>, group: &Group) -> Result<Vec<u8>, InstallError> {
    let manifest = &facts.of.manifest;
    let name = &manifest.name;
    let title = quote::text(&manifest.title);
    let title = if title.is_empty() { name } else { &title };
    let mut body = format!(
        "\n[Unit]\nDescription={title}: {}\n\n[Socket]\n",
        quote::text(&group.name)
    );
    let (mut tcp, mut file, mut node) = (false, false, false);
    for address in &group.addresses {
        let key = match (address.kind, &address.place) {
            (Some(Kind::Stream), _) => "ListenStream",
            (Some(Kind::Datagram), _) => "ListenDatagram",
            (Some(Kind::Sequential), _) => "ListenSequentialPacket",
            (None, Place::Fifo(_)) => "ListenFIFO",
            (None, Place::Queue(_)) => "ListenMessageQueue",
            (None, _) => "ListenSpecial",
        };
        let value = match &address.place {
            // Both families, whatever bindv6only says.
            Place::Ip(at) if at.ip().is_unspecified() && at.is_ipv6() => at.port().to_string(),
            Place::Ip(at) => at.to_string(),
            Place::Path(path)
            | Place::Fifo(path)
            | Place::Special(path)
            | Place::Queue(path)
            // None of these two is left here: see `super::sockets`.
            | Place::Inherited(path) => quote_address(path),
            Place::Number(number) => number.to_string(),
            Place::Abstract(name) => quote_address(&format!("@{name}")),
            Place::Vsock { cid, port } => {
                format!(
                    "vsock:{}:{port}",
                    cid.map(|cid| cid.to_string()).unwrap_or_default()
                )
            }
        };
        tcp |= address.kind == Some(Kind::Stream) && address.ip().is_some();
        file |= matches!(address.place, Place::Path(_));
        node |= matches!(address.place, Place::Fifo(_) | Place::Queue(_));
        body.push_str(&format!("{key}={value}\n"));
    }
    // A quoted name would keep its quotes: this is no list. Observed with systemd 252.
    body.push_str(&format!(
        "FileDescriptorName={}\nService={name}.service\n",
        group.name.replace('%', "%%")
    ));
    if tcp {
        body.push_str("NoDelay=yes\n");
    }
    if file {
        body.push_str("RemoveOnStop=yes\n");
    }
    if file || node {
        body.push_str("SocketMode=0660\n");
        if let (Some(user), false) = (facts.of.user(), facts.user_manager) {
            body.push_str(&format!("SocketUser={user}\n"));
            if let Some(group) = &facts.of.group {
                body.push_str(&format!("SocketGroup={group}\n"));
            }
        }
    }
    body.push_str("\n[Install]\nWantedBy=sockets.target\n");
    let unit = socket_name(facts.of, group);
    let head = format!("# {unit}, generated. Changes belong into {unit}.d/*.conf.\n");
    Ok(seal::sealed(&head, ("# ", ""), body.as_bytes()))
}

/// An address is one value to the end of its line, with specifiers.
fn quote_address(text: &str) -> String {
    text.replace('%', "%%")
}
