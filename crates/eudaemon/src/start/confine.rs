//! The sandbox, or the plain fact that there is none, in one shape.

use crate::Result;
use crate::chroot::Root;
use crate::needs::Needs;
use crate::options::SandboxMode;

#[cfg(feature = "sandbox")]
pub(super) struct Confinement(Option<crate::sandbox::Prepared>);

#[cfg(feature = "sandbox")]
impl Confinement {
    /// Opens paths and makes filters.
    pub fn prepare(needs: &Needs, mode: SandboxMode) -> Result<Confinement> {
        use crate::sandbox::{Mode, Sandbox};
        let mode = match mode {
            SandboxMode::Off => return Ok(Confinement(None)),
            SandboxMode::BestEffort => Mode::BestEffort,
            SandboxMode::Require => Mode::Require,
        };
        Ok(Confinement(Some(Sandbox::of(needs).prepare(mode)?)))
    }

    /// Lets go of what leads out of the new root.
    pub fn lock_in(&mut self, root: &Root) -> Result<()> {
        match &mut self.0 {
            None => Ok(()),
            Some(prepared) => Ok(prepared.lock_in(root)?),
        }
    }

    /// What will be enforced.
    pub fn plan(&self) -> String {
        match &self.0 {
            None => NONE.to_owned(),
            Some(prepared) => prepared.plan().to_string(),
        }
    }

    /// Closes it. What was enforced.
    pub fn enforce(self) -> Result<String> {
        match self.0 {
            None => Ok(NONE.to_owned()),
            Some(prepared) => Ok(prepared.enforce()?.to_string()),
        }
    }
}

const NONE: &str = "no sandbox was asked for";

/// Without the feature there is none, and whoever wants one is refused.
#[cfg(not(feature = "sandbox"))]
pub(super) struct Confinement;

#[cfg(not(feature = "sandbox"))]
impl Confinement {
    pub fn prepare(_: &Needs, mode: SandboxMode) -> Result<Confinement> {
        match mode {
            SandboxMode::Off => Ok(Confinement),
            SandboxMode::BestEffort | SandboxMode::Require => Err(crate::Error::unsupported(
                "service.sandbox: this program was built without the feature sandbox",
            )),
        }
    }

    pub fn lock_in(&mut self, _: &Root) -> Result<()> {
        Ok(())
    }

    pub fn plan(&self) -> String {
        NONE.to_owned()
    }

    pub fn enforce(self) -> Result<String> {
        Ok(NONE.to_owned())
    }
}
