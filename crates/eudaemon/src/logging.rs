//! Where a service's log lines go, and how much of them.
