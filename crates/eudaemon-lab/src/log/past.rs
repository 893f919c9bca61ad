//! A clock that was set back: the log directory holds files with stamps of tomorrow.

use super::line::line;
use super::logger::{Family, Logger};
use super::pipe::Pipe;
use crate::World;
use crate::wait::Exit;
use std::fs;
use std::time::{Duration, SystemTime};

const SIZE: u64 = 4096;
/// How many files are kept, `current` included.
const FILES: u64 = 10;
/// Where a file may end, before its size. Source: specification §8.5.
const WINDOW: u64 = 2000;
/// How many lines are written after the clock was set back.
pub const WRITTEN: u64 = 3000;

/// What is left of the lines written after the clock was set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Lines of the new ones that are still there.
    pub lines: u64,
    /// Of those that fit into what is to be kept however the files are cut, so many are gone.
    pub missing: u64,
    /// Files that were there before and still are.
    pub stale: u64,
}

/// Lets a logger write into a directory of files that are a day younger than now.
///
/// # Panics
/// When nothing can be started, or the logger fails.
#[must_use]
pub fn set_back(logger: &Logger) -> Kept {
    let world = World::new("past");
    let dir = world.path("a");
    fs::create_dir(&dir).expect("a log directory");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let tomorrow = now.expect("a clock after 1970").as_secs() + 86_400;
    let mut ours = Vec::new();
    for n in 0..FILES - 1 {
        // External TAI64N: specification §1.
        let label = 4_611_686_018_427_387_914 + tomorrow + n;
        let file = dir.join(format!("@{label:016x}{:08x}.s", 500));
        fs::write(&file, "of tomorrow\n".repeat(300)).expect("a file of tomorrow");
        ours.push(file);
    }
    let arguments = match logger.family {
        Family::Multilog | Family::S6Log => {
            vec![format!("s{SIZE}"), format!("n{FILES}"), "./a".to_owned()]
        }
        Family::Svlogd => {
            fs::write(dir.join("config"), format!("s{SIZE}\nn{}\n", FILES - 1)).expect("a config");
            vec!["./a".to_owned()]
        }
    };
    let mut pipe = Pipe::new();
    let running = world.start_on(&logger.program, &arguments, pipe.reader());
    for n in 1..=WRITTEN {
        pipe.put(line(n).as_bytes());
    }
    pipe.close();
    let exit = running.exit(Duration::from_secs(60));
    assert_eq!(exit, Some(Exit::Code(0)), "{}", running.err());
    let text: Vec<u8> = logger
        .files(&dir)
        .iter()
        .filter(|file| !ours.contains(file))
        .flat_map(|file| fs::read(file).expect("a log file"))
        .collect();
    let mut there = vec![false; usize::try_from(WRITTEN).unwrap_or(usize::MAX) + 1];
    for line in String::from_utf8_lossy(&text).lines() {
        let n = line.get(..9).and_then(|n| n.parse::<usize>().ok());
        if let Some(seen) = n.and_then(|n| there.get_mut(n)) {
            *seen = true;
        }
    }
    let (mut room, mut missing) = ((FILES - 1) * (SIZE - WINDOW), 0);
    for n in (1..=WRITTEN).rev() {
        let Some(less) = room.checked_sub(line(n).len() as u64) else {
            break;
        };
        room = less;
        missing += u64::from(!there[usize::try_from(n).unwrap_or_default()]);
    }
    Kept {
        lines: there.iter().filter(|seen| **seen).count() as u64,
        missing,
        stale: ours.iter().filter(|file| file.exists()).count() as u64,
    }
}
