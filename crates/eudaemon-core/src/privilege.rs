//! Giving up privileges: in which order, and what proves it.
