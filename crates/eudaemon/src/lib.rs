//! Room: promises. Strangers build on every `pub` here. You may not print, exit or surprise.
//!
//! A daemon's whole life from one `main`: options, detaching, PID file, chroot, a privilege drop that is proven, a sandbox,
//! readiness, status, reload, watchdog, logging, an orderly stop.
#![deny(missing_docs)]

pub mod activation;
mod attendant;
mod builder;
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
#[cfg(doc)]
pub mod guide;
pub mod health;
mod inbox;
pub mod inherited;
mod init;
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
mod running;
#[cfg(feature = "sandbox")]
pub mod sandbox;
mod serve;
mod service;
mod shared;
mod start;
mod stop;
pub mod successor;
#[cfg(feature = "testing")]
pub mod testing;
mod told;

pub use activation::Activation;
#[cfg(feature = "tokio")]
pub use builder::main_async;
pub use builder::{Builder, main};
pub use error::{Context, Error, Result};
pub use eudaemon_core::capability::Capability;
pub use eudaemon_core::words::Signal;
pub use exit::Exit;
pub use inbox::{Event, Reload};
pub use init::Init;
pub use manifest::Manifest;
pub use options::ServiceArgs;
pub use running::{Handle, Progress, Running};
pub use serve::Listener;
#[cfg(feature = "tokio")]
pub use service::AsyncService;
pub use service::{Runnable, Service};
pub use stop::StopSignal;
