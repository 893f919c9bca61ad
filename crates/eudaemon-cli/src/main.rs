//! Room: the one binary. `applets` are the historic programs, found by the name they are called by; `verbs` are ours.
//!
//! The work is elsewhere: an applet parses its words, asks core what they mean and sys to do it, and reports.
#![cfg_attr(not(test), no_main)]

mod applets;
mod args;
pub(crate) use eudaemon_engine::report;
#[cfg(test)]
mod pages;
mod verbs;
mod zone;

use eudaemon_core::exit::Exit;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;

#[cfg(not(test))]
eudaemon_sys::program!(start);

/// From the words, the program's own name first, to the exit code. It finds the three streams open and SIGPIPE ignored.
///
/// Inlined into `main`, which lies where a chain's first page fault is.
#[cfg_attr(test, allow(dead_code, reason = "tests have a main of their own"))]
#[inline(always)]
fn start(mut words: Vec<OsString>) -> u8 {
    // An engine whose keeper died becomes this.
    if words
        .get(1)
        .is_some_and(|word| word == eudaemon_engine::engine::KEEPER_WORD)
    {
        let number = words
            .get(2)
            .and_then(|word| word.to_str())
            .and_then(|word| word.parse().ok());
        return eudaemon_engine::handover::resume(number.unwrap_or(-1));
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
        return (applet.main)(&applets::Call {
            name: applet.name,
            words,
        });
    }
    // A link to `sv` under any other name is an init script.
    if let Some(script) = words
        .first()
        .and_then(|word| applets::sv::init_script(word))
    {
        return applets::sv::main_of_script(script, &words[1..]);
    }
    if words.get(1).is_some_and(|word| word == "applets") {
        let names: String = applets::APPLETS
            .iter()
            .map(|applet| format!("{}\n", applet.name))
            .collect();
        // A closed stdout is success.
        let _ = std::io::stdout().write_all(names.as_bytes());
        return Exit::Done.code();
    }
    verbs::main(words)
}

/// The word itself, without the directories of a path. By bytes: `std::path` lies in pages a chain does not need.
fn base(word: &OsStr) -> &OsStr {
    let bytes = word.as_bytes();
    let slash = bytes.iter().rposition(|&byte| byte == b'/');
    OsStr::from_bytes(slash.map_or(bytes, |at| &bytes[at + 1..]))
}
