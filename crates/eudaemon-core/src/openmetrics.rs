//! The text a scraper reads. Source: "OpenMetrics 1.0.0", OpenObservability, "Text format".

use alloc::string::String;
use core::fmt::{self, Write};

/// What the text is, for `Content-Type`.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a family of samples measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows. Its sample is called `NAME_total`.
    Counter,
    /// It goes either way.
    Gauge,
    /// Counted by size, in buckets.
    Histogram,
}

/// Writes one text. Families must not be repeated, nor samples within one; the ends of a histogram's buckets must rise.
#[derive(Debug, Default)]
pub struct Writer {
    text: String,
    family: String,
}

/// Whether this may be the name of a family: `[a-zA-Z_:][a-zA-Z0-9_:]*`, without the ends that the format itself gives.
#[must_use]
pub fn is_family(name: &str) -> bool {
    const ENDS: [&str; 7] = [
        "_total", "_created", "_bucket", "_count", "_sum", "_info", "_gsum",
    ];
    !ENDS.iter().any(|end| name.ends_with(end)) && is_name(name, |c| c == ':')
}

/// Whether this may be the name of a label: `[a-zA-Z_][a-zA-Z0-9_]*`, none of the format's own.
#[must_use]
pub fn is_label(name: &str) -> bool {
    !name.starts_with("__") && name != "le" && name != "quantile" && is_name(name, |_| false)
}

fn is_name(name: &str, also: impl Fn(char) -> bool) -> bool {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_' || also(c);
    name.starts_with(is_first) && name.chars().all(|c| is_first(c) || c.is_ascii_digit())
}

/// A number as the format wants it: `1`, `0.5`, `1e300`, `+Inf`, `NaN`.
pub struct Number(pub f64);

impl fmt::Display for Number {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0;
        if value.is_nan() {
            to.write_str("NaN")
        } else if value.is_infinite() {
            to.write_str(if value > 0.0 { "+Inf" } else { "-Inf" })
        } else if value != 0.0 && !(1e-5..1e15).contains(&value.abs()) {
            write!(to, "{value:e}")
        } else {
            write!(to, "{value}")
        }
    }
}

/// Text in which a line end, a quotation mark and a backslash are written as `\n`, `\"` and `\\`.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\n' => to.write_str("\\n")?,
                '"' => to.write_str("\\\"")?,
                '\\' => to.write_str("\\\\")?,
                other => to.write_char(other)?,
            }
        }
        Ok(())
    }
}

impl Writer {
    /// Begins a family. A `unit` must be the end of its name, behind a `_`.
    pub fn family(&mut self, name: &str, kind: Kind, unit: Option<&str>, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.family = name.into();
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "# TYPE {name} {kind}");
        if let Some(unit) = unit {
            let _ = writeln!(self.text, "# UNIT {name} {unit}");
        }
        if !help.is_empty() {
            let _ = writeln!(self.text, "# HELP {name} {}", Escaped(help));
        }
    }

    fn sample<'a>(
        &mut self,
        end: &str,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        value: f64,
    ) {
        let _ = write!(self.text, "{}{end}", self.family);
        let mut mark = '{';
        for (name, value) in labels {
            let _ = write!(self.text, "{mark}{name}=\"{}\"", Escaped(value));
            mark = ',';
        }
        let close = if mark == ',' { "}" } else { "" };
        let _ = writeln!(self.text, "{close} {}", Number(value));
    }

    /// The sample of a counter, which is not negative.
    pub fn counter<'a>(
        &mut self,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        value: f64,
    ) {
        self.sample("_total", labels, value);
    }

    /// The sample of a gauge.
    pub fn gauge<'a>(&mut self, labels: impl IntoIterator<Item = (&'a str, &'a str)>, value: f64) {
        self.sample("", labels, value);
    }

    /// The samples of a histogram: upper ends and how many were not above each *but above the one before*; how many were above all; the
    /// sum of all values.
    pub fn histogram<'a>(
        &mut self,
        labels: &[(&'a str, &'a str)],
        buckets: impl IntoIterator<Item = (f64, u64)>,
        above: u64,
        sum: f64,
    ) {
        let mut count = 0_u64;
        let buckets = buckets.into_iter().chain([(f64::INFINITY, above)]);
        for (end, more) in buckets {
            count = count.saturating_add(more);
            let le = alloc::format!("{}", Number(end));
            // OpenMetrics 1.0, "Considerations: Canonical Numbers": the integral ends have a fraction too.
            let le = match le.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
                true => alloc::format!("{le}.0"),
                false => le,
            };
            let labels = labels.iter().copied().chain([("le", le.as_str())]);
            self.sample("_bucket", labels, count as f64);
        }
        self.sample("_count", labels.iter().copied(), count as f64);
        self.sample("_sum", labels.iter().copied(), sum);
    }

    /// The whole text, with its end mark.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.text.push_str("# EOF\n");
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_as_the_specification_writes_it() {
        let mut writer = Writer::default();
        writer.family("up_seconds", Kind::Counter, Some("seconds"), "a \"b\"\\\nc");
        writer.counter([("a", "x\"y\\z\n"), ("b", "ü")], 1.5);
        writer.family("size", Kind::Histogram, None, "");
        writer.histogram(&[], [(0.1, 2), (10.0, 3)], 1, 42.0);
        writer.family("odd", Kind::Gauge, None, "");
        writer.gauge([("n", "inf")], f64::NEG_INFINITY);
        writer.gauge([("n", "large")], -1.5e300);
        assert_eq!(
            writer.finish(),
            "# TYPE up_seconds counter\n# UNIT up_seconds seconds\n# HELP up_seconds a \\\"b\\\"\\\\\\nc\n\
             up_seconds_total{a=\"x\\\"y\\\\z\\n\",b=\"ü\"} 1.5\n\
             # TYPE size histogram\n\
             size_bucket{le=\"0.1\"} 2\nsize_bucket{le=\"10.0\"} 5\nsize_bucket{le=\"+Inf\"} 6\nsize_count 6\nsize_sum 42\n\
             # TYPE odd gauge\nodd{n=\"inf\"} -Inf\nodd{n=\"large\"} -1.5e300\n# EOF\n"
        );
    }

    #[test]
    fn names_are_checked() {
        for good in ["http_requests", "_x", "a:b", "x9"] {
            assert!(is_family(good), "{good}");
        }
        for bad in ["", "9x", "a-b", "a b", "x_total", "x_bucket", "ä"] {
            assert!(!is_family(bad), "{bad}");
        }
        assert!(is_label("code") && !is_label("le") && !is_label("__x") && !is_label("a:b"));
    }
}
