//! The files that make a service known to a manager, judged by the managers' own tools where they are.
//!
//! **Not tested:** launchd, FreeBSD's rc, OpenRC and Windows themselves, which do not run here. A plist is read by Python's
//! `plistlib`; scripts run under stand-ins for `openrc-run` and `rc.subr` that evaluate as the manuals say.
#![allow(
    clippy::disallowed_methods,
    reason = "judges start programs the ordinary way"
)]

mod deeds;
mod directory;
mod scripts;
mod systemd;
mod words;

use eudaemon::Manifest;
use eudaemon::install::{Contents, Installation, Plan};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory that goes with the test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("eudaemon-{name}-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary directory");
        Place(path)
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether this program is somewhere in PATH; says aloud when not, and fails where everything must be tested.
fn need(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    told(program, there)
}

/// As [`need`], of a file.
fn need_file(path: &str) -> bool {
    told(path, Path::new(path).is_file())
}

fn told(what: &str, there: bool) -> bool {
    if !there {
        eprintln!("SKIPPED: {what} is not here");
        assert!(
            std::env::var_os("EUDAEMON_REQUIRE").is_none(),
            "{what} is required"
        );
    }
    there
}

fn output(command: &mut Command) -> Output {
    command
        .stdin(Stdio::null())
        .output()
        .expect("a program that starts")
}

fn hello() -> Manifest {
    let mut manifest = Manifest::new("hello");
    manifest.needs = manifest.needs.bind_tcp(8080);
    manifest
}

fn installation(manifest: Manifest) -> Installation {
    Installation::new(manifest, "/bin/true")
}

/// The bytes of the file whose path ends like this.
fn bytes<'a>(plan: &'a Plan, name: &str) -> &'a [u8] {
    let file = plan.files().find(|file| file.path.ends_with(name));
    let file = file.unwrap_or_else(|| panic!("no {name}"));
    let Contents::Bytes(bytes) = &file.contents else {
        panic!("{name} is a link");
    };
    bytes
}

fn text<'a>(plan: &'a Plan, name: &str) -> &'a str {
    std::str::from_utf8(bytes(plan, name)).expect("UTF-8")
}
