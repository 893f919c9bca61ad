//! Paths, as they are called inside a chroot.
//!
//! A daemon reads `/srv/app/data` from its configuration, is locked into `/srv/app`, and must then say `/data`. What does
//! not lie inside cannot be addressed there, and that is an error, not a path that means something else.
//!
//! ```
//! use eudaemon::chroot::Root;
//! let root = Root::new("/srv/app")?;
//! assert_eq!(root.path("/srv/app/data/x".as_ref())?.as_path(), "/data/x");
//! assert!(root.path("/srv/application".as_ref()).is_err());
//! # Ok::<(), eudaemon::chroot::NotAddressable>(())
//! ```
//!
//! Paths are compared by component and never looked at on disk: symbolic links are not followed. One that leads out of the
//! root, or is absolute, means something else inside, and a path through one is not what it seems (`chroot(2)`;
//! `path_resolution(7)`).

use std::error::Error;
use std::fmt;
use std::path::{Component, Path, PathBuf};

/// A directory that is, or will be, the root of this process. `/` changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Absolute, without `.`, `..` and doubled slashes.
    directory: PathBuf,
}

/// A path as it is called inside a [`Root`]: absolute, without `.` and `..`. Only [`Root::path`] makes one, so none is
/// translated twice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChrootPath(PathBuf);

/// A path that has no name inside the root.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotAddressable {
    /// It is not absolute, so it depends on a working directory, which the chroot changes.
    Relative(PathBuf),
    /// It has more `..` than directories to leave.
    AboveRoot(PathBuf),
    /// It has a NUL byte, which no path has.
    Nul(PathBuf),
    /// It lies outside.
    Outside {
        /// The path.
        path: PathBuf,
        /// The root.
        root: PathBuf,
    },
}

impl Root {
    /// The root at this directory.
    ///
    /// # Errors
    /// A path that is not absolute, goes above `/`, or has a NUL byte.
    pub fn new(directory: impl AsRef<Path>) -> Result<Root, NotAddressable> {
        let directory = normal(directory.as_ref())?;
        Ok(Root { directory })
    }

    /// The directory, without `.`, `..` and doubled slashes, as it is called outside.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether it is `/`, where every path is called what it is called.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.directory == Path::new("/")
    }

    /// What an absolute path from outside is called inside.
    ///
    /// `..` takes the component before it away, as a person means it; the kernel would follow a symbolic link first.
    ///
    /// # Errors
    /// The path has no name inside.
    pub fn path(&self, outside: &Path) -> Result<ChrootPath, NotAddressable> {
        let normal = normal(outside)?;
        match normal.strip_prefix(&self.directory) {
            Ok(below) => Ok(ChrootPath(Path::new("/").join(below))),
            Err(_) => Err(NotAddressable::Outside {
                path: outside.into(),
                root: self.directory.clone(),
            }),
        }
    }

    /// What a path from inside is called outside: the other way round.
    #[must_use]
    pub fn outside(&self, inside: &ChrootPath) -> PathBuf {
        // It begins with a slash, behind which nothing climbs.
        let below = inside.0.strip_prefix("/").unwrap_or(&inside.0);
        if below.as_os_str().is_empty() {
            return self.directory.clone();
        }
        self.directory.join(below)
    }
}

impl ChrootPath {
    /// The path.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl AsRef<Path> for ChrootPath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for ChrootPath {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(to)
    }
}

/// The path without `.`, `..` and doubled slashes.
fn normal(path: &Path) -> Result<PathBuf, NotAddressable> {
    if path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(NotAddressable::Nul(path.into()));
    }
    if !path.is_absolute() {
        return Err(NotAddressable::Relative(path.into()));
    }
    let mut normal = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => normal.push(name),
            // The kernel calls `/..` the same as `/` (path_resolution(7)); whoever writes it means something else.
            Component::ParentDir if !normal.pop() => {
                return Err(NotAddressable::AboveRoot(path.into()));
            }
            Component::ParentDir
            | Component::RootDir
            | Component::CurDir
            | Component::Prefix(_) => {}
        }
    }
    Ok(normal)
}

impl fmt::Display for NotAddressable {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotAddressable::Relative(path) => {
                write!(to, "{} is not absolute", path.display())
            }
            NotAddressable::AboveRoot(path) => {
                write!(to, "{} goes above the root", path.display())
            }
            NotAddressable::Nul(path) => {
                write!(to, "{} has a NUL byte", path.display())
            }
            NotAddressable::Outside { path, root } => write!(
                to,
                "{} lies outside of the root {}",
                path.display(),
                root.display()
            ),
        }
    }
}

impl Error for NotAddressable {}

#[cfg(test)]
mod tests;
