//! What is said over a tree's socket: one JSON object a line, in both directions.
//!
//! A client connects to `DIR/.eudaemon/control`, writes one [`Request`], and reads [`Answer`]s until the one that says
//! `done`. Each named service is answered once, when what was asked has happened, has failed, or has taken too long.

use serde::{Deserialize, Serialize};

/// Version of the protocol.
pub const VERSION: u32 = 1;

/// What a client asks. A key we do not know is a mistake: `wait` for `wait_ms` must not mean "do not wait".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// [`VERSION`].
    pub v: u32,
    /// What to do.
    #[serde(rename = "do")]
    pub verb: Verb,
    /// With which services, by name (`NAME` or `NAME/log`); empty means all for [`Verb::Status`] and nothing otherwise.
    #[serde(default)]
    pub names: Vec<String>,
    /// How long to wait for the outcome, in milliseconds; 0 answers at once.
    #[serde(default)]
    pub wait_ms: u64,
    /// The signal of [`Verb::Kill`], by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
}

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Say what each service does.
    Status,
    /// Want it up; done when it is ready.
    Start,
    /// Want it down; done when nothing of it runs.
    Stop,
    /// Take the running one down and bring it up; done when a new one is ready.
    Restart,
    /// Send HUP; done when sent.
    Reload,
    /// Send a signal; done when sent.
    Kill,
}

/// One line of an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// [`VERSION`].
    pub v: u32,
    /// Which service this is about; none in the last line, or when the whole request was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it happened.
    pub ok: bool,
    /// It did not happen in time; it may yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub timed_out: bool,
    /// Why not, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What the service does now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
    /// This was the last line.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub done: bool,
}

/// What one service does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Its name in the scan directory; a logger's is `NAME/log`.
    pub name: String,
    /// `ready`, `up` (running, not yet ready), `starting`, `stopping`, `finishing`, `down`, `failed`, `waiting` (for a
    /// moment), `held` (for a condition).
    pub state: String,
    /// The pid of the running script.
    pub pid: Option<u32>,
    /// `up`, `down` or `once`.
    pub wanted: String,
    /// Whether it is up and ready.
    pub ready: bool,
    /// Whether it is stopped by `p`.
    pub paused: bool,
    /// Unix seconds since the pid last changed.
    pub since: f64,
    /// How often it was started.
    pub starts: u32,
    /// How its latest run ended, in words: `exit 1`, `signal KILL`.
    pub last: Option<String>,
    /// Why it is as it is, in words, and what happens next; empty when there is nothing to say.
    #[serde(default)]
    pub detail: String,
    /// Absolute path of the service directory.
    pub dir: String,
    /// Whether a logger takes its output, and whether that logger is the built-in one.
    #[serde(default)]
    pub logged: bool,
    /// Directory of the built-in logger's files, if it is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_dir: Option<String>,
}

impl Answer {
    /// A line about one service.
    #[must_use]
    pub fn about(name: &str, service: Option<Service>, error: Option<String>) -> Answer {
        let ok = error.is_none();
        Answer {
            v: VERSION,
            name: Some(name.to_owned()),
            ok,
            error,
            service,
            ..Answer::default()
        }
    }
    /// The last line.
    #[must_use]
    pub fn done() -> Answer {
        Answer {
            v: VERSION,
            ok: true,
            done: true,
            ..Answer::default()
        }
    }
    /// The whole request is refused.
    #[must_use]
    pub fn refused(why: &str) -> Answer {
        Answer {
            v: VERSION,
            ok: false,
            error: Some(why.to_owned()),
            done: true,
            ..Answer::default()
        }
    }
}
