//! The unix life of a daemon, seen from outside: real shells, real terminals, `/proc`.
//!
//! The program under test is this one, started again in a [role](roles): a process whose only thread is its `main`, which
//! the usual test harness is not.
//!
//! Not tested: launchd's and the BSDs' terminals; a `fork` that fails.
#![allow(
    clippy::disallowed_methods,
    reason = "a judge starts the programs it judges"
)]

mod child;
mod detach;
#[path = "../harness/mod.rs"]
mod harness;
mod pidfile;
mod roles;
mod signals;
mod stage;
mod title;

use harness::Test;
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(role) = std::env::var_os(stage::ROLE) {
        return roles::play(&role);
    }
    harness::run(&[
        signals::TESTS,
        pidfile::TESTS,
        detach::TESTS,
        title::TESTS,
        child::TESTS,
    ])
}
