//! Real redis and nginx under supervision. The script is the page `docs/running-redis-and-nginx.md`: every line after
//! `$ ` in its `console` blocks is run by a shell, and what follows it is what it must answer.
//!
//! **Not tested:** `svc -a` and `svc -i`, to which neither daemon gives a meaning of use here (see `compat/svc.rs`).

use eudaemon_lab::{Bins, Port, SOON, Subject, World, bins, masked, need, until};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

/// Commands that change nothing: asked again until they answer as the page says, or time is up.
const QUESTIONS: [&str; 9] = [
    "svstat",
    "svok",
    "tail",
    "grep",
    "curl",
    "eudaemon -C sv status",
    "redis-cli -p",
    "timeout",
    "svstat sv/nginx |",
];

/// Commands that look like questions and change something.
const DEEDS: [&str; 3] = [" SET ", " SHUTDOWN", " > "];

/// The ports of the page and of the service directories.
const PORTS: [&str; 2] = ["6380", "8080"];

const HERE: &str = env!("CARGO_MANIFEST_DIR");

fn page() -> String {
    let path = Path::new(HERE).join("../../docs/running-redis-and-nginx.md");
    fs::read_to_string(path).expect("the page")
}

/// One command of the page and the answer it shows.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    command: String,
    answer: Vec<String>,
}

fn steps(page: &str) -> Vec<Step> {
    let (mut all, mut inside): (Vec<Step>, bool) = (Vec::new(), false);
    for line in page.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if inside {
            match (line.strip_prefix("$ "), all.last_mut()) {
                (Some(command), _) => all.push(Step {
                    command: command.to_owned(),
                    answer: Vec::new(),
                }),
                (None, Some(step)) => step.answer.push(line.to_owned()),
                (None, None) => panic!("an answer before the first command: {line}"),
            }
        }
    }
    all
}

/// Whether a line is what the page shows: pids and seconds masked, `…` standing for any text.
fn like(shown: &str, seen: &str) -> bool {
    let (shown, seen) = (masked(shown), masked(seen));
    let mut parts = shown.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = seen.strip_prefix(first) else {
        return false;
    };
    let mut open = false;
    for part in parts {
        open = part.is_empty();
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    open || rest.is_empty()
}

fn all_like(shown: &[String], seen: &str) -> bool {
    shown.len() == seen.lines().count()
        && shown
            .iter()
            .zip(seen.lines())
            .all(|(shown, seen)| like(shown, seen))
}

/// Copies the service directories, with free ports instead of the page's.
fn install(world: &World, rel: &str, ports: &[String; 2]) {
    let from = Path::new(HERE).join("services").join(rel);
    for entry in fs::read_dir(&from).expect("the services").flatten() {
        let name = format!("{rel}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            install(world, &name, ports);
            continue;
        }
        let text = fs::read_to_string(entry.path()).expect("a text");
        let to = format!("sv/{name}");
        if entry.metadata().expect("a file").permissions().mode() & 0o100 != 0 {
            let body = text.strip_prefix("#!/bin/sh\n").expect("a shell script");
            world.script(&to, with_ports(body, ports).trim_end());
        } else {
            world.write(&to, with_ports(&text, ports));
        }
    }
}

fn with_ports(text: &str, ports: &[String; 2]) -> String {
    text.replace(PORTS[0], &ports[0])
        .replace(PORTS[1], &ports[1])
}

fn follow_the_page(bins: &'static Bins, start: &str) {
    let world = World::new("real");
    let held = [Port::free(), Port::free()];
    let ports = held.each_ref().map(|port| port.number.to_string());
    for name in ["redis", "nginx"] {
        install(&world, name, &ports);
    }
    let page = with_ports(&page(), &ports);
    let steps = steps(&page);
    assert!(
        steps.len() > 30,
        "the page has only {} commands",
        steps.len()
    );
    let scan = world.start(bins, &start.split(' ').collect::<Vec<_>>());
    for (n, step) in steps.iter().enumerate() {
        if step.command.ends_with(" &") {
            assert_eq!(n, 0, "the page starts the services once, at first");
            continue;
        }
        if bins.subject() == Subject::Djb && step.command.contains("eudaemon") {
            continue;
        }
        let script = format!("exec 2>&1; {}", step.command);
        let ask = || world.run(bins, &["/bin/sh", "-c", &script]).out;
        let repeat = QUESTIONS
            .iter()
            .any(|question| step.command.starts_with(question))
            && !DEEDS.iter().any(|deed| step.command.contains(deed));
        let mut seen = String::new();
        let limit = if repeat { SOON } else { Duration::ZERO };
        let right = until(limit, || {
            seen = ask();
            all_like(&step.answer, &seen)
        });
        assert!(
            right,
            "with `{start}`: `{}` answers\n{seen}where the page says\n{}\nthe supervisor said {}{}\nredis: {}\nnginx: {}",
            step.command,
            step.answer.join("\n"),
            scan.out(),
            scan.err(),
            world.read("sv/redis/log/main/current"),
            world.read("sv/nginx/log/main/current"),
        );
    }
}

fn judge(subject: Subject, start: &str) {
    let host = [
        "/usr/bin/redis-server",
        "/usr/bin/redis-cli",
        "/usr/sbin/nginx",
        "/usr/bin/curl",
    ];
    if !need(&host) {
        return;
    }
    if let Some(bins) = bins(subject) {
        follow_the_page(bins, start);
    }
}

#[test]
fn the_page_is_true_of_the_original() {
    judge(Subject::Djb, "svscan sv");
}

#[test]
fn the_page_is_true_of_svscan() {
    judge(Subject::Ours, "svscan sv");
}

#[test]
fn the_page_is_true_of_eudaemon_up() {
    judge(Subject::Ours, "eudaemon up sv");
}

#[test]
fn the_page_shows_the_services_as_they_are() {
    let page = page();
    for name in ["redis/run", "redis/log/run", "nginx/run", "nginx/log/run"] {
        let text =
            fs::read_to_string(Path::new(HERE).join("services").join(name)).expect("a service");
        assert!(
            page.contains(&format!("```sh\n{text}```")),
            "the page does not show {name} as it is"
        );
    }
}

#[test]
fn an_ellipsis_stands_for_any_text() {
    assert!(like(
        "@…] \"GET /\" … end",
        "@4000 127.0.0.1 [x] \"GET /\" 200 6 end"
    ));
    assert!(like("a…", "abc"));
    assert!(like("a: up (pid 1) 2 seconds", "a: up (pid 77) 13 seconds"));
    assert!(!like("a…c", "abcd"));
    assert!(!like("a…x", "abc"));
    assert!(!like("b…", "abc"));
    assert!(!like("a", "ab"));
}

#[test]
fn commands_and_answers_are_told_apart() {
    let found = steps("text\n```console\n$ one\n1\n2\n$ two\n```\n$ not\n```sh\n$ not\n```\n");
    let expected = [("one", vec!["1", "2"]), ("two", vec![])];
    let found: Vec<_> = found
        .iter()
        .map(|step| {
            (
                step.command.as_str(),
                step.answer.iter().map(String::as_str).collect::<Vec<_>>(),
            )
        })
        .collect();
    assert_eq!(found, expected);
}
