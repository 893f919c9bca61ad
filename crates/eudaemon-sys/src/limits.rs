//! What the kernel lets this process use.

use eudaemon_core::limits::{Limit, Resource};
use std::io;

/// What a limit is.
pub fn get(resource: Resource) -> io::Result<Limit> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to our own live local, which the call fills (getrlimit(2)).
    // WHY NOT rustix: its getrlimit has no error, and an error here must be told.
    if unsafe { libc::getrlimit(number(resource) as _, &raw mut limit) } == 0 {
        Ok(Limit {
            soft: limit.rlim_cur,
            hard: limit.rlim_max,
        })
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Sets a limit.
pub fn set(resource: Resource, limit: Limit) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: limit.soft,
        rlim_max: limit.hard,
    };
    // SAFETY: the pointer is to our own live local, which the call reads (setrlimit(2)).
    // WHY NOT rustix: as above, so that both speak of the same numbers.
    if unsafe { libc::setrlimit(number(resource) as _, &raw const limit) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn number(resource: Resource) -> libc::c_int {
    (match resource {
        Resource::AddressSpace => libc::RLIMIT_AS,
        Resource::Core => libc::RLIMIT_CORE,
        Resource::Data => libc::RLIMIT_DATA,
        Resource::FileSize => libc::RLIMIT_FSIZE,
        Resource::LockedMemory => libc::RLIMIT_MEMLOCK,
        Resource::OpenFiles => libc::RLIMIT_NOFILE,
        Resource::Processes => libc::RLIMIT_NPROC,
        Resource::Resident => libc::RLIMIT_RSS,
        Resource::Stack => libc::RLIMIT_STACK,
        Resource::CpuSeconds => libc::RLIMIT_CPU,
    }) as libc::c_int
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_set_and_read_back() {
        let before = get(Resource::Core).expect("Linux counts it");
        let lower = Limit { soft: 0, ..before };
        set(Resource::Core, lower).expect("lowering is always allowed");
        assert_eq!(get(Resource::Core).expect("as before"), lower);
    }
}
