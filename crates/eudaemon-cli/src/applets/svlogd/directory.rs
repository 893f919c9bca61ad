//! One log directory of `svlogd`.

use super::processor::{Processor, Standing};
use super::{PAUSE, REPORT};
use eudaemon_core::log::next_stamp;
use eudaemon_core::svlogd::{Complaint, Config, Fill, oldest};
use eudaemon_core::time::Mono;
use eudaemon_sys::file::Folder;
use eudaemon_sys::{clock, errno, file};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;

/// Most of a `config` that is read.
const CONFIG_BYTES_MAX: u64 = 1024 * 1024;

/// A log directory that can be used.
#[derive(Debug)]
pub struct LogDirectory {
    path: OsString,
    folder: Folder,
    /// Held as long as it lives.
    _lock: File,
    config: Config,
    verbose: bool,
    line_bytes: usize,
    current: File,
    fill: Fill,
    /// When the first byte came into `current`, as far as this run knows.
    filled_since: Option<Mono>,
    waiting: Vec<u8>,
    processor: Option<Processor>,
}

impl LogDirectory {
    /// Opens it, as `config` in it says; if that fails, this is told.
    pub fn open(path: &OsStr, line_bytes: usize, verbose: bool) -> Option<LogDirectory> {
        let refuse = |text: &str, error: &io::Error| {
            REPORT.warn(&[OsStr::new(text), OsStr::new(": "), path], Some(error));
        };
        let folder = Folder::open(path)
            .map_err(|error| match error.raw_os_error() {
                // Observed with 2.1.2-54: what cannot be entered is told in other words than what cannot be opened.
                Some(errno::ENOTDIR) => refuse("unable to change directory", &error),
                _ => refuse("unable to open log directory", &error),
            })
            .ok()?;
        let lock = folder
            .append("lock", 0o600)
            .and_then(|lock| file::lock(&lock).map(|()| lock))
            .map_err(|error| refuse("unable to lock directory", &error))
            .ok()?;
        let config = read_config(&folder)
            .map_err(|error| refuse("unable to read config", &error))
            .ok()?;
        let info = |what: &str, name: &str| {
            if verbose {
                REPORT.info(&[OsStr::new(what), path, OsStr::new(name)]);
            }
        };
        let config = match config {
            None => Config::default(),
            Some(text) => {
                info("read: ", "/config");
                let (config, complaints) = Config::parse(&text);
                complaints.iter().for_each(complain);
                config
            }
        };
        let mut directory = LogDirectory {
            path: path.to_owned(),
            _lock: lock,
            current: persist(path, "unable to open current", || open_current(&folder)),
            fill: Fill::new(&config, line_bytes, 0),
            folder,
            config,
            verbose,
            line_bytes,
            filled_since: None,
            waiting: Vec::new(),
            processor: None,
        };
        directory.take_over();
        Some(directory)
    }

    /// What it asks for.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Makes what an earlier run left behind fit to be written to.
    fn take_over(&mut self) {
        let is = self.persist("unable to stat current", |own| file::about(&own.current));
        let complete = is.mode & 0o100 != 0;
        if !complete {
            self.remove_half_processed();
        }
        if is.size_bytes > 0 && !complete {
            // It was not closed in order: what is in it stays as it is, under a name of its own.
            self.finish("u");
        } else {
            self.fill = Fill::new(&self.config, self.line_bytes, is.size_bytes);
            self.filled_since = (is.size_bytes > 0).then(clock::mono);
        }
        self.persist("unable to set mode of current", |own| {
            file::set_mode(&own.current, 0o644)
        });
        self.info(if complete { "append: " } else { "new: " }, "/current");
    }

    fn remove_half_processed(&mut self) {
        self.persist("unable to unlink processor leftover", |own| {
            for name in own.folder.names()? {
                if name.len() > 25 && name[0] == b'@' && name.ends_with(b".t") {
                    own.folder.remove(name.as_slice())?;
                }
            }
            Ok(())
        });
    }

    /// Takes bytes to be written.
    pub fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// Writes what waits.
    pub fn write(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let mut rest = waiting.as_slice();
        loop {
            if self.fill.is_full() {
                self.rotate();
            }
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at(self.fill.room(rest));
            self.write_all(now);
            rest = later;
        }
        self.waiting = waiting;
        self.waiting.clear();
    }

    fn write_all(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = (&self.current).write(rest);
            match written {
                Ok(0) => {}
                Ok(count) => {
                    self.fill.wrote(&rest[..count]);
                    rest = &rest[count..];
                    self.filled_since.get_or_insert_with(clock::mono);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let full = error.raw_os_error() == Some(errno::ENOSPC);
                    if !(full && self.make_room()) {
                        pausing(&self.path, "unable to write to current", &error);
                        clock::pause(PAUSE);
                    }
                }
            }
        }
    }

    /// Removes an old file if the disk is full and there are more than `N` says.
    fn make_room(&mut self) -> bool {
        if self.config.keep_min == 0 {
            return false;
        }
        let Ok(names) = self.folder.names() else {
            return false;
        };
        let Some(name) = oldest(&names, b"", self.config.keep_min) else {
            return false;
        };
        let shown = OsStr::from_bytes(name);
        let text = ["out of disk space, delete: ", "/"].map(OsStr::new);
        REPORT.warn(&[text[0], &self.path, text[1], shown], None);
        self.folder.remove(name).is_ok()
    }

    /// Finishes `current`, if there is anything in it, and begins another.
    pub fn rotate(&mut self) {
        if self.fill.bytes() == 0 {
            return;
        }
        let processes = self.config.processor.is_some();
        if processes {
            self.wait_for_processor();
        }
        self.persist("unable to fsync current logfile", |own| {
            own.current.sync_all()
        });
        self.persist("unable to set mode of current", |own| {
            file::set_mode(&own.current, 0o744)
        });
        let bytes = self.fill.bytes();
        let name = self.finish(if processes { "u" } else { "s" });
        self.fill = Fill::new(&self.config, self.line_bytes, 0);
        self.filled_since = None;
        if self.verbose {
            let shown = format!(" {bytes}");
            let words = ["rename: ", "/current ", &name, &shown].map(OsStr::new);
            REPORT.info(&[words[0], &self.path, words[1], words[2], words[3]]);
        }
        self.let_surplus_go(name.as_bytes());
        if let Some(command) = &self.config.processor {
            let stamp = name.trim_end_matches(".u").to_owned();
            let mut processor = Processor::new(command, stamp);
            processor.start(&self.folder, &self.path, self.verbose);
            self.processor = Some(processor);
        }
    }

    /// Gives `current` its final name and makes another; nothing else is known of it here.
    fn finish(&mut self, end: &str) -> String {
        let name = self.persist("unable to rename current", |own| {
            let names = own.folder.names()?;
            let stamp = next_stamp(names.iter().map(Vec::as_slice), clock::wall());
            let name = format!("{stamp}.{end}");
            own.folder.rename("current", name.as_str())?;
            Ok(name)
        });
        self.current = self.persist("unable to create new current", |own| {
            let current = open_current(&own.folder)?;
            // The names are as safe as what they name.
            own.folder.sync()?;
            Ok(current)
        });
        name
    }

    fn let_surplus_go(&mut self, newest: &[u8]) {
        if self.config.keep == 0 {
            return;
        }
        let Ok(names) = self.folder.names() else {
            return;
        };
        if let Some(name) = oldest(&names, newest, self.config.keep) {
            if self.verbose {
                let text = ["delete: ", "/"].map(OsStr::new);
                REPORT.info(&[text[0], &self.path, text[1], OsStr::from_bytes(name)]);
            }
            if let Err(error) = self.folder.remove(name) {
                let text = ["unable to unlink oldest logfile: ", "/"].map(OsStr::new);
                let words = [text[0], &self.path, text[1], OsStr::from_bytes(name)];
                REPORT.warn(&words, Some(&error));
            }
        }
    }

    /// When something is to be done without input.
    pub fn deadline(&self) -> Option<Mono> {
        let age = self.config.age.zip(self.filled_since);
        let old = age.map(|(age, since)| since + age);
        let again = self.processor.as_ref().and_then(Processor::restart_at);
        old.into_iter().chain(again).min()
    }

    /// Does what is due.
    pub fn look_at_the_clock(&mut self, now: Mono) {
        if let Some((age, since)) = self.config.age.zip(self.filled_since)
            && since + age <= now
        {
            self.rotate();
        }
        if let Some(processor) = &mut self.processor
            && processor.restart_at().is_some_and(|at| at <= now)
        {
            processor.start(&self.folder, &self.path, self.verbose);
        }
    }

    /// Looks whether the processor has ended.
    pub fn look_at_processor(&mut self) {
        if let Some(processor) = &mut self.processor
            && processor.look(&self.folder, &self.path, self.verbose) == Standing::Done
        {
            self.processor = None;
        }
    }

    /// Waits until the processor has done it, however often it fails.
    fn wait_for_processor(&mut self) {
        if let Some(mut processor) = self.processor.take() {
            processor.wait(&self.folder, &self.path, self.verbose);
        }
    }

    /// Leaves it complete.
    pub fn close(mut self) {
        self.write();
        self.wait_for_processor();
        self.persist("unable to fsync current logfile", |own| {
            own.current.sync_all()
        });
        self.persist("unable to set mode of current", |own| {
            file::set_mode(&own.current, 0o744)
        });
        self.info("close: ", "");
    }

    fn info(&self, what: &str, name: &str) {
        if self.verbose {
            REPORT.info(&[OsStr::new(what), &self.path, OsStr::new(name)]);
        }
    }

    fn persist<T>(
        &mut self,
        text: &str,
        attempt: impl Fn(&mut LogDirectory) -> io::Result<T>,
    ) -> T {
        loop {
            match attempt(self) {
                Ok(done) => return done,
                Err(error) => {
                    pausing(&self.path, text, &error);
                    clock::pause(PAUSE);
                }
            }
        }
    }
}

fn persist<T>(path: &OsStr, text: &str, attempt: impl Fn() -> io::Result<T>) -> T {
    loop {
        match attempt() {
            Ok(done) => return done,
            Err(error) => {
                pausing(path, text, &error);
                clock::pause(PAUSE);
            }
        }
    }
}

/// `svlogd: pausing: TEXT: DIR: PHRASE`.
pub fn pausing(path: &OsStr, text: &str, error: &io::Error) {
    REPORT.pausing(&[OsStr::new(text), OsStr::new(": "), path], error);
}

fn open_current(folder: &Folder) -> io::Result<File> {
    folder.append("current", 0o644)
}

/// The text of `config`; `None` if there is none.
fn read_config(folder: &Folder) -> io::Result<Option<Vec<u8>>> {
    let mut text = Vec::new();
    match folder.read("config") {
        Ok(file) => file.take(CONFIG_BYTES_MAX).read_to_end(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(text))
}

fn complain(complaint: &Complaint) {
    let (what, text) = match complaint {
        Complaint::Address(text) => ("unable to scan ip address: ", text),
        Complaint::Port(text) => ("unable to scan port number: ", text),
    };
    REPORT.warn(&[OsStr::new(what), OsStr::from_bytes(text)], None);
}
