//! Which manager: named, or found on this machine.

use super::InstallError;
use super::deed;
use super::plan::Command;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A service manager that can be told of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// systemd as process 1: units in `/etc/systemd/system`.
    Systemd {
        /// Its version. `None`: the oldest we write for, 239.
        version: Option<u32>,
    },
    /// systemd of one user: units in `~/.config/systemd/user`.
    SystemdUser {
        /// Its version. `None`: the oldest we write for, 239.
        version: Option<u32>,
        /// The user's home.
        home: PathBuf,
    },
    /// `svscan`, `runsvdir` or `eudaemon up`: a service directory in `/etc/sv`, and a link to it where they look.
    Daemontools {
        /// The directory they look into: `/service`, `/etc/service`.
        scan: PathBuf,
        /// Whose programs control it.
        control: Control,
    },
    /// launchd of macOS: a property list in `/Library/LaunchDaemons`.
    Launchd,
    /// OpenRC: a script in `/etc/init.d`.
    OpenRc,
    /// FreeBSD's rc: a script in `/usr/local/etc/rc.d`.
    RcD,
    /// The service control manager of Windows: commands for `sc.exe`.
    Windows,
}

/// Whose programs control a service directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Control {
    /// daemontools: `svc`, `svok` and `svstat`, with `multilog` as the logger.
    Svc,
    /// runit: `sv`, with `svlogd` as the logger.
    Sv,
    /// Ours: `eudaemon svc` and its kin, and readiness by `notification-fd`.
    Eudaemon,
}

/// The names of the managers, as [`Target::named`] reads them.
pub(super) const NAMES: [&str; 9] = [
    "systemd",
    "systemd-user",
    "daemontools",
    "runit",
    "eudaemon",
    "launchd",
    "openrc",
    "rc.d",
    "windows",
];

/// Where scanners look by tradition. Source: daemontools' installation page; Debian's daemontools-run and runit-run.
const SCANNED: [&str; 3] = ["service", "etc/service", "var/service"];

impl Target {
    /// The manager that runs this machine; `search` is the search path in which its programs are looked for.
    ///
    /// systemd is found by `/run/systemd/system` (`sd_booted(3)`), OpenRC by `/run/openrc`, a scanner by `/service`,
    /// `/etc/service` or `/var/service`. Process 1 goes before a scanner, which may run beside it.
    ///
    /// # Errors
    /// [`InstallError::NoManager`]: nothing was found, and nothing is guessed.
    pub fn detect(search: &OsStr) -> Result<Target, InstallError> {
        match std::env::consts::OS {
            "macos" => Ok(Target::Launchd),
            "freebsd" => Ok(Target::RcD),
            "windows" => Ok(Target::Windows),
            _ => Target::detect_below(Path::new("/"), search),
        }
    }

    pub(super) fn detect_below(root: &Path, search: &OsStr) -> Result<Target, InstallError> {
        let found = |path: &str| root.join(path).is_dir();
        if found("run/systemd/system") {
            return Ok(Target::Systemd {
                version: systemd_version(search),
            });
        }
        if found("run/openrc") {
            return Ok(Target::OpenRc);
        }
        scanner(root, search, None).ok_or(InstallError::NoManager)
    }

    /// The manager of this name: `systemd`, `systemd-user`, `daemontools`, `runit`, `eudaemon`, `launchd`, `openrc`, `rc.d` or
    /// `windows`. What else must be known, systemd's version or where the scanner looks, is found on this machine; `home`
    /// is that of `systemd-user`.
    ///
    /// A version may be told: `systemd:255`. So may the directory of a scanner: `runit:/srv/service`.
    ///
    /// # Errors
    /// [`InstallError::UnknownTarget`], with what would be understood.
    pub fn named(name: &str, search: &OsStr, home: Option<&Path>) -> Result<Target, InstallError> {
        let unknown = || InstallError::UnknownTarget(name.to_owned());
        let (kind, more) = match name.split_once(':') {
            Some((kind, more)) => (kind, Some(more)),
            None => (name, None),
        };
        let version = || match more {
            None => Ok(systemd_version(search)),
            Some(more) => more.parse().map(Some).map_err(|_not_a_number| unknown()),
        };
        let scanned = |control| match more {
            None => scanner(Path::new("/"), search, Some(control)).ok_or(InstallError::NoManager),
            Some(more) if more.starts_with('/') => Ok(Target::Daemontools {
                scan: more.into(),
                control,
            }),
            Some(_) => Err(unknown()),
        };
        let alone = |target| {
            if more.is_none() {
                Ok(target)
            } else {
                Err(unknown())
            }
        };
        match kind {
            "systemd" => Ok(Target::Systemd {
                version: version()?,
            }),
            "systemd-user" => Ok(Target::SystemdUser {
                version: version()?,
                home: home.map(Path::to_owned).ok_or_else(unknown)?,
            }),
            "daemontools" => scanned(Control::Svc),
            "runit" => scanned(Control::Sv),
            "eudaemon" => scanned(Control::Eudaemon),
            "launchd" => alone(Target::Launchd),
            "openrc" => alone(Target::OpenRc),
            "rc.d" => alone(Target::RcD),
            "windows" => alone(Target::Windows),
            _ => Err(unknown()),
        }
    }

    /// The system whose manager it is, if that is not this one.
    pub(super) fn elsewhere(&self) -> Option<&'static str> {
        let system = match self {
            Target::Launchd => "macos",
            Target::RcD => "freebsd",
            Target::Windows => "windows",
            Target::Systemd { .. } | Target::SystemdUser { .. } | Target::OpenRc => "linux",
            Target::Daemontools { .. } => return None,
        };
        let name = match self {
            Target::Launchd => "launchd",
            Target::RcD => "FreeBSD's rc",
            Target::Windows => "the service control manager of Windows",
            Target::OpenRc => "OpenRC",
            Target::Systemd { .. } | Target::SystemdUser { .. } | Target::Daemontools { .. } => {
                "systemd"
            }
        };
        (system != std::env::consts::OS).then_some(name)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Systemd {
                version: Some(version),
            } => write!(to, "systemd {version}"),
            Target::Systemd { version: None } => to.write_str("systemd of an unknown version"),
            Target::SystemdUser { .. } => to.write_str("systemd of a user"),
            Target::Daemontools { scan, control } => {
                let whose = match control {
                    Control::Svc => "daemontools",
                    Control::Sv => "runit",
                    Control::Eudaemon => "eudaemon",
                };
                write!(to, "{whose} at {}", scan.display())
            }
            Target::Launchd => to.write_str("launchd"),
            Target::OpenRc => to.write_str("OpenRC"),
            Target::RcD => to.write_str("rc.d"),
            Target::Windows => to.write_str("the service control manager"),
        }
    }
}

impl FromStr for Control {
    type Err = InstallError;

    fn from_str(name: &str) -> Result<Control, InstallError> {
        match name {
            "daemontools" => Ok(Control::Svc),
            "runit" => Ok(Control::Sv),
            "eudaemon" => Ok(Control::Eudaemon),
            _ => Err(InstallError::UnknownTarget(name.to_owned())),
        }
    }
}

/// A directory that is scanned, and whose programs are here; those asked for, or the first there are.
fn scanner(root: &Path, search: &OsStr, control: Option<Control>) -> Option<Target> {
    let scan = SCANNED.iter().find(|path| root.join(path).is_dir())?;
    let has = |program: &str| deed::found(OsStr::new(program), search).is_some();
    let control = match control {
        Some(control) => control,
        None if has("svc") => Control::Svc,
        None if has("sv") => Control::Sv,
        None if has("eudaemon") => Control::Eudaemon,
        None => return None,
    };
    Some(Target::Daemontools {
        scan: Path::new("/").join(scan),
        control,
    })
}

/// The version that `systemctl --version` tells: the second word, as in `systemd 252 (252.39-1~deb12u2)`, `systemd 257.7` or
/// `systemd 262~devel`.
fn systemd_version(search: &OsStr) -> Option<u32> {
    let said = deed::run(&Command::new(["systemctl", "--version"]), search).ok()?;
    version_in(&String::from_utf8_lossy(&said.text))
}

pub(super) fn version_in(text: &str) -> Option<u32> {
    let mut words = text.split_whitespace();
    let word = words
        .next()
        .filter(|word| *word == "systemd")
        .and(words.next())?;
    let digits = word
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(word.len());
    word[..digits].parse().ok()
}
