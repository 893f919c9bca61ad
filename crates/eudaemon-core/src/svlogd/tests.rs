use super::*;
use crate::time::Wall;
use alloc::vec;

#[test]
fn patterns_match_as_the_original_has_it() {
    // Observed with Debian's svlogd 2.1.2-54.
    for (pattern, text, said) in [
        ("a+b", "ab", true),
        ("a+b", "abb", true),
        ("a+b", "a", false),
        ("+a", "aaa", true),
        ("+a", "", false),
        ("+ab", "aab", true),
        ("+ab", "aa", true),
        ("+abc", "aaab", false),
        ("+aab", "aab", false),
        ("+aa", "aa", true),
        ("+aa", "aab", false),
        ("+", "", true),
        ("+", "+", false),
        ("++", "++", true),
        ("x+", "x", true),
        ("x+", "xx", false),
        ("+*", "**", true),
        ("+*", "x", false),
        ("*+a", "xaa", false),
        ("*x+a", "bxaa", true),
        ("* +b", "a bbb", true),
        ("+a*", "aab", true),
        ("**", "x*y", true),
        ("**", "xy", false),
        ("*b", "abab", false),
        ("", "", true),
        ("", "x", false),
        ("*", "", true),
    ] {
        let seen = matches(pattern.as_bytes(), text.as_bytes());
        assert_eq!(seen, said, "{pattern:?} {text:?}");
    }
}

#[test]
fn a_config_is_read_line_by_line() {
    let text = b"s100k\nn3\n\n#s5\nN2\nt5m\npPRE: \n!cat\nbogus\nu1.2.3.4:55\nU1.2.3\nu1.2.3.4:0";
    let (config, complaints) = Config::parse(text);
    assert_eq!(config.size_bytes, 102_400);
    assert_eq!((config.keep, config.keep_min), (3, 2));
    assert_eq!(config.age, Some(core::time::Duration::from_secs(300)));
    assert_eq!(config.prefix, b"PRE: ");
    assert_eq!(config.processor.as_deref(), Some(&b"cat"[..]));
    let receiver = Receiver {
        address: [1, 2, 3, 4],
        port: 55,
        only: false,
    };
    assert_eq!(config.receiver, Some(receiver));
    let bad = |text: &[u8]| text.to_vec();
    let expected = [
        Complaint::Address(bad(b"1.2.3")),
        Complaint::Port(bad(b"0")),
    ];
    assert_eq!(complaints, expected);
    assert_eq!(Config::parse(b"").0, Config::default());
}

#[test]
fn the_last_rule_that_matches_counts() {
    let (config, _) = Config::parse(b"-*\n+b*\n-bb\nebc*\nE*d");
    let judge = |text: &str| {
        let verdict = config.judge(text.as_bytes());
        (verdict.log, verdict.tell)
    };
    assert_eq!(judge("a"), (false, false));
    assert_eq!(judge("b"), (true, false));
    assert_eq!(judge("bb"), (false, false));
    assert_eq!(judge("bc"), (true, true));
    assert_eq!(judge("bcd"), (true, false));
}

#[derive(Default)]
struct Heard {
    logged: Vec<Vec<u8>>,
    told: Vec<u8>,
    sent: Vec<Vec<u8>>,
}

impl Sink for Heard {
    fn log(&mut self, directory: usize, bytes: &[u8]) {
        self.logged[directory].extend_from_slice(bytes);
    }
    fn tell(&mut self, line: &[u8]) {
        self.told.extend_from_slice(line);
    }
    fn send(&mut self, directory: usize, line: &[u8]) {
        assert_eq!(directory, 2);
        self.sent.push(line.to_vec());
    }
}

#[test]
fn lines_go_where_they_are_wanted_however_they_come() {
    let configs: Vec<_> = [
        &b"pP:\n-skip*\neloud*\n"[..],
        b"-*\n+lo*\n",
        b"U127.0.0.1\n",
    ]
    .iter()
    .map(|text| Some(Config::parse(text).0))
    .chain([None])
    .collect();
    let input = b"one\nskip me\nloud and long\n\nt\x01b\xff,\nlast";
    for size in 1..input.len() {
        let mut heard = Heard {
            logged: vec![Vec::new(); 4],
            ..Heard::default()
        };
        let replace = Replace {
            by: b'_',
            also: b",".to_vec(),
        };
        let mut lines = Lines::new(8, Some(replace));
        for piece in input.chunks(size) {
            lines.take(piece, "T ", &configs, &mut heard);
        }
        assert!(lines.in_line());
        lines.end(&configs, &mut heard);
        assert!(!lines.in_line());
        let logged: Vec<_> = heard
            .logged
            .iter()
            .map(|log| String::from_utf8_lossy(log))
            .collect();
        assert_eq!(
            logged[0], "T P:one\nT P:loud and long\nT P:\nT P:t_b__\nT P:last\n",
            "{size}"
        );
        assert_eq!(logged[1..], ["T loud and long\n", "", ""]);
        assert_eq!(heard.told, b"T P:loud and...\n");
        assert_eq!(heard.sent[2], b"T loud and...\n");
        assert_eq!(heard.sent[5], b"T last\n");
    }
}

#[test]
fn a_file_ends_near_its_size() {
    let finished = |config: &str, near, line: &[u8], times: usize| {
        let (config, _) = Config::parse(config.as_bytes());
        let mut fill = Fill::new(&config, near, 0);
        let input = line.repeat(times);
        let (mut rest, mut sizes) = (&input[..], Vec::new());
        while !rest.is_empty() {
            if fill.is_full() {
                sizes.push(fill.bytes());
                fill = Fill::new(&config, near, 0);
            }
            let (now, later) = rest.split_at(fill.room(rest));
            fill.wrote(now);
            rest = later;
        }
        (sizes, fill.bytes())
    };
    let line = b"12345678901234567890\n";
    // Observed with Debian's 2.1.2-54.
    assert_eq!(finished("s100", 20, line, 10), (vec![84, 84], 42));
    assert_eq!(finished("s4000", 1000, line, 300), (vec![3003, 3003], 294));
    assert_eq!(finished("s100", 1000, line, 10), (vec![100, 100], 10));
    assert_eq!(finished("s0", 1000, line, 1000), (vec![], 21_000));
    assert_eq!(
        finished("s4000", 1000, b"x", 9000),
        (vec![4000, 4000], 1000)
    );
}

#[test]
fn one_old_file_goes_at_a_time() {
    let name =
        |digit: char, end: &str| format!("@400000006b01c5791ce4186{digit}{end}").into_bytes();
    let names = vec![
        name('3', ".s"),
        name('1', ".u"),
        name('2', ".s"),
        b"current".to_vec(),
    ];
    assert_eq!(oldest(&names, &name('3', ".s"), 1), Some(&*name('2', ".s")));
    assert_eq!(oldest(&names, &name('3', ".s"), 2), None);
    // After the clock was set back.
    assert_eq!(oldest(&names, &name('2', ".s"), 1), None);
}

#[test]
fn stamps_are_utc() {
    let at = Wall::new(1_795_278_191, 477_989_999);
    assert_eq!(Stamp::None.text(at), "");
    assert_eq!(
        Stamp::default().more().more().text(at),
        "2026-11-21_16:23:11.47798 "
    );
    assert_eq!(Stamp::Letter.more().text(at), "2026-11-21T16:23:11.47798 ");
    assert_eq!(Stamp::None.more().text(at), "@400000006b01c5791c7d8c6f ");
}
