//! Who is meant by a name, or by a number.

use super::{PrivError, Supplementary};
use eudaemon_core::account::{self, Identity};
use eudaemon_sys::accounts::{self, Trouble};

/// -1 of 16 bits, which old file systems and programs take for nobody at all.
const MINUS_ONE_OF_16_BITS: u32 = 65_535;

/// The numbers of who is named, and words with names and numbers. `None`: nobody is.
pub(super) fn who(
    user: Option<&str>,
    group: Option<&str>,
    supplementary: &Supplementary,
    allow_root: bool,
) -> Result<Option<(Identity, String)>, PrivError> {
    let Some(user) = user else {
        return match (group, supplementary) {
            (Some(group), _) => Err(PrivError::GroupAlone(group.into())),
            (None, Supplementary::Account) => Ok(None),
            (None, Supplementary::None | Supplementary::List(_)) => {
                Err(PrivError::SupplementaryAlone)
            }
        };
    };
    let found = find_user(user)?;
    if found.uid == 0 && !allow_root {
        return Err(PrivError::Root0(user.into()));
    }
    let (gid, whose) = match (group, found.gid) {
        (Some(group), _) => (find_group(group)?, format!("group {group}")),
        (None, Some(gid)) => (gid, "the account's own group".into()),
        (None, None) => return Err(PrivError::NoGroupOfNumber(found.uid)),
    };
    let groups = match (supplementary, &found.name) {
        (Supplementary::None, _) => Vec::new(),
        (Supplementary::List(names), _) => names
            .iter()
            .map(|name| find_group(name))
            .collect::<Result<_, _>>()?,
        (Supplementary::Account, Some(name)) => {
            accounts::memberships(name, gid).map_err(|trouble| trouble_of(trouble, user))?
        }
        // A number without an account: no group lists it.
        (Supplementary::Account, None) => vec![gid],
    };
    for number in groups.iter().chain([&gid]) {
        check_number(*number, group.unwrap_or(user))?;
    }
    if !allow_root && (gid == 0 || groups.contains(&0)) {
        return Err(PrivError::RootGroup(
            group.filter(|_| gid == 0).unwrap_or(user).into(),
        ));
    }
    let words = format!("user {user} ({}), {whose} ({gid})", found.uid);
    let uid = found.uid;
    Ok(Some((Identity { uid, gid, groups }, words)))
}

/// An account, or a number that is nobody's.
struct Found {
    uid: u32,
    gid: Option<u32>,
    name: Option<Vec<u8>>,
}

/// A name first, as it is everywhere in POSIX (`chown`, "user"), then a number, written plainly.
fn find_user(user: &str) -> Result<Found, PrivError> {
    let found = match accounts::find(user.as_bytes()) {
        Ok(known) => Found {
            uid: known.uid,
            gid: Some(known.gid),
            name: Some(user.into()),
        },
        Err(Trouble::Unknown) => {
            let uid = number(user)?.ok_or_else(|| PrivError::NoUser(user.into()))?;
            match accounts::find_numbered(uid) {
                Ok((name, known)) => Found {
                    uid,
                    gid: Some(known.gid),
                    name: Some(name),
                },
                Err(Trouble::Unknown) => Found {
                    uid,
                    gid: None,
                    name: None,
                },
                Err(trouble) => return Err(trouble_of(trouble, user)),
            }
        }
        Err(trouble) => return Err(trouble_of(trouble, user)),
    };
    check_number(found.uid, user)?;
    Ok(found)
}

fn find_group(group: &str) -> Result<u32, PrivError> {
    match accounts::find_group(group.as_bytes()) {
        Ok(gid) => Ok(gid),
        Err(Trouble::Unknown) => number(group)?.ok_or_else(|| PrivError::NoGroup(group.into())),
        Err(trouble) => Err(trouble_of(trouble, group)),
    }
}

/// What is plainly a number; -1, however it is written, is refused with its reason.
fn number(text: &str) -> Result<Option<u32>, PrivError> {
    if matches!(text, "-1" | "4294967295") {
        return Err(PrivError::NoNumber(text.into()));
    }
    Ok(account::id(text.as_bytes()))
}

fn check_number(number: u32, name: &str) -> Result<(), PrivError> {
    if matches!(number, u32::MAX | MINUS_ONE_OF_16_BITS) {
        return Err(PrivError::NoNumber(name.into()));
    }
    Ok(())
}

fn trouble_of(trouble: Trouble, name: &str) -> PrivError {
    match trouble {
        Trouble::Unknown => PrivError::NoUser(name.into()),
        Trouble::Unreadable(what, source) => PrivError::Accounts { what, source },
    }
}
