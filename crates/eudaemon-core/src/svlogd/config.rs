//! The file `config` of a log directory.

use alloc::vec::Vec;
use core::time::Duration;

/// What a directory asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `s`: `current` is full at this size; 0: never.
    pub size_bytes: u64,
    /// `n`: how many old files are kept; 0: all.
    pub keep: u64,
    /// `N`: when the disk is full, old files go until so many are left; 0: none goes.
    pub keep_min: u64,
    /// `t`: `current` is finished at this age.
    pub age: Option<Duration>,
    /// `!`: what finished files are passed through.
    pub processor: Option<Vec<u8>>,
    /// `u`, `U`: who is sent the lines.
    pub receiver: Option<Receiver>,
    /// `p`: what stands before each line.
    pub prefix: Vec<u8>,
    rules: Vec<Rule>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            size_bytes: 1_000_000,
            keep: 10,
            keep_min: 0,
            age: None,
            processor: None,
            receiver: None,
            prefix: Vec::new(),
            rules: Vec::new(),
        }
    }
}

/// Who is sent lines by UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// The IPv4 address.
    pub address: [u8; 4],
    /// The port.
    pub port: u16,
    /// `U`: lines are not written to the directory.
    pub only: bool,
}

/// Port of syslog, where lines go if none is said. Source: svlogd(8).
const PORT: u16 = 514;

/// A line of `config` that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Complaint {
    /// This is no address.
    Address(Vec<u8>),
    /// This is no port.
    Port(Vec<u8>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    letter: Letter,
    pattern: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Letter {
    Select,
    Deselect,
    Tell,
    DoNotTell,
}

/// What is done with a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// It is logged.
    pub log: bool,
    /// It is told on stderr.
    pub tell: bool,
}

impl Config {
    /// Reads the file. Lines that begin with any other letter mean nothing, as in the original.
    #[must_use]
    pub fn parse(text: &[u8]) -> (Config, Vec<Complaint>) {
        let mut config = Config::default();
        let mut complaints = Vec::new();
        for line in text.split(|&byte| byte == b'\n') {
            let Some((&letter, rest)) = line.split_first() else {
                continue;
            };
            let mut rule = |letter| {
                config.rules.push(Rule {
                    letter,
                    pattern: rest.to_vec(),
                });
            };
            match letter {
                b'+' => rule(Letter::Select),
                b'-' => rule(Letter::Deselect),
                b'e' => rule(Letter::Tell),
                b'E' => rule(Letter::DoNotTell),
                b's' => config.size_bytes = scaled(rest, &[(b'k', 1024), (b'm', 1024 * 1024)]),
                b'n' => config.keep = number(rest),
                b'N' => config.keep_min = number(rest),
                b't' => {
                    let secs = scaled(rest, &[(b'm', 60), (b'h', 3600)]);
                    config.age = (secs > 0).then_some(Duration::from_secs(secs));
                }
                b'!' => config.processor = (!rest.is_empty()).then(|| rest.to_vec()),
                b'p' => config.prefix = rest.to_vec(),
                b'u' | b'U' => match receiver(rest, letter == b'U') {
                    Ok(receiver) => config.receiver = Some(receiver),
                    Err(complaint) => complaints.push(complaint),
                },
                _ => {}
            }
        }
        (config, complaints)
    }

    /// What is done with a line of which this is the head: the last rule that matches counts.
    #[must_use]
    pub fn judge(&self, head: &[u8]) -> Verdict {
        let mut verdict = Verdict {
            log: true,
            tell: false,
        };
        for rule in &self.rules {
            // What would change nothing need not be matched.
            let (now, wanted) = match rule.letter {
                Letter::Select => (&mut verdict.log, true),
                Letter::Deselect => (&mut verdict.log, false),
                Letter::Tell => (&mut verdict.tell, true),
                Letter::DoNotTell => (&mut verdict.tell, false),
            };
            if *now != wanted && matches(&rule.pattern, head) {
                *now = wanted;
            }
        }
        verdict
    }
}

/// `A.B.C.D` or `A.B.C.D:PORT`.
fn receiver(text: &[u8], only: bool) -> Result<Receiver, Complaint> {
    let mut parts = text.splitn(2, |&byte| byte == b':');
    let host = parts.next().unwrap_or_default();
    let mut address = [0; 4];
    let mut bytes = host.split(|&byte| byte == b'.');
    for place in &mut address {
        let digits = bytes.next().unwrap_or_default();
        let value = whole(digits).and_then(|value| u8::try_from(value).ok());
        *place = value.ok_or_else(|| Complaint::Address(text.to_vec()))?;
    }
    if bytes.next().is_some() {
        return Err(Complaint::Address(text.to_vec()));
    }
    let port = match parts.next() {
        None => PORT,
        Some(digits) => whole(digits)
            .and_then(|value| u16::try_from(value).ok())
            .filter(|&port| port > 0)
            .ok_or_else(|| Complaint::Port(digits.to_vec()))?,
    };
    Ok(Receiver {
        address,
        port,
        only,
    })
}

/// Digits and nothing else.
fn whole(digits: &[u8]) -> Option<u64> {
    let all = !digits.is_empty() && digits.len() < 10 && digits.iter().all(u8::is_ascii_digit);
    all.then(|| number(digits))
}

/// The digits at the start as a number; no digits are 0, too many are very many.
#[must_use]
pub fn number(text: &[u8]) -> u64 {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |sum: u64, digit| {
        sum.saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    })
}

/// A number, and perhaps a letter that multiplies it.
fn scaled(text: &[u8], units: &[(u8, u64)]) -> u64 {
    let letter = text.iter().find(|byte| !byte.is_ascii_digit());
    let unit = units.iter().find(|(unit, _)| Some(unit) == letter);
    number(text).saturating_mul(unit.map_or(1, |(_, factor)| *factor))
}

/// Whether a pattern matches all of the text.
///
/// A star is that of multilog. A plus stands for the byte behind it, once or more, and takes all there are. A text that
/// ends among them matches, whatever the pattern goes on with; a plus at the pattern's end is at the text's end, or matches
/// nothing (both observed with Debian's 2.1.2-54: `+ab` matches `aa`, `x+` matches `x`; svlogd(8) does not say it).
/// Differs: at the text's end the original compares a plus with what an earlier line left in its memory (observed).
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern, mut text) = (pattern, text);
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
            [b'+'] => return text.is_empty(),
            [b'+', repeated, rest @ ..] => {
                let count = text.iter().take_while(|&byte| byte == repeated).count();
                if count == 0 || count == text.len() {
                    return count > 0;
                }
                text = &text[count..];
                pattern = rest;
            }
            [literal, rest @ ..] => {
                let Some((first, left)) = text.split_first() else {
                    return false;
                };
                if first != literal {
                    return false;
                }
                (text, pattern) = (left, rest);
            }
        }
    }
}
