use super::*;

/// Walks a stack of these words as the main thread's, whose frame begins at the word of that index.
fn walked(words: &[usize], frame: Option<usize>) -> Vec<usize> {
    let workshop = Workshop::new();
    let ends = words.as_ptr_range();
    let (low, high) = (ends.start.expose_provenance(), ends.end.expose_provenance());
    workshop.main.add(low, high);
    workshop.code.add(0x1000, 0x2000);
    let registers = Registers {
        counter: 0x1111,
        stack: low,
        frame: frame.map_or(3, |index| low + index * size_of::<usize>()),
    };
    let frames = [const { AtomicUsize::new(0) }; FRAMES];
    let depth = workshop.walk(&registers, &frames);
    let frames = frames[..depth].iter();
    frames
        .skip(1)
        .map(|one| one.load(Ordering::Relaxed))
        .collect()
}

#[test]
fn a_stack_is_walked_to_its_end_and_no_further() {
    let mut words = vec![0_usize; 12];
    let at = |words: &[usize], index: usize| words[index..].as_ptr().expose_provenance();
    words[2] = at(&words, 6);
    words[3] = 0x1222;
    words[6] = at(&words, 10);
    words[7] = 0x1333;
    words[11] = 0x1444;
    assert_eq!(walked(&words, Some(2)), [0x1222, 0x1333, 0x1444]);
    // The last frame would reach out of it by a word.
    assert_eq!(walked(&words[..11], Some(2)), [0x1222, 0x1333]);
    // Back to itself, not aligned, not code, no frame pointer at all.
    words[6] = at(&words, 2);
    assert_eq!(walked(&words, Some(2)), [0x1222, 0x1333]);
    words[6] = at(&words, 10) + 1;
    assert_eq!(walked(&words, Some(2)), [0x1222, 0x1333]);
    words[7] = 0x3333;
    assert_eq!(walked(&words, Some(2)), [0x1222]);
    assert_eq!(walked(&words, None), []);
    words[2] = usize::MAX - 7;
    assert_eq!(walked(&words, Some(2)), [0x1222]);
}

/// A thread that may only read, write, exit and return from a signal handler is sampled, and lives. Source: `seccomp(2)`,
/// SECCOMP_SET_MODE_STRICT: any other call, and it would be killed.
#[test]
fn the_handler_makes_no_system_call() {
    static DONE: AtomicBool = AtomicBool::new(false);
    static AFTER: AtomicBool = AtomicBool::new(false);
    #[inline(never)]
    fn confined() -> u64 {
        let mut sum = 1_u64;
        while !DONE.load(Ordering::Relaxed) {
            sum = sum.rotate_left(3) ^ 5;
        }
        sum
    }
    let maps = File::open("/proc/self/maps").unwrap();
    let mut sampler = Sampler::start(maps, Duration::from_millis(2)).unwrap();
    // Never joined: its last call is its own.
    std::thread::spawn(|| {
        // SAFETY: it takes two numbers, and confines this thread alone, which does only what is allowed from here on.
        let refused = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_STRICT) };
        assert_eq!(refused, 0);
        std::hint::black_box(confined());
        AFTER.store(true, Ordering::Release);
        // SAFETY: ends this thread alone (_exit(2), "exit() system call"); it owns nothing that anybody waits for.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    });
    let began = std::time::Instant::now();
    let limit = Duration::from_secs(30);
    let code = confined as fn() -> u64 as usize;
    let mut hits = 0;
    while hits < 20 {
        assert!(began.elapsed() < limit, "{hits} samples");
        // Within a function of some hundred bytes, or what it calls in a build that inlines nothing.
        let inside = |frame: &usize| (code..code + 512).contains(frame);
        sampler
            .drain(|stack| hits += u32::from(stack.iter().any(inside)))
            .unwrap();
        crate::clock::pause(Duration::from_millis(5));
    }
    DONE.store(true, Ordering::Release);
    while !AFTER.load(Ordering::Acquire) {
        assert!(began.elapsed() < limit, "it was killed");
        std::thread::yield_now();
    }
}

#[test]
fn a_range_is_found_and_the_newest_wins() {
    let ranges = Ranges::new();
    ranges.add(10, 20);
    ranges.add(12, 14);
    assert_eq!(ranges.of(12), Some((12, 14)));
    assert_eq!(ranges.of(19), Some((10, 20)));
    assert_eq!(ranges.of(20), None);
    for from in 100..100 + 2 * RANGES {
        ranges.add(from, from + 1);
    }
    assert_eq!(ranges.of(12), Some((12, 14)));
    assert_eq!(ranges.of(99 + 2 * RANGES), None, "there is no room for it");
}
