//! Giving up privileges: what is wished, what the process is, which steps lead from one to the other, and what proves it.
//!
//! # The model
//!
//! A process has, for each thread apart (`credentials(7)`): four user numbers, four group numbers, supplementary groups,
//! five sets of capabilities, the securebits, and a bit that keeps every later program from gaining anything. A [`Wish`]
//! says what of this somebody wants; a [`Start`] what the kernel says of the process now; [`Plan::new`] answers with the
//! [`Step`]s in their only order and with what must be true behind them, or with a [`Refusal`], before anything is changed.
//!
//! 1. *Limits and umask.* A hard limit can be raised by the privileged alone.
//! 2. *Bounding set.* Needs `CAP_SETPCAP`, and bounds what anything below may ever have.
//! 3. *Root, then directory.* A chroot alone leaves the working directory outside of it, which is the way out.
//! 4. *Groups, gid, uid.* Groups and gid need `CAP_SETGID`; once the user is another, it is gone. All of real, effective,
//!    saved and filesystem numbers, so that there is none to go back to.
//! 5. *Capabilities.* The kernel takes all from a root that becomes another, so it is told to keep them across that one call;
//!    then all but the wished ones, and `CAP_SETPCAP` for the lock, are given up.
//! 6. *Ambient set.* What programs this one executes have too.
//! 7. *Securebits.* Locked: being user 0 means nothing any more, and nobody can raise an ambient capability.
//! 8. *The last capability*, which the lock needed.
//! 9. *No new privileges.* No setuid program and no file capability gives anything, to this process or its children.
//! 10. *Dumpable.* Decided, not left to `fs.suid_dumpable`.
//! 11. *Proof.* The kernel is asked who the process is, and the process tries to be root again, which must fail.
//!
//! A step whose outcome is there already is left out. So a process that was started as the wished user, without a single
//! privilege, has only to be proven: it needs no call that a filter of its manager may kill it for.
//!
//! What was granted on purpose stays. A process that keeps its user keeps its capabilities unless a list says which; they
//! are its manager's decision (`AmbientCapabilities=`). One that becomes another user keeps those on its list, and without a
//! list none.
//!
//! Source: `capabilities(7)`, `setgroups(2)`, `setresuid(2)`, `chroot(2)`, `prctl(2)`.

mod proof;
mod refusal;
mod status;
mod step;

pub use proof::{Difference, Expected, Proof, Regained, Tries};
pub use refusal::Refusal;
pub use status::{Status, StatusError};
pub use step::Step;

use crate::account::Identity;
use crate::capability::{Capability, Set};
use crate::limits::{Limit, Resource};
use alloc::vec::Vec;

/// All securebits and their locks but for KEEP_CAPS, which is off and locked: capabilities come from nowhere any more.
///
/// Source: `linux/securebits.h`; `capabilities(7)`, "The securebits flags".
pub const LOCKED: u32 = 0xef;
/// SECBIT_NO_SETUID_FIXUP: a change of user leaves the capabilities alone.
const NO_SETUID_FIXUP: u32 = 1 << 2;
/// SECBIT_KEEP_CAPS.
const KEEP_CAPS: u32 = 1 << 4;

/// What somebody wants a process to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Who it is to be. `None`: it stays who it is.
    pub identity: Option<Identity>,
    /// Nobody asked for these groups by name, so where the process is the user already and may not change its groups, those
    /// that its manager gave it may stay.
    pub groups_may_stay: bool,
    /// The directory that is to be its root. `None`: it stays where it is.
    pub root: Option<Vec<u8>>,
    /// The capabilities it is to keep. `None`: none if it becomes another user, else those it has.
    pub keep: Option<Set>,
    /// The capabilities that programs it executes are to have too. They are kept.
    pub ambient: Set,
    /// What is given up is taken from the bounding set too, and the securebits are locked.
    pub for_good: bool,
    /// No program it executes gains anything.
    pub no_new_privs: bool,
    /// Whether it leaves cores and its files in `/proc` are its own. `None`: not if it becomes another, else as it is.
    pub dumpable: Option<bool>,
    /// The umask.
    pub umask: Option<u32>,
    /// The limits.
    pub limits: Vec<(Resource, Limit)>,
    /// It may be root, or as good as root, behind all this.
    pub allow_root: bool,
}

impl Default for Wish {
    fn default() -> Wish {
        Wish {
            identity: None,
            groups_may_stay: true,
            root: None,
            keep: None,
            ambient: Set::EMPTY,
            for_good: true,
            no_new_privs: true,
            dumpable: None,
            umask: None,
            limits: Vec::new(),
            allow_root: false,
        }
    }
}

/// What a process is before anything is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// What `/proc` says of its only thread.
    pub status: Status,
    /// Its securebits.
    pub securebits: u32,
    /// Its user namespace lets nobody change groups. Source: `user_namespaces(7)`, `/proc/PID/setgroups`.
    pub setgroups_denied: bool,
}

impl Start {
    /// Whether a plan made for the one fits the other: the same privileges, though perhaps another process, after a fork.
    #[must_use]
    pub fn has_privileges_of(&self, other: &Start) -> bool {
        let privileges = |start: &Start| Start {
            status: Status {
                process: 0,
                thread: 0,
                umask: 0,
                groups: sorted(&start.status.groups),
                ..start.status.clone()
            },
            ..start.clone()
        };
        privileges(self) == privileges(other)
    }
}

/// What will be done, in order, and what must be true then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    steps: Vec<Step>,
    expected: Expected,
    tries: Tries,
}

impl Plan {
    /// The way from `start` to what is wished.
    ///
    /// # Errors
    /// Why there is none, or why it would lead to less than what is promised.
    pub fn new(wish: &Wish, start: &Start) -> Result<Plan, Refusal> {
        let have = &start.status;
        let mut plan = Plan {
            steps: Vec::new(),
            expected: Expected::of(start),
            tries: Tries::default(),
        };
        plan.settings(wish);
        let changed = wish
            .identity
            .as_ref()
            .is_some_and(|identity| have.uids != [identity.uid; 4]);
        let kept = kept(wish, have, changed)?;
        let may_lock = have.effective.has(Capability::Setpcap);
        let lasting = wish.for_good && may_lock && kept.is_some();
        let without_new = wish.no_new_privs || have.no_new_privs;
        if wish.for_good && kept.is_some() && !may_lock && !without_new {
            return Err(Refusal::ComesBack);
        }
        if let (true, Some(kept)) = (lasting, kept) {
            plan.bound(have.bounding, kept);
        }
        plan.root(wish, have)?;
        if let Some(identity) = &wish.identity {
            plan.groups_and_gid(wish, identity, start)?;
        }
        let was_root = have.uids.contains(&0);
        // What the kernel would take away and a later step still needs.
        let keeps_across = changed
            && was_root
            && start.securebits & NO_SETUID_FIXUP == 0
            && (lasting || kept.is_some_and(|kept| !kept.is_empty()));
        if let Some(identity) = wish.identity.as_ref().filter(|_| changed) {
            if keeps_across {
                plan.steps.push(Step::KeepOn);
            }
            plan.uid(identity.uid, have)?;
        }
        if let Some(kept) = kept {
            plan.capabilities(wish, have, kept, lasting);
        }
        if keeps_across {
            plan.steps.push(Step::KeepOff);
            plan.expected.securebits &= !KEEP_CAPS;
        }
        if let Some(kept) = kept {
            plan.ambient_and_locks(wish, start, kept, lasting);
        }
        if wish.no_new_privs && !have.no_new_privs {
            plan.steps.push(Step::NoNewPrivileges);
        }
        plan.expected.no_new_privs = without_new;
        let becomes_another = changed || plan.expected.permitted != have.permitted;
        if let Some(dumpable) = wish.dumpable.or(becomes_another.then_some(false)) {
            plan.steps.push(Step::Dumpable(dumpable));
            plan.expected.dumpable = Some(dumpable);
        }
        plan.steps.push(Step::Proof);
        plan.refuse_root(wish)?;
        plan.tries = Tries::of(&plan.steps, &plan.expected, have.seccomp);
        Ok(plan)
    }

    /// The steps, in the order in which they must be made.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What must be true behind the last.
    #[must_use]
    pub fn expected(&self) -> &Expected {
        &self.expected
    }

    /// Which ways back to root must be tried, and fail.
    #[must_use]
    pub fn tries(&self) -> Tries {
        self.tries
    }

    fn settings(&mut self, wish: &Wish) {
        for &(resource, limit) in &wish.limits {
            self.steps.push(Step::Limit(resource, limit));
            self.expected.limits.push((resource, limit));
        }
        if let Some(umask) = wish.umask {
            self.steps.push(Step::Umask(umask));
            self.expected.umask = Some(umask);
        }
    }

    fn bound(&mut self, bounding: Set, kept: Set) {
        let excess = bounding.without(kept);
        if !excess.is_empty() {
            self.steps.push(Step::Bounding(excess));
        }
        self.expected.bounding = bounding.without(excess);
    }

    fn root(&mut self, wish: &Wish, have: &Status) -> Result<(), Refusal> {
        if let Some(root) = &wish.root {
            let step = Step::Root(root.clone());
            needs(&step, Capability::SysChroot, have)?;
            self.steps.push(step);
            self.steps.push(Step::Directory);
            self.expected.in_root = true;
        }
        Ok(())
    }

    fn groups_and_gid(
        &mut self,
        wish: &Wish,
        identity: &Identity,
        start: &Start,
    ) -> Result<(), Refusal> {
        let have = &start.status;
        let is_already = have.uids == [identity.uid; 4] && have.gids == [identity.gid; 4];
        if same_groups(&have.groups, &identity.groups, identity.gid) {
            // A group twice, or the own one among the others, changes nothing.
        } else if have.effective.has(Capability::Setgid) && !start.setgroups_denied {
            self.steps.push(Step::Groups(identity.groups.clone()));
            self.expected.groups = sorted(&identity.groups);
        } else if !(is_already && wish.groups_may_stay) {
            if start.setgroups_denied && have.effective.has(Capability::Setgid) {
                return Err(Refusal::GroupsDenied);
            }
            needs(
                &Step::Groups(identity.groups.clone()),
                Capability::Setgid,
                have,
            )?;
        }
        if have.gids != [identity.gid; 4] {
            let step = Step::Gid(identity.gid);
            if !have.gids[..3].contains(&identity.gid) {
                needs(&step, Capability::Setgid, have)?;
            }
            self.steps.push(step);
            self.expected.gids = [identity.gid; 4];
        }
        Ok(())
    }

    fn uid(&mut self, uid: u32, have: &Status) -> Result<(), Refusal> {
        let step = Step::Uid(uid);
        if !have.uids[..3].contains(&uid) {
            needs(&step, Capability::Setuid, have)?;
        }
        self.steps.push(step);
        self.expected.uids = [uid; 4];
        Ok(())
    }

    fn capabilities(&mut self, wish: &Wish, have: &Status, kept: Set, lasting: bool) {
        let expected = &mut self.expected;
        expected.permitted = kept;
        expected.effective = kept;
        expected.inheritable = wish.ambient;
        let is_so = (have.permitted, have.effective, have.inheritable)
            == (kept, kept, wish.ambient)
            && !lasting;
        if !is_so {
            let now = if lasting {
                kept.with(Capability::Setpcap)
            } else {
                kept
            };
            self.steps.push(Step::Capabilities {
                held: now,
                inheritable: wish.ambient,
            });
        }
    }

    fn ambient_and_locks(&mut self, wish: &Wish, start: &Start, kept: Set, lasting: bool) {
        self.expected.ambient = wish.ambient;
        // The kernel has taken away what is not inheritable any more (capabilities(7), "Ambient").
        if start.status.ambient != wish.ambient || !wish.ambient.is_empty() {
            self.steps.push(Step::Ambient(wish.ambient));
        }
        if !lasting {
            return;
        }
        if start.securebits != LOCKED {
            self.steps.push(Step::Securebits(LOCKED));
        }
        self.expected.securebits = LOCKED;
        if !kept.has(Capability::Setpcap) {
            self.steps.push(Step::LastCapability {
                held: kept,
                inheritable: wish.ambient,
            });
        }
    }

    fn refuse_root(&self, wish: &Wish) -> Result<(), Refusal> {
        let expected = &self.expected;
        let is_root = expected.uids.contains(&0);
        if wish.root.is_some() && is_root {
            return Err(Refusal::RootInChroot);
        }
        if wish.root.is_some() && expected.permitted.has(Capability::SysChroot) {
            return Err(Refusal::LeavesChroot);
        }
        if wish.allow_root {
            return Ok(());
        }
        if is_root {
            return Err(Refusal::StaysRoot);
        }
        if wish.identity.is_some() && (expected.groups.contains(&0) || expected.gids.contains(&0)) {
            return Err(Refusal::KeepsRootsGroup);
        }
        Ok(())
    }
}

/// The capabilities on the list, made up where nobody gave one; `None`: they are none of our business.
fn kept(wish: &Wish, have: &Status, changed: bool) -> Result<Option<Set>, Refusal> {
    let listed = match wish.keep {
        Some(keep) => keep.and(wish.ambient),
        None if changed || !wish.ambient.is_empty() => wish.ambient,
        None => return Ok(None),
    };
    let missing = listed.without(have.permitted);
    if !missing.is_empty() {
        return Err(Refusal::NotThere(missing));
    }
    let way_back = listed.only(Tries::WAYS_BACK);
    if !way_back.is_empty() && !wish.allow_root {
        return Err(Refusal::AsGoodAsRoot(way_back));
    }
    Ok(Some(listed))
}

fn needs(step: &Step, capability: Capability, have: &Status) -> Result<(), Refusal> {
    if have.effective.has(capability) {
        return Ok(());
    }
    Err(Refusal::Lacks {
        step: step.clone(),
        capability,
        uid: have.uids[1],
    })
}

/// Whether two lists give the same rights to a process of that group.
fn same_groups(left: &[u32], right: &[u32], gid: u32) -> bool {
    let with_own = |groups: &[u32]| {
        let mut groups = groups.to_vec();
        groups.push(gid);
        sorted(&groups)
    };
    with_own(left) == with_own(right)
}

/// As a set: sorted, each once. `setgroups(2)` promises no order.
fn sorted(groups: &[u32]) -> Vec<u32> {
    let mut groups = groups.to_vec();
    groups.sort_unstable();
    groups.dedup();
    groups
}

#[cfg(test)]
mod tests;
