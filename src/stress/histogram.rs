//! A histogram of durations, with three digits of precision at any scale.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram as HdrHistogram;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Durations in nanoseconds, in buckets narrower than a thousandth of their value.
#[derive(Clone, PartialEq)]
pub struct Histogram(HdrHistogram<u64>);

/// Precision in significant digits.
const DIGITS: u8 = 3;

impl Histogram {
    pub fn new() -> Histogram {
        Histogram(HdrHistogram::new(DIGITS).expect("three digits are allowed"))
    }

    pub fn record(&mut self, took: Duration) {
        self.record_many(took, 1);
    }

    /// Records the same duration `count` times.
    pub fn record_many(&mut self, took: Duration, count: u64) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1);
        // Fails only for durations of centuries.
        let _ = self.0.record_n(nanos, count);
    }

    pub fn merge(&mut self, other: &Histogram) {
        let _ = self.0.add(&other.0);
    }

    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// Returns the histogram corrected for coordinated omission, as if messages had been sent every
    /// `interval`: an answer that took longer also counts for those that would have waited behind
    /// it.
    pub fn corrected(&self, interval: Duration) -> Histogram {
        let nanos = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        match nanos {
            0 => self.clone(),
            _ => Histogram(self.0.clone_correct(nanos)),
        }
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the duration that this share of all, from 0 to 1, did not exceed.
    pub fn at(&self, share: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(share))
    }

    pub fn min(&self) -> Duration {
        Duration::from_nanos(self.0.min())
    }

    pub fn max(&self) -> Duration {
        match self.0.is_empty() {
            true => Duration::ZERO,
            false => Duration::from_nanos(self.0.max()),
        }
    }

    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.0.mean() as u64)
    }

    /// Returns each recorded duration and its count. `record_many` restores the histogram from
    /// them.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let counted = |value: hdrhistogram::iterators::IterationValue<u64>| {
            (Duration::from_nanos(value.value_iterated_to()), value.count_at_value())
        };
        self.0.iter_recorded().map(counted)
    }
}

/// Writes each recorded duration in nanoseconds and its count.
impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.buckets().map(|(took, count)| (took.as_nanos() as u64, count)))
    }
}

impl<'de> Deserialize<'de> for Histogram {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Histogram, D::Error> {
        let mut histogram = Histogram::new();
        for (nanos, count) in Vec::deserialize(deserializer)? {
            histogram.record_many(Duration::from_nanos(nanos), count);
        }
        Ok(histogram)
    }
}

/// Prints a summary: the buckets are too many.
impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Histogram({} up to {:?})", self.count(), self.max())
    }
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(value: u64) -> Duration {
        Duration::from_micros(value)
    }

    fn is_near(actual: Duration, expected: Duration) -> bool {
        actual.as_nanos().abs_diff(expected.as_nanos()) * 500 <= expected.as_nanos()
    }

    #[test]
    fn percentiles_have_three_digits() {
        let mut histogram = Histogram::new();
        (1..=1000).for_each(|value| histogram.record(micros(value)));
        for (share, value) in [(0.5, 500), (0.99, 990), (1.0, 1000)] {
            assert!(
                is_near(histogram.at(share), micros(value)),
                "{share}: {:?}",
                histogram.at(share)
            );
        }
        assert!(is_near(histogram.mean(), micros(500)) && histogram.count() == 1000);
        assert!(is_near(histogram.min(), micros(1)) && is_near(histogram.max(), micros(1000)));
    }

    #[test]
    fn an_empty_histogram_has_zero_percentiles() {
        let histogram = Histogram::new();
        assert!(histogram.is_empty() && histogram.corrected(micros(5)).is_empty());
        assert_eq!((histogram.at(0.5), histogram.max()), (Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn a_late_answer_counts_for_those_that_would_have_waited_behind_it() {
        let mut histogram = Histogram::new();
        (0..99).for_each(|_| histogram.record(micros(100)));
        histogram.record(micros(10_000));
        // Without correction one answer of a hundred is late.
        assert!(is_near(histogram.at(0.98), micros(100)));
        // One message every 100 us: 99 more would have waited 9.9 ms, 9.8 ms … 0.1 ms.
        let corrected = histogram.corrected(micros(100));
        assert_eq!(corrected.count(), 199);
        assert!(is_near(corrected.at(0.75), micros(5_100)), "{:?}", corrected.at(0.75));
        assert!(is_near(corrected.max(), micros(10_000)));
        assert_eq!(histogram.corrected(Duration::ZERO).count(), 100);
    }

    #[test]
    fn histograms_are_merged_and_restored_from_their_buckets() {
        let (mut one, mut two, mut both) = (Histogram::new(), Histogram::new(), Histogram::new());
        for value in 1..2000u64 {
            let took = Duration::from_nanos(value * value * 37);
            if value % 3 == 0 { &mut one } else { &mut two }.record(took);
            both.record(took);
        }
        let mut copy = Histogram::new();
        two.buckets().for_each(|(took, count)| copy.record_many(took, count));
        one.merge(&copy);
        assert_eq!(one.count(), both.count());
        for share in [0.0, 0.1, 0.5, 0.99, 0.999, 1.0] {
            assert_eq!(one.at(share), both.at(share), "{share}");
        }
        one.clear();
        assert!(one.is_empty());
    }
}
