//! What an engine that becomes a keeper tells the keeper it becomes: the options, and which descriptor is what.

use crate::tree::{Mode, Options, Tree};
use crate::vault::{Place, Things, TreeKind};
use eudaemon_core::status::Dialect;
use eudaemon_sys::{passing, process};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    program: String,
    dir: Vec<u8>,
    mode: u8,
    dialect: u8,
    sessions: bool,
    companion: Option<Vec<Vec<u8>>>,
    files: Option<(u64, u64)>,
    /// Place and number.
    things: Vec<(usize, i32)>,
}

const MODES: [Mode; 4] = [Mode::Single, Mode::Scan, Mode::Up, Mode::Pair];
const DIALECTS: [Dialect; 4] = [
    Dialect::Classic,
    Dialect::Encore,
    Dialect::Auto,
    Dialect::Runit,
];

fn index<T: PartialEq>(all: &[T], one: &T) -> u8 {
    all.iter()
        .position(|known| known == one)
        .and_then(|at| u8::try_from(at).ok())
        .unwrap_or(0)
}

/// Writes the note.
pub fn write(
    options: &Options,
    files: Option<(u64, u64)>,
    things: &[(Place, BorrowedFd<'_>)],
) -> io::Result<OwnedFd> {
    let note = Note {
        program: options.program.to_owned(),
        dir: options.dir.as_os_str().as_bytes().to_vec(),
        mode: index(&MODES, &options.mode),
        dialect: index(&DIALECTS, &options.dialect),
        sessions: options.sessions,
        companion: options
            .companion
            .as_ref()
            .map(|words| words.iter().map(|word| word.as_bytes().to_vec()).collect()),
        files,
        things: things
            .iter()
            .map(|(place, fd)| (place.0, passing::number(fd)))
            .collect(),
    };
    passing::note(&serde_json::to_vec(&note)?)
}

/// Becomes the keeper that a note describes; `number` is the descriptor it is in.
#[must_use]
pub fn resume(number: i32) -> u8 {
    let failed = |error: &io::Error| {
        crate::report::Report("eudaemon").fatal(&["unable to take over a tree".as_ref()], error)
    };
    let read = process::inherited(number)
        .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        .and_then(|fd| passing::read_note(&fd))
        .and_then(|bytes| Ok(serde_json::from_slice::<Note>(&bytes)?));
    let note = match read {
        Ok(note) => note,
        Err(error) => return failed(&error),
    };
    let numbers: Vec<i32> = note.things.iter().map(|(_, number)| *number).collect();
    process::close_inherited(&numbers);
    let text = |bytes: Vec<u8>| OsString::from_vec(bytes);
    let options = Options {
        // Once in a process, and as long as it.
        program: note.program.leak(),
        dir: text(note.dir).into(),
        mode: MODES
            .get(usize::from(note.mode))
            .copied()
            .unwrap_or(Mode::Scan),
        dialect: DIALECTS
            .get(usize::from(note.dialect))
            .copied()
            .unwrap_or_default(),
        sessions: note.sessions,
        companion: note
            .companion
            .map(|words| words.into_iter().map(text).collect()),
    };
    let mut things: Things = Vec::with_capacity(note.things.len());
    for (place, number) in note.things {
        if let Some(fd) = process::inherited(number) {
            things.push((Place(place), fd));
        }
    }
    crate::begin(&options, note.files, |options| {
        let mut take = |kind| {
            let at = things
                .iter()
                .position(|(place, _)| *place == Place::tree(kind))?;
            Some(things.swap_remove(at).1)
        };
        let parts = (
            take(TreeKind::Dir),
            take(TreeKind::Lock),
            take(TreeKind::Table),
        );
        let (Some(dir), Some(lock), Some(table)) = parts else {
            return Err(failed(&io::Error::from(io::ErrorKind::NotFound)));
        };
        let tree = Tree::handed(dir, lock, table, options.mode).map_err(|error| failed(&error))?;
        Ok((tree, things))
    })
}
