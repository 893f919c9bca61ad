//! A clock that is set back, or stands still: nothing new is removed, and names go on rising.
//!
//! A clock cannot be set for one process, so it is done in two ways. The directory holds files of tomorrow (`set_back`), which is
//! all that is left of a step once the logger has started. And a running logger's own clock is changed: a copy of our program, in which
//! the name of the kernel's `__vdso_clock_gettime` is misspelt, asks the kernel by a system call each time, and strace
//! changes the answers from the so-manieth on (strace(1), `poke_exit`). It changes those of the monotonic clock too.

use crate::{finished, logger};
use eudaemon_lab::log::{Logger, Pipe, line, set_back};
use eudaemon_lab::{Exit, Subject, World, need};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

#[test]
fn files_of_tomorrow_do_not_cost_a_line() {
    let Some(ours) = logger(Subject::Ours) else {
        return;
    };
    let kept = set_back(&ours);
    println!("{kept:?}");
    assert_eq!(kept.missing, 0, "{kept:?}");
}

/// That the judge sees a loss.
#[test]
fn the_original_removes_what_is_new() {
    let Some(djb) = logger(Subject::Djb) else {
        return;
    };
    assert!(set_back(&djb).missing > 0);
}

#[test]
fn a_clock_set_back_while_it_runs() {
    if !need(&["/usr/bin/strace"]) {
        return;
    }
    let Some(ours) = logger(Subject::Ours) else {
        return;
    };
    let world = World::new("clock");
    let mut program = fs::read(&ours.program).expect("our program");
    let name = b"__vdso_clock_gettime";
    let mut found = 0;
    for at in 0..program.len() - name.len() {
        if program[at..].starts_with(name) {
            program[at + 2] = b'X';
            found += 1;
        }
    }
    assert!(
        found > 0,
        "the program does not ask for the clock of the vDSO: this way is closed"
    );
    let copy = world.path("multilog");
    fs::write(&copy, program).expect("a copy");
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("chmod of our file");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let yesterday = now.expect("a clock after 1970").as_secs() - 86_400;
    let mut answer = String::new();
    for byte in yesterday
        .to_le_bytes()
        .iter()
        .chain(&123_456_789_u64.to_le_bytes())
    {
        answer.push_str(&format!("\\x{byte:02x}"));
    }
    // One directory rotates often and keeps everything: names must rise; the other keeps few: no new file may go.
    let inject = format!(
        "inject=clock_gettime:poke_exit=@arg2={}:when=30+",
        answer.replace("\\x", "")
    );
    let words = [
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=clock_gettime",
        "-e",
        &inject,
    ];
    let arguments: Vec<String> = words
        .iter()
        .map(|word| (*word).to_owned())
        .chain([copy.display().to_string()])
        .chain(["s4096", "n1000", "./all", "n3", "./few"].map(str::to_owned))
        .collect();
    let mut pipe = Pipe::new();
    let running = world.start_on(Path::new("/usr/bin/strace"), &arguments, pipe.reader());
    let mut text = String::new();
    for n in 1..=2000 {
        pipe.put(line(n).as_bytes());
        text.push_str(&line(n));
    }
    pipe.close();
    assert_eq!(
        running.exit(Duration::from_secs(60)),
        Some(Exit::Code(0)),
        "{}",
        running.err()
    );
    let read = |dir: &str| -> String {
        let files = Logger { ..ours.clone() }.files(&world.path(dir));
        files
            .iter()
            .map(|file| fs::read_to_string(file).expect("a file"))
            .collect()
    };
    // In the order of the names it is the order of the lines: the names rose.
    assert!(
        read("all") == text,
        "out of order: {:?}",
        finished(&world.path("all"))
    );
    assert!(finished(&world.path("all")).len() > 20);
    let few = read("few");
    assert!(
        text.ends_with(&few) && few.len() > 2 * 2096,
        "{} bytes left: {:?}",
        few.len(),
        finished(&world.path("few"))
    );
}
