//! `envdir`, `envini`: run a program with variables from files.
//!
//! Source: specification §7.

use super::super::{Applet, Call, dialect};
use super::{USAGE_IS_111, run};
use crate::args::{Opt, Options};
use crate::report::Report;
use eudaemon_core::environment::{Ini, value};
use eudaemon_core::exit::Exit;
use eudaemon_core::status::Dialect;
use eudaemon_sys::dir::Dir;
use eudaemon_sys::program::Variables;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How much of a first line is read: more than a variable may have, so that a longer one fails as such. Source:
/// `execve(2)`, MAX_ARG_STRLEN, 128 KiB.
const HEAD_SIZE_MAX: usize = 128 * 1024 + 1;
/// The longest line of an ini file that is read.
const LINE_SIZE_MAX: u64 = 256 * 1024;

const PREFIX: &[(&str, &str)] = &[("-p PREFIX", "puts PREFIX before the name of each variable")];

/// `envdir` in the table.
pub const ENVDIR: Applet = Applet {
    name: "envdir",
    main: envdir,
    synopsis: "[-p PREFIX] DIR PROGRAM [ARGUMENT...]",
    purpose: "runs a program with a variable from each file of a directory",
    options: PREFIX,
    exits: USAGE_IS_111,
};

/// `envini` in the table.
pub const ENVINI: Applet = Applet {
    name: "envini",
    main: envini,
    synopsis: "[-p PREFIX] FILE PROGRAM [ARGUMENT...]",
    purpose: "runs a program with variables from an ini file",
    options: PREFIX,
    exits: USAGE_IS_111,
};

/// Runs `envdir`.
pub fn envdir(call: &Call) -> u8 {
    let report = Report(call.name);
    let dialect = match dialect(report) {
        Ok(dialect) => dialect,
        Err(code) => return code,
    };
    let encores = "envdir [ -p prefix ] dir child";
    let (prefix, words) = match dialect {
        Dialect::Classic | Dialect::Runit => (None, call.words.as_slice()),
        Dialect::Encore => match options(&call.words) {
            Ok(read) => read,
            Err(complain) => {
                complain(call.name);
                return usage(report, encores);
            }
        },
        // Whoever does not say `-p` says a directory, as in 0.76, whatever it begins with.
        Dialect::Auto => match options(&call.words) {
            Ok((Some(prefix), words)) => (Some(prefix), words),
            Ok((None, _)) | Err(_) => (None, call.words.as_slice()),
        },
    };
    let [directory, program @ ..] = words else {
        return usage(report, told(prefix, dialect, encores));
    };
    if program.is_empty() {
        return usage(report, told(prefix, dialect, encores));
    }
    let style = Style {
        report,
        separator: " ",
        names_with_equals: dialect != Dialect::Auto,
        directories: Directories::Refused,
    };
    let mut variables = Variables::inherited();
    match read_directory(
        &style,
        directory,
        prefix.unwrap_or_default(),
        &mut variables,
    ) {
        Ok(()) => run(report, program, variables),
        Err(code) => code,
    }
}

fn told(prefix: Option<&OsStr>, dialect: Dialect, encores: &'static str) -> &'static str {
    if prefix.is_some() || dialect == Dialect::Encore {
        encores
    } else {
        "envdir dir child"
    }
}

/// The code of these two programs' usage is another than the family's.
fn usage(report: Report, text: &str) -> u8 {
    report.usage(text);
    Exit::Temporary.code()
}

/// What complains about an option, given the program's name.
type Complaint = Box<dyn FnOnce(&str)>;

/// The prefix, and the words behind the options.
fn options(words: &[OsString]) -> Result<(Option<&OsStr>, &[OsString]), Complaint> {
    let mut prefix = None;
    let mut options = Options::new(words, |letter| letter == b'p');
    while let Some(option) = options.next() {
        match option {
            Opt::Letter(letter) => match options.argument() {
                Some(argument) => prefix = Some(argument),
                None => {
                    return Err(Box::new(move |name| {
                        Report::missing_argument(OsStr::new(name), letter);
                    }));
                }
            },
            Opt::Unknown(letter) => {
                return Err(Box::new(move |name| {
                    Report::illegal_option(OsStr::new(name), letter);
                }));
            }
        }
    }
    Ok((prefix, options.rest()))
}

/// What differs between `envdir` and `chpst -e`.
#[derive(Debug)]
pub struct Style {
    /// Who speaks.
    pub report: Report,
    /// What stands between the words of a complaint and the directory's name.
    pub separator: &'static str,
    /// Whether a `=` in a file's name is taken as it comes. Otherwise there is a warning and no variable: the original
    /// makes `A=B=v` of the file `A=B` that holds `v`, a variable that nobody asked for.
    pub names_with_equals: bool,
    /// What becomes of a directory in the directory.
    pub directories: Directories,
}

/// What becomes of a directory where a file of a variable is expected.
#[derive(Debug)]
pub enum Directories {
    /// It cannot be read, and the program is not run.
    Refused,
    /// It sets nothing.
    Passed {
        /// Whether that is said.
        told: bool,
    },
}

/// Sets a variable from each file of the directory.
///
/// # Errors
/// The exit code, once it is told.
pub fn read_directory(
    style: &Style,
    directory: &OsStr,
    prefix: &OsStr,
    variables: &mut Variables,
) -> Result<(), u8> {
    let fatal = |words: &str, error: io::Error| {
        let text = [words, style.separator].map(OsStr::new);
        style.report.fatal(&[text[0], text[1], directory], &error)
    };
    let folder = Dir::open(Path::new(directory))
        .map_err(|error| fatal("unable to switch to directory", error))?;
    let mut outcome = Ok(());
    let listed = folder.names(|name| {
        if outcome.is_ok() && name.first() != Some(&b'.') {
            outcome = style.take(directory, &folder, name, prefix, variables);
        }
    });
    listed.map_err(|error| {
        let entered = folder.may_be_entered();
        fatal(
            if entered {
                "unable to read directory"
            } else {
                "unable to switch to directory"
            },
            error,
        )
    })?;
    outcome
}

impl Style {
    /// Sets the variable of one file.
    fn take(
        &self,
        directory: &OsStr,
        folder: &Dir,
        name: &[u8],
        prefix: &OsStr,
        variables: &mut Variables,
    ) -> Result<(), u8> {
        let full = [prefix.as_bytes(), name].concat();
        let path = [directory, OsStr::new("/"), OsStr::from_bytes(name)];
        if !self.names_with_equals && full.contains(&b'=') {
            let why = OsStr::new(": no variable has = in its name");
            self.report.warn(&[path.as_slice(), &[why]].concat(), None);
            return Ok(());
        }
        let set = match first_line(folder, name) {
            Ok(Some(value)) => variables.set(&full, &value),
            Ok(None) => variables.remove(&full),
            Err(error) => Err(error),
        };
        let Err(error) = set else { return Ok(()) };
        let unreadable = [&[OsStr::new("unable to read ")], path.as_slice()].concat();
        match self.directories {
            Directories::Passed { told } if error.kind() == io::ErrorKind::IsADirectory => {
                if told {
                    self.report.warn(&unreadable, Some(&error));
                }
                Ok(())
            }
            Directories::Refused | Directories::Passed { .. } => {
                Err(self.report.fatal(&unreadable, &error))
            }
        }
    }
}

/// The value a file gives its variable; `None` if it removes it: it is empty, or has vanished.
fn first_line(folder: &Dir, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut file = match folder.open_to_read(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut head = vec![0; 256];
    let mut length = 0;
    loop {
        let got = file.read(&mut head[length..])?;
        let end = head[length..length + got].iter().position(|&b| b == b'\n');
        if let Some(end) = end {
            return Ok(Some(value(&head[..length + end])));
        }
        length += got;
        if got == 0 {
            return Ok((length > 0).then(|| value(&head[..length])));
        }
        if length == HEAD_SIZE_MAX {
            // Blanks and all: no exec takes it (E2BIG), and that is what will be said.
            head.iter_mut()
                .filter(|byte| **byte == 0)
                .for_each(|byte| *byte = b'\n');
            return Ok(Some(head));
        }
        if length == head.len() {
            head.resize((length * 4).min(HEAD_SIZE_MAX), 0);
        }
    }
}

/// Runs `envini`.
pub fn envini(call: &Call) -> u8 {
    let report = Report(call.name);
    let line = "envini [ -p prefix ] file child";
    let (prefix, words) = match options(&call.words) {
        Ok(read) => read,
        Err(complain) => {
            complain(call.name);
            return usage(report, line);
        }
    };
    let [file, program @ ..] = words else {
        return usage(report, line);
    };
    if program.is_empty() {
        return usage(report, line);
    }
    let mut variables = Variables::inherited();
    match read_ini(file, prefix.unwrap_or_default(), &mut variables) {
        Ok(()) => run(report, program, variables),
        Err(error) => report.fatal(&[OsStr::new("unable to read "), file], &error),
    }
}

fn read_ini(path: &OsStr, prefix: &OsStr, variables: &mut Variables) -> io::Result<()> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut ini = Ini::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = reader.by_ref().take(LINE_SIZE_MAX);
        if bounded.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if bounded.limit() == 0 {
            return Err(io::Error::other("a line is too long"));
        }
        if let Some((name, value)) = ini.line(&line) {
            variables.set(&[prefix.as_bytes(), &name].concat(), &value)?;
        }
    }
}
