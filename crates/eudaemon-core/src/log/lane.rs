//! What one log directory is to get next.

use super::fill::Fill;
use alloc::vec::Vec;

/// How much is collected for a directory before it must be written: a short line with a stamp is many times as long as
/// without, and memory is not to grow with it.
pub(super) const LANE_SIZE: usize = 128 * 1024;

/// Bytes on their way to a directory.
#[derive(Clone, Debug)]
pub struct Lane {
    /// How full its `current` will be then.
    pub(super) fill: Fill,
    /// Whether the present line goes there.
    pub(super) chosen: bool,
    /// Initialised memory; what is behind `length` means nothing. It is not truncated and grown for each piece.
    buffer: Vec<u8>,
    length: usize,
}

impl Lane {
    pub(super) const fn new(fill: Fill) -> Lane {
        Lane {
            fill,
            chosen: true,
            buffer: Vec::new(),
            length: 0,
        }
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    pub(super) const fn clear(&mut self) {
        self.length = 0;
    }

    /// Memory for so many more bytes, of which [`Lane::used`] tells how many there are then.
    pub(super) fn free(&mut self, most: usize) -> &mut [u8] {
        let end = self.length + most;
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
        &mut self.buffer[self.length..end]
    }

    pub(super) fn used(&mut self, length: usize) {
        let begun = self.length;
        self.length += length;
        self.fill.wrote(&self.buffer[begun..self.length]);
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let length = bytes.len();
        self.free(length).copy_from_slice(bytes);
        self.used(length);
    }
}

/// Copies a short text to the start of `to`; what lies behind it there is overwritten or not.
///
/// A call of the C library's memcpy costs more than the copying, for texts as short as lines.
#[inline]
pub(super) fn copy(to: &mut [u8], from: &[u8]) {
    let length = from.len();
    let to = &mut to[..length];
    if length >= 32 {
        let (blocks, _) = from.as_chunks::<32>();
        let (places, _) = to.as_chunks_mut::<32>();
        for (place, block) in places.iter_mut().zip(blocks) {
            *place = *block;
        }
        ends::<32>(to, from);
    } else if length >= 16 {
        ends::<16>(to, from);
    } else if length >= 8 {
        ends::<8>(to, from);
    } else {
        for (place, byte) in to.iter_mut().zip(from) {
            *place = *byte;
        }
    }
}

/// Copies the first and the last `N` bytes, which may overlap.
#[inline]
fn ends<const N: usize>(to: &mut [u8], from: &[u8]) {
    if let (Some(place), Some(block)) = (to.first_chunk_mut::<N>(), from.first_chunk::<N>()) {
        *place = *block;
    }
    if let (Some(place), Some(block)) = (to.last_chunk_mut::<N>(), from.last_chunk::<N>()) {
        *place = *block;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_copy_is_the_same_whatever_its_length() {
        let from: Vec<u8> = (0..200u8).collect();
        for length in 0..from.len() {
            let mut to = vec![0xff; 300];
            copy(&mut to, &from[..length]);
            assert_eq!(&to[..length], &from[..length], "{length}");
            assert!(to[length..].iter().all(|&byte| byte == 0xff), "{length}");
        }
    }
}
