//! Where a service's records go when nobody says it, and what they look like as text.
//!
//! A record is one line, whoever wrote its words: control characters are shown as `\x1b`, and where a message has several
//! lines, those after the first are indented. So no text from outside can look like a record of its own, or move a cursor.

use crate::level::Level;
use crate::time::{Civil, Wall};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// What is at the other end of standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A person.
    Terminal,
    /// Nobody: `/dev/null`, or it is closed.
    Nowhere,
    /// A pipe or a socket: another program.
    Program,
    /// A regular file or some device.
    File,
}

/// What decides where records go.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Standard error or standard output is the stream `JOURNAL_STREAM` names.
    pub journal: bool,
    /// A manager that speaks systemd's protocols started us: `NOTIFY_SOCKET`, or `SYSTEMD_EXEC_PID` is ours.
    pub managed: bool,
    /// What standard error is.
    pub end: End,
    /// Colour is not unwanted (`NO_COLOR`, `TERM=dumb`).
    pub colour: bool,
}

/// How a record is written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `<N>` before each line. Source: `sd-daemon(3)`.
    Prefixed,
    /// `level: message`.
    Human {
        /// The time is before it: nobody after us adds one.
        stamp: bool,
        /// The level is coloured.
        colour: bool,
    },
}

/// Where records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// To the journal in its native form.
    Journal,
    /// To standard error, in this form.
    Stream(Form),
    /// Standard error is nobody: to syslog.
    Syslog,
}

/// Where records go when nobody says it.
///
/// The numbers are for a reader that takes them off again. Such a one is there only under a manager like systemd and at
/// the end of a pipe or a socket; `multilog` would keep them.
#[must_use]
pub fn choose(facts: &Facts) -> Choice {
    match facts.end {
        _ if facts.journal => Choice::Journal,
        End::Nowhere => Choice::Syslog,
        End::Program if facts.managed => Choice::Stream(Form::Prefixed),
        End::Program | End::Terminal | End::File => Choice::Stream(human(facts)),
    }
}

/// Text for a person. A terminal and a file get the time, a program adds its own.
#[must_use]
pub fn human(facts: &Facts) -> Form {
    Form::Human {
        stamp: matches!(facts.end, End::Terminal | End::File),
        colour: facts.end == End::Terminal && facts.colour,
    }
}

/// Device and inode in `JOURNAL_STREAM`. They are compared as numbers, not as text. Source: `systemd.exec(5)`.
#[must_use]
pub fn journal_stream(text: &str) -> Option<(u64, u64)> {
    let (device, inode) = text.split_once(':')?;
    Some((device.parse().ok()?, inode.parse().ok()?))
}

/// A record as it is written as text.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// How much it matters.
    pub level: Level,
    /// When it was made.
    pub at: Wall,
    /// What happened.
    pub message: &'a str,
    /// With what, by name.
    pub fields: &'a [(&'a str, &'a [u8])],
}

/// Appends a record as text, its last line feed with it.
pub fn push(line: &Line<'_>, form: Form, out: &mut Vec<u8>) {
    let mut text = String::new();
    push_message(line, &mut text);
    match form {
        Form::Prefixed => return crate::journal::push_prefixed(line.level, text.as_bytes(), out),
        Form::Human { stamp, colour } => {
            let mut head = String::new();
            push_head(line, stamp, colour, &mut head);
            out.extend_from_slice(head.as_bytes());
        }
    }
    for (at, row) in text.split('\n').enumerate() {
        if at > 0 {
            out.extend_from_slice(b"  ");
        }
        out.extend_from_slice(row.as_bytes());
        out.push(b'\n');
    }
}

/// Appends a record as a datagram for `/dev/log`, of the facility daemon, without a time: the receiver adds one that is
/// in its own zone, which a service behind a changed root does not know. Source: RFC 3164 4.1 and 4.3.2.
///
/// A line feed is `#012`, as rsyslog writes it: a datagram is one line.
pub fn push_syslog(line: &Line<'_>, identifier: &str, pid: u32, out: &mut Vec<u8>) {
    let mut text = String::new();
    push_message(line, &mut text);
    let number = 3 * 8 + line.level.number();
    let mut whole = String::new();
    // A String takes everything.
    let _ = write!(whole, "<{number}>{identifier}[{pid}]: ");
    whole.push_str(&text.replace('\n', "#012"));
    out.extend_from_slice(whole.as_bytes());
}

fn push_head(line: &Line<'_>, stamp: bool, colour: bool, out: &mut String) {
    let (dim, paint, plain) = match (colour, line.level) {
        (false, _) => ("", "", ""),
        (true, Level::Emergency | Level::Alert | Level::Critical | Level::Error) => {
            ("\x1b[2m", "\x1b[1;31m", "\x1b[0m")
        }
        (true, Level::Warning) => ("\x1b[2m", "\x1b[1;33m", "\x1b[0m"),
        (true, Level::Notice | Level::Info) => ("\x1b[2m", "\x1b[1m", "\x1b[0m"),
        (true, Level::Debug) => ("\x1b[2m", "\x1b[2m", "\x1b[0m"),
    };
    if stamp {
        let secs = i64::try_from(line.at.secs()).unwrap_or(i64::MAX);
        let date = Civil::from_secs(secs);
        let milli = line.at.subsec_nanos() / 1_000_000;
        let _ = write!(
            out,
            "{dim}{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{milli:03}Z{plain} ",
            date.year, date.month, date.day, date.hour, date.minute, date.second
        );
    }
    let _ = write!(out, "{paint}{}:{plain} ", line.level);
}

fn push_message(line: &Line<'_>, out: &mut String) {
    let message = line.message.trim_end_matches(['\n', '\r']);
    for c in message.chars() {
        push_char(c, c == '\n' || c == '\t', out);
    }
    for (name, value) in line.fields {
        out.push(' ');
        for c in name.chars() {
            push_char(c, false, out);
        }
        out.push('=');
        push_value(value, out);
    }
}

/// A word is itself; anything else stands in quotes, with `\` before a quote and before itself.
fn push_value(value: &[u8], out: &mut String) {
    let mut plain = !value.is_empty();
    let from = out.len();
    for chunk in value.utf8_chunks() {
        for c in chunk.valid().chars() {
            plain &= !(c.is_whitespace() || c.is_control() || matches!(c, '"' | '\\' | '='));
            match c {
                '\n' => out.push_str("\\n"),
                '"' | '\\' => {
                    out.push('\\');
                    out.push(c);
                }
                _ => push_char(c, false, out),
            }
        }
        for byte in chunk.invalid() {
            plain = false;
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    if !plain {
        out.insert(from, '"');
        out.push('"');
    }
}

fn push_char(c: char, as_it_is: bool, out: &mut String) {
    if as_it_is || !c.is_control() {
        out.push(c);
    } else if (c as u32) < 0x80 {
        let _ = write!(out, "\\x{:02x}", c as u32);
    } else {
        let _ = write!(out, "\\u{{{:x}}}", c as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(journal: bool, managed: bool, end: End) -> Facts {
        Facts {
            journal,
            managed,
            end,
            colour: true,
        }
    }

    #[test]
    fn who_reads_decides_the_form() {
        let human = |stamp, colour| Choice::Stream(Form::Human { stamp, colour });
        let table = [
            (facts(true, true, End::Program), Choice::Journal),
            (facts(true, false, End::Nowhere), Choice::Journal),
            (
                facts(false, true, End::Program),
                Choice::Stream(Form::Prefixed),
            ),
            // A pipe to multilog: it stamps, and keeps what is before a line.
            (facts(false, false, End::Program), human(false, false)),
            (facts(false, true, End::Terminal), human(true, true)),
            (facts(false, true, End::File), human(true, false)),
            (facts(false, false, End::File), human(true, false)),
            (facts(false, true, End::Nowhere), Choice::Syslog),
            (facts(false, false, End::Nowhere), Choice::Syslog),
        ];
        for (facts, choice) in table {
            assert_eq!(choose(&facts), choice, "{facts:?}");
        }
        let mut dumb = facts(false, false, End::Terminal);
        dumb.colour = false;
        assert_eq!(choose(&dumb), human(true, false));
        assert_eq!(journal_stream("8:12345"), Some((8, 12345)));
        assert_eq!(journal_stream("08:012345"), Some((8, 12345)));
        for text in ["", "8", "8:", ":1", "8:x", "8:1:2", "-8:1"] {
            assert_eq!(journal_stream(text), None, "{text}");
        }
    }

    fn text(message: &str, fields: &[(&str, &[u8])], form: Form) -> String {
        let line = Line {
            level: Level::Warning,
            at: Wall::new(1_000_000_000, 7_000_000),
            message,
            fields,
        };
        let mut out = Vec::new();
        push(&line, form, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_record_cannot_be_forged() {
        let plain = Form::Human {
            stamp: false,
            colour: false,
        };
        assert_eq!(
            text("got x\nerror: forged\x1b[2J\u{9b}\n", &[], plain),
            "warning: got x\n  error: forged\\x1b[2J\\u{9b}\n"
        );
        assert_eq!(
            text("got x\n<0>forged", &[("k", b"v")], Form::Prefixed),
            "<4>got x\n<4>  <0>forged k=v\n"
        );
        let fields: &[(&str, &[u8])] = &[
            ("path", b"/a b"),
            ("n", b"7"),
            ("none", b""),
            ("bytes", b"\xff\n\"\\"),
            ("e", b"a=b"),
        ];
        assert_eq!(
            text("m", fields, plain),
            "warning: m path=\"/a b\" n=7 none=\"\" bytes=\"\\xff\\n\\\"\\\\\" e=\"a=b\"\n"
        );
    }

    #[test]
    fn a_person_gets_the_time_and_colour() {
        let stamp = |colour| Form::Human {
            stamp: true,
            colour,
        };
        assert_eq!(
            text("m", &[], stamp(false)),
            "2001-09-09T01:46:40.007Z warning: m\n"
        );
        assert_eq!(
            text("m", &[], stamp(true)),
            "\x1b[2m2001-09-09T01:46:40.007Z\x1b[0m \x1b[1;33mwarning:\x1b[0m m\n"
        );
    }

    #[test]
    fn a_datagram_is_one_line() {
        let line = Line {
            level: Level::Info,
            at: Wall::new(0, 0),
            message: "a\nb\n",
            fields: &[],
        };
        let mut out = Vec::new();
        push_syslog(&line, "web", 7, &mut out);
        assert_eq!(out, b"<30>web[7]: a#012b");
    }
}
