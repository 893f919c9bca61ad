//! One change, and its words.

use crate::capability::Set;
use crate::limits::{Limit, Resource};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// One change on the way, with all it needs to be made; or the proof. Written out it completes "unable to …".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A limit is set.
    Limit(Resource, Limit),
    /// The umask is set.
    Umask(u32),
    /// These go from the bounding set, each with a call of its own.
    Bounding(Set),
    /// This directory becomes the root.
    Root(Vec<u8>),
    /// The root becomes the working directory.
    Directory,
    /// The supplementary groups are replaced.
    Groups(Vec<u32>),
    /// The real, effective, saved and filesystem group are replaced.
    Gid(u32),
    /// The next change of user leaves the permitted capabilities.
    KeepOn,
    /// The real, effective, saved and filesystem user are replaced.
    Uid(u32),
    /// The permitted and effective sets become `held`, the inheritable one `inheritable`.
    Capabilities {
        /// What is kept, and `CAP_SETPCAP` if the securebits are to be locked.
        held: Set,
        /// What programs may inherit.
        inheritable: Set,
    },
    /// A later change of user takes the capabilities again.
    KeepOff,
    /// The ambient set becomes this.
    Ambient(Set),
    /// The securebits become these.
    Securebits(u32),
    /// `CAP_SETPCAP` goes, which the lock needed.
    LastCapability {
        /// What is kept.
        held: Set,
        /// What programs may inherit.
        inheritable: Set,
    },
    /// No program executed from now on gains anything.
    NoNewPrivileges,
    /// Whether the process can be dumped is said.
    Dumpable(bool),
    /// The kernel is asked what came of it.
    Proof,
}

impl Step {
    /// Its place in the order of all steps: those of one plan never go down.
    #[must_use]
    pub const fn place(&self) -> u8 {
        match self {
            Step::Limit(..) => 0,
            Step::Umask(_) => 1,
            Step::Bounding(_) => 2,
            Step::Root(_) => 3,
            Step::Directory => 4,
            Step::Groups(_) => 5,
            Step::Gid(_) => 6,
            Step::KeepOn => 7,
            Step::Uid(_) => 8,
            Step::Capabilities { .. } => 9,
            Step::KeepOff => 10,
            Step::Ambient(_) => 11,
            Step::Securebits(_) => 12,
            Step::LastCapability { .. } => 13,
            Step::NoNewPrivileges => 14,
            Step::Dumpable(_) => 15,
            Step::Proof => 16,
        }
    }

    /// The system call it is, for a table.
    #[must_use]
    pub const fn call(&self) -> &'static str {
        match self {
            Step::Limit(..) => "setrlimit",
            Step::Umask(_) => "umask",
            Step::Bounding(_) => "prctl(PR_CAPBSET_DROP)",
            Step::Root(_) => "chroot",
            Step::Directory => "chdir",
            Step::Groups(_) => "setgroups",
            Step::Gid(_) => "setresgid",
            Step::KeepOn | Step::KeepOff => "prctl(PR_SET_KEEPCAPS)",
            Step::Uid(_) => "setresuid",
            Step::Capabilities { .. } | Step::LastCapability { .. } => "capset",
            Step::Ambient(_) => "prctl(PR_CAP_AMBIENT)",
            Step::Securebits(_) => "prctl(PR_SET_SECUREBITS)",
            Step::NoNewPrivileges => "prctl(PR_SET_NO_NEW_PRIVS)",
            Step::Dumpable(_) => "prctl(PR_SET_DUMPABLE)",
            Step::Proof => "/proc/self/task/*/status",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Limit(resource, limit) => write!(
                to,
                "set the limit {resource:?} to {} (hard {})",
                Bound(limit.soft),
                Bound(limit.hard)
            ),
            Step::Umask(mask) => write!(to, "set the umask to {mask:04o}"),
            Step::Bounding(set) => write!(to, "take {set} from the bounding set"),
            Step::Root(root) => write!(to, "change root to {}", String::from_utf8_lossy(root)),
            Step::Directory => to.write_str("change directory to the new root"),
            Step::Groups(groups) => write!(to, "set the supplementary groups to {}", List(groups)),
            Step::Gid(gid) => write!(to, "set the group to {gid}"),
            Step::KeepOn => to.write_str("keep capabilities across the change of user"),
            Step::Uid(uid) => write!(to, "set the user to {uid}"),
            Step::Capabilities { held, .. } => {
                write!(to, "give up all capabilities but {held}")
            }
            Step::KeepOff => to.write_str("end keeping capabilities across a change of user"),
            Step::Ambient(set) => write!(to, "set the ambient capabilities to {set}"),
            Step::Securebits(bits) => write!(to, "lock the securebits at {bits:#x}"),
            Step::LastCapability { held, .. } => write!(
                to,
                "give up CAP_SETPCAP, which the lock needed, leaving {held}"
            ),
            Step::NoNewPrivileges => to.write_str("forbid new privileges"),
            Step::Dumpable(true) => to.write_str("make the process dumpable"),
            Step::Dumpable(false) => to.write_str("make the process not dumpable"),
            Step::Proof => to.write_str("prove that the privileges are gone"),
        }
    }
}

/// Numbers in words: `none`, or with blanks between. A thousand groups are told by their count.
pub(super) struct List<'a>(pub &'a [u32]);

impl fmt::Display for List<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 16;
        let Some((first, rest)) = self.0.split_first() else {
            return to.write_str("none");
        };
        write!(to, "{first}")?;
        for number in rest.iter().take(MOST - 1) {
            write!(to, " {number}")?;
        }
        match self.0.len().checked_sub(MOST) {
            None | Some(0) => Ok(()),
            Some(more) => write!(to, " and {more} more"),
        }
    }
}

/// A limit in words. Source: `getrlimit(2)`, RLIM_INFINITY.
struct Bound(u64);

impl fmt::Display for Bound {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            u64::MAX => to.write_str("unlimited"),
            number => write!(to, "{number}"),
        }
    }
}
