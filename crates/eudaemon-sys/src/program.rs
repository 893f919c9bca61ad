//! Becoming another program, as the links of a chain do: with the descriptors, signals and variables of whoever started
//! us, and what this link changes.

use core::ffi::{CStr, c_char, c_int};
use eudaemon_core::search::{Miss, Search};
use rustix::io::Errno;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

unsafe extern "C" {
    /// Source: `environ(7)`.
    static environ: *const *const c_char;
}

/// The strings of this process's environment.
fn strings() -> impl Iterator<Item = *const c_char> {
    // SAFETY: reading the pointer itself; nothing in these programs changes the environment (std's set_var is forbidden in
    // this house, and they have one thread).
    let mut next = unsafe { environ };
    std::iter::from_fn(move || {
        // SAFETY: `environ` is null or an array that ends with a null (environ(7)), and `next` has not passed that yet.
        if next.is_null() || unsafe { *next }.is_null() {
            return None;
        }
        // SAFETY: as above.
        let string = unsafe { *next };
        // SAFETY: the element is not the null at the end, so there is one behind it.
        next = unsafe { next.add(1) };
        Some(string)
    })
}

/// A variable of this process: the first of that name.
///
/// As `std::env::var_os`, but cheap enough for a link that asks for a dozen.
pub fn variable(name: &[u8]) -> Option<&'static OsStr> {
    let string = strings().find(|&string| names(string, name))?;
    // SAFETY: the strings end with a NUL and are never changed, as said in `strings`.
    let string: &'static CStr = unsafe { CStr::from_ptr(string) };
    Some(OsStr::from_bytes(&string.to_bytes()[name.len() + 1..]))
}

/// The variables of the next program: this process's own, with changes. Strings that stay are not copied.
#[derive(Debug)]
pub struct Variables {
    pointers: Vec<*const c_char>,
    changed: Vec<CString>,
}

impl Variables {
    /// This process's own.
    #[must_use]
    pub fn inherited() -> Variables {
        let mut pointers = Vec::with_capacity(64);
        pointers.extend(strings());
        Variables {
            pointers,
            changed: Vec::new(),
        }
    }

    /// Sets a variable.
    ///
    /// # Errors
    /// `ErrorKind::InvalidInput` for a NUL in it.
    pub fn set(&mut self, name: &[u8], value: &[u8]) -> io::Result<()> {
        self.put([name, b"=", value].concat())
    }

    /// Removes a variable; one that is not there is removed already.
    ///
    /// A name with a `=` in it sets what is before to what is behind, as it does in the original (observed: `envdir`
    /// with an empty file `E=F`).
    pub fn remove(&mut self, name: &[u8]) -> io::Result<()> {
        self.put(name.to_vec())
    }

    /// `NAME=VALUE` sets, `NAME` removes. The last string takes the place of one that goes, as in the original, so that
    /// the order is the same.
    ///
    /// Differs: of several strings with the name, the original removes the first, and the program would find the second.
    fn put(&mut self, entry: Vec<u8>) -> io::Result<()> {
        let entry = CString::new(entry)?;
        let bytes = entry.as_bytes();
        let name = bytes.iter().position(|&byte| byte == b'=');
        let (name, sets) = (&bytes[..name.unwrap_or(bytes.len())], name.is_some());
        let mut at = 0;
        while let Some(&string) = self.pointers.get(at) {
            if names(string, name) {
                self.pointers.swap_remove(at);
            } else {
                at += 1;
            }
        }
        if sets {
            self.pointers.push(entry.as_ptr());
            self.changed.push(entry);
        }
        Ok(())
    }
}

/// Whether a string of the environment is that variable's. Most differ in their first byte, so none is measured.
fn names(string: *const c_char, name: &[u8]) -> bool {
    let mut rest = string.cast::<u8>();
    for &byte in name {
        // SAFETY: every string of an environment ends with a NUL, the kernel's and those in `changed`; we stop there at the
        // latest, for a name has none.
        if byte == 0 || unsafe { *rest } != byte {
            return false;
        }
        // SAFETY: the byte was not the NUL, so there is one behind it.
        rest = unsafe { rest.add(1) };
    }
    // SAFETY: as above.
    unsafe { *rest == b'=' }
}

/// A program and its words, ready to be executed: [`Program::start`] allocates nothing, so limits may be set before.
#[derive(Debug)]
pub struct Program {
    name: OsString,
    path: Option<&'static OsStr>,
    /// Where the file's path is put together.
    file: Vec<u8>,
    _words: Vec<CString>,
    argv: Vec<*const c_char>,
    variables: Variables,
}

impl Program {
    /// A program to be looked for in the PATH of this process, not in that of `variables`. Its argument 0 is `zero`.
    ///
    /// # Errors
    /// `ErrorKind::InvalidInput` for a NUL in a word.
    pub fn new<'a>(
        name: &OsStr,
        zero: &'a OsStr,
        arguments: impl Iterator<Item = &'a OsStr>,
        mut variables: Variables,
    ) -> io::Result<Program> {
        let words = [zero].into_iter().chain(arguments);
        let words = words.map(|word| CString::new(word.as_bytes()));
        let words = words.collect::<Result<Vec<_>, _>>()?;
        let mut argv: Vec<_> = words.iter().map(|word| word.as_ptr()).collect();
        argv.push(core::ptr::null());
        variables.pointers.push(core::ptr::null());
        let mut program = Program {
            name: name.to_owned(),
            path: variable(b"PATH"),
            file: Vec::new(),
            _words: words,
            argv,
            variables,
        };
        let longest = program.search::<()>().longest();
        program.file.reserve_exact(longest);
        if program.name.as_bytes().contains(&0) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(program)
    }

    fn search<E>(&self) -> Search<'_, E> {
        Search::new(self.name.as_bytes(), self.path.map(OsStr::as_bytes))
    }

    /// Becomes the program; returns only to say why not.
    ///
    /// What our own start changed is first as it was: SIGPIPE, and the descriptors 0, 1 and 2.
    pub fn start(mut self) -> io::Error {
        crate::start::hand_back();
        let mut file = core::mem::take(&mut self.file);
        let mut search = self.search();
        while search.next_file(&mut file) {
            file.push(0);
            // SAFETY: the path, the words and the variables end with a NUL, both arrays with a null, and all are ours to
            // the end of the call (execve(2)). The path has no NUL before: PATH and the name come from such strings.
            unsafe {
                libc::execve(
                    file.as_ptr().cast(),
                    self.argv.as_ptr(),
                    self.variables.pointers.as_ptr(),
                )
            };
            let error = io::Error::last_os_error();
            let miss = match error.raw_os_error() {
                Some(libc::ENOENT) => Miss::NotThere,
                Some(libc::EACCES | libc::EPERM | libc::EISDIR) => Miss::Refused,
                _ => Miss::Broken,
            };
            search.missed(miss, error);
        }
        search
            .outcome()
            .unwrap_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Closes one of the descriptors 0, 1 and 2 for the program this process will become.
pub fn close_stream(number: u8) {
    debug_assert!(number < 3, "the others are owned by somebody");
    // SAFETY: std's handles of these three are used without owning them; a later message fails, as it does in C.
    unsafe { libc::close(c_int::from(number)) };
}

/// Lets the next program have this descriptor, and `more` copies of it.
pub fn hand_on(fd: &impl AsFd, more: usize) -> io::Result<Vec<OwnedFd>> {
    rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())?;
    let copies = (0..more).map(|_| rustix::io::dup(fd).map_err(io::Error::from));
    copies.collect()
}

/// Adds to the nice value; the system keeps it within its bounds. Source: `nice(2)`.
pub fn add_niceness(more: i32) -> io::Result<()> {
    let now = rustix::process::getpriority_process(None)?;
    let wanted = now.saturating_add(more);
    match rustix::process::setpriority_process(None, wanted) {
        // What setpriority(2) calls EACCES, nice(2) calls EPERM, and the family's messages with it.
        Err(Errno::ACCESS) => Err(Errno::PERM.into()),
        done => Ok(done?),
    }
}

/// Makes the working directory the root of this process. Source: `chroot(2)`.
pub fn make_here_the_root() -> io::Result<()> {
    Ok(rustix::process::chroot(c".")?)
}

#[cfg(test)]
mod tests;
