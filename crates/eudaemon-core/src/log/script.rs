//! The arguments of `multilog`, read once.

use super::glob::glob;
use super::pattern::matches;
use super::stamp::Stamp;
use crate::status::Dialect;
use alloc::vec::Vec;
use core::time::Duration;

/// What a line is held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// A simple pattern of the family.
    Simple(Vec<u8>),
    /// A pattern of fnmatch(3), behind `F` (encore).
    Glob(Vec<u8>),
}

impl Pattern {
    /// Whether the whole of `text` is what it describes.
    #[must_use]
    pub fn matches(&self, text: &[u8]) -> bool {
        match self {
            Pattern::Simple(pattern) => matches(pattern, text),
            Pattern::Glob(pattern) => glob(pattern, text),
        }
    }
}

/// One action of the script, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// `+PATTERN`: selects a line that is deselected and matches.
    Select(Pattern),
    /// `-PATTERN`: deselects a line that is selected and matches.
    Deselect(Pattern),
    /// `e`: tells a selected line on stderr.
    Tell,
    /// `=FILE`, `%keep=FILE`: keeps a selected line in the file of this number.
    Keep(usize),
    /// `%syslog`, `%journal`: sends a selected line to the receiver of this number.
    Send(usize),
    /// `.DIR` or `/DIR`: writes a selected line to the log directory of this number.
    Log(usize),
}

/// A file that holds the last selected line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Its path.
    pub path: Vec<u8>,
    /// Whether it is replaced, so that a reader sees one line or the other; else it is overwritten.
    pub replaced: bool,
}

/// Who else receives lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// The path of its socket.
    pub path: Vec<u8>,
    /// How it wants them.
    pub form: Form,
}

/// How a line is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As syslog(3) writes to `/dev/log`: `<14>multilog: LINE`. Source: RFC 3164 4.1.
    Syslog,
    /// As fields. Source: systemd's JOURNAL_NATIVE_PROTOCOL.
    Journal,
}

/// What is made of a finished file before it counts as finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Processor {
    /// `!COMMAND`, a command of the shell.
    Command(Vec<u8>),
    /// `%gzip`: compression.
    Gzip,
}

/// A log directory as the script describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Its path, as given.
    pub path: Vec<u8>,
    /// `current` is full at this size.
    pub size_bytes: u64,
    /// One more than the old files kept.
    pub number: u64,
    /// What the names of finished files end with, behind the dot.
    pub code: Vec<u8>,
    /// What is made of them.
    pub processor: Option<Processor>,
    /// How many of them may wait for that before the input does.
    pub backlog: u64,
    /// How large the old files may be together.
    pub total_bytes: Option<u64>,
    /// `current` is full when its first byte is so old.
    pub age: Option<Duration>,
    /// How long what was written may be unknown to the disk; `None`: until the file is finished.
    pub sync: Option<Duration>,
    /// What does not fit on a full disk is dropped and counted; else the input waits.
    pub drops: bool,
}

/// What `multilog` was asked to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// What each line starts with.
    pub stamp: Stamp,
    /// What is done with each line.
    pub actions: Vec<Action>,
    /// The files of the `=` actions, in order.
    pub files: Vec<Keep>,
    /// Who else receives lines, in order.
    pub receivers: Vec<Receiver>,
    /// The log directories, in order.
    pub directories: Vec<Directory>,
}

/// An argument that is ours and makes no sense. It is refused, for a log without what was asked for is worse than none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal(
    /// Which of the arguments, counted from 0.
    pub usize,
);

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "action {} makes no sense", self.0 + 1)
    }
}

impl core::error::Error for Refusal {}

/// Least of `s`: a line's head and the window before the end fit with room to spare.
const SIZE_MIN: u64 = 4096;
/// Most of `s`: encore's bound.
const SIZE_MAX: u64 = 2_147_483_647;
/// Most of `s` in 0.76.
const SIZE_MAX_CLASSIC: u64 = 16_777_215;
/// Least of `n`: one old file is always kept.
const NUMBER_MIN: u64 = 2;
/// Where syslog(3) sends to.
const SYSLOG: &[u8] = b"/dev/log";
/// Where the journal listens. Source: systemd's JOURNAL_NATIVE_PROTOCOL.
const JOURNAL: &[u8] = b"/run/systemd/journal/socket";

/// What holds for directories that come after. Source of the defaults of `s` and `n`: specification §8.1.
const DEFAULTS: Directory = Directory {
    path: Vec::new(),
    size_bytes: 99_999,
    number: 10,
    code: Vec::new(),
    processor: None,
    backlog: 3,
    total_bytes: None,
    age: None,
    sync: Some(Duration::from_secs(1)),
    drops: false,
};

impl Script {
    /// Reads the arguments. An action the dialect does not define is passed over, as the originals do.
    ///
    /// # Errors
    /// The first argument that is ours and makes no sense.
    pub fn parse<'a>(
        arguments: impl IntoIterator<Item = &'a [u8]>,
        dialect: Dialect,
    ) -> Result<Script, Refusal> {
        let (size_max, encore, ours) = match dialect {
            Dialect::Classic => (SIZE_MAX_CLASSIC, false, false),
            Dialect::Encore | Dialect::Runit => (SIZE_MAX, true, false),
            Dialect::Auto => (SIZE_MAX, true, true),
        };
        let mut script = Script::default();
        let mut plan = DEFAULTS;
        let mut globs = false;
        for (at, argument) in arguments.into_iter().enumerate() {
            let Some((&letter, rest)) = argument.split_first() else {
                continue;
            };
            let pattern = || match globs {
                true => Pattern::Glob(rest.to_vec()),
                false => Pattern::Simple(rest.to_vec()),
            };
            match letter {
                // Anywhere else these two are unknown actions. Source: specification §8.1.
                b't' if at == 0 => script.stamp = Stamp::Tai64n,
                b'T' if at == 0 && encore => script.stamp = Stamp::Accustamp,
                b'+' => script.actions.push(Action::Select(pattern())),
                b'-' => script.actions.push(Action::Deselect(pattern())),
                b'e' => script.actions.push(Action::Tell),
                b'=' => script.keep(rest, false),
                b's' => plan.size_bytes = leading_number(rest).clamp(SIZE_MIN, size_max),
                b'n' => plan.number = leading_number(rest).max(NUMBER_MIN),
                b'.' | b'/' => {
                    script.actions.push(Action::Log(script.directories.len()));
                    script.directories.push(plan.at(argument));
                }
                b'!' if rest.is_empty() => plan.processor = None,
                b'!' => plan.processor = Some(Processor::Command(rest.to_vec())),
                b'w' if encore && rest.contains(&b'/') => return Err(Refusal(at)),
                b'w' if encore => plan.code = rest.to_vec(),
                b'F' | b'S' if encore => globs = letter == b'F',
                b'%' if ours => script.setting(rest, at, &mut plan).ok_or(Refusal(at))?,
                _ => {}
            }
        }
        Ok(script)
    }

    fn keep(&mut self, path: &[u8], replaced: bool) {
        self.actions.push(Action::Keep(self.files.len()));
        self.files.push(Keep {
            path: path.to_vec(),
            replaced,
        });
    }

    fn send(&mut self, path: &[u8], form: Form) {
        self.actions.push(Action::Send(self.receivers.len()));
        self.receivers.push(Receiver {
            path: path.to_vec(),
            form,
        });
    }

    /// `%NAME` or `%NAME=VALUE`: what the family has no letter for. `None` if it makes no sense.
    fn setting(&mut self, text: &[u8], at: usize, plan: &mut Directory) -> Option<()> {
        let (name, value) = match text.iter().position(|&byte| byte == b'=') {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        match (name, value) {
            (b"stamp", Some(b"rfc3339")) if at == 0 => self.stamp = Stamp::Rfc3339,
            (b"total", Some(value)) => match bytes(value) {
                Some(0) => plan.total_bytes = None,
                Some(most) => plan.total_bytes = Some(most),
                None => return None,
            },
            (b"age", Some(value)) => match duration(value) {
                Some(age) => plan.age = (!age.is_zero()).then_some(age),
                None => return None,
            },
            (b"sync", Some(value)) => match duration(value) {
                Some(sync) => plan.sync = (!sync.is_zero()).then_some(sync),
                None => return None,
            },
            (b"backlog", Some(value)) => match bytes(value) {
                Some(count @ 1..) => plan.backlog = count,
                Some(0) | None => return None,
            },
            (b"full", Some(b"block")) => plan.drops = false,
            (b"full", Some(b"drop")) => plan.drops = true,
            (b"gzip", None) => plan.processor = Some(Processor::Gzip),
            (b"keep", Some(path)) if !path.is_empty() => self.keep(path, true),
            (b"syslog", path) => self.send(path.unwrap_or(SYSLOG), Form::Syslog),
            (b"journal", path) => self.send(path.unwrap_or(JOURNAL), Form::Journal),
            _ => return None,
        }
        Some(())
    }
}

impl Directory {
    /// One with these settings.
    fn at(&self, path: &[u8]) -> Directory {
        let code = match (&self.processor, self.code.is_empty()) {
            (_, false) => self.code.clone(),
            (Some(Processor::Gzip), true) => b"gz".to_vec(),
            (Some(Processor::Command(_)) | None, true) => b"s".to_vec(),
        };
        Directory {
            path: path.to_vec(),
            code,
            ..self.clone()
        }
    }
}

/// The digits at the start as a number; no digits are 0, too many are very many.
fn leading_number(text: &[u8]) -> u64 {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0u64, |sum, digit| {
        sum.saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    })
}

/// A number and what is behind its digits; `None` without a digit.
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let end = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (end > 0).then(|| (leading_number(text), &text[end..]))
}

/// `10`, `10k`, `10m`, `10g`.
fn bytes(text: &[u8]) -> Option<u64> {
    let (count, unit) = number(text)?;
    let unit = match unit {
        b"" => 1,
        b"k" | b"K" => 1 << 10,
        b"m" | b"M" => 1 << 20,
        b"g" | b"G" => 1 << 30,
        _ => return None,
    };
    Some(count.saturating_mul(unit))
}

/// `10`, `10s`, `10ms`, `10m`, `10h`, `10d`.
fn duration(text: &[u8]) -> Option<Duration> {
    let (count, unit) = number(text)?;
    let secs = match unit {
        b"ms" => return Some(Duration::from_millis(count)),
        b"" | b"s" => 1,
        b"m" => 60,
        b"h" => 3600,
        b"d" => 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(count.saturating_mul(secs)))
}
