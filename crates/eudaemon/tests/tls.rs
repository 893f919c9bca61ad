//! Certificates and keys as they are found, asked for by a client of rustls.
//!
//! Not tested here: what curl and openssl say (`eudaemon-lab/tests/https.rs`); a chroot (there too).
#![allow(clippy::unwrap_used, reason = "a judge that cannot go on has failed")]
#![allow(clippy::disallowed_methods, reason = "openssl makes the certificates")]
#![cfg(feature = "tls")]

use eudaemon::credentials::Credentials;
use eudaemon::tls::{Remark, Tls, TlsError};
use eudaemon::{Activation, Exit};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::fs::{self, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A directory that is gone with the test.
struct Scratch(PathBuf);

impl Scratch {
    /// `None` where there is no openssl.
    fn new() -> Option<Scratch> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !Path::new("/usr/bin/openssl").exists() {
            assert!(
                std::env::var_os("EUDAEMON_REQUIRE").is_none(),
                "EUDAEMON_REQUIRE is set, and there is no openssl"
            );
            let _told = writeln!(std::io::stderr(), "SKIPPED: no openssl");
            return None;
        }
        let (pid, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(format!("eud-tls-{pid}-{count}"));
        fs::create_dir(&path).unwrap();
        Some(Scratch(path))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn openssl(&self, words: &str) {
        let mut command = Command::new("/usr/bin/openssl");
        let command = command.args(words.split_whitespace()).current_dir(&self.0);
        let said = command.output().unwrap();
        assert!(said.status.success(), "openssl {words}: {said:?}");
    }

    /// A certificate for this host and its key: `NAME.pem` and `NAME.key`.
    fn pair(&self, name: &str, host: &str, kind: &str) {
        self.openssl(&format!(
            "req -x509 -newkey {kind} -nodes -keyout {name}.key -out {name}.pem -days 2 -subj /CN={host} \
             -addext subjectAltName=DNS:{host} -addext basicConstraints=critical,CA:FALSE -set_serial 0x{serial}",
            serial = hex(name)
        ));
    }

    fn tls(&self, name: &str) -> Result<Tls, TlsError> {
        Tls::from_files(
            self.at(&format!("{name}.pem")),
            self.at(&format!("{name}.key")),
        )
    }

    /// A client that believes these, by name.
    fn client(&self, names: &[&str]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        for name in names {
            let pem = self.at(&format!("{name}.pem"));
            roots
                .add(CertificateDer::from_pem_file(pem).unwrap())
                .unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions().unwrap();
        Arc::new(config.with_root_certificates(roots).with_no_client_auth())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A serial number that tells the name: its bytes.
fn hex(name: &str) -> String {
    name.bytes().map(|byte| format!("{byte:02X}")).collect()
}

const EC: &str = "ec -pkeyopt ec_paramgen_curve:P-256";

fn serial(tls: &Tls) -> String {
    tls.certificates()[0].serial().to_owned()
}

/// The serial number that a client is shown who asks for this host.
fn shown(
    tls: &Tls,
    client: &Arc<ClientConfig>,
    host: &'static str,
) -> Result<String, rustls::Error> {
    let mut client =
        ClientConnection::new(Arc::clone(client), ServerName::try_from(host).unwrap())?;
    let mut server = rustls::ServerConnection::new(tls.server_config())?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut wire = &wire[..];
        while !wire.is_empty() {
            server.read_tls(&mut wire).unwrap();
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut wire = &wire[..];
        while !wire.is_empty() {
            client.read_tls(&mut wire).unwrap();
            client.process_new_packets()?;
        }
    }
    let all = client.peer_certificates().unwrap();
    let read = eudaemon_core::certificate::Certificate::parse(&all[0]).unwrap();
    Ok(read.serial)
}

#[test]
fn what_is_wrong_is_told_of_the_file_it_is_in() {
    let Some(at) = Scratch::new() else { return };
    at.pair("a", "a.example", EC);
    at.pair("b", "b.example", "rsa:2048");
    assert_eq!(serial(&at.tls("a").unwrap()), hex("a"));
    assert_eq!(serial(&at.tls("b").unwrap()), hex("b"));
    at.openssl("pkey -in a.key -aes256 -passout pass:1234 -out new.key");
    at.openssl("rsa -in b.key -traditional -aes128 -passout pass:1234 -out old.key");
    at.openssl("rsa -in b.key -traditional -out traditional.key");
    fs::write(at.at("empty"), "").unwrap();
    fs::write(at.at("text"), "-----BEGIN CERTIFICATE-----\n#\n").unwrap();
    fs::write(
        at.at("broken"),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    fs::write(at.at("long"), vec![b'x'; 2 << 20]).unwrap();
    let fifo = Command::new("/usr/bin/mkfifo").arg(at.at("fifo")).status();
    assert!(fifo.unwrap().success());
    let of = |cert: &str, key: &str| Tls::from_files(at.at(cert), at.at(key));
    assert!(of("b.pem", "traditional.key").is_ok());
    let wrong = |cert: &str, key: &str, exit: Exit| {
        let error = of(cert, key).unwrap_err();
        let words = eudaemon::Error::from(of(cert, key).unwrap_err());
        assert_eq!(words.exit(), exit, "{words}");
        error
    };
    for (cert, key) in [("a.pem", "b.key"), ("b.pem", "a.key")] {
        let error = wrong(cert, key, Exit::Config);
        assert!(matches!(error, TlsError::Mismatch { .. }), "{error:?}");
    }
    for (cert, key) in [("a.pem", "new.key"), ("b.pem", "old.key")] {
        let error = wrong(cert, key, Exit::Config);
        assert!(matches!(error, TlsError::Encrypted { .. }), "{error:?}");
    }
    for cert in ["empty", "a.key"] {
        let error = wrong(cert, "a.key", Exit::Config);
        assert!(matches!(error, TlsError::NoCertificate { .. }), "{error:?}");
    }
    for key in ["empty", "a.pem"] {
        let error = wrong("a.pem", key, Exit::Config);
        assert!(matches!(error, TlsError::NoKey { .. }), "{error:?}");
    }
    let error = wrong("text", "a.key", Exit::Config);
    assert!(matches!(error, TlsError::Pem { .. }), "{error:?}");
    let error = wrong("broken", "a.key", Exit::Config);
    assert!(matches!(error, TlsError::Unusable { .. }), "{error:?}");
    let error = wrong("long", "a.key", Exit::Config);
    assert!(matches!(error, TlsError::TooLong { .. }), "{error:?}");
    // Nobody writes into it, and nobody waits for that.
    let error = wrong("fifo", "a.key", Exit::Failed);
    assert!(matches!(error, TlsError::Read { .. }), "{error:?}");
    let error = wrong("none", "a.key", Exit::Failed);
    assert!(error.to_string().ends_with("/none"), "{error}");
}

#[test]
fn a_key_that_others_may_read_and_a_certificate_out_of_date_are_remarked() {
    let Some(at) = Scratch::new() else { return };
    at.pair("a", "a.example", EC);
    assert_eq!(at.tls("a").unwrap().remarks(), []);
    for (mode, words) in [
        (0o640, "a group may read the private key "),
        (0o604, "everybody may read the private key "),
    ] {
        fs::set_permissions(at.at("a.key"), Permissions::from_mode(mode)).unwrap();
        let remarks = at.tls("a").unwrap().remarks();
        assert_eq!(remarks.len(), 1);
        let told = remarks[0].to_string();
        assert!(told.starts_with(words), "{told}");
        assert!(told.ends_with(&format!("mode is {mode:04o}")), "{told}");
    }
    fs::set_permissions(at.at("a.key"), Permissions::from_mode(0o600)).unwrap();
    let tls = at.tls("a").unwrap();
    let good = fs::read(at.at("a.pem")).unwrap();
    at.openssl("x509 -in a.pem -signkey a.key -days -1 -out old.pem");
    fs::copy(at.at("old.pem"), at.at("a.pem")).unwrap();
    // A server that begins with it serves, and says so; one that has a good one keeps that.
    let old = at.tls("a").unwrap();
    assert!(matches!(&old.remarks()[..], [Remark::Expired(_)]));
    old.reload().unwrap();
    assert!(matches!(tls.reload(), Err(TlsError::Expired(_))));
    assert_eq!(tls.remarks(), []);
    fs::write(at.at("a.pem"), good).unwrap();
    old.reload().unwrap();
    assert_eq!(old.remarks(), []);
}

#[test]
fn a_reload_is_all_or_nothing_for_every_clone_and_every_configuration() {
    let Some(at) = Scratch::new() else { return };
    at.pair("a", "a.example", EC);
    at.pair("b", "b.example", EC);
    // As those do it who renew certificates: a link to a directory is moved.
    for name in ["a", "b"] {
        fs::create_dir(at.at(&format!("{name}.d"))).unwrap();
        for kind in ["pem", "key"] {
            let to = at.at(&format!("{name}.d/the.{kind}"));
            fs::copy(at.at(&format!("{name}.{kind}")), to).unwrap();
        }
    }
    symlink("a.d", at.at("now")).unwrap();
    let tls = Tls::from_files(at.at("now/the.pem"), at.at("now/the.key"))
        .unwrap()
        .and_files(at.at("b.pem"), at.at("b.key"))
        .unwrap();
    let (clone, config) = (tls.clone(), tls.server_config());
    let client = at.client(&["a", "b"]);
    assert_eq!(shown(&tls, &client, "a.example").unwrap(), hex("a"));

    // The first is good, the second is not: neither is taken.
    let keep = fs::read(at.at("b.key")).unwrap();
    symlink("b.d", at.at("next")).unwrap();
    fs::rename(at.at("next"), at.at("now")).unwrap();
    fs::write(at.at("b.key"), "").unwrap();
    assert!(matches!(tls.reload(), Err(TlsError::NoKey { .. })));
    assert_eq!(shown(&tls, &client, "a.example").unwrap(), hex("a"));
    fs::write(at.at("b.key"), keep).unwrap();
    tls.reload().unwrap();
    assert_eq!((serial(&tls), serial(&clone)), (hex("b"), hex("b")));
    assert!(Arc::ptr_eq(&config, &clone.server_config()));
    let fresh = at.client(&["a", "b"]);
    assert!(shown(&clone, &fresh, "a.example").is_err());
    assert_eq!(shown(&clone, &fresh, "b.example").unwrap(), hex("b"));
    // Who was here before comes back with its ticket, and is asked for nothing again.
    assert_eq!(shown(&clone, &client, "a.example").unwrap(), hex("a"));
}

#[test]
fn a_client_is_shown_the_certificate_of_the_name_it_asks_for() {
    let Some(at) = Scratch::new() else { return };
    at.pair("a", "a.example", EC);
    at.pair("b", "*.b.example", EC);
    at.pair("c", "a.example", "rsa:2048");
    let tls = at.tls("a").unwrap();
    let tls = tls.and_files(at.at("b.pem"), at.at("b.key")).unwrap();
    let tls = tls.and_files(at.at("c.pem"), at.at("c.key")).unwrap();
    let client = at.client(&["a", "b", "c"]);
    assert_eq!(shown(&tls, &client, "a.example").unwrap(), hex("a"));
    assert_eq!(shown(&tls, &client, "x.b.example").unwrap(), hex("b"));
    // The first, which is not for it: the client finds that out.
    let error = shown(&tls, &client, "c.example").unwrap_err();
    assert!(
        format!("{error:?}").contains("NotValidForName"),
        "{error:?}"
    );
}

#[test]
fn credentials_are_read_again_where_they_were() {
    let Some(at) = Scratch::new() else { return };
    at.pair("a", "a.example", EC);
    at.pair("b", "b.example", EC);
    let directory = at.0.to_str().unwrap();
    let activation = Activation::made(1, [("CREDENTIALS_DIRECTORY", directory)]);
    let credentials = Credentials::open(&activation).unwrap();
    let tls = Tls::from_credentials(&credentials, "a.pem", "a.key").unwrap();
    // The library closes it before privileges are given up.
    drop(credentials);
    fs::rename(at.at("b.pem"), at.at("a.pem")).unwrap();
    let error = tls.reload().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the key in credential a.key is not that of credential a.pem"
    );
    fs::rename(at.at("b.key"), at.at("a.key")).unwrap();
    tls.reload().unwrap();
    assert_eq!(serial(&tls), hex("b"));
    let none = Credentials::open(&Activation::made(1, [("PATH", "/bin")])).unwrap();
    let error = Tls::from_credentials(&none, "cert", "key").unwrap_err();
    assert_eq!(error.to_string(), "credential cert was not handed over");
    assert_eq!(eudaemon::Error::from(error).exit(), Exit::Config);
}

#[test]
fn a_thread_speaks_and_says_its_end_and_who_is_silent_is_left() {
    let Some(at) = Scratch::new() else { return };
    at.pair("a", "localhost", EC);
    let tls = at.tls("a").unwrap().alpn(["h2", "http/1.1"]);
    let tls = tls.handshake_timeout(Duration::from_millis(300));
    let listener = tls.listener(TcpListener::bind("127.0.0.1:0").unwrap());
    let address = listener.local_addr().unwrap();

    let mut silent = TcpStream::connect(address).unwrap();
    let accepted = listener.accept().unwrap().0;
    // Slowly is silently: each byte in time does not make the whole in time.
    let begun = Instant::now();
    let slow = std::thread::spawn(move || {
        let mut byte = [22, 3, 1, 0, 200].into_iter();
        while silent.write_all(&[byte.next().unwrap_or(1)]).is_ok() {
            silent
                .set_read_timeout(Some(Duration::from_millis(50)))
                .unwrap();
            if silent.read(&mut [0; 9]).is_ok() {
                break;
            }
        }
    });
    let error = accepted.handshake().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(begun.elapsed() >= Duration::from_millis(300));
    slow.join().unwrap();

    let client = at.client(&["a"]);
    let asking = std::thread::spawn(move || {
        let name = ServerName::try_from("localhost").unwrap();
        let client = ClientConnection::new(client, name).unwrap();
        let mut stream = StreamOwned::new(client, TcpStream::connect(address).unwrap());
        stream.write_all(b"hello").unwrap();
        let mut said = String::new();
        // Without a word at the end this is an error.
        stream.read_to_string(&mut said).map(|_| said)
    });
    let mut stream = listener.accept().unwrap().0.handshake().unwrap();
    let mut said = [0; 5];
    stream.read_exact(&mut said).unwrap();
    stream.write_all(&said).unwrap();
    assert_eq!(stream.connection().alpn_protocol(), None);
    assert!(stream.tcp().nodelay().unwrap());
    drop(stream);
    assert_eq!(asking.join().unwrap().unwrap(), "hello");

    let mut rude = TcpStream::connect(address).unwrap();
    rude.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let error = listener.accept().unwrap().0.handshake().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
    let inner = error.into_inner().unwrap();
    assert!(inner.downcast_ref::<rustls::Error>().is_some());
}
