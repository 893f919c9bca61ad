//! The black-box suite that ships in the source package of daemontools 0.76 (`src/rts.tests`), played by the originals
//! and by ours, compared section by section.
//!
//! Nothing of the suite is kept here: the source package is fetched by apt at run time into `target/lab/rts`.

use eudaemon_lab::{Bins, Subject, World, bins, need, skipped, target};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The suite alone sleeps for half a minute, and a mirror may be slow.
const LONG: Duration = Duration::from_secs(900);

/// All programs the suite calls.
const CALLED: [&str; 16] = [
    "supervise",
    "svc",
    "svok",
    "svstat",
    "readproctitle",
    "multilog",
    "svscan",
    "tai64n",
    "tai64nlocal",
    "softlimit",
    "fghack",
    "pgrphack",
    "envuidgid",
    "setuidgid",
    "envdir",
    "setlock",
];

/// The suite asks a helper of the original's build, which Debian leaves out, which pattern matches what. Multilog itself
/// can say: does it select this line?
const MATCHTEST: &str = r#"if test "$(printf '%s\n' "$2" | multilog '-*' "+$1" e 2>&1 | wc -c)" -gt 0
then echo "+$1 ($2)"; else echo "-$1 ($2)"; fi"#;

#[test]
fn every_section_is_as_the_originals() {
    if !need(&["/usr/bin/apt-get", "/usr/bin/tar", "/usr/bin/env"]) {
        return;
    }
    let (Some(djb), Some(suite)) = (bins(Subject::Djb), suite()) else {
        return;
    };
    let ours = bins(Subject::Ours);
    let (expected, seen) = std::thread::scope(|scope| {
        let original = scope.spawn(|| play(djb, &suite));
        let played = ours.map(|ours| scope.spawn(|| play(ours, &suite)));
        let joined = |thread: std::thread::ScopedJoinHandle<'_, String>| {
            thread.join().expect("the suite is played")
        };
        (joined(original), played.map(joined))
    });
    let expected = sections(&expected);
    assert!(
        expected.len() > 50,
        "the original played only {} sections",
        expected.len()
    );
    let Some(seen) = seen else { return };
    let seen = sections(&seen);
    let mut wrong = String::new();
    for (title, body) in &expected {
        let theirs = seen
            .iter()
            .find(|(other, _)| other == title)
            .map(|(_, body)| body.as_str());
        if theirs == Some(body) {
            continue;
        }
        wrong += &format!(
            "--- {title}\noriginal:\n{body}ours:\n{}",
            theirs.unwrap_or("(no such section)\n")
        );
    }
    tell(&format!("rts: {} sections played by both", expected.len()));
    assert!(wrong.is_empty(), "{wrong}");
    let extra: Vec<_> = seen
        .iter()
        .filter(|(title, _)| !expected.iter().any(|(other, _)| other == title))
        .collect();
    assert!(
        extra.is_empty(),
        "sections the original does not have: {extra:?}"
    );
}

/// Says it past the harness, which keeps `println` of a passing test to itself.
fn tell(line: &str) {
    use std::io::Write as _;
    let _told = writeln!(std::io::stderr(), "{line}");
}

/// Splits at the titles (`--- title`).
fn sections(text: &str) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("--- "), all.last_mut()) {
            (Some(title), _) => all.push((title.to_owned(), String::new())),
            (None, Some((_, body))) => {
                body.push_str(line);
                body.push('\n');
            }
            (None, None) => all.push((
                String::from("before the first section"),
                format!("{line}\n"),
            )),
        }
    }
    all
}

fn play(bins: &Bins, suite: &Path) -> String {
    let world = World::new("rts");
    world.write("here/x", "");
    for name in CALLED {
        // A missing one is a broken link, so that the host's own can never stand in for it.
        symlink(bins.dir().join(name), world.path("here").join(name)).expect("a link");
    }
    let matchtest = bins.dir().join("matchtest");
    if matchtest.exists() {
        symlink(matchtest, world.path("here/matchtest")).expect("a link");
    } else {
        world.script("here/matchtest", MATCHTEST);
    }
    // One stream, in its order, as the suite's author read it on his terminal.
    let script = format!("exec /bin/sh {} 2>&1", suite.display());
    let running = world.start_with(bins, &["/bin/sh", "-c", &script], "here", &[], b"");
    let ended = running.exit(LONG).is_some();
    let said = running.out();
    assert!(
        ended,
        "{:?}: the suite did not end:\n{said}",
        bins.subject()
    );
    said
}

/// Fetches the suite, once.
fn suite() -> Option<PathBuf> {
    let cache = target().join("lab/rts");
    fs::create_dir_all(&cache).expect("a directory below target");
    let cache = cache.canonicalize().expect("the directory just made");
    let suite = cache.join("rts.tests");
    if suite.exists() {
        return Some(suite);
    }
    let host = bins(Subject::Djb)?;
    let world = World::new("rts-fetch");
    world.write("lists/partial/x", "");
    world.write("source/x", "");
    // The host's own mirror, release and keys, turned to sources; its lists stay as they are.
    let script = format!(
        r#"set -eu
. /etc/os-release
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
  grep -v '^ *#' | grep -o 'https\?://[^ ]*/debian/\?\( \|$\)' | head -n 1)
echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${{mirror:?no mirror of Debian in the lists of apt}} $VERSION_CODENAME main" > sources.list
opt="-qq -o Dir::Etc::SourceList=$PWD/sources.list -o Dir::Etc::SourceParts=- -o Dir::State::lists=$PWD/lists -o APT::Sandbox::User=root"
apt-get $opt update
cd source
apt-get $opt source --download-only daemontools
tar -xzf daemontools_*.orig.tar.gz
cp "$(find . -name rts.tests | head -n 1)" {cache}/rts.new
mv {cache}/rts.new {cache}/rts.tests"#,
        cache = cache.display()
    );
    // What the shell may need to reach a mirror through.
    let proxies: Vec<_> = std::env::vars()
        .filter(|(name, _)| name.to_ascii_lowercase().ends_with("_proxy"))
        .collect();
    let env: Vec<_> = proxies
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let fetching = world.start_with(host, &["/bin/sh", "-c", &script], "", &env, b"");
    let got = fetching.outcome(LONG).expect("apt-get ends");
    if got.code != 0 || !suite.exists() {
        skipped(&format!(
            "apt gives no source package of daemontools: {}",
            got.err
        ));
        return None;
    }
    Some(suite)
}

#[cfg(test)]
mod tests {
    use super::sections;

    #[test]
    fn splits_at_the_titles() {
        let found = sections("early\n--- a b\n1\n2\n--- c\n");
        let titles: Vec<_> = found
            .iter()
            .map(|(title, body)| (title.as_str(), body.as_str()))
            .collect();
        assert_eq!(
            titles,
            [
                ("before the first section", "early\n"),
                ("a b", "1\n2\n"),
                ("c", "")
            ]
        );
    }
}
