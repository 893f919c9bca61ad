//! Capabilities that stay on purpose: H6, T5.

use crate::room::{Fields, Room, is_possible, set};

const NET_BIND_SERVICE: u64 = 1 << 10;
const NET_RAW: u64 = 1 << 13;

#[test]
fn what_is_kept_is_kept_and_the_rest_is_gone() {
    if !is_possible() {
        return;
    }
    let room = Room::new();
    let (none, one) = (set(0), set(NET_BIND_SERVICE));
    let running = room.ready("", "--user web --keep net_bind_service");
    running.all_threads_have(&[
        ("Uid", "3001"),
        ("CapInh", &none),
        ("CapPrm", &one),
        ("CapEff", &one),
        ("CapBnd", &one),
        ("CapAmb", &none),
        ("NoNewPrivs", "1"),
    ]);
    let both = set(NET_BIND_SERVICE | NET_RAW);
    let options = "--user web --keep net_bind_service --ambient cap_net_raw";
    let running = room.ready("", options);
    let raw = set(NET_RAW);
    running.all_threads_have(&[
        ("CapInh", &raw),
        ("CapPrm", &both),
        ("CapEff", &both),
        ("CapBnd", &both),
        ("CapAmb", &raw),
    ]);
}

#[test]
fn a_kept_capability_does_what_it_is_for() {
    if !is_possible() {
        return;
    }
    let room = Room::new();
    // A network of its own, with nothing but loopback.
    let script = room.path("network");
    std::fs::write(&script, "ip link set lo up && exec \"$@\"\n").expect("it is ours");
    let before = format!("unshare --net sh {script}");
    for (keep, bound) in [("--keep net_bind_service", true), ("", false)] {
        let options = format!("--user web {keep} --bind 127.0.0.1:80");
        let ended = room.run(&before, &options);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let line = if bound {
            "listens at Ok(127.0.0.1:80)"
        } else {
            "unable to listen at 127.0.0.1:80: Permission denied"
        };
        assert!(ended.said.contains(line), "{ended:?}");
    }
}

#[test]
fn only_the_ambient_ones_go_on_to_programs() {
    if !is_possible() {
        return;
    }
    let room = Room::new();
    for (options, bits) in [
        ("--keep net_bind_service", 0),
        ("--ambient net_bind_service", NET_BIND_SERVICE),
        (
            "--keep net_raw --ambient net_bind_service",
            NET_BIND_SERVICE,
        ),
    ] {
        let options = format!("--user web {options} -- cat /proc/self/status");
        let ended = room.run("", &options);
        let at = ended.said.find("Name:").expect("cat ran");
        let seen = Fields::of(&ended.said[at..]);
        assert_eq!(seen.get("CapEff"), set(bits), "{options}");
        assert_eq!(seen.get("Uid"), "3001", "{options}");
    }
}

#[test]
fn what_is_not_there_cannot_be_kept() {
    if !is_possible() {
        return;
    }
    let room = Room::new();
    let less = "setpriv --bounding-set -net_raw";
    let ended = room.run(less, "--user web --keep net_raw");
    assert_eq!(ended.code, Some(77), "{ended:?}");
    assert!(
        ended.errors.contains("unable to keep CAP_NET_RAW"),
        "{ended:?}"
    );
}
