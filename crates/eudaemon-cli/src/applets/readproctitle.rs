//! `readproctitle`: shows its input in the process list.

use super::{Applet, Call};
use eudaemon_core::exit::Exit;
use eudaemon_sys::title::LastArgument;
use std::collections::VecDeque;
use std::io::{self, Read};

/// Shortest last argument there is a title in.
const TITLE_SIZE_MIN: usize = 5;
/// How much of the title's start always stays dots.
const DOTS: usize = 3;

/// `readproctitle` in the table.
pub const READPROCTITLE: Applet = Applet {
    name: "readproctitle",
    main,
    synopsis: "ARGUMENT... TITLE",
    purpose: "shows its input in the process list",
    options: &[],
    exits: &[
        ("0", "the input ended"),
        ("100", "there is no room for a title"),
        ("111", "the input cannot be read, or the title not written"),
    ],
};

/// Runs `readproctitle`.
pub fn main(call: &Call) -> u8 {
    let length = call.words.last().map_or(0, |word| word.len());
    if length < TITLE_SIZE_MIN {
        return Exit::Permanent.code();
    }
    // Started by svscanboot, the system would call it after the link it was executed by.
    eudaemon_sys::process::set_name(call.name);
    let Ok(place) = LastArgument::find(length) else {
        return Exit::Temporary.code();
    };
    let mut title = Title::new(length);
    if place.write(&title.text()).is_err() {
        return Exit::Temporary.code();
    }
    let mut input = io::stdin().lock();
    let mut buffer = [0; 4096];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Exit::Done.code(),
            Ok(length) => {
                title.push(&buffer[..length]);
                // It was written once; if it cannot be now, the next input tries again.
                let _ = place.write(&title.text());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Exit::Temporary.code(),
        }
    }
}

/// Dots, and behind them a window on the end of the input.
#[derive(Debug)]
struct Title(VecDeque<u8>);

impl Title {
    fn new(length: usize) -> Title {
        Title(vec![b'.'; length - DOTS].into())
    }

    fn push(&mut self, bytes: &[u8]) {
        // A NUL would end the title.
        for &byte in bytes.iter().filter(|&&byte| byte != 0) {
            self.0.pop_front();
            self.0.push_back(byte);
        }
    }

    fn text(&self) -> Vec<u8> {
        let mut text = vec![b'.'; DOTS];
        text.extend(&self.0);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_comes_in_from_the_right() {
        let mut title = Title::new(7);
        assert_eq!(title.text(), b".......");
        title.push(b"a\0b");
        assert_eq!(title.text(), b".....ab");
        title.push(b"cdefg");
        assert_eq!(title.text(), b"...defg");
    }
}
