//! What goes wrong in one service directory is said, and the services beside it never notice.
//!
//! Each judge has a neighbour, `good`: one start, one pid, from the first moment to the last. The texts are judged by
//! their essential parts: what was attempted, on what, and why it failed.

use eudaemon_lab::chaos::{is_ok, status_pid};
use eudaemon_lab::{Bins, Running, SOON, Subject, World, bins, need, skipped, until};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// O_NONBLOCK on Linux, x86-64 and aarch64: asm-generic/fcntl.h.
const O_NONBLOCK: i32 = 0o4000;

/// A scan directory with a neighbour that must not notice.
struct Street {
    world: World,
    bins: &'static Bins,
    scan: Option<Running>,
    pid: i32,
}

impl Street {
    fn new(name: &str, subject: Subject) -> Option<Street> {
        let bins = bins(subject)?;
        let world = World::new(name);
        world.script("sv/good/run", "echo start >> starts\nexec sleep 1000");
        Some(Street {
            world,
            bins,
            scan: None,
            pid: 0,
        })
    }

    fn open(&mut self, argv: &[&str]) {
        let scan = self.world.start(self.bins, argv);
        self.scan = Some(scan);
        self.soon("the neighbour", |s| s.pid_of("sv/good") != 0);
        self.pid = self.pid_of("sv/good");
    }

    fn pid_of(&self, dir: &str) -> i32 {
        status_pid(&self.world, dir).unwrap_or(0)
    }

    fn said(&self) -> String {
        self.scan.as_ref().map(Running::err).unwrap_or_default()
    }

    fn soon(&self, what: &str, seen: impl Fn(&Street) -> bool) {
        self.within(SOON, what, seen);
    }

    fn within(&self, limit: Duration, what: &str, seen: impl Fn(&Street) -> bool) {
        assert!(
            until(limit, || seen(self)),
            "{:?}: waited in vain for: {what}; it said:\n{}",
            self.bins.subject(),
            self.said()
        );
    }

    /// A line of what was said has all these parts.
    fn says(&self, parts: &[&str]) {
        self.soon(&format!("a line with {parts:?}"), |s| {
            s.said()
                .lines()
                .any(|line| parts.iter().all(|part| line.contains(part)))
        });
    }

    fn svc(&self, letters: &str, dir: &str) {
        let outcome = self.world.run(self.bins, &["svc", letters, dir]);
        assert_eq!((outcome.err.as_str(), outcome.code), ("", 0));
    }

    /// The neighbour has not noticed, and still obeys.
    fn unnoticed(&self) {
        // Its pid is known before its script has said a word.
        self.soon("the neighbour's one start", |s| {
            s.world.read("sv/good/starts") == "start\n"
        });
        assert_eq!(
            self.pid_of("sv/good"),
            self.pid,
            "the neighbour has another pid"
        );
        assert!(
            self.world.processes().contains(&self.pid),
            "the neighbour is gone"
        );
        let line = self.world.run(self.bins, &["svstat", "sv/good"]).out;
        assert!(
            line.starts_with(&format!("sv/good: up (pid {}) ", self.pid)),
            "{line}"
        );
        self.svc("-t", "sv/good");
        self.soon("the neighbour to obey", |s| {
            s.world.read("sv/good/starts") == "start\nstart\n"
        });
    }
}

/// The judges that the original passes too, so that the judge itself is known to be passable.
fn for_both(name: &str, judge: impl Fn(Street)) {
    for subject in [Subject::Djb, Subject::Ours] {
        if let Some(street) = Street::new(name, subject) {
            judge(street);
        }
    }
}

fn for_ours(name: &str, judge: impl Fn(Street)) {
    if let Some(street) = Street::new(name, Subject::Ours) {
        judge(street);
    }
}

#[test]
fn a_missing_scan_directory() {
    let Some(ours) = bins(Subject::Ours) else {
        return;
    };
    let world = World::new("nowhere");
    let said = world.run(ours, &["svscan", "nowhere"]);
    assert_eq!(said.code, 111);
    assert_eq!(
        said.err,
        "svscan: fatal: unable to chdir to nowhere: file does not exist\n"
    );
    let said = world.run(ours, &["eudaemon", "up", "nowhere"]);
    assert_ne!(said.code, 0);
    assert!(said.err.contains("nowhere"), "{}", said.err);
    assert_eq!(said.out, "");
}

#[test]
fn a_run_that_cannot_be_run() {
    for_both("norun", |mut s| {
        s.world.write("sv/none/x", "");
        s.world
            .write("sv/plain/run", "#!/bin/sh\nexec sleep 1000\n");
        s.world.write("sv/format/run", "\0\0\0\0not a program");
        s.world.write("sv/interpreter/run", "#!/nowhere/sh\n");
        for dir in ["format", "interpreter"] {
            let run = s.world.path(format!("sv/{dir}/run"));
            fs::set_permissions(run, fs::Permissions::from_mode(0o755)).expect("chmod of our file");
        }
        s.open(&["svscan", "sv"]);
        s.says(&["unable to start none/run", "file does not exist"]);
        s.says(&["unable to start plain/run", "access denied"]);
        s.says(&["unable to start format/run", "exec format error"]);
        s.says(&["unable to start interpreter/run", "file does not exist"]);
        // Said again and again, but not more than once a second.
        let (from, said) = (Instant::now(), || {
            s.said()
                .lines()
                .filter(|line| line.contains("none/run"))
                .count()
        });
        let already = said();
        s.soon("six more complaints", |_| said() >= already + 6);
        // The first of them may come at once, and each may be late; twice a second would be over sooner.
        assert!(
            from.elapsed() > Duration::from_secs(4),
            "more than one a second:\n{}",
            s.said()
        );
        // Once it can be run, it is, without a word to the supervisor.
        s.world.script("sv/none/run", "exec sleep 1000");
        s.soon("the mended service", |s| {
            let line = s.world.run(s.bins, &["svstat", "sv/none"]).out;
            s.world.processes().contains(&s.pid_of("sv/none")) && line.contains(" up ")
        });
        s.unnoticed();
    });
}

#[test]
fn odd_entries_in_the_scan_directory() {
    for_both("odd", |mut s| {
        s.world.write("sv/file", "");
        std::os::unix::fs::symlink("nothing", s.world.path("sv/dangling")).expect("a link");
        std::os::unix::fs::symlink("circle", s.world.path("sv/circle")).expect("a link");
        s.open(&["svscan", "sv"]);
        s.says(&["svscan: warning: unable to stat dangling: file does not exist"]);
        s.says(&["svscan: warning: unable to stat circle: symbolic link loop"]);
        s.unnoticed();
    });
}

#[test]
fn supervise_is_not_a_directory() {
    for_both("notdir", |mut s| {
        s.world
            .script("sv/bad/run", "echo start >> starts\nexec sleep 1000");
        s.world.write("sv/bad/supervise", "");
        s.open(&["svscan", "sv"]);
        s.says(&["unable to acquire bad/supervise/lock", "not a directory"]);
        s.unnoticed();
        assert_eq!(
            s.world.read("sv/bad/starts"),
            "",
            "a service was started that nobody can control"
        );
        fs::remove_file(s.world.path("sv/bad/supervise")).expect("our file");
        s.soon("the mended service", |s| s.pid_of("sv/bad") != 0);
    });
}

fn can_mount() -> bool {
    if !need(&["/usr/bin/unshare", "/usr/bin/mount"]) {
        return false;
    }
    if !rustix::process::geteuid().is_root() {
        skipped("a read-only and a full disk need root");
        return false;
    }
    true
}

#[test]
fn a_read_only_disk() {
    if !can_mount() {
        return;
    }
    for_both("readonly", |mut s| {
        s.world
            .script("sv/bad/run", "echo start >> ../../starts\nexec sleep 1000");
        fs::create_dir_all(s.world.path("sv/bad/supervise")).expect("a directory");
        let script = "mount -t tmpfs -o ro none sv/bad/supervise && exec \"$0\" sv";
        let svscan = s.bins.program("svscan".as_ref());
        let svscan = svscan.to_str().expect("a path in ASCII");
        s.open(&["unshare", "--mount", "sh", "-c", script, svscan]);
        s.says(&[
            "unable to acquire bad/supervise/lock",
            "read-only file system",
        ]);
        s.unnoticed();
    });
}

#[test]
fn a_full_disk() {
    if !can_mount() {
        return;
    }
    for_both("full", |mut s| {
        s.world
            .script("sv/bad/run", "echo start >> starts\nexec sleep 1000");
        fs::create_dir_all(s.world.path("sv/bad/supervise")).expect("a directory");
        // All full from the start: the FIFOs and the lock need no page, the status does.
        let script = "mount -t tmpfs -o size=16k none sv/bad/supervise && \
                      dd if=/dev/zero of=sv/bad/supervise/filler bs=4096 count=4 2>/dev/null && exec \"$0\" sv";
        let svscan = s.bins.program("svscan".as_ref());
        let svscan = svscan.to_str().expect("a path in ASCII");
        s.open(&["unshare", "--mount", "sh", "-c", script, svscan]);
        s.says(&["bad/supervise/status", "out of disk space"]);
        // A disk that is full is no reason not to serve.
        s.soon("the service on the full disk", |s| {
            s.world.read("sv/bad/starts") == "start\n"
        });
        let inside = format!("/proc/{}/root{}", s.pid, s.world.path("sv/bad").display());
        let control = |letter: &[u8]| {
            fs::OpenOptions::new()
                .write(true)
                .custom_flags(O_NONBLOCK)
                .open(format!("{inside}/supervise/control"))
                .and_then(|mut fifo| fifo.write_all(letter))
                .expect("a FIFO with a reader");
        };
        control(b"t");
        s.soon("a restart on the full disk", |s| {
            s.world.read("sv/bad/starts") == "start\nstart\n"
        });
        // Space comes back: the next change is on the disk again.
        fs::remove_file(format!("{inside}/supervise/filler")).expect("our file");
        control(b"d");
        s.soon("a status that is whole", |_| {
            fs::read(format!("{inside}/supervise/status")).is_ok_and(|bytes| {
                bytes.len() >= 18 && bytes[17] == b'd' && bytes[12..16] == [0; 4]
            })
        });
        s.unnoticed();
    });
}

#[test]
fn a_full_disk_under_multilog() {
    if !can_mount() {
        return;
    }
    for subject in [Subject::Djb, Subject::Ours] {
        let Some(bins) = bins(subject) else { continue };
        let world = World::new("fulllog");
        fs::create_dir_all(world.path("log")).expect("a directory");
        let multilog = bins.program("multilog".as_ref());
        let script = "mount -t tmpfs -o size=64k none log && dd if=/dev/zero of=log/filler bs=4096 count=15 2>/dev/null && \
                      touch ready && exec \"$0\" ./log";
        let input: String = (0..1000).map(|n| format!("line {n}\n")).collect();
        let argv = [
            "unshare",
            "--mount",
            "sh",
            "-c",
            script,
            multilog.to_str().expect("a path in ASCII"),
        ];
        let running = world.start_with(bins, &argv, "", &[], input.as_bytes());
        let said = until(SOON, || {
            running.err().contains(
                "multilog: warning: unable to write to ./log/current, pausing: out of disk space",
            )
        });
        assert!(said, "{subject:?} said {}", running.err());
        assert_eq!(running.exit(Duration::ZERO), None, "{subject:?} gave up");
        // Kept open, so that the log can be read after multilog and its mount are gone.
        let log = format!("/proc/{}/root{}", running.pid, world.path("log").display());
        let current = format!("{log}/current");
        let mut current = fs::File::open(current).expect("a current file");
        fs::remove_file(format!("{log}/filler")).expect("our file");
        // The original tries again after five seconds.
        let outcome = running.outcome(SOON).expect("multilog ends with its input");
        assert_eq!(outcome.code, 0, "{subject:?} said {}", outcome.err);
        let mut all = String::new();
        std::io::Read::read_to_string(&mut current, &mut all).expect("a readable file");
        assert!(
            all == input,
            "{subject:?} lost lines: {} of {} bytes",
            all.len(),
            input.len()
        );
    }
}

#[test]
fn a_control_that_is_a_plain_file_at_the_start() {
    for_ours("plainfifo", |mut s| {
        s.world.script("sv/bad/run", "exec sleep 1000");
        s.world.write("sv/bad/supervise/control", "");
        s.open(&["svscan", "sv"]);
        s.says(&["bad/supervise/control"]);
        s.unnoticed();
    });
}

#[test]
fn svc_writes_into_no_plain_file() {
    let Some(ours) = bins(Subject::Ours) else {
        return;
    };
    let world = World::new("plainsvc");
    world.write("bad/supervise/control", "as it was");
    let said = world.run(ours, &["svc", "-d", "bad"]);
    assert_eq!(said.code, 0);
    assert!(
        said.err
            .starts_with("svc: warning: unable to control bad: "),
        "{}",
        said.err
    );
    assert_eq!(world.read("bad/supervise/control"), "as it was");
}

#[test]
fn a_control_that_is_replaced_by_a_plain_file() {
    for_ours("replaced", |mut s| {
        s.world.script("sv/bad/run", "exec sleep 1000");
        s.open(&["svscan", "sv"]);
        s.soon("the service", |s| s.pid_of("sv/bad") != 0);
        let pid = s.pid_of("sv/bad");
        // In one step: a FIFO that is only deleted is there again before one can write.
        s.world.write("plain", "d");
        fs::rename(
            s.world.path("plain"),
            s.world.path("sv/bad/supervise/control"),
        )
        .expect("our file");
        s.says(&["bad/supervise/control"]);
        assert_eq!(s.pid_of("sv/bad"), pid, "a plain file was obeyed");
        s.unnoticed();
    });
}

#[test]
fn a_control_that_is_deleted() {
    for_ours("deleted", |mut s| {
        s.world.script("sv/bad/run", "exec sleep 1000");
        s.open(&["svscan", "sv"]);
        // `ok` is opened last: after the status.
        s.soon("the service", |s| {
            s.pid_of("sv/bad") != 0 && is_ok(&s.world, "sv/bad")
        });
        for name in ["control", "ok"] {
            fs::remove_file(s.world.path(format!("sv/bad/supervise/{name}"))).expect("the FIFO");
        }
        // Sooner than any look that does not need to be told.
        s.within(Duration::from_secs(4), "the FIFOs again", |s| {
            is_ok(&s.world, "sv/bad")
                && fs::metadata(s.world.path("sv/bad/supervise/control"))
                    .is_ok_and(|meta| meta.file_type().is_fifo())
        });
        s.svc("-d", "sv/bad");
        s.soon("it to obey", |s| s.pid_of("sv/bad") == 0);
        s.unnoticed();
    });
}

#[test]
fn letters_nobody_knows() {
    for_both("letters", |mut s| {
        s.world
            .script("sv/bad/run", "echo start >> starts\nexec sleep 1000");
        s.open(&["svscan", "sv"]);
        s.soon("the service", |s| {
            s.world.read("sv/bad/starts") == "start\n" && s.pid_of("sv/bad") != 0
        });
        let pid = s.pid_of("sv/bad");
        let mut control = fs::OpenOptions::new()
            .write(true)
            .custom_flags(O_NONBLOCK)
            .open(s.world.path("sv/bad/supervise/control"))
            .expect("a FIFO with a reader");
        control
            .write_all(b"\0\xff\nj?~ Z{}9p")
            .expect("room in the FIFO");
        // The original obeys one letter per turn; the last one shows that all were read.
        s.soon("the one letter that is known", |s| {
            fs::read(s.world.path("sv/bad/supervise/status")).is_ok_and(|bytes| bytes[16] == 1)
        });
        assert_eq!(s.pid_of("sv/bad"), pid);
        control.write_all(b"c").expect("room in the FIFO");
        assert_eq!(s.world.read("sv/bad/starts"), "start\n");
        s.unnoticed();
    });
}

#[test]
fn garbage_where_the_status_should_be() {
    for_both("garbage", |mut s| {
        s.world.script("sv/bad/run", "exec sleep 1000");
        for name in ["status", "status.new", "state", "lock"] {
            let garbage: Vec<u8> = (0..=255).cycle().take(1000).collect();
            s.world.write(format!("sv/bad/supervise/{name}"), garbage);
        }
        s.open(&["svscan", "sv"]);
        s.soon("the service", |s| {
            let line = s.world.run(s.bins, &["svstat", "sv/bad"]).out;
            line.starts_with("sv/bad: up (pid ")
                && s.world.processes().contains(&s.pid_of("sv/bad"))
        });
        s.unnoticed();
    });
}

/// A user id that is nobody's here, and no other run's, so that its process count is ours alone.
fn uid() -> u32 {
    20_000 + std::process::id() % 40_000
}

#[test]
fn a_fork_that_is_refused() {
    if !need(&["/usr/bin/setpriv", "/usr/bin/prlimit"]) {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        skipped("a process limit that binds needs another user, and so root");
        return;
    }
    for_both("nofork", |mut s| {
        // The program as a path that this user may reach, whatever the modes above our build directory are.
        let program = s.world.path("bin");
        fs::create_dir_all(&program).expect("a directory");
        for name in ["svscan", "supervise", "eudaemon"] {
            let from = s.bins.program(name.as_ref());
            if from.exists() {
                s.world.copy(&from, format!("bin/{name}"));
            }
        }
        let path = format!("PATH={}:/usr/bin:/bin", program.display());
        let svscan = program.join("svscan").display().to_string();
        let argv: Vec<_> = as_uid()
            .into_iter()
            .chain(["env".to_owned(), path, svscan, "sv".to_owned()])
            .collect();
        own(&s.world.path(""));
        s.open(&argv.iter().map(String::as_str).collect::<Vec<_>>());
        // As many as there are now, and not one more.
        limit(&s, tasks());
        s.world
            .script("made/run", "echo start >> starts\nexec sleep 1000");
        own(&s.world.path("made"));
        fs::rename(s.world.path("made"), s.world.path("sv/more")).expect("a new service");
        s.says(&["unable to fork for more", "temporary failure"]);
        limit(&s, 1000);
        // The original's supervise would nap for a minute; its svscan comes again with the next scan.
        s.soon("the refused service", |s| {
            s.world.read("sv/more/starts").starts_with("start\n")
        });
        s.unnoticed();
    });
    // The user's directory in memory; what was in it is gone with its world.
    let _not_there = fs::remove_dir(format!("/dev/shm/eudaemon-{}", uid()));
}

/// The words before a program that is to run as [`uid`].
fn as_uid() -> [String; 4] {
    let id = uid();
    [
        "setpriv".to_owned(),
        format!("--reuid={id}"),
        format!("--regid={id}"),
        "--clear-groups".to_owned(),
    ]
}

/// Gives a tree of files to [`uid`].
fn own(path: &Path) {
    std::os::unix::fs::lchown(path, Some(uid()), Some(uid())).expect("root may chown");
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).expect("our directory").flatten() {
            own(&entry.path());
        }
    }
}

fn processes_of_uid() -> Vec<String> {
    fs::read_dir("/proc")
        .expect("proc")
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
        .filter(|pid| {
            use std::os::unix::fs::MetadataExt as _;
            fs::metadata(format!("/proc/{pid}")).is_ok_and(|meta| meta.uid() == uid())
        })
        .collect()
}

/// How many tasks (RLIMIT_NPROC counts threads) the user has.
fn tasks() -> usize {
    processes_of_uid()
        .iter()
        .map(|pid| fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count))
        .sum()
}

fn limit(s: &Street, tasks: usize) {
    let nproc = format!("--nproc={tasks}:1000");
    for pid in processes_of_uid() {
        // As that user: a root without CAP_SYS_RESOURCE may not touch the limits of others.
        let prlimit = ["prlimit", "--pid", &pid, &nproc].map(str::to_owned);
        let argv: Vec<_> = as_uid().into_iter().chain(prlimit).collect();
        let said = s.world.run(s.bins, &argv);
        assert_eq!((said.err.as_str(), said.code), ("", 0));
    }
}
