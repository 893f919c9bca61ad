//! What went wrong, in one line for a person and with one exit code for a manager.

use crate::Exit;
use std::error::Error as StdError;
use std::fmt;
use std::io;

/// What a service, or a step of its life, returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a daemon did not start, or ended: a sentence, the error below it, and the class that decides the exit code.
///
/// Any error becomes one with `?`. It then has the class its kind suggests, if it is an [`io::Error`], or [`Exit::Failed`];
/// [`Error::exit`] shows which, and [`Error::class`] gives another.
pub struct Error {
    exit: Exit,
    /// What was attempted, on what. Outermost first.
    attempts: Vec<String>,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of this class with these words.
    #[must_use]
    pub fn new(exit: Exit, words: impl Into<String>) -> Error {
        Error {
            exit,
            attempts: vec![words.into()],
            cause: None,
        }
    }

    /// The configuration is wrong; no restart mends it. Exit code 78.
    #[must_use]
    pub fn config(words: impl Into<String>) -> Error {
        Error::new(Exit::Config, words)
    }

    /// This cannot be done here, and says why. Exit code 78: what was asked for must be changed.
    #[must_use]
    pub fn unsupported(words: impl Into<String>) -> Error {
        Error::new(Exit::Config, words)
    }

    /// The same error in another class.
    #[must_use]
    pub fn class(mut self, exit: Exit) -> Error {
        self.exit = exit;
        self
    }

    /// The same error, with what was attempted when it came: `unable to open /etc/web.toml`.
    #[must_use]
    pub fn during(mut self, attempt: impl Into<String>) -> Error {
        self.attempts.insert(0, attempt.into());
        self
    }

    /// The class, which is the exit code.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The error of the system at the bottom of it, if there is one. What `ERRNO=` tells a manager.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        let mut error: &(dyn StdError + 'static) = self.cause.as_deref()?;
        loop {
            if let Some(number) = error
                .downcast_ref::<io::Error>()
                .and_then(io::Error::raw_os_error)
            {
                return Some(number);
            }
            error = error.source()?;
        }
    }
}

/// The class of an error: what its own kind says, for those of this library, or what the system's says.
fn class(error: &(dyn StdError + 'static)) -> Exit {
    use crate::{install, logging, pidfile, privileges};
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return suggested(error);
    }
    if let Some(error) = error.downcast_ref::<pidfile::PidfileError>() {
        return error.exit();
    }
    if let Some(error) = error.downcast_ref::<privileges::PrivError>() {
        return error.exit();
    }
    if let Some(error) = error.downcast_ref::<install::InstallError>() {
        return error.exit();
    }
    if let Some(error) = error.downcast_ref::<crate::sockets::SocketError>() {
        return error.exit();
    }
    #[cfg(feature = "sandbox")]
    if let Some(error) = error.downcast_ref::<crate::sandbox::SandboxError>() {
        return error.exit();
    }
    #[cfg(feature = "tls")]
    if let Some(error) = error.downcast_ref::<crate::tls::TlsError>() {
        return error.exit();
    }
    if error.is::<logging::LogError>() || error.is::<crate::detach::DetachError>() {
        return Exit::Config;
    }
    // Of others, the system's error below them.
    error.source().map_or(Exit::Failed, class)
}

/// The class an error of the system suggests. Deliberately short: what is not plainly one thing is [`Exit::Failed`].
pub(crate) fn suggested(error: &io::Error) -> Exit {
    use io::ErrorKind as Kind;
    // `ErrorKind` is not ours, and grows.
    #[allow(clippy::wildcard_enum_match_arm)]
    match error.kind() {
        Kind::PermissionDenied => Exit::NoPermission,
        Kind::AddrInUse | Kind::AddrNotAvailable | Kind::ConnectionRefused | Kind::TimedOut => {
            Exit::Unavailable
        }
        Kind::StorageFull | Kind::OutOfMemory | Kind::ResourceBusy => Exit::Temporary,
        Kind::NotFound | Kind::InvalidInput | Kind::Unsupported => Exit::Failed,
        _ => Exit::Failed,
    }
}

// `Error` itself is no `std::error::Error`: then every other could not become one with `?`.
impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Error {
        let any: &(dyn StdError + 'static) = &error;
        let exit = class(any);
        Error {
            exit,
            attempts: Vec::new(),
            cause: Some(Box::new(error)),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        let mut part = |to: &mut fmt::Formatter<'_>, words: &dyn fmt::Display| {
            if !std::mem::take(&mut first) {
                to.write_str(": ")?;
            }
            write!(to, "{words}")
        };
        for attempt in &self.attempts {
            part(to, attempt)?;
        }
        let mut below = self.cause.as_deref().map(|cause| cause as &dyn StdError);
        while let Some(error) = below {
            part(to, &error)?;
            below = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{self} ({:?})", self.exit)
    }
}

/// Words for what was attempted, put before any error that comes of it.
pub trait Context<T> {
    /// As [`Error::during`]; the words are made only when there is an error.
    ///
    /// # Errors
    /// What there was, with the words before it.
    fn during<W: Into<String>>(self, attempt: impl FnOnce() -> W) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn during<W: Into<String>>(self, attempt: impl FnOnce() -> W) -> Result<T> {
        self.map_err(|error| error.into().during(attempt()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_line_with_a_class() {
        let lost: std::result::Result<(), _> = Err(io::Error::from_raw_os_error(98));
        let error = lost.during(|| "unable to listen at [::]:80").unwrap_err();
        assert_eq!(
            error.to_string(),
            // Each libc has words of its own.
            format!(
                "unable to listen at [::]:80: {}",
                io::Error::from_raw_os_error(98)
            )
        );
        assert_eq!(error.exit(), Exit::Unavailable);
        assert_eq!(error.errno(), Some(98));
        let error = error.class(Exit::Config);
        assert_eq!(error.exit().code(), 78);
        assert_eq!(Error::config("no").errno(), None);
    }
}
