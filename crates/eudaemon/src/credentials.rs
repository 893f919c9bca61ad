//! Secrets a manager hands over as files.
//!
//! Source: `systemd.exec(5)`, "Credentials"; systemd, `docs/CREDENTIALS.md`. `CREDENTIALS_DIRECTORY` names a directory
//! with one file for each; it cannot be written or swapped, and all of it is 1 MiB at most. Another manager, or a script,
//! may make such a directory too.
//!
//! The directory is opened once, before the root is changed; then [`Credentials::get`] works behind it, as long as the
//! service's user may read the files.

use crate::Activation;
use eudaemon_sys::file::Folder;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

/// Most bytes of one credential. Source: `systemd.exec(5)`: 1 MiB for all of a unit.
pub const MOST: usize = 1 << 20;

/// The credentials of this service.
#[derive(Debug)]
pub struct Credentials {
    folder: Option<Folder>,
    path: Option<PathBuf>,
}

/// Why a credential is not there.
#[derive(Debug)]
#[non_exhaustive]
pub enum CredentialError {
    /// No credential can have this name: it is empty, too long, not of printable ASCII, `.` or `..`, or has a `/` or `:`.
    Name(String),
    /// The manager did not hand it over.
    Missing(String),
    /// It is longer than [`MOST`].
    TooLong(String),
    /// The directory `CREDENTIALS_DIRECTORY` names is there and cannot be opened, or its path is not absolute.
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is there and cannot be read; a symbolic link or anything else that is no regular file is not.
    Read {
        /// Its name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
}

impl fmt::Display for CredentialError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CredentialError::Name(name) => write!(to, "no credential can be called {name:?}"),
            CredentialError::Missing(name) => write!(to, "credential {name} was not handed over"),
            CredentialError::TooLong(name) => {
                write!(to, "credential {name} is longer than {MOST} bytes")
            }
            CredentialError::Directory { path, .. } => {
                write!(to, "unable to open credentials in {}", path.display())
            }
            CredentialError::Read { name, .. } => write!(to, "unable to read credential {name}"),
        }
    }
}

impl std::error::Error for CredentialError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            CredentialError::Directory { source, .. } | CredentialError::Read { source, .. } => {
                Some(source)
            }
            CredentialError::Name(_)
            | CredentialError::Missing(_)
            | CredentialError::TooLong(_) => None,
        }
    }
}

impl Credentials {
    /// Those that were handed over: none at all if `CREDENTIALS_DIRECTORY` is not set or the directory is not there.
    ///
    /// # Errors
    /// [`CredentialError::Directory`].
    pub fn open(activation: &Activation) -> Result<Credentials, CredentialError> {
        let path = activation.variable("CREDENTIALS_DIRECTORY");
        let Some(path) = path.filter(|path| !path.is_empty()).map(PathBuf::from) else {
            return Ok(Credentials {
                folder: None,
                path: None,
            });
        };
        Credentials::within(path)
    }

    /// Those of this directory.
    pub(crate) fn within(path: PathBuf) -> Result<Credentials, CredentialError> {
        if !path.is_absolute() {
            let source = io::ErrorKind::InvalidInput.into();
            return Err(CredentialError::Directory { path, source });
        }
        match Folder::open(&path) {
            Ok(folder) => Ok(Credentials {
                folder: Some(folder),
                path: Some(path),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Credentials {
                folder: None,
                path: Some(path),
            }),
            Err(source) => Err(CredentialError::Directory { path, source }),
        }
    }

    /// The credential of this name; `None` if it was not handed over.
    ///
    /// # Errors
    /// [`CredentialError::Name`], [`CredentialError::TooLong`], [`CredentialError::Read`].
    pub fn get(&self, name: &str) -> Result<Option<Secret>, CredentialError> {
        if !is_name(name) {
            return Err(CredentialError::Name(name.to_owned()));
        }
        let Some(folder) = &self.folder else {
            return Ok(None);
        };
        let failed = |source| CredentialError::Read {
            name: name.to_owned(),
            source,
        };
        let file = match folder.read(name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        match Secret::read(file).map_err(failed)? {
            Some(secret) => Ok(Some(secret)),
            None => Err(CredentialError::TooLong(name.to_owned())),
        }
    }

    /// As [`Credentials::get`], for one the service cannot do without.
    ///
    /// # Errors
    /// As [`Credentials::get`], and [`CredentialError::Missing`].
    pub fn require(&self, name: &str) -> Result<Secret, CredentialError> {
        let found = self.get(name)?;
        found.ok_or_else(|| CredentialError::Missing(name.to_owned()))
    }

    /// The directory, if one was named.
    #[cfg(feature = "tls")]
    pub(crate) fn path(&self) -> Option<&std::path::Path> {
        self.path.as_deref()
    }

    /// The names of all that were handed over, in order; what could not be asked for is left out.
    ///
    /// # Errors
    /// [`CredentialError::Directory`].
    pub fn names(&self) -> Result<Vec<String>, CredentialError> {
        let (Some(folder), Some(path)) = (&self.folder, &self.path) else {
            return Ok(Vec::new());
        };
        let names = folder
            .names()
            .map_err(|source| CredentialError::Directory {
                path: path.clone(),
                source,
            })?;
        let names = names
            .into_iter()
            .filter_map(|name| String::from_utf8(name).ok());
        let mut names: Vec<String> = names.filter(|name| is_name(name)).collect();
        names.sort();
        Ok(names)
    }
}

/// Source: systemd, `src/shared/creds-util.c`, `credential_name_valid`: a file's name that is a descriptor's name too.
fn is_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && name != "."
        && name != ".."
        && name
            .bytes()
            .all(|byte| matches!(byte, b' '..=b'~') && byte != b'/' && byte != b':')
}

/// What must not be shown. Its bytes are overwritten when it is dropped, and [`Debug`](fmt::Debug) does not tell them.
///
/// There is one copy in memory, which is not moved while it grows. What is copied out of it is the caller's.
pub struct Secret {
    bytes: Box<[u8]>,
    length: usize,
}

impl Secret {
    /// `None` if there are more than [`MOST`] bytes.
    pub(crate) fn read(mut file: File) -> io::Result<Option<Secret>> {
        let told = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        if told > MOST {
            return Ok(None);
        }
        // One byte more than it should have: a file that grew meanwhile is seen, and not read in part.
        let mut secret = Secret {
            bytes: vec![0; told + 1].into_boxed_slice(),
            length: 0,
        };
        loop {
            let rest = secret.bytes.get_mut(secret.length..).unwrap_or_default();
            if rest.is_empty() {
                return Err(io::Error::other("it changed while it was read"));
            }
            match file.read(rest) {
                Ok(0) => return Ok(Some(secret)),
                Ok(count) => secret.length += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The bytes, as they are in the file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// As text, without the line feed an editor puts at its end; `None` if it is no UTF-8.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        let text = std::str::from_utf8(self.bytes()).ok()?;
        Some(text.strip_suffix('\n').unwrap_or(text))
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        eudaemon_sys::memory::wipe(&mut self.bytes);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("Secret(not shown)")
    }
}
