//! What the tests share.

use eudaemon::testing::{Builder, Manager};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Which role this program plays.
pub const ROLE: &str = "EUDAEMON_WHOLE_ROLE";
/// Where the role and the test meet.
pub const FOLDER: &str = "EUDAEMON_WHOLE_FOLDER";
/// Long enough for a loaded machine; nothing waits for its end.
pub const LONG: Duration = Duration::from_secs(60);

/// A directory that everybody may enter and write to, gone with the test.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        use std::os::unix::fs::PermissionsExt;
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("eudaemon-whole-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a new directory");
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(&path, open).expect("our own");
        Scratch(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Says something to the role.
    pub fn say(&self, name: &str) {
        std::fs::write(self.path(name), "").expect("our own directory");
    }

    /// What the role said, once it has.
    pub fn heard(&self, name: &str) -> String {
        let path = self.path(name);
        until(name, || std::fs::read_to_string(&path).ok())
    }

    /// This program in a role, with these options.
    pub fn command(&self, role: &str, options: &[&str]) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("procfs"));
        command
            .args(options)
            .env(ROLE, role)
            .env(FOLDER, &self.0)
            .stdin(Stdio::null());
        command
    }

    /// The same, run to its end, without a manager.
    pub fn output(&self, role: &str, options: &[&str]) -> Output {
        let mut command = self.command(role, options);
        let command = command.env_remove("NOTIFY_SOCKET");
        command.output().expect("this program")
    }

    /// The same, under a manager in a box.
    pub fn managed(&self, builder: Builder, role: &str, options: &[&str]) -> Manager {
        let mut command = self.command(role, options);
        let log = std::fs::File::create(self.path("log")).expect("our own directory");
        command.stderr(log);
        builder
            .environment(ROLE, role)
            .environment(FOLDER, &self.0)
            .start(command)
            .expect("this program")
    }

    /// What was logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
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

/// The lines of `/proc/PID/task/*/status` with this name.
pub fn of_threads(pid: u32, name: &str) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it lives");
    tasks
        .filter_map(|task| status(&task.expect("procfs").path(), name))
        .collect()
}

/// `None`: the thread has ended since.
fn status(task: &Path, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(task.join("status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let words = line.expect("the kernel tells it").trim_start_matches(':');
    Some(words.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// What it said on standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Lets the time pass in which a second signal is taken for an echo of the first.
pub fn past_the_echo() {
    let (_never, silence) = std::sync::mpsc::channel::<()>();
    // The sender is kept, so only time ends it.
    let ended = silence.recv_timeout(eudaemon_core::life::ECHO);
    assert_eq!(ended, Err(std::sync::mpsc::RecvTimeoutError::Timeout));
}
