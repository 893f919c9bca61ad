//! The one order in which a daemon starts, and how it ends.
//!
//! 1. What the program was given is read: words, environment, descriptors. Nothing has been changed yet.
//! 2. Options are understood, users and paths looked up. `do`, `explain` and `check-config` end here.
//! 3. Signals: what was inherited is cleaned; TERM, INT and HUP are written down from here on.
//! 4. The shell is left, if that was asked for and no manager is there.
//! 5. File mode mask and working directory.
//! 6. Manager, log, PID file, debug server, control socket, profile: opened while everything can be reached. A service that is to be
//!    replaced later, and could not start its own program then, forks off its spawner.
//! 7. The service's own `init`.
//! 8. Privileges are given up, the sandbox is closed, and both are proven.
//! 9. Only now there are threads: the attendant, the watchdog, the service's own.
//! 10. `run`, and in it `ready`.
//! 11. The end: what must not be left is removed, and the last word is said.
//!
//! An error in 1 to 9 ends the program before it is ready; it is told to the shell that waits, to the manager and to the
//! log, and its class is the exit code.

mod confine;
mod debug;
mod doors;
mod explain;
mod opened;
mod prepare;
mod profile;
mod taken;

pub(crate) use doors::{Doors, Ways};

use crate::attendant::Attendant;
use crate::builder::Builder;
use crate::credentials::Credentials;
use crate::fdstore::{self, FdStore};
use crate::handover::Handover;
use crate::inherited::Inherited;
use crate::promotion::{Predecessor, Promotion};
use crate::replace::{Program, Replacing, Spawner};
use crate::running::panicked;
use crate::shared::{Shared, held};
use crate::told::ReadyFile;
use crate::{Activation, Context, Error, Exit, Init, Result, Running};
use confine::Confinement;
use opened::{Opened, Succession};
use prepare::{Identity, Plan};
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use taken::Taken;

/// Lives a service's life, from `main` to the exit code.
pub(crate) fn live<I, R>(builder: Builder, init: I) -> Exit
where
    I: FnOnce(&mut Init<'_>) -> Result<R>,
    R: FnOnce(Running) -> Result<()>,
{
    let name = builder.manifest.name.clone();
    match decide(builder) {
        Ok(Some((plan, identity))) => start(plan, identity, init),
        Ok(None) => Exit::Done,
        Err(error) => {
            opened::speak(&name, &error);
            // The process whose place it was to take hears it too.
            if let Ok(Some(predecessor)) = Predecessor::meet(&Activation::of_this_process()) {
                predecessor.failed(&error);
            }
            error.exit()
        }
    }
}

/// Steps 1 and 2. Nothing has been done when it fails. `None`: something else was asked for, and was answered.
fn decide(builder: Builder) -> Result<Option<(Plan, Identity)>> {
    let Builder {
        manifest,
        args,
        checked,
    } = builder;
    // Every option names something to be opened or done, and whoever starts such a program chooses them.
    if eudaemon_sys::process::is_set_id() {
        return Err(Error::new(
            Exit::NoPermission,
            "a service is not started by way of a set-user-ID or set-group-ID program: take that bit from its file, and have root start it",
        ));
    }
    let activation = Activation::of_this_process();
    let (plan, identity, layers) = prepare::plan(manifest, &args.unwrap_or_default(), activation)?;
    if plan.options.explain {
        print(&explain::explain(&plan, &identity.resolved()?, &layers))?;
        return Ok(None);
    }
    checked?;
    if plan.options.check_config {
        let _ = identity.resolved()?;
        plan.sandbox_plan()?;
        plan.ready_file()?;
        doors::check(&plan.options)?;
        return Ok(None);
    }
    Ok(Some((plan, identity)))
}

/// A reader that has seen enough is no error.
fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.during(|| "unable to write to standard output"),
    }
}

/// Steps 3 to 11.
fn start<I, R>(plan: Plan, identity: Identity, init: I) -> Exit
where
    I: FnOnce(&mut Init<'_>) -> Result<R>,
    R: FnOnce(Running) -> Result<()>,
{
    if let Some(action) = plan.options.action {
        return doors::act(action, &plan).unwrap_or_else(|error| {
            opened::speak(&plan.manifest.name, &error);
            error.exit()
        });
    }
    let mut opened = Opened::new(&plan.manifest.name);
    match serve(plan, identity, &mut opened, init) {
        Ok(()) => {
            opened.close();
            Exit::Done
        }
        Err(error) => opened.last_word(&error),
    }
}

fn serve<I, R>(plan: Plan, identity: Identity, opened: &mut Opened, init: I) -> Result<()>
where
    I: FnOnce(&mut Init<'_>) -> Result<R>,
    R: FnOnce(Running) -> Result<()>,
{
    eudaemon_sys::early::begin().during(|| "unable to clean up signals")?;
    // Before anything else is opened, and could have their numbers.
    opened.predecessor = Predecessor::meet(&plan.activation)?;
    let (mut taken, sockets, stored) = match &opened.predecessor {
        Some(predecessor) => {
            // Whoever started the first process of the daemon has left it long ago.
            let (taken, sockets) = Taken::of(predecessor.clone(), predecessor.receive()?)?;
            let stored = fdstore::of_predecessor(&sockets)?;
            (Some(taken), sockets, stored)
        }
        None => {
            if let Some(way) = plan.detach {
                opened.leave_the_shell(way, &plan.options, &plan.activation)?;
            }
            let (sockets, stored) = fdstore::arrange(Inherited::take(&plan.activation)?);
            (None, sockets, stored)
        }
    };
    let mut waiting = plan.waiting(taken.is_none())?;
    let ready_file = plan.ready_file()?;
    surround(&plan)?;
    opened.open(&plan, taken.as_mut())?;
    for note in &plan.notes {
        opened.log().notice(format_args!("{note}"));
    }
    let store = FdStore::of(&plan.activation, opened.notify(), &sockets);
    store.begin(stored, plan.manifest.storing, opened.log());
    let doors = Doors::open(&plan.options, taken.as_mut())?;
    let handover = taken.as_ref().map(|taken| &taken.handover);
    let generation = handover.map_or(0, Handover::generation);
    let profile = profile::Door::open(&plan.options, generation)?;
    let mut replacing = replacing(&plan, &identity)?;
    let credentials = Credentials::open(&plan.activation)?;

    let mut cx = Init {
        activation: &plan.activation,
        options: &plan.options,
        log: opened.log(),
        notify: opened.notify(),
        credentials: &credentials,
        name: &plan.manifest.name,
        directories: OnceLock::new(),
        sockets: &sockets,
        store: &store,
        handover,
        keep: Vec::new(),
    };
    let run = guarded(|| init(&mut cx))?;
    let keep = std::mem::take(&mut cx.keep);
    if !keep.is_empty() {
        // It gives up all others.
        replacing.confined.get_or_insert("has given up privileges");
    }
    store.leave();
    for name in sockets.cleanup() {
        let log = opened.log();
        log.info(format_args!(
            "nobody asked for {name:?}, which was handed over: it is closed"
        ));
    }
    // Their directories would be ways out of the new root.
    drop(credentials);
    opened.log().lock_in(&plan.root);
    let mut confinement = Confinement::prepare(&plan.manifest.needs, plan.options.sandbox)?;
    confinement.lock_in(&plan.root)?;

    let watchdog = plan.watchdog(None);
    let dropped = identity.apply(&keep)?;
    let confined = confinement.enforce()?;
    opened.log().debug(format_args!("{dropped}"));
    opened.log().debug(format_args!("{confined}"));

    let attendant = Attendant::prepare()?;
    let inside = ready_file.clone();
    waiting.file = ready_file.map(ReadyFile::make).transpose()?;
    let (now, promotion) = match taken {
        None => (Some(doors), None),
        Some(taken) => {
            let promotion = taken.promotion(doors, &plan, inside.as_deref());
            (None, Some(promotion))
        }
    };
    let succession = Succession {
        generation,
        promotion,
        replacing,
    };
    let parts = opened.parts(plan, waiting, sockets, store, succession);
    let shared = Arc::new(Shared::new(parts)?);
    opened.shared = Some(Arc::clone(&shared));
    attendant.start(&shared)?;
    if let Some(doors) = now {
        shared.watch(watchdog)?;
        let ways = doors.serve(&shared)?;
        *held(&shared.ways) = Some(Arc::new(ways));
    }
    let recording = profile.serve()?;
    let ended = guarded(|| run(Running::new(shared.handle(), dropped)));
    // Whoever would take its place is given up, or has it by now.
    shared.replacing.settle();
    // Nobody comes in any more. Not locked meanwhile: who is in is told something yet.
    let ways = held(&shared.ways).take();
    drop(ways);
    shared.promotion.iter().for_each(Promotion::end);
    let ended = ended.and(recording.close());
    drop(held(&shared.watching).take());
    shared.told.tell_all();
    // A worker that failed first is the cause; how `run` ended then is what came of it.
    shared.failure().map_or(ended, Err)
}

/// What it takes to be replaced later, with the spawner if one is needed: the last moment with one thread and all rights.
fn replacing(plan: &Plan, identity: &Identity) -> Result<Replacing> {
    let is_offered = plan.manifest.replaces;
    let confined = plan.confined(identity);
    let never = plan.never_replaced();
    // Also without a drop: the new process is to be the manager's child (see `replace`).
    let is_managed = plan.activation.notify_socket().is_some();
    let is_needed = is_offered && (confined.is_some() || is_managed) && never.is_none();
    let program = Program::of(&plan.activation).filter(|_| is_needed);
    let spawner = program.map(|program| {
        let is_detached = plan.detach.is_some();
        Spawner::fork(&plan.manifest.name, &program, is_detached)
    });
    let spawner = spawner
        .transpose()
        .during(|| "unable to fork off the spawner")?;
    Ok(Replacing::new(is_offered, confined, never, spawner))
}

/// What surrounds the process. A daemon that left its shell holds no directory of it, and its files are not for everyone; in
/// the foreground both stay as the user has them, unless asked for.
fn surround(plan: &Plan) -> Result<()> {
    let is_detached = plan.detach.is_some();
    if let Some(mask) = plan.options.umask.or(is_detached.then_some(0o027)) {
        eudaemon_sys::file::set_umask(mask);
    }
    if is_detached {
        std::env::set_current_dir("/").during(|| "unable to change to /")?;
    }
    Ok(())
}

/// Calls code that is not ours: a panic in it is an error like another.
fn guarded<T>(code: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(AssertUnwindSafe(code)).unwrap_or_else(|panic| Err(panicked(&*panic)))
}
