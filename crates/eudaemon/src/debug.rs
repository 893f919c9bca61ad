//! A private server that shows how the service does.
