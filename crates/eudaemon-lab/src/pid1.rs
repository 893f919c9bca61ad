//! The real systemd as PID 1, for judges: booted in a container on this machine's own `/usr`, in half a second.
//!
//! `systemd-nspawn --volatile=yes` makes an empty root with `/usr` below it, so nothing is downloaded and the machine's own
//! `/etc` is never touched. A judge is a script of bash that runs as a service in there; it talks to the manager through
//! `systemctl`, and what it prints and how it ends come back. Several may run at once, each in its own control groups.
//! Source: `systemd-nspawn(1)`.
//!
//! ```no_run
//! use eudaemon_lab::pid1;
//! if !pid1::need() {
//!     return; // not root, or no systemd-nspawn: it has said so
//! }
//! let unit = "[Service]\nExecStart=/usr/bin/sleep 60\n";
//! let seen = pid1::script(&[("web.service", unit)], "systemctl start web; soon is web ActiveState active");
//! assert_eq!(seen.code, 0, "{seen:?}");
//! ```

use crate::bins::{need as need_programs, need_root};
use crate::wait::{SOON, pid_of, until};
use crate::world::{Outcome, World};
use rustix::process::Signal;
use std::ffi::OsString;
use std::fs;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A machine that is not booted yet: units, files and directories are added, then [`Pid1::judge`] boots it, as often as is
/// wanted, each time afresh. Its [`World`] is there inside too, under the same path and writable: what a judge leaves there
/// can be read afterwards.
pub struct Pid1 {
    world: World,
    binds: Vec<OsString>,
    limit: Duration,
}

/// What every judge may call.
const WORDS: &str = r#"
# soon COMMAND...: until it succeeds, a minute at most.
soon() {
  local end=$((SECONDS + 60))
  until "$@"; do
    if ((SECONDS > end)); then echo "in vain: $*" >&2; return 1; fi
    sleep 0.02
  done
}
# show UNIT PROPERTY: what systemctl says it is.
show() { systemctl show --value -p "$2" -- "$1"; }
# is UNIT PROPERTY VALUE
is() { [ "$(show "$1" "$2")" = "$3" ]; }
"#;

/// The service that is the judge.
const JUDGE: &str = "[Unit]
Requires=basic.target
After=basic.target
[Service]
ExecStart=/run/judge/main
KillMode=mixed
TimeoutStopSec=2
";

/// Runs the judge when the manager has booted. The machine is then killed from outside: a shutdown would wait for services
/// that do not end.
const MAIN: &str = r#"#!/bin/bash
exec >/run/judge/out 2>/run/judge/err </dev/null
systemctl is-system-running --wait >/run/judge/state
cp /run/judge/units/* /etc/systemd/system/ 2>/dev/null && systemctl daemon-reload
cd "$(cat /run/judge/at)" && bash /run/judge/script
echo $? >/run/judge/code.new
exec mv /run/judge/code.new /run/judge/code
"#;

/// Enters the control groups named before `--` and becomes what is named after it.
const ENTER: &str = r#"
while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit; shift; done
shift
exec "$@"
"#;

/// Whether systemd can be booted here; says why not, as [`skipped`](crate::skipped) does.
#[must_use]
pub fn need() -> bool {
    need_root() && need_programs(&["/usr/bin/systemd-nspawn", "/usr/lib/systemd/systemd"])
}

/// Boots a machine with these units, runs these commands of bash in it, and returns what they printed and how they ended.
///
/// # Panics
/// When it does not boot, or the commands do not end.
#[must_use]
pub fn script(units: &[(&str, &str)], commands: &str) -> Outcome {
    let machine = Pid1::new();
    for (name, text) in units {
        machine.unit(name, text);
    }
    machine.judge(commands)
}

impl Pid1 {
    /// A machine with nothing but systemd.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it makes a directory")]
    pub fn new() -> Pid1 {
        let world = World::new("pid1");
        fs::create_dir(world.path("box")).expect("a directory in our own");
        fs::create_dir(world.path("box/units")).expect("a directory in our own");
        Pid1 {
            world,
            binds: Vec::new(),
            limit: Duration::from_secs(300),
        }
    }

    /// Puts a unit into `/etc/systemd/system`.
    pub fn unit(&self, name: &str, text: &str) {
        self.world.write(Path::new("box/units").join(name), text);
    }

    /// Shows a directory or a file of ours inside, at the same path, to be read only. What is in `/usr` is there anyway.
    #[must_use]
    pub fn lend(mut self, path: &Path) -> Pid1 {
        let path = fs::canonicalize(path).expect("a path to lend");
        if !path.starts_with("/usr") {
            self.binds.push(bind("--bind-ro=", &path, &path));
        }
        self
    }

    /// How long a judge may take; otherwise five minutes.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Pid1 {
        self.limit = limit;
        self
    }

    /// Boots it and runs these commands of bash, in the directory of its world. They may call `soon COMMAND...`, which
    /// repeats a command until it succeeds (a minute at most), `show UNIT PROPERTY` and `is UNIT PROPERTY VALUE`.
    ///
    /// # Panics
    /// When it does not boot, or the commands do not end; with the last it said.
    #[must_use]
    pub fn judge(&self, commands: &str) -> Outcome {
        for stale in ["out", "err", "code", "state"] {
            let _none = fs::remove_file(self.path("box").join(stale));
        }
        self.write("box/script", format!("{WORDS}\n{commands}\n"));
        self.write("box/judge.service", JUDGE);
        self.write("box/at", self.path("").as_os_str().as_encoded_bytes());
        let main = self.path("box/main");
        self.write("box/main", MAIN);
        let runs = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&main, runs).expect("chmod of our own file");

        let groups = Groups::new();
        let null = || OwnedFd::from(fs::File::open("/dev/null").expect("/dev/null"));
        let words = self.command(&groups);
        let nspawn = self.world.start_on(Path::new("/bin/sh"), &words, null());
        let code = self.path("box/code");
        until(self.limit, || {
            code.exists() || nspawn.exit(Duration::ZERO).is_some()
        });
        let ended = nspawn.exit(Duration::ZERO);
        groups.end();
        self.world.end_all();
        drop(groups);
        let code = self.read("box/code");
        if let Ok(code) = code.trim().parse() {
            return Outcome {
                out: self.read("box/out"),
                err: self.read("box/err"),
                code,
            };
        }
        panic!(
            "the judge did not end ({ended:?} from systemd-nspawn)\n-- it said\n{}{}\n-- the console\n{}{}",
            tail(&self.read("box/out")),
            tail(&self.read("box/err")),
            tail(&nspawn.out()),
            tail(&nspawn.err()),
        );
    }

    fn command(&self, groups: &Groups) -> Vec<OsString> {
        let word = |text: &str| OsString::from(text);
        let mut words = vec![word("-c"), word(ENTER), word("sh")];
        words.extend(groups.0.iter().map(|path| path.clone().into_os_string()));
        words.extend([
            word("--"),
            word("/usr/bin/env"),
            // Also where the machine has the older hierarchies: in those nobody tells a manager in a container that a group has
            // become empty, and it waits in vain (observed, systemd 252: 90 s in `final-sigkill`).
            word("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1"),
            word("/usr/bin/systemd-nspawn"),
            word("--quiet"),
            word("--directory=/"),
            word("--volatile=yes"),
            // Without a manager outside: no machined, no scope.
            word("--register=no"),
            word("--keep-unit"),
            word("--private-network"),
            word(&format!("--machine={}", groups.1)),
        ]);
        let (here, judge) = (self.path(""), self.path("box"));
        let unit = "/run/systemd/system/judge.service";
        words.push(bind("--bind=", &here, &here));
        words.push(bind("--bind=", &judge, Path::new("/run/judge")));
        words.push(bind(
            "--bind-ro=",
            &judge.join("judge.service"),
            Path::new(unit),
        ));
        words.extend(self.binds.iter().cloned());
        words.extend([
            word("--boot"),
            word("--"),
            word("systemd.unit=judge.service"),
            word("systemd.firstboot=no"),
            word("systemd.mask=systemd-firstboot.service"),
        ]);
        words
    }
}

/// An option that shows `from` inside as `to`. A colon ends a path unless a backslash is before it: systemd-nspawn(1), --bind=.
fn bind(option: &str, from: &Path, to: &Path) -> OsString {
    let [from, to] = [from, to].map(|path| {
        let path = path.to_str().expect("a path of ours is UTF-8");
        path.trim_end_matches('/').replace(':', "\\:")
    });
    format!("{option}{from}:{to}").into()
}

impl Deref for Pid1 {
    type Target = World;
    fn deref(&self) -> &World {
        &self.world
    }
}

/// Control groups of its own in each hierarchy that systemd looks at, so that several machines do not meet; and the name
/// they share.
struct Groups(Vec<PathBuf>, String);

impl Groups {
    fn new() -> Groups {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("lab-{}-{count}", std::process::id());
        let roots = [
            "/sys/fs/cgroup/systemd",
            "/sys/fs/cgroup/unified",
            "/sys/fs/cgroup",
        ];
        let made = roots
            .iter()
            .filter(|root| Path::new(root).join("cgroup.procs").exists())
            .map(|root| Path::new(root).join(&name))
            .filter(|group| fs::create_dir(group).is_ok())
            .collect();
        Groups(made, name)
    }

    /// Kills whoever is in them. Not left to the world, which knows its processes by their ancestors: a machine's PID 1 has
    /// none any more when systemd-nspawn is killed before it.
    fn end(&self) {
        let _some_would_not = until(SOON, || {
            let mut members = Vec::new();
            self.0
                .iter()
                .for_each(|group| processes(group, &mut members));
            for pid in members.iter().filter_map(|pid| pid_of(*pid)) {
                let _gone_already = rustix::process::kill_process(pid, Signal::KILL);
            }
            members.is_empty()
        });
    }
}

/// The processes of a control group and of those below it. Source: cgroups(7), `cgroup.procs`.
fn processes(group: &Path, found: &mut Vec<i32>) {
    let listed = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    found.extend(listed.lines().filter_map(|pid| pid.parse::<i32>().ok()));
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            processes(&entry.path(), found);
        }
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for group in &self.0 {
            remove_groups(group);
        }
    }
}

/// A group is removed by removing its directory, the innermost first. Source: cgroups(7), "Creating cgroups and moving
/// processes".
fn remove_groups(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    // A process that was killed leaves its group a moment after it has left /proc.
    let _left_if_in_use = until(Duration::from_secs(5), || fs::remove_dir(group).is_ok());
}

/// The last lines.
fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
