use super::*;
use alloc::format;
use alloc::string::String;

/// A script: `MILLISECONDS event -> effects`, with a patience of one second.
fn check(script: &str) {
    let mut life = Life::new(Duration::from_secs(1));
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let (left, right) = line.split_once("->").expect("an arrow");
        let (at, event) = left.trim().split_once(' ').expect("a time and an event");
        let now = Mono(0) + Duration::from_millis(at.parse().expect("milliseconds"));
        let event = match event.trim() {
            "ready" => Event::Ready,
            "term" => Event::Stop(Asker::Signal),
            "request" => Event::Stop(Asker::Request),
            "hup" => Event::Reload,
            "reloaded" => Event::Reloaded,
            "replace" => Event::Replace,
            "replaced" => Event::Replaced,
            "failed" => Event::NotReplaced,
            "tick" => Event::Tick,
            other => panic!("{other}?"),
        };
        let done: Vec<String> = life
            .step(now, event)
            .into_iter()
            .map(|effect| match effect {
                Effect::SayReady => "READY".into(),
                Effect::SayReloading => "RELOADING".into(),
                Effect::SayStopping => "STOPPING".into(),
                Effect::Reload => "reload".into(),
                Effect::Stop => "stop".into(),
                Effect::RefuseReload => "refuse".into(),
                Effect::BeginReplacement => "begin".into(),
                Effect::RefuseReplacement => "busy".into(),
                Effect::GiveUpReplacement => "give-up".into(),
                Effect::PassReload => "pass-reload".into(),
                Effect::PassStop => "pass-stop".into(),
                Effect::Leave(why) => format!("leave:{why:?}"),
                Effect::Abort => "abort".into(),
            })
            .collect();
        assert_eq!(done.join(" "), right.trim(), "{line}");
    }
}

#[test]
fn an_ordinary_life() {
    check(
        "0 ready -> READY
         1 ready ->
         5 hup -> RELOADING reload
         6 reloaded -> READY
         7 reloaded ->
         9 term -> STOPPING stop
         1008 tick ->
         1009 tick -> leave:Deadline",
    );
}

#[test]
fn ten_reloads_at_once_are_two() {
    check(
        "0 hup ->
         0 hup ->
         1 ready -> READY RELOADING reload
         2 hup ->
         2 hup ->
         2 hup ->
         3 reloaded -> READY RELOADING reload
         4 reloaded -> READY",
    );
}

#[test]
fn a_second_signal_means_now_and_a_third_means_it() {
    check(
        "0 ready -> READY
         1 term -> STOPPING stop
         2 request ->
         200 term ->
         201 term -> leave:Signal
         204 hup -> refuse
         400 term ->
         401 term -> abort
         402 term -> abort",
    );
    check(
        "0 request -> STOPPING stop
         1 request ->
         202 term -> leave:Signal",
    );
}

#[test]
fn stopping_is_final() {
    check(
        "0 term -> STOPPING stop
         1 ready ->
         2 hup -> refuse
         3 reloaded ->",
    );
    check(
        "0 ready -> READY
         1 hup -> RELOADING reload
         2 term -> STOPPING stop
         3 reloaded ->",
    );
}

#[test]
fn a_replacement_is_silent() {
    check(
        "0 ready -> READY
         1 replace -> begin
         2 tick ->
         3 replaced -> stop
         4 hup -> refuse
         5 replace -> busy
         6 ready ->
         7 request ->
         1002 tick ->
         1003 tick -> leave:Drained",
    );
}

#[test]
fn a_replacement_that_fails_leaves_no_trace() {
    check(
        "0 ready -> READY
         1 replace -> begin
         2 replace -> busy
         3 failed ->
         4 failed ->
         5 replaced ->
         6 hup -> RELOADING reload
         7 replace -> busy
         8 reloaded -> READY
         9 replace -> begin",
    );
}

#[test]
fn nothing_that_is_asked_for_meanwhile_is_lost() {
    check(
        "0 ready -> READY
         1 replace -> begin
         2 hup ->
         2 hup ->
         3 failed -> RELOADING reload
         4 reloaded -> READY
         5 replace -> begin
         6 hup ->
         7 replaced -> pass-reload stop",
    );
    check(
        "0 ready -> READY
         1 replace -> begin
         2 term -> give-up
         3 request ->
         4 hup ->
         5 failed -> STOPPING stop
         201 term ->
         202 term -> leave:Signal",
    );
    // It was too late: the other one is the service, and it is the service that is to stop.
    check(
        "0 ready -> READY
         1 replace -> begin
         2 request -> give-up
         3 replaced -> pass-stop stop
         1003 tick -> leave:Drained",
    );
}

#[test]
fn a_stop_of_both_lets_the_old_one_finish() {
    check(
        "0 ready -> READY
         1 replace -> begin
         2 replaced -> stop
         300 term ->
         301 term ->
         500 term -> leave:Drained
         600 term ->
         700 term -> abort",
    );
    check(
        "0 ready -> READY
         1 replace -> begin
         2 term -> give-up
         202 term -> leave:Signal
         203 failed ->
         204 replaced ->",
    );
}

#[test]
fn only_who_serves_is_replaced() {
    check("0 replace -> busy");
    check(
        "0 term -> STOPPING stop
         1 replace -> busy",
    );
}
