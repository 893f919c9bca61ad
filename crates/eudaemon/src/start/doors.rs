//! The ways in from outside: bound while ports and directories can be reached, served once the service runs.

use super::confine::Confinement;
use super::prepare::Plan;
use crate::control::{Answer, Commands, Control, ControlGuard, LogLevel};
use crate::install::{self, Choices, Installation, Target};
use crate::logging::{Level, LevelHandle};
use crate::needs::Needs;
use crate::options::Options;
use crate::shared::Shared;
use crate::{Context, Error, Exit, Result, ServiceArgs};
use eudaemon_core::life::{Asker, Event};
use std::sync::Arc;

/// What is bound and not served yet.
pub(super) struct Doors {
    control: Option<Control>,
    debug: debug::Door,
    profile: profile::Door,
}

/// What is served, until it is dropped.
pub(super) struct Serving {
    _control: Option<ControlGuard>,
    _debug: debug::Serving,
    profile: profile::Serving,
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
    pub fn open(options: &Options) -> Result<Doors> {
        let control =
            match &options.control {
                None => None,
                Some(path) => Some(Control::bind(path).map_err(of_options).during(|| {
                    format!("service.control: unable to listen at {}", path.display())
                })?),
            };
        Ok(Doors {
            control,
            debug: debug::Door::open(options)?,
            profile: profile::Door::open(options)?,
        })
    }

    pub fn serve(self, shared: &Arc<Shared>) -> Result<Serving> {
        let orders = Arc::new(Orders(Arc::clone(shared)));
        let control = match self.control {
            None => None,
            Some(control) => Some(control.serve(shared.health.clone(), orders)?),
        };
        Ok(Serving {
            _control: control,
            _debug: self.debug.serve(shared)?,
            profile: self.profile.serve()?,
        })
    }
}

impl Serving {
    /// Closes the ways in, and writes what is written at the end.
    pub fn close(self) -> Result<()> {
        self.profile.close()
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

    fn stop(&self, answer: Answer) {
        self.0.happen(Event::Stop(Asker::Request));
        answer.done("");
    }

    fn log_level(&self) -> Option<Arc<dyn LogLevel>> {
        Some(Arc::new(self.0.log.levels().clone()))
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

#[cfg(feature = "debug-server")]
mod debug {
    use crate::debug::{Address, DebugGuard, Row, Server, State};
    use crate::options::Options;
    use crate::shared::Shared;
    use crate::{Context, Error, Exit, Result};
    use std::sync::Arc;

    pub(super) struct Door(Option<Server>);
    pub(super) struct Serving {
        _guard: Option<DebugGuard>,
    }

    impl Door {
        /// That it is an address.
        pub fn check(options: &Options) -> Result<()> {
            let address = options.debug_address.as_deref();
            address.map_or(Ok(()), |address| parse(address).map(|_checked| ()))
        }

        pub fn open(options: &Options) -> Result<Door> {
            let Some(address) = &options.debug_address else {
                return Ok(Door(None));
            };
            let parsed = parse(address)?;
            let attempt = || attempt(address);
            let server = if options.debug_public {
                Server::public(&parsed)
            } else {
                Server::bind(&parsed)
            };
            Ok(Door(Some(server.during(attempt)?)))
        }

        pub fn serve(self, shared: &Arc<Shared>) -> Result<Serving> {
            let Some(server) = self.0 else {
                return Ok(Serving { _guard: None });
            };
            let rows: Vec<Row> = shared.options.settings.iter().map(row).collect();
            let state = State::new(shared.health.clone(), shared.metrics.clone())
                .tasks(shared.tasks.clone())
                .level(Arc::new(shared.log.levels().clone()))
                .config(move || rows.clone());
            let guard = server
                .serve(state)
                .during(|| "unable to serve the debug address")?;
            Ok(Serving {
                _guard: Some(guard),
            })
        }
    }

    fn parse(address: &str) -> Result<Address> {
        let parsed = address.parse::<Address>();
        let parsed = parsed.map_err(|error| Error::from(error).class(Exit::Config));
        parsed.during(|| attempt(address))
    }

    fn attempt(address: &str) -> String {
        format!("service.debugserveraddr: unable to listen at {address}")
    }

    fn row(setting: &crate::options::Setting) -> Row {
        Row {
            name: format!("service.{}", setting.name),
            value: setting.value.to_string_lossy().into_owned(),
            source: setting.source.to_string(),
        }
    }
}

/// Without the feature whoever asks for it is refused.
#[cfg(not(feature = "debug-server"))]
mod debug {
    use crate::options::Options;
    use crate::shared::Shared;
    use crate::{Error, Result};
    use std::sync::Arc;

    pub(super) struct Door;
    pub(super) struct Serving;

    impl Door {
        pub fn open(options: &Options) -> Result<Door> {
            Door::check(options).map(|()| Door)
        }

        pub fn check(options: &Options) -> Result<()> {
            match options.debug_address {
                None => Ok(()),
                Some(_) => Err(Error::unsupported(
                    "service.debugserveraddr: this program was built without the feature debug-server",
                )),
            }
        }

        pub fn serve(self, _: &Arc<Shared>) -> Result<Serving> {
            Ok(Serving)
        }
    }
}

#[cfg(feature = "profile")]
mod profile {
    use crate::options::Options;
    use crate::profile::{Recording, Target};
    use crate::{Context, Result};

    pub(super) struct Door(Option<Target>);
    pub(super) struct Serving(Option<Recording>);

    impl Door {
        /// The file is made when the service starts, and not before.
        pub fn check(_: &Options) -> Result<()> {
            Ok(())
        }

        pub fn open(options: &Options) -> Result<Door> {
            let Some(words) = &options.cpuprofile else {
                return Ok(Door(None));
            };
            let target = Target::open(words).during(|| format!("service.cpuprofile {words}"))?;
            Ok(Door(Some(target)))
        }

        pub fn serve(self) -> Result<Serving> {
            match self.0 {
                None => Ok(Serving(None)),
                Some(target) => Ok(Serving(Some(
                    target
                        .start()
                        .during(|| "unable to start the CPU profile")?,
                ))),
            }
        }
    }

    impl Serving {
        pub fn close(self) -> Result<()> {
            match self.0 {
                None => Ok(()),
                Some(recording) => recording
                    .stop()
                    .during(|| "unable to write the CPU profile"),
            }
        }
    }
}

/// As above.
#[cfg(not(feature = "profile"))]
mod profile {
    use crate::options::Options;
    use crate::{Error, Result};

    pub(super) struct Door;
    pub(super) struct Serving;

    impl Door {
        pub fn open(options: &Options) -> Result<Door> {
            Door::check(options).map(|()| Door)
        }

        pub fn check(options: &Options) -> Result<()> {
            match options.cpuprofile {
                None => Ok(()),
                Some(_) => Err(Error::unsupported(
                    "service.cpuprofile: this program was built without the feature profile",
                )),
            }
        }

        pub fn serve(self) -> Result<Serving> {
            Ok(Serving)
        }
    }

    impl Serving {
        pub fn close(self) -> Result<()> {
            Ok(())
        }
    }
}
