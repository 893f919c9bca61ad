//! The programs one by one, beside the peers' and beside what the kernel alone needs for the same: logs against `cat`, time
//! filters against `cat`, links of a chain against a bare exec.
//!
//! Input is made once. Each round visits every program, each round in another order. A run is a whole process.

use super::subject::{Kind, Subject};
use super::timed::{Clock, Took, before_all_others};
use super::{Options, Samples};
use crate::Outcome;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What `--only` chooses from, of this file.
pub const SCENES: [&str; 3] = ["logs", "filters", "chain"];

/// A folder of its own for one run of this file, removed at its end.
struct Stage<'a> {
    options: &'a Options,
    top: PathBuf,
    clock: Clock,
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        if let Err(why) = fs::remove_dir_all(&self.top) {
            let top = self.top.display();
            eprintln!("xtask: warning: unable to remove {top}: {why}");
        }
    }
}

/// Whose programs there are: those asked for, statically linked runit if it is somewhere, and the kernel alone.
pub fn subjects(options: &Options) -> Result<Vec<Subject>, String> {
    let mut subjects = Subject::all(options.ours.as_deref(), &options.peers)?;
    match &options.runit_static {
        Some(dir) => subjects.push(Subject::in_folder(Kind::Runit, "runit static", dir)?),
        None => eprintln!(
            "xtask: SKIPPED: no runit linked statically: build its source with a static libc, and say --runit-static DIR"
        ),
    }
    subjects.push(Subject {
        name: "kernel".to_owned(),
        kind: Kind::Bare,
        dir: PathBuf::new(),
    });
    Ok(subjects)
}

/// Plays the scenes; answers with what could not be measured.
pub fn play(
    options: &Options,
    subjects: &[Subject],
    out: &Path,
    samples: &mut Samples,
) -> Result<Vec<String>, String> {
    let top = options
        .scratch
        .join(format!("programs-{}", super::tree::now_ns()));
    fs::create_dir_all(&top).map_err(|why| format!("unable to create {}: {why}", top.display()))?;
    let clock = Clock::new(out, &top)?;
    let stage = Stage {
        options,
        top,
        clock,
    };
    let mut missed = Vec::new();
    if options.wants("logs") {
        stage.logs(subjects, samples, &mut missed)?;
    }
    if options.wants("filters") {
        stage.filters(subjects, samples, &mut missed)?;
    }
    if options.wants("chain") {
        stage.chain(subjects, out, samples, &mut missed)?;
    }
    missed.sort();
    missed.dedup();
    Ok(missed)
}

/// One way to feed loggers: the rows, the length of a line, whether through a pipe, whether with a stamp.
struct Feed {
    rows: [&'static str; 2],
    line: usize,
    pipe: bool,
    stamp: bool,
}

const fn feed(rows: [&'static str; 2], line: usize, pipe: bool, stamp: bool) -> Feed {
    Feed {
        rows,
        line,
        pipe,
        stamp,
    }
}

const FEEDS: [Feed; 6] = [
    feed(["log-cpu", "log-wall"], 100, false, false),
    feed(["log-t-cpu", "log-t-wall"], 100, false, true),
    feed(["log-pipe-cpu", "log-pipe-wall"], 100, true, false),
    feed(["log-pipe-t-cpu", "log-pipe-t-wall"], 100, true, true),
    feed(["log-20-cpu", "log-20-wall"], 20, false, false),
    feed(["log-20-t-cpu", "log-20-t-wall"], 20, false, true),
];

impl Stage<'_> {
    /// Runs `make`'s command for each subject, round by round, and puts what it took into the two rows.
    fn race(
        &self,
        rows: [&'static str; 2],
        subjects: &[Subject],
        samples: &mut Samples,
        missed: &mut Vec<String>,
        mut run: impl FnMut(&Subject) -> Result<Option<Took>, String>,
    ) {
        for round in 0..self.options.rounds {
            for at in 0..subjects.len() {
                let subject = &subjects[(at + round) % subjects.len()];
                match run(subject) {
                    Ok(Some(took)) => {
                        let mut put = |row, time: f64| {
                            let key = (row, subject.name.clone());
                            samples.entry(key).or_default().push(time);
                        };
                        put(rows[0], took.cpu.as_secs_f64() * 1e3);
                        put(rows[1], took.wall.as_secs_f64() * 1e3);
                    }
                    Ok(None) => {}
                    Err(why) => missed.push(format!("{}: {why}", rows[0])),
                }
            }
        }
    }

    fn logs(
        &self,
        subjects: &[Subject],
        samples: &mut Samples,
        missed: &mut Vec<String>,
    ) -> Outcome {
        for line in [100, 20] {
            let input = self.lines(line, false)?;
            for feed in FEEDS.iter().filter(|feed| feed.line == line) {
                eprintln!("xtask: {}", feed.rows[0]);
                self.race(feed.rows, subjects, samples, missed, |subject| {
                    let dir = self.top.join("log");
                    fs::create_dir(&dir).map_err(|why| format!("unable to create: {why}"))?;
                    let took = self.log(subject, feed, &input, &dir);
                    fs::remove_dir_all(&dir).map_err(|why| format!("unable to remove: {why}"))?;
                    took
                });
            }
            fs::remove_file(&input).map_err(|why| format!("unable to remove: {why}"))?;
        }
        Ok(())
    }

    /// One run of one logger with its own default rotation.
    fn log(
        &self,
        subject: &Subject,
        feed: &Feed,
        input: &Path,
        dir: &Path,
    ) -> Result<Option<Took>, String> {
        let (name, stamp) = match subject.kind {
            Kind::Ours | Kind::Daemontools => ("multilog", "t"),
            Kind::S6 => ("s6-log", "t"),
            Kind::Runit => ("svlogd", "-t"),
            Kind::Bare => ("cat", ""),
        };
        let Some(mut command) = subject.has(name, &self.clock) else {
            return Ok(None);
        };
        if feed.stamp && subject.kind != Kind::Bare {
            command.arg(stamp);
        }
        if subject.kind == Kind::Bare {
            command.stdout(create(&dir.join("current"))?);
        } else {
            command.arg(dir).stdout(Stdio::null());
        }
        command.stderr(Stdio::null());
        let input = open(input)?;
        if !feed.pipe {
            return self.clock.run(command.stdin(input)).map(Some);
        }
        let mut producer = Command::new("cat")
            .stdin(input)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|why| format!("unable to run cat: {why}"))?;
        let pipe = producer.stdout.take().ok_or("cat has no pipe")?;
        command.stdin(pipe);
        let took = self.clock.run(&mut command);
        // Its reading side, or cat would wait for ever after a failure.
        drop(command);
        producer
            .wait()
            .map_err(|why| format!("unable to wait for cat: {why}"))?;
        took.map(Some)
    }

    fn filters(
        &self,
        subjects: &[Subject],
        samples: &mut Samples,
        missed: &mut Vec<String>,
    ) -> Outcome {
        let filters = [
            (["tai64n-cpu", "tai64n-wall"], "tai64n", "s6-tai64n", false),
            (
                ["tai64nlocal-cpu", "tai64nlocal-wall"],
                "tai64nlocal",
                "s6-tai64nlocal",
                true,
            ),
        ];
        for (rows, name, s6_name, stamped) in filters {
            eprintln!("xtask: {name}");
            let input = self.lines(100, stamped)?;
            let output = self.top.join("filtered");
            self.race(rows, subjects, samples, missed, |subject| {
                let name = match subject.kind {
                    Kind::Ours | Kind::Daemontools => name,
                    Kind::S6 => s6_name,
                    Kind::Bare => "cat",
                    Kind::Runit => return Ok(None),
                };
                let Some(mut command) = subject.has(name, &self.clock) else {
                    return Ok(None);
                };
                command.stdin(open(&input)?).stdout(create(&output)?);
                self.clock.run(&mut command).map(Some)
            });
            for file in [input, output] {
                fs::remove_file(&file).map_err(|why| format!("unable to remove: {why}"))?;
            }
        }
        Ok(())
    }

    fn chain(
        &self,
        subjects: &[Subject],
        out: &Path,
        samples: &mut Samples,
        missed: &mut Vec<String>,
    ) -> Outcome {
        let installed = out.join("installed");
        let (folder, lock) = (self.top.join("env"), self.top.join("lock"));
        fs::create_dir(&folder).map_err(|why| format!("unable to create: {why}"))?;
        for at in 0..5 {
            fs::write(folder.join(format!("VARIABLE{at}")), "some value\n")
                .map_err(|why| format!("unable to write: {why}"))?;
        }
        let execs = if self.options.quick { 20 } else { 200 };
        before_all_others(true);
        for (row, links) in CHAINS {
            eprintln!("xtask: {row}");
            let commands: Vec<(&Subject, Vec<PathBuf>)> = subjects
                .iter()
                .filter_map(|subject| {
                    let mut words = Vec::new();
                    for link in links {
                        let mut link = subject.link(link, &folder, &lock)?;
                        if let Some(program) = link.first_mut() {
                            *program = install(program, &installed.join(&subject.name))
                                .map_err(|why| missed.push(format!("{row}: {why}")))
                                .ok()?;
                        }
                        words.extend(link);
                    }
                    words.push(self.clock.end.clone());
                    Some((subject, words))
                })
                .collect();
            for round in 0..execs * self.options.rounds {
                let mut took = Vec::new();
                for at in 0..commands.len() {
                    let (subject, words) = &commands[(at + round) % commands.len()];
                    let mut command = self.clock.command(&words[0]);
                    command.args(&words[1..]).stdin(Stdio::null());
                    match self.clock.run(&mut command) {
                        Ok(time) => took.push((subject, time.wall.as_secs_f64() * 1e6)),
                        Err(why) => missed.push(format!("{row}: {why}")),
                    }
                }
                let bare = took.iter().find(|(subject, _)| subject.kind == Kind::Bare);
                let bare = bare.map_or(0.0, |(_, time)| *time);
                for (subject, time) in took {
                    // What the links cost, over the exec without them that was measured beside them.
                    let over = if subject.kind == Kind::Bare {
                        time
                    } else {
                        time - bare
                    };
                    samples
                        .entry((row, subject.name.clone()))
                        .or_default()
                        .push(over);
                }
            }
        }
        before_all_others(false);
        Ok(())
    }

    /// A file of lines of `length` bytes, the newline counted; `stamped` ones begin with a time each.
    fn lines(&self, length: usize, stamped: bool) -> Result<PathBuf, String> {
        let path = self.top.join("input");
        let bytes: usize = if self.options.quick {
            6 << 20
        } else {
            300_000_000
        };
        let mut file = BufWriter::with_capacity(1 << 20, create(&path)?);
        let fill = "the quick brown fox jumps over the lazy dog; ".repeat(3);
        let written: std::io::Result<()> = (0..bytes / length).try_for_each(|at| {
            let stamp = if stamped {
                format!(
                    "@{:016x}{:08x} ",
                    0x4000_0000_6500_0000_u64 + at as u64 / 1000,
                    at % 1000 * 1_000_000
                )
            } else {
                format!("{at:08} ")
            };
            let rest = length.saturating_sub(stamp.len() + 1);
            writeln!(file, "{stamp}{}", &fill[..rest])
        });
        written
            .and_then(|()| file.flush())
            .map_err(|why| format!("unable to write {}: {why}", path.display()))?;
        Ok(path)
    }
}

/// The chains of which the links are timed.
const CHAINS: [(&str, &[&str]); 5] = [
    ("chain-softlimit", &["softlimit"]),
    ("chain-setlock", &["setlock"]),
    ("chain-envdir", &["envdir"]),
    ("chain-setuidgid", &["setuidgid"]),
    (
        "chain-four",
        &["setlock", "envdir", "softlimit", "setuidgid"],
    ),
];

impl Subject {
    /// A program of this subject, if it has it.
    fn has(&self, name: &str, clock: &Clock) -> Option<Command> {
        if self.kind == Kind::Bare {
            return Some(clock.command(name));
        }
        let program = self.dir.join(name);
        program.is_file().then(|| clock.command(program))
    }

    /// The words of a link of a chain. The kernel alone needs none; runit's has the names of daemontools.
    fn link(&self, name: &str, folder: &Path, lock: &Path) -> Option<Vec<PathBuf>> {
        let argument = match name {
            "envdir" => folder,
            "setlock" => lock,
            "setuidgid" => Path::new("nobody"),
            _ => Path::new("100"),
        };
        let (program, option) = match (self.kind, name) {
            (Kind::Bare, _) => return Some(Vec::new()),
            (Kind::Ours | Kind::Daemontools, "softlimit") => ("softlimit".to_owned(), Some("-o")),
            (Kind::Ours | Kind::Daemontools, _) => (name.to_owned(), None),
            (Kind::S6, "softlimit") => ("s6-softlimit".to_owned(), Some("-o")),
            (Kind::S6, _) => (format!("s6-{name}"), None),
            (Kind::Runit, "envdir") => ("chpst".to_owned(), Some("-e")),
            (Kind::Runit, "setlock") => ("chpst".to_owned(), Some("-l")),
            (Kind::Runit, "setuidgid") => ("chpst".to_owned(), Some("-u")),
            (Kind::Runit, _) => ("chpst".to_owned(), Some("-o")),
        };
        let program = self.dir.join(program);
        if !program.is_file() {
            eprintln!("xtask: SKIPPED: {} has no {}", self.name, program.display());
            return None;
        }
        let mut words = vec![program];
        words.extend(option.map(PathBuf::from));
        words.push(argument.to_owned());
        Some(words)
    }
}

/// Copies a program into a folder, as an installation does, and answers with its place there.
///
/// What a page fault costs depends on how the file came into the page cache: written in one go it lies there in large pieces,
/// and each fault maps more of it. As the linker leaves a file, a link costs a third more (Linux 6.18, ext4).
fn install(program: &Path, folder: &Path) -> Result<PathBuf, String> {
    let name = program.file_name().unwrap_or_default();
    let place = folder.join(name);
    let copied = fs::create_dir_all(folder).and_then(|()| {
        // Never into a file that is there: it may be a link to somebody's program.
        match fs::remove_file(&place) {
            Err(why) if why.kind() != std::io::ErrorKind::NotFound => Err(why),
            Ok(()) | Err(_) => fs::copy(program, &place),
        }
    });
    copied
        .map(|_| place)
        .map_err(|why| format!("unable to copy {}: {why}", program.display()))
}

fn open(path: &Path) -> Result<File, String> {
    File::open(path).map_err(|why| format!("unable to open {}: {why}", path.display()))
}

fn create(path: &Path) -> Result<File, String> {
    File::create(path).map_err(|why| format!("unable to create {}: {why}", path.display()))
}
