//! `status`: a table, a page, or JSON.

use super::client::ask;
use super::logs;
use super::screen::{Clock, Colour, Screen, age, memory, plain};
use super::{Stop, print, talk};
use eudaemon_core::exit::Exit;
use eudaemon_engine::request::{Request, Service, VERSION, Verb};
use jiff::Timestamp;
use serde::Serialize;
use std::path::Path;

/// Lines of the log on the page of one service.
const TAIL: u64 = 10;

/// Says what the services do.
pub fn status(tree: &Path, names: &[String], json: bool, all: bool) -> Result<Exit, Stop> {
    let mut wanted: Vec<String> = Vec::new();
    for name in names {
        let name = name.trim_end_matches('/').to_owned();
        if !wanted.contains(&name) {
            wanted.push(name);
        }
    }
    let request = Request {
        v: VERSION,
        verb: Verb::Status,
        names: wanted.clone(),
        wait_ms: 0,
        signal: None,
    };
    let mut services = Vec::new();
    let mut missing = Vec::new();
    ask(tree, &request, &mut |answer| match answer.service {
        Some(service) => services.push(service),
        None => missing.push((answer.name.unwrap_or_default(), answer.error)),
    })?;
    for name in &wanted {
        let seen = services.iter().any(|service| &service.name == name)
            || missing.iter().any(|(known, _)| known == name);
        if !seen {
            missing.push((name.clone(), None));
        }
    }
    let screen = Screen::of_stdout();
    let now = Timestamp::now().as_millisecond() as f64 / 1000.0;
    let text = if json {
        let mut text = as_json(&services)?;
        text.push('\n');
        text
    } else if let ([_], [service]) = (&wanted[..], &services[..]) {
        page(screen, tree, service, now)
    } else if wanted.is_empty() {
        table(screen, &services, now, all, &resident)
    } else if services.is_empty() {
        String::new()
    } else {
        table(screen, &services, now, true, &resident)
    };
    print(text.as_bytes())?;
    for (name, why) in &missing {
        let why = why.as_deref().unwrap_or("no such service");
        talk(
            "warning",
            &format!(
                "unable to look at {}: {}; `eudaemon status` names the services",
                plain(name),
                plain(why)
            ),
        );
    }
    let failing = services
        .iter()
        .any(|service| Health::of(service) == Health::Failing);
    Ok(match failing || !missing.is_empty() {
        true => Exit::Failed,
        false => Exit::Done,
    })
}

/// What a state means for who looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Well,
    Changing,
    Failing,
    Down,
}

impl Health {
    fn of(service: &Service) -> Health {
        match service.state.as_str() {
            "ready" | "up" => Health::Well,
            "failed" | "held" => Health::Failing,
            "down" if service.wanted == "down" => Health::Down,
            // Run once, as wished, and over.
            "down" if service.wanted == "once" && service.starts > 0 => Health::Down,
            // `starting`, `waiting`, ...; a state of a later version is on its way to somewhere.
            _ => Health::Changing,
        }
    }
    fn mark(self, screen: Screen) -> String {
        let (fancy, ascii, colour) = match self {
            Health::Well => ("●", "*", Colour::Green),
            Health::Changing => ("◐", "~", Colour::Amber),
            Health::Failing => ("✗", "x", Colour::Red),
            Health::Down => ("○", "-", Colour::Dim),
        };
        screen.paint(colour, if screen.fancy { fancy } else { ascii })
    }
    fn colour(self) -> Colour {
        match self {
            Health::Well => Colour::Green,
            Health::Changing => Colour::Amber,
            Health::Failing => Colour::Red,
            Health::Down => Colour::Dim,
        }
    }
}

#[derive(Serialize)]
struct Versioned<'a> {
    v: u32,
    #[serde(flatten)]
    service: &'a Service,
}

fn as_json(services: &[Service]) -> Result<String, Stop> {
    let all: Vec<_> = services
        .iter()
        .map(|service| Versioned {
            v: VERSION,
            service,
        })
        .collect();
    serde_json::to_string_pretty(&all)
        .map_err(|error| Stop::new(Exit::Temporary, format!("unable to write JSON: {error}")))
}

/// The state, and what the state alone does not say.
fn state_words(service: &Service) -> String {
    let state = plain(&service.state);
    if service.paused {
        format!("{state}, paused")
    } else {
        state
    }
}

fn restarts(service: &Service) -> u32 {
    service.starts.saturating_sub(1)
}

fn since(service: &Service, now: f64) -> String {
    // No moment is known before the first start of all.
    if service.since > 0.0 {
        age(now - service.since)
    } else {
        "-".to_owned()
    }
}

fn detail(service: &Service) -> String {
    let mut parts = Vec::new();
    let well = matches!(Health::of(service), Health::Well | Health::Down);
    if !well
        && let Some(last) = &service.last
        && !service.detail.contains(last.as_str())
    {
        parts.push(plain(last));
    }
    if !service.detail.is_empty() {
        parts.push(plain(&service.detail));
    }
    parts.join(", ")
}

/// Resident memory of a process, in KiB. Source: proc_pid_status(5), `VmRSS`.
fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Columns that hold numbers stand to the right.
const COLUMNS: [(&str, bool); 7] = [
    ("SERVICE", false),
    ("STATE", false),
    ("SINCE", false),
    ("PID", true),
    ("RESTARTS", true),
    ("MEM", true),
    ("DETAIL", false),
];

fn table(
    screen: Screen,
    services: &[Service],
    now: f64,
    all: bool,
    resident: &dyn Fn(u32) -> Option<u64>,
) -> String {
    let shown: Vec<&Service> = services
        .iter()
        .filter(|service| all || !is_quiet_logger(service))
        .collect();
    let rows: Vec<[String; 7]> = shown
        .iter()
        .map(|service| {
            let dash = || "-".to_owned();
            [
                plain(&service.name),
                state_words(service),
                since(service, now),
                service.pid.map_or_else(dash, |pid| pid.to_string()),
                restarts(service).to_string(),
                service.pid.and_then(resident).map_or_else(dash, memory),
                detail(service),
            ]
        })
        .collect();
    let width = |at: usize| {
        let cells = rows.iter().map(|row| row[at].chars().count());
        cells.max().unwrap_or(0).max(COLUMNS[at].0.len())
    };
    let widths: [usize; 7] = std::array::from_fn(width);
    let mut out = String::new();
    if !rows.is_empty() {
        let heads = COLUMNS.map(|(head, _)| head.to_owned());
        out.push_str(&laid_out("  ", &heads, &widths, &|_, cell| cell));
    }
    for (row, service) in rows.iter().zip(&shown) {
        let health = Health::of(service);
        let mark = format!("{} ", health.mark(screen));
        out.push_str(&laid_out(&mark, row, &widths, &|at, cell| match at {
            1 => screen.paint(health.colour(), &cell),
            _ => cell,
        }));
    }
    out.push_str(&summary(services));
    out
}

fn laid_out(
    mark: &str,
    cells: &[String; 7],
    widths: &[usize; 7],
    paint: &dyn Fn(usize, String) -> String,
) -> String {
    let mut line = mark.to_owned();
    for (at, cell) in cells.iter().enumerate() {
        let pad = " ".repeat(widths[at].saturating_sub(cell.chars().count()));
        let cell = paint(at, cell.clone());
        if at > 0 {
            line.push_str("  ");
        }
        match COLUMNS[at].1 {
            true => line.push_str(&format!("{pad}{cell}")),
            false => line.push_str(&format!("{cell}{pad}")),
        }
    }
    let end = line.trim_end().len();
    line.truncate(end);
    line.push('\n');
    line
}

/// A logger that is well says nothing new; its service stands for it.
fn is_quiet_logger(service: &Service) -> bool {
    service.name.ends_with("/log") && Health::of(service) == Health::Well
}

fn summary(services: &[Service]) -> String {
    let services: Vec<&Service> = services
        .iter()
        .filter(|service| !service.name.ends_with("/log") || Health::of(service) == Health::Failing)
        .collect();
    let count = |health| {
        let of = services
            .iter()
            .filter(|service| Health::of(service) == health);
        of.count()
    };
    let mut parts = vec![format!("{} ok", count(Health::Well))];
    for (health, word) in [
        (Health::Changing, "changing"),
        (Health::Down, "down"),
        (Health::Failing, "failing"),
    ] {
        match count(health) {
            0 => {}
            count => parts.push(format!("{count} {word}")),
        }
    }
    let many = if services.len() == 1 { "" } else { "s" };
    let mut text = format!("{} service{many}: {}.", services.len(), parts.join(", "));
    let failing = services
        .iter()
        .find(|service| Health::of(service) == Health::Failing);
    if let Some(service) = failing {
        text.push_str(&format!(
            "  `eudaemon status {}` tells more.",
            plain(&service.name)
        ));
    }
    text.push('\n');
    text
}

fn page(screen: Screen, tree: &Path, service: &Service, now: f64) -> String {
    let health = Health::of(service);
    let clock = Clock::new(crate::zone::local(), Timestamp::now());
    let mut out = format!(
        "{} {}  {}\n",
        health.mark(screen),
        plain(&service.name),
        screen.paint(health.colour(), &state_words(service))
    );
    let mut row = |head: &str, text: String| {
        if !text.is_empty() {
            out.push_str(&format!("  {head:<10} {text}\n"));
        }
    };
    if service.since > 0.0
        && let Some(moment) = clock.moment(service.since)
    {
        row("since", format!("{moment} ({})", since(service, now)));
    }
    let pid = service.pid.map(|pid| match resident(pid) {
        Some(kib) => format!("{pid} ({})", memory(kib)),
        None => pid.to_string(),
    });
    row("pid", pid.unwrap_or_else(|| "-".to_owned()));
    row("wanted", plain(&service.wanted));
    row("restarts", restarts(service).to_string());
    let last = service.last.as_deref().map(plain);
    row("last end", last.unwrap_or_default());
    row("why", plain(&service.detail));
    row("directory", plain(&service.dir));
    let dirs = logs::directories(tree, &service.name, service.log_dir.as_deref());
    for dir in &dirs {
        row("log", plain(&dir.display().to_string()));
    }
    if dirs.is_empty() && !service.name.ends_with("/log") {
        let said = match service.logged {
            true => "a logger takes its output, and keeps it elsewhere",
            false => "nothing takes its output",
        };
        row("log", said.to_owned());
    }
    match logs::tail(screen, &dirs, TAIL) {
        Ok(lines) if !lines.is_empty() => {
            out.push('\n');
            out.push_str(&String::from_utf8_lossy(&lines));
        }
        Ok(_) => {}
        Err(why) => talk("warning", &why),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::client::tests::{Fake, service};
    use eudaemon_engine::request::Answer;

    const PIPE: Screen = Screen {
        terminal: false,
        colour: false,
        fancy: false,
    };
    const TERMINAL: Screen = Screen {
        terminal: true,
        colour: false,
        fancy: true,
    };

    fn some() -> Vec<Service> {
        let with = |name: &str, state: &str, pid, since, starts| Service {
            since,
            starts,
            ..service(name, state, pid)
        };
        vec![
            with("postgres", "ready", Some(812), 1000.0, 1),
            with("web", "starting", Some(4177), 9996.0, 4),
            with("web/log", "up", Some(4178), 9000.0, 1),
            Service {
                last: Some("exit 111".into()),
                detail: "next try in 12 s".into(),
                ..with("mailer", "failed", None, 9940.0, 18)
            },
            Service {
                wanted: "down".into(),
                ..with("backup", "down", None, 0.0, 0)
            },
        ]
    }

    #[test]
    fn the_table_stands_straight() {
        let memory = |pid| (pid == 812).then_some(184_320);
        let text = table(TERMINAL, &some(), 10_000.0, false, &memory);
        let expected = [
            "  SERVICE   STATE     SINCE    PID  RESTARTS   MEM  DETAIL",
            "● postgres  ready     2h 30m   812         0  180M",
            "◐ web       starting  4s      4177         3     -",
            "✗ mailer    failed    1m         -        17     -  exit 111, next try in 12 s",
            "○ backup    down      -          -         0     -",
            "4 services: 1 ok, 1 changing, 1 down, 1 failing.  `eudaemon status mailer` tells more.",
            "",
        ]
        .join("\n");
        assert_eq!(text, expected);
        let text = table(PIPE, &some(), 10_000.0, true, &|_| None);
        assert!(text.is_ascii(), "{text}");
        assert!(text.contains("\n* web/log "), "{text}");
        assert!(text.contains("\nx mailer "), "{text}");
        assert!(text.contains("\n- backup "), "{text}");
        assert_eq!(
            table(PIPE, &[], 0.0, true, &|_| None),
            "0 services: 0 ok.\n"
        );
    }

    #[test]
    fn a_name_and_a_reason_cannot_act_on_the_terminal() {
        let bad = Service {
            detail: "\x1b]0;mine\x07".into(),
            ..service("a\x1b[2Jb", "up\r", Some(1))
        };
        for text in [
            table(TERMINAL, std::slice::from_ref(&bad), 0.0, true, &|_| None),
            page(TERMINAL, Path::new("/nowhere"), &bad, 0.0),
        ] {
            let acts = text.chars().any(|c| c.is_control() && c != '\n');
            assert!(!acts, "{text:?}");
        }
    }

    #[test]
    fn down_is_well_only_if_wished() {
        let mut one = service("a", "down", None);
        assert_eq!(Health::of(&one), Health::Changing);
        one.wanted = "down".into();
        assert_eq!(Health::of(&one), Health::Down);
        one.wanted = "once".into();
        assert_eq!(Health::of(&one), Health::Down);
        one.starts = 0;
        assert_eq!(Health::of(&one), Health::Changing);
    }

    #[test]
    fn json_is_an_array_of_versioned_services() {
        let text = as_json(&some()).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value[0]["v"], 1);
        assert_eq!(value[0]["name"], "postgres");
        assert_eq!(value[1]["pid"], 4177);
        assert_eq!(value.as_array().unwrap().len(), 5);
        assert_eq!(as_json(&[]).unwrap(), "[]");
    }

    #[test]
    fn the_exit_code_says_whether_all_is_well() {
        let fake = Fake::new("status", |request, _| {
            let about = |name: &String| match name.as_str() {
                "missing" => Answer::about(name, None, Some("no such service".into())),
                "sick" => Answer::about(name, Some(service(name, "failed", None)), None),
                _ => Answer::about(name, Some(service(name, "up", Some(1))), None),
            };
            let mut lines: Vec<_> = request.names.iter().map(about).collect();
            lines.push(Answer::done());
            Some(lines)
        });
        for (names, exit) in [
            (&["well"][..], Exit::Done),
            (&["well", "fine/"], Exit::Done),
            (&["well", "sick"], Exit::Failed),
            (&["missing"], Exit::Failed),
        ] {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            for json in [false, true] {
                let got = status(fake.dir(), &names, json, false).unwrap();
                assert_eq!(got, exit, "{names:?}");
            }
        }
    }
}
