//! h2load, and what it prints: HTTP/2 over TLS.
//!
//! A client of h2load ends with its connection and does not come back: after a GOAWAY it asks nothing more, and what it would
//! have asked is counted as failed with `-n`, and not at all with `-D`. So it runs in lanes, each run a bounded number of requests, each
//! followed by the next; and what failed is read from its log, where a request has the time it was sent, or 0 for one that never was
//! (observed with nghttp2 1.52: a server that counts has answered exactly the others).

use super::figures::{Asked, Figures};
use crate::world::World;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// The program.
pub const PROGRAM: &str = "/usr/bin/h2load";
/// Runs at the same time, so that connections begin while others are old.
const LANES: u32 = 2;
/// Streams of a connection.
const STREAMS: u32 = 10;

/// Asks over so many connections at least until `end`; what is under way then is finished.
pub fn run(
    world: &World,
    port: u16,
    connections: u32,
    requests: u32,
    end: Instant,
) -> Result<(Vec<Asked>, Figures), String> {
    let clocks = (Instant::now(), SystemTime::now());
    let lane = |number: u32| {
        let (mut asked, mut failed) = (Vec::new(), Figures::default());
        while Instant::now() < end {
            let log = world.path(format!("h2load-{port}-{number}"));
            let words = [
                format!("--clients={}", connections.div_ceil(LANES)),
                format!("--max-concurrent-streams={STREAMS}"),
                format!("--requests={requests}"),
                format!("--log-file={}", log.display()),
                format!("https://127.0.0.1:{port}/"),
            ];
            let null = fs::File::open("/dev/null").map_err(|why| format!("/dev/null: {why}"))?;
            let running = world.start_on(Path::new(PROGRAM), &words, null.into());
            let ended = running.outcome(Duration::from_secs(60));
            let ended = ended.ok_or("h2load does not end")?;
            let _said = running.forget();
            if ended.code != 0 {
                return Err(format!("h2load: {ended:?}"));
            }
            let rows = fs::read_to_string(&log).unwrap_or_default();
            let _gone = fs::remove_file(&log);
            told(&ended.out, &ended.err, &mut failed)?;
            logged(&rows, clocks, &mut asked, &mut failed)?;
        }
        Ok((asked, failed))
    };
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|n| scope.spawn(move || lane(n))).collect();
        let (mut asked, mut failed) = (Vec::new(), Figures::default());
        for lane in lanes {
            let (more, others) = lane.join().map_err(|_| "a lane of h2load panicked")??;
            asked.extend(more);
            others
                .failed
                .iter()
                .for_each(|(what, count)| failed.fail(what, *count));
        }
        Ok((asked, failed))
    })
}

/// What its last words say of requests and connections that the log does not have.
fn told(text: &str, complaints: &str, failed: &mut Figures) -> Result<(), String> {
    let lacks = || format!("h2load says nothing of its requests: {text}{complaints}");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("requests: "))
        .ok_or_else(lacks)?;
    let count = |name: &str| {
        let field = line.split(", ").find_map(|field| field.strip_suffix(name));
        field.and_then(|field| field.trim().parse::<u64>().ok())
    };
    let (started, done) = count(" started").zip(count(" done")).ok_or_else(lacks)?;
    failed.fail("under way when the connection ended", started - done);
    let refused = complaints.matches("could not connect").count();
    failed.fail("connect", u64::try_from(refused).unwrap_or(u64::MAX));
    // `req/s           :     602.03      943.56 …`: the least is that of the client that was served least.
    let rates = text.lines().find_map(|line| line.strip_prefix("req/s"));
    let least = rates.and_then(|rates| rates.split_whitespace().find(|word| *word != ":"));
    match least.map(str::parse::<f64>) {
        Some(Ok(least)) => failed.fail("a connection without an answer", u64::from(least <= 0.0)),
        Some(Err(_)) | None => return Err(lacks()),
    }
    Ok(())
}

/// The rows of its log: when sent, in microseconds of the epoch; the status; how many microseconds it took.
fn logged(
    rows: &str,
    (clock, epoch): (Instant, SystemTime),
    asked: &mut Vec<Asked>,
    failed: &mut Figures,
) -> Result<(), String> {
    let epoch = epoch
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_err(|_| "the clock stands before its epoch")?;
    for row in rows.lines() {
        let mut fields = row.split('\t');
        let mut field = || fields.next().and_then(|field| field.parse::<i64>().ok());
        let (Some(sent), Some(status), Some(took)) = (field(), field(), field()) else {
            return Err(format!("a row of h2load's log: {row:?}"));
        };
        let us = |number: i64| Duration::from_micros(number.unsigned_abs());
        match status {
            200..=299 => asked.push(Asked {
                at: clock + us(sent).saturating_sub(epoch),
                took: us(took),
            }),
            // Never sent: the server had said that it takes no more.
            -1 if sent == 0 => {}
            -1 => failed.fail("refused or reset", 1),
            status => failed.fail(format!("status {status}"), 1),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_sent_is_not_counted() {
        let said = "requests: 10000 total, 29 started, 28 done, 24 succeeded, 9976 failed, 9976 errored, 0 timeout\n\
            req/s           :     602.03      943.56      792.97      109.31    66.00%\n";
        let mut failed = Figures::default();
        told(said, "", &mut failed).expect("figures");
        assert_eq!(failed.failures(), 1);
        let said = said.replace("602.03", "0.00");
        told(&said, "client could not connect to host\n", &mut failed).expect("figures");
        assert_eq!((failed.failures(), failed.failed.len()), (4, 3));
        assert!(told("", "", &mut failed).is_err());

        let clocks = (
            Instant::now(),
            SystemTime::UNIX_EPOCH + Duration::from_secs(5),
        );
        let rows = "5000010\t200\t40\n0\t-1\t23864793389\n5000020\t-1\t7011\n5000030\t503\t1\n";
        let (mut asked, mut failed) = (Vec::new(), Figures::default());
        logged(rows, clocks, &mut asked, &mut failed).expect("rows");
        assert_eq!(asked[0].at, clocks.0 + Duration::from_micros(10));
        assert_eq!(asked[0].took, Duration::from_micros(40));
        assert_eq!(
            (asked.len(), failed.failures(), failed.failed.len()),
            (1, 2, 2)
        );
        assert!(logged("1\t2\n", clocks, &mut asked, &mut failed).is_err());
    }
}
