//! What a manager keeps while a service is not there: by a manager in a box that starts the same service again. The real systemd
//! judges the example `keeper` in `eudaemon-lab`.
//!
//! As in `whole`, the program under test is this one again, in a role: a start needs a process with one thread.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a judge starts the programs it judges, and fails where it stands"
)]

#[path = "../harness/mod.rs"]
mod harness;
mod paths;
mod role;
mod sockets;
mod stage;
mod states;

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::var_os(stage::FOLDER).is_some() {
        return role::play();
    }
    harness::run(&[sockets::TESTS, paths::TESTS, states::TESTS])
}
