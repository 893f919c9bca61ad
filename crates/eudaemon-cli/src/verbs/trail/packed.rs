//! A finished file that was compressed with gzip, as the text it was made from: read from its start on, a block at a time.

use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::rc::Rc;

/// How much is read from the file at once.
const BLOCK: usize = 16 * 1024;
/// How much of it is unpacked at once. Of a damaged file, what follows the last sound piece of this size is lost.
const PIECE: usize = 256;

/// A reader of such a file. It holds tens of kilobytes, however long the file is.
#[derive(Debug)]
pub struct Packed {
    text: MultiGzDecoder<BufReader<BufReader<Bytes>>>,
    /// Text that was read and not given out.
    ahead: Vec<u8>,
    ended: bool,
    /// It ended before its end.
    pub torn: bool,
}

/// The bytes of a file that others read too.
#[derive(Debug)]
struct Bytes {
    file: Rc<File>,
    offset: u64,
}

impl Read for Bytes {
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(block, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

/// What a text is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    pub newlines: u64,
    /// Its last line has no newline.
    pub unfinished: bool,
}

impl Packed {
    pub fn new(file: &Rc<File>) -> Packed {
        let bytes = Bytes {
            file: Rc::clone(file),
            offset: 0,
        };
        let blocks = BufReader::with_capacity(BLOCK, bytes);
        Packed {
            text: MultiGzDecoder::new(BufReader::with_capacity(PIECE, blocks)),
            ahead: Vec::new(),
            ended: false,
            torn: false,
        }
    }

    /// Fills some of the block; 0 at the end. A failure is answered once, and is the end.
    pub fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        if !self.ahead.is_empty() {
            let count = self.ahead.len().min(block.len());
            block[..count].copy_from_slice(&self.ahead[..count]);
            self.ahead.drain(..count);
            return Ok(count);
        }
        if self.ended {
            return Ok(0);
        }
        loop {
            let read = self.text.read(block);
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(1..) => {}
                Ok(0) => self.ended = true,
                Err(_) => (self.ended, self.torn) = (true, true),
            }
            return read;
        }
    }

    /// Reads all that is left.
    pub fn measure(mut self) -> Measure {
        let mut block = [0; BLOCK];
        let mut whole = Measure::default();
        while let Ok(count @ 1..) = self.read(&mut block) {
            let text = &block[..count];
            whole.newlines += text.iter().filter(|&&byte| byte == b'\n').count() as u64;
            whole.unfinished = !text.ends_with(b"\n");
        }
        whole
    }

    /// Passes over so many lines that end.
    pub fn skip(&mut self, mut newlines: u64) {
        let mut block = [0; BLOCK];
        while newlines > 0 {
            let Ok(count @ 1..) = self.read(&mut block) else {
                return;
            };
            let text = &block[..count];
            for (at, _) in text.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
                newlines -= 1;
                if newlines == 0 {
                    self.ahead.extend_from_slice(&text[at + 1..]);
                    break;
                }
            }
        }
    }

    /// Passes over all that is left, sound or not.
    pub fn pass(&mut self) {
        self.ahead.clear();
        (self.ended, self.torn) = (true, false);
    }
}
