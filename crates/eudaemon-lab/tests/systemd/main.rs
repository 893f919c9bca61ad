//! Finished programs under the real systemd as PID 1 (`eudaemon_lab::pid1`), observed through `systemctl`.
//!
//! **Not tested here:** any systemd but the one this machine has; user managers; a machine that really boots.
//
// Judges start programs the ordinary way: being outside is their whole point.
#![allow(clippy::disallowed_methods)]

mod accept;
mod control;
mod first;
mod hello;
mod https;
mod keeper;
mod keeps;
mod log;
mod machine;
mod peer;
mod zero_downtime;
