//! What must be true behind the last step, compared with what the kernel says.

use super::status::Status;
use super::step::{List, Step};
use super::{Start, sorted};
use crate::capability::{Capability, Set};
use crate::limits::{Limit, Resource};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// What must be true. What a plan does not touch must be as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The user's four numbers.
    pub uids: [u32; 4],
    /// The group's four numbers.
    pub gids: [u32; 4],
    /// The supplementary groups, sorted, each once.
    pub groups: Vec<u32>,
    /// What programs may inherit.
    pub inheritable: Set,
    /// What the process has.
    pub permitted: Set,
    /// What the process uses.
    pub effective: Set,
    /// What it, or a program it executes, can ever have.
    pub bounding: Set,
    /// What programs it executes have.
    pub ambient: Set,
    /// Whether they gain nothing.
    pub no_new_privs: bool,
    /// The securebits.
    pub securebits: u32,
    /// Whether the root and the working directory are the plan's.
    pub in_root: bool,
    /// Whether it can be dumped; `None`: not said.
    pub dumpable: Option<bool>,
    /// The umask; `None`: not said.
    pub umask: Option<u32>,
    /// The limits that are said.
    pub limits: Vec<(Resource, Limit)>,
}

impl Expected {
    /// That nothing changes.
    pub(super) fn of(start: &Start) -> Expected {
        let have = &start.status;
        Expected {
            uids: have.uids,
            gids: have.gids,
            groups: sorted(&have.groups),
            inheritable: have.inheritable,
            permitted: have.permitted,
            effective: have.effective,
            bounding: have.bounding,
            ambient: have.ambient,
            no_new_privs: have.no_new_privs,
            securebits: start.securebits,
            in_root: false,
            dumpable: None,
            umask: None,
            limits: Vec::new(),
        }
    }

    /// The lines of the table: what it is called, what is planned, and what a thread's status says.
    fn rows<'a>(&'a self, seen: &'a Status) -> impl Iterator<Item = Row<'a>> {
        let row = |field, planned, found| Row {
            field,
            planned,
            found,
        };
        let set = |field, planned, found| row(field, Said::Set(planned), Said::Set(found));
        let bit = |bit: bool| Said::Number(u32::from(bit));
        let groups = |list: &[u32]| Said::Groups(sorted(list));
        let rows = [
            row("Uid", Said::Four(&self.uids), Said::Four(&seen.uids)),
            row("Gid", Said::Four(&self.gids), Said::Four(&seen.gids)),
            row("Groups", groups(&self.groups), groups(&seen.groups)),
            set("CapInh", self.inheritable, seen.inheritable),
            set("CapPrm", self.permitted, seen.permitted),
            set("CapEff", self.effective, seen.effective),
            set("CapBnd", self.bounding, seen.bounding),
            set("CapAmb", self.ambient, seen.ambient),
            row("NoNewPrivs", bit(self.no_new_privs), bit(seen.no_new_privs)),
        ];
        let umask = self
            .umask
            .map(|umask| row("Umask", Said::Mask(umask), Said::Mask(seen.umask)));
        rows.into_iter().chain(umask)
    }
}

/// A way back to root that must be barred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Regained {
    /// `setuid(0)`.
    User,
    /// `setgid(0)`.
    Group,
    /// `setgroups`.
    Groups,
    /// `capset`.
    Capability,
}

/// Which ways back must be tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// [`Regained::User`].
    pub user: bool,
    /// [`Regained::Group`].
    pub group: bool,
    /// [`Regained::Groups`].
    pub groups: bool,
    /// [`Regained::Capability`]: this one, which is not planned.
    pub capability: Option<Capability>,
}

impl Tries {
    /// Whoever keeps one of these can be root again, and is not asked whether.
    pub(super) const WAYS_BACK: Set = Set::EMPTY.with(Capability::Setuid).with(Capability::Setgid);

    /// All that the plan bars. None if nothing was changed under a filter of system calls: the filter may kill whoever tries.
    pub(super) fn of(steps: &[Step], expected: &Expected, seccomp: u8) -> Tries {
        let changes = steps.iter().any(|step| {
            matches!(
                step,
                Step::Groups(_) | Step::Gid(_) | Step::Uid(_) | Step::Capabilities { .. }
            )
        });
        if seccomp != 0 && !changes {
            return Tries::default();
        }
        let has = |capability| expected.permitted.has(capability);
        let may_set_groups = has(Capability::Setgid);
        Tries {
            user: !expected.uids.contains(&0) && !has(Capability::Setuid),
            group: !expected.gids.contains(&0) && !may_set_groups,
            groups: !may_set_groups,
            capability: [Capability::Setpcap, Capability::SysAdmin]
                .into_iter()
                .find(|&capability| !has(capability)),
        }
    }
}

/// Something that is not as planned, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// A line of a thread's status.
    Line {
        /// The thread.
        thread: u32,
        /// The line's name.
        field: &'static str,
        /// What it was to say.
        planned: String,
        /// What it says.
        found: String,
    },
    /// The securebits.
    Securebits {
        /// What they were to be.
        planned: u32,
        /// What they are.
        found: u32,
    },
    /// The root is another directory.
    Root,
    /// The working directory is not the root.
    Directory,
    /// The process can be dumped, or cannot.
    Dumpable {
        /// What was planned.
        planned: bool,
    },
    /// A limit.
    Limit {
        /// Of what.
        resource: Resource,
        /// What it was to be.
        planned: Limit,
        /// What it is.
        found: Limit,
    },
    /// A way back to root is open.
    Regained(Regained),
}

impl fmt::Display for Difference {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Line {
                thread,
                field,
                planned,
                found,
            } => write!(to, "thread {thread}: {field} is {found}, planned {planned}"),
            Difference::Securebits { planned, found } => {
                write!(to, "the securebits are {found:#x}, planned {planned:#x}")
            }
            Difference::Root => to.write_str("the root is not the planned directory"),
            Difference::Directory => to.write_str("the working directory is not the new root"),
            Difference::Dumpable { planned: true } => to.write_str("the process is not dumpable"),
            Difference::Dumpable { planned: false } => to.write_str("the process is dumpable"),
            Difference::Limit {
                resource,
                planned,
                found,
            } => write!(
                to,
                "the limit {resource:?} is {found:?}, planned {planned:?}"
            ),
            Difference::Regained(way) => to.write_str(match way {
                Regained::User => "it could become user 0 again",
                Regained::Group => "it could take group 0 again",
                Regained::Groups => "it could set its groups again",
                Regained::Capability => "it could take a capability back",
            }),
        }
    }
}

/// What the kernel said of every thread. Written out it is a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    expected: Expected,
    seen: Vec<Status>,
}

impl Proof {
    /// What all threads' statuses are to what is expected.
    ///
    /// A process without threads proves nothing, so `seen` is not empty.
    #[must_use]
    pub fn new(expected: &Expected, seen: Vec<Status>) -> Proof {
        Proof {
            expected: expected.clone(),
            seen,
        }
    }

    /// The threads that were asked.
    #[must_use]
    pub fn threads(&self) -> &[Status] {
        &self.seen
    }

    /// Every difference of every thread; none, and it is proven.
    #[must_use]
    pub fn differences(&self) -> Vec<Difference> {
        let mut found = Vec::new();
        for status in &self.seen {
            let wrong = self.expected.rows(status).filter(|row| !row.agrees());
            found.extend(wrong.map(|row| Difference::Line {
                thread: status.thread,
                field: row.field,
                planned: row.planned.to_string(),
                found: row.found.to_string(),
            }));
        }
        found
    }
}

struct Row<'a> {
    field: &'static str,
    planned: Said<'a>,
    found: Said<'a>,
}

impl Row<'_> {
    fn agrees(&self) -> bool {
        self.planned == self.found
    }
}

/// What a line says, compared as it is, and put into words only for a reader.
#[derive(PartialEq)]
enum Said<'a> {
    Four(&'a [u32; 4]),
    Groups(Vec<u32>),
    Set(Set),
    Number(u32),
    Mask(u32),
}

impl fmt::Display for Said<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Said::Four(numbers) => List(*numbers).fmt(to),
            Said::Groups(groups) => List(groups).fmt(to),
            Said::Set(set) => set.fmt(to),
            Said::Number(number) => number.fmt(to),
            Said::Mask(mask) => write!(to, "{mask:04o}"),
        }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        for status in &self.seen {
            writeln!(to, "thread {}", status.thread)?;
            for row in self.expected.rows(status) {
                let verdict = if row.agrees() { "as planned" } else { "WRONG" };
                let found = row.found.to_string();
                writeln!(to, "  {:<11} {found:<24} {verdict}", row.field)?;
            }
        }
        Ok(())
    }
}
