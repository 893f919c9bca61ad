//! The managed set. In a process of its own: what is open in it is counted.
#![allow(clippy::unwrap_used, reason = "a judge stops at the first surprise")]

mod holders;
mod reloads;

use eudaemon::inherited::Inherited;
use eudaemon::sockets::Sockets;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One test at a time.
static ONE: Mutex<()> = Mutex::new(());

/// A directory that is gone with the test.
struct Scratch(
    PathBuf,
    #[allow(dead_code, reason = "it is held")] MutexGuard<'static, ()>,
);

impl Scratch {
    fn new() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("eud-managed-{}-{count}", std::process::id());
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

/// A set to which nothing was handed over.
fn none() -> Sockets {
    Sockets::of(Inherited::default())
}

/// How often each socket, pipe and lock is open in this process. What the C library opens for a moment is not ours.
fn open_files() -> BTreeMap<String, usize> {
    let mut open = BTreeMap::new();
    for entry in std::fs::read_dir("/proc/self/fd").unwrap() {
        let Ok(link) = std::fs::read_link(entry.unwrap().path()) else {
            continue;
        };
        let link = link.to_str().unwrap();
        let is_ours = link.starts_with("socket:") || link.starts_with("pipe:");
        if is_ours || link.ends_with(".lock") {
            *open.entry(link.to_owned()).or_default() += 1;
        }
    }
    open
}

/// Where clients come to.
#[derive(Clone, Debug)]
enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Place {
    /// Whether somebody listens there. Two ends of one socket may find each other at a port nobody listens at: that is nobody.
    fn answers(&self) -> bool {
        match self {
            Place::Tcp(at) => TcpStream::connect(at)
                .is_ok_and(|client| client.local_addr().unwrap() != client.peer_addr().unwrap()),
            Place::Unix(path) => UnixStream::connect(path).is_ok(),
        }
    }
}
