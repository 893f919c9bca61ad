//! The subjects: the originals as the distribution installed them, and ours as a directory of links.

use crate::wait::{Exit, SOON, child, exit_of, until};
use crate::world::forking;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// Whose programs are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Debian's daemontools 0.76.
    Djb,
    /// Debian's runit 2.1.2.
    Runit,
    /// The programs of this project.
    Ours,
}

/// A directory of programs.
#[derive(Clone, Debug)]
pub struct Bins {
    subject: Subject,
    dir: PathBuf,
}

/// The programs the judges ask for, with both subjects.
const FAMILY: [&str; 17] = [
    "svscan",
    "svscanboot",
    "supervise",
    "svc",
    "svok",
    "svstat",
    "readproctitle",
    "multilog",
    "tai64n",
    "tai64nlocal",
    "setuidgid",
    "envuidgid",
    "envdir",
    "softlimit",
    "setlock",
    "pgrphack",
    "fghack",
];

/// The programs of runit.
const RUNIT: [&str; 5] = ["sv", "runsv", "runsvdir", "chpst", "svlogd"];

impl Bins {
    /// Whose they are.
    #[must_use]
    pub fn subject(&self) -> Subject {
        self.subject
    }

    /// The directory that holds them.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file behind a program's name: the subject's own for the family, the host's for anything else.
    #[must_use]
    pub fn program(&self, name: &OsStr) -> PathBuf {
        let own = self.dir.join(name);
        if own.exists() || FAMILY.iter().any(|n| name == *n) || name == "eudaemon" {
            return own;
        }
        PathBuf::from(name)
    }

    /// A PATH that finds the subject's programs first.
    #[must_use]
    pub fn search_path(&self) -> String {
        format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", self.dir.display())
    }
}

/// Says on the terminal itself, past the test harness, that a judge could not sit; fails if nothing may be skipped.
///
/// # Panics
/// When `EUDAEMON_REQUIRE` is set.
pub fn skipped(what: &str) {
    assert!(
        std::env::var_os("EUDAEMON_REQUIRE").is_none(),
        "EUDAEMON_REQUIRE is set, and {what}"
    );
    // Not eprintln: the harness keeps that from the eyes of whoever should read it.
    let _told = writeln!(std::io::stderr(), "SKIPPED: {what}");
}

/// Whether this process is root, as whom alone a judge of privileges can sit; says so, as [`skipped`] does.
#[must_use]
pub fn need_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skipped("not root: nobody's privileges can be given up");
    }
    root
}

/// Whether all these host programs exist; says which one does not, as [`skipped`] does.
#[must_use]
pub fn need(programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|p| !Path::new(p).exists()).collect();
    if !missing.is_empty() {
        skipped(&format!("not installed: {missing:?}"));
    }
    missing.is_empty()
}

/// The programs of a subject, or nothing (said loudly) when they are not there.
///
/// # Panics
/// When our own programs cannot be built.
#[must_use]
pub fn bins(subject: Subject) -> Option<&'static Bins> {
    static DJB: OnceLock<Option<Bins>> = OnceLock::new();
    static RUNITS: OnceLock<Option<Bins>> = OnceLock::new();
    // Whatever came of it is remembered: a build that fails, fails once.
    static OURS: OnceLock<Result<Option<Bins>, String>> = OnceLock::new();
    match subject {
        Subject::Djb => DJB.get_or_init(|| originals(subject, &FAMILY)).as_ref(),
        Subject::Runit => RUNITS.get_or_init(|| originals(subject, &RUNIT)).as_ref(),
        Subject::Ours => match OURS.get_or_init(ours) {
            Ok(bins) => bins.as_ref(),
            Err(why) => panic!("no programs of ours to judge: {why}"),
        },
    }
}

fn originals(subject: Subject, names: &[&str]) -> Option<Bins> {
    let dir = PathBuf::from("/usr/bin");
    let missing: Vec<_> = names
        .iter()
        .filter(|name| !dir.join(name).exists())
        .collect();
    if !missing.is_empty() {
        skipped(&format!(
            "the originals of {subject:?} are not in /usr/bin (no {missing:?}): nothing to compare with"
        ));
        return None;
    }
    Some(Bins { subject, dir })
}

/// The workspace's target directory.
#[must_use]
pub fn target() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = root.canonicalize().unwrap_or(root);
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root.join(dir),
        None => root.join("target"),
    }
}

fn ours() -> Result<Option<Bins>, String> {
    if std::env::var_os("EUDAEMON_LAB_WITHOUT_OURS").is_some() {
        skipped("EUDAEMON_LAB_WITHOUT_OURS is set: only the originals are run");
        return Ok(None);
    }
    // Several test programs may start at once: one builds and links, the others wait.
    let lab = target().join("lab");
    fs::create_dir_all(&lab).expect("a directory below target");
    let lock = fs::File::create(lab.join("lock")).expect("a lock file below target");
    let got = until(Duration::from_secs(1200), || {
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok()
    });
    assert!(
        got,
        "another test program holds {}/lock for twenty minutes",
        lab.display()
    );
    let binary = match std::env::var_os("EUDAEMON_BIN") {
        Some(path) => {
            fs::canonicalize(&path).map_err(|e| format!("EUDAEMON_BIN={}: {e}", path.display()))?
        }
        None => built()?,
    };
    // One directory per binary, so that a run with EUDAEMON_BIN and one without never share links.
    let name: String = binary
        .to_string_lossy()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let dir = lab.join(format!("links{name}"));
    fs::create_dir_all(&dir).expect("a directory for the links");
    let names = said(&binary, "applets")?;
    for name in names.lines().chain(["eudaemon", "eud"]) {
        let link = dir.join(name);
        if fs::read_link(&link).is_ok_and(|to| to == binary) {
            continue;
        }
        let new = dir.join(".new");
        let _stale = fs::remove_file(&new);
        std::os::unix::fs::symlink(&binary, &new).expect("a new link");
        fs::rename(&new, &link).expect("a link in place");
    }
    for name in FAMILY {
        if !names.lines().any(|listed| listed == name) {
            return Err(format!(
                "`{} applets` does not name {name}",
                binary.display()
            ));
        }
    }
    Ok(Some(Bins {
        subject: Subject::Ours,
        dir,
    }))
}

fn built() -> Result<PathBuf, String> {
    cargo_build(&["--release", "-p", "eudaemon-cli"])?;
    Ok(target().join("release/eudaemon"))
}

/// An example of the library, a finished program like any other: built once, with every feature, beside the tests' own build.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    // All of them at once: each test program asks for some, and cargo finds the next time that nothing is to be done.
    let built =
        BUILT.get_or_init(|| cargo_build(&["-p", "eudaemon", "--examples", "--all-features"]));
    if let Err(why) = built {
        panic!("no examples to judge: {why}");
    }
    target().join("debug/examples").join(name)
}

fn cargo_build(what: &[&str]) -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .args(["build", "--quiet"])
        .args(what)
        .arg("--target-dir")
        .arg(target())
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    let pid = child(|| build.spawn().map(|started| started.id().cast_signed()))
        .map_err(|e| format!("cargo does not run: {e}"))?;
    if exit_of(pid, Duration::from_secs(1200)) != Some(Exit::Code(0)) {
        return Err(format!("`cargo build {}` failed", what.join(" ")));
    }
    Ok(())
}

fn said(binary: &Path, word: &str) -> Result<String, String> {
    let failed = |why: &str| format!("`{} {word}`: {why}", binary.display());
    let mut out = None;
    // Reaped like all children of a judge: `std` would wait in vain for what our own thread has reaped.
    let pid = {
        let _alone = forking();
        child(|| {
            let started = Command::new(binary)
                .arg(word)
                .stdout(Stdio::piped())
                .spawn();
            started.map(|mut started| {
                out = started.stdout.take();
                started.id().cast_signed()
            })
        })
        .map_err(|e| failed(&e.to_string()))?
    };
    let mut text = String::new();
    out.as_mut()
        .map_or(Ok(0), |out| out.read_to_string(&mut text))
        .map_err(|e| failed(&e.to_string()))?;
    match exit_of(pid, SOON) {
        Some(Exit::Code(0)) => Ok(text),
        ended => Err(failed(&format!("{ended:?}"))),
    }
}
