//! The promises, what is measured for each, and the table.

use crate::bench::subject::Subject;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// What is asked of ours.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// No more than this.
    AtMost(f64),
    /// This and nothing else: two copies are as wrong as none.
    Exactly(f64),
    /// Nothing; it explains another row.
    None,
}

/// Which of many samples is the figure.
#[derive(Clone, Copy, Debug)]
pub enum Statistic {
    /// The one farthest from what is good: one bad case in a thousand is what these rows are about.
    Worst,
    /// The one that half of them do not exceed.
    Median,
    /// The one that 99 in 100 do not exceed.
    P99,
}

/// A row of the table.
#[derive(Debug)]
pub struct Row {
    /// Its name for machines, and the samples'.
    pub key: &'static str,
    /// Which samples, when they are another row's.
    samples: &'static str,
    goal: &'static str,
    words: &'static str,
    unit: &'static str,
    statistic: Statistic,
    wanted: Goal,
}

const fn row(
    goal: &'static str,
    key: &'static str,
    words: &'static str,
    unit: &'static str,
    wanted: Goal,
) -> Row {
    Row {
        key,
        samples: key,
        goal,
        words,
        unit,
        statistic: Statistic::Worst,
        wanted,
    }
}

const fn part(
    goal: &'static str,
    key: &'static str,
    samples: &'static str,
    words: &'static str,
    statistic: Statistic,
    wanted: Goal,
) -> Row {
    Row {
        key,
        samples,
        goal,
        words,
        unit: "ms",
        statistic,
        wanted,
    }
}

/// Every row, in the order of the promises.
pub const ROWS: &[Row] = &[
    row(
        "G1",
        "copies-supervisor",
        "copies alive, the supervisor SIGKILLed",
        "",
        Goal::Exactly(1.0),
    ),
    row(
        "G1",
        "copies-scanner",
        "copies alive, the scanner SIGKILLed and there again",
        "",
        Goal::Exactly(1.0),
    ),
    row(
        "G1",
        "copies-all",
        "copies alive, all of them SIGKILLed, the scanner started again",
        "",
        Goal::Exactly(1.0),
    ),
    part(
        "G2",
        "deaf-supervisor-p50",
        "deaf-supervisor",
        "until a command is obeyed, the supervisor SIGKILLed: half",
        Statistic::Median,
        Goal::None,
    ),
    part(
        "G2",
        "deaf-supervisor-p99",
        "deaf-supervisor",
        "the same: 99 in 100",
        Statistic::P99,
        Goal::AtMost(10.0),
    ),
    part(
        "G2",
        "deaf-supervisor-died",
        "deaf-supervisor-died",
        "of that, until the kernel has ended the killed process: 99 in 100",
        Statistic::P99,
        Goal::None,
    ),
    part(
        "G2",
        "deaf-scanner-p50",
        "deaf-scanner",
        "until a command is obeyed, the scanner SIGKILLed: half",
        Statistic::Median,
        Goal::None,
    ),
    part(
        "G2",
        "deaf-scanner-p99",
        "deaf-scanner",
        "the same: 99 in 100",
        Statistic::P99,
        Goal::AtMost(10.0),
    ),
    part(
        "G2",
        "deaf-scanner-died",
        "deaf-scanner-died",
        "of that, until the kernel has ended the killed process: 99 in 100",
        Statistic::P99,
        Goal::None,
    ),
    row(
        "G3",
        "state-supervisor",
        "lost of pid, uptime, want, ready; the supervisor SIGKILLed",
        "",
        Goal::AtMost(0.0),
    ),
    row(
        "G3",
        "state-scanner",
        "the same, the scanner SIGKILLed and there again",
        "",
        Goal::AtMost(0.0),
    ),
    row(
        "G3",
        "state-all",
        "the same, all of them SIGKILLed, the scanner started again",
        "",
        Goal::AtMost(0.0),
    ),
    row(
        "G4",
        "chain-restarts",
        "scanner replaced, then logger and its supervisor killed: restarts of the service in 12 s",
        "",
        Goal::AtMost(0.0),
    ),
    row("G4", "chain-lost", "lines lost", "", Goal::AtMost(0.0)),
    row(
        "G4",
        "chain-ms",
        "until a new line is logged",
        "ms",
        Goal::AtMost(100.0),
    ),
    row(
        "G5",
        "log-kill-lost",
        "logger SIGKILLed at full rate: lines lost per kill",
        "",
        Goal::AtMost(0.0),
    ),
    row(
        "G5",
        "log-kill-torn",
        "torn or merged lines per kill",
        "",
        Goal::AtMost(0.0),
    ),
    row(
        "G5",
        "log-kill-doubled",
        "lines logged twice per kill",
        "",
        Goal::AtMost(0.0),
    ),
    row(
        "G6",
        "log-calls-damaged",
        "logger SIGKILLed at every system call: points with damage",
        "%",
        Goal::AtMost(0.0),
    ),
    row(
        "G6",
        "log-calls-tried",
        "of so many points, all of them",
        "",
        Goal::None,
    ),
    row(
        "G7",
        "log-term-lost",
        "logger ended by TERM at full rate: lines lost per TERM",
        "",
        Goal::AtMost(0.0),
    ),
    row(
        "G8",
        "log-full-lost",
        "disk full, then space: lines lost, torn or doubled",
        "",
        Goal::AtMost(0.0),
    ),
    row(
        "G8",
        "log-full-kill-lost",
        "the same, SIGKILLed while full",
        "",
        Goal::AtMost(0.0),
    ),
    row(
        "G8",
        "log-full-memory",
        "memory while the disk is full and 8 MB are written",
        "MiB",
        Goal::AtMost(2.0),
    ),
    row(
        "G8",
        "log-full-resume",
        "from space until lines are read again",
        "ms",
        Goal::AtMost(100.0),
    ),
    row(
        "G9",
        "log-full-term",
        "TERM while the disk is full: until it has ended",
        "ms",
        Goal::AtMost(100.0),
    ),
    row(
        "G9",
        "log-full-term-lost",
        "lines lost, torn or doubled then",
        "",
        Goal::AtMost(0.0),
    ),
    row(
        "G10",
        "log-bytes-wrong",
        "inputs changed, of 3: NUL, no final newline, a line of 1 GiB",
        "",
        Goal::AtMost(0.0),
    ),
    row(
        "G10",
        "log-bytes-memory",
        "memory for the line of 1 GiB",
        "MiB",
        Goal::AtMost(2.0),
    ),
    row(
        "G13",
        "log-clock-missing",
        "files of tomorrow there: lines missing of those that fit what is kept",
        "",
        Goal::AtMost(0.0),
    ),
    row(
        "G13",
        "log-clock-kept",
        "lines kept of 3000",
        "",
        Goal::None,
    ),
    row(
        "G14",
        "fork-down",
        "down for one refused fork",
        "s",
        Goal::AtMost(1.1),
    ),
    row(
        "G14",
        "fork-control",
        "until a command is obeyed meanwhile",
        "ms",
        Goal::AtMost(50.0),
    ),
    row(
        "G15",
        "disk-false",
        "disk full under supervise/: false statuses of 2",
        "",
        Goal::AtMost(0.0),
    ),
    row(
        "G15",
        "garbage-false",
        "status of 0xff bytes: a pid that is none, or down though it lives",
        "",
        Goal::AtMost(0.0),
    ),
    row(
        "G15",
        "exec-false",
        "run not executable: times said to be up, of 200",
        "",
        Goal::AtMost(0.0),
    ),
    row(
        "G16",
        "fifo-lost",
        "FIFO deleted: commands lost with exit 0, of 10",
        "",
        Goal::AtMost(0.0),
    ),
    row(
        "G17",
        "fifo-again",
        "FIFO deleted: until a command is obeyed",
        "s",
        Goal::AtMost(1.0),
    ),
    row(
        "G17",
        "dir-again",
        "directory deleted and recreated: until a command is obeyed",
        "s",
        Goal::AtMost(5.0),
    ),
    row(
        "G17",
        "dir-copies",
        "copies alive then",
        "",
        Goal::Exactly(1.0),
    ),
    row(
        "G18",
        "leaked",
        "processes leaked per start of a double forker",
        "",
        Goal::AtMost(0.0),
    ),
    row(
        "G27",
        "log-links-escapes",
        "links put into the log directory: lives of the logger that leave it",
        "",
        Goal::AtMost(0.0),
    ),
    row(
        "G27",
        "log-links-rounds",
        "of so many lives",
        "",
        Goal::None,
    ),
];

/// What was measured of one row of one subject.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// The figures.
    pub list: Vec<f64>,
    /// Whether some are only what was waited for.
    pub over: bool,
}

/// Samples by key and subject.
pub type All = BTreeMap<(String, String), Samples>;

fn value(row: &Row, all: &All, name: &str) -> Option<(f64, bool)> {
    let samples = all.get(&(row.samples.to_owned(), name.to_owned()))?;
    let mut list = samples.list.clone();
    list.sort_by(f64::total_cmp);
    let last = list.len().checked_sub(1)?;
    let at = match row.statistic {
        Statistic::Worst => match row.wanted {
            Goal::Exactly(good) => {
                let far = |at: &usize| (list[*at] - good).abs();
                (0..=last).max_by(|a, b| far(a).total_cmp(&far(b)))?
            }
            Goal::AtMost(_) | Goal::None => last,
        },
        Statistic::Median => last / 2,
        // Of fewer than a hundred it is the largest.
        Statistic::P99 => (list.len() * 99).div_ceil(100) - 1,
    };
    // A sample that was cut off counts as what was waited for, so only the upper end is open.
    Some((list[at], samples.over && at == last))
}

fn met(row: &Row, all: &All) -> Option<bool> {
    let ours = value(row, all, "ours");
    match row.wanted {
        Goal::AtMost(most) => {
            Some(ours.is_some_and(|(figure, open)| figure <= most + 1e-9 && !open))
        }
        Goal::Exactly(good) => {
            Some(ours.is_some_and(|(figure, open)| (figure - good).abs() < 1e-9 && !open))
        }
        Goal::None => None,
    }
}

fn figure(found: Option<(f64, bool)>) -> String {
    let Some((figure, open)) = found else {
        return "–".to_owned();
    };
    let sign = if open { "> " } else { "" };
    if figure.fract().abs() < 1e-9 {
        format!("{sign}{figure:.0}")
    } else if figure < 0.1 {
        format!("{sign}{figure:.4}")
    } else if figure < 10.0 {
        format!("{sign}{figure:.2}")
    } else {
        format!("{sign}{figure:.1}")
    }
}

/// The table, as Markdown, so that it may be kept as it is.
pub fn text(all: &All, columns: &[Subject]) -> String {
    let mut out = String::from("| goal | measured | wanted |");
    columns
        .iter()
        .for_each(|column| out.push_str(&format!(" {} |", column.name)));
    out.push_str(" met |\n|---|---|---|");
    columns.iter().for_each(|_| out.push_str("---|"));
    out.push_str("---|\n");
    for row in ROWS.iter().filter(|row| measured(row, all)) {
        let unit = if row.unit.is_empty() {
            String::new()
        } else {
            format!(", {}", row.unit)
        };
        let wanted = match row.wanted {
            Goal::AtMost(most) if most > 0.0 => format!("≤ {}", figure(Some((most, false)))),
            Goal::AtMost(most) | Goal::Exactly(most) => figure(Some((most, false))),
            Goal::None => String::new(),
        };
        // Writing into a String cannot fail.
        let _ = write!(out, "| {} | {}{unit} | {wanted} |", row.goal, row.words);
        for column in columns {
            let _ = write!(out, " {} |", figure(value(row, all, &column.name)));
        }
        out.push_str(match met(row, all) {
            Some(true) => " yes |\n",
            Some(false) => " **no** |\n",
            None => "  |\n",
        });
    }
    out
}

fn measured(row: &Row, all: &All) -> bool {
    all.keys().any(|(key, _)| key == row.samples)
}

/// The same for machines, with every sample.
pub fn json(all: &All, columns: &[Subject], rounds: usize, notes: &[String]) -> String {
    let rows: Vec<Value> = ROWS
        .iter()
        .filter(|row| measured(row, all))
        .map(|row| {
            let values: Map<String, Value> = columns
                .iter()
                .filter_map(|column| {
                    let samples = all.get(&(row.samples.to_owned(), column.name.clone()))?;
                    let (figure, open) = value(row, all, &column.name)?;
                    let told =
                        json!({ "figure": figure, "at_least": open, "samples": samples.list });
                    Some((column.name.clone(), told))
                })
                .collect();
            let wanted = match row.wanted {
                Goal::AtMost(most) => json!({ "at_most": most }),
                Goal::Exactly(good) => json!({ "exactly": good }),
                Goal::None => Value::Null,
            };
            json!({ "goal": row.goal, "row": row.key, "words": row.words, "unit": row.unit, "wanted": wanted, "values": values, "met": met(row, all) })
        })
        .collect();
    format!(
        "{:#}\n",
        json!({ "rounds": rounds, "notes": notes, "rows": rows })
    )
}

/// How many promises are kept, and of how many that were tried.
pub fn kept(all: &All) -> (usize, usize) {
    let judged: Vec<bool> = ROWS
        .iter()
        .filter(|row| measured(row, all))
        .filter_map(|row| met(row, all))
        .collect();
    (judged.iter().filter(|met| **met).count(), judged.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(key: &str) -> &'static Row {
        ROWS.iter().find(|row| row.key == key).unwrap()
    }

    fn all(list: &[(&str, &str, &[f64], bool)]) -> All {
        list.iter()
            .map(|(key, name, list, over)| {
                let samples = Samples {
                    list: list.to_vec(),
                    over: *over,
                };
                (((*key).to_owned(), (*name).to_owned()), samples)
            })
            .collect()
    }

    #[test]
    fn no_copy_is_as_wrong_as_two() {
        for (list, kept) in [
            (&[1.0, 1.0][..], true),
            (&[1.0, 2.0], false),
            (&[0.0, 1.0], false),
        ] {
            let all = all(&[("copies-all", "ours", list, false)]);
            assert_eq!(met(of("copies-all"), &all), Some(kept), "{list:?}");
        }
    }

    #[test]
    fn the_last_hundredth_is_left_out_and_no_more() {
        let mut list: Vec<f64> = (1..=100).map(f64::from).collect();
        let all_of = |list: &[f64]| all(&[("deaf-supervisor", "ours", list, false)]);
        let p99 = |list: &[f64]| value(of("deaf-supervisor-p99"), &all_of(list), "ours");
        assert_eq!(p99(&list), Some((99.0, false)));
        list.truncate(50);
        assert_eq!(p99(&list), Some((50.0, false)));
        assert_eq!(
            value(of("deaf-supervisor-p50"), &all_of(&list), "ours"),
            Some((25.0, false))
        );
    }

    #[test]
    fn what_was_cut_off_or_not_measured_keeps_no_promise() {
        let cut = all(&[("fork-down", "ours", &[1.0], true)]);
        assert_eq!(met(of("fork-down"), &cut), Some(false));
        let none = all(&[("fork-down", "s6", &[1.0], false)]);
        assert_eq!(met(of("fork-down"), &none), Some(false));
        assert_eq!(kept(&none), (0, 1));
        let whole = all(&[("fork-down", "ours", &[1.0], false)]);
        assert_eq!(kept(&whole), (1, 1));
    }
}
