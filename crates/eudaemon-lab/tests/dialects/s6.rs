//! s6: specification §2.4, §11.1, §11.2.

use crate::{House, alive, pid_in, session, state};
use rustix::fs::{FlockOperation, flock};
use std::fs;

const RUN: &str = "echo run >> said\nexec sleep 1000";

fn ready(h: &House, dir: &str) -> bool {
    h.read(format!("{dir}/supervise/state"))
        .contains("\"ready\":true")
}

#[test]
fn a_newline_on_the_notification_fd_means_ready() {
    let Some(h) = House::new("s6-notify") else {
        return;
    };
    h.script(
        "a/run",
        "readlink /proc/$$/fd/5 > fd\nuntil test -e half; do sleep 0.02; done\nprintf half >&5\necho half >> said\n\
         until test -e go; do sleep 0.02; done\necho >&5\nexec sleep 1000",
    );
    h.write("a/notification-fd", "5\n");
    let _running = h.supervise("a");
    h.soon("a pipe", || h.read("a/fd").starts_with("pipe:"));
    assert!(!ready(&h, "a"));
    h.write("a/half", "");
    h.says("a/said", "half\n");
    h.never("ready without a newline", || ready(&h, "a"));
    h.write("a/go", "");
    h.soon("ready", || ready(&h, "a"));
    h.remove("a/go");
    h.svc("-t", "a");
    h.soon("the next run not to be", || {
        !ready(&h, "a") && pid_in(&h.svstat("a")).is_some()
    });
    h.write("a/go", "");
    h.soon("ready again", || ready(&h, "a"));
}

#[test]
fn timeout_kill_ends_what_does_not_hear() {
    let Some(h) = House::new("s6-timeout-kill") else {
        return;
    };
    h.script(
        "a/run",
        "trap '' TERM\necho run >> said\nwhile :; do sleep 0.05; done",
    );
    h.script("a/finish", "echo \"$1 $2\" >> said");
    h.write("a/timeout-kill", "300\n");
    let _running = h.supervise("a");
    h.says("a/said", "run\n");
    // Only `d` begins the time: TERM alone does not.
    h.svc("-t", "a");
    h.never("an end", || h.read("a/said") != "run\n");
    h.svc("-d", "a");
    h.says("a/said", "run\n-1 9\n");
    h.until_status("a", "a: down");
}

#[test]
fn timeout_finish_ends_a_finish_that_stays() {
    let Some(h) = House::new("s6-timeout-finish") else {
        return;
    };
    h.script("a/run", "echo run >> said\nexit 0");
    h.script("a/finish", "echo $$ >> finishes\nexec sleep 1000");
    h.write("a/timeout-finish", "300");
    let _running = h.supervise("a");
    // On a busy machine the first may be ended before its first word.
    let mut first = 0;
    h.soon("the word of a finish", || {
        let told = h.read("a/finishes");
        first = told
            .lines()
            .next()
            .and_then(|l| l.parse().ok())
            .unwrap_or(0);
        first != 0
    });
    let runs = h.read("a/said").lines().count();
    h.soon("another run", || h.read("a/said").lines().count() > runs);
    assert!(!alive(first));
}

#[test]
fn down_signal_is_what_d_and_r_send() {
    let Some(h) = House::new("s6-down-signal") else {
        return;
    };
    h.script(
        "a/run",
        "trap 'echo int >> said; exit' INT\ntrap 'echo term >> said; exit' TERM\necho run >> said\n\
         while :; do sleep 0.05; done",
    );
    h.write("a/down-signal", "SIGINT\n");
    let _running = h.supervise("a");
    h.says("a/said", "run\n");
    h.svc("-r", "a");
    h.says("a/said", "run\nint\nrun\n");
    h.svc("-d", "a");
    h.says("a/said", "run\nint\nrun\nint\n");
    h.until_status("a", "a: down");
}

#[test]
fn the_death_tally_keeps_the_latest() {
    let Some(h) = House::new("s6-tally") else {
        return;
    };
    h.script("a/run", "n=$(cat n)\necho $((n+1)) > n\nexit $n");
    h.write("a/n", "11\n");
    h.write("a/max-death-tally", "3\n");
    let _running = h.supervise("a");
    let deaths = || {
        let bytes = fs::read(h.path("a/supervise/death_tally")).unwrap_or_default();
        assert_eq!(bytes.len() % 14, 0);
        let label = |r: &[u8]| u64::from_be_bytes(r[..8].try_into().expect("eight bytes"));
        let records: Vec<&[u8]> = bytes.chunks(14).collect();
        assert!(records.iter().all(|r| label(r) >> 62 == 1), "TAI64 labels");
        assert!(records.windows(2).all(|two| two[0][..12] < two[1][..12]));
        records.iter().map(|r| (r[12], r[13])).collect::<Vec<_>>()
    };
    h.soon("four deaths", || {
        deaths().last().is_some_and(|last| *last >= (14, 0))
    });
    let three = deaths();
    assert_eq!(three.len(), 3);
    assert!(
        three.windows(2).all(|two| two[0].0 + 1 == two[1].0),
        "{three:?}"
    );
    // Fewer are to be kept: the latest again.
    h.write("a/max-death-tally", "2\n");
    h.script("a/run", "exec sleep 1000");
    h.soon("a run that stays", || {
        pid_in(&h.svstat("a")).is_some_and(|pid| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == "sleep\n")
        })
    });
    let last = deaths().last().copied().expect("a death");
    h.svc("-k", "a");
    h.soon("the kill on record", || deaths() == [last, (0, 9)]);
}

#[test]
fn a_lock_that_somebody_holds_holds_the_service() {
    let Some(h) = House::new("s6-lock") else {
        return;
    };
    h.script("a/run", RUN);
    h.write("a/lock-fd", "7\n");
    h.write("a/supervise/service-lock", "");
    let file = fs::File::options()
        .write(true)
        .open(h.path("a/supervise/service-lock"))
        .expect("the lock file");
    flock(&file, FlockOperation::NonBlockingLockExclusive).expect("nobody else has it");
    let _running = h.supervise("a");
    h.never("a start", || !h.read("a/said").is_empty());
    drop(file);
    h.says("a/said", "run\n");
    let link = fs::read_link(format!("/proc/{}/fd/7", h.pid("a"))).expect("descriptor 7");
    assert!(
        link.ends_with("a/supervise/service-lock"),
        "{}",
        link.display()
    );
    // It is the service that holds it, and not its supervisor.
    let file = fs::File::open(h.path("a/supervise/service-lock")).expect("the lock file");
    let free = || flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
    assert!(!free());
    h.svc("-d", "a");
    h.soon("a free lock", free);
}

#[test]
fn what_a_run_leaves_behind_holds_the_next_one_back() {
    let Some(h) = House::new("s6-lock-heir") else {
        return;
    };
    h.script("a/run", "date +%s.%N >> said\nsetsid sh -c 'date > up; exec sleep 3' &\nuntil [ -e up ]; do sleep 0.01; done\nrm up");
    h.write("a/lock-fd", "7\n");
    let _running = h.supervise("a");
    h.soon("two starts", || h.read("a/said").lines().count() >= 2);
    let times: Vec<f64> = h
        .read("a/said")
        .lines()
        .filter_map(|l| l.parse().ok())
        .collect();
    assert!(times[1] - times[0] > 2.9, "{times:?}");
}

#[test]
fn finish_has_s6s_arguments_beside_s6s_files() {
    let Some(h) = House::new("s6-finish") else {
        return;
    };
    h.script(
        "sv/a/run",
        "echo $$ >> pids\nmv 7 8 && exit 7\nexec sleep 1000",
    );
    h.script("sv/a/finish", "echo \"$# $1 $2 $3 $4\" >> said");
    h.write("sv/a/7", "");
    h.write("sv/a/max-death-tally", "5");
    let _svscan = h.svscan(&["a"]);
    h.soon("two runs", || h.read("sv/a/pids").lines().count() == 2);
    h.svc("-k", "sv/a");
    h.soon("two ends", || h.read("sv/a/said").lines().count() == 2);
    let pids = h.read("sv/a/pids");
    let pids: Vec<&str> = pids.lines().take(2).collect();
    assert_eq!(
        h.read("sv/a/said"),
        format!("4 7 0 a {}\n4 256 9 a {}\n", pids[0], pids[1])
    );
}

#[test]
fn a_finish_that_exits_125_is_for_good() {
    let Some(h) = House::new("s6-finish-125") else {
        return;
    };
    h.script("sv/a/run", "echo run >> said\nexit 1");
    h.script("sv/a/finish", "exit 125");
    let _svscan = h.svscan(&["a"]);
    h.soon("it to be failed", || {
        h.ask("eudaemon -C sv status a --json")
            .out
            .contains("failed")
    });
    h.never("a restart", || h.read("sv/a/said") != "run\n");
    let line = h.svstat("sv/a");
    assert!(line.ends_with(" seconds, normally up\n"), "{line}");
}

#[test]
fn a_value_nobody_understands_is_shown_with_its_place() {
    let Some(h) = House::new("s6-bad") else {
        return;
    };
    h.script("sv/a/run", RUN);
    h.write("sv/a/notification-fd", " x\n");
    h.write("sv/a/down-signal", "STEP\n");
    h.script("sv/good/run", RUN);
    let svscan = h.svscan(&["a", "good"]);
    h.says("sv/good/said", "run\n");
    let lines = [
        "supervise: warning: a/notification-fd:1:2: expected a number from 3 to 1023",
        "supervise: warning: a/down-signal:1:1: expected a signal's name, such as TERM, or its number",
    ];
    for line in lines {
        h.soon(line, || svscan.err().lines().any(|told| told == line));
    }
    h.never("a start", || !h.read("sv/a/said").is_empty());
    assert_eq!(svscan.err().lines().count(), 2, "{}", svscan.err());
    let told = h.ask("eudaemon -C sv status a --json").out;
    assert!(told.contains("mistake"), "{told}");
    h.write("sv/a/notification-fd", "3\n");
    h.never("a start", || !h.read("sv/a/said").is_empty());
    h.write("sv/a/down-signal", "INT\n");
    h.says("sv/a/said", "run\n");
}

#[test]
fn r_restarts_and_wants_what_was_wanted() {
    let Some(h) = House::new("s6-r") else {
        return;
    };
    h.script(
        "a/run",
        "trap 'echo term >> said; exit' TERM\necho run >> said\nwhile :; do sleep 0.05; done",
    );
    let _running = h.supervise("a");
    h.says("a/said", "run\n");
    h.svc("-p", "a");
    h.until_status("a", "paused");
    h.svc("-r", "a");
    h.says("a/said", "run\nterm\nrun\n");
    h.until_status("a", "a: up (pid ");
    let line = h.svstat("a");
    assert!(!line.contains("paused") && !line.contains("want"), "{line}");
    h.svc("-o", "a");
    h.svc("-r", "a");
    h.says("a/said", "run\nterm\nrun\nterm\n");
    h.never("a restart of what was wanted once", || {
        h.read("a/said").lines().count() != 4
    });
    h.svc("-r", "a");
    h.never("a start of what is down", || {
        h.read("a/said").lines().count() != 4
    });
}

#[test]
fn capital_d_and_u_keep_the_down_file() {
    let Some(h) = House::new("s6-du") else {
        return;
    };
    h.script("a/run", RUN);
    let running = h.supervise("a");
    h.says("a/said", "run\n");
    h.svc("-D", "a");
    h.soon("a file down", || h.exists("a/down"));
    h.until_status("a", "a: down");
    assert!(!h.svstat("a").contains("normally"), "{}", h.svstat("a"));
    h.svc("-x", "a");
    assert_eq!(h.code(&running), 0);
    let running = h.supervise("a");
    h.never("a start", || h.read("a/said") != "run\n");
    h.svc("-U", "a");
    h.says("a/said", "run\nrun\n");
    h.soon("no file down", || !h.exists("a/down"));
    h.until_status("a", "a: up ");
    // Asked twice it is the same.
    h.svc("-U", "a");
    h.never("an end", || !h.svstat("a").starts_with("a: up "));
    assert_eq!(running.err(), "");
}

#[test]
fn capital_o_and_q_let_it_run_and_do_not_restart_it() {
    let Some(h) = House::new("s6-oq") else {
        return;
    };
    for (dir, letter, keeps) in [("o", "-O", false), ("q", "-Q", true)] {
        h.script(format!("{dir}/run"), RUN);
        let _running = h.supervise(dir);
        h.says(&format!("{dir}/said"), "run\n");
        let pid = h.pid(dir);
        h.svc(letter, dir);
        h.never("an end", || !alive(pid));
        assert_eq!(h.exists(&format!("{dir}/down")), keeps);
        h.svc("-t", dir);
        h.until_status(dir, ": down");
        h.never("a restart", || h.read(format!("{dir}/said")) != "run\n");
        assert!(!h.svstat(dir).contains("want up"));
        // Nothing runs: then nothing is started, either.
        h.svc(letter, dir);
        h.never("a start", || h.read(format!("{dir}/said")) != "run\n");
    }
}

#[test]
fn capital_p_c_and_k_are_for_the_whole_group() {
    let Some(h) = House::new("s6-pck") else {
        return;
    };
    h.script(
        "a/run",
        "(trap '' TERM; exec sleep 1000) &\necho $! >> children\nexec sleep 1000",
    );
    let _running = h.supervise("a");
    let child = |n: usize| {
        let mut pid = 0;
        h.soon("a child", || {
            pid = h
                .read("a/children")
                .lines()
                .nth(n)
                .and_then(|l| l.parse().ok())
                .unwrap_or(0);
            pid != 0
        });
        pid
    };
    let (first, run) = (child(0), h.pid("a"));
    h.until_it_is(first, "sleep");
    h.until_it_is(run, "sleep");
    h.svc("-P", "a");
    h.soon("both stopped", || state(run) == "T" && state(first) == "T");
    h.svc("-C", "a");
    h.soon("both going on", || state(run) == "S" && state(first) == "S");
    h.svc("-k", "a");
    let second = child(1);
    assert!(
        alive(first),
        "k is for the process alone, and what is left is only asked to end"
    );
    h.svc("-K", "a");
    h.soon("the group's end", || !alive(second));
    child(2);
}

#[test]
fn what_a_run_leaves_in_its_group_is_told_to_end() {
    for (mark, stays) in [("ordinary", false), ("no-setsid", true)] {
        let Some(h) = House::new("sweep") else {
            return;
        };
        h.script(
            "a/run",
            "sleep 1000 &\necho $! >> children\nsetsid sleep 1000 &\necho $! >> daemons\nuntil [ -e end ]; do sleep 0.01; done\nrm end",
        );
        h.write(format!("a/{mark}"), "");
        let _running = h.supervise("a");
        let first = |file: &str| {
            h.read(file)
                .lines()
                .next()
                .and_then(|l| l.parse::<i32>().ok())
        };
        h.soon("both, and the daemon in its session", || {
            let daemon = first("a/daemons");
            first("a/children").is_some() && daemon.is_some_and(|pid| session(pid) == Some(pid))
        });
        h.write("a/end", "now\n");
        h.soon("a second run", || h.read("a/children").lines().count() == 2);
        let (child, daemon) = (
            first("a/children").unwrap_or(0),
            first("a/daemons").unwrap_or(0),
        );
        if stays {
            assert!(alive(child), "without a session it is nobody's to end");
        } else {
            h.soon("the child's end", || !alive(child));
        }
        assert!(
            alive(daemon),
            "what leads a session of its own means to stay"
        );
    }
}

#[test]
fn b_and_y_are_abrt_and_winch() {
    let Some(h) = House::new("s6-by") else {
        return;
    };
    h.script(
        "a/run",
        "trap 'echo winch >> said' WINCH\necho run >> said\nwhile :; do sleep 0.02; done",
    );
    h.script("a/finish", "echo \"$1 $(($2 & 127))\" >> said");
    let _running = h.supervise("a");
    h.says("a/said", "run\n");
    h.svc("-y", "a");
    h.says("a/said", "run\nwinch\n");
    h.svc("-b", "a");
    h.says("a/said", "run\nwinch\n-1 6\nrun\n");
}
