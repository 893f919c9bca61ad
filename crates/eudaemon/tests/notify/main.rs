//! What `Notify` sends, as a receiver finds it; and what systemd's own sender sends, as our receiver takes it.
//!
//! Not tested: a manager on a host (`vsock:`), for which a virtual machine and its host are needed; a running systemd.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a judge starts programs as a stranger would, and stops at the first surprise"
)]

mod official;
mod wire;

use eudaemon_core::notify::Address;
use eudaemon_sys::notify::{Datagram, Receiver};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A receiver at a path of its own, or at an abstract address.
struct Ear {
    receiver: Receiver,
    address: Vec<u8>,
    folder: Option<PathBuf>,
}

fn own_name() -> String {
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("eud-notify-{}-{count}", std::process::id())
}

impl Ear {
    fn at_a_path() -> Ear {
        let folder = std::env::temp_dir().join(own_name());
        std::fs::create_dir(&folder).unwrap();
        let address = folder.join("notify").as_os_str().as_bytes().to_vec();
        Ear {
            receiver: Receiver::bind(&Address::parse(&address).unwrap()).unwrap(),
            address,
            folder: Some(folder),
        }
    }

    fn abstract_one() -> Ear {
        let address = format!("@{}", own_name()).into_bytes();
        Ear {
            receiver: Receiver::bind(&Address::parse(&address).unwrap()).unwrap(),
            address,
            folder: None,
        }
    }

    /// The next datagram: what is sent on this machine is queued when the call returns.
    fn next(&self) -> Option<(Vec<u8>, Datagram)> {
        let mut bytes = [0; 4096];
        let datagram = self.receiver.receive(&mut bytes).unwrap()?;
        Some((bytes[..datagram.length].to_vec(), datagram))
    }

    fn text(&self) -> String {
        String::from_utf8(self.next().expect("a message").0).unwrap()
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
}

/// Whether a program of somebody else is here. Its absence is told, and is a failure where everything is to be there.
fn is_here(program: &str) -> bool {
    let here = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|folder| Path::new(&folder).join(program).is_file());
    if !here {
        eprintln!("SKIPPED: there is no {program}");
        assert!(
            std::env::var_os("EUDAEMON_REQUIRE").is_none(),
            "{program} is required"
        );
    }
    here
}
