//! What the program was given at its start, read once: its environment, its own process id, its directory, its words.
//!
//! The environment itself is never changed: `setenv` beside any reader in another thread is undefined behaviour. What a
//! manager meant for this process alone is taken out of the environment of every child instead
//! ([`child`](crate::child)). Source: `setenv(3)`, "Attributes"; std, `env::set_var`, "Safety".

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A snapshot of what the manager, or the shell, handed over.
#[derive(Clone, Debug, Default)]
pub struct Activation {
    environment: BTreeMap<OsString, OsString>,
    words: Vec<OsString>,
    directory: Option<PathBuf>,
    program: Option<PathBuf>,
    /// The path it was executed by, if that leads to the same file.
    executed_as: Option<PathBuf>,
    pid: u32,
}

impl Activation {
    /// That of this process, now. To be taken before there is a second thread.
    #[must_use]
    pub fn of_this_process() -> Activation {
        let mut environment = BTreeMap::new();
        // Not collected: that would sort them first, with much code for a few variables.
        environment.extend(std::env::vars_os());
        let directory = std::env::current_dir().ok();
        Activation {
            environment,
            words: std::env::args_os().collect(),
            executed_as: executed_as(directory.as_deref()),
            directory,
            program: std::env::current_exe().ok(),
            pid: std::process::id(),
        }
    }

    /// One made by hand, for tests: a process of this id with this environment.
    pub fn made<K: Into<OsString>, V: Into<OsString>>(
        pid: u32,
        environment: impl IntoIterator<Item = (K, V)>,
    ) -> Activation {
        Activation {
            environment: environment
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            pid,
            ..Activation::default()
        }
    }

    /// A variable, as it was at the start.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&OsStr> {
        self.environment
            .get(OsStr::new(name))
            .map(OsString::as_os_str)
    }

    /// A variable that is text, without blanks at its ends; `None` if it is not there, empty or no UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        let text = self.variable(name)?.to_str()?.trim();
        (!text.is_empty()).then_some(text)
    }

    /// Every variable, by name.
    pub fn environment(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        let pairs = self.environment.iter();
        pairs.map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// The command line, the program's own name first.
    #[must_use]
    pub fn words(&self) -> &[OsString] {
        &self.words
    }

    /// The directory the program was started in; `None` if it was gone.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// The program's own file, as an absolute path without symbolic links, as it was at the start; `None` if it is not to be
    /// known, as without procfs. A newer version that is installed over it is found here too. Source: `proc_pid_exe(5)`.
    #[must_use]
    pub fn program(&self) -> Option<&Path> {
        self.program.as_deref()
    }

    /// Where the program is looked for when it is started again: at the path it was executed by, as an absolute one, and if that is not to
    /// be known at [`Activation::program`]. A symbolic link that was changed to lead to another version leads to that one.
    #[must_use]
    pub fn program_again(&self) -> Option<&Path> {
        self.executed_as.as_deref().or(self.program())
    }

    /// The process id at the start. A daemon that left its shell has another by now.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Where the manager listens: the bytes of `NOTIFY_SOCKET`. Source: `sd_notify(3)`.
    #[must_use]
    pub fn notify_socket(&self) -> Option<&[u8]> {
        let address = self.variable("NOTIFY_SOCKET")?.as_bytes();
        (!address.is_empty()).then_some(address)
    }

    /// How long this process may be silent before the manager kills it. `None`: it does not watch us.
    ///
    /// `WATCHDOG_PID` may be missing, and then means every process. Source: `sd_watchdog_enabled(3)`.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog_of(self.pid)
    }

    /// The same for the process of this id.
    pub(crate) fn watchdog_of(&self, pid: u32) -> Option<Duration> {
        let micros: u64 = self.text("WATCHDOG_USEC")?.parse().ok()?;
        let meant = match self.variable("WATCHDOG_PID") {
            None => true,
            Some(told) => told.to_str().and_then(|told| told.parse().ok()) == Some(pid),
        };
        (meant && micros > 0 && micros < u64::MAX).then(|| Duration::from_micros(micros))
    }

    /// Whether a manager started this process itself, and takes its end for the service's.
    ///
    /// Source: `systemd.exec(5)`: `NOTIFY_SOCKET`, or `SYSTEMD_EXEC_PID` with our own process id. A unit that names a `PIDFILE`
    /// and wants no notices waits for a daemon that forks (`Type=forking`): it is not meant.
    #[must_use]
    pub fn is_supervised(&self) -> bool {
        let is_started = || {
            self.text("SYSTEMD_EXEC_PID")
                .and_then(|pid| pid.parse().ok())
                == Some(self.pid)
        };
        self.notify_socket().is_some() || (self.variable("PIDFILE").is_none() && is_started())
    }

    /// The client of the one connection this process was started for, as the manager tells it: `REMOTE_ADDR` and `REMOTE_PORT`.
    /// `None` if there is none, or it is of no network. What the kernel says is [`Connection::peer`](crate::sockets::Connection::peer),
    /// as long as the client is there. Source: `systemd.socket(5)`, `Accept=`.
    #[must_use]
    pub fn remote(&self) -> Option<SocketAddr> {
        let address = self.text("REMOTE_ADDR")?.parse().ok()?;
        let port = self.text("REMOTE_PORT")?.parse().ok()?;
        Some(SocketAddr::new(address, port))
    }

    /// The identity of this run: 32 hexadecimal digits. Source: `systemd.exec(5)`, `INVOCATION_ID`.
    #[must_use]
    pub fn invocation(&self) -> Option<&str> {
        let id = self.text("INVOCATION_ID")?;
        let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then_some(id)
    }

    /// Whether the manager asks for all there is to know, because the last start failed. Source: `systemd.exec(5)`,
    /// `DEBUG_INVOCATION`.
    #[must_use]
    pub fn is_debug(&self) -> bool {
        matches!(
            self.text("DEBUG_INVOCATION"),
            Some("1" | "yes" | "true" | "on")
        )
    }
}

/// The path this program was executed by, if it leads to this program. One that names a descriptor (`fexecve(3)`) means nothing
/// to another process.
fn executed_as(directory: Option<&Path>) -> Option<PathBuf> {
    let path = eudaemon_sys::process::executed_as()?;
    let path = directory.map_or_else(|| path.clone(), |directory| directory.join(&path));
    let is_a_descriptor = path.starts_with("/dev/fd") || path.starts_with("/proc");
    let own = std::fs::File::open("/proc/self/exe").ok()?;
    let is_own = eudaemon_sys::descriptor::is_at(&own, &path).unwrap_or(false);
    (path.is_absolute() && is_own && !is_a_descriptor).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_is_for_everyone_or_for_us() {
        let of = |pairs: &[(&str, &str)]| Activation::made(7, pairs.iter().copied()).watchdog();
        let second = Some(Duration::from_secs(1));
        assert_eq!(of(&[("WATCHDOG_USEC", "1000000")]), second);
        assert_eq!(
            of(&[("WATCHDOG_USEC", "1000000"), ("WATCHDOG_PID", "7")]),
            second
        );
        assert_eq!(
            of(&[("WATCHDOG_USEC", "1000000"), ("WATCHDOG_PID", "8")]),
            None
        );
        assert_eq!(
            of(&[("WATCHDOG_USEC", "1000000"), ("WATCHDOG_PID", "")]),
            None
        );
        for text in [
            "",
            "0",
            "-1",
            "1s",
            "18446744073709551615",
            "18446744073709551616",
        ] {
            assert_eq!(of(&[("WATCHDOG_USEC", text)]), None, "{text}");
        }
    }

    #[test]
    fn an_inherited_variable_does_not_make_us_supervised() {
        let of = |pairs: &[(&str, &str)]| Activation::made(7, pairs.iter().copied());
        assert!(!of(&[("SYSTEMD_EXEC_PID", "6")]).is_supervised());
        assert!(of(&[("SYSTEMD_EXEC_PID", "7")]).is_supervised());
        let forking = [("SYSTEMD_EXEC_PID", "7"), ("PIDFILE", "/run/web.pid")];
        assert!(!of(&forking).is_supervised());
        assert!(of(&[("NOTIFY_SOCKET", "@n"), ("PIDFILE", "/run/web.pid")]).is_supervised());
        assert!(of(&[("NOTIFY_SOCKET", "@n")]).is_supervised());
        assert!(!of(&[("NOTIFY_SOCKET", "")]).is_supervised());
        assert_eq!(of(&[("INVOCATION_ID", "short")]).invocation(), None);
    }

    #[test]
    fn a_client_is_an_address_with_a_port() {
        let of = |address, port| {
            Activation::made(7, [("REMOTE_ADDR", address), ("REMOTE_PORT", port)]).remote()
        };
        let text = |at: SocketAddr| at.to_string();
        assert_eq!(
            of("127.0.0.1", "80").map(text).as_deref(),
            Some("127.0.0.1:80")
        );
        assert_eq!(of("::1", "80").map(text).as_deref(), Some("[::1]:80"));
        for wrong in [("::1", ""), ("::1", "x"), ("/run/x", "80"), ("", "80")] {
            assert_eq!(of(wrong.0, wrong.1), None, "{wrong:?}");
        }
    }
}
