//! The control socket: asked by a person, answered when it has happened.
