#![doc = links!()]
#![doc = include_str!("../guide/README.md")]
// The chapters are files, so that they can be read where the source is. Among themselves they link by the name of the file;
// here, where they are modules, the definitions that come first count.
macro_rules! links {
    () => {
        "[README.md]: crate::guide
[first.md]: crate::guide::first
[start.md]: crate::guide::start
[stopping.md]: crate::guide::stopping
[options.md]: crate::guide::options
[exit-codes.md]: crate::guide::exit_codes
[chroot.md]: crate::guide::chroot
[control.md]: crate::guide::control
[credentials.md]: crate::guide::credentials
[daemonizing.md]: crate::guide::daemonizing
[debug.md]: crate::guide::debug
[health.md]: crate::guide::health
[install.md]: crate::guide::install
[logging.md]: crate::guide::logging
[notify.md]: crate::guide::notify
[privileges.md]: crate::guide::privileges
[sandbox.md]: crate::guide::sandbox
[sockets.md]: crate::guide::sockets
[fd-store.md]: crate::guide::fd_store
[testing.md]: crate::guide::testing
[zero-downtime.md]: crate::guide::zero_downtime
[tls.md]: crate::guide::tls
[Activation]: crate::Activation
[Init]: crate::Init
[Running]: crate::Running
[Exit]: crate::Exit
[Reload]: crate::Reload
[ServiceArgs]: crate::ServiceArgs
[Scrubbed]: crate::child::Scrubbed
[Runnable]: crate::Runnable
[Needs]: crate::needs::Needs
[replacing]: crate::Manifest::replacing
[replace]: crate::replace
[replacing]: crate::Manifest::replacing

"
    };
}

/// A chapter. One whose Rust needs a feature is there without it too, so that links to it lead somewhere, but says only that.
macro_rules! chapter {
    ($name:ident, $file:literal) => {
        #[doc = links!()]
        #[doc = include_str!(concat!("../guide/", $file))]
        pub mod $name {}
    };
    ($name:ident, $file:literal, $feature:literal) => {
        #[cfg_attr(feature = $feature, doc = links!())]
        #[cfg_attr(feature = $feature, doc = include_str!(concat!("../guide/", $file)))]
        #[cfg_attr(not(feature = $feature), doc = concat!("With the feature `", $feature, "`."))]
        pub mod $name {}
    };
}

chapter!(first, "first.md");
chapter!(start, "start.md");
chapter!(stopping, "stopping.md");
chapter!(options, "options.md");
chapter!(exit_codes, "exit-codes.md");
chapter!(daemonizing, "daemonizing.md");
chapter!(privileges, "privileges.md");
chapter!(chroot, "chroot.md");
chapter!(sandbox, "sandbox.md", "sandbox");
chapter!(notify, "notify.md");
chapter!(sockets, "sockets.md");
chapter!(fd_store, "fd-store.md");
chapter!(zero_downtime, "zero-downtime.md");
chapter!(tls, "tls.md", "tls");
chapter!(credentials, "credentials.md");
chapter!(health, "health.md");
chapter!(logging, "logging.md");
chapter!(control, "control.md");
chapter!(debug, "debug.md", "debug-server");
chapter!(install, "install.md");
chapter!(testing, "testing.md", "testing");

/// The registry's page and the project's, which show the same program.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
