//! Giving up what only the start needed, with proof.
