//! The programs that are compared: how each is started, asked and told.

use std::path::{Path, PathBuf};
use std::process::Command;

/// One supervision suite in one folder of programs.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its column.
    pub name: String,
    /// Which command line it has.
    pub kind: Kind,
    /// Where its programs are.
    pub dir: PathBuf,
}

/// The command lines we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// eudaemon under its historic names: daemontools' commands, one engine.
    Ours,
    /// daemontools 0.76.
    Daemontools,
    /// runit.
    Runit,
    /// s6.
    S6,
    /// Nobody: the services are started by the bench itself. What they cost without supervision.
    Bare,
}

impl Kind {
    /// The peers, with the program that shows that one is there.
    pub const PEERS: [(Kind, &str, &str); 3] = [
        (Kind::Daemontools, "daemontools", "svscan"),
        (Kind::Runit, "runit", "runsvdir"),
        (Kind::S6, "s6", "s6-svscan"),
    ];

    /// The largest tree it can run. 0.76's svscan and runsvdir keep 1,000 rows; the bench adds a few directories while it runs.
    pub const fn services_max(self) -> usize {
        match self {
            Kind::Daemontools | Kind::Runit => 990,
            Kind::Ours | Kind::S6 | Kind::Bare => usize::MAX,
        }
    }

    /// Whether a new service directory is seen without being told.
    pub const fn looks_by_itself(self) -> bool {
        !matches!(self, Kind::S6)
    }

    /// How many restarts to time in one tree: s6 lets a second pass before each.
    pub const fn restarts(self) -> usize {
        match self {
            Kind::S6 => 5,
            Kind::Ours | Kind::Daemontools | Kind::Runit | Kind::Bare => 60,
        }
    }
}

impl Subject {
    /// The peer called `name`, if its programs are in PATH.
    pub fn peer(kind: Kind, name: &str, probe: &str) -> Option<Subject> {
        let path = std::env::var_os("PATH")?;
        let dir = std::env::split_paths(&path).find(|dir| dir.join(probe).is_file())?;
        Some(Subject {
            name: name.to_owned(),
            kind,
            dir,
        })
    }

    /// Ours, if there is a folder of them, and the peers of these names that are installed; it is said which are not.
    pub fn all(ours: Option<&Path>, peers: &[String]) -> Result<Vec<Subject>, String> {
        let mut subjects = Vec::new();
        if let Some(dir) = ours {
            subjects.push(Subject::in_folder(Kind::Ours, "ours", dir)?);
        }
        for (kind, name, probe) in Kind::PEERS {
            if peers.iter().any(|peer| peer == name) {
                match Subject::peer(kind, name, probe) {
                    Some(peer) => subjects.push(peer),
                    None => {
                        eprintln!("xtask: SKIPPED: {name} is not installed: no {probe} in PATH");
                    }
                }
            }
        }
        Ok(subjects)
    }

    /// The programs in a folder.
    pub fn in_folder(kind: Kind, name: &str, dir: &Path) -> Result<Subject, String> {
        let dir = dir
            .canonicalize()
            .map_err(|why| format!("unable to find {}: {why}", dir.display()))?;
        Ok(Subject {
            name: name.to_owned(),
            kind,
            dir,
        })
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.dir.join(name));
        command.env("PATH", format!("{}:/usr/bin:/bin", self.dir.display()));
        command
    }

    /// Runs the tree below `scan`, as leader of a session of its own: setsid(1) becomes the program, so the pid is the program's.
    pub fn start(&self, scan: &Path, services: usize) -> Command {
        let (name, words): (&str, Vec<String>) = match self.kind {
            Kind::Ours | Kind::Daemontools | Kind::Bare => ("svscan", vec![]),
            Kind::Runit => ("runsvdir", vec![]),
            // s6 2.12 renamed -c to -C and gave -c another meaning; Debian 12 and 13 differ in this.
            Kind::S6 => {
                let new = self
                    .program("s6-svscan")
                    .args(["-C", "100", "/nonexistent"])
                    .output()
                    .is_ok_and(|out| !String::from_utf8_lossy(&out.stderr).contains("usage"));
                let flag = if new { "-C" } else { "-c" };
                (
                    "s6-svscan",
                    vec![
                        flag.to_owned(),
                        (services + 50).max(500).to_string(),
                        "-t0".to_owned(),
                    ],
                )
            }
        };
        let mut command = Command::new("setsid");
        command.env("PATH", format!("{}:/usr/bin:/bin", self.dir.display()));
        command.arg(self.dir.join(name)).args(words).arg(scan);
        command
    }

    /// The commands that ask for the status of every service: one, or one for each where the program takes only one.
    pub fn status(&self, dirs: &[PathBuf]) -> Vec<Command> {
        match self.kind {
            Kind::Bare => Vec::new(),
            Kind::Ours | Kind::Daemontools => {
                let mut command = self.program("svstat");
                command.args(dirs);
                vec![command]
            }
            Kind::Runit => {
                let mut command = self.program("sv");
                command.arg("status").args(dirs);
                vec![command]
            }
            Kind::S6 => dirs
                .iter()
                .map(|dir| {
                    let mut command = self.program("s6-svstat");
                    command.arg(dir);
                    command
                })
                .collect(),
        }
    }

    /// Tells the scanner of a new directory, if it must be told.
    pub fn announce(&self, scan: &Path) -> Option<Command> {
        (!self.kind.looks_by_itself()).then(|| {
            let mut command = self.program("s6-svscanctl");
            command.arg("-a").arg(scan);
            command
        })
    }
}
