//! A mistake, shown with its line and a caret.

use annotate_snippets::{Level, Renderer, Snippet};
use eudaemon_core::definition::Problem;

/// The problem as compilers show it, without colour, each line ended.
#[must_use]
pub fn render(problem: &Problem) -> String {
    let start = usize::try_from(problem.column.saturating_sub(1))
        .unwrap_or(0)
        .min(problem.source.len());
    let end = problem.source.len().max(start);
    let snippet = Snippet::source(&problem.source)
        .line_start(usize::try_from(problem.line).unwrap_or(1))
        .origin(&problem.file)
        .annotation(Level::Error.span(start..end));
    format!(
        "{}\n",
        Renderer::plain().render(Level::Error.title(&problem.message).snippet(snippet))
    )
}

/// The problem on one line: `FILE:LINE:COLUMN: MESSAGE`.
#[must_use]
pub fn one_line(problem: &Problem) -> String {
    format!(
        "{}:{}:{}: {}",
        problem.file, problem.line, problem.column, problem.message
    )
}
