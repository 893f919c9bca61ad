//! `up`: the tree of a directory, run here.

use super::{Stop, print, quick, tree};
use eudaemon_core::exit::Exit;
use eudaemon_engine::report::Report;
use eudaemon_engine::{Mode, Options};
use jiff::Timestamp;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The name that messages begin with.
const PROGRAM: &str = "eudaemon";

/// Runs the services of a directory until it is told to stop.
pub fn up(given: Option<PathBuf>) -> Result<Exit, Stop> {
    if let Some(dir) = given.or_else(tree::from_environment) {
        return run(&dir);
    }
    let here = Path::new(".");
    if here.join("eudaemon.toml").exists() {
        return Err(Stop::new(
            Exit::Permanent,
            "unable to run eudaemon.toml: this version reads service directories only; name one with `eudaemon up DIR`",
        ));
    }
    if has_services(here) {
        return run(here);
    }
    let quick = quick::prepare()?;
    print(quick.banner.as_bytes())?;
    run(&quick.dir)
}

fn run(dir: &Path) -> Result<Exit, Stop> {
    let unable = |exit, why: &str| {
        Stop::new(
            exit,
            format!("unable to run the services of {}: {why}", dir.display()),
        )
    };
    let dir = match dir.canonicalize() {
        Ok(dir) => dir,
        Err(error) => return Err(unable(Exit::Temporary, &super::reason(&error))),
    };
    if !dir.is_dir() {
        return Err(unable(Exit::Permanent, "not a directory"));
    }
    engage(dir)
}

/// Hands over to the keeper, with a viewer of the logs beside it.
fn engage(dir: PathBuf) -> Result<Exit, Stop> {
    // What is wrong with it has been said.
    let dialect = match crate::applets::dialect(Report(PROGRAM)) {
        Ok(dialect) => dialect,
        Err(_) => return Err(Stop::said(Exit::Permanent)),
    };
    let options = Options {
        program: PROGRAM,
        companion: Some(viewer(&dir, Timestamp::now())),
        dir,
        mode: Mode::Up,
        dialect,
        sessions: false,
    };
    match eudaemon_engine::run(&options) {
        0 => Ok(Exit::Done),
        code if code == Exit::Permanent.code() => Err(Stop::said(Exit::Permanent)),
        code if code == Exit::Temporary.code() => Err(Stop::said(Exit::Temporary)),
        _ => Err(Stop::said(Exit::Failed)),
    }
}

/// The words that run the viewer; lines from now on are shown.
fn viewer(dir: &Path, now: Timestamp) -> Vec<OsString> {
    let since = now.as_millisecond() as f64 / 1000.0;
    let mut words: Vec<OsString> = ["eudaemon", "-C"].map(OsString::from).into();
    words.push(dir.into());
    let rest = ["logs", "-f", "-n", "0", "--viewer", "--began"].map(OsString::from);
    words.extend(rest);
    words.push(format!("{since}").into());
    words
}

/// Whether a directory in it has an executable `run`.
fn has_services(dir: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return false;
    };
    entries.filter_map(Result::ok).any(|entry| {
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        let run = entry.path().join("run");
        !hidden
            && std::fs::metadata(run)
                .is_ok_and(|is| is.is_file() && is.permissions().mode() & 0o111 != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_a_directory_with_an_executable_run() {
        let dir = std::env::temp_dir().join(format!("eud-up-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(dir.join("web")).unwrap();
        let run = dir.join("web/run");
        std::fs::write(&run, "#!/bin/sh\n").unwrap();
        let mode = |mode| std::fs::set_permissions(&run, PermissionsExt::from_mode(mode)).unwrap();
        mode(0o644);
        assert!(!has_services(&dir));
        mode(0o755);
        assert!(has_services(&dir));
        std::fs::rename(dir.join("web"), dir.join(".web")).unwrap();
        assert!(!has_services(&dir));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn the_viewer_is_called_as_it_wants_to_be() {
        use crate::verbs::grammar::{Verb, read};
        let now = Timestamp::from_millisecond(1_795_184_531_204).unwrap();
        let args = read(viewer(Path::new("/a b"), now)).unwrap();
        assert_eq!(args.directory, Some("/a b".into()));
        let Verb::Logs(logs) = args.verb else {
            panic!("it shows logs");
        };
        assert!(logs.follow && logs.viewer);
        assert_eq!((logs.lines, logs.began), (Some(0), Some(1_795_184_531.204)));
    }

    #[test]
    fn a_missing_directory_is_said() {
        let stop = up(Some("/no/such/place".into())).unwrap_err();
        assert_eq!(stop.exit, Exit::Temporary);
        let why = stop.why.unwrap();
        assert!(why.contains("/no/such/place: No such file"), "{why}");
    }
}
