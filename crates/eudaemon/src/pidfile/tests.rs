use super::*;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

/// A directory that is gone with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("eudaemon-pid-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).expect("a new directory");
        Scratch(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("web.pid")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn line() -> String {
    format!("{}\n", std::process::id())
}

#[test]
fn it_has_our_number_and_nothing_of_a_longer_one() {
    let scratch = Scratch::new("shorter");
    std::fs::write(scratch.file(), "4294967295\n45\n").expect("our own directory");
    std::fs::set_permissions(scratch.file(), PermissionsExt::from_mode(0o666)).expect("our own");
    let held = Pidfile::acquire(scratch.file()).expect("nobody holds it");
    let read = std::fs::read_to_string(scratch.file()).expect("our own");
    assert_eq!(read, line());
    let mode = std::fs::metadata(scratch.file()).expect("our own").mode();
    assert_eq!(mode & 0o7777, 0o644);
    assert_eq!(held.remove().expect("our own"), Removed::Unlinked);
    assert!(!scratch.file().exists());
}

#[test]
fn a_link_is_not_followed() {
    let scratch = Scratch::new("link");
    let precious = scratch.0.join("precious");
    std::fs::write(&precious, "theirs").expect("our own directory");
    symlink(&precious, scratch.file()).expect("our own directory");
    let refused = Pidfile::acquire(scratch.file()).expect_err("a symbolic link");
    assert!(
        matches!(refused, PidfileError::NotAPlainFile { .. }),
        "{refused:?}"
    );
    std::fs::remove_file(scratch.file()).expect("our own directory");
    std::fs::hard_link(&precious, scratch.file()).expect("our own directory");
    let refused = Pidfile::acquire(scratch.file()).expect_err("a second name");
    assert!(
        matches!(refused, PidfileError::Linked { names: 2, .. }),
        "{refused:?}"
    );
    let read = std::fs::read_to_string(&precious).expect("our own");
    assert_eq!(read, "theirs");
    let refused = Pidfile::acquire(&scratch.0).expect_err("a directory");
    assert!(
        matches!(refused, PidfileError::NotAPlainFile { .. }),
        "{refused:?}"
    );
    for path in ["", "/", "/tmp/.."] {
        let refused = Pidfile::acquire(path).expect_err("no name");
        assert!(
            matches!(refused, PidfileError::NoName { .. }),
            "{refused:?}"
        );
    }
}

#[test]
fn another_user_s_file_is_refused() {
    let scratch = Scratch::new("foreign");
    std::fs::write(scratch.file(), "1\n").expect("our own directory");
    if std::os::unix::fs::chown(scratch.file(), Some(65533), None).is_err() {
        skipped("only root can give a file away");
        return;
    }
    let refused = Pidfile::acquire(scratch.file()).expect_err("theirs");
    assert!(
        matches!(refused, PidfileError::Foreign { owner: 65533, .. }),
        "{refused:?}"
    );
    let read = std::fs::read_to_string(scratch.file()).expect("readable by all");
    assert_eq!(read, "1\n");
}

fn skipped(why: &str) {
    println!("SKIPPED: {why}");
    assert!(std::env::var_os("EUDAEMON_REQUIRE").is_none(), "{why}");
}

#[test]
fn the_second_is_told_who_the_first_is_and_other_descriptors_do_not_matter() {
    let scratch = Scratch::new("held");
    let held = Pidfile::acquire(scratch.file()).expect("nobody holds it");
    // A lock of fcntl(2) would be gone after this.
    drop(File::open(scratch.file()).expect("our own"));
    let refused = Pidfile::acquire(scratch.file()).expect_err("held");
    let us = std::process::id();
    assert!(
        matches!(&refused, PidfileError::AlreadyRunning { pid: Some(pid), path }
            if *pid == us && *path == scratch.file()),
        "{refused:?}"
    );
    assert_eq!(
        refused.to_string(),
        format!(
            "already running as process {us}, which holds {}",
            scratch.file().display()
        )
    );
    // Dropping it is not removing it, and what nobody holds is free, whatever number it has.
    drop(held);
    let read = std::fs::read_to_string(scratch.file()).expect("still there");
    assert_eq!(read, line());
    Pidfile::acquire(scratch.file()).expect("free again");
}

#[test]
fn a_file_that_became_another_one_is_left_alone() {
    let scratch = Scratch::new("exchanged");
    let held = Pidfile::acquire(scratch.file()).expect("nobody holds it");
    std::fs::rename(scratch.file(), scratch.0.join("old")).expect("our own directory");
    std::fs::write(scratch.file(), "another's\n").expect("our own directory");
    assert_eq!(held.remove().expect("our own"), Removed::Emptied);
    let read = std::fs::read_to_string(scratch.file()).expect("still there");
    assert_eq!(read, "another's\n");
    let old = std::fs::read(scratch.0.join("old")).expect("our own");
    assert_eq!(old, b"");
}

#[test]
fn the_descriptor_does_not_outlive_an_exec() {
    let scratch = Scratch::new("exec");
    let held = Pidfile::acquire(scratch.file()).expect("nobody holds it");
    let number = std::os::fd::AsRawFd::as_raw_fd(&held.as_fd());
    let flags = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).expect("procfs");
    let flags = flags
        .lines()
        .find_map(|line| line.strip_prefix("flags:"))
        .and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    // proc_pid_fdinfo(5): the flags of open(2), O_CLOEXEC being 02000000 on every architecture we know.
    assert_eq!(flags.map(|flags| flags & 0o2_000_000), Some(0o2_000_000));
}

#[test]
fn it_is_adopted_by_its_lock_and_only_as_it_was() {
    let scratch = Scratch::new("adopted");
    let copy = |of: &Pidfile| of.as_fd().try_clone_to_owned().expect("a free number");
    let held = Pidfile::acquire(scratch.file()).expect("nobody holds it");
    std::fs::write(scratch.file(), "1\n").expect("our own");
    let mut adopted = Pidfile::adopt(&scratch.file(), copy(&held)).expect("it is that file");
    let read = || std::fs::read_to_string(scratch.file()).expect("our own");
    assert_eq!(
        read(),
        "1\n",
        "it says whose it was until it is written anew"
    );
    adopted.rewrite().expect("our own");
    assert_eq!(read(), line());
    // The other one lets go, and it is held still.
    drop(held);
    let second = Pidfile::acquire(scratch.file());
    assert!(
        matches!(second, Err(PidfileError::AlreadyRunning { .. })),
        "{second:?}"
    );
    // A file of this name that is open, and whose lock somebody else has.
    let other = File::open(scratch.file()).expect("our own");
    assert!(Pidfile::adopt(&scratch.file(), other.into()).is_none());
    // One that was removed under its holder, and is another one by now.
    std::fs::remove_file(scratch.file()).expect("our own");
    let lock = copy(&adopted);
    assert!(Pidfile::adopt(&scratch.file(), lock).is_none());
    std::fs::write(scratch.file(), "").expect("our own");
    let lock = copy(&adopted);
    assert!(Pidfile::adopt(&scratch.file(), lock).is_none());
}

#[test]
fn one_that_was_adopted_and_not_written_is_left() {
    let scratch = Scratch::new("not-written");
    let held = Pidfile::acquire(scratch.file()).expect("nobody holds it");
    let lock = held.as_fd().try_clone_to_owned().expect("a free number");
    let adopted = Pidfile::adopt(&scratch.file(), lock).expect("it is that file");
    assert_eq!(adopted.remove().expect("nothing is done"), Removed::NotOurs);
    assert!(scratch.file().exists());
}
