//! Where lines end. Many bytes at a time, for this is most of the work of a logger.

const LOW: u64 = u64::from_ne_bytes([1; 8]);
const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
const SOUGHT: u64 = u64::from_ne_bytes([b'\n'; 8]);

/// Not zero exactly if the word holds a newline.
const fn marks(word: u64) -> u64 {
    let different = word ^ SOUGHT;
    // A byte is zero exactly if subtracting one borrows into its high bit and the bit was clear.
    different.wrapping_sub(LOW) & !different & HIGH
}

/// Where the first newline is.
#[inline]
pub(crate) fn first(bytes: &[u8]) -> Option<usize> {
    let (blocks, rest) = bytes.as_chunks::<32>();
    for (at, block) in blocks.iter().enumerate() {
        // Without a branch in it, this becomes a few instructions for the whole block.
        if block
            .iter()
            .fold(false, |found, &byte| found | (byte == b'\n'))
        {
            return in_words(block).map(|within| at * 32 + within);
        }
    }
    in_words(rest).map(|within| blocks.len() * 32 + within)
}

#[inline]
fn in_words(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let marks = marks(u64::from_le_bytes(*word));
        if marks != 0 {
            // The lowest mark is never a neighbour's borrow: borrows go upwards.
            return Some(at * 8 + marks.trailing_zeros() as usize / 8);
        }
    }
    let within = rest.iter().position(|&byte| byte == b'\n')?;
    Some(words.len() * 8 + within)
}

/// Where the last newline is.
pub fn last(bytes: &[u8]) -> Option<usize> {
    bytes.iter().rposition(|&byte| byte == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn the_newline_is_found_wherever_it_is() {
        for length in 0..100 {
            for at in 0..=length {
                for filling in [0x8au8, b'\n' + 1, b'\n' ^ 0x80, 0, 0xff] {
                    let mut bytes = vec![filling; length];
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = b'\n';
                    }
                    // A second one behind it, and a byte one above it in front: neither may mislead.
                    if let Some(byte) = bytes.get_mut(at + 2) {
                        *byte = b'\n';
                    }
                    let plainly = bytes.iter().position(|&byte| byte == b'\n');
                    assert_eq!(first(&bytes), plainly, "{length} {at}");
                    let plainly = bytes.iter().rposition(|&byte| byte == b'\n');
                    assert_eq!(last(&bytes), plainly, "{length} {at}");
                }
            }
        }
    }
}
