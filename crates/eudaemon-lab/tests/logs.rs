//! `eudaemon logs` on log directories that real loggers wrote: multilog, svlogd and s6-log, each with each of its stamps.
//!
//! Not tested here: encore's stamps, for no logger of this machine writes them (core's tests read them).

use eudaemon_lab::{Subject, World, bins, need};

/// A logger's words, and the name of the service whose it is.
const LOGGERS: [(&str, &str); 7] = [
    ("multilog-t", "/usr/bin/multilog t ./main"),
    ("multilog", "/usr/bin/multilog ./main"),
    ("svlogd-t", "/usr/bin/svlogd -t ./main"),
    ("svlogd-tt", "/usr/bin/svlogd -tt ./main"),
    ("svlogd-ttt", "/usr/bin/svlogd -ttt ./main"),
    ("s6-t", "/usr/bin/s6-log t ./main"),
    ("s6-iso", "/usr/bin/s6-log T ./main"),
];

/// A tree of services, the log of each written by its logger.
fn tree(name: &str) -> Option<World> {
    if !need(&["/usr/bin/multilog", "/usr/bin/svlogd", "/usr/bin/s6-log"]) {
        return None;
    }
    let (djb, _) = (bins(Subject::Djb)?, bins(Subject::Ours)?);
    let world = World::new(name);
    for (service, line) in LOGGERS {
        world.write(format!("{service}/log/main/.keep"), "");
        std::fs::remove_file(world.path(format!("{service}/log/main/.keep")))
            .expect("was just made");
        let words: Vec<_> = line.split(' ').collect();
        let input = format!("first of {service}\nerror of {service}\n  more\nlast of {service}\n");
        let cwd = format!("{service}/log");
        // A zone of its own: s6-log writes local time, and the reader is in the same place.
        let env = [("TZ", "Asia/Kathmandu")];
        let said = world.run_with(djb, &words, &cwd, &env, input.as_bytes());
        assert_eq!(said.code, 0, "{line}: {}", said.err);
    }
    Some(world)
}

fn logs(world: &World, words: &[&str]) -> (String, String, i32) {
    let ours = bins(Subject::Ours).expect("ours are there");
    let tree = world.path(".").to_string_lossy().into_owned();
    let mut argv = vec!["eudaemon", "-C", &tree, "logs"];
    argv.extend(words);
    let said = world.run_with(ours, &argv, "", &[("TZ", "Asia/Kathmandu")], b"");
    (said.out, said.err, said.code)
}

#[test]
fn lines_of_every_logger_are_shown_without_their_stamps() {
    let Some(world) = tree("logs-all") else {
        return;
    };
    for (service, _) in LOGGERS {
        let (out, err, code) = logs(&world, &[service]);
        assert_eq!((err.as_str(), code), ("", 0), "{service}");
        let texts: Vec<_> = out
            .lines()
            .map(|line| match service {
                "multilog" => line,
                // HH:MM:SS.mmm and a space.
                _ => &line[13..],
            })
            .collect();
        let (first, error, last) = (
            format!("first of {service}"),
            format!("error of {service}"),
            format!("last of {service}"),
        );
        assert_eq!(texts, [&first, &error, "  more", &last], "{service}: {out}");
    }
}

#[test]
fn times_and_patterns_choose() {
    let Some(world) = tree("logs-choice") else {
        return;
    };
    let count = |words: &[&str]| {
        let (out, err, code) = logs(&world, words);
        assert_eq!(code, 0, "{words:?}: {err}");
        let unstamped = out
            .lines()
            .filter(|line| line.contains("multilog |") || line.contains("multilog   |"));
        (
            out.lines().count() - unstamped.clone().count(),
            unstamped.count(),
            err,
        )
    };
    let (stamped, _, err) = count(&["--since", "1h ago"]);
    assert_eq!(stamped, 6 * 4);
    // Whose lines have no time, that is said; they are shown.
    assert!(err.contains("/multilog/log/main have no stamps"), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
    assert_eq!(count(&["--until", "1h"]).0, 0);
    assert_eq!(count(&["--since", "@99999999999"]).0, 0);
    assert_eq!(count(&["--since", "today", "--grep", "^error"]).0, 6);
    assert_eq!(count(&["-g", "(first|last) of s"]).0, 2 * 5);
    assert_eq!(count(&["-g", " of ", "-n", "1"]).0, 6);
    let (out, err, _) = logs(&world, &["svlogd-tt", "-g", "x{9"]);
    assert_eq!(out, "");
    assert!(err.contains("--grep"), "{err}");
    let (_, err, code) = logs(&world, &["--since", "whenever"]);
    assert!(
        err.contains("not a moment") && err.contains("yesterday"),
        "{err}"
    );
    assert_eq!(code, 100);
    assert_eq!(logs(&world, &["-f", "--until", "now"]).2, 100);
}

/// A service whose multilog compresses what it finished, and how many lines it was given.
fn packed(name: &str) -> Option<(World, usize)> {
    if !need(&["/usr/bin/gunzip"]) {
        return None;
    }
    let ours = bins(Subject::Ours)?;
    let world = World::new(name);
    std::fs::create_dir_all(world.path("web/log")).expect("a directory");
    // Lines that do not pack well, so that a damaged file has many sound pieces.
    let mut dice: u64 = 1;
    let lines: String = (1..=6000)
        .map(|at| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("line {at} {dice:x}\n")
        })
        .collect();
    let argv = ["multilog", "t", "s65536", "n100", "%gzip", "./main"];
    for input in [lines.as_str(), "line 6001 after\nline 6002 after\n"] {
        let said = world.run_with(ours, &argv, "web/log", &[], input.as_bytes());
        assert_eq!((said.err.as_str(), said.code), ("", 0));
    }
    Some((world, 6002))
}

/// The compressed files of its directory, the oldest first.
fn archives(world: &World) -> Vec<String> {
    let dir = std::fs::read_dir(world.path("web/log/main")).expect("a log");
    let mut names: Vec<_> = dir
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.into_string().expect("plain names"))
        .filter(|name| name.starts_with('@'))
        .collect();
    names.sort();
    assert!(names.iter().all(|name| name.ends_with(".gz")), "{names:?}");
    assert!(names.len() > 3, "{names:?}");
    names
}

/// What gunzip can read of it, and whether it says that it is whole.
fn gunzip(world: &World, name: &str) -> (String, bool) {
    let host = bins(Subject::Djb).expect("the originals are there");
    let path = world.path(format!("web/log/main/{name}"));
    let path = path.to_string_lossy();
    let said = world.run(host, &["/usr/bin/gunzip", "-c", &path]);
    (said.out, said.code == 0)
}

/// What is behind the stamp of each line, as the files have it and as `logs` shows it.
fn behind(lines: &str, at: usize) -> Vec<&str> {
    lines.lines().filter_map(|line| line.get(at..)).collect()
}

#[test]
fn compressed_files_are_read_as_the_others() {
    let Some((world, count)) = packed("logs-packed") else {
        return;
    };
    let names = archives(&world);
    let mut judged: String = names.iter().map(|name| gunzip(&world, name).0).collect();
    judged += &world.read("web/log/main/current");
    let judged = behind(&judged, 26);
    assert_eq!(judged.len(), count);
    let shown = |words: &[&str]| {
        let argv: Vec<_> = ["web"].iter().chain(words).copied().collect();
        let (out, err, code) = logs(&world, &argv);
        assert_eq!((err.as_str(), code), ("", 0), "{words:?}");
        out
    };
    for last in [1, 2, 3, 1500, 4000, 6001, 6002, 7000] {
        let out = shown(&["-n", &last.to_string()]);
        let from = count.saturating_sub(last);
        assert!(behind(&out, 13) == judged[from..], "-n {last}");
    }
    let out = shown(&["--since", "1h ago"]);
    assert!(behind(&out, 13) == judged);
    assert_eq!(shown(&["--until", "1h"]), "");
    // From within the second file on, and up to there.
    let (second, _) = gunzip(&world, &names[1]);
    let middle = second.lines().nth(100).expect("a long file");
    let (stamp, text) = middle.split_once(' ').expect("a stamp");
    let at = judged.iter().position(|line| *line == text);
    let at = at.expect("it is one of them");
    let since = shown(&["--since", stamp]);
    let since = behind(&since, 13);
    // Lines of one reading have one stamp.
    assert!(since.contains(&text) && judged.ends_with(&since) && since.len() >= count - at);
    let until = shown(&["--until", stamp]);
    let until = behind(&until, 13);
    assert!(until.contains(&text) && judged.starts_with(&until) && until.len() > at);
    let found = shown(&["--grep", "^line [0-9]*77 "]);
    let wanted = judged.iter().filter(|line| {
        let number = line.split(' ').nth(1).expect("a number");
        number.ends_with("77")
    });
    assert!(behind(&found, 13).iter().eq(wanted));
    assert_eq!(shown(&["-g", "^line 7 ", "-n", "5"]).lines().count(), 1);
}

#[test]
fn of_broken_compressed_files_what_can_be_read_is_shown() {
    let Some((world, _)) = packed("logs-broken") else {
        return;
    };
    let names = archives(&world);
    let path = |at: usize| world.path(format!("web/log/main/{}", names[at]));
    let whole: Vec<String> = names.iter().map(|name| gunzip(&world, name).0).collect();
    let cut = std::fs::read(path(0)).expect("the first");
    std::fs::write(path(0), &cut[..cut.len() / 2]).expect("it is ours");
    let mut damaged = std::fs::read(path(1)).expect("the second");
    let half = damaged.len() / 2;
    damaged[half..half + 64].fill(0xff);
    std::fs::write(path(1), &damaged).expect("it is ours");
    let (out, err, code) = logs(&world, &["web", "--since", "1h ago"]);
    assert_eq!(code, 0);
    let told: Vec<_> = err.lines().collect();
    let tells = |line: &str, at: usize, why: &str| {
        line.contains("unable to read all of") && line.contains(&names[at]) && line.ends_with(why)
    };
    assert_eq!(told.len(), 2, "{err}");
    assert!(tells(told[0], 0, "it is cut short"), "{err}");
    assert!(tells(told[1], 1, "it is damaged"), "{err}");
    let shown = behind(&out, 13);
    for at in 0..2 {
        let (sound, is_whole) = gunzip(&world, &names[at]);
        assert!(!is_whole);
        let sound = behind(&sound, 26);
        // All that gunzip found, but perhaps the line that it broke off in, and nothing but lines that were there.
        let sound = &sound[..sound.len().saturating_sub(1)];
        let lines = behind(&whole[at], 26);
        let same = sound.iter().zip(&lines).take_while(|(a, b)| a == b).count();
        let from = shown.iter().position(|line| *line == lines[0]);
        let from = from.expect("the first line of the file");
        assert!(shown[from..].starts_with(&lines[..same]), "{same} lines");
        assert!(same > 100, "{same}");
        // Half of it is sound, and nearly all of that half is shown.
        let read = shown[from..].iter().zip(&lines);
        let read = read.take_while(|(a, b)| a == b).count();
        assert!(read * 100 > lines.len() * 45, "{read} of {}", lines.len());
    }
    // And all of those behind.
    let rest: Vec<_> = whole[2..]
        .iter()
        .flat_map(|text| behind(text, 26))
        .collect();
    let last = ["line 6001 after", "line 6002 after"];
    assert!(shown.ends_with(&last));
    assert!(shown.windows(rest.len()).any(|window| window == rest));
    // Nobody hears of a file that is not needed.
    let (_, err, _) = logs(&world, &["web", "-n", "5"]);
    assert_eq!(err, "");
}
