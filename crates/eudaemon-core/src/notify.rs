//! What a service tells its manager, read and written by the same rules.
