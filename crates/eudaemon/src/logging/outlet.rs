//! The places records go to, open.

use super::journal::{is_gone, wait_for_room};
use super::{Journal, LogError, LogTarget, Record, absolute};
use crate::Activation;
use crate::chroot::Root;
use eudaemon_core::logging::{
    Choice, End, Facts, Form, choose, human, journal_stream, push, push_syslog,
};
use eudaemon_sys::errno::EMSGSIZE;
use eudaemon_sys::file::Folder;
use eudaemon_sys::record::{Datagrams, Kind, look, write};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where syslog takes messages. Source: `syslog(3)`.
const SYSLOG: &str = "/dev/log";
/// How much of a record that is too long for syslog's socket is sent.
const SYSLOG_MOST: usize = 8192;
/// The mode of a new log file.
const FILE_MODE: u32 = 0o640;

/// What the start said about logs.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    stream: Option<(u64, u64)>,
    managed: bool,
    colour: bool,
    pub(super) directory: Option<PathBuf>,
}

impl Surroundings {
    pub(super) fn of(activation: &Activation) -> Surroundings {
        // Source: no-color.org: present and not empty; terminfo(5): `dumb` can do nothing.
        let unwanted = activation
            .variable("NO_COLOR")
            .is_some_and(|v| !v.is_empty())
            || activation.text("TERM") == Some("dumb");
        Surroundings {
            stream: activation.text("JOURNAL_STREAM").and_then(journal_stream),
            managed: activation.is_supervised(),
            colour: !unwanted,
            directory: activation.directory().map(Path::to_owned),
        }
    }

    /// What there is, if this is, or will be, standard error.
    fn facts(&self, stderr: BorrowedFd<'_>) -> Facts {
        let (kind, device, inode) = look(stderr);
        let (_, out_device, out_inode) = look(io::stdout());
        let is_stream = |id| self.stream == Some(id);
        Facts {
            journal: is_stream((device, inode)) || is_stream((out_device, out_inode)),
            managed: self.managed,
            end: match kind {
                Kind::Terminal => End::Terminal,
                Kind::Nowhere => End::Nowhere,
                // As inetd passes a client: what is written there is sent to it.
                Kind::Socket if look(io::stdin()) == (kind, device, inode) => End::Nowhere,
                Kind::Pipe | Kind::Socket => End::Program,
                Kind::File | Kind::Other => End::File,
            },
            colour: self.colour,
        }
    }
}

/// A place, open.
#[derive(Debug)]
pub(super) enum Outlet {
    Journal(Journal),
    Stream(Stream),
    File(LogFile),
    Syslog(Syslog),
}

impl Outlet {
    pub(super) fn open(
        target: LogTarget,
        around: &Surroundings,
        stderr: BorrowedFd<'_>,
    ) -> Result<Outlet, LogError> {
        let facts = around.facts(stderr);
        let stream = |form| Ok(Outlet::Stream(Stream { form, torn: false }));
        match target {
            LogTarget::Auto => match choose(&facts) {
                // A unit with a root of its own may have the stream and not the socket.
                Choice::Journal => match Journal::open() {
                    Ok(journal) => Ok(Outlet::Journal(journal)),
                    Err(_) if facts.end != End::Nowhere => stream(Form::Prefixed),
                    Err(error) => Err(error),
                },
                Choice::Stream(form) => stream(form),
                Choice::Syslog => match Syslog::open() {
                    Ok(syslog) => Ok(Outlet::Syslog(syslog)),
                    Err(source) => Err(LogError::Nowhere { source }),
                },
            },
            LogTarget::Journal => Ok(Outlet::Journal(Journal::open()?)),
            LogTarget::Prefixed => stream(Form::Prefixed),
            LogTarget::Human => stream(human(&facts)),
            LogTarget::File(path) => Ok(Outlet::File(LogFile::open(absolute(path, around))?)),
            LogTarget::Syslog => match Syslog::open() {
                Ok(syslog) => Ok(Outlet::Syslog(syslog)),
                Err(source) => Err(LogError::Connect {
                    path: SYSLOG.into(),
                    source,
                }),
            },
        }
    }

    pub(super) fn write(&mut self, record: &Record<'_>, patience: Duration) -> io::Result<()> {
        match self {
            Outlet::Journal(journal) => {
                match journal.send_message(&record.native(), patience) {
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                        // The journal is gone, and its path with it or out of reach. What systemd connected standard
                        // error to outlives the journal: it keeps that stream for the next one (sd_notify(3), FDSTORE).
                        let mut stderr = Stream {
                            form: Form::Prefixed,
                            torn: false,
                        };
                        if look(io::stderr()).0 == Kind::Nowhere {
                            return Err(error);
                        }
                        stderr.write(record, patience)
                    }
                    sent => sent,
                }
            }
            Outlet::Stream(stream) => stream.write(record, patience),
            Outlet::File(file) => file.write(record, patience),
            Outlet::Syslog(syslog) => syslog.write(record, patience),
        }
    }

    pub(super) fn lock_in(&mut self, root: &Root) {
        if let Outlet::File(file) = self {
            file.lock_in(root);
        }
    }

    pub(super) fn reopen(&mut self) -> Result<(), LogError> {
        match self {
            Outlet::File(file) => file.reopen(),
            Outlet::Journal(_) | Outlet::Stream(_) | Outlet::Syslog(_) => Ok(()),
        }
    }

    pub(super) fn describes(&self, around: &Surroundings) -> String {
        match self {
            Outlet::Journal(journal) => {
                format!("the journal at {}", journal.path().display())
            }
            Outlet::Stream(stream) => {
                let end = match around.facts(io::stderr().as_fd()).end {
                    End::Terminal => "a terminal",
                    End::Nowhere => "nobody: /dev/null or closed",
                    End::Program => "a pipe or a socket",
                    End::File => "a file",
                };
                let form = match stream.form {
                    Form::Prefixed => "lines with <N>",
                    Form::Human { stamp: true, .. } => "lines with the time",
                    Form::Human { stamp: false, .. } => "lines without a time",
                };
                format!("standard error, {end}, as {form}")
            }
            Outlet::File(file) => format!("the file {}", file.path.display()),
            Outlet::Syslog(_) => format!("syslog at {SYSLOG}"),
        }
    }
}

/// Standard error.
#[derive(Debug)]
pub(super) struct Stream {
    form: Form,
    /// The last line is there in part: the next begins with a line feed.
    torn: bool,
}

impl Stream {
    fn write(&mut self, record: &Record<'_>, patience: Duration) -> io::Result<()> {
        let mut out = Vec::with_capacity(64 + record.line.message.len());
        if self.torn {
            out.push(b'\n');
        }
        push(&record.line, self.form, &mut out);
        let (written, end) = write(io::stderr(), &out, patience);
        // A lone line feed that got through has mended it.
        self.torn = match written {
            0 => self.torn,
            1 if self.torn => false,
            _ => written < out.len(),
        };
        end
    }
}

/// A file, and how it is found again.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    folder: Kept,
    name: OsString,
    file: File,
}

/// The directory of a log file.
#[derive(Debug)]
enum Kept {
    /// Open.
    Open(Folder),
    /// Not: it is where the path says.
    Closed,
    /// Not, and no path leads to it from inside the root.
    Outside,
}

impl LogFile {
    fn open(path: PathBuf) -> Result<LogFile, LogError> {
        let opened = || {
            let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
            let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
            let folder = Folder::open(parent)?;
            let file = folder.append(name.as_bytes(), FILE_MODE)?;
            Ok((folder, name.to_owned(), file))
        };
        match opened() {
            Ok((folder, name, file)) => Ok(LogFile {
                path,
                folder: Kept::Open(folder),
                name,
                file,
            }),
            Err(source) => Err(LogError::Open { path, source }),
        }
    }

    fn reopen(&mut self) -> Result<(), LogError> {
        let name = self.name.as_bytes();
        let opened = match &self.folder {
            Kept::Open(folder) => folder.append(name, FILE_MODE),
            Kept::Closed => Folder::open(self.path.parent().unwrap_or(Path::new("/")))
                .and_then(|folder| folder.append(name, FILE_MODE)),
            Kept::Outside => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "it is outside of the root",
            )),
        };
        self.file = opened.map_err(|source| LogError::Open {
            path: self.path.clone(),
            source,
        })?;
        Ok(())
    }

    fn lock_in(&mut self, root: &Root) {
        self.folder = match root.path(&self.path) {
            Ok(inside) => {
                self.path = inside.as_path().to_owned();
                Kept::Closed
            }
            Err(_) => Kept::Outside,
        };
    }

    fn write(&mut self, record: &Record<'_>, patience: Duration) -> io::Result<()> {
        let mut out = Vec::with_capacity(64 + record.line.message.len());
        let form = Form::Human {
            stamp: true,
            colour: false,
        };
        push(&record.line, form, &mut out);
        let (written, end) = write(&self.file, &out, patience);
        if 0 < written && written < out.len() {
            // The disk became full within the line: it ends here, if there is room for that.
            let _ = write(&self.file, b"\n", Duration::ZERO);
        }
        end
    }
}

/// Syslog, by datagrams.
#[derive(Debug)]
pub(super) struct Syslog(Datagrams);

impl Syslog {
    fn open() -> io::Result<Syslog> {
        Ok(Syslog(Datagrams::connect(Path::new(SYSLOG))?))
    }

    fn write(&mut self, record: &Record<'_>, patience: Duration) -> io::Result<()> {
        let mut out = Vec::with_capacity(64 + record.line.message.len());
        let pid = std::process::id();
        push_syslog(&record.line, &record.log.identifier, pid, &mut out);
        match self.send(&out, patience) {
            Err(error) if is_gone(&error) => {
                *self = Syslog::open()?;
                self.send(&out, patience)
            }
            sent => sent,
        }
    }

    fn send(&self, line: &[u8], patience: Duration) -> io::Result<()> {
        match wait_for_room(&self.0, patience, || self.0.send(line)) {
            Err(error) if error.raw_os_error() == Some(EMSGSIZE) => {
                let some = line.get(..SYSLOG_MOST).unwrap_or(line);
                wait_for_room(&self.0, patience, || self.0.send(some))
            }
            sent => sent,
        }
    }
}
