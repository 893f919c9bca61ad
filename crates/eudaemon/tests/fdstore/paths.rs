//! Paths of unix sockets, their files and their locks, over a restart.

use super::harness::Test;
use super::stage::{LONG, Life, MODE, OPEN, line, names, until};
use eudaemon_core::words::Signal;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixStream};

pub const TESTS: &[Test] = &[
    ("a_path_and_its_lock_stay", a_path_and_its_lock_stay),
    (
        "a_path_that_is_gone_is_bound_anew",
        a_path_that_is_gone_is_bound_anew,
    ),
    (
        "a_file_goes_with_the_last_that_has_it",
        a_file_goes_with_the_last_that_has_it,
    ),
    ("another_mode_is_set", another_mode_is_set),
    ("what_is_in_a_fifo_waits", what_is_in_a_fifo_waits),
];

fn a_path_and_its_lock_stay() {
    let mut life = Life::new();
    let path = life.folder.join("a socket");
    let log = life.folder.join("log.sock");
    let open = format!("log=unix-dgram:{}", log.display());
    let first = life.serve(&[(OPEN, &open)]);
    let order = format!("open admin unix:{}", path.display());
    assert_eq!(life.order(&first, &order), "ok");
    let stored = [
        "admin",
        "eudaemon.lock",
        "eudaemon.lock",
        "eudaemon.stored",
        "log",
    ];
    until("both are stored", || names(&first) == stored);
    let inode = fs::metadata(&log).unwrap().ino();
    let says = UnixDatagram::unbound().unwrap();
    says.send_to(b"one", &log).unwrap();
    let waits = UnixStream::connect(&path).unwrap();
    life.end(first);
    assert_eq!(
        fs::metadata(&log).unwrap().ino(),
        inode,
        "nobody removed it"
    );
    says.send_to(b"two", &log).unwrap();
    // Somebody else, who is started while it is away, is kept out.
    let mut other = Life::new();
    let taken = other.begin(&[(OPEN, &open)]);
    assert_eq!(
        taken.wait_end(LONG).unwrap().code(),
        Some(69),
        "{}",
        other.log()
    );
    let second = life.serve(&[(OPEN, &open)]);
    until("the unclaimed one is gone", || !path.exists());
    assert_eq!(names(&second), ["eudaemon.lock", "eudaemon.stored", "log"]);
    assert_eq!(fs::metadata(&log).unwrap().ino(), inode);
    assert!(UnixStream::connect(&path).is_err());
    let mut reset = waits;
    assert!(std::io::Read::read(&mut reset, &mut [0; 8]).map_or(true, |count| count == 0));
    let taken = other.begin(&[(OPEN, &open)]);
    assert_eq!(
        taken.wait_end(LONG).unwrap().code(),
        Some(69),
        "{}",
        other.log()
    );
    drop(taken);
    life.end(second);
    life.forget();
    // Now it is free for everyone; the file was left, and is replaced.
    let third = other.serve(&[(OPEN, &open)]);
    says.send_to(b"three", &log).unwrap();
    drop(third);
}

fn a_path_that_is_gone_is_bound_anew() {
    let mut life = Life::new();
    let path = life.folder.join("web.sock");
    let open = format!("web=unix:{}", path.display());
    for killed in [false, true] {
        let first = life.serve(&[(OPEN, &open)]);
        if killed {
            first.signal(Signal::Kill).unwrap();
            life.after(first);
        } else {
            life.end(first);
        }
        fs::remove_file(&path).unwrap();
        let second = life.serve(&[(OPEN, &open)]);
        assert!(UnixStream::connect(&path).is_ok());
        assert_eq!(names(&second), ["eudaemon.lock", "eudaemon.stored", "web"]);
        life.end(second);
        assert!(UnixStream::connect(&path).is_ok());
    }
}

fn a_file_goes_with_the_last_that_has_it() {
    let mut life = Life::new();
    let path = life.folder.join("web.sock");
    let open = format!("web=unix:{}", path.display());
    let first = life.serve(&[(OPEN, &open)]);
    life.end(first);
    let second = life.serve(&[(OPEN, &open)]);
    assert_eq!(life.order(&second, "close web"), "ok");
    assert!(!path.exists());
    // At once, for the manager has let go of the lock too.
    let order = format!("open again unix:{}", path.display());
    assert_eq!(life.order(&second, &order), "ok");
    assert!(UnixStream::connect(&path).is_ok());
    life.end(second);
}

fn another_mode_is_set() {
    let mut life = Life::new();
    let path = life.folder.join("web.sock");
    let open = format!("web=unix:{}", path.display());
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    for asked in ["666", "600", "640"] {
        let before = fs::metadata(&path).map(|file| file.ino());
        let manager = life.serve(&[(OPEN, &open), (MODE, asked)]);
        assert_eq!(mode(), u32::from_str_radix(asked, 8).unwrap());
        let is_same = before.is_ok_and(|before| fs::metadata(&path).unwrap().ino() == before);
        assert!(is_same || asked == "666", "the first makes it");
        life.end(manager);
    }
}

fn what_is_in_a_fifo_waits() {
    let mut life = Life::new();
    let path = life.folder.join("fifo");
    let open = format!("in=fifo:{}", path.display());
    let first = life.serve(&[(OPEN, &open)]);
    let mut writer = fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::io::Write::write_all(&mut writer, b"kept\n").unwrap();
    drop(writer);
    life.end(first);
    let second = life.serve(&[(OPEN, &open)]);
    assert_eq!(names(&second), ["eudaemon.stored", "in"]);
    let reader = fs::File::open(&path).unwrap();
    assert_eq!(line(reader), "kept");
    life.end(second);
}
