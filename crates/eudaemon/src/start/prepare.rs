//! What is decided before anything is done.

use super::confine::Confinement;
use crate::chroot::Root;
use crate::detach::Way;
use crate::options::{Layers, Options, SandboxMode};
use crate::privileges::{Dropped, PrivPlan, ResolvedPlan};
use crate::told::Waiting;
use crate::{Activation, Capability, Context, Error, Exit, Manifest, Result, ServiceArgs};
use std::fs::File;
use std::path::PathBuf;

/// What a start will do.
pub(super) struct Plan {
    pub manifest: Manifest,
    pub options: Options,
    pub activation: Activation,
    pub root: Root,
    pub detach: Option<Way>,
    /// What was wished for and is left out, and why.
    pub notes: Vec<String>,
}

/// Who the process will be.
pub(super) enum Identity {
    /// Who it is, with what it has. It is looked at when that is proven.
    Stays(Box<PrivPlan>),
    /// Somebody else, or with less.
    Resolved(Box<ResolvedPlan>),
}

impl Identity {
    /// Every name is looked up before anything is done.
    fn of(plan: PrivPlan) -> Result<Identity> {
        if plan.stays() {
            return Ok(Identity::Stays(Box::new(plan)));
        }
        Ok(Identity::Resolved(Box::new(plan.resolve()?)))
    }

    /// The steps, also where there is next to none.
    pub fn resolved(self) -> Result<ResolvedPlan> {
        match self {
            Identity::Stays(plan) => Ok(plan.resolve()?),
            Identity::Resolved(plan) => Ok(*plan),
        }
    }

    /// Makes it so, behind `init`, which may ask for capabilities and may have changed what the process is.
    pub fn apply(self, keep: &[Capability]) -> Result<Dropped> {
        Ok(match self {
            Identity::Stays(plan) if keep.is_empty() => plan.stay()?,
            Identity::Stays(plan) => plan.keep_caps(keep).resolve()?.apply()?,
            Identity::Resolved(plan) => plan.apply_behind(keep)?,
        })
    }
}

/// The whole plan, who the process will be, and what all that was made of: checked as far as it can be without doing anything.
///
/// # Errors
/// Everything that keeps it from being done.
pub(super) fn plan(
    manifest: Manifest,
    args: &ServiceArgs,
    activation: Activation,
) -> Result<(Plan, Identity, Layers)> {
    check_name(&manifest.name)?;
    let layers = Layers::gather(&manifest.name, args, &activation)?;
    let options = Options::understand(&layers, &manifest)?;
    let mut notes = Vec::new();
    let is_root = eudaemon_sys::socket::own_uid() == 0;
    let mut privileges = PrivPlan::new().no_new_privs(options.no_new_privs);
    let mut root = Root::new("/")?;
    match &options.user {
        Some(user) if is_root || options.is_user_asked => privileges = privileges.user(user),
        Some(user) => notes.push(format!(
            "not started by root: the user stays who it is, and does not become {user}"
        )),
        // Nobody asked for less, which is allowed, and said.
        None if is_root => {
            privileges = privileges.allow_root(true);
            notes.push("runs as root: no user to become was named".to_owned());
        }
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
    let detach = detachment(&options, &activation, &mut notes)?;
    let mut keep = options.keep_caps.clone();
    if is_root && options.user.is_some() {
        // Root becomes somebody else: what the service needs must be kept, or it is lost.
        keep.extend(manifest.needs.capabilities());
    }
    if !keep.is_empty() {
        privileges = privileges.keep_caps(&keep);
    }
    let plan = Plan {
        manifest,
        options,
        activation,
        root,
        detach,
        notes,
    };
    let identity = match plan.options.action {
        // It is a manager who will make it that user; whoever may ask the manager need not be able to.
        Some(_) if !is_root => Identity::Stays(Box::new(privileges)),
        Some(_) | None => Identity::of(privileges)?,
    };
    Ok((plan, identity, layers))
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
    if options.notify_fd.is_some() || activation.is_supervised() || is_kept() {
        if options.fork {
            return Err(Error::config(
                "service.fork under a manager: it would take the end of this process for the end of the service; leave it out",
            ));
        }
        notes.push("a manager started this process: service.daemon is left out".to_owned());
        return Ok(None);
    }
    Ok(Some(if options.fork { Way::Reexec } else { Way::Fork }))
}

/// Whether the parent is a supervisor of the daemontools family, which says nothing in the environment. One that is found by
/// its name alone: a script between the two hides it.
fn is_kept() -> bool {
    const SUPERVISORS: [&[u8]; 5] = [
        b"supervise",
        b"runsv",
        b"s6-supervise",
        b"svscan",
        b"eudaemon",
    ];
    eudaemon_sys::process::parent_name().is_some_and(|name| SUPERVISORS.contains(&name.as_slice()))
}

impl Plan {
    /// What keeps this process from ever being replaced. A manager that listens and knows no `MAINPID=` is one of the daemontools family.
    pub fn never_replaced(&self) -> Option<&'static str> {
        if std::process::id() == 1 {
            return Some("process 1 is not replaced: its end is the end of everything beside it");
        }
        let is_deaf = self.activation.is_supervised() && self.activation.notify_socket().is_none();
        (is_deaf || is_kept()).then_some(
            "not replaced under a supervisor that takes the end of this process for the end of the service: restart it",
        )
    }

    /// What the service will have given up when it runs, if it could not start its own program then.
    pub fn confined(&self, identity: &Identity) -> Option<&'static str> {
        match (identity, self.options.sandbox) {
            (Identity::Resolved(_), _) => Some("has given up privileges"),
            (Identity::Stays(_), SandboxMode::BestEffort | SandboxMode::Require) => {
                Some("is in a sandbox")
            }
            (Identity::Stays(_), SandboxMode::Off) => None,
        }
    }

    /// How long the manager lets the service be silent, if it is told of its health at all.
    /// What is told for the process before this one is meant for whoever takes its place.
    pub fn watchdog(&self, before: Option<u32>) -> Option<std::time::Duration> {
        let told = before.and_then(|pid| self.activation.watchdog_of(pid));
        let interval = self.activation.watchdog().or(told);
        interval.filter(|_| self.options.watchdog)
    }

    /// The readiness file, as it is called from where the service is locked into.
    pub fn ready_file(&self) -> Result<Option<PathBuf>> {
        let Some(path) = &self.options.ready_file else {
            return Ok(None);
        };
        let inside = self.root.path(path);
        let inside = inside.map_err(|error| Error::from(error).class(Exit::Config));
        Ok(Some(
            inside.during(|| "service.ready-file")?.as_path().to_owned(),
        ))
    }

    /// Those who wait for ready, but for the file. Who gave the first process of the daemon a descriptor has heard of it by then.
    pub fn waiting(&self, is_first: bool) -> Result<Waiting> {
        let descriptor = match self.options.notify_fd.filter(|_| is_first) {
            None => None,
            Some(number) => {
                let taken = eudaemon_sys::hand::take_one(number);
                let attempt = || format!("service.notify-fd: unable to use descriptor {number}");
                let taken = taken.map_err(|error| Error::from(error).class(Exit::Config));
                Some(File::from(taken.during(attempt)?))
            }
        };
        Ok(Waiting {
            descriptor,
            file: None,
            shell: None,
        })
    }

    /// What the sandbox will be, in words.
    pub fn sandbox_plan(&self) -> Result<String> {
        let needs = &self.manifest.needs;
        Ok(Confinement::prepare(needs, self.options.sandbox)?.plan())
    }
}
