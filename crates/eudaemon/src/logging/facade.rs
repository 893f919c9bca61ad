//! A service's log as the logger of the crate `log`.

use super::{Level, Log, Place};
use std::borrow::Cow;

fn level(of: ::log::Level) -> Level {
    match of {
        ::log::Level::Error => Level::Error,
        ::log::Level::Warn => Level::Warning,
        ::log::Level::Info => Level::Info,
        // The journal knows nothing below.
        ::log::Level::Debug | ::log::Level::Trace => Level::Debug,
    }
}

/// `Trace` is logged as debug. The target is the journal's field `F_TARGET` where it is not the module's path.
impl ::log::Log for Log {
    fn enabled(&self, metadata: &::log::Metadata<'_>) -> bool {
        self.is_enabled(level(metadata.level()))
    }

    fn log(&self, record: &::log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let message = match record.args().as_str() {
            Some(text) => Cow::Borrowed(text),
            None => Cow::Owned(record.args().to_string()),
        };
        let target = Cow::Borrowed(record.target().as_bytes());
        let fields = [("target", target)];
        let named = record.module_path() != Some(record.target());
        self.write(
            level(record.level()),
            &message,
            if named { &fields } else { &[] },
            Place {
                file: record.file().unwrap_or_default(),
                line: record.line().unwrap_or(0),
                module: record.module_path(),
                apart: true,
            },
        );
    }

    fn flush(&self) {}
}

/// Makes this log the one of the crate `log`, for the whole process. What is logged follows
/// [`Log::levels`] at any time, so nothing is filtered before it.
///
/// # Errors
/// There is a logger already.
pub fn install(log: Log) -> Result<(), ::log::SetLoggerError> {
    ::log::set_boxed_logger(Box::new(log))?;
    ::log::set_max_level(::log::LevelFilter::Trace);
    Ok(())
}
