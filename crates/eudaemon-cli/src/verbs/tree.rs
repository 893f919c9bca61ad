//! Where the tree is: which directory a verb is about.

use super::{Stop, quick};
use eudaemon_core::exit::Exit;
use std::path::{Path, PathBuf};

/// The socket's place in a tree's directory.
pub const CONTROL: &str = ".eudaemon/control";

/// The directory given by `-C` or `$EUDAEMON_DIR`, or the first of the usual ones that has a tree.
pub fn find(given: Option<PathBuf>) -> Result<PathBuf, Stop> {
    if let Some(dir) = given.or_else(from_environment) {
        return match std::fs::metadata(&dir) {
            Ok(is) if is.is_dir() => Ok(dir),
            Ok(_) => Err(Stop::new(
                Exit::Permanent,
                format!("unable to use {}: not a directory", dir.display()),
            )),
            Err(error) => Err(Stop::new(
                Exit::Temporary,
                format!("unable to use {}: {}", dir.display(), super::reason(&error)),
            )),
        };
    }
    let usual = usual();
    choose(&usual).ok_or_else(|| {
        let names: Vec<String> = usual.iter().map(|dir| dir.display().to_string()).collect();
        Stop::new(
            Exit::Temporary,
            format!(
                "unable to find running services: no {CONTROL} in {}; start some with `eudaemon up DIR`, \
                 or say where they are with -C DIR",
                names.join(", ")
            ),
        )
    })
}

/// The first that is running, or else the first that was: its logs can be read.
fn choose(usual: &[PathBuf]) -> Option<PathBuf> {
    let trees: Vec<&PathBuf> = usual.iter().filter(|dir| has_control(dir)).collect();
    let running = |dir: &PathBuf| eudaemon_sys::socket::connect(&dir.join(CONTROL)).is_ok();
    let first = match trees[..] {
        // Whoever asks it will see whether it runs.
        [only] => Some(only),
        _ => trees
            .iter()
            .copied()
            .find(|dir| running(dir))
            .or(trees.first().copied()),
    };
    first.cloned()
}

/// `$EUDAEMON_DIR`, unless it is empty.
pub fn from_environment() -> Option<PathBuf> {
    std::env::var_os("EUDAEMON_DIR")
        .filter(|dir| !dir.is_empty())
        .map(PathBuf::from)
}

fn usual() -> Vec<PathBuf> {
    [".", "/service", "/etc/service", "/run/service"]
        .iter()
        .map(PathBuf::from)
        .chain(quick::places())
        .collect()
}

fn has_control(dir: &Path) -> bool {
    // What we may not look into is not ours to use.
    std::fs::symlink_metadata(dir.join(CONTROL)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::client::tests::Fake;

    #[test]
    fn a_running_tree_is_chosen_before_a_dead_one() {
        let base = std::env::temp_dir().join(format!("eud-find-{}", std::process::id()));
        let (none, dead) = (base.join("none"), base.join("dead"));
        std::fs::create_dir_all(&none).unwrap();
        std::fs::create_dir_all(dead.join(".eudaemon")).unwrap();
        drop(eudaemon_sys::socket::listen_private(&dead.join(CONTROL)).unwrap());
        let live = Fake::new("find", |_, _| None);
        let live_dir = live.dir().to_owned();
        assert_eq!(choose(std::slice::from_ref(&none)), None);
        let both = [none.clone(), dead.clone(), live_dir.clone()];
        assert_eq!(choose(&both), Some(live_dir));
        assert_eq!(choose(&[none, dead.clone()]), Some(dead));
        std::fs::remove_dir_all(&base).unwrap();
    }
}
