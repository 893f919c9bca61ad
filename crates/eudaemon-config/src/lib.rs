//! Room: readings. You turn text into a Definition and back, and say where a mistake is. You may not open a file: what you
//! read is given to you.

pub mod problem;
pub mod service_dir;
