//! An open file of a log directory, and where in it the reader is.

use super::packed::Packed;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::rc::Rc;

const BLOCK: usize = 16 * 1024;

/// Device and inode.
pub type Id = (u64, u64);

/// An open file of the directory.
#[derive(Debug)]
pub struct Place {
    file: Rc<File>,
    pub id: Id,
    form: Form,
    /// The reader's mark says where in the list it is.
    pub settled: bool,
}

/// How its text is got.
#[derive(Debug)]
enum Form {
    /// From this offset on.
    Plain(u64),
    Gzip(Box<Packed>),
    /// Not at all: another program compressed it (zstd, xz, bzip2).
    Foreign,
}

impl Place {
    /// Opens a file at its start, if it is there. Only a finished one can be compressed.
    pub fn open(path: &Path, finished: bool) -> io::Result<Option<Place>> {
        let file = match File::open(path) {
            Ok(file) => Rc::new(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let is = file.metadata()?;
        let mut place = Place {
            file,
            id: (is.dev(), is.ino()),
            form: Form::Plain(0),
            settled: false,
        };
        if finished {
            place.form = place.start()?;
        }
        Ok(Some(place))
    }

    /// How it is read from its start; its first bytes tell, for a processor may write what it likes under any name.
    fn start(&self) -> io::Result<Form> {
        let mut head = [0; 4];
        let count = self.file.read_at(&mut head, 0)?;
        let head = &head[..count];
        let foreign: [&[u8]; 3] = [b"\x28\xb5\x2f\xfd", b"\xfd7zX", b"BZh"];
        Ok(if head.starts_with(b"\x1f\x8b") {
            Form::Gzip(Box::new(Packed::new(&self.file)))
        } else if foreign.iter().any(|magic| head.starts_with(magic)) {
            Form::Foreign
        } else {
            Form::Plain(0)
        })
    }

    /// Whether its text cannot be got.
    pub fn is_foreign(&self) -> bool {
        matches!(self.form, Form::Foreign)
    }

    /// Whether it ended before its end.
    pub fn is_torn(&self) -> bool {
        matches!(&self.form, Form::Gzip(packed) if packed.torn)
    }

    /// Whether it has no name any more.
    pub fn is_nameless(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.nlink() == 0)
    }

    /// Reads on into the block; 0 at the end.
    pub fn read(&mut self, block: &mut [u8]) -> Result<usize, Failure> {
        match &mut self.form {
            Form::Foreign => Ok(0),
            Form::Gzip(packed) => packed.read(block).map_err(Failure::Packed),
            Form::Plain(offset) => {
                let count = read_plain(&self.file, offset, block).map_err(Failure::File)?;
                *offset += count as u64;
                Ok(count)
            }
        }
    }

    /// The beginning of its text, wherever the reader is.
    pub fn head(&self, block: &mut [u8]) -> io::Result<usize> {
        match self.form {
            Form::Plain(_) => self.file.read_at(block, 0),
            Form::Foreign => Ok(0),
            Form::Gzip(_) => {
                let mut packed = Packed::new(&self.file);
                let mut filled = 0;
                while let Ok(count @ 1..) = packed.read(&mut block[filled..]) {
                    filled += count;
                }
                Ok(filled)
            }
        }
    }

    /// Goes back over newlines until `wanted` are found, to behind the last of them; else to the start. Whether they were
    /// found.
    ///
    /// `wanted` is decided at the very end of the log: an unfinished line there counts as one.
    pub fn back(&mut self, count: u64, wanted: &mut Option<u64>) -> io::Result<bool> {
        match &mut self.form {
            Form::Foreign => Ok(false),
            Form::Plain(offset) => {
                let found = back_plain(&self.file, count, wanted)?;
                *offset = found.unwrap_or(0);
                Ok(found.is_some())
            }
            // It cannot be read backwards: read once to be counted, and then again.
            Form::Gzip(packed) => {
                let there = Packed::new(&self.file).measure();
                if there.newlines == 0 && !there.unfinished {
                    return Ok(false);
                }
                let left = match wanted {
                    Some(left) => {
                        // Of a torn file. What follows does not go on with it.
                        *left -= u64::from(there.unfinished);
                        left
                    }
                    None => wanted.insert(match there.unfinished {
                        false => count.saturating_add(1),
                        true => count.max(1),
                    }),
                };
                if *left == 0 {
                    packed.pass();
                    return Ok(true);
                }
                let found = there.newlines >= *left;
                if found {
                    packed.skip(there.newlines - *left + 1);
                }
                *left = left.saturating_sub(there.newlines);
                Ok(found)
            }
        }
    }
}

/// Why a file cannot be read on.
#[derive(Debug)]
pub enum Failure {
    /// The file itself.
    File(io::Error),
    /// What is packed in it; the next file may be sound.
    Packed(io::Error),
}

fn read_plain(file: &File, offset: &mut u64, block: &mut [u8]) -> io::Result<usize> {
    let count = file.read_at(block, *offset)?;
    if count == 0 && file.metadata()?.len() < *offset {
        // Somebody emptied it (multilog never does): it begins anew.
        *offset = 0;
        return file.read_at(block, 0);
    }
    Ok(count)
}

fn back_plain(file: &File, count: u64, wanted: &mut Option<u64>) -> io::Result<Option<u64>> {
    let mut end = file.metadata()?.len();
    while end > 0 {
        let mut block = [0; BLOCK];
        let start = end.saturating_sub(BLOCK as u64);
        let block = &mut block[..(end - start) as usize];
        file.read_exact_at(block, start)?;
        let left = wanted.get_or_insert(match block.last() {
            Some(b'\n') => count.saturating_add(1),
            Some(_) | None => count.max(1),
        });
        for (at, _) in block.iter().enumerate().rev().filter(|(_, b)| **b == b'\n') {
            *left -= 1;
            if *left == 0 {
                return Ok(Some(start + at as u64 + 1));
            }
        }
        end = start;
    }
    Ok(None)
}
