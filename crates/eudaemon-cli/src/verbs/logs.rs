//! `logs`: the lines of the services' loggers, in the order of their stamps, and on as they come.
//!
//! A service's lines are in the multilog directories below its `log/`, or in the built-in logger's. A logger that writes
//! elsewhere is not found. No engine is needed: what a dead tree wrote can be read.

mod source;

use super::client::ask;
use super::grammar::Logs;
use super::screen::{Clock, Colour, Screen, log_text, plain};
use super::trail::Trail;
use super::tree::CONTROL;
use super::{Stop, stdout_result, talk};
use eudaemon_core::exit::Exit;
use eudaemon_core::time::{Tai64n, Wall};
use eudaemon_engine::request::{Request, VERSION, Verb};
use eudaemon_sys::watch::{Interest, Mark, Watch, raise_open_files};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use source::{Choice, Source, is_unstamped, split};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where the built-in loggers of a tree are, a directory for each service, with the files in it or one below.
pub const BUILT_IN: &str = ".eudaemon/log";
/// How many lines of each service are shown, if nobody says.
const LINES: u64 = 20;
/// Most entries of a `log/` directory that are looked into.
const ENTRIES_MAX: usize = 256;

/// Shows what services wrote.
pub fn logs(tree: &Path, what: &Logs) -> Result<Exit, Stop> {
    raise_open_files();
    let names: Vec<String> = what
        .names
        .iter()
        .map(|name| name.trim_end_matches('/').to_owned())
        .collect();
    if let Some(service) = names.iter().find_map(|name| name.strip_suffix("/log")) {
        return Err(Stop::new(
            Exit::Permanent,
            format!(
                "{0}/log is the logger of {0}; its lines: `eudaemon logs {0}`",
                plain(service)
            ),
        ));
    }
    let out = io::BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    let mut reader = Reader::new(tree, names, what, out);
    if what.viewer {
        // Before anything is read: who ends us early still gets what is there.
        reader
            .watch
            .until_term()
            .map_err(|error| system("wait for signals", &error))?;
    } else {
        reader.elsewhere = built_in_elsewhere(tree);
    }
    reader.discover(None);
    let exit = reader.missing();
    if !what.follow {
        reader.show(true)?;
        reader.sources.iter().for_each(Source::tell_of_foreign);
        return Ok(exit);
    }
    loop {
        reader.show(false)?;
        let woken = reader
            .watch
            .wait(None)
            .map_err(|error| system("wait for new lines", &error))?;
        for mark in &woken.gone {
            reader.marks.remove(mark);
        }
        if woken.lost || !woken.gone.is_empty() {
            reader.discover(None);
        }
        for mark in woken.marks {
            match reader.marks.get(&mark).cloned() {
                Some(Role::Log(at)) => reader.sources[at].woken = true,
                Some(Role::Service(name)) => reader.discover(Some(&name)),
                Some(Role::Tree) => reader.discover(None),
                None => {}
            }
        }
        if woken.term {
            reader.discover(None);
            reader.show(true)?;
            return Ok(Exit::Done);
        }
    }
}

fn system(verb: &str, error: &io::Error) -> Stop {
    Stop::new(
        Exit::Temporary,
        format!("unable to {verb}: {}", super::reason(error)),
    )
}

/// Where the engine says that built-in loggers write; nothing if it says nothing.
fn built_in_elsewhere(tree: &Path) -> BTreeMap<String, PathBuf> {
    let mut dirs = BTreeMap::new();
    // A tree that is down is no reason to talk of its engine.
    if std::fs::symlink_metadata(tree.join(CONTROL)).is_err() {
        return dirs;
    }
    let request = Request {
        v: VERSION,
        verb: Verb::Status,
        names: Vec::new(),
        wait_ms: 0,
        signal: None,
    };
    // Nor is one that does not answer: the usual places are looked into anyway.
    let _ = ask(tree, &request, &mut |answer| {
        let service = answer.service.as_ref();
        if let Some((service, dir)) = service.and_then(|s| Some((s, s.log_dir.as_ref()?))) {
            dirs.insert(service.name.clone(), PathBuf::from(dir));
        }
    });
    dirs
}

/// The log directories of a service, that hold `current`.
pub fn directories(tree: &Path, name: &str, built_in: Option<&str>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut watched = Vec::new();
    look(
        tree,
        name,
        built_in.map(Path::new),
        &mut watched,
        &mut found,
    );
    found
}

/// The last lines of log directories, as `status` shows them.
pub fn tail(screen: Screen, dirs: &[PathBuf], count: u64) -> Result<Vec<u8>, String> {
    let zone = crate::zone::local();
    let clock = Clock::new(zone.clone(), Timestamp::now());
    let mut out = Vec::new();
    for dir in dirs {
        let unable = |error| {
            format!(
                "unable to read {}: {}",
                dir.display(),
                super::reason(&error)
            )
        };
        let mut trail = Trail::last(dir, count).map_err(unable)?;
        let mut line = Vec::new();
        for _ in 0..count {
            if !trail.next(&mut line).map_err(unable)? && !trail.rest(&mut line) {
                break;
            }
            let (stamp, text) = split(&line, &zone);
            let stamp = stamp.and_then(|stamp| clock.stamp(stamp));
            out.extend_from_slice(b"  ");
            out.extend_from_slice(
                screen
                    .paint(Colour::Dim, &stamp.unwrap_or_default())
                    .as_bytes(),
            );
            out.push(b' ');
            out.extend_from_slice(&log_text(screen, text));
            out.push(b'\n');
        }
    }
    Ok(out)
}

/// Finds a service's log directories, and all directories in which one may appear.
fn look(
    tree: &Path,
    name: &str,
    built_in: Option<&Path>,
    watched: &mut Vec<PathBuf>,
    found: &mut Vec<PathBuf>,
) {
    let mut open = vec![
        (tree.join(name).join("log"), 2),
        (tree.join(BUILT_IN).join(name), 1),
    ];
    watched.push(tree.join(name));
    while let Some((dir, deeper)) = open.pop() {
        watched.push(dir.clone());
        if dir.join("current").is_file() && !found.contains(&dir) {
            found.push(dir.clone());
        }
        if deeper == 0 {
            continue;
        }
        let Ok(entries) = std::fs::read_dir(&dir) else {
            continue;
        };
        let mut below: Vec<PathBuf> = entries
            .take(ENTRIES_MAX)
            .filter_map(Result::ok)
            .filter(|entry| entry.file_name() != "supervise")
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .collect();
        below.sort();
        open.extend(below.into_iter().rev().map(|dir| (dir, deeper - 1)));
    }
    if let Some(dir) = built_in
        && !found.iter().any(|known| same(known, dir))
    {
        watched.push(dir.to_owned());
        if dir.join("current").is_file() {
            found.push(dir.to_owned());
        }
    }
}

fn same(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        (Ok(_) | Err(_), Ok(_) | Err(_)) => a == b,
    }
}

/// What a watched directory is to us.
#[derive(Clone, Debug)]
enum Role {
    Tree,
    Service(String),
    Log(usize),
}

struct Reader<W: Write> {
    tree: PathBuf,
    /// Services asked for; all if empty.
    names: Vec<String>,
    /// How many lines to show of what is there already, if not all.
    lines: Option<u64>,
    choice: Choice,
    follow: bool,
    viewer: bool,
    /// From when on lines are new.
    began: Tai64n,
    elsewhere: BTreeMap<String, PathBuf>,
    watch: Watch,
    marks: BTreeMap<Mark, Role>,
    sources: Vec<Source>,
    /// What is found from now on is new.
    started: bool,
    screen: Screen,
    zone: TimeZone,
    clock: Clock,
    /// Of the longest name.
    width: usize,
    out: W,
}

impl<W: Write> Reader<W> {
    fn new(tree: &Path, names: Vec<String>, what: &Logs, out: W) -> Reader<W> {
        let now = Timestamp::now();
        let nanos = u64::try_from(now.as_nanosecond()).unwrap_or(0);
        let zone = crate::zone::local();
        let choice = Choice {
            since: what.since,
            until: what.until,
            grep: what.grep.clone(),
        };
        Reader {
            tree: tree.to_owned(),
            names,
            lines: what.lines.or((!choice.chooses()).then_some(LINES)),
            choice,
            follow: what.follow,
            viewer: what.viewer,
            began: Tai64n::from_wall(Wall(beginning(what.began, nanos))),
            elsewhere: BTreeMap::new(),
            watch: Watch::new(),
            marks: BTreeMap::new(),
            sources: Vec::new(),
            started: false,
            screen: Screen::of_stdout(),
            clock: match what.viewer {
                true => Clock::without_dates(zone.clone()),
                false => Clock::new(zone.clone(), now),
            },
            zone,
            width: 0,
            out,
        }
    }

    /// Looks for log directories that are new, of one service or of all. Each directory is watched before it is read.
    fn discover(&mut self, only: Option<&str>) {
        let names = match only {
            Some(name) => vec![name.to_owned()],
            None => self.all_names(),
        };
        for name in names {
            // Of all names, also of those that have said nothing yet: the column shall not move.
            self.width = self.width.max(plain(&name).chars().count());
            // Twice at most: a directory found in the first look is watched only after it.
            let mut before = 0;
            loop {
                let (mut watched, mut found) = (Vec::new(), Vec::new());
                let elsewhere = self.elsewhere.get(&name).cloned();
                look(
                    &self.tree,
                    &name,
                    elsewhere.as_deref(),
                    &mut watched,
                    &mut found,
                );
                if self.follow {
                    for dir in watched.iter().filter(|dir| !found.contains(dir)) {
                        if let Some(mark) = self.watch.add(dir, Interest::Entries) {
                            self.marks.insert(mark, Role::Service(name.clone()));
                        }
                    }
                }
                for dir in &found {
                    self.take_in(&name, dir);
                }
                let seen = watched.len() + found.len();
                if !self.follow || seen == before {
                    break;
                }
                before = seen;
            }
        }
        if only.is_none() {
            self.started = true;
        }
    }

    fn take_in(&mut self, name: &str, dir: &Path) {
        let known = self.sources.iter().position(|source| source.dir == dir);
        let at = known.unwrap_or(self.sources.len());
        if self.follow
            && let Some(mark) = self.watch.add(dir, Interest::Writes)
        {
            self.marks.insert(mark, Role::Log(at));
        }
        if let Some(source) = self.sources.get_mut(at) {
            source.woken = true;
            return;
        }
        let new = self.started || self.viewer;
        let unstamped = is_unstamped(dir, &self.zone);
        let trail = match self.lines {
            _ if new && unstamped && !self.started => Trail::last(dir, 0),
            _ if new => Ok(Trail::since(dir, self.began)),
            Some(lines) if !self.choice.chooses() => Trail::last(dir, lines),
            Some(_) | None => Ok(self.choice.trail(dir)),
        };
        let trail = match trail {
            Ok(trail) => trail,
            Err(error) => {
                let why = super::reason(&error);
                talk(
                    "warning",
                    &format!("unable to read {}: {why}", dir.display()),
                );
                return;
            }
        };
        if unstamped && self.choice.has_times() {
            let dir = dir.display();
            talk(
                "warning",
                &format!("lines in {dir} have no stamps: nobody can say when they were written"),
            );
        }
        let mut source = Source::new(name, dir, trail);
        source.choice = self.choice.clone();
        source.zone = self.zone.clone();
        source.not_before = new.then_some(self.began);
        match self.lines {
            Some(lines) if !new && self.choice.chooses() => source.keep_last(lines, !self.follow),
            lines => source.left = lines.filter(|_| !self.follow),
        }
        self.sources.push(source);
    }

    /// The services: those asked for, or the directories of the tree and those with a built-in log.
    fn all_names(&mut self) -> Vec<String> {
        let built_in = self.tree.join(BUILT_IN);
        let places = [
            self.tree.clone(),
            self.tree.join(".eudaemon"),
            built_in.clone(),
        ];
        if self.follow {
            for dir in &places {
                if let Some(mark) = self.watch.add(dir, Interest::Entries) {
                    self.marks.insert(mark, Role::Tree);
                }
            }
        }
        if !self.names.is_empty() {
            return self.names.clone();
        }
        let mut names: Vec<String> = [&self.tree, &built_in]
            .into_iter()
            .filter_map(|dir| std::fs::read_dir(dir).ok())
            .flatten()
            .filter_map(Result::ok)
            .filter(|entry| entry.path().is_dir())
            .filter_map(|entry| entry.file_name().into_string().ok())
            // Source: svscan ignores names that begin with a dot (specification §4).
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.extend(self.elsewhere.keys().cloned());
        names.sort();
        names.dedup();
        names
    }

    /// Speaks of the services that were asked for and have no lines.
    fn missing(&self) -> Exit {
        let mut exit = Exit::Done;
        for name in &self.names {
            if self.sources.iter().any(|source| &source.name == name) {
                continue;
            }
            let name_shown = plain(name);
            let why = match self.tree.join(name).is_dir() {
                true => format!(
                    "no directory below {} holds a log",
                    self.tree.join(name).join("log").display()
                ),
                false => format!(
                    "there is no {}; `eudaemon status` names the services",
                    self.tree.join(OsStr::new(name)).display()
                ),
            };
            let then = if self.follow { " (waiting for it)" } else { "" };
            talk(
                "warning",
                &format!("unable to show lines of {name_shown}: {why}{then}"),
            );
            exit = Exit::Failed;
        }
        exit
    }

    /// Shows what there is; with `rest`, unfinished lines too.
    fn show(&mut self, rest: bool) -> Result<(), Stop> {
        let order: Vec<usize> = (0..self.sources.len())
            .filter(|&at| self.sources[at].woken)
            .collect();
        for &at in &order {
            self.sources[at].advance(rest);
        }
        // Names stand in a column if there can be more than one.
        let prefixed = self.viewer || self.names.len() != 1;
        loop {
            let first = order
                .iter()
                .copied()
                .filter(|&at| self.sources[at].head.is_some())
                // Of equals the first is taken, so the order is that of the names.
                .min_by_key(|&at| self.sources[at].head.as_ref().map(|head| head.stamp));
            let Some(at) = first else { break };
            let written = self.write_head(at, prefixed);
            stdout_result(written)?;
            self.sources[at].advance(rest);
        }
        for at in order {
            self.sources[at].woken = false;
        }
        stdout_result(self.out.flush())
    }

    fn write_head(&mut self, at: usize, prefixed: bool) -> io::Result<()> {
        let source = &self.sources[at];
        let Some(head) = &source.head else {
            return Ok(());
        };
        let text = &head.line[head.text..];
        let stamp = match (head.text > 0, head.stamp) {
            (true, Some(stamp)) => self.clock.stamp(stamp),
            // Of a logger without `t`: on a terminal that shows lines as they come, now is near enough.
            (false, _) if self.viewer => {
                let now = u64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(0);
                self.clock.stamp(Tai64n::from_wall(Wall(now)))
            }
            (true | false, _) => None,
        };
        let stamp = match (stamp, prefixed) {
            (Some(stamp), _) => format!("{} ", self.screen.paint(Colour::Dim, &stamp)),
            (None, true) => " ".repeat(13),
            (None, false) => String::new(),
        };
        self.out.write_all(stamp.as_bytes())?;
        if prefixed {
            let name = plain(&source.name);
            let pad = self.width.saturating_sub(name.chars().count());
            let pad = " ".repeat(pad);
            let colour = Colour::Name(name.bytes().map(usize::from).sum());
            let prefix = self.screen.paint(colour, &format!("{name}{pad} |"));
            self.out.write_all(prefix.as_bytes())?;
            self.out.write_all(b" ")?;
        }
        self.out.write_all(&log_text(self.screen, text))?;
        self.out.write_all(b"\n")
    }
}

/// From when on lines are new, in nanoseconds since 1970.
///
/// The viewer is told when the tree began, which is just now, unless the keeper had to start the viewer again. Then most
/// lines since that moment have been shown, and those of the keeper's pause (a second) have not.
fn beginning(since: Option<f64>, now: u64) -> u64 {
    let Some(since) = since else { return now };
    let since = (since.max(0.0) * 1e9) as u64;
    match now.checked_sub(since) {
        Some(ago) if ago > 5_000_000_000 => now - 1_000_000_000,
        // The clock may have been set back.
        Some(_) | None => since.min(now),
    }
}

#[cfg(test)]
mod tests;
