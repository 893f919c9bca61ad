//! Locked in: H22, T10, T11.

use crate::room::{Room, is_possible, set};
use std::path::PathBuf;

#[test]
fn root_and_directory_are_inside_and_nothing_outside_is_open() {
    if !is_possible() {
        return;
    }
    let room = Room::new();
    let root = room.path("root");
    let running = room.ready(
        "setpriv --groups 0,4",
        &format!("--user web --chroot {root}"),
    );
    running.all_threads_have(&[
        ("Uid", "3001"),
        ("Groups", "3001 3010 3011"),
        ("CapPrm", &set(0)),
        ("CapBnd", &set(0)),
        ("NoNewPrivs", "1"),
    ]);
    assert_eq!(running.link("root"), PathBuf::from(&root));
    assert_eq!(running.link("cwd"), PathBuf::from(&root));
    // The witness's directory in /proc would be the way out.
    assert_eq!(running.directories(), [] as [std::path::PathBuf; 0]);
}

#[test]
fn the_whole_tree_is_no_chroot() {
    if !is_possible() {
        return;
    }
    let room = Room::new();
    let ended = room.run("", "--user web --chroot / --explain");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.said.contains("chroot"), "{ended:?}");
}

#[test]
fn a_chroot_that_does_not_hold_is_refused() {
    if !is_possible() {
        return;
    }
    let room = Room::new();
    let (root, file, nowhere) = (room.path("root"), room.path("passwd"), room.path("nowhere"));
    for (options, words) in [
        // H22: nothing is silently left out.
        (format!("--user web --chroot {nowhere}"), "No such file"),
        (format!("--user web --chroot {file}"), "Not a directory"),
        (
            "--user web --chroot var/empty".into(),
            "not an absolute path",
        ),
        (
            format!("--user web --chroot {root}/../root"),
            "not an absolute path",
        ),
        (format!("--chroot {root}"), "does not hold root"),
        (
            format!("--chroot {root} --allow-root"),
            "does not hold root",
        ),
        (
            format!("--user web --chroot {root} --keep sys_chroot"),
            "CAP_SYS_CHROOT",
        ),
    ] {
        let ended = room.run("", &options);
        assert_eq!(ended.code, Some(78), "{options}: {ended:?}");
        assert!(ended.errors.contains(words), "{options}: {ended:?}");
        assert!(!ended.is_ready);
    }
}

/// T10: whoever has a directory outside open walks out through it; one inside leads nowhere.
#[test]
fn an_open_directory_outside_is_a_way_out() {
    if !is_possible() {
        return;
    }
    let room = Room::new();
    let root = room.path("root");
    let ended = room.run("", &format!("--user web --chroot {root} --hold /etc"));
    assert_eq!(ended.code, Some(70), "{ended:?}");
    assert!(ended.errors.contains("is the directory /etc"), "{ended:?}");
    assert!(!ended.said.contains("thread"), "{ended:?}");
    let inside = format!("--user web --chroot {root} --hold {root}/inner");
    let ended = room.run("", &inside);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let ended = room.run("", "--user web --hold /etc");
    assert_eq!(ended.code, Some(0), "without a chroot: {ended:?}");
}
