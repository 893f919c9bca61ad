//! Calls that fail: a sync that was refused proves nothing later, and a processor that fails or hangs stops nobody.

use crate::{finished, logger};
use eudaemon_lab::log::{Logger, Pipe, Shape, Tally, line};
use eudaemon_lab::{Exit, Running, Signal, Subject, World, need, until};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);
const LINES: u64 = 180;

/// Starts ours under strace with these calls failing.
fn failing(world: &World, logger: &Logger, pipe: &Pipe, inject: &[&str], size: u32) -> Running {
    let mut words: Vec<String> = ["-f", "-qq", "-b", "execve", "-o", "/dev/null"]
        .map(str::to_owned)
        .to_vec();
    for inject in inject {
        words.extend(["-e".to_owned(), format!("inject={inject}")]);
    }
    words.push(logger.program.display().to_string());
    words.extend(logger.arguments(Shape::Plain, size));
    world.start_on(Path::new("/usr/bin/strace"), &words, pipe.reader())
}

fn all_lines() -> String {
    (1..=LINES).map(line).collect()
}

/// No file says that it is safe, and `current` does not say that it is complete.
#[test]
fn a_sync_that_always_fails_is_never_said_to_have_succeeded() {
    if !need(&["/usr/bin/strace"]) {
        return;
    }
    let Some(ours) = logger(Subject::Ours) else {
        return;
    };
    let world = World::new("eio");
    let pipe = Pipe::new();
    let fail = [
        "fsync:error=EIO",
        "fdatasync:error=EIO",
        "sync_file_range:error=EIO",
        "syncfs:error=EIO",
    ];
    let running = failing(&world, &ours, &pipe, &fail, 4096);
    // Less than the pipe holds: whoever pauses does not stop us.
    pipe.put(all_lines().as_bytes());
    let told = until(SOON, || {
        let said = running.err();
        said.lines().any(|line| {
            line.starts_with("multilog: warning: unable to write ./a/")
                && line.contains(" to disk")
                && line.ends_with(": input/output error")
        })
    });
    assert!(told, "it did not tell: {}", running.err());
    let names = finished(&world.path("a"));
    assert!(names.iter().all(|name| !name.ends_with(".s")), "{names:?}");
    for name in ["current", "previous"] {
        let mode =
            fs::metadata(world.path(format!("a/{name}"))).map_or(0o644, |m| m.permissions().mode());
        assert_eq!(mode & 0o100, 0, "{name} is said to be safe");
    }
    // And whoever comes next finds all lines, in files that are not said to be safe, or in its own.
    world.end_all();
    let mut pipe = pipe;
    pipe.close();
    let last = world.start_on(
        &ours.program,
        &ours.arguments(Shape::Plain, 4096),
        pipe.reader(),
    );
    assert_eq!(last.exit(SOON), Some(Exit::Code(0)), "{}", last.err());
    assert!(
        lines_of(&world, &ours).perfect(),
        "{}",
        lines_of(&world, &ours)
    );
}

fn lines_of(world: &World, logger: &Logger) -> Tally {
    let mut tally = Tally::new(false, false);
    for file in logger.files(&world.path("a")) {
        tally.take(&fs::read(file).expect("a log file"));
    }
    tally.end(LINES);
    tally
}

/// Each of these fails once or a few times; it goes on by itself, and all is there.
#[test]
fn calls_that_fail_for_a_while_cost_nothing() {
    if !need(&["/usr/bin/strace"]) {
        return;
    }
    let Some(ours) = logger(Subject::Ours) else {
        return;
    };
    for inject in [
        "fsync:error=EIO:when=1",
        "fdatasync:error=EIO:when=1",
        "write:error=ENOSPC:when=2..3",
        "write:error=EIO:when=2",
        "pwrite64:error=ENOSPC:when=2",
        "rename:error=EROFS:when=1",
        "renameat:error=EROFS:when=1",
        "renameat2:error=EROFS:when=1",
        "linkat:error=EMLINK:when=1",
        "fchmod:error=EROFS:when=2",
        "tee:error=EINTR:when=1+3",
        "tee:error=ENOMEM:when=2",
        "splice:error=EINTR:when=1+3",
        "read:error=EINTR:when=2+2",
        "unlinkat:error=EROFS:when=2",
        "openat:error=EMFILE:when=8..9",
        "getdents64:error=EIO:when=1",
        "ppoll:error=EINTR:when=1+3",
        "poll:error=EINTR:when=1+3",
    ] {
        let world = World::new("fault");
        let mut pipe = Pipe::new();
        let running = failing(&world, &ours, &pipe, &[inject], 4096);
        pipe.put(all_lines().as_bytes());
        pipe.close();
        let exit = running.exit(SOON);
        // A start that is refused has taken nothing: the next one gets it all.
        if exit == Some(Exit::Code(111)) {
            let next = world.start_on(
                &ours.program,
                &ours.arguments(Shape::Plain, 4096),
                pipe.reader(),
            );
            assert_eq!(
                next.exit(SOON),
                Some(Exit::Code(0)),
                "{inject}: {}",
                next.err()
            );
        } else {
            assert_eq!(exit, Some(Exit::Code(0)), "{inject}: {}", running.err());
        }
        let tally = lines_of(&world, &ours);
        println!("{inject}: {tally} {:?}", running.err());
        assert!(tally.perfect(), "{inject}: {tally}: {}", running.err());
    }
}

/// A processor that fails, dies or hangs: lines are taken and written meanwhile, and TERM is heard.
/// Differs: the original reads nothing until the processor has succeeded.
#[test]
fn a_processor_stops_nobody() {
    let Some(ours) = logger(Subject::Ours) else {
        return;
    };
    for (command, words) in [
        (
            "!exit 1",
            "multilog: warning: processor failed in ./a, pausing",
        ),
        (
            "!kill -9 $$",
            "multilog: warning: processor crashed in ./a, pausing",
        ),
        ("!sleep 1000", ""),
    ] {
        let world = World::new("hang");
        let mut pipe = Pipe::new();
        // So many files may wait for it; the usual bound is soon reached, and then the input waits.
        let arguments = ["s4096", "n1000", "%backlog=1000", command, "./a"];
        let running = world.start_on(&ours.program, &arguments, pipe.reader());
        for n in 1..=LINES {
            pipe.put(line(n).as_bytes());
        }
        assert!(
            until(SOON, || pipe.drained()),
            "{command}: {} bytes wait: {}",
            pipe.waiting(),
            running.err()
        );
        let told = until(SOON, || running.err().contains(words));
        assert!(told, "{command}: {}", running.err());
        assert!(world.signal(running.pid, Signal::TERM));
        // A processor that cannot succeed need not be waited for; it may be, for a while.
        if running.exit(Duration::from_secs(12)).is_none() {
            panic!("{command}: does not hear TERM: {}", running.err());
        }
        world.end_all();
        // Without the processor, everything is there.
        pipe.close();
        let last = world.start_on(
            &ours.program,
            &ours.arguments(Shape::Plain, 4096),
            pipe.reader(),
        );
        assert_eq!(
            last.exit(SOON),
            Some(Exit::Code(0)),
            "{command}: {}",
            last.err()
        );
        let tally = lines_of(&world, &ours);
        assert!(tally.perfect(), "{command}: {tally}");
    }
}
