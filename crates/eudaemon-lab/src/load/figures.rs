//! What a client counted.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// One request that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// When it was sent.
    pub at: Instant,
    /// Until all of the answer was there.
    pub took: Duration,
}

/// What came of all requests.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Answered as they should be.
    pub answered: u64,
    /// The failed, by what was seen of each.
    pub failed: BTreeMap<String, u64>,
    /// Half of the answers took no longer.
    pub p50: Duration,
    /// All but a hundredth took no longer.
    pub p99: Duration,
    /// The same of those that were under way during a change, if the client knows when it asked.
    pub p99_changing: Option<Duration>,
    /// Answers in a second.
    pub per_second: f64,
}

impl Figures {
    /// How many failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// Adds a failure.
    pub fn fail(&mut self, what: impl Into<String>, count: u64) {
        if count > 0 {
            *self.failed.entry(what.into()).or_default() += count;
        }
    }

    /// Figures of these requests, made within `whole`; the changes took place from one time to another.
    #[must_use]
    pub fn of(asked: &[Asked], whole: Duration, changes: &[(Instant, Instant)]) -> Figures {
        let took = |chosen: &dyn Fn(&Asked) -> bool| {
            let mut took: Vec<Duration> = asked
                .iter()
                .filter(|asked| chosen(asked))
                .map(|asked| asked.took)
                .collect();
            took.sort_unstable();
            took
        };
        let all = took(&|_| true);
        let changing = took(&|asked| {
            let end = asked.at + asked.took;
            changes
                .iter()
                .any(|&(from, to)| asked.at <= to && end >= from)
        });
        Figures {
            answered: u64::try_from(all.len()).unwrap_or(u64::MAX),
            failed: BTreeMap::new(),
            p50: percentile(&all, 50).unwrap_or_default(),
            p99: percentile(&all, 99).unwrap_or_default(),
            p99_changing: percentile(&changing, 99),
            per_second: rate(all.len(), whole),
        }
    }
}

/// The time that all but `100 - percent` hundredths stay below.
fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let at = (sorted.len() * percent).div_ceil(100).checked_sub(1)?;
    sorted.get(at).copied()
}

/// So many in a second. Exact for any count a run can reach.
#[expect(clippy::cast_precision_loss)]
fn rate(count: usize, whole: Duration) -> f64 {
    count as f64 / whole.as_secs_f64().max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_all_and_of_those_during_a_change() {
        let begin = Instant::now();
        let ms = Duration::from_millis;
        // A hundred requests, one every 10 ms, the nth taking n ms.
        let asked: Vec<_> = (1..=100)
            .map(|n| Asked {
                at: begin + ms(10) * n,
                took: ms(u64::from(n)),
            })
            .collect();
        let figures = Figures::of(&asked, ms(1000), &[]);
        assert_eq!((figures.p50, figures.p99), (ms(50), ms(99)));
        assert_eq!((figures.answered, figures.p99_changing), (100, None));
        assert!((figures.per_second - 100.0).abs() < 1e-6);
        // Under way from 205 to 215 ms: those sent at 190 (19 ms), 200 (20 ms) and 210 ms.
        let change = (begin + ms(205), begin + ms(215));
        let figures = Figures::of(&asked, ms(1000), &[change]);
        assert_eq!(figures.p99_changing, Some(ms(21)));
        assert_eq!(Figures::of(&[], ms(1), &[]).p99, Duration::ZERO);
    }

    #[test]
    fn failures_are_added_up() {
        let mut figures = Figures::default();
        figures.fail("read", 2);
        figures.fail("read", 1);
        figures.fail("connect", 0);
        assert_eq!((figures.failures(), figures.failed.len()), (3, 1));
    }
}
