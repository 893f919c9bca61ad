//! What is said between a daemon that leaves its shell and the process that waits there, and what that one makes of it.

use crate::words::{Ended, Signal};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// The variable in which a program that is executed again finds its end of the conversation: `DESCRIPTOR:PID`, the
/// process id being its own. A child that inherits the variable has another, and is not meant.
pub const VARIABLE: &str = "EUDAEMON_DETACH";

/// Reads the variable: the descriptor, if this process is meant.
#[must_use]
pub fn descriptor(value: &[u8], own_pid: u32) -> Option<i32> {
    let (number, pid) = str::from_utf8(value).ok()?.split_once(':')?;
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(number) || !plain(pid) || pid.parse() != Ok(own_pid) {
        return None;
    }
    number.parse().ok().filter(|&number| number > 2)
}

/// One word. Each is one message, from its first byte to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// The daemon's process exists and has this process id.
    Started(u32),
    /// The program could not be executed again: the system's error number.
    NotExecuted(i32),
    /// The daemon does its work.
    Ready,
    /// The daemon could not start: its exit code, and what it would have said on stderr.
    Failed(u8, String),
    /// The daemon's process ended with this wait status.
    Ended(u32),
}

/// The longest message that is passed on; what is longer is cut.
pub const MESSAGE_MOST: usize = 4000;
/// The longest word.
pub const WORD_MOST: usize = SHORT + MESSAGE_MOST;
/// The length of a word without a message.
pub const SHORT: usize = 5;

/// A word that is only a number, made without memory of the heap: between a fork and an exec there is none.
const fn short(kind: u8, number: u32) -> [u8; SHORT] {
    let [a, b, c, d] = number.to_le_bytes();
    [kind, a, b, c, d]
}

/// The message of [`Word::Started`].
#[must_use]
pub const fn started(pid: u32) -> [u8; SHORT] {
    short(b's', pid)
}

/// The message of [`Word::NotExecuted`].
#[must_use]
pub const fn not_executed(errno: i32) -> [u8; SHORT] {
    short(b'x', errno.cast_unsigned())
}

/// The message of [`Word::Ended`].
#[must_use]
pub const fn ended(status: u32) -> [u8; SHORT] {
    short(b'e', status)
}

/// The message of [`Word::Ready`].
#[must_use]
pub const fn ready() -> [u8; SHORT] {
    short(b'r', 0)
}

/// The message of [`Word::Failed`].
#[must_use]
pub fn failed(code: u8, message: &str) -> Vec<u8> {
    let mut end = message.len().min(MESSAGE_MOST);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    let mut word = short(b'f', u32::from(code)).to_vec();
    word.extend_from_slice(&message.as_bytes()[..end]);
    word
}

impl Word {
    /// Reads a message; `None` if it is none of ours.
    #[must_use]
    pub fn read(message: &[u8]) -> Option<Word> {
        let (head, text) = message.split_first_chunk::<SHORT>()?;
        let [kind, number @ ..] = *head;
        let number = u32::from_le_bytes(number);
        Some(match kind {
            b's' => Word::Started(number),
            b'x' => Word::NotExecuted(number.cast_signed()),
            b'r' => Word::Ready,
            b'e' => Word::Ended(number),
            b'f' => Word::Failed(
                u8::try_from(number).ok()?,
                String::from_utf8_lossy(text).into_owned(),
            ),
            _ => return None,
        })
    }
}

/// How the waiting process ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The daemon is ready: with code 0, without a word.
    Ready,
    /// The program could not be executed again, for this error of the system.
    NotExecuted(i32),
    /// With this code, after this message on stderr, which is the daemon's own.
    Failed(u8, String),
    /// With this code: the daemon ended and had not said why. How it ended, if that is known.
    Silent(u8, Option<Ended>),
    /// By the signal that it was sent.
    Killed(Signal),
}

/// The process that waits, as far as it decides anything.
#[derive(Clone, Debug, Default)]
pub struct Waiting {
    started: bool,
    failed: Option<(u8, String)>,
    asked: Option<Signal>,
    /// The first request has been passed on.
    passed: bool,
}

/// What is to be sent to everything that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Send {
    /// Please end.
    Term,
    /// Interrupt, as from the keyboard.
    Int,
    /// The end.
    Kill,
}

impl Waiting {
    /// Somebody wants the waiting process to end: what is to be sent on, if it can be yet. A second time it is the end.
    pub fn ask(&mut self, signal: Signal) -> Option<Send> {
        if self.asked.is_some() && self.passed {
            return Some(Send::Kill);
        }
        self.asked.get_or_insert(signal);
        self.pass()
    }

    fn pass(&mut self) -> Option<Send> {
        let signal = self.asked.filter(|_| self.started && !self.passed)?;
        self.passed = true;
        // To a daemon a hang-up may mean reload, and QUIT would leave a core: what is meant here is to give up.
        Some(if signal == Signal::Int {
            Send::Int
        } else {
            Send::Term
        })
    }

    /// A word came. The verdict, if this was the last that was needed, and what is to be sent on now.
    pub fn hear(&mut self, word: Word) -> (Option<Verdict>, Option<Send>) {
        // Whichever word comes first: the daemon may be quicker than the process that tells of it.
        self.started = true;
        let on = self.pass();
        let verdict = match word {
            Word::Started(_) => None,
            // Its end is waited for: a second start should not find the first one's lock.
            Word::Failed(code, message) => {
                self.failed.get_or_insert((code.max(1), message));
                None
            }
            Word::NotExecuted(errno) => Some(Verdict::NotExecuted(errno)),
            Word::Ready => Some(self.asked.map_or(Verdict::Ready, Verdict::Killed)),
            Word::Ended(status) => Some(self.end(Some(Ended::from_wait(status)))),
        };
        (verdict, on)
    }

    /// Nobody is left who could say a word.
    pub fn gone(&mut self) -> Verdict {
        self.end(None)
    }

    fn end(&mut self, how: Option<Ended>) -> Verdict {
        if let Some(signal) = self.asked {
            return Verdict::Killed(signal);
        }
        if let Some((code, message)) = self.failed.take() {
            return Verdict::Failed(code, message);
        }
        let code = match how {
            // It ended well, and yet there is no daemon.
            Some(Ended::Code(0) | Ended::Unknown) | None => 1,
            Some(Ended::Code(code)) => code,
            // As a shell tells it.
            Some(Ended::Signal { number, .. }) => 128 | number,
        };
        Verdict::Silent(code, how)
    }
}

/// The line on stderr for a daemon that ended and had not said why.
#[must_use]
pub fn silent(how: Option<Ended>) -> String {
    let mut line = "ended before it was ready".to_string();
    if let Some(how) = how {
        line.push_str(": ");
        line.push_str(&how.to_string());
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn words_are_read_as_they_were_said() {
        let long = "ä".repeat(MESSAGE_MOST);
        for (bytes, word) in [
            (started(7).to_vec(), Some(Word::Started(7))),
            (not_executed(2).to_vec(), Some(Word::NotExecuted(2))),
            (ended(9).to_vec(), Some(Word::Ended(9))),
            (ready().to_vec(), Some(Word::Ready)),
            (failed(78, "no"), Some(Word::Failed(78, "no".into()))),
            (
                failed(1, &long),
                Some(Word::Failed(1, "ä".repeat(MESSAGE_MOST / 2))),
            ),
            (b"".to_vec(), None),
            (b"r\0\0\0".to_vec(), None),
            (b"z\0\0\0\0".to_vec(), None),
        ] {
            assert_eq!(Word::read(&bytes), word);
            assert!(bytes.len() <= WORD_MOST);
        }
    }

    #[test]
    fn the_variable_is_for_one_process() {
        assert_eq!(descriptor(b"7:42", 42), Some(7));
        for other in [
            "7:43", "7", "", "7:", ":42", "2:42", "-7:42", "+7:42", "7:+42", "7:42:1",
        ] {
            assert_eq!(descriptor(other.as_bytes(), 42), None, "{other}");
        }
        assert_eq!(descriptor(b"\xff:42", 42), None);
    }

    fn heard(words: &[Word]) -> Verdict {
        let mut waiting = Waiting::default();
        for word in words {
            if let (Some(verdict), _) = waiting.hear(word.clone()) {
                return verdict;
            }
        }
        waiting.gone()
    }

    #[test]
    fn the_waiting_process_ends_as_the_daemon_says() {
        let no = || Word::Failed(78, "no".into());
        let code = |code: u32| Word::Ended(code << 8);
        for (words, verdict) in [
            (vec![Word::Started(7), Word::Ready], Verdict::Ready),
            (
                vec![Word::Started(7), no(), code(78)],
                Verdict::Failed(78, "no".into()),
            ),
            (
                vec![no(), Word::Failed(1, "later".into())],
                Verdict::Failed(78, "no".into()),
            ),
            (
                vec![Word::Failed(0, "?".into())],
                Verdict::Failed(1, "?".into()),
            ),
            (vec![code(3)], Verdict::Silent(3, Some(Ended::Code(3)))),
            (vec![code(0)], Verdict::Silent(1, Some(Ended::Code(0)))),
            (
                vec![Word::Ended(9)],
                Verdict::Silent(
                    137,
                    Some(Ended::Signal {
                        number: 9,
                        core: false,
                    }),
                ),
            ),
            (vec![Word::Started(7)], Verdict::Silent(1, None)),
            (vec![Word::NotExecuted(2)], Verdict::NotExecuted(2)),
        ] {
            assert_eq!(heard(&words), verdict, "{words:?}");
        }
        assert_eq!(
            silent(Some(Ended::Code(3))),
            "ended before it was ready: exit 3"
        );
        assert_eq!(silent(None), "ended before it was ready");
    }

    #[test]
    fn a_signal_is_passed_on_once_there_is_somebody_and_then_kills() {
        let mut waiting = Waiting::default();
        assert_eq!(waiting.ask(Signal::Hup), None);
        assert_eq!(waiting.ask(Signal::Int), None);
        assert_eq!(waiting.hear(Word::Started(7)), (None, Some(Send::Term)));
        assert_eq!(waiting.ask(Signal::Term), Some(Send::Kill));
        let ended = waiting.hear(Word::Failed(1, "asked to end".into()));
        assert_eq!(ended, (None, None));
        assert_eq!(waiting.gone(), Verdict::Killed(Signal::Hup));
        let mut waiting = Waiting::default();
        waiting.hear(Word::Started(7));
        assert_eq!(waiting.ask(Signal::Int), Some(Send::Int));
        let (verdict, _) = waiting.hear(Word::Ready);
        assert_eq!(verdict, Some(Verdict::Killed(Signal::Int)));
    }
}
