//! The arguments of `multilog`, read once.

use crate::status::Dialect;
use crate::time::{Tai64n, Wall};
use alloc::format;
use alloc::vec::Vec;

/// What each line is given at its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stamp {
    /// Nothing.
    #[default]
    None,
    /// `t`: external TAI64N and a space.
    Tai64n,
    /// `T` (encore): seconds and microseconds in decimal, and a space.
    Accustamp,
}

impl Stamp {
    /// What a line that began at this moment starts with.
    #[must_use]
    pub fn text(self, at: Wall) -> Vec<u8> {
        match self {
            Stamp::None => Vec::new(),
            Stamp::Tai64n => {
                let mut text = Tai64n::from_wall(at).external().to_vec();
                text.push(b' ');
                text
            }
            Stamp::Accustamp => {
                format!("{}.{:06} ", at.secs(), at.subsec_nanos() / 1000).into_bytes()
            }
        }
    }
}

/// One action of the script, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// `+PATTERN`: selects a line that is deselected and matches.
    Select(Vec<u8>),
    /// `-PATTERN`: deselects a line that is selected and matches.
    Deselect(Vec<u8>),
    /// `e`: tells a selected line on stderr.
    Tell,
    /// `=FILE`: keeps a selected line in the file of this number.
    Keep(usize),
    /// `.DIR` or `/DIR`: writes a selected line to the log directory of this number.
    Log(usize),
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
    /// How large the old files may be together.
    pub total_bytes: Option<u64>,
}

/// What `multilog` was asked to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// What each line starts with.
    pub stamp: Stamp,
    /// What is done with each line.
    pub actions: Vec<Action>,
    /// The files of the `=` actions, in order.
    pub files: Vec<Vec<u8>>,
    /// The log directories, in order.
    pub directories: Vec<Directory>,
}

/// An action the family knows and this program does not do yet. It is refused, for a log without its processor, or with
/// other patterns than those meant, is worse than none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal(
    /// Which of the arguments, counted from 0.
    pub usize,
);

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "action {} is not supported", self.0 + 1)
    }
}

impl core::error::Error for Refusal {}

/// Default of `s`. Source: specification §8.1.
const SIZE_DEFAULT: u64 = 99_999;
/// Least of `s`: a line's head and the window before the end fit with room to spare.
const SIZE_MIN: u64 = 4096;
/// Most of `s`: encore's bound.
const SIZE_MAX: u64 = 2_147_483_647;
/// Most of `s` in 0.76.
const SIZE_MAX_CLASSIC: u64 = 16_777_215;
/// Default of `n`.
const NUMBER_DEFAULT: u64 = 10;
/// Least of `n`: one old file is always kept.
const NUMBER_MIN: u64 = 2;

impl Script {
    /// Reads the arguments. An action the dialect does not define is passed over, as the originals do.
    ///
    /// # Errors
    /// The first argument that asks for `!` or `F`.
    pub fn parse<'a>(
        arguments: impl IntoIterator<Item = &'a [u8]>,
        dialect: Dialect,
    ) -> Result<Script, Refusal> {
        let (size_max, encore) = match dialect {
            Dialect::Classic => (SIZE_MAX_CLASSIC, false),
            Dialect::Encore | Dialect::Auto => (SIZE_MAX, true),
        };
        let mut script = Script::default();
        let mut size_bytes = SIZE_DEFAULT;
        let mut number = NUMBER_DEFAULT;
        let mut code = b"s".to_vec();
        for (at, argument) in arguments.into_iter().enumerate() {
            let Some((&letter, rest)) = argument.split_first() else {
                continue;
            };
            match letter {
                // Anywhere else these two are unknown actions. Source: specification §8.1.
                b't' if at == 0 => script.stamp = Stamp::Tai64n,
                b'T' if at == 0 && encore => script.stamp = Stamp::Accustamp,
                b'+' => script.actions.push(Action::Select(rest.to_vec())),
                b'-' => script.actions.push(Action::Deselect(rest.to_vec())),
                b'e' => script.actions.push(Action::Tell),
                b'=' => {
                    script.actions.push(Action::Keep(script.files.len()));
                    script.files.push(rest.to_vec());
                }
                b's' => size_bytes = leading_number(rest).clamp(SIZE_MIN, size_max),
                b'n' => number = leading_number(rest).max(NUMBER_MIN),
                b'.' | b'/' => {
                    script.actions.push(Action::Log(script.directories.len()));
                    script.directories.push(Directory {
                        path: argument.to_vec(),
                        size_bytes,
                        number,
                        code: code.clone(),
                        total_bytes: None,
                    });
                }
                b'!' => return Err(Refusal(at)),
                b'w' if encore => code = rest.to_vec(),
                b'F' if encore => return Err(Refusal(at)),
                // Asks for the simple matcher (encore), which is the only one as long as `F` is refused.
                b'S' => {}
                _ => {}
            }
        }
        Ok(script)
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
