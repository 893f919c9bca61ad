//! Accounts and groups, looked up in `/etc/passwd` and `/etc/group` themselves. Numbers need no file.
//!
//! Both the programs and the library ask here, so that a name means the same to both.
//!
//! The static program has nothing else. A build for glibc then asks the name service switch for a name that the files do not
//! have, so that accounts of LDAP or systemd are found. What the files say is never left to it, for it reads some broken
//! lines as root; and whom it alone calls root is not.

use crate::nss;
use eudaemon_core::account::{self, Account, Identity, Line};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";
/// How much is read at once; the usual file is smaller.
const READ_SIZE: usize = 4096;
/// The longest line that is understood: some ten thousand members of a group.
const LINE_SIZE_MAX: usize = 1 << 20;

/// Why a name has no number.
#[derive(Debug)]
pub enum Trouble {
    /// No file knows it, or the line that does cannot be understood.
    Unknown,
    /// This file, or what the switch asks, cannot be read.
    Unreadable(&'static str, io::Error),
}

/// An account, as its line says it.
#[derive(Debug)]
pub struct Known {
    /// The user's number.
    pub uid: u32,
    /// The number of the user's own group.
    pub gid: u32,
    /// The home directory.
    pub home: Vec<u8>,
    /// The shell.
    pub shell: Vec<u8>,
}

/// Looks an account up.
pub fn find(name: &[u8]) -> Result<Known, Trouble> {
    if !account::can_be_a_name(name) {
        return Err(Trouble::Unknown);
    }
    let (mut known, mut unusable) = (None, false);
    each_line(PASSWD, |line| match account::passwd(line, name) {
        Line::Other => ControlFlow::Continue(()),
        Line::Unusable => {
            unusable = true;
            ControlFlow::Break(())
        }
        Line::Found(Account {
            uid,
            gid,
            home,
            shell,
        }) => {
            known = Some(Known {
                uid,
                gid,
                home: home.to_vec(),
                shell: shell.to_vec(),
            });
            ControlFlow::Break(())
        }
    })?;
    if known.is_none() && !unusable && nss::IS_THERE {
        let account = asked(name, nss::account)?.filter(|account| account.uid != 0);
        known = account.map(|account| Known {
            uid: account.uid,
            gid: account.gid,
            home: account.home,
            shell: account.shell,
        });
    }
    known.ok_or(Trouble::Unknown)
}

/// Looks an account up by its number, and its name: the first line that can be understood decides.
pub fn find_numbered(uid: u32) -> Result<(Vec<u8>, Known), Trouble> {
    let mut known = None;
    each_line(PASSWD, |line| {
        let Some((name, account)) = account::passwd_numbered(line, uid) else {
            return ControlFlow::Continue(());
        };
        known = Some((
            name.to_vec(),
            Known {
                uid: account.uid,
                gid: account.gid,
                home: account.home.to_vec(),
                shell: account.shell.to_vec(),
            },
        ));
        ControlFlow::Break(())
    })?;
    if known.is_none() && nss::IS_THERE {
        let asked = nss::account_numbered(uid)
            .map_err(|error| Trouble::Unreadable("the account databases", error))?;
        known = asked
            .filter(|(_, account)| account.uid == uid && uid != 0)
            .map(|(name, account)| {
                let known = Known {
                    uid: account.uid,
                    gid: account.gid,
                    home: account.home,
                    shell: account.shell,
                };
                (name, known)
            });
    }
    known.ok_or(Trouble::Unknown)
}

/// Looks a group up.
pub fn find_group(name: &[u8]) -> Result<u32, Trouble> {
    numbers(&[name])?.first().copied().ok_or(Trouble::Unknown)
}

/// The account's own group, and every group that lists it, in the file's order. Source: `initgroups(3)`.
pub fn memberships(name: &[u8], gid: u32) -> Result<Vec<u32>, Trouble> {
    let mut groups = vec![gid];
    each_line(GROUP, |line| {
        if let Some(group) = account::group_with(line, name)
            && !groups.contains(&group)
        {
            groups.push(group);
        }
        ControlFlow::Continue(())
    })?;
    if nss::IS_THERE {
        for group in asked(name, |name| nss::groups(name, gid))? {
            if group != 0 && !groups.contains(&group) {
                groups.push(group);
            }
        }
    }
    Ok(groups)
}

/// The account of these names: in its own group alone, or in the groups that are named, the first of which is its own.
pub fn identity(user: &[u8], groups: &[&[u8]]) -> Result<Identity, Trouble> {
    let known = find(user)?;
    if groups.is_empty() {
        return Ok(Identity::alone(known.uid, known.gid));
    }
    let groups = numbers(groups)?;
    Ok(Identity {
        uid: known.uid,
        gid: *groups.first().ok_or(Trouble::Unknown)?,
        groups,
    })
}

/// The numbers of groups by name, in the order of the names. The first line of a name decides.
fn numbers(names: &[&[u8]]) -> Result<Vec<u32>, Trouble> {
    if !names.iter().all(|name| account::can_be_a_name(name)) {
        return Err(Trouble::Unknown);
    }
    let mut found = vec![Line::Other; names.len()];
    each_line(GROUP, |line| {
        for (place, name) in found.iter_mut().zip(names) {
            if *place == Line::Other {
                *place = account::group(line, name);
            }
        }
        if found.contains(&Line::Other) {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    let number = |(line, name): (_, &&[u8])| match line {
        Line::Found(gid) => Ok(gid),
        Line::Other if nss::IS_THERE => asked(name, nss::group)?
            .filter(|&gid| gid != 0)
            .ok_or(Trouble::Unknown),
        Line::Other | Line::Unusable => Err(Trouble::Unknown),
    };
    found.into_iter().zip(names).map(number).collect()
}

/// Asks the switch. A database that does not answer is not one that knows nothing.
fn asked<T>(name: &[u8], ask: impl FnOnce(&CStr) -> io::Result<T>) -> Result<T, Trouble> {
    let name = CString::new(name).map_err(|_| Trouble::Unknown)?;
    ask(&name).map_err(|error| Trouble::Unreadable("the account databases", error))
}

/// Hands out a file's lines, without their newlines, until told to stop. A file that is not there has none.
fn each_line(
    path: &'static str,
    mut take: impl FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<(), Trouble> {
    let unreadable = |error| Trouble::Unreadable(path, error);
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(unreadable)?,
    };
    let mut chunk = [0; READ_SIZE];
    // The start of a line of which the rest is not read yet.
    let mut begun = Vec::new();
    loop {
        let length = match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(error)),
        };
        let mut rest = &chunk[..length];
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let flow = if begun.is_empty() {
                take(&rest[..end])
            } else {
                begun.extend_from_slice(&rest[..end]);
                let flow = take(&begun);
                begun.clear();
                flow
            };
            if flow.is_break() {
                return Ok(());
            }
            rest = &rest[end + 1..];
        }
        begun.extend_from_slice(rest);
        if begun.len() > LINE_SIZE_MAX {
            return Err(unreadable(io::Error::other(
                "a line of over a million bytes",
            )));
        }
    }
    if !begun.is_empty() {
        // Nothing is behind it, so it does not matter whether to go on.
        let _ = take(&begun);
    }
    Ok(())
}
