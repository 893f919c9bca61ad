//! The new process dies at any of its system calls.

use super::harness::Test;

pub const TESTS: &[Test] = &[];
