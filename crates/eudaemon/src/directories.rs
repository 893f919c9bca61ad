//! The directories a manager made for the service.
//!
//! Source: `systemd.exec(5)`, "RuntimeDirectory=", with the table of variables and of places for users; XDG Base Directory
//! Specification 0.8 for what a user's variables mean. Nothing is made or looked at here.

use crate::Activation;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What a directory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Purpose {
    /// What is gone with the service: sockets, PID files. `RUNTIME_DIRECTORY`.
    Runtime,
    /// What it keeps. `STATE_DIRECTORY`.
    State,
    /// What it can make again. `CACHE_DIRECTORY`.
    Cache,
    /// Its log files. `LOGS_DIRECTORY`.
    Logs,
    /// Its configuration. `CONFIGURATION_DIRECTORY`.
    Configuration,
}

/// Every purpose.
const PURPOSES: [Purpose; 5] = [
    Purpose::Runtime,
    Purpose::State,
    Purpose::Cache,
    Purpose::Logs,
    Purpose::Configuration,
];

impl Purpose {
    /// The variable a manager names them in.
    #[must_use]
    pub const fn variable(self) -> &'static str {
        match self {
            Purpose::Runtime => "RUNTIME_DIRECTORY",
            Purpose::State => "STATE_DIRECTORY",
            Purpose::Cache => "CACHE_DIRECTORY",
            Purpose::Logs => "LOGS_DIRECTORY",
            Purpose::Configuration => "CONFIGURATION_DIRECTORY",
        }
    }

    /// Where those of the system are.
    const fn system(self) -> &'static str {
        match self {
            Purpose::Runtime => "/run",
            Purpose::State => "/var/lib",
            Purpose::Cache => "/var/cache",
            Purpose::Logs => "/var/log",
            Purpose::Configuration => "/etc",
        }
    }

    /// Where a user's are: a variable, the place below the home directory without it, and what is below either.
    const fn user(self) -> (&'static str, Option<&'static str>, &'static str) {
        match self {
            // The specification has no other place: one of our own could be somebody else's first.
            Purpose::Runtime => ("XDG_RUNTIME_DIR", None, ""),
            Purpose::State => ("XDG_STATE_HOME", Some(".local/state"), ""),
            Purpose::Cache => ("XDG_CACHE_HOME", Some(".cache"), ""),
            Purpose::Logs => ("XDG_STATE_HOME", Some(".local/state"), "log"),
            Purpose::Configuration => ("XDG_CONFIG_HOME", Some(".config"), ""),
        }
    }
}

/// The directories of a service of some name.
#[derive(Clone, Debug)]
pub struct Directories {
    given: [Vec<PathBuf>; 5],
    usual: [Option<PathBuf>; 5],
}

impl Directories {
    /// Those of the service `name`. A manager's are taken first; only absolute paths count.
    ///
    /// Without a manager, `/run/NAME`, `/var/lib/NAME`, `/var/cache/NAME`, `/var/log/NAME` and `/etc/NAME` for root, and
    /// for another user the same below `XDG_RUNTIME_DIR`, `XDG_STATE_HOME` (or `~/.local/state`), `XDG_CACHE_HOME` (or
    /// `~/.cache`), `XDG_STATE_HOME/log` and `XDG_CONFIG_HOME` (or `~/.config`).
    #[must_use]
    pub fn of(activation: &Activation, name: &str) -> Directories {
        let is_root = eudaemon_sys::process::effective_uid() == 0;
        Directories::made(activation, name, is_root)
    }

    fn made(activation: &Activation, name: &str, is_root: bool) -> Directories {
        let absolute = |name: &str| {
            let path = activation.variable(name).map(Path::new);
            path.filter(|path| path.is_absolute())
        };
        let usual = |purpose: Purpose| {
            if is_root {
                return Some(Path::new(purpose.system()).join(name));
            }
            let (variable, home, below) = purpose.user();
            let base = match (absolute(variable), home) {
                (Some(base), _) => base.to_owned(),
                (None, Some(home)) => absolute("HOME")?.join(home),
                (None, None) => return None,
            };
            Some(base.join(below).join(name))
        };
        let given = |purpose: Purpose| {
            let list = activation.variable(purpose.variable()).unwrap_or_default();
            list.as_bytes()
                .split(|&byte| byte == b':')
                .map(|path| PathBuf::from(OsStr::from_bytes(path)))
                .filter(|path| path.is_absolute())
                .collect()
        };
        Directories {
            given: PURPOSES.map(given),
            usual: PURPOSES.map(usual),
        }
    }

    /// All a manager made for this purpose, in its order; empty if it made none.
    #[must_use]
    pub fn given(&self, purpose: Purpose) -> &[PathBuf] {
        self.given.get(purpose as usize).map_or(&[], Vec::as_slice)
    }

    /// The first a manager made, or the usual one, which may not be there. `None` for a user without a home, or, for
    /// [`Purpose::Runtime`], without `XDG_RUNTIME_DIR`.
    #[must_use]
    pub fn get(&self, purpose: Purpose) -> Option<&Path> {
        let usual = || self.usual.get(purpose as usize)?.as_deref();
        self.given(purpose)
            .first()
            .map(PathBuf::as_path)
            .or_else(usual)
    }

    /// [`Directories::get`] of [`Purpose::Runtime`].
    #[must_use]
    pub fn runtime(&self) -> Option<&Path> {
        self.get(Purpose::Runtime)
    }

    /// [`Directories::get`] of [`Purpose::State`].
    #[must_use]
    pub fn state(&self) -> Option<&Path> {
        self.get(Purpose::State)
    }

    /// [`Directories::get`] of [`Purpose::Cache`].
    #[must_use]
    pub fn cache(&self) -> Option<&Path> {
        self.get(Purpose::Cache)
    }

    /// [`Directories::get`] of [`Purpose::Logs`].
    #[must_use]
    pub fn logs(&self) -> Option<&Path> {
        self.get(Purpose::Logs)
    }

    /// [`Directories::get`] of [`Purpose::Configuration`].
    #[must_use]
    pub fn configuration(&self) -> Option<&Path> {
        self.get(Purpose::Configuration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_managers_come_first() {
        let pairs = [
            ("STATE_DIRECTORY", "/var/lib/a:/var/lib/b"),
            ("CACHE_DIRECTORY", "relative"),
            ("LOGS_DIRECTORY", ":/var/log/x"),
        ];
        let of = Directories::made(&Activation::made(1, pairs), "web", true);
        assert_eq!(
            of.given(Purpose::State),
            [Path::new("/var/lib/a"), Path::new("/var/lib/b")]
        );
        assert_eq!(of.state(), Some(Path::new("/var/lib/a")));
        assert_eq!(of.cache(), Some(Path::new("/var/cache/web")));
        assert_eq!(of.logs(), Some(Path::new("/var/log/x")));
        assert_eq!(of.runtime(), Some(Path::new("/run/web")));
        assert!(of.given(Purpose::Runtime).is_empty());
        assert_eq!(of.configuration(), Some(Path::new("/etc/web")));
    }

    #[test]
    fn a_users_are_below_home() {
        let of = |pairs: &[(&str, &str)]| {
            Directories::made(&Activation::made(1, pairs.iter().copied()), "web", false)
        };
        let home = of(&[("HOME", "/h"), ("XDG_CACHE_HOME", "not/absolute")]);
        assert_eq!(home.state(), Some(Path::new("/h/.local/state/web")));
        assert_eq!(home.cache(), Some(Path::new("/h/.cache/web")));
        assert_eq!(home.logs(), Some(Path::new("/h/.local/state/log/web")));
        assert_eq!(home.configuration(), Some(Path::new("/h/.config/web")));
        assert_eq!(home.runtime(), None);
        let given = of(&[("XDG_RUNTIME_DIR", "/run/user/7"), ("XDG_STATE_HOME", "/s")]);
        assert_eq!(given.runtime(), Some(Path::new("/run/user/7/web")));
        assert_eq!(given.logs(), Some(Path::new("/s/log/web")));
        assert_eq!(given.cache(), None);
    }
}
