//! `start`, `stop`, `restart`, `reload`, `kill`: ask, wait, and say what came of it.

use super::client::ask;
use super::grammar::Waiting;
use super::screen::{Colour, Screen, plain};
use super::{Stop, print, talk};
use eudaemon_core::exit::Exit;
use eudaemon_core::words::Signal;
use eudaemon_engine::request::{Answer, Request, VERSION, Verb};
use std::path::Path;
use std::time::{Duration, Instant};

/// Wants services up.
pub fn start(tree: &Path, what: &Waiting) -> Result<Exit, Stop> {
    command(tree, Verb::Start, what)
}
/// Wants services down.
pub fn stop(tree: &Path, what: &Waiting) -> Result<Exit, Stop> {
    command(tree, Verb::Stop, what)
}
/// Wants services down and up.
pub fn restart(tree: &Path, what: &Waiting) -> Result<Exit, Stop> {
    command(tree, Verb::Restart, what)
}
/// Sends HUP.
pub fn reload(tree: &Path, what: &Waiting) -> Result<Exit, Stop> {
    command(tree, Verb::Reload, what)
}
/// Sends a signal.
pub fn kill(tree: &Path, signal: Signal, names: &[String]) -> Result<Exit, Stop> {
    let request = Request {
        v: VERSION,
        verb: Verb::Kill,
        names: distinct(names),
        wait_ms: 0,
        signal: Some(signal.name().to_owned()),
    };
    perform(tree, &request)
}

fn command(tree: &Path, verb: Verb, what: &Waiting) -> Result<Exit, Stop> {
    let request = Request {
        v: VERSION,
        verb,
        names: distinct(&what.names),
        wait_ms: if what.no_block { 0 } else { what.wait * 1000 },
        signal: None,
    };
    perform(tree, &request)
}

/// Names as the tree knows them: a shell completes `web` to `web/`.
fn distinct(names: &[String]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for name in names {
        let name = name.trim_end_matches('/');
        if !out.iter().any(|known| known == name) {
            out.push(name.to_owned());
        }
    }
    out
}

fn perform(tree: &Path, request: &Request) -> Result<Exit, Stop> {
    let screen = Screen::of_stdout();
    let began = Instant::now();
    let (mut failed, mut late) = (false, false);
    let mut silent = request.names.clone();
    let mut printed = Ok(());
    ask(tree, request, &mut |answer| {
        silent.retain(|name| Some(name) != answer.name.as_ref());
        let said = outcome(request, &answer, began.elapsed());
        match said {
            Outcome::Done(text) => {
                let (name, rest) = text.split_once(": ").unwrap_or((&text, ""));
                let line = format!("{name}: {}\n", screen.paint(Colour::Green, rest));
                if printed.is_ok() {
                    printed = print(line.as_bytes());
                }
            }
            Outcome::Late(text) => {
                late = true;
                talk("warning", &text);
            }
            Outcome::Failed(text) => {
                failed = true;
                talk("warning", &text);
            }
        }
    })?;
    for name in silent {
        failed = true;
        talk(
            "warning",
            &format!("nothing was said about {}", plain(&name)),
        );
    }
    printed?;
    Ok(match (failed, late) {
        (true, _) => Exit::Failed,
        (false, true) => Exit::TimedOut,
        (false, false) => Exit::Done,
    })
}

/// What came of it for one service, in words.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Done(String),
    Late(String),
    Failed(String),
}

fn outcome(request: &Request, answer: &Answer, took: Duration) -> Outcome {
    let name = plain(answer.name.as_deref().unwrap_or("?"));
    let state = answer.service.as_ref().map(|service| {
        let state = plain(&service.state);
        match service.pid {
            Some(pid) => format!("{state} (pid {pid})"),
            None => state,
        }
    });
    let state = state.unwrap_or_else(|| "done".to_owned());
    let verb = match request.verb {
        Verb::Status => "look at",
        Verb::Start => "start",
        Verb::Stop => "stop",
        Verb::Restart => "restart",
        Verb::Reload => "reload",
        Verb::Kill => "signal",
    };
    if answer.timed_out {
        let seconds = request.wait_ms / 1000;
        return Outcome::Late(format!(
            "unable to {verb} {name} within {seconds} s: it is {state}, and it may yet come; \
             wait longer with --wait, see why with `eudaemon status {name}`"
        ));
    }
    if !answer.ok || answer.error.is_some() {
        let why = plain(answer.error.as_deref().unwrap_or("no reason given"));
        let hint = match (request.verb, &answer.service) {
            (Verb::Start | Verb::Restart, Some(_)) => {
                format!("; `eudaemon status {name}` tells more")
            }
            // An unknown name: the list says which there are.
            (_, None) => "; `eudaemon status` names the services".to_owned(),
            (Verb::Status | Verb::Stop | Verb::Reload | Verb::Kill, Some(_)) => String::new(),
        };
        return Outcome::Failed(format!("unable to {verb} {name}: {why}{hint}"));
    }
    let to = answer.service.as_ref().and_then(|service| service.pid);
    let to = to.map(|pid| format!(" to pid {pid}")).unwrap_or_default();
    Outcome::Done(match request.verb {
        Verb::Reload => format!("{name}: sent HUP{to}"),
        Verb::Kill => format!(
            "{name}: sent {}{to}",
            request.signal.as_deref().unwrap_or("TERM")
        ),
        Verb::Status | Verb::Start | Verb::Stop | Verb::Restart if request.wait_ms == 0 => {
            format!("{name}: asked to {verb}, now {state}")
        }
        Verb::Status | Verb::Start | Verb::Stop | Verb::Restart => {
            format!("{name}: {state} in {:.1} s", took.as_secs_f64())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::client::tests::{Fake, service};

    fn waiting(names: &[&str]) -> Waiting {
        Waiting {
            names: names.iter().map(|&name| name.to_owned()).collect(),
            wait: 2,
            no_block: false,
        }
    }

    #[test]
    fn what_came_of_it_in_words() {
        let request = Request {
            v: VERSION,
            verb: Verb::Start,
            names: vec!["web".into()],
            wait_ms: 30_000,
            signal: None,
        };
        let took = Duration::from_millis(210);
        let up = Answer::about("web", Some(service("web", "up", Some(123))), None);
        assert_eq!(
            outcome(&request, &up, took),
            Outcome::Done("web: up (pid 123) in 0.2 s".into())
        );
        let kill = Request {
            verb: Verb::Kill,
            signal: Some("USR1".into()),
            ..request.clone()
        };
        assert_eq!(
            outcome(&kill, &up, took),
            Outcome::Done("web: sent USR1 to pid 123".into())
        );
        let late = Answer {
            timed_out: true,
            ok: false,
            ..up
        };
        let Outcome::Late(text) = outcome(&request, &late, took) else {
            panic!("it is late");
        };
        assert!(text.contains("within 30 s: it is up (pid 123)"), "{text}");
        let missing = Answer::about("web\x1b", None, Some("no such service".into()));
        let Outcome::Failed(text) = outcome(&request, &missing, took) else {
            panic!("it failed");
        };
        assert!(!text.contains('\x1b') && text.contains("no such service"));
    }

    #[test]
    fn the_exit_code_is_honest() {
        for (ok, late, exit) in [
            (true, false, Exit::Done),
            (false, false, Exit::Failed),
            (false, true, Exit::TimedOut),
        ] {
            let fake = Fake::new("exit", move |request, _| {
                assert_eq!(request.wait_ms, 2000);
                let mut lines: Vec<Answer> = Vec::new();
                for name in &request.names {
                    let service = service(name, "up", Some(7));
                    let mut answer = Answer::about(name, Some(service), None);
                    answer.ok = ok || name == "fine";
                    answer.timed_out = late && name != "fine";
                    lines.push(answer);
                }
                lines.push(Answer::done());
                Some(lines)
            });
            let got = start(fake.dir(), &waiting(&["web/", "fine", "web"])).unwrap();
            assert_eq!(got, exit);
        }
    }

    #[test]
    fn a_service_nobody_speaks_of_has_failed() {
        let fake = Fake::new("silent", |_, _| Some(vec![Answer::done()]));
        let got = stop(fake.dir(), &waiting(&["web"])).unwrap();
        assert_eq!(got, Exit::Failed);
    }
}
