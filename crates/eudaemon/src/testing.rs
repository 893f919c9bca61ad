//! A service manager in a box, for tests.
