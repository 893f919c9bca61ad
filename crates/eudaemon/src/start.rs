//! The one order in which a daemon starts, and how it ends.
//!
//! 1. What the program was given is read: words, environment, descriptors. Nothing has been changed yet.
//! 2. Options are understood, users and paths looked up. `do`, `explain` and `check-config` end here.
//! 3. Signals: what was inherited is cleaned; TERM and INT are written down from here on.
//! 4. The shell is left, if that was asked for and no manager is there.
//! 5. File mode mask and working directory.
//! 6. Manager, log, PID file, debug server, control socket, profile: opened while everything can be reached.
//! 7. The service's own `init`.
//! 8. Privileges are given up, the sandbox is closed, and both are proven.
//! 9. Only now there are threads: the attendant, the watchdog, the service's own.
//! 10. `run`, and in it `ready`.
//! 11. The end: what must not be left is removed, and the last word is said.
//!
//! An error in 1 to 9 ends the program before it is ready; it is told to the shell that waits, to the manager and to the
//! log, and its class is the exit code.

mod explain;
mod prepare;

use crate::attendant::Attendant;
use crate::builder::Builder;
use crate::running::panicked;
use crate::shared::{Parts, Shared};
use crate::told::{Told, Waiting};
use crate::{Activation, Error, Exit, Init, Manifest, Result, Running};
use prepare::{Opened, Plan};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// Lives a service's life, from `main` to the exit code.
pub(crate) fn live<I, R>(builder: Builder, init: I) -> Exit
where
    I: FnOnce(&mut Init<'_>) -> Result<R>,
    R: FnOnce(Running) -> Result<()>,
{
    let activation = Activation::of_this_process();
    let Builder {
        manifest,
        args,
        checked,
    } = builder;
    let plan = match prepare::plan(manifest, &args.unwrap_or_default(), activation, checked) {
        Ok(Some(plan)) => plan,
        Ok(None) => return Exit::Done,
        Err(error) => return speak(&error),
    };
    if let Some(action) = plan.options.action {
        return prepare::act(action, &plan).unwrap_or_else(|error| speak(&error));
    }
    start(plan, init)
}

/// Steps 3 to 11.
fn start<I, R>(plan: Plan, init: I) -> Exit
where
    I: FnOnce(&mut Init<'_>) -> Result<R>,
    R: FnOnce(Running) -> Result<()>,
{
    let mut opened = Opened::new(&plan.manifest.name);
    match serve(plan, &mut opened, init) {
        Ok(()) => {
            opened.close();
            Exit::Done
        }
        Err(error) => opened.last_word(&error),
    }
}

fn serve<I, R>(plan: Plan, opened: &mut Opened, init: I) -> Result<()>
where
    I: FnOnce(&mut Init<'_>) -> Result<R>,
    R: FnOnce(Running) -> Result<()>,
{
    let Plan {
        manifest,
        options,
        mut activation,
        identity,
        detach,
        sandbox,
        notes,
        ..
    } = plan;
    eudaemon_sys::early::begin()?;
    if let Some(way) = detach {
        opened.leave_the_shell(way, &options, &mut activation)?;
    }
    prepare::surroundings(&options, detach.is_some())?;
    opened.open(&options, &activation, &manifest)?;
    for note in &notes {
        opened.log().notice(format_args!("{note}"));
    }
    let doors = prepare::doors(&options)?;
    let credentials = crate::credentials::Credentials::open(&activation)?;
    let directories = crate::directories::Directories::of(&manifest.name, &activation);
    let mut inherited = crate::inherited::Inherited::take(&activation)?;
    let mut cx = Init {
        activation: &activation,
        options: &options,
        log: opened.log(),
        notify: opened.notify(),
        credentials: &credentials,
        directories: &directories,
        inherited: &mut inherited,
        keep: Vec::new(),
    };
    let run = guarded(|| init(&mut cx))?;
    let kept = cx.keep;
    drop(inherited);

    let sandbox = sandbox.prepare()?;
    let root = identity.root();
    let dropped = identity.keep(&kept).apply()?;
    let report = sandbox.enforce()?;
    opened.log().debug(format_args!("{dropped}\n{report}"));

    let attendant = Attendant::prepare()?;
    let shared = Arc::new(Shared::new(opened.parts(root, activation, options, manifest)?)?);
    attendant.start(&shared)?;
    let _watching = shared.watch()?;
    let _doors = doors.serve(&shared)?;
    opened.shared = Some(Arc::clone(&shared));
    let ended = guarded(|| run(Running::new(shared.handle(), dropped)));
    match shared.failure() {
        // A worker failed first; how `run` ended after that is what came of it.
        Some(error) => Err(error),
        None => ended,
    }
}

/// Calls code that is not ours: a panic in it is an error like another.
fn guarded<T>(code: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(AssertUnwindSafe(code)).unwrap_or_else(|panic| Err(panicked(&*panic)))
}

/// An error before anything was opened goes where a person looks.
fn speak(error: &Error) -> Exit {
    prepare::tell_stderr(error);
    error.exit()
}
