//! One multilog directory as one stream of lines, across rotations: none lost, none twice.
//!
//! Source: specification §8.4–8.6. The stream is `@STAMP.s` and `@STAMP.u` in the order of their names, then
//! `previous`, then `current`. A rotation renames `current` to `previous`, makes a new `current`, links `previous` to
//! its `@STAMP` name and unlinks it. So a file changes its name under a reader, but not its inode, and the reader keeps
//! it open: it finds its own place in the list by that inode. Two exceptions: the oldest file may be deleted, and a
//! processor (`!`) puts another file in its place; [`Trail::replaced`] tells them apart.
//!
//! `previous` is looked at before the directory is listed: what had no `previous` name then has its `@` name already.

mod packed;
mod place;

use eudaemon_core::time::{Tai64n, leading_stamp};
use place::{Failure, Id, Place};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Longest piece of a line that is held; a longer line comes in pieces.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
const BLOCK: usize = 16 * 1024;
/// `@` and 24 digits.
const NAME: usize = 25;
/// Longest stamp a line begins with, and the blanks behind it.
const STAMP_MAX: usize = 40;

/// A reader's place in a log directory.
#[derive(Debug)]
pub struct Trail {
    dir: PathBuf,
    at: Option<Place>,
    /// Files named up to here are read, skipped, or the one being read.
    mark: Vec<u8>,
    /// What is later than this is not wanted.
    until: Option<Tai64n>,
    /// How many files that cannot be unpacked were passed over.
    pub foreign: usize,
    /// Compressed files that ended before their end, and why; whoever tells of them takes them out.
    pub torn: Vec<(PathBuf, io::Error)>,
    /// Bytes read from the files and not yet given out: those from `from` on.
    unread: Vec<u8>,
    from: usize,
    /// How much of them is known to hold no newline.
    looked: usize,
}

/// A finished file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finished {
    name: Vec<u8>,
    id: Id,
}

impl Trail {
    /// From the oldest line there is, or the first that comes.
    #[must_use]
    pub fn all(dir: &Path) -> Trail {
        Trail {
            dir: dir.to_owned(),
            at: None,
            mark: Vec::new(),
            until: None,
            foreign: 0,
            torn: Vec::new(),
            unread: Vec::new(),
            from: 0,
            looked: 0,
        }
    }

    /// From the beginning of the oldest file that may hold lines from `stamp` on. Its first lines may be older.
    #[must_use]
    pub fn since(dir: &Path, stamp: Tai64n) -> Trail {
        Trail {
            // A file is named after the moment of its rotation: all its lines are older.
            mark: stamp.external().to_vec(),
            ..Trail::all(dir)
        }
    }

    /// To the end of the last file that may hold lines up to `stamp`. Its last lines may be newer.
    #[must_use]
    pub fn until(mut self, stamp: Tai64n) -> Trail {
        self.until = Some(stamp);
        self
    }

    /// From `count` lines before the end. An unfinished line is one; with 0, it is shown once it is finished.
    pub fn last(dir: &Path, count: u64) -> io::Result<Trail> {
        let mut trail = Trail::all(dir);
        let current = trail.open(b"current")?;
        let previous = trail.open(b"previous")?;
        let finished = trail.finished()?;
        let within = |id: Id| finished.iter().position(|file| file.id == id);
        // While we looked, `current` may have been rotated; what follows it then is found by reading on.
        let current_at = current.as_ref().and_then(|place| within(place.id));
        let older = &finished[..current_at.unwrap_or(finished.len())];
        let last_name = |files: &[Finished]| files.last().map(|file| file.name.clone());
        let mut chain: Vec<(Place, Vec<u8>)> = Vec::new();
        let current_id = current.as_ref().map(|place| place.id);
        if let Some(mut place) = current {
            let mut mark = last_name(older).unwrap_or_default();
            if let Some(at) = current_at {
                mark = finished[at].name.clone();
                place.settled = true;
            }
            chain.push((place, mark));
        }
        if let Some(place) = previous
            && Some(place.id) != current_id
            && within(place.id).is_none()
            && current_at.is_none()
        {
            chain.push((place, last_name(older).unwrap_or_default()));
        }
        chain.reverse();
        let mut older = older.iter().rev();
        let mut wanted: Option<u64> = None;
        let mut oldest = None;
        loop {
            let (mut place, mark) = match chain.pop() {
                Some(next) => next,
                None => {
                    let Some(file) = older.next() else { break };
                    let Some(mut place) = trail.open(&file.name)? else {
                        break;
                    };
                    place.settled = true;
                    (place, file.name.clone())
                }
            };
            if place.is_foreign() {
                break;
            }
            let found = place.back(count, &mut wanted)?;
            oldest = Some((place, mark));
            if found {
                break;
            }
        }
        if let Some((place, mark)) = oldest {
            trail.at = Some(place);
            trail.mark = mark;
        }
        Ok(trail)
    }

    /// Puts the next finished line into `line`, without its newline; false if there is none yet.
    pub fn next(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        line.clear();
        loop {
            let unread = &self.unread[self.from..];
            if let Some(end) = unread[self.looked..].iter().position(|&b| b == b'\n') {
                let end = self.looked + end;
                line.extend_from_slice(&unread[..end]);
                self.give_out(end + 1);
                return Ok(true);
            }
            self.looked = unread.len();
            if unread.len() >= LINE_BYTES_MAX {
                line.extend_from_slice(&unread[..LINE_BYTES_MAX]);
                self.give_out(LINE_BYTES_MAX);
                return Ok(true);
            }
            if self.read()? {
                continue;
            }
            let Some(next) = self.successor()? else {
                return Ok(false);
            };
            if self.is_beyond(&next.place)? {
                return Ok(false);
            }
            // The file we read is complete now, and only now: what came since we last read it is read first.
            if self.read()? {
                continue;
            }
            self.foreign += usize::from(next.place.is_foreign());
            let torn = self.at.as_ref().is_some_and(Place::is_torn);
            self.at = Some(next.place);
            if let Some(name) = next.name {
                self.mark = name;
            }
            // A line may go on in the next file, but not in one that was begun after a crash.
            if self.from < self.unread.len() && (torn || self.begins_with_stamp()?) {
                return Ok(self.rest(line));
            }
        }
    }

    /// Puts what there is of an unfinished line into `line`; false if there is nothing.
    pub fn rest(&mut self, line: &mut Vec<u8>) -> bool {
        line.clear();
        line.extend_from_slice(&self.unread[self.from..]);
        self.give_out(line.len());
        !line.is_empty()
    }

    fn give_out(&mut self, count: usize) {
        self.from += count;
        self.looked = 0;
        if self.from == self.unread.len() {
            self.from = 0;
            self.unread.clear();
            // A thousand quiet logs must not keep a thousand buffers.
            self.unread.shrink_to(0);
        } else if self.from >= BLOCK {
            self.unread.drain(..self.from);
            self.from = 0;
        }
    }

    /// Reads on in the open file; false at its end, or if none is open.
    fn read(&mut self) -> io::Result<bool> {
        let Some(place) = &mut self.at else {
            return Ok(false);
        };
        let mut block = [0; BLOCK];
        match place.read(&mut block) {
            Ok(count) => {
                self.unread.extend_from_slice(&block[..count]);
                Ok(count > 0)
            }
            Err(Failure::File(error)) => Err(error),
            // The files after it are read nevertheless.
            Err(Failure::Packed(error)) => {
                let path = self.dir.join(OsStr::from_bytes(&self.mark));
                self.torn.push((path, error));
                Ok(false)
            }
        }
    }

    /// Whether all that this next file holds is later than anything that is wanted.
    ///
    /// A file is named after the moment of its rotation, but the file after it may begin with lines that were read, and
    /// stamped, before that moment.
    fn is_beyond(&self, next: &Place) -> io::Result<bool> {
        let Some(until) = self.until else {
            return Ok(false);
        };
        if self.mark.as_slice() <= until.external().as_slice() {
            return Ok(false);
        }
        let mut head = [0; NAME];
        let count = next.head(&mut head)?;
        Ok(Tai64n::parse_external(&head[..count]).is_none_or(|stamp| stamp > until))
    }

    fn begins_with_stamp(&self) -> io::Result<bool> {
        let mut head = [0; STAMP_MAX];
        let Some(place) = &self.at else {
            return Ok(false);
        };
        let count = place.head(&mut head)?;
        // Which zone it is in does not matter here.
        Ok(leading_stamp(&head[..count], &|civil| civil.to_secs()).is_some())
    }

    /// The file after the open one, if the open one is complete; the first one, if none is open.
    fn successor(&mut self) -> io::Result<Option<Next>> {
        // Each turn loses a race against a rotation; a log that rotates this fast wakes us again.
        for _ in 0..16 {
            let here = self.at.as_ref().map(|place| place.id);
            if here.is_some() && id_of(&self.dir.join("current"))? == here {
                return Ok(None);
            }
            let previous = id_of(&self.dir.join("previous"))?;
            let finished = self.finished()?;
            let listed = |id: Id| finished.iter().any(|file| file.id == id);
            if let Some(place) = &mut self.at
                && !place.settled
            {
                let mut later = finished
                    .iter()
                    .filter(|file| is_ahead(&file.name, &self.mark));
                let own = later.clone().find(|file| file.id == place.id);
                if let Some(own) = own {
                    self.mark = own.name.clone();
                    place.settled = true;
                } else if previous == here {
                    // It was `previous` before the list was made. If it still is, all that the list names is older,
                    // the file before it too, which may have got its name only after we left it.
                    if id_of(&self.dir.join("previous"))? != here {
                        continue;
                    }
                    if let Some(last) = finished.last() {
                        self.mark = self.mark.clone().max(last.name.clone());
                    }
                } else if let Some(first) = later.next()
                    && self.replaced(&finished, first)?
                {
                    self.mark = first.name.clone();
                    if let Some(place) = &mut self.at {
                        place.settled = true;
                    }
                }
            }
            if let Some(file) = finished
                .iter()
                .find(|file| is_ahead(&file.name, &self.mark))
            {
                match self.open(&file.name)? {
                    Some(mut place) if place.id == file.id => {
                        place.settled = true;
                        return Ok(Some(Next {
                            place,
                            name: Some(file.name.clone()),
                        }));
                    }
                    Some(_) | None => continue,
                }
            }
            if let Some(id) = previous
                && previous != here
                && !listed(id)
            {
                match self.open(b"previous")? {
                    Some(place) if place.id == id => return Ok(Some(Next { place, name: None })),
                    Some(_) | None => continue,
                }
            }
            let Some(mut place) = self.open(b"current")? else {
                return Ok(None);
            };
            // Is it the next one, or have there been rotations since we looked?
            let known = |id: Id| Some(id) == here || id == place.id;
            let previous = id_of(&self.dir.join("previous"))?;
            let finished = self.finished()?;
            let listed = |id: Id| finished.iter().any(|file| file.id == id);
            let between = finished
                .iter()
                .any(|file| is_ahead(&file.name, &self.mark) && !known(file.id))
                || previous.is_some_and(|id| !known(id) && !listed(id));
            if between || Some(place.id) == here {
                continue;
            }
            // All that has a name is older now, or is this very file.
            let own = finished.iter().find(|file| file.id == place.id);
            place.settled = own.is_some();
            let name = own.or(finished.last()).map(|file| file.name.clone());
            return Ok(Some(Next { place, name }));
        }
        Ok(None)
    }

    /// Whether the first later file is what a processor made of the one we have open.
    ///
    /// Ours has no name left. Either it was the oldest and has been deleted; then no older one is there, as the smallest
    /// name is deleted first. Or it was replaced; then its place in the list is taken.
    fn replaced(&self, finished: &[Finished], first: &Finished) -> io::Result<bool> {
        let Some(place) = &self.at else {
            return Ok(false);
        };
        if !place.is_nameless()? {
            return Ok(false);
        }
        if finished
            .iter()
            .any(|file| !is_ahead(&file.name, &self.mark))
        {
            return Ok(true);
        }
        // Ours was the oldest before. A processor that copies or filters leaves the beginning as it was; what cannot be
        // unpacked could not be read anyway.
        let Some(other) = self.open(&first.name)? else {
            return Ok(false);
        };
        let (mut ours, mut theirs) = ([0; 64], [0; 64]);
        let same = other.head(&mut theirs)? == place.head(&mut ours)? && ours == theirs;
        Ok(same || other.is_foreign())
    }

    fn open(&self, name: &[u8]) -> io::Result<Option<Place>> {
        let finished = name.starts_with(b"@");
        Place::open(&self.dir.join(OsStr::from_bytes(name)), finished)
    }

    /// The finished files, oldest first.
    fn finished(&self) -> io::Result<Vec<Finished>> {
        let mut files = Vec::new();
        let entries = match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let name = entry?.file_name().into_vec();
            if name.len() >= NAME
                && name.starts_with(b"@")
                // What svlogd's processor has not finished: the file it is made from is there too.
                && !name.ends_with(b".t")
                && let Some(id) = id_of(&self.dir.join(OsStr::from_bytes(&name)))?
            {
                files.push(Finished { name, id });
            }
        }
        files.sort();
        // And for a moment both: what was made, and what it was made from (`.s` and `.u` of one stamp).
        files.dedup_by(|later, first| later.name[..NAME] == first.name[..NAME]);
        Ok(files)
    }
}

/// The file to read next, and the new `mark` if it changes.
struct Next {
    place: Place,
    name: Option<Vec<u8>>,
}

/// Whether a file of this name comes after the mark. What a processor made of a file has its stamp, and perhaps another end.
fn is_ahead(name: &[u8], mark: &[u8]) -> bool {
    match mark.get(..NAME) {
        Some(stamp) if mark.len() > NAME => name.get(..NAME) > Some(stamp),
        Some(_) | None => name > mark,
    }
}

/// Device and inode of what has this name, or `None` if nothing has.
fn id_of(path: &Path) -> io::Result<Option<Id>> {
    match std::fs::metadata(path) {
        Ok(is) => Ok(Some((is.dev(), is.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
