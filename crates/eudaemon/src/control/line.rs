//! One line, one answer.

use super::answer::{Answer, Cell, Outcome};
use super::json::Json;
use super::{Commands, LINE_MAX};
use crate::clients::{Line, Next, Talk, Waker};
use crate::descriptors::{self, Descriptor};
use crate::health::Health;
use eudaemon_core::time::Mono;
use std::sync::Arc;

/// What can be asked, and half a sentence on each. `help` prints it.
const QUESTIONS: [(&str, &str); 8] = [
    ("status", "what the service says of itself"),
    ("health", "whether it is live and ready, and what is wrong"),
    ("log-level [LEVEL|+|-]", "how much is logged; moves it"),
    ("reload", "read the configuration anew; answered when done"),
    (
        "replace",
        "have a new process go on in its place; answered when it does",
    ),
    ("stop", "stop the service"),
    ("fds", "what it has open"),
    ("help", "this list"),
];

pub(super) struct Lines {
    pub health: Health,
    pub commands: Arc<dyn Commands>,
    pub waker: Waker,
    /// The user this process was when it was started to serve.
    pub own: u32,
}

/// One client: what it waits for, and whether in JSON.
#[derive(Default)]
pub(super) struct Client {
    waits: Option<(Arc<Cell>, bool)>,
}

/// What is known at once.
enum Reply {
    /// Names and values.
    Rows(Vec<(String, Json)>),
    Failed(String),
    Later(Arc<Cell>),
}

impl Talk for Lines {
    type Client = Client;

    fn greet(&mut self, line: &Line) -> Result<Client, Vec<u8>> {
        let Line::Unix(line) = line else {
            return Err(b"error: not a local socket\n".to_vec());
        };
        match eudaemon_sys::socket::peer_uid(line) {
            Ok(uid) if uid == 0 || uid == self.own => Ok(Client::default()),
            Ok(uid) => Err(format!("error: user {uid} is not let in\n").into_bytes()),
            Err(error) => Err(format!("error: unable to see who you are: {error}\n").into_bytes()),
        }
    }

    fn heard(&mut self, client: &mut Client, heard: &mut Vec<u8>) -> Next {
        let Some(end) = heard.iter().position(|&byte| byte == b'\n') else {
            return Next::Hear;
        };
        if end > LINE_MAX {
            return Next::Last(self.overlong());
        }
        let line: Vec<u8> = heard.drain(..=end).collect();
        let Ok(line) = std::str::from_utf8(&line) else {
            return Next::Say(b"error: not text\n".to_vec());
        };
        let mut words = line.split_ascii_whitespace().peekable();
        let json = words.next_if_eq(&"json").is_some();
        let words: Vec<&str> = words.collect();
        match self.reply(&words) {
            Reply::Rows(rows) => Next::Say(told(rows, json)),
            Reply::Failed(reason) => Next::Say(failed(&reason, json)),
            Reply::Later(cell) => {
                client.waits = Some((cell, json));
                self.due(client, Mono(0))
            }
        }
    }

    fn due(&mut self, client: &mut Client, _: Mono) -> Next {
        let Some((cell, json)) = client.waits.take() else {
            return Next::Hear;
        };
        match cell.take() {
            Some(Outcome::Ok(rows)) => {
                let rows = rows.into_iter();
                let rows = rows.map(|(name, value)| (name, Json::Text(value)));
                Next::Say(told(rows.collect(), json))
            }
            Some(Outcome::Err(reason)) => Next::Say(failed(&reason, json)),
            None => {
                client.waits = Some((cell, json));
                Next::Wait(None)
            }
        }
    }

    fn overlong(&self) -> Vec<u8> {
        b"error: the line is too long\n".to_vec()
    }

    fn late(&self) -> Vec<u8> {
        b"error: the line did not end in time\n".to_vec()
    }

    fn full(&self) -> Vec<u8> {
        b"error: too many clients\n".to_vec()
    }
}

impl Lines {
    fn reply(&self, words: &[&str]) -> Reply {
        let text = |name: &str, value: String| (name.to_owned(), Json::Text(value));
        match words {
            ["status"] => {
                let rows = self.commands.status().into_iter();
                Reply::Rows(
                    rows.map(|(name, value)| (name, Json::Text(value)))
                        .collect(),
                )
            }
            ["health"] => self.health(),
            ["log-level"] => match self.commands.log_level() {
                Some(handle) => Reply::Rows(vec![text("level", handle.level())]),
                None => Reply::Failed("this service has no log level".to_owned()),
            },
            ["log-level", level] => match self.commands.log_level() {
                Some(handle) => match super::move_level(&*handle, level) {
                    Ok(level) => Reply::Rows(vec![text("level", level)]),
                    Err(reason) => Reply::Failed(reason),
                },
                None => Reply::Failed("this service has no log level".to_owned()),
            },
            ["reload"] => self.later(|answer| self.commands.reload(answer)),
            ["replace"] => self.later(|answer| self.commands.replace(answer)),
            ["stop"] => self.later(|answer| self.commands.stop(answer)),
            ["fds"] => self.descriptors(),
            ["help"] => {
                let rows = QUESTIONS.iter();
                Reply::Rows(
                    rows.map(|(what, why)| text(what, (*why).to_owned()))
                        .collect(),
                )
            }
            [] => Reply::Failed("nothing was asked; help lists what can be".to_owned()),
            [word, ..] => {
                Reply::Failed(format!("unable to {word:?}: help lists what can be asked"))
            }
        }
    }

    fn later(&self, begin: impl FnOnce(Answer)) -> Reply {
        let (answer, cell) = Answer::new(self.waker.clone());
        begin(answer);
        Reply::Later(cell)
    }

    /// What is open; a socket that is served with the names it is served under.
    fn descriptors(&self) -> Reply {
        let sockets = self.commands.sockets();
        // Copies, which must be there while it is listed: it is by them that a socket is known.
        let served = sockets.map(|sockets| sockets.active());
        let served = served.and_then(Result::ok).unwrap_or_default();
        let found = match descriptors::open() {
            Ok(found) => found,
            Err(error) => {
                return Reply::Failed(format!("unable to list /proc/self/fd: {error}"));
            }
        };
        let copies: Vec<u32> = served
            .iter()
            .map(|one| descriptors::number(&one.fd))
            .collect();
        let names = |of: &Descriptor| {
            let mut names: Vec<&str> = Vec::new();
            for (one, copy) in served.iter().zip(&copies) {
                let mut there = found.iter().filter(|there| there.number == *copy);
                if there.any(|there| there.target == of.target) && !names.contains(&&*one.name) {
                    names.push(&one.name);
                }
            }
            names.join(", ")
        };
        let rows = found.iter().filter(|one| !copies.contains(&one.number));
        let rows = rows.map(|one| {
            let names = match one.kind == "socket" {
                true => names(one),
                false => String::new(),
            };
            let blank = if names.is_empty() { "" } else { " " };
            let value = format!("{} {}{blank}{names}", one.kind, one.target);
            (one.number.to_string(), Json::Text(value))
        });
        Reply::Rows(rows.collect())
    }

    fn health(&self) -> Reply {
        let verdict = self.health.verdict();
        let mut rows = vec![
            ("live".to_owned(), Json::Bool(verdict.live())),
            ("ready".to_owned(), Json::Bool(verdict.ready())),
        ];
        let checks = verdict.entries().iter().map(|entry| {
            let condition = Json::Text(entry.condition.to_string());
            (entry.name.clone(), condition)
        });
        let checks: Vec<_> = checks.collect();
        rows.push(("checks".to_owned(), Json::Object(checks)));
        Reply::Rows(rows)
    }
}

/// Rows and `ok`; or one object, `{"ok":true,…}` with the rows as its `data`.
fn told(rows: Vec<(String, Json)>, json: bool) -> Vec<u8> {
    if json {
        let object = Json::Object(vec![
            ("ok".to_owned(), Json::Bool(true)),
            ("data".to_owned(), Json::Object(rows)),
        ]);
        return format!("{object}\n").into_bytes();
    }
    let mut out = String::new();
    for (name, value) in rows {
        line(&mut out, &name, value);
    }
    out.push_str("ok\n");
    out.into_bytes()
}

fn line(out: &mut String, name: &str, value: Json) {
    let value = match value {
        Json::Object(members) => {
            members
                .into_iter()
                .for_each(|(inner, value)| line(out, &format!("{name}.{inner}"), value));
            return;
        }
        Json::Text(text) => one_line(&text),
        Json::Bool(_) => value.to_string(),
    };
    out.push_str(&format!("{}: {value}\n", one_line(name)));
}

fn failed(reason: &str, json: bool) -> Vec<u8> {
    if json {
        let object = Json::Object(vec![
            ("ok".to_owned(), Json::Bool(false)),
            ("error".to_owned(), Json::Text(reason.to_owned())),
        ]);
        return format!("{object}\n").into_bytes();
    }
    format!("error: {}\n", one_line(reason)).into_bytes()
}

/// A line end in a value would be taken for the next row, or for the end.
fn one_line(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}
