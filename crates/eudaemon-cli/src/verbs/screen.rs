//! What a person sees: colours, marks, ages, local time, and nothing a service's name or line can do to the terminal.

use anstream::ColorChoice;
use eudaemon_core::time::Tai64n;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::io::IsTerminal;

/// What the standard output can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// It is a terminal: control characters act there.
    pub terminal: bool,
    /// Colours are wanted. Source: anstream: `NO_COLOR`, `CLICOLOR_FORCE`, `TERM=dumb`, a terminal.
    pub colour: bool,
    /// More than ASCII is wanted.
    pub fancy: bool,
}

/// A colour, as its SGR parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// All is well.
    Green,
    /// Something is under way.
    Amber,
    /// Something is wrong.
    Red,
    /// Of less importance.
    Dim,
    /// The name of a service, by its place in the list.
    Name(usize),
}

impl Screen {
    /// What this process's standard output can show.
    #[must_use]
    pub fn of_stdout() -> Screen {
        let stdout = std::io::stdout();
        let terminal = stdout.is_terminal();
        let colour = match anstream::AutoStream::choice(&stdout) {
            ColorChoice::Always | ColorChoice::AlwaysAnsi | ColorChoice::Auto => true,
            ColorChoice::Never => false,
        };
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Screen {
            terminal,
            colour,
            fancy: terminal && !dumb,
        }
    }

    /// The text in a colour, if colours are wanted.
    #[must_use]
    pub fn paint(self, colour: Colour, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match colour {
            Colour::Green => "32",
            Colour::Amber => "33",
            Colour::Red => "31",
            Colour::Dim => "2",
            Colour::Name(at) => ["36", "35", "34", "33", "32", "96", "95", "94"][at % 8],
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// The text with everything that acts on a terminal or turns its order made visible.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if acts(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// A logged line for this screen. What is no terminal gets the bytes; a terminal gets text, of whose escape sequences
/// only colours work (if colours are wanted), and not beyond the line.
#[must_use]
pub fn log_text(screen: Screen, line: &[u8]) -> Vec<u8> {
    if !screen.terminal {
        return line.to_vec();
    }
    let text = String::from_utf8_lossy(line);
    let mut out = String::with_capacity(text.len());
    let mut coloured = false;
    let mut rest = text.as_ref();
    while let Some(c) = rest.chars().next() {
        if let Some(length) = colour_sequence(rest) {
            if screen.colour {
                out.push_str(&rest[..length]);
                coloured = true;
            }
            rest = &rest[length..];
            continue;
        }
        if c != '\t' && acts(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
        rest = &rest[c.len_utf8()..];
    }
    if coloured {
        out.push_str("\x1b[0m");
    }
    out.into_bytes()
}

fn acts(c: char) -> bool {
    // Bidirectional controls reorder what is shown. Source: Unicode 15, annex 9, and CVE-2021-42574.
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Length of the colour sequence (`ESC [ digits and ; m`) at the start of the text.
fn colour_sequence(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\x1b[")?;
    let end = parameters.find(|c: char| !c.is_ascii_digit() && c != ';' && c != ':')?;
    parameters[end..].starts_with('m').then_some(end + 3)
}

/// How long, in at most two units: `4s`, `11m`, `3h 04m`, `3d 04h`.
#[must_use]
pub fn age(seconds: f64) -> String {
    // A clock that was set back gives a negative age, which nobody wants to read.
    let seconds = seconds.max(0.0) as u64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m"),
        3600..86400 => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{days}d {:02}h", hours % 24),
    }
}

/// Memory in the unit that leaves two or three digits: `812K`, `38M`, `1.2G`.
#[must_use]
pub fn memory(kib: u64) -> String {
    match kib {
        0..1024 => format!("{kib}K"),
        1024..1_048_576 => format!("{}M", kib / 1024),
        _ => format!("{:.1}G", kib as f64 / 1_048_576.0),
    }
}

/// Local time for stamps.
#[derive(Clone, Debug)]
pub struct Clock {
    zone: TimeZone,
    /// The day on which no date is shown.
    today: Option<jiff::civil::Date>,
}

impl Clock {
    /// The system's zone. Stamps of another day than `now`'s are shown with their date.
    #[must_use]
    pub fn new(zone: TimeZone, now: Timestamp) -> Clock {
        let today = Some(now.to_zoned(zone.clone()).date());
        Clock { zone, today }
    }
    /// The system's zone, and never a date.
    #[must_use]
    pub fn without_dates(zone: TimeZone) -> Clock {
        Clock { zone, today: None }
    }
    /// `14:02:11.204`, with the date in front if it is another day's; `None` for a label outside of time.
    #[must_use]
    pub fn stamp(&self, stamp: Tai64n) -> Option<String> {
        let wall = stamp.to_wall()?;
        let at = Timestamp::from_nanosecond(i128::from(wall.0)).ok()?;
        let at = at.to_zoned(self.zone.clone());
        let day = match self.today {
            Some(today) if today != at.date() => format!("{} ", at.date()),
            Some(_) | None => String::new(),
        };
        Some(format!(
            "{day}{:02}:{:02}:{:02}.{:03}",
            at.hour(),
            at.minute(),
            at.second(),
            at.millisecond()
        ))
    }
    /// `2026-11-20 14:02:11` of Unix seconds.
    #[must_use]
    pub fn moment(&self, seconds: f64) -> Option<String> {
        let at = Timestamp::from_second(seconds as i64).ok()?;
        let at = at.to_zoned(self.zone.clone());
        Some(format!(
            "{} {:02}:{:02}:{:02}",
            at.date(),
            at.hour(),
            at.minute(),
            at.second()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eudaemon_core::time::Wall;

    const TERMINAL: Screen = Screen {
        terminal: true,
        colour: true,
        fancy: true,
    };

    #[test]
    fn ages_have_two_units_at_most() {
        for (seconds, said) in [
            (-5.0, "0s"),
            (4.9, "4s"),
            (60.0, "1m"),
            (11.0 * 60.0 + 59.0, "11m"),
            (3.0 * 3600.0 + 240.0, "3h 04m"),
            (86400.0 * 3.0 + 4.0 * 3600.0, "3d 04h"),
        ] {
            assert_eq!(age(seconds), said);
        }
        assert_eq!(memory(812), "812K");
        assert_eq!(memory(39_000), "38M");
        assert_eq!(memory(1_258_291), "1.2G");
    }

    #[test]
    fn stamps_are_local_and_dated_when_old() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let wall = Wall::new(1_795_184_531, 204_900_000);
        let stamp = Tai64n::from_wall(wall);
        let now = Timestamp::from_second(1_795_184_600).unwrap();
        let clock = Clock::new(zone.clone(), now);
        let shown = clock.stamp(stamp).unwrap();
        assert_eq!(shown, "16:22:11.204");
        let later = Timestamp::from_second(1_795_184_600 + 86400).unwrap();
        let clock = Clock::new(zone.clone(), later);
        assert_eq!(clock.stamp(stamp).unwrap(), format!("2026-11-20 {shown}"));
        let clock = Clock::without_dates(zone);
        assert_eq!(clock.stamp(stamp).unwrap(), shown);
        assert_eq!(clock.stamp(Tai64n { label: 0, nanos: 0 }), None);
    }

    #[test]
    fn a_name_cannot_act_on_the_terminal() {
        assert_eq!(plain("web\x1b[2J\n"), "web\\u{1b}[2J\\n");
        assert_eq!(plain("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(plain("größer"), "größer");
    }

    #[test]
    fn a_line_keeps_its_colours_and_nothing_else() {
        let line = b"\x1b[1;31mred\x1b[0m\t\x1b[2J\xff";
        let seen = String::from_utf8(log_text(TERMINAL, line)).unwrap();
        assert_eq!(seen, "\x1b[1;31mred\x1b[0m\t\\u{1b}[2J\u{fffd}\x1b[0m");
        let grey = Screen {
            colour: false,
            ..TERMINAL
        };
        let seen = String::from_utf8(log_text(grey, b"\x1b[1;31mred\x1b[m")).unwrap();
        assert_eq!(seen, "red");
        let pipe = Screen {
            terminal: false,
            ..TERMINAL
        };
        assert_eq!(log_text(pipe, line), line);
    }
}
