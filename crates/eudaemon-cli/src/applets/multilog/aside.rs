//! Where lines go besides the directories: stderr, and files that hold the last line.

use super::super::logging::{Ears, Stop, persist};
use super::REPORT;
use eudaemon_core::log::{self, Form, HEAD_SIZE, Keep, Receiver};
use eudaemon_sys::file;
use eudaemon_sys::socket::Outlet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

/// A file of the `=` or `%keep` action.
#[derive(Debug)]
struct Kept {
    path: OsString,
    /// It is overwritten; `None`: it is replaced.
    file: Option<File>,
    /// What it is to hold; the last line of a piece of input is the only one anybody could see.
    text: Option<[u8; HEAD_SIZE + 1]>,
}

/// What waits to be written there.
#[derive(Debug, Default)]
pub struct Aside {
    kept: Vec<Kept>,
    told: Vec<u8>,
    receivers: Vec<(Form, Outlet)>,
}

/// The least that a syslog message needs: facility user, severity info. Source: RFC 3164 4.1.1.
const SYSLOG_START: &[u8] = b"<14>multilog: ";
/// The same for the journal, whose last field is the line. Source: systemd's JOURNAL_NATIVE_PROTOCOL.
const JOURNAL_START: &[u8] = b"PRIORITY=6\nSYSLOG_IDENTIFIER=multilog\nMESSAGE\n";

impl Aside {
    /// Opens a file of the `=` action; gives an exit code if it cannot be.
    pub fn open(&mut self, keep: &Keep) -> Result<(), u8> {
        let path = OsStr::from_bytes(&keep.path);
        let file =
            match keep.replaced {
                true => None,
                false => Some(file::open_in_place(path, 0o600).map_err(|error| {
                    REPORT.fatal(&[OsStr::new("unable to create "), path], &error)
                })?),
            };
        self.kept.push(Kept {
            path: path.to_owned(),
            file,
            text: None,
        });
        Ok(())
    }

    /// Prepares to send to a receiver, which need not be there yet.
    pub fn connect(&mut self, receiver: &Receiver) {
        let outlet = Outlet::new(&receiver.path);
        self.receivers.push((receiver.form, outlet));
    }

    /// Writes all that waits.
    pub fn write(&mut self, ears: &mut Ears) -> Result<(), Stop> {
        if !self.told.is_empty() {
            // Nobody is left to hear that stderr fails, and the directories still have the lines.
            let _ = io::stderr().write_all(&self.told);
            self.told.clear();
        }
        for kept in &mut self.kept {
            if let Some(text) = kept.text.take() {
                let told = [OsStr::new("unable to write "), &kept.path];
                persist(REPORT, ears, &told, || match &kept.file {
                    Some(file) => file.write_all_at(&text, 0),
                    None => replace(&kept.path, &text),
                })?;
            }
        }
        Ok(())
    }

    /// Forgets what waits.
    pub fn clear(&mut self) {
        self.told.clear();
        self.kept.iter_mut().for_each(|kept| kept.text = None);
    }
}

/// Puts a new file in the place of the old one: its reader sees one line or the other.
fn replace(path: &OsStr, text: &[u8; HEAD_SIZE + 1]) -> io::Result<()> {
    let length = text.iter().rposition(|&byte| byte != b'\n');
    let line = &text[..length.map_or(0, |at| at + 1)];
    let mut temporary = path.to_owned();
    temporary.push(".new");
    let file = file::open_in_place(&temporary, 0o600)?;
    file.set_len(0)?;
    file.write_all_at(&[line, b"\n"].concat(), 0)?;
    file::rename(&temporary, path)
}

impl log::Aside for Aside {
    fn tell(&mut self, line: &[u8], more: bool) {
        self.told.extend_from_slice(line);
        self.told
            .extend_from_slice(if more { b"...\n" } else { b"\n" });
    }

    fn keep(&mut self, file: usize, head: &[u8]) {
        let text = self.kept[file].text.insert([b'\n'; HEAD_SIZE + 1]);
        // Newlines behind the head: the text before may be longer.
        text.fill(b'\n');
        text[..head.len()].copy_from_slice(head);
    }

    fn send(&mut self, receiver: usize, head: &[u8]) {
        let (form, outlet) = &mut self.receivers[receiver];
        let message = match form {
            Form::Syslog => [SYSLOG_START, head].concat(),
            Form::Journal => {
                let length = (head.len() as u64).to_le_bytes();
                [JOURNAL_START, &length, head, b"\n"].concat()
            }
        };
        // Nobody listens: the line goes where else the script sends it.
        let _received = outlet.send(&message);
    }
}
