//! wrk, and what it prints.
//!
//! It keeps a connection as long as the server does, sends the next request as soon as one is answered, and connects again when an
//! answer says `Connection: close`, which it does not count. A connection that ends otherwise is a `read` error: it always has
//! a request under way. Observed with wrk 4.1.0.

use super::figures::Figures;
use crate::world::World;
use std::path::Path;
use std::time::Duration;

/// The program.
pub const PROGRAM: &str = "/usr/bin/wrk";

/// Asks for this long over so many connections; with `close`, each for one request.
pub fn run(
    world: &World,
    port: u16,
    seconds: u64,
    connections: u32,
    close: bool,
) -> Result<Figures, String> {
    let mut words = vec![
        "--threads=2".to_owned(),
        format!("--connections={connections}"),
        format!("--duration={seconds}s"),
        "--timeout=10s".to_owned(),
        "--latency".to_owned(),
    ];
    if close {
        words.push("--header=Connection: close".to_owned());
    }
    words.push(format!("http://127.0.0.1:{port}/"));
    let null = std::fs::File::open("/dev/null").map_err(|why| format!("/dev/null: {why}"))?;
    let running = world.start_on(Path::new(PROGRAM), &words, null.into());
    let ended = running.outcome(Duration::from_secs(seconds + 60));
    let ended = ended.ok_or("wrk does not end")?;
    if ended.code != 0 {
        return Err(format!("wrk: {ended:?}"));
    }
    told(&ended.out)
}

/// The figures in its words.
fn told(text: &str) -> Result<Figures, String> {
    let lacks = |what: &str| format!("wrk says nothing of {what}: {text}");
    let after = |label: &str| {
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(label));
        line.map(str::trim)
    };
    let time = |label: &str| after(label).and_then(time).ok_or(lacks(label));
    let requests = text
        .lines()
        .find_map(|line| line.trim().split_once(" requests in "));
    let mut figures = Figures {
        p50: time("50%")?,
        p99: time("99%")?,
        per_second: after("Requests/sec:")
            .and_then(|rate| rate.parse().ok())
            .ok_or(lacks("a rate"))?,
        answered: requests
            .and_then(|(count, _)| count.parse().ok())
            .ok_or(lacks("requests"))?,
        ..Figures::default()
    };
    // `connect 0, read 400, write 0, timeout 0`, and only if there was one.
    for error in after("Socket errors:").unwrap_or_default().split(", ") {
        if let Some((what, count)) = error.split_once(' ') {
            figures.fail(what, count.parse().map_err(|_| lacks("errors"))?);
        }
    }
    if let Some(count) = after("Non-2xx or 3xx responses:") {
        let count = count.parse().map_err(|_| lacks("errors"))?;
        figures.fail("status", count);
        figures.answered = figures.answered.saturating_sub(count);
    }
    Ok(figures)
}

/// A time as wrk writes it: `260.00us`, `1.38ms`, `2.01s`.
fn time(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * scale).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
Running 5s test @ http://127.0.0.1:7080/
  2 threads and 50 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   629.67us    1.16ms  23.44ms   93.11%
    Req/Sec    55.54k    12.45k   73.11k    76.00%
  Latency Distribution
     50%  343.00us
     75%  525.00us
     90%    0.96ms
     99%    5.89ms
  553257 requests in 5.01s, 80.73MB read
";

    #[test]
    fn its_words_are_understood() {
        let quiet = told(&format!("{SAID}Requests/sec: 110343.50\n")).expect("figures");
        assert_eq!((quiet.answered, quiet.failures()), (553_257, 0));
        let us = Duration::from_micros;
        assert_eq!((quiet.p50, quiet.p99), (us(343), us(5890)));
        let errors = "  Socket errors: connect 1, read 400, write 0, timeout 2\n  Non-2xx or 3xx responses: 57\n";
        let figures = told(&format!("{SAID}{errors}Requests/sec: 110343.50\n")).expect("figures");
        assert_eq!((figures.answered, figures.failures()), (553_200, 460));
        assert_eq!(figures.failed.len(), 4);
    }

    #[test]
    fn words_that_lack_a_figure_are_refused() {
        assert!(told("").expect_err("nothing").contains("50%"));
        assert!(told(SAID).expect_err("no rate").contains("a rate"));
        assert_eq!(time("1.5m"), Some(Duration::from_secs(90)));
        assert_eq!((time("5"), time("5h"), time("xs")), (None, None, None));
    }
}
