//! A file with the daemon's process id, which only one holds.
