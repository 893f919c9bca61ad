//! The actions that `compat/multilog.rs` does not compare: encore's, numbers at their bounds, order, and odd bytes.

use crate::listing;
use eudaemon_lab::{Stage, Subject, World, bins, both};
use std::fs;

const CLASSIC: [(&str, &str); 1] = [("EUDAEMON_DIALECT", "classic")];

fn say(s: &Stage, arguments: &[&str], env: &[(&str, &str)], input: &[u8]) {
    let argv: Vec<_> = ["multilog"].iter().chain(arguments).copied().collect();
    let said = s.run_with(s.service, &argv, "", env, input);
    s.note(&format!(
        "{arguments:?}\n{}{}> {}",
        said.out, said.err, said.code
    ));
}

#[test]
fn what_only_encore_knows_is_ignored_by_the_classic() {
    both("log-classic", |s| {
        for arguments in [
            &["T", "e"][..],
            &["F", "-*o*", "e"],
            &["F", "-[a-z]*", "e"],
            &["S", "-one", "e"],
            &["wgz", "e"],
            &["Tfoo", "+x", "e"],
            &["e", "T", "e"],
        ] {
            say(s, arguments, &CLASSIC, b"one\ntwo\nfoo\n");
        }
        let input = "0123456789\n".repeat(900);
        say(s, &["wgz", "s4096", "./w"], &CLASSIC, input.as_bytes());
        let codes: Vec<_> = crate::finished(&s.path("w"))
            .iter()
            .map(|name| name[25..].to_owned())
            .collect();
        s.note(&format!("{codes:?}"));
    });
}

/// Encore's actions by their manual: there is no encore to compare with. Source: multilog(8) of daemontools-encore 1.10.
#[test]
fn encores_actions() {
    let Some(ours) = bins(Subject::Ours) else {
        return;
    };
    let world = World::new("log-encore");
    let run = |arguments: &[&str], input: &[u8]| {
        let argv: Vec<_> = ["multilog"].iter().chain(arguments).copied().collect();
        let said = world.run_with(ours, &argv, "", &[("EUDAEMON_DIALECT", "encore")], input);
        assert_eq!(said.code, 0, "{arguments:?}: {}", said.err);
        said.err
    };
    // fnmatch(3) without flags: `*` goes back, brackets and `?` are known, a leading dot and a slash are nothing special.
    for (pattern, left) in [
        ("*o*", "x.y/z\n"),
        ("[ft]*", "one\nx.y/z\n"),
        ("t?o", "one\nfoo\nx.y/z\n"),
        ("*/z", "one\ntwo\nfoo\n"),
        ("*y*z", "one\ntwo\nfoo\n"),
        ("[!o]*", "one\n"),
        ("\\one", "two\nfoo\nx.y/z\n"),
    ] {
        let said = run(
            &["F", &format!("-{pattern}"), "e"],
            b"one\ntwo\nfoo\nx.y/z\n",
        );
        assert_eq!(said, left, "F -{pattern}");
    }
    // After `S` again the simple matcher, which does not go back.
    assert_eq!(
        run(&["F", "S", "-*o*", "e"], b"two\noxo\n"),
        run(&["-*o*", "e"], b"two\noxo\n")
    );
    let stamped = run(&["T", "e"], b"one\n");
    let (stamp, text) = stamped.split_once(' ').expect("a space");
    let (seconds, micros) = stamp.split_once('.').expect("a point");
    assert!(
        seconds.parse::<u64>().is_ok() && micros.len() == 6 && text == "one\n",
        "{stamped}"
    );
    run(
        &["wgz", "s4096", "./w", "ws", "./s"],
        "0123456789\n".repeat(900).as_bytes(),
    );
    for (dir, code) in [("w", ".gz"), ("s", ".s")] {
        let names = crate::finished(&world.path(dir));
        assert!(
            !names.is_empty() && names.iter().all(|name| &name[25..] == code),
            "{names:?}"
        );
    }
}

#[test]
fn selection_belongs_to_the_place_in_the_script() {
    both("log-order", |s| {
        say(
            s,
            &[
                "-*", "./none", "+a*", "./a", "=st", "-ab*", "e", "+*", "./all",
            ],
            &[],
            b"aa\nab\nb\n\n",
        );
        for dir in ["none", "a", "all"] {
            s.note(&listing(&s.path(dir)));
        }
        s.note(s.read("st").trim_end());
        // One directory twice is refused; one file twice is written twice.
        say(s, &["./same", "./same"], &[], b"x\n");
        say(s, &["=st", "-*", "=st"], &[], b"y\n");
        s.note(s.read("st").trim_end());
    });
}

#[test]
fn odd_bytes_are_bytes() {
    both("log-odd", |s| {
        let input = b"\0\n\0a\0\n\xff\xfe\x80\n\r\n\ttab\nlast\0";
        say(s, &["./d", "e", "=st"], &[], input);
        let text = fs::read(s.path("d/current")).expect("current");
        s.note(&format!(
            "{text:?} {:?}",
            fs::read(s.path("st")).map(|text| text[..6].to_vec())
        ));
        say(
            s,
            &["-\u{e9}*", "e"],
            &[],
            "\u{e9}t\u{e9}\nete\n".as_bytes(),
        );
    });
}

#[test]
fn a_file_of_a_long_line() {
    both("log-keep-long", |s| {
        for length in [999, 1000, 1001, 1500, 100_000] {
            let line = "0123456789".repeat(length / 10 + 1)[..length].to_owned();
            say(s, &["=st"], &[], format!("short\n{line}\n").as_bytes());
            let text = s.read("st");
            s.note(&format!(
                "{length}: {} {} {}",
                text.len(),
                text.trim_end().len(),
                &text[..12]
            ));
            // The last line counts, also one of nothing, and one without an end.
            say(s, &["=st"], &[], format!("{line}\n\n").as_bytes());
            s.note(&format!("{:?}", s.read("st").trim_end()));
            say(s, &["=st"], &[], format!("x\n{line}").as_bytes());
            s.note(&format!("{}", s.read("st").trim_end().len()));
        }
    });
}

#[test]
fn sizes_and_numbers_at_their_bounds() {
    both("log-bounds", |s| {
        let input = "0123456789012345678901234567890123456789012345678\n".repeat(2000);
        for (n, arguments) in [
            &["s4095", "n2"][..],
            &["s4097", "n1"],
            &["s-1", "n-5"],
            &["s 5000", "n 3"],
            &["s5000", "n99999999999999999999"],
            &["s16777216"],
            &["s4294967296", "n3"],
            &["n4294967298"],
            &["s5000s6000", "n3n4"],
        ]
        .iter()
        .enumerate()
        {
            let dir = format!("./d{n}");
            let arguments: Vec<_> = arguments.iter().copied().chain([dir.as_str()]).collect();
            say(s, &arguments, &CLASSIC, input.as_bytes());
            // How many, up to a few, and whether it is the least size or the usual: where exactly a file is cut is `random.rs`'s.
            let files = crate::finished(&s.path(&dir));
            let large = |name: &String| {
                fs::metadata(s.path(&dir).join(name)).map_or(0, |m| m.len() / 20_000)
            };
            let sizes: Vec<_> = files.iter().take(4).map(large).collect();
            s.note(&format!("{} finished, sizes {sizes:?}", files.len().min(4)));
        }
    });
}
