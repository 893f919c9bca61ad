//! Room: promises. Strangers build on every `pub` here. You may not print, exit or surprise.
//!
//! A daemon's whole life from one `main`: options, detaching, PID file, chroot, a privilege drop that is proven, a sandbox,
//! readiness, status, reload, watchdog, logging, an orderly stop.
#![deny(missing_docs)]

pub mod activation;
pub mod child;
pub mod chroot;
mod clients;
pub mod control;
pub mod credentials;
#[cfg(feature = "debug-server")]
pub mod debug;
mod descriptors;
pub mod detach;
pub mod directories;
pub mod error;
pub mod exit;
pub mod health;
pub mod inherited;
pub mod install;
pub mod logging;
pub mod manifest;
pub mod metrics;
pub mod needs;
pub mod notify;
pub mod options;
pub mod pidfile;
pub mod pressure;
pub mod privileges;
#[cfg(feature = "profile")]
pub mod profile;
#[cfg(feature = "sandbox")]
pub mod sandbox;
#[cfg(feature = "testing")]
pub mod testing;

pub use activation::Activation;
pub use error::{Context, Error, Result};
pub use eudaemon_core::capability::Capability;
pub use exit::Exit;
pub use manifest::Manifest;
pub use options::ServiceArgs;
