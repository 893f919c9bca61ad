//! `svscanboot`: runs `svscan`, with what it and its services complain of in the process list.
//!
//! The original is a shell script; this does the same without a shell. `svscan` and `readproctitle` are this very file,
//! so that no PATH decides what runs as root. Source: specification §4.

use super::control;
use super::place::Place;
use super::{Applet, Call};
use crate::report::Report;
use eudaemon_core::exit::Exit;
use eudaemon_core::status::Dialect;
use eudaemon_core::words::Pid;
use eudaemon_sys::exec::{self, Helper, OWN_FILE};
use std::ffi::{CStr, CString, OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The search path of everything that is started. Source: specification §4; /usr/X11R6 is as historic as the rest.
const PATH: &CStr =
    c"PATH=/command:/usr/local/bin:/usr/local/sbin:/bin:/sbin:/usr/bin:/usr/sbin:/usr/X11R6/bin";
/// How much of the complaints is shown.
const DOTS: usize = 400;

/// `svscanboot` in the table.
pub const SVSCANBOOT: Applet = Applet {
    name: "svscanboot",
    main,
    synopsis: "[DIR]",
    purpose: "runs svscan with its complaints in the process list",
    options: &[],
    exits: &[
        ("0", "both have ended"),
        ("111", "they could not be started"),
    ],
};

/// Runs `svscanboot`.
pub fn main(call: &Call) -> u8 {
    let directory = call
        .words
        .first()
        .cloned()
        .unwrap_or_else(default_directory);
    match boot(&directory) {
        Ok(()) => Exit::Done.code(),
        // The original says nothing, for it has no stderr any more; before the streams are replaced we can.
        Err(error) => {
            Report(call.name).fatal(&[OsStr::new("unable to start svscan "), &directory], &error)
        }
    }
}

/// `/service`; Debian's `/etc/service` where only that is there.
fn default_directory() -> OsString {
    let classic = Path::new("/service");
    let debian = Path::new("/etc/service");
    if debian.is_dir() && !classic.is_dir() {
        debian
    } else {
        classic
    }
    .into()
}

fn boot(directory: &OsStr) -> io::Result<()> {
    let null = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    let mut leftovers = Vec::new();
    let services = visible(Path::new(directory));
    leftovers.extend(services.iter().cloned());
    leftovers.extend(
        services
            .iter()
            .map(|service| service.join("log"))
            .filter(|log| log.exists()),
    );
    exec::replace_streams(&null)?;
    let services = leftovers.iter().map(|service| service.as_os_str());
    // Most have no supervisor, and stderr is /dev/null: what it says reaches nobody, as in the original.
    control::send(
        Report("svc"),
        b"dx",
        &Place::from_environment(Dialect::Classic),
        services,
    );

    let (reader, writer) = io::pipe()?;
    let directory = CString::new(directory.as_bytes())?;
    let title = CString::new(".".repeat(DOTS))?;
    // The reader first: svscan must never complain to a pipe that nobody reads.
    let shower = exec::spawn(&Helper {
        file: OWN_FILE,
        argv: &[c"readproctitle", c"service", c"errors:", &title],
        environment: &[PATH],
        streams: [Some(reader.as_fd()), None, None],
        more: &[],
        folder: None,
    })?;
    drop(reader);
    let scanner = exec::spawn(&Helper {
        file: OWN_FILE,
        argv: &[c"svscan", &directory],
        environment: &[PATH],
        streams: [None, Some(writer.as_fd()), Some(writer.as_fd())],
        more: &[],
        folder: None,
    })?;
    drop(writer);
    wait(scanner)?;
    wait(shower)
}

fn wait(child: Pid) -> io::Result<()> {
    exec::wait(child).map(drop)
}

/// What a shell's `DIRECTORY/*` names, in its order.
fn visible(directory: &Path) -> Vec<PathBuf> {
    // A directory that cannot be read has no leftovers we could stop; svscan will tell what is wrong with it.
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<OsString> = entries.map(|entry| entry.file_name()).collect();
    names.retain(|name| !name.as_bytes().starts_with(b"."));
    names.sort_unstable_by_key(|name| name.clone().into_vec());
    names.into_iter().map(|name| directory.join(name)).collect()
}
