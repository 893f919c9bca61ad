//! The kernel holds the service to what it said it needs.
//!
//! What a service says of itself ([`Needs`]) becomes a Landlock domain, a seccomp filter, a set of capabilities and limits;
//! a [`Report`] says of each wish what this kernel made of it. Two steps, because a path has to be looked up before a chroot
//! hides it and rights given up last:
//!
//! ```
//! use eudaemon::needs::{Needs, Preset};
//! use eudaemon::sandbox::{Mode, Sandbox};
//! let needs = Needs::new().read("/etc").bind_tcp(8080).system_calls(Preset::NetworkServer);
//! let prepared = Sandbox::of(&needs).prepare(Mode::BestEffort)?;
//! // chroot, drop privileges, start nothing yet
//! # if false {
//! let report = prepared.enforce()?;
//! print!("{report}");
//! # }
//! # Ok::<(), eudaemon::sandbox::SandboxError>(())
//! ```
//!
//! Landlock, capabilities and `no_new_privs` belong to a thread, not to a process (`landlock(7)`, `capabilities(7)`): a
//! second thread would stay outside, and share its memory and descriptors with those inside. So [`Prepared::enforce`]
//! refuses a process of more than one thread, and threads started later inherit everything.
//!
//! Platform: Linux; x86-64 and aarch64 for system calls. What is enforced from which kernel on is in the chapter
//! "The sandbox" of the guide, with what is not.

mod calls;
mod files;
mod report;

pub use report::{Lack, Mechanism, Report, Row, Standing, Wish};

use crate::Exit;
use crate::chroot::Root;
use crate::needs::Needs;
use eudaemon_core::capability::Set;
use eudaemon_core::limits::{Limit, Resource};
use eudaemon_sys::{confine, limits};
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// What to do about what this kernel lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Refuse. Known before anything is given up, by [`Sandbox::prepare`], where the kernel can be asked.
    Require,
    /// Report it, and enforce the rest.
    BestEffort,
}

/// A sandbox of these needs. Nothing happens before [`Sandbox::prepare`].
#[derive(Clone, Copy, Debug)]
pub struct Sandbox<'a> {
    needs: &'a Needs,
}

/// A sandbox whose paths are open and whose filters are made. Until [`Prepared::enforce`] the process is as free as it was.
#[must_use = "a sandbox that is only prepared holds nothing"]
#[derive(Debug)]
pub struct Prepared {
    mode: Mode,
    pid: u32,
    threads: confine::Threads,
    limits: Vec<(Resource, Limit)>,
    capabilities: Set,
    files: Option<files::Domain>,
    calls: Option<calls::Filters>,
    report: Report,
}

impl<'a> Sandbox<'a> {
    /// Of these needs.
    #[must_use]
    pub fn of(needs: &'a Needs) -> Sandbox<'a> {
        Sandbox { needs }
    }

    /// Asks the kernel what it has, opens every path, makes the filters, and raises those hard limits that only a privileged
    /// process may raise. To be called while paths mean what they meant to whoever wrote them: after the last fork, before
    /// a chroot and before privileges are dropped.
    ///
    /// # Errors
    /// [`SandboxError::Relative`]; with [`Mode::Require`] also [`SandboxError::Path`] for a path that is not there and
    /// [`SandboxError::Missing`]; [`SandboxError::Kernel`] if `/proc` is not mounted or a ruleset could not be made.
    pub fn prepare(self, mode: Mode) -> Result<Prepared, SandboxError> {
        let needs = self.needs;
        let threads = confine::Threads::of_this_process()
            .map_err(|source| SandboxError::kernel("open /proc/self/task", source))?;
        let mut report = Report::new();
        report.say(
            Wish::NoNewPrivileges,
            Mechanism::Process,
            Standing::Enforced,
        );
        let landlock = files::ask();
        let files = files::Domain::prepare(needs, &landlock, mode, &mut report)?;
        let calls = calls::Filters::prepare(needs, &mut report);
        report.say(Wish::Capabilities, Mechanism::Process, Standing::Enforced);
        for &(resource, limit) in needs.limits() {
            let standing = match raise(resource, limit) {
                Ok(()) => Standing::Enforced,
                Err(error) => refusal(&error),
            };
            report.say(Wish::Limit(resource), Mechanism::Process, standing);
        }
        if mode == Mode::Require && !report.is_complete() {
            return Err(SandboxError::Missing { report });
        }
        Ok(Prepared {
            mode,
            pid: std::process::id(),
            threads,
            limits: needs.limits().to_vec(),
            capabilities: needs.capabilities().iter().copied().collect(),
            files,
            calls,
            report,
        })
    }

    /// [`Mode::Require`] in one step, for a process that has neither chroot nor privileges to think of.
    ///
    /// # Errors
    /// Those of [`Sandbox::prepare`] and [`Prepared::enforce`].
    pub fn require(self) -> Result<Report, SandboxError> {
        self.prepare(Mode::Require)?.enforce()
    }

    /// [`Mode::BestEffort`] in one step. What is missing is in the report and nowhere else: show it to somebody.
    ///
    /// # Errors
    /// Those of [`Sandbox::prepare`] and [`Prepared::enforce`] that no kernel explains: a relative path, a second thread.
    pub fn best_effort(self) -> Result<Report, SandboxError> {
        self.prepare(Mode::BestEffort)?.enforce()
    }
}

impl Prepared {
    /// What will be in force if the kernel keeps its word.
    #[must_use]
    pub fn plan(&self) -> &Report {
        &self.report
    }

    /// Lets go of the directories of `/proc` that are kept open, because they would be ways out of this root, which the process
    /// is about to be locked into. Nothing happens if the root is the whole tree. [`main`](crate::main) does this.
    ///
    /// # Errors
    /// [`SandboxError::Kernel`] if `/proc` is not mounted.
    pub fn lock_in(&mut self, root: &Root) -> Result<(), SandboxError> {
        if root.is_whole() {
            return Ok(());
        }
        self.threads = confine::Threads::by_a_file()
            .map_err(|source| SandboxError::kernel("open /proc/self/status", source))?;
        if let Some(files) = &mut self.files {
            files.close();
        }
        Ok(())
    }

    /// Gives up everything that was not asked for: limits, capabilities, `no_new_privs`, Landlock, seccomp, in this order.
    /// To be called last before the first thread starts: after a chroot, and after the drop.
    ///
    /// Nothing of it can be undone, and all of it is inherited by threads and children.
    ///
    /// # Errors
    /// [`SandboxError::Threads`] and [`SandboxError::Forked`], before anything was done. Any other error may come with half of
    /// it in force: the process should then end, and has no more rights than before. With [`Mode::Require`]
    /// [`SandboxError::Missing`] when the kernel refused what it had said it has.
    pub fn enforce(mut self) -> Result<Report, SandboxError> {
        if std::process::id() != self.pid {
            return Err(SandboxError::Forked);
        }
        let count = self
            .threads
            .count()
            .map_err(|source| SandboxError::kernel("count the threads", source))?;
        if count != 1 {
            return Err(SandboxError::Threads { count });
        }
        for &(resource, limit) in &self.limits {
            let standing = match limits::set(resource, limit) {
                Ok(()) => Standing::Enforced,
                Err(error) => refusal(&error),
            };
            self.report.correct(&Wish::Limit(resource), standing);
        }
        confine::keep_capabilities(self.capabilities)
            .map_err(|source| SandboxError::kernel("give up capabilities", source))?;
        let set = confine::no_new_privileges()
            .map_err(|source| SandboxError::kernel("set no_new_privs", source))?;
        if !set {
            let source = io::Error::from(io::ErrorKind::Unsupported);
            return Err(SandboxError::kernel("set no_new_privs", source));
        }
        if let Some(files) = self.files {
            files.enforce(&mut self.report);
        }
        if let Some(calls) = self.calls {
            calls.enforce(&mut self.report);
        }
        if self.mode == Mode::Require && !self.report.is_complete() {
            return Err(SandboxError::Missing {
                report: self.report,
            });
        }
        Ok(self.report)
    }
}

fn refusal(error: &io::Error) -> Standing {
    Standing::Missing(Lack::System(error.raw_os_error().unwrap_or_default()))
}

/// Makes room for a hard limit that is above today's, while the process may still do so.
fn raise(resource: Resource, wanted: Limit) -> io::Result<()> {
    let now = limits::get(resource)?;
    if wanted.hard <= now.hard {
        return Ok(());
    }
    limits::set(
        resource,
        Limit {
            hard: wanted.hard,
            ..now
        },
    )
}

/// Why there is no sandbox.
#[derive(Debug)]
#[non_exhaustive]
pub enum SandboxError {
    /// The process has this many threads. Only one may have been started: see the module.
    Threads {
        /// How many there are.
        count: u64,
    },
    /// The sandbox was prepared by another process, before a fork.
    Forked,
    /// A path of the needs is not absolute, and would mean something else elsewhere.
    Relative {
        /// As it was given.
        path: PathBuf,
    },
    /// A path of the needs cannot be opened.
    Path {
        /// As it was given.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// This kernel does not give all that was required; the report says what.
    Missing {
        /// Every wish, with what became of it.
        report: Report,
    },
    /// The kernel refused a step that every kernel we support has.
    Kernel {
        /// The step, as `set no_new_privs`.
        step: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl SandboxError {
    /// Its class: what was asked for must be changed, or the program must, or the system refused.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            SandboxError::Threads { .. } | SandboxError::Forked => Exit::Software,
            SandboxError::Relative { .. }
            | SandboxError::Path { .. }
            | SandboxError::Missing { .. } => Exit::Config,
            SandboxError::Kernel { .. } => Exit::System,
        }
    }

    fn kernel(step: &'static str, source: io::Error) -> SandboxError {
        SandboxError::Kernel { step, source }
    }
}

impl fmt::Display for SandboxError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SandboxError::Threads { count } => write!(
                to,
                "unable to enter the sandbox: there are {count} threads already, and those would stay outside"
            ),
            SandboxError::Forked => {
                to.write_str("unable to enter the sandbox: it was prepared before a fork")
            }
            SandboxError::Relative { path } => {
                write!(
                    to,
                    "unable to make the sandbox: {} is not absolute",
                    path.display()
                )
            }
            SandboxError::Path { path, .. } => {
                write!(to, "unable to let {} into the sandbox", path.display())
            }
            SandboxError::Missing { report } => {
                to.write_str("unable to enter the sandbox, which is required: ")?;
                report.write_lacks(to)
            }
            SandboxError::Kernel { step, .. } => write!(to, "unable to {step}"),
        }
    }
}

impl StdError for SandboxError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            SandboxError::Path { source, .. } | SandboxError::Kernel { source, .. } => Some(source),
            SandboxError::Threads { .. }
            | SandboxError::Forked
            | SandboxError::Relative { .. }
            | SandboxError::Missing { .. } => None,
        }
    }
}
