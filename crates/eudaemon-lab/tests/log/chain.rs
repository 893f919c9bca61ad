//! The logger dies together with those who would start it again, and no line of its service is lost.

use crate::finished;
use eudaemon_lab::chaos::engine_of;
use eudaemon_lab::log::{Tally, line};
use eudaemon_lab::{Signal, Subject, World, bins, until};
use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);
const LINES: u64 = 2500;
const DEATHS: usize = 12;

/// Which of them die, in turn: logger, engine, keeper. A keeper that died is started again, as an init would.
const TURNS: [(bool, bool, bool); 4] = [
    (true, false, false),
    (true, true, false),
    (true, true, true),
    (false, true, true),
];

#[test]
fn logger_and_supervisor_and_scanner_die() {
    let Some(ours) = bins(Subject::Ours) else {
        return;
    };
    let world = World::new("log-chain");
    let mut lines = String::new();
    for n in 1..=LINES {
        let _infallible = write!(lines, "{}", line(n));
    }
    world.write("lines", &lines);
    // A line in some milliseconds, from where the last one ended: the service itself never dies.
    world.script("sv/w/run", "echo start >>starts\nwhile IFS= read -r line; do printf '%s\\n' \"$line\"; sleep 0.004; done <../../lines\nexec sleep 1000");
    let multilog = ours.program("multilog".as_ref());
    world.script(
        "sv/w/log/run",
        &format!("exec {} s4096 n1000 ./main", multilog.display()),
    );
    let mut keeper = world.start(ours, &["svscan", "sv"]);
    let bytes = || -> u64 {
        let dir = fs::read_dir(world.path("sv/w/log/main"))
            .into_iter()
            .flatten()
            .flatten();
        // The lock is no log, whatever is kept in it.
        dir.filter(|entry| entry.file_name() != "lock")
            .filter_map(|entry| entry.metadata().ok())
            .map(|m| m.len())
            .sum()
    };
    for death in 0..DEATHS {
        let before = bytes();
        let logging = until(SOON, || {
            !world.named("multilog").is_empty()
                && (bytes() > before || before >= lines.len() as u64)
        });
        assert!(logging, "death {death}: no logger writes: {}", keeper.err());
        let (logger, engine, scanner) = TURNS[death % TURNS.len()];
        let mut doomed = Vec::new();
        if logger {
            doomed.extend(world.named("multilog"));
        }
        if engine {
            doomed.extend(engine_of(keeper.pid));
        }
        if scanner {
            doomed.push(keeper.pid);
        }
        // At once means that none of them sees another die.
        for signal in [Signal::STOP, Signal::KILL] {
            for &pid in &doomed {
                world.signal(pid, signal);
            }
        }
        if scanner {
            assert!(keeper.exit(SOON).is_some());
            keeper = world.start(ours, &["svscan", "sv"]);
        }
    }
    let done = until(SOON, || bytes() >= lines.len() as u64);
    let mut tally = Tally::new(false, false);
    for name in finished(&world.path("sv/w/log/main")) {
        tally.take(&fs::read(world.path(format!("sv/w/log/main/{name}"))).expect("a file"));
    }
    tally.take(&fs::read(world.path("sv/w/log/main/current")).expect("current"));
    tally.end(LINES);
    println!("{tally}");
    assert!(tally.perfect() && done, "{tally}: {}", keeper.err());
    assert_eq!(
        world.read("sv/w/starts"),
        "start\n",
        "the service was started again"
    );
}
