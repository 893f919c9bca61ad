//! Secrets a manager hands over as files.
