//! Numbers a service counts, as OpenMetrics tells them.
