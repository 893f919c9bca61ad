//! Started without root: H6, T6; a user namespace that forbids groups.

use crate::room::{Room, is_possible, set};

/// As a manager starts a service for `web`.
const WEB: &str = "setpriv --reuid 3001 --regid 3001 --groups 3001,3010,3011";

#[test]
fn who_is_it_already_has_nothing_to_give_up() {
    if !is_possible() {
        return;
    }
    let room = Room::new();
    for options in ["--user web", "--user 3001", "--user web --group 3001", ""] {
        let running = room.ready(WEB, options);
        running.all_threads_have(&[
            ("Uid", "3001"),
            ("Gid", "3001"),
            ("Groups", "3001 3010 3011"),
            ("CapEff", &set(0)),
            ("NoNewPrivs", "1"),
        ]);
        // What its manager did not forbid stays: it may be dumped.
        assert_eq!(running.proc_owner(), 3001, "{options}");
    }
    // A second start from the first's state: nothing is left to do, not even a call.
    let ended = room.run(&format!("{WEB} --no-new-privs"), "--user web --explain");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.said.lines().count(), 2, "{ended:?}");
    assert!(ended.said.contains("prove that"), "{ended:?}");
}

#[test]
fn who_is_somebody_else_is_told_what_is_missing() {
    if !is_possible() {
        return;
    }
    let room = Room::new();
    for (before, options, capability) in [
        (WEB, "--user alice", "CAP_SETGID"),
        (
            WEB,
            "--user alice --group web --groups web,www,adm",
            "CAP_SETUID",
        ),
        (WEB, "--user web --group www", "CAP_SETGID"),
        // Groups that were asked for by name, and are not there.
        (WEB, "--user web --groups www", "CAP_SETGID"),
        (WEB, "--user web --groups none", "CAP_SETGID"),
        (WEB, "--chroot /tmp", "CAP_SYS_CHROOT"),
        (WEB, "--keep net_raw", "CAP_NET_RAW"),
        (WEB, "--keep none --new-privs", "CAP_SETPCAP"),
    ] {
        let ended = room.run(before, options);
        assert_eq!(ended.code, Some(77), "{options}: {ended:?}");
        assert!(ended.errors.contains(capability), "{options}: {ended:?}");
    }
    // Root's groups, which somebody forgot to take (T2), and which it cannot leave.
    let forgotten = "setpriv --reuid 3001 --regid 3001 --groups 0,4";
    let ended = room.run(forgotten, "--user web");
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(ended.errors.contains("root's group (0)"), "{ended:?}");
    // Groups its manager gave it on purpose.
    let granted = "setpriv --reuid 3001 --regid 3001 --groups 3001,3777";
    let running = room.ready(granted, "--user web");
    running.all_threads_have(&[("Groups", "3001 3777")]);
}

/// T6: `AmbientCapabilities=` in a unit.
#[test]
fn what_a_manager_granted_stays_unless_a_list_says_otherwise() {
    if !is_possible() {
        return;
    }
    let room = Room::new();
    let granted = format!(
        "{WEB} --inh-caps +net_bind_service,+net_raw --ambient-caps +net_bind_service,+net_raw"
    );
    let (none, bind, both) = (set(0), set(1 << 10), set(1 << 10 | 1 << 13));
    for (options, held, ambient) in [
        ("", &both, &both),
        ("--user web", &both, &both),
        ("--keep net_bind_service", &bind, &none),
        ("--ambient net_bind_service", &bind, &bind),
        ("--user web --keep none", &none, &none),
    ] {
        let running = room.ready(&granted, options);
        running.all_threads_have(&[
            ("Uid", "3001"),
            ("CapPrm", held),
            ("CapEff", held),
            ("CapInh", ambient),
            ("CapAmb", ambient),
        ]);
    }
    // One that may change its user becomes another, and does not keep what that took.
    let setter = "setpriv --reuid 3002 --regid 3002 --clear-groups --inh-caps +setuid,+setgid --ambient-caps +setuid,+setgid";
    let running = room.ready(setter, "--user web");
    running.all_threads_have(&[
        ("Uid", "3001"),
        ("Groups", "3001 3010 3011"),
        ("CapPrm", &none),
        ("CapAmb", &none),
    ]);
}

#[test]
fn a_user_namespace_without_setgroups() {
    if !is_possible() {
        return;
    }
    let room = Room::new();
    // Its own root, who is web outside, with groups it can neither name nor leave.
    let space = format!("{WEB} unshare --user --map-root-user");
    let ended = room.run(&space, "--user root --allow-root");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let ended = room.run(&space, "--user web");
    assert_eq!(ended.code, Some(77), "{ended:?}");
    assert!(
        ended.errors.contains("user namespace forbids it"),
        "{ended:?}"
    );
    // Mapped to itself: nothing is asked for that is not there.
    let own = format!("{WEB} unshare --user --map-user=3001 --map-group=3001");
    let ended = room.run(&own, "--user web --group web");
    assert_eq!(ended.code, Some(0), "{ended:?}");
}
