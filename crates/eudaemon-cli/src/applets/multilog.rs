//! `multilog`: writes its input to log directories that stay small.
//!
//! Core decides what is a line, where it goes, when a file is full and what a crash left; this does it, and tries again
//! every five seconds what does not succeed, for no line may be lost. Source: specification §8.
//!
//! What is read is written before the next read, so nothing is held back while waiting for input. Signals are taken only
//! while waiting, so none can interrupt a rotation.

mod directory;

use super::{Applet, Call};
use crate::report::Report;
use directory::LogDirectory;
use eudaemon_core::exit::Exit;
use eudaemon_core::log::{Action, HEAD_SIZE, Script, Sink, Sorter};
use eudaemon_core::words::Signal;
use eudaemon_sys::signal::Signals;
use eudaemon_sys::{clock, file};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::time::Duration;

const REPORT: Report = Report("multilog");
/// How long to wait before trying again what failed.
const PAUSE: Duration = Duration::from_secs(5);
/// How much is read at once: all that a pipe holds by default (pipe(7)).
const READ_SIZE: usize = 64 * 1024;

/// `multilog` in the table.
pub const MULTILOG: Applet = Applet {
    name: "multilog",
    main,
    synopsis: "ACTION...",
    purpose: "writes its input to log directories that stay small",
    options: &[],
    exits: &[
        ("0", "the input ended, or told to end"),
        ("100", "EUDAEMON_DIALECT names no dialect"),
        ("111", "could not start; no input was read"),
    ],
};

/// Runs `multilog`.
pub fn main(call: &Call) -> u8 {
    file::set_umask(0o022);
    let dialect = match super::dialect(REPORT) {
        Ok(dialect) => dialect,
        Err(code) => return code,
    };
    let words = call.words.iter().map(|word| word.as_bytes());
    let script = match Script::parse(words, dialect) {
        Ok(script) => script,
        Err(refusal) => {
            let text = [
                OsStr::new("action "),
                &call.words[refusal.0],
                OsStr::new(" is not supported yet"),
            ];
            return REPORT.refuse(&text, Exit::Temporary);
        }
    };
    // From here on these end nothing before they are read, and no input has been read.
    let letters = match Signals::only(&[Signal::Term, Signal::Alrm, Signal::Hup]) {
        Ok(letters) => letters,
        Err(error) => return REPORT.fatal(&[OsStr::new("unable to collect signals")], &error),
    };
    let mut outputs = match Outputs::open(&script) {
        Ok(outputs) => outputs,
        Err(code) => return code,
    };
    let input = match io::stdin().as_fd().try_clone_to_owned() {
        Ok(input) => File::from(input),
        // As a read error: there is no input, and the files are in order.
        Err(_) => return outputs.close(),
    };
    copy(&script, &letters, input, &mut outputs);
    outputs.close()
}

/// Copies lines until the input ends or fails, or TERM comes and the line is whole.
fn copy(script: &Script, letters: &Signals, mut input: File, outputs: &mut Outputs) {
    let mut sorter = Sorter::new(script);
    let mut buffer = vec![0; READ_SIZE];
    let mut ending = false;
    // A failed wait is a failed read: it ends the input.
    while let Ok(ready) = letters.wait_beside(&input) {
        if ready.signals {
            while let Some(signal) = letters.next() {
                match signal {
                    Signal::Term => ending = true,
                    Signal::Alrm => outputs
                        .directories
                        .iter_mut()
                        .for_each(LogDirectory::rotate_now),
                    Signal::Hup => outputs
                        .directories
                        .iter_mut()
                        .for_each(LogDirectory::reopen),
                    // Not collected.
                    Signal::Int
                    | Signal::Quit
                    | Signal::Abrt
                    | Signal::Kill
                    | Signal::Usr1
                    | Signal::Usr2
                    | Signal::Pipe
                    | Signal::Chld
                    | Signal::Cont
                    | Signal::Stop
                    | Signal::Tstp
                    | Signal::Winch => {}
                }
            }
        }
        if ending && !sorter.in_line() {
            break;
        }
        if !ready.input {
            continue;
        }
        // Byte by byte to the end of the line: what lies behind it is the next reader's.
        let most = if ending { 1 } else { buffer.len() };
        match input.read(&mut buffer[..most]) {
            Ok(0) => break,
            Ok(length) => {
                let stamp = script.stamp.text(clock::wall());
                sorter.take(&buffer[..length], &stamp, outputs);
                outputs.write();
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                ) => {}
            Err(_) => break,
        }
    }
    sorter.end(outputs);
    outputs.write();
}

/// Tries until it succeeds, with a warning and a pause after each failure.
fn persist<T>(text: &[&OsStr], mut attempt: impl FnMut() -> io::Result<T>) -> T {
    loop {
        match attempt() {
            Ok(done) => return done,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                let pausing = OsStr::new(", pausing");
                let text: Vec<&OsStr> = text.iter().copied().chain([pausing]).collect();
                REPORT.warn(&text, Some(&error));
                clock::pause(PAUSE);
            }
        }
    }
}

/// A file of the `=` action.
#[derive(Debug)]
struct Kept {
    path: OsString,
    file: File,
    /// What it is to hold; the last line of a piece of input is the only one anybody could see.
    text: Option<[u8; HEAD_SIZE + 1]>,
}

/// Everything lines go to.
#[derive(Debug)]
struct Outputs {
    directories: Vec<LogDirectory>,
    kept: Vec<Kept>,
    told: Vec<u8>,
}

impl Outputs {
    /// Opens all, in the script's order; gives an exit code if one is refused.
    fn open(script: &Script) -> Result<Outputs, u8> {
        let mut outputs = Outputs {
            directories: Vec::new(),
            kept: Vec::new(),
            told: Vec::new(),
        };
        for action in &script.actions {
            match action {
                Action::Log(at) => outputs
                    .directories
                    .push(LogDirectory::open(&script.directories[*at])?),
                Action::Keep(at) => {
                    let path = OsStr::from_bytes(&script.files[*at]);
                    let file = file::open_in_place(path, 0o600).map_err(|error| {
                        REPORT.fatal(&[OsStr::new("unable to create "), path], &error)
                    })?;
                    outputs.kept.push(Kept {
                        path: path.to_owned(),
                        file,
                        text: None,
                    });
                }
                Action::Select(_) | Action::Deselect(_) | Action::Tell => {}
            }
        }
        Ok(outputs)
    }

    /// Writes all that waits.
    fn write(&mut self) {
        if !self.told.is_empty() {
            // Nobody is left to hear that stderr fails, and the directories still have the lines.
            let _ = io::stderr().write_all(&self.told);
            self.told.clear();
        }
        for kept in &mut self.kept {
            if let Some(text) = kept.text.take() {
                persist(&[OsStr::new("unable to write "), &kept.path], || {
                    kept.file.write_all_at(&text, 0)
                });
            }
        }
        self.directories.iter_mut().for_each(LogDirectory::write);
    }

    fn close(mut self) -> u8 {
        self.directories.iter_mut().for_each(LogDirectory::complete);
        Exit::Done.code()
    }
}

impl Sink for Outputs {
    fn log(&mut self, directory: usize, bytes: &[u8]) {
        self.directories[directory].push(bytes);
    }

    fn tell(&mut self, line: &[u8], more: bool) {
        self.told.extend_from_slice(line);
        self.told
            .extend_from_slice(if more { b"...\n" } else { b"\n" });
    }

    fn keep(&mut self, file: usize, head: &[u8]) {
        let text = self.kept[file].text.insert([b'\n'; HEAD_SIZE + 1]);
        // Newlines behind the head: the text before may be longer.
        text.fill(b'\n');
        text[..head.len()].copy_from_slice(head);
    }
}
