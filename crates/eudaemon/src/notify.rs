//! What a service tells its manager.
