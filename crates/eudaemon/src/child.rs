//! Programs a service starts, without what its manager meant for the service alone.

use std::process::Command;

/// For a [`Command`], before it is started.
pub trait Scrubbed {
    /// Has the child begin as if a shell had started it, and not a service.
    ///
    /// - It has none of the variables that a service manager addresses to the one process it starts: `NOTIFY_SOCKET`, with
    ///   which it could say that its parent is ready or is stopping; `LISTEN_*`, with which it would take over descriptors it
    ///   does not have; `WATCHDOG_*`, `FDSTORE`, `MAINPID` and the like; `CREDENTIALS_DIRECTORY`, for a secret is given to
    ///   whom it is for. It keeps what describes the surroundings: `PATH`, `HOME`, `LANG`, `INVOCATION_ID`, `STATE_DIRECTORY`
    ///   and its kin, and `JOURNAL_STREAM`, which says itself which stderr it is about. The whole table with its reasons is
    ///   `eudaemon_core::addressed::VARIABLES`.
    /// - No signal is blocked, and none is ignored, SIGPIPE included: a pipeline ends when its reader does.
    /// - No descriptor is open but its stdin, stdout and stderr. A lock that is held by an open file, or a listening socket,
    ///   would otherwise last as long as the child.
    ///
    /// What is set behind this call holds: `command.scrubbed().env("NOTIFY_SOCKET", …)` hands it on after all, and a function
    /// for `pre_exec` that is added behind it may leave a descriptor open. This process's own environment is not changed.
    ///
    /// ```
    /// use eudaemon::child::Scrubbed;
    /// # #[allow(clippy::disallowed_methods)]
    /// let output = std::process::Command::new("date").arg("-u").scrubbed().output()?;
    /// assert!(output.status.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// None here: what the kernel refuses makes the start fail, so that no child begins half scrubbed. Needs `close_range(2)`,
    /// Linux 5.11, to be quick; before, each possible descriptor is asked.
    fn scrubbed(&mut self) -> &mut Self;
}

impl Scrubbed for Command {
    fn scrubbed(&mut self) -> &mut Command {
        for name in eudaemon_core::addressed::to_the_process() {
            self.env_remove(name);
        }
        eudaemon_sys::child::clean(self);
        self
    }
}
