//! The options every service has: on the command line, in the environment, in a file.
//!
//! | where | how `uid` is written |
//! |---|---|
//! | command line | `--service.uid nobody`, `--service.uid=nobody`, `-service.uid=nobody` |
//! | environment | `WEB_SERVICE_UID=nobody`, for a service called `web` |
//! | file | `uid = "nobody"` in the section `[service]` |
//! | manifest | [`Manifest::user`](crate::Manifest::user) |
//!
//! A PID file is also named by `PIDFILE`, which a systemd unit with `PIDFile=` sets.
//!
//! The first of these that says something counts. Files are read with the feature `toml`: the first that is there of
//! `$XDG_CONFIG_HOME/NAME/NAME.toml` (or below `$HOME/.config`; for a user who is not root), `/etc/NAME/NAME.toml` and
//! `/etc/NAME.toml`; and before it, later ones first, those in the directory `NAME.conf.d` beside it. Never one in the current
//! directory. All options: [the guide](crate::guide::options).

mod file;
mod rows;
mod typed;

use crate::{Activation, Error, Exit, Result};
use clap_builder as clap;
use clap_builder::{Arg, ArgAction, ArgMatches, Command};
use rows::{Kind, ROWS};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

pub use typed::{Chroot, Options, SandboxMode};

/// Where a value comes from; the earlier one counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Source {
    /// The command line.
    CommandLine,
    /// This variable.
    Environment(String),
    /// This file.
    File(PathBuf),
    /// The service's own manifest.
    Manifest,
    /// The library.
    BuiltIn,
}

impl fmt::Display for Source {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::CommandLine => to.write_str("command line"),
            Source::Environment(name) => write!(to, "environment {name}"),
            Source::File(path) => write!(to, "{}", path.display()),
            Source::Manifest => to.write_str("manifest"),
            Source::BuiltIn => to.write_str("default"),
        }
    }
}

/// One value as it was written, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Setting {
    /// The option, without `service.`.
    pub name: &'static str,
    /// The value as it was written.
    pub value: OsString,
    /// Where.
    pub source: Source,
}

/// The options as the command line gave them, to flatten into a command of one's own:
///
/// ```
/// use clap::Parser;
///
/// #[derive(Parser)]
/// struct Cli {
///     /// Where to serve.
///     #[arg(long, default_value = "[::]:80")]
///     listen: String,
///     #[command(flatten)]
///     service: eudaemon::ServiceArgs,
/// }
///
/// // In a program: `ServiceArgs::parse::<Cli>()`.
/// let words = ["web", "-service.uid=nobody", "--listen", "[::]:8080"];
/// let cli = Cli::parse_from(eudaemon::ServiceArgs::words(words));
/// # assert_eq!(cli.listen, "[::]:8080");
/// # assert_eq!(cli.service.given().len(), 1);
/// // eudaemon::Builder::new("web").args(cli.service).run(…)
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceArgs {
    given: Vec<Setting>,
}

impl ServiceArgs {
    /// The words of a command line with `-service.x` written `--service.x`, as everything after them expects. Words behind
    /// `--` are left alone.
    pub fn words<W: Into<OsString>>(words: impl IntoIterator<Item = W>) -> Vec<OsString> {
        let mut only_arguments = false;
        let words = words.into_iter().map(|word| {
            let word: OsString = word.into();
            only_arguments |= word == "--";
            match word.as_bytes().strip_prefix(b"-service.") {
                Some(rest) if !only_arguments => OsString::from_vec([b"--service.", rest].concat()),
                _ => word,
            }
        });
        words.collect()
    }

    /// Whether one of them may be an option of the library, also where the parser is told to guess what begins so.
    pub(crate) fn are_among(words: &[OsString]) -> bool {
        words
            .iter()
            .any(|word| word.as_bytes().starts_with(b"--service"))
    }

    /// The words of a command line, the program's own name first, without these options of the library: what is left to start
    /// the program with when they are meant for this once, or said in another way.
    pub(crate) fn without(words: &[OsString], names: &[&str]) -> Vec<OsString> {
        let mut kept = Vec::new();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word == "--" {
                kept.push(word.clone());
                kept.extend(words.by_ref().cloned());
                break;
            }
            let bytes = word.as_bytes();
            let option = bytes
                .strip_prefix(b"--service.")
                .or_else(|| bytes.strip_prefix(b"-service."));
            let name = option.map(|rest| rest.split(|&byte| byte == b'=').next().unwrap_or(rest));
            let row = ROWS
                .iter()
                .find(|row| names.contains(&row.name) && name == Some(row.name.as_bytes()));
            match row {
                None => kept.push(word.clone()),
                Some(row) if matches!(row.kind, Kind::Value(_)) && !bytes.contains(&b'=') => {
                    words.next();
                }
                Some(_) => {}
            }
        }
        kept
    }

    /// Reads the program's own words with a parser of the author's, into which these options are flattened.
    ///
    /// # Errors
    /// The command line is wrong, or asked for help or the version, which is printed: the code to end with, 64 for a wrong one.
    pub fn parse<P: clap::Parser>() -> Result<P, std::process::ExitCode> {
        P::try_parse_from(ServiceArgs::words(std::env::args_os()))
            .map_err(|error| crate::builder::told(&error))
    }

    /// What was given, in the order of the table.
    #[must_use]
    pub fn given(&self) -> &[Setting] {
        &self.given
    }

    /// The same with an option set as if it stood on the command line.
    ///
    /// # Errors
    /// There is no option of this name.
    pub fn set(mut self, name: &str, value: impl Into<OsString>) -> Result<ServiceArgs> {
        let row = rows::find(name)
            .ok_or_else(|| Error::new(Exit::Usage, format!("there is no option service.{name}")))?;
        self.given.retain(|setting| setting.name != row.name);
        self.given.push(Setting {
            name: row.name,
            value: value.into(),
            source: Source::CommandLine,
        });
        Ok(self)
    }
}

impl clap::FromArgMatches for ServiceArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<ServiceArgs, clap::Error> {
        let given = ROWS.iter().filter_map(|row| {
            let value = match row.kind {
                Kind::Once => matches.get_flag(row.long).then(|| OsString::from("true")),
                Kind::Switch | Kind::Value(_) => matches.get_one::<OsString>(row.long).cloned(),
            };
            value.map(|value| Setting {
                name: row.name,
                value,
                source: Source::CommandLine,
            })
        });
        Ok(ServiceArgs {
            given: given.collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = ServiceArgs::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for ServiceArgs {
    fn augment_args(command: Command) -> Command {
        let args = ROWS.iter().map(|row| {
            let arg = Arg::new(row.long)
                .long(row.long)
                .help(row.help)
                .help_heading("Service");
            match row.kind {
                Kind::Once => arg.action(ArgAction::SetTrue),
                Kind::Switch => arg
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true")
                    .value_name("BOOL")
                    .value_parser(clap::value_parser!(OsString)),
                Kind::Value(name) => arg
                    .value_name(name)
                    .value_parser(clap::value_parser!(OsString)),
            }
        });
        command.args(args)
    }

    fn augment_args_for_update(command: Command) -> Command {
        ServiceArgs::augment_args(command)
    }
}

/// Everything that was said, from the strongest source to the weakest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layers(Vec<Setting>);

impl Layers {
    /// Reads the environment and the files below what the command line gave.
    ///
    /// # Errors
    /// A file that was asked for and is not there, or any that cannot be read or understood: class [`Exit::Config`].
    pub(crate) fn gather(name: &str, args: &ServiceArgs, from: &Activation) -> Result<Layers> {
        let mut all = args.given.clone();
        // Most programs are started without any.
        let ours = variable(name, "");
        let is_ours = |variable: &OsStr| variable.as_bytes().starts_with(ours.as_bytes());
        let any = from.environment().any(|(variable, _)| is_ours(variable));
        let rows = ROWS.iter().filter(|row| any && row.kind != Kind::Once);
        for row in rows {
            let variable = variable(name, row.name);
            if let Some(value) = from.variable(&variable) {
                all.push(Setting {
                    name: row.name,
                    value: value.to_owned(),
                    source: Source::Environment(variable),
                });
            }
        }
        // What the unit waits for: systemd.exec(5), PIDFILE.
        if let Some(value) = from.variable("PIDFILE") {
            all.push(Setting {
                name: "pidfile",
                value: value.to_owned(),
                source: Source::Environment("PIDFILE".to_owned()),
            });
        }
        let mut layers = Layers(all);
        let asked = layers.get("config").map(|one| PathBuf::from(&one.value));
        layers.0.extend(file::settings(name, asked, from)?);
        Ok(layers)
    }

    /// What counts for this option.
    pub(crate) fn get(&self, name: &str) -> Option<&Setting> {
        self.0.iter().find(|setting| setting.name == name)
    }

    /// What was said and does not count, with what counts instead: for `--service.explain`.
    pub(crate) fn overruled(&self) -> impl Iterator<Item = &Setting> {
        self.0.iter().enumerate().filter_map(|(at, setting)| {
            let earlier = &self.0[..at];
            let is_second = earlier.iter().any(|other| other.name == setting.name);
            is_second.then_some(setting)
        })
    }
}

/// `WEB_SERVICE_STOP_TIMEOUT`, for the option `stop-timeout` of the service `web`.
pub(crate) fn variable(service: &str, option: &str) -> String {
    let text = format!("{service}_SERVICE_{option}").to_ascii_uppercase();
    text.replace(|letter: char| !letter.is_ascii_alphanumeric(), "_")
}

#[cfg(test)]
mod tests;
