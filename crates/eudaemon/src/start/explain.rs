//! `--service.explain`: what will be done, from which source, and what this kernel gives. Nothing is done.

use super::prepare::Plan;
use crate::detach::Way;
use crate::options::{Layers, Source};
use crate::privileges::ResolvedPlan;
use std::fmt::{self, Write};

/// The whole answer, for standard output.
pub(super) fn explain(plan: &Plan, identity: &ResolvedPlan, layers: &Layers) -> String {
    let mut text = String::new();
    // Writing to a text does not fail.
    let _ = write(&mut text, plan, identity, layers);
    text
}

fn write(to: &mut String, plan: &Plan, identity: &ResolvedPlan, layers: &Layers) -> fmt::Result {
    let Plan {
        manifest, options, ..
    } = plan;
    writeln!(to, "{}: {}", manifest.name, manifest.description)?;
    writeln!(to, "\nOptions")?;
    let mut rows: Vec<(String, String, String)> = options
        .settings
        .iter()
        .map(|one| {
            let value = one.value.to_string_lossy().into_owned();
            (one.name.to_owned(), value, one.source.to_string())
        })
        .collect();
    rows.extend(layers.overruled().map(|one| {
        let value = one.value.to_string_lossy().into_owned();
        let source = format!("{}, does not count", one.source);
        (one.name.to_owned(), value, source)
    }));
    if rows.is_empty() {
        writeln!(to, "  none is set: {} throughout", Source::BuiltIn)?;
    }
    let width = |of: fn(&(String, String, String)) -> &String| {
        rows.iter().map(|row| of(row).len()).max().unwrap_or(0)
    };
    let (name, value) = (width(|row| &row.0), width(|row| &row.1));
    for row in &rows {
        writeln!(to, "  {:name$}  {:value$}  {}", row.0, row.1, row.2)?;
    }

    writeln!(to, "\nStart")?;
    let detach = match plan.detach {
        Some(Way::Reexec) => {
            "leaves the shell by executing the program again, and answers it when ready"
        }
        Some(_) => "leaves the shell by fork(2), and answers it when ready",
        None if plan.activation.is_supervised() => "stays: a manager started it",
        None => "stays in the foreground",
    };
    writeln!(to, "  {detach}")?;
    for note in &plan.notes {
        writeln!(to, "  {note}")?;
    }
    if let Some(interval) = plan.watchdog(None) {
        writeln!(
            to,
            "  tells the manager that it lives: it acts after {interval:?} of silence"
        )?;
    }
    writeln!(to, "  log: {}", options.log)?;
    writeln!(
        to,
        "  once asked to stop it is gone after {:?} at the latest",
        options.stop_timeout
    )?;

    writeln!(to, "\nPrivileges")?;
    indented(to, identity)?;

    writeln!(to, "\nSandbox")?;
    match plan.sandbox_plan() {
        Ok(report) => indented(to, &report),
        Err(error) => indented(to, &error),
    }
}

fn indented(to: &mut String, what: &dyn fmt::Display) -> fmt::Result {
    for line in what.to_string().lines() {
        writeln!(to, "  {line}")?;
    }
    Ok(())
}
