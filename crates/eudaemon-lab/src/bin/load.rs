//! `load SERVER CHANGE CLIENT SECONDS TIMES CONNECTIONS [PROGRAM]`: what a client saw of a web server that changed so many times
//! meanwhile, as `NAME<tab>NUMBER` lines for `cargo xtask bench`. SERVER is `nginx` or `ours`, with the program.

use eudaemon_lab::World;
use eudaemon_lab::load::{Scene, Seen, Server, play};
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "usage: load nginx|ours quiet|reload|replace|restart wrk|wrk-close|h2load|crowd SECONDS TIMES CONNECTIONS [PROGRAM]";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some((server, scene, rest)) = understood(&words) else {
        eprintln!("{USAGE}");
        return ExitCode::from(100);
    };
    match run(server, scene, rest) {
        Ok(seen) => {
            tell(&seen);
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("load: fatal: {why}");
            ExitCode::from(111)
        }
    }
}

fn understood(words: &[String]) -> Option<(&str, Scene, &[String])> {
    let [
        server,
        change,
        client,
        seconds,
        times,
        connections,
        rest @ ..,
    ] = words
    else {
        return None;
    };
    let scene = Scene {
        change: change.parse().ok()?,
        client: client.parse().ok()?,
        seconds: seconds.parse().ok()?,
        times: times.parse().ok()?,
        connections: connections.parse().ok()?,
    };
    Some((server, scene, rest))
}

fn run(server: &str, scene: Scene, _rest: &[String]) -> Result<Seen, String> {
    let world = World::new("load");
    match server {
        "nginx" => play(&world, &Server::nginx(&world)?, scene),
        other => Err(format!("{other:?} is no server")),
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
