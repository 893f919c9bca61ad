//! Leaving the shell, with an answer to it.
