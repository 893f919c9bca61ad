//! `sv`: controls services, and waits until it has happened (runit; sv(8), specification §10.3).
//!
//! It works on services of runit's own runsv and on ours. Where the original looks every 0.42 s, this one waits for the
//! supervisor to replace its status.

mod goal;
mod service;

use super::place::{Home, Place};
use super::{Applet, Call};
use crate::args::{Opt, Options};
use crate::report::{self, Report};
use eudaemon_core::exit::Exit;
use eudaemon_core::status::Dialect;
use eudaemon_sys::clock;
use eudaemon_sys::watch::Watch;
use goal::Goal;
use service::Service;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// `sv` in the table.
pub const SV: Applet = Applet {
    name: "sv",
    main,
    synopsis: "[-v] [-w SEC] COMMAND SERVICE...",
    purpose: "controls services, and waits for them",
    options: &[
        (
            "-v",
            "wait for up, down, once, term, cont and exit, and report",
        ),
        ("-w SEC", "wait so long instead of 7 seconds; implies -v"),
    ],
    exits: &[
        ("0", "done, and happened where it was waited for"),
        ("1-99", "so many services failed, or were not in time"),
        ("100", "usage, or the current directory cannot be opened"),
        (
            "151",
            "as an init script: an error; there 1 is a failure, 2 usage and 3 not running",
        ),
    ],
};

/// How long is waited unless told otherwise. Source: sv(8).
const WAIT: Duration = Duration::from_secs(7);
/// Most failures that are counted. Source: sv(8).
const FAILURES_MAX: u8 = 99;
/// Pause between two runs of `check`, and between two looks where nothing tells of a change. Source: specification §10.3.
const PAUSE: Duration = Duration::from_millis(420);
/// The same while a supervisor is waited for to be gone: it writes its last status just before.
const LEAVING_PAUSE: Duration = Duration::from_millis(20);

/// One command.
#[derive(Clone, Copy, Debug)]
struct Command {
    /// Its word. A command that waits must be spelled out; of the others only the first letter counts.
    word: &'static str,
    /// What is written into `control`.
    bytes: &'static [u8],
    /// What is waited for.
    goal: Goal,
    /// It waits without being told to.
    waits: bool,
    /// What does not happen in time is killed.
    kills: bool,
}

const fn letter(word: &'static str, bytes: &'static [u8], goal: Goal) -> Command {
    Command {
        word,
        bytes,
        goal,
        waits: false,
        kills: false,
    }
}
const fn waiting(word: &'static str, bytes: &'static [u8], goal: Goal, kills: bool) -> Command {
    Command {
        word,
        bytes,
        goal,
        waits: true,
        kills,
    }
}

/// Those that wait come first: `start` is not `status`. Source: sv(8).
const COMMANDS: &[Command] = &[
    waiting("start", b"u", Goal::Up, false),
    waiting("stop", b"d", Goal::Down, false),
    waiting("restart", b"tcu", Goal::Again { up: true }, false),
    waiting("shutdown", b"x", Goal::Gone, false),
    waiting("reload", b"h", Goal::Sent, false),
    waiting("try-restart", b"tc", Goal::Again { up: false }, false),
    waiting("check", b"", Goal::AsWanted, false),
    waiting("force-stop", b"d", Goal::Down, true),
    waiting("force-reload", b"tc", Goal::Again { up: false }, true),
    waiting("force-restart", b"tcu", Goal::Again { up: true }, true),
    waiting("force-shutdown", b"x", Goal::Gone, true),
    letter("status", b"", Goal::Sent),
    letter("up", b"u", Goal::Up),
    letter("down", b"d", Goal::Down),
    letter("once", b"o", Goal::Once),
    letter("pause", b"p", Goal::Sent),
    letter("cont", b"c", Goal::Continued),
    letter("hup", b"h", Goal::Sent),
    letter("alarm", b"a", Goal::Sent),
    letter("interrupt", b"i", Goal::Sent),
    letter("quit", b"q", Goal::Sent),
    letter("1", b"1", Goal::Sent),
    letter("2", b"2", Goal::Sent),
    letter("term", b"t", Goal::Again { up: false }),
    letter("kill", b"k", Goal::Sent),
    letter("exit", b"x", Goal::Gone),
    letter("x", b"x", Goal::Gone),
];

impl Command {
    fn find(word: &OsStr) -> Option<&'static Command> {
        let exact = COMMANDS
            .iter()
            .find(|command| command.waits && word == command.word);
        exact.or_else(|| {
            let first = word.as_encoded_bytes().first()?;
            COMMANDS
                .iter()
                .find(|command| !command.waits && command.word.as_bytes().first() == Some(first))
        })
    }
    fn is_status(&self) -> bool {
        self.word == "status"
    }
}

/// Whose habits: sv's own, or an LSB init script's.
#[derive(Clone, Debug)]
struct Caller {
    /// The service an init script is for.
    script: Option<OsString>,
}

impl Caller {
    fn usage(&self) -> u8 {
        let blank: &OsStr = OsStr::new("");
        match &self.script {
            None => {
                let told = "usage: sv [-v] [-w sec] command service ...";
                report::line(&[told.as_ref()]);
                report::line(&[blank]);
                Exit::Permanent.code()
            }
            Some(name) => {
                report::line(&["usage: ".as_ref(), name, " [-w sec] command".as_ref()]);
                report::line(&[blank]);
                2
            }
        }
    }
    /// What could not even be begun.
    fn error(&self) -> u8 {
        if self.script.is_some() {
            151
        } else {
            Exit::Permanent.code()
        }
    }
}

/// Runs `sv`.
pub fn main(call: &Call) -> u8 {
    run(&Caller { script: None }, &call.words)
}

/// Whether a program name is a link to `sv`, and so an LSB init script (sv(8)): then the service's name.
pub fn init_script(called: &OsStr) -> Option<OsString> {
    const LINKS_MAX: usize = 8;
    let mut path = Path::new(called).to_owned();
    let name = path.file_name()?.to_owned();
    for _ in 0..LINKS_MAX {
        // A name without a slash was found in PATH, and is no script of an init system.
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())?;
        let target = parent.join(std::fs::read_link(&path).ok()?);
        if target.file_name() == Some(OsStr::new("sv")) {
            return Some(name);
        }
        path = target;
    }
    None
}

/// Runs `sv` as an init script.
pub fn main_of_script(name: OsString, words: &[OsString]) -> u8 {
    run(&Caller { script: Some(name) }, words)
}

/// The words of a call.
struct Words<'a> {
    wait: Option<Duration>,
    rest: &'a [OsString],
}

fn read_words<'a>(caller: &Caller, words: &'a [OsString]) -> Result<Words<'a>, u8> {
    let mut told = None;
    let mut verbose = caller.script.is_some();
    let mut options = Options::new(words, |letter| matches!(letter, b'v' | b'w'));
    while let Some(option) = options.next() {
        match option {
            Opt::Letter(b'w') => {
                let Some(value) = options.argument() else {
                    Report::missing_argument(OsStr::new("sv"), b'w');
                    return Err(caller.usage());
                };
                told = Some(seconds(value.as_encoded_bytes()));
            }
            Opt::Letter(_) => verbose = true,
            Opt::Unknown(letter) => {
                Report::illegal_option(OsStr::new("sv"), letter);
                return Err(caller.usage());
            }
        }
    }
    let rest = options.rest();
    let named = std::env::var_os("SVWAIT").map(|value| seconds(value.as_encoded_bytes()));
    let wait = (verbose || told.is_some()).then(|| told.or(named).unwrap_or(WAIT));
    Ok(Words { wait, rest })
}

/// The number at the start, as the original reads it: anything else is 0.
fn seconds(value: &[u8]) -> Duration {
    let number = eudaemon_core::svlogd::number(value);
    Duration::from_secs(number.min(u64::from(u32::MAX)))
}

fn run(caller: &Caller, words: &[OsString]) -> u8 {
    let read = match read_words(caller, words) {
        Ok(read) => read,
        Err(code) => return code,
    };
    let Some((word, names)) = read.rest.split_first() else {
        return caller.usage();
    };
    let Some(command) = Command::find(word) else {
        return caller.usage();
    };
    let named;
    let names = match &caller.script {
        Some(script) => {
            named = [script.clone()];
            &named[..]
        }
        None => names,
    };
    if names.is_empty() {
        return caller.usage();
    }
    let home = match Home::remember() {
        Ok(home) => home,
        Err(error) => {
            Report("sv").fatal(&["unable to open current directory".as_ref()], &error);
            return caller.error();
        }
    };
    let place = Place::from_environment(Dialect::Auto);
    let mut services: Vec<Service<'_>> = names
        .iter()
        .map(|name| Service::named(name, &home, &place))
        .collect();
    if command.is_status() {
        return status(caller, &mut services);
    }
    let told_to_wait = read.wait.is_some();
    let wait = if command.waits || told_to_wait {
        let named = std::env::var_os("SVWAIT").map(|value| seconds(value.as_encoded_bytes()));
        Some(read.wait.or(named).unwrap_or(WAIT))
    } else {
        None
    };
    let end = wait.map(|wait| clock::mono() + wait);
    let mut failures = 0;
    services.retain_mut(|service| {
        let sent = service.send(command.bytes, command.goal);
        failures += u32::from(sent == Err(true));
        sent.is_ok()
    });
    if let Some(end) = end {
        failures += wait_for_all(&mut services, command, end);
    }
    code(caller, failures)
}

fn code(caller: &Caller, failures: u32) -> u8 {
    match &caller.script {
        Some(_) => u8::from(failures > 0),
        None => u8::try_from(failures)
            .unwrap_or(FAILURES_MAX)
            .min(FAILURES_MAX),
    }
}

fn status(caller: &Caller, services: &mut [Service<'_>]) -> u8 {
    let mut failures = 0;
    let mut down = false;
    for service in services {
        match service.look() {
            Ok(seen) => {
                down = !seen.runs();
                let mut line = seen.sentence(service.shown());
                if let Some((log, well)) = service.log_sentence() {
                    line.extend_from_slice(b"; ");
                    line.extend_from_slice(&log);
                    failures += u32::from(!well);
                }
                say(&line);
            }
            Err(trouble) => {
                say(&trouble.sentence(service.shown()));
                failures += 1;
            }
        }
    }
    match (&caller.script, failures, down) {
        (Some(_), 0, true) => 3,
        (Some(_) | None, _, _) => code(caller, failures),
    }
}

/// Waits for each service; what has happened is told when it has. Returns how many failed.
fn wait_for_all(
    services: &mut Vec<Service<'_>>,
    command: &Command,
    end: eudaemon_core::time::Mono,
) -> u32 {
    let mut failures = 0;
    let mut watch = Watch::new();
    for service in services.iter() {
        service.watch(&mut watch);
    }
    loop {
        services.retain_mut(|service| match service.reached(command.goal) {
            None => true,
            Some((line, well)) => {
                say(&line);
                failures += u32::from(!well);
                false
            }
        });
        let now = clock::mono();
        if services.is_empty() || now >= end {
            break;
        }
        let pause = if command.goal == Goal::Gone {
            LEAVING_PAUSE
        } else {
            PAUSE
        };
        // A watch that fails makes the next look later, not wrong.
        let _ = watch.wait(Some(pause.min(end.since(now))));
    }
    for service in services {
        failures += 1;
        let word = if command.kills { "kill: " } else { "timeout: " };
        let told = match service.look() {
            Ok(seen) => [word.as_bytes(), &seen.sentence(service.shown())].concat(),
            Err(trouble) => trouble.sentence(service.shown()),
        };
        say(&told);
        if command.kills {
            // What cannot be sent to was told just now.
            let _ = service.write(b"k");
        }
    }
    failures
}

/// One line on stdout. A closed stdout is nobody to tell it to.
fn say(line: &[u8]) {
    let mut whole = line.to_vec();
    whole.push(b'\n');
    let _ = std::io::stdout().write_all(&whole);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_commands_are_spelled_out_and_the_others_known_by_their_first_letter() {
        let find = |word: &str| Command::find(OsStr::new(word)).map(|command| command.word);
        assert_eq!(find("start"), Some("start"));
        assert_eq!(find("star"), Some("status"));
        assert_eq!(find("s"), Some("status"));
        assert_eq!(find("check"), Some("check"));
        assert_eq!(find("c"), Some("cont"));
        assert_eq!(find("d"), Some("down"));
        assert_eq!(find("2"), Some("2"));
        assert_eq!(find("exit"), Some("exit"));
        assert_eq!(find("force-stop"), Some("force-stop"));
        assert_eq!(find("force"), None);
        assert_eq!(find("restar"), None);
        assert_eq!(find("bogus"), None);
        assert_eq!(find(""), None);
    }

    #[test]
    fn a_number_is_what_stands_at_the_start() {
        assert_eq!(seconds(b"12x"), Duration::from_secs(12));
        assert_eq!(seconds(b"x"), Duration::ZERO);
        assert_eq!(seconds(b"-1"), Duration::ZERO);
    }

    #[test]
    fn words_are_read_as_the_original_reads_them() {
        let words: Vec<OsString> = ["-vw3", "up", "a"].iter().map(OsString::from).collect();
        let read = read_words(&Caller { script: None }, &words).expect("all are known");
        assert_eq!(read.wait, Some(Duration::from_secs(3)));
        assert_eq!(read.rest, &words[1..]);
    }
}
