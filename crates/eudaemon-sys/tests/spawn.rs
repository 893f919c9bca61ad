//! Children get what they are granted. Not tested here: that the child outlives us and is our parent's (the lab's chaos test
//! kills real engines).
//!
//! A program of its own: the stage's numbers belong to one spawner alone, and other tests open files in other threads.

use eudaemon_sys::dir::Dir;
use eudaemon_sys::process::Environment;
use eudaemon_sys::spawn::{Child, Method, Spawned, Spawner, Step};
use std::ffi::CStr;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering};

/// The first number of the stage.
const STAGE: u32 = 32;

/// The stage belongs to one spawner at a time, and tests run in threads.
static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn output(
    method: Method,
    program: &CStr,
    argv: &[&CStr],
    grants: &[(BorrowedFd<'_>, u32)],
) -> (Spawned, u32, String) {
    let guard = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut spawner = Spawner::new(method, None).expect("spawner");
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("pipe");
    let environment = Environment::new([c"PATH=/bin:/usr/bin".to_owned()].into_iter());
    let dir = Dir::open(std::path::Path::new("/usr")).expect("dir");
    let record = AtomicU32::new(0);
    // The child reads it to the end first, so that it cannot be gone before we have hold of it.
    let (hold, held) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("pipe");
    let child = Child {
        program,
        argv,
        environment: &environment,
        dir: dir.as_fd(),
        stdio: [Some(hold.as_fd()), Some(write.as_fd()), None],
        grants,
        session: true,
    };
    let spawned = spawner.spawn(&child, &record).expect("spawn");
    drop((hold, held));
    drop(write);
    drop(spawner);
    drop(guard);
    let mut text = String::new();
    std::fs::File::from(read)
        .read_to_string(&mut text)
        .expect("utf-8");
    (spawned, record.load(Ordering::SeqCst), text)
}

#[test]
fn a_child_gets_what_it_is_granted_and_nothing_else() {
    let file = std::fs::File::open("/etc/hostname").expect("a file");
    for (method, held) in [
        (Method::Clone3, true),
        (Method::Clone, true),
        (Method::CloneWithoutPidfd, false),
    ] {
        for number in [9, 40, 50, 200] {
            let script = c"read -r _; pwd; echo $$; echo $(ls /proc/self/fd); ps -o sid= -p $$; grep SigIgn /proc/self/status";
            let argv = [c"sh", c"-c", script];
            let (spawned, record, text) =
                output(method, c"/bin/sh", &argv, &[(file.as_fd(), number)]);
            assert!(spawned.failed.is_none(), "{:?}", spawned.failed);
            assert_eq!(spawned.held.is_some(), held);
            assert_eq!(spawned.pid.get(), record);
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            assert_eq!(lines[0], "/usr");
            assert_eq!(lines[1], record.to_string());
            // Below the stage may be what whoever runs the tests leaked, and the directory that ls reads.
            let open: Vec<u32> = lines[2]
                .split(' ')
                .map(|n| n.parse().expect("a number"))
                .collect();
            assert!(open.contains(&number), "{text}");
            assert!(open.iter().all(|n| *n < STAGE || *n == number), "{text}");
            assert_eq!(lines[3], record.to_string(), "it leads its session");
        }
    }
}

#[test]
fn a_child_that_cannot_exec_says_so() {
    for (program, errno) in [
        (c"/nonexistent", libc::ENOENT),
        (c"/etc/passwd", libc::EACCES),
    ] {
        let (spawned, record, _) = output(Method::Clone3, program, &[c"x"], &[]);
        assert_eq!(spawned.pid.get(), record);
        let (step, error) = spawned.failed.expect("cannot run");
        assert_eq!((step, error.raw_os_error()), (Step::Exec, Some(errno)));
    }
}
