//! Sockets by name: the filters beside those of `libsystemd`, and the files of unix sockets.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a judge starts programs as a stranger would, and stops at the first surprise"
)]

mod filters;
mod kinds;
mod options;
mod paths;
#[cfg(feature = "tokio")]
mod runtime;

use eudaemon::inherited::Inherited;
use eudaemon::sockets::{Sockets, Want};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// One test at a time: a child that another has forked and that has not executed its program yet has our sockets and our locks.
static ONE: Mutex<()> = Mutex::new(());

/// A directory that is gone with the test.
struct Scratch(
    PathBuf,
    #[allow(dead_code, reason = "it is held")] MutexGuard<'static, ()>,
);

impl Scratch {
    fn new() -> Scratch {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("eud-sockets-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Scratch(path, one)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A socket nobody handed over, at `KIND:PATH`.
fn want(kind: &str, path: &Path) -> Want {
    let address = format!("{kind}:{}", path.display());
    none().get("web").or_bind(address)
}

/// A set to which nothing was handed over.
fn none() -> Sockets {
    Sockets::of(Inherited::default())
}

/// Says that something is not tried here; fails where everything has to be.
fn skip(why: &str) {
    assert!(std::env::var_os("EUDAEMON_REQUIRE").is_none(), "{why}");
    eprintln!("SKIPPED: {why}");
}
