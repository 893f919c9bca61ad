//! Making the service known to a manager: plan, difference, deed.
