//! The service's own program, to be started once more.

use crate::Activation;
use eudaemon_core::{detach, handover, listen};
use eudaemon_sys::hand::{self, Handed};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What is started: settled when the service itself was.
#[derive(Debug)]
pub(crate) struct Program {
    path: PathBuf,
    words: Vec<OsString>,
    directory: Option<PathBuf>,
    environment: Vec<(OsString, OsString)>,
}

impl Program {
    /// That of this activation; `None` if nobody knows where it is.
    pub fn of(activation: &Activation) -> Option<Program> {
        Some(Program {
            path: activation.program_again()?.to_owned(),
            words: activation.words().to_vec(),
            directory: activation.directory().map(ToOwned::to_owned),
            environment: environment(activation),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its words, its own name among them.
    pub fn words(&self) -> &[OsString] {
        &self.words
    }

    /// Its environment, but for what is to be said to the one that is started.
    pub fn environment(&self) -> &[(OsString, OsString)] {
        &self.environment
    }

    /// The directory where the first process was started, if it can still be entered. A relative path among the words means what it
    /// meant; if it does not any more, the program says so itself.
    pub fn directory(&self) -> Option<&Path> {
        let directory = self.directory.as_deref()?;
        directory.join(".").is_dir().then_some(directory)
    }

    /// It, with its words, in that directory, with every signal at its default.
    pub fn command(&self) -> Command {
        #[expect(clippy::disallowed_methods, reason = "it is started by sys::hand")]
        let mut command = Command::new(&self.path);
        command.args(self.words.iter().skip(1));
        if let Some(directory) = self.directory() {
            command.current_dir(directory);
        }
        eudaemon_sys::child::clean(&mut command);
        command
    }

    /// Starts it: the line is its descriptor 3, and its process id in the variable that says so. It has 0 and 1 of this process, begins
    /// with every signal at its default, and has no other descriptor.
    ///
    /// # Errors
    /// Those of `fork(2)` and `execve(2)`.
    pub fn start(&self, line: OwnedFd, stderr: OwnedFd) -> io::Result<Child> {
        let mut command = self.command();
        command.stderr(Stdio::from(stderr));
        let handed = Handed {
            environment: self.environment.clone(),
            own_pid: Vec::new(),
            around_pid: vec![handover::Told::around_pid()],
            fds: vec![line],
            name: self.words.first().cloned(),
        };
        hand::start(command, handed)
    }
}

/// The environment of the first start, without what was said of descriptors and of this very process.
fn environment(activation: &Activation) -> Vec<(OsString, OsString)> {
    // Without a process id it is whoever reads it that is watched (sd_watchdog_enabled(3)).
    let is_watched = activation.watchdog().is_some();
    let stays = |name: &OsStr| {
        let gone = listen::VARIABLES
            .iter()
            .chain(GONE)
            .any(|gone| name == *gone);
        !gone && (is_watched || name != "WATCHDOG_USEC")
    };
    let pairs = activation.environment().filter(|(name, _)| stays(name));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Beside `LISTEN_*`: what is addressed to one process, and another one of the service would misread.
const GONE: &[&str] = &[
    "LISTEN_FDS_FIRST_FD",
    "WATCHDOG_PID",
    "MAINPID",
    "MAINPIDFDID",
    "SYSTEMD_EXEC_PID",
    "DINIT_CS_FD",
    detach::VARIABLE,
    handover::VARIABLE,
];

#[cfg(test)]
mod tests {
    use super::*;
    use eudaemon_core::addressed;

    #[test]
    fn what_means_this_process_does_not_reach_the_next() {
        let known: Vec<&str> = addressed::to_the_process().collect();
        for gone in GONE {
            assert!(known.contains(gone), "{gone}");
        }
        let of = |pairs: &[(&str, &str)]| {
            let made = Activation::made(7, pairs.iter().copied());
            let pairs = environment(&made);
            let words = pairs
                .into_iter()
                .map(|(name, value)| format!("{}={}", name.display(), value.display()));
            words.collect::<Vec<_>>().join(" ")
        };
        let told = [
            ("EUDAEMON_HANDOVER", "1:7:3"),
            ("LISTEN_FDS", "1"),
            ("LISTEN_PID", "7"),
            ("NOTIFY_SOCKET", "/run/n"),
            ("PATH", "/bin"),
            ("WATCHDOG_PID", "7"),
            ("WATCHDOG_USEC", "9000000"),
        ];
        assert_eq!(
            of(&told),
            "NOTIFY_SOCKET=/run/n PATH=/bin WATCHDOG_USEC=9000000"
        );
        // Somebody else is watched.
        assert_eq!(of(&[("WATCHDOG_PID", "8"), ("WATCHDOG_USEC", "9")]), "");
    }
}
