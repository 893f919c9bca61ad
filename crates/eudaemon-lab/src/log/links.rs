//! An attacker who may write in the log directory puts links where the logger's files should be.

use super::logger::{Family, Logger, Shape};
use super::pipe::Pipe;
use crate::World;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What the attacker wants changed: a program of somebody else.
const VICTIM: &str = "#!/bin/sh\n";

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Escapes {
    /// Lives of the logger.
    pub rounds: u64,
    /// How often a name was exchanged meanwhile.
    pub swaps: u64,
    /// Rounds after which the victim was not what it was.
    pub escapes: u64,
    /// The names that led out.
    pub by: Vec<String>,
}

fn names(family: Family) -> &'static [&'static str] {
    match family {
        Family::Multilog | Family::Svlogd => &[
            "current",
            "previous",
            "processed",
            "state",
            "newstate",
            "lock",
        ],
        Family::S6Log => &["current", "previous", "processed", "state", "lock"],
    }
}

/// One life of the logger for each name with a link there already, then `rounds` more while names are exchanged with links.
///
/// # Panics
/// When nothing can be started.
#[must_use]
pub fn links(logger: &Logger, rounds: u64) -> Escapes {
    let mut all = Escapes::default();
    let names = names(logger.family);
    for name in names {
        one(logger, name, false, &mut all);
    }
    for round in 0..rounds {
        let at = usize::try_from(round).unwrap_or_default() % names.len();
        one(logger, names[at], true, &mut all);
    }
    all
}

fn one(logger: &Logger, name: &str, race: bool, all: &mut Escapes) {
    let world = World::new("links");
    let dir = world.path("a");
    fs::create_dir(&dir).expect("a log directory");
    let victim = world.path("victim");
    fs::write(&victim, VICTIM).expect("a victim");
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o755)).expect("chmod of our file");
    let shape = Shape::Processed;
    logger.prepare(&world.path(""), shape, 4096);
    let target = dir.join(name);
    let spare = if race {
        world.path("spare")
    } else {
        target.clone()
    };
    symlink(&victim, &spare).expect("a link");
    if race {
        // Something to be exchanged, as an earlier run leaves it.
        for (name, mode) in [("current", 0o644), ("previous", 0o744), (name, 0o644)] {
            fs::write(dir.join(name), "").expect("a file");
            let mode = fs::Permissions::from_mode(mode);
            fs::set_permissions(dir.join(name), mode).expect("chmod of our file");
        }
    }
    let done = AtomicBool::new(false);
    let swaps = AtomicU64::new(0);
    std::thread::scope(|scope| {
        if race {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let swapped = renameat_with(CWD, &target, CWD, &spare, RenameFlags::EXCHANGE);
                    swaps.fetch_add(u64::from(swapped.is_ok()), Ordering::Relaxed);
                }
            });
        }
        let mut pipe = Pipe::new();
        let arguments = logger.arguments(shape, 4096);
        let running = world.start_on(&logger.program, &arguments, pipe.reader());
        // Less than the pipe holds: a logger that does not start must not stop us.
        pipe.put("a line of the attacker\n".repeat(500).as_bytes());
        pipe.close();
        // Who refuses ends, who pauses does not: either is right, and the names are put back for nobody.
        let _ended = running.exit(Duration::from_millis(if race { 200 } else { 1500 }));
        done.store(true, Ordering::Relaxed);
    });
    world.end_all();
    all.rounds += 1;
    all.swaps += swaps.load(Ordering::Relaxed);
    let mode = fs::metadata(&victim)
        .expect("the victim")
        .permissions()
        .mode();
    let text = fs::read_to_string(&victim).unwrap_or_default();
    if text != VICTIM || mode & 0o7777 != 0o755 {
        all.escapes += 1;
        all.by.push(name.to_owned());
    }
}
