//! What clients see while a server changes: the example `https` and nginx, read again, replaced and restarted under load. One table of
//! its own: a row is a change and a client.
//!
//! The lab's program `load` does it, inside a machine booted with the real systemd, each run in a fresh one; here it is run, round by
//! round, and its figures are put together: medians, but every failure counts.

use super::Options;
use super::table::figure;
use crate::build::cargo;
use crate::workspace;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// What `--only` chooses from, of this file.
pub const SCENES: [&str; 1] = ["zero-downtime"];

/// Connections at once.
const CONNECTIONS: u32 = 50;
/// The 99th percentile during a change may be this many times that without.
const RATIO_MAX: f64 = 3.0;

/// Who asks, as `load` calls it, and in words.
const CLIENTS: [(&str, &str); 4] = [
    ("wrk", "wrk, connections kept"),
    ("wrk-close", "wrk, a connection for each request"),
    ("h2load", "h2load, HTTP/2 over TLS"),
    ("crowd", "the lab's own, half of them kept"),
];

/// What happens, as `load` calls it, and how often. The first is what the others are held against.
const OURS: [(&str, u32); 4] = [
    ("quiet", 0),
    ("reload", 20),
    ("replace", 20),
    ("restart", 10),
];
const NGINX: [(&str, u32); 3] = [("quiet", 0), ("reload", 20), ("replace", 20)];

/// Figures by name.
type Figures = BTreeMap<String, Vec<f64>>;

/// A row in the making: whose, what, who asks; one entry for each round.
struct Row {
    server: &'static str,
    change: &'static str,
    times: u32,
    client: (&'static str, &'static str),
    rounds: Vec<Figures>,
    ratios: Vec<f64>,
}

/// Measures; the table for people, and the same for machines.
pub fn play(options: &Options, notes: &mut Vec<String>) -> Result<(String, Value), String> {
    let load = build(&["-p", "eudaemon-lab", "--bin", "load"], "load")?;
    let features = ["--features", "tls-tokio"];
    let example = ["-p", "eudaemon", "--example", "https"];
    let https = build(&[example.as_slice(), &features].concat(), "examples/https")?;
    let (seconds, part) = if options.quick { (4, 5) } else { (20, 1) };
    let https = https.display().to_string();
    let servers = [
        ("ours", https.as_str(), OURS.as_slice()),
        ("nginx", "nginx", &NGINX),
    ];
    let mut rows = Vec::new();
    for (server, _, changes) in servers {
        for (change, times) in changes {
            let times = times.div_ceil(part);
            rows.extend(CLIENTS.map(|client| Row {
                server,
                change,
                times,
                client,
                rounds: Vec::new(),
                ratios: Vec::new(),
            }));
        }
    }
    for round in 0..options.rounds {
        for client in CLIENTS {
            for (server, program, changes) in servers {
                let mut quiet = None;
                for (change, _) in changes {
                    let row = rows.iter_mut().find(|row| {
                        (row.server, row.change, row.client) == (server, *change, client)
                    });
                    let Some(row) = row else { continue };
                    eprintln!(
                        "xtask: round {} of {}: {server}, {change}, {}",
                        round + 1,
                        options.rounds,
                        client.0
                    );
                    let words = [
                        format!("machine:{program}"),
                        (*change).to_owned(),
                        client.0.to_owned(),
                        seconds.to_string(),
                        row.times.to_string(),
                        CONNECTIONS.to_string(),
                    ];
                    match run(&load, &words) {
                        Ok(figures) => row.note(figures, &mut quiet),
                        Err(why) => {
                            let why = format!("{server}, {change}, {}: {why}", client.0);
                            eprintln!("xtask: warning: {why}");
                            notes.push(why);
                        }
                    }
                }
            }
        }
    }
    rows.retain(|row| !row.rounds.is_empty());
    // Who asks the same stands together.
    rows.sort_by_key(|row| CLIENTS.iter().position(|client| *client == row.client));
    let values: Vec<Value> = rows.iter().map(Row::json).collect();
    Ok((text(&rows, seconds, options.rounds), json!(values)))
}

fn build(what: &[&str], name: &str) -> Result<PathBuf, String> {
    let top = workspace().join("target");
    let status = cargo()
        .args(["build", "--release", "--quiet", "--target-dir"])
        .arg(&top)
        .args(what)
        .status()
        .map_err(|why| format!("unable to run cargo: {why}"))?;
    if !status.success() {
        return Err(format!("unable to build {name}: {status}"));
    }
    Ok(top.join("release").join(name))
}

/// One run; what it complains of is shown.
fn run(load: &Path, words: &[String]) -> Result<Figures, String> {
    let out = std::process::Command::new(load)
        .args(words)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|why| format!("unable to run {}: {why}", load.display()))?;
    if !out.status.success() {
        return Err(out.status.to_string());
    }
    told(&String::from_utf8_lossy(&out.stdout))
}

/// What `load` tells: a name and a number a line.
fn told(text: &str) -> Result<Figures, String> {
    let mut figures = Figures::new();
    for line in text.lines() {
        let (name, number) = line.split_once('\t').unwrap_or((line, ""));
        let number = number.parse().map_err(|_| format!("load says {line:?}"))?;
        figures.entry(name.to_owned()).or_default().push(number);
    }
    match ["answered", "failed", "p50", "p99", "rate"]
        .iter()
        .find(|name| !figures.contains_key(**name))
    {
        Some(name) => Err(format!("load says nothing of {name:?}: {text:?}")),
        None => Ok(figures),
    }
}

fn median(mut list: Vec<f64>) -> Option<f64> {
    list.sort_by(f64::total_cmp);
    match list.len() {
        0 => None,
        count if count % 2 == 1 => Some(list[count / 2]),
        count => Some(f64::midpoint(list[count / 2 - 1], list[count / 2])),
    }
}

impl Row {
    /// Adds a round. The quiet run of a round is what the round's others are divided by.
    fn note(&mut self, figures: Figures, quiet: &mut Option<f64>) {
        let p99 = figures.get("p99").and_then(|list| list.first()).copied();
        if self.change == "quiet" {
            *quiet = p99;
        } else if let (Some(p99), Some(quiet)) = (p99, *quiet) {
            self.ratios.push(p99 / quiet.max(1.0));
        }
        self.rounds.push(figures);
    }

    fn all(&self, name: &str) -> Vec<f64> {
        let lists = self.rounds.iter().filter_map(|round| round.get(name));
        lists.flatten().copied().collect()
    }

    fn sum(&self, name: &str) -> f64 {
        self.all(name).iter().sum()
    }

    /// In thousands: milliseconds of microseconds.
    fn milli(&self, name: &str) -> Option<f64> {
        median(self.all(name)).map(|value| value / 1e3)
    }

    fn ratio(&self) -> Option<f64> {
        median(self.ratios.clone())
    }

    /// Whether it is as it should be; nothing is asked of others.
    fn met(&self) -> Option<bool> {
        let ratio = self.ratio().is_none_or(|ratio| ratio <= RATIO_MAX);
        (self.server == "ours").then_some(self.sum("failed") == 0.0 && ratio)
    }

    fn words(&self) -> String {
        match (self.server, self.change) {
            (_, "quiet") => "nothing happens".to_owned(),
            ("nginx", "reload") => format!("{} `-s reload`", self.times),
            ("nginx", _) => format!("{} upgrades by USR2", self.times),
            (_, "reload") => format!("{} reloads", self.times),
            (_, "replace") => format!("{} replacements", self.times),
            (_, other) => format!("{} `systemctl {other}`", self.times),
        }
    }

    fn json(&self) -> Value {
        json!({
            "server": self.server, "change": self.change, "times": self.times, "client": self.client.0,
            "rounds": self.rounds, "ratios": self.ratios, "met": self.met(),
        })
    }
}

/// In the form that docs/bench.md shows.
fn text(rows: &[Row], seconds: u64, rounds: usize) -> String {
    let mut out = format!(
        "zero downtime: {CONNECTIONS} connections, {seconds} s, {rounds} rounds; times in ms, medians; failures and requests of all rounds\n\n"
    );
    out.push_str("| client | server | meanwhile | requests | failed | p50 | p99 | to quiet | p99 of those in a change | requests/s | a change takes | |\n");
    out.push_str("|---|---|---|---|---|---|---|---|---|---|---|---|\n");
    for row in rows {
        let verdict = row
            .met()
            .map_or("", |met| if met { "met" } else { "MISSED" });
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {verdict} |",
            row.client.1,
            row.server,
            row.words(),
            figure(Some(row.sum("answered"))),
            figure(Some(row.sum("failed"))),
            figure(row.milli("p50")),
            figure(row.milli("p99")),
            figure(row.ratio()),
            figure(row.milli("p99 changing")),
            figure(median(row.all("rate"))),
            figure(row.milli("change")),
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(server: &'static str, change: &'static str) -> Row {
        Row {
            server,
            change,
            times: 2,
            client: CLIENTS[0],
            rounds: Vec::new(),
            ratios: Vec::new(),
        }
    }

    fn figures(failed: f64, p99: f64) -> Figures {
        let text = format!(
            "answered\t10\nfailed\t{failed}\np50\t1\np99\t{p99}\nrate\t5\nchange\t7\nchange\t9\n"
        );
        told(&text).expect("figures")
    }

    #[test]
    fn a_ratio_is_of_its_own_round_and_one_failure_is_a_miss() {
        let (mut quiet, mut replace) = (row("ours", "quiet"), row("ours", "replace"));
        for (calm, busy) in [(100.0, 200.0), (1000.0, 4000.0), (100.0, 290.0)] {
            let mut before = None;
            quiet.note(figures(0.0, calm), &mut before);
            replace.note(figures(0.0, busy), &mut before);
        }
        assert_eq!((replace.ratio(), replace.met()), (Some(2.9), Some(true)));
        assert_eq!((quiet.ratio(), quiet.met()), (None, Some(true)));
        assert_eq!(replace.milli("change"), Some(0.008));
        replace.note(figures(1.0, 1.0), &mut None);
        assert_eq!((replace.sum("failed"), replace.met()), (1.0, Some(false)));
        let told = text(&[quiet, replace, row("nginx", "reload")], 20, 3);
        assert!(told.contains("| 2 replacements | 40 | 1 |"), "{told}");
        assert_eq!(told.matches("MISSED").count(), 1, "{told}");
        assert_eq!(row("nginx", "reload").met(), None);
    }

    #[test]
    fn a_slow_change_is_a_miss_and_words_without_a_figure_are_refused() {
        let (mut row, mut quiet) = (row("ours", "restart"), Some(100.0));
        row.note(figures(0.0, 301.0), &mut quiet);
        assert_eq!(row.met(), Some(false));
        assert!(told("answered\t1\n").unwrap_err().contains("failed"));
        assert!(told("hello").unwrap_err().contains("hello"));
    }
}
