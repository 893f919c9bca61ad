//! Where a certificate and its key are from, and what is found there.

use super::{Certificate, Remark, TlsError};
use crate::credentials::{CredentialError, Credentials, Secret};
use eudaemon_sys::file::{Folder, Identity, about, open_to_read};
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// A certificate with those behind it, and its key.
#[derive(Debug)]
pub(super) struct Source {
    certificates: Place,
    key: Place,
    /// The root the paths begin at.
    root: Option<Identity>,
}

/// One of the two.
#[derive(Debug)]
enum Place {
    File(PathBuf),
    Credential { directory: PathBuf, name: String },
}

/// What was found.
#[derive(Clone)]
pub(super) struct Pair {
    pub shown: Arc<CertifiedKey>,
    pub about: Certificate,
    /// The key's file and its permission bits.
    key: Option<(PathBuf, u32)>,
}

impl Source {
    pub fn files(certificates: &Path, key: &Path) -> Result<Source, TlsError> {
        // Where the program stands may change, what is meant may not.
        let file = |path: &Path| {
            let whole = std::path::absolute(path).map_err(|source| TlsError::Read {
                path: path.into(),
                source,
            });
            whole.map(Place::File)
        };
        Ok(Source {
            certificates: file(certificates)?,
            key: file(key)?,
            root: root(),
        })
    }

    pub fn credentials(
        credentials: &Credentials,
        certificates: &str,
        key: &str,
    ) -> Result<Source, TlsError> {
        let place = |name: &str| match credentials.path() {
            Some(directory) => Ok(Place::Credential {
                directory: directory.into(),
                name: name.into(),
            }),
            None => {
                let missing = CredentialError::Missing(name.into());
                Err(TlsError::Credential(missing))
            }
        };
        Ok(Source {
            certificates: place(certificates)?,
            key: place(key)?,
            root: root(),
        })
    }

    pub fn read_again(&self) -> Result<Pair, TlsError> {
        if self.root.is_none() || root() != self.root {
            let path = match &self.certificates {
                Place::File(path) => path,
                Place::Credential { directory, .. } => directory,
            };
            return Err(TlsError::RootChanged { path: path.into() });
        }
        self.read()
    }

    pub fn read(&self) -> Result<Pair, TlsError> {
        let (pem, _) = self.certificates.read()?;
        let from = || self.certificates.to_string();
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.bytes()).collect();
        let chain = chain.map_err(|_| TlsError::Pem { from: from() })?;
        let Some(first) = chain.first() else {
            return Err(TlsError::NoCertificate { from: from() });
        };
        let broken = |source| TlsError::Unusable {
            from: from(),
            source,
        };
        let facts = eudaemon_core::certificate::Certificate::parse(first).ok_or_else(|| {
            broken(Error::InvalidCertificate(
                rustls::CertificateError::BadEncoding,
            ))
        })?;

        let (pem, mode) = self.key.read()?;
        let key = self.private_key(pem.bytes())?;
        let provider = rustls::crypto::ring::default_provider();
        let key = provider.key_provider.load_private_key(key);
        let key = key.map_err(|source| TlsError::Unusable {
            from: self.key.to_string(),
            source,
        })?;
        let shown = CertifiedKey::new(chain, key);
        match shown.keys_match() {
            // What cannot be compared is found out by the first client.
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => {
                return Err(TlsError::Mismatch {
                    certificate: from(),
                    key: self.key.to_string(),
                });
            }
            Err(source) => return Err(broken(source)),
        }
        Ok(Pair {
            shown: Arc::new(shown),
            about: Certificate {
                from: from(),
                facts,
            },
            key: self.key.file().zip(mode),
        })
    }

    fn private_key(&self, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
        let from = self.key.to_string();
        // `ENCRYPTED PRIVATE KEY` of RFC 7468 §11, and the line `Proc-Type: 4,ENCRYPTED` of RFC 1421 §4.6.1.1.
        let is_encrypted = pem
            .split(|byte| *byte == b'\n')
            .any(|line| line.windows(9).any(|word| word == b"ENCRYPTED"));
        if is_encrypted {
            return Err(TlsError::Encrypted { from });
        }
        PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
            PemError::NoItemsFound => TlsError::NoKey { from },
            PemError::MissingSectionEnd { .. }
            | PemError::IllegalSectionStart { .. }
            | PemError::Base64Decode(_)
            | PemError::Io(_)
            | PemError::SectionTooLarge
            | _ => TlsError::Pem { from },
        })
    }
}

/// The process's root. Behind a changed one a path means another file.
fn root() -> Option<Identity> {
    Folder::open("/").and_then(|root| root.identity()).ok()
}

impl Place {
    fn file(&self) -> Option<PathBuf> {
        match self {
            Place::File(path) => Some(path.clone()),
            Place::Credential { .. } => None,
        }
    }

    /// All of it; of a file its permission bits too.
    fn read(&self) -> Result<(Secret, Option<u32>), TlsError> {
        match self {
            Place::File(path) => {
                let failed = |source| TlsError::Read {
                    path: path.clone(),
                    source,
                };
                // As it is opened a FIFO does not wait, and as it is read it must not be one.
                let file = open_to_read(path).map_err(failed)?;
                let about = about(&file).map_err(failed)?;
                if !about.regular {
                    let none = io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file");
                    return Err(failed(none));
                }
                match Secret::read(file).map_err(failed)? {
                    Some(secret) => Ok((secret, Some(about.mode & 0o777))),
                    None => Err(TlsError::TooLong { path: path.clone() }),
                }
            }
            Place::Credential { directory, name } => {
                let opened = Credentials::within(directory.clone());
                let secret = opened.and_then(|credentials| credentials.require(name));
                Ok((secret.map_err(TlsError::Credential)?, None))
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path) => path.display().fmt(to),
            Place::Credential { name, .. } => write!(to, "credential {name}"),
        }
    }
}

impl Pair {
    pub fn remarks(&self, today: SystemTime) -> Vec<Remark> {
        let mut remarks = Vec::new();
        if self.about.ends() < today {
            remarks.push(Remark::Expired(self.about.clone()));
        }
        if self.about.begins() > today {
            remarks.push(Remark::NotYet(self.about.clone()));
        }
        if let Some((path, mode)) = self.key.clone().filter(|(_, mode)| mode & 0o044 != 0) {
            remarks.push(Remark::KeyReadable { path, mode });
        }
        remarks
    }
}
