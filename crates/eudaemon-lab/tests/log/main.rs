//! What becomes of a log line: `multilog` beside the original, and under everything that may befall a logger.
//!
//! **Not tested here:** power cuts (they need a machine that can be switched off), a sudden read-only disk under an open file
//! (the kernel refuses that remount; the errors are injected instead), a clock that is stepped by the kernel itself.

mod kills;
