//! svscan: what it takes for a service, the logged pair, and what it says about the rest.

use eudaemon_lab::{Signal, both, every_pair};
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

#[test]
fn refuses_a_directory_it_cannot_enter() {
    both("svscan-refuse", |s| {
        s.write("file", "");
        assert_eq!(s.play("svscan nowhere").code, 111);
        assert_eq!(s.play("svscan file").code, 111);
        assert_eq!(s.play("svscan __").code, 111);
        s.play("svscan nowhere more");
    });
}

#[test]
fn takes_directories_and_links_and_leaves_the_rest() {
    every_pair("svscan-names", |s| {
        s.script("sv/plain/run", "exec sleep 1000");
        s.script("elsewhere/linked/run", "exec sleep 1000");
        s.script("sv/with space/run", "exec sleep 1000");
        s.script("sv/-dash/run", "exec sleep 1000");
        s.script("sv/.hidden/run", "echo wrong >> ran; exec sleep 1000");
        s.write("sv/file", "");
        symlink("../elsewhere/linked", s.path("sv/linked")).expect("a link");
        symlink("nowhere", s.path("sv/dangling")).expect("a link");
        let scan = s.begin("svscan sv");
        for dir in ["sv/plain", "sv/linked", "sv/-dash"] {
            s.until_status(dir, "up (pid");
            s.play(&format!("svstat {dir}"));
        }
        s.soon("the name with a space", || {
            s.run(s.tools, &["svstat", "sv/with space"])
                .out
                .contains("up (pid")
        });
        s.play("svok sv/.hidden");
        s.note(&s.read("sv/.hidden/ran"));
        s.play("svstat elsewhere/linked");
        s.soon("its complaint", || scan.err().contains("dangling"));
        s.note(scan.err().lines().next().unwrap_or_default());
        // One service under two names is one service: device and inode decide.
        symlink("plain", s.path("sv/second-name")).expect("a link");
        s.service("sv/later", "exec sleep 1000");
        s.until_status("sv/later", "up (pid");
        s.play("svstat sv/second-name sv/plain");
        assert_eq!(s.pid("sv/second-name"), s.pid("sv/plain"));
        assert!(
            scan.err().lines().all(|line| line.contains("dangling")),
            "{}",
            scan.err()
        );
    });
}

#[test]
fn pipes_a_service_into_its_log() {
    every_pair("svscan-pair", |s| {
        s.script("sv/a/run", "i=$(cat n 2>/dev/null || echo 0); echo $((i+1)) > n; echo line $i; echo to stderr >&2; exec sleep 1000");
        s.script("sv/a/log/run", "exec cat >> all");
        let scan = s.begin("svscan sv");
        s.until_status("sv/a", "up (pid");
        s.until_status("sv/a/log", "up (pid");
        s.soon("the first line", || {
            s.read("sv/a/log/all").contains("line 0")
        });
        s.play("svstat sv/a sv/a/log");
        // The logger dies; what is written meanwhile waits in the pipe.
        let logger = s.pid("sv/a/log");
        s.ask("svc -d sv/a/log");
        s.until_status("sv/a/log", "log: down");
        assert_ne!(logger, 0);
        s.ask("svc -t sv/a");
        s.soon("a second life", || s.read("sv/a/n") == "2\n");
        assert!(!s.read("sv/a/log/all").contains("line 1"));
        s.ask("svc -u sv/a/log");
        s.soon("the second line", || {
            s.read("sv/a/log/all").contains("line 1")
        });
        s.note(&s.read("sv/a/log/all"));
        s.soon("its standard error", || scan.err().contains("to stderr"));
        s.note(&format!(
            "standard error is svscan's own: {}",
            scan.err().contains("to stderr")
        ));
    });
}

#[test]
fn keeps_the_pipe_through_the_death_of_every_part() {
    every_pair("svscan-pipe", |s| {
        s.script("sv/a/run", "i=$(cat n 2>/dev/null || echo 0)\nwhile [ $i -lt 400 ]; do echo $i; i=$((i+1)); echo $i > n.new; mv n.new n; done\nexec sleep 1000");
        // At TERM it leaves what it has not taken for the next.
        s.script("sv/a/log/run", "exec multilog ./main");
        s.begin("svscan sv");
        for kill in 0..6 {
            s.soon("lines", || {
                s.read("sv/a/log/main/current").lines().count() > kill * 20
            });
            if kill % 2 == 0 {
                s.ask("svc -t sv/a");
            } else {
                s.ask("svc -t sv/a/log");
            }
        }
        s.soon("the last line", || {
            s.read("sv/a/log/main/current")
                .lines()
                .any(|line| line == "399")
        });
        let all = s.read("sv/a/log/main/current");
        // A writer killed between its line and its note says that line again; none may be missing.
        for n in 0..400 {
            assert!(
                all.lines().any(|line| line == n.to_string()),
                "line {n} is lost"
            );
        }
        s.note("no line is lost");
    });
}

#[test]
fn finds_new_directories_and_leaves_removed_ones_running() {
    every_pair("svscan-change", |s| {
        s.script("all/old/run", "exec sleep 1000");
        s.script("all/new/run", "exec sleep 1000");
        fs::create_dir_all(s.path("sv")).expect("a directory");
        symlink("../all/old", s.path("sv/old")).expect("a link");
        s.begin("svscan sv");
        s.until_status("all/old", "up (pid");
        symlink("../all/new", s.path("sv/new")).expect("a link");
        s.until_status("all/new", "up (pid");
        s.play("svstat sv/old sv/new");
        let pid = s.pid("all/old");
        fs::remove_file(s.path("sv/old")).expect("our link");
        // A directory found later shows that a scan happened after the removal.
        s.service("sv/third", "exec sleep 1000");
        s.until_status("sv/third", "up (pid");
        assert_eq!(s.pid("all/old"), pid);
        s.play("svstat all/old");
        s.play("svc -dx all/old");
        s.soon("its end", || s.ask("svok all/old").code == 100);
        s.play("svstat all/old");
        symlink("../all/old", s.path("sv/again")).expect("a link");
        s.until_status("all/old", "up (pid");
        s.play("svstat sv/again");
    });
}

#[test]
fn a_service_told_to_exit_comes_back_while_its_link_is_there() {
    every_pair("svscan-exit", |s| {
        s.script("sv/a/run", "echo start >> said; exec sleep 1000");
        s.begin("svscan sv");
        // Up is the fork, not the script's first line.
        s.soon("a first start", || s.read("sv/a/said").lines().count() == 1);
        s.until_status("sv/a", "up (pid");
        s.play("svc -dx sv/a");
        s.soon("a second start", || {
            s.read("sv/a/said").lines().count() == 2
        });
        s.until_status("sv/a", "up (pid");
        s.play("svstat sv/a");
    });
}

#[test]
fn scans_where_it_stands_without_an_argument() {
    both("svscan-here", |s| {
        s.script("sv/a/run", "exec sleep 1000");
        s.start_with(s.service, &["svscan"], "sv", &[], b"");
        s.until_status("sv/a", "up (pid");
        s.play("svstat sv/a");
    });
}

#[test]
fn goes_on_in_an_empty_directory() {
    both("svscan-empty", |s| {
        fs::create_dir_all(s.path("sv")).expect("a directory");
        let scan = s.begin("svscan sv");
        assert_eq!(
            scan.exit(Duration::from_millis(1200)),
            None,
            "{}",
            scan.err()
        );
        s.service("sv/a", "exec sleep 1000");
        s.until_status("sv/a", "up (pid");
        s.note(&format!("{}{}", scan.out(), scan.err()));
        s.play("svstat sv/a");
    });
}

#[test]
fn its_working_directory_is_the_scan_directory() {
    // Third-party tools find the services that way.
    both("svscan-cwd", |s| {
        s.script("sv/a/run", "exec sleep 1000");
        let scan = s.begin("svscan sv");
        s.until_status("sv/a", "up (pid");
        let cwd = fs::read_link(format!("/proc/{}/cwd", scan.pid)).expect("a living svscan");
        assert_eq!(cwd, s.path("sv").canonicalize().expect("our directory"));
        let name = fs::read_to_string(format!("/proc/{}/comm", scan.pid)).expect("a living svscan");
        s.note(&format!("in its scan directory, called {name}"));
    });
}

#[test]
fn a_killed_service_is_started_again() {
    both("svscan-killed", |s| {
        s.script("sv/a/run", "echo start >> said; exec sleep 1000");
        s.begin("svscan sv");
        // Up is the fork, not the script's first line.
        s.soon("a first start", || s.read("sv/a/said").lines().count() == 1);
        s.until_status("sv/a", "up (pid");
        let pid = s.pid("sv/a");
        assert!(s.signal(pid, Signal::KILL));
        s.soon("a second start", || {
            s.read("sv/a/said").lines().count() == 2
        });
        s.until_status("sv/a", "up (pid");
        s.play("svstat sv/a");
    });
}
