//! Becoming somebody else, all the way or with an error. Core says in which order, and what proves it.

use eudaemon_core::account::{Identity, Seen, Step};
use rustix::io::Errno;
use rustix::process::{Gid, RawGid, RawUid, Uid};
use rustix::thread;
use std::io;

/// Why a process may not go on: it is not, or not only, who it was to be.
#[derive(Debug)]
pub struct Refusal {
    /// Where it failed.
    pub step: Step,
    /// The kernel's error, or our own words for a proof that failed.
    pub error: io::Error,
}

/// Makes this process, which must have one thread only, be of that identity, and proves it.
///
/// # Errors
/// The step that failed. The process is then neither what it was nor what it was to be: it must end, and execute nothing.
/// Source: `setgroups(2)`, `setresgid(2)`, `setresuid(2)`; they are made for the calling thread alone.
pub fn assume(identity: &Identity) -> Result<(), Refusal> {
    for step in Identity::ORDER {
        perform(step, identity).map_err(|error| Refusal { step, error })?;
    }
    Ok(())
}

fn perform(step: Step, identity: &Identity) -> io::Result<()> {
    match step {
        Step::Groups => {
            let groups = identity.groups.iter().map(|&raw| gid(raw));
            let groups: Vec<Gid> = groups.collect::<io::Result<_>>()?;
            thread::set_thread_groups(&groups)?;
        }
        Step::Gid => {
            let gid = gid(identity.gid)?;
            thread::set_thread_res_gid(gid, gid, gid)?;
        }
        Step::Uid => {
            let uid = uid(identity.uid)?;
            thread::set_thread_res_uid(uid, uid, uid)?;
        }
        Step::Proof => {
            if !identity.is_proven(&look(identity)?) {
                return Err(io::Error::other(
                    "the kernel did not give up every privilege",
                ));
            }
        }
    }
    Ok(())
}

/// Asks the kernel who this process is; one that is not to be root tries to be, which must fail.
fn look(identity: &Identity) -> io::Result<Seen> {
    let regained = identity.is_held()
        && (thread::set_thread_uid(Uid::ROOT).is_ok()
            || (identity.gid != 0 && thread::set_thread_gid(Gid::ROOT).is_ok()));
    let [mut uids, mut gids] = [[0; 3]; 2];
    let [real, effective, saved] = &mut uids;
    // SAFETY: the three pointers are to our own live locals (getresuid(2)). WHY NOT rustix: it tells two of the three.
    answer(unsafe { libc::getresuid(real, effective, saved) })?;
    let [real, effective, saved] = &mut gids;
    // SAFETY: as above (getresgid(2)).
    answer(unsafe { libc::getresgid(real, effective, saved) })?;
    let groups = rustix::process::getgroups()?;
    Ok(Seen {
        uids,
        gids,
        groups: groups.into_iter().map(Gid::as_raw).collect(),
        regained,
    })
}

fn answer(code: i32) -> io::Result<()> {
    if code == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Refuses the number that means "do not change" (`setresuid(2)`).
fn uid(raw: RawUid) -> io::Result<Uid> {
    if raw == RawUid::MAX {
        return Err(Errno::INVAL.into());
    }
    Ok(Uid::from_raw(raw))
}

/// As [`uid`].
fn gid(raw: RawGid) -> io::Result<Gid> {
    if raw == RawGid::MAX {
        return Err(Errno::INVAL.into());
    }
    Ok(Gid::from_raw(raw))
}
