//! A process that takes the place of another: what it does before it is promoted, at that moment, and when it never is.
//!
//! The process before it is the test itself, which speaks the handover by `eudaemon_core::handover` alone and so can be as slow, as dead
//! or as wrong as it likes. Only in `both` it is the library's own other half, with the control socket's clients between the two; more of
//! that half is judged in `replace`.
#![allow(
    clippy::disallowed_methods,
    reason = "a judge starts the programs it judges"
)]

mod both;
mod clients;
mod failing;
#[path = "../harness/mod.rs"]
mod harness;
mod old;
mod promoted;
mod roles;
mod waiting;

use harness::Test;
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(role) = std::env::var_os(old::ROLE) {
        return roles::play(&role);
    }
    harness::run(&[
        waiting::TESTS,
        promoted::TESTS,
        clients::TESTS,
        failing::TESTS,
        both::TESTS,
    ])
}
