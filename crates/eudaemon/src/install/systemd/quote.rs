//! systemd's own syntax: a unit says exactly the bytes it is meant to say, or it is not written.

use super::super::InstallError;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Where a word stands decides what is special in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// `ExecStart=`: `$` begins a variable. Source: `systemd.service(5)`, "Command lines".
    CommandLine,
    /// `Environment=`: `$` is itself. Source: `systemd.exec(5)`, "Environment=".
    Assignment,
}

/// A word of a command line. Any bytes but NUL can be said.
pub(super) fn word(word: &OsStr) -> String {
    quoted(word.as_bytes(), Place::CommandLine)
}

/// `NAME=value` for `Environment=`.
///
/// # Errors
/// The value is no UTF-8 or has control characters: systemd ignores the assignment then.
pub(super) fn assignment(name: &str, value: &OsStr) -> Result<String, InstallError> {
    let text = format!("{name}={}", value.to_string_lossy());
    // Source: systemd's `env_value_is_valid`: UTF-8, and of the control characters only tab and newline; observed with 252.
    let bad = |letter: char| letter.is_control() && letter != '\t' && letter != '\n';
    if value.to_str().is_none() || text.chars().any(bad) {
        return Err(InstallError::Inexpressible {
            what: format!("the variable {name}"),
            why: "systemd takes only UTF-8 without control characters as a variable's value",
        });
    }
    Ok(quoted(text.as_bytes(), Place::Assignment))
}

/// Source: `systemd.syntax(7)`, "Quoting" and "C-style escapes"; `systemd.unit(5)`, "Specifiers" (`%%`).
fn quoted(bytes: &[u8], place: Place) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+:,@=".contains(byte);
    if !bytes.is_empty() && bytes.iter().all(plain) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '%' => out.push_str("%%"),
                '$' if place == Place::CommandLine => out.push_str("$$"),
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                letter if letter.is_ascii_control() || is_refused(letter) => {
                    let mut bytes = [0; 4];
                    for byte in letter.encode_utf8(&mut bytes).bytes() {
                        out.push_str(&format!("\\x{byte:02x}"));
                    }
                }
                letter => out.push(letter),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out
}

/// Characters with which systemd takes a line for no UTF-8. Source: Unicode, "Noncharacters", and systemd's
/// `unichar_is_valid`.
fn is_refused(letter: char) -> bool {
    let code = u32::from(letter);
    (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe
}

/// Whether systemd takes this path as the program of a command line, at its face value.
///
/// It refuses quotes, backslashes and control characters there even when they are quoted, and `$` cannot be escaped in it.
/// Observed with systemd 252, `systemd-analyze verify`: "Executable name contains special characters".
pub(super) fn is_plain_program(path: &Path) -> bool {
    let bad = |letter: char| letter.is_control() || is_refused(letter) || "\"'\\$".contains(letter);
    path.to_str().is_some_and(|path| !path.chars().any(bad))
}

/// The whole of `ExecStart=`. A program that systemd would refuse by its name is started by `env`, or, if its path has a `=`
/// that `env` would take for a variable, by a shell.
pub(super) fn command_line<'a>(program: &Path, words: impl Iterator<Item = &'a OsStr>) -> String {
    let mut line = if is_plain_program(program) {
        Vec::new()
    } else if program.as_os_str().as_bytes().contains(&b'=') {
        let script = OsStr::new("exec \"$0\" \"$@\"");
        vec!["/bin/sh".to_owned(), "-c".to_owned(), word(script)]
    } else {
        vec!["/usr/bin/env".to_owned(), "--".to_owned()]
    };
    line.push(word(program.as_os_str()));
    line.extend(words.map(word));
    line.join(" ")
}

/// A path in a list of paths, where a backslash is itself. Observed with systemd 252: `ReadWritePaths=` keeps escapes.
///
/// # Errors
/// No UTF-8, control characters, quotes, backslashes: then it cannot be said in every version.
pub(super) fn path(path: &Path) -> Result<String, InstallError> {
    path_without(path, "\"'\\")
}

/// As [`path`], for `BindPaths=`, where `:` divides.
pub(super) fn bound_path(path: &Path) -> Result<String, InstallError> {
    path_without(path, "\"'\\:")
}

fn path_without(path: &Path, special: &str) -> Result<String, InstallError> {
    let bad = |letter: char| letter.is_control() || is_refused(letter) || special.contains(letter);
    let up = path
        .components()
        .any(|part| part == std::path::Component::ParentDir);
    match path.to_str() {
        Some(text) if path.is_absolute() && !up && !text.chars().any(bad) => {
            let text = text.replace('%', "%%");
            Ok(if text.contains(' ') {
                format!("\"{text}\"")
            } else {
                text
            })
        }
        _ => Err(InstallError::Inexpressible {
            what: format!("{path:?}"),
            why: "systemd cannot be told this path: it must be absolute and without '..', quotes, backslashes and control characters",
        }),
    }
}

/// Text for people, as in `Description=`: one line, without what systemd would read as something else. A backslash at the end
/// would continue the line, and cannot be escaped there.
pub(super) fn text(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|letter| {
            if letter.is_control() || is_refused(letter) {
                ' '
            } else {
                letter
            }
        })
        .collect();
    text.trim()
        .trim_end_matches('\\')
        .trim_end()
        .replace('%', "%%")
}

/// Part of a unit's name: what may not be in one is written as `\xNN`, `/` as `-`.
/// Source: `systemd.unit(5)`, "String Escaping for Inclusion in Unit Names"; as `systemd-escape --mangle`, but `@` too is
/// escaped, which would make a template of it.
pub(super) fn name(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'/' => out.push('-'),
            byte if byte.is_ascii_alphanumeric() || b":-_.".contains(&byte) => {
                out.push(char::from(byte))
            }
            byte => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out
}
