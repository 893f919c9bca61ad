//! The whole life by way of `eudaemon::main` and `Builder`, seen by a manager in a box, a shell and `/proc`.
//!
//! As in `life`, the program under test is this one again, in a role. The real systemd judges the finished examples in
//! `eudaemon-lab`.
#![allow(
    clippy::disallowed_methods,
    reason = "a judge starts the programs it judges"
)]

mod blocked;
mod confined;
mod end;
mod handed;
#[path = "../harness/mod.rs"]
mod harness;
mod managed;
mod orders;
mod roles;
mod shell;
mod stage;
mod surroundings;
mod thrift;

use harness::Test;
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(role) = std::env::var_os(stage::ROLE) {
        return roles::play(&role);
    }
    harness::run(&[
        managed::TESTS,
        end::TESTS,
        shell::TESTS,
        confined::TESTS,
        orders::TESTS,
        surroundings::TESTS,
        blocked::TESTS,
        handed::TESTS,
        thrift::TESTS,
    ])
}
