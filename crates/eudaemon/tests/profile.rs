//! A profile of this very test program: what was busy leads it, and the busiest of programs survives it.
//!
//! Not tested: aarch64; threads whose stacks are not made by the C library.
#![allow(clippy::unwrap_used, reason = "a judge that cannot go on has failed")]
#![cfg(feature = "profile")]

use eudaemon::profile::{Profile, ProfileError, Target};
use std::collections::HashMap;
use std::hint::black_box;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// There is one profile in a process, and tests are threads of one.
static ONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Calls nothing while it is busy, so that a build without frame pointers names it too. A hundred million rounds are a few tenths of a second
/// of processor time, however long they take on a busy machine.
#[inline(never)]
fn burns_the_time(millions: u32) -> u64 {
    let (mut rounds, mut sum) = (0_u32, 88_172_645_463_325_252_u64);
    while rounds < millions * 1_000_000 {
        // Source: Marsaglia, "Xorshift RNGs" (2003).
        sum ^= sum << 13;
        sum ^= sum >> 7;
        sum ^= sum << 17;
        rounds += 1;
    }
    black_box(sum)
}

/// The fields of a message: number, and the value or the bytes.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (&byte, rest) = bytes.split_first().expect("a whole number");
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let field = match tag & 7 {
            0 => Field::Number(varint(&mut bytes)),
            2 => {
                let length = varint(&mut bytes) as usize;
                let (inner, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(inner)
            }
            other => panic!("wire type {other}"),
        };
        found.push((tag >> 3, field));
    }
    found
}

fn number(message: &[u8], wanted: u64) -> u64 {
    let found = fields(message)
        .into_iter()
        .find(|(field, _)| *field == wanted);
    match found {
        Some((_, Field::Number(value))) => value,
        Some((_, Field::Bytes(_))) => panic!("field {wanted} is no number"),
        None => 0,
    }
}

fn packed(mut bytes: &[u8]) -> Vec<u64> {
    let mut values = Vec::new();
    while !bytes.is_empty() {
        values.push(varint(&mut bytes));
    }
    values
}

/// A profile as it is read.
#[derive(Debug, Default)]
struct Read {
    /// Count, nanoseconds, names from the innermost outwards.
    samples: Vec<(u64, u64, Vec<String>)>,
    strings: Vec<String>,
    mappings: usize,
}

/// Stored blocks are unwrapped here; that other readers do it too was seen with `gzip -t` and `go tool pprof`.
fn unwrapped(file: &[u8]) -> Vec<u8> {
    assert_eq!(&file[..4], [0x1f, 0x8b, 8, 0]);
    let (mut rest, mut out) = (&file[10..], Vec::new());
    loop {
        let (is_last, length) = (rest[0], u16::from_le_bytes([rest[1], rest[2]]));
        out.extend_from_slice(&rest[5..5 + usize::from(length)]);
        rest = &rest[5 + usize::from(length)..];
        if is_last == 1 {
            break;
        }
    }
    assert_eq!(rest.len(), 8);
    out
}

fn read(file: &[u8]) -> Read {
    let message = unwrapped(file);
    let (mut read, mut samples) = (Read::default(), Vec::new());
    let (mut locations, mut functions) = (HashMap::new(), HashMap::new());
    for (field, value) in fields(&message) {
        match (field, value) {
            (2, Field::Bytes(sample)) => {
                let lists = fields(sample);
                let list = |wanted| match lists.iter().find(|(field, _)| *field == wanted) {
                    Some((_, Field::Bytes(bytes))) => packed(bytes),
                    _ => panic!("a sample without field {wanted}"),
                };
                samples.push((list(1), list(2)));
            }
            (3, Field::Bytes(_)) => read.mappings += 1,
            (4, Field::Bytes(location)) => {
                let line = fields(location).into_iter().find(|(field, _)| *field == 4);
                let function = line.map(|(_, line)| match line {
                    Field::Bytes(line) => number(line, 1),
                    Field::Number(_) => panic!("a line is a message"),
                });
                locations.insert(number(location, 1), function);
            }
            (5, Field::Bytes(function)) => {
                functions.insert(number(function, 1), number(function, 2) as usize);
            }
            (6, Field::Bytes(text)) => {
                read.strings
                    .push(String::from_utf8_lossy(text).into_owned());
            }
            _ => {}
        }
    }
    assert_eq!(read.strings[0], "");
    for (stack, values) in samples {
        let name = |id: &u64| match locations[id] {
            Some(function) => read.strings[functions[&function]].clone(),
            None => String::new(),
        };
        read.samples
            .push((values[0], values[1], stack.iter().map(name).collect()));
    }
    read
}

impl Read {
    fn count(&self) -> u64 {
        self.samples.iter().map(|(count, _, _)| count).sum()
    }

    fn of(&self, name: &str) -> u64 {
        let inside = |names: &Vec<String>| names.iter().any(|one| one.contains(name));
        let hits = self.samples.iter().filter(|(_, _, names)| inside(names));
        hits.map(|(count, _, _)| count).sum()
    }
}

#[test]
fn the_busy_function_leads() {
    let _alone = alone();
    let profile = Profile::start(250).unwrap();
    // Both in this thread and in one that did not exist when it began.
    std::thread::scope(|scope| {
        scope.spawn(|| burns_the_time(200));
        burns_the_time(200);
    });
    let read = read(&profile.stop().unwrap());
    let (all, busy) = (read.count(), read.of("burns_the_time"));
    assert!(all >= 20, "{all} samples");
    assert!(busy * 10 >= all * 8, "{busy} of {all}");
    assert!(read.mappings > 0);
    let nanos: u64 = read.samples.iter().map(|(_, nanos, _)| nanos).sum();
    assert!(nanos >= 100_000_000, "{nanos} ns");
}

#[test]
fn one_at_a_time_and_at_a_possible_rate() {
    let _alone = alone();
    assert!(matches!(Profile::start(0), Err(ProfileError::Rate(0))));
    assert!(matches!(
        Profile::start(1001),
        Err(ProfileError::Rate(1001))
    ));
    let first = Profile::start(100).unwrap();
    assert!(matches!(Profile::start(100), Err(ProfileError::Busy)));
    drop(first);
    drop(Profile::start(100).unwrap());
}

/// Threads that come and go, allocate and take locks, under the fastest rate: a handler that locked or allocated would hang.
#[test]
fn nothing_hangs_and_nothing_breaks_at_full_rate() {
    let _alone = alone();
    let profile = Profile::start(1000).unwrap();
    let (ended, rounds, shared) = (
        AtomicBool::new(false),
        AtomicU64::new(0),
        Mutex::new(vec![0_u8; 1]),
    );
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    let mut held = shared.lock().unwrap();
                    *held = vec![1; 1 + (held.len() * 7) % 100_000];
                    drop(held);
                    let text: Vec<String> = (0..100).map(|n| format!("{n:>20}")).collect();
                    black_box(text);
                    let _ = std::panic::catch_unwind(|| std::panic::resume_unwind(Box::new(1)));
                    std::thread::spawn(|| black_box(vec![2_u8; 200_000]))
                        .join()
                        .unwrap();
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        burns_the_time(800);
        ended.store(true, Ordering::Relaxed);
    });
    let read = read(&profile.stop().unwrap());
    assert!(rounds.load(Ordering::Relaxed) > 100);
    assert!(read.count() > 100, "{} samples", read.count());
}

#[test]
fn a_target_is_private_and_is_written() {
    let _alone = alone();
    let path = std::env::temp_dir().join(format!("eud-profile-{}", std::process::id()));
    std::fs::write(&path, "what was there, open to all").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let target = Target::open(&format!("{},200,5", path.display())).unwrap();
    assert_eq!(target.lasts(), Some(Duration::from_secs(5)));
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let recording = target.start().unwrap();
    burns_the_time(100);
    recording.stop().unwrap();
    let read = read(&std::fs::read(&path).unwrap());
    assert!(read.of("burns_the_time") > 0, "{read:?}");
    // The next ends by itself, without anyone who stops it.
    let target = Target::open(&format!("{},200,1", path.display())).unwrap();
    let recording = target.start().unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
    while std::fs::metadata(&path).unwrap().len() == 0 {
        burns_the_time(10);
    }
    drop(recording);
    std::fs::remove_file(&path).unwrap();
    assert!(Target::open("/nowhere/at/all").is_err());
}
