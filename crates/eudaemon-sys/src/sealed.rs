//! Bytes in memory that never change again, to be handed on as a descriptor. Source: `memfd_create(2)`; `fcntl(2)`, "File Sealing".

use crate::errno;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

/// Without these somebody who has a copy of the descriptor may change what another is reading.
const ALL: SealFlags = SealFlags::SEAL
    .union(SealFlags::SHRINK)
    .union(SealFlags::GROW)
    .union(SealFlags::WRITE);

/// A file that has no name, is executed by nobody and never changes again, with these bytes. Its name is for `/proc` only.
///
/// Linux before 6.3 knows no word for "never executed", and is then not told.
///
/// # Errors
/// `EINVAL` for a name of more than 249 bytes; `EMFILE`, `ENOMEM`.
pub fn make(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = match rustix::fs::memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => rustix::fs::memfd_create(name, flags),
        made => made,
    }?;
    let mut file = std::fs::File::from(memory);
    file.write_all(bytes)?;
    rustix::fs::fcntl_add_seals(&file, ALL)?;
    Ok(file.into())
}

/// Whether it is a file in memory that never changes again; what cannot be sealed at all is not.
pub fn is(fd: impl AsFd) -> io::Result<bool> {
    match rustix::fs::fcntl_get_seals(fd) {
        Ok(seals) => Ok(seals.contains(ALL)),
        // INVAL: it is another kind of file. BADF: a descriptor of O_PATH.
        Err(Errno::INVAL | Errno::BADF) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What is in it, from its beginning: where another reader is does not matter.
///
/// # Errors
/// `EPERM` if it may change; `EFBIG` if it has more bytes than `most`.
pub fn read(fd: impl AsFd, most: usize) -> io::Result<Vec<u8>> {
    if !is(&fd)? {
        return Err(io::Error::from_raw_os_error(errno::EPERM));
    }
    let size = rustix::fs::fstat(&fd)?.st_size;
    let size = usize::try_from(size).ok().filter(|size| *size <= most);
    let size = size.ok_or_else(|| io::Error::from_raw_os_error(errno::EFBIG))?;
    let mut bytes = vec![0; size];
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match rustix::io::pread(&fd, rest, done as u64) {
            // Sealed, it cannot have become shorter.
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(more) => done += more,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Seek, SeekFrom};

    #[test]
    fn what_is_sealed_is_read_from_its_beginning_and_never_changes() {
        for bytes in [&b""[..], b"some", &[7; 100_000]] {
            let memory = make("test", bytes).unwrap();
            assert!(is(&memory).unwrap());
            let mut other = File::from(memory.try_clone().unwrap());
            other.seek(SeekFrom::End(0)).unwrap();
            assert_eq!(read(&memory, bytes.len()).unwrap(), bytes);
            assert_eq!(other.read(&mut [0; 8]).unwrap(), 0);
            assert!(other.write_all(b"x").is_err());
            assert!(
                other.set_len(1 << 20).is_err() && other.set_len(0).is_err() || bytes.is_empty()
            );
            if !bytes.is_empty() {
                let error = read(&memory, bytes.len() - 1).unwrap_err();
                assert_eq!(error.raw_os_error(), Some(errno::EFBIG));
            }
        }
    }

    #[test]
    fn what_may_change_is_refused() {
        let open = || {
            rustix::fs::memfd_create("open", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
                .unwrap()
        };
        let half = open();
        rustix::fs::fcntl_add_seals(&half, SealFlags::SHRINK | SealFlags::GROW).unwrap();
        let (pipe, _writes) = rustix::pipe::pipe().unwrap();
        let flags = rustix::fs::OFlags::PATH;
        let path = rustix::fs::open("/", flags, rustix::fs::Mode::empty()).unwrap();
        let file = OwnedFd::from(File::open("/proc/self/exe").unwrap());
        for fd in [open(), half, pipe, path, file] {
            assert!(!is(&fd).unwrap());
            let error = read(&fd, 100).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(errno::EPERM));
        }
    }

    /// A program that somebody hands on as a state is not executed.
    #[test]
    fn it_is_not_executed_where_the_kernel_can_promise_that() {
        let memory = make("test", b"#!/bin/sh\n").unwrap();
        let about = crate::file::about(&memory).unwrap();
        let knows = rustix::fs::memfd_create("t", MemfdFlags::NOEXEC_SEAL).is_ok();
        assert_eq!(about.mode & 0o111 == 0, knows);
    }
}
