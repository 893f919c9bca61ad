//! tai64n, tai64nlocal, tai64nfrac: every byte of the output, over zones, changes of clocks and years far away.
//!
//! Not compared: stamps tai64nlocal 0.76 crashes on, or says nothing of because no byte follows them (ours keeps them, or
//! shows them); years before 0 and after 2147483647, which it shows as numbers around 2^64; summer time after the year
//! 5,000,000 (glibc 2.36 is an hour wrong there); `TZ` with summer time and no rules for it, which glibc takes from a file
//! of past years; `right/` zones, which count leap seconds. Of tai64nfrac and matchtest there is no original here.

use eudaemon_lab::{Subject, World, bins, both};
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

/// The label of 1970 in the family's reckoning. Source: specification §1.
const EPOCH: i64 = 4_611_686_018_427_387_914;

fn stamp(secs: i64, nanos: u32) -> String {
    format!("@{:016x}{nanos:08x}", EPOCH.wrapping_add(secs))
}

/// Numbers that look random and are always the same. Source: G. Steele et al., SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % most
    }
    fn between(&mut self, from: i64, until: i64) -> i64 {
        from + i64::try_from(self.below(until.abs_diff(from))).expect("a span of years")
    }
}

#[test]
fn tai64nlocal_shows_what_the_original_shows() {
    both("tai64nlocal-lines", |s| {
        let input = "@400000000000000a000001f4 x\n@4000000000000009000001f4 x\n\
            @3fffffff00000000000001f4 x\n@400000000000000affffffff x\n\
            @00000000400000000000000a000001f4 x\nplain\n\n@400000000000000a000001f4z\n x @400000000000000a000001f4\n\
            @400000000000000a000001f4\n@400000f00000000a00000000 x\n@400000006b01bc002ade4804\tx\n\
            no newline";
        for zone in [
            "UTC",
            "America/New_York",
            "Australia/Lord_Howe",
            "Nowhere/At_All",
        ] {
            let played = s.play_with("tai64nlocal", "", &[("TZ", zone)], input.as_bytes());
            assert_eq!(played.code, 0);
        }
        s.play_with("tai64nlocal -x words", "", &[], input.as_bytes());
        s.play_with("tai64nlocal", "", &[], b"");
        let missing = [("TZ", "Europe/Berlin"), ("TZDIR", "/nonexistent")];
        s.play_with("tai64nlocal", "", &missing, input.as_bytes());
    });
}

#[test]
fn a_stamp_that_cannot_be_shown_stays() {
    let Some(ours) = bins(Subject::Ours) else {
        return;
    };
    let world = World::new("tai64nlocal-unchanged");
    let input = "@\n@ x\n@z\n@4000 x\n@400000000000000A000001f4 x\n@400000000000000a000001f4a\n\
        @7fffffffffffffff00000000 y\n@ffffffffffffffff00000000 y\n@000000000000000000000000 x\n@40";
    let env = [("TZ", "Asia/Tokyo")];
    let shown = world.run_with(ours, &["tai64nlocal"], "", &env, input.as_bytes());
    assert_eq!((shown.out.as_str(), shown.code), (input, 0));
    // The original ends without a word of it.
    let last = stamp(0, 5);
    let shown = world.run_with(ours, &["tai64nlocal"], "", &env, last.as_bytes());
    assert_eq!(shown.out, "1970-01-01 09:00:00.000000005");
}

/// Stamps of all kinds: of this age hour by hour and at the edges of hours, of the last centuries, of all years there are.
fn stamps(dice: &mut Dice) -> String {
    let mut lines = String::new();
    for _ in 0..300 {
        let moments = [
            dice.between(-300_000, 700_000) * 3600 + dice.between(-1, 2),
            dice.between(-5_000_000_000, 5_000_000_000),
            dice.between(-62_167_000_000, 300_000_000_000),
            dice.between(300_000_000_000, 150_000_000_000_000),
        ];
        for at in moments {
            let nanos = u32::try_from(dice.below(1_000_000_000)).expect("below 2^32");
            let text = "x".repeat(usize::try_from(dice.below(90)).expect("below 90"));
            let _infallible = writeln!(lines, "{} {text}", stamp(at, nanos));
        }
    }
    lines
}

#[test]
fn random_stamps_in_every_kind_of_zone_are_shown_alike() {
    let (Some(djb), Some(ours)) = (bins(Subject::Djb), bins(Subject::Ours)) else {
        return;
    };
    let world = World::new("tai64nlocal-random");
    let mut dice = Dice(1);
    for zone in [
        "",
        ":",
        "UTC",
        "Europe/Berlin",
        ":Europe/London",
        "/usr/share/zoneinfo/Asia/Tokyo",
        "America/New_York",
        "America/Sao_Paulo",
        "Asia/Tehran",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Africa/Casablanca",
        "Africa/Monrovia",
        "America/Scoresbysund",
        "Antarctica/Troll",
        "Europe/Dublin",
        "Pacific/Apia",
        "Pacific/Kwajalein",
        "EST5EDT",
        "FOO5",
        "<+0330>-3:30",
        "EST+5:30:15",
        "CET-1CEST,M3.5.0,M10.5.0/3",
        "NZST-12NZDT,M9.5.0,M4.1.0/3",
        "<-03>3<-02>,M3.5.0/-2,M10.5.0/-1",
        "IST-2IDT,M3.4.4/26,M10.5.0",
        "EST5EDT,J60,J300",
        "PST8PDT7:30,M4.1.0,M10.5.0",
        "garbage!",
        "Europe",
        "nowhere",
    ] {
        let lines = stamps(&mut dice);
        let show = |bins| {
            world.run_with(
                bins,
                &["tai64nlocal"],
                "",
                &[("TZ", zone)],
                lines.as_bytes(),
            )
        };
        let (expected, seen) = (show(djb), show(ours));
        assert_eq!((expected.code, seen.code), (0, 0), "TZ={zone}");
        let mut pairs = lines
            .lines()
            .zip(expected.out.lines().zip(seen.out.lines()));
        let other = pairs.find(|(_, (expected, seen))| expected != seen);
        assert_eq!(other, None, "TZ={zone}");
        assert_eq!(expected.out.len(), seen.out.len(), "TZ={zone}");
    }
}

#[test]
fn tai64n_stamps_lines_and_adds_nothing_else() {
    both("tai64n-lines", |s| {
        for input in [&b"a\n\nb"[..], b"", b"\n", b"one\ntwo\n", b"\0\xff\n"] {
            let outcome = s.run_with(s.service, &["tai64n"], "", &[], input);
            let mut shape = String::new();
            for line in outcome.out.split_inclusive('\n') {
                let (stamp, text) = line.split_at(26);
                let digits = stamp.bytes().filter(u8::is_ascii_hexdigit).count();
                shape += &format!("{}{digits}{}{text:?}", &stamp[..1], &stamp[25..]);
            }
            s.note(&format!("{} {shape}", outcome.code));
        }
        s.note(&format!(
            "{}",
            s.play_with("tai64n -x y", "", &[], b"").code
        ));
        for program in ["tai64n", "tai64nlocal"] {
            let script =
                format!("{program} < / ; echo $?; echo x | {program} > /dev/full; echo $?");
            let said = s.run(s.service, &["sh", "-c", &script]);
            s.note(&(said.out + &said.err));
        }
    });
}

#[test]
fn tai64n_stamps_a_line_when_its_first_byte_comes() {
    let (Some(djb), Some(ours)) = (bins(Subject::Djb), bins(Subject::Ours)) else {
        return;
    };
    for bins in [djb, ours] {
        let world = World::new("tai64n-first");
        let made = world.run(bins, &["mkfifo", "in"]);
        assert_eq!(made.code, 0, "{}", made.err);
        let mut input = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(world.path("in"))
            .expect("a FIFO");
        let program = bins.program("tai64n".as_ref());
        let script = format!("exec {} <in", program.display());
        let running = world.start(bins, &["sh", "-c", &script]);
        let soon = |what: &str, seen: &dyn Fn() -> bool| {
            assert!(eudaemon_lab::until(Duration::from_secs(15), seen), "{what}");
        };
        // Half a line is there before its end is.
        input.write_all(b"half").expect("a FIFO takes bytes");
        soon("half a line", &|| running.out().ends_with(" half"));
        let before = running.out();
        let second = now();
        soon("the next second", &|| now() > second + 1);
        input
            .write_all(b" whole\nnext")
            .expect("a FIFO takes bytes");
        soon("the next line", &|| running.out().ends_with(" next"));
        let out = running.out();
        assert!(out.starts_with(&format!("{before} whole\n@")), "{out:?}");
        let label = |line: &str| i64::from_str_radix(&line[1..17], 16).expect("a label");
        let labels: Vec<_> = out.lines().map(label).collect();
        assert!(
            labels[0] <= EPOCH + second && labels[1] > EPOCH + second,
            "{out:?}"
        );
    }
}

/// Unix seconds.
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_secs()).expect("a date")
}

#[test]
fn tai64nfrac_shows_seconds() {
    let Some(ours) = bins(Subject::Ours) else {
        return;
    };
    let world = World::new("tai64nfrac");
    let input = format!(
        "{} x\nplain\n{}\n@40 y\n{}",
        stamp(0, 5),
        stamp(1_795_275_766, 719_210_500),
        stamp(-1, 0)
    );
    let shown = world.run_with(ours, &["tai64nfrac"], "", &[], input.as_bytes());
    let expected = format!(
        "0.000000005 x\nplain\n1795275766.719210500\n@40 y\n{}",
        stamp(-1, 0)
    );
    assert_eq!((shown.out, shown.code), (expected, 0));
}

#[test]
fn matchtest_says_plus_or_minus() {
    let Some(ours) = bins(Subject::Ours) else {
        return;
    };
    let world = World::new("matchtest");
    for (pattern, text, said) in [
        ("one*", "onetwo", "+one* (onetwo)\n"),
        ("* one", "  one", "-* one (  one)\n"),
        ("", "", "+ ()\n"),
        ("F* one", "  one", "+F* one (  one)\n"),
        ("F[a-c]?", "bx", "+F[a-c]? (bx)\n"),
        ("F[a-c]?", "F[a-c]?", "-F[a-c]? (F[a-c]?)\n"),
        ("F", "", "+F ()\n"),
        ("S* one", "  one", "-S* one (  one)\n"),
        ("SFailed*", "Failed login", "+SFailed* (Failed login)\n"),
        ("oF", "oF", "+oF (oF)\n"),
    ] {
        let outcome = world.run(ours, &["matchtest", pattern, text]);
        assert_eq!((outcome.out.as_str(), outcome.code), (said, 0));
        // The program whose patterns they are says the same.
        let (matcher, rest) = match pattern.split_at_checked(1) {
            Some((matcher @ ("F" | "S"), rest)) => (matcher, rest),
            Some(_) | None => ("S", pattern),
        };
        let select = format!("+{rest}");
        let argv = ["multilog", matcher, "-*", &select, "e"];
        let seen = world.run_with(ours, &argv, "", &[], format!("{text}\n").as_bytes());
        assert_eq!(!seen.err.is_empty(), said.starts_with('+'), "{pattern}");
    }
    for (dialect, pattern, text, said) in [
        ("classic", "F*", "x", "-F* (x)\n"),
        ("classic", "Sone", "Sone", "+Sone (Sone)\n"),
        ("encore", "F*", "x", "+F* (x)\n"),
    ] {
        let env = [("EUDAEMON_DIALECT", dialect)];
        let outcome = world.run_with(ours, &["matchtest", pattern, text], "", &env, b"");
        assert_eq!((outcome.out.as_str(), outcome.code), (said, 0));
    }
    let env = [("EUDAEMON_DIALECT", "x")];
    let outcome = world.run_with(ours, &["matchtest", "a", "a"], "", &env, b"");
    assert_eq!((outcome.out.as_str(), outcome.code), ("", 100));
    let outcome = world.run(ours, &["matchtest", "x"]);
    assert_eq!(outcome.code, 100);
    assert_eq!(outcome.err, "matchtest: usage: matchtest PATTERN TEXT\n");
}
