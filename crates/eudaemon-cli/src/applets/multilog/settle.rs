//! A start asks how far the last run came with the piece it had in work.

use super::directory::{Locked, id};
use super::logger::input_of;
use eudaemon_core::log::{Evidence, Fate, Intent, Memory, Place, Seen, fate, hash};
use eudaemon_sys::file;
use eudaemon_sys::input::Source;
use std::io;

/// What the last run leaves to this one.
#[derive(Debug, Default)]
pub struct Legacy {
    /// The highest number of a piece.
    pub sequence: u64,
    /// What was taken of the input and is in no file.
    pub memory: Memory,
    /// The input it was taken from is another than ours: the line will not go on.
    pub foreign: bool,
}

/// Puts each `current` in order, takes of the input what is in all files already, and says what to go on from.
pub fn settle(directories: &[Locked], source: Option<&mut Source>) -> Legacy {
    let intents = || directories.iter().filter_map(|one| one.intent.as_ref());
    let latest = |intent: &&Intent| intent.sequence;
    let Some(any) = intents().max_by_key(latest) else {
        return Legacy::default();
    };
    let mut legacy = Legacy {
        sequence: any.sequence,
        ..Legacy::default()
    };
    let ours = source.and_then(|source| {
        let last = intents()
            .filter(|intent| is_ours(intent, source))
            .max_by_key(latest)?;
        Some((last, source))
    });
    let Some((last, source)) = ours else {
        legacy.foreign = true;
        // Whether the piece came to its end can only be told from the files.
        let whole = directories
            .iter()
            .filter(|one| is_of(one, any))
            .all(|one| fate(any, one.current_bytes(any.current), Seen::Nothing) != Fate::Undo);
        if whole && any.after.place == Place::Head {
            legacy.memory = any.after.clone();
        }
        return legacy;
    };
    let seen = look(last, directories, source);
    let undo = directories
        .iter()
        .filter(|one| is_of(one, last))
        .any(|one| {
            let intent = one.intent.as_ref().unwrap_or(last);
            fate(intent, one.current_bytes(intent.current), seen) == Fate::Undo
        });
    let memory = if undo { &last.before } else { &last.after };
    legacy.memory = Memory {
        chosen: Vec::new(),
        ..memory.clone()
    };
    for one in directories {
        let Some(intent) = &one.intent else {
            legacy.memory.chosen.push(true);
            continue;
        };
        // One that had not written down the last piece yet was done with the one before.
        let own = if is_of(one, last) && undo {
            // What cannot be cut is there twice, which is better than not at all.
            let _ = one.cut(intent.current, intent.size_bytes);
            &intent.before
        } else {
            &intent.after
        };
        legacy
            .memory
            .chosen
            .push(own.chosen.first().copied().unwrap_or(true));
    }
    if !undo {
        finish_taking(last, directories, source, seen);
    }
    for one in directories {
        if let Some(intent) = &one.intent {
            let place = directories
                .iter()
                .position(|other| std::ptr::eq(other, one));
            let memory = legacy.memory.of(place.unwrap_or(0));
            let nothing = Intent {
                length: 0,
                adds_bytes: 0,
                sequence: legacy.sequence,
                before: memory.clone(),
                after: memory,
                ..intent.clone()
            };
            // Should it fail, the old one leads to the same answer.
            let _ = one.note(&nothing);
        }
    }
    legacy
}

/// Whether the directory had this piece in work.
fn is_of(directory: &Locked, last: &Intent) -> bool {
    directory
        .intent
        .as_ref()
        .is_some_and(|intent| intent.sequence == last.sequence)
}

fn is_ours(intent: &Intent, source: &Source) -> bool {
    let same = input_of(source).is_ok_and(|input| input == intent.input);
    match intent.evidence {
        // A file that is read again from its start is the same file and another input.
        Evidence::Position(at) => {
            let ends = [at, at + u64::from(intent.length)];
            let input = input_of(source).is_ok_and(|input| input.id == intent.input.id);
            input && source.position().is_ok_and(|now| ends.contains(&now))
        }
        Evidence::Odometer(..) | Evidence::Content { .. } => same,
    }
}

/// What the world shows of the piece.
fn look(intent: &Intent, directories: &[Locked], source: &mut Source) -> Seen {
    match intent.evidence {
        Evidence::Odometer(file, base) => {
            let abouts = directories.iter().flat_map(|one| file::about(&one.lock));
            match abouts.into_iter().find(|about| id(about) == file) {
                // Set back, which only happens when nothing is in work.
                Some(about) if about.size_bytes < base => Seen::Taken(u64::from(intent.length)),
                Some(about) => Seen::Taken(about.size_bytes - base),
                None => Seen::Nothing,
            }
        }
        Evidence::Position(at) => match source.position() {
            Ok(now) => Seen::Taken(now.saturating_sub(at)),
            Err(_) => Seen::Nothing,
        },
        Evidence::Content { hash: sum, .. } => {
            let mut bytes = vec![0; intent.length as usize];
            match source.peek(&mut bytes) {
                Ok(length) => Seen::Same(length == bytes.len() && hash(&bytes) == sum),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Seen::Same(false),
                Err(_) => Seen::Nothing,
            }
        }
    }
}

/// Takes what is left of a piece that was partly taken.
fn finish_taking(intent: &Intent, directories: &[Locked], source: &mut Source, seen: Seen) {
    let Fate::Done(left @ 1..) = fate(intent, None, seen) else {
        return;
    };
    let mut left = left as usize;
    let Evidence::Odometer(file, _) = intent.evidence else {
        return;
    };
    let odometer = directories
        .iter()
        .find(|one| file::about(&one.lock).is_ok_and(|about| id(&about) == file));
    while left > 0 {
        let moved = odometer.map_or(Ok(0), |one| {
            let end = file::about(&one.lock)?.size_bytes;
            source.move_to(&one.lock, end, left)
        });
        match moved {
            Ok(0) => break,
            Ok(moved) => left -= moved.min(left),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => {
                let _ = source.take(&mut vec![0; left]);
                break;
            }
        }
    }
}
