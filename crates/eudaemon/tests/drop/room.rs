//! Where the example runs: its accounts, its start, and the looks at it from outside.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// `web` and `alice` share the group `www`; nobody but `alice` may get hers.
const PASSWD: &str = "\
root:x:0:0::/root:/bin/sh
web:x:3001:3001::/nonexistent:/bin/false
alice:x:3002:3002::/nonexistent:/bin/false
1000:x:3003:3003::/nonexistent:/bin/false
trusted:x:3005:3005::/nonexistent:/bin/false
second:x:0:0::/root:/bin/sh
minus:x:4294967295:3001::/nonexistent:/bin/false
old:x:65535:3001::/nonexistent:/bin/false
blank:x::3001::/nonexistent:/bin/false
wheel:x:3006:0::/nonexistent:/bin/false
";
const GROUP: &str = "\
root:x:0:trusted
web:x:3001:
alice:x:3002:
1000:x:3003:
trusted:x:3005:
www:x:3010:alice,web
adm:x:3011:web
minus:x:4294967295:
";

/// Root and the programs this needs; otherwise the caller returns, having said so.
pub fn is_possible() -> bool {
    let missing = ["unshare", "setpriv", "strace", "ip"]
        .into_iter()
        .find(|program| Command::new(program).arg("-V").output().is_err());
    let is_root = fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| status.contains("Uid:\t0\t0\t0\t0"));
    match (is_root, missing) {
        (true, None) => return true,
        (false, _) => eprintln!("SKIPPED: not root"),
        (true, Some(program)) => eprintln!("SKIPPED: there is no {program}"),
    }
    assert!(
        std::env::var_os("EUDAEMON_REQUIRE").is_none(),
        "skipped although required"
    );
    false
}

/// A scratch directory with the accounts.
pub struct Room {
    pub dir: PathBuf,
}

impl Room {
    pub fn new() -> Room {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("drop-{}-{number}", std::process::id()));
        fs::create_dir_all(dir.join("root/inner")).expect("a scratch directory");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("it is ours");
        fs::write(dir.join("passwd"), PASSWD).expect("it is ours");
        fs::write(dir.join("group"), GROUP).expect("it is ours");
        // Where everybody may execute it: the build's directory may be root's alone.
        fs::copy(example(), dir.join("drop")).expect("cargo builds examples before tests");
        Room { dir }
    }

    pub fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// A copy of a program that root owns and whose setuid bit is set.
    pub fn setuid_copy(&self, program: &str) -> String {
        let copy = self.path(&format!("setuid-{}", program.replace('/', "-")));
        fs::copy(program, &copy).expect(program);
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o4755)).expect("it is ours");
        copy
    }

    /// The example with these options, behind this chain loader; `EXAMPLE` in it stands for nothing.
    fn command(&self, before: &str, options: &str) -> Command {
        let script = "mount --bind \"$0/passwd\" /etc/passwd && mount --bind \"$0/group\" /etc/group && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script]);
        command.arg(&self.dir);
        command.args(before.split_whitespace());
        command.arg(self.dir.join("drop"));
        command.args(options.split_whitespace());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .current_dir("/tmp");
        command
    }

    /// Runs it to its end.
    pub fn run(&self, before: &str, options: &str) -> Ended {
        self.start(before, options).end()
    }

    /// Starts it and reads until it is ready, or ends.
    pub fn start(&self, before: &str, options: &str) -> Running {
        let mut child = self.command(before, options).spawn().expect("unshare");
        let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut said = String::new();
        let mut is_ready = false;
        let mut line = String::new();
        while !is_ready && out.read_line(&mut line).expect("it prints text") > 0 {
            is_ready = line.starts_with("ready");
            said.push_str(&line);
            line.clear();
        }
        Running {
            child,
            out,
            said,
            is_ready,
        }
    }

    /// Starts it, and expects it to become ready.
    pub fn ready(&self, before: &str, options: &str) -> Running {
        let running = self.start(before, options);
        if !running.is_ready {
            let ended = running.end();
            panic!("{before} drop {options}: {ended:?}");
        }
        running
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn example() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let build = test.ancestors().nth(2).expect("target/debug/deps/drop-…");
    build.join("examples/drop")
}

#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub said: String,
    pub errors: String,
    pub is_ready: bool,
}

pub struct Running {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    pub said: String,
    pub is_ready: bool,
}

impl Running {
    /// Lets it end.
    pub fn end(mut self) -> Ended {
        drop(self.child.stdin.take());
        self.out
            .read_to_string(&mut self.said)
            .expect("it prints text");
        let mut errors = String::new();
        let stderr = self.child.stderr.as_mut().expect("it is piped");
        stderr.read_to_string(&mut errors).expect("it prints text");
        Ended {
            code: self.child.wait().expect("it is ours").code(),
            said: std::mem::take(&mut self.said),
            errors,
            is_ready: self.is_ready,
        }
    }

    /// Its process id: the first thread of its table, for a tracer may stand between us.
    pub fn pid(&self) -> u32 {
        let line = self
            .said
            .lines()
            .find_map(|line| line.strip_prefix("thread "));
        line.expect("a table").parse().expect("a number")
    }

    /// What each of its threads is. There are five.
    pub fn threads(&self) -> Vec<Fields> {
        let tasks = format!("/proc/{}/task", self.pid());
        let threads: Vec<Fields> = fs::read_dir(tasks)
            .expect("it lives")
            .map(|task| Fields::read(&task.expect("it lives").path().join("status")))
            .collect();
        assert_eq!(threads.len(), 5);
        threads
    }

    /// Every thread has these fields: `Uid 3001`, where four numbers are the same.
    pub fn all_threads_have(&self, wanted: &[(&str, &str)]) {
        for thread in self.threads() {
            for (field, value) in wanted {
                assert_eq!(thread.get(field), *value, "{field}");
            }
        }
    }

    /// Where a link of its `/proc` leads.
    pub fn link(&self, name: &str) -> PathBuf {
        fs::read_link(format!("/proc/{}/{name}", self.pid())).expect(name)
    }

    /// Every descriptor that is a directory.
    pub fn directories(&self) -> Vec<PathBuf> {
        let fds = fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("it lives");
        let links = fds.map(|fd| fd.expect("it lives").path());
        links
            .filter(|link| fs::metadata(link).is_ok_and(|about| about.is_dir()))
            .map(|link| fs::read_link(link).expect("it is open"))
            .collect()
    }

    /// Who owns its files in `/proc`: its user, if it is dumpable.
    pub fn proc_owner(&self) -> u32 {
        use std::os::unix::fs::MetadataExt;
        let about = fs::metadata(format!("/proc/{}/environ", self.pid()));
        about.expect("it lives").uid()
    }
}

/// The lines of a `status`.
#[derive(Debug, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, String>);

impl Fields {
    fn read(path: &Path) -> Fields {
        Fields::of(&fs::read_to_string(path).expect("it lives"))
    }

    pub fn of(text: &str) -> Fields {
        let pairs = text.lines().filter_map(|line| line.split_once(':'));
        let plain = pairs.map(|(field, value)| {
            let mut words: Vec<&str> = value.split_whitespace().collect();
            if matches!(field, "Uid" | "Gid") {
                words.dedup();
            }
            (field.to_string(), words.join(" "))
        });
        Fields(plain.collect())
    }

    pub fn get(&self, field: &str) -> &str {
        &self.0[field]
    }
}

/// Sixteen digits.
pub fn set(bits: u64) -> String {
    format!("{bits:016x}")
}
