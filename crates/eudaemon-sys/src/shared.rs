//! Memory that outlives a process: a mapped file, or a memfd that is handed on.

use rustix::fs::{FlockOperation, MemfdFlags, Mode, OFlags};
use rustix::mm::{MapFlags, ProtFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

/// A shared mapping of a file, seen only through atomics: others may write it at any time.
#[derive(Debug)]
pub struct Shared {
    base: *mut u8,
    len: usize,
    file: OwnedFd,
}

// SAFETY: every access goes through an atomic; the mapping itself is never moved or unmapped before the value is dropped.
unsafe impl Send for Shared {}
// SAFETY: as above; shared references only ever hand out atomics.
unsafe impl Sync for Shared {}

impl Shared {
    /// Maps `len` bytes of the file at `path`, which is created (0600) or grown as needed and is not followed if it is a
    /// symbolic link. New bytes are zero and cost nothing until touched.
    ///
    /// The file is locked for as long as any copy of its descriptor is open; `WouldBlock` if it already is. Source: `flock(2)`.
    pub fn open(path: &Path, len: usize) -> io::Result<Shared> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?;
            rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            // Whoever had it before may have removed it when it was done; then this is nobody's file any more.
            let named = rustix::fs::stat(path).map(|stat| stat.st_ino);
            if named == Ok(rustix::fs::fstat(&file)?.st_ino) {
                return Shared::map(file, len);
            }
        }
    }

    /// Maps `len` bytes that no file system knows. Source: `memfd_create(2)`.
    pub fn anonymous(len: usize) -> io::Result<Shared> {
        Shared::map(
            rustix::fs::memfd_create("eudaemon-table", MemfdFlags::CLOEXEC)?,
            len,
        )
    }

    /// Maps `len` bytes of an open file, growing it if it is shorter.
    pub fn map(file: OwnedFd, len: usize) -> io::Result<Shared> {
        let size = rustix::fs::fstat(&file)?.st_size;
        if u64::try_from(size).unwrap_or(0) < len as u64 {
            rustix::fs::ftruncate(&file, len as u64)?;
        }
        // SAFETY: a fresh address chosen by the kernel, `len` bytes of a file that is at least as long; no Rust reference
        // is made to it except to atomics, for which any bytes are a value.
        let base = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                &file,
                0,
            )?
        };
        Ok(Shared {
            base: base.cast(),
            len,
            file,
        })
    }

    /// Makes every byte zero, by cutting the file and letting it grow again: pages that were never touched stay so.
    ///
    /// Nobody else may be using the mapping at that moment.
    pub fn clear(&self) -> io::Result<()> {
        rustix::fs::ftruncate(&self.file, 0)?;
        Ok(rustix::fs::ftruncate(&self.file, self.len as u64)?)
    }

    /// Removes the file's name; the mapping stays as long as somebody has it.
    pub fn unlink(&self) {
        let link = format!(
            "/proc/self/fd/{}",
            std::os::fd::AsRawFd::as_raw_fd(&self.file)
        );
        if let Ok(path) = std::fs::read_link(link) {
            // A memfd's link names no file, and a name that is gone is gone.
            let _ = std::fs::remove_file(path);
        }
    }

    /// Makes sure that there is memory behind `len` bytes from byte `at`: a file on a full tmpfs answers here, instead of
    /// ending the process with SIGBUS at the first touch. Source: `fallocate(2)`.
    pub fn reserve(&self, at: usize, len: usize) -> io::Result<()> {
        let flags = rustix::fs::FallocateFlags::KEEP_SIZE;
        Ok(rustix::fs::fallocate(
            &self.file, flags, at as u64, len as u64,
        )?)
    }

    /// The file behind it, to be handed on.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn slice<T>(&self, at: usize, count: usize) -> *const T {
        let end = count
            .checked_mul(size_of::<T>())
            .and_then(|bytes| bytes.checked_add(at));
        assert!(
            end.is_some_and(|end| end <= self.len),
            "a place beyond the table"
        );
        assert!(
            at.is_multiple_of(align_of::<T>()),
            "a place that is not aligned"
        );
        self.base.wrapping_add(at).cast()
    }

    /// `count` bytes from byte `at`. A given byte must always be seen at the same width.
    #[must_use]
    pub fn bytes(&self, at: usize, count: usize) -> &[AtomicU8] {
        // SAFETY: `slice` checked bounds and alignment; the mapping lives as long as `self`; atomics allow other writers.
        unsafe { std::slice::from_raw_parts(self.slice(at, count), count) }
    }
    /// `count` 32-bit words from byte `at`.
    #[must_use]
    pub fn words32(&self, at: usize, count: usize) -> &[AtomicU32] {
        // SAFETY: `slice` checked bounds and alignment; the mapping lives as long as `self`; atomics allow other writers.
        unsafe { std::slice::from_raw_parts(self.slice(at, count), count) }
    }
    /// `count` 64-bit words from byte `at`.
    #[must_use]
    pub fn words64(&self, at: usize, count: usize) -> &[AtomicU64] {
        // SAFETY: `slice` checked bounds and alignment; the mapping lives as long as `self`; atomics allow other writers.
        unsafe { std::slice::from_raw_parts(self.slice(at, count), count) }
    }

    /// Reads from `fd` straight into the mapping, so that what was read is there even if this process is killed before
    /// the call returns.
    pub fn read_from(&self, fd: impl AsFd, at: usize, len: usize) -> io::Result<usize> {
        let place = self.bytes(at, len);
        // SAFETY: `place` is `len` bytes of a live mapping that only atomics look at; the kernel is one more writer.
        let buffer = unsafe {
            std::slice::from_raw_parts_mut(
                place
                    .as_ptr()
                    .cast_mut()
                    .cast::<std::mem::MaybeUninit<u8>>(),
                len,
            )
        };
        let (read, _) = rustix::io::read(fd, buffer)?;
        Ok(read.len())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` with this length, and every borrow of it ends with `self`.
        let _ = unsafe { rustix::mm::munmap(self.base.cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::SeqCst;

    #[test]
    fn what_is_read_is_in_the_file() {
        let shared = Shared::anonymous(4096).expect("memfd");
        let (read, write) = rustix::pipe::pipe().expect("pipe");
        rustix::io::write(&write, b"du").expect("write");
        assert_eq!(shared.read_from(&read, 100, 64).expect("read"), 2);
        let again =
            Shared::map(shared.file().try_clone_to_owned().expect("dup"), 4096).expect("map");
        assert_eq!(again.bytes(100, 1)[0].load(SeqCst), b'd');
        again.words32(8, 1)[0].store(7, SeqCst);
        assert_eq!(shared.words32(8, 1)[0].load(SeqCst), 7);
    }
}
