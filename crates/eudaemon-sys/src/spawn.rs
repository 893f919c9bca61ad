//! From a list of steps to a child of our parent.
//!
//! The child is made with `CLONE_PARENT`: its parent is the keeper, not the engine that calls this. The kernel writes its
//! pid into memory that outlives the engine (`CLONE_PARENT_SETTID`), before the child runs and before the call returns, so
//! that an engine killed at any instruction leaves either no child or a child whose pid is on record.
//!
//! Memory and descriptors are shared until exec (`CLONE_VM`, `CLONE_VFORK`, `CLONE_FILES`): copying a table of thousands of
//! descriptors would cost each child two hundred kilobytes. What the child is granted is first put at low numbers, the
//! *stage*; then it takes a private table of only those (`close_range` with `CLOSE_RANGE_UNSHARE`).

use eudaemon_core::words::Pid;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::process::{Environment, Held};

/// Numbers 32 to 63 are ours; everything the engine opens lies beyond or is close-on-exec below. 64 is where the kernel's
/// small descriptor table ends (NR_OPEN_DEFAULT), so a child's table stays within its own structure.
const STAGES: [RawFd; 2] = [32, 48];
const STAGE_SIZE: usize = 16;
const STAGE_END: RawFd = 64;
/// Place of the working directory on the stage, after stdin, stdout and stderr.
const PLACE_DIR: usize = 3;
/// First place of further grants.
const PLACE_GRANTS: usize = 4;
/// Most further descriptors for one child.
pub const MOST_GRANTS: usize = STAGE_SIZE - PLACE_GRANTS;

/// What a child is to be.
#[derive(Debug)]
pub struct Child<'a> {
    /// The program, relative to `dir`.
    pub program: &'a CStr,
    /// Its arguments, the first being its name.
    pub argv: &'a [&'a CStr],
    /// Its environment.
    pub environment: &'a Environment,
    /// Its working directory.
    pub dir: BorrowedFd<'a>,
    /// Its stdin, stdout and stderr; ours where `None`.
    pub stdio: [Option<BorrowedFd<'a>>; 3],
    /// Further descriptors and the numbers it knows them by.
    pub grants: &'a [(BorrowedFd<'a>, u32)],
    /// It leads a session of its own.
    pub session: bool,
}

/// A step of the child's short life before exec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Step {
    /// It has its program.
    Done = 0,
    /// Placing its descriptors.
    Descriptors = 1,
    /// Entering its directory.
    Directory = 2,
    /// Restoring its limits.
    Limits = 3,
    /// Executing its program.
    Exec = 4,
}

/// A child exists.
#[derive(Debug)]
pub struct Spawned {
    /// Its pid.
    pub pid: Pid,
    /// Hold of it, where the kernel has pidfds.
    pub held: Option<Held>,
    /// It could not exec: at which step, and the kernel's error. It has ended, or is about to, with code 111.
    pub failed: Option<(Step, io::Error)>,
}

/// Which kernel call makes children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `clone3(2)`, Linux 5.3, with a pidfd.
    Clone3,
    /// `clone(2)`; a pidfd is opened afterwards where there are any.
    Clone,
    /// `clone(2)`, and no pidfds: for tests of what old kernels do.
    CloneWithoutPidfd,
}

/// Makes children.
#[derive(Debug)]
pub struct Spawner {
    /// What lies on the stage while nobody is spawned.
    null: OwnedFd,
    stack: Stack,
    method: Method,
    /// Soft and hard limit on open files that children get back.
    files: Option<(u64, u64)>,
}

#[derive(Debug)]
struct Stack {
    base: *mut libc::c_void,
}
const STACK_SIZE: usize = 64 * 1024;

/// What the child reads, and where it says why it failed. It lives on the engine's stack while the engine waits.
#[repr(C)]
struct Job {
    program: *const libc::c_char,
    argv: *const *const libc::c_char,
    envp: *const *const libc::c_char,
    stage: RawFd,
    stdio: [bool; 3],
    session: bool,
    grants: usize,
    numbers: [RawFd; MOST_GRANTS],
    files: Option<libc::rlimit>,
    step: u32,
    errno: i32,
}

impl Spawner {
    /// Prepares the stage and the children's stack. Call it before anything else is opened.
    ///
    /// `files`: the limit on open files children get, if ours was raised.
    pub fn new(method: Method, files: Option<(u64, u64)>) -> io::Result<Spawner> {
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
        let null = rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty())?;
        for number in STAGES[0]..STAGE_END {
            // SAFETY: numbers of the stage belong to this module alone (`new` runs before anything else is opened).
            if unsafe { libc::dup3(null.as_raw_fd(), number, libc::O_CLOEXEC) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        // SAFETY: an anonymous private mapping at an address of the kernel's choice touches nothing of ours.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                STACK_SIZE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Spawner {
            null,
            stack: Stack { base },
            method,
            files,
        })
    }

    /// The limit on open files that children get back, as given to [`Spawner::new`].
    #[must_use]
    pub fn files(&self) -> Option<(u64, u64)> {
        self.files
    }

    /// Makes a child whose parent is *our* parent. The kernel writes its pid into `record`, which should be zero and should
    /// outlive us. `Err`: there is no child.
    pub fn spawn(&mut self, child: &Child<'_>, record: &AtomicU32) -> io::Result<Spawned> {
        if child.grants.len() > MOST_GRANTS {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let stage = self.set_stage(child)?;
        let mut argv: Vec<*const libc::c_char> =
            child.argv.iter().map(|word| word.as_ptr()).collect();
        argv.push(std::ptr::null());
        let mut numbers = [-1; MOST_GRANTS];
        for (place, (_, number)) in numbers.iter_mut().zip(child.grants) {
            *place = RawFd::try_from(*number)
                .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        }
        let mut job = Job {
            program: child.program.as_ptr(),
            argv: argv.as_ptr(),
            envp: child.environment.pointers(),
            stage,
            stdio: child.stdio.map(|fd| fd.is_some()),
            session: child.session,
            grants: child.grants.len(),
            numbers,
            files: self.files.map(|(soft, hard)| libc::rlimit {
                rlim_cur: soft,
                rlim_max: hard,
            }),
            step: Step::Done as u32,
            errno: 0,
        };
        let made = loop {
            let made = match self.method {
                Method::Clone3 => self.by_clone3(&mut job, record),
                Method::Clone | Method::CloneWithoutPidfd => self.by_clone(&mut job, record),
            };
            match made {
                // Before 5.3, or forbidden by a container's seccomp filter that does not know it.
                Err(error)
                    if self.method == Method::Clone3
                        && matches!(
                            error.raw_os_error(),
                            Some(libc::ENOSYS | libc::EPERM | libc::EINVAL)
                        ) =>
                {
                    self.method = Method::Clone;
                }
                made => break made,
            }
        };
        self.clear_stage(stage, child);
        let (pid, pidfd) = made?;
        let Some(pid) = Pid::new(pid) else {
            return Err(io::Error::other("the kernel made a child without a pid"));
        };
        let held = match self.method {
            Method::Clone3 => pidfd.map(Held::from),
            Method::Clone => Held::open(pid).ok(),
            Method::CloneWithoutPidfd => None,
        };
        // The child wrote these while we were suspended; the compiler cannot know.
        // SAFETY: `job` is our own local; the child no longer runs on it, for CLONE_VFORK resumes us after its exec or end.
        let (step, errno) = unsafe {
            (
                std::ptr::read_volatile(&raw const job.step),
                std::ptr::read_volatile(&raw const job.errno),
            )
        };
        let failed = match step {
            0 => None,
            1 => Some(Step::Descriptors),
            2 => Some(Step::Directory),
            3 => Some(Step::Limits),
            _ => Some(Step::Exec),
        };
        Ok(Spawned {
            pid,
            held,
            failed: failed.map(|step| (step, io::Error::from_raw_os_error(errno))),
        })
    }

    /// Puts what the child is granted at the numbers of a stage none of whose numbers it asked for.
    fn set_stage(&self, child: &Child<'_>) -> io::Result<RawFd> {
        let wanted = |stage: RawFd| {
            child.grants.iter().any(|(_, number)| {
                RawFd::try_from(*number)
                    .is_ok_and(|n| (stage..stage + STAGE_SIZE as RawFd).contains(&n))
            })
        };
        let stage = STAGES
            .into_iter()
            .find(|stage| !wanted(*stage))
            .ok_or(io::ErrorKind::InvalidInput)?;
        let places = child
            .stdio
            .iter()
            .copied()
            .chain([Some(child.dir)])
            .chain(child.grants.iter().map(|(fd, _)| Some(*fd)));
        for (place, fd) in (stage..).zip(places) {
            if let Some(fd) = fd {
                // SAFETY: the numbers of the stage belong to this module; the source is borrowed, so it is open.
                if unsafe { libc::dup3(fd.as_raw_fd(), place, libc::O_CLOEXEC) } < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
        }
        Ok(stage)
    }

    /// Nothing may stay on the stage: a forgotten pipe end there would keep a logger from ever seeing the end.
    fn clear_stage(&self, stage: RawFd, child: &Child<'_>) {
        for number in (stage..).take(PLACE_GRANTS + child.grants.len()) {
            // SAFETY: the numbers of the stage belong to this module alone.
            unsafe { libc::dup3(self.null.as_raw_fd(), number, libc::O_CLOEXEC) };
        }
    }

    fn by_clone3(&self, job: &mut Job, record: &AtomicU32) -> io::Result<(u32, Option<OwnedFd>)> {
        let mut pidfd: i32 = -1;
        let flags = libc::CLONE_PARENT
            | libc::CLONE_PARENT_SETTID
            | libc::CLONE_PIDFD
            | libc::CLONE_VM
            | libc::CLONE_VFORK
            | libc::CLONE_FILES;
        // SAFETY: clone_args is plain memory for which zero bytes are a value.
        let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
        args.flags = u64::try_from(flags).unwrap_or(0);
        args.pidfd = (&raw mut pidfd) as u64;
        args.parent_tid = record.as_ptr() as u64;
        args.stack = self.stack.base as u64;
        args.stack_size = STACK_SIZE as u64;
        // SAFETY: `args` is complete: pidfd and parent_tid point to live memory, the stack is ours and used by nobody else
        // (one spawn at a time, `&mut self`), exit_signal is 0 as CLONE_PARENT demands (clone3(2)). The child runs
        // `in_child` on that stack and never returns; CLONE_VFORK suspends us until it is done with our memory.
        let rc = unsafe { clone3(&raw mut args, size_of::<libc::clone_args>(), job) };
        if rc < 0 {
            return Err(io::Error::from_raw_os_error(
                i32::try_from(-rc).unwrap_or(libc::EINVAL),
            ));
        }
        // SAFETY: the kernel put a fresh descriptor there, close-on-exec as all pidfds; nobody else knows it.
        let pidfd = (pidfd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(pidfd) });
        Ok((u32::try_from(rc).unwrap_or(0), pidfd))
    }

    fn by_clone(&self, job: &mut Job, record: &AtomicU32) -> io::Result<(u32, Option<OwnedFd>)> {
        extern "C" fn entry(job: *mut libc::c_void) -> libc::c_int {
            // SAFETY: `clone` passes on the pointer we gave it, to a job that lives until we are resumed.
            unsafe { in_child(job.cast()) }
        }
        let flags = libc::CLONE_PARENT
            | libc::CLONE_PARENT_SETTID
            | libc::CLONE_VM
            | libc::CLONE_VFORK
            | libc::CLONE_FILES;
        let top = self.stack.base.wrapping_byte_add(STACK_SIZE);
        // SAFETY: the stack is ours and grows down from `top`; the record outlives the call; the child never returns from
        // `in_child`, and CLONE_VFORK suspends us until it has executed or ended (clone(2)).
        let rc = unsafe {
            libc::clone(
                entry,
                top,
                flags,
                std::ptr::from_mut(job).cast(),
                record.as_ptr(),
            )
        };
        if rc < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok((u32::try_from(rc).unwrap_or(0), None))
        }
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this size, and no child runs on it outside `spawn`.
        unsafe { libc::munmap(self.stack.base, STACK_SIZE) };
    }
}

/// The system call, and in the child the jump to `in_child` on its own stack.
///
/// # Safety
/// As `clone3(2)`; with a stack, CLONE_VM and CLONE_VFORK.
#[cfg(target_arch = "x86_64")]
unsafe fn clone3(args: *mut libc::clone_args, size: usize, job: *mut Job) -> isize {
    let rc: isize;
    // SAFETY: the kernel clobbers rcx and r11 only (syscall(2)). In the child rax is 0 and rsp is the top of its stack: it
    // calls `in_child`, which never returns, so no frame of ours is ever used twice.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 as isize => rc,
            in("rdi") args,
            in("rsi") size,
            in("r12") job,
            in("r13") in_child as unsafe extern "C" fn(*mut Job) -> !,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    rc
}

/// The system call, and in the child the jump to `in_child` on its own stack.
///
/// # Safety
/// As `clone3(2)`; with a stack, CLONE_VM and CLONE_VFORK.
#[cfg(target_arch = "aarch64")]
unsafe fn clone3(args: *mut libc::clone_args, size: usize, job: *mut Job) -> isize {
    let rc: isize;
    // SAFETY: the kernel clobbers x0 only (syscall(2)). In the child x0 is 0 and sp is the top of its stack: it calls
    // `in_child`, which never returns, so no frame of ours is ever used twice.
    unsafe {
        std::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x20",
            "blr x21",
            "brk 1",
            "2:",
            inlateout("x0") args => rc,
            in("x1") size,
            in("x8") libc::SYS_clone3,
            in("x20") job,
            in("x21") in_child as unsafe extern "C" fn(*mut Job) -> !,
        );
    }
    rc
}

/// Elsewhere there is no such call yet.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn clone3(_args: *mut libc::clone_args, _size: usize, _job: *mut Job) -> isize {
    -(libc::ENOSYS as isize)
}

/// All the child does. No allocation, no lock, no unwinding: our parent's memory is ours.
///
/// # Safety
/// `job` is valid until the parent is resumed, which this function's end or exec does.
unsafe extern "C" fn in_child(job: *mut Job) -> ! {
    // SAFETY: the parent is suspended, so nobody else looks at the job.
    let job = unsafe { &mut *job };
    let failed = walk(job);
    job.step = failed as u32;
    // SAFETY: reads the thread's errno, which the suspended parent does not use.
    job.errno = unsafe { *libc::__errno_location() };
    // SAFETY: ends this process without running anything of the parent's.
    unsafe { libc::_exit(111) }
}

fn walk(job: &Job) -> Step {
    const UNSHARE: u32 = 2; // CLOSE_RANGE_UNSHARE, linux/close_range.h
    // SAFETY: closes and unshares descriptors only; the numbers from STAGE_END on are close-on-exec anyway. WHY NOT rustix:
    // between clone and exec we call nothing we cannot read to the bottom.
    let rc = unsafe { libc::syscall(libc::SYS_close_range, STAGE_END, u32::MAX, UNSHARE) };
    // SAFETY: as above; for Linux before 5.9.
    if rc != 0 && unsafe { libc::unshare(libc::CLONE_FILES) } != 0 {
        return Step::Descriptors;
    }
    if job.session {
        // SAFETY: touches no memory. It cannot fail: a fresh child leads no group.
        unsafe { libc::setsid() };
    }
    for (number, granted) in (0..).zip(job.stdio) {
        // SAFETY: the table is private now, and the stage holds the source.
        if granted && unsafe { libc::dup2(job.stage + number, number) } < 0 {
            return Step::Descriptors;
        }
    }
    // SAFETY: the stage holds the directory.
    if unsafe { libc::fchdir(job.stage + PLACE_DIR as RawFd) } != 0 {
        return Step::Directory;
    }
    for place in 0..job.grants {
        // SAFETY: the table is private, the stage holds the source, and no target lies on the stage (`set_stage`).
        if unsafe {
            libc::dup2(
                job.stage + (PLACE_GRANTS + place) as RawFd,
                job.numbers[place],
            )
        } < 0
        {
            return Step::Descriptors;
        }
    }
    if let Some(files) = &job.files {
        // SAFETY: the pointer is to a complete rlimit that lives as long as the job.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, files) } != 0 {
            return Step::Limits;
        }
    }
    // SAFETY: sigset_t is plain memory, initialised by sigemptyset; both are async-signal-safe (signal-safety(7)).
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
    // SAFETY: program, argv and envp are NUL-terminated and outlive the call: the parent is suspended (execve(2)).
    unsafe { libc::execve(job.program, job.argv, job.envp) };
    Step::Exec
}

/// The pid on record. Zero means the kernel made no child.
#[must_use]
pub fn recorded(record: &AtomicU32) -> Option<Pid> {
    Pid::new(record.load(Ordering::SeqCst))
}
