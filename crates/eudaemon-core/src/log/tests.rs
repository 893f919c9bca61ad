//! Not tested here: files, signals, pauses; they are the program's.

use super::*;
use crate::status::Dialect;
use crate::time::{Tai64n, Wall};
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

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
            Action::Deselect(b"x".to_vec()),
            Action::Select(b"y".to_vec()),
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
    for refused in ["!gzip", "wgz", "F"] {
        assert_eq!(parse(&["e", refused]), Err(Refusal(1)), "{refused}");
    }
}

#[test]
fn the_classic_dialect_knows_no_more_than_the_classic() {
    let words = [&b"T"[..], b"F", b"wgz", b"S", b"s99999999", b"./a"];
    let script = Script::parse(words, Dialect::Classic).expect("all else is passed over");
    assert_eq!(script.stamp, Stamp::None);
    assert_eq!(script.actions, [Action::Log(0)]);
    assert_eq!(script.directories[0].size_bytes, 16_777_215);
    assert_eq!(
        Script::parse([&b"!x"[..]], Dialect::Classic),
        Err(Refusal(0))
    );
}

#[test]
fn stamps_read_as_the_familys() {
    let at = Wall::new(1_795_184_419, 38_513_999);
    assert_eq!(Stamp::None.text(at), b"");
    assert_eq!(Stamp::Tai64n.text(at), b"@400000006b00572d024bad4f ");
    // Source: specification §1: exactly six digits.
    assert_eq!(Stamp::Accustamp.text(at), b"1795184419.038513 ");
}

#[derive(Default)]
struct Heard {
    logs: Vec<Vec<u8>>,
    told: Vec<String>,
    kept: Vec<usize>,
}

impl Sink for Heard {
    fn log(&mut self, directory: usize, bytes: &[u8]) {
        self.logs[directory].extend_from_slice(bytes);
    }
    fn tell(&mut self, line: &[u8], more: bool) {
        let dots = if more { "..." } else { "" };
        self.told
            .push(String::from_utf8_lossy(line).to_string() + dots);
    }
    fn keep(&mut self, _file: usize, head: &[u8]) {
        self.kept.push(head.len());
    }
}

/// Feeds the input in pieces of this size, each line stamped, and ends it.
fn sort(words: &[&str], input: &[u8], piece: usize, stamp: &str) -> Heard {
    let script = parse(words).expect("a script");
    let mut heard = Heard {
        logs: vec![Vec::new(); script.directories.len()],
        ..Heard::default()
    };
    let mut sorter = Sorter::new(&script);
    for piece in input.chunks(piece) {
        sorter.take(piece, stamp.as_bytes(), &mut heard);
    }
    sorter.end(&mut heard);
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
        let script = parse(words).expect("a script");
        let mut heard = Heard {
            logs: vec![Vec::new()],
            ..Heard::default()
        };
        let mut sorter = Sorter::new(&script);
        sorter.take(b"one\ntwo", b"", &mut heard);
        // So that a rotation now, for ALRM, does not part it.
        assert_eq!(heard.logs, [b"one\n"], "{words:?}");
        assert!(sorter.in_line());
        sorter.take(&[b'x'; HEAD_SIZE], b"", &mut heard);
        assert_eq!(heard.logs[0].len(), 4 + 3 + HEAD_SIZE, "{words:?}");
        sorter.take(b"y", b"", &mut heard);
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

#[test]
fn the_newline_is_found_wherever_it_is() {
    for length in 0..40 {
        for at in 0..=length {
            let mut bytes = vec![0x8au8; length];
            if let Some(byte) = bytes.get_mut(at) {
                *byte = b'\n';
            }
            let plainly = bytes.iter().position(|&byte| byte == b'\n');
            assert_eq!(sorter::newline(&bytes), plainly, "{length} {at}");
            // A neighbour one above the sought byte must not be taken for it.
            bytes.fill(b'\n' + 1);
            assert_eq!(sorter::newline(&bytes), None);
        }
    }
}

/// The sizes of the files that `input` makes when it comes in pieces of this size.
fn sizes(size: u64, input: &[u8], piece: usize) -> Vec<u64> {
    let mut fill = Fill::new(size, 0);
    let mut sizes = Vec::new();
    for mut waiting in input.chunks(piece) {
        while let Some(next) = fill.next(waiting) {
            match next {
                Next::Write(count) => {
                    assert!(count > 0);
                    let (now, later) = waiting.split_at(count);
                    fill.wrote(now);
                    waiting = later;
                }
                Next::Rotate => {
                    sizes.push(fill.bytes());
                    fill.rotated();
                }
            }
        }
    }
    sizes.push(fill.bytes());
    sizes
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
    assert_eq!(Fill::new(4096, 4096).next(b"x"), Some(Next::Rotate));
    assert_eq!(Fill::new(4096, 9999).next(b""), Some(Next::Rotate));
    assert_eq!(Fill::new(4096, 4095).next(b"xy"), Some(Next::Write(1)));
    assert_eq!(Fill::new(4096, 3000).next(b""), None);
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

#[test]
fn stamps_grow_even_when_the_clock_does_not() {
    let stamp =
        |names: &[&str], secs| next_stamp(names.iter().map(|n| n.as_bytes()), Wall::new(secs, 0));
    let now = Tai64n::from_wall(Wall::new(1000, 0));
    assert_eq!(stamp(&["current", "@x", "lock"], 1000), now);
    let there = now.to_string() + ".s";
    assert_eq!(stamp(&[&there], 1000), Tai64n { nanos: 1, ..now });
    assert_eq!(stamp(&[&there], 5), Tai64n { nanos: 1, ..now });
    assert_eq!(
        stamp(&[&there], 1001),
        Tai64n::from_wall(Wall::new(1001, 0))
    );
    let last = Tai64n {
        nanos: 999_999_999,
        ..now
    }
    .to_string()
        + ".u";
    assert_eq!(
        stamp(&[&there, &last], 5),
        Tai64n {
            label: now.label + 1,
            nanos: 0
        }
    );
    let beyond = Tai64n {
        label: u64::MAX,
        nanos: 0,
    }
    .to_string()
        + ".s";
    assert_eq!(stamp(&[&beyond], 1000), now);
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
    let gone = |newest: &str, number| {
        surplus(
            names.iter().map(|name| name.as_bytes()),
            newest.as_bytes(),
            number,
        )
        .iter()
        .map(|name| char::from(name[1]))
        .collect::<Vec<_>>()
    };
    assert_eq!(gone(&names[0], 4), []);
    assert_eq!(gone(&names[0], 3), ['1']);
    assert_eq!(gone(&names[0], 2), ['1', '2']);
    // The clock was set back: the newest has the smallest name.
    assert_eq!(gone(&names[1], 3), ['2']);
    assert_eq!(gone(&names[1], 2), ['2', '3']);
}
