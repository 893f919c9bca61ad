//! The human verbs: `eudaemon VERB`.
//!
//! They ask the engine over the tree's socket and say what came of it. Results go to stdout, talk to stderr.

mod client;
mod completions;
mod control;
mod grammar;
mod logs;
mod quick;
mod screen;
mod status;
mod trail;
mod tree;
mod up;

use eudaemon_core::exit::Exit;
pub(crate) use grammar::Args;
use grammar::Verb;
use std::ffi::OsString;
use std::io;

/// Runs the verb in `words`, which begin with the program's name; answers the exit code.
pub fn main(words: Vec<OsString>) -> u8 {
    let args = match grammar::read(words) {
        Ok(args) => args,
        Err(exit) => return exit.code(),
    };
    match run(args) {
        Ok(exit) => exit.code(),
        Err(stop) => {
            if let Some(why) = &stop.why {
                talk("fatal", why);
            }
            stop.exit.code()
        }
    }
}

fn run(args: Args) -> Result<Exit, Stop> {
    let given = args.directory;
    match args.verb {
        Verb::Up { dir } => up::up(dir.or(given)),
        Verb::Status { names, json, all } => status::status(&tree::find(given)?, &names, json, all),
        Verb::Start(what) => control::start(&tree::find(given)?, &what),
        Verb::Stop(what) => control::stop(&tree::find(given)?, &what),
        Verb::Restart(what) => control::restart(&tree::find(given)?, &what),
        Verb::Reload(what) => control::reload(&tree::find(given)?, &what),
        Verb::Kill { signal, names } => control::kill(&tree::find(given)?, signal, &names),
        Verb::Logs(what) => logs::logs(&tree::find(given)?, &what),
        Verb::Completions { shell } => completions::script(shell),
        Verb::Complete => completions::names(tree::find(given)),
        Verb::Version => {
            let text = format!("eudaemon {}\n", env!("CARGO_PKG_VERSION"));
            print(text.as_bytes())?;
            Ok(Exit::Done)
        }
        Verb::QuickWeb => quick::web(),
        Verb::QuickWorker => quick::worker(),
    }
}

/// Why a verb ends early.
#[derive(Debug)]
struct Stop {
    exit: Exit,
    /// What to say, if it has not been said.
    why: Option<String>,
}

impl Stop {
    fn new(exit: Exit, why: impl Into<String>) -> Stop {
        Stop {
            exit,
            why: Some(why.into()),
        }
    }
    /// What is wrong has been said already.
    fn said(exit: Exit) -> Stop {
        Stop { exit, why: None }
    }
}

/// One line on stderr, in the family's voice.
fn talk(level: &str, text: &str) {
    anstream::eprintln!("eudaemon: {level}: {text}");
}

/// Writes to stdout. Somebody who has read enough is no error: `eudaemon logs | head`.
fn print(text: &[u8]) -> Result<(), Stop> {
    use io::Write;
    let mut out = io::stdout().lock();
    stdout_result(out.write_all(text).and_then(|()| out.flush()))
}

fn stdout_result(result: io::Result<()>) -> Result<(), Stop> {
    result.map_err(|error| {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Stop::said(Exit::Done);
        }
        Stop::new(
            Exit::Temporary,
            format!("unable to write to stdout: {}", reason(&error)),
        )
    })
}

/// The system's own words, without Rust's number.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}
