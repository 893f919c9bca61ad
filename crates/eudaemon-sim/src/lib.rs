//! Room: lives. You may import core. You may not know the real kernel or the real clock: here both are invented, from a seed.
//!
//! A supervisor is a pure value, so a whole life of it, with children that die, commands, refused forks and engines killed
//! at any moment, takes some microseconds. `cargo run -p eudaemon-sim -- 42` tells the life of seed 42.
//!
//! Modules in reading order: [`dice`], the [`kernel`] and the [`shell`] that are modelled, the [`mind`] that is tested, the
//! laws ([`oracle`]), one seed's [`life`], small worlds complete ([`every`]), the same for the [`scanner`], and the
//! [`story`].
//!
//! Not tested here: what the shell does between the kernel and the supervisor (pidfds, reuse of pids, the keeper's own
//! death while the engine lives), the order of notifications, and the tally, which may lose a death to a kill.
#![forbid(unsafe_code)]

pub mod dice;
pub mod every;
pub mod kernel;
pub mod life;
pub mod mind;
pub mod oracle;
pub mod scanner;
pub mod shell;
pub mod story;

#[cfg(test)]
mod tests;
