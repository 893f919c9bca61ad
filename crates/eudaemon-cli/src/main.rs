//! Room: the one binary. `applets` are the historic programs, found by the name they are called by; `verbs` are ours.
//!
//! The work is elsewhere: an applet parses its words, asks core what they mean and sys to do it, and reports.

mod applets;
mod args;
pub(crate) use eudaemon_engine::report;
#[cfg(test)]
mod pages;
mod verbs;
mod zone;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words: Vec<OsString> = std::env::args_os().collect();
    // An engine whose keeper died becomes this.
    if words
        .get(1)
        .is_some_and(|word| word == eudaemon_engine::engine::KEEPER_WORD)
    {
        let number = words
            .get(2)
            .and_then(|word| word.to_str())
            .and_then(|word| word.parse().ok());
        return ExitCode::from(eudaemon_engine::handover::resume(number.unwrap_or(-1)));
    }
    // The historic names come first and as cheaply as possible: a chain of small programs starts many of them.
    let called = words
        .first()
        .and_then(|word| applets::find(base(word)))
        .map(|applet| (applet, 1));
    let named = || {
        words
            .get(1)
            .and_then(|word| applets::find(word))
            .map(|applet| (applet, 2))
    };
    if let Some((applet, taken)) = called.or_else(named) {
        words.drain(..taken);
        return ExitCode::from((applet.main)(&applets::Call {
            name: applet.name,
            words,
        }));
    }
    if words.get(1).is_some_and(|word| word == "applets") {
        let names: String = applets::APPLETS
            .iter()
            .map(|applet| format!("{}\n", applet.name))
            .collect();
        // A closed stdout is success.
        let _ = std::io::stdout().write_all(names.as_bytes());
        return ExitCode::SUCCESS;
    }
    ExitCode::from(verbs::main(words))
}

/// The word itself, without the directories of a path.
fn base(word: &OsStr) -> &OsStr {
    Path::new(word).file_name().unwrap_or(word)
}
