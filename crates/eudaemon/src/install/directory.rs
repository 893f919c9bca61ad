//! A service directory, for `svscan`, `runsvdir` and `eudaemon up`.
//!
//! The directory is `/etc/sv/NAME`; a link to it where the scanner looks is what makes it known, and comes last. Source:
//! daemontools' FAQ, "How do I set up a service"; Debian's `runit`(7) for `/etc/sv`.

use super::plan::{Command, File, Plan, Step};
use super::target::Control;
use super::{Action, InstallError, Installation, Target, seal, shell};
use crate::Exit;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The descriptor for readiness that the directory of our own supervisor names.
const READINESS: u32 = 3;

fn home(of: &Installation) -> PathBuf {
    Path::new("/etc/sv").join(&of.manifest.name)
}

/// How long a stop may take until it has failed: what the service gives itself, and some more.
pub(super) fn patience(of: &Installation) -> Duration {
    of.manifest.stop_timeout + Duration::from_secs(5)
}

pub(super) fn install(
    of: &Installation,
    plan: &mut Plan,
    scan: &Path,
    control: Control,
) -> Result<(), InstallError> {
    let home = home(of);
    let mut words = of.own_drop(
        "a service directory makes up no user, so it would stay root: name one with --service.uid",
    )?;
    let mut file = |name: &str, bytes: Vec<u8>, mode| {
        plan.steps
            .push(Step::Write(File::new(home.join(name), bytes, mode)))
    };
    if control == Control::Eudaemon {
        words.push(format!("--service.notify-fd={READINESS}").into());
        file(
            "notification-fd",
            format!("{READINESS}\n").into_bytes(),
            0o644,
        );
        file(
            "timeout-kill",
            format!("{}\n", patience(of).as_millis()).into_bytes(),
            0o644,
        );
    }
    match finish(control) {
        Some(bytes) => file("finish", bytes, 0o755),
        None => plan.notes.push(format!(
            "svscan starts it again whatever its exit code is, {} too: daemontools cannot be told that they are final",
            Exit::FINAL.map(|exit| exit.code().to_string()).join(", ")
        )),
    }
    file("log/run", log_run(control), 0o755);
    file("run", run(of, &words), 0o755);
    plan.steps
        .push(Step::Write(File::link(scan.join(&of.manifest.name), &home)));
    plan.notes.push(format!(
        "it is started at once, by what scans {}",
        scan.display()
    ));
    plan.notes
        .push("its logger runs as root, and writes into log/main".to_owned());
    if of.sockets && !of.manifest.sockets.is_empty() {
        plan.notes
            .push("a service directory opens no sockets: the service binds them itself".to_owned());
    }
    if of.descriptor_store.is_some() {
        plan.notes
            .push("left out: the descriptor store, which is systemd's".to_owned());
    }
    if of.manifest.watchdog.is_some() {
        plan.notes
            .push("left out: the watchdog, which is systemd's".to_owned());
    }
    Ok(())
}

const WARNING: &str = "#!/bin/sh\n# Generated: what is changed here is kept, and then no longer replaced or removed unasked.\n";

fn run(of: &Installation, more: &[OsString]) -> Vec<u8> {
    let mut body = b"exec 2>&1\numask 027\ncd /\n".to_vec();
    for (name, value) in &of.environment {
        body.extend_from_slice(format!("export {name}=").as_bytes());
        body.extend(shell::quoted(value));
        body.push(b'\n');
    }
    let words = of.words.iter().chain(more).map(OsString::as_os_str);
    body.extend_from_slice(b"exec ");
    body.extend(shell::line(
        std::iter::once(of.program.as_os_str()).chain(words),
    ));
    body.push(b'\n');
    seal::sealed(WARNING, ("# ", ""), &body)
}

/// After the exit codes that no restart mends, none is made. daemontools has no file for it.
fn finish(control: Control) -> Option<Vec<u8>> {
    let deed = match control {
        Control::Svc => return None,
        // Source: runit's runsv(8), "./finish", and sv(8), "down".
        Control::Sv => "exec sv down .",
        // Source: docs/formats/service-directory.md; s6's servicedir, "finish".
        Control::Eudaemon => "exit 125",
    };
    let codes = Exit::FINAL.map(|exit| exit.code().to_string()).join("|");
    let body = format!("case $1 in\n{codes}) {deed} ;;\nesac\n");
    Some(seal::sealed(WARNING, ("# ", ""), body.as_bytes()))
}

fn log_run(control: Control) -> Vec<u8> {
    let logger = match control {
        Control::Svc => "exec multilog t s1048576 n10 ./main\n",
        Control::Eudaemon => "exec eudaemon multilog t s1048576 n10 ./main\n",
        // svlogd makes no directory.
        Control::Sv => "mkdir -p main\nexec svlogd -tt ./main\n",
    };
    let body = format!("exec 2>&1\numask 027\n{logger}");
    seal::sealed(WARNING, ("# ", ""), body.as_bytes())
}

/// What goes before and behind the removal of the files.
pub(super) fn retire(
    of: &Installation,
    scan: &Path,
    control: Control,
) -> (Vec<Command>, Vec<Step>) {
    let home = home(of);
    let link = scan.join(&of.manifest.name);
    // Down first, so that it ends in order; the supervisor leaves once nobody would start another.
    let first = vec![ask(control, "d", &[&link]).tried()];
    let log = home.join("log");
    let last = vec![
        Step::Run(ask(control, "x", &[&home, &log]).tried()),
        Step::RemoveDirectory(log),
        Step::RemoveDirectory(home),
    ];
    (first, last)
}

/// Adds a note that names what stays in the directory: what the supervisor, the logger and other people wrote there. A
/// log is not thrown away unasked.
pub(super) fn say_what_stays(of: &Installation, plan: &mut Plan) -> Result<(), InstallError> {
    let home = home(of);
    let removed: Vec<PathBuf> = plan.files().map(|file| file.path.clone()).collect();
    let log = home.join("log");
    let mut stays = Vec::new();
    for folder in [&home, &log] {
        let there = plan.placed(folder);
        let failed = |source| InstallError::file("read", &there, source);
        let entries = match std::fs::read_dir(&there) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            let path = folder.join(entry.map_err(failed)?.file_name());
            if path != log && !removed.contains(&path) {
                stays.push(plan.placed(&path).display().to_string());
            }
        }
    }
    if !stays.is_empty() {
        stays.sort_unstable();
        plan.notes.push(format!(
            "what was written beside our files stays, and is yours to remove: {}",
            stays.join(", ")
        ));
    }
    Ok(())
}

/// One letter to the supervisor of each directory.
fn ask(control: Control, letter: &str, folders: &[&Path]) -> Command {
    let flag = format!("-{letter}");
    let word = match letter {
        "d" => "down",
        "h" => "hup",
        _ => "exit",
    };
    let mut argv: Vec<&OsStr> = match control {
        Control::Svc => vec!["svc".as_ref(), flag.as_ref()],
        Control::Sv => vec!["sv".as_ref(), word.as_ref()],
        Control::Eudaemon => vec!["eudaemon".as_ref(), "svc".as_ref(), flag.as_ref()],
    };
    argv.extend(folders.iter().map(|folder| folder.as_os_str()));
    Command::new(argv)
}

/// What tells how it is, of the supervisors whose programs do not wait. `sv` waits itself.
pub(super) fn look(of: &Installation, target: &Target) -> Option<Command> {
    let Target::Daemontools { scan, control } = target else {
        return None;
    };
    match control {
        Control::Sv => None,
        Control::Svc | Control::Eudaemon => Some(status(*control, &scan.join(&of.manifest.name))),
    }
}

fn status(control: Control, link: &Path) -> Command {
    let mut argv: Vec<&OsStr> = match control {
        Control::Svc => vec!["svstat".as_ref()],
        Control::Sv => vec!["sv".as_ref(), "status".as_ref()],
        Control::Eudaemon => vec!["eudaemon".as_ref(), "svstat".as_ref()],
    };
    argv.push(link.as_os_str());
    Command::new(argv)
}

pub(super) fn control(
    of: &Installation,
    scan: &Path,
    control: Control,
    action: Action,
) -> Vec<Command> {
    let link = scan.join(&of.manifest.name);
    // `svc` says nothing by its exit code, `svok` does. Source: specification §4 and §5.
    let mut there: Vec<&OsStr> = match control {
        Control::Svc => vec!["svok".as_ref()],
        Control::Eudaemon => vec!["eudaemon".as_ref(), "svok".as_ref()],
        Control::Sv => Vec::new(),
    };
    there.push(link.as_os_str());
    let told = |letter| match control {
        Control::Sv => vec![ask(control, letter, &[&link])],
        Control::Svc | Control::Eudaemon => {
            vec![Command::new(&there), ask(control, letter, &[&link])]
        }
    };
    // Source: sv(8): these words wait, `-w` says how many seconds.
    let waiting = |word: &str| {
        let seconds = patience(of).as_millis().div_ceil(1000).to_string();
        let argv: [&OsStr; 5] = [
            "sv".as_ref(),
            "-w".as_ref(),
            seconds.as_ref(),
            word.as_ref(),
            link.as_os_str(),
        ];
        Command::new(argv)
    };
    match (action, control) {
        (Action::Start, Control::Sv) => vec![waiting("start")],
        (Action::Stop, Control::Sv) => vec![waiting("stop")],
        // It may be back before the next start: observed with sv 2.1.2.
        (Action::Restart, Control::Sv) => vec![waiting("restart"), waiting("start")],
        (Action::Start, _) => told("u"),
        (Action::Stop, _) => told("d"),
        // TERM, and up whatever it was.
        (Action::Restart, _) => told("tu"),
        (Action::Reload, _) => told("h"),
        (Action::Status, _) => vec![status(control, &link)],
        (Action::Install | Action::Remove, _) => Vec::new(),
    }
}
