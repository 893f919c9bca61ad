//! Any script, any lines, in any pieces, through the original and through ours.
//!
//! Compared to the byte: exit code, stderr (`e`), the files of `=`, and all bytes of each log directory as one text, oldest file
//! first. Not compared: where that text is cut into files; for each finished file of either it is demanded instead that it is
//! not larger than its size, not smaller than that less 2000 bytes, and cut inside a line only at exactly its size
//! (specification §8.5). Where old files were removed, what one kept must be the end of what the other kept, and each must have
//! kept as many files as it may. Stamps are masked after the files are put together.

use crate::{count, finished};
use eudaemon_lab::log::Pipe;
use eudaemon_lab::mayfly::scrambled;
use eudaemon_lab::{Bins, Exit, Subject, World, bins, until};
use std::fs;
use std::path::Path;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(1);
        usize::try_from(scrambled(self.0) >> 16).unwrap_or_default() % n.max(1)
    }

    fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

#[derive(Debug)]
struct Case {
    arguments: Vec<String>,
    directories: Vec<(String, usize, usize)>,
    files: Vec<String>,
    stamped: bool,
    pieces: Vec<Vec<u8>>,
}

fn pattern(dice: &mut Dice, stamped: bool) -> String {
    let mut text = String::new();
    if stamped {
        // Past the stamp, which is not the same for both.
        text.push_str(dice.one_of(&["@* ", "*", "@*"]));
        if text != "@* " {
            return text;
        }
    }
    for _ in 0..dice.below(5) {
        text.push_str(dice.one_of(&["a", "b", "c", " ", "*", "*", "ab", "\\", "?", "["]));
    }
    if dice.below(3) > 0 {
        text.push('*');
    }
    text
}

fn case(seed: u64) -> Case {
    let mut dice = Dice(scrambled(seed));
    let stamped = dice.below(4) == 0;
    let mut arguments = Vec::new();
    let (mut directories, mut files) = (Vec::new(), Vec::new());
    if stamped {
        arguments.push("t".to_owned());
    }
    let (mut size, mut number) = (99_999, 10);
    for at in 0..1 + dice.below(9) {
        match dice.below(8) {
            0 | 1 => arguments.push(format!("-{}", pattern(&mut dice, stamped))),
            2 => arguments.push(format!("+{}", pattern(&mut dice, stamped))),
            3 if !stamped => arguments.push("e".to_owned()),
            4 if !stamped => {
                files.push(format!("file{at}"));
                arguments.push(format!("=file{at}"));
            }
            // What is said of unknown actions is `actions.rs`'s; an empty word is none.
            5 => arguments.push(String::new()),
            _ => {
                if dice.below(2) == 0 {
                    size = 4000 + dice.below(6000);
                    arguments.push(format!("s{size}"));
                    size = size.max(4096);
                }
                if dice.below(2) == 0 {
                    number = dice.one_of(&[0, 2, 3, 5, 100]);
                    arguments.push(format!("n{number}"));
                    number = number.max(2);
                }
                directories.push((format!("dir{at}"), size, number));
                arguments.push(format!("./dir{at}"));
            }
        }
    }
    let mut input = Vec::new();
    let common = dice.below(3);
    for _ in 0..dice.below(250) {
        let length = match dice.below(8 + 20 * common) {
            0 => dice.one_of(&[0, 1, 199, 200, 201]),
            1 => dice.one_of(&[998, 999, 1000, 1001, 1002, 1026, 974]),
            2 => dice.one_of(&[1999, 2000, 2001, 4094, 4095, 4096, 4097]),
            3 => dice.below(12_000),
            _ => dice.below(120),
        };
        for _ in 0..length.min(1 + dice.below(6)) {
            input.push(dice.one_of(b"abc  *\0@\xff"));
        }
        let fill = dice.one_of(b"abcx ");
        let have = input.iter().rev().take_while(|&&b| b != b'\n').count();
        input.extend(std::iter::repeat_n(fill, length.saturating_sub(have)));
        input.push(b'\n');
    }
    if dice.below(3) == 0 {
        input.pop();
    }
    let mut pieces = Vec::new();
    // Mostly in a few pieces; now and then in very many of a few bytes.
    let most = dice.one_of(&[200_000, 65_536, 4096, 1024, 333]);
    while !input.is_empty() && pieces.len() < 40 {
        let cut = (1 + dice.below(most)).min(input.len());
        pieces.push(input.drain(..cut).collect());
    }
    pieces.push(input);
    Case {
        arguments,
        directories,
        files,
        stamped,
        pieces,
    }
}

/// What one multilog made of it.
#[derive(Debug, PartialEq, Eq)]
struct Made {
    exit: Option<Exit>,
    err: String,
    files: Vec<Vec<u8>>,
}

fn play(world: &World, bins: &Bins, case: &Case, home: &Path, from_file: bool) -> Made {
    fs::create_dir_all(home).expect("a directory");
    let program = bins.program("multilog".as_ref());
    let running = if from_file {
        let input = home.join("input");
        fs::write(&input, case.pieces.concat()).expect("an input file");
        let file = fs::File::open(&input).expect("the input file").into();
        world.start_at(&program, &case.arguments, home, file)
    } else {
        let mut pipe = Pipe::new();
        let running = world.start_at(&program, &case.arguments, home, pipe.reader());
        for piece in &case.pieces {
            pipe.put(piece);
            let taken = until(SOON, || {
                pipe.drained() || running.exit(Duration::ZERO).is_some()
            });
            assert!(taken, "{case:?}: {}", running.err());
        }
        pipe.close();
        running
    };
    let exit = running.exit(SOON);
    let files = &case.files;
    Made {
        exit,
        files: files
            .iter()
            .map(|file| fs::read(home.join(file)).expect("a file of ="))
            .collect(),
        err: running.forget(),
    }
}

/// All of a directory as one text, and how many files are finished; each file's law is checked.
fn text(dir: &Path, size: usize, number: usize) -> (Vec<u8>, usize) {
    let names = finished(dir);
    assert!(names.len() < number, "{} files of {number}", names.len());
    let mut all = Vec::new();
    for name in &names {
        let text = fs::read(dir.join(name)).expect("a finished file");
        assert!(
            text.len() <= size && text.len() + 2000 >= size,
            "{name}: {} bytes of {size}",
            text.len()
        );
        assert!(
            text.ends_with(b"\n") || text.len() == size,
            "{name} is cut inside a line"
        );
        all.extend(text);
    }
    let current = fs::read(dir.join("current")).expect("current");
    assert!(current.len() <= size);
    all.extend(current);
    (all, names.len())
}

fn masked(text: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    for line in text.split_inclusive(|&b| b == b'\n') {
        let digits = line.get(1..25).unwrap_or_default();
        let hex = digits.len() == 24 && digits.iter().all(u8::is_ascii_hexdigit);
        if hex && line[0] == b'@' && line.get(25) == Some(&b' ') {
            all.extend(b"@STAMP");
            all.extend(&line[25..]);
        } else {
            all.extend(line);
        }
    }
    all
}

fn after_first_line(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|&b| b == b'\n');
    end.map_or(&[], |end| &text[end + 1..])
}

fn compare(seed: u64, djb: &Bins, ours: &Bins) {
    let case = case(seed);
    let world = World::new("random");
    let from_file = seed.is_multiple_of(3);
    let homes = [world.path("original"), world.path("ours")];
    let expected = play(&world, djb, &case, &homes[0], from_file);
    let made = play(&world, ours, &case, &homes[1], from_file);
    let told = || format!("seed {seed}: {:?}", case.arguments);
    assert_eq!(expected.exit, made.exit, "{}: {}", told(), made.err);
    assert!(
        expected.err == made.err,
        "{}: stderr\n{}\n{}",
        told(),
        expected.err,
        made.err
    );
    assert!(expected.files == made.files, "{}: files of =", told());
    for (dir, size, number) in &case.directories {
        let [(left, left_files), (right, right_files)] =
            [0, 1].map(|at| text(&homes[at].join(dir), *size, *number));
        let full = |files| files == number - 1;
        if full(left_files) || full(right_files) {
            // Files may be gone, and the first that is left may begin inside a line.
            let (left, right) = (
                masked(after_first_line(&left)),
                masked(after_first_line(&right)),
            );
            let (long, short) = if left.len() > right.len() {
                (&left, &right)
            } else {
                (&right, &left)
            };
            assert!(long.ends_with(short), "{}: {dir}: no common end", told());
        } else {
            let (left, right) = if case.stamped {
                (masked(&left), masked(&right))
            } else {
                (left, right)
            };
            let same = left.iter().zip(&right).take_while(|(a, b)| a == b).count();
            assert!(
                left == right,
                "{}: {dir}: {} and {} bytes, equal up to {same}",
                told(),
                left.len(),
                right.len()
            );
        }
    }
}

#[test]
fn any_script_with_any_lines() {
    let (Some(djb), Some(ours)) = (bins(Subject::Djb), bins(Subject::Ours)) else {
        return;
    };
    let from = u64::from(count("EUDAEMON_LOG_SEED", 0));
    for seed in from..from + u64::from(count("EUDAEMON_LOG_CASES", 300)) {
        compare(seed, djb, ours);
    }
}
