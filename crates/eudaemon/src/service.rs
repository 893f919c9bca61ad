//! What a service is: the shapes its author may give it.

use crate::needs::Needs;
use crate::{Handle, Init, Manifest, Result, Running};
use clap_builder as clap;
use std::time::Instant;

/// A service with full control over its life. Run it with [`main`](crate::main).
///
/// `init` has the privileges the program was started with, and one thread. `run` has neither, and begins when that was proven.
pub trait Service: Sized {
    /// Its own options, which come beside those of the library. `()` for none; a struct that derives `clap::Args` else.
    type Config: clap::Args;

    /// Its name: see [`Manifest::name`].
    const NAME: &'static str;

    /// What it says of itself. Default: its name and nothing else.
    fn manifest() -> Manifest {
        Manifest::new(Self::NAME)
    }

    /// What it needs with this configuration: ports and paths that come from options. Default: what the manifest says.
    fn needs(config: &Self::Config, manifest: &Manifest) -> Needs {
        let _ = config;
        manifest.needs.clone()
    }

    /// Checks what can be checked without opening anything: before every start, and alone with `--service.check-config`.
    ///
    /// # Errors
    /// What is wrong, best of class [`Exit::Config`](crate::Exit::Config).
    fn check(config: &Self::Config) -> Result<()> {
        let _ = config;
        Ok(())
    }

    /// Opens what needs privileges: sockets, files, secrets.
    ///
    /// # Errors
    /// Whatever makes a start useless. [`Error::config`](crate::Error::config) keeps managers from trying again.
    fn init(config: Self::Config, cx: &mut Init<'_>) -> Result<Self>;

    /// Serves until [`Running::stop`](crate::Handle::stop) says so, and returns when it is done.
    ///
    /// # Errors
    /// Whatever ended it; it becomes the exit code and the last status.
    fn run(self, cx: Running) -> Result<()>;
}

/// A [`Service`] whose `run` is a future. Run it with [`main_async`](crate::main_async), which makes the runtime when it is time to:
/// after the last fork and the drop.
#[cfg(feature = "tokio")]
pub trait AsyncService: Sized {
    /// As [`Service::Config`].
    type Config: clap::Args;

    /// As [`Service::NAME`].
    const NAME: &'static str;

    /// As [`Service::manifest`].
    fn manifest() -> Manifest {
        Manifest::new(Self::NAME)
    }

    /// As [`Service::needs`].
    fn needs(config: &Self::Config, manifest: &Manifest) -> Needs {
        let _ = config;
        manifest.needs.clone()
    }

    /// As [`Service::check`].
    ///
    /// # Errors
    /// As [`Service::check`].
    fn check(config: &Self::Config) -> Result<()> {
        let _ = config;
        Ok(())
    }

    /// As [`Service::init`]. There is no runtime yet: sockets are bound with std and made the runtime's in `run`.
    ///
    /// # Errors
    /// As [`Service::init`].
    fn init(config: Self::Config, cx: &mut Init<'_>) -> Result<Self>;

    /// As [`Service::run`].
    ///
    /// # Errors
    /// As [`Service::run`].
    fn run(self, cx: Running) -> impl Future<Output = Result<()>> + Send;
}

/// A service that is started and stopped, and works in threads of its own. Run it with
/// [`Builder::start`](crate::Builder::start).
pub trait Runnable: Send {
    /// Begins to serve and returns; then the service is ready.
    ///
    /// # Errors
    /// Whatever keeps it from serving.
    fn start(&mut self, cx: &Handle) -> Result<()>;

    /// Ends, and returns when it has; the process is ended at `deadline` in any case.
    ///
    /// # Errors
    /// Whatever did not end well.
    fn stop(&mut self, deadline: Instant) -> Result<()>;

    /// Reads its configuration again. Default: refused.
    ///
    /// # Errors
    /// Why the old configuration stays in force.
    fn reload(&mut self, cx: &Handle) -> Result<()> {
        let _ = cx;
        Err(crate::Error::unsupported("this service does not reload"))
    }
}
