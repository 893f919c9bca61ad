//! The plan carried out: all of it, or nothing.

use super::plan::{Command, Contents, File, Plan, Step};
use super::{InstallError, seal};
use crate::child::Scrubbed;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// What a program said and how it ended.
pub(super) struct Said {
    /// Its exit code; `None`: a signal ended it.
    pub(super) code: Option<i32>,
    /// Standard output, then standard error.
    pub(super) text: Vec<u8>,
}

/// Runs a program of the manager to its end, without input.
#[allow(
    clippy::disallowed_methods,
    reason = "a tool that is waited for, not a service; and this process serves nothing yet"
)]
pub(super) fn run(command: &Command, search: &OsStr) -> Result<Said, InstallError> {
    let name = &command.argv[0];
    let failed = |source| InstallError::Start {
        program: name.to_string_lossy().into_owned(),
        source,
    };
    let path = found(name, search).ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    let mut child = std::process::Command::new(path);
    child.args(&command.argv[1..]).stdin(Stdio::null());
    let said = child.scrubbed().output().map_err(failed)?;
    Ok(Said {
        code: said.status.code(),
        text: [said.stdout, said.stderr].concat(),
    })
}

/// The program of this name that a shell would run, from absolute directories only.
pub(super) fn found(name: &OsStr, search: &OsStr) -> Option<PathBuf> {
    let runs = |path: &PathBuf| {
        fs::metadata(path)
            .is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
    };
    if name.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(name)).filter(runs);
    }
    let folders = search
        .as_bytes()
        .split(|&byte| byte == b':')
        .map(OsStr::from_bytes)
        .map(Path::new);
    folders
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(runs)
}

/// A file that was replaced or removed, as it was.
struct Before {
    path: PathBuf,
    was: Option<(Contents, u32)>,
}

/// What has been done so far, newest last.
#[derive(Default)]
struct Trail {
    files: Vec<Before>,
    folders: Vec<PathBuf>,
}

impl Plan {
    /// Does what the plan says. Every file is written beside its place and made safe first; then all are renamed, then the
    /// programs are run. When something fails, what was there is put back, and the manager is told to look again.
    ///
    /// `force` replaces and removes files that are not as they were generated: those that somebody edited, and those that
    /// never were ours.
    ///
    /// # Errors
    /// [`InstallError::Changed`] before anything is done; otherwise what failed. Nothing is left of it then, unless it is
    /// [`InstallError::HalfDone`].
    pub fn apply(&self, force: bool) -> Result<(), InstallError> {
        if !force {
            self.refuse_what_was_edited()?;
        }
        let mut trail = Trail::default();
        let staged = match self.stage(&mut trail) {
            Ok(staged) => staged,
            Err(error) => return Err(self.put_back(trail, error)),
        };
        for step in &self.steps {
            let done = match step {
                Step::Write(file) => self.commit(file, &mut trail),
                Step::Remove(file) => self.remove(file, &mut trail),
                Step::RemoveDirectory(path) => {
                    // Not empty, or not there: then it stays.
                    let _ = fs::remove_dir(self.placed(path));
                    Ok(())
                }
                Step::Run(command) if self.is_here() => self.run(command),
                Step::Run(_) => Ok(()),
            };
            if let Err(error) = done {
                for path in staged {
                    // Those that were renamed are gone; what cannot be removed is a hidden file.
                    let _ = fs::remove_file(path);
                }
                return Err(self.put_back(trail, error));
            }
        }
        Ok(())
    }

    fn refuse_what_was_edited(&self) -> Result<(), InstallError> {
        let mut edited = Vec::new();
        for file in self.files() {
            let path = self.placed(&file.path);
            let now =
                Contents::at(&path).map_err(|error| InstallError::file("read", &path, error))?;
            let ours = match &now {
                None => true,
                Some(now) if *now == file.contents => true,
                Some(Contents::Bytes(bytes)) => seal::is_whole(bytes),
                Some(Contents::Link(_)) => false,
            };
            if !ours {
                edited.push(path);
            }
        }
        match edited.is_empty() {
            true => Ok(()),
            false => Err(InstallError::Changed(edited)),
        }
    }

    /// Writes every new file beside its place; the names of those.
    fn stage(&self, trail: &mut Trail) -> Result<Vec<PathBuf>, InstallError> {
        let mut staged = Vec::new();
        for step in &self.steps {
            let Step::Write(file) = step else { continue };
            let path = self.placed(&file.path);
            let made = make_folders(&path, &mut trail.folders)
                .and_then(|()| write_beside(&path, &file.contents, file.mode));
            match made {
                Ok(beside) => staged.push(beside),
                Err(error) => {
                    for path in staged {
                        // A hidden file that nobody reads is all that can stay.
                        let _ = fs::remove_file(path);
                    }
                    return Err(InstallError::file("write", path, error));
                }
            }
        }
        Ok(staged)
    }

    fn commit(&self, file: &File, trail: &mut Trail) -> Result<(), InstallError> {
        let path = self.placed(&file.path);
        let was = before(&path).map_err(|error| InstallError::file("read", &path, error))?;
        put_in_place(&beside(&path), &path)
            .map_err(|error| InstallError::file("write", &path, error))?;
        trail.files.push(Before { path, was });
        Ok(())
    }

    fn remove(&self, file: &File, trail: &mut Trail) -> Result<(), InstallError> {
        let path = self.placed(&file.path);
        let was = before(&path).map_err(|error| InstallError::file("read", &path, error))?;
        if was.is_none() {
            return Ok(());
        }
        fs::remove_file(&path)
            .and_then(|()| sync_folder(&path))
            .map_err(|error| InstallError::file("remove", &path, error))?;
        trail.files.push(Before { path, was });
        Ok(())
    }

    fn run(&self, command: &Command) -> Result<(), InstallError> {
        match run(command, &self.search) {
            Ok(said) if said.code == Some(0) || !command.must_succeed => Ok(()),
            Ok(said) => Err(InstallError::Command {
                line: command.to_string(),
                code: said.code,
                said: String::from_utf8_lossy(&said.text).into_owned(),
            }),
            Err(_) if !command.must_succeed => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Everything as it was, newest first; the error to tell.
    fn put_back(&self, trail: Trail, because: InstallError) -> InstallError {
        let mut left = None;
        let changed = !trail.files.is_empty();
        for Before { path, was } in trail.files.into_iter().rev() {
            let back = match was {
                None => fs::remove_file(&path).and_then(|()| sync_folder(&path)),
                Some((contents, mode)) => make_folders(&path, &mut Vec::new())
                    .and_then(|()| write_beside(&path, &contents, mode))
                    .and_then(|beside| put_in_place(&beside, &path)),
            };
            if let Err(error) = back {
                left.get_or_insert(InstallError::file("put back", path, error));
            }
        }
        for folder in trail.folders.into_iter().rev() {
            // One that somebody uses by now stays.
            let _ = fs::remove_dir(folder);
        }
        if changed && self.is_here() {
            for command in &self.settle {
                if let Err(error) = self.run(command) {
                    left.get_or_insert(error);
                }
            }
        }
        match left {
            None => because,
            Some(left) => InstallError::HalfDone {
                because: Box::new(because),
                left: Box::new(left),
            },
        }
    }
}

/// What is at the path, with its permissions.
fn before(path: &Path) -> io::Result<Option<(Contents, u32)>> {
    let Some(contents) = Contents::at(path)? else {
        return Ok(None);
    };
    let mode = fs::symlink_metadata(path)?.permissions().mode() & 0o7777;
    Ok(Some((contents, mode)))
}

/// The name a file has until it is whole: hidden, so that no manager reads it.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".eudaemon-new");
    path.with_file_name(name)
}

fn write_beside(path: &Path, contents: &Contents, mode: u32) -> io::Result<PathBuf> {
    let beside = beside(path);
    match fs::remove_file(&beside) {
        // Left by one that was killed here.
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    match contents {
        Contents::Link(to) => symlink(to, &beside)?,
        Contents::Bytes(bytes) => {
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&beside)?;
            let written = file
                .write_all(bytes)
                .and_then(|()| file.set_permissions(fs::Permissions::from_mode(mode)))
                .and_then(|()| file.sync_all());
            if let Err(error) = written {
                // The first error is the one to tell.
                let _ = fs::remove_file(&beside);
                return Err(error);
            }
        }
    }
    Ok(beside)
}

fn put_in_place(beside: &Path, path: &Path) -> io::Result<()> {
    fs::rename(beside, path).and_then(|()| sync_folder(path))
}

/// The folder's entry for this path survives a power cut.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Makes the folders above the path, and notes which were made.
fn make_folders(path: &Path, made: &mut Vec<PathBuf>) -> io::Result<()> {
    let missing: Vec<&Path> = path
        .ancestors()
        .skip(1)
        .take_while(|folder| !folder.exists())
        .collect();
    for folder in missing.into_iter().rev() {
        fs::create_dir(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        made.push(folder.to_owned());
    }
    Ok(())
}
