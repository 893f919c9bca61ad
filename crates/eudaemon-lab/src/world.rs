//! A world: one temporary directory, and every process that was started in it.
//!
//! Services leave their starters, so a world finds its processes by a mark in their environment or by a working
//! directory below its own; nothing else on the machine is ever touched.

use crate::wait::{Exit, SOON, child, exit_of, pid_of, until};
use crate::{Bins, Signal};
use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The variable that marks the processes of a world.
const MARK: &str = "EUDAEMON_LAB_WORLD";

/// Held while a script is open for writing and while a child is between fork and exec: a child that inherits the open
/// script would make the kernel refuse to run it (ETXTBSY).
pub(crate) fn forking() -> MutexGuard<'static, ()> {
    static FORKING: Mutex<()> = Mutex::new(());
    FORKING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A temporary directory whose processes end with it.
pub struct World {
    dir: PathBuf,
    mark: String,
    calls: AtomicU32,
}

/// What a program said and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
    /// Its exit code, or 128 + the signal that ended it.
    pub code: i32,
}

/// A program that was started and left running.
#[derive(Clone, Debug)]
pub struct Running {
    /// Its pid.
    pub pid: i32,
    out: PathBuf,
    err: PathBuf,
}

impl World {
    /// Makes an empty world. `name` appears in the name of the directory.
    ///
    /// # Panics
    /// When no directory can be made.
    #[must_use]
    pub fn new(name: &str) -> World {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        loop {
            let mark = format!(
                "lab-{name}-{}-{}",
                std::process::id(),
                COUNT.fetch_add(1, Ordering::Relaxed)
            );
            let dir = std::env::temp_dir().join(&mark);
            match fs::create_dir(&dir) {
                // An earlier run of the same pid was ended before it could remove it.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
                made => made.expect("a temporary directory"),
            }
            fs::create_dir(dir.join("at")).expect("a directory in our own");
            return World {
                dir,
                mark,
                calls: AtomicU32::new(0),
            };
        }
    }

    /// The path of `rel` in this world.
    #[must_use]
    pub fn path(&self, rel: impl AsRef<Path>) -> PathBuf {
        self.dir.join("at").join(rel)
    }

    /// Writes a file, making its directories.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn write(&self, rel: impl AsRef<Path>, text: impl AsRef<[u8]>) {
        self.put(rel.as_ref(), text.as_ref(), 0o644);
    }

    /// Writes an executable shell script with this body, by a new file renamed into place.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn script(&self, rel: impl AsRef<Path>, body: &str) {
        self.put(
            rel.as_ref(),
            format!("#!/bin/sh\n{body}\n").as_bytes(),
            0o755,
        );
    }

    fn put(&self, rel: &Path, text: &[u8], mode: u32) {
        let path = self.path(rel);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).expect("the directory of a file to write");
        }
        let new = path.with_extension("lab-new");
        let _alone = forking();
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&new)
            .expect("a new file");
        file.set_permissions(fs::Permissions::from_mode(mode))
            .expect("chmod of our own file");
        file.write_all(text).expect("a written file");
        drop(file);
        fs::rename(&new, &path).expect("a renamed file");
    }

    /// As [`World::script`] for the `run` of a new directory, which appears at once and whole: whoever watches its parent
    /// finds no directory without a `run`.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn service(&self, rel: impl AsRef<Path>, body: &str) {
        let made = format!("made-{}", self.calls.fetch_add(1, Ordering::Relaxed));
        self.script(Path::new(&made).join("run"), body);
        fs::rename(self.path(&made), self.path(rel)).expect("a directory in place");
    }

    /// Copies a program to `rel`.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn copy(&self, from: &Path, rel: impl AsRef<Path>) {
        let _alone = forking();
        fs::copy(from, self.path(rel)).expect("a copy");
    }

    /// Reads a file; empty when it is not there (yet).
    #[must_use]
    pub fn read(&self, rel: impl AsRef<Path>) -> String {
        String::from_utf8_lossy(&fs::read(self.path(rel)).unwrap_or_default()).into_owned()
    }

    /// Starts `argv` in this world's directory with the programs of `bins` first in PATH, its output going to files.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start<S: AsRef<OsStr>>(&self, bins: &Bins, argv: &[S]) -> Running {
        self.start_with(bins, argv, "", &[], b"")
    }

    /// As [`World::start`], in the directory `cwd`, with more environment and with `input` on standard input.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_with<S: AsRef<OsStr>>(
        &self,
        bins: &Bins,
        argv: &[S],
        cwd: &str,
        env: &[(&str, &str)],
        input: &[u8],
    ) -> Running {
        let n = self.calls.fetch_add(1, Ordering::Relaxed);
        let input_path = self.dir.join(format!("{n}.in"));
        fs::write(&input_path, input).expect("an input file");
        let first = argv[0].as_ref();
        // A name of the family means the subject's program and no other, so the host's can never stand in for it.
        let program = if first.as_bytes().contains(&b'/') {
            PathBuf::from(first)
        } else {
            bins.program(first)
        };
        let mut command = Command::new(&program);
        command
            .arg0(first)
            .args(&argv[1..])
            .current_dir(self.path(cwd))
            .env_clear()
            .env("PATH", bins.search_path())
            .stdin(fs::File::open(&input_path).expect("the input file"));
        self.spawn(command, n, env)
    }

    /// Starts `program` in this world's directory with this standard input; its output goes to files.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_on<S: AsRef<OsStr>>(
        &self,
        program: &Path,
        arguments: &[S],
        input: OwnedFd,
    ) -> Running {
        self.start_at(program, arguments, &self.path(""), input)
    }

    /// As [`World::start_on`], in any directory: one of another mount namespace, perhaps.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_at<S: AsRef<OsStr>>(
        &self,
        program: &Path,
        arguments: &[S],
        cwd: &Path,
        input: OwnedFd,
    ) -> Running {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(cwd)
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
            .stdin(input);
        self.spawn(command, self.calls.fetch_add(1, Ordering::Relaxed), &[])
    }

    fn spawn(&self, mut command: Command, n: u32, env: &[(&str, &str)]) -> Running {
        let (out, err) = (
            self.dir.join(format!("{n}.out")),
            self.dir.join(format!("{n}.err")),
        );
        let open = |path: &Path| {
            fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .expect("an output file")
        };
        command
            .env("HOME", &self.dir)
            .env("LC_ALL", "C")
            .env(MARK, &self.mark)
            .envs(env.iter().copied())
            .stdout(open(&out))
            .stderr(open(&err))
            .process_group(0);
        let alone = forking();
        let pid = child(|| command.spawn().map(|started| started.id().cast_signed()));
        drop(alone);
        let pid = pid.unwrap_or_else(|e| panic!("{:?} does not start: {e}", command.get_program()));
        Running { pid, out, err }
    }

    /// Runs `argv` to its end.
    ///
    /// # Panics
    /// When it does not end.
    pub fn run<S: AsRef<OsStr>>(&self, bins: &Bins, argv: &[S]) -> Outcome {
        self.run_with(bins, argv, "", &[], b"")
    }

    /// As [`World::run`], with the extras of [`World::start_with`].
    ///
    /// # Panics
    /// When it does not end.
    pub fn run_with<S: AsRef<OsStr>>(
        &self,
        bins: &Bins,
        argv: &[S],
        cwd: &str,
        env: &[(&str, &str)],
        input: &[u8],
    ) -> Outcome {
        let running = self.start_with(bins, argv, cwd, env, input);
        let outcome = running.outcome(SOON).unwrap_or_else(|| {
            let words: Vec<_> = argv
                .iter()
                .map(|a| a.as_ref().to_string_lossy().into_owned())
                .collect();
            panic!(
                "{words:?} did not end; it said {:?} {:?}",
                running.out(),
                running.err()
            )
        });
        let _said = running.forget();
        outcome
    }

    /// The living processes of this world with their descendants, zombies not counted.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        let all: Vec<_> = pids()
            .filter_map(|pid| {
                let (state, parent) = state_and_parent(pid)?;
                (state != 'Z' && state != 'X').then_some((pid, parent))
            })
            .collect();
        let mut found: HashSet<_> = all
            .iter()
            .map(|&(pid, _)| pid)
            .filter(|&pid| self.owns(pid))
            .collect();
        // A child may have shed both marks: a cleared environment in another mount namespace.
        while all
            .iter()
            .any(|&(pid, parent)| found.contains(&parent) && found.insert(pid))
        {}
        found.into_iter().collect()
    }

    fn owns(&self, pid: i32) -> bool {
        let mark = format!("{MARK}={}", self.mark);
        fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(&self.dir))
            || fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|env| env.split(|&b| b == 0).any(|word| word == mark.as_bytes()))
    }

    /// The living processes of this world with this `comm` (the kernel's short name).
    #[must_use]
    pub fn named(&self, name: &str) -> Vec<i32> {
        self.processes()
            .into_iter()
            .filter(|&pid| comm(pid) == name)
            .collect()
    }

    /// Ends every process of this world, and waits until they are gone.
    pub fn end_all(&self) {
        // One that is dying has lost its marks before it has closed its files, and so lost its locks.
        let mut ended = HashSet::new();
        let gone = until(SOON, || {
            let all = self.processes();
            ended.extend(all.iter().copied());
            // Stopped first, all of them: a supervisor that is still running would start again what we kill.
            for signal in [Signal::STOP, Signal::KILL] {
                for &pid in &all {
                    self.signal(pid, signal);
                }
            }
            all.is_empty() && !ended.iter().any(|pid| alive(*pid))
        });
        if !gone {
            let _told = writeln!(
                std::io::stderr(),
                "lab: processes of {} would not end",
                self.dir.display()
            );
        }
    }

    /// Sends a signal to a process, if it is (still) one of this world.
    pub fn signal(&self, pid: i32, signal: Signal) -> bool {
        let Some(id) = pid_of(pid) else { return false };
        // The pidfd fixes which process is meant before we look whether it is ours: pids are reused.
        let Ok(fd) = pidfd_open(id, PidfdFlags::empty()) else {
            return false;
        };
        (self.owns(pid) || self.processes().contains(&pid)) && pidfd_send_signal(fd, signal).is_ok()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut told = std::io::stderr();
            for pid in self.processes() {
                let _told = writeln!(
                    told,
                    "lab: was running: {pid} {} {}",
                    comm(pid),
                    command_line(pid)
                );
            }
        }
        self.end_all();
        remove_tables(&self.dir);
        if std::env::var_os("EUDAEMON_LAB_KEEP").is_none() {
            let _left_behind = fs::remove_dir_all(&self.dir);
        }
    }
}

impl Running {
    /// How it ended, waiting at most `limit`.
    #[must_use]
    pub fn exit(&self, limit: Duration) -> Option<Exit> {
        exit_of(self.pid, limit)
    }

    /// What it said so far on standard output.
    #[must_use]
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.out).unwrap_or_default()).into_owned()
    }

    /// What it said so far on standard error.
    #[must_use]
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.err).unwrap_or_default()).into_owned()
    }

    /// What it said on standard error; a long run of many programs would fill the disk with what they said.
    #[must_use]
    pub fn forget(&self) -> String {
        let said = self.err();
        let _gone = fs::remove_file(&self.out);
        let _gone = fs::remove_file(&self.err);
        said
    }

    /// Everything about its end, waiting for it at most `limit`.
    #[must_use]
    pub fn outcome(&self, limit: Duration) -> Option<Outcome> {
        let code = match self.exit(limit)? {
            Exit::Code(code) => code,
            Exit::Signal(signal) => 128 + signal,
        };
        Some(Outcome {
            out: self.out(),
            err: self.err(),
            code,
        })
    }
}

/// Removes the tables in memory that the trees below `dir` left there: those who were killed could not do it themselves. A
/// tree says by a link where its table is (docs/formats/table.md).
fn remove_tables(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => remove_tables(&path),
            Ok(kind) if kind.is_symlink() && entry.file_name() == "table" => {
                let table = fs::read_link(&path).unwrap_or_default();
                let extension = table.extension().unwrap_or_default();
                if extension == "tree" || extension == "service" {
                    let _gone_already = fs::remove_file(&table);
                }
            }
            Ok(_) | Err(_) => {}
        }
    }
}

/// All pids of the machine.
pub(crate) fn pids() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The kernel's short name of a process; empty when it is gone.
pub(crate) fn comm(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm"))
        .unwrap_or_default()
        .trim_end()
        .to_owned()
}

/// State letter and parent of a process.
pub(crate) fn state_and_parent(pid: i32) -> Option<(char, i32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, so count from the last parenthesis: proc(5), /proc/pid/stat.
    let mut after = stat[stat.rfind(')')? + 1..].split_whitespace();
    Some((after.next()?.chars().next()?, after.next()?.parse().ok()?))
}

/// Whether a process exists and is not a zombie.
pub(crate) fn alive(pid: i32) -> bool {
    state_and_parent(pid).is_some_and(|(state, _)| state != 'Z' && state != 'X')
}

fn command_line(pid: i32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).replace('\0', " ")
}
