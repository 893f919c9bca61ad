//! Descriptors handed over by name: what `LISTEN_FDS` and its companions say, read and written.
