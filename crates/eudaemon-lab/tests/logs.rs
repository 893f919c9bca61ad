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
