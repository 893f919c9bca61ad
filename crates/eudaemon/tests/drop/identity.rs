//! Who it becomes: H2, H3, H4, H5, H23; T1, T2, T3, T5, T7, T8, T9, T58.

use crate::room::{Fields, Room, is_possible, set};

/// Root with root's groups, as a login has them.
const ROOT: &str = "setpriv --groups 0,4,27";

#[test]
fn every_thread_is_the_account_and_nothing_else() {
    if !is_possible() {
        return;
    }
    let running = Room::new();
    let running = running.ready(ROOT, "--user web");
    let none = set(0);
    running.all_threads_have(&[
        ("Uid", "3001"),
        ("Gid", "3001"),
        // H2: those that list web; not alice's own, who shares www with it. T2: none of root's.
        ("Groups", "3001 3010 3011"),
        ("CapInh", &none),
        ("CapPrm", &none),
        ("CapEff", &none),
        ("CapBnd", &none),
        ("CapAmb", &none),
        ("NoNewPrivs", "1"),
        ("Threads", "5"),
    ]);
    // T7: not dumpable, so its files in /proc are root's.
    assert_eq!(running.proc_owner(), 0);
    assert_eq!(running.directories(), [] as [std::path::PathBuf; 0]);
    let ended = running.end();
    assert_eq!((ended.code, ended.errors.as_str()), (Some(0), ""));
    assert!(ended.said.contains("ready: 5 threads proven"), "{ended:?}");
}

#[test]
fn groups_are_the_accounts_or_the_named() {
    if !is_possible() {
        return;
    }
    let room = Room::new();
    for (options, uid, gid, groups) in [
        ("--user web --groups none", "3001", "3001", ""),
        ("--user web --groups www", "3001", "3001", "3010"),
        ("--user web --groups www,3777", "3001", "3001", "3010 3777"),
        ("--user web --group adm", "3001", "3011", "3010 3011"),
        ("--user alice --group www", "3002", "3010", "3010"),
        // T9: a name first, then a number.
        ("--user 1000", "3003", "3003", "3003"),
        ("--user 3002", "3002", "3002", "3002 3010"),
        ("--user 7777 --group www", "7777", "3010", "3010"),
        ("--user trusted --groups none", "3005", "3005", ""),
        ("--user trusted --allow-root", "3005", "3005", "0 3005"),
    ] {
        let running = room.ready(ROOT, options);
        running.all_threads_have(&[("Uid", uid), ("Gid", gid), ("Groups", groups)]);
    }
}

#[test]
fn what_would_not_drop_is_refused() {
    if !is_possible() {
        return;
    }
    let room = Room::new();
    for (options, code, words) in [
        // H23: root is no drop, whatever is beside it.
        ("", 78, "would stay root"),
        ("--user root", 78, "is root (0)"),
        ("--user 0", 78, "is root (0)"),
        ("--user second", 78, "is root (0)"),
        ("--user root --group www", 78, "is root (0)"),
        ("--user web --group root", 78, "root's group (0)"),
        ("--user web --group 0", 78, "root's group (0)"),
        ("--user wheel", 78, "root's group (0)"),
        ("--user trusted", 78, "root's group (0)"),
        ("--user web --groups root", 78, "root's group (0)"),
        ("--group www", 78, "without a user"),
        ("--groups www", 78, "without a user"),
        // T9.
        ("--user=-1", 78, "do not change"),
        ("--user 4294967295", 78, "do not change"),
        ("--user 65535 --group www", 78, "do not change"),
        ("--user old", 78, "do not change"),
        ("--user web --group 4294967295", 78, "do not change"),
        ("--user web --group 65535", 78, "do not change"),
        ("--user web --group minus", 78, "no group is called minus"),
        ("--user minus", 78, "no account is called minus"),
        ("--user blank", 78, "no account is called blank"),
        ("--user 00", 78, "no account is called 00"),
        ("--user 0web", 78, "no account is called 0web"),
        ("--user 0x0", 78, "no account is called 0x0"),
        ("--user 4294967296", 78, "no account is called"),
        ("--user nobody-at-all", 78, "no account is called"),
        ("--user 7777", 78, "name a group too"),
        (
            "--user web --group nothing",
            78,
            "no group is called nothing",
        ),
        ("--user web --keep setuid", 78, "CAP_SETUID"),
        ("--user web --umask 1777", 78, "umask"),
        // T3: the other thread would keep everything.
        ("--user web --early-thread", 70, "2 threads"),
    ] {
        let ended = room.run(ROOT, options);
        assert_eq!(ended.code, Some(code), "{options}: {ended:?}");
        assert!(ended.errors.contains(words), "{options}: {ended:?}");
        assert_eq!(ended.errors.lines().count(), 1, "{options}: {ended:?}");
        assert!(!ended.said.contains("thread"), "{options}: {ended:?}");
    }
}

#[test]
fn root_is_allowed_aloud() {
    if !is_possible() {
        return;
    }
    let room = Room::new();
    let ended = room.run("", "--allow-root");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.said.contains("CAUTION: it is root"), "{ended:?}");
    let ended = room.run("", "--allow-root --user root --group www");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.said.contains("CAUTION: it is root"), "{ended:?}");
}

/// T5: what it executes gains nothing; and the test would see it if it did.
#[test]
fn no_program_it_executes_is_root_again() {
    if !is_possible() {
        return;
    }
    let room = Room::new();
    let cat = room.setuid_copy("/bin/cat");
    let seen = |options: &str| {
        let ended = room.run("", &format!("{options} -- {cat} /proc/self/status"));
        assert_eq!(ended.code, Some(0), "{options}: {ended:?}");
        // Behind our own table, whose lines are not the kernel's.
        let at = ended.said.find("Name:").expect("cat ran");
        Fields::of(&ended.said[at..])
    };
    let held = seen("--user web");
    assert_eq!((held.get("Uid"), held.get("CapEff")), ("3001", &*set(0)));
    // Without that bit it is user 0, but the bounding set and the securebits leave nothing in it.
    let bounded = seen("--user web --new-privs");
    assert_eq!(bounded.get("Uid"), "3001 0");
    assert_eq!(bounded.get("CapEff"), set(0));
    let open = seen("--user web --new-privs --not-for-good");
    assert_eq!(open.get("Uid"), "3001 0");
    assert_ne!(open.get("CapEff"), set(0));

    for attempt in [
        "setpriv --reuid 0 true",
        "setpriv --ruid 0 true",
        "setpriv --regid 0 --keep-groups true",
        "setpriv --groups 0 true",
        "setpriv --inh-caps +setuid --ambient-caps +setuid true",
        "unshare --mount true",
        "chroot / true",
    ] {
        let control = room.run("", &format!("--allow-root -- {attempt}"));
        assert_eq!(control.code, Some(0), "root can {attempt}: {control:?}");
        let ended = room.run("", &format!("--user web -- {attempt}"));
        assert!(
            !matches!(ended.code, None | Some(0)),
            "{attempt}: {ended:?}"
        );
    }
}

/// T7: said, and then so.
#[test]
fn dumpable_is_decided() {
    if !is_possible() {
        return;
    }
    let room = Room::new();
    for (options, owner) in [
        ("--user web", 0),
        ("--user web --dumpable false", 0),
        ("--user web --dumpable true", 3001),
    ] {
        assert_eq!(room.ready("", options).proc_owner(), owner, "{options}");
    }
}

#[test]
fn umask_and_limits_are_set_and_read_back() {
    if !is_possible() {
        return;
    }
    let room = Room::new();
    let running = room.ready("", "--user web --umask 027 --processes 900");
    running.all_threads_have(&[("Umask", "0027")]);
    let limits = format!("/proc/{}/limits", running.pid());
    let limits = std::fs::read_to_string(limits).expect("it lives");
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max processes"));
    let words: Vec<&str> = line.expect("Linux has it").split_whitespace().collect();
    assert_eq!(words[2..4], ["900", "900"]);
}

/// T8: the change of user succeeds beyond the limit, and the first thread or program would fail.
#[test]
fn a_user_with_too_many_processes_is_told_before_anything_needs_one() {
    if !is_possible() {
        return;
    }
    let room = Room::new();
    let options = "--user 7778 --group www --processes 1";
    // Alone it is the one process, but cannot have a second.
    let ended = room.run("", options);
    assert_eq!(ended.code, Some(75), "{ended:?}");
    assert!(ended.errors.contains("processes"), "{ended:?}");
    assert!(!ended.is_ready);
}

/// After a failure nothing makes it good.
#[test]
fn a_second_try_is_refused() {
    if !is_possible() {
        return;
    }
    let room = Room::new();
    let trace = "strace -o /dev/null -e inject=setresuid:error=EAGAIN:when=1";
    let ended = room.run(trace, "--user web --twice");
    assert!(
        ended
            .errors
            .contains("first: unable to set the user to 3001"),
        "{ended:?}"
    );
    // By then half of the privileges are gone, and whichever refusal comes first, nothing goes on.
    assert!(!ended.is_ready && ended.code != Some(0), "{ended:?}");
    assert!(!ended.said.contains("thread "), "{ended:?}");
}
