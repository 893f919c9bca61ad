//! Load: clients that ask a web server without a pause while it changes, and what was not answered.
//!
//! A [`Server`] is nginx or a service of ours, started here or a unit of systemd. A [`Client`] is wrk, h2load or a [`crowd`] of our
//! own, which says of each failure what it was and when. [`play`] has one ask while the other changes, and counts.
//!
//! What counts as failed is the same for all: a request that was sent and not answered with 2xx, for whatever reason, and a connection
//! that could not be made. A client may repeat some of these safely (RFC 9112, 9.6; RFC 9113, 6.8), but none of these does.

pub mod crowd;
mod figures;
mod h2load;
mod play;
mod server;
mod wrk;

pub use figures::{Asked, Figures};
pub use play::{Change, Client, Scene, Seen, need_load as need, play};
pub use server::{Server, unit};
