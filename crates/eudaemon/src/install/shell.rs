//! Words for a shell.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// One word, quoted so that any shell of POSIX reads back exactly these bytes. Source: POSIX, Shell Command Language, 2.2.2.
pub(super) fn quoted(word: &OsStr) -> Vec<u8> {
    let bytes = word.as_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+:,@%".contains(byte);
    if !bytes.is_empty() && bytes.iter().all(plain) {
        return bytes.to_vec();
    }
    let mut out = vec![b'\''];
    for &byte in bytes {
        match byte {
            b'\'' => out.extend_from_slice(b"'\\''"),
            other => out.push(other),
        }
    }
    out.push(b'\'');
    out
}

/// Words, quoted, with a blank between them.
pub(super) fn line<'a>(words: impl IntoIterator<Item = &'a OsStr>) -> Vec<u8> {
    let words: Vec<Vec<u8>> = words.into_iter().map(quoted).collect();
    words.join(&b' ')
}
