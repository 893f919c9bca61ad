//! Waiting until a supervisor has done what it was told.

use super::plan::Command;
use super::{Action, InstallError, Installation, Target, action, deed, directory};
use crate::Exit;
use std::time::{Duration, Instant};

/// Between two looks, first and at most.
const PAUSES: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(250)];

/// What it shall be.
enum Wanted {
    Up,
    Down,
    /// Up, and another process than this one.
    Anew(Option<String>),
}

/// What a supervisor is awaited with: `svc` writes a letter and leaves, and nothing of daemontools waits. Source: `svc(8)`.
///
/// `svstat` is asked again and again. It could be woken by the status file instead; but which file that is, and what is in
/// it, is the supervisor's own matter, and four programs a second for as long as a service takes to stop are cheap.
pub(super) struct Settling<'a> {
    of: &'a Installation,
    target: &'a Target,
    look: Command,
    wanted: Wanted,
}

impl<'a> Settling<'a> {
    /// To be made before it is told anything. `None`: the manager's own program waits, or there is nothing to wait for.
    pub(super) fn of(
        of: &'a Installation,
        target: &'a Target,
        action: Action,
    ) -> Result<Option<Settling<'a>>, InstallError> {
        let wanted = match action {
            Action::Start => Wanted::Up,
            Action::Stop => Wanted::Down,
            Action::Restart => Wanted::Anew(None),
            Action::Install | Action::Remove | Action::Status | Action::Reload => return Ok(None),
        };
        let Some(look) = directory::look(of, target) else {
            return Ok(None);
        };
        let mut settling = Settling {
            of,
            target,
            look,
            wanted,
        };
        if let Wanted::Anew(_) = settling.wanted {
            settling.wanted = Wanted::Anew(process(&settling.told()?.1));
        }
        Ok(Some(settling))
    }

    /// Returns when it is so.
    ///
    /// # Errors
    /// [`InstallError::Late`], when it is not so after the time a stop may take.
    pub(super) fn wait(self) -> Result<(), InstallError> {
        let bound = directory::patience(self.of);
        let begun = Instant::now();
        let [mut pause, most] = PAUSES;
        loop {
            let (state, said) = self.told()?;
            let (settled, otherwise) = match &self.wanted {
                Wanted::Up => (state == Exit::Done, "it does not run"),
                Wanted::Down => (state == Exit::NotRunning, "it still runs"),
                Wanted::Anew(before) => (
                    state == Exit::Done && (before.is_none() || process(&said) != *before),
                    "it was not started again",
                ),
            };
            if settled {
                return Ok(());
            }
            if begun.elapsed() >= bound {
                return Err(InstallError::Late {
                    what: otherwise,
                    after: bound,
                    said,
                });
            }
            eudaemon_sys::clock::pause(pause);
            pause = (pause * 2).min(most);
        }
    }

    fn told(&self) -> Result<(Exit, String), InstallError> {
        let said = deed::run(&self.look, &self.of.search)?;
        let text = String::from_utf8_lossy(&said.text).into_owned();
        Ok((action::status(self.target, said.code, &text), text))
    }
}

/// Which process it is. Source: `svstat(8)`: `DIR: up (pid 7) 3 seconds`.
fn process(said: &str) -> Option<String> {
    let (_, rest) = said.rsplit_once("(pid ")?;
    Some(rest.split_once(')')?.0.to_owned())
}
