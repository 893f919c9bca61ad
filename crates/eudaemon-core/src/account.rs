//! Who a program runs as: accounts and groups as the files tell them, and what must be true before anybody runs as one.
//!
//! A number that is not plainly a number is refused, never read as 0: an empty field, `00`, a sign, a blank or an
//! overflow never become root. Source: `passwd(5)`, `group(5)`; the specification, §7 and §10.4.

use alloc::vec::Vec;

/// A user or group number as the files write it: digits, no leading zero, and not 4294967295, which the kernel takes for
/// "do not change" (`setresuid(2)`).
#[must_use]
pub fn id(text: &[u8]) -> Option<u32> {
    let plain = match text {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !plain {
        return None;
    }
    let number = core::str::from_utf8(text).ok()?.parse::<u32>().ok()?;
    (number != u32::MAX).then_some(number)
}

/// What one line of an account file is to somebody who looks for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<T> {
    /// About another name, or about none.
    Other,
    /// About this name, but not to be understood. Whoever reads on may find another meaning of the name; do not.
    Unusable,
    /// About this name.
    Found(T),
}

/// What `/etc/passwd` says of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account<'a> {
    /// The user's number.
    pub uid: u32,
    /// The number of the user's own group.
    pub gid: u32,
    /// The home directory.
    pub home: &'a [u8],
    /// The shell.
    pub shell: &'a [u8],
}

/// Whether a name can be looked for at all: not the empty one, and none that marks a comment or a reference to NIS.
#[must_use]
pub fn can_be_a_name(name: &[u8]) -> bool {
    !matches!(name.first(), None | Some(b'#' | b'+' | b'-'))
}

/// Reads a line of `/etc/passwd`, without its newline, for the account of that name.
#[must_use]
pub fn passwd<'a>(line: &'a [u8], name: &[u8]) -> Line<Account<'a>> {
    read(line, name, |[_, uid, gid, _, home, shell]| {
        Some(Account {
            uid: id(uid)?,
            gid: id(gid)?,
            home,
            shell,
        })
    })
}

/// Reads a line of `/etc/passwd`, without its newline, for the account of that number, and its name.
#[must_use]
pub fn passwd_numbered(line: &[u8], uid: u32) -> Option<(&[u8], Account<'_>)> {
    let name = line.split(|&byte| byte == b':').next()?;
    if !can_be_a_name(name) {
        return None;
    }
    match passwd(line, name) {
        Line::Found(account) => (account.uid == uid).then_some((name, account)),
        Line::Other | Line::Unusable => None,
    }
}

/// Reads a line of `/etc/group`, without its newline, for the number of the group of that name.
#[must_use]
pub fn group(line: &[u8], name: &[u8]) -> Line<u32> {
    read(line, name, |[_, gid, _]| id(gid))
}

/// The number of the group of this line of `/etc/group`, if it lists that member and can be understood.
#[must_use]
pub fn group_with(line: &[u8], member: &[u8]) -> Option<u32> {
    let name = line.split(|&byte| byte == b':').next()?;
    if !can_be_a_name(name) {
        return None;
    }
    let found = read(line, name, |[_, gid, members]| {
        let listed = members.split(|&byte| byte == b',').any(|one| one == member);
        Some((id(gid)?, listed))
    });
    match found {
        Line::Found((gid, true)) => Some(gid),
        Line::Found((_, false)) | Line::Other | Line::Unusable => None,
    }
}

/// The line's fields behind its name, if it is that name's and there are exactly as many.
fn read<'a, const N: usize, T>(
    line: &'a [u8],
    name: &[u8],
    meaning: impl FnOnce([&'a [u8]; N]) -> Option<T>,
) -> Line<T> {
    let mut parts = line.split(|&byte| byte == b':');
    if parts.next() != Some(name) {
        return Line::Other;
    }
    let mut fields: [&[u8]; N] = [b""; N];
    for field in &mut fields {
        match parts.next() {
            Some(part) => *field = part,
            None => return Line::Unusable,
        }
    }
    // A NUL would end a field for every other reader of the file.
    if parts.next().is_some() || line.contains(&0) {
        return Line::Unusable;
    }
    meaning(fields).map_or(Line::Unusable, Line::Found)
}

/// What a process is to be before it executes somebody's program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its supplementary groups, and no others.
    pub groups: Vec<u32>,
}

/// One change on the way to an [`Identity`], or the proof of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The supplementary groups are replaced.
    Groups,
    /// The real, effective and saved group are replaced.
    Gid,
    /// The real, effective and saved user are replaced.
    Uid,
    /// The kernel is asked what came of it.
    Proof,
}

/// What the kernel answers when it is asked who a process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its real, effective and saved user.
    pub uids: [u32; 3],
    /// Its real, effective and saved group.
    pub gids: [u32; 3],
    /// Its supplementary groups.
    pub groups: Vec<u32>,
    /// Whether it could become root, or take root's group, again.
    pub regained: bool,
}

impl Identity {
    /// The only order: groups can be changed by root alone, and once the user is another, nothing else can be.
    pub const ORDER: [Step; 4] = [Step::Groups, Step::Gid, Step::Uid, Step::Proof];

    /// An account with no group but its own.
    #[must_use]
    pub fn alone(uid: u32, gid: u32) -> Identity {
        Identity {
            uid,
            gid,
            groups: [gid].into(),
        }
    }

    /// Whether a process of this identity must be unable to become root: it is not root.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.uid != 0
    }

    /// Whether what the kernel says is this identity and nothing more.
    ///
    /// The groups are compared as a set: the kernel sorts them (`setgroups(2)` promises no order).
    #[must_use]
    pub fn is_proven(&self, seen: &Seen) -> bool {
        let same_groups = seen.groups.iter().all(|group| self.groups.contains(group))
            && self.groups.iter().all(|group| seen.groups.contains(group));
        seen.uids == [self.uid; 3] && seen.gids == [self.gid; 3] && same_groups && !seen.regained
    }
}

/// `chpst`'s USER: `user[:group...]`, or `:uid:gid[:gid...]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User<'a> {
    /// Numbers, which need no file.
    Numbers(Identity),
    /// Names, to be looked up. Without a group it is the account's own.
    Names {
        /// The account.
        user: &'a [u8],
        /// The groups, of which the first becomes the process's own.
        groups: Vec<&'a [u8]>,
    },
}

impl<'a> User<'a> {
    /// Reads it; `None` if it begins with a colon and the rest is not at least two numbers.
    ///
    /// Differs: chpst 2.1.2 takes an empty group for root's and 4294967297 for 1 (observed: `:5:`, `::`,
    /// `:4294967297:5`), and at most 60 groups.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<User<'a>> {
        let [b':', numbers @ ..] = text else {
            let mut names = text.split(|&byte| byte == b':');
            return Some(User::Names {
                user: names.next().unwrap_or_default(),
                groups: names.collect(),
            });
        };
        let mut ids = numbers.split(|&byte| byte == b':').map(id);
        let uid = ids.next()??;
        let groups = ids.collect::<Option<Vec<u32>>>()?;
        Some(User::Numbers(Identity {
            uid,
            gid: *groups.first()?,
            groups,
        }))
    }
}

#[cfg(test)]
mod tests;
