//! Not tested here: files, signals, pauses; they are the program's.

use super::*;
use crate::scan::Id;
use crate::status::Dialect;
use crate::time::{Tai64n, Wall};
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

#[test]
fn patterns_match_as_the_originals() {
    let yes = [
        ("", ""),
        ("one", "one"),
        ("one*", "one"),
        ("one*", "onetwo"),
        ("* one", "x one"),
        ("*one*", "xone"),
        ("*", ""),
        ("a*b", "axxb"),
        // Observed with Debian's multilog 0.76-8.1.
        ("**", "x*bzz"),
        ("**a", "*a"),
        ("****", "*"),
        ("a**", "a*"),
        ("**b*", "x*b"),
    ];
    let no = [
        ("", "x"),
        ("one", "onetwo"),
        ("one", "on"),
        ("* one", "  one"),
        ("a*b", "axbxb"),
        ("**", "x"),
        ("**a", "a"),
        ("*a", "b"),
    ];
    for (pattern, text) in yes {
        assert!(
            matches(pattern.as_bytes(), text.as_bytes()),
            "{pattern} {text}"
        );
    }
    for (pattern, text) in no {
        assert!(
            !matches(pattern.as_bytes(), text.as_bytes()),
            "{pattern} {text}"
        );
    }
}

fn parse(words: &[&str]) -> Result<Script, Refusal> {
    Script::parse(words.iter().map(|word| word.as_bytes()), Dialect::Auto)
}

#[test]
fn a_script_is_read_in_order() {
    let script = parse(&[
        "tfoo",
        "s1",
        "n1",
        "./a",
        "s99999999999999999999",
        "n3",
        "/b",
        "-x",
        "+y",
        "=f",
        "e",
    ])
    .expect("all are known");
    assert_eq!(script.stamp, Stamp::Tai64n);
    let sizes: Vec<_> = script
        .directories
        .iter()
        .map(|d| (d.size_bytes, d.number))
        .collect();
    assert_eq!(sizes, [(4096, 2), (2_147_483_647, 3)]);
    assert_eq!(
        script.actions,
        [
            Action::Log(0),
            Action::Log(1),
            Action::Deselect(Pattern::Simple(b"x".to_vec())),
            Action::Select(Pattern::Simple(b"y".to_vec())),
            Action::Keep(0),
            Action::Tell,
        ]
    );
    let plain = parse(&["./a", "t", "zz", ""]).expect("what nobody defined is passed over");
    assert_eq!((plain.stamp, plain.actions.len()), (Stamp::None, 1));
    assert_eq!(
        (plain.directories[0].size_bytes, plain.directories[0].number),
        (99_999, 10)
    );
    assert_eq!(
        parse(&["T"]).map(|script| script.stamp),
        Ok(Stamp::Accustamp)
    );
}

#[test]
fn settings_hold_for_the_directories_behind_them() {
    let script = parse(&[
        "%stamp=rfc3339",
        "./a",
        "!wc",
        "wx",
        "%total=10m",
        "%age=2h",
        "%sync=200ms",
        "%backlog=7",
        "%full=drop",
        "./b",
        "!",
        "w",
        "%total=0",
        "%sync=0",
        "%full=block",
        "%gzip",
        "./c",
        "%keep=last",
        "%syslog",
        "%journal=/socket",
        "F",
        "-[ab]",
        "S",
        "+[ab]",
    ])
    .expect("all make sense");
    assert_eq!(script.stamp, Stamp::Rfc3339);
    let [a, b, c] = script.directories.as_slice() else {
        panic!("three directories");
    };
    assert_eq!(
        (a.code.as_slice(), &a.processor, a.sync),
        (&b"s"[..], &None, Some(Duration::from_secs(1)))
    );
    assert_eq!(b.processor, Some(Processor::Command(b"wc".to_vec())));
    assert_eq!(
        (b.code.as_slice(), b.total_bytes, b.backlog),
        (&b"x"[..], Some(10 << 20), 7)
    );
    assert_eq!(
        (b.age, b.sync),
        (
            Some(Duration::from_secs(7200)),
            Some(Duration::from_millis(200))
        )
    );
    assert_eq!(
        (c.code.as_slice(), &c.processor),
        (&b"gz"[..], &Some(Processor::Gzip))
    );
    assert_eq!((c.total_bytes, c.sync), (None, None));
    assert_eq!([a.drops, b.drops, c.drops], [false, true, false]);
    assert_eq!(
        script.files,
        [Keep {
            path: b"last".to_vec(),
            replaced: true
        }]
    );
    let receivers: Vec<_> = script
        .receivers
        .iter()
        .map(|one| (one.path.as_slice(), one.form))
        .collect();
    assert_eq!(
        receivers,
        [
            (&b"/dev/log"[..], Form::Syslog),
            (b"/socket", Form::Journal)
        ]
    );
    assert_eq!(
        script.actions[6..],
        [
            Action::Deselect(Pattern::Glob(b"[ab]".to_vec())),
            Action::Select(Pattern::Simple(b"[ab]".to_vec())),
        ]
    );
    for senseless in [
        "%what",
        "%total",
        "%total=x",
        "%age=1y",
        "%backlog=0",
        "%full=maybe",
        "%gzip=9",
        "%keep=",
        "wa/b",
        "%stamp=rfc3339",
    ] {
        assert_eq!(parse(&["e", senseless]), Err(Refusal(1)), "{senseless}");
    }
}

#[test]
fn the_classic_dialect_knows_no_more_than_the_classic() {
    let words = [
        &b"T"[..],
        b"F",
        b"wgz",
        b"S",
        b"s99999999",
        b"%gzip",
        b"-[a]",
        b"!x",
        b"./a",
    ];
    let script = Script::parse(words, Dialect::Classic).expect("all else is passed over");
    assert_eq!(script.stamp, Stamp::None);
    assert_eq!(
        script.actions,
        [
            Action::Deselect(Pattern::Simple(b"[a]".to_vec())),
            Action::Log(0)
        ]
    );
    let directory = &script.directories[0];
    assert_eq!(
        (directory.size_bytes, directory.code.as_slice()),
        (16_777_215, &b"s"[..])
    );
    assert_eq!(directory.processor, Some(Processor::Command(b"x".to_vec())));
}

#[derive(Default)]
struct Heard {
    logs: Vec<Vec<u8>>,
    told: Vec<String>,
    kept: Vec<usize>,
}

impl Aside for Heard {
    fn tell(&mut self, line: &[u8], more: bool) {
        let dots = if more { "..." } else { "" };
        self.told
            .push(String::from_utf8_lossy(line).to_string() + dots);
    }
    fn keep(&mut self, _file: usize, head: &[u8]) {
        self.kept.push(head.len());
    }
    fn send(&mut self, _receiver: usize, head: &[u8]) {
        self.kept.push(head.len());
    }
}

/// Writes what the sorter has, as the program does.
fn write(sorter: &mut Sorter, piece: &[u8], logs: &mut [Vec<u8>]) {
    for (log, lane) in logs.iter_mut().zip(sorter.lanes()) {
        log.extend_from_slice(&piece[..sorter.as_is()]);
        log.extend_from_slice(lane.bytes());
    }
    sorter.written();
}

fn feed(sorter: &mut Sorter, input: &[u8], stamp: &[u8], heard: &mut Heard) {
    let mut rest = input;
    while !rest.is_empty() {
        for at in 0..heard.logs.len() {
            if sorter.is_due(at) {
                sorter.begins(at, Fill::new(99_999, 0));
            }
        }
        let taken = sorter.take(rest, stamp, heard);
        assert!(taken > 0);
        write(sorter, &rest[..taken], &mut heard.logs);
        rest = &rest[taken..];
    }
}

fn sorter(words: &[&str]) -> (Sorter, Heard) {
    let script = parse(words).expect("a script");
    let fills = script.directories.iter().map(|_| Fill::new(99_999, 0));
    let heard = Heard {
        logs: vec![Vec::new(); script.directories.len()],
        ..Heard::default()
    };
    (Sorter::new(&script, fills), heard)
}

/// Feeds the input in pieces of this size, each line stamped, and ends it.
fn sort(words: &[&str], input: &[u8], piece: usize, stamp: &str) -> Heard {
    let (mut sorter, mut heard) = sorter(words);
    for piece in input.chunks(piece) {
        feed(&mut sorter, piece, stamp.as_bytes(), &mut heard);
    }
    sorter.end(&mut heard);
    write(&mut sorter, b"", &mut heard.logs);
    assert!(!sorter.in_line());
    heard
}

#[test]
fn lines_go_where_they_are_selected_whatever_the_pieces() {
    for piece in [1, 2, 7, 1000] {
        let heard = sort(
            &["./all", "-*b*", "./nob", "+ab", "./ab", "e"],
            b"a\nb\nab\n\nc",
            piece,
            "",
        );
        assert_eq!(
            heard.logs,
            [&b"a\nb\nab\n\nc\n"[..], b"a\n\nc\n", b"a\nab\n\nc\n"]
        );
        assert_eq!(heard.told, ["a", "ab", "", "c"]);
        let plain = sort(&["./a", "./b"], b"a\nb\n\0\nc", piece, "");
        assert_eq!(plain.logs, [b"a\nb\n\0\nc\n", b"a\nb\n\0\nc\n"]);
        let stamped = sort(&["t", "-? b", "./a"], b"a\nb\n\nc", piece, "? ");
        assert_eq!(stamped.logs, [b"? a\n? \n? c\n"]);
    }
}

#[test]
fn an_unfinished_line_is_held_back_until_its_head_is_known() {
    for words in [&["./a"][..], &["+x", "./a"]] {
        let (mut sorter, mut heard) = sorter(words);
        feed(&mut sorter, b"one\ntwo", b"", &mut heard);
        // So that a rotation now, for ALRM, does not part it.
        assert_eq!(heard.logs, [b"one\n"], "{words:?}");
        assert!(sorter.in_line());
        feed(&mut sorter, &[b'x'; HEAD_SIZE], b"", &mut heard);
        assert_eq!(heard.logs[0].len(), 4 + 3 + HEAD_SIZE, "{words:?}");
        feed(&mut sorter, b"y", b"", &mut heard);
        assert_eq!(heard.logs[0].last(), Some(&b'y'), "{words:?}");
        assert!(sorter.in_line());
    }
}

#[test]
fn only_a_head_of_a_line_is_judged_and_all_of_it_is_logged() {
    for length in [0, 199, 200, 201, 999, 1000, 1001, 5000] {
        for piece in [1, 999, 1000, 1001, 100_000] {
            let mut input = vec![b'x'; length];
            input.extend_from_slice(b"\nz\n");
            let heard = sort(&["-*y", "=f", "e", "./a"], &input, piece, "");
            assert_eq!(heard.logs, [input.as_slice()], "{length} {piece}");
            assert_eq!(heard.kept, [length.min(HEAD_SIZE), 1], "{length} {piece}");
            let dots = if length > TOLD_SIZE { "..." } else { "" };
            assert_eq!(
                heard.told[0],
                "x".repeat(length.min(TOLD_SIZE)) + dots,
                "{length} {piece}"
            );
        }
    }
    // The byte that would make the pattern match is the 1001st.
    let mut input = vec![b'x'; 1000];
    input.extend_from_slice(b"y\n");
    assert_eq!(
        sort(&["-*y", "./a"], &input, 64, "").logs,
        [input.as_slice()]
    );
}

/// The sizes of the files that `input` makes when it comes in pieces of this size, whichever way the lines are treated.
fn sizes(size: u64, input: &[u8], piece: usize) -> Vec<u64> {
    let ways = [&["./a"][..], &["t", "./a"], &["-?", "./a"]].map(|words| {
        let (mut sorter, mut heard) = sorter(words);
        sorter.begins(0, Fill::new(size, 0));
        let mut sizes = Vec::new();
        let mut written = Vec::new();
        for piece in input.chunks(piece) {
            let mut rest = piece;
            while !rest.is_empty() {
                if sorter.is_due(0) || sorter.is_finished(0) {
                    sizes.push(heard.logs[0].len() as u64);
                    written.append(&mut heard.logs[0]);
                    sorter.begins(0, Fill::new(size, 0));
                }
                let taken = sorter.take(rest, b"", &mut heard);
                assert!(taken > 0);
                write(&mut sorter, &rest[..taken], &mut heard.logs);
                rest = &rest[taken..];
            }
        }
        sizes.push(heard.logs[0].len() as u64);
        if sorter.is_finished(0) {
            sizes.push(0);
        }
        written.append(&mut heard.logs[0]);
        assert!(input.starts_with(&written) && input.len() < written.len() + HEAD_SIZE);
        sizes
    });
    assert!(ways.iter().all(|way| *way == ways[0]), "{ways:?}");
    ways[0].clone()
}

#[test]
fn files_end_with_a_line_near_their_size_or_at_it() {
    for piece in [1, 10, 512, 4096, 1_000_000] {
        let lines = b"123456789\n".repeat(1000);
        // 2096 is the window's start: the first line that ends at or behind it ends the file.
        assert_eq!(
            sizes(4096, &lines, piece),
            [2100, 2100, 2100, 2100, 1600],
            "{piece}"
        );
        assert_eq!(
            sizes(4096, &[b'x'; 10_000], piece),
            [4096, 4096, 1808],
            "{piece}"
        );
        // A line end before the window is not enough; the long line behind it is split at the size.
        let mut mixed = b"123456789\n".repeat(200);
        mixed.extend_from_slice(&[b'x'; 3000]);
        mixed.push(b'\n');
        assert_eq!(sizes(4096, &mixed, piece), [4096, 905], "{piece}");
    }
    // Exactly at the window, and one byte before it.
    let mut exact = vec![b'x'; 2095];
    exact.extend_from_slice(b"\ny\n");
    assert_eq!(sizes(4096, &exact, 100), [2096, 2]);
    exact.remove(0);
    assert_eq!(sizes(4096, &exact, 100), [2097, 0]);
}

#[test]
fn a_file_found_full_is_rotated_before_anything_is_written() {
    for (bytes, in_line, due) in [
        (4096, false, true),
        (4096, true, true),
        (9999, false, true),
        // A head of a thousand bytes and a newline fit, or not.
        (3095, false, false),
        (3096, false, true),
        (4095, true, false),
        (0, false, false),
    ] {
        assert_eq!(Fill::new(4096, bytes).is_due(in_line), due, "{bytes}");
    }
}

#[test]
fn what_a_crash_left_is_told_by_the_modes() {
    use Repair::{Append, Finish, Make, Remove};
    let start =
        |current, processed| recover(Found::from_mode(current), Found::from_mode(processed));
    for processed in [None, Some(0o644), Some(0o744)] {
        assert_eq!(start(Some(0o744), processed), [Append]);
    }
    for current in [None, Some(0o644), Some(0o600)] {
        assert_eq!(
            start(current, Some(0o744)),
            [
                Remove(Name::State),
                Remove(Name::NewState),
                Remove(Name::Previous),
                Finish(Name::Processed, Code::Safe),
                Finish(Name::Current, Code::Unfinished),
                Make(Name::State),
                Append,
            ]
        );
        for processed in [None, Some(0o644)] {
            assert_eq!(
                start(current, processed)[2..5],
                [
                    Remove(Name::Processed),
                    Finish(Name::Previous, Code::Unfinished),
                    Finish(Name::Current, Code::Unfinished),
                ]
            );
        }
    }
}

fn shelf(names: &[&str]) -> Shelf {
    Shelf::new(names.iter().map(|name| Volume {
        name: name.as_bytes().to_vec(),
        size_bytes: 10,
    }))
}

#[test]
fn a_file_is_named_later_than_all_there_are() {
    let now = Wall::new(100, 5);
    let stamp = |at| Tai64n::from_wall(at);
    let next = |names: &[Vec<u8>], now| next_stamp(names.iter().map(Vec::as_slice), now);
    let named = |at| vec![(stamp(at).to_string() + ".s").into_bytes(), b"@x".to_vec()];
    assert_eq!(next(&named(Wall::new(99, 9)), now), stamp(now));
    assert_eq!(next(&named(now), now), stamp(Wall::new(100, 6)));
    let last = Wall::new(300, 999_999_999);
    assert_eq!(next(&named(last), now), stamp(Wall::new(301, 0)));
    let beyond = vec![b"@ffffffffffffffff00000000.s".to_vec()];
    assert_eq!(next(&beyond, now), stamp(now));
}

#[test]
fn stamps_grow_even_when_the_clock_does_not() {
    let stamp = |names: &[&str], secs| shelf(names).stamp(Wall::new(secs, 0));
    let now = Tai64n::from_wall(Wall::new(1000, 0));
    assert_eq!(stamp(&["current", "@x", "lock"], 1000), now);
    let there = now.to_string() + ".s";
    assert_eq!(stamp(&[&there], 1000), Tai64n { nanos: 1, ..now });
    assert_eq!(stamp(&[&there], 5), Tai64n { nanos: 1, ..now });
    assert_eq!(
        stamp(&[&there], 1001),
        Tai64n::from_wall(Wall::new(1001, 0))
    );
    let nanos = 999_999_999;
    let last = Tai64n { nanos, ..now }.to_string() + ".u";
    let mut shelf_of_two = shelf(&[&there, &last]);
    let next = Tai64n {
        label: now.label + 1,
        nanos: 0,
    };
    assert_eq!(shelf_of_two.stamp(Wall::new(5, 0)), next);
    // One that was given away counts too.
    assert_eq!(
        shelf_of_two.stamp(Wall::new(5, 0)),
        Tai64n { nanos: 1, ..next }
    );
    let beyond = Tai64n {
        label: u64::MAX,
        nanos: 0,
    };
    assert_eq!(stamp(&[&(beyond.to_string() + ".s")], 1000), now);
}

#[test]
fn the_oldest_go_and_never_the_newest() {
    let name = |digit: char, tail: &str| ["@", &digit.to_string().repeat(24), tail].concat();
    let names = [
        name('3', ".s"),
        name('1', ".u"),
        "@short".to_string(),
        name('2', ".s"),
        "current".to_string(),
    ];
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let gone = |number, total| {
        let mut shelf = shelf(&names);
        core::iter::from_fn(|| shelf.surplus(number, total))
            .map(|volume| char::from(volume.name[1]))
            .collect::<Vec<_>>()
    };
    assert_eq!(gone(4, None), []);
    assert_eq!(gone(3, None), ['1']);
    assert_eq!(gone(2, None), ['1', '2']);
    assert_eq!(gone(0, None), ['1', '2']);
    assert_eq!(gone(9, Some(30)), []);
    assert_eq!(gone(9, Some(29)), ['1']);
    assert_eq!(gone(9, Some(0)), ['1', '2']);
    let mut shelf = shelf(&names);
    assert!(shelf.holds(names[3].as_bytes()));
    assert!(shelf.rename(
        names[3].as_bytes(),
        b"@222222222222222222222222.gz",
        Some(3)
    ));
    assert!(!shelf.holds(names[3].as_bytes()));
    assert_eq!(shelf.surplus(9, Some(23)), None);
    let (one, other) = (name('4', ".u"), name('4', ".gz"));
    for both in [[&*one, &*other], [&*other, &*one]] {
        let mut shelf = self::shelf(&both);
        assert!(both.iter().all(|name| shelf.holds(name.as_bytes())));
        assert!(shelf.rename(one.as_bytes(), other.as_bytes(), None));
        assert!(!shelf.holds(one.as_bytes()));
        assert_eq!(shelf.surplus(0, Some(0)), None, "one is left");
    }
}

#[test]
fn an_intent_is_read_as_it_was_written_and_not_at_all_if_it_is_torn() {
    let memory = |place, length| Memory {
        place,
        head: vec![b'h'; length],
        chosen: Vec::new(),
    };
    let id = |dev| Id { dev, ino: u64::MAX };
    for evidence in [
        Evidence::Odometer(id(5), 77),
        Evidence::Position(u64::MAX),
        Evidence::Content {
            hash: 3,
            repeated: true,
        },
    ] {
        let intent = Intent {
            sequence: 9,
            input: Input {
                boot: [7; 16],
                id: id(1),
            },
            length: 65_536,
            evidence,
            current: id(2),
            size_bytes: 1 << 40,
            adds_bytes: 100,
            before: memory(Place::Head, HEAD_SIZE),
            after: Memory {
                place: Place::Tail,
                head: Vec::new(),
                chosen: vec![false],
            },
        };
        let mut bytes = Vec::new();
        intent.encode(&mut bytes);
        assert!(bytes.len() <= INTENT_SIZE);
        bytes.resize(INTENT_SIZE, 0xee);
        assert_eq!(Intent::decode(&bytes), Some(intent));
        for at in [0, 8, 20, 100, 200, 1100] {
            let mut torn = bytes.clone();
            torn[at] ^= 1;
            assert_eq!(Intent::decode(&torn), None, "{at}");
        }
        assert_eq!(Intent::decode(&bytes[..500]), None);
    }
    assert_eq!(Intent::decode(&[0; INTENT_SIZE]), None);
}

#[test]
fn different_pieces_have_different_hashes() {
    let mut seen = Vec::new();
    for length in 0..100 {
        let mut bytes = vec![b'y'; length];
        seen.push(hash(&bytes));
        for at in 0..length {
            bytes[at] ^= 1;
            seen.push(hash(&bytes));
            bytes[at] ^= 1;
        }
    }
    let all = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), all);
}
