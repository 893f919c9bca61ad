//! A process that was forked off to start programs later, and that nothing else is to have to do with.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Makes a forked process stand apart, before it does anything else.
///
/// - Every signal that can be is ignored, but those of its own faults and SIGCHLD: what is sent to all processes of a service is meant
///   for the service. It ends when its line does.
/// - Every descriptor but 0, 1, 2 and `keep` is closed: a listening socket would otherwise be listened on for ever, and a lock held.
/// - It holds no directory but the root.
/// - No process without CAP_SYS_PTRACE can look into it or change it: not even one of the same user, which its service is when it
///   gives up no more than its root directory. Source: `prctl(2)`, PR_SET_DUMPABLE; `ptrace(2)`, "Ptrace access mode checking".
///
/// Nothing that owned one of the descriptors may be dropped in this process afterwards.
///
/// # Errors
/// Those of `chdir(2)` and `prctl(2)`.
pub fn stand_apart(keep: &impl AsFd) -> io::Result<()> {
    crate::signal::ignore_what_others_send();
    crate::process::close_inherited(&[keep.as_fd().as_raw_fd()]);
    rustix::process::chdir("/")?;
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}
