//! What each path answers.

use super::State;
use super::http::{Method, Reply, Request, TEXT};
use super::talk::Served;
use super::threads;
use crate::health::{Condition, Entry, Verdict};
use eudaemon_core::redact;
use std::error::Error;
use std::fmt::Write;

type Endpoint = fn(&State, &Request) -> Served;

/// Every path, whether it changes anything, what it is, and what answers.
const PATHS: [(&str, bool, &str, Endpoint); 10] = [
    ("/livez", false, "whether the process lives", live),
    ("/readyz", false, "whether work should come", ready),
    ("/healthz", false, "both", health),
    ("/metrics", false, "OpenMetrics text", metrics),
    (
        "/debug/config",
        false,
        "options, values and where from",
        config,
    ),
    ("/debug/fds", false, "open descriptors", fds),
    ("/debug/threads", false, "threads", thread_table),
    ("/debug/tasks", false, "what the service is doing", tasks),
    ("/debug/level", true, "the log level; PUT moves it", level),
    (
        "/debug/profile",
        false,
        "CPU profile: ?seconds=30&hz=100",
        profile,
    ),
];

pub(super) fn serve(state: &State, request: &Request) -> Served {
    let path = request.path.as_str();
    if matches!(path, "/" | "/debug" | "/debug/") && is_reading(request) {
        let rows = PATHS.iter();
        let list: Vec<String> = rows
            .map(|(path, _, what, _)| format!("{path}  {what}"))
            .collect();
        return Served::Now(Reply::text(200, list.join("\n")));
    }
    let Some((_, changes, _, endpoint)) = PATHS.iter().find(|(known, ..)| *known == path) else {
        return Served::Now(Reply::text(
            404,
            "there is no such page; / lists those there are",
        ));
    };
    if !changes && !is_reading(request) {
        let mut reply = Reply::text(405, "this can only be read");
        reply.allow = Some("GET, HEAD");
        return Served::Now(reply);
    }
    endpoint(state, request)
}

fn is_reading(request: &Request) -> bool {
    matches!(request.method, Method::Get | Method::Head)
}

/// 503 with the whole chain of reasons in one line.
pub(super) fn unable(what: &str, error: &dyn Error) -> Reply {
    let mut words = format!("unable to {what}: {error}");
    let mut below = error.source();
    while let Some(error) = below {
        let _ = write!(words, ": {error}");
        below = error.source();
    }
    Reply::text(503, words)
}

fn live(state: &State, request: &Request) -> Served {
    let verdict = state.health.verdict();
    judged("livez", verdict.live(), &verdict, request, Entry::is_dead)
}

fn ready(state: &State, request: &Request) -> Served {
    let verdict = state.health.verdict();
    judged("readyz", verdict.ready(), &verdict, request, is_wrong)
}

fn health(state: &State, request: &Request) -> Served {
    let verdict = state.health.verdict();
    let both = verdict.live() && verdict.ready();
    judged("healthz", both, &verdict, request, is_wrong)
}

fn is_wrong(entry: &Entry) -> bool {
    entry.condition != Condition::Fine
}

/// `ok`, or line by line what is wrong; the form is that of Kubernetes, "API health endpoints".
fn judged(
    name: &str,
    passes: bool,
    verdict: &Verdict,
    request: &Request,
    counts: fn(&Entry) -> bool,
) -> Served {
    let status = if passes { 200 } else { 503 };
    if passes && request.word("verbose").is_none() {
        return Served::Now(Reply::text(status, "ok"));
    }
    let mut out = String::new();
    if !passes && name != "livez" && verdict.phase() != crate::health::Phase::Running {
        let phase = format!("{:?}", verdict.phase()).to_ascii_lowercase();
        let _ = writeln!(out, "[-]phase {phase}");
    }
    for entry in verdict.entries() {
        let mark = if counts(entry) { '-' } else { '+' };
        // A reason is somebody else's text; a line end in it would begin a line of ours.
        let condition = entry.condition.to_string().replace(char::is_control, " ");
        let _ = writeln!(out, "[{mark}]{} {condition}", entry.name);
    }
    let end = if passes { "passed" } else { "failed" };
    let _ = writeln!(out, "{name} check {end}");
    Served::Now(Reply::text(status, out))
}

fn metrics(state: &State, _: &Request) -> Served {
    Served::Now(Reply {
        status: 200,
        kind: crate::metrics::CONTENT_TYPE,
        allow: None,
        body: state.metrics.text().into_bytes(),
    })
}

fn config(state: &State, _: &Request) -> Served {
    let mut out = String::new();
    for row in (state.config)() {
        let value = redact::shown(&row.name, &row.value);
        let value = value.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(out, "{} = {value}  ({})", row.name, row.source);
    }
    Served::Now(Reply::text(200, out))
}

fn fds(_: &State, _: &Request) -> Served {
    Served::Now(match crate::descriptors::open() {
        Ok(found) => {
            let rows = found.iter();
            let rows = rows.map(|one| format!("{} {} {}", one.number, one.kind, one.target));
            let rows: Vec<String> = rows.collect();
            Reply::text(200, rows.join("\n"))
        }
        Err(error) => unable("list /proc/self/fd", &error),
    })
}

fn thread_table(_: &State, _: &Request) -> Served {
    Served::Now(match threads::table() {
        Ok(table) => Reply::text(200, table),
        Err(error) => unable("list /proc/self/task", &error),
    })
}

fn tasks(state: &State, _: &Request) -> Served {
    let mut out = String::from("NAME AGE SINCE STATE\n");
    for task in state.tasks.list() {
        let line = format!(
            "{} {:.1}s {:.1}s {}",
            task.name.replace(char::is_whitespace, "_"),
            task.age.as_secs_f64(),
            task.since.as_secs_f64(),
            task.state,
        );
        let _ = writeln!(out, "{}", line.replace(char::is_control, " "));
    }
    #[cfg(feature = "tokio")]
    if let Some(runtime) = &state.runtime {
        let numbers = runtime.metrics();
        let _ = writeln!(
            out,
            "\nruntime: {} workers, {} tasks alive, {} waiting in the global queue",
            numbers.num_workers(),
            numbers.num_alive_tasks(),
            numbers.global_queue_depth(),
        );
    }
    Served::Now(Reply::text(200, out))
}

fn level(state: &State, request: &Request) -> Served {
    let Some(handle) = &state.level else {
        return Served::Now(Reply::text(404, "this service has no log level"));
    };
    if is_reading(request) {
        return Served::Now(Reply::text(200, handle.level()));
    }
    let body = String::from_utf8_lossy(&request.body);
    let wanted = request.word("level").unwrap_or_else(|| body.trim());
    Served::Now(match crate::control::move_level(&**handle, wanted) {
        Ok(level) => Reply::text(200, level),
        Err(reason) => Reply::text(400, reason),
    })
}

#[cfg(not(feature = "profile"))]
fn profile(_: &State, _: &Request) -> Served {
    Served::Now(Reply {
        kind: TEXT,
        ..Reply::text(404, "this program was built without the feature `profile`")
    })
}

#[cfg(feature = "profile")]
fn profile(_: &State, request: &Request) -> Served {
    use crate::profile::{HZ, HZ_MAX, Profile};
    use std::time::Duration;

    /// As long as pprof waits if it is not told otherwise, and the longest.
    const SECONDS: u32 = 30;
    const SECONDS_MAX: u32 = 600;
    let number = |name, default, most| match request.word(name) {
        None => Some(default),
        Some(text) => text.parse().ok().filter(|value| (1..=most).contains(value)),
    };
    let (Some(seconds), Some(hz)) = (
        number("seconds", SECONDS, SECONDS_MAX),
        number("hz", HZ, HZ_MAX),
    ) else {
        let words = format!("seconds is 1 to {SECONDS_MAX}, hz is 1 to {HZ_MAX}");
        return Served::Now(Reply::text(400, words));
    };
    if request.method == Method::Head {
        return Served::Now(Reply {
            kind: TEXT,
            ..Reply::text(200, "")
        });
    }
    match Profile::start(hz) {
        Ok(profile) => {
            let until = eudaemon_sys::clock::mono() + Duration::from_secs(seconds.into());
            Served::Later(until, Box::new(move || ended(profile)))
        }
        Err(error) => Served::Now(unable("take a profile", &error)),
    }
}

#[cfg(feature = "profile")]
fn ended(profile: crate::profile::Profile) -> Reply {
    match profile.stop() {
        Ok(body) => Reply {
            status: 200,
            kind: "application/octet-stream",
            allow: None,
            body,
        },
        Err(error) => unable("end the profile", &error),
    }
}
