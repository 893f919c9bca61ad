//! From a few words about a service to its whole life.

use crate::start;
use crate::{Handle, Init, Manifest, Result, Runnable, Running, Service, ServiceArgs};
use clap_builder as clap;
use clap_builder::{Args, Command, FromArgMatches};
use std::process::ExitCode;
use std::time::Instant;

/// Runs a service: the whole of a program's `main`.
///
/// ```no_run
/// # use eudaemon::sockets::Bound;
/// # use eudaemon::{Init, Result, Running, Service};
/// struct Web(Bound<std::net::TcpListener>);
///
/// impl Service for Web {
///     type Config = ();
///     const NAME: &'static str = "web";
///
///     fn init((): (), cx: &mut Init<'_>) -> Result<Web> {
///         Ok(Web(cx.tcp_listener("web", "[::]:80")?))
///     }
///
///     fn run(self, mut cx: Running) -> Result<()> {
///         cx.ready();
///         cx.serve(&self.0, |_connection, _peer| {})
///     }
/// }
///
/// fn main() -> std::process::ExitCode {
///     eudaemon::main::<Web>()
/// }
/// ```
///
/// What happens, in order, is in [the guide](crate::guide)'s chapter "How a start goes".
#[must_use]
pub fn main<S: Service>() -> ExitCode {
    let builder = Builder::of(S::manifest());
    match builder.command_line::<S::Config>() {
        Ok((builder, config)) => builder
            .needing(|manifest| S::needs(&config, manifest))
            .checked(S::check(&config))
            .run(|cx| {
                let service = S::init(config, cx)?;
                Ok(|cx| service.run(cx))
            }),
        Err(code) => code,
    }
}

/// As [`main`], for a service whose `run` is a future. The runtime is tokio's with a thread for each processor.
#[cfg(feature = "tokio")]
#[must_use]
pub fn main_async<S: crate::AsyncService>() -> ExitCode {
    let builder = Builder::of(S::manifest());
    match builder.command_line::<S::Config>() {
        Ok((builder, config)) => builder.checked(S::check(&config)).run_async(|cx| {
            let service = S::init(config, cx)?;
            Ok(|cx| service.run(cx))
        }),
        Err(code) => code,
    }
}

/// A service made of closures, or one whose command line somebody else reads.
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     eudaemon::Builder::new("clock").run(|_cx| {
///         // Privileged, with one thread.
///         Ok(|cx: eudaemon::Running| {
///             // Neither.
///             cx.ready();
///             cx.stop().wait();
///             Ok(())
///         })
///     })
/// }
/// ```
#[derive(Debug)]
pub struct Builder {
    pub(crate) manifest: Manifest,
    pub(crate) args: Option<ServiceArgs>,
    pub(crate) checked: Result<()>,
}

impl Builder {
    /// A service of this name, which says nothing else of itself.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Builder {
        Builder::of(Manifest::new(name))
    }

    /// A service that says this of itself.
    #[must_use]
    pub fn of(manifest: Manifest) -> Builder {
        Builder {
            manifest,
            args: None,
            checked: Ok(()),
        }
    }

    /// The options, as the program's own command line gave them. Without this the program's words are read, and nothing but the
    /// library's options is understood.
    #[must_use]
    pub fn args(mut self, args: ServiceArgs) -> Builder {
        self.args = Some(args);
        self
    }

    fn needing(mut self, needs: impl FnOnce(&Manifest) -> crate::needs::Needs) -> Builder {
        self.manifest.needs = needs(&self.manifest);
        self
    }

    /// What the service's own check of its configuration came to. An error ends the program before anything is done, and is
    /// the answer to `--service.check-config`.
    #[must_use]
    pub fn checked(mut self, checked: Result<()>) -> Builder {
        self.checked = checked;
        self
    }

    /// Reads the program's words: the library's options and these of its own.
    ///
    /// # Errors
    /// The command line is wrong, or asked for help or the version, which is printed: the code to end with.
    pub fn command_line<C: Args>(mut self) -> Result<(Builder, C), ExitCode> {
        let words = ServiceArgs::words(std::env::args_os());
        // Most programs are started without the library's options, whose table is longer than all else in a start. What is
        // wrong without them is said by the parser that knows them.
        if !ServiceArgs::are_among(&words)
            && let Ok(matches) = C::augment_args(self.command()).try_get_matches_from(&words)
            && let Ok(config) = C::from_arg_matches(&matches)
        {
            self.args = Some(ServiceArgs::default());
            return Ok((self, config));
        }
        let command = ServiceArgs::augment_args(C::augment_args(self.command()));
        let read = command.try_get_matches_from(words).and_then(|matches| {
            let args = ServiceArgs::from_arg_matches(&matches)?;
            Ok((args, C::from_arg_matches(&matches)?))
        });
        match read {
            Ok((args, config)) => {
                self.args = Some(args);
                Ok((self, config))
            }
            Err(error) => Err(told(&error)),
        }
    }

    /// The program's command, without options.
    fn command(&self) -> Command {
        let manifest = &self.manifest;
        let command = Command::new(manifest.name.clone()).about(manifest.description.clone());
        match &manifest.version {
            Some(version) => command.version(version.clone()),
            None => command,
        }
    }

    /// Lives the service's life: `init` with the privileges the program has, then what it returns without them.
    #[must_use]
    pub fn run<I, R>(self, init: I) -> ExitCode
    where
        I: FnOnce(&mut Init<'_>) -> Result<R>,
        R: FnOnce(Running) -> Result<()>,
    {
        let builder = match &self.args {
            Some(_) => self,
            None => match self.command_line::<()>() {
                Ok((builder, ())) => builder,
                Err(code) => return code,
            },
        };
        start::live(builder, init).into()
    }

    /// As [`run`](Builder::run), for what is started and stopped.
    #[must_use]
    pub fn start<I, R>(self, new: I) -> ExitCode
    where
        I: FnOnce(&mut Init<'_>) -> Result<R>,
        R: Runnable,
    {
        self.run(|cx| {
            let mut service = new(cx)?;
            Ok(move |mut cx: Running| {
                let handle: Handle = cx.handle();
                service.start(&handle)?;
                cx.ready();
                loop {
                    match cx.wait() {
                        crate::Event::Stop => break,
                        crate::Event::Reload(reload) => match service.reload(&handle) {
                            Ok(()) => reload.done(),
                            Err(error) => reload.failed(error),
                        },
                        crate::Event::Signal(_) => {}
                    }
                }
                service.stop(cx.stop().deadline().unwrap_or_else(Instant::now))
            })
        })
    }

    /// As [`run`](Builder::run), for a future. The runtime is made after the drop, so that its threads are confined too.
    #[cfg(feature = "tokio")]
    #[must_use]
    pub fn run_async<I, R, F>(self, init: I) -> ExitCode
    where
        I: FnOnce(&mut Init<'_>) -> Result<R>,
        R: FnOnce(Running) -> F,
        F: Future<Output = Result<()>>,
    {
        use crate::Context;
        self.run(|cx| {
            let service = init(cx)?;
            Ok(move |cx: Running| {
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .enable_all()
                    .build()
                    .during(|| "unable to make the runtime")?;
                let stop = cx.stop().clone();
                let ended = runtime.block_on(service(cx));
                // Tasks that block are not waited for beyond the deadline.
                let now = Instant::now();
                let rest = stop
                    .deadline()
                    .unwrap_or(now)
                    .saturating_duration_since(now);
                runtime.shutdown_timeout(rest);
                ended
            })
        })
    }
}

/// Prints what the parser has to say. Help and version are no errors.
pub(crate) fn told(error: &clap::Error) -> ExitCode {
    // Nobody is left to hear that nobody hears.
    let _ = error.print();
    if error.use_stderr() {
        crate::Exit::Usage.into()
    } else {
        crate::Exit::Done.into()
    }
}
