//! What the tests share: a directory, this program in a role, and waiting for what is written.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Which role this program plays.
pub const ROLE: &str = "EUDAEMON_LIFE_ROLE";
/// Where a role writes what it knows.
pub const NOTES: &str = "EUDAEMON_LIFE_NOTES";

/// A directory that is gone with the test.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Scratch {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let pid = std::process::id();
        let path = std::env::temp_dir().join(format!("eudaemon-life-{name}-{pid}-{number}"));
        std::fs::create_dir(&path).expect("a new directory");
        Scratch(path)
    }

    /// This program in a role, to be started in this directory.
    pub fn program(&self, role: &str) -> Command {
        let mut command = Command::new(own());
        self.put_on(&mut command, role);
        command
    }

    /// The environment of a role.
    pub fn put_on(&self, command: &mut Command, role: &str) {
        command
            .current_dir(&self.0)
            .env(ROLE, role)
            .env(NOTES, self.0.join("notes"))
            .stdin(Stdio::null());
    }

    /// What the role knows, once it has written it all.
    pub fn notes(&self) -> Notes {
        let path = self.0.join("notes");
        let text = until("notes", || std::fs::read_to_string(&path).ok());
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Notes(
            pairs
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn own() -> PathBuf {
    std::env::current_exe().expect("procfs")
}

/// Name and value, line by line.
#[derive(Debug)]
pub struct Notes(Vec<(String, String)>);

impl Notes {
    pub fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|pair| pair.0 == name);
        found.map_or_else(|| panic!("no {name} in {self:?}"), |pair| pair.1.as_str())
    }

    pub fn number(&self, name: &str) -> u32 {
        self.get(name).parse().expect("a number")
    }
}

/// Writes notes, all at once.
pub fn write_notes(pairs: &[(&str, String)]) {
    let path = PathBuf::from(std::env::var_os(NOTES).expect("put on"));
    let lines = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}\n"));
    let lines: String = lines.collect();
    let part = path.with_extension("part");
    std::fs::write(&part, lines).expect("our own directory");
    std::fs::rename(&part, &path).expect("our own directory");
}

/// Asks until there is an answer, for ten seconds.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "waited for {what}");
        eudaemon_sys::clock::pause(Duration::from_millis(2));
    }
}

/// A field of `/proc/PID/stat`, by its number in proc_pid_stat(5).
pub fn stat(pid: u32, field: usize) -> Option<i64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after = &text[text.rfind(')')? + 2..];
    after.split(' ').nth(field - 3)?.parse().ok()
}

/// Whether a process runs: it is there, and no zombie.
pub fn runs(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|text| {
        let state = text.rfind(')').and_then(|at| text.as_bytes().get(at + 2));
        !matches!(state, Some(b'Z' | b'X') | None)
    })
}

pub fn gone(pid: u32) {
    until("the end of a process", || (!runs(pid)).then_some(()));
}

/// A child that is ended with the test, whatever it does.
pub struct Started(pub std::process::Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Started {
    /// What a shell would say of its end, which must come.
    pub fn code(&mut self) -> i32 {
        code(until("its end", || self.0.try_wait().expect("our child")))
    }
}

/// Ends a process that is no child of ours, whatever it does.
pub struct Kill(pub u32);

impl Drop for Kill {
    fn drop(&mut self) {
        if let Some(pid) = eudaemon_core::words::Pid::new(self.0) {
            let _ = eudaemon_sys::process::signal_pid(pid, eudaemon_core::words::Signal::Kill);
        }
    }
}

pub fn send(pid: u32, signal: eudaemon_core::words::Signal) {
    let pid = eudaemon_core::words::Pid::new(pid).expect("no zero");
    eudaemon_sys::process::signal_pid(pid, signal).expect("it is there");
}

/// What a shell says of it: its exit code, or 128 and the signal.
pub fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

pub fn error_text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Where a descriptor of a process leads.
pub fn leads(pid: u32, number: u32) -> Option<PathBuf> {
    std::fs::read_link(Path::new("/proc").join(format!("{pid}/fd/{number}"))).ok()
}

pub fn skipped(why: &str) {
    println!("SKIPPED: {why}");
    assert!(std::env::var_os("EUDAEMON_REQUIRE").is_none(), "{why}");
}
