//! Service directories as people write them for runit, unmodified, under Debian's runsvdir, our runsvdir and our svscan.
//!
//! For each service is compared: what `sv` says once it is as it should be, what it wrote into `said` and its log, and
//! whether all of them end in order when they are told to.

use eudaemon_lab::{Bins, Running, Subject, World, bins, masked, need, skipped, until};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

/// All of them together, on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// What only root can do.
const PRIVILEGED: [&str; 4] = ["as-another", "as-numbers", "in-a-root", "owned-directory"];

/// Those that end by themselves, or never begin.
const DOWN: [&str; 3] = ["down-file", "finish-by-cause", "once-by-itself"];

fn fixtures() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("services/runit")
}

fn names() -> Vec<String> {
    let root = rustix_is_root();
    let mut names: Vec<String> = fs::read_dir(fixtures())
        .expect("the fixtures")
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| root || !PRIVILEGED.contains(&name.as_str()))
        .collect();
    names.sort();
    if !root {
        skipped(&format!("not root, so without {PRIVILEGED:?}"));
    }
    names
}

fn rustix_is_root() -> bool {
    fs::read_to_string("/proc/self/status")
        .unwrap_or_default()
        .lines()
        .any(|line| line.starts_with("Uid:\t0\t0\t"))
}

/// Copies a directory as it is, links and modes too.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a new directory");
    for entry in fs::read_dir(from).expect("a fixture").flatten() {
        let (path, new) = (entry.path(), to.join(entry.file_name()));
        if let Ok(target) = fs::read_link(&path) {
            symlink(target, &new).expect("a new link");
        } else if path.is_dir() {
            copy(&path, &new);
        } else {
            fs::copy(&path, &new).expect("a copy");
        }
    }
}

struct Played {
    world: World,
    tools: &'static Bins,
    names: Vec<String>,
}

impl Played {
    fn sv(&self, words: &[&str]) -> (String, i32) {
        let argv: Vec<&str> = ["sv"].iter().chain(words).copied().collect();
        let outcome = self.world.run(self.tools, &argv);
        (outcome.out, outcome.code)
    }

    fn status(&self, name: &str) -> String {
        masked(&self.sv(&["status", &format!("./sv/{name}")]).0)
    }

    /// What the log of a service holds, without stamps.
    fn log(&self, name: &str) -> String {
        let all = self.world.read(format!("sv/{name}/log/all"));
        let current = self.world.read(format!("sv/{name}/log/main/current"));
        let lines = current.lines().map(|line| {
            // svlogd's stamps begin with the year.
            let stamped = line.len() > 10 && line.as_bytes()[4] == b'-';
            let words = line.split_once(' ').filter(|_| stamped);
            words.map_or(line, |(_, words)| words)
        });
        all.lines().chain(lines).collect::<Vec<_>>().join("\n")
    }

    fn said(&self, name: &str) -> String {
        self.world.read(format!("sv/{name}/said"))
    }

    /// What is compared of a service.
    fn picture(&self, name: &str) -> String {
        // What redis and nginx say of themselves is theirs, and has dates in it.
        let log = match name {
            "redis" | "nginx" => String::from("not compared"),
            _ => self.log(name),
        };
        format!("{} {} {}", self.status(name), self.said(name), log)
    }
}

/// Plays all of them; what was seen of each is told by its name.
fn play(
    world: &str,
    scanner: &[&str],
    service: &'static Bins,
    tools: &'static Bins,
    expected: Option<&BTreeMap<String, String>>,
) -> BTreeMap<String, String> {
    let played = Played {
        world: World::new(world),
        tools,
        names: names(),
    };
    for name in &played.names {
        let to = played.world.path(format!("sv/{name}"));
        copy(&fixtures().join(name), &to);
    }
    let running = played.world.start(service, scanner);
    let mut seen = BTreeMap::new();
    settle(&played, expected, &mut seen, "up", |name| {
        let status = played.status(name);
        let down = DOWN.contains(&name);
        let logged = played.world.path(format!("sv/{name}/log")).is_dir();
        status.starts_with(if down { "down:" } else { "run:" })
            && (!logged || status.contains("run: log:"))
    });
    letters(&played, &mut seen);
    stop(&played, expected, &mut seen, &running);
    seen
}

/// Waits until every service is as it should be, then takes their pictures; where it is known what they must be, until they
/// are that.
fn settle(
    played: &Played,
    expected: Option<&BTreeMap<String, String>>,
    seen: &mut BTreeMap<String, String>,
    when: &str,
    right: impl Fn(&str) -> bool,
) {
    let mut pictures = BTreeMap::new();
    until(LONG, || {
        if !played.names.iter().all(|name| right(name)) {
            return false;
        }
        let now: BTreeMap<String, String> = played
            .names
            .iter()
            .map(|name| (format!("{name} {when}"), played.picture(name)))
            .collect();
        let settled = match expected {
            Some(expected) => now.iter().all(|(key, is)| expected.get(key) == Some(is)),
            // Nobody knows: what stays the same for a while is taken.
            None => now == pictures || quiet(),
        };
        pictures = now;
        settled
    });
    seen.append(&mut pictures);
}

/// Lets some time go by between two looks at the reference, which is taken at leisure; false, for there is more to see.
fn quiet() -> bool {
    until(Duration::from_secs(1), || false)
}

/// What is asked of some of them while they run.
fn letters(played: &Played, seen: &mut BTreeMap<String, String>) {
    for (command, name, word) in [
        ("hup", "reloads", "reloaded"),
        ("1", "reloads", "one"),
        ("2", "reloads", "two"),
        ("alarm", "reloads", "alarm"),
        ("hup", "control-hup", "hook instead of HUP"),
    ] {
        played.sv(&[command, &format!("./sv/{name}")]);
        let heard = until(LONG, || played.said(name).contains(word));
        seen.insert(format!("{name} {command}"), format!("heard: {heard}"));
    }
    for name in ["check-file", "redis", "nginx", "starts-another"] {
        let service = format!("./sv/{name}");
        let (out, code) = played.sv(&["-w", "60", "check", &service]);
        seen.insert(format!("{name} check"), format!("{} {code}", masked(&out)));
    }
    let (out, code) = played.sv(&["-w", "60", "start", "./sv/down-file"]);
    seen.insert("down-file start".into(), format!("{} {code}", masked(&out)));
}

fn stop(
    played: &Played,
    expected: Option<&BTreeMap<String, String>>,
    seen: &mut BTreeMap<String, String>,
    running: &Running,
) {
    let paths: Vec<String> = played
        .names
        .iter()
        .map(|name| format!("./sv/{name}"))
        .collect();
    let mut words = vec!["-w", "60", "stop"];
    words.extend(paths.iter().map(String::as_str));
    let (out, code) = played.sv(&words);
    let mut lines: Vec<String> = masked(&out).lines().map(str::to_owned).collect();
    lines.sort();
    seen.insert(
        "all stopped".into(),
        format!("{code} {}\n{}", lines.join("\n"), running.err()),
    );
    settle(played, expected, seen, "stopped", |name| {
        played.status(name).starts_with("down:")
    });
}

fn compare(
    expected: &BTreeMap<String, String>,
    seen: &BTreeMap<String, String>,
    who: &str,
) -> String {
    let mut wrong = String::new();
    for (key, theirs) in expected {
        let ours = seen.get(key).map_or("nothing", String::as_str);
        // What a supervisor says of a `run` that it cannot start yet, it says under its own name.
        if ours != theirs && key != "all stopped" {
            wrong += &format!("{who}: {key}\n- {theirs}\n+ {ours}\n");
        }
    }
    wrong
}

#[test]
fn they_run_alike_under_all_three() {
    let host = [
        "/usr/bin/redis-server",
        "/usr/bin/redis-cli",
        "/usr/sbin/nginx",
        "/usr/bin/curl",
    ];
    if !need(&host) {
        return;
    }
    let Some(theirs) = bins(Subject::Runit) else {
        return;
    };
    let expected = play("dirs-runit", &["runsvdir", "sv"], theirs, theirs, None);
    assert!(names().len() >= 30, "only {} directories", names().len());
    for name in names() {
        let up = &expected[&format!("{name} up")];
        let right = if DOWN.contains(&name.as_str()) {
            "down:"
        } else {
            "run:"
        };
        assert!(up.starts_with(right), "{name} under the original: {up}");
    }
    let Some(ours) = bins(Subject::Ours) else {
        return;
    };
    let mut wrong = String::new();
    for (who, scanner, tools) in [
        ("our runsvdir", "runsvdir", ours),
        ("our svscan", "svscan", ours),
        ("our runsvdir, asked by the original sv", "runsvdir", theirs),
        ("our svscan, asked by the original sv", "svscan", theirs),
    ] {
        let seen = play("dirs-ours", &[scanner, "sv"], ours, tools, Some(&expected));
        wrong += &compare(&expected, &seen, who);
    }
    assert!(wrong.is_empty(), "{wrong}");
}
