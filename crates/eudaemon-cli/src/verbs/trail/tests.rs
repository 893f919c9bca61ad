use super::*;
use eudaemon_core::time::Wall;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::{File, OpenOptions};
use std::io::Write;

/// What multilog does to its directory, step by step.
struct Logger {
    dir: PathBuf,
    current: File,
    size: usize,
    lines: u64,
    rotations: u64,
}

impl Logger {
    fn new(name: &str) -> Logger {
        let dir = std::env::temp_dir().join(format!("eud-trail-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("state"), "").unwrap();
        let current = create(&dir);
        Logger {
            dir,
            current,
            size: 0,
            lines: 0,
            rotations: 0,
        }
    }
    fn line(&mut self) {
        self.lines += 1;
        let stamp = Tai64n::from_wall(Wall::new(1000 + self.lines, 0));
        self.raw(format!("{stamp} line {}\n", self.lines).as_bytes());
    }
    fn raw(&mut self, bytes: &[u8]) {
        self.current.write_all(bytes).unwrap();
        self.size += bytes.len();
    }
    fn rename(&mut self) {
        std::fs::rename(self.dir.join("current"), self.dir.join("previous")).unwrap();
    }
    fn begin(&mut self) {
        self.current = create(&self.dir);
        self.size = 0;
    }
    fn stamped(&self, code: &str) -> PathBuf {
        let stamp = Tai64n::from_wall(Wall::new(1000 + self.lines, self.rotations as u32));
        self.dir.join(format!("{stamp}.{code}"))
    }
    fn link(&mut self) {
        self.rotations += 1;
        std::fs::hard_link(self.dir.join("previous"), self.stamped("s")).unwrap();
    }
    fn unlink(&mut self) {
        std::fs::remove_file(self.dir.join("previous")).unwrap();
    }
    fn rotate(&mut self) {
        self.rename();
        self.begin();
        self.link();
        self.unlink();
    }
    /// With a processor: another file takes the place.
    fn process(&mut self, code: &str, work: impl Fn(Vec<u8>) -> Vec<u8>) {
        self.rename();
        self.begin();
        let made = work(std::fs::read(self.dir.join("previous")).unwrap());
        std::fs::write(self.dir.join("processed"), made).unwrap();
        self.unlink();
        self.rotations += 1;
        std::fs::rename(self.dir.join("processed"), self.stamped(code)).unwrap();
    }
    fn delete_oldest(&mut self) {
        let oldest = std::fs::read_dir(&self.dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.file_name().unwrap().as_bytes()[0] == b'@')
            .min();
        std::fs::remove_file(oldest.unwrap()).unwrap();
    }
}

impl Drop for Logger {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn create(dir: &Path) -> File {
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(dir.join("current"))
        .unwrap()
}

/// The numbers of the lines that can be read now.
fn numbers(trail: &mut Trail) -> Vec<u64> {
    texts(trail)
        .iter()
        .map(|text| text.rsplit(' ').next().unwrap().parse().unwrap())
        .collect()
}

fn texts(trail: &mut Trail) -> Vec<String> {
    let (mut line, mut out) = (Vec::new(), Vec::new());
    while trail.next(&mut line).unwrap() {
        out.push(String::from_utf8(line.clone()).unwrap());
    }
    out
}

#[test]
fn every_step_of_a_rotation_may_be_looked_at() {
    // At which of the steps the reader looks, as bits.
    for looks in 0..64 {
        let mut log = Logger::new("steps");
        let mut trail = Trail::all(&log.dir);
        let mut seen = Vec::new();
        let look = |bit: u32, trail: &mut Trail, seen: &mut Vec<u64>| {
            if looks & (1 << bit) != 0 {
                seen.extend(numbers(trail));
            }
        };
        for _ in 0..3 {
            log.line();
            look(0, &mut trail, &mut seen);
            log.line();
            log.rename();
            look(1, &mut trail, &mut seen);
            log.begin();
            look(2, &mut trail, &mut seen);
            log.link();
            look(3, &mut trail, &mut seen);
            log.unlink();
            look(4, &mut trail, &mut seen);
            log.line();
            look(5, &mut trail, &mut seen);
            log.rotate();
        }
        seen.extend(numbers(&mut trail));
        assert_eq!(seen, (1..=9).collect::<Vec<_>>(), "looks {looks:b}");
    }
}

#[test]
fn a_file_that_gets_its_name_after_we_left_it_is_not_read_again() {
    let mut log = Logger::new("named");
    let mut trail = Trail::all(&log.dir);
    log.line();
    assert_eq!(numbers(&mut trail), [1]);
    log.rename();
    log.begin();
    log.line();
    assert_eq!(numbers(&mut trail), [2]);
    // Only now the first one gets its name; then the second is on its way, and has none yet.
    log.link();
    log.unlink();
    log.rename();
    assert_eq!(numbers(&mut trail), [0; 0]);
    log.begin();
    log.line();
    assert_eq!(numbers(&mut trail), [3]);
}

#[test]
fn rotations_behind_the_readers_back_are_read_in_order() {
    let mut log = Logger::new("behind");
    log.line();
    let mut trail = Trail::last(&log.dir, 1).unwrap();
    assert_eq!(numbers(&mut trail), [1]);
    for _ in 0..5 {
        log.line();
        log.rotate();
        log.line();
    }
    assert_eq!(numbers(&mut trail), (2..=11).collect::<Vec<_>>());
    assert_eq!(numbers(&mut trail), [0; 0]);
}

#[test]
fn what_the_logger_deleted_is_missing_and_the_rest_is_not() {
    let mut log = Logger::new("deleted");
    log.line();
    let mut trail = Trail::all(&log.dir);
    assert_eq!(numbers(&mut trail), [1]);
    for _ in 0..4 {
        log.line();
        log.rotate();
    }
    // Of `1 2`, `3`, `4`, `5`, the first goes: it is open, so it is still read.
    log.delete_oldest();
    assert_eq!(numbers(&mut trail), [2, 3, 4, 5]);
    for _ in 0..4 {
        log.line();
        log.rotate();
    }
    for _ in 0..6 {
        log.delete_oldest();
    }
    // `6` is open; `7` and `8` were gone before they were opened.
    assert_eq!(numbers(&mut trail), [6, 9]);
}

#[test]
fn what_a_processor_made_is_not_read_again() {
    let foreign = |text: Vec<u8>| [b"\x28\xb5\x2f\xfd", &text[..]].concat();
    for (code, work) in [("s", &|text| text), ("gz", &gzip), ("s", &foreign)]
        as [(&str, &dyn Fn(Vec<u8>) -> Vec<u8>); 3]
    {
        let mut log = Logger::new("processor");
        let mut trail = Trail::all(&log.dir);
        let mut seen = Vec::new();
        for _ in 0..4 {
            log.line();
            seen.extend(numbers(&mut trail));
            log.line();
            log.process(code, work);
            log.line();
        }
        seen.extend(numbers(&mut trail));
        assert_eq!(seen, (1..=12).collect::<Vec<_>>());
    }
}

#[test]
fn what_a_processor_made_of_the_file_that_is_read_is_not_another_file() {
    let mut log = Logger::new("ends");
    log.line();
    log.line();
    log.rename();
    log.begin();
    let plain = log.stamped("abc");
    std::fs::rename(log.dir.join("previous"), &plain).unwrap();
    log.line();
    let mut trail = Trail::all(&log.dir);
    assert!(trail.next(&mut Vec::new()).unwrap());
    let made = plain.with_extension("gz");
    std::fs::write(made, gzip(std::fs::read(&plain).unwrap())).unwrap();
    std::fs::remove_file(plain).unwrap();
    assert_eq!(numbers(&mut trail), [2, 3]);
}

#[test]
fn a_line_that_a_damaged_file_broke_in_is_not_joined_with_the_next() {
    let mut log = Logger::new("broke");
    log.raw(b"one\ntwo\n");
    log.process("gz", |text| {
        let whole = gzip(text[..text.len() - 2].to_vec());
        whole[..whole.len() - 8].to_vec()
    });
    log.raw(b"three\n");
    let mut trail = Trail::all(&log.dir);
    assert_eq!(texts(&mut trail), ["one", "tw", "three"]);
    assert_eq!(trail.torn.len(), 1);
}

fn gzip(text: Vec<u8>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&text).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn the_last_lines_reach_back_into_compressed_files() {
    let mut log = Logger::new("last-packed");
    for packed in [true, false, true, true] {
        for _ in 0..3000 {
            log.line();
        }
        match packed {
            true => log.process("gz", gzip),
            false => log.rotate(),
        }
    }
    for current in 0..2 {
        let end: u64 = 12_000 + current;
        for count in [0, 1, 2, 2999, 3000, 3001, 6000, 7000, 9001, 12_000, 20_000] {
            let mut trail = Trail::last(&log.dir, count).unwrap();
            let first = (end + 1).saturating_sub(count).max(1);
            assert!(
                numbers(&mut trail).into_iter().eq(first..=end),
                "the last {count} of {end}"
            );
        }
        log.line();
    }
}

#[test]
fn of_a_damaged_file_the_sound_part_is_shown_and_the_next_file_follows() {
    let mut log = Logger::new("torn");
    for _ in 0..3000 {
        log.line();
    }
    log.process("gz", |text| {
        let whole = gzip(text);
        whole[..whole.len() / 2].to_vec()
    });
    log.line();
    log.rotate();
    log.line();
    let read = |mut trail: Trail| {
        let lines = texts(&mut trail);
        let torn: Vec<_> = trail.torn.iter().map(|(_, error)| error.kind()).collect();
        (lines, torn)
    };
    let (lines, torn) = read(Trail::all(&log.dir));
    assert_eq!(torn, [io::ErrorKind::UnexpectedEof]);
    let sound = lines.len() - 3;
    assert!(sound > 1000, "{sound}");
    for (at, line) in lines[..sound].iter().enumerate() {
        assert!(line.ends_with(&format!(" line {}", at + 1)), "{line}");
    }
    // The line it broke in is not joined with the next.
    let begun = format!(" line {}", sound + 1);
    let stamp_at = lines[0].find(' ').unwrap();
    let rest = &lines[sound];
    assert!(rest.len() <= stamp_at || begun.starts_with(&rest[stamp_at..]));
    assert!(lines[sound + 1].ends_with(" line 3001"));
    for count in [1, 2, 3, 4, 500] {
        let (last, torn) = read(Trail::last(&log.dir, count).unwrap());
        assert_eq!(last, lines[lines.len() - count as usize..], "{count}");
        assert_eq!(torn.len(), usize::from(count > 2), "{count}");
    }
}

#[test]
fn the_last_lines_reach_back_over_rotations() {
    let mut log = Logger::new("last");
    for _ in 0..4 {
        for _ in 0..5 {
            log.line();
        }
        log.rotate();
    }
    for (count, first) in [(0, 21), (1, 20), (5, 16), (6, 15), (20, 1), (900, 1)] {
        let mut trail = Trail::last(&log.dir, count).unwrap();
        let wanted: Vec<u64> = (first..=20).collect();
        assert_eq!(numbers(&mut trail), wanted, "the last {count}");
        log.rotate();
    }
    let mut trail = Trail::last(&log.dir, 3).unwrap();
    log.line();
    assert_eq!(numbers(&mut trail), [18, 19, 20, 21]);
}

#[test]
fn the_last_lines_of_long_files_are_found_across_blocks() {
    let mut log = Logger::new("blocks");
    for _ in 0..3000 {
        log.line();
    }
    let mut trail = Trail::last(&log.dir, 2500).unwrap();
    assert_eq!(numbers(&mut trail), (501..=3000).collect::<Vec<_>>());
}

#[test]
fn an_unfinished_line_is_whole_when_it_comes() {
    let mut log = Logger::new("unfinished");
    log.raw(b"one\ntw");
    let mut trail = Trail::last(&log.dir, 0).unwrap();
    let mut one = Trail::last(&log.dir, 1).unwrap();
    let mut two = Trail::last(&log.dir, 2).unwrap();
    assert_eq!(texts(&mut trail), [""; 0]);
    assert_eq!(texts(&mut two), ["one"]);
    assert_eq!(texts(&mut one), [""; 0]);
    let mut line = Vec::new();
    assert!(one.rest(&mut line));
    assert_eq!(line, b"tw");
    // It goes on in the next file, as multilog splits a line that fills a file.
    log.rotate();
    log.raw(b"o\n");
    assert_eq!(texts(&mut trail), ["two"]);
}

#[test]
fn a_line_that_a_crash_cut_is_not_joined_with_the_next() {
    let mut log = Logger::new("crash");
    let mut trail = Trail::all(&log.dir);
    log.line();
    log.raw(b"@4000000000000bb8000000");
    assert_eq!(numbers(&mut trail), [1]);
    // Source: specification §8.6: the next multilog makes it `@STAMP.u`.
    std::fs::rename(log.dir.join("current"), log.stamped("u")).unwrap();
    log.begin();
    log.line();
    let read = texts(&mut trail);
    assert_eq!(read.len(), 2, "{read:?}");
    assert_eq!(read[0], "@4000000000000bb8000000");
    assert!(read[1].ends_with(" line 2"));
}

#[test]
fn a_line_without_end_comes_in_pieces() {
    let mut log = Logger::new("endless");
    let mut trail = Trail::all(&log.dir);
    let whole = vec![b'x'; LINE_BYTES_MAX * 2 + 10];
    log.raw(&whole);
    let mut line = Vec::new();
    assert!(trail.next(&mut line).unwrap());
    assert_eq!(line.len(), LINE_BYTES_MAX);
    assert!(trail.next(&mut line).unwrap());
    assert!(!trail.next(&mut line).unwrap());
    log.raw(b"\n");
    assert!(trail.next(&mut line).unwrap());
    assert_eq!(line.len(), 10);
}

#[test]
fn since_skips_the_files_that_are_older() {
    let mut log = Logger::new("since");
    for _ in 0..4 {
        log.line();
        log.line();
        log.rotate();
    }
    let stamp = Tai64n::from_wall(Wall::new(1005, 0));
    let mut trail = Trail::since(&log.dir, stamp);
    assert_eq!(numbers(&mut trail), [5, 6, 7, 8]);
    log.line();
    assert_eq!(numbers(&mut trail), [9]);
}

#[test]
fn until_takes_lines_that_were_stamped_before_the_rotation_and_written_after_it() {
    let mut log = Logger::new("until");
    let text = |second: u64, line: u64| {
        let stamp = Tai64n::from_wall(Wall::new(second, 0));
        format!("{stamp} line {line}\n")
    };
    log.raw(text(500, 1).as_bytes());
    log.rotate();
    for line in 2..4 {
        log.raw(text(500, line).as_bytes());
        log.rotate();
    }
    log.raw(text(501, 4).as_bytes());
    log.rotate();
    log.raw(text(502, 5).as_bytes());
    let stamp = Tai64n::from_wall(Wall::new(500, 0));
    let mut trail = Trail::all(&log.dir).until(stamp);
    assert_eq!(numbers(&mut trail), [1, 2, 3]);
    assert_eq!(numbers(&mut trail), [0; 0]);
}

#[test]
fn a_directory_that_fills_later_is_read_from_its_first_line() {
    let mut log = Logger::new("later");
    std::fs::remove_file(log.dir.join("current")).unwrap();
    let mut trail = Trail::since(&log.dir, Tai64n::from_wall(Wall::new(0, 0)));
    assert_eq!(numbers(&mut trail), [0; 0]);
    log.begin();
    log.line();
    assert_eq!(numbers(&mut trail), [1]);
}

#[test]
fn a_reader_beside_a_racing_logger_sees_each_line_once() {
    let mut log = Logger::new("race");
    let mut trail = Trail::all(&log.dir);
    let (done, is_done) = std::sync::mpsc::channel();
    let writer = std::thread::spawn(move || {
        for _ in 0..20_000 {
            log.line();
            if log.size > 3000 {
                log.rotate();
            }
        }
        done.send(()).unwrap();
        log
    });
    let mut seen = Vec::new();
    loop {
        let over = is_done.try_recv().is_ok();
        seen.extend(numbers(&mut trail));
        if over {
            break;
        }
    }
    drop(writer.join().unwrap());
    assert!(
        seen.iter().copied().eq(1..=20_000),
        "{} lines, first wrong at {:?}",
        seen.len(),
        seen.iter()
            .zip(1..)
            .find(|(seen, wanted)| **seen != *wanted)
    );
}
