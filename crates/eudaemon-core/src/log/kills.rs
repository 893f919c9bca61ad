//! A small world in which the logger is killed between any two of its steps: what is logged is what was written.
//!
//! The world has a pipe, and for each directory its files and its intent. The steps are those of the program, in its order;
//! the decisions are the real ones. Not tested here: that a kernel call is one step (the lab's judges kill real processes).

use super::*;
use crate::scan::Id;
use crate::status::Dialect;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// The program was killed.
struct Killed;

#[derive(Default)]
struct Directory {
    /// Files that are finished, in order.
    finished: Vec<Vec<u8>>,
    current: Vec<u8>,
    number: u64,
    intent: Vec<u8>,
}

struct World {
    pipe: VecDeque<u8>,
    odometer: u64,
    directories: Vec<Directory>,
    /// How many more steps the program lives.
    life: u64,
}

impl World {
    fn step(&mut self) -> Result<(), Killed> {
        self.life = self.life.checked_sub(1).ok_or(Killed)?;
        Ok(())
    }
}

struct Nobody;

impl Aside for Nobody {
    fn tell(&mut self, _line: &[u8], _more: bool) {}
    fn keep(&mut self, _file: usize, _head: &[u8]) {}
    fn send(&mut self, _receiver: usize, _head: &[u8]) {}
}

const INPUT: Input = Input {
    boot: [1; 16],
    id: Id { dev: 1, ino: 1 },
};
const ODOMETER: Id = Id { dev: 2, ino: 2 };

fn file(number: u64) -> Id {
    Id {
        dev: 3,
        ino: number,
    }
}

/// What a start does with the intents of the last run.
fn start(world: &mut World) -> (u64, Memory) {
    let intents: Vec<_> = world
        .directories
        .iter()
        .map(|one| Intent::decode(&one.intent))
        .collect();
    let mut memory = Memory::default();
    let mut sequence = 0;
    if let Some(last) = intents
        .iter()
        .flatten()
        .max_by_key(|intent| intent.sequence)
    {
        sequence = last.sequence;
        let Evidence::Odometer(_, base) = last.evidence else {
            panic!("a pipe has an odometer");
        };
        let seen = Seen::Taken(world.odometer - base);
        let undo = world.directories.iter().zip(&intents).any(|(one, intent)| {
            let intent = intent.as_ref().filter(|intent| intent.sequence == sequence);
            intent.is_some_and(|intent| {
                let is_current = intent.current == file(one.number);
                let bytes = is_current.then_some(one.current.len() as u64);
                fate(intent, bytes, seen) == Fate::Undo
            })
        });
        memory = if undo {
            last.before.clone()
        } else {
            last.after.clone()
        };
        memory.chosen.clear();
        for (one, intent) in world.directories.iter_mut().zip(&intents) {
            let Some(intent) = intent else {
                memory.chosen.push(true);
                continue;
            };
            let own = if undo && intent.sequence == sequence {
                if intent.current == file(one.number) {
                    one.current
                        .truncate(usize::try_from(intent.size_bytes).expect("small"));
                }
                &intent.before
            } else {
                &intent.after
            };
            memory
                .chosen
                .push(own.chosen.first().copied().unwrap_or(true));
        }
        if !undo && let Fate::Done(left) = fate(last, None, seen) {
            world.pipe.drain(..left as usize);
            world.odometer += u64::from(left);
        }
    }
    for (at, one) in world.directories.iter_mut().enumerate() {
        let nothing = Intent {
            sequence,
            input: INPUT,
            length: 0,
            evidence: Evidence::Odometer(ODOMETER, world.odometer),
            current: file(one.number),
            size_bytes: one.current.len() as u64,
            adds_bytes: 0,
            before: memory.of(at),
            after: memory.of(at),
        };
        nothing.encode(&mut one.intent);
        // `current` of a crash is finished as `.u`.
        one.finished.push(core::mem::take(&mut one.current));
        one.number += 1;
    }
    (sequence, memory)
}

/// One life of the program.
fn live(world: &mut World, script: &Script, dice: &mut u64) -> Result<(), Killed> {
    let (mut sequence, memory) = start(world);
    let size = script.directories[0].size_bytes;
    let fills = || script.directories.iter().map(|_| Fill::new(size, 0));
    let mut sorter = Sorter::new(script, fills());
    sorter.remember(&memory, fills());
    loop {
        world.step()?;
        if world.pipe.is_empty() && !sorter.in_line() {
            return Ok(());
        }
        let most = 1 + usize::try_from(roll(dice) % 3000).expect("small");
        let seen: Vec<u8> = world.pipe.iter().copied().take(most).collect();
        for (at, one) in world.directories.iter_mut().enumerate() {
            if sorter.is_due(at) || sorter.is_finished(at) {
                one.finished.push(core::mem::take(&mut one.current));
                one.number += 1;
                sorter.begins(at, Fill::new(size, 0));
            }
        }
        world.step()?;
        let before = sorter.memory();
        let taken = match seen.is_empty() {
            true => {
                sorter.end(&mut Nobody);
                0
            }
            false => sorter.take(&seen, b"", &mut Nobody),
        };
        let after = sorter.memory();
        sequence += 1;
        for at in 0..world.directories.len() {
            let base = world.odometer;
            let one = &mut world.directories[at];
            let intent = Intent {
                sequence,
                input: INPUT,
                length: u32::try_from(taken).expect("small"),
                evidence: Evidence::Odometer(ODOMETER, base),
                current: file(one.number),
                size_bytes: one.current.len() as u64,
                adds_bytes: (sorter.as_is() + sorter.lanes()[at].bytes().len()) as u64,
                before: before.of(at),
                after: after.of(at),
            };
            intent.encode(&mut one.intent);
            world.step()?;
        }
        for at in 0..world.directories.len() {
            let bytes = [&seen[..sorter.as_is()], sorter.lanes()[at].bytes()].concat();
            // A write that is interrupted has written a part.
            let half = bytes.len() / 2;
            world.directories[at]
                .current
                .extend_from_slice(&bytes[..half]);
            world.step()?;
            world.directories[at]
                .current
                .extend_from_slice(&bytes[half..]);
            world.step()?;
        }
        // So has a move.
        for part in [taken / 3, taken - taken / 3] {
            world.pipe.drain(..part);
            world.odometer += part as u64;
            world.step()?;
        }
        sorter.written();
    }
}

fn roll(dice: &mut u64) -> u64 {
    // Source: Marsaglia, Xorshift RNGs (2003), the triple 13, 7, 17.
    *dice ^= *dice << 13;
    *dice ^= *dice >> 7;
    *dice ^= *dice << 17;
    *dice
}

/// Lines of many lengths, some of them all the same, the last without its end.
fn lines(dice: &mut u64) -> Vec<u8> {
    let mut input = Vec::new();
    let same = roll(dice).is_multiple_of(3);
    for number in 0..roll(dice) % 60 {
        let length =
            [0, 1, 20, 998, 999, 1000, 1001, 5000][usize::try_from(roll(dice) % 8).expect("small")];
        let byte = if same {
            b'y'
        } else {
            b'a' + u8::try_from(number % 26).expect("small")
        };
        input.resize(input.len() + if same { 1 } else { length }, byte);
        input.push(b'\n');
    }
    if roll(dice).is_multiple_of(2) {
        input.extend_from_slice(b"without its end");
    }
    input
}

#[test]
fn what_is_logged_is_what_was_written_whenever_the_logger_is_killed() {
    let mut kills = 0u32;
    for seed in 1..=600u64 {
        let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let words: &[&[u8]] = match seed % 3 {
            0 => &[b"s4096", b"./a"],
            1 => &[b"s4096", b"-zzz", b"./a", b"+*", b"./b"],
            _ => &[b"s4096", b"./a", b"-b*", b"./b"],
        };
        let script = Script::parse(words.iter().copied(), Dialect::Auto).expect("a script");
        let input = lines(&mut dice);
        let mut world = World {
            pipe: input.iter().copied().collect(),
            odometer: 0,
            directories: script
                .directories
                .iter()
                .map(|_| Directory::default())
                .collect(),
            life: 0,
        };
        loop {
            world.life = roll(&mut dice) % 40;
            match live(&mut world, &script, &mut dice) {
                Ok(()) => break,
                Err(Killed) => kills += 1,
            }
        }
        let mut whole = input.clone();
        if whole.last().is_some_and(|&byte| byte != b'\n') {
            whole.push(b'\n');
        }
        let chosen = |line: &&[u8]| seed % 3 != 2 || line[0] != b'b';
        let some: Vec<u8> = whole
            .split_inclusive(|&byte| byte == b'\n')
            .filter(chosen)
            .flatten()
            .copied()
            .collect();
        for (one, wanted) in world.directories.iter_mut().zip([&whole, &some]) {
            let mut logged = one.finished.concat();
            logged.append(&mut one.current);
            assert!(logged == **wanted, "seed {seed}");
            assert!(
                one.finished.iter().all(|file| file.len() <= 4096),
                "seed {seed}"
            );
        }
    }
    assert!(kills > 5000, "{kills}");
}

#[test]
fn what_was_seen_decides_what_became_of_a_piece() {
    let intent = |evidence, length| Intent {
        sequence: 1,
        input: INPUT,
        length,
        evidence,
        current: file(1),
        size_bytes: 100,
        adds_bytes: 10,
        before: Memory::default(),
        after: Memory::default(),
    };
    let content = |repeated| Evidence::Content { hash: 0, repeated };
    let odometer = Evidence::Odometer(ODOMETER, 0);
    for (evidence, length, current, seen, expected) in [
        (odometer, 10, Some(110), Seen::Taken(0), Fate::Undo),
        (odometer, 10, Some(110), Seen::Taken(4), Fate::Done(6)),
        (odometer, 10, None, Seen::Taken(10), Fate::Done(0)),
        (odometer, 10, Some(105), Seen::Nothing, Fate::Undo),
        (odometer, 10, Some(110), Seen::Nothing, Fate::Done(0)),
        (content(false), 10, Some(110), Seen::Same(true), Fate::Undo),
        (
            content(false),
            10,
            Some(110),
            Seen::Same(false),
            Fate::Done(0),
        ),
        (
            content(true),
            10,
            Some(110),
            Seen::Same(true),
            Fate::Done(0),
        ),
        (content(true), 10, Some(109), Seen::Same(true), Fate::Undo),
        // The end of the input is nothing that could be taken.
        (odometer, 0, Some(109), Seen::Taken(0), Fate::Undo),
        (odometer, 0, Some(110), Seen::Taken(0), Fate::Done(0)),
        (odometer, 0, None, Seen::Taken(0), Fate::Done(0)),
    ] {
        assert_eq!(
            fate(&intent(evidence, length), current, seen),
            expected,
            "{evidence:?} {current:?} {seen:?}"
        );
    }
}
