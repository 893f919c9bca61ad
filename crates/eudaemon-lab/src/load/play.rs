//! One client asks, the server changes at even intervals, and each change is waited for.

use super::crowd::{Crowd, Size};
use super::figures::Figures;
use super::server::{NGINX, Server};
use super::{h2load, wrk};
use crate::bins::need;
use crate::wait::until;
use crate::world::World;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// wrk, HTTP/1.1, connections kept.
    Wrk,
    /// wrk, each request over a new connection.
    WrkClose,
    /// h2load, HTTP/2 over TLS, ten streams a connection.
    H2load,
    /// The [crowd](super::crowd) of our own: half of it keeps its connections, a tenth rests, the others are fresh.
    Crowd,
    /// The crowd again, most of it patient: it asks for what takes long. A check, no measure.
    Patient,
}

/// What happens meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Quiet,
    /// The configuration is read again.
    Reload,
    /// Another process takes over.
    Replace,
    /// The unit is stopped and started.
    Restart,
}

/// A run.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    /// Who asks.
    pub client: Client,
    /// What happens.
    pub change: Change,
    /// How often.
    pub times: u32,
    /// For how long it is asked.
    pub seconds: u64,
    /// Over how many connections at once.
    pub connections: u32,
}

/// What was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What came of the requests.
    pub figures: Figures,
    /// From when to when each change took, as time since the first request.
    pub changes: Vec<(Duration, Duration)>,
    /// Failures of the crowd with their times; the other clients do not tell.
    pub failures: Vec<(Duration, String)>,
}

/// Requests of one run of h2load in a lane: about a second's.
const H2LOAD_REQUESTS: u32 = 20_000;

/// Plays it.
///
/// # Errors
/// A client or a change failed to do its part; that requests failed is a figure.
pub fn play(world: &World, server: &Server<'_>, scene: Scene) -> Result<Seen, String> {
    let begun = Instant::now();
    let whole = Duration::from_secs(scene.seconds);
    let (connections, seconds) = (scene.connections, scene.seconds);
    let changing = || -> Result<Vec<(Instant, Instant)>, String> {
        let times = if scene.change == Change::Quiet {
            0
        } else {
            scene.times
        };
        let mut changes = Vec::new();
        let mut serving = server.main()?;
        for at in 0..times {
            // The first after half an interval, the last well before the load ends.
            let due = begun + whole * (2 * at + 1) / (2 * times + 1);
            until(due.saturating_duration_since(Instant::now()), || false);
            let from = Instant::now();
            match scene.change {
                Change::Quiet => {}
                Change::Reload => server.reload()?,
                Change::Replace => server.replace()?,
                Change::Restart => server.restart()?,
            }
            changes.push((from, Instant::now()));
            let before = std::mem::replace(&mut serving, server.main()?);
            if (before == serving) != (scene.change == Change::Reload) {
                let (change, at) = (scene.change, at + 1);
                return Err(format!(
                    "{before} was the service, and {serving} is, after {change} {at}"
                ));
            }
        }
        Ok(changes)
    };
    let mut failures = Vec::new();
    let (figures, changes) = match scene.client {
        Client::Crowd | Client::Patient => {
            let (rest, fresh) = (connections / 10, connections * 2 / 5);
            let others = connections - rest - fresh;
            let (keep, patient) = match scene.client {
                Client::Patient => (0, others),
                Client::Wrk | Client::WrkClose | Client::H2load | Client::Crowd => (others, 0),
            };
            let size = Size {
                keep,
                rest,
                fresh,
                patient,
            };
            let crowd = Crowd::start(([127, 0, 0, 1], server.plain).into(), size);
            let changes = changing();
            until(
                (begun + whole).saturating_duration_since(Instant::now()),
                || false,
            );
            let told = crowd.end();
            let changes = changes?;
            failures.extend(told.failures.iter().map(|failure| {
                let what = format!("{:?}: {}", failure.habit, failure.what);
                (failure.at.saturating_duration_since(begun), what)
            }));
            (told.figures(&changes), changes)
        }
        Client::Wrk | Client::WrkClose => {
            let close = scene.client == Client::WrkClose;
            let run = || wrk::run(world, server.plain, seconds, connections, close);
            let (figures, changes) = beside(run, changing)?;
            (figures, changes)
        }
        Client::H2load => {
            let end = begun + whole;
            let run = || h2load::run(world, server.tls, connections, H2LOAD_REQUESTS, end);
            let ((asked, failed), changes) = beside(run, changing)?;
            let mut figures = Figures::of(&asked, begun.elapsed(), &changes);
            figures.failed = failed.failed;
            (figures, changes)
        }
    };
    if let Some((_, late)) = changes.iter().find(|(_, to)| *to > begun + whole) {
        return Err(format!(
            "{} changes took {:?}, longer than there was load: ask for more seconds",
            scene.times,
            late.saturating_duration_since(begun)
        ));
    }
    server.alone()?;
    let since = |at: Instant| at.saturating_duration_since(begun);
    Ok(Seen {
        figures,
        changes: changes
            .iter()
            .map(|&(from, to)| (since(from), since(to)))
            .collect(),
        failures,
    })
}

/// Runs the one in a thread beside the other.
fn beside<A: Send, B>(
    one: impl FnOnce() -> Result<A, String> + Send,
    other: impl FnOnce() -> Result<B, String>,
) -> Result<(A, B), String> {
    std::thread::scope(|scope| {
        let one = scope.spawn(one);
        let other = other();
        let one = one.join().map_err(|_| "a client panicked")?;
        Ok((one?, other?))
    })
}

impl Client {
    /// All of them, with their names.
    pub const ALL: [(Client, &str); 5] = [
        (Client::Wrk, "wrk"),
        (Client::WrkClose, "wrk-close"),
        (Client::H2load, "h2load"),
        (Client::Crowd, "crowd"),
        (Client::Patient, "patient"),
    ];
}

impl Change {
    /// All of them, with their names.
    pub const ALL: [(Change, &str); 4] = [
        (Change::Quiet, "quiet"),
        (Change::Reload, "reload"),
        (Change::Replace, "replace"),
        (Change::Restart, "restart"),
    ];
}

/// Whether nginx and the clients of others are there; says which is not, as [`skipped`](crate::skipped) does.
#[must_use]
pub fn need_load() -> bool {
    need(&[NGINX, wrk::PROGRAM, h2load::PROGRAM, "/usr/bin/openssl"])
}

macro_rules! named {
    ($what:ident) => {
        impl FromStr for $what {
            type Err = String;
            fn from_str(word: &str) -> Result<$what, String> {
                let found = $what::ALL.iter().find(|(_, name)| *name == word);
                found
                    .map(|(which, _)| *which)
                    .ok_or(format!("{word:?} is none"))
            }
        }
        impl fmt::Display for $what {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let found = $what::ALL.iter().find(|(which, _)| which == self);
                f.write_str(found.map_or("", |(_, name)| name))
            }
        }
    };
}
named!(Client);
named!(Change);
