//! Room: kernel door. You may be unsafe, one reason per block. You may not have opinions: return what the kernel said.
//!
//! Linux 5.4 or later. What the kernel of the day lacks is answered with `ErrorKind::Unsupported` or its own error, never
//! silently done without.
#![allow(unsafe_code, reason = "this is the room for it")]

#[cfg(not(target_os = "linux"))]
compile_error!("eudaemon is for Linux so far: other systems have no kernel door yet");

pub mod accounts;
pub mod arena;
pub mod attempt;
pub mod bind;
pub mod child;
pub mod clock;
pub mod confine;
pub mod descriptor;
pub mod detach;
pub mod dir;
pub mod early;
pub mod errno;
pub mod exec;
pub mod fifo;
pub mod file;
pub mod hand;
pub mod identity;
pub mod inotify;
pub mod input;
pub mod limits;
pub mod memory;
pub mod notify;
pub mod nss;
pub mod passing;
pub mod poll;
pub mod pressure;
pub mod privilege;
pub mod process;
pub mod profile;
pub mod program;
pub mod record;
pub mod replace;
pub mod sealed;
pub mod shared;
pub mod signal;
pub mod socket;
pub mod spawn;
pub mod spawner;
pub mod start;
pub mod title;
pub mod wake;
pub mod watch;
