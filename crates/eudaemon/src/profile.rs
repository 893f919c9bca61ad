//! Where the processor's time goes.
