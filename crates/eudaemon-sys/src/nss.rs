//! The system's accounts and groups, as glibc's name service switch finds them: in files, in LDAP, in systemd.
//!
//! Source: `nsswitch.conf(5)`. The switch loads libraries when it is asked, so only a dynamic program has it. Other C
//! libraries answer `Unsupported`: whoever has no switch reads the files.

use std::ffi::CStr;
use std::io;

/// Whether there is a switch to ask.
pub const IS_THERE: bool = cfg!(target_env = "gnu");

/// What the switch says of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user's number.
    pub uid: u32,
    /// The number of the user's own group.
    pub gid: u32,
    /// The home directory.
    pub home: Vec<u8>,
    /// The shell.
    pub shell: Vec<u8>,
}

/// Looks an account up. `None`: there is none of that name. Source: `getpwnam_r(3)`.
///
/// # Errors
/// A database that does not answer: it is then not known whether there is such an account.
pub fn account(name: &CStr) -> io::Result<Option<Account>> {
    switch::account(name)
}

/// Looks an account up by its number: its name too. `None`: there is none. Source: `getpwuid_r(3)`.
///
/// # Errors
/// As [`account`].
pub fn account_numbered(uid: u32) -> io::Result<Option<(Vec<u8>, Account)>> {
    switch::account_numbered(uid)
}

/// Looks a group up by name. `None`: there is none. Source: `getgrnam_r(3)`.
///
/// # Errors
/// As [`account`].
pub fn group(name: &CStr) -> io::Result<Option<u32>> {
    switch::group(name)
}

/// The groups of an account: its own, which is `gid`, and those that list it. Source: `getgrouplist(3)`, which does not tell
/// when a database does not answer.
///
/// # Errors
/// More groups than the kernel takes.
pub fn groups(name: &CStr, gid: u32) -> io::Result<Vec<u32>> {
    switch::groups(name, gid)
}

#[cfg(not(target_env = "gnu"))]
mod switch {
    use super::Account;
    use std::ffi::CStr;
    use std::io;

    pub fn account(_: &CStr) -> io::Result<Option<Account>> {
        Err(io::ErrorKind::Unsupported.into())
    }
    pub fn account_numbered(_: u32) -> io::Result<Option<(Vec<u8>, Account)>> {
        Err(io::ErrorKind::Unsupported.into())
    }
    pub fn group(_: &CStr) -> io::Result<Option<u32>> {
        Err(io::ErrorKind::Unsupported.into())
    }
    pub fn groups(_: &CStr, _: u32) -> io::Result<Vec<u32>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(target_env = "gnu")]
mod switch {
    use super::Account;
    use std::ffi::{CStr, c_char, c_int};
    use std::io;
    use std::mem::MaybeUninit;
    use std::ptr;

    /// Room for an entry at first; more is given when it does not fit.
    const ENTRY_SIZE: usize = 4096;
    /// The longest entry: some hundred thousand members of a group.
    const ENTRY_SIZE_MAX: usize = 1 << 20;
    /// The kernel's own bound on the groups of a process. Source: `getgroups(2)`, NGROUPS_MAX.
    const GROUPS_MAX: usize = 65_536;

    pub fn account(name: &CStr) -> io::Result<Option<Account>> {
        entry(
            |entry: *mut libc::passwd, room, found| {
                // SAFETY: the name ends in a NUL; entry, room and found are ours and live during the call (getpwnam_r(3)).
                unsafe {
                    libc::getpwnam_r(name.as_ptr(), entry, room.as_mut_ptr(), room.len(), found)
                }
            },
            read_account,
        )
    }

    pub fn account_numbered(uid: u32) -> io::Result<Option<(Vec<u8>, Account)>> {
        entry(
            |entry: *mut libc::passwd, room, found| {
                // SAFETY: entry, room and found are ours and live during the call (getpwuid_r(3)).
                unsafe { libc::getpwuid_r(uid, entry, room.as_mut_ptr(), room.len(), found) }
            },
            |entry| (bytes(entry.pw_name), read_account(entry)),
        )
    }

    fn read_account(entry: &libc::passwd) -> Account {
        Account {
            uid: entry.pw_uid,
            gid: entry.pw_gid,
            home: bytes(entry.pw_dir),
            shell: bytes(entry.pw_shell),
        }
    }

    pub fn group(name: &CStr) -> io::Result<Option<u32>> {
        entry(
            |entry: *mut libc::group, room, found| {
                // SAFETY: as above (getgrnam_r(3)).
                unsafe {
                    libc::getgrnam_r(name.as_ptr(), entry, room.as_mut_ptr(), room.len(), found)
                }
            },
            |entry| entry.gr_gid,
        )
    }

    /// Asks for an entry with ever more room, and reads it while the room is there.
    fn entry<E, T>(
        ask: impl Fn(*mut E, &mut [c_char], *mut *mut E) -> c_int,
        read: impl FnOnce(&E) -> T,
    ) -> io::Result<Option<T>> {
        let mut size = ENTRY_SIZE;
        loop {
            let mut room: Vec<c_char> = vec![0; size];
            let mut entry = MaybeUninit::<E>::uninit();
            let mut found = ptr::null_mut();
            match ask(entry.as_mut_ptr(), &mut room, &mut found) {
                0 if found.is_null() => return Ok(None),
                // SAFETY: with 0 and a result that is not null, the result is our entry, filled in (getpwnam_r(3)); its
                // strings are in `room`, which lives until `read` has copied them.
                0 => return Ok(Some(read(unsafe { &*found }))),
                libc::ERANGE if size < ENTRY_SIZE_MAX => size *= 2,
                libc::EINTR => {}
                // What some databases say of a name they do not have. Source: getpwnam(3), ERRORS.
                libc::ENOENT | libc::ESRCH => return Ok(None),
                error => return Err(io::Error::from_raw_os_error(error)),
            }
        }
    }

    /// A string of an entry; a database may leave one out.
    fn bytes(text: *const c_char) -> Vec<u8> {
        if text.is_null() {
            return Vec::new();
        }
        // SAFETY: only called on the strings of an entry that was just filled in, which end in a NUL (getpwnam(3)) and are
        // not changed meanwhile.
        unsafe { CStr::from_ptr(text) }.to_bytes().to_vec()
    }

    pub fn groups(name: &CStr, gid: u32) -> io::Result<Vec<u32>> {
        let mut room = vec![gid; 64];
        loop {
            let mut count = c_int::try_from(room.len()).map_err(|_| io::ErrorKind::InvalidData)?;
            // SAFETY: the name ends in a NUL, and there is room for `count` groups (getgrouplist(3)).
            let told =
                unsafe { libc::getgrouplist(name.as_ptr(), gid, room.as_mut_ptr(), &mut count) };
            let count = usize::try_from(count).map_err(|_| io::ErrorKind::InvalidData)?;
            if told >= 0 {
                room.truncate(count);
                return Ok(room);
            }
            if room.len() >= GROUPS_MAX {
                return Err(io::Error::from_raw_os_error(libc::EINVAL));
            }
            // It says how many there are; should it not, there is more room all the same.
            room.resize(count.max(room.len() * 2).min(GROUPS_MAX), gid);
        }
    }
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;
    use std::ffi::CString;

    /// What `getent`, which asks the same switch, prints.
    #[allow(
        clippy::disallowed_methods,
        reason = "a test may start a program; no service is started here"
    )]
    fn getent(words: &[&str]) -> String {
        let asked = std::process::Command::new("getent").args(words).output();
        let out = asked.expect("getent comes with glibc").stdout;
        String::from_utf8(out).expect("names are ASCII here")
    }

    #[test]
    fn accounts_and_groups_are_those_that_getent_tells() {
        let lines = getent(&["passwd"]);
        assert!(lines.contains("root:"), "{lines}");
        // A machine may know very many.
        for line in lines.lines().take(64) {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, uid, gid, _, home, shell] = fields[..] else {
                panic!("{line}")
            };
            let name_c = CString::new(name).expect("no NUL");
            let told = account(&name_c).expect("the switch answers").expect(name);
            let wanted = Account {
                uid: uid.parse().expect(line),
                gid: gid.parse().expect(line),
                home: home.into(),
                shell: shell.into(),
            };
            assert_eq!(told, wanted, "{name}");
            let (_, numbered) = account_numbered(wanted.uid)
                .expect("the switch answers")
                .expect(name);
            assert_eq!(numbered.uid, wanted.uid, "{name}");
            let mut told = groups(&name_c, wanted.gid).expect("the switch answers");
            let initgroups = getent(&["initgroups", name]);
            let mut listed: Vec<u32> = initgroups
                .split_whitespace()
                .skip(1)
                .map(|gid| gid.parse().expect(line))
                .chain([wanted.gid])
                .collect();
            for groups in [&mut told, &mut listed] {
                groups.sort_unstable();
                groups.dedup();
            }
            assert_eq!(told, listed, "{name}");
        }
        for line in getent(&["group"]).lines().take(64) {
            let fields: Vec<&str> = line.split(':').collect();
            let name = CString::new(fields[0]).expect("no NUL");
            let told = group(&name).expect("the switch answers");
            assert_eq!(told, fields[2].parse().ok(), "{line}");
        }
        assert_eq!(
            account(c"no-such-account").expect("the switch answers"),
            None
        );
        assert_eq!(group(c"no-such-group").expect("the switch answers"), None);
    }
}
