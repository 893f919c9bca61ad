//! Chores: `cargo xtask tidy | ci | long | sanitize | links | dist | bench | reliability`. Imports none of our crates and is imported by nobody.
#![allow(clippy::disallowed_methods)] // Chores start programs; no service is started here.

mod bench;
mod build;
mod ci;
mod dist;
mod links;
mod long;
mod reliability;
mod sanitize;
mod tidy;
mod worker;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask tidy                                  what a machine can check of the house rules
       cargo xtask ci                                    fmt, clippy, release build, tests
       cargo xtask long [--lives N] [--kills N] [--logs N]
                                                         what takes too long for ci: simulated lives, crash injection
       cargo xtask sanitize                              the same tests under AddressSanitizer, and no descriptor closed twice
       cargo xtask links DIR [--target T] [--bin PATH]   fills DIR with every historic name
       cargo xtask dist [--target T | --dynamic] [--bin PATH] [--out DIR]
                                                         what a user gets, in target/dist: a directory and its .tar.gz
       cargo xtask bench [--ours DIR] [--quick] [--services N] [--rounds R] [--only ROW,…] [--peers P,…]
                         [--runit-static DIR] [--scratch DIR]
                                                         ours beside daemontools, runit and s6, as ratios
       cargo xtask reliability --ours DIR [--rounds R] [--only SCENE,…] [--peers P,…] [--scratch DIR]
                                                         the same accidents for ours and for each peer: what is lost";

/// What goes wrong in a chore is read by a person, and only by a person.
type Outcome = Result<(), String>;

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    if args.is_empty() {
        eprintln!("{USAGE}");
        return ExitCode::from(100);
    }
    let chore = args.remove(0);
    let outcome = match chore.as_str() {
        "tidy" => tidy::run(),
        "ci" => ci::run(),
        "long" => long::run(&args),
        "sanitize" => sanitize::run(),
        "links" => links::run(&args),
        "dist" => dist::run(&args),
        "bench" => bench::run(&args),
        "reliability" => reliability::run(&args),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(100);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: fatal: {why}");
            ExitCode::from(111)
        }
    }
}

/// The folder of the workspace: where this crate was compiled, one up.
fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}
