//! A tree: the directory it is about, its lock, its table, and how it was asked for.

use crate::report::Report;
use crate::table::Table;
use eudaemon_core::status::Dialect;
use eudaemon_sys::dir::{self, Dir};
use eudaemon_sys::process;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Services of a scan directory's table; beyond any limit on descriptors that is usual.
const CAPACITY: usize = 16_384;

/// What kind of tree it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `supervise DIR`: one service.
    Single,
    /// `runsv DIR`: one service and its `log/` (runit).
    Pair,
    /// `svscan DIR`: a directory of services.
    Scan,
    /// `eudaemon up DIR`: the same, with built-in loggers for services without one.
    Up,
}

/// How a tree was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// What messages begin with: `svscan`, `supervise`, `eudaemon`, `runsv DIR`.
    pub program: &'static str,
    /// The directory, as the user called it.
    pub dir: PathBuf,
    /// What kind of tree.
    pub mode: Mode,
    /// Whose rules.
    pub dialect: Dialect,
    /// With runit's manners: each service leads a session of its own (`runsvdir -P`).
    pub sessions: bool,
    /// Arguments with which this very program is run beside the tree, to show its logs.
    pub companion: Option<Vec<OsString>>,
}

impl Options {
    /// For messages.
    #[must_use]
    pub fn report(&self) -> Report {
        Report(self.program)
    }

    /// The name of the directory `supervise`; encore's `SUPERVISEDIR` (specification §2.2).
    #[must_use]
    pub fn supervise_name(&self) -> OsString {
        let named = std::env::var_os("SUPERVISEDIR").filter(|name| !name.is_empty());
        named
            .filter(|_| !matches!(self.dialect, Dialect::Classic | Dialect::Runit))
            .unwrap_or_else(|| "supervise".into())
    }
}

/// What keeper and engine share from the start.
#[derive(Debug)]
pub struct Tree {
    /// The directory; also the working directory.
    pub dir: Dir,
    /// Held for the tree's life, by keeper and engine.
    pub lock: OwnedFd,
    /// The shared table.
    pub table: Table,
}

/// Name of the directory in which a tree keeps its own files.
pub const OWN_DIR: &str = ".eudaemon";

impl Tree {
    /// Opens a tree's directory, takes its lock, and opens its table; says what is wrong and gives the exit code.
    pub fn open(options: &Options) -> Result<Tree, u8> {
        let report = options.report();
        let name = options.dir.as_os_str();
        let runit = options.dialect == Dialect::Runit;
        let opened = Dir::open(&options.dir).and_then(|dir| dir.enter().map(|()| dir));
        let dir = opened.map_err(|error| match runit {
            true => report.fatal(&["unable to change to directory".as_ref()], &error),
            false => report.fatal(&["unable to chdir to ".as_ref(), name], &error),
        })?;
        let lock = take_lock(options, &dir).map_err(|(what, error)| {
            let held = error.kind() == io::ErrorKind::WouldBlock;
            let verb = match (runit, held) {
                (false, _) => "unable to acquire ",
                (true, true) => "unable to lock ",
                (true, false) => "unable to open ",
            };
            // runit names the file from within the directory.
            let what = what
                .strip_prefix(&options.dir)
                .ok()
                .filter(|_| runit)
                .unwrap_or(&what);
            report.fatal(&[verb.as_ref(), what.as_os_str()], &error)
        })?;
        let table = open_table(options, &dir).map_err(|error| {
            // The lock of the directory may be elsewhere: below it while it can be written, in memory while it cannot.
            let held = error.kind() == io::ErrorKind::WouldBlock;
            let verb = if held { "acquire the" } else { "open a" };
            let verb = format!("unable to {verb} table for ");
            report.fatal(&[verb.as_ref(), name], &error)
        })?;
        Ok(Tree { dir, lock, table })
    }

    /// A tree that an engine handed to the keeper it became.
    pub fn handed(dir: OwnedFd, lock: OwnedFd, table: OwnedFd, mode: Mode) -> io::Result<Tree> {
        Ok(Tree {
            dir: Dir::from(dir),
            lock,
            table: Table::from_file(table, capacity(mode))?,
        })
    }
}

fn capacity(mode: Mode) -> usize {
    match mode {
        Mode::Single | Mode::Pair => 4,
        Mode::Scan | Mode::Up => CAPACITY,
    }
}

/// A single service's lock is its own `supervise/lock`, as ever; a scan directory has one beside its socket.
fn take_lock(options: &Options, dir: &Dir) -> Result<OwnedFd, (PathBuf, io::Error)> {
    match options.mode {
        Mode::Single | Mode::Pair => {
            let supervise = crate::service::supervise_path(dir, &options.supervise_name());
            let told = options.dir.join(&supervise);
            let place = crate::service::make_supervise(dir, &supervise)
                .map_err(|error| (told.join("lock"), error))?;
            crate::service::after_the_dying(|| place.lock(OsStr::new("lock")))
                .map_err(|error| (told.join("lock"), error))
        }
        Mode::Scan | Mode::Up => {
            let (own, path) = own_dir(dir).map_err(|error| (options.dir.join(OWN_DIR), error))?;
            crate::service::after_the_dying(|| own.lock(OsStr::new("lock")))
                .map_err(|error| (path.join("lock"), error))
        }
    }
}

/// The tree's own directory: below the directory itself, or, where that cannot be written, in memory.
pub fn own_dir(dir: &Dir) -> io::Result<(Dir, PathBuf)> {
    let below = dir
        .make_dir(OsStr::new(OWN_DIR))
        .and_then(|()| dir.open_at(OsStr::new(OWN_DIR)));
    let refused = match below {
        Ok(own) => return Ok((own, dir.path().join(OWN_DIR))),
        Err(error) => error,
    };
    let Some(base) = memory_base() else {
        return Err(refused);
    };
    let id = dir.id()?;
    let path = base.join(format!("{:x}-{:x}", id.dev, id.ino));
    let base = Dir::open(&base)?;
    base.make_dir(path.file_name().unwrap_or_default())?;
    let own = base.open_at(path.file_name().unwrap_or_default())?;
    Ok((own, path))
}

/// A directory of ours (0700) on tmpfs: nothing there waits for a disk, and it is gone with the boot.
fn memory_base() -> Option<PathBuf> {
    let user = process::effective_uid();
    let named = std::env::var_os("EUDAEMON_RUNTIME_DIR").map(PathBuf::from);
    let of_user = std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|_| user != 0);
    let places = [named, of_user, Some("/run".into()), Some("/dev/shm".into())];
    for base in places
        .into_iter()
        .flatten()
        .filter(|base| dir::is_in_memory(base))
    {
        // In a directory that everybody may write, the name carries the user, and the owner is checked.
        let name = format!("eudaemon-{user}");
        let Ok(parent) = Dir::open(&base) else {
            continue;
        };
        if parent.make_dir(OsStr::new(&name)).is_ok() && is_private(&base.join(&name), user) {
            return Some(base.join(name));
        }
    }
    None
}

fn is_private(path: &Path, user: u32) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::symlink_metadata(path)
        .is_ok_and(|data| data.is_dir() && data.uid() == user && data.mode() & 0o022 == 0)
}

fn open_table(options: &Options, dir: &Dir) -> io::Result<Table> {
    let capacity = capacity(options.mode);
    let Some(path) = table_path(options, dir)? else {
        options.report().warn(
            &["no memory file system for the table: a loss of keeper and engine together would lose what runs".as_ref()],
            None,
        );
        return Table::anonymous(capacity);
    };
    let table = crate::service::after_the_dying(|| Table::open(&path, capacity))?;
    table.begin_tree();
    Ok(table)
}

/// Where the table is: where the last start left it, though its environment may have been another; else where ours says.
fn table_path(options: &Options, dir: &Dir) -> io::Result<Option<PathBuf>> {
    let (note, kind) = match options.mode {
        Mode::Single | Mode::Pair => {
            let place = crate::service::supervise_path(dir, &options.supervise_name());
            (dir.path().join(place).join("table"), "service")
        }
        Mode::Scan | Mode::Up => (own_dir(dir)?.1.join("table"), "tree"),
    };
    let user = process::effective_uid();
    let id = dir.id()?;
    let name = format!("{:x}-{:x}-{:x}.{kind}", id.dev, id.ino, dir.birth());
    if let Ok(path) = std::fs::read_link(&note)
        && path.file_name() == Some(OsStr::new(&name))
        && path
            .parent()
            .is_some_and(|base| is_private(base, user) && dir::is_in_memory(base))
        && path.exists()
    {
        return Ok(Some(path));
    }
    let Some(base) = memory_base() else {
        return Ok(None);
    };
    let path = base.join(name);
    // Without the note the table is found by the environment, as the first time.
    let _ = std::fs::remove_file(&note);
    let _ = std::os::unix::fs::symlink(&path, &note);
    Ok(Some(path))
}
