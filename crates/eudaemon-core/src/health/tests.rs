use super::*;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;

const MS: u64 = 1_000_000;

fn ms(at: u64) -> Mono {
    Mono(at * MS)
}

fn millis(length: u64) -> Duration {
    Duration::from_millis(length)
}

fn watched<'a>(name: &'a str, critical: bool, at: u64, told: Told<'static>) -> Watched<'a> {
    Watched {
        name,
        critical,
        at: ms(at),
        within: millis(100),
        told,
    }
}

#[test]
fn who_is_live_and_who_is_ready() {
    let lease = |critical, at| watched("l", critical, at, Told::Beat);
    let check = |told| watched("c", true, 900, told);
    // watched, phase, live, ready, words, at 1000 ms
    let rows = [
        (vec![], Phase::Running, true, true, ""),
        (vec![], Phase::Starting, true, false, "starting"),
        (vec![], Phase::Stopping, true, false, "stopping"),
        (vec![lease(true, 900)], Phase::Running, true, true, ""),
        (
            vec![lease(true, 899)],
            Phase::Running,
            false,
            false,
            "l: silent for 101ms, allowed 100ms",
        ),
        (
            vec![lease(false, 899), check(Told::Well)],
            Phase::Running,
            true,
            false,
            "l: silent for 101ms, allowed 100ms",
        ),
        (
            vec![watched("l", true, 0, Told::Lost)],
            Phase::Running,
            false,
            false,
            "l: its thread panicked",
        ),
        (
            vec![check(Told::Nothing)],
            Phase::Running,
            true,
            false,
            "c: no answer yet",
        ),
        (
            vec![check(Told::Ill("refused")), lease(true, 0)],
            Phase::Stopping,
            false,
            false,
            "stopping; c: refused; l: silent for 1s, allowed 100ms",
        ),
    ];
    for (watched, phase, live, ready, words) in rows {
        let verdict = Verdict::of(ms(1000), phase, watched);
        assert_eq!(
            (
                verdict.live(),
                verdict.ready(),
                verdict.to_string().as_str()
            ),
            (live, ready, words)
        );
    }
}

#[test]
fn the_stale_and_the_failing_are_told_apart() {
    let all = [
        watched("old", false, 0, Told::Ill("was ill")),
        watched("ill", false, 990, Told::Ill("no db")),
    ];
    let verdict = Verdict::of(ms(1000), Phase::Running, all);
    assert_eq!(verdict.stale().collect::<Vec<_>>(), [("old", millis(1000))]);
    assert_eq!(verdict.failing().collect::<Vec<_>>(), [("ill", "no db")]);
    assert!(verdict.live() && !verdict.ready());
}

/// Lines of `AT expiry EXPIRY|none -> ACT next NEXT`, all in ms.
fn check(mut dog: Watchdog, script: &str) {
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [at, "expiry", expiry, "->", told @ ..] = words.as_slice() else {
            panic!("{line}");
        };
        let expiry = expiry.parse().ok().map(ms);
        let step = dog.step(ms(at.parse().unwrap()), expiry);
        let act = match step.act {
            Some(Act::Ping) => "ping",
            Some(Act::Trigger) => "trigger",
            None => "nothing",
        };
        // The nanosecond behind a run-out lease is not told.
        let next = format!("{}", step.next.0 / MS);
        assert_eq!(told, [act, "next", next.as_str()], "{line}");
    }
}

const AT_ONCE: Patience = Patience::Trigger(Duration::ZERO);

#[test]
fn pings_come_each_half() {
    check(
        Watchdog::new(millis(1000), AT_ONCE),
        "
           0 expiry none -> ping    next 500
          10 expiry none -> nothing next 500
         500 expiry none -> ping    next 1000
        1001 expiry none -> ping    next 1501
        ",
    );
}

#[test]
fn a_short_interval_is_pinged_each_third() {
    assert_eq!(Watchdog::new(millis(200), AT_ONCE).every(), millis(100));
    assert_eq!(Watchdog::new(millis(199), AT_ONCE).every(), millis(199) / 3);
}

#[test]
fn a_lease_that_runs_out_triggers_at_once() {
    check(
        Watchdog::new(millis(1000), AT_ONCE),
        "
           0 expiry 300 -> ping    next 300
         300 expiry 300 -> nothing next 300
         301 expiry 300 -> trigger next 426
         426 expiry 300 -> nothing next 551
         500 expiry 900 -> ping    next 900
        ",
    );
}

#[test]
fn patience_is_given_and_silence_may_be_all() {
    check(
        Watchdog::new(millis(1000), Patience::Trigger(millis(100))),
        "
           0 expiry 200 -> ping    next 200
         201 expiry 200 -> nothing next 301
         301 expiry 200 -> trigger next 426
        ",
    );
    check(
        Watchdog::new(millis(1000), Patience::Silence),
        "
           0 expiry 200 -> ping    next 200
         201 expiry 200 -> nothing next 326
         326 expiry 200 -> nothing next 451
         451 expiry 900 -> ping    next 900
        ",
    );
}

#[test]
fn a_process_that_was_stopped_gets_the_length_of_a_ping() {
    check(
        Watchdog::new(millis(1000), AT_ONCE),
        "
            0 expiry  700 -> ping    next 500
         9000 expiry  700 -> ping    next 9500
         9200 expiry  700 -> nothing next 9500
         9500 expiry 9700 -> ping    next 9500
         9501 expiry 9700 -> nothing next 9700
        ",
    );
    // Nothing was renewed although it could: it is dead after all.
    check(
        Watchdog::new(millis(1000), AT_ONCE),
        "
            0 expiry 700 -> ping    next 500
         9000 expiry 700 -> ping    next 9500
         9501 expiry 700 -> trigger next 9626
        ",
    );
    // What had run out before gets nothing.
    check(
        Watchdog::new(millis(1000), AT_ONCE),
        "
            0 expiry 400 -> ping    next 400
         9000 expiry 300 -> trigger next 9125
        ",
    );
}

/// As the simulator's. Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", figure 17.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// One life of a worker under a manager: whether it was healthy throughout, triggered, and the longest silence.
fn live(seed: u64) {
    let mut dice = Dice(seed);
    let interval = millis(10 + dice.below(3000));
    let mut dog = Watchdog::new(interval, Patience::Trigger(millis(dice.below(50))));
    let within = millis(20 + dice.below(2000));
    let hangs = (dice.below(2) == 0).then(|| ms(dice.below(20_000)));
    // A wake is late by less than a third of a ping: what a loaded machine does and a stopped one does not.
    let jitter = (dog.every().as_nanos() / 3) as u64;
    let end = ms(25_000);
    let (mut now, mut beaten, mut pinged, mut triggered) = (ms(0), ms(0), None, None);
    let mut hung = false;
    while now < end {
        // The worker renews well in time, until it hangs.
        let lives_until = hangs.unwrap_or(end).min(now);
        if lives_until > beaten && !hung {
            hung = lives_until < now;
            beaten = Mono(
                lives_until.0
                    - dice
                        .below((within.as_nanos() as u64) / 2)
                        .min(lives_until.0 - beaten.0),
            );
        }
        let expiry = beaten + within;
        let step = dog.step(now, Some(expiry));
        match step.act {
            Some(Act::Ping) => {
                assert!(
                    expiry >= now,
                    "seed {seed}: a ping at {now:?} for a dead worker"
                );
                assert_eq!(triggered, None, "seed {seed}");
                if let Some(last) = pinged {
                    assert!(
                        now.since(last) <= interval,
                        "seed {seed}: silent until {now:?}"
                    );
                }
                pinged = Some(now);
            }
            Some(Act::Trigger) => {
                assert!(expiry < now, "seed {seed}: a trigger for a living worker");
                assert_eq!(triggered, None, "seed {seed}: twice");
                triggered = Some(now);
            }
            None => {}
        }
        assert!(step.next > now, "seed {seed}: the loop would spin");
        now = Mono(step.next.0 + dice.below(jitter.max(1)));
    }
    match hangs {
        None => assert_eq!(triggered, None, "seed {seed}"),
        Some(at) => {
            let told = triggered.unwrap_or_else(|| panic!("seed {seed}: nobody was told"));
            let latest = at + within + millis(50) + dog.every() * 2;
            assert!(
                told <= latest,
                "seed {seed}: told at {told:?}, later than {latest:?}"
            );
        }
    }
}

#[test]
fn ten_thousand_lives() {
    (0..10_000).for_each(live);
}
