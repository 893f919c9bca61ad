//! Absolute paths as they are called behind a changed root.
