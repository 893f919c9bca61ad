use super::*;
use std::sync::mpsc::channel;

/// Waits for what a thread brings about; each look is a verdict. Fails after ten seconds.
fn until(health: &Health, is: impl Fn(&Verdict) -> bool) -> Verdict {
    let started = eudaemon_sys::clock::mono();
    loop {
        let verdict = health.verdict();
        if is(&verdict) {
            return verdict;
        }
        let waited = eudaemon_sys::clock::mono().since(started);
        assert!(waited < Duration::from_secs(10), "still {verdict}");
        std::thread::yield_now();
    }
}

fn condition(verdict: &Verdict, name: &str) -> Condition {
    let mut entries = verdict.entries().iter();
    let entry = entries.find(|entry| entry.name == name).unwrap();
    entry.condition.clone()
}

#[test]
fn a_lease_runs_out_is_renewed_and_is_released() {
    let health = Health::new();
    health.enter(Phase::Running);
    let lease = health.lease("loop", Duration::from_millis(20));
    assert!(health.verdict().ready());
    let verdict = until(&health, |verdict| !verdict.live());
    assert!(verdict.to_string().starts_with("loop: silent for "));
    lease.beat();
    assert!(health.verdict().live());
    until(&health, |verdict| !verdict.live());
    drop(lease);
    assert!(health.verdict().ready());
}

#[test]
fn a_check_that_hangs_is_stale_and_the_others_are_asked() {
    let health = Health::new();
    health.enter(Phase::Running);
    let (release, held) = channel::<()>();
    health
        .check("hangs", Duration::from_millis(10), move || {
            held.recv().map_err(|_| "released for good".to_owned())
        })
        .unwrap();
    // Asked by the same thread, so it waits for the first until that one is stale.
    let (asked, answers) = channel();
    health
        .check("other", Duration::from_millis(10), move || {
            let _ = asked.send(());
            Err("no route".to_owned())
        })
        .unwrap();
    let verdict = until(&health, |verdict| verdict.failing().next().is_some());
    assert_eq!(verdict.failing().next(), Some(("other", "no route")));
    assert!(matches!(
        condition(&verdict, "hangs"),
        Condition::Stale { .. }
    ));
    assert!(verdict.live(), "a check is not critical");
    // Asked again and again.
    for _ in 0..3 {
        answers.recv_timeout(Duration::from_secs(10)).unwrap();
    }
    drop(release);
    until(&health, |verdict| {
        verdict
            .failing()
            .any(|(_, reason)| reason == "released for good")
    });
}

#[test]
fn a_check_that_panics_has_failed() {
    let health = Health::new();
    health
        .check("bad", Duration::from_secs(60), || {
            panic!("a test does this")
        })
        .unwrap();
    let verdict = until(&health, |verdict| verdict.failing().next().is_some());
    assert_eq!(
        verdict.failing().next(),
        Some(("bad", "the check panicked"))
    );
}

#[test]
fn a_panic_does_not_release_a_lease() {
    let health = Health::new();
    health.enter(Phase::Running);
    let lease = health.lease("worker", Duration::from_secs(3600));
    let worker = std::thread::spawn(move || {
        lease.beat();
        panic!("a test does this");
    });
    assert!(worker.join().is_err());
    assert!(!health.verdict().live());
    assert_eq!(health.verdict().to_string(), "worker: its thread panicked");
}

#[test]
fn only_a_running_service_is_ready() {
    let health = Health::new();
    assert!(health.verdict().live() && !health.verdict().ready());
    health.enter(Phase::Running);
    assert!(health.verdict().ready());
    health.enter(Phase::Stopping);
    assert_eq!(health.verdict().to_string(), "stopping");
}

#[test]
fn the_manager_is_pinged_until_a_lease_runs_out() {
    let health = Health::new();
    health.enter(Phase::Running);
    let lease = health.lease("loop", Duration::from_secs(3600));
    let (said, heard) = channel();
    let watching = health.watch(
        Duration::from_millis(60),
        Patience::Trigger(Duration::ZERO),
        move |say| {
            let _ = said.send(match say {
                Say::Ping => None,
                Say::Trigger(reason) => Some(reason.to_owned()),
            });
        },
    );
    let next = || heard.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!((next(), next(), next()), (None, None, None));
    let brief = health.lease("brief", Duration::from_millis(1));
    let reason = loop {
        if let Some(reason) = next() {
            break reason;
        }
    };
    assert!(reason.starts_with("brief: silent for "), "{reason}");
    drop(brief);
    assert_eq!(next(), None, "it lives again");
    drop((watching, lease));
    while heard.try_recv().is_ok() {}
    assert!(heard.recv().is_err(), "the thread is gone");
}
