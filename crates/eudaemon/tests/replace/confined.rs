//! Behind a drop, a chroot or a sandbox.

use super::harness::Test;

pub const TESTS: &[Test] = &[];
