//! The table: which goals are met.

mod rows;

use super::Samples;
use super::subject::{Kind, Subject};
use rows::{Goal, ROWS, Row};
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// What was measured of some subjects.
#[derive(Debug)]
pub struct Table {
    /// What stands above it.
    pub title: String,
    /// Every sample.
    pub samples: Samples,
    /// The columns, in their order.
    pub columns: Vec<Subject>,
}

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

fn judge(row: &Row, samples: &Samples, columns: &[Subject]) -> Verdict {
    let ours = columns
        .iter()
        .find(|column| column.kind == Kind::Ours)
        .and_then(|ours| value(samples, row.key, &ours.name));
    let best = columns
        .iter()
        .filter(|column| match row.goal {
            Goal::Of(name, _) => column.name == name,
            Goal::Ratio(_) | Goal::Figure(_) | Goal::None => {
                !matches!(column.kind, Kind::Ours | Kind::Bare)
            }
        })
        // Being told is not seeing.
        .filter(|column| row.key != "new" || column.kind.looks_by_itself())
        .filter_map(|column| Some((column.name.clone(), value(samples, row.key, &column.name)?)))
        .min_by(|one, other| one.1.total_cmp(&other.1));
    let ratio = ours
        .zip(best.as_ref())
        .and_then(|(ours, (_, best))| (*best > 0.0).then_some(ours / best));
    let met = match row.goal {
        Goal::Ratio(goal) | Goal::Of(_, goal) => ratio.map(|ratio| ratio <= goal),
        Goal::Figure(goal) => ours.map(|ours| ours <= goal),
        Goal::None => None,
    };
    Verdict { best, ratio, met }
}

/// As few digits as tell something.
pub fn figure(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value.fract() == 0.0 || value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 1.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.3}"),
    }
}

impl Table {
    /// The table for people.
    pub fn text(&self) -> String {
        let Table {
            title,
            samples,
            columns,
        } = self;
        let mut out = format!("{title}, medians; less is better; best = the best peer\n");
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
                Goal::Ratio(goal) | Goal::Of(_, goal) => format!("≤ {goal:.3} ×"),
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
    fn rows(&self) -> Vec<Value> {
        let Table {
            samples, columns, ..
        } = self;
        let measured = ROWS
            .iter()
            .filter(|row| samples.keys().any(|(key, _)| *key == row.key));
        measured.map(|row| {
            let verdict = judge(row, samples, columns);
            let values: Map<String, Value> = columns.iter().map(|column| (column.name.clone(), json!(value(samples, row.key, &column.name)))).collect();
            let all: Map<String, Value> =
                samples.iter().filter(|((key, _), _)| *key == row.key).map(|((_, name), list)| (name.clone(), json!(list))).collect();
            let goal = match row.goal {
                Goal::Ratio(goal) | Goal::Of(_, goal) => json!({ "ratio": goal }),
                Goal::Figure(goal) => json!({ "figure": goal }),
                Goal::None => Value::Null,
            };
            json!({
                "row": row.key, "words": row.words, "unit": row.unit, "values": values, "samples": all,
                "best": verdict.best.map(|(name, _)| name), "ratio": verdict.ratio, "goal": goal, "met": verdict.met,
            })
        })
        .collect()
    }
}

/// All tables for machines.
pub fn json(
    tables: &[Table],
    zero_downtime: Option<Value>,
    rounds: usize,
    notes: &[String],
) -> String {
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
    let columns = tables.iter().flat_map(|table| &table.columns);
    let programs: Map<String, Value> = columns
        .map(|column| (column.name.clone(), json!(column.dir)))
        .collect();
    let rows: Vec<Value> = tables.iter().flat_map(Table::rows).collect();
    let titles: Vec<&str> = tables.iter().map(|table| table.title.as_str()).collect();
    let whole = json!({ "tables": titles, "rounds": rounds, "machine": machine, "programs": programs, "notes": notes, "rows": rows, "zero-downtime": zero_downtime });
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
        derive(&mut samples);
        let of = |key: &str| {
            judge(
                ROWS.iter().find(|row| row.key == key).unwrap(),
                &samples,
                &subjects,
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
        let table = Table {
            title: "10 services".to_owned(),
            samples,
            columns: subjects,
        };
        let told = table.text();
        let line = told
            .lines()
            .find(|line| line.starts_with("new directory"))
            .unwrap();
        assert!(line.ends_with("MISSED") && line.contains("2*"), "{line}");
        let read: Value = serde_json::from_str(&json(&[table], None, 3, &[])).unwrap();
        assert_eq!(
            read["rows"][0]["samples"]["ours"],
            json!([90.0, 60.0, 70.0])
        );
    }
}
