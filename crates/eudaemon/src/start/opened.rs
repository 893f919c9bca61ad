//! What is opened before privileges are given up, and whom an error is told.

use super::prepare::Plan;
use super::taken::Taken;
use crate::detach::{self, Detached, Way};
use crate::fdstore::FdStore;
use crate::logging::{self, Log, LogError, LogTarget};
use crate::notify::Notify;
use crate::options::Options;
use crate::pidfile::Pidfile;
use crate::promotion::{Predecessor, Promotion};
use crate::replace::Replacing;
use crate::shared::{Parts, Shared};
use crate::sockets::Sockets;
use crate::told::{self, Told, Waiting};
use crate::{Activation, Context, Error, Exit, Result};
use eudaemon_sys::descriptor::{self, Kind};
use eudaemon_sys::title::Title;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is open so far.
pub(super) struct Opened {
    name: String,
    shell: Option<Detached>,
    title: Option<Title>,
    log: Option<Log>,
    notify: Notify,
    pidfile: Option<Pidfile>,
    /// Who waits to hear that this process serves, or that it does not.
    pub predecessor: Option<Predecessor>,
    /// Once the service runs, it has all of the above.
    pub shared: Option<Arc<Shared>>,
}

/// Where this process stands among those that follow each other.
pub(super) struct Succession {
    pub generation: u32,
    /// What is still the one's before it.
    pub promotion: Option<Promotion>,
    /// How one will follow it.
    pub replacing: Replacing,
}

impl Opened {
    pub fn new(name: &str) -> Opened {
        Opened {
            name: name.to_owned(),
            shell: None,
            title: None,
            log: None,
            notify: Notify::none(),
            pidfile: None,
            predecessor: None,
            shared: None,
        }
    }

    /// Leaves the shell. Returns in the daemon alone.
    pub fn leave_the_shell(
        &mut self,
        way: Way,
        options: &Options,
        activation: &Activation,
    ) -> Result<()> {
        let shell = detach::detach(way, activation)?;
        self.shell = Some(shell.keep_stderr(options.stderr));
        Ok(())
    }

    /// Opens what must be reached later, from wherever the service is locked into then.
    pub fn open(&mut self, plan: &Plan, mut taken: Option<&mut Taken>) -> Result<()> {
        let stderr = std::io::stderr();
        let will_be = taken.as_deref().and_then(Taken::stderr);
        let log = open_log(&self.name, plan, will_be.unwrap_or(stderr.as_fd()))?;
        // A variable that was left over from somebody else's start is no reason not to serve.
        match Notify::connect(&plan.activation) {
            Ok(notify) => {
                // The manager listens to the one that serves, and would take our words for its.
                notify.hush(taken.is_some());
                self.notify = notify;
            }
            Err(error) => log.warning(format_args!("{error}: it will not be told")),
        }
        logging::panic_hook(log.clone());
        self.log = Some(log);
        // `ps` is for people: a kernel that does not let us change it is no reason not to start.
        self.title = Title::take().ok();
        let mut has_pidfile = |path: &PathBuf| {
            let taken = taken.as_deref_mut();
            taken.is_some_and(|taken| taken.has_pidfile(path))
        };
        if let Some(path) = &plan.options.pidfile
            && !has_pidfile(path)
        {
            self.pidfile = Some(Pidfile::acquire(path).during(|| "service.pidfile")?);
        }
        // Behind the PID file's lock: it may belong to a service that runs.
        let inside = plan.ready_file()?;
        let is_kept = |taken: &Taken| inside.is_some_and(|path| taken.has_ready_file(&path));
        if let Some(path) = &plan.options.ready_file
            && !taken.as_deref().is_some_and(is_kept)
        {
            remove_left(path)?;
        }
        Ok(())
    }

    pub fn log(&self) -> &Log {
        self.log.as_ref().expect("open() comes first")
    }

    pub fn notify(&self) -> &Notify {
        &self.notify
    }

    /// Everything goes to the running service.
    pub fn parts(
        &mut self,
        plan: Plan,
        waiting: Waiting,
        sockets: Sockets,
        store: FdStore,
        succession: Succession,
    ) -> Parts {
        let log = self.log().clone();
        let waiting = Waiting {
            shell: self.shell.take(),
            ..waiting
        };
        let told = Told::new(
            &self.name,
            self.notify.clone(),
            log.clone(),
            waiting,
            self.title.take(),
            self.pidfile.take(),
        );
        Parts {
            told,
            health: crate::health::Health::new(),
            log,
            sockets,
            store,
            root: plan.root,
            activation: plan.activation,
            options: plan.options,
            reloads: plan.manifest.reloads,
            generation: succession.generation,
            promotion: succession.promotion,
            replacing: succession.replacing,
        }
    }

    /// The end of a service that ends well.
    pub fn close(self) {
        if let Some(shared) = self.shared {
            shared.end();
            shared.told.cleaner().clean();
        }
    }

    /// The end of one that does not: its error is told to everyone who may be looking.
    pub fn last_word(mut self, error: &Error) -> Exit {
        let exit = error.exit();
        if let Some(predecessor) = &self.predecessor {
            predecessor.failed(error);
        }
        if let Some(shared) = self.shared.take() {
            shared.told.failed(error);
            self.shell = shared.told.shell();
            shared.told.cleaner().clean();
        } else {
            told::failed(&self.notify, error);
            if let Some(pidfile) = self.pidfile.take() {
                let _ = pidfile.remove();
            }
        }
        let words = error.to_string();
        match &self.log {
            // Whoever reads the log reads the same there.
            Some(log) if !(self.shell.is_some() && log.is_stderr()) => {
                log.critical(format_args!("{words}"));
            }
            Some(_) => {}
            None if self.shell.is_none() => speak(&self.name, error),
            None => {}
        }
        if let Some(shell) = self.shell.take() {
            let message = format!("{}: {words}", self.name);
            if shell.failed(exit.code(), &message).is_err() {
                speak(&self.name, error);
            }
        }
        exit
    }
}

/// The log. Where nobody asked for one in particular, a daemon that is about to lose its standard error has syslog's, and one
/// whose standard error somebody sent to `/dev/null` is taken at that word.
fn open_log(name: &str, plan: &Plan, stderr: BorrowedFd<'_>) -> Result<Log, LogError> {
    let level = plan.options.log_level;
    let open = |target| Log::open_for(target, &plan.activation, name, level, stderr);
    if plan.options.log != LogTarget::Auto {
        return open(plan.options.log.clone());
    }
    // A file somebody sent it to is kept too.
    let is_kept = || descriptor::kind(stderr).is_ok_and(|kind| kind == Kind::File);
    if plan.detach.is_none() || plan.options.stderr || is_kept() {
        return match open(LogTarget::Auto) {
            Err(LogError::Nowhere { .. }) => open(LogTarget::Human),
            log => log,
        };
    }
    open(LogTarget::Syslog).or_else(|_| {
        let log = open(LogTarget::Human)?;
        log.warning("there is no syslog: nothing is logged once the shell is left; service.log=file:PATH keeps it");
        Ok(log)
    })
}

/// Removes the readiness file of an earlier life that was killed: this one is not ready.
fn remove_left(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::from(error).class(Exit::CannotCreate).during(format!(
                "service.ready-file: unable to remove {}",
                path.display()
            )))
        }
        Err(_) | Ok(()) => Ok(()),
    }
}

/// An error before anything was opened goes where a person looks.
pub(super) fn speak(name: &str, error: &Error) {
    for line in error.to_string().lines() {
        // Nobody is left to hear that nobody hears.
        let _ = writeln!(std::io::stderr(), "{name}: fatal: {line}");
    }
}
