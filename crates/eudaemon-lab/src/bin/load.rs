//! `load SERVER CHANGE CLIENT SECONDS TIMES CONNECTIONS`: what a client saw of a web server that changed so many times meanwhile,
//! as `NAME<tab>NUMBER` lines for `cargo xtask bench`. SERVER is `nginx`, or `ours:PROGRAM`, the example `https`, or `unit:CONTROL`, the
//! same as the unit of a machine, or `machine:PROGRAM`, which boots that machine with the real systemd and asks from inside;
//! `machine:nginx` does that with nginx, so that the two are compared in the same place.

use eudaemon_lab::World;
use eudaemon_lab::load::{Scene, Seen, Server, play, unit};
use eudaemon_lab::pid1::{self, Pid1};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "usage: load nginx|ours:PROGRAM|unit:CONTROL|machine:PROGRAM|machine:nginx quiet|reload|replace|restart wrk|wrk-close|h2load|crowd|patient SECONDS TIMES CONNECTIONS";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some((server, scene)) = understood(&words) else {
        eprintln!("{USAGE}");
        return ExitCode::from(100);
    };
    let told = match server.strip_prefix("machine:") {
        Some(program) => machine(program, &words[1..]),
        None => run(server, scene).map(|seen| tell(&seen)),
    };
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("load: fatal: {why}");
            ExitCode::from(111)
        }
    }
}

fn understood(words: &[String]) -> Option<(&str, Scene)> {
    let [server, change, client, seconds, times, connections] = words else {
        return None;
    };
    let scene = Scene {
        change: change.parse().ok()?,
        client: client.parse().ok()?,
        seconds: seconds.parse().ok()?,
        times: times.parse().ok()?,
        connections: connections.parse().ok()?,
    };
    Some((server, scene))
}

fn run(server: &str, scene: Scene) -> Result<Seen, String> {
    let world = World::new("load");
    let server = match server.split_once(':') {
        None if server == "nginx" => Server::nginx(&world),
        Some(("ours", program)) => Server::ours(&world, Path::new(program)),
        Some(("unit", control)) => Server::unit(&world, Path::new(control)),
        None | Some(_) => Err(format!("{server:?} is no server")),
    }?;
    play(&world, &server, scene)
}

/// Boots a machine and runs this program in it.
fn machine(program: &str, words: &[String]) -> Result<(), String> {
    if !pid1::need() {
        return Err("no machine".to_owned());
    }
    let machine = Pid1::new();
    let server = match program {
        "nginx" => program.to_owned(),
        program => format!("unit:{}", unit(&machine, Path::new(program))?.display()),
    };
    let us =
        std::env::current_exe().map_err(|why| format!("unable to find this program: {why}"))?;
    machine.copy(&us, "load");
    let seen = machine.judge(&format!("./load {server} {}", words.join(" ")));
    eprint!("{}", seen.err);
    print!("{}", seen.out);
    if seen.code == 0 {
        Ok(())
    } else {
        Err(format!("it ended with {}", seen.code))
    }
}

fn tell(seen: &Seen) {
    let figures = &seen.figures;
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    println!("answered\t{}", figures.answered);
    println!("failed\t{}", figures.failures());
    println!("p50\t{:.0}", us(figures.p50));
    println!("p99\t{:.0}", us(figures.p99));
    if let Some(p99) = figures.p99_changing {
        println!("p99 changing\t{:.0}", us(p99));
    }
    println!("rate\t{:.1}", figures.per_second);
    for (from, to) in &seen.changes {
        println!("change\t{:.0}", us(to.saturating_sub(*from)));
    }
    for (what, count) in &figures.failed {
        eprintln!("load: failed: {what}: {count}");
    }
    for (at, what) in seen.failures.iter().take(40) {
        let change = seen.changes.iter().rev().find(|(from, _)| from <= at);
        let after = change.map_or(Duration::ZERO, |(from, _)| *at - *from);
        eprintln!("load: failed at {at:?}, {after:?} after a change began: {what}");
    }
}
