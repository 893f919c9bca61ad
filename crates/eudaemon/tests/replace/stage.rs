//! What the tests share.

use eudaemon::Signal;
use eudaemon::testing::{Builder, Manager};
use eudaemon_core::words::Pid;
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Which role this program plays.
pub const ROLE: &str = "EUDAEMON_REPLACE_ROLE";
/// Where the role and the test meet.
pub const FOLDER: &str = "EUDAEMON_REPLACE_FOLDER";
/// Long enough for a loaded machine; nothing waits for its end.
pub const LONG: Duration = Duration::from_secs(60);

/// A directory, gone with the test, and in it a way to this program.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("eudaemon-replace-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a new directory");
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(&path, open).expect("our own");
        let scratch = Scratch(path);
        scratch.lead_to(&std::env::current_exe().expect("procfs"));
        scratch
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The program that is started from here on, at its old path.
    pub fn lead_to(&self, program: &Path) {
        let fresh = self.path("fresh");
        std::os::unix::fs::symlink(program, &fresh).expect("our own directory");
        std::fs::rename(fresh, self.path("program")).expect("our own directory");
    }

    /// What the next process does.
    pub fn next(&self, does: &str) {
        std::fs::write(self.path("next"), does).expect("our own directory");
    }

    pub fn command(&self, role: &str, options: &[&str]) -> Command {
        let mut command = Command::new(self.path("program"));
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("log"));
        command
            .args(options)
            .env(ROLE, role)
            .env(FOLDER, &self.0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("our own directory"));
        command
    }

    /// In a role, under a manager in a box, and ready.
    pub fn managed(&self, builder: Builder, role: &str, options: &[&str]) -> Manager {
        let builder = builder.environment(ROLE, role).environment(FOLDER, &self.0);
        let manager = builder.start(self.command(role, options));
        let manager = manager.expect("this program");
        let ready = manager.wait_ready(LONG);
        assert!(ready.is_ok(), "{ready:?}: {}", self.log());
        manager
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Asks whoever serves.
    pub fn ask(&self, question: &str) -> String {
        self.client().ask(question)
    }

    pub fn client(&self) -> Client {
        let stream = UnixStream::connect(self.path("web.sock")).expect("somebody serves");
        Client(BufReader::new(stream))
    }

    /// The names of the files here, but for those of the test itself.
    pub fn files(&self) -> BTreeSet<String> {
        let files = std::fs::read_dir(&self.0).expect("our own");
        let names = files.map(|file| file.expect("our own").file_name());
        let names = names.map(|name| name.to_string_lossy().into_owned());
        names
            .filter(|name| name != "log" && name != "next")
            .collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A test that failed leaves processes that nobody else knows of.
        let own = format!("{FOLDER}={}", self.0.display());
        let of = |pid: u32| std::fs::read(format!("/proc/{pid}/environ")).ok();
        let is_own = |pid: u32| {
            let mut pairs = of(pid)?;
            pairs.push(0);
            let found = pairs
                .split(|byte| *byte == 0)
                .any(|pair| pair == own.as_bytes());
            found.then_some(pid)
        };
        let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        for pid in pids.filter_map(is_own).filter_map(Pid::new) {
            let _ = eudaemon_sys::process::signal_pid(pid, Signal::Kill);
        }
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Somebody who is connected.
pub struct Client(BufReader<UnixStream>);

impl Client {
    pub fn say(&mut self, question: &str) {
        let said = writeln!(self.0.get_mut(), "{question}");
        said.expect("somebody serves");
    }

    pub fn hear(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("somebody answers");
        line.trim_end().to_owned()
    }

    pub fn ask(&mut self, question: &str) -> String {
        self.say(question);
        self.hear()
    }
}

/// Looks again until there is something.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < LONG, "waited too long for {what}");
        std::thread::yield_now();
    }
}

/// What a process has: how many open descriptors, which children, which files.
#[derive(Debug, PartialEq, Eq)]
pub struct Has {
    pub fds: usize,
    pub children: Vec<u32>,
    pub files: BTreeSet<String>,
}

/// What it has when its clients are gone, and with them their threads: the main thread and the attendant are left.
pub fn settled(scratch: &Scratch, pid: u32) -> Has {
    let threads = || std::fs::read_dir(format!("/proc/{pid}/task")).map(Iterator::count);
    until("its threads to end", || {
        (threads().ok()? == 2).then_some(())
    });
    has(scratch, pid)
}

/// Waits until it has what it had before: no more, and no less.
pub fn settles(scratch: &Scratch, pid: u32, before: &Has, after: &str) {
    let begun = Instant::now();
    while settled(scratch, pid) != *before && begun.elapsed() < LONG {
        std::thread::yield_now();
    }
    assert_eq!(&settled(scratch, pid), before, "{after}");
}

fn has(scratch: &Scratch, pid: u32) -> Has {
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives");
    Has {
        fds: fds.count(),
        children: children(pid),
        files: scratch.files(),
    }
}

/// What was started by it, or by its spawner.
pub fn started(pid: u32) -> Vec<u32> {
    let is_spawner = |pid: &u32| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
        name.is_ok_and(|name| name == "eud-spawner\n")
    };
    let (spawners, own): (Vec<u32>, Vec<u32>) = children(pid).into_iter().partition(is_spawner);
    own.into_iter()
        .chain(spawners.into_iter().flat_map(children))
        .collect()
}

pub fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    let mut all = Vec::new();
    for task in tasks.into_iter().flatten().flatten() {
        let path = task.path().join("children");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        all.extend(
            text.split_whitespace()
                .map(|pid| pid.parse::<u32>().expect("a number")),
        );
    }
    all
}

pub fn is_root() -> bool {
    eudaemon_sys::process::effective_uid() == 0
}

pub fn is_gone(pid: u32) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}

/// Waits until a process is gone.
pub fn wait_gone(pid: u32) {
    until("the end of a process", || is_gone(pid).then_some(()));
}
