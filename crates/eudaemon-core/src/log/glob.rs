//! The patterns of fnmatch(3) with no flags, for `F`: no byte is special, neither `/` nor a leading dot.
//!
//! Source: POSIX.1-2017 2.13, fnmatch(3); where those leave it open, observed with glibc 2.36 in the C locale.

/// Whether the whole of `text` is what `pattern` describes. The time it takes is at most the product of the lengths.
#[must_use]
pub fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut rest, mut left) = (pattern, text);
    // Behind the last star that was met, and what that star has not taken yet.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', behind @ ..] = rest {
            star = Some((behind, left));
            rest = behind;
            continue;
        }
        match (rest, left) {
            ([], []) => return true,
            ([_, ..], [first, others @ ..]) => match one(rest, *first) {
                One::Yes(behind) => {
                    (rest, left) = (behind, others);
                    continue;
                }
                One::No => {}
                One::Never => return false,
            },
            ([], _) | (_, []) => {}
        }
        // The last star takes one byte more. An earlier one need not: what it could take, the last one can.
        match star {
            Some((behind, [_, others @ ..])) => {
                star = Some((behind, others));
                (rest, left) = (behind, others);
            }
            Some((_, [])) | None => return false,
        }
    }
}

/// Whether the first element of a pattern is this byte.
enum One<'a> {
    /// It is; what is behind the element.
    Yes(&'a [u8]),
    No,
    /// It is an element that nothing matches.
    Never,
}

fn one(pattern: &[u8], byte: u8) -> One<'_> {
    let (is, behind) = match pattern {
        [] => return One::No,
        [b'?', behind @ ..] => (true, behind),
        [b'\\', literal, behind @ ..] => (*literal == byte, behind),
        // Observed: a backslash at the end is nothing, not even itself.
        [b'\\'] => return One::Never,
        [b'[', inside @ ..] => match bracket(inside, byte) {
            Bracket::Read(is, behind) => (is, behind),
            // A bracket that is not closed is itself.
            Bracket::Open => (byte == b'[', inside),
            Bracket::Never => return One::Never,
        },
        [literal, behind @ ..] => (*literal == byte, behind),
    };
    if is { One::Yes(behind) } else { One::No }
}

enum Bracket<'a> {
    Read(bool, &'a [u8]),
    Open,
    /// It names a class that is none.
    Never,
}

/// Reads a bracket expression behind its `[`.
fn bracket(inside: &[u8], byte: u8) -> Bracket<'_> {
    let (not, mut rest) = match inside {
        [b'!' | b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut is = false;
    let mut first = true;
    loop {
        let (low, behind) = match rest {
            [] => return Bracket::Open,
            [b']', behind @ ..] if !first => return Bracket::Read(is != not, behind),
            [b'[', b':', named @ ..] => match class(named, byte) {
                Some((member, behind)) => {
                    is |= member;
                    rest = behind;
                    first = false;
                    continue;
                }
                // Not closed: the bracket is one of the bytes.
                None if !named.windows(2).any(|pair| pair == b":]") => (b'[', &rest[1..]),
                None => return Bracket::Never,
            },
            [b'[', mark @ (b'.' | b'='), symbol, end, b']', behind @ ..] if end == mark => {
                (*symbol, behind)
            }
            [b'\\', literal, behind @ ..] => (*literal, behind),
            [b'\\'] => return Bracket::Never,
            [literal, behind @ ..] => (*literal, behind),
        };
        first = false;
        let (high, behind) = match behind {
            [b'-', b']', ..] => (low, behind),
            [b'-', b'\\', end, behind @ ..] => (*end, behind),
            [b'-', b'[', b'.', symbol, b'.', b']', behind @ ..] => (*symbol, behind),
            [b'-', end, behind @ ..] => (*end, behind),
            behind => (low, behind),
        };
        is |= (low..=high).contains(&byte);
        rest = behind;
    }
}

/// Whether the byte is of the class whose name, and `:]`, is at the start; and what is behind. `None` if there is no such.
fn class(named: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let end = named.windows(2).position(|pair| pair == b":]")?;
    let member = match &named[..end] {
        b"alnum" => byte.is_ascii_alphanumeric(),
        b"alpha" => byte.is_ascii_alphabetic(),
        b"blank" => matches!(byte, b' ' | b'\t'),
        b"cntrl" => byte.is_ascii_control(),
        b"digit" => byte.is_ascii_digit(),
        b"graph" => byte.is_ascii_graphic(),
        b"lower" => byte.is_ascii_lowercase(),
        b"print" => byte.is_ascii_graphic() || byte == b' ',
        b"punct" => byte.is_ascii_punctuation(),
        b"space" => byte.is_ascii_whitespace() || byte == 0x0b,
        b"upper" => byte.is_ascii_uppercase(),
        b"xdigit" => byte.is_ascii_hexdigit(),
        _ => return None,
    };
    Some((member, &named[end + 2..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_as_the_systems() {
        for (pattern, text, matches) in [
            ("", "", true),
            ("*", "", true),
            ("a*b*c", "axxbxbxc", true),
            ("a*b*c", "axxbxbxd", false),
            ("* one", "  one", true),
            ("*/*", "a/.b", true),
            ("?", "", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]", "b", false),
            ("[^a-c]", "d", true),
            ("[]a]", "]", true),
            ("[a-]", "-", true),
            ("[z-a]", "m", false),
            ("[[:digit:][:upper:]]*", "7x", true),
            ("[[:nonsense:]]", "n", false),
            ("[abc", "[abc", true),
            ("[\\]]", "]", true),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("x\\", "x\\", false),
            (
                "*x*x*x*x*x*x*x*x*y",
                "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                false,
            ),
        ] {
            assert_eq!(
                glob(pattern.as_bytes(), text.as_bytes()),
                matches,
                "{pattern} {text}"
            );
        }
    }
}
