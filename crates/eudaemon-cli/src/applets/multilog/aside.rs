//! Where lines go besides the directories: stderr, and files that hold the last line.

use super::super::logging::{Ears, Stop, persist};
use super::REPORT;
use eudaemon_core::log::{self, HEAD_SIZE};
use eudaemon_sys::file;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

/// A file of the `=` action.
#[derive(Debug)]
struct Kept {
    path: OsString,
    file: File,
    /// What it is to hold; the last line of a piece of input is the only one anybody could see.
    text: Option<[u8; HEAD_SIZE + 1]>,
}

/// What waits to be written there.
#[derive(Debug, Default)]
pub struct Aside {
    kept: Vec<Kept>,
    told: Vec<u8>,
}

impl Aside {
    /// Opens a file of the `=` action; gives an exit code if it cannot be.
    pub fn open(&mut self, path: &[u8]) -> Result<(), u8> {
        let path = OsStr::from_bytes(path);
        let file = file::open_in_place(path, 0o600)
            .map_err(|error| REPORT.fatal(&[OsStr::new("unable to create "), path], &error))?;
        self.kept.push(Kept {
            path: path.to_owned(),
            file,
            text: None,
        });
        Ok(())
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
                persist(REPORT, ears, &told, || kept.file.write_all_at(&text, 0))?;
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
}
