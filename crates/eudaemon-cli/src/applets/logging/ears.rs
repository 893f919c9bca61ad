//! Hearing signals while waiting, whatever is waited for.

use crate::report::Report;
use eudaemon_core::words::Signal;
use eudaemon_sys::clock;
use eudaemon_sys::signal::Signals;
use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

/// How soon what failed is tried again: a disk that has room again is used at once.
const RETRY: Duration = Duration::from_millis(50);
/// How often a failure that lasts is told of: the original tries, and says so, every five seconds.
const TELL: Duration = Duration::from_secs(5);

/// TERM came while something could not be done; what is in work must be left as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop;

/// The signals that were sent and not yet acted upon.
#[derive(Debug)]
pub struct Ears {
    signals: Signals,
    /// TERM: it stays.
    pub term: bool,
    /// ALRM.
    pub alrm: bool,
    /// HUP.
    pub hup: bool,
}

impl Ears {
    /// From here on TERM, ALRM and HUP end nothing before they are read. Before any thread is made.
    pub fn open() -> io::Result<Ears> {
        Ok(Ears {
            signals: Signals::only(&[Signal::Term, Signal::Alrm, Signal::Hup])?,
            term: false,
            alrm: false,
            hup: false,
        })
    }

    /// Notes the signals that are there.
    pub fn hear(&mut self) {
        while let Some(signal) = self.signals.next() {
            match signal {
                Signal::Term => self.term = true,
                Signal::Alrm => self.alrm = true,
                Signal::Hup => self.hup = true,
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
                | Signal::Ttin
                | Signal::Ttou
                | Signal::Winch => {}
            }
        }
    }

    /// Waits until the input has something or has ended, or a signal came, or that long; whether it was the input.
    pub fn wait_beside(&mut self, input: impl AsFd, most: Option<Duration>) -> io::Result<bool> {
        let ready = self.signals.wait_beside(input, most)?;
        if ready.signals {
            self.hear();
        }
        Ok(ready.input)
    }

    /// Waits that long, unless TERM comes.
    pub fn pause(&mut self, length: Duration) -> Result<(), Stop> {
        let until = clock::mono() + length;
        loop {
            self.hear();
            let left = until.since(clock::mono());
            if self.term {
                return Err(Stop);
            }
            if left.is_zero() {
                return Ok(());
            }
            if self.signals.wait_for(left).is_err() {
                clock::pause(left);
            }
        }
    }
}

/// Tries until it succeeds, and warns at first and then every five seconds, until TERM comes.
pub fn persist<T>(
    report: Report,
    ears: &mut Ears,
    text: &[&OsStr],
    mut attempt: impl FnMut() -> io::Result<T>,
) -> Result<T, Stop> {
    let mut told = None;
    loop {
        match attempt() {
            Ok(done) => return Ok(done),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                let now = clock::mono();
                if told.is_none_or(|then| now.since(then) >= TELL) {
                    let text: Vec<&OsStr> = text
                        .iter()
                        .copied()
                        .chain([OsStr::new(", pausing")])
                        .collect();
                    report.warn(&text, Some(&error));
                    told = Some(now);
                }
                ears.pause(RETRY)?;
            }
        }
    }
}
