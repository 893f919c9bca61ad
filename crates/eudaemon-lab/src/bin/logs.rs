//! `logs ACCIDENT FAMILY PROGRAM [COUNT]`: what one logger loses by one accident, as `put FIGURE NUMBER` lines for
//! `cargo xtask reliability`. FAMILY is `multilog`, `svlogd` or `s6-log`.

use eudaemon_lab::log::{
    Family, Kills, Logger, Mercy, Shape, Tally, Trial, WhileFull, arrives, every_call, full_disk,
    kills, links, set_back,
};
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str =
    "usage: logs kills|calls|term|full|bytes|clock|links multilog|svlogd|s6-log PROGRAM [COUNT]";
/// Less than this a sum is too small to divide by.
const AT_LEAST: u32 = 1;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [accident, family, program, rest @ ..] = words.as_slice() else {
        eprintln!("{USAGE}");
        return ExitCode::from(100);
    };
    let family = match family.as_str() {
        "multilog" => Family::Multilog,
        "svlogd" => Family::Svlogd,
        "s6-log" => Family::S6Log,
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(100);
        }
    };
    let logger = Logger {
        family,
        program: program.into(),
    };
    let count: Option<u32> = rest.first().and_then(|n| n.parse().ok());
    match accident.as_str() {
        "kills" => killed(&logger, Mercy::None, count.unwrap_or(1000)),
        "term" => killed(&logger, Mercy::Term, count.unwrap_or(50)),
        "calls" => at_calls(&logger, count.unwrap_or(u32::MAX)),
        "full" => full(&logger),
        "bytes" => odd_bytes(&logger, u64::from(count.unwrap_or(1024)) << 20),
        "clock" => clock(&logger),
        "links" => outward(&logger, u64::from(count.unwrap_or(300))),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(100);
        }
    }
    ExitCode::SUCCESS
}

fn put(figure: &str, number: f64) {
    println!("put log-{figure} {number}");
}

fn put_time(figure: &str, time: Option<Duration>, limit: f64) {
    match time {
        Some(time) => put(figure, time.as_secs_f64() * 1e3),
        None => println!("over log-{figure} {limit}"),
    }
}

/// Exact for any count a run can reach.
#[expect(clippy::cast_precision_loss)]
fn float(n: u64) -> f64 {
    n as f64
}

fn killed(logger: &Logger, mercy: Mercy, effective: u32) {
    let plan = Kills {
        shape: Shape::Plain,
        effective,
        size_bytes: 100_000,
        mercy,
        life: Duration::from_millis(if mercy == Mercy::None { 5 } else { 20 }),
        seed: 1,
    };
    let toll = kills(logger, &plan);
    println!("note {}", toll.to_string().replace('\n', " / "));
    let per = f64::from(toll.effective.max(AT_LEAST));
    let name = if mercy == Mercy::None { "kill" } else { "term" };
    put(&format!("{name}-lost"), float(toll.sum(|t| t.lost)) / per);
    put(&format!("{name}-torn"), float(toll.sum(|t| t.torn)) / per);
    put(
        &format!("{name}-doubled"),
        float(toll.sum(|t| t.doubled)) / per,
    );
    put(&format!("{name}s"), f64::from(toll.effective));
}

fn at_calls(logger: &Logger, most: u32) {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let trials: &[Trial] = match logger.family {
        Family::Multilog => &Trial::ALL,
        // What an earlier run leaves is each logger's own.
        Family::Svlogd | Family::S6Log => &[Trial::Plain, Trial::Processed],
    };
    let (mut tried, mut damaged) = (0, 0);
    for trial in trials {
        let points = every_call(logger, *trial, 1, most);
        println!(
            "note {trial:?}: {}",
            points.to_string().replace('\n', " / ")
        );
        tried += points.tried;
        damaged += points.damaged.len();
    }
    put("calls-tried", float(tried as u64));
    put(
        "calls-damaged",
        float(damaged as u64) * 100.0 / float(tried.max(1) as u64),
    );
}

fn full(logger: &Logger) {
    let wrong = |tally: &Tally| tally.lost + tally.torn + tally.doubled;
    for (befalls, name) in [
        (WhileFull::Nothing, "full"),
        (WhileFull::Kill, "full-kill"),
        (WhileFull::Term, "full-term"),
    ] {
        let full = full_disk(logger, befalls);
        println!(
            "note {name}: {}; resumed after {:?}; {}",
            full.tally,
            full.resume,
            full.said.join(" / ")
        );
        put(&format!("{name}-lost"), float(wrong(&full.tally)));
        if befalls == WhileFull::Nothing {
            put("full-memory", float(full.memory_kib) / 1024.0);
            put_time("full-resume", full.resume, 20_000.0);
        }
        if befalls == WhileFull::Term {
            put_time("full-term", full.term, 3000.0);
        }
    }
}

fn odd_bytes(logger: &Logger, long: u64) {
    let nul = arrives(logger, b"a\0b\n\xff\xfe\n\0\n", 0, b"end\n");
    let open = arrives(logger, b"one\n", 0, b"no newline");
    let endless = arrives(logger, b"one\n", long, b"\nend\n");
    for (name, arrived) in [
        ("NUL", nul),
        ("no final newline", open),
        ("a long line", endless),
    ] {
        println!("note {name}: {arrived:?}");
    }
    let wrong = [nul, open, endless]
        .iter()
        .filter(|arrived| !arrived.exact)
        .count();
    put("bytes-wrong", float(wrong as u64));
    put("bytes-memory", float(endless.memory_kib) / 1024.0);
}

fn clock(logger: &Logger) {
    let kept = set_back(logger);
    println!("note {kept:?}");
    put("clock-missing", float(kept.missing));
    put("clock-kept", float(kept.lines));
}

fn outward(logger: &Logger, rounds: u64) {
    let escapes = links(logger, rounds);
    println!(
        "note {} rounds, {} swaps, by {:?}",
        escapes.rounds,
        escapes.swaps,
        escapes.by.first()
    );
    put("links-escapes", float(escapes.escapes));
    put("links-rounds", float(escapes.rounds));
}
