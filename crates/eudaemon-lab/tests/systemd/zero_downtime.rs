//! The example `https` under load while the real systemd restarts it, and while it is replaced as a unit: each request is answered.

use eudaemon_lab::pid1::{self, Pid1};
use eudaemon_lab::{example, load};

/// Runs the lab's `load` in a machine with the example as a unit, once for each client.
fn nothing_is_lost(change: &str, times: u32) {
    if !pid1::need() || !load::need() {
        return;
    }
    let machine = Pid1::new();
    let control = load::unit(&machine, &example("https")).expect("a unit");
    machine.copy(env!("CARGO_BIN_EXE_load").as_ref(), "load");
    for (_, client) in load::Client::ALL {
        let seen = machine.judge(&format!(
            "./load unit:{} {change} {client} 4 {times} 50; code=$?
            journalctl --sync; journalctl -u web -o cat | tail -40 >&2; show web NRestarts; exit $code",
            control.display()
        ));
        assert_eq!(seen.code, 0, "{client}: {seen:?}");
        let tells = |line: &str| {
            seen.out
                .lines()
                .filter(|told| told.starts_with(line))
                .count()
        };
        assert_eq!(tells("failed\t0"), 1, "{client}: {seen:?}");
        assert_eq!(tells("change\t"), times as usize, "{client}: {seen:?}");
        assert!(seen.out.ends_with("\n0\n"), "{client}: {seen:?}");
    }
}

#[test]
fn a_restart_loses_no_request() {
    nothing_is_lost("restart", 3);
}

#[test]
fn a_replacement_of_the_main_process_loses_no_request() {
    nothing_is_lost("replace", 4);
}
