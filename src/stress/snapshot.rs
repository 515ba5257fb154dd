//! Takes a snapshot of the progress from the runner.

use super::histogram::Histogram;
use super::outcome::WorkUnit;
use super::progress::Snapshot;
use super::runner::Runner;

impl Runner {
    /// Returns the current progress.
    pub fn snapshot(&self) -> Snapshot {
        let now = self.clock.now();
        let last = self.timeline.points.last().copied().unwrap_or_default();
        let step = self.timeline.step.as_secs_f64();
        let mut latency = Histogram::new();
        let counted = self.groups.iter().filter(|group| WorkUnit::of(group.kind) != WorkUnit::None);
        counted.for_each(|group| latency.merge(&group.stats.latency));
        let errors = self.groups.iter().map(|group| {
            let stats = &group.stats;
            stats.failed() + stats.deaths.count() + stats.integrity_errors.count
        });
        let open = self.open_now();
        let persistent = self.groups.iter().filter(|group| group.is_persistent());
        let wanted: u64 = persistent.map(|group| group.planned as u64).sum();
        let share = match self.phase.span() {
            Some((since, until)) => {
                now.saturating_sub(since).as_secs_f64()
                    / until.saturating_sub(since).as_secs_f64().max(1e-9)
            }
            None if wanted > 0 => open as f64 / wanted as f64,
            None => 0.0,
        };
        Snapshot {
            phase: self.phase.name().to_string(),
            share,
            open,
            wanted,
            answered: last.answered as f64 / step,
            exchanged: last.exchanged as f64 / step,
            bytes: last.bytes as f64 / step,
            errors: errors.sum(),
            p50: latency.at(0.5),
            p99: latency.at(0.99),
        }
    }
}
