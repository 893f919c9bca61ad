//! Memory that only a start needed.

/// Unmaps the pages of this program's code. Each comes back from the page cache when it is executed next.
///
/// A long-lived process executes little of its program once it waits, but keeps mapped whatever its start touched, and
/// what the kernel mapped around that. Only mappings that are executable and not writable are given back: those hold
/// nothing but the file's own bytes. Source: `madvise(2)`, MADV_DONTNEED; `proc_pid_maps(5)`.
pub fn release_code() {
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else {
        return;
    };
    let program = std::fs::read_link("/proc/self/exe").unwrap_or_default();
    for line in maps.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(range), Some(modes)) = (words.next(), words.next()) else {
            continue;
        };
        if modes != "r-xp" || words.nth(3).map(std::path::Path::new) != Some(&program) {
            continue;
        }
        let mut ends = range
            .split('-')
            .filter_map(|end| usize::from_str_radix(end, 16).ok());
        if let (Some(from), Some(to)) = (ends.next(), ends.next()) {
            let start: *mut libc::c_void = std::ptr::with_exposed_provenance_mut(from);
            // SAFETY: the range is one whole mapping of our program's file, private and never written (`r-xp`; we have no
            // text relocations), so the next access reads the same bytes again from the file.
            unsafe { libc::madvise(start, to.saturating_sub(from), libc::MADV_DONTNEED) };
        }
    }
}

/// Gives what the allocator keeps unused back to the system; whether it could do such a thing. Source: `malloc_trim(3)`,
/// of glibc alone; musl gives back what it can by itself.
pub fn trim() -> bool {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: it takes a number and may be called by any thread at any time: it locks what it looks at
        // (malloc_trim(3), "Attributes": MT-Safe).
        unsafe { libc::malloc_trim(0) };
        true
    }
    #[cfg(not(target_env = "gnu"))]
    false
}

/// Overwrites bytes with zeros that the compiler may not leave out because nobody reads them again.
pub fn wipe(bytes: &mut [u8]) {
    for byte in bytes {
        // SAFETY: a unique reference to a byte may be written through.
        // WHY NOT fill: memory about to be freed need not be written, and the optimizer knows that.
        unsafe { std::ptr::write_volatile(byte, 0) };
    }
    std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
}
