//! `completions`: what shells need to complete our words; and the names they ask for.
//!
//! The scripts are written by hand, for a generated one is six times as long, names what is hidden, and knows no services;
//! tests hold them against the grammar. Which services there are they ask `eudaemon __complete`.

use super::client::ask;
use super::grammar::Shell;
use super::{Stop, print};
use eudaemon_core::exit::Exit;
use eudaemon_engine::request::{Request, VERSION, Verb};
use std::path::PathBuf;

/// Prints the script for a shell.
pub fn script(shell: Shell) -> Result<Exit, Stop> {
    let text = match shell {
        Shell::Bash => include_str!("../../completions/eudaemon.bash"),
        Shell::Zsh => include_str!("../../completions/eudaemon.zsh"),
        Shell::Fish => include_str!("../../completions/eudaemon.fish"),
    };
    print(text.as_bytes())?;
    Ok(Exit::Done)
}

/// Prints the names of the services of a tree, one a line.
pub fn names(tree: Result<PathBuf, Stop>) -> Result<Exit, Stop> {
    print(service_names(tree).as_bytes())?;
    Ok(Exit::Done)
}

/// The names, one a line; none, and no complaint, if anything is wrong: somebody is typing.
fn service_names(tree: Result<PathBuf, Stop>) -> String {
    let request = Request {
        v: VERSION,
        verb: Verb::Status,
        names: Vec::new(),
        wait_ms: 0,
        signal: None,
    };
    let mut text = String::new();
    let asked = tree.and_then(|tree| {
        ask(&tree, &request, &mut |answer| {
            // A line is a name; what would not fit into a line is typed by hand.
            let name = answer.service.map(|service| service.name);
            if let Some(name) = name.filter(|name| !name.contains(char::is_control)) {
                text.push_str(&name);
                text.push('\n');
            }
        })
    });
    match asked {
        Ok(()) => text,
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests;
