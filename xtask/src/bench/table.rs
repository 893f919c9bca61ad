//! The rows, their goals, and the table.

use super::Samples;
use super::subject::{Kind, Subject};
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// What is asked of ours in a row.
#[derive(Clone, Copy, Debug)]
enum Goal {
    /// Ours divided by the best peer's.
    Ratio(f64),
    /// Our own figure.
    Figure(f64),
    /// Nothing; it explains another row.
    None,
}

struct Row {
    key: &'static str,
    words: &'static str,
    unit: &'static str,
    goal: Goal,
}

const fn row(key: &'static str, words: &'static str, unit: &'static str, goal: Goal) -> Row {
    Row {
        key,
        words,
        unit,
        goal,
    }
}

/// Every row, in the order it is printed. Less is better in each.
const ROWS: &[Row] = &[
    row(
        "start",
        "start until all are up (static run)",
        "ms",
        Goal::Ratio(0.7),
    ),
    row(
        "start-script",
        "start until all are up (sh run)",
        "ms",
        Goal::None,
    ),
    row("processes", "supervising processes", "", Goal::None),
    row("pss", "their memory (PSS)", "KiB", Goal::Ratio(1.0 / 40.0)),
    row(
        "page-tables",
        "their page tables (VmPTE)",
        "KiB",
        Goal::Ratio(1.0 / 3.0),
    ),
    row(
        "kernel-all",
        "kernel memory, services included",
        "KiB",
        Goal::None,
    ),
    row(
        "kernel",
        "kernel memory, less bare services",
        "KiB",
        Goal::Ratio(1.0 / 3.0),
    ),
    row(
        "idle",
        "context switches in idle 10 s",
        "",
        Goal::Figure(0.0),
    ),
    row("svstat", "svstat of all", "ms", Goal::Ratio(0.8)),
    row("restart", "restart after SIGKILL", "µs", Goal::Ratio(0.8)),
    row(
        "new",
        "new directory seen and started",
        "ms",
        Goal::Figure(5.0),
    ),
    row(
        "lost",
        "obeyed again, supervisor SIGKILLed",
        "ms",
        Goal::None,
    ),
    row(
        "copies",
        "copies of that service then (most)",
        "",
        Goal::Figure(1.0),
    ),
];

/// Adds the rows that follow from others.
pub fn derive(samples: &mut Samples) {
    let Some(bare) = value(samples, "kernel-all", "bare") else {
        return;
    };
    let all: Vec<(String, Vec<f64>)> = samples
        .iter()
        .filter(|((key, name), _)| *key == "kernel-all" && name != "bare")
        .map(|((_, name), list)| (name.clone(), list.clone()))
        .collect();
    for (name, list) in all {
        samples.insert(
            ("kernel", name),
            list.iter().map(|kib| kib - bare).collect(),
        );
    }
}

/// The figure of a row: the median; of copies the most, for one bad case in a thousand is what the row is about.
fn value(samples: &Samples, key: &'static str, name: &str) -> Option<f64> {
    let mut list = samples.get(&(key, name.to_owned()))?.clone();
    list.sort_by(f64::total_cmp);
    match list.len() {
        0 => None,
        _ if key == "copies" => list.last().copied(),
        count if count % 2 == 1 => Some(list[count / 2]),
        count => Some(f64::midpoint(list[count / 2 - 1], list[count / 2])),
    }
}

/// One row made out: ours, the best peer, the ratio, and whether the goal is met.
struct Verdict {
    best: Option<(String, f64)>,
    ratio: Option<f64>,
    met: Option<bool>,
}

fn judge(row: &Row, samples: &Samples, columns: &[&Subject]) -> Verdict {
    let ours = columns
        .iter()
        .find(|column| column.kind == Kind::Ours)
        .and_then(|ours| value(samples, row.key, &ours.name));
    let best = columns
        .iter()
        .filter(|column| column.kind != Kind::Ours)
        // Being told is not seeing.
        .filter(|column| row.key != "new" || column.kind.looks_by_itself())
        .filter_map(|column| Some((column.name.clone(), value(samples, row.key, &column.name)?)))
        .min_by(|one, other| one.1.total_cmp(&other.1));
    let ratio = ours
        .zip(best.as_ref())
        .and_then(|(ours, (_, best))| (*best > 0.0).then_some(ours / best));
    let met = match row.goal {
        Goal::Ratio(goal) => ratio.map(|ratio| ratio <= goal),
        Goal::Figure(goal) => ours.map(|ours| ours <= goal),
        Goal::None => None,
    };
    Verdict { best, ratio, met }
}

fn figure(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value.fract() == 0.0 || value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 1.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.3}"),
    }
}

/// The table for people.
pub fn text(samples: &Samples, columns: &[&Subject], services: usize, rounds: usize) -> String {
    let mut out = format!(
        "{services} services, {rounds} rounds, medians; less is better; best = the best peer\n"
    );
    let mut lines = vec![
        ["row", "unit"]
            .iter()
            .map(|word| (*word).to_owned())
            .chain(columns.iter().map(|column| column.name.clone()))
            .collect::<Vec<_>>(),
    ];
    lines[0].extend(["best", "ours/best", "goal", ""].map(str::to_owned));
    for row in ROWS {
        if !samples.keys().any(|(key, _)| *key == row.key) {
            continue;
        }
        let verdict = judge(row, samples, columns);
        let mut line = vec![row.words.to_owned(), row.unit.to_owned()];
        line.extend(columns.iter().map(|column| {
            let told = row.key == "new" && !column.kind.looks_by_itself();
            figure(value(samples, row.key, &column.name)) + if told { "*" } else { "" }
        }));
        line.push(
            verdict
                .best
                .map_or_else(|| "-".to_owned(), |(name, _)| name),
        );
        line.push(figure(verdict.ratio));
        line.push(match row.goal {
            Goal::Ratio(goal) => format!("≤ {goal:.3} ×"),
            Goal::Figure(goal) => format!("≤ {goal} {}", row.unit).trim_end().to_owned(),
            Goal::None => String::new(),
        });
        line.push(
            verdict
                .met
                .map_or("", |met| if met { "met" } else { "MISSED" })
                .to_owned(),
        );
        lines.push(line);
    }
    let widths: Vec<usize> = (0..lines[0].len())
        .map(|at| {
            lines
                .iter()
                .map(|line| line[at].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    for line in &lines {
        for (at, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let pad = " ".repeat(width - cell.chars().count());
            let left = at < 2;
            // Writing to a String cannot fail.
            let _ = if left {
                write!(out, "{cell}{pad}  ")
            } else {
                write!(out, "{pad}{cell}  ")
            };
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    if columns.iter().any(|column| !column.kind.looks_by_itself())
        && samples.keys().any(|(key, _)| *key == "new")
    {
        out.push_str("* told by a command; it does not look by itself\n");
    }
    out
}

/// The same for machines, with every sample.
pub fn json(
    samples: &Samples,
    columns: &[&Subject],
    services: usize,
    rounds: usize,
    notes: &[String],
) -> String {
    let rows: Vec<Value> = ROWS
        .iter()
        .filter(|row| samples.keys().any(|(key, _)| *key == row.key))
        .map(|row| {
            let verdict = judge(row, samples, columns);
            let values: Map<String, Value> = columns.iter().map(|column| (column.name.clone(), json!(value(samples, row.key, &column.name)))).collect();
            let all: Map<String, Value> =
                samples.iter().filter(|((key, _), _)| *key == row.key).map(|((_, name), list)| (name.clone(), json!(list))).collect();
            let goal = match row.goal {
                Goal::Ratio(goal) => json!({ "ratio": goal }),
                Goal::Figure(goal) => json!({ "figure": goal }),
                Goal::None => Value::Null,
            };
            json!({
                "row": row.key, "words": row.words, "unit": row.unit, "values": values, "samples": all,
                "best": verdict.best.map(|(name, _)| name), "ratio": verdict.ratio, "goal": goal, "met": verdict.met,
            })
        })
        .collect();
    let first = |path: &str| {
        std::fs::read_to_string(path)
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let machine = json!({
        "kernel": first("/proc/sys/kernel/osrelease"),
        "processors": std::thread::available_parallelism().map_or(0, usize::from),
    });
    let programs: Map<String, Value> = columns
        .iter()
        .map(|column| (column.name.clone(), json!(column.dir)))
        .collect();
    let whole = json!({ "services": services, "rounds": rounds, "machine": machine, "programs": programs, "notes": notes, "rows": rows });
    format!("{whole:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn world() -> (Samples, Vec<Subject>) {
        let subject = |name: &str, kind| Subject {
            name: name.to_owned(),
            kind,
            dir: PathBuf::new(),
        };
        let subjects = vec![
            subject("ours", Kind::Ours),
            subject("daemontools", Kind::Daemontools),
            subject("s6", Kind::S6),
        ];
        let mut samples = Samples::new();
        let mut put =
            |key, name: &str, list: &[f64]| samples.insert((key, name.to_owned()), list.to_vec());
        put("start", "ours", &[90.0, 60.0, 70.0]);
        put("start", "daemontools", &[100.0]);
        put("start", "s6", &[300.0, 200.0]);
        put("new", "ours", &[6.0]);
        put("new", "daemontools", &[3000.0]);
        put("new", "s6", &[2.0]);
        put("kernel-all", "ours", &[500.0]);
        put("kernel-all", "s6", &[1000.0]);
        put("kernel-all", "bare", &[400.0]);
        put("copies", "s6", &[1.0, 2.0, 1.0]);
        (samples, subjects)
    }

    #[test]
    fn ours_is_held_against_the_best_peer_and_the_goal() {
        let (mut samples, subjects) = world();
        let columns: Vec<&Subject> = subjects.iter().collect();
        derive(&mut samples);
        let of = |key: &str| {
            judge(
                ROWS.iter().find(|row| row.key == key).unwrap(),
                &samples,
                &columns,
            )
        };
        let start = of("start");
        assert_eq!(
            (start.best.unwrap().0.as_str(), start.ratio, start.met),
            ("daemontools", Some(0.7), Some(true))
        );
        // s6 was told, so it is not the best of those who see; and 6 ms is no 5 ms, however long others take.
        let new = of("new");
        assert_eq!(
            (new.best.unwrap().0.as_str(), new.met),
            ("daemontools", Some(false))
        );
        assert_eq!(of("kernel").ratio, Some(100.0 / 600.0));
        assert_eq!(value(&samples, "copies", "s6"), Some(2.0));
        assert_eq!(value(&samples, "start", "s6"), Some(250.0));
        assert_eq!(of("copies").met, None);
    }

    #[test]
    fn a_miss_is_printed() {
        let (samples, subjects) = world();
        let columns: Vec<&Subject> = subjects.iter().collect();
        let told = text(&samples, &columns, 10, 3);
        let line = told
            .lines()
            .find(|line| line.starts_with("new directory"))
            .unwrap();
        assert!(line.ends_with("MISSED") && line.contains("2*"), "{line}");
        let read: Value = serde_json::from_str(&json(&samples, &columns, 10, 3, &[])).unwrap();
        assert_eq!(
            read["rows"][0]["samples"]["ours"],
            json!([90.0, 60.0, 70.0])
        );
    }
}
