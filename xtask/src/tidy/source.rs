//! Enough of Rust's lexical grammar to tell code from comments and text.
//! Source: The Rust Reference, "Comments" and "Tokens".

/// The same text, as long and with the same lines, with a blank for each byte of a comment, string or character literal.
pub fn code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => Some(line_end(bytes, at)),
            b'/' if bytes[at..].starts_with(b"/*") => Some(block_end(bytes, at)),
            b'"' => Some(string_end(bytes, at)),
            // Of `br"…"` the b stays, as of `b"…"`.
            b'r' if !is_word(bytes, at) || is_byte_prefix(bytes, at) => raw_end(bytes, at),
            b'\'' => char_end(bytes, at),
            _ => None,
        };
        let Some(end) = end else {
            at += 1;
            continue;
        };
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    // Only whole literals and comments were blanked, so no character was cut.
    String::from_utf8_lossy(&out).into_owned()
}

/// Byte offsets at which `word` stands as a whole word.
pub fn words(code: &str, word: &str) -> Vec<usize> {
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(|&at| {
            !is_word(code.as_bytes(), at)
                && !code
                    .as_bytes()
                    .get(at + word.len())
                    .is_some_and(|&byte| part(byte))
        })
        .collect()
}

/// The line, from 1, in which a byte offset lies.
pub fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at]
        .iter()
        .filter(|&&byte| byte == b'\n')
        .count()
        + 1
}

fn part(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric() || byte >= 0x80
}

/// Whether the byte before `at` belongs to a word, so that none begins here.
fn is_word(bytes: &[u8], at: usize) -> bool {
    at > 0 && part(bytes[at - 1])
}

/// Whether the byte before `at` is a `b` that stands alone.
fn is_byte_prefix(bytes: &[u8], at: usize) -> bool {
    at > 0 && bytes[at - 1] == b'b' && !is_word(bytes, at - 1)
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    at + bytes[at..]
        .iter()
        .position(|&byte| byte == b'\n')
        .unwrap_or(bytes.len() - at)
}

fn block_end(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn string_end(bytes: &[u8], mut at: usize) -> usize {
    at += 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The end of a raw string that begins with the `r` at `at`.
fn raw_end(bytes: &[u8], at: usize) -> Option<usize> {
    let hashes = bytes[at + 1..]
        .iter()
        .take_while(|&&byte| byte == b'#')
        .count();
    let open = at + 1 + hashes;
    if bytes.get(open) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(1 + hashes, b'#');
    let body = &bytes[open + 1..];
    let length = body
        .windows(close.len())
        .position(|window| window == close.as_slice());
    Some(length.map_or(bytes.len(), |length| open + 1 + length + close.len()))
}

/// The end of a character literal; `None` for the tick of a lifetime.
fn char_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at + 1) == Some(&b'\\') {
        let close = bytes
            .get(at + 3..)?
            .iter()
            .position(|&byte| byte == b'\'')?;
        return Some(at + 3 + close + 1);
    }
    let width = bytes[at + 1..]
        .iter()
        .skip(1)
        .take_while(|&&byte| byte & 0xc0 == 0x80)
        .count()
        + 1;
    (bytes.get(at + 1 + width) == Some(&b'\'')).then_some(at + 2 + width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_left() {
        let text = "a(\"x \\\" unsafe\", r#\"un\"safe\"#, br\"q\", b'\\'', '\"', 'é', &'a str) /* un /* safe */ */ b // unsafe\nc";
        let left = code(text);
        assert_eq!(left.len(), text.len());
        assert_eq!(left.lines().count(), 2);
        let squeezed: String = left.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeezed, "a( , , b , b , , , &'a str) b c");
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(words("unsafe_code unsafe{ xunsafe", "unsafe"), [12]);
        assert_eq!(line_of("a\nb\nc", 4), 3);
    }
}
