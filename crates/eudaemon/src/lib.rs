// Room: promises. Strangers build on every `pub` here. You may not print, exit or surprise.
//! A daemon's whole life from one `main`: options, leaving the shell, a PID file, chroot, a privilege drop that is proven, a
//! sandbox, readiness, status, reload, watchdog, logging, an orderly stop.
//!
//! ```no_run
//! use eudaemon::sockets::Bound;
//! use eudaemon::{Init, Result, Running, Service};
//! use std::io::Write;
//! use std::net::TcpListener;
//!
//! struct Hello(Bound<TcpListener>);
//!
//! impl Service for Hello {
//!     type Config = ();
//!     const NAME: &'static str = "hello";
//!
//!     // With the rights of whoever started it, and one thread: bind and open here.
//!     fn init((): (), cx: &mut Init<'_>) -> Result<Hello> {
//!         Ok(Hello(cx.tcp_listener("hello", "127.0.0.1:8080")?))
//!     }
//!
//!     // With the rights that are left.
//!     fn run(self, cx: Running) -> Result<()> {
//!         cx.ready();
//!         cx.serve(&self.0, |mut client, _address| {
//!             let _ = client.write_all(b"hello\n");
//!         })
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     eudaemon::main::<Hello>()
//! }
//! ```
//!
//! That program stays in the foreground under a supervisor, tells systemd when it is ready, stops at TERM, and leaves the shell
//! with `--service.daemon`. `hello --service.uid nobody --service.chroot /srv/empty` binds as root and serves as nobody,
//! locked in. `hello --service.explain` says what it would do, and `--service.do=install` writes the unit for it.
//!
//! Start with [the guide](crate::guide): [a first daemon](crate::guide::first), [how a start goes](crate::guide::start),
//! [all options](crate::guide::options).
//!
//! # What there is
//!
//! | for | there is |
//! |---|---|
//! | a service | [`Service`] and [`main`]; [`Runnable`] for one that is started and stopped; closures with [`Builder`] |
//! | its two contexts | [`Init`], privileged and with one thread; then [`Running`], which exists only after the drop was proven |
//! | what it says of itself | [`Manifest`], with the [`needs`] that its sandbox and its unit are made of |
//! | its end | [`StopSignal`], [`Event`], [`Reload`]; [`Error`] and [`Exit`] |
//!
//! Each piece also works without [`main`]: [`notify`], [`detach`], [`pidfile`], [`privileges`], [`chroot`], [`inherited`] sockets,
//! being [replaced](replace), a [`successor`], [`credentials`], [`directories`], [`health`], [`metrics`], [`logging`], [`control`], [`child`] processes, [`pressure`],
//! Each piece also works without [`main`]: [`notify`], [`detach`], [`pidfile`], [`privileges`], [`chroot`], [`inherited`] sockets, an [`fdstore`], a
//! [`successor`], [`credentials`], [`directories`], [`health`], [`metrics`], [`logging`], [`control`], [`child`] processes, [`pressure`],
//! [`install`]. They take what they need from an [`Activation`], which is read once, and never from the environment:
//!
//! ```
//! use eudaemon::Activation;
//! use eudaemon::notify::{Notify, Sent};
//!
//! let activation = Activation::made(4711, [("PATH", "/bin")]); // `of_this_process()` in a program
//! let notify = Notify::connect(&activation)?;
//! // Nobody asked to be told, so nothing is said, and that is no error.
//! assert_eq!(notify.ready()?, Sent::NoManager);
//! # Ok::<(), eudaemon::Error>(())
//! ```
//!
//! # The rule about threads
//!
//! **Nothing may start a thread before `run`**: privileges, Landlock and capabilities belong to a thread, and one that was there
//! before the drop would keep what it had. So no `#[tokio::main]`, no thread pool in a constructor, none in `init`. The library
//! counts the threads and refuses to go on; it starts its own after the drop.
//!
//! # Features
//!
//! None is on by default, and each only adds. An option whose feature is missing is refused, not passed over.
//!
//! | feature | adds | crates |
//! |---|---|---|
//! | `toml` | a file of options | `toml` |
//! | `tokio` | `AsyncService`, `main_async`: a `run` that is a future, on a runtime made after the drop; `Bound::into_tokio` | `tokio` |
//! | `tracing` | the log as a layer of `tracing` | `tracing-core`, `tracing-subscriber` |
//! | `log` | the log as the logger of `log` | `log` |
//! | `sandbox` | what a service needs, enforced by Landlock and seccomp | `landlock`, `seccompiler` |
//! | `debug-server` | `/livez`, `/readyz`, `/metrics`, `/debug/…` on a private socket | `httparse` |
//! | `profile` | a CPU profile for pprof | |
//! | `tls` | certificates of a TLS server, from credentials or files | `rustls`, `ring` |
//! | `tls-tokio` | the same for a `run` that is a future | `tokio-rustls` |
//! | `testing` | a service manager in a box, for a daemon's own tests | |
//!
//! # Platforms
//!
//! Linux, x86-64 and aarch64, kernel 5.4 or later, glibc and musl. The tests run on x86-64 alone. Other systems: not yet; [`install`]
//! can write files for launchd, FreeBSD's rc.d and Windows, and has not been tried there. It does not compile elsewhere.
//!
//! There is no `unsafe` code in this crate; that of the whole family is in `eudaemon-sys`.
#![deny(missing_docs)]
#![warn(clippy::missing_errors_doc, clippy::missing_panics_doc)]

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
pub mod drain;
pub mod error;
pub mod exit;
pub mod fdstore;
#[cfg(doc)]
pub mod guide;
#[allow(dead_code, reason = "the new process's end comes next")]
pub mod handover;
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
mod promotion;
pub mod replace;
mod running;
#[cfg(feature = "sandbox")]
pub mod sandbox;
mod serve;
mod service;
mod shared;
pub mod sockets;
mod start;
mod stop;
pub mod successor;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "tls")]
pub mod tls;
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
