//! A life as prose a person can read.

use eudaemon_core::control::{CONTROLS, Command, Target};
use eudaemon_core::supervise::{Effect, Event, Now, Role, Script};

/// Writes down what happens, if anybody wants to read it.
#[derive(Clone, Debug, Default)]
pub struct Story {
    pages: Option<String>,
}

impl Story {
    /// A story that is written (`true`) or not even thought of.
    #[must_use]
    pub fn new(written: bool) -> Story {
        Story {
            pages: written.then(String::new),
        }
    }

    /// One more sentence. `words` is not called when nobody reads.
    pub fn tell(&mut self, now: Now, words: impl FnOnce() -> String) {
        if let Some(pages) = &mut self.pages {
            let ms = now.mono.0 / 1_000_000;
            let us = now.mono.0 / 1_000 % 1_000;
            pages.push_str(&format!(
                "{:>4}.{:03}_{us:03} s  {}\n",
                ms / 1000,
                ms % 1000,
                words()
            ));
        }
    }

    /// What was written.
    #[must_use]
    pub fn text(&self) -> &str {
        self.pages.as_deref().unwrap_or("")
    }
}

/// The letters an operator would have typed for this command.
#[must_use]
pub fn letters(command: &Command) -> String {
    let mut text = String::new();
    if command.target == Target::Log {
        text.push('L');
    }
    if command.group {
        text.push('+');
    }
    let byte = CONTROLS
        .iter()
        .find(|row| row.control == command.control)
        .map_or('?', |row| char::from(row.byte));
    text.push(byte);
    text
}

fn place(role: Role) -> &'static str {
    match role {
        Role::Main => "main",
        Role::Log => "log",
        Role::Check => "check",
        Role::Hook => "hook",
    }
}

/// What the supervisor hears.
#[must_use]
pub fn heard(event: &Event) -> String {
    match event {
        Event::Deadline => "The supervisor's moment has come.".into(),
        Event::Command(command) => format!("The operator says `{}`.", letters(command)),
        Event::Inspected(Ok(d)) => {
            let files: Vec<&str> = [
                (d.start, "start"),
                (d.run, "run"),
                (d.finish, "finish"),
                (d.stop, "stop"),
                (d.log, "log"),
                (d.check, "check"),
                (d.hooks, "control/"),
                (d.encore, "(encore)"),
            ]
            .iter()
            .filter(|(there, _)| *there)
            .map(|(_, name)| *name)
            .collect();
            format!("The directory has {}.", files.join(", "))
        }
        Event::Inspected(Err(why)) => format!("The directory says not now: {why:?}."),
        Event::Changed => "Something it was held for may have changed.".into(),
        Event::Spawned(role, pid) => format!("The {} child is {}.", place(*role), pid.get()),
        Event::SpawnFailed(role) => format!("The kernel gave no child for {}.", place(*role)),
        Event::ExecFailed(role, pid) => {
            format!(
                "The {} child {} could not exec its script.",
                place(*role),
                pid.get()
            )
        }
        Event::Exited(role, ended) => {
            format!(
                "The supervisor is told that its {} child ended: {ended}.",
                place(*role)
            )
        }
        Event::Sought(true) => "There is a hook for it.".into(),
        Event::Sought(false) => "There is no hook for it.".into(),
        Event::Ready => "The service says that it is ready.".into(),
    }
}

/// What the shell does.
#[must_use]
pub fn done(effect: &Effect) -> String {
    match effect {
        Effect::Seek => "  It looks for a hook.".into(),
        Effect::Inspect => "  It asks what the directory says.".into(),
        Effect::Launch { script, generation } => {
            format!("  It launches {} (launch {generation}).", script.file())
        }
        Effect::Signal {
            role,
            pid,
            signal,
            group,
        } => format!(
            "  It sends {} to {} {}{}.",
            signal.name(),
            place(*role),
            pid.get(),
            if *group { " and its group" } else { "" }
        ),
        Effect::Publish => "  It publishes its status.".into(),
        Effect::Notify { script, pid, ended } => match ended {
            None => format!("  It notifies that {} {} began.", script.file(), pid.get()),
            Some(ended) => format!(
                "  It notifies that {} {} ended: {ended}.",
                script.file(),
                pid.get()
            ),
        },
        Effect::Tally(ended) => format!("  It adds a death to the tally: {ended}."),
        Effect::Sweep => "  It tells what is left of it to end.".into(),
        Effect::CloseLog => "  It closes the pipe to its log.".into(),
        Effect::DownFile(true) => "  It creates the file down.".into(),
        Effect::DownFile(false) => "  It removes the file down.".into(),
        Effect::Leave => "  It leaves.".into(),
    }
}

/// A script's name with its pid.
#[must_use]
pub fn named(script: Script, pid: eudaemon_core::words::Pid) -> String {
    format!("{} {}", script.file(), pid.get())
}
