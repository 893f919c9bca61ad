//! The line by which we know our own files again: an edit breaks it, a newer version of us does not.

/// What the line says before the sum.
const WORDS: &str = "eudaemon-sum: ";

/// FNV-1a, 64 bits: finds edits, and is no protection against anybody.
fn sum(parts: &[&[u8]]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.iter());
    bytes.fold(0xcbf2_9ce4_8422_2325, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// `head`, the line with the sum of head and body between `before` and `after`, and `body`.
pub(super) fn sealed(head: &str, (before, after): (&str, &str), body: &[u8]) -> Vec<u8> {
    let sum = sum(&[head.as_bytes(), body]);
    let line = format!("{before}{WORDS}{sum:016x}{after}\n");
    [head.as_bytes(), line.as_bytes(), body].concat()
}

/// Whether these are the bytes that [`sealed`] made, here or in another version.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    let words = WORDS.as_bytes();
    let Some(at) = bytes.windows(words.len()).position(|part| part == words) else {
        return false;
    };
    let start = bytes[..at]
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |at| at + 1);
    let Some(end) = bytes[at..].iter().position(|&byte| byte == b'\n') else {
        return false;
    };
    let told = bytes.get(at + words.len()..at + words.len() + 16);
    let now = format!("{:016x}", sum(&[&bytes[..start], &bytes[at + end + 1..]]));
    told == Some(now.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_edit_breaks_the_seal() {
        let bytes = sealed("#!/bin/sh\n", ("# ", ""), b"exec x\n");
        assert!(is_whole(&bytes));
        for at in 0..bytes.len() {
            let mut edited = bytes.clone();
            edited[at] ^= 1;
            // The words around the sum are not summed, and nothing is lost when they change.
            let line = bytes.split(|&byte| byte == b'\n').nth(1).expect("the line");
            let framing = bytes[at..].len() > 7 && at >= 10 && at < 10 + line.len();
            assert!(!is_whole(&edited) || framing, "byte {at}");
        }
        assert!(!is_whole(b"") && !is_whole(b"# eudaemon-sum: 00"));
    }
}
