//! The answer to a scrape: all metrics, one after the other, in parts.

use super::metrics::{MetricsCx, families, write_family};

/// Metrics written per part. Most are a few lines; those of each route or listener may be many.
const FAMILIES_PER_PART: usize = 8;

/// A scrape in progress.
#[derive(Default)]
pub struct Scrape {
    /// The next metric.
    next: usize,
}

impl Scrape {
    /// Appends the next metrics. Returns whether they were the last ones.
    pub fn part(&mut self, cx: &MetricsCx<'_>, out: &mut String) -> bool {
        let end = families().min(self.next + FAMILIES_PER_PART);
        (self.next..end).for_each(|index| write_family(index, cx, out));
        self.next = end;
        end == families()
    }
}
