//! The ways in from outside: bound while ports and directories can be reached, served once the service runs.

use super::prepare::Plan;
use crate::options::Action;
use crate::shared::Shared;
use crate::{Error, Exit, Result};
use std::sync::Arc;

/// What is bound and not served yet.
pub(super) struct Doors {}

/// What is served, until it is dropped.
pub(super) struct Serving {}

impl Doors {
    pub fn open(plan: &Plan) -> Result<Doors> {
        let options = &plan.options;
        let wanted = [
            ("debugserveraddr", options.debug_address.is_some()),
            ("cpuprofile", options.cpuprofile.is_some()),
            ("control", options.control.is_some()),
        ];
        if let Some((name, _)) = wanted.iter().find(|(_, is)| *is) {
            return Err(Error::unsupported(format!(
                "service.{name} is not there yet"
            )));
        }
        Ok(Doors {})
    }

    pub fn serve(self, _shared: &Arc<Shared>) -> Result<Serving> {
        Ok(Serving {})
    }
}

/// Does what `--service.do` asks for.
pub(super) fn act(action: Action, plan: &Plan) -> Exit {
    let error = Error::unsupported(format!("service.do {action:?} is not there yet"));
    super::opened::speak(&plan.manifest.name, &error);
    error.exit()
}
