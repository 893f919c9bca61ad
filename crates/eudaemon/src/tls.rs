//! Certificates of a TLS server: from the manager's credentials or from files, and read again without a connection lost.
//!
//! ```no_run
//! use eudaemon::tls::Tls;
//! use eudaemon::{Init, Result};
//!
//! fn open(cx: &Init<'_>) -> Result<Tls> {
//!     let tls = Tls::from_credentials(cx.credentials(), "cert", "key")?;
//!     for remark in tls.remarks() {
//!         cx.log().warning(remark);
//!     }
//!     Ok(tls.alpn(["h2", "http/1.1"]))
//! }
//! ```
//!
//! The protocol is rustls's, with ring: TLS 1.2 and 1.3. [`Tls::server_config`] is what every server that stands on rustls takes;
//! [`Tls::listener`] is for threads of std, and `Tls::accept` for tokio (feature `tls-tokio`).
//!
//! # Read again
//!
//! [`Tls::reload`] reads the same files or credentials. What is wrong with them is an error, and the old certificate stays.
//! A handshake has the one or the other whole; connections that are open, and those that are resumed by a ticket, do not notice.
//!
//! The files must be within reach then. Behind a drop the service's user must be allowed to read them. Behind a `chroot` they
//! are out of reach, and so it is [`TlsError::RootChanged`]: an open directory that leads out of the root would be a way out
//! for others too, and the drop refuses it. There, replace the process. A sandbox needs the files among its
//! [`needs`](crate::needs).

mod error;
mod listener;
mod source;

pub use error::{Remark, TlsError};
pub use listener::{Accepted, TlsListener, TlsStream};

use crate::credentials::Credentials;
use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use source::{Pair, Source};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

/// How long a handshake may take, if nobody says.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What a TLS server shows, and how it speaks. Cheap to clone; all clones have the same certificates, also after a reload.
#[derive(Clone, Debug)]
pub struct Tls {
    shown: Arc<Shown>,
    config: Arc<ServerConfig>,
    handshake: Duration,
}

/// The certificates, and where they are from.
struct Shown {
    /// Locked while they are read, so of two that read the later one stays.
    sources: Mutex<Vec<Source>>,
    /// At least one.
    now: RwLock<Arc<[Pair]>>,
}

impl Tls {
    /// The certificates and the key of two credentials, in PEM: the server's certificate first and then those that lead to a root.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn from_credentials(
        credentials: &Credentials,
        certificates: &str,
        key: &str,
    ) -> Result<Tls, TlsError> {
        Tls::of(Source::credentials(credentials, certificates, key)?)
    }

    /// The same of two files. Symbolic links are followed: who renews certificates moves them.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn from_files(
        certificates: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Tls, TlsError> {
        Tls::of(Source::files(certificates.as_ref(), key.as_ref())?)
    }

    fn of(source: Source) -> Result<Tls, TlsError> {
        let pair = source.read()?;
        let shown = Arc::new(Shown {
            sources: Mutex::new(vec![source]),
            now: RwLock::new(Arc::new([pair])),
        });
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Provider)?
            .with_no_client_auth()
            .with_cert_resolver(shown.clone());
        // Keys of this process alone, in memory alone, changed every six hours. Source: `rustls::ticketer`.
        config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(TlsError::Provider)?;
        Ok(Tls {
            shown,
            config: Arc::new(config),
            handshake: HANDSHAKE,
        })
    }

    /// One more certificate. A client is shown the first that is for the name it asked for, of a kind it understands; if none
    /// is, the first of all.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn and_credentials(
        self,
        credentials: &Credentials,
        certificates: &str,
        key: &str,
    ) -> Result<Tls, TlsError> {
        self.and(Source::credentials(credentials, certificates, key)?)
    }

    /// As [`Tls::and_credentials`], of two files.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn and_files(
        self,
        certificates: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Tls, TlsError> {
        self.and(Source::files(certificates.as_ref(), key.as_ref())?)
    }

    fn and(self, source: Source) -> Result<Tls, TlsError> {
        let mut sources = self.shown.sources();
        let mut now = self.shown.now().to_vec();
        now.push(source.read()?);
        sources.push(source);
        self.shown.show(now);
        drop(sources);
        Ok(self)
    }

    /// What may be spoken inside, the dearest first: `["h2", "http/1.1"]`. A client that wants none of it is refused, one that
    /// does not say is not. Default: nothing is said of it. Source: RFC 7301.
    #[must_use]
    pub fn alpn<P: AsRef<[u8]>>(mut self, protocols: impl IntoIterator<Item = P>) -> Tls {
        let mut config = ServerConfig::clone(&self.config);
        config.alpn_protocols = protocols
            .into_iter()
            .map(|protocol| protocol.as_ref().to_vec())
            .collect();
        self.config = Arc::new(config);
        self
    }

    /// How long a client may take for its handshake. Default: 10 s.
    #[must_use]
    pub fn handshake_timeout(mut self, most: Duration) -> Tls {
        self.handshake = most;
        self
    }

    /// Reads all of them again. New handshakes have what was read; connections go on.
    ///
    /// # Errors
    /// [`TlsError`]; then every certificate that was in force still is.
    pub fn reload(&self) -> Result<(), TlsError> {
        let sources = self.shown.sources();
        let read: Result<Vec<Pair>, TlsError> = sources.iter().map(Source::read_again).collect();
        let read = read?;
        let today = SystemTime::now();
        for (old, new) in self.shown.now().iter().zip(&read) {
            if new.about.ends() < today && old.about.ends() >= today {
                return Err(TlsError::Expired(new.about.clone()));
            }
        }
        self.shown.show(read);
        Ok(())
    }

    /// What rustls needs to serve, now and after each reload.
    #[must_use]
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// The certificates alone, for a configuration of one's own: `ServerConfig::builder()…with_cert_resolver(tls.resolver())`.
    #[must_use]
    pub fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        self.shown.clone()
    }

    /// The servers' certificates in force, in the order in which they were asked for.
    #[must_use]
    pub fn certificates(&self) -> Vec<Certificate> {
        let now = self.shown.now();
        now.iter().map(|pair| pair.about.clone()).collect()
    }

    /// What is no error and should be told: a certificate that is out of date, a key that others may read.
    #[must_use]
    pub fn remarks(&self) -> Vec<Remark> {
        let (now, today) = (self.shown.now(), SystemTime::now());
        now.iter().flat_map(|pair| pair.remarks(today)).collect()
    }

    /// The listener, whose connections are encrypted: for [`Handle::serve`](crate::Handle::serve).
    pub fn listener<L: crate::Listener>(&self, listener: L) -> TlsListener<L> {
        TlsListener::new(self.clone(), listener)
    }

    /// Makes an encrypted connection of an accepted one, in the time the handshake may take. To be called in the connection's
    /// own task, not in the loop that accepts.
    ///
    /// # Errors
    /// [`TimedOut`](std::io::ErrorKind::TimedOut); [`InvalidData`](std::io::ErrorKind::InvalidData) around a `rustls::Error`
    /// if it is no TLS or nothing in common is spoken; what the connection itself says.
    #[cfg(feature = "tls-tokio")]
    pub async fn accept<C>(
        &self,
        connection: C,
    ) -> std::io::Result<tokio_rustls::server::TlsStream<C>>
    where
        C: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let acceptor = tokio_rustls::TlsAcceptor::from(self.server_config());
        match tokio::time::timeout(self.handshake, acceptor.accept(connection)).await {
            Ok(accepted) => accepted,
            Err(_) => Err(listener::silent()),
        }
    }
}

impl Shown {
    fn sources(&self) -> std::sync::MutexGuard<'_, Vec<Source>> {
        // A panic leaves it as it was: it only ever grows by whole ones.
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Arc<[Pair]> {
        // As in `sources`.
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn show(&self, pairs: Vec<Pair>) {
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = pairs.into();
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let now = self.now();
        let name = hello.server_name().map(ServerName::try_from);
        let name = name.and_then(Result::ok);
        let is_understood = |pair: &&Pair| {
            let schemes = hello.signature_schemes();
            pair.shown.key.choose_scheme(schemes).is_some()
        };
        let is_named = |pair: &&Pair| name.as_ref().is_some_and(|name| is_for(pair, name));
        let understood = || now.iter().filter(is_understood);
        let chosen = understood()
            .find(is_named)
            .or_else(|| understood().next())
            .or(now.first());
        chosen.map(|pair| Arc::clone(&pair.shown))
    }
}

fn is_for(pair: &Pair, name: &ServerName<'_>) -> bool {
    let parsed = pair.shown.end_entity_cert();
    let parsed = parsed.and_then(ParsedCertificate::try_from);
    parsed.is_ok_and(|parsed| verify_server_name(&parsed, name).is_ok())
}

impl fmt::Debug for Shown {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = self.now();
        to.debug_list()
            .entries(now.iter().map(|pair| &pair.about))
            .finish()
    }
}

/// What is known of a certificate. Shown, it is its file or credential, its serial number and its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    from: String,
    facts: eudaemon_core::certificate::Certificate,
}

impl Certificate {
    /// The serial number, in hexadecimal capitals, as `openssl x509 -serial` writes it.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.facts.serial
    }

    /// Since when it counts.
    #[must_use]
    pub fn begins(&self) -> SystemTime {
        at(self.facts.begins)
    }

    /// Until when it counts.
    #[must_use]
    pub fn ends(&self) -> SystemTime {
        at(self.facts.ends)
    }
}

/// A Unix second. What is so far off that the system has no time for it comes as near to it as it can.
fn at(secs: i64) -> SystemTime {
    let length = Duration::from_secs(secs.unsigned_abs());
    let there = match secs < 0 {
        true => SystemTime::UNIX_EPOCH.checked_sub(length),
        false => SystemTime::UNIX_EPOCH.checked_add(length),
    };
    there.unwrap_or(SystemTime::UNIX_EPOCH)
}

impl fmt::Display for Certificate {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ends = eudaemon_core::time::Civil::from_secs(self.facts.ends);
        write!(
            to,
            "{}, serial {}, until {:04}-{:02}-{:02}",
            self.from, self.facts.serial, ends.year, ends.month, ends.day
        )
    }
}
