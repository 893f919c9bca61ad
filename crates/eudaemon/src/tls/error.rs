//! What is wrong with certificates and keys.

use super::Certificate;
use crate::Exit;
use crate::credentials::CredentialError;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a certificate is not shown. Each says of which file or credential.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read, or is no regular one.
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A credential cannot be read, or was not handed over.
    Credential(CredentialError),
    /// It would be read again, and the process has another root than when it was read first.
    RootChanged {
        /// The file or directory, as it was called outside.
        path: PathBuf,
    },
    /// It is longer than [`MOST`](crate::credentials::MOST) bytes.
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// It is not PEM.
    Pem {
        /// The file or credential.
        from: String,
    },
    /// There is no certificate in it.
    NoCertificate {
        /// The file or credential.
        from: String,
    },
    /// There is no private key in it.
    NoKey {
        /// The file or credential.
        from: String,
    },
    /// The key is encrypted, and there is nobody who could be asked for the words.
    Encrypted {
        /// The file or credential.
        from: String,
    },
    /// There is a certificate or a key, and it is broken or of a kind that is not supported.
    Unusable {
        /// The file or credential.
        from: String,
        /// What rustls said.
        source: rustls::Error,
    },
    /// The key is of another certificate.
    Mismatch {
        /// The certificate's file or credential.
        certificate: String,
        /// The key's.
        key: String,
    },
    /// It is out of date, and the one in force is not. Found by a reload alone.
    Expired(Certificate),
    /// rustls does not work here.
    Provider(rustls::Error),
}

impl TlsError {
    /// The class of it.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            TlsError::Read { source, .. }
            | TlsError::Credential(
                CredentialError::Read { source, .. } | CredentialError::Directory { source, .. },
            ) => crate::error::suggested(source),
            TlsError::Provider(_) => Exit::System,
            TlsError::Credential(_)
            | TlsError::RootChanged { .. }
            | TlsError::TooLong { .. }
            | TlsError::Pem { .. }
            | TlsError::NoCertificate { .. }
            | TlsError::NoKey { .. }
            | TlsError::Encrypted { .. }
            | TlsError::Unusable { .. }
            | TlsError::Mismatch { .. }
            | TlsError::Expired(_) => Exit::Config,
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::Read { path, .. } => write!(to, "unable to read {}", path.display()),
            TlsError::Credential(error) => error.fmt(to),
            TlsError::RootChanged { path } => write!(
                to,
                "unable to read {} again: the root of the process is another one now; replace the process instead",
                path.display()
            ),
            TlsError::TooLong { path } => {
                let most = crate::credentials::MOST;
                write!(to, "{} is longer than {most} bytes", path.display())
            }
            TlsError::Pem { from } => write!(to, "{from} is not PEM"),
            TlsError::NoCertificate { from } => write!(to, "{from} has no certificate in it"),
            TlsError::NoKey { from } => write!(to, "{from} has no private key in it"),
            TlsError::Encrypted { from } => write!(
                to,
                "the key in {from} is encrypted, and nobody can be asked for its words: `openssl pkey` writes it without"
            ),
            TlsError::Unusable { from, .. } => write!(to, "unable to use {from}"),
            TlsError::Mismatch { certificate, key } => {
                write!(to, "the key in {key} is not that of {certificate}")
            }
            TlsError::Expired(certificate) => {
                write!(to, "what is out of date stays unused: {certificate}")
            }
            TlsError::Provider(_) => to.write_str("rustls does not work"),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TlsError::Read { source, .. } => Some(source),
            // Its words are ours already.
            TlsError::Credential(error) => error.source(),
            TlsError::Unusable { source, .. } | TlsError::Provider(source) => Some(source),
            TlsError::RootChanged { .. }
            | TlsError::TooLong { .. }
            | TlsError::Pem { .. }
            | TlsError::NoCertificate { .. }
            | TlsError::NoKey { .. }
            | TlsError::Encrypted { .. }
            | TlsError::Mismatch { .. }
            | TlsError::Expired(_) => None,
        }
    }
}

/// What is no error, and somebody should know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remark {
    /// It is out of date: clients will refuse it.
    Expired(Certificate),
    /// It does not count yet, if the clock is right: clients will refuse it.
    NotYet(Certificate),
    /// Others than its owner may read the key, a group or everybody. Not said of a credential: its manager sees to that.
    KeyReadable {
        /// The key.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

impl fmt::Display for Remark {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remark::Expired(certificate) => write!(to, "out of date: {certificate}"),
            Remark::NotYet(certificate) => write!(to, "does not count yet: {certificate}"),
            Remark::KeyReadable { path, mode } => {
                let who = match mode & 0o004 {
                    0 => "a group",
                    _ => "everybody",
                };
                let path = path.display();
                write!(
                    to,
                    "{who} may read the private key {path}, whose mode is {mode:04o}"
                )
            }
        }
    }
}
