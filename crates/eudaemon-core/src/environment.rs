//! Variables as files tell them: one file for each variable, or lines of an ini file.

use alloc::vec::Vec;

/// The variable's value, if `head` is the first line of its file, without its newline.
///
/// Blanks at the end are dropped, and a NUL stands for a newline. Source: specification §7, envdir.
#[must_use]
pub fn value(head: &[u8]) -> Vec<u8> {
    let end = head
        .iter()
        .rposition(|byte| !matches!(byte, b' ' | b'\t'))
        .map_or(0, |at| at + 1);
    head[..end]
        .iter()
        .map(|&byte| if byte == 0 { b'\n' } else { byte })
        .collect()
}

/// Reads an ini file line by line. Source: specification §7, envini.
#[derive(Clone, Debug, Default)]
pub struct Ini {
    /// The current section and `_`, or nothing before the first.
    section: Vec<u8>,
}

impl Ini {
    /// Takes a line, without its newline; gives the variable it sets, if it sets one.
    ///
    /// `[s]` puts `s_` before the names that follow; `[]` puts nothing. A line that is neither a section nor
    /// `NAME = VALUE`, or that begins with `;`, says nothing.
    pub fn line(&mut self, line: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        match line.trim_ascii() {
            [b';', ..] => None,
            [b'[', section @ .., b']'] => {
                self.section = section.trim_ascii().to_vec();
                if !self.section.is_empty() {
                    self.section.push(b'_');
                }
                None
            }
            line => {
                let at = line.iter().position(|&byte| byte == b'=')?;
                let name = line[..at].trim_ascii_end();
                if name.is_empty() || line[..at].contains(&0) {
                    return None;
                }
                let name = [&self.section, name].concat();
                Some((name, value(line[at + 1..].trim_ascii_start())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_loses_its_blanks_and_keeps_the_rest() {
        for (head, kept) in [
            ("v", "v"),
            ("v \t ", "v"),
            (" v", " v"),
            ("", ""),
            (" \t", ""),
            ("a\0b", "a\nb"),
            ("a \0 ", "a \n"),
            ("a\r", "a\r"),
        ] {
            assert_eq!(value(head.as_bytes()), kept.as_bytes(), "{head:?}");
        }
    }

    #[test]
    fn ini_lines_are_read() {
        let mut ini = Ini::default();
        let mut seen = Vec::new();
        for line in [
            "top = 1",
            "; comment",
            "  ;x = 2",
            "[ web ]",
            "\tport=80 ",
            "name =",
            "= nothing",
            "word",
            "",
            "path = a=b",
            "[]",
            "again = yes\t",
            "[open",
            "last = 1\0 2",
        ] {
            if let Some((name, value)) = ini.line(line.as_bytes()) {
                seen.push(alloc::format!(
                    "{}={}",
                    alloc::string::String::from_utf8_lossy(&name),
                    alloc::string::String::from_utf8_lossy(&value)
                ));
            }
        }
        assert_eq!(
            seen,
            [
                "top=1",
                "web_port=80",
                "web_name=",
                "web_path=a=b",
                "again=yes",
                "last=1\n 2"
            ]
        );
    }
}
