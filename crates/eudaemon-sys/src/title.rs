//! The text `ps` shows for this process, changed where the kernel keeps it.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

/// Fields of `/proc/self/stat`, by their numbers in proc_pid_stat(5).
fn stat_fields<const N: usize>(numbers: [usize; N]) -> io::Result<[u64; N]> {
    let stat = crate::file::read_procfs(File::open("/proc/self/stat")?)?;
    // The name in the second field may hold anything, so the fields are counted behind its closing parenthesis, which stands
    // where field 2 ends.
    let after = stat.iter().rposition(|&byte| byte == b')');
    let text = after.and_then(|at| str::from_utf8(&stat[at..]).ok());
    let fields: Vec<&str> = text.unwrap_or("").split_ascii_whitespace().collect();
    let mut values = [0; N];
    for (value, number) in values.iter_mut().zip(numbers) {
        let field = fields.get(number - 2).and_then(|field| field.parse().ok());
        *value = field.ok_or(io::ErrorKind::InvalidData)?;
    }
    Ok(values)
}

/// What `ps` shows in place of this process's words, whatever their length was.
///
/// The kernel reads a process's words from its memory, between two addresses which a process may move, its own and its
/// environment's apart: so the title has a page of its own, and the words and the environment, which `getenv(3)` and
/// `std::env` still read, stay as they are. Needs `CONFIG_CHECKPOINT_RESTORE`, which every distribution's kernel has, and no
/// capability (`prctl(2)`, PR_SET_MM_MAP; observed as user 65534 on Linux 6.18). Where that is refused, the title takes the
/// place of the words, and is as long as they were at most.
///
/// The name of the thread, which `ps -o comm` shows, is another thing and stays. Taken before threads start and before
/// privileges are given up, it can be set at any time after both, and in a chroot.
#[derive(Debug)]
pub struct Title(Mutex<Place>);

#[derive(Debug)]
enum Place {
    Page(Page),
    /// The words' own place. Written through procfs: the standard library reads this memory when somebody asks for the words,
    /// which is no business of the memory model only if the kernel writes it.
    Words {
        memory: File,
        start: u64,
        length: usize,
    },
}

/// A page of memory that nothing else uses, and how much of it is not zero, but for its end.
#[derive(Debug)]
struct Page {
    base: *mut u8,
    used: usize,
}

// SAFETY: the page is never unmapped, and written only through a value behind a lock.
unsafe impl Send for Page {}

/// The kernel shows that much of a title at most, with its NUL. Source: Linux `fs/proc/base.c`, `get_mm_proctitle`.
const PAGE: usize = 4096;

/// The kernel's `struct prctl_mm_map`. Source: `linux/prctl.h`.
#[repr(C)]
#[derive(Clone, Copy)]
struct MemoryMap {
    addresses: [u64; 11],
    auxv: *const u64,
    auxv_size: u32,
    exe_fd: u32,
}

impl Title {
    /// Takes the place where `ps` looks. What it shows does not change by this.
    ///
    /// # Errors
    /// No procfs, or no memory.
    pub fn take() -> io::Result<Title> {
        Title::page().or_else(|_| Title::words())
    }

    /// The same within the place of the words, as where the kernel refuses any other.
    ///
    /// # Errors
    /// No procfs, or `/proc/self/mem` may not be opened, as after a drop of privileges.
    pub fn words() -> io::Result<Title> {
        let [start, end] = stat_fields([48, 49])?;
        let length = usize::try_from(end.saturating_sub(start)).unwrap_or(0);
        if length == 0 {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let mut options = std::fs::OpenOptions::new();
        let memory = options.write(true).open("/proc/self/mem")?;
        Ok(Title(Mutex::new(Place::Words {
            memory,
            start,
            length: length.min(PAGE),
        })))
    }

    fn page() -> io::Result<Title> {
        // As `ps` shows the words: a title ends at its first NUL.
        let words: Vec<_> = std::env::args_os().collect();
        let shown = words.join(std::ffi::OsStr::new(" "));
        // SAFETY: an anonymous private mapping at an address of the kernel's choice touches nothing of ours.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                PAGE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let mut page = Page {
            base: base.cast(),
            used: 0,
        };
        page.write(shown.as_bytes());
        let moved = page.show();
        if moved.is_err() {
            // SAFETY: it was mapped above, and nobody knows of it.
            unsafe { libc::munmap(base, PAGE) };
        }
        moved.map(|()| Title(Mutex::new(Place::Page(page))))
    }

    /// Shows this text. Control characters become blanks, for a terminal would obey them; what is too long is cut.
    ///
    /// # Errors
    /// None where the title has its own page; else those of writing `/proc/self/mem`.
    pub fn set(&self, text: &[u8]) -> io::Result<()> {
        let clean: Vec<u8> = text
            .iter()
            .map(|byte| if byte.is_ascii_control() { b' ' } else { *byte })
            .collect();
        // A writer that panicked left bytes, and nothing that could be wrong.
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Place::Page(page) => {
                page.write(&clean);
                Ok(())
            }
            Place::Words {
                memory,
                start,
                length,
            } => memory.write_all_at(&laid_out(&clean, *length), *start),
        }
    }
}

/// The bytes of a place of this length. If the last is no NUL, the kernel takes it for a title and shows what is before the
/// first. Source: Linux `fs/proc/base.c`, `get_mm_cmdline`.
fn laid_out(text: &[u8], length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let end = text.len().min(length.saturating_sub(2));
    bytes[..end].copy_from_slice(&text[..end]);
    if length > 1 {
        bytes[length - 1] = 1;
    }
    bytes
}

impl Page {
    fn write(&mut self, text: &[u8]) {
        let text = &text[..text.len().min(PAGE - 2)];
        let rest = std::iter::repeat_n(&0, self.used.saturating_sub(text.len()));
        for (at, byte) in text.iter().chain(rest).enumerate() {
            self.put(at, *byte);
        }
        self.put(PAGE - 1, 1);
        self.used = text.len();
    }

    fn put(&mut self, at: usize, byte: u8) {
        assert!(at < PAGE);
        // SAFETY: within the page, which is ours alone: the kernel reads it for others, and gets a part of the old and a part
        // of the new at worst. Volatile, because nothing of this program ever reads it.
        unsafe { self.base.add(at).write_volatile(byte) };
    }

    /// Tells the kernel that the words are here.
    fn show(&self) -> io::Result<()> {
        // In the order of the structure: code, data, brk, the stack, the words, the environment; brk itself is not in stat.
        let [
            code,
            code_end,
            stack,
            data,
            data_end,
            brk_start,
            env,
            env_end,
        ] = stat_fields([26, 27, 28, 45, 46, 47, 50, 51])?;
        let here = self.base as u64;
        let mut map = MemoryMap {
            addresses: [
                code,
                code_end,
                data,
                data_end,
                brk_start,
                0,
                stack,
                here,
                here + PAGE as u64,
                env,
                env_end,
            ],
            auxv: std::ptr::null(),
            auxv_size: 0,
            exe_fd: u32::MAX,
        };
        // SAFETY: sbrk(0) changes nothing. Nothing is allocated until the call below, so it stays true.
        // WHY NOT libc's sbrk: musl's knows no other argument than 0 and rustix has none; both would do.
        map.addresses[5] = unsafe { libc::sbrk(0) } as u64;
        // SAFETY: the kernel reads the structure, of that size, and checks every address; the words' are of a mapping that
        // stays for ever, and all others are as they were.
        let rc = unsafe {
            libc::prctl(
                libc::PR_SET_MM,
                libc::PR_SET_MM_MAP as libc::c_ulong,
                &raw const map,
                size_of::<MemoryMap>(),
                0 as libc::c_ulong,
            )
        };
        if rc == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

/// The place of the last argument in this process's memory.
#[derive(Debug)]
pub struct LastArgument {
    memory: File,
    start: u64,
}

impl LastArgument {
    /// Finds the last argument, which must be `length` bytes long without its closing NUL.
    ///
    /// Source: proc(5), `/proc/pid/stat` field 49 `arg_end`: the arguments end there, one behind the NUL of the last.
    /// The bytes are changed through `/proc/self/mem`, which needs no `unsafe`: the copy Rust keeps of the arguments
    /// points elsewhere, and nothing in this process reads the original again.
    pub fn find(length: usize) -> io::Result<LastArgument> {
        let [end] = stat_fields([49])?;
        let start = end
            .checked_sub(1 + length as u64)
            .ok_or(io::ErrorKind::InvalidData)?;
        let memory = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/proc/self/mem")?;
        Ok(LastArgument { memory, start })
    }

    /// Reads the argument back as it stands.
    pub fn read(&self, into: &mut [u8]) -> io::Result<()> {
        self.memory.read_exact_at(into, self.start)
    }

    /// Overwrites the argument; `text` must be as long as it was found to be.
    pub fn write(&self, text: &[u8]) -> io::Result<()> {
        self.memory.write_all_at(text, self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_laid_out_so_that_its_end_is_seen() {
        assert_eq!(laid_out(b"web", 6), b"web\0\0\x01");
        assert_eq!(laid_out(b"web: running", 6), b"web:\0\x01");
        assert_eq!(laid_out(b"web", 1), b"\0");
        assert_eq!(laid_out(b"", 2), b"\0\x01");
    }

    #[test]
    fn the_last_argument_is_found_and_changed_where_ps_reads_it() {
        let shown = || {
            let line = std::fs::read("/proc/self/cmdline").expect("our own");
            let line = line.strip_suffix(b"\0").unwrap_or(&line).to_vec();
            line.rsplit(|&byte| byte == 0)
                .next()
                .map(<[u8]>::to_vec)
                .expect("there is always one")
        };
        let before = shown();
        let place = LastArgument::find(before.len()).expect("procfs is mounted");
        let mut read = vec![0; before.len()];
        place.read(&mut read).expect("our own memory");
        assert_eq!(read, before);
        place
            .write(&vec![b'.'; before.len()])
            .expect("our own memory");
        assert_eq!(shown(), vec![b'.'; before.len()]);
        place.write(&before).expect("our own memory");
    }
}
