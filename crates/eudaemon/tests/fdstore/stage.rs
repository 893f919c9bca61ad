//! What the tests share.

use eudaemon::testing::{Builder, Manager, Stored};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Where the role and the test meet.
pub const FOLDER: &str = "EUDAEMON_FDSTORE_FOLDER";
/// What it opens: `NAME=ADDRESS` and blanks.
pub const OPEN: &str = "EUDAEMON_FDSTORE_OPEN";
/// What it takes, by name.
pub const TAKE: &str = "EUDAEMON_FDSTORE_TAKE";
/// Which states it reads.
pub const STATE: &str = "EUDAEMON_FDSTORE_STATE";
/// Whether it stores nothing by itself.
pub const PLAIN: &str = "EUDAEMON_FDSTORE_PLAIN";
/// The mode of its paths.
pub const MODE: &str = "EUDAEMON_FDSTORE_MODE";
/// Whether its `init` fails.
pub const FAIL: &str = "EUDAEMON_FDSTORE_FAIL";
/// Long enough for a loaded machine; nothing waits for its end.
pub const LONG: Duration = Duration::from_secs(60);

pub fn folder() -> PathBuf {
    std::env::var_os(FOLDER).expect("the stage sets it").into()
}

/// One service, started again and again.
pub struct Life {
    pub folder: PathBuf,
    pub capacity: usize,
    stored: Vec<Stored>,
}

impl Life {
    pub fn new() -> Life {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("eudaemon-fdstore-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).expect("a new directory");
        Life {
            folder,
            capacity: 16,
            stored: Vec::new(),
        }
    }

    /// Starts it with these variables, and what an earlier start stored.
    pub fn begin(&mut self, variables: &[(&str, &str)]) -> Manager {
        self.begin_with(Manager::builder(), variables)
    }

    pub fn begin_with(&mut self, builder: Builder, variables: &[(&str, &str)]) -> Manager {
        let mut command = Command::new(std::env::current_exe().expect("procfs"));
        let log = std::fs::File::create(self.folder.join("log")).expect("our own directory");
        command.env(FOLDER, &self.folder).stdin(Stdio::null());
        command.envs(variables.iter().copied());
        // A level at which it says what it does not keep.
        command.args(["--service.log-level", "debug"]).stderr(log);
        let builder = match self.capacity {
            0 => builder,
            capacity => builder.fd_store(capacity),
        };
        let stored = std::mem::take(&mut self.stored);
        builder.stored(stored).start(command).expect("this program")
    }

    /// The same, and waits until it is ready.
    pub fn serve(&mut self, variables: &[(&str, &str)]) -> Manager {
        let manager = self.begin(variables);
        let ready = manager.wait_ready(LONG);
        assert!(ready.is_ok(), "{:?}\n{}", ready, self.log());
        manager
    }

    /// Ends it as `systemctl restart` does, and keeps what it stored.
    pub fn end(&mut self, manager: Manager) {
        let ended = manager.stop(LONG).expect("it stops");
        assert!(ended.success(), "{ended}\n{}", self.log());
        self.after(manager);
    }

    /// Keeps what a service stored that has ended.
    pub fn after(&mut self, manager: Manager) {
        manager.wait_end(LONG).expect("it has ended");
        assert_eq!(manager.violations(), [], "{}", self.log());
        self.stored = manager.take_stored();
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Drops what is kept, as `systemctl stop` does.
    pub fn forget(&mut self) {
        self.stored.clear();
    }

    /// Has the running service do something; its answer.
    pub fn order(&self, manager: &Manager, order: &str) -> String {
        self.order_to(manager.main_pid(), order)
    }

    /// Has this process do something; its answer.
    pub fn order_to(&self, pid: u32, order: &str) -> String {
        let path = self.folder.join(format!("orders.{pid}"));
        let mut orders = UnixStream::connect(path).expect("it is ready");
        writeln!(orders, "{order}").expect("it reads");
        line(&orders)
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A line that somebody says.
pub fn line(from: impl std::io::Read) -> String {
    let mut text = String::new();
    BufReader::new(from).read_line(&mut text).expect("a line");
    text.trim_end().to_owned()
}

/// A port that nobody has at this moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its number").port()
}

/// A client that waits to be served.
pub fn client(port: u16) -> std::io::Result<TcpStream> {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port))
}

/// The names in the store, in alphabetical order; those of locks without their numbers.
pub fn names(manager: &Manager) -> Vec<String> {
    let mut names = manager.stored_names();
    for name in &mut names {
        if name.starts_with("eudaemon.lock.") {
            "eudaemon.lock".clone_into(name);
        }
        // A list has two names, and which it has is nobody's business.
        if name == "eudaemon.other.eudaemon.stored" {
            "eudaemon.stored".clone_into(name);
        }
    }
    names.sort();
    names
}

/// Looks again until it is so.
pub fn until(what: &str, mut look: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !look() {
        assert!(begun.elapsed() < LONG, "waited too long for {what}");
        std::thread::yield_now();
    }
}
