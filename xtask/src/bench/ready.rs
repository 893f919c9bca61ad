//! How soon a service says that it is ready: the example `hello`, with the library, beside `bare`, the same server without it.
//!
//! From before the start to the message, in turn, each start a fresh process with the small environment a manager gives. Built
//! twice: as cargo does it for somebody who has changed nothing, and static, in the form we ship.

use super::subject::Subject;
use super::timed::before_all_others;
use super::{Options, Samples};
use crate::build::{SHIPPED, cargo, has_target};
use crate::{Outcome, workspace};
use std::fs::{self, File};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What `--only` chooses from, of this file.
pub const SCENES: [&str; 1] = ["ready"];

/// Starts of each program in a round.
const STARTS: usize = 300;

/// What cargo does without a profile: ours makes what others wrote small.
const UNCHANGED: [&str; 5] = [
    "profile.release.lto=false",
    "profile.release.codegen-units=16",
    "profile.release.panic=\"unwind\"",
    "profile.release.strip=\"none\"",
    "profile.release.package.\"*\".opt-level=3",
];

/// The columns.
pub fn subjects() -> Vec<Subject> {
    super::messages::columns("bare")
}

/// Measures; into the rows.
pub fn play(options: &Options, samples: &mut Samples) -> Outcome {
    let mut builds = vec![("ready", build(None)?)];
    if has_target(SHIPPED) {
        builds.push(("ready-static", build(Some(SHIPPED))?));
    } else {
        eprintln!("xtask: SKIPPED: no standard library for {SHIPPED} is installed");
    }
    let folder = options
        .scratch
        .join(format!("ready-{}", super::tree::now_ns()));
    fs::create_dir_all(&folder).map_err(|why| format!("unable to create: {why}"))?;
    let manager = Manager::new(&folder)?;
    let starts = if options.quick { 20 } else { STARTS };
    before_all_others(true);
    let mut measure = || {
        for round in 0..options.rounds * starts {
            for (row, programs) in &builds {
                for at in 0..programs.len() {
                    let (name, program) = &programs[(at + round) % programs.len()];
                    let took = manager.start(program)?.as_secs_f64() * 1e6;
                    let key = (*row, (*name).to_owned());
                    samples.entry(key).or_default().push(took);
                }
            }
        }
        Ok(())
    };
    let measured = measure();
    before_all_others(false);
    fs::remove_dir_all(&folder).map_err(|why| format!("unable to remove: {why}"))?;
    measured
}

/// Builds both programs; their columns and paths.
fn build(target: Option<&str>) -> Result<[(&'static str, PathBuf); 2], String> {
    let mut command = cargo();
    command.args(["build", "--release", "--quiet", "-p", "eudaemon"]);
    command.args(["--example", "hello", "--example", "bare", "--target-dir"]);
    let top = match target {
        Some(target) => {
            let top = workspace().join("target");
            command.arg(&top).args(["--target", target]);
            top.join(target)
        }
        None => {
            let top = workspace().join("target/unchanged");
            command.arg(&top);
            for setting in UNCHANGED {
                command.args(["--config", setting]);
            }
            top
        }
    };
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(format!("unable to build the examples: {status}")),
        Err(why) => return Err(format!("unable to run cargo: {why}")),
    }
    let examples = top.join("release/examples");
    Ok([
        ("ours", examples.join("hello")),
        ("bare", examples.join("bare")),
    ])
}

/// Who is told.
struct Manager {
    ear: UnixDatagram,
    folder: PathBuf,
}

impl Manager {
    fn new(folder: &Path) -> Result<Manager, String> {
        let unable = |why| format!("unable to listen for messages: {why}");
        let ear = UnixDatagram::bind(folder.join("notify")).map_err(unable)?;
        // A program that never says it would be waited for in vain.
        ear.set_read_timeout(Some(Duration::from_secs(10)))
            .map_err(unable)?;
        Ok(Manager {
            ear,
            folder: folder.to_owned(),
        })
    }

    /// Starts a program, waits until it says that it is ready, and ends it. The time from before the start.
    fn start(&self, program: &Path) -> Result<Duration, String> {
        let unable = |why| format!("{}: {why}", program.display());
        let log = File::create(self.folder.join("log")).map_err(unable)?;
        let mut command = Command::new(program);
        command
            .args(["--listen", "127.0.0.1:0"])
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LANG", "C.UTF-8")
            .env("NOTIFY_SOCKET", self.folder.join("notify"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let begun = Instant::now();
        let mut child = command.spawn().map_err(unable)?;
        let told = self.ready();
        let took = begun.elapsed();
        child.kill().map_err(unable)?;
        child.wait().map_err(unable)?;
        self.forget().map_err(unable)?;
        told.map(|()| took).map_err(unable)
    }

    fn ready(&self) -> std::io::Result<()> {
        let mut message = [0; 4096];
        loop {
            let length = self.ear.recv(&mut message)?;
            let mut lines = message[..length].split(|&byte| byte == b'\n');
            if lines.any(|line| line == b"READY=1") {
                return Ok(());
            }
        }
    }

    /// What it said behind that is nobody else's.
    fn forget(&self) -> std::io::Result<()> {
        self.ear.set_nonblocking(true)?;
        while self.ear.recv(&mut [0; 4096]).is_ok() {}
        self.ear.set_nonblocking(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_over_when_it_says_ready_and_not_before() {
        let folder = std::env::temp_dir().join(format!("xtask-ready-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let manager = Manager::new(&folder).unwrap();
        let speaker = UnixDatagram::unbound().unwrap();
        let address = folder.join("notify");
        speaker.send_to(b"STATUS=READY=1", &address).unwrap();
        speaker.send_to(b"STATUS=x\nREADY=1", &address).unwrap();
        speaker.send_to(b"STATUS=later", &address).unwrap();
        manager.ready().unwrap();
        manager.forget().unwrap();
        manager
            .ear
            .set_read_timeout(Some(Duration::from_millis(1)))
            .unwrap();
        assert!(manager.ready().is_err(), "nobody says more");
        assert!(manager.start(Path::new("/nonexistent")).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}
