//! Making the service known to a manager: plan, difference, deed.
//!
//! What is generated follows from the [`Manifest`](crate::Manifest) and its [`Needs`](crate::needs::Needs). A [`Plan`] is
//! made without touching anything; it tells its files as a difference to what is on disk, and [`Plan::apply`] does all of it
//! or nothing.
//!
//! ```
//! use eudaemon::install::{Installation, Target};
//! use eudaemon::Manifest;
//! let mut manifest = Manifest::new("hello");
//! manifest.needs = manifest.needs.bind_tcp(8080);
//! let hello = Installation::new(manifest, "/usr/local/bin/hello");
//! let plan = hello.plan(&Target::Systemd { version: Some(252) })?;
//! let unit = plan.files().next().expect("one unit");
//! assert_eq!(unit.path.to_str(), Some("/etc/systemd/system/hello.service"));
//! # Ok::<(), eudaemon::install::InstallError>(())
//! ```

mod action;
mod deed;
mod difference;
mod directory;
mod error;
mod installation;
mod launchd;
mod openrc;
mod plan;
mod rcd;
mod seal;
mod settle;
mod shell;
mod sockets;
mod systemd;
mod target;
mod windows;

#[cfg(test)]
mod tests;

pub use action::{Action, Choices, perform};
pub use error::InstallError;
pub use installation::Installation;
pub use plan::{Command, Contents, File, Plan, Step};
pub use target::{Control, Target};
