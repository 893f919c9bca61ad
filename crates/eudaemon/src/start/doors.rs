//! The ways in from outside: bound while ports and directories can be reached, served once the service runs.

use super::confine::Confinement;
use super::prepare::Plan;
use super::taken::Taken;
use super::{debug, profile};
use crate::clients::{Parted, Place};
use crate::control::{Answer, Commands, Control, ControlGuard, LogLevel};
use crate::handover::Contents;
use crate::install::{self, Choices, Installation, Target};
use crate::logging::{Level, LevelHandle};
use crate::needs::Needs;
use crate::options::Options;
use crate::promotion::Heir;
use crate::replace::{self, ReplaceError, Replaced};
use crate::shared::Shared;
use crate::sockets::Sockets;
use crate::{Context, Error, Exit, Result, ServiceArgs};
use eudaemon_core::life::{Asker, Event};
use std::sync::Arc;

/// What is bound and not served yet.
#[derive(Debug)]
pub(crate) struct Doors {
    control: Option<Control>,
    debug: debug::Door,
    /// Those of the process before that this one does not want.
    other: Vec<Place>,
}

/// The ways in: what is served, until it is dropped.
#[derive(Debug)]
pub(crate) struct Ways {
    control: Option<ControlGuard>,
    debug: debug::Serving,
}

/// What can be said of the addresses without opening anything.
pub(super) fn check(options: &Options) -> Result<()> {
    debug::Door::check(options)?;
    profile::Door::check(options)
}

/// A directory that is not there will not be there the next time: what was asked for must be changed.
fn of_options(error: std::io::Error) -> Error {
    let is_missing = error.kind() == std::io::ErrorKind::NotFound;
    let error = Error::from(error);
    if is_missing {
        error.class(Exit::Config)
    } else {
        error
    }
}

impl Doors {
    pub(super) fn open(options: &Options, mut taken: Option<&mut Taken>) -> Result<Doors> {
        let mut other = Vec::new();
        let given = taken.as_mut().and_then(|taken| taken.control.take());
        let control = match &options.control {
            None => {
                other.extend(given.map(|(path, _)| Place::adopted(&path)));
                None
            }
            Some(path) => {
                let attempt = || format!("service.control: unable to listen at {}", path.display());
                Some(match given {
                    Some((old, door)) if std::path::absolute(path)? == old => {
                        Control::adopt(door, &old).during(attempt)?
                    }
                    given => {
                        other.extend(given.map(|(path, _)| Place::adopted(&path)));
                        Control::bind(path).map_err(of_options).during(attempt)?
                    }
                })
            }
        };
        let given = taken.as_mut().and_then(|taken| taken.debug.take());
        let debug = debug::Door::open(options, given, &mut other)?;
        Ok(Doors {
            control,
            debug,
            other,
        })
    }

    pub fn serve(self, shared: &Arc<Shared>) -> Result<Ways> {
        let orders = Arc::new(Orders(Arc::clone(shared)));
        let control = match self.control {
            None => None,
            Some(control) => Some(control.serve(shared.health.clone(), orders)?),
        };
        // Nobody else will remove them: they go when this ends.
        self.other.iter().for_each(|place| place.own(true));
        Ok(Ways {
            control,
            debug: self.debug.serve(shared)?,
        })
    }
}

impl Ways {
    /// Those of the process before are this one's from now on.
    pub fn own(&self) {
        self.control.iter().for_each(ControlGuard::own);
        self.debug.own();
    }

    /// Goes on with a client of the process before.
    pub fn seat(&self, one: Parted) {
        if let Some(control) = &self.control {
            control.seats().seat(one);
        }
    }

    /// What the next process is given of them.
    pub fn contents(&self, contents: &mut Contents) -> std::io::Result<()> {
        if let Some(control) = &self.control {
            let door = control.door()?;
            contents.control = door.map(|(door, path)| (path.to_owned(), door));
        }
        contents.debug = self.debug.door()?;
        Ok(())
    }

    /// Leaves them to the next process, and the control socket's clients with them.
    pub fn part(&self, heir: Heir) {
        self.debug.part();
        if let Some(control) = &self.control {
            control.part(move |line, heard| heir.give(line, heard));
        }
    }
}

/// What the control socket may ask of the service.
struct Orders(Arc<Shared>);

impl Commands for Orders {
    fn status(&self) -> Vec<(String, String)> {
        let service = &self.0;
        let seconds = service.since.elapsed().as_secs();
        let rows = [
            ("name", service.told.name().to_owned()),
            ("state", service.state().to_owned()),
            ("status", service.told.last_status()),
            ("pid", std::process::id().to_string()),
            ("uptime", seconds.to_string()),
            ("generation", service.generation.to_string()),
            ("log-level", service.log.levels().get().to_string()),
        ];
        rows.map(|(name, value)| (name.to_owned(), value)).into()
    }

    fn reload(&self, answer: Answer) {
        self.0.ask_reload(Box::new(|how| match how {
            Ok(()) => answer.done(""),
            Err(why) => answer.failed(why),
        }));
    }

    fn replace(&self, answer: Answer) {
        if !self.0.replacing.is_offered {
            return answer.failed("this service is not replaced when it is asked to be");
        }
        let told = |outcome: Result<Replaced, ReplaceError>| match outcome {
            Ok(replaced) => answer.done_with([("pid".to_owned(), replaced.pid().to_string())]),
            Err(error) => answer.failed(error.whole()),
        };
        replace::ask(&self.0, Box::new(told));
    }

    fn stop(&self, answer: Answer) {
        self.0.happen(Event::Stop(Asker::Request));
        answer.done("");
    }

    fn log_level(&self) -> Option<Arc<dyn LogLevel>> {
        Some(Arc::new(self.0.log.levels().clone()))
    }

    fn sockets(&self) -> Option<Sockets> {
        Some(self.0.sockets.clone())
    }
}

impl LogLevel for LevelHandle {
    fn level(&self) -> String {
        self.get().to_string()
    }

    fn set_level(&self, level: &str) -> Result<(), String> {
        let level = Level::parse(level).ok_or_else(|| {
            let names = crate::logging::LEVELS.map(Level::name).join(", ");
            format!("{level:?} is no level: there are {names}")
        })?;
        self.set(level);
        Ok(())
    }

    fn levels(&self) -> Vec<String> {
        crate::logging::LEVELS.map(|level| level.to_string()).into()
    }
}

/// Does what `--service.do` asks for.
pub(super) fn act(action: install::Action, plan: &Plan) -> Result<Exit> {
    let options = &plan.options;
    let mut installation = Installation::of(plan.manifest.clone(), &plan.activation)?;
    installation.user.clone_from(&options.user);
    installation.group.clone_from(&options.group);
    // What was meant for this once, what a unit says in its own way, and what nobody wants under a manager.
    let not = [
        "do",
        "target",
        "dry-run",
        "force",
        "explain",
        "check-config",
        "uid",
        "gid",
        "daemon",
        "fork",
        "stderr",
        "pidfile",
    ];
    let words = ServiceArgs::without(plan.activation.words(), &not);
    installation.words = words.into_iter().skip(1).collect();
    let target = match &options.target {
        Some(name) => {
            let home = plan.activation.variable("HOME").map(std::path::Path::new);
            Target::named(name, &installation.search, home)
        }
        None => Target::detect(&installation.search),
    };
    let target = target.map_err(|error| {
        let exit = error.exit();
        Error::from(error).class(exit)
    })?;
    let choices = Choices {
        dry_run: options.dry_run,
        force: options.force,
    };
    if action == install::Action::Install {
        startable(options)?;
    }
    install::perform(
        action,
        &installation,
        &target,
        choices,
        &mut std::io::stdout(),
    )
}

/// What every start would refuse is not installed: the words go into what the manager runs. Paths the service needs are no
/// part of it: some are made by the manager.
fn startable(options: &Options) -> Result<()> {
    check(options)?;
    Confinement::prepare(&Needs::new(), options.sandbox).map(|_checked| ())
}
