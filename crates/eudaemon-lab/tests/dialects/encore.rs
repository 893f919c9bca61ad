//! daemontools-encore: specification §2.1, §2.2, §3.5, §3.7, §5.1, §5.3, §5.4.

use crate::{House, alive, pid_in, process_group, session, state};
use eudaemon_lab::{Exit, Signal, until};
use std::fs;
use std::time::Duration;

const RUN: &str = "echo run >> said\nexec sleep 1000";

#[test]
fn start_runs_once_before_run_and_again_after_a_down() {
    let Some(h) = House::new("encore-start") else {
        return;
    };
    h.script("a/start", "echo start >> said");
    h.script("a/run", RUN);
    let _running = h.supervise("a");
    h.says("a/said", "start\nrun\n");
    h.until_status("a", "seconds, running");
    h.svc("-t", "a");
    h.says("a/said", "start\nrun\nrun\n");
    h.svc("-d", "a");
    h.until_status("a", "stopped");
    h.svc("-u", "a");
    h.says("a/said", "start\nrun\nrun\nstart\nrun\n");
    // "`u` on a service already wanted up does not."
    h.svc("-u", "a");
    h.never("another start", || h.read("a/said").lines().count() != 5);
}

#[test]
fn a_start_that_fails_leaves_the_service_down() {
    let Some(h) = House::new("encore-start-fails") else {
        return;
    };
    for (dir, end) in [
        ("code", "exit 3"),
        ("signal", "kill -9 $$"),
        ("hundred", "exit 100"),
    ] {
        h.script(
            format!("{dir}/start"),
            &format!("echo start >> said\n{end}"),
        );
        h.script(format!("{dir}/run"), RUN);
        let _running = h.supervise(dir);
        h.until_status(dir, "failed");
        let line = h.svstat(dir);
        assert!(line.starts_with(&format!("{dir}: down ")), "{line}");
        assert!(line.ends_with(" seconds, normally up, failed\n"), "{line}");
    }
    h.never("a second start, or a run", || {
        ["code", "signal", "hundred"]
            .iter()
            .any(|dir| h.read(format!("{dir}/said")) != "start\n")
    });
    // The operator may try again.
    h.script("code/start", "echo start >> said");
    h.svc("-u", "code");
    h.says("code/said", "start\nstart\nrun\n");
}

#[test]
fn start_without_run_counts_as_started() {
    let Some(h) = House::new("encore-started") else {
        return;
    };
    h.script("a/start", "echo start >> said");
    h.script("a/stop", "echo stop >> said");
    let _running = h.supervise("a");
    h.until_status("a", "started");
    let line = h.svstat("a");
    assert!(
        line.starts_with("a: down ") && line.ends_with(", normally up, started\n"),
        "{line}"
    );
    assert_eq!(h.ask("svup a").code, 0);
    h.svc("-d", "a");
    h.until_status("a", "stopped");
    h.says("a/said", "start\nstop\n");
    assert_eq!(h.ask("svup a").code, 100);
}

#[test]
fn stop_runs_once_when_it_goes_down_for_good() {
    let Some(h) = House::new("encore-stop") else {
        return;
    };
    h.script("a/run", RUN);
    h.script("a/stop", "echo stop >> said");
    let _running = h.supervise("a");
    h.says("a/said", "run\n");
    h.svc("-t", "a");
    h.says("a/said", "run\nrun\n");
    h.svc("-d", "a");
    h.says("a/said", "run\nrun\nstop\n");
    h.until_status("a", "stopped");
    h.svc("-d", "a");
    h.never("a second stop", || h.read("a/said") != "run\nrun\nstop\n");

    h.script("a/run", "echo once >> said");
    h.svc("-o", "a");
    h.says("a/said", "run\nrun\nstop\nonce\nstop\n");
    h.never("a restart", || h.read("a/said").lines().count() != 5);
}

#[test]
fn exit_100_is_for_good_where_encore_rules() {
    let Some(h) = House::new("encore-hundred") else {
        return;
    };
    h.script("a/run", "echo run >> said\nexit 100");
    h.script("a/stop", "echo stop >> said");
    h.script("plain/run", "echo run >> said\nexit 100");
    let _a = h.supervise("a");
    let _plain = h.supervise("plain");
    h.until_status("a", "failed");
    // Without a file of encore's it is an exit like any other (0.76).
    h.says("plain/said", "run\nrun\nrun\n");
    assert_eq!(h.read("a/said"), "run\n");

    let Some(h) = House::new("encore-hundred-dialect") else {
        return;
    };
    let h = h.with("EUDAEMON_DIALECT", "encore");
    h.script("plain/run", "echo run >> said\nexit 100");
    let _plain = h.supervise("plain");
    h.until_status("plain", "failed");
    h.never("a restart", || h.read("plain/said") != "run\n");
}

#[test]
fn a_stop_that_exits_100_is_a_failure() {
    let Some(h) = House::new("encore-stop-hundred") else {
        return;
    };
    h.script("a/run", RUN);
    h.script("a/stop", "exit 100");
    let _running = h.supervise("a");
    h.until_status("a", "running");
    h.svc("-d", "a");
    h.until_status("a", "failed");
}

#[test]
fn notify_is_told_of_each_script() {
    let Some(h) = House::new("encore-notify") else {
        return;
    };
    h.script("a/notify", "echo \"$# $1 $2 $3 $4\" >> told");
    h.script("a/start", "echo $$ > start.pid");
    h.script("a/run", "echo $$ > run.pid\nexec sleep 1000");
    h.script("a/stop", "echo $$ > stop.pid\nexit 7");
    h.script("a/log", "echo $$ > log.pid\nexec cat >> logged");
    let _running = h.supervise("a");
    h.until_status("a", "running");
    let pid = |name: &str| h.read(format!("a/{name}.pid")).trim().to_owned();
    h.soon("their first lines", || {
        !pid("run").is_empty() && !pid("log").is_empty()
    });
    h.svc("-d", "a");
    h.until_status("a", "stopped");
    h.svc("-Lk", "a");
    let log = pid("log");
    let wanted = [
        format!("4 start start {} 0", pid("start")),
        format!("4 start exit {} 0", pid("start")),
        format!("4 run start {} 0", pid("run")),
        format!("4 run killed {} 15", pid("run")),
        format!("4 stop start {} 0", pid("stop")),
        format!("4 stop exit {} 7", pid("stop")),
        format!("4 log start {log} 0"),
        format!("4 log killed {log} 9"),
    ];
    for line in &wanted {
        h.soon(line, || h.read("a/told").lines().any(|told| told == line));
    }
}

/// A service that writes numbered lines, each once, wherever it is killed.
const NUMBERS: &str = "n=$(cat n || echo 0)\nwhile :; do\n\
    n=$((n+1)); echo $n > n.new && mv n.new n && echo \"n $n\"; sleep 0.02\ndone";

#[test]
fn an_executable_log_reads_what_is_written_whoever_is_restarted() {
    let Some(h) = House::new("encore-log") else {
        return;
    };
    h.script("a/run", NUMBERS);
    h.write("a/n", "0\n");
    h.script("a/log", "exec multilog ./main");
    let lines = || h.read("a/main/current").lines().count();
    let supervise = h.supervise("a");
    h.soon("ten lines", || lines() >= 10);
    assert_eq!(
        fs::metadata(h.path("a/supervise/status"))
            .expect("a status")
            .len(),
        40
    );

    let both = h.svstat("a");
    assert_eq!(both.lines().count(), 2, "{both}");
    assert!(both.contains("\na log: up (pid "), "{both}");
    let main = h.ask("svstat -l a").out;
    assert!(
        main.starts_with("a: up (pid ") && main.lines().count() == 1,
        "{main}"
    );
    let log = h.ask("svstat -L a").out;
    assert!(
        log.starts_with("a log: up (pid ") && log.lines().count() == 1,
        "{log}"
    );

    let (run, log) = (pid_in(&main), pid_in(&log));
    h.svc("-Lt", "a");
    h.soon("another logger", || {
        let now = pid_in(&h.ask("svstat -L a").out);
        now.is_some() && now != log
    });
    assert_eq!(pid_in(&h.svstat("a")), run, "the service was not meant");
    let before = lines();
    h.soon("more lines", || lines() >= before + 5);
    let log = pid_in(&h.ask("svstat -L a").out);
    h.svc("-lt", "a");
    h.soon("another run", || {
        let now = pid_in(&h.ask("svstat -l a").out);
        now.is_some() && now != run
    });
    assert_eq!(
        pid_in(&h.ask("svstat -L a").out),
        log,
        "the log was not meant"
    );
    let before = lines();
    h.soon("more lines", || lines() >= before + 5);

    h.svc("-dx", "a");
    assert_eq!(h.code(&supervise), 0);
    let text = h.read("a/main/current");
    let last: usize = h.read("a/n").trim().parse().expect("a number");
    // A run that was killed between counting and writing has written nothing; there were two such ends.
    let written: Vec<usize> = text
        .lines()
        .map(|line| line.trim_start_matches("n ").parse().expect("a number"))
        .collect();
    assert!(written.windows(2).all(|two| two[0] < two[1]), "{text}");
    assert!(
        written.len() + 2 >= last,
        "{} of {last} lines",
        written.len()
    );
}

#[test]
fn a_log_that_is_down_loses_nothing_and_svup_sees_it() {
    let Some(h) = House::new("encore-log-down") else {
        return;
    };
    h.script("a/run", "echo \"from $$\"\nexec sleep 1000");
    h.script("a/log", "exec cat >> logged");
    let _running = h.supervise("a");
    h.until_status("a", "a: up (pid ");
    h.until_status("a", "a log: up");
    let first = h.pid("a");
    h.says("a/logged", &format!("from {first}\n"));
    let up = || ["svup a", "svup -l a", "svup -L a"].map(|line| h.ask(line).code);
    assert_eq!(up(), [0, 0, 0]);
    h.svc("-Ld", "a");
    h.soon("the log to be down", || {
        h.ask("svstat -L a").out.contains("a log: down")
    });
    assert_eq!(up(), [100, 0, 100]);
    assert_eq!(h.pid("a"), first);
    h.svc("-t", "a");
    h.soon("another run", || {
        pid_in(&h.svstat("a")).is_some_and(|pid| pid != first)
    });
    let second = h.pid("a");
    h.never("a line, or a logger", || {
        h.read("a/logged").lines().count() != 1
    });
    h.svc("-Lu", "a");
    h.says("a/logged", &format!("from {first}\nfrom {second}\n"));
    h.soon("svup to say yes", || up() == [0, 0, 0]);
    h.svc("-d", "a");
    h.soon("svup to say no", || up() == [100, 100, 0]);
}

#[test]
fn a_log_that_exits_100_has_failed() {
    let Some(h) = House::new("encore-log-hundred") else {
        return;
    };
    h.script("a/run", RUN);
    h.script("a/log", "echo log >> told\nexit 100");
    let _running = h.supervise("a");
    h.soon("the log to be failed", || {
        let line = h.ask("svstat -L a").out;
        line.starts_with("a log: down ") && line.ends_with(", failed\n")
    });
    h.never("a restart", || h.read("a/told") != "log\n");
    h.until_status("a", "a: up (pid ");
}

#[test]
fn all_scripts_write_to_the_log_and_it_leaves_last() {
    let Some(h) = House::new("encore-log-last") else {
        return;
    };
    h.script("a/start", "echo start");
    h.script(
        "a/run",
        "trap 'echo bye; exit' TERM\necho run\nwhile :; do sleep 0.05; done",
    );
    h.script("a/stop", "echo stop");
    h.script("a/log", "exec multilog ./main");
    let supervise = h.supervise("a");
    h.says("a/main/current", "start\nrun\n");
    h.svc("-dx", "a");
    assert_eq!(h.code(&supervise), 0);
    assert_eq!(h.read("a/main/current"), "start\nrun\nbye\nstop\n");
    assert_eq!(h.processes(), [0; 0]);
}

#[test]
fn signals_go_to_the_process_or_to_its_group() {
    let Some(h) = House::new("encore-group") else {
        return;
    };
    let hears = |who: &str| {
        format!("trap 'echo {who} >> said' USR1\necho ready >> said\nwhile :; do sleep 0.02; done")
    };
    h.script("a/child", &hears("child"));
    h.script("a/run", &format!("./child &\n{}", hears("parent")));
    let _running = h.supervise("a");
    h.says("a/said", "ready\nready\n");
    h.svc("-1", "a");
    h.says("a/said", "ready\nready\nparent\n");
    h.svc("-+=1", "a");
    h.says("a/said", "ready\nready\nparent\nparent\n");
    h.svc("-+1", "a");
    let heard = |who: &str| h.read("a/said").lines().filter(|line| *line == who).count();
    h.soon("both to hear", || {
        heard("child") == 1 && heard("parent") == 3
    });
    // The selection ends with the batch.
    h.svc("-1", "a");
    h.soon("the parent to hear", || heard("parent") == 4);
    assert_eq!(heard("child"), 1);
}

#[test]
fn signals_reach_the_logs_group_too() {
    let Some(h) = House::new("encore-log-group") else {
        return;
    };
    h.script("a/run", RUN);
    h.script(
        "a/log",
        "sleep 1000 &\necho $! >> children\nexec cat >> logged",
    );
    let _running = h.supervise("a");
    let child = |n: usize| {
        let mut pid = 0;
        h.soon("a child", || {
            let text = h.read("a/children");
            pid = text
                .lines()
                .nth(n)
                .and_then(|l| l.parse().ok())
                .unwrap_or(0);
            pid != 0
        });
        pid
    };
    let (first, run) = (child(0), h.pid("a"));
    h.svc("-Lt", "a");
    let second = child(1);
    assert!(alive(first), "that was for the log alone");
    h.svc("-L+t", "a");
    child(2);
    h.soon("the end of its child", || !alive(second));
    assert_eq!(h.pid("a"), run);
}

#[test]
fn a_service_leads_its_session_unless_told_not_to() {
    let Some(h) = House::new("encore-session") else {
        return;
    };
    h.script("own/run", "exec sleep 1000");
    h.script("none/run", "exec sleep 1000");
    h.write("none/no-setsid", "");
    let (_own, none) = (h.supervise("own"), h.supervise("none"));
    let pid = h.pid("own");
    assert_eq!((session(pid), process_group(pid)), (Some(pid), Some(pid)));
    let pid = h.pid("none");
    assert_eq!(session(pid), session(none.pid));
    assert_eq!(process_group(pid), process_group(none.pid));
}

#[test]
fn supervisedir_renames_the_directory() {
    let Some(h) = House::new("encore-supervisedir") else {
        return;
    };
    let h = h.with("SUPERVISEDIR", "kept");
    h.script("a/run", RUN);
    let running = h.supervise("a");
    h.until_status("a", "a: up (pid ");
    assert!(h.exists("a/kept/status") && !h.exists("a/supervise"));
    assert_eq!(h.ask("svup a").code, 0);
    h.svc("-dx", "a");
    assert_eq!(h.code(&running), 0);
}

#[test]
fn an_absolute_supervisedir_holds_one_directory_for_each_service() {
    let Some(h) = House::new("encore-supervisedir-abs") else {
        return;
    };
    fs::create_dir(h.path("kept")).expect("a directory");
    let kept = h.path("kept").to_string_lossy().into_owned();
    let real = fs::canonicalize(h.path(""))
        .expect("a real path")
        .join("sv/a");
    let flat = real.to_string_lossy()[1..].replace('/', ":");
    let h = h.with("SUPERVISEDIR", kept);
    h.script("sv/a/run", RUN);
    h.script("sv/a/log/run", "exec cat >> logged");
    let svscan = h.svscan(&["a", "a/log"]);
    h.until_status("sv/a", "sv/a: up (pid ");
    for name in [flat.clone(), format!("{flat}:log")] {
        assert!(h.exists(&format!("kept/{name}/status")), "{name}");
    }
    assert!(!h.exists("sv/a/supervise"));
    h.svc("-t", "sv/a");
    h.says("sv/a/said", "run\nrun\n");
    h.kill(svscan.pid, Signal::TERM);
    assert_eq!(h.code(&svscan), 0);
}

#[test]
fn svup_says_no_of_what_is_not_there() {
    let Some(h) = House::new("encore-svup") else {
        return;
    };
    h.script("a/run", RUN);
    let no = h.ask("svup a");
    assert_eq!((no.code, no.out.as_str(), no.err.as_str()), (100, "", ""));
    let usage = h.ask("svup");
    assert_eq!(usage.code, 100);
    assert!(
        usage.err.contains("svup: usage: svup [-L] [-l] dir"),
        "{}",
        usage.err
    );
    assert_eq!(h.ask("svup nowhere").code, 111);
    h.write("a/down", "");
    let _running = h.supervise("a");
    assert_eq!(h.ask("svup a").code, 100);
    h.svc("-u", "a");
    h.soon("svup to say yes", || h.ask("svup a").code == 0);
    assert_eq!(h.ask("svup -L a").code, 100, "there is no log");
}

#[test]
fn term_and_int_take_supervise_and_its_service_down() {
    let Some(h) = House::new("encore-term") else {
        return;
    };
    for (dir, signal) in [("term", Signal::TERM), ("int", Signal::INT)] {
        h.script(format!("{dir}/run"), RUN);
        h.script(format!("{dir}/stop"), "echo stop >> said");
        let running = h.supervise(dir);
        h.says(&format!("{dir}/said"), "run\n");
        let pid = h.pid(dir);
        h.kill(running.pid, signal);
        assert_eq!(h.code(&running), 0);
        assert!(!alive(pid));
        assert_eq!(h.read(format!("{dir}/said")), "run\nstop\n");
    }
}

#[test]
fn tstp_and_cont_pause_and_continue_the_service() {
    let Some(h) = House::new("encore-tstp") else {
        return;
    };
    h.script("a/run", RUN);
    let running = h.supervise("a");
    let pid = h.pid("a");
    h.kill(running.pid, Signal::TSTP);
    h.until_status("a", "paused");
    h.soon("it to be stopped", || state(pid) == "T");
    h.kill(running.pid, Signal::CONT);
    h.soon("it to go on", || {
        state(pid) == "S" && !h.svstat("a").contains("paused")
    });
    assert_eq!(running.exit(Duration::ZERO), None::<Exit>);
    assert!(until(Duration::ZERO, || h.pid("a") == pid));
}
