//! A property list for launchd. Source: `launchd.plist(5)`, `launchctl(1)`; the syntax: Apple's PropertyList-1.0 DTD.

use super::plan::{Command, File, Plan, Step};
use super::sockets::{self, Kind, Place};
use super::{Action, InstallError, Installation, seal};
use eudaemon_core::limits::{Limit, Resource};
use std::ffi::OsStr;

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n";

/// A value of a property list.
enum Value {
    Text(String),
    Number(u64),
    True,
    False,
    List(Vec<Value>),
    Dict(Vec<(String, Value)>),
}

impl Value {
    fn text(text: impl AsRef<OsStr>) -> Result<Value, InstallError> {
        let text = text.as_ref();
        // Source: XML 1.0, 2.2: of the control characters only these three; a CR would be read as a newline (2.11).
        let said = |letter: char| matches!(letter, '\t' | '\n' | ' '..='\u{7e}' | '\u{80}'..='\u{fffd}' | '\u{10000}'..);
        match text.to_str() {
            Some(text) if text.chars().all(said) => Ok(Value::Text(text.to_owned())),
            _ => Err(InstallError::Inexpressible {
                what: format!("{text:?}"),
                why: "a property list takes only UTF-8 without control characters",
            }),
        }
    }

    fn write(&self, out: &mut String, depth: usize) {
        let indent = "\t".repeat(depth);
        match self {
            Value::Text(text) => {
                out.push_str(&format!("{indent}<string>{}</string>\n", escaped(text)))
            }
            Value::Number(number) => {
                out.push_str(&format!("{indent}<integer>{number}</integer>\n"))
            }
            Value::True => out.push_str(&format!("{indent}<true/>\n")),
            Value::False => out.push_str(&format!("{indent}<false/>\n")),
            Value::List(values) => {
                out.push_str(&format!("{indent}<array>\n"));
                for value in values {
                    value.write(out, depth + 1);
                }
                out.push_str(&format!("{indent}</array>\n"));
            }
            Value::Dict(pairs) => {
                out.push_str(&format!("{indent}<dict>\n"));
                for (key, value) in pairs {
                    out.push_str(&format!("{indent}\t<key>{}</key>\n", escaped(key)));
                    value.write(out, depth + 1);
                }
                out.push_str(&format!("{indent}</dict>\n"));
            }
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

pub(super) fn install(of: &Installation, plan: &mut Plan) -> Result<(), InstallError> {
    let name = &of.manifest.name;
    let path = format!("/Library/LaunchDaemons/{name}.plist");
    let mut body = String::from("<plist version=\"1.0\">\n");
    Value::Dict(list(of)?).write(&mut body, 0);
    body.push_str("</plist>\n");
    let bytes = seal::sealed(HEAD, ("<!-- Generated. ", " -->"), body.as_bytes());
    plan.steps.push(Step::Write(File::new(&path, bytes, 0o644)));
    let out = format!("system/{name}");
    // Known from before: then it has to be forgotten first.
    plan.steps.push(Step::Run(
        Command::new(["launchctl", "bootout", &out]).tried(),
    ));
    plan.steps
        .push(Step::Run(Command::new(["launchctl", "enable", &out])));
    plan.steps.push(Step::Run(Command::new([
        "launchctl",
        "bootstrap",
        "system",
        &path,
    ])));
    plan.notes.push("launchd starts it at once".to_owned());
    if of.manifest.watchdog.is_some() {
        plan.notes
            .push("left out: the watchdog, which is systemd's".to_owned());
    }
    Ok(())
}

fn list(of: &Installation) -> Result<Vec<(String, Value)>, InstallError> {
    let manifest = &of.manifest;
    let drop = of
        .own_drop("launchd makes up no user, so it would stay root: name one with --service.uid")?;
    let words = std::iter::once(of.program.as_os_str())
        .chain(of.words.iter().chain(&drop).map(|word| word.as_os_str()));
    let words: Result<Vec<Value>, _> = words.map(Value::text).collect();
    let log = Value::Text(format!("/var/log/{}.log", manifest.name));
    let mut pairs = vec![
        ("Label", Value::text(&manifest.name)?),
        ("ProgramArguments", Value::List(words?)),
        ("RunAtLoad", Value::True),
        // Ended well: then it was meant.
        (
            "KeepAlive",
            Value::Dict(vec![("SuccessfulExit".to_owned(), Value::False)]),
        ),
        ("ThrottleInterval", Value::Number(10)),
        (
            "ExitTimeOut",
            Value::Number(manifest.stop_timeout.as_secs() + 5),
        ),
        // The number, which is octal nowhere: 027.
        ("Umask", Value::Number(0o027)),
        ("WorkingDirectory", Value::Text("/".to_owned())),
        ("StandardErrorPath", log),
    ];
    if !of.environment.is_empty() {
        let pairs_of = of
            .environment
            .iter()
            .map(|(name, value)| Ok((name.clone(), Value::text(value)?)));
        pairs.push((
            "EnvironmentVariables",
            Value::Dict(pairs_of.collect::<Result<_, InstallError>>()?),
        ));
    }
    for (key, hard) in [("SoftResourceLimits", false), ("HardResourceLimits", true)] {
        let limits = limits(of, hard);
        if !limits.is_empty() {
            pairs.push((key, Value::Dict(limits)));
        }
    }
    if of.sockets && !manifest.sockets.is_empty() {
        pairs.push(("Sockets", sockets(of)?));
    }
    Ok(pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect())
}

/// Source: `launchd.plist(5)`, SoftResourceLimits: a key that is not there is no limit of launchd's.
fn limits(of: &Installation, hard: bool) -> Vec<(String, Value)> {
    let mut pairs: Vec<(String, Value)> = Vec::new();
    for (resource, limit) in of.manifest.needs.limits() {
        let key = match resource {
            Resource::Core => "Core",
            Resource::CpuSeconds => "CPU",
            Resource::Data => "Data",
            Resource::FileSize => "FileSize",
            Resource::LockedMemory => "MemoryLock",
            Resource::OpenFiles => "NumberOfFiles",
            Resource::Processes => "NumberOfProcesses",
            Resource::Resident => "ResidentSetSize",
            Resource::Stack => "Stack",
            // The program limits that by itself.
            Resource::AddressSpace => continue,
        };
        let value = if hard { limit.hard } else { limit.soft };
        pairs.retain(|(known, _)| known != key);
        if value != Limit::NONE {
            pairs.push((key.to_owned(), Value::Number(value)));
        }
    }
    pairs
}

fn sockets(of: &Installation) -> Result<Value, InstallError> {
    let mut names = Vec::new();
    for group in sockets::groups(&of.manifest)? {
        let mut list = Vec::new();
        for address in &group.addresses {
            let kind = match address.kind {
                Some(Kind::Stream) | None => "stream",
                Some(Kind::Datagram) => "dgram",
                Some(Kind::Sequential) => "seqpacket",
            };
            let mut pairs = vec![("SockType".to_owned(), Value::Text(kind.to_owned()))];
            match &address.place {
                Place::Ip(at) => {
                    if !at.ip().is_unspecified() {
                        pairs.push(("SockNodeName".to_owned(), Value::Text(at.ip().to_string())));
                    } else if at.is_ipv4() {
                        pairs.push(("SockFamily".to_owned(), Value::Text("IPv4".to_owned())));
                    }
                    pairs.push((
                        "SockServiceName".to_owned(),
                        Value::Text(at.port().to_string()),
                    ));
                }
                Place::Path(path) => {
                    pairs.push(("SockPathName".to_owned(), Value::text(path)?));
                    pairs.push(("SockPathMode".to_owned(), Value::Number(0o660)));
                }
                Place::Abstract(_)
                | Place::Vsock { .. }
                | Place::Fifo(_)
                | Place::Special(_)
                | Place::Queue(_)
                | Place::Inherited(_)
                | Place::Number(_) => {
                    return Err(InstallError::Inexpressible {
                        what: format!("the socket {}", group.name),
                        why: "launchd listens at IP addresses and paths only",
                    });
                }
            }
            list.push(Value::Dict(pairs));
        }
        names.push((group.name, Value::List(list)));
    }
    Ok(Value::Dict(names))
}

pub(super) fn retire(of: &Installation) -> (Vec<Command>, Vec<Step>) {
    let target = format!("system/{}", of.manifest.name);
    (
        vec![Command::new(["launchctl", "bootout", &target]).tried()],
        Vec::new(),
    )
}

pub(super) fn control(of: &Installation, action: Action) -> Vec<Command> {
    let target = format!("system/{}", of.manifest.name);
    match action {
        Action::Start => vec![Command::new(["launchctl", "kickstart", &target])],
        Action::Stop => vec![Command::new(["launchctl", "kill", "SIGTERM", &target])],
        Action::Restart => vec![Command::new(["launchctl", "kickstart", "-k", &target])],
        Action::Reload => vec![Command::new(["launchctl", "kill", "SIGHUP", &target])],
        Action::Status => vec![Command::new(["launchctl", "print", &target])],
        Action::Install | Action::Remove => Vec::new(),
    }
}
