//! What becomes of a log line: numbered lines through a logger that is killed, and the count of those that did not arrive
//! whole, once and in order.
//!
//! The judge holds both ends of the logger's pipe, as a supervisor does, so that the next logger goes on where the last
//! one died.

mod bytes;
mod disk;
mod kills;
mod line;
mod links;
mod logger;
mod past;
mod pipe;
mod syscalls;

pub use bytes::{Arrived, arrives};
pub use disk::{FullDisk, SmallDisk, WhileFull, full_disk, memory_kib};
pub use kills::{Kills, Mercy, Toll, kills};
pub use line::{Tally, line};
pub use links::{Escapes, links};
pub use logger::{Family, Logger, Shape};
pub use past::{Kept, WRITTEN, set_back};
pub use pipe::{Feeder, Pipe};
pub use syscalls::{Point, Points, Trial, every_call};
