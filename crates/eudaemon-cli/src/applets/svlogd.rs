//! `svlogd`: runit's logger. Each log directory says in its file `config` what it wants.
//!
//! Core decides; this does it, and tries again every three seconds what does not succeed. What is read is written before
//! the next read. Signals are taken only while waiting. Source: svlogd(8); specification §10.5.
//!
//! Differs from 2.1.2: TERM ends no line in its middle and takes none that it does not write; a last line without a newline
//! is kept; no symbolic link is followed; a processor that is killed has failed.

mod directory;
mod processor;

use super::{Applet, Call};
use crate::args::{self, Opt};
use crate::report::{Report, line};
use directory::LogDirectory;
use eudaemon_core::exit::Exit;
use eudaemon_core::svlogd::{Config, Lines, Replace, Sink, Stamp, number};
use eudaemon_core::time::Mono;
use eudaemon_core::words::Signal;
use eudaemon_sys::signal::Signals;
use eudaemon_sys::{clock, file};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

const REPORT: Report = Report("svlogd");
/// How long to wait before trying again what failed. Source: specification §10.5.
const PAUSE: Duration = Duration::from_secs(3);
/// Length of a line that patterns see, if `-l` does not say another.
const LINE_SIZE: usize = 1000;
/// How much is read at once, if `-b` does not say it: all that a pipe holds by default (pipe(7)). The original's 1024 are
/// a call of the kernel for every few lines.
const READ_SIZE: usize = 64 * 1024;

/// `svlogd` in the table.
pub const SVLOGD: Applet = Applet {
    name: "svlogd",
    main,
    synopsis: "[-ttt] [-v] [-r C] [-R CHARS] [-l LEN] [-b BUF] DIR...",
    purpose: "writes its input to log directories that say how in a file of theirs",
    options: &[
        ("-t", "puts a TAI64N stamp before each line"),
        (
            "-tt",
            "puts date and time in UTC there, with an underscore between",
        ),
        ("-ttt", "the same with a T between"),
        ("-v", "says what is done"),
        ("-r C", "writes C for bytes that cannot be printed"),
        ("-R CHARS", "and for these"),
        (
            "-l LEN",
            "how much of a line patterns see: 1000 bytes by default",
        ),
        ("-b BUF", "how much to read at once; more than LEN"),
    ],
    exits: &[
        ("0", "the input ended, or told to end"),
        ("111", "no directory can be used, or wrong usage"),
    ],
};

/// What the words ask for.
#[derive(Debug)]
struct Options<'a> {
    stamp: Stamp,
    verbose: bool,
    replace: Option<Replace>,
    line_bytes: usize,
    read_bytes: usize,
    paths: &'a [OsString],
}

/// Runs `svlogd`.
pub fn main(call: &Call) -> u8 {
    let Some(options) = read(&call.words, call.name) else {
        line(&[OsStr::new(
            "usage: svlogd [-ttv] [-r c] [-R abc] [-l len] [-b buflen] dir ...\n",
        )]);
        // Observed with 2.1.2-54: not 100.
        return Exit::Temporary.code();
    };
    file::set_umask(0o022);
    let collected = [Signal::Term, Signal::Alrm, Signal::Hup, Signal::Chld];
    let letters = match Signals::only(&collected) {
        Ok(letters) => letters,
        Err(error) => return REPORT.fatal(&[OsStr::new("unable to collect signals")], &error),
    };
    let input = match io::stdin().as_fd().try_clone_to_owned() {
        Ok(input) => File::from(input),
        Err(error) => return REPORT.fatal(&[OsStr::new("unable to read standard input")], &error),
    };
    let mut logger = Logger::new(&options);
    if !logger.open() {
        return none_usable();
    }
    logger.copy(&letters, input)
}

fn none_usable() -> u8 {
    REPORT.refuse(
        &[OsStr::new("no functional log directories.")],
        Exit::Temporary,
    )
}

/// Reads the words; `None` is wrong usage.
fn read<'a>(words: &'a [OsString], name: &str) -> Option<Options<'a>> {
    let mut options = Options {
        stamp: Stamp::None,
        verbose: false,
        replace: None,
        line_bytes: LINE_SIZE,
        read_bytes: READ_SIZE,
        paths: words,
    };
    let (mut by, mut also) = (None, None);
    let mut buffer = 1024;
    let mut letters = args::Options::new(words, |letter| b"tvrRlb".contains(&letter));
    while let Some(letter) = letters.next() {
        let letter = match letter {
            Opt::Letter(letter) => letter,
            Opt::Unknown(letter) => {
                Report::illegal_option(OsStr::new(name), letter);
                return None;
            }
        };
        match letter {
            b't' => {
                options.stamp = options.stamp.more();
                continue;
            }
            b'v' => {
                options.verbose = true;
                continue;
            }
            _ => {}
        }
        let Some(value) = letters.argument().map(OsStrExt::as_bytes) else {
            Report::missing_argument(OsStr::new(name), letter);
            return None;
        };
        let size = usize::try_from(number(value)).unwrap_or(usize::MAX);
        match letter {
            b'r' => by = Some(*value.first().filter(|_| value.len() == 1)?),
            b'R' => also = Some(value.to_vec()),
            b'l' => options.line_bytes = if size > 0 { size } else { LINE_SIZE },
            _ => (buffer, options.read_bytes) = (size, size),
        }
    }
    options.paths = letters.rest();
    if by.is_some() || also.is_some() {
        options.replace = Some(Replace {
            by: by.unwrap_or(b'_'),
            also: also.unwrap_or_default(),
        });
    }
    let fits = buffer > options.line_bytes && buffer <= 1 << 30;
    (fits && !options.paths.is_empty()).then_some(options)
}

/// The directories, and what goes to them.
struct Logger<'a> {
    options: &'a Options<'a>,
    lines: Lines,
    outputs: Outputs,
    /// Of each directory that can be used.
    configs: Vec<Option<Config>>,
}

/// Everything lines go to.
#[derive(Debug, Default)]
struct Outputs {
    /// `None` is one that cannot be used.
    directories: Vec<Option<LogDirectory>>,
    told: Vec<u8>,
    socket: Option<UdpSocket>,
}

impl<'a> Logger<'a> {
    fn new(options: &'a Options<'a>) -> Logger<'a> {
        Logger {
            options,
            lines: Lines::new(options.line_bytes, options.replace.clone()),
            outputs: Outputs::default(),
            configs: Vec::new(),
        }
    }

    /// Opens all directories; false if none can be used.
    fn open(&mut self) -> bool {
        let options = self.options;
        let opened = options.paths.iter();
        self.outputs.directories = opened
            .map(|path| LogDirectory::open(path, options.line_bytes, options.verbose))
            .collect();
        let opened = self.outputs.directories.iter();
        self.configs = opened
            .map(|directory| Some(directory.as_ref()?.config().clone()))
            .collect();
        let sends = |config: &Option<Config>| config.as_ref().is_some_and(|c| c.receiver.is_some());
        self.outputs.socket = match self.configs.iter().any(sends) {
            true => UdpSocket::bind("0.0.0.0:0").ok(),
            false => None,
        };
        if let Some(socket) = &self.outputs.socket {
            // A receiver must not hold up the log; if this fails, a full queue does, for a moment.
            let _ = socket.set_nonblocking(true);
        }
        self.configs.iter().any(Option::is_some)
    }

    /// Copies lines until the input ends, or TERM comes and the line is whole. Gives the exit code.
    fn copy(&mut self, letters: &Signals, mut input: File) -> u8 {
        let mut buffer = vec![0; self.options.read_bytes];
        let mut ending = false;
        loop {
            let now = clock::mono();
            let longest = self.outputs.deadline().map(|at| at.since(now));
            let ready = match letters.wait_beside(&input, longest) {
                Ok(ready) => ready,
                Err(error) => {
                    REPORT.warn(&[OsStr::new("unable to read standard input")], Some(&error));
                    break;
                }
            };
            if ready.signals {
                while let Some(signal) = letters.next() {
                    match self.hear(signal) {
                        Heard::On => {}
                        Heard::End => ending = true,
                        Heard::Lost => return none_usable(),
                    }
                }
            }
            self.outputs.look_at_the_clock();
            if ending && !self.lines.in_line() {
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
                    let stamp = self.options.stamp.text(clock::wall());
                    self.lines
                        .take(&buffer[..length], &stamp, &self.configs, &mut self.outputs);
                    self.outputs.write();
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                    ) => {}
                Err(error) => {
                    REPORT.warn(&[OsStr::new("unable to read standard input")], Some(&error));
                    break;
                }
            }
        }
        self.lines.end(&self.configs, &mut self.outputs);
        self.outputs.write();
        self.outputs.close();
        Exit::Done.code()
    }

    fn hear(&mut self, signal: Signal) -> Heard {
        let told = |text: &str| {
            if self.options.verbose {
                REPORT.info(&[OsStr::new(text)]);
            }
        };
        match signal {
            Signal::Term => {
                told("sigterm received.");
                return Heard::End;
            }
            Signal::Hup => {
                told("sighangup received.");
                self.outputs.close();
                if !self.open() {
                    return Heard::Lost;
                }
            }
            Signal::Alrm => {
                told("sigalarm received.");
                self.outputs.each(LogDirectory::rotate);
            }
            Signal::Chld => {
                told("sigchild received.");
                self.outputs.each(LogDirectory::look_at_processor);
            }
            // Not collected.
            Signal::Int
            | Signal::Quit
            | Signal::Abrt
            | Signal::Kill
            | Signal::Usr1
            | Signal::Usr2
            | Signal::Pipe
            | Signal::Cont
            | Signal::Stop
            | Signal::Tstp
            | Signal::Ttin
            | Signal::Ttou
            | Signal::Winch => {}
        }
        Heard::On
    }
}

/// What a signal means for the loop.
enum Heard {
    On,
    End,
    /// No directory can be used any more.
    Lost,
}

impl Outputs {
    fn each(&mut self, act: impl FnMut(&mut LogDirectory)) {
        self.directories.iter_mut().flatten().for_each(act);
    }

    fn deadline(&self) -> Option<Mono> {
        let opened = self.directories.iter().flatten();
        opened.filter_map(LogDirectory::deadline).min()
    }

    fn look_at_the_clock(&mut self) {
        let now = clock::mono();
        self.each(|directory| directory.look_at_the_clock(now));
    }

    /// Writes all that waits.
    fn write(&mut self) {
        if !self.told.is_empty() {
            // Nobody is left to hear that stderr fails, and the directories still have the lines.
            let _ = io::stderr().write_all(&self.told);
            self.told.clear();
        }
        self.each(LogDirectory::write);
    }

    fn close(&mut self) {
        self.directories
            .drain(..)
            .flatten()
            .for_each(LogDirectory::close);
    }
}

impl Sink for Outputs {
    fn log(&mut self, directory: usize, bytes: &[u8]) {
        if let Some(Some(directory)) = self.directories.get_mut(directory) {
            directory.push(bytes);
        }
    }

    fn tell(&mut self, line: &[u8]) {
        self.told.extend_from_slice(line);
    }

    fn send(&mut self, directory: usize, line: &[u8]) {
        let Some(Some(directory)) = self.directories.get_mut(directory) else {
            return;
        };
        let Some(to) = directory.config().receiver else {
            return;
        };
        // Source: svlogd(8): trouble with UDP is written to the log directory.
        let trouble: &[u8] = match &self.socket {
            None => b"warning: no udp socket available: ",
            Some(socket) => match socket.send_to(line, (Ipv4Addr::from(to.address), to.port)) {
                Ok(_) => return,
                Err(_) => b"warning: failure sending through udp: ",
            },
        };
        directory.push(trouble);
        directory.push(line);
    }
}
