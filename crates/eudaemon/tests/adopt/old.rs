//! The process before: it hands over what it is told to, and hears what the new one says.

use eudaemon_core::handover::{FRAME_MOST, Given, Item, Said};
use eudaemon_sys::hand::{self, Handed};
use eudaemon_sys::passing::{Came, Channel};
use std::fs::File;
use std::io::{ErrorKind, PipeReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Which role this program plays.
pub const ROLE: &str = "EUDAEMON_ADOPT_ROLE";
/// The role of a role's own child.
pub const PROGRAM_ROLE: &str = "EUDAEMON_ADOPT_CHILD";
/// Where the role and the test meet.
pub const FOLDER: &str = "EUDAEMON_ADOPT_FOLDER";
/// Long enough for a loaded machine; nothing waits for its end.
pub const LONG: Duration = Duration::from_secs(60);

/// A directory, gone with the test.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("eudaemon-adopt-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a new directory");
        Scratch(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// What the role said, once it has.
    pub fn heard(&self, name: &str) -> String {
        let path = self.path(name);
        until(name, || std::fs::read_to_string(&path).ok())
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

/// A manager that only listens.
pub struct Ear(UnixDatagram);

impl Ear {
    pub fn new(folder: &Path) -> Ear {
        let socket = UnixDatagram::bind(folder.join("notify")).expect("a new name");
        socket.set_nonblocking(true).expect("our own");
        Ear(socket)
    }

    /// What was said since the last time.
    pub fn said(&self) -> Vec<String> {
        let mut bytes = [0; 4096];
        let mut all = Vec::new();
        while let Ok(length) = self.0.recv(&mut bytes) {
            all.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
        }
        all
    }

    /// Waits for a message with this in it; all that came up to it.
    pub fn wait(&self, text: &str) -> Vec<String> {
        let mut all = Vec::new();
        until(text, || {
            all.extend(self.said());
            all.iter().any(|one| one.contains(text)).then_some(())
        });
        all
    }
}

/// What the new process said.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    Ready,
    Failed(u8, String),
    Unable(String),
    Gone,
}

pub struct Old {
    line: Option<Channel>,
    pub child: Child,
    /// What the new process writes to its standard error before it is promoted.
    pub stderr: PipeReader,
}

impl Old {
    /// Starts this program in a role, with these options, as the one that takes the place of this process.
    pub fn start(folder: &Path, role: &str, options: &[&str]) -> Old {
        Old::start_told(folder, role, options, "1:$$:3", &[])
    }

    /// The same, told this by the variable, which a shell sees; and with more of an environment.
    pub fn start_told(
        folder: &Path,
        role: &str,
        options: &[&str],
        told: &str,
        more: &[(&str, &str)],
    ) -> Old {
        let (line, its_end) = Channel::pair().expect("a pair");
        let (stderr, its_stderr) = std::io::pipe().expect("a pipe");
        let mut command = Command::new("/bin/sh");
        let script = format!("EUDAEMON_HANDOVER={told} exec \"$0\" \"$@\"");
        command
            .args(["-c", &script])
            .arg(std::env::current_exe().expect("procfs"))
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(its_stderr);
        let mut environment = vec![
            (ROLE.into(), role.into()),
            (FOLDER.into(), folder.into()),
            ("NOTIFY_SOCKET".into(), folder.join("notify").into()),
        ];
        environment.extend(more.iter().map(|(name, value)| (name.into(), value.into())));
        let handed = Handed {
            environment,
            fds: vec![end(&its_end)],
            ..Handed::default()
        };
        let child = hand::start(command, handed).expect("a shell");
        drop(its_end);
        Old {
            line: Some(line),
            child,
            stderr,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn line(&self) -> &Channel {
        self.line.as_ref().expect("not closed yet")
    }

    /// Closes this end.
    pub fn close(&mut self) {
        self.line = None;
    }

    pub fn give(&self, given: &Given, fds: &[&dyn AsFd]) {
        let frame = given.encode().expect("short enough");
        let fds: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
        if let Err(error) = self.line().send(&frame, &fds) {
            // It has refused already, and says so.
            assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{error}");
        }
    }

    /// Hands everything over.
    pub fn hand(&self, items: Vec<(Item, Vec<&dyn AsFd>)>) {
        let end = Given::End {
            generation: 1,
            items: u32::try_from(items.len()).expect("a few"),
        };
        for (item, fds) in items {
            self.give(&Given::Item(item), &fds);
        }
        self.give(&end, &[]);
    }

    /// What the new process says next.
    pub fn heard(&self) -> Told {
        let mut bytes = vec![0; FRAME_MOST];
        let came = self.line().receive(&mut bytes, true, drop);
        match came.expect("a line") {
            Came::Message(length) => match Said::decode(&bytes[..length]).expect("a frame") {
                Said::Ready => Told::Ready,
                Said::Failed { exit, words } => Told::Failed(exit, words),
                Said::Unable { words } => Told::Unable(words),
            },
            Came::Closed | Came::Nothing => Told::Gone,
        }
    }

    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.expect("kill").success());
    }

    /// Its end, and all it wrote to the pipe.
    pub fn end(&mut self) -> (ExitStatus, String) {
        let status = self.child.wait().expect("our own");
        let mut text = String::new();
        self.stderr.read_to_string(&mut text).expect("text");
        (status, text)
    }
}

impl Drop for Old {
    fn drop(&mut self) {
        // Of one that has been waited for this is nothing; a failed test leaves none behind.
        if !std::thread::panicking() {
            return;
        }
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

fn end(of: &Channel) -> OwnedFd {
    of.as_fd().try_clone_to_owned().expect("a free number")
}

/// The bytes of a path.
pub fn bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_vec()
}

/// What is written in a file.
pub fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// A locked file that says who has it.
pub fn pidfile(path: &Path) -> File {
    std::fs::write(path, format!("{}\n", std::process::id())).expect("our own directory");
    let file = File::options().read(true).write(true).open(path);
    let file = file.expect("our own file");
    eudaemon_sys::file::lock(&file).expect("nobody has it");
    file
}

/// Whether somebody else has the lock.
pub fn is_locked(path: &Path) -> bool {
    let file = File::open(path).expect("it is there");
    eudaemon_sys::file::lock(&file).is_err()
}
