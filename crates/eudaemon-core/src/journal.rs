//! A log record as the journal reads it.
