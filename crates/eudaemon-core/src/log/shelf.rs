//! The finished files of a log directory: their names, in order, and which of them must go.

use crate::time::{Tai64n, Wall};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Length of `@` and a stamp's digits.
pub const STAMP_SIZE: usize = 25;

/// A finished file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its name; a stamp and what is behind it.
    pub name: Vec<u8>,
    /// Its length.
    pub size_bytes: u64,
}

/// All of them, the oldest first. The names are kept here, so that nobody need read the directory at each rotation; a file
/// that somebody else removed is met when its turn comes, and that is no error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shelf {
    volumes: VecDeque<Volume>,
    last: Option<Tai64n>,
}

impl Shelf {
    /// From the names and lengths that are there, in any order. Others than finished files are passed over: finished is any
    /// name of 25 bytes or more that begins with `@`. Source: specification §8.5, *finish*.
    #[must_use]
    pub fn new(there: impl IntoIterator<Item = Volume>) -> Shelf {
        let mut shelf = Shelf::default();
        let mut volumes: Vec<Volume> = there
            .into_iter()
            .filter(|volume| volume.name.len() >= STAMP_SIZE && volume.name[0] == b'@')
            .collect();
        shelf.last = latest(volumes.iter().map(|volume| volume.name.as_slice()));
        volumes.sort_by(|one, other| one.name[..STAMP_SIZE].cmp(&other.name[..STAMP_SIZE]));
        shelf.volumes = volumes.into();
        shelf
    }

    /// The stamp for the next finished file, as [`next_stamp`] has it; later than those that were there, too.
    #[must_use]
    pub fn stamp(&mut self, now: Wall) -> Tai64n {
        let stamp = later(self.last, now);
        self.last = Some(stamp);
        stamp
    }

    /// Puts the newest on it.
    pub fn push(&mut self, volume: Volume) {
        self.volumes.push_back(volume);
    }

    /// Gives one another name; whether it was there.
    pub fn rename(&mut self, from: &[u8], to: &[u8], size_bytes: Option<u64>) -> bool {
        let Some(at) = self.place(from) else {
            return false;
        };
        if self.place(to).is_some() {
            // It had both names.
            self.volumes.remove(at);
            return true;
        }
        let Some(volume) = self.volumes.get_mut(at) else {
            return false;
        };
        volume.name = to.to_vec();
        volume.size_bytes = size_bytes.unwrap_or(volume.size_bytes);
        true
    }

    /// Whether one of this name is there.
    #[must_use]
    pub fn holds(&self, name: &[u8]) -> bool {
        self.place(name).is_some()
    }

    /// Where the one of this name is. They are in the order of their stamps, which two may share for a moment.
    fn place(&self, name: &[u8]) -> Option<usize> {
        let stamp = name.get(..STAMP_SIZE)?;
        let from = self
            .volumes
            .partition_point(|volume| &volume.name[..STAMP_SIZE] < stamp);
        let same = self.volumes.iter().skip(from);
        let within = same
            .take_while(|volume| volume.name.starts_with(stamp))
            .position(|volume| volume.name == name)?;
        Some(from + within)
    }

    /// Takes the oldest off if it must go: so that fewer than `number` files remain, and no more than `total_bytes`
    /// together. The newest never goes.
    pub fn surplus(&mut self, number: u64, total_bytes: Option<u64>) -> Option<Volume> {
        if self.volumes.len() < 2 {
            return None;
        }
        let many = self.volumes.len() as u64 >= number;
        let large = total_bytes.is_some_and(|most| {
            let sum = self.volumes.iter().map(|volume| volume.size_bytes);
            sum.fold(0, u64::saturating_add) > most
        });
        (many || large).then(|| self.volumes.pop_front()).flatten()
    }
}

/// The stamp for the next finished file of a directory that holds these names: now, but later than each file that is there.
///
/// Differs: the originals, multilog and svlogd, take the time as it is, and after the clock was set back delete the newest
/// file as the oldest (reliability page, finding 7: 16 of 3,000 lines kept).
#[must_use]
pub fn next_stamp<'a>(names: impl IntoIterator<Item = &'a [u8]>, now: Wall) -> Tai64n {
    later(latest(names), now)
}

/// The latest of the stamps that names begin with. One beyond the labels TAI64 defines is not followed. Source: libtai's
/// tai.h: labels below 2^63.
fn latest<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> Option<Tai64n> {
    let stamps = names.into_iter().filter_map(Tai64n::parse_external);
    stamps.filter(|stamp| stamp.label < 1 << 63).max()
}

/// Now, or a nanosecond after the last one.
fn later(last: Option<Tai64n>, now: Wall) -> Tai64n {
    let now = Tai64n::from_wall(now);
    match last {
        Some(last) if last >= now && last.nanos < 999_999_999 => Tai64n {
            nanos: last.nanos + 1,
            ..last
        },
        Some(last) if last >= now => Tai64n {
            label: last.label + 1,
            nanos: 0,
        },
        Some(_) | None => now,
    }
}
