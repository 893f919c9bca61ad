//! The kernel holds the service to what it said it needs.
