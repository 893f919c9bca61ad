//! After the drop.

use super::Test;
use super::stage::{LONG, Scratch, of_threads, stderr, until};
use eudaemon::testing::Manager;

pub const TESTS: &[Test] = &[
    (
        "a_filter_is_around_every_thread",
        a_filter_is_around_every_thread,
    ),
    (
        "the_proof_holds_for_threads_that_came_later",
        the_proof_holds_for_threads_that_came_later,
    ),
    (
        "every_thread_is_somebody_else_in_a_chroot",
        every_thread_is_somebody_else_in_a_chroot,
    ),
    (
        "a_sandbox_is_around_every_thread",
        a_sandbox_is_around_every_thread,
    ),
    ("what_is_needed_is_kept", what_is_needed_is_kept),
    (
        "what_init_gave_up_stays_away_and_what_it_asked_for_is_kept",
        what_init_gave_up_stays_away_and_what_it_asked_for_is_kept,
    ),
    (
        "a_thread_before_the_proof_is_refused",
        a_thread_before_the_proof_is_refused,
    ),
];

const NOBODY: &str = "65534 65534 65534 65534";

fn every_thread_is_somebody_else_in_a_chroot() {
    let scratch = Scratch::new();
    let root = format!("--service.chroot={}", scratch.0.display());
    let options = ["--service.uid=nobody", &root];
    let manager = scratch.managed(Manager::builder(), "confined", &options);
    manager.wait_ready(LONG).expect("it says so, from inside");
    assert_eq!(manager.status().as_deref(), Some("Some(Ok(\"/etc/x\"))"));
    let pid = manager.pid();
    for (name, value) in [
        ("Uid", NOBODY),
        ("Gid", NOBODY),
        ("CapEff", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
        ("CapBnd", "0000000000000000"),
        ("NoNewPrivs", "1"),
    ] {
        let of = of_threads(pid, name);
        assert!(
            of.len() >= 5 && of.iter().all(|one| one == value),
            "{name}: {of:?}"
        );
    }
    let root = std::fs::read_link(format!("/proc/{pid}/root")).expect("it lives");
    assert_eq!(root, scratch.0);
    assert!(
        manager.stop(LONG).expect("it stops").success(),
        "{}",
        scratch.log()
    );
}

fn the_proof_holds_for_threads_that_came_later() {
    let scratch = Scratch::new();
    let manager = scratch.managed(Manager::builder(), "confined", &["--service.uid=nobody"]);
    manager
        .wait_ready(LONG)
        .expect("it asked, and was answered");
    assert!(manager.stop(LONG).expect("it stops").success());
}

fn a_filter_is_around_every_thread() {
    let scratch = Scratch::new();
    let options = ["--service.uid=nobody"];
    let manager = scratch.managed(Manager::builder(), "filtered", &options);
    manager
        .wait_ready(LONG)
        .expect("it says so, through its filter");
    for (name, value) in [("Seccomp", "2"), ("NoNewPrivs", "1"), ("Uid", NOBODY)] {
        let of = of_threads(manager.pid(), name);
        assert!(
            of.len() >= 2 && of.iter().all(|one| one == value),
            "{name}: {of:?}"
        );
    }
    let filters = of_threads(manager.pid(), "Seccomp_filters");
    assert!(
        filters.windows(2).all(|two| two[0] == two[1]),
        "{filters:?}"
    );
    assert!(
        manager.stop(LONG).expect("it stops").success(),
        "{}",
        scratch.log()
    );
}

fn a_sandbox_is_around_every_thread() {
    let scratch = Scratch::new();
    let options = [
        "--service.uid=nobody",
        "--service.sandbox=best-effort",
        "--service.log-level=debug",
    ];
    let manager = scratch.managed(Manager::builder(), "plain", &options);
    manager.wait_ready(LONG).expect("it says so");
    let told = until("the report", || {
        let log = scratch.log();
        log.to_lowercase().contains("landlock").then_some(log)
    });
    assert!(told.contains("as planned"), "{told}");
    manager.stop(LONG).expect("it stops");
}

fn what_is_needed_is_kept() {
    let scratch = Scratch::new();
    let options = [
        "--service.uid=nobody",
        "--service.keep-caps=net_bind_service",
    ];
    let manager = scratch.managed(Manager::builder(), "plain", &options);
    manager.wait_ready(LONG).expect("it says so");
    for name in ["CapEff", "CapPrm", "CapBnd"] {
        let of = of_threads(manager.pid(), name);
        assert!(
            of.iter().all(|one| one == "0000000000000400"),
            "{name}: {of:?}"
        );
    }
    assert!(manager.stop(LONG).expect("it stops").success());
}

fn what_init_gave_up_stays_away_and_what_it_asked_for_is_kept() {
    const REBOOT: u64 = 1 << 22;
    const RAW: u64 = 1 << 13;
    let nobody: &[&str] = &["--service.uid=nobody"];
    for (options, asks) in [
        (&[][..], false),
        (&[], true),
        (nobody, false),
        (nobody, true),
    ] {
        let scratch = Scratch::new();
        let role = if asks { "meddles-asks" } else { "meddles" };
        let manager = scratch.managed(Manager::builder(), role, options);
        manager.wait_ready(LONG).expect("it says so");
        let of = |name| {
            let of = of_threads(manager.pid(), name);
            assert!(of.iter().all(|one| *one == of[0]), "{name}: {of:?}");
            u64::from_str_radix(&of[0], 16).expect("the kernel's")
        };
        let (held, bounding) = (of("CapEff"), of("CapBnd"));
        assert_eq!(of("NoNewPrivs"), 1);
        assert_eq!(bounding & REBOOT, 0, "{options:?} {asks}");
        match (options.is_empty(), asks) {
            (true, false) => assert!(held.count_ones() > 30, "{held:x}"),
            (_, true) => assert_eq!((held, bounding), (RAW, RAW)),
            (false, false) => assert_eq!((held, bounding), (0, 0)),
        }
        assert!(manager.stop(LONG).expect("it stops").success());
    }
}

fn a_thread_before_the_proof_is_refused() {
    for options in [&[][..], &["--service.uid=nobody"]] {
        let scratch = Scratch::new();
        let output = scratch.output("crowded", options);
        assert_eq!(output.status.code(), Some(70), "{output:?}");
        let told = stderr(&output);
        assert!(told.contains("2 threads where there must be one"), "{told}");
    }
}
