//! What `--service.do` does: one word, one deed, one exit code.

use super::plan::Plan;
use super::settle::Settling;
use super::target::{Control, Target};
use super::{InstallError, Installation, deed};
use crate::{Error, Exit, Result};
use std::fmt;
use std::io::Write;
use std::str::FromStr;

/// What is asked of the manager. None of them runs the service in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Make it known, and start it with the machine.
    Install,
    /// Stop it and make it unknown. `uninstall` is another name for it.
    Remove,
    /// Start it now.
    Start,
    /// Stop it now.
    Stop,
    /// Stop it and start it again, or just start it.
    Restart,
    /// Say how it is.
    Status,
    /// Let it read its configuration again.
    Reload,
}

/// The words that name an action.
pub(super) const NAMES: [&str; 8] = [
    "install",
    "remove",
    "uninstall",
    "start",
    "stop",
    "restart",
    "status",
    "reload",
];

impl FromStr for Action {
    type Err = InstallError;

    fn from_str(word: &str) -> std::result::Result<Action, InstallError> {
        match word {
            "install" => Ok(Action::Install),
            "remove" | "uninstall" => Ok(Action::Remove),
            "start" => Ok(Action::Start),
            "stop" => Ok(Action::Stop),
            "restart" => Ok(Action::Restart),
            "status" => Ok(Action::Status),
            "reload" => Ok(Action::Reload),
            _ => Err(InstallError::UnknownAction(word.to_owned())),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Action::Install => "install",
            Action::Remove => "remove",
            Action::Start => "start",
            Action::Stop => "stop",
            Action::Restart => "restart",
            Action::Status => "status",
            Action::Reload => "reload",
        })
    }
}

/// How an action is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// Only tell what would be done.
    pub dry_run: bool,
    /// Replace and remove files that somebody edited, too.
    pub force: bool,
}

/// Asks the manager, and tells on `out` what is done: for install and remove every file as a difference to what is there,
/// every program that is run, and what a person should know.
///
/// The exit code is [`Exit::Done`], and for [`Action::Status`] that of the LSB: 0 it runs, 3 ([`Exit::NotRunning`]) it does
/// not, 4 ([`Exit::Unknown`]) nobody knows. Source: Linux Standard Base 5.0, 22.2, "Init Script Actions".
///
/// Starting, stopping and restarting return when it is done. A service directory gets the manifest's stop timeout and 5 s
/// for it; other managers have their own bounds.
///
/// # Errors
/// What [`InstallError`] tells, with its class; or that nothing could be written to `out`.
pub fn perform(
    action: Action,
    of: &Installation,
    target: &Target,
    choices: Choices,
    out: &mut dyn Write,
) -> Result<Exit> {
    let name = &of.manifest.name;
    let classed = |error: InstallError| {
        let exit = error.exit();
        Error::from(error)
            .class(exit)
            .during(format!("unable to {action} {name}"))
    };
    match action {
        Action::Install => carry_out(
            &of.plan(target).map_err(classed)?,
            target,
            choices,
            out,
            &classed,
        ),
        Action::Remove => carry_out(
            &of.removal(target).map_err(classed)?,
            target,
            choices,
            out,
            &classed,
        ),
        Action::Start | Action::Stop | Action::Restart | Action::Reload | Action::Status => {
            ask(action, of, target, choices, out, &classed)
        }
    }
}

fn carry_out(
    plan: &Plan,
    target: &Target,
    choices: Choices,
    out: &mut dyn Write,
    classed: &dyn Fn(InstallError) -> Error,
) -> Result<Exit> {
    writeln!(out, "# {target}")?;
    out.write_all(plan.diff().map_err(classed)?.as_bytes())?;
    for note in plan.notes() {
        writeln!(out, "# note: {note}")?;
    }
    if choices.dry_run {
        writeln!(out, "# nothing was changed")?;
        return Ok(Exit::Done);
    }
    // What is there would be told by programs that are not.
    match target.elsewhere() {
        Some(system) if plan.is_here() => return Err(classed(InstallError::Elsewhere(system))),
        _ => {}
    }
    plan.apply(choices.force).map_err(classed)?;
    Ok(Exit::Done)
}

fn ask(
    action: Action,
    of: &Installation,
    target: &Target,
    choices: Choices,
    out: &mut dyn Write,
    classed: &dyn Fn(InstallError) -> Error,
) -> Result<Exit> {
    let commands = of.control(target, action).map_err(classed)?;
    if choices.dry_run {
        for command in commands {
            writeln!(out, "# run: {command}")?;
        }
        writeln!(out, "# nothing was changed")?;
        return Ok(Exit::Done);
    }
    if let Some(system) = target.elsewhere() {
        return Err(classed(InstallError::Elsewhere(system)));
    }
    let settling = Settling::of(of, target, action).map_err(classed)?;
    for command in commands {
        let said = deed::run(&command, &of.search).map_err(classed)?;
        if action == Action::Status {
            out.write_all(&said.text)?;
            return Ok(status(
                target,
                said.code,
                &String::from_utf8_lossy(&said.text),
            ));
        }
        if said.code != Some(0) {
            return Err(classed(InstallError::Command {
                line: command.to_string(),
                code: said.code,
                said: String::from_utf8_lossy(&said.text).into_owned(),
            }));
        }
        out.write_all(&said.text)?;
    }
    if let Some(settling) = settling {
        settling.wait().map_err(classed)?;
    }
    Ok(Exit::Done)
}

/// What a manager's answer means.
pub(super) fn status(target: &Target, code: Option<i32>, text: &str) -> Exit {
    let runs = |yes, no| match (yes, no) {
        (true, _) => Exit::Done,
        (false, true) => Exit::NotRunning,
        (false, false) => Exit::Unknown,
    };
    match target {
        // Source: systemctl(1), "Exit status": the LSB's. OpenRC's openrc-run(8): 0 started, 3 stopped, 32 crashed.
        Target::Systemd { .. } | Target::SystemdUser { .. } => {
            runs(code == Some(0), code == Some(3))
        }
        Target::OpenRc => runs(code == Some(0), matches!(code, Some(3 | 32))),
        // Source: rc.subr(8): 1 when it does not run.
        Target::RcD => runs(code == Some(0), code == Some(1)),
        // Source: svstat(8): `DIR: up (pid …` or `DIR: down …`, by words alone.
        Target::Daemontools {
            control: Control::Svc | Control::Eudaemon,
            ..
        } => runs(text.contains(": up "), text.contains(": down ")),
        // Source: sv(8): `run: DIR: …`, `down: …`, `finish: …`.
        Target::Daemontools {
            control: Control::Sv,
            ..
        } => runs(
            text.starts_with("run:"),
            text.starts_with("down:") || text.starts_with("finish:"),
        ),
        // Source: launchctl(1), print: `state = running`; 113 when it knows none of that name.
        Target::Launchd => runs(text.contains("state = running"), code == Some(0)),
        // Source: sc.exe query: `STATE : 4  RUNNING`; 1060 when there is none.
        Target::Windows => runs(text.contains("RUNNING"), code == Some(0)),
    }
}
