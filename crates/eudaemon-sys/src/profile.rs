//! Where the processor's time goes: SIGPROF each so much of it, and a walk over the frame pointers of whoever it hit.
//!
//! The handler makes no system call, takes no lock and allocates nothing, so it may interrupt malloc, the loader, an unwinder or
//! itself on another thread, and a seccomp filter never sees it (but for the `rt_sigreturn` of every handler). It reads memory only
//! between the stack pointer and the end of the stack. Those ends are looked up in a table, read from `/proc/self/maps`
//! beforehand and again whenever a stack was not found in it.
//!
//! Interval timer and not `timer_create(2)`: before Linux 6.4 the signal of a process's CPU-time timer went to the main
//! thread whoever used the time; that of `ITIMER_PROF` goes to the thread it expired on (Linux
//! `kernel/time/posix-cpu-timers.c`, `check_cpu_itimer`). Its price: unlike a timer of `timer_create`, it outlives an `execve`, and
//! the new program would die of SIGPROF. So [`Sampler`] must be dropped before this process executes another program in its
//! place. A child that is forked does not have it (`setitimer(2)`).

use std::fs::File;
use std::io::{self, Read, Seek};
use std::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
use std::time::Duration;

/// Most frames of one stack; what called the outermost of them is cut off.
pub const FRAMES: usize = 64;
/// Samples that wait to be taken. At 1000 Hz these are two seconds.
const SLOTS: usize = 2048;
/// Most stacks, and most pieces of code, that are known.
const RANGES: usize = 2048;

const FREE: u32 = 0;
const WRITING: u32 = 1;
const FULL: u32 = 2;

struct Slot {
    state: AtomicU32,
    depth: AtomicUsize,
    frames: [AtomicUsize; FRAMES],
}

/// Ranges of addresses. Only ever appended to, so that it may be read at any moment; the newest wins.
struct Ranges {
    used: AtomicUsize,
    ends: Box<[(AtomicUsize, AtomicUsize)]>,
}

impl Ranges {
    fn new() -> Ranges {
        let ends = std::iter::repeat_with(Default::default).take(RANGES);
        Ranges {
            used: AtomicUsize::new(0),
            ends: ends.collect(),
        }
    }

    /// The newest range with this address in it.
    fn of(&self, address: usize) -> Option<(usize, usize)> {
        let used = self.used.load(Ordering::Acquire).min(RANGES);
        let known = self.ends[..used].iter().rev();
        known
            .map(|(from, to)| (from.load(Ordering::Relaxed), to.load(Ordering::Relaxed)))
            .find(|&(from, to)| (from..to).contains(&address))
    }

    /// Only by one thread at a time.
    fn add(&self, from: usize, to: usize) {
        if self.of(from) == Some((from, to)) {
            return;
        }
        let used = self.used.load(Ordering::Relaxed);
        if let Some(free) = self.ends.get(used) {
            free.0.store(from, Ordering::Relaxed);
            free.1.store(to, Ordering::Relaxed);
            self.used.store(used + 1, Ordering::Release);
        }
    }
}

/// What the handler works with. Made once, at the first start, and kept: a handler may still be in it when a sampler stops.
struct Workshop {
    slots: Box<[Slot]>,
    next: AtomicUsize,
    /// What may be a thread's stack.
    stacks: Ranges,
    /// That of the main thread, which ends where it always did and grows downwards.
    main: Ranges,
    code: Ranges,
    /// Samples for which there was no free slot.
    dropped: AtomicU64,
    /// Samples whose stack was not known, and which have one frame for that.
    strangers: AtomicU64,
}

static WORKSHOP: AtomicPtr<Workshop> = AtomicPtr::new(std::ptr::null_mut());
/// Whether there is a [`Sampler`].
static TAKEN: AtomicBool = AtomicBool::new(false);
/// Whether samples are wanted; a late signal finds it false.
static SAMPLING: AtomicBool = AtomicBool::new(false);

/// Registers at the moment of the signal.
struct Registers {
    counter: usize,
    stack: usize,
    frame: usize,
}

#[cfg(target_arch = "x86_64")]
fn registers(context: &libc::ucontext_t) -> Option<Registers> {
    let of = |name: i32| {
        let name = usize::try_from(name).ok()?;
        usize::try_from(*context.uc_mcontext.gregs.get(name)?).ok()
    };
    Some(Registers {
        counter: of(libc::REG_RIP)?,
        stack: of(libc::REG_RSP)?,
        // Any number may be in it, one that is negative too: it then is no frame.
        frame: of(libc::REG_RBP).unwrap_or(0),
    })
}

#[cfg(target_arch = "aarch64")]
fn registers(context: &libc::ucontext_t) -> Option<Registers> {
    let context = &context.uc_mcontext;
    Some(Registers {
        counter: usize::try_from(context.pc).ok()?,
        stack: usize::try_from(context.sp).ok()?,
        frame: usize::try_from(context.regs[29]).unwrap_or(0),
    })
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn registers(_: &libc::ucontext_t) -> Option<Registers> {
    None
}

/// The thread pointer: the address of the running thread's own block.
fn thread_pointer() -> usize {
    let pointer: usize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: reads one word at fs:0, where the x86-64 psABI, "Thread-Local Storage", has the thread pointer itself; every thread that runs
    // Rust code has one. Nothing is written, and the stack is not used.
    unsafe {
        std::arch::asm!("mov {}, fs:0", out(reg) pointer, options(nostack, preserves_flags, readonly));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: reads a register that user code may read (Arm ARM, TPIDR_EL0). Nothing else is touched.
    unsafe {
        std::arch::asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        pointer = 0;
    }
    pointer
}

extern "C" fn on_signal(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    if !SAMPLING.load(Ordering::Acquire) {
        return;
    }
    // SAFETY: it is null or a leaked box that nobody frees or borrows mutably.
    let workshop = unsafe { WORKSHOP.load(Ordering::Acquire).as_ref() };
    // SAFETY: with SA_SIGINFO the third argument points to a ucontext_t that lives until the handler returns (sigaction(2)).
    let context = unsafe { context.cast::<libc::ucontext_t>().as_ref() };
    let (Some(workshop), Some(registers)) = (workshop, context.and_then(registers)) else {
        return;
    };
    workshop.sample(&registers);
}

impl Workshop {
    fn new() -> Workshop {
        let slot = || Slot {
            state: AtomicU32::new(FREE),
            depth: AtomicUsize::new(0),
            frames: [const { AtomicUsize::new(0) }; FRAMES],
        };
        Workshop {
            slots: std::iter::repeat_with(slot).take(SLOTS).collect(),
            next: AtomicUsize::new(0),
            stacks: Ranges::new(),
            main: Ranges::new(),
            code: Ranges::new(),
            dropped: AtomicU64::new(0),
            strangers: AtomicU64::new(0),
        }
    }

    /// In the handler.
    fn sample(&self, registers: &Registers) {
        let slot = &self.slots[self.next.fetch_add(1, Ordering::Relaxed) % SLOTS];
        let free = slot
            .state
            .compare_exchange(FREE, WRITING, Ordering::Acquire, Ordering::Relaxed);
        if free.is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        slot.frames[0].store(registers.counter, Ordering::Relaxed);
        slot.depth
            .store(self.walk(registers, &slot.frames), Ordering::Relaxed);
        slot.state.store(FULL, Ordering::Release);
    }

    /// Where the stack that begins at `low` ends for sure.
    ///
    /// A thread's own block lies above its stack, in one mapping with it (glibc, musl). The table may know a mapping that is
    /// gone and has a shorter one in its place; that one too has both in it. A stack of any other make is not walked.
    fn end_of_stack(&self, low: usize) -> Option<usize> {
        let own = thread_pointer();
        match self.main.of(low) {
            Some((_, high)) => Some(high),
            None => self
                .stacks
                .of(low)
                .is_some_and(|(_, high)| (low..high).contains(&own))
                .then_some(own),
        }
    }

    /// How many frames there are, the first of which is known.
    fn walk(&self, registers: &Registers, frames: &[AtomicUsize; FRAMES]) -> usize {
        const WORD: usize = size_of::<usize>();
        let low = registers.stack;
        let Some(high) = self.end_of_stack(low) else {
            self.strangers.fetch_add(1, Ordering::Relaxed);
            return 1;
        };
        let (mut depth, mut frame, mut least) = (1, registers.frame, low);
        while depth < FRAMES {
            // A frame is two words, aligned, above the one before it, and all of it in this stack. So it comes to an end.
            let fits = frame >= least && frame.is_multiple_of(WORD);
            if !fits || frame.checked_add(2 * WORD).is_none_or(|end| end > high) {
                break;
            }
            let words: *const usize = std::ptr::with_exposed_provenance(frame);
            // SAFETY: `frame` is aligned, and both words lie between the stack pointer of this very thread and the end of its stack,
            // which `end_of_stack` knows to be readable throughout. Volatile: others' frames are no objects of ours.
            let (caller, back) = unsafe { (words.read_volatile(), words.add(1).read_volatile()) };
            if self.code.of(back).is_none() {
                break;
            }
            frames[depth].store(back, Ordering::Relaxed);
            depth += 1;
            least = frame + 2 * WORD;
            frame = caller;
        }
        depth
    }
}

/// The one profile of this process that is being taken.
#[derive(Debug)]
pub struct Sampler {
    maps: File,
    cpu: Duration,
    seen: u64,
}

/// What was taken since the last time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// Stacks that were handed over.
    pub samples: u64,
    /// Samples since the start for which there was no room.
    pub dropped: u64,
    /// Samples since the start of which only the innermost frame is known.
    pub strangers: u64,
}

impl Sampler {
    /// Begins to take a sample each `period` of processor time, of all threads together. The kernel's tick is the shortest there is (1 to 10
    /// ms). `maps` is `/proc/self/maps`, which may have been opened before a `chroot`.
    ///
    /// Only threads that do not block SIGPROF are seen; it is unblocked for the calling one. A system call that cannot be restarted
    /// (`signal(7)`) may end with EINTR. `WouldBlock`: there is a profile already. `ResourceBusy`: somebody else handles SIGPROF.
    /// `Unsupported`: not on this processor.
    pub fn start(maps: File, period: Duration) -> io::Result<Sampler> {
        if !cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        if TAKEN.swap(true, Ordering::AcqRel) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // From here on dropping it gives the place back.
        let mut sampler = Sampler {
            maps,
            cpu: crate::clock::process_cpu(),
            seen: 0,
        };
        let mut workshop = WORKSHOP.load(Ordering::Acquire);
        if workshop.is_null() {
            workshop = Box::leak(Box::new(Workshop::new()));
            WORKSHOP.store(workshop, Ordering::Release);
        }
        // Of the profile before this one.
        sampler.take(|_| ());
        sampler.workshop().dropped.store(0, Ordering::Relaxed);
        sampler.workshop().strangers.store(0, Ordering::Relaxed);
        sampler.look()?;
        install()?;
        SAMPLING.store(true, Ordering::Release);
        arm(period)?;
        Ok(sampler)
    }

    fn workshop(&self) -> &'static Workshop {
        // SAFETY: `start` stored a leaked box before there was a sampler to call this, and nobody frees or borrows it mutably.
        unsafe { &*WORKSHOP.load(Ordering::Acquire) }
    }

    /// Hands over what was sampled since the last call, innermost frame first, and looks for new stacks if one was missed.
    pub fn drain(&mut self, each: impl FnMut(&[usize])) -> io::Result<Taken> {
        let samples = self.take(each);
        let workshop = self.workshop();
        let strangers = workshop.strangers.load(Ordering::Relaxed);
        if strangers != self.seen {
            self.seen = strangers;
            self.look()?;
        }
        Ok(Taken {
            samples,
            dropped: workshop.dropped.load(Ordering::Relaxed),
            strangers,
        })
    }

    fn take(&mut self, mut each: impl FnMut(&[usize])) -> u64 {
        let (mut stack, mut samples) = ([0; FRAMES], 0);
        for slot in &self.workshop().slots {
            if slot.state.load(Ordering::Acquire) != FULL {
                continue;
            }
            let depth = slot.depth.load(Ordering::Relaxed).min(FRAMES);
            for (to, from) in stack.iter_mut().zip(&slot.frames[..depth]) {
                *to = from.load(Ordering::Relaxed);
            }
            slot.state.store(FREE, Ordering::Release);
            each(&stack[..depth]);
            samples += 1;
        }
        samples
    }

    /// The processor time this process has used since the start.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        crate::clock::process_cpu().saturating_sub(self.cpu)
    }

    /// The text of `/proc/self/maps` now.
    pub fn maps(&mut self) -> io::Result<String> {
        let mut text = String::new();
        self.maps.rewind()?;
        self.maps.read_to_string(&mut text)?;
        Ok(text)
    }

    /// Notes stacks and code that are not in the tables.
    fn look(&mut self) -> io::Result<()> {
        let text = self.maps()?;
        let workshop = self.workshop();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let (Some(range), Some(modes)) = (words.next(), words.next()) else {
                continue;
            };
            let Some((from, to)) = range.split_once('-') else {
                continue;
            };
            let (Ok(from), Ok(to)) = (
                usize::from_str_radix(from, 16),
                usize::from_str_radix(to, 16),
            ) else {
                continue;
            };
            // Not the kernel's own pages; they end above what a program can reach.
            if line.ends_with("[stack]") {
                workshop.main.add(from, to);
            } else if modes.starts_with("rw") {
                workshop.stacks.add(from, to);
            } else if modes.as_bytes().get(2) == Some(&b'x') {
                workshop.code.add(from, to);
            }
        }
        Ok(())
    }

    /// Takes no more samples. What has been taken can still be drained.
    pub fn stop(&self) {
        // An error leaves a timer that finds nothing wanted.
        let _ = arm(Duration::ZERO);
        SAMPLING.store(false, Ordering::Release);
        fence(Ordering::SeqCst);
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop();
        TAKEN.store(false, Ordering::Release);
    }
}

/// Opens a file to write a profile to: emptied, made with mode 0600 if it is new, and not through a symbolic link.
pub fn output(path: &std::path::Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?;
    Ok(File::from(file))
}

/// Puts the handler in place, once and for good: a signal that comes late must find it.
fn install() -> io::Result<()> {
    let handler = on_signal as extern "C" fn(_, _, _) as usize;
    // SAFETY: sigaction is plain memory for which all-zero bytes are a value: no flags, an empty mask, SIG_DFL.
    let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: a null new action only asks; the old one is written to our own local (sigaction(2)).
    if unsafe { libc::sigaction(libc::SIGPROF, std::ptr::null(), &raw mut before) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let free = [libc::SIG_DFL, libc::SIG_IGN, handler];
    if !free.contains(&before.sa_sigaction) {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    // SAFETY: as above.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
    // SAFETY: `action` is initialised, and its handler does only what signal-safety(7) allows: atomics and reads of its own stack.
    // The old action is not asked for.
    if unsafe { libc::sigaction(libc::SIGPROF, &raw const action, std::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: sigset_t is plain memory, and sigemptyset initialises all of it; pointers are to our own local.
    let refused = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGPROF);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut())
    };
    match refused {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// SIGPROF each `period` of processor time; zero is never.
fn arm(period: Duration) -> io::Result<()> {
    let secs = i64::try_from(period.as_secs()).unwrap_or(i64::MAX);
    let micros = i64::from(period.subsec_micros());
    // The kernel's struct itimerval: interval and first time, each of two longs.
    let timer: [libc::c_long; 4] = [secs, micros, secs, micros];
    // SAFETY: the kernel reads four longs, of a live local; the old timer is not asked for (setitimer(2)).
    // WHY NOT rustix: it has no setitimer.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_setitimer,
            libc::ITIMER_PROF,
            timer.as_ptr(),
            std::ptr::null_mut::<libc::c_long>(),
        )
    };
    if rc == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests;
