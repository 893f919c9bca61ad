//! What becomes of a log line: numbered lines through a logger that is killed, and the count of those that did not arrive
//! whole, once and in order.
//!
//! The judge holds both ends of the logger's pipe, as a supervisor does, so that the next logger goes on where the last
//! one died.

mod kills;
mod line;
mod logger;
mod pipe;
mod syscalls;

pub use kills::{Kills, Mercy, kills};
pub use line::{Tally, line};
pub use logger::{Family, Logger, Shape};
pub use pipe::{Feeder, Pipe};
pub use syscalls::{Points, Trial, every_call};
