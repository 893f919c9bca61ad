//! Single-letter options, read as the family reads them. Source: specification §0.4.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// One option, in the order they were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opt {
    /// A letter the program knows.
    Letter(u8),
    /// A letter it does not know.
    Unknown(u8),
}

/// Reads options off the front of a program's words.
///
/// Letters may be clustered. Reading stops at the first word that does not begin with `-`, at a lone `-`, which is not
/// taken, and behind `--`.
#[derive(Debug)]
pub struct Options<'a, F> {
    words: &'a [OsString],
    cluster: &'a [u8],
    known: F,
}

impl<'a, F: Fn(u8) -> bool> Options<'a, F> {
    /// Options of these words, the letters of which `known` knows.
    pub fn new(words: &'a [OsString], known: F) -> Self {
        Options {
            words,
            cluster: &[],
            known,
        }
    }

    /// The argument of the letter just read: the rest of its cluster, or the next word, whatever that is.
    pub fn argument(&mut self) -> Option<&'a OsStr> {
        let attached = std::mem::take(&mut self.cluster);
        if !attached.is_empty() {
            return Some(OsStr::from_bytes(attached));
        }
        let (word, rest) = self.words.split_first()?;
        self.words = rest;
        Some(word)
    }

    /// The words behind the options, once there are no more options.
    pub fn rest(self) -> &'a [OsString] {
        self.words
    }
}

impl<F: Fn(u8) -> bool> Iterator for Options<'_, F> {
    type Item = Opt;

    fn next(&mut self) -> Option<Opt> {
        if self.cluster.is_empty() {
            let (word, rest) = self.words.split_first()?;
            match word.as_encoded_bytes() {
                // Any word that begins so, as the original reads it (observed with 0.76: `svc --u DIR`).
                [b'-', b'-', ..] => {
                    self.words = rest;
                    return None;
                }
                [b'-', cluster @ ..] if !cluster.is_empty() => {
                    self.cluster = cluster;
                    self.words = rest;
                }
                _ => return None,
            }
        }
        let (&letter, rest) = self.cluster.split_first()?;
        self.cluster = rest;
        Some(if (self.known)(letter) {
            Opt::Letter(letter)
        } else {
            Opt::Unknown(letter)
        })
    }
}

/// Which processes of a service encore's readers of the status are asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// No option: the service, and its log if there is one.
    #[default]
    Both,
    /// `-l`: only the service itself.
    Main,
    /// `-L`: only its log.
    Log,
}

impl Side {
    /// Reads `-l` and `-L`, of which the later counts, and gives the words behind them.
    ///
    /// # Errors
    /// The first letter that is neither.
    pub fn read(words: &[OsString]) -> Result<(Side, &[OsString]), u8> {
        let mut side = Side::Both;
        let mut options = Options::new(words, |letter| matches!(letter, b'l' | b'L'));
        for option in &mut options {
            match option {
                Opt::Letter(b'L') => side = Side::Log,
                Opt::Letter(_) => side = Side::Main,
                Opt::Unknown(letter) => return Err(letter),
            }
        }
        Ok((side, options.rest()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> (Vec<Opt>, Vec<String>) {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let mut options = Options::new(&words, |letter| letter.is_ascii_lowercase());
        let read = options.by_ref().collect();
        (
            read,
            options
                .rest()
                .iter()
                .map(|word| word.to_string_lossy().into_owned())
                .collect(),
        )
    }

    #[test]
    fn options_end_where_the_family_ends_them() {
        let (a, b) = (Opt::Letter(b'a'), Opt::Letter(b'b'));
        assert_eq!(
            read(&["-ab", "-b", "x", "-a"]),
            (vec![a, b, b], vec!["x".into(), "-a".into()])
        );
        assert_eq!(read(&["-a", "--", "-b"]), (vec![a], vec!["-b".into()]));
        assert_eq!(
            read(&["-a", "-", "-b"]),
            (vec![a], vec!["-".into(), "-b".into()])
        );
        assert_eq!(read(&["-aZ"]), (vec![a, Opt::Unknown(b'Z')], vec![]));
        assert_eq!(read(&["", "-a"]), (vec![], vec!["".into(), "-a".into()]));
        assert_eq!(read(&["-a-"]), (vec![a, Opt::Unknown(b'-')], vec![]));
    }

    #[test]
    fn an_argument_is_attached_or_the_next_word() {
        let words = ["-ax1", "-x", "--", "-x"].map(OsString::from);
        let mut options = Options::new(&words, |_| true);
        assert_eq!(options.next(), Some(Opt::Letter(b'a')));
        assert_eq!(options.next(), Some(Opt::Letter(b'x')));
        assert_eq!(options.argument(), Some(OsStr::new("1")));
        assert_eq!(options.next(), Some(Opt::Letter(b'x')));
        assert_eq!(options.argument(), Some(OsStr::new("--")));
        assert_eq!(options.next(), Some(Opt::Letter(b'x')));
        assert_eq!(options.argument(), None);
        assert_eq!(options.next(), None);
    }
}
