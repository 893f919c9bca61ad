//! The accidents. Each is the same for every subject, and tells figures by the names of the rows.

mod deaths;

use super::logger;
use super::stage::{Stage, pause};
use crate::bench::process;
use crate::bench::subject::{Kind, Subject};
use crate::bench::tree::{self, now_ns};
use rustix::process::Signal;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// What one accident is called, what it needs, and how it goes.
pub struct Scene {
    /// Its name for `--only`.
    pub name: &'static str,
    /// Whether milliseconds count in it, so that nothing may run beside it.
    pub alone: bool,
    /// Whether it mounts something, and so needs a mount namespace of its own.
    pub mounts: bool,
    /// When it is given up.
    pub limit: Duration,
    /// How it goes.
    pub play: fn(&Play<'_>) -> Result<(), String>,
}

const fn scene(
    name: &'static str,
    seconds: u64,
    play: fn(&Play<'_>) -> Result<(), String>,
) -> Scene {
    Scene {
        name,
        alone: false,
        mounts: false,
        limit: Duration::from_secs(seconds),
        play,
    }
}

/// All accidents. The longest first: the others are done while it waits.
pub const SCENES: &[Scene] = &[
    Scene {
        alone: true,
        ..scene("deaf", 180, deaths::deaf)
    },
    scene("fork", 260, fork),
    scene("log-calls", 600, logger::calls),
    scene("log-full", 240, logger::full),
    scene("log-kills", 180, logger::kills),
    scene("log-term", 120, logger::term),
    scene("log-bytes", 180, logger::bytes),
    scene("log-links", 300, logger::links),
    scene("log-clock", 60, logger::clock),
    scene("kill", 150, deaths::kill),
    scene("chain", 150, deaths::chain),
    scene("fifo", 120, fifo),
    scene("directory", 90, directory),
    scene("garbage", 60, garbage),
    scene("leak", 60, leak),
    Scene {
        mounts: true,
        ..scene("disk", 60, disk)
    },
];

/// One accident of one subject.
pub struct Play<'a> {
    /// Whose programs run.
    pub subject: &'a Subject,
    /// Where its directories are made.
    pub scratch: &'a Path,
}

/// Longer than the five seconds after which some scanners look, twice.
const TWO_SCANS: Duration = Duration::from_secs(12);

/// The worker speaks to the one who started it; a closed pipe means that nobody wants to know.
fn tell(line: &str) {
    let mut out = std::io::stdout();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(130);
    }
}

fn put(key: &str, figure: f64) {
    tell(&format!("put {key} {figure}"));
}

/// A figure, or what was waited for.
fn put_or(key: &str, figure: Option<f64>, waited: f64) {
    match figure {
        Some(figure) => put(key, figure),
        None => tell(&format!("over {key} {waited}")),
    }
}

fn note(words: &str) {
    tell(&format!("note {}", words.trim().replace('\n', " / ")));
}

/// Runs `play` on a stage of its own.
fn on_stage<T>(
    play: &Play<'_>,
    services: usize,
    act: impl FnOnce(&mut Stage<'_>) -> Result<T, String>,
) -> Result<T, String> {
    let pause = pause();
    let mut stage = Stage::plant(play.subject, &pause, play.scratch, services)?;
    act(&mut stage)
}

/// Lets the next `clone` of a process fail, by strace; ends it when dropped.
struct Refusal {
    strace: std::process::Child,
    log: PathBuf,
}

impl Refusal {
    fn of(stage: &mut Stage<'_>, pid: i32, log: PathBuf) -> Result<Refusal, String> {
        let calls = "clone,clone3,fork,vfork";
        // s6-supervise forks for `finish` first, whether there is one or not (observed: 2.11.3.2). `run` is what is measured.
        let when = if stage.subject.kind == Kind::S6 { 2 } else { 1 };
        let strace = Command::new("strace")
            .args(["-qq", "-e", &format!("trace={calls}"), "-e"])
            .arg(format!("inject={calls}:error=EAGAIN:when={when}"))
            .arg("-o")
            .arg(&log)
            .args(["-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|why| format!("unable to run strace: {why}"))?;
        let refusal = Refusal { strace, log };
        let traced = || {
            fs::read_to_string(format!("/proc/{pid}/status"))
                .is_ok_and(|status| !status.contains("TracerPid:\t0\n"))
        };
        if stage.until(Duration::from_secs(5), |_| traced()) {
            Ok(refusal)
        } else {
            Err("strace did not attach".to_owned())
        }
    }

    fn happened(&self) -> bool {
        fs::read_to_string(&self.log).is_ok_and(|log| log.contains("(INJECTED)"))
    }
}

impl Drop for Refusal {
    fn drop(&mut self) {
        process::signal(i32::try_from(self.strace.id()).unwrap_or(0), Signal::TERM);
        // It ends at TERM and leaves what it traced as it was.
        let _ = self.strace.wait();
    }
}

/// The kernel refuses one fork: G14.
fn fork(play: &Play<'_>) -> Result<(), String> {
    const LIMIT: Duration = Duration::from_secs(75);
    on_stage(play, 2, |stage| {
        stage.tree.start(2)?;
        // Longer than the second within which supervisors hold a service back.
        stage.tree.rest(Duration::from_secs(3));
        for (at, key) in [(0, "fork-down"), (1, "fork-control")] {
            let pid = stage.alive(at).first().copied().unwrap_or(0);
            let supervisor = stage.supervisor_of(pid).ok_or("no supervisor was found")?;
            let log = stage.tree.scan.join(format!(".strace{at}"));
            let refusal = Refusal::of(stage, supervisor, log)?;
            let begin = now_ns();
            process::signal(pid, Signal::KILL);
            if !stage.until(Duration::from_secs(5), |_| refusal.happened()) {
                return Err(format!("{key}: no fork was refused"));
            }
            if at == 0 {
                let up = stage.until(LIMIT, |stage| !stage.alive(0).is_empty());
                let started = stage
                    .tree
                    .services
                    .get(&tree::name(0))
                    .map_or(begin, |service| service.started_ns);
                let time = up.then(|| started.saturating_sub(begin) as f64 / 1e9);
                put_or(key, time, LIMIT.as_secs_f64());
                stage.tree.rest(Duration::from_secs(3));
            } else {
                // Wanted down is in the status as soon as the command is read.
                let status = stage.dir(1).join("supervise/status");
                let before = fs::read(&status).unwrap_or_default();
                let begin = now_ns();
                let fifo = stage.dir(1).join("supervise/control");
                write_letter(&fifo, b'd')?;
                let seen = stage.until(LIMIT, |_| {
                    fs::read(&status).is_ok_and(|now| !now.is_empty() && now != before)
                });
                let time = seen.then(|| (now_ns() - begin) as f64 / 1e6);
                put_or(key, time, LIMIT.as_secs_f64() * 1e3);
            }
        }
        Ok(())
    })
}

fn write_letter(fifo: &Path, letter: u8) -> Result<(), String> {
    use rustix::fs::{Mode, OFlags, open};
    open(
        fifo,
        OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .and_then(|fifo| rustix::io::write(&fifo, &[letter]))
    .map(drop)
    .map_err(|why| format!("unable to write to {}: {why}", fifo.display()))
}

/// A full disk under supervise/: G15.
fn disk(play: &Play<'_>) -> Result<(), String> {
    on_stage(play, 1, |stage| {
        let dir = stage.dir(0);
        let supervise = dir.join("supervise");
        fs::create_dir(&supervise).map_err(|why| format!("unable to create a directory: {why}"))?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=16k", "none"])
            .arg(&supervise)
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            return Err("unable to mount a small tmpfs".to_owned());
        }
        let told = disk_full(stage, &dir, &supervise);
        // What the tree left may hold it; the namespace ends with us in any case.
        let _ = Command::new("umount").arg("-l").arg(&supervise).status();
        told
    })
}

fn disk_full(stage: &mut Stage<'_>, dir: &Path, supervise: &Path) -> Result<(), String> {
    stage.tree.start(1)?;
    stage.tree.rest(Duration::from_secs(3));
    let before = stage.status(dir);
    if !before.up {
        return Err(format!("it was not up before: {}", before.words));
    }
    let mut filler = fs::File::create(supervise.join("filler"))
        .map_err(|why| format!("unable to fill the disk: {why}"))?;
    while filler.write_all(&[b'x'; 512]).is_ok() {}
    let mut wrong = 0;
    let old = stage.alive(0).first().copied().unwrap_or(0);
    process::signal(old, Signal::KILL);
    if !stage.until(Duration::from_secs(10), |stage| {
        stage.alive(0).iter().any(|pid| *pid != old)
    }) {
        note("disk full: the service was not started again within 10 s");
    }
    stage.tree.rest(Duration::from_secs(2));
    let now = stage.status(dir);
    let lives = stage
        .alive(0)
        .first()
        .map(|pid| u64::from(pid.unsigned_abs()));
    if now.up && now.pid != lives {
        wrong += 1;
        note(&format!(
            "disk full, started again as {lives:?}: {}",
            now.words
        ));
    }
    // Told by the FIFO, so that a program that looks at the status first does not matter.
    write_letter(&supervise.join("control"), b'd')?;
    if !stage.until(Duration::from_secs(10), |stage| stage.alive(0).is_empty()) {
        note("disk full: it did not go down within 10 s");
    }
    stage.tree.rest(Duration::from_secs(2));
    let now = stage.status(dir);
    if now.up == stage.alive(0).is_empty() {
        wrong += 1;
        note(&format!("disk full, dead: {}", now.words));
    }
    put("disk-false", f64::from(wrong));
    Ok(())
}

/// A status of garbage, and a `run` that cannot be run: G15.
fn garbage(play: &Play<'_>) -> Result<(), String> {
    on_stage(play, 1, |stage| {
        let odd = stage.tree.scan.join("odd");
        stage.script(&odd.join("run"), "exec sleep 1000")?;
        fs::set_permissions(odd.join("run"), fs::Permissions::from_mode(0o644))
            .map_err(|why| format!("unable to change a mode: {why}"))?;
        stage.tree.start(1)?;
        stage.until(Duration::from_secs(5), |_| {
            odd.join("supervise/status").exists()
        });
        let (mut ups, mut asked, mut words) = (0, 0, String::new());
        while asked < 200 {
            let said = stage.status(&odd);
            // A pid that lives may be a child on its way to a refused exec: still no service that is up.
            if said.up {
                ups += 1;
                words = said.words;
            }
            asked += 1;
            stage.tree.pump(Duration::from_millis(20));
        }
        put("exec-false", f64::from(ups));
        if ups > 0 {
            note(&format!("run not executable: {words}"));
        }
        let dir = stage.dir(0);
        let status = dir.join("supervise/status");
        let length = fs::metadata(&status).map_or(0, |found| found.len());
        fs::OpenOptions::new()
            .write(true)
            .open(&status)
            .and_then(|mut file| file.write_all(&vec![0xff; usize::try_from(length).unwrap_or(0)]))
            .map_err(|why| format!("unable to write {}: {why}", status.display()))?;
        let said = stage.status(&dir);
        let lives = stage
            .alive(0)
            .first()
            .map(|pid| u64::from(pid.unsigned_abs()));
        // The truth and "unknown" are both right.
        let odd = said.pid.is_some() && said.pid != lives;
        let dead = lives.is_some() && said.words.contains("down");
        put("garbage-false", f64::from(u8::from(odd || dead)));
        note(&format!("status of 0xff: {}", said.words));
        Ok(())
    })
}

/// The FIFO is deleted: G16, G17.
fn fifo(play: &Play<'_>) -> Result<(), String> {
    const TRIED: usize = 10;
    const WAITED: Duration = Duration::from_secs(10);
    on_stage(play, TRIED + 3, |stage| {
        stage.tree.start(TRIED + 3)?;
        stage.tree.rest(Duration::from_secs(2));
        let mut lost = 0;
        let (mut silent, mut refused, mut words) = (0, 0, String::new());
        for at in 0..TRIED {
            let dir = stage.dir(at);
            let before = stage.heard(at).0;
            delete(&dir.join("supervise/control"))?;
            if at % 2 == 1 {
                stage.tree.rest(Duration::from_secs(1));
            }
            let (code, said) = stage.command('h', &dir);
            let obeyed = stage.until(Duration::from_secs(2), |stage| stage.heard(at).0 > before);
            if !obeyed && code == 0 {
                lost += 1;
                silent += i32::from(said.trim().is_empty());
                words = said;
            } else if !obeyed {
                refused += 1;
                words = said;
            }
        }
        put("fifo-lost", f64::from(lost));
        note(&format!(
            "FIFO deleted: of {TRIED} commands {lost} lost with exit 0 ({silent} without a word), {refused} refused: {words}"
        ));
        for at in TRIED..TRIED + 3 {
            let begin = now_ns();
            delete(&stage.dir(at).join("supervise/control"))?;
            let time = stage.obeyed(at, begin, WAITED);
            put_or(
                "fifo-again",
                time.map(|time| time.as_secs_f64()),
                WAITED.as_secs_f64(),
            );
        }
        Ok(())
    })
}

fn delete(path: &Path) -> Result<(), String> {
    fs::remove_file(path).map_err(|why| format!("unable to delete {}: {why}", path.display()))
}

/// A service directory is deleted and made again: G17.
fn directory(play: &Play<'_>) -> Result<(), String> {
    const WAITED: Duration = Duration::from_secs(20);
    on_stage(play, 2, |stage| {
        stage.tree.start(2)?;
        stage.tree.rest(Duration::from_secs(3));
        let dir = stage.dir(1);
        // Whoever supervises may make a file in it while it goes.
        if !stage.until(Duration::from_secs(5), |_| {
            fs::remove_dir_all(&dir).is_ok() || !dir.exists()
        }) {
            return Err("the directory could not be deleted".to_owned());
        }
        stage.tree.rest(Duration::from_secs(1));
        let aside = stage.tree.scan.with_file_name("aside");
        stage
            .tree
            .service(&aside)
            .map_err(|why| format!("unable to write a service: {why}"))?;
        let begin = now_ns();
        fs::rename(&aside, &dir).map_err(|why| format!("unable to rename: {why}"))?;
        if let Some(mut announce) = stage.subject.announce(&stage.tree.scan) {
            // Who must be told is told; what it answers is seen by what it does.
            let _ = announce.status();
        }
        let time = stage.obeyed(1, begin, WAITED);
        put_or(
            "dir-again",
            time.map(|time| time.as_secs_f64()),
            WAITED.as_secs_f64(),
        );
        stage.tree.rest(Duration::from_secs(3));
        put("dir-copies", stage.alive(1).len() as f64);
        Ok(())
    })
}

/// A `run` that leaves two children behind, each time: G18.
fn leak(play: &Play<'_>) -> Result<(), String> {
    on_stage(play, 0, |stage| {
        let dir = stage.tree.scan.join("forker");
        stage.script(
            &dir.join("run"),
            "echo $$ >>starts\nsleep 987 &\nsleep 987 &\nexit 0",
        )?;
        let starts = || {
            fs::read_to_string(dir.join("starts"))
                .unwrap_or_default()
                .lines()
                .count()
        };
        stage.tree.start(0)?;
        if !stage.until(Duration::from_secs(30), |_| starts() >= 6) {
            return Err("it was not started six times within 30 s".to_owned());
        }
        stage.command('d', &dir);
        stage.tree.rest(Duration::from_secs(3));
        let left = super::stage::named("sleep").len();
        put("leaked", left as f64 / starts() as f64);
        Ok(())
    })
}
