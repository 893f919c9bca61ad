//! The control: the machine itself answers, and shows what a unit of the shell does. Without this, a judge of ours that passes
//! proves nothing.

use eudaemon_lab::pid1::{self, Pid1};

#[test]
fn the_manager_answers() {
    if !pid1::need() {
        return;
    }
    let seen = pid1::script(
        &[],
        "cat /proc/1/comm; systemctl show --value -p Version; id -un; pwd",
    );
    let lines: Vec<_> = seen.out.lines().collect();
    assert_eq!(seen.code, 0, "{seen:?}");
    assert_eq!((lines[0], lines[2]), ("systemd", "root"), "{seen:?}");
    assert!(
        lines[1].starts_with(|c: char| c.is_ascii_digit()),
        "{seen:?}"
    );
}

#[test]
fn how_a_judge_ends_comes_back_and_what_it_left_stays() {
    if !pid1::need() {
        return;
    }
    let machine = Pid1::new();
    machine.unit("one.service", "[Service]\nExecStart=/bin/true\n");
    let seen = machine.judge("systemctl cat one | grep Exec; echo no >&2; echo left >file; exit 7");
    assert_eq!((seen.code, seen.err.as_str()), (7, "no\n"), "{seen:?}");
    assert_eq!(seen.out, "ExecStart=/bin/true\n");
    assert_eq!(machine.read("file"), "left\n");
    assert_eq!(machine.processes(), [0; 0]);
    let again = machine.judge("cat file; ls /etc/systemd/system/one.service");
    assert_eq!(again.out, "left\n/etc/systemd/system/one.service\n");
}

#[test]
fn several_machines_run_at_once_and_leave_nothing() {
    if !pid1::need() {
        return;
    }
    let names: Vec<_> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| pid1::script(&[], "hostname; pidof systemd systemd-journald")))
            .collect();
        let ended = started.into_iter().map(|one| one.join().expect("a judge"));
        ended
            .map(|seen| seen.out.lines().next().map(str::to_owned))
            .collect()
    });
    for name in &names {
        let name = name.as_deref().expect("a name");
        let left = ["systemd", "unified", "."].map(|at| format!("/sys/fs/cgroup/{at}/{name}"));
        assert!(
            left.iter().all(|at| !std::path::Path::new(at).exists()),
            "{name}"
        );
        assert_eq!(
            names
                .iter()
                .filter(|other| other.as_deref() == Some(name))
                .count(),
            1
        );
    }
}

#[test]
fn a_judge_that_does_not_end_is_ended_and_the_console_is_told() {
    if !pid1::need() {
        return;
    }
    let machine = Pid1::new().limit(std::time::Duration::from_secs(4));
    let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        machine.judge("echo began; exec sleep 1000")
    }));
    let why = judged.expect_err("no end");
    let why = why.downcast_ref::<String>().expect("words");
    assert!(
        why.contains("the judge did not end") && why.contains("began"),
        "{why}"
    );
    assert_eq!(machine.processes(), [0; 0]);
}
