//! Giving up privileges, all the way or not at all, with a proof.
//!
//! Three moments, each a type, so that none can be left out or come in another order:
//!
//! ```no_run
//! use eudaemon::privileges::PrivPlan;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // The wish. Nothing happens.
//! let plan = PrivPlan::new().user("www-data").chroot("/var/empty");
//! // Every name is looked up, every path is looked at; what cannot be granted is refused. Still nothing happens.
//! let resolved = plan.resolve()?;
//! print!("{resolved}");
//! // Before any second thread exists. If this fails, the process must end.
//! let dropped = resolved.apply()?;
//! print!("{dropped}");
//! # Ok(())
//! # }
//! ```
//!
//! **Whoever gets an error from [`ResolvedPlan::apply`] must end the process.** It is then neither what it was nor what it
//! was to be. No second `apply` works in it.
//!
//! The steps and their order are `eudaemon_core::privilege`'s; the guide's chapter on privileges has the table. Linux 4.10
//! or later with `/proc` mounted.

mod behind;
mod error;
mod lookup;

pub use error::PrivError;
pub use eudaemon_core::capability::{Capability, Set};
pub use eudaemon_core::limits::{Limit, Resource};
pub use eudaemon_core::privilege::{Difference, Refusal, Status, Step};

use eudaemon_core::privilege::{Expected, Plan, Proof, Start, Wish};
use eudaemon_sys::privilege::{self as kernel, Landmark, Witness};
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

/// Which supplementary groups the process gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Supplementary {
    /// The groups that list the account (`initgroups(3)`); its own group, which is the process's, is not repeated among them. If the process is that account already and may not
    /// change its groups, the ones its manager gave it stay (`SupplementaryGroups=`). The default.
    #[default]
    Account,
    /// None.
    None,
    /// These, by name or number.
    List(Vec<String>),
}

/// What a process is to become. Made step by step; nothing happens before [`ResolvedPlan::apply`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct PrivPlan {
    user: Option<String>,
    group: Option<String>,
    supplementary: Supplementary,
    chroot: Option<PathBuf>,
    wish: Wish,
}

impl PrivPlan {
    /// The default: it stays who it is, which is refused for root; no program it executes gains anything.
    pub fn new() -> PrivPlan {
        PrivPlan::default()
    }

    /// The user, by name or number. `1000` is first looked up as a name. Without [`PrivPlan::group`] the process gets the
    /// account's own group.
    pub fn user(mut self, user: impl Into<String>) -> PrivPlan {
        self.user = Some(user.into());
        self
    }

    /// The group, by name or number, instead of the account's own. It needs a user beside it.
    pub fn group(mut self, group: impl Into<String>) -> PrivPlan {
        self.group = Some(group.into());
        self
    }

    /// The supplementary groups.
    pub fn supplementary(mut self, groups: Supplementary) -> PrivPlan {
        self.supplementary = groups;
        self
    }

    /// The directory that becomes the root. An absolute path without `..`; `/` is none. It needs a user beside it, or a
    /// process that is not root, for root walks out of a chroot; and no descriptor that is a directory outside of it.
    pub fn chroot(mut self, root: impl Into<PathBuf>) -> PrivPlan {
        self.chroot = Some(root.into());
        self
    }

    /// The capabilities it keeps, and no others. Without this call it keeps none if it becomes another user, and those it has
    /// if it stays who it is: what a manager granted on purpose (`AmbientCapabilities=`) is not dropped unasked.
    pub fn keep_caps(mut self, capabilities: &[Capability]) -> PrivPlan {
        self.wish.keep = Some(capabilities.iter().copied().collect());
        self
    }

    /// The capabilities that programs it executes have too. They are kept.
    pub fn ambient(mut self, capabilities: &[Capability]) -> PrivPlan {
        self.wish.ambient = capabilities.iter().copied().collect();
        self
    }

    /// Whether programs it executes are kept from gaining privileges by setuid bits and file capabilities. Default: they are.
    pub fn no_new_privs(mut self, yes: bool) -> PrivPlan {
        self.wish.no_new_privs = yes;
        self
    }

    /// Whether what is given up leaves the bounding set too and the securebits are locked, where the process has
    /// `CAP_SETPCAP`. Default: so. Not so, a setuid-root program it executes is root with all capabilities, unless new
    /// privileges are forbidden.
    pub fn for_good(mut self, yes: bool) -> PrivPlan {
        self.wish.for_good = yes;
        self
    }

    /// Whether the process leaves core dumps, can be traced by its own user, and owns its files in `/proc`. Default: not, if
    /// it becomes another user or gives up capabilities; else it stays as it is.
    ///
    /// A process that is not dumpable cannot read its own `/proc/self/{environ,io}`, nor open `/proc/self/fd/N` again.
    /// Source: `proc(5)`, "/proc/pid"; `prctl(2)`, PR_SET_DUMPABLE.
    pub fn dumpable(mut self, yes: bool) -> PrivPlan {
        self.wish.dumpable = Some(yes);
        self
    }

    /// The umask, as `0o027`. Default: as it is.
    pub fn umask(mut self, mask: u32) -> PrivPlan {
        self.wish.umask = Some(mask);
        self
    }

    /// A limit, set before the privileges go that raising it may need.
    pub fn rlimit(mut self, resource: Resource, limit: Limit) -> PrivPlan {
        self.wish.limits.push((resource, limit));
        self
    }

    /// Lets the process be, or stay, root, be in root's group, or keep `CAP_SETUID` or `CAP_SETGID`, which are the same.
    /// Default: all of that is refused.
    pub fn allow_root(mut self, yes: bool) -> PrivPlan {
        self.wish.allow_root = yes;
        self
    }

    /// Looks up every name and every path, and finds the steps from what this process is to what it is to be. Changes nothing.
    ///
    /// Before any fork and chroot, for behind them names are not found (T1, T11 of the specification).
    ///
    /// # Errors
    /// Whatever would make [`ResolvedPlan::apply`] fail and can be known before. [`PrivError::exit`] is 78 where the wish is
    /// wrong, 77 where the process lacks a privilege for it, 71 where the system does not answer.
    pub fn resolve(self) -> Result<ResolvedPlan, PrivError> {
        let mut wish = self.wish;
        if wish.umask.is_some_and(|mask| mask > 0o777) {
            return Err(PrivError::Umask);
        }
        let who = lookup::who(
            self.user.as_deref(),
            self.group.as_deref(),
            &self.supplementary,
            wish.allow_root,
        )?;
        wish.groups_may_stay = self.supplementary == Supplementary::Account;
        let (identity, words) = who.unzip();
        wish.identity = identity;
        if let Some(root) = self.chroot.filter(|root| root != Path::new("/")) {
            wish.root = Some(checked_root(&root)?);
        }
        let start = look_at_start(&Witness::open().map_err(PrivError::Proc)?, &wish)?;
        let plan = Plan::new(&wish, &start).map_err(PrivError::Refused)?;
        Ok(ResolvedPlan {
            words,
            wish,
            start,
            plan,
        })
    }
}

/// The bytes of a chroot's path, if it is one.
fn checked_root(root: &Path) -> Result<Vec<u8>, PrivError> {
    let plain = root.is_absolute()
        && root
            .components()
            .all(|part| !matches!(part, Component::ParentDir | Component::CurDir));
    if !plain {
        return Err(PrivError::RootPath(root.into()));
    }
    let bytes = root.as_os_str().as_bytes();
    match Landmark::of(bytes) {
        Ok(_) => Ok(bytes.to_vec()),
        Err(source) => Err(PrivError::Root {
            path: root.into(),
            source,
        }),
    }
}

/// What the only thread of this process is, as far as this wish has to do with it.
fn look_at_start(witness: &Witness, wish: &Wish) -> Result<Start, PrivError> {
    let mut seen = look_at_threads(witness)?;
    let (Some(status), true) = (seen.pop(), seen.is_empty()) else {
        return Err(PrivError::Threads(seen.len() + 1));
    };
    start_of(status, wish)
}

fn start_of(status: Status, wish: &Wish) -> Result<Start, PrivError> {
    Ok(Start {
        status,
        securebits: kernel::securebits().map_err(PrivError::Proc)?,
        setgroups_denied: wish.identity.is_some()
            && kernel::setgroups_denied().map_err(PrivError::Proc)?,
    })
}

fn look_at_threads(witness: &Witness) -> Result<Vec<Status>, PrivError> {
    let mut seen = Vec::new();
    for thread in witness.threads().map_err(PrivError::Proc)? {
        // `None`: it ended while we looked.
        if let Some(text) = witness.status(thread).map_err(PrivError::Proc)? {
            seen.push(Status::parse(&text).map_err(PrivError::Status)?);
        }
    }
    if seen.is_empty() {
        return Err(PrivError::Threads(0));
    }
    Ok(seen)
}

/// A plan that can be made true, as far as can be known. Written out, it says what will be done and why.
#[derive(Debug)]
#[must_use = "nothing is given up before apply"]
pub struct ResolvedPlan {
    /// Who it is to be, with the names.
    words: Option<String>,
    wish: Wish,
    start: Start,
    plan: Plan,
}

/// A process gives up its privileges once.
static TRIED: AtomicU8 = AtomicU8::new(0);

impl ResolvedPlan {
    /// Whether it has anything to change.
    #[must_use]
    pub fn is_there_already(&self) -> bool {
        matches!(self.plan.steps(), [Step::Proof])
    }

    /// The steps, in their order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        self.plan.steps()
    }

    /// Gives the privileges up, and proves it.
    ///
    /// # Errors
    /// The first step that failed, or every difference between what was planned and what the kernel says. **The process must
    /// then end, and do nothing else**: a part of its privileges may be gone, or none. Any further `apply` answers
    /// [`PrivError::Again`].
    ///
    /// More than one thread: the kernel's credentials are each thread's own, so the others would keep theirs
    /// (`credentials(7)`).
    pub fn apply(self) -> Result<Dropped, PrivError> {
        let witness = begin(&self.wish)?;
        if !look_at_start(&witness, &self.wish)?.has_privileges_of(&self.start) {
            return Err(PrivError::Changed);
        }
        self.perform(&witness)
    }

    fn perform(self, witness: &Witness) -> Result<Dropped, PrivError> {
        let landmark = match &self.wish.root {
            None => None,
            Some(root) => Some(Landmark::of(root).map_err(|source| PrivError::Root {
                path: OsStr::from_bytes(root).into(),
                source,
            })?),
        };
        for step in self.plan.steps() {
            kernel::perform(step).map_err(|source| PrivError::Step {
                step: step.clone(),
                source,
            })?;
        }
        let tried = self.plan.tries();
        let tried = kernel::regained(tried)
            .into_iter()
            .map(Difference::Regained);
        let mut differences: Vec<Difference> = tried.collect();
        if let Some(landmark) = landmark {
            let (is_root, is_here) = landmark.is_root_and_here().map_err(PrivError::Proc)?;
            differences.extend((!is_root).then_some(Difference::Root));
            differences.extend((!is_here).then_some(Difference::Directory));
        }
        let seen = look_at_threads(witness)?;
        let dropped = proven(self.plan.expected(), seen, differences)?;
        let mut steps = self.plan.steps().iter();
        if steps.any(|step| matches!(step, Step::Uid(_))) && may_lack_processes()? {
            kernel::try_one_more_process().map_err(PrivError::Processes)?;
        }
        Ok(dropped)
    }
}

/// From here on nobody begins again.
fn once() -> Result<(), PrivError> {
    match TRIED.swap(1, Ordering::SeqCst) {
        0 => Ok(()),
        _ => Err(PrivError::Again),
    }
}

/// What holds the witness must be left, whichever way, before other code runs.
fn begin(wish: &Wish) -> Result<Witness, PrivError> {
    once()?;
    if let Some(root) = &wish.root {
        refuse_ways_out(Path::new(OsStr::from_bytes(root)))?;
    }
    // Opened before the chroot hides it.
    Witness::open().map_err(PrivError::Proc)
}

/// Compares what was planned with what the kernel says. `differences`: those that were found already.
fn proven(
    expected: &Expected,
    seen: Vec<Status>,
    mut differences: Vec<Difference>,
) -> Result<Dropped, PrivError> {
    differences.extend(process_differences(expected)?);
    let proof = Proof::new(expected, seen);
    differences.extend(proof.differences());
    if !differences.is_empty() {
        return Err(PrivError::NotProven(differences));
    }
    Ok(Dropped {
        expected: expected.clone(),
        proof,
    })
}

/// Whether the number of processes is limited.
fn may_lack_processes() -> Result<bool, PrivError> {
    let processes = eudaemon_sys::limits::get(Resource::Processes).map_err(PrivError::Proc)?;
    Ok(processes.soft != u64::MAX)
}

/// An open directory outside of the root is a way out of it, for everybody (`fchdir(2)`, `openat(2)`).
fn refuse_ways_out(root: &Path) -> Result<(), PrivError> {
    // The kernel tells real paths, without links.
    let real = std::fs::canonicalize(root).map_err(|source| PrivError::Root {
        path: root.into(),
        source,
    })?;
    for (number, path) in kernel::open_directories().map_err(PrivError::Proc)? {
        if !path.starts_with(&real) {
            return Err(PrivError::OpenDirectory { number, path });
        }
    }
    Ok(())
}

/// What the kernel says of the process as a whole, or of this thread, that no status has.
fn process_differences(expected: &Expected) -> Result<Vec<Difference>, PrivError> {
    let mut differences = Vec::new();
    let found = kernel::securebits().map_err(PrivError::Proc)?;
    if found != expected.securebits {
        differences.push(Difference::Securebits {
            planned: expected.securebits,
            found,
        });
    }
    if let Some(planned) = expected.dumpable
        && kernel::is_dumpable().map_err(PrivError::Proc)? != planned
    {
        differences.push(Difference::Dumpable { planned });
    }
    for &(resource, planned) in &expected.limits {
        let found = eudaemon_sys::limits::get(resource).map_err(PrivError::Proc)?;
        if found != planned {
            differences.push(Difference::Limit {
                resource,
                planned,
                found,
            });
        }
    }
    Ok(differences)
}

impl fmt::Display for ResolvedPlan {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let have = &self.start.status;
        match &self.words {
            Some(words) => writeln!(to, "becomes {words}")?,
            None => writeln!(to, "stays user {}, group {}", have.uids[1], have.gids[1])?,
        }
        for step in self.plan.steps() {
            writeln!(to, "  {:<26} {step}", step.call())?;
        }
        let expected = self.plan.expected();
        let kept = expected.permitted;
        if !kept.is_empty() {
            writeln!(to, "  keeps {kept}")?;
        }
        if kept.has(Capability::Setuid) || kept.has(Capability::Setgid) {
            writeln!(to, "  CAUTION: with these it can become root again")?;
        }
        if expected.uids.contains(&0) {
            writeln!(to, "  CAUTION: it is root")?;
        }
        if !expected.no_new_privs {
            writeln!(to, "  CAUTION: programs it executes may gain privileges")?;
        }
        if have.seccomp != 0 && self.is_there_already() {
            writeln!(
                to,
                "  not tried: becoming root again, for which a filter of system calls may kill"
            )?;
        }
        Ok(())
    }
}

/// The proof that the privileges are gone: only [`ResolvedPlan::apply`] makes one. Written out, it is the table of what every
/// thread was then.
#[derive(Debug)]
pub struct Dropped {
    expected: Expected,
    proof: Proof,
}

impl Dropped {
    /// The threads that were asked: one.
    #[must_use]
    pub fn threads(&self) -> &[Status] {
        self.proof.threads()
    }

    /// Asks again, of every thread there is now; tries nothing. Answers with how many there were.
    ///
    /// It reads `/proc`, which a chroot hides unless it is mounted there too.
    ///
    /// # Errors
    /// [`PrivError::NotProven`] with every difference of every thread; [`PrivError::Proc`] where `/proc` is not to be seen.
    pub fn verify_again(&self) -> Result<usize, PrivError> {
        let witness = Witness::open().map_err(PrivError::Proc)?;
        let proof = Proof::new(&self.expected, look_at_threads(&witness)?);
        match proof.differences() {
            none if none.is_empty() => Ok(proof.threads().len()),
            differences => Err(PrivError::NotProven(differences)),
        }
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.proof.fmt(to)?;
        writeln!(to, "  {:<11} {:#x}", "Securebits", self.expected.securebits)?;
        if let Some(dumpable) = self.expected.dumpable {
            let words = if dumpable { "yes" } else { "no" };
            writeln!(to, "  {:<11} {words}", "Dumpable")?;
        }
        if self.expected.in_root {
            writeln!(to, "  {:<11} the planned directory", "Root")?;
        }
        Ok(())
    }
}
