//! Counters, gauges and histograms, and the OpenMetrics text of them.
//!
//! ```
//! use eudaemon::metrics::Registry;
//!
//! let metrics = Registry::new();
//! let requests = metrics.counter("http_requests", "Requests served.", &["code"])?;
//! requests.with(&["200"]).add(1);
//! assert!(metrics.text().contains("http_requests_total{code=\"200\"} 1\n"));
//! # Ok::<(), eudaemon::metrics::MetricError>(())
//! ```
//!
//! A sample is kept in atomics: counting takes no lock. Finding the sample of some labels does; keep what
//! [`Family::with`] returns where it is used often. The format is [`eudaemon_core::openmetrics`].

mod process;

pub use eudaemon_core::openmetrics::CONTENT_TYPE;

use eudaemon_core::openmetrics::{Kind, Writer, is_family, is_label};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most different label values of one family. What a client can choose must not fill the memory: beyond it all share one sample
/// whose labels are `(other)`.
pub const SAMPLES_MAX: usize = 2000;
const OTHER: &str = "(other)";

/// Why a family is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricError {
    /// It is no name in the format, or ends in what the format adds itself, such as `_total`.
    Name(String),
    /// It is no name of a label, or one of the format's own.
    Label(String),
    /// There is a family of that name already. Names that begin with `process_` are taken.
    Twice(String),
    /// The ends of the buckets do not rise, or are not finite.
    Buckets,
}

impl fmt::Display for MetricError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MetricError::Name(name) => write!(to, "{name:?} cannot name a metric"),
            MetricError::Label(name) => write!(to, "{name:?} cannot name a label"),
            MetricError::Twice(name) => write!(to, "there is a metric {name:?} already"),
            MetricError::Buckets => to.write_str("the ends of a histogram's buckets must rise"),
        }
    }
}

impl std::error::Error for MetricError {}

/// All metrics of a program. Clones are handles of the same.
#[derive(Clone, Default)]
pub struct Registry {
    families: Arc<Mutex<BTreeMap<String, Arc<dyn Told>>>>,
}

/// What can be put into the text.
trait Told: Send + Sync {
    fn tell(&self, name: &str, to: &mut Writer);
}

/// What one family's samples are made of.
pub trait Sample: private::Sealed + Send + Sync + 'static {}

mod private {
    use eudaemon_core::openmetrics::{Kind, Writer};

    pub trait Sealed: Sized {
        const KIND: Kind;
        fn new(buckets: &[f64]) -> Self;
        fn tell(&self, labels: &[(&str, &str)], to: &mut Writer);
    }
}

/// Metrics of one name, one for each combination of label values.
pub struct Family<S> {
    inner: Arc<Inner<S>>,
}

struct Inner<S> {
    help: String,
    labels: Vec<String>,
    buckets: Vec<f64>,
    samples: Mutex<BTreeMap<Vec<String>, Arc<S>>>,
}

impl<S> Clone for Family<S> {
    fn clone(&self) -> Family<S> {
        Family {
            inner: self.inner.clone(),
        }
    }
}

impl<S> fmt::Debug for Family<S> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_tuple("Family").field(&self.inner.labels).finish()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_set().entries(self.lock().keys()).finish()
    }
}

impl Registry {
    /// One with nothing in it but what the system tells of the process.
    #[must_use]
    pub fn new() -> Registry {
        Registry::default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<dyn Told>>> {
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something that only grows. In the text it is `NAME_total`; the name is given without that.
    ///
    /// # Errors
    /// [`MetricError`], of the name or the labels.
    pub fn counter(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<Family<Counter>, MetricError> {
        self.add(name, help, labels, &[])
    }

    /// Something that goes either way.
    ///
    /// # Errors
    /// [`MetricError`], of the name or the labels.
    pub fn gauge(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<Family<Gauge>, MetricError> {
        self.add(name, help, labels, &[])
    }

    /// Something counted by its size: `buckets` are the upper ends, each included, in rising order. What is above the last is counted
    /// too.
    ///
    /// # Errors
    /// [`MetricError`]
    pub fn histogram(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<Family<Histogram>, MetricError> {
        let rise = buckets.windows(2).all(|two| two[0] < two[1]);
        if !rise || !buckets.iter().all(|end| end.is_finite()) {
            return Err(MetricError::Buckets);
        }
        self.add(name, help, labels, buckets)
    }

    fn add<S: Sample>(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<Family<S>, MetricError> {
        if !is_family(name) {
            return Err(MetricError::Name(name.to_owned()));
        }
        for (index, label) in labels.iter().enumerate() {
            if !is_label(label) || labels[..index].contains(label) {
                return Err(MetricError::Label((*label).to_owned()));
            }
        }
        let mut families = self.lock();
        // Also two families of which one's samples would be named as the other: `x` and the `x` of `x_total` are the same name here.
        if families.contains_key(name) || name.starts_with("process_") {
            return Err(MetricError::Twice(name.to_owned()));
        }
        let inner = Arc::new(Inner {
            help: help.to_owned(),
            labels: labels.iter().map(|&label| label.to_owned()).collect(),
            buckets: buckets.to_vec(),
            samples: Mutex::default(),
        });
        families.insert(name.to_owned(), inner.clone());
        Ok(Family::<S> { inner })
    }

    /// The text of everything, with what the system tells of this process: processor time, memory, descriptors, threads, start. What
    /// cannot be read is left out. Its content type is [`CONTENT_TYPE`].
    #[must_use]
    pub fn text(&self) -> String {
        let families: Vec<_> = self
            .lock()
            .iter()
            .map(|(name, family)| (name.clone(), family.clone()))
            .collect();
        let mut writer = Writer::default();
        for (name, family) in families {
            family.tell(&name, &mut writer);
        }
        process::tell(&mut writer);
        writer.finish()
    }
}

impl<S: Sample> Family<S> {
    /// The sample of these label values, in the order of the labels. Values beyond the labels are ignored, and missing ones are
    /// empty, which means the same as no label.
    #[must_use]
    pub fn with(&self, values: &[&str]) -> Arc<S> {
        let wanted = self.inner.labels.len();
        let values = values.iter().copied().chain(std::iter::repeat(""));
        let mut key: Vec<String> = values.take(wanted).map(str::to_owned).collect();
        let samples = self.inner.samples.lock();
        let mut samples = samples.unwrap_or_else(PoisonError::into_inner);
        if samples.len() >= SAMPLES_MAX && !samples.contains_key(&key) {
            key = vec![OTHER.to_owned(); wanted];
        }
        let sample = samples.entry(key);
        sample
            .or_insert_with(|| Arc::new(S::new(&self.inner.buckets)))
            .clone()
    }

    /// The only sample of a family without labels.
    #[must_use]
    pub fn only(&self) -> Arc<S> {
        self.with(&[])
    }
}

impl<S: Sample> Told for Inner<S> {
    fn tell(&self, name: &str, to: &mut Writer) {
        let unit = ["seconds", "bytes", "ratio"];
        let unit = unit.into_iter().find(|unit| {
            let rest = name.strip_suffix(unit);
            rest.is_some_and(|rest| rest.ends_with('_') && rest.len() > 1)
        });
        to.family(name, S::KIND, unit, &self.help);
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        for (values, sample) in &*samples {
            let names = self.labels.iter().map(String::as_str);
            let labels: Vec<_> = names.zip(values.iter().map(String::as_str)).collect();
            sample.tell(&labels, to);
        }
    }
}

/// A count that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// So many more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// What has been counted.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Sample for Counter {}
impl private::Sealed for Counter {
    const KIND: Kind = Kind::Counter;
    fn new(_: &[f64]) -> Counter {
        Counter::default()
    }
    fn tell(&self, labels: &[(&str, &str)], to: &mut Writer) {
        to.counter(labels.iter().copied(), self.value() as f64);
    }
}

/// A number that goes either way.
#[derive(Debug, Default)]
pub struct Gauge(Float);

impl Gauge {
    /// It is this now.
    pub fn set(&self, value: f64) {
        self.0.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// It is so much more, or less.
    pub fn add(&self, by: f64) {
        self.0.add(by);
    }

    /// What it is.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.0.get()
    }
}

impl Sample for Gauge {}
impl private::Sealed for Gauge {
    const KIND: Kind = Kind::Gauge;
    fn new(_: &[f64]) -> Gauge {
        Gauge::default()
    }
    fn tell(&self, labels: &[(&str, &str)], to: &mut Writer) {
        to.gauge(labels.iter().copied(), self.value());
    }
}

/// Values counted by their size.
#[derive(Debug)]
pub struct Histogram {
    /// Upper ends, and the count of each alone.
    buckets: Vec<(f64, AtomicU64)>,
    above: AtomicU64,
    sum: Float,
}

impl Histogram {
    /// One more value. One that is no number is not counted: a sum would never be a number again.
    pub fn observe(&self, value: f64) {
        if value.is_nan() {
            return;
        }
        let bucket = self.buckets.iter().find(|(end, _)| value <= *end);
        let count = bucket.map_or(&self.above, |(_, count)| count);
        count.fetch_add(1, Ordering::Relaxed);
        self.sum.add(value);
    }
}

impl Sample for Histogram {}
impl private::Sealed for Histogram {
    const KIND: Kind = Kind::Histogram;
    fn new(buckets: &[f64]) -> Histogram {
        Histogram {
            buckets: buckets
                .iter()
                .map(|&end| (end, AtomicU64::new(0)))
                .collect(),
            above: AtomicU64::new(0),
            sum: Float::default(),
        }
    }
    fn tell(&self, labels: &[(&str, &str)], to: &mut Writer) {
        let buckets = self.buckets.iter();
        let buckets = buckets.map(|(end, count)| (*end, count.load(Ordering::Relaxed)));
        let above = self.above.load(Ordering::Relaxed);
        to.histogram(labels, buckets, above, self.sum.get());
    }
}

/// The bits of an `f64`.
#[derive(Debug, Default)]
struct Float(AtomicU64);

impl Float {
    fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    fn add(&self, by: f64) {
        let add = |bits| Some((f64::from_bits(bits) + by).to_bits());
        // The closure always answers, so this cannot fail.
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

#[cfg(test)]
mod tests;
