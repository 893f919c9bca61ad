//! Secrets as a manager hands them over.

use eudaemon::Activation;
use eudaemon::credentials::{CredentialError, Credentials, MOST};
use std::path::PathBuf;

fn scratch(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("eud-credentials-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir(&path).expect("a new directory");
    path
}

fn open(path: &str) -> Result<Credentials, CredentialError> {
    Credentials::open(&Activation::made(1, [("CREDENTIALS_DIRECTORY", path)]))
}

#[test]
fn each_file_is_a_secret() {
    let dir = scratch("files");
    std::fs::write(dir.join("tls.key"), "secret\n").unwrap();
    std::fs::write(dir.join("most"), vec![7; MOST]).unwrap();
    std::fs::write(dir.join("more"), vec![7; MOST + 1]).unwrap();
    std::fs::write(dir.join("empty"), "").unwrap();
    std::os::unix::fs::symlink(dir.join("tls.key"), dir.join("link")).unwrap();
    let credentials = open(dir.to_str().unwrap()).unwrap();
    let key = credentials.require("tls.key").unwrap();
    assert_eq!(
        (key.bytes(), key.text()),
        (&b"secret\n"[..], Some("secret"))
    );
    assert!(!format!("{key:?} {credentials:?}").contains("secret"));
    assert_eq!(credentials.require("most").unwrap().bytes().len(), MOST);
    assert_eq!(credentials.require("empty").unwrap().bytes(), b"");
    assert!(matches!(
        credentials.get("more"),
        Err(CredentialError::TooLong(_))
    ));
    assert!(matches!(
        credentials.get("link"),
        Err(CredentialError::Read { .. })
    ));
    assert!(credentials.get("none").unwrap().is_none());
    assert!(matches!(
        credentials.require("none"),
        Err(CredentialError::Missing(_))
    ));
    for name in [
        "",
        ".",
        "..",
        "a/b",
        "../passwd",
        "a:b",
        "a\n",
        "\u{e9}",
        &"x".repeat(256),
    ] {
        assert!(
            matches!(credentials.get(name), Err(CredentialError::Name(_))),
            "{name:?}"
        );
    }
    assert_eq!(
        credentials.names().unwrap(),
        ["empty", "link", "more", "most", "tls.key"]
    );
    // The directory is held, not its path.
    let moved = dir.with_extension("moved");
    std::fs::rename(&dir, &moved).unwrap();
    assert!(credentials.get("tls.key").unwrap().is_some());
    std::fs::remove_dir_all(&moved).unwrap();
}

#[test]
fn no_directory_is_no_secrets() {
    assert!(open("").unwrap().get("a").unwrap().is_none());
    let gone = open("/nonexistent").unwrap();
    assert!(gone.get("a").unwrap().is_none() && gone.names().unwrap().is_empty());
    assert!(matches!(
        open("relative"),
        Err(CredentialError::Directory { .. })
    ));
    assert!(matches!(
        open("/dev/null"),
        Err(CredentialError::Directory { .. })
    ));
}
