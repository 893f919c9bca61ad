//! The simple patterns of `multilog`.

/// Whether the whole of `text` is what `pattern` describes.
///
/// A byte of the pattern stands for itself, except `*`: before another byte it takes everything up to the first
/// occurrence of that byte, and the match goes on there and nowhere else; at the end of the pattern it takes all that is
/// left. So `* one` matches `x one` but not `  one`. A star behind a star is the byte the first one looks for, and then a
/// star itself: `**` is any text with a `*` in it. Source: specification §8.2; the double star observed with Debian's
/// multilog 0.76-8.1.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let mut text = text;
    let mut pattern = pattern;
    loop {
        match pattern {
            [] => return text.is_empty(),
            [b'*'] => return true,
            [b'*', sought, ..] => {
                let Some(at) = text.iter().position(|byte| byte == sought) else {
                    return false;
                };
                text = &text[at..];
                pattern = &pattern[1..];
            }
            [literal, rest @ ..] => {
                let Some((first, left)) = text.split_first() else {
                    return false;
                };
                if first != literal {
                    return false;
                }
                text = left;
                pattern = rest;
            }
        }
    }
}
