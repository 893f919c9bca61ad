//! What can be typed.

use crate::zone;
use clap::{Parser, Subcommand, ValueEnum};
use eudaemon_core::exit::Exit;
use eudaemon_core::time::{self, NoMoment, Tai64n, Wall};
use eudaemon_core::words::Signal;
use jiff::Timestamp;
use regex_lite::Regex;
use std::ffi::OsString;
use std::path::PathBuf;

/// Runs services, keeps them running, and tells you about them.
#[derive(Debug, Parser)]
#[command(
    name = "eudaemon",
    version,
    subcommand_required = true,
    after_help = "Without DIR, verbs look for a running tree in $EUDAEMON_DIR, the current directory, /service, \
                  /etc/service, /run/service and the quick start, in this order.\n\n\
                  Exit codes: 0 done, 1 a service failed or is not there, 99 it took too long, 100 wrong usage, \
                  111 nothing answers.\n\n\
                  The daemontools programs are in here too: `eudaemon applets` names them, `eudaemon svstat DIR` runs one."
)]
pub struct Args {
    /// Directory of the services
    #[arg(short = 'C', long = "directory", value_name = "DIR", global = true)]
    pub directory: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run all services of a directory here, and show their lines
    ///
    /// Ctrl-C stops them in order, a second Ctrl-C at once. Without a directory, and with no services in the current
    /// one, a quick start with two services made of this program shows what it is like.
    Up {
        /// Directory of service directories
        dir: Option<PathBuf>,
    },
    /// Say what the services do
    ///
    /// One NAME gives a page with its last log lines. Exit code 1 if one of the services shown is failing.
    Status {
        /// Services; all if none is named
        names: Vec<String>,
        /// Print a JSON array
        #[arg(long)]
        json: bool,
        /// Show loggers that are well, too
        #[arg(short, long)]
        all: bool,
    },
    /// Start services, and wait until they are ready
    Start(Waiting),
    /// Stop services, and wait until nothing of them runs
    Stop(Waiting),
    /// Stop and start services, and wait until the new ones are ready
    Restart(Waiting),
    /// Ask services to read their configuration again (signal HUP)
    Reload(Waiting),
    /// Send services a signal
    Kill {
        /// The signal: TERM, HUP, 9, SIGUSR1, ...
        #[arg(short, long, default_value = "TERM", value_parser = signal)]
        signal: Signal,
        /// Services
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Show what services wrote
    Logs(Logs),
    /// Print what a shell needs to complete these words
    ///
    /// Put it where the shell looks, or read it at its start: `source <(eudaemon completions bash)`.
    Completions {
        /// Whose
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Print the version
    Version,
    /// The names of the services, for the completions
    #[command(name = "__complete", hide = true)]
    Complete,
    #[command(hide = true)]
    QuickWeb,
    #[command(hide = true)]
    QuickWorker,
}

/// Whose completions there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU's.
    Bash,
    /// The Z shell.
    Zsh,
    /// The friendly one.
    Fish,
}

/// Services, and how long to wait for them.
#[derive(Debug, clap::Args)]
pub struct Waiting {
    /// Services
    #[arg(required = true)]
    pub names: Vec<String>,
    /// How long to wait, in seconds
    #[arg(long, value_name = "SECS", default_value = "30", value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub wait: u64,
    /// Do not wait
    #[arg(long, conflicts_with = "wait")]
    pub no_block: bool,
}

/// Which lines to show.
#[derive(Debug, clap::Args)]
pub struct Logs {
    /// Services; all if none is named
    pub names: Vec<String>,
    /// Go on with new lines as they come
    #[arg(short, long)]
    pub follow: bool,
    /// How many of the last lines of each service to show: 20, or with one of the next options all
    #[arg(short = 'n', long = "lines", value_name = "N")]
    pub lines: Option<u64>,
    /// No lines from before: 10m, "2h ago", today, "2026-11-21 14:30", RFC 3339, @UNIX or a TAI64N stamp
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    pub since: Option<Tai64n>,
    /// No lines from after
    #[arg(long, value_name = "WHEN", value_parser = moment, conflicts_with = "follow")]
    pub until: Option<Tai64n>,
    /// Only lines in which this regular expression is found
    #[arg(short, long, value_name = "REGEX")]
    pub grep: Option<Regex>,
    /// The terminal of `eudaemon up`: every service from its first line, until SIGTERM
    #[arg(long, hide = true, requires = "follow")]
    pub viewer: bool,
    /// With --viewer: lines older than this, in Unix seconds, are not shown
    #[arg(long, hide = true, value_name = "SECS", requires = "viewer")]
    pub began: Option<f64>,
}

fn moment(text: &str) -> Result<Tai64n, NoMoment> {
    let (zone, now) = (zone::local(), Timestamp::now());
    let nanos = u64::try_from(now.as_nanosecond()).unwrap_or(0);
    let label = Tai64n::from_wall(Wall(nanos));
    time::moment(text, label, zone::shown(&zone, now), &|shown| {
        zone::second(&zone, shown)
    })
}

fn signal(text: &str) -> Result<Signal, String> {
    Signal::parse(text).ok_or_else(|| {
        let names = eudaemon_core::words::SIGNALS.iter().map(|s| s.name());
        let names: Vec<_> = names.collect();
        format!("one of {}, or its number", names.join(", "))
    })
}

/// Reads the command line; what is help or wrong is printed, and the exit code is the answer.
pub fn read(words: Vec<OsString>) -> Result<Args, Exit> {
    Args::try_parse_from(words).map_err(|error| {
        let exit = match error.use_stderr() {
            true => Exit::Permanent,
            false => Exit::Done,
        };
        // There is nowhere left to say that this failed.
        let _ = error.print();
        exit
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_grammar_is_sound() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn the_directory_may_stand_anywhere() {
        for line in ["eudaemon -C x status", "eudaemon status -C x"] {
            assert_eq!(parse(line).unwrap().directory, Some("x".into()));
        }
    }

    #[test]
    fn wrong_words_are_refused() {
        for line in [
            "eudaemon",
            "eudaemon start",
            "eudaemon kill",
            "eudaemon kill -s DANCE web",
            "eudaemon start --wait 0 web",
            "eudaemon start --wait 5 --no-block web",
            "eudaemon logs --viewer",
            "eudaemon stats",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        let said = parse("eudaemon kill -s DANCE web").unwrap_err().to_string();
        assert!(said.contains("USR1"), "{said}");
        let said = parse("eudaemon stats").unwrap_err().to_string();
        assert!(said.contains("status"), "{said}");
    }
}
