//! A process is replaced by another one of its program, or is not: the old side, with the new side in all its ways to fail.
//!
//! As in `whole`, the program under test is this one again, in a role. It is executed by way of a symbolic link, which a test may
//! lead elsewhere: to another program, or to what is none.
//!
//! Not tested: a library that is missing. The loader ends with 127 then, and so does a script here.
#![allow(
    clippy::disallowed_methods,
    reason = "a judge starts the programs it judges"
)]

mod confined;
mod failures;
mod faults;
#[path = "../harness/mod.rs"]
mod harness;
mod roles;
mod stage;
mod success;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(role) = std::env::var_os(stage::ROLE) {
        return roles::play(&role);
    }
    harness::run(&[
        success::TESTS,
        failures::TESTS,
        confined::TESTS,
        faults::TESTS,
    ])
}
