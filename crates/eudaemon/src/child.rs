//! Programs a service starts, without what its manager meant for the service alone.
