//! Why a wish cannot be granted, in words.

use super::step::Step;
use crate::capability::{Capability, Set};
use core::fmt;

/// Why a wish cannot be granted to this process. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// A step needs this capability, which the process has not.
    Lacks {
        /// The step, as what it would do.
        step: Step,
        /// What it needs.
        capability: Capability,
        /// The process's effective user.
        uid: u32,
    },
    /// The groups must change, and the user namespace forbids it.
    GroupsDenied,
    /// These are to be kept, and are not there.
    NotThere(Set),
    /// These are to be kept, and whoever has them can become root again.
    AsGoodAsRoot(Set),
    /// It would be root.
    StaysRoot,
    /// It would keep root's group (0) among its groups.
    KeepsRootsGroup,
    /// It would be root in its chroot, which holds everybody but root.
    RootInChroot,
    /// It would keep `CAP_SYS_CHROOT`, with which it leaves its chroot.
    LeavesChroot,
    /// What is given up would come back with the next program: neither the bounding set nor the securebits can be changed,
    /// and new privileges are allowed.
    ComesBack,
}

impl Refusal {
    /// Whether a privilege is missing, rather than the wish being wrong.
    #[must_use]
    pub const fn is_missing_privilege(&self) -> bool {
        match self {
            Refusal::Lacks { .. }
            | Refusal::GroupsDenied
            | Refusal::NotThere(_)
            | Refusal::ComesBack => true,
            Refusal::AsGoodAsRoot(_)
            | Refusal::StaysRoot
            | Refusal::KeepsRootsGroup
            | Refusal::RootInChroot
            | Refusal::LeavesChroot => false,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Lacks {
                step,
                capability,
                uid,
            } => write!(
                to,
                "unable to {step}: this process runs as user {uid} without {capability}; start it as root, or as who it is to be"
            ),
            Refusal::GroupsDenied => to.write_str(
                "unable to change the groups: this user namespace forbids it (/proc/self/setgroups says deny)",
            ),
            Refusal::NotThere(set) => write!(
                to,
                "unable to keep {set}: this process was not given it; grant it (AmbientCapabilities=), or start as root"
            ),
            Refusal::AsGoodAsRoot(set) => write!(
                to,
                "keeping {set} lets the process become root again; root must be allowed for that"
            ),
            Refusal::StaysRoot => to.write_str(
                "this process is root and would stay root: name a user, or allow root",
            ),
            Refusal::KeepsRootsGroup => to.write_str(
                "this process is in root's group (0) and cannot leave it: start it without, or allow root",
            ),
            Refusal::RootInChroot => {
                to.write_str("a chroot does not hold root: name a user for it")
            }
            Refusal::LeavesChroot => to.write_str(
                "a chroot does not hold who keeps CAP_SYS_CHROOT: name the capabilities to keep without it",
            ),
            Refusal::ComesBack => to.write_str(
                "capabilities given up would come back with the next program: without CAP_SETPCAP, new privileges must be forbidden",
            ),
        }
    }
}

impl core::error::Error for Refusal {}
