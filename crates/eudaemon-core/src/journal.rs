//! What goes to the journal: fields of bytes in one message, and lines with a number in front.
//!
//! Source: systemd, `docs/JOURNAL_NATIVE_PROTOCOL.md`; `sd-daemon(3)` for the numbers; rules for names are observed of
//! systemd-journald 252, which drops a field whose name breaks them without a word.

use crate::level::Level;
use alloc::vec::Vec;

/// Where the journal takes messages in its native form.
pub const SOCKET: &str = "/run/systemd/journal/socket";

/// Most bytes in the name of a field.
pub const NAME_MAX: usize = 64;

/// Whether a field may have this name: `A` to `Z`, `0` to `9` and `_`, beginning with a letter, 64 bytes at most.
///
/// A name that begins with `_` is one of the journal's own, which nobody else may set.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.len() <= NAME_MAX
        && bytes.first().is_some_and(u8::is_ascii_uppercase)
        && bytes
            .iter()
            .all(|&byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Appends a name that may be one, made of any other: upper case, `_` for what may not be in it, cut where it is too
/// long. What does not begin with a letter then has an `X` before it.
pub fn push_name(name: &str, out: &mut Vec<u8>) {
    let from = out.len();
    if !name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic()) {
        out.push(b'X');
    }
    out.extend(name.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => byte.to_ascii_uppercase(),
        _ => b'_',
    }));
    out.truncate(from + NAME_MAX);
}

/// Appends one field. The name is made one with [`push_name`] if it is none; names may be repeated.
///
/// A value without a line feed is written as `NAME=value`, any other with its length in 8 bytes, little-endian.
pub fn push_field(name: &str, value: &[u8], out: &mut Vec<u8>) {
    if is_name(name) {
        out.extend_from_slice(name.as_bytes());
    } else {
        push_name(name, out);
    }
    if value.contains(&b'\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// A message that is none: where it stops to be one, in bytes from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The field that is cut off or has no name begins here.
    pub at: usize,
}

impl core::fmt::Display for Malformed {
    fn fmt(&self, to: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(to, "no field of a journal message at byte {}", self.at)
    }
}

impl core::error::Error for Malformed {}

/// The fields of a message, in their order, as bytes: the name is not judged.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    message: &'a [u8],
    at: usize,
}

/// Reads a message.
#[must_use]
pub fn fields(message: &[u8]) -> Fields<'_> {
    Fields { message, at: 0 }
}

impl<'a> Fields<'a> {
    fn read(&self, rest: &'a [u8]) -> Option<(&'a [u8], &'a [u8], usize)> {
        let line = rest.iter().position(|&byte| byte == b'\n')?;
        let (head, _) = rest.split_at(line);
        if let Some(equals) = head.iter().position(|&byte| byte == b'=') {
            let (name, value) = (head.get(..equals)?, head.get(equals + 1..)?);
            return (!name.is_empty()).then_some((name, value, line + 1));
        }
        let length = rest.get(line + 1..line + 9)?;
        let length = usize::try_from(u64::from_le_bytes(length.try_into().ok()?)).ok()?;
        let end = (line + 9).checked_add(length)?;
        let value = rest.get(line + 9..end)?;
        (!head.is_empty() && rest.get(end) == Some(&b'\n')).then_some((head, value, end + 1))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.message.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return None;
        }
        Some(match self.read(rest) {
            Some((name, value, used)) => {
                self.at += used;
                Ok((name, value))
            }
            None => {
                let at = self.at;
                self.at = self.message.len();
                Err(Malformed { at })
            }
        })
    }
}

/// The number in front of a line and the line after it; `None` for a line without one.
///
/// Source: `sd-daemon(3)`. Observed of systemd-journald 252: up to three digits with zeros in front are taken too
/// (`<04>`), a number above 7 is text.
#[must_use]
pub fn read_prefix(line: &[u8]) -> (Option<Level>, &[u8]) {
    let digits = match line {
        [b'<', c, b'>', ..] => [b'0', b'0', *c],
        [b'<', b, c, b'>', ..] => [b'0', *b, *c],
        [b'<', a, b, c, b'>', ..] => [*a, *b, *c],
        _ => return (None, line),
    };
    let [b'0', b'0', last @ b'0'..=b'7'] = digits else {
        return (None, line);
    };
    let end = line.iter().position(|&byte| byte == b'>').unwrap_or(0);
    (
        Level::from_number(last - b'0'),
        line.get(end + 1..).unwrap_or_default(),
    )
}

/// Appends a message as lines with the level's number in front of each. The second line and those after it are
/// indented, so that no text from outside can look like a record of its own.
pub fn push_prefixed(level: Level, message: &[u8], out: &mut Vec<u8>) {
    for (at, line) in message.split(|&byte| byte == b'\n').enumerate() {
        out.extend_from_slice(&[b'<', b'0' + level.number(), b'>']);
        if at > 0 {
            out.extend_from_slice(b"  ");
        }
        out.extend_from_slice(line);
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let long = vec![b'x'; 70_000];
        let pairs: &[(&str, &[u8])] = &[
            ("MESSAGE", b"two\nlines"),
            ("PRIORITY", b"6"),
            ("EMPTY", b""),
            ("EQUALS", b"a=b=c"),
            ("BYTES", b"\0\xff\n\n"),
            ("A", b"1"),
            ("A", b"2"),
            ("LONG", &long),
            ("LAST", b"\n"),
        ];
        let mut message = Vec::new();
        for (name, value) in pairs {
            push_field(name, value, &mut message);
        }
        let read: Vec<_> = fields(&message).map(Result::unwrap).collect();
        let written: Vec<_> = pairs.iter().map(|(n, v)| (n.as_bytes(), *v)).collect();
        assert_eq!(read, written);
        // No beginning of it is taken for the whole, but where a field ends.
        for cut in 1..200 {
            let whole: Vec<_> = fields(&message[..cut]).collect();
            let broken = whole.iter().any(Result::is_err);
            let ends = (0..=whole.len()).any(|n| {
                let mut first = Vec::new();
                for (name, value) in &pairs[..n] {
                    push_field(name, value, &mut first);
                }
                first.len() == cut
            });
            assert_eq!(broken, !ends, "{cut}");
        }
    }

    #[test]
    fn the_form_is_the_documents() {
        let mut out = Vec::new();
        push_field("A", b"b", &mut out);
        push_field("C", b"d\ne", &mut out);
        assert_eq!(out, b"A=b\nC\n\x03\0\0\0\0\0\0\0d\ne\n");
        for bad in [
            &b"=x\n"[..],
            b"A\n\xff\xff\xff\xff\xff\xff\xff\xffx\n",
            b"A",
        ] {
            assert_eq!(fields(bad).next(), Some(Err(Malformed { at: 0 })));
        }
    }

    #[test]
    fn a_name_is_made_one() {
        let made = |name: &str| {
            let mut out = Vec::new();
            push_name(name, &mut out);
            alloc::string::String::from_utf8(out).unwrap()
        };
        assert_eq!(made("http.status-code"), "HTTP_STATUS_CODE");
        assert_eq!(made("_PID"), "X_PID");
        assert_eq!(made("7up"), "X7UP");
        assert_eq!(made(""), "X");
        assert_eq!(made("é"), "X__");
        assert_eq!(made(&"a".repeat(99)).len(), NAME_MAX);
        for name in ["http", "_PID", "7UP", "", "é", "A=B", "A\n"] {
            assert!(!is_name(name) && is_name(&made(name)), "{name:?}");
        }
        assert!(is_name("MESSAGE_ID"));
    }

    #[test]
    fn each_line_has_its_number() {
        let mut out = Vec::new();
        push_prefixed(Level::Error, b"one\n<0>two\n", &mut out);
        assert_eq!(out, b"<3>one\n<3>  <0>two\n<3>  \n");
        assert_eq!(read_prefix(b"<3>one"), (Some(Level::Error), &b"one"[..]));
        assert_eq!(read_prefix(b"<04>x"), (Some(Level::Warning), &b"x"[..]));
        assert_eq!(read_prefix(b"<007>"), (Some(Level::Debug), &b""[..]));
        for line in [&b"<8>x"[..], b"<30>x", b"<a>", b"<>", b"<", b"", b"<0007>"] {
            assert_eq!(read_prefix(line), (None, line));
        }
    }
}
