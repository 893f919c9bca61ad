//! The debug server, as an option.

#[cfg(feature = "debug-server")]
pub(super) use with::{Door, Serving};
#[cfg(not(feature = "debug-server"))]
pub(super) use without::{Door, Serving};

use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// A debug socket of the process before: its path, if it has one, and what listens.
pub(super) type Given = (Option<PathBuf>, OwnedFd);

#[cfg(feature = "debug-server")]
mod with {
    use super::Given;
    use crate::clients::Place;
    use crate::debug::{Address, DebugGuard, Row, Server, State};
    use crate::options::Options;
    use crate::shared::Shared;
    use crate::{Context, Error, Exit, Result};
    use std::sync::Arc;

    #[derive(Debug)]
    pub(crate) struct Door(Option<Server>);
    #[derive(Debug)]
    pub(crate) struct Serving(Option<DebugGuard>);

    impl Door {
        /// That it is an address.
        pub fn check(options: &Options) -> Result<()> {
            let address = options.debug_address.as_deref();
            address.map_or(Ok(()), |address| parse(address).map(|_checked| ()))
        }

        /// Opens it: that of the process before, if it is at the same address.
        pub fn open(
            options: &Options,
            given: Option<Given>,
            other: &mut Vec<Place>,
        ) -> Result<Door> {
            let given_path = given.as_ref().and_then(|(path, _)| path.clone());
            let Some(address) = &options.debug_address else {
                other.extend(given_path.as_deref().map(Place::adopted));
                return Ok(Door(None));
            };
            let parsed = parse(address)?;
            let attempt = || attempt(address);
            if let Some((path, door)) = given
                && let Some(server) =
                    Server::adopt(&parsed, path.as_deref(), door).during(attempt)?
            {
                return Ok(Door(Some(server)));
            }
            other.extend(given_path.as_deref().map(Place::adopted));
            let server = if options.debug_public {
                Server::public(&parsed)
            } else {
                Server::bind(&parsed)
            };
            Ok(Door(Some(server.during(attempt)?)))
        }

        pub fn serve(self, shared: &Arc<Shared>) -> Result<Serving> {
            let Some(server) = self.0 else {
                return Ok(Serving(None));
            };
            let rows: Vec<Row> = shared.options.settings.iter().map(row).collect();
            let state = State::new(shared.health.clone(), shared.metrics.clone())
                .tasks(shared.tasks.clone())
                .level(Arc::new(shared.log.levels().clone()))
                .config(move || rows.clone());
            let guard = server
                .serve(state)
                .during(|| "unable to serve the debug address")?;
            Ok(Serving(Some(guard)))
        }
    }

    impl Serving {
        pub fn own(&self) {
            self.0.iter().for_each(DebugGuard::own);
        }

        pub fn door(&self) -> std::io::Result<Option<Given>> {
            let door = self.0.as_ref().map(DebugGuard::door).transpose()?;
            Ok(door.flatten())
        }

        pub fn part(&self) {
            self.0.iter().for_each(DebugGuard::part);
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
mod without {
    use super::Given;
    use crate::clients::Place;
    use crate::options::Options;
    use crate::shared::Shared;
    use crate::{Error, Result};
    use std::sync::Arc;

    #[derive(Debug)]
    pub(crate) struct Door;
    #[derive(Debug)]
    pub(crate) struct Serving;

    impl Serving {
        pub fn own(&self) {}

        pub fn door(&self) -> std::io::Result<Option<Given>> {
            Ok(None)
        }

        pub fn part(&self) {}
    }

    impl Door {
        pub fn open(
            options: &Options,
            given: Option<Given>,
            other: &mut Vec<Place>,
        ) -> Result<Door> {
            let path = given.and_then(|(path, _)| path);
            other.extend(path.as_deref().map(Place::adopted));
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
