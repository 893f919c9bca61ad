//! What the loggers share: they read input that is not taken before it is kept, hear signals while they wait for a disk,
//! and have finished files made safe without making the input wait.

mod ears;
mod safe;

pub use ears::{Ears, Stop, persist};
pub use safe::{Dirt, Finished, Safe, lock};
