//! What a log directory notes of the piece of input that is in work, so that a kill at any instruction neither loses nor
//! doubles a line.
//!
//! The order of things for each piece:
//!
//! 1. The piece is looked at, not taken; the sorter says what each directory gets of it. It ends where a directory must
//!    begin another file, so no file changes its name between here and 5.
//! 2. Each directory writes an [`Intent`]: which input, how long the piece is, how long `current` is and what it gets, and
//!    what the sorter remembers before and after.
//! 3. Each directory appends.
//! 4. The piece is taken.
//! 5. The next piece's intent replaces this one; if there is none to be had, an intent of nothing does.
//!
//! A start finds the last intent and asks the world how far it came ([`fate`]). Taken: what the sorter remembered after
//! counts. Not taken: `current` is cut to its length before, and what the sorter remembered before counts. That the piece was
//! taken is told by something that changes in the same kernel call as the taking ([`Evidence`]).
//!
//! A power cut is another matter: the input dies with the machine, and an intent of another boot only tells which line was
//! unfinished.

use super::sorter::{Memory, Place};
use crate::scan::Id;
use alloc::vec::Vec;

/// Most bytes of an intent, encoded. One page: the kernel writes a page as a whole or not at all.
pub const INTENT_SIZE: usize = 4096;

/// What tells that a piece was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The piece is moved to the end of this file, which was this long.
    Odometer(Id, u64),
    /// The offset of the input, which was this.
    Position(u64),
    /// Only that the input begins with something else: the piece's [`hash`], and whether the piece before it was the same.
    Content {
        /// Of all its bytes.
        hash: u64,
        /// Then the next may well be the same too, and finding it proves nothing.
        repeated: bool,
    },
}

/// Which input it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// The boot, for a pipe's number may be another pipe's after it.
    pub boot: [u8; 16],
    /// The pipe, file or socket.
    pub id: Id,
}

/// The piece in work, as one directory sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Counts pieces, the same for all directories.
    pub sequence: u64,
    /// Where the piece comes from.
    pub input: Input,
    /// How long the piece is; 0 where there is none, or where the end of the input adds a newline.
    pub length: u32,
    /// What tells that it was taken.
    pub evidence: Evidence,
    /// Which file `current` is.
    pub current: Id,
    /// How long it is without the piece.
    pub size_bytes: u64,
    /// How much it gets.
    pub adds_bytes: u64,
    /// What the sorter remembers until the piece is taken.
    pub before: Memory,
    /// What it remembers from then on.
    pub after: Memory,
}

/// What became of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was not taken, and will be met again: what was written of it must go.
    Undo,
    /// It was taken, but for so many bytes, which are in `current` like the others and must be taken now.
    Done(u32),
}

/// What is seen of the input at a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// So many bytes of the piece were taken.
    Taken(u64),
    /// Its first bytes are those of the piece, or not.
    Same(bool),
    /// Nothing can be said.
    Nothing,
}

/// Says what became of the piece. `current_bytes` is how long the file of the intent is now, if it is still `current`.
#[must_use]
pub fn fate(intent: &Intent, current_bytes: Option<u64>, seen: Seen) -> Fate {
    // A piece is taken only when all of it is written; and only when it is taken, `current` may become another file.
    let whole = current_bytes.is_none_or(|now| now >= intent.size_bytes + intent.adds_bytes);
    if intent.length == 0 {
        return if whole { Fate::Done(0) } else { Fate::Undo };
    }
    let repeated = matches!(intent.evidence, Evidence::Content { repeated: true, .. });
    match seen {
        Seen::Taken(0) => Fate::Undo,
        Seen::Taken(taken) => {
            let taken = u32::try_from(taken).unwrap_or(u32::MAX);
            Fate::Done(intent.length.saturating_sub(taken))
        }
        Seen::Same(_) | Seen::Nothing if !whole => Fate::Undo,
        // If the same lines come again and again, one piece twice is better than one piece lost.
        Seen::Same(true) if !repeated => Fate::Undo,
        Seen::Same(_) | Seen::Nothing => Fate::Done(0),
    }
}

/// A number that two different pieces do not share by accident.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    // Odd, with half of their bits set: the constants of xxHash64, which are primes.
    const A: u64 = 0x9e37_79b1_85eb_ca87;
    const B: u64 = 0xc2b2_ae3d_27d4_eb4f;
    let mix = |lane: u64, word: [u8; 8]| {
        (lane ^ u64::from_le_bytes(word).wrapping_mul(B))
            .rotate_left(29)
            .wrapping_mul(A)
    };
    let mut lanes = [A, B, !A, !B];
    let (blocks, rest) = bytes.as_chunks::<32>();
    for block in blocks {
        let (words, _) = block.as_chunks::<8>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane = mix(*lane, *word);
        }
    }
    let mut all = bytes.len() as u64;
    for lane in lanes {
        all = mix(all, lane.to_le_bytes());
    }
    for part in rest.chunks(8) {
        let mut word = [0; 8];
        word[..part.len()].copy_from_slice(part);
        all = mix(all, word);
    }
    all ^ (all >> 32)
}

const MAGIC: &[u8; 8] = b"eudlog1\n";
/// Magic and checksum.
const FRONT: usize = 16;

impl Intent {
    /// Writes the bytes of the file form, in place of what `out` holds.
    ///
    /// A head is at most [`super::HEAD_SIZE`] bytes, so two of them and all the rest stay below [`INTENT_SIZE`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[0; 8]);
        let (kind, id, number, repeated) = match self.evidence {
            Evidence::Odometer(id, base) => (0u8, id, base, false),
            Evidence::Position(at) => (1, Id { dev: 0, ino: 0 }, at, false),
            Evidence::Content { hash, repeated } => (2, Id { dev: 0, ino: 0 }, hash, repeated),
        };
        out.extend_from_slice(&self.input.boot);
        for number in [
            self.sequence,
            self.input.id.dev,
            self.input.id.ino,
            u64::from(self.length),
            id.dev,
            id.ino,
            number,
            self.current.dev,
            self.current.ino,
            self.size_bytes,
            self.adds_bytes,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&[kind, u8::from(repeated)]);
        for memory in [&self.before, &self.after] {
            let place = match memory.place {
                Place::Start => 0,
                Place::Head => 1,
                Place::Tail => 2,
            };
            let chosen = memory.chosen.first().copied().unwrap_or(true);
            let length = u16::try_from(memory.head.len()).unwrap_or(u16::MAX);
            out.extend_from_slice(&[place, u8::from(chosen)]);
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(&memory.head);
        }
        let sum = hash(&out[FRONT..]);
        out[8..FRONT].copy_from_slice(&sum.to_le_bytes());
    }

    /// Reads the file form; `None` if it is none, or not whole.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Intent> {
        let mut reader = Reader(bytes.strip_prefix(MAGIC)?);
        let sum = reader.number()?;
        let body = reader.0;
        let mut boot = [0; 16];
        boot.copy_from_slice(reader.bytes(16)?);
        let sequence = reader.number()?;
        let input = Input {
            boot,
            id: reader.id()?,
        };
        let length = u32::try_from(reader.number()?).ok()?;
        let (id, number) = (reader.id()?, reader.number()?);
        let current = reader.id()?;
        let (size_bytes, adds_bytes) = (reader.number()?, reader.number()?);
        let evidence = match (reader.byte()?, reader.byte()?) {
            (0, _) => Evidence::Odometer(id, number),
            (1, _) => Evidence::Position(number),
            (2, repeated) => Evidence::Content {
                hash: number,
                repeated: repeated != 0,
            },
            _ => return None,
        };
        let (before, after) = (reader.memory()?, reader.memory()?);
        let covered = body.len() - reader.0.len();
        (hash(&body[..covered]) == sum).then_some(Intent {
            sequence,
            input,
            length,
            evidence,
            current,
            size_bytes,
            adds_bytes,
            before,
            after,
        })
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }
    fn byte(&mut self) -> Option<u8> {
        self.bytes(1).map(|bytes| bytes[0])
    }
    fn number(&mut self) -> Option<u64> {
        let mut word = [0; 8];
        word.copy_from_slice(self.bytes(8)?);
        Some(u64::from_le_bytes(word))
    }
    fn id(&mut self) -> Option<Id> {
        Some(Id {
            dev: self.number()?,
            ino: self.number()?,
        })
    }
    fn memory(&mut self) -> Option<Memory> {
        let place = match self.byte()? {
            0 => Place::Start,
            1 => Place::Head,
            2 => Place::Tail,
            _ => return None,
        };
        let chosen = self.byte()? != 0;
        let length = u16::from_le_bytes([self.byte()?, self.byte()?]);
        let head = self.bytes(usize::from(length))?.to_vec();
        if head.len() > super::HEAD_SIZE {
            return None;
        }
        let chosen = if place == Place::Tail {
            alloc::vec![chosen]
        } else {
            Vec::new()
        };
        Some(Memory {
            place,
            head,
            chosen,
        })
    }
}
