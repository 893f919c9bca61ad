//! Room: the bench of judges.
//!
//! Starts finished programs (the originals and ours) and looks at them from outside: their words, their exit codes,
//! their processes, the files they leave. Imports none of our crates, so that it cannot believe what they believe.
//!
//! A judge waits only through [`until`]; every process it starts lives in a [`World`] and dies with it.
//
// The judges are allowed to start programs the ordinary way: being outside is their whole point.
#![allow(clippy::disallowed_methods)]

mod bins;
pub mod chaos;
pub mod load;
pub mod log;
pub mod mayfly;
pub mod pid1;
mod port;
mod stage;
mod wait;
mod world;

pub use bins::{Bins, Subject, bins, example, need, need_root, skipped, target};
pub use port::Port;
pub use stage::{Stage, both, both_runit, every_pair, every_pair_runit, masked};
pub use wait::{Exit, SOON, asleep, until};
pub use world::{Outcome, Running, World};

/// Signals, by the names the judges use.
pub use rustix::process::Signal;
