//! A service's log as a layer of `tracing`.

use super::{Level, LevelHandle, Log, Place};
use std::borrow::Cow;
use std::fmt;
use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::subscriber::Interest;
use tracing_core::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter, Layer};
use tracing_subscriber::registry::LookupSpan;

/// What `tracing` tells, as records of a [`Log`]. Made by [`layer`].
///
/// - Levels keep their names; `TRACE` is debug. What passes follows [`Log::levels`] at any time.
/// - A field is `F_NAME` in the journal, so that none can be taken for the journal's own; but `MESSAGE_ID`, `ERRNO` and
///   `DOCUMENTATION`, in any case, are themselves: the journal's tools look for them. As text it has its own name.
/// - The spans around an event are one field: `F_SPAN=request:query`, the outermost first. Their fields are the event's
///   too; where names meet, the innermost is meant.
/// - Spans themselves are no records.
#[derive(Clone, Debug)]
pub struct LogLayer(Log);

/// A layer that writes to this log.
#[must_use]
pub fn layer(log: Log) -> LogLayer {
    LogLayer(log)
}

fn level(of: tracing_core::Level) -> Level {
    match of {
        tracing_core::Level::ERROR => Level::Error,
        tracing_core::Level::WARN => Level::Warning,
        tracing_core::Level::INFO => Level::Info,
        tracing_core::Level::DEBUG | tracing_core::Level::TRACE => Level::Debug,
    }
}

/// Fields by name; a name that is said again replaces the value.
#[derive(Clone, Debug, Default)]
struct Said {
    message: Option<String>,
    fields: Vec<(&'static str, String)>,
}

impl Said {
    fn say(&mut self, name: &'static str, value: String) {
        match self.fields.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.fields.push((name, value)),
        }
    }
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = Some(value.to_owned()),
            name => self.say(name, value.to_owned()),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = Some(format!("{value:?}")),
            name => self.say(name, format!("{value:?}")),
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut said = Said::default();
            attributes.record(&mut said);
            span.extensions_mut().replace(said);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(said) = span.extensions_mut().get_mut::<Said>()
        {
            values.record(said);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let level = level(*metadata.level());
        if !self.0.is_enabled(level) {
            return;
        }
        let mut spans = String::new();
        let mut said = Said::default();
        for span in context
            .event_scope(event)
            .into_iter()
            .flat_map(|scope| scope.from_root())
        {
            if !spans.is_empty() {
                spans.push(':');
            }
            spans.push_str(span.name());
            if let Some(of_span) = span.extensions().get::<Said>() {
                for (name, value) in &of_span.fields {
                    said.say(name, value.clone());
                }
            }
        }
        event.record(&mut said);
        if !spans.is_empty() {
            said.fields.push(("span", spans));
        }
        let fields: Vec<(&str, Cow<'_, [u8]>)> = said
            .fields
            .iter()
            .map(|(name, value)| (*name, Cow::Borrowed(value.as_bytes())))
            .collect();
        self.0.write(
            level,
            // An event of fields alone is told by its name.
            said.message.as_deref().unwrap_or(metadata.name()),
            &fields,
            Place {
                file: metadata.file().unwrap_or_default(),
                line: metadata.line().unwrap_or(0),
                module: metadata.module_path(),
                apart: true,
            },
        );
    }
}

/// The handle as a filter of one layer, as in `layer(log).with_filter(handle)`: spans and events below it are then not
/// even looked at. It moves at any time.
impl<S> Filter<S> for LevelHandle {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.get().includes(level(*metadata.level()))
    }

    fn callsite_enabled(&self, _: &'static Metadata<'static>) -> Interest {
        // Never "never": the handle moves.
        Interest::sometimes()
    }
}
