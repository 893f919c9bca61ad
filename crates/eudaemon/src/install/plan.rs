//! What would be done, as data.

use super::{difference, shell};
use std::ffi::{OsStr, OsString};
use std::fmt::{self, Write as _};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A file that a manager reads.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct File {
    /// Where it is once installed. Absolute; a root other than `/` comes before it.
    pub path: PathBuf,
    /// What is in it.
    pub contents: Contents,
    /// Its permissions, as `0o644`. Those of a link do not count.
    pub mode: u32,
}

/// What a path is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contents {
    /// A regular file with these bytes.
    Bytes(Vec<u8>),
    /// A symbolic link to this path.
    Link(PathBuf),
}

/// A program of the manager with its words.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Command {
    /// The program's name, looked up in the search path, and its words.
    pub argv: Vec<OsString>,
    /// Whether everything ends when it fails. Otherwise it may.
    pub must_succeed: bool,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// The file is written, whole or not at all.
    Write(File),
    /// The file is removed, if it is as we would write it.
    Remove(File),
    /// The directory is removed, if it is empty.
    RemoveDirectory(PathBuf),
    /// The program is run.
    Run(Command),
}

/// What will be done to make a service known, or unknown, to a manager; nothing has been done yet.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) steps: Vec<Step>,
    /// What tells the manager to look again after files were put back.
    pub(super) settle: Vec<Command>,
    pub(super) notes: Vec<String>,
    pub(super) root: PathBuf,
    pub(super) search: OsString,
}

impl Command {
    /// One that must succeed.
    pub(super) fn new<S: AsRef<OsStr>>(argv: impl IntoIterator<Item = S>) -> Command {
        Command {
            argv: argv
                .into_iter()
                .map(|word| word.as_ref().to_owned())
                .collect(),
            must_succeed: true,
        }
    }

    /// The same, which may fail.
    pub(super) fn tried(mut self) -> Command {
        self.must_succeed = false;
        self
    }
}

/// As one would type it into a shell.
impl fmt::Display for Command {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = shell::line(self.argv.iter().map(OsString::as_os_str));
        to.write_str(&String::from_utf8_lossy(&line))
    }
}

impl File {
    pub(super) fn new(path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>, mode: u32) -> File {
        File {
            path: path.into(),
            contents: Contents::Bytes(bytes.into()),
            mode,
        }
    }

    pub(super) fn link(path: impl Into<PathBuf>, to: impl Into<PathBuf>) -> File {
        File {
            path: path.into(),
            contents: Contents::Link(to.into()),
            mode: 0o777,
        }
    }
}

impl Contents {
    /// What is at this path now; `None`: nothing. A link is not followed.
    pub(super) fn at(path: &Path) -> io::Result<Option<Contents>> {
        let found = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found?,
        };
        Ok(Some(if found.is_symlink() {
            Contents::Link(fs::read_link(path)?)
        } else {
            Contents::Bytes(fs::read(path)?)
        }))
    }

    fn shown(&self) -> String {
        match self {
            Contents::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Contents::Link(to) => format!("-> {}\n", to.display()),
        }
    }
}

impl Plan {
    pub(super) fn new(root: &Path, search: &OsStr) -> Plan {
        Plan {
            steps: Vec::new(),
            settle: Vec::new(),
            notes: Vec::new(),
            root: root.to_owned(),
            search: search.to_owned(),
        }
    }

    /// Everything, in order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The files that are written or removed, in order.
    pub fn files(&self) -> impl Iterator<Item = &File> {
        self.steps.iter().filter_map(|step| match step {
            Step::Write(file) | Step::Remove(file) => Some(file),
            Step::RemoveDirectory(_) | Step::Run(_) => None,
        })
    }

    /// The programs that are run, in order. Below another root than `/` they are not.
    pub fn commands(&self) -> impl Iterator<Item = &Command> {
        self.steps.iter().filter_map(|step| match step {
            Step::Run(command) => Some(command),
            Step::Write(_) | Step::Remove(_) | Step::RemoveDirectory(_) => None,
        })
    }

    /// What a person should know: what was left out, and why.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Whether programs are run: the files are those of the running system.
    pub(super) fn is_here(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Where a path is below the root.
    pub(super) fn placed(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The files against what is on disk, in the form of `diff -u`, and a line for each program that is run. Bytes that are no
    /// UTF-8 are shown as `�`.
    ///
    /// # Errors
    /// When a file that is there cannot be read.
    pub fn diff(&self) -> Result<String, super::InstallError> {
        let mut out = String::new();
        for step in &self.steps {
            let _infallible = match step {
                Step::Write(file) => self.file_diff(&mut out, file, false)?,
                Step::Remove(file) => self.file_diff(&mut out, file, true)?,
                Step::RemoveDirectory(path) => {
                    writeln!(
                        out,
                        "# rmdir {}, if it is empty",
                        self.placed(path).display()
                    )
                }
                Step::Run(command) if self.is_here() => writeln!(out, "# run: {command}"),
                Step::Run(command) => writeln!(out, "# not run below another root: {command}"),
            };
        }
        Ok(out)
    }

    fn file_diff(
        &self,
        out: &mut String,
        file: &File,
        gone: bool,
    ) -> Result<fmt::Result, super::InstallError> {
        let path = self.placed(&file.path);
        let now = Contents::at(&path)
            .map_err(|source| super::InstallError::file("read", &path, source))?;
        let path = path.display();
        let then = (!gone).then_some(&file.contents);
        let shown = |side: Option<&Contents>| side.map(Contents::shown).unwrap_or_default();
        let name = |side: Option<&Contents>| match side {
            None => "/dev/null".to_owned(),
            Some(_) => path.to_string(),
        };
        if now.as_ref() == then {
            return Ok(match now {
                None => writeln!(out, "# not there: {path}"),
                Some(_) => writeln!(out, "# unchanged: {path}"),
            });
        }
        let hunks = difference::hunks(&shown(now.as_ref()), &shown(then));
        let names = format!("--- {}\n+++ {}\n", name(now.as_ref()), name(then));
        Ok(match then {
            Some(Contents::Bytes(_)) => write!(out, "# mode {:04o}\n{names}{hunks}", file.mode),
            Some(Contents::Link(_)) => write!(out, "# a link\n{names}{hunks}"),
            None => write!(out, "{names}{hunks}"),
        })
    }
}
