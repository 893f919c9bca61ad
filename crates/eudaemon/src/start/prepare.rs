//! What is decided before anything is done, and what is opened before privileges are given up.

use crate::chroot::Root;
use crate::detach::{self, Detached, Way};
use crate::logging::{Log, LogTarget};
use crate::notify::Notify;
use crate::options::{Layers, Options, SandboxMode};
use crate::pidfile::Pidfile;
use crate::privileges::{PrivPlan, ResolvedPlan};
use crate::shared::{Parts, Shared};
use crate::told::{Told, Waiting};
use crate::{Activation, Context, Error, Exit, Manifest, Result, ServiceArgs};
use eudaemon_sys::title::Title;
use std::io::Write;
use std::sync::Arc;

/// What a start will do.
pub(super) struct Plan {
    pub manifest: Manifest,
    pub options: Options,
    pub activation: Activation,
    /// Who it will be; asked for again, with more capabilities, if `init` wants them.
    pub privileges: PrivPlan,
    pub identity: ResolvedPlan,
    pub root: Root,
    pub detach: Option<Way>,
    /// What was wished for and is left out, and why.
    pub notes: Vec<String>,
}

/// The whole plan, checked as far as it can be without doing anything.
///
/// # Errors
/// Everything that keeps it from being done.
pub(super) fn plan(
    manifest: Manifest,
    args: &ServiceArgs,
    activation: Activation,
) -> Result<(Plan, Layers)> {
    check_name(&manifest.name)?;
    let layers = Layers::gather(&manifest.name, args, &activation)?;
    let options = Options::understand(&layers, &manifest)?;
    let mut notes = Vec::new();
    let is_root = eudaemon_sys::socket::own_uid() == 0;
    let mut privileges = PrivPlan::new().no_new_privs(options.no_new_privs);
    let mut root = Root::default();
    match &options.user {
        Some(user) if is_root || options.is_user_asked => privileges = privileges.user(user),
        Some(user) => notes.push(format!(
            "not started by root: the user stays who it is, and does not become {user}"
        )),
        None => {}
    }
    if let Some(group) = &options.group {
        privileges = privileges.group(group);
    }
    match &options.chroot {
        Some(chroot) if chroot.is_asked || (is_root && options.user.is_some()) => {
            privileges = privileges.chroot(&chroot.path);
            root = Root::new(&chroot.path)?;
        }
        Some(chroot) => notes.push(format!(
            "not started by root with a user to become: not locked into {}",
            chroot.path.display()
        )),
        None => {}
    }
    if !options.keep_caps.is_empty() {
        privileges = privileges.keep_caps(&options.keep_caps);
    }
    let identity = privileges.clone().resolve()?;
    let detach = detachment(&options, &activation, &mut notes)?;
    let plan = Plan {
        manifest,
        options,
        activation,
        privileges,
        identity,
        root,
        detach,
        notes,
    };
    Ok((plan, layers))
}

/// A name goes into paths, units and variables.
fn check_name(name: &str) -> Result<()> {
    let is_good = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if name.is_empty() || name.starts_with(['-', '.']) || !name.chars().all(is_good) {
        return Err(Error::new(
            Exit::Software,
            format!("a service cannot be called {name:?}: letters, digits, - and _ only"),
        ));
    }
    Ok(())
}

/// Whether, and how, the shell is left. Under a manager a daemon stays where it is; one that was told to fork would be lost.
fn detachment(
    options: &Options,
    activation: &Activation,
    notes: &mut Vec<String>,
) -> Result<Option<Way>> {
    if !options.daemon {
        return Ok(None);
    }
    if options.notify_fd.is_some() || activation.is_supervised() {
        if options.fork {
            return Err(Error::config(
                "service.fork under a manager: it would take the end of this process for the end of the service; leave it out",
            ));
        }
        notes.push("a manager started this process: service.daemon is left out".to_owned());
        return Ok(None);
    }
    Ok(Some(if options.fork {
        Way::Reexec
    } else {
        Way::Fork
    }))
}

/// What surrounds the process. A daemon that left its shell holds no directory of it, and its files are not for everyone;
/// in the foreground both stay as the user has them, unless asked for.
pub(super) fn surroundings(options: &Options, is_detached: bool) -> Result<()> {
    match options.umask {
        Some(mask) => eudaemon_sys::process::set_umask(mask),
        None if is_detached => eudaemon_sys::process::set_umask(0o027),
        None => {}
    }
    if is_detached {
        std::env::set_current_dir("/").during(|| "unable to change to /")?;
    }
    Ok(())
}

/// What is open so far, and so must be closed, and those who must hear of an error.
pub(super) struct Opened {
    name: String,
    shell: Option<Detached>,
    title: Option<Title>,
    log: Option<Log>,
    notify: Notify,
    pidfile: Option<Pidfile>,
    /// Once the service runs, it has all of the above.
    pub shared: Option<Arc<Shared>>,
}

impl Opened {
    pub fn new(name: &str) -> Opened {
        Opened {
            name: name.to_owned(),
            shell: None,
            // `ps` is for people: a kernel that does not let us change it is no reason not to start.
            title: Title::take().ok(),
            log: None,
            notify: Notify::none(),
            pidfile: None,
            shared: None,
        }
    }

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

    pub fn open(&mut self, options: &Options, activation: &Activation) -> Result<()> {
        let target: LogTarget = options.log.parse().during(|| "service.log")?;
        let log = Log::open(target, activation, &self.name)?;
        if let Some(level) = &options.log_level {
            log.level().set(level.parse().during(|| "service.log-level")?);
        }
        self.log = Some(log);
        self.notify = Notify::connect(activation)?;
        if let Some(path) = &options.pidfile {
            self.pidfile = Some(Pidfile::acquire(path)?);
        }
        Ok(())
    }

    pub fn log(&self) -> &Log {
        // `open` comes before everything that logs.
        self.log.as_ref().expect("the log was opened")
    }

    pub fn notify(&self) -> &Notify {
        &self.notify
    }

    /// The last word of a service that ends with an error, to everyone who may be looking.
    pub fn last_word(self, error: &Error) -> Exit {
        todo!()
    }
}
