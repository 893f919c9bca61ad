//! Differential judges: the same scene on the original daemontools 0.76 and on ours, equal to the byte.
//!
//! **Not compared, on purpose:** the order in which svscan starts services (the original's is the directory's, ours is
//! bytewise); svstat of a service that died within its second (the original says `up` until its nap ends, ours says
//! `down … want up`, as it is); anything of encore or s6, which the original does not know; `chpst` with the numbers it
//! misreads (`dialects/privilege.rs`).

mod chain;
mod chpst;
mod help;
mod multilog;
mod readproctitle;
mod supervise;
mod svc;
mod svok;
mod svscan;
mod svscanboot;
mod svstat;
mod tai64;
