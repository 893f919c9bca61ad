//! Crash injection with real processes: the engine killed thousands of times, the keeper killed, both killed.
//!
//! `EUDAEMON_CHAOS_KILLS` changes how often the engine dies; the long run is
//! `cargo run -p eudaemon-lab --bin chaos -- --kills 20000`.

use eudaemon_lab::chaos::{
    Plan, crash, engine_of, is_ok, kill_together, populate, status_pid, tree, witness,
};
use eudaemon_lab::mayfly::TALK;
use eudaemon_lab::{Bins, Exit, SOON, Signal, Subject, World, bins, need, until};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

/// The service program: see `eudaemon_lab::mayfly`.
const MAYFLY: &str = env!("CARGO_BIN_EXE_chaos");

#[test]
fn the_engine_may_die_at_any_moment() {
    let mut plan = Plan::default();
    if let Some(kills) = std::env::var("EUDAEMON_CHAOS_KILLS")
        .ok()
        .and_then(|n| n.parse().ok())
    {
        plan.kills = kills;
    }
    let Some(report) = crash(&plan, Path::new(MAYFLY)) else {
        return;
    };
    // Past the harness: the figures are wanted from a passing test too.
    let _told = write!(std::io::stderr(), "{report}");
    assert!(report.wrong.is_empty(), "{report}");
}

#[test]
fn the_judge_finds_nothing_where_nothing_is_wrong_and_something_where_it_is() {
    if !need(&["/usr/bin/runsvdir", "/usr/bin/runsv", "/usr/bin/sv"]) {
        return;
    }
    let (Some(alone), Some(killed)) = (
        witness(Path::new(MAYFLY), Duration::from_secs(5), false),
        witness(Path::new(MAYFLY), Duration::from_secs(5), true),
    ) else {
        return;
    };
    assert_eq!(alone.wrong, Vec::<String>::new());
    let doubles = killed
        .wrong
        .iter()
        .filter(|wrong| wrong.contains("while it lived"))
        .count();
    assert_ne!(
        doubles, 0,
        "every runsv was killed beside its living service: {killed}"
    );
}

/// A tree of services that live until they are told not to.
struct Lasting {
    world: World,
    ours: &'static Bins,
    names: Vec<String>,
    pids: Vec<i32>,
}

const LOGGED: u32 = 5;

impl Lasting {
    fn start(name: &str) -> Option<Lasting> {
        let ours = bins(Subject::Ours)?;
        let world = World::new(name);
        let names = populate(&world, Path::new(MAYFLY), 30, LOGGED);
        for name in &names {
            world.write(format!("sv/{name}/forever"), "");
        }
        let scan = world.start(ours, &["svscan", "sv"]);
        let mut tree = Lasting {
            world,
            ours,
            names,
            pids: Vec::new(),
        };
        assert!(
            until(SOON, || tree.all(|dir| tree.starts(dir) == 1)),
            "not all started: {}",
            scan.err()
        );
        assert!(until(SOON, || tree.all(
            |dir| status_pid(&tree.world, dir).is_some_and(|pid| pid != 0)
        )));
        tree.pids = tree.now();
        Some(tree)
    }

    fn all(&self, mut holds: impl FnMut(&str) -> bool) -> bool {
        self.names.iter().all(|name| holds(&format!("sv/{name}")))
    }

    fn now(&self) -> Vec<i32> {
        let pid = |name| status_pid(&self.world, &format!("sv/{name}")).expect("a status file");
        self.names.iter().map(pid).collect()
    }

    fn starts(&self, dir: &str) -> usize {
        let lives = self.world.read(format!("{dir}/lives"));
        lines_that_start(&lives, "start ")
    }

    /// Same pids, one start each, nobody twice, and svstat says so.
    fn untouched(&self, when: &str) {
        assert_eq!(self.now(), self.pids, "{when}: other pids");
        for (name, pid) in self.names.iter().zip(&self.pids) {
            let dir = format!("sv/{name}");
            assert_eq!(self.starts(&dir), 1, "{when}: {name} was started again");
            assert_eq!(
                self.world.read(format!("{dir}/DOUBLE")),
                "",
                "{when}: {name} was started twice"
            );
            let line = self.world.run(self.ours, &["svstat", &dir]).out;
            assert!(
                line.starts_with(&format!("{dir}: up (pid {pid}) ")),
                "{when}: svstat says {line}"
            );
            assert!(
                Path::new(&format!("/proc/{pid}/cwd")).exists(),
                "{when}: {name} is gone"
            );
        }
    }

    /// Whatever was said has arrived, in order.
    fn heard(&self) {
        for name in self.names.iter().take(LOGGED as usize) {
            let dir = format!("sv/{name}");
            let said = until(SOON, || {
                self.world.read(format!("{dir}/lives")).contains("said ")
            });
            assert!(said, "{name} could not say all it had to");
            let log = || self.world.read(format!("{dir}/log/all"));
            until(SOON, || log().lines().count() as u64 >= TALK);
            let numbers: Vec<u64> = log()
                .lines()
                .filter_map(|line| line.split_once(' ')?.1.parse().ok())
                .collect();
            assert_eq!(
                numbers,
                (0..TALK).collect::<Vec<_>>(),
                "{name}: not every line, once, in order"
            );
        }
    }

    /// The tree still does its work: a death is seen, told with its status, and followed by a start; down means down.
    fn obedient(&self) {
        let (first, pid) = (format!("sv/{}", self.names[9]), self.pids[9]);
        assert!(self.world.signal(pid, Signal::KILL));
        assert!(
            until(SOON, || self.starts(&first) == 2),
            "a killed service was not started again"
        );
        // Told within a moment, even when an init and not the keeper was the parent.
        let finishes = || self.world.read(format!("{first}/lives"));
        assert!(
            until(SOON, || lines_that_start(&finishes(), "finish ") == 1),
            "one death, and these finishes: {}",
            finishes()
        );
        let mut argv = vec!["svc".to_owned(), "-d".to_owned()];
        argv.extend(self.names.iter().map(|name| format!("sv/{name}")));
        self.world.run(self.ours, &argv);
        let down = until(SOON, || {
            self.all(|dir| status_pid(&self.world, dir) == Some(0))
        });
        let lines: String = self
            .names
            .iter()
            .map(|name| {
                self.world
                    .run(self.ours, &["svstat", &format!("sv/{name}")])
                    .out
            })
            .collect();
        assert!(down, "not all down:\n{lines}");
        assert!(
            lines.lines().all(|line| line.contains(": down ")),
            "{lines}"
        );
        for pid in &self.pids {
            assert!(
                until(SOON, || !Path::new(&format!("/proc/{pid}/cwd")).exists()
                    || self.gone(*pid)),
                "{pid} lives"
            );
        }
        self.world.run(self.ours, &["svc", "-u", &first]);
        assert!(
            until(SOON, || self.starts(&first) == 3),
            "svc -u was not obeyed"
        );
    }

    fn gone(&self, pid: i32) -> bool {
        !self.world.processes().contains(&pid)
    }
}

fn lines_that_start(text: &str, with: &str) -> usize {
    text.lines().filter(|line| line.starts_with(with)).count()
}

#[test]
fn the_keeper_may_die() {
    let Some(lasting) = Lasting::start("keeper") else {
        return;
    };
    let (mut keeper, mut engine) =
        tree(&lasting.world, "svscan", SOON).expect("a keeper and an engine");
    for round in 0..10 {
        assert!(
            lasting.world.signal(keeper, Signal::KILL),
            "round {round}: no keeper to kill"
        );
        let after = until(SOON, || {
            tree(&lasting.world, "svscan", SOON).is_some_and(|(k, e)| {
                let other = k != keeper && e != engine;
                if other {
                    (keeper, engine) = (k, e);
                }
                other
            })
        });
        assert!(
            after,
            "round {round}: no new keeper and engine after {keeper} {engine}"
        );
        assert!(
            until(SOON, || lasting.all(|dir| is_ok(&lasting.world, dir))),
            "round {round}: svok says no"
        );
    }
    lasting.untouched("after ten keepers");
    lasting.heard();
    lasting.obedient();
}

#[test]
fn keeper_and_engine_may_die_together() {
    let Some(lasting) = Lasting::start("both") else {
        return;
    };
    for round in 0..3 {
        let (keeper, engine) =
            tree(&lasting.world, "svscan", SOON).expect("a keeper and an engine");
        kill_together(&lasting.world, &[keeper, engine]);
        assert!(
            until(SOON, || lasting.all(|dir| !is_ok(&lasting.world, dir))),
            "somebody still says ok"
        );
        for pid in &lasting.pids {
            assert!(
                !lasting.gone(*pid),
                "round {round}: {pid} died with its supervisor"
            );
        }
        let scan = lasting.world.start(lasting.ours, &["svscan", "sv"]);
        assert!(
            until(SOON, || lasting.all(|dir| is_ok(&lasting.world, dir))),
            "not supervised again: {}",
            scan.err()
        );
        assert!(tree(&lasting.world, "svscan", SOON).is_some());
        lasting.untouched(&format!("after both died, round {round}"));
    }
    lasting.heard();
    lasting.obedient();
}

#[test]
fn a_death_while_both_are_dead_is_noticed() {
    let Some(lasting) = Lasting::start("unseen") else {
        return;
    };
    let (keeper, engine) = tree(&lasting.world, "svscan", SOON).expect("a keeper and an engine");
    kill_together(&lasting.world, &[keeper, engine]);
    let (dead, dir) = (lasting.pids[12], format!("sv/{}", lasting.names[12]));
    assert!(lasting.world.signal(dead, Signal::KILL));
    assert!(until(SOON, || lasting.gone(dead)));
    let again = lasting.world.start(lasting.ours, &["svscan", "sv"]);
    assert!(
        until(SOON, || lasting.starts(&dir) == 2),
        "it was not started again: {}",
        again.err()
    );
    assert!(until(SOON, || lasting.all(|dir| is_ok(&lasting.world, dir))));
    let others = |name: &&String| **name != lasting.names[12];
    for name in lasting.names.iter().filter(others) {
        assert_eq!(
            lasting.starts(&format!("sv/{name}")),
            1,
            "{name} was started again"
        );
        assert_eq!(lasting.world.read(format!("sv/{name}/DOUBLE")), "");
    }
}

#[test]
fn a_single_supervise_survives_its_engine_and_its_keeper() {
    let Some(ours) = bins(Subject::Ours) else {
        return;
    };
    let world = World::new("single");
    world.write("a/forever", "");
    symlink(MAYFLY, world.path("a/run")).expect("a link");
    let supervise = world.start(ours, &["supervise", "a"]);
    let starts = || lines_that_start(&world.read("a/lives"), "start ");
    assert!(until(SOON, || starts() == 1), "{}", supervise.err());
    assert!(until(SOON, || status_pid(&world, "a").is_some_and(|pid| pid != 0)));
    let pid = status_pid(&world, "a").expect("a status");
    for round in 0..6 {
        let (keeper, engine) = tree(&world, "supervise", SOON).expect("a keeper and an engine");
        let victim = if round % 2 == 0 { engine } else { keeper };
        assert!(world.signal(victim, Signal::KILL));
        let changed = until(SOON, || {
            tree(&world, "supervise", SOON).is_some_and(|(_, e)| e != engine)
        });
        assert!(changed, "round {round}: no new engine");
        assert!(until(SOON, || is_ok(&world, "a")));
        assert_eq!(
            (status_pid(&world, "a"), starts()),
            (Some(pid), 1),
            "round {round}"
        );
    }
    world.run(ours, &["svc", "-dx", "a"]);
    assert!(
        until(SOON, || !is_ok(&world, "a") && world.processes().is_empty()),
        "svc -dx left {:?}",
        world.processes()
    );
    assert!(fs::metadata(world.path("a/DOUBLE")).is_err());
}

#[test]
fn a_tree_that_was_stopped_starts_again() {
    let Some(ours) = bins(Subject::Ours) else {
        return;
    };
    let world = World::new("again");
    world.script("sv/a/run", "exec sleep 1000");
    for round in 0..3 {
        let scan = world.start(ours, &["svscan", "sv"]);
        let up = until(SOON, || {
            status_pid(&world, "sv/a").is_some_and(|pid| pid != 0) && is_ok(&world, "sv/a")
        });
        assert!(up, "round {round}: {}", scan.err());
        assert!(world.signal(scan.pid, Signal::TERM));
        assert_eq!(scan.exit(SOON), Some(Exit::Code(0)), "{round}");
    }
}

/// A daemon leaves its directory; it is the same daemon all the same.
#[test]
fn a_daemon_that_went_elsewhere_is_adopted() {
    let Some(ours) = bins(Subject::Ours) else {
        return;
    };
    for spawn in ["", "clone", "clone-without-pidfd"] {
        let world = World::new("elsewhere");
        world.script("sv/a/run", "echo start >> starts; cd /; exec sleep 1000");
        let env = [("EUDAEMON_SPAWN", spawn)];
        world.start_with(ours, &["svscan", "sv"], "", &env, b"");
        assert!(until(SOON, || world.read("sv/a/starts") == "start\n"
            && status_pid(&world, "sv/a").is_some_and(|pid| pid != 0)));
        let pid = status_pid(&world, "sv/a").expect("a status");
        // The shell has made way for the daemon, which is then somewhere else.
        let cwd = format!("/proc/{pid}/cwd");
        assert!(until(SOON, || fs::read_link(&cwd)
            .is_ok_and(|cwd| cwd == Path::new("/"))));
        let (keeper, engine) = tree(&world, "svscan", SOON).expect("a keeper and an engine");
        kill_together(&world, &[keeper, engine]);
        let scan = world.start_with(ours, &["svscan", "sv"], "", &env, b"");
        assert!(
            until(SOON, || engine_of(scan.pid).is_some()
                && status_pid(&world, "sv/a") == Some(pid)
                && is_ok(&world, "sv/a")),
            "{spawn}: {}",
            scan.err()
        );
        world.run(ours, &["svc", "-t", "sv/a"]);
        assert!(until(SOON, || world.read("sv/a/starts") == "start\nstart\n"));
        assert!(
            !Path::new(&cwd).exists(),
            "{spawn}: the first is still there beside the second"
        );
    }
}

fn is_stopped(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:\tT"))
}

/// As long as a service cannot be adopted it is not started a second time either.
#[test]
fn an_adoption_that_fails_is_tried_again() {
    let Some(ours) = bins(Subject::Ours) else {
        return;
    };
    let world = World::new("orphan");
    world.script("sv/a/run", "echo start >> starts; exec sleep 1000");
    world.script("sv/b/run", "exec sleep 1000");
    let scan = world.start(ours, &["svscan", "sv"]);
    assert!(until(SOON, || world.read("sv/a/starts") == "start\n"
        && status_pid(&world, "sv/a").is_some_and(|pid| pid != 0)));
    let pid = status_pid(&world, "sv/a");
    let supervise = world.path("sv/a/supervise");
    let (_, engine) = tree(&world, "svscan", SOON).expect("a keeper and an engine");
    assert!(world.signal(engine, Signal::STOP));
    assert!(until(SOON, || is_stopped(engine)));
    fs::rename(&supervise, world.path("aside")).expect("our directory");
    world.write("sv/a/supervise", "in the way");
    assert!(world.signal(engine, Signal::KILL));
    assert!(
        until(SOON, || scan.err().contains("a/supervise")),
        "it did not say so: {:?}",
        scan.err()
    );
    assert!(
        until(SOON, || is_ok(&world, "sv/b")),
        "the neighbour: {}",
        scan.err()
    );
    fs::remove_file(&supervise).expect("our file");
    fs::rename(world.path("aside"), &supervise).expect("our directory");
    assert!(until(SOON, || {
        world.run(ours, &["svc", "-h", "sv/a"]);
        world.read("sv/a/starts") == "start\nstart\n"
    }));
    // Its words may come before the status that names it.
    assert!(until(SOON, || status_pid(&world, "sv/a")
        .is_some_and(|now| now != 0 && Some(now) != pid)));
    // Keeper, engine and two services; a process is known as the world's when it can be read.
    assert!(until(SOON, || world.processes().len() == 4));
}
