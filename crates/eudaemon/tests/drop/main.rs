//! The example `drop`, finished and looked at from outside: what the kernel says of each of its threads, what it can still
//! do, and what it does when a step fails or only seems to succeed.
//!
//! Each process has its own `/etc/passwd` and `/etc/group`, bound over the real ones in a mount namespace of its own.
//!
//! The whole `cargo test` builds examples; alone it needs `cargo build -p eudaemon --examples` before.
//!
//! **Not tested:** kernels before 5.4; name services other than files; a `/proc` that lies.
#![allow(
    clippy::disallowed_methods,
    reason = "a judge starts programs; no service is started here"
)]

mod chroot;
mod faults;
mod identity;
mod keeping;
mod room;
mod unprivileged;
