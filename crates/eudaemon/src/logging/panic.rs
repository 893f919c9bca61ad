//! A panic is a record too.

use super::{Level, Log, Place};
use std::backtrace::{Backtrace, BacktraceStatus};

/// From now on a panic of any thread is one record of [`Level::Critical`], with its place, and is not printed otherwise.
/// With a backtrace if `RUST_BACKTRACE` asks for it, as usual.
///
/// It has been handed over before the thread unwinds or the process aborts. What becomes of the service is not decided
/// here. To be called by `main` alone: there is one hook in a process.
pub fn panic_hook(log: Log) {
    std::panic::set_hook(Box::new(move |panic| {
        if !log.is_enabled(Level::Critical) {
            return;
        }
        let payload = panic.payload();
        let words = match (
            payload.downcast_ref::<&str>(),
            payload.downcast_ref::<String>(),
        ) {
            (Some(words), _) => words,
            (None, Some(words)) => words.as_str(),
            (None, None) => "a value that is no text",
        };
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("(unnamed)");
        let (file, line, column) = panic
            .location()
            .map_or(("", 0, 0), |at| (at.file(), at.line(), at.column()));
        let mut message = format!("panic in thread {name} at {file}:{line}:{column}: {words}");
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            message.push_str(&format!("\n{trace}"));
        }
        let place = Place {
            file,
            line,
            module: None,
            apart: false,
        };
        log.write(Level::Critical, &message, &[], place);
    }));
}
