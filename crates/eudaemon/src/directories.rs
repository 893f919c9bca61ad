//! The directories a manager made for the service.
